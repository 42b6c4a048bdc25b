"""How fast the dashboard is in a browser: `python tests/bench/bench_browser.py FOLDER`.

FOLDER is a store, such as bench_dashboard.py makes (100,000 pictures, 1,000,000 scores). The server
and Chromium share this machine's cores, as on a laptop. Times are wall clock, from the action to
the finished page; the memory is the server's.
"""

from __future__ import annotations

import functools
import http.client
import itertools
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import bench_store
import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parent.parent))

from PIL import Image
from playwright.sync_api import Page
from worlds import small_store
from worlds.pages import STILL, served, settled, started, visited

from lcmis.store import Drawn, Store, picture_hash
from lcmis.types import Render

ALL_LOADED = """(count) => {
    const shown = [...document.querySelectorAll('.lcmis-shot img')];
    return shown.length >= count && shown.every((one) => one.complete && one.naturalWidth > 0);
}"""
THUMBNAILS = 60
LOOKS = 2500
"""Milliseconds for which a reader looks at a page, at the least."""
RUNNING = '[data-testid="stApp"][data-test-script-state="running"]'


def timed(
    sentence: str,
    call: Callable[[], object],
    turns: int = 1,
    before: Callable[[], object] = lambda: None,
) -> None:
    """Print how long it took, each time, without what goes ``before``."""
    took = []
    for _ in range(turns):
        before()
        start = time.perf_counter()
        call()
        took.append(time.perf_counter() - start)
    print(f"{sentence:<44}" + "".join(f"{one:7.2f} s" for one in took), flush=True)


def main(folder: Path) -> None:
    """Open the pages as somebody would who looks for what fails."""
    with Store(folder, read_only=True) as store:
        counts = store.counts()
    print(f"{counts.renders:,} pictures, {counts.scores:,} scores")
    with tempfile.TemporaryDirectory() as small, started() as browser:
        small_store.fill(Path(small))
        with served(Path(small)) as address, visited(browser, address) as page:
            timed("Overview of 30 pictures, a new browser", lambda: first_view(page))
            timed("Overview of 30 pictures, again", lambda: first_view(page), 3)
    starting = time.perf_counter()
    with started() as browser, served(folder) as address:
        print(f"{'the server answers after':<44}{time.perf_counter() - starting:7.2f} s")
        server = server_of(address)
        with visited(browser, address) as page:
            timed("Overview, at once, a new browser", lambda: first_view(page))
            timed("Overview, again", lambda: first_view(page), 3)
        with visited(browser, address) as page:
            timed("Overview, another visitor", lambda: first_view(page))
        with visited(browser, address) as page:
            page.goto("/pairs")
            settled(page, "Pairs")
            page.locator("[data-testid=stDataFrame] canvas").first.wait_for()
            page.wait_for_load_state("networkidle")
            words = iter(("vessel 7", "vessel 8", "vessel 9", "vessel 1"))
            timed("Pairs, other words", lambda: filtered(page, next(words)), 4)
        print(f"{'memory of the server':<44}{server.memory_info().rss / 2**20:7.0f} MB")
    with tempfile.TemporaryDirectory() as drawn:
        distinct(Path(drawn))
        with Store(Path(drawn), read_only=True) as store:
            names = [one.render.sha256 for one in store.renders(limit=THUMBNAILS)]
        with started() as browser, served(Path(drawn)) as address:
            timed("60 thumbnails of 512 x 512, one by one", lambda: fetched(address, names), 4)
            with visited(browser, address) as page:
                page.goto("/pair")
                page.wait_for_function(ALL_LOADED, arg=THUMBNAILS)
                looks = functools.partial(page.wait_for_timeout, LOOKS)
                timed("Pair, the next with its 60 pictures", lambda: stepped(page, "j"), 4, looks)
                timed("Pair, back again", lambda: stepped(page, "k"), 4, looks)


def distinct(folder: Path) -> None:
    """A store of six pairs, each with sixty large pictures, all different."""
    dice, numbers = random.Random(0), np.random.default_rng(0)
    pairs = [bench_store.make_pair(number) for number in range(6)]
    models = bench_store.MODELS[:2]
    with Store(folder, create=True) as store:
        store.add_pairs(pairs)
        for pair in pairs:
            questions = bench_store.questions_of(pair)
            for model, seed in itertools.product(models, range(THUMBNAILS // len(models))):
                spec, picture = bench_store.make_spec(pair, model, seed), painted(numbers)
                render = Render(spec.key, picture_hash(picture), 0.5, "cpu")
                store.add_renders([Drawn(pair.key, spec, render, picture)])
                store.add_scores(bench_store.answers(spec, questions, dice), set(questions))


def painted(numbers: np.random.Generator) -> Image.Image:
    """Soft shapes and the grain of a photograph, which costs a file its half megabyte."""
    shapes = Image.fromarray(numbers.integers(0, 255, (24, 24, 3), dtype=np.uint8))
    soft = np.asarray(shapes.resize((512, 512), Image.Resampling.BICUBIC), dtype=float)
    grain = numbers.normal(0, 4, soft.shape)
    return Image.fromarray((soft + grain).clip(0, 255).astype(np.uint8))


def first_view(page: Page) -> None:
    """What a visitor waits for."""
    page.goto("/")
    settled(page, "How often each model paints what was asked")


def filtered(page: Page, words: str) -> None:
    """Other words typed; the page ran and stands still."""
    box = page.get_by_role("textbox").first
    box.fill(words)
    box.press("Enter")
    page.wait_for_selector(RUNNING)
    page.wait_for_selector(STILL)


def stepped(page: Page, key: str) -> None:
    """The next pair by its key, all pictures there."""
    before = page.url
    page.keyboard.press(key)
    page.wait_for_function("(before) => location.href !== before", arg=before)
    page.wait_for_selector(STILL)
    page.wait_for_function(ALL_LOADED, arg=THUMBNAILS)


def fetched(address: str, names: list[str]) -> None:
    """Thumbnails over one connection that is kept open."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"))
    for name in names:
        connection.request("GET", f"/thumbnail/{name}.webp")
        if not connection.getresponse().read():
            raise SystemExit("a thumbnail is empty")
    connection.close()


def server_of(address: str) -> psutil.Process:
    """The process that listens there."""
    port = address.rpartition(":")[2]
    for process in psutil.Process().children(recursive=True):
        if port in process.cmdline():
            return process
    raise SystemExit("the server is not among this process's children")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
