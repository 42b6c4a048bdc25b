"""Pages of the dashboard: drawn by Streamlit's AppTest, or served and opened in a browser."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from streamlit.testing.v1 import AppTest

from lcmis.machine.paths import shipped

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

DASHBOARD = shipped("dashboard")
sys.path.insert(0, str(DASHBOARD))

PATIENCE = 180_000
"""Milliseconds; two cores that others use as well."""
STILL = '[data-testid="stApp"][data-test-script-state="notRunning"]'
"""The page, while its script does not run."""


# ── without a browser ────────────────────────────────────────────────────────────────────────────


def opened(folder: Path | str, page: str = "overview", /, **query: str) -> AppTest:
    """A page over a store, as its server draws it."""
    return drawn({"store": str(folder)}, page, **query)


def drawn(secrets: dict[str, Any], page: str, /, **query: str) -> AppTest:
    """A page of a dashboard that was started like this."""
    app = AppTest.from_file(DASHBOARD / "navigation.py", default_timeout=180)
    if page != "overview":
        # Pages are known once the frame was drawn; without a store it draws nothing else.
        app.secrets = {"store": "", "pictures": ""}
        app.run().switch_page(f"views/{page}.py")
    app.secrets = {"pictures": "", **secrets}
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def said(app: AppTest) -> str:
    """All that stands on a page, without the signs that keep it text."""
    boxes = (*app.error, *app.info, *app.warning, *app.success)
    texts = (*app.title, *app.header, *app.markdown, *app.caption)
    return " ".join(unescaped(" ".join(one.value for one in (*boxes, *texts))).split())


def unescaped(shown: str) -> str:
    """What a reader of Markdown sees."""
    return re.sub(r"\\|\N{WORD JOINER}", "", shown)


# ── in a browser ─────────────────────────────────────────────────────────────────────────────────


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a dashboard over a store, on a free port of this machine."""
    with running(DASHBOARD / "app.py", {"LCMIS_STORE": str(folder)}) as url:
        yield url


@contextmanager
def running(script: Path, environment: dict[str, str]) -> Iterator[str]:
    """The address of a script that Streamlit serves on a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.headless", "true"]
    command += ["--server.address", "127.0.0.1", "--server.port", str(port)]
    settings = {**os.environ, **environment, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, env=settings, stdout=subprocess.DEVNULL) as server:
        try:
            awaited(f"{url}/_stcore/health", server)
            yield url
        finally:
            server.terminate()


def awaited(url: str, server: subprocess.Popen[bytes]) -> None:
    """Wait until a server that was just started answers."""
    while server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                if answer.read() == b"ok":
                    return
        except OSError:  # nobody listens yet, or who listens is busy beginning
            continue
    raise AssertionError("the dashboard ended before it answered")


@contextmanager
def started() -> Iterator[Browser]:
    """Chromium, started; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium on this machine")
    with playwright.sync_playwright() as player:
        browser = player.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@contextmanager
def visited(browser: Browser, address: str, **settings: Any) -> Iterator[Page]:
    """A fresh visitor; at the end, nothing foreign may have been asked for."""
    home = (address, address.replace("http", "ws"), "data:", "blob:")
    asked: list[str] = []
    size = {"width": 1400, "height": 1000}
    context = browser.new_context(**{"viewport": size, "base_url": address, **settings})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.on("request", lambda request: asked.append(request.url))
    yield page
    context.close()
    assert [url for url in asked if not url.startswith(home)] == []


def settled(page: Page, heading: str) -> None:
    """Wait for a heading that only the finished page has, and for the script to end."""
    page.get_by_role("heading", name=heading, exact=True).wait_for()
    page.wait_for_selector(STILL)
