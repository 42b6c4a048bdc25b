"""How fast the dashboard is in a browser: `python tests/bench/bench_browser.py FOLDER`.

FOLDER is a store, such as bench_dashboard.py makes (100,000 pictures, 1,000,000 scores). The server
and Chromium share this machine's cores, as on a laptop. Times are wall clock, from the action to
the finished page; the memory is the server's.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent))

from pages import STILL, served, settled, started, visited
from playwright.sync_api import Page

from lcmis.store import Store

ALL_LOADED = """() => {
    const shown = [...document.querySelectorAll('[data-testid="stImage"] img')];
    return shown.length >= %d && shown.every((one) => one.complete && one.naturalWidth > 0);
}"""
RUNNING = '[data-testid="stApp"][data-test-script-state="running"]'


def timed(sentence: str, call: Callable[[], object], turns: int = 1) -> None:
    """Print how long it took, each time."""
    took = []
    for _ in range(turns):
        start = time.perf_counter()
        call()
        took.append(time.perf_counter() - start)
    print(f"{sentence:<44}" + "".join(f"{one:7.2f} s" for one in took), flush=True)


def main(folder: Path) -> None:
    """Open the pages as somebody would who looks for what fails."""
    with Store(folder, read_only=True) as store:
        counts = store.counts()
        pair = store.pairs()[0].key
    print(f"{counts.renders:,} pictures, {counts.scores:,} scores")
    starting = time.perf_counter()
    with served(folder) as address, started() as browser:
        print(f"{'the server answers after':<44}{time.perf_counter() - starting:7.2f} s")
        server = server_of(address)
        with visited(browser, address) as page:

            def overview() -> None:
                page.goto("/")
                settled(page, "How often each model paints what was asked")

            timed("Overview, the first visitor of all", overview)
            timed("Overview, again", overview, 3)
        with visited(browser, address) as page:
            timed("Overview, another visitor", lambda: first_view(page))
        with visited(browser, address) as page:
            page.goto("/pairs")
            settled(page, "Pairs")
            words = iter(("vessel 7", "vessel 8", "vessel 9", "vessel 1"))
            timed("Pairs, other words", lambda: filtered(page, next(words)), 4)
        with visited(browser, address) as page:
            timed("Pair with its thumbnails, first", lambda: thumbnails(page, pair))
            timed("Pair with its thumbnails, again", lambda: thumbnails(page, pair), 3)
        print(f"{'memory of the server':<44}{server.memory_info().rss / 2**20:7.0f} MB")


def first_view(page: Page) -> None:
    """What a new visitor waits for."""
    page.goto("/")
    settled(page, "How often each model paints what was asked")


def filtered(page: Page, words: str) -> None:
    """Other words typed; the page ran and stands still."""
    box = page.get_by_role("textbox").first
    box.fill(words)
    box.press("Enter")
    page.wait_for_selector(RUNNING)
    page.wait_for_selector(STILL)


def thumbnails(page: Page, pair: str) -> None:
    """All pictures of the page are there."""
    page.goto(f"/pair?pair={pair}")
    page.wait_for_function(ALL_LOADED % 20)
    page.wait_for_selector(STILL)


def server_of(address: str) -> psutil.Process:
    """The process that listens there."""
    port = address.rpartition(":")[2]
    for process in psutil.Process().children(recursive=True):
        if port in process.cmdline():
            return process
    raise SystemExit("the server is not among this process's children")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
