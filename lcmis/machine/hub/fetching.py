"""Files of a listing onto this disk: one bar with time left, every byte checked once."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import math
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import psutil

from lcmis.errors import ConfigError
from lcmis.machine.hub.asking import LATER, Unreachable, Watch, ask_all, refuse_endpoint
from lcmis.machine.hub.listing import HubFile, Listing, remembered

SHOWN_AFTER = 1.0
"""Seconds that a bar waits before it is shown."""
FETCHING, CHECKING = "fetching", "checking"
WORTH_A_LINE = {FETCHING: 10_000_000, CHECKING: 2_000_000_000}
"""Bytes from which a line says what happens where no bar can be shown."""
PIECE = 1 << 20
"""Bytes of a file that are fetched or read at once, and by which a bar moves."""
RESUMED = 3
"""How often a file is begun again after its connection was reset."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """How much of a model a run needs, and how much of it is here."""

    name: str
    """``owner/name@commit``."""
    size: int
    """Bytes of all files that are loaded."""
    cached: int
    """Bytes of those that lie in the hub's cache on this machine."""

    @property
    def missing(self) -> int:
        """Bytes that will be fetched."""
        return self.size - self.cached


def to_fetch(listing: Listing, paths: Collection[str]) -> Fetch:
    """How much these files are, without fetching anything."""
    sizes = {path: max(0, listing.files[path].size) for path in paths}
    here = sum(size for path, size in sizes.items() if _is_here(listing, path))
    return Fetch(str(listing), sum(sizes.values()), here)


def fetch(listing: Listing, paths: Collection[str]) -> Path:
    """Bring files of a listing into the hub's cache, and check those that no one checked yet.

    Returns:
        The folder in which they lie as in the model.

    Raises:
        ConfigError: the hub cannot be reached or refuses, the disk is full or cannot be written, or
            a file's content is not what the hub lists.
    """
    from huggingface_hub import constants

    missing = [path for path in dict.fromkeys(paths) if not _is_here(listing, path)]
    if missing and constants.is_offline_mode():
        raise Unreachable(
            f"{missing[0]} of {listing} is not in the hub's cache on this machine while the hub "
            f"cannot be reached (HF_HUB_OFFLINE is set): fetch it with `hf download "
            f"{listing.name} --revision {listing.commit}` while online"
        )
    if missing:
        refuse_endpoint()
        _download(listing, missing)
    _check(listing, list(dict.fromkeys(paths)), frozenset(missing))
    return listing.folder


def _is_here(listing: Listing, path: str) -> bool:
    return (listing.folder / path).is_file()


def _download(listing: Listing, paths: Sequence[str]) -> None:
    from huggingface_hub import constants

    need = sum(max(0, listing.files[path].size) for path in paths)
    _refuse_full(str(listing), need, Path(constants.HF_HUB_CACHE).expanduser())
    blobs = listing.folder.parents[1] / "blobs"
    with _bar(str(listing), need, FETCHING) as (watch, advance):
        meter = _meter(watch, advance)
        calls = [functools.partial(_download_one, listing, path, meter) for path in paths]
        usual, constants.DOWNLOAD_CHUNK_SIZE = constants.DOWNLOAD_CHUNK_SIZE, PIECE
        try:
            ask_all(str(listing), calls, watch, alive=lambda: _written(blobs))
        finally:
            constants.DOWNLOAD_CHUNK_SIZE = usual
            _sweep(blobs)


def _download_one(listing: Listing, path: str, meter: type) -> str:
    import httpx2
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    for tries in itertools.count(1):
        try:
            return str(
                hf_hub_download(listing.name, path, revision=listing.commit, tqdm_class=meter)
            )
        except httpx2.NetworkError:  # reset within a file: all else is tried again below us
            if tries == RESUMED:
                raise
        except (HfHubHTTPError, RuntimeError, ValueError) as error:
            if constants.HF_HUB_DISABLE_XET or not _is_of_xet(error):
                raise
            # some mirrors and proxies pass on that a file lies in Xet storage, and not the storage
            constants.HF_HUB_DISABLE_XET = True
    raise AssertionError("the loop ends by itself")


def _is_of_xet(error: Exception) -> bool:
    """Whether Xet storage failed, from which huggingface_hub downloads where hf_xet is installed:
    what it raises itself is a RuntimeError, and its tokens come from an address of their own.
    """
    response = getattr(error, "response", None)
    return isinstance(error, RuntimeError) or (
        response is not None and "/xet-" in str(response.request.url)
    )


