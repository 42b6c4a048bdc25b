"""What every test shares: one thread, no hub, and models that are built once."""

import gc
import os
import signal
import sys
from collections.abc import Iterator

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["COLUMNS"] = "120"  # rich reads it once, when the console is made

import pytest
from hypothesis import settings

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as shells have it for what they run behind
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("clockless", deadline=None)  # a busy machine fails no test
settings.load_profile("clockless")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make families` writes what the tests of families found."""
    parser.addoption("--write-families", action="store_true", help="write data/families.toml anew")
    parser.addoption(
        "--every-family", action="store_true", help="try all of each family but those that are slow"
    )


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Two cores fight over tiny models: one thread is up to 75 times faster."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_proved_yet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What was proved of a model is kept in the user's cache: tests have one of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _libraries_are_no_garbage() -> Iterator[None]:
    """Millions of objects of libraries, which every collection of garbage would look through."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toys answer to their names, and nothing was asked of them before."""
    from worlds.toys import ToyChecker, ToyModel, registered

    registered(monkeypatch)
    monkeypatch.setattr(ToyModel, "drawn", [])
    monkeypatch.setattr(ToyModel, "interrupt_at", None)
    monkeypatch.setattr(ToyChecker, "asked", 0)


@pytest.fixture
def lcmis(monkeypatch, capsys):
    """Runs a command in this process: exit code, output, errors."""

    from lcmis import cli

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["lcmis", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out = capsys.readouterr()
        return ended.value.code or 0, out.out, out.err

    return run


# ── pages in a browser ───────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def browser():
    """Chromium, for the tests of one file; they are skipped where there is none."""
    from worlds import pages

    with pages.started() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def address(folder):
    """Where the dashboard shows the file's own ``folder``, which nobody else writes to."""
    from worlds import pages

    with pages.served(folder) as url:
        yield url
