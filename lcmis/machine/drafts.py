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

CLOCKS_APART_SECONDS = 60.0
"""That a disk on the network may be behind or ahead."""


def draft_name(name: str) -> str:
    """For a file that will be called ``name``; no two writers, on any machine, share one."""
    return f".{name}.{_machine()}-{os.getpid()}-{secrets.token_hex(4)}.tmp"


def drafts_of(file: Path) -> list[Path]:
    """Drafts of one file, whoever began them; none where its folder may not be listed.

    A glob compiles a pattern of every new name, and Python keeps the last hundreds of them.
    """
    try:
        beside = list(file.parent.iterdir())
    except PermissionError:
        return []
    begins = f".{file.name}."
    return [one for one in beside if one.name.startswith(begins) and one.name.endswith(".tmp")]


def sweep(files: Iterable[Path]) -> None:
    """Take away those drafts whose writer is dead.

    A process is looked for on this machine only: drafts of others that share the folder stay.
    """
    for file in files:
        found = _NAME.fullmatch(file.name)
        if found and found["machine"] == _machine() and not _writes(int(found["process"]), file):
            with contextlib.suppress(OSError):  # another one was quicker, or owns it
                file.unlink()


def _writes(process: int, file: Path) -> bool:
    """Whether the process that began this file still lives, and no later one has its number."""
    try:
        found = psutil.Process(process)
        began = found.create_time()
        is_dead = found.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
    try:
        return not is_dead and began <= file.stat().st_mtime + CLOCKS_APART_SECONDS
    except OSError:
        return False


def _machine() -> str:
    """Names this machine where several share a folder."""
    return hashlib.blake2b(platform.node().encode(), digest_size=4).hexdigest()
