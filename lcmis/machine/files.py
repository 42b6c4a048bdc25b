"""Files that appear whole, or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from lcmis.errors import ConfigError
from lcmis.machine.drafts import draft_name, drafts_of, sweep


def is_there(path: Path) -> bool:
    """Whether there is a file or a folder; a name that is too long for any names nothing."""
    try:
        return path.exists()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A draft beside a file that takes its place when all is written.

    What was there stays if anything goes wrong, or if the draft is taken away. A link stays a link;
    what is no file, such as ``/dev/stdout``, is written as it is.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            yield path
            return
        target = path.resolve()
        sweep(drafts_of(target))
        draft = target.with_name(draft_name(target.name))
        try:
            draft.touch(exist_ok=False)
            yield draft
            if draft.exists():
                _settle(draft)
                draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written ({error.strerror}): name another file"
        ) from error


def _settle(draft: Path) -> None:
    draft.chmod(0o644)  # a temporary file is its owner's alone
    with draft.open("rb+") as file:
        os.fsync(file.fileno())