def room_for_models() -> float:
    """Bytes that are free where the hub's cache lies; infinite where nobody knows."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE).expanduser()
    place = next((one for one in (cache, *cache.parents) if one.is_dir()), cache)
    try:
        return float(shutil.disk_usage(place).free)
    except OSError:
        return math.inf  # writing will tell


def _refuse_full(asked: str, need: int, cache: Path) -> None:
    free = room_for_models()
    if need > free:
        raise ConfigError(
            f"{asked} needs {in_words(need)} more, and {cache} has room for {in_words(free)}: make "
            f"some, or set HF_HOME to a folder on another disk"
        )


def in_words(size: float) -> str:
    """A number of bytes as people say it: ``"5.1 GB"``."""
    value, unit = float(size), "bytes"
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if value < 999.5 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if value >= 99.5 or unit == "bytes" else f"{value:.1f} {unit}"


def _written(blobs: Path) -> int:
    """Bytes in files that are being written, by whichever process."""
    total = 0
    with contextlib.suppress(OSError):
        for path in blobs.glob("*.incomplete"):
            with contextlib.suppress(OSError):  # it has got its name meanwhile
                total += path.stat().st_size
    return total


def _sweep(blobs: Path) -> None:
    """Take away what our own threads leave half done: they end with the program, not before."""
    with contextlib.suppress(psutil.Error):
        for opened in psutil.Process().open_files():
            path = Path(opened.path)
            if path.parent == blobs.resolve() and path.suffix == ".incomplete":
                path.unlink(missing_ok=True)


# ── what is shown meanwhile ──────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def _bar(name: str, size: int, doing: str) -> Iterator[tuple[Watch, Callable[[int], None]]]:
    """A bar for people once it takes a second; a line where standard error is no terminal."""
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    from lcmis.machine.console import stderr_console

    console = stderr_console()
    bar = Progress(
        TextColumn(doing + " [bold]{task.description}"),
        BarColumn(bar_width=20),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
    )
    shown, watch = name.partition("@")[0], Watch()
    task = bar.add_task(shown, total=size)
    if not console.is_terminal and size >= WORTH_A_LINE[doing]:
        watch.say(f"{doing} {shown}, {in_words(size)} …")
    began, lock = time.monotonic(), threading.Lock()

    def show() -> None:
        with lock:
            if console.is_terminal and time.monotonic() - began > SHOWN_AFTER:
                bar.start()

    def advance(count: int) -> None:
        show()
        bar.advance(task, count)

    watch.tick = show

    try:
        yield watch, advance
    finally:
        if bar.live.is_started:
            bar.stop()


def _meter(watch: Watch, advance: Callable[[int], None]) -> type:
    """What huggingface_hub takes for a bar of tqdm's: one for each file, all move the same bar."""

    class Meter:
        def __init__(self, *_: object, **__: object) -> None:
            self.total: int | None = None
            self.count = 0

        def __enter__(self) -> Meter:
            return self

        def __exit__(self, kind: object, *_: object) -> None:
            if kind is not None:  # what came is lost
                advance(-self.count)

        def update(self, count: float | None = 1) -> None:
            watch.note()
            self.count += int(count or 0)
            advance(int(count or 0))

        def update_transfer(self, count: float | None = 1) -> None:
            watch.note()

        def close(self) -> None:
            """Nothing is shown of one file."""

        def refresh(self, *_: object, **__: object) -> None:
            """Nothing is shown of one file."""

        set_description = set_description_str = set_postfix_str = set_transfer_postfix_str = refresh

    return Meter


# ── what came ────────────────────────────────────────────────────────────────────────────────────


def _check(listing: Listing, paths: Sequence[str], fresh: Collection[str]) -> None:
    """Bytes of the right length that are others would draw another picture under the same name."""
    folder = remembered(listing.name, "checked")
    sizes = {path: (listing.folder / path).stat().st_size for path in paths}
    unknown = [path for path in paths if not _is_known(listing, path, folder)]
    with _bar(str(listing), sum(sizes[path] for path in unknown), CHECKING) as (_, advance):
        for path in unknown:
            wanted, file = listing.files[path], listing.folder / path
            is_long = wanted.size in (-1, sizes[path])
            if not is_long or (wanted.digest and _digest(file, wanted, advance) != wanted.digest):
                _refuse_other(listing, path, is_fresh=path in fresh)
            if folder is not None and wanted.digest:
                with contextlib.suppress(OSError):
                    (folder / wanted.digest).write_text(_mark(file), "utf-8")


def _refuse_other(listing: Listing, path: str, *, is_fresh: bool) -> NoReturn:
    place = (listing.folder / path).resolve()
    if not is_fresh:
        raise ConfigError(
            f"{place} is not the {path} that the hub lists for {listing}, its content has changed "
            f"on this disk: delete it, and it is fetched again"
        )
    place.unlink(missing_ok=True)
    raise Unreachable(
        f"what came for {path} is not what the hub lists for {listing}, and was thrown away: "
        f"{LATER}"
    )


def _is_known(listing: Listing, path: str, folder: Path | None) -> bool:
    """Whether this very file was read for its digest before, and has not been touched since."""
    if folder is None or not listing.files[path].digest:
        return False
    try:
        return (folder / listing.files[path].digest).read_text("utf-8") == _mark(
            listing.folder / path
        )
    except OSError:
        return False


def _mark(file: Path) -> str:
    state = file.stat()
    return f"{file.resolve()} {state.st_size} {state.st_mtime_ns} {state.st_ctime_ns}"


def _digest(file: Path, wanted: HubFile, advance: Callable[[int], None]) -> str:
    """As the listing names content; read piece by piece, so that Ctrl-C ends it at once."""
    is_large = len(wanted.digest) == 64
    total: Any = hashlib.sha256() if is_large else hashlib.sha1(usedforsecurity=False)
    if not is_large:  # Git's own way
        total.update(f"blob {file.stat().st_size}\0".encode())
    with file.open("rb") as opened:
        while piece := opened.read(PIECE):
            total.update(piece)
            advance(len(piece))
    return str(total.hexdigest())
