"""Model folders, found on this disk or on the hub, and named by their content or commit."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lcmis.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    import torch

CONFIGURATION = ("*.json", "*.txt", "*.model", "*.jinja")
"""File names that make up a model besides its weights."""
WEIGHTS = ("*.safetensors",)


@dataclass(frozen=True, slots=True)
class Located:
    """A folder on this disk and the name under which it is known for ever."""

    path: Path
    name: str
    revision: str
    """Commit hash on the hub, or twelve hex digits of the content."""
    hub_name: str = ""
    """Empty for a folder of the user's own."""

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}"


def locate(name: str, revision: str | None) -> Located:
    """Find a folder by path, else by its name on the hub; from there only configuration comes.

    Args:
        name: a folder, or ``owner/name``.
        revision: branch, tag or commit; a folder of the user's own has none but its content.

    Raises:
        UnknownNameError: neither a folder nor on the hub, or not under this revision.
        ConfigError: the hub cannot be reached, or the revision of a local folder is asked for.
    """
    path = Path(name).expanduser()
    if not path.exists():
        path, commit = resolve_hub_revision(name, revision)
        return Located(path, name, commit, name)
    if revision is not None:
        raise ConfigError(
            f"{name} is a folder on this disk and has no revision {revision!r}: "
            f"leave the revision out"
        )
    resolved = path.resolve()
    return Located(resolved, safe_name(resolved.name), folder_revision(resolved))


def locate_spelled(name: str) -> Located:
    """As :func:`locate`, for ``name`` or ``name@revision``."""
    owner, at, revision = name.rpartition("@")
    return locate(owner, revision) if at else locate(name, None)


def fetch_weights(located: Located) -> Path:
    """The folder with its weights too, downloaded where it comes from the hub.

    Raises:
        ConfigError: the hub cannot be reached.
    """
    if not located.hub_name:
        return located.path
    patterns = (*CONFIGURATION, *WEIGHTS)
    return resolve_hub_revision(located.hub_name, located.revision, patterns)[0]


def resolve_hub_revision(
    name: str, revision: str | None = None, patterns: Sequence[str] = CONFIGURATION
) -> tuple[Path, str]:
    """Fetch a model's files from the hub, or find them in its cache.

    Returns:
        Where they lie now, and the commit hash.

    Raises:
        UnknownNameError: not on the hub, or not under this revision.
        ConfigError: the hub cannot be reached, or will not hand it out.
    """
    from huggingface_hub import errors as hub
    from huggingface_hub import snapshot_download

    asked = f"{name!r}" + (f" at revision {revision!r}" if revision else "")
    try:
        path = Path(snapshot_download(name, revision=revision, allow_patterns=list(patterns)))
    except hub.HFValidationError as error:
        raise UnknownNameError(
            f"there is no folder {name!r}, and it cannot be a name on the hub either: "
            f"give the path of a model folder, or owner/name"
        ) from error
    except hub.GatedRepoError as error:
        raise ConfigError(
            f"{asked} is gated: accept its terms on its page and log in with `hf auth login`"
        ) from error
    except (hub.RepositoryNotFoundError, hub.RevisionNotFoundError) as error:
        raise UnknownNameError(
            f"neither a folder nor a model on the hub is called {asked}: "
            f"check the spelling, or log in if it is private"
        ) from error
    except (hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled, ConnectionError) as error:
        raise ConfigError(
            f"there is no folder {name!r}, and {asked} is not in the hub's cache on this machine "
            f"while the hub cannot be reached: check the path, or fetch it with "
            f"`hf download {name}` while online"
        ) from error
    except hub.HfHubHTTPError as error:
        raise ConfigError(f"the hub would not hand out {asked}: {error}") from error
    return path, path.name


def folder_revision(path: Path) -> str:
    """Twelve hex digits over the names and contents of a folder's weights and configuration.

    A single file is named as if it were alone in a folder.
    """
    patterns = (*CONFIGURATION, *WEIGHTS)
    files = sorted({file for pattern in patterns for file in path.rglob(pattern)})
    if path.is_file():
        files, path = [path], path.parent
    total = hashlib.blake2b(digest_size=6)
    with ThreadPoolExecutor() as pool:  # hashing releases the lock, and weights are large
        for file, digest in zip(files, pool.map(file_digest, files), strict=True):
            total.update(file.relative_to(path).as_posix().encode() + b"\0" + digest)
    return total.hexdigest()


def file_digest(file: Path) -> bytes:
    """Sixteen bytes that name a file's content."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.blake2b(digest_size=16)).digest()


def safe_name(name: str) -> str:
    """Without what could be read as a path, a revision or white space."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "model"


def weights_fingerprint(tensors: Mapping[str, torch.Tensor]) -> str:
    """Sixteen hex digits that name weights in memory by their numbers in half precision.

    So a file in float32 and the same in float16 are one, and names, which libraries change, do not
    matter; numbers that are not floating-point are left out.
    """
    digests = sorted(
        hashlib.blake2b(
            repr(tuple(tensor.shape)).encode() + tensor.detach().cpu().half().numpy().tobytes(),
            digest_size=16,
        ).digest()
        for tensor in tensors.values()
        if tensor.is_floating_point()
    )
    return hashlib.blake2b(b"".join(digests), digest_size=8).hexdigest()
