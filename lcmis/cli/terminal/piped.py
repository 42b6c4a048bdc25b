"""Progress where no bar can move: a line at first, one now and then, and one at the end."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from rich.text import Text

from lcmis.findings import words
from lcmis.machine.console import stderr_console

PAUSE_SECONDS = 15.0
"""Between two lines, also while nothing is heard from the work: models load for minutes."""
SEEN_SECONDS = 5.0
"""Before anybody says how fast it goes."""


class Pace:
    """How fast pictures come, and how long the rest will take, since somebody began to look."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: dict[str, tuple[float, int]] = {}

    def told(self, who: str, done: int, expected: int) -> str:
        """As ``"; 4.2 pictures/s, 3 min left"``; nothing before it can be told."""
        now = self._clock()
        since, before = self._first.setdefault(who, (now, done))
        if done <= before or now - since < SEEN_SECONDS:
            return ""
        rate = (done - before) / (now - since)
        left = words.duration(max(0, expected - done) / rate)
        return f"; {rate:.1f} pictures/s, {left} left"


class ProgressLines:
    """What is known of the work, said in lines on standard error."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now: dict[str, tuple[str, str]] = {}
        self._moved: dict[str, None] = {}

    def move(self, who: str, done: str, doing: str, expected: str = "") -> None:
        """Take note; said at once of whom nothing was heard before."""
        with self._lock:
            new = who not in self._now
            if new:
                self._say_moved()
                self._moved.clear()
            self._now[who] = (done, f"{expected}; {doing}" if doing else expected)
            self._moved.pop(who, None)
            self._moved[who] = None  # behind the others
            if new:
                self._say_moved()

    def tick(self) -> None:
        """Say how far those are that moved since, or the last ones that did."""
        with self._lock:
            self._say_moved()
            for who in list(self._moved)[:-1]:
                del self._moved[who]
            if not self._now:
                self._say("getting ready")

    def end(self) -> None:
        """The last line of all that were at work: nobody is done before, who may go on."""
        with self._lock:
            for who, (done, _) in self._now.items():
                self._say(f"{who}: {done}; done")

    def _say_moved(self) -> None:
        for who in self._moved:
            done, doing = self._now[who]
            self._say(f"{who}: {done}{doing}")

    def _say(self, line: str) -> None:
        stderr_console().print(Text(line), soft_wrap=True)


@contextlib.contextmanager
def spoken(
    wait: Callable[[threading.Event], bool] = lambda ended: ended.wait(PAUSE_SECONDS),
) -> Iterator[ProgressLines]:
    """Lines while something runs; ``wait`` pauses between two and says whether it has ended."""
    said, ended = ProgressLines(), threading.Event()

    def now_and_then() -> None:
        while not wait(ended):
            said.tick()

    speaker = threading.Thread(target=now_and_then, daemon=True)
    speaker.start()
    try:
        yield said
    finally:
        ended.set()
        speaker.join()
        said.end()
