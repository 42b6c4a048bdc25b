"""Fault points: every fsync, replace, save and commit of a piece of work, counted, not drawn."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from sqlalchemy.engine.default import DefaultDialect

PLACES: tuple[tuple[Any, str], ...] = (
    (os, "fsync"),
    (os, "replace"),
    (Path, "replace"),
    (Image.Image, "save"),
    (DefaultDialect, "do_commit"),
)


class Points:
    """Counts the calls of all places, and lets something happen before the ``at``-th one."""

    def __init__(self, at: int | None, happens: Callable[[str], None]) -> None:
        self.count = 0
        self._at = at
        self._happens = happens

    def pass_by(self, name: str) -> None:
        self.count += 1
        if self.count == self._at:
            self._happens(name)


@contextmanager
def watched(at: int | None = None, happens: Callable[[str], None] = print) -> Iterator[Points]:
    """All places lead past a counter while this is open."""
    points = Points(at, happens)
    whole = [(owner, name, getattr(owner, name)) for owner, name in PLACES]

    def passing(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            points.pass_by(name)
            return original(*given, **named)

        return call

    for owner, name, original in whole:
        setattr(owner, name, passing(name, original))
    try:
        yield points
    finally:
        for owner, name, original in whole:
            setattr(owner, name, original)


def broken_disk(name: str) -> None:
    """What a place says when the disk under it breaks."""
    if name == "do_commit":
        raise sqlite3.OperationalError("disk I/O error")
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def full_disk(name: str) -> None:
    """What a place says when there is no room."""
    if name == "do_commit":
        raise sqlite3.OperationalError("database or disk is full")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def killed_at(at: int, work: Callable[[], object]) -> bool:
    """Do the work in a process of its own that dies without a word before its ``at``-th point.

    Returns:
        Whether it died; False if it was done before it came to that point.
    """
    child = os.fork()
    if child == 0:
        try:
            with watched(at, lambda _name: os.kill(os.getpid(), signal.SIGKILL)):
                work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)
