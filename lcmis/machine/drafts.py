"""Files being written: named so that what a killed process left can be told and swept."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

import psutil

_NAME = re.compile(r"\..*\.(?P<machine>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{8}\.tmp", re.DOTALL)


def draft_name(name: str) -> str:
    """For a file that will be called ``name``; no two writers, on any machine, share one."""
    return f".{name}.{_machine()}-{os.getpid()}-{secrets.token_hex(4)}.tmp"


def sweep(files: Iterable[Path]) -> None:
    """Take away those drafts whose writer is dead.

    A process is looked for on this machine only: drafts of others that share the folder stay.
    """
    for file in files:
        found = _NAME.fullmatch(file.name)
        if (
            found
            and found["machine"] == _machine()
            and not psutil.pid_exists(int(found["process"]))
        ):
            with contextlib.suppress(OSError):  # another one was quicker, or owns it
                file.unlink()


def _machine() -> str:
    """Names this machine where several share a folder."""
    return hashlib.blake2b(platform.node().encode(), digest_size=4).hexdigest()
