"""What ran, on what, with which versions: beside the facts, never inside a key."""

from __future__ import annotations

import dataclasses
import json
import platform
import shutil
import subprocess
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr

from lcmis.machine.versions import versions
from lcmis.plugins.settings import AuditSettings
from lcmis.types import Run


def provenance(
    config: AuditSettings, command: str, models: Sequence[str] = (), checkers: Sequence[str] = ()
) -> Run:
    """What ran, on what, with which versions; stands beside the facts, never inside a key."""
    return Run(
        run_id=uuid.uuid4().hex,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        config=withheld_settings(config),
        versions=json.dumps(versions()),
        git_revision=_git_revision(),
        device=f"{platform.system()} {platform.machine()}",
        models=tuple(models),
        checkers=tuple(checkers),
    )


def withheld_settings(config: AuditSettings) -> str:
    """All settings of an audit as JSON; in the place of a key nothing is kept."""
    return json.dumps(dataclasses.asdict(config), sort_keys=True, default=_withheld)


def _withheld(value: object) -> None:
    """A key, in the place of which nothing is kept.

    Raises:
        TypeError: anything else that has no place in a configuration.
    """
    if not isinstance(value, SecretStr):
        raise TypeError(f"{type(value).__name__} is no setting")


def _git_revision() -> str:
    """Of the checkout that lcmis runs from; empty where it is a wheel, or git is not there."""
    package = Path(__file__).resolve().parents[1]
    if not (package.parent / ".git").exists() or shutil.which("git") is None:
        return ""
    asked = subprocess.run(
        ["git", "-C", str(package.parent), "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip()
