"""The dashboard's server: whom it answers, and what a folder's own settings cannot change."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from worlds import pages, small_store

from lcmis.store import Store

OPEN_TO_ALL = """
[server]
enableCORS = false
enableXsrfProtection = false
address = "0.0.0.0"
baseUrlPath = "elsewhere"
enableStaticServing = true
[browser]
serverAddress = "evil.example"
gatherUsageStats = true
"""
SHADOW = "raise SystemExit('a file of the current folder was run')\n"


class Outside(BaseHTTPRequestHandler):
    """A proxy that hands nothing on and remembers what was asked of it."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_error(502)

    do_CONNECT = do_GET  # noqa: N815 (the standard library asks for this name)

    def log_message(self, *_said: object) -> None:
        """Nothing."""


@contextmanager
def outside() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), Outside)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[tuple[int, list[str], Path]]:
    """A dashboard begun as a user does, in a folder whose files would open it to everybody: its
    port, what it asked outside, and its store.
    """
    desk = tmp_path_factory.mktemp("desk")
    small_store.fill(desk / "audit")
    (desk / ".streamlit").mkdir()
    (desk / ".streamlit/config.toml").write_text(OPEN_TO_ALL)
    for name in ("facts.py", "streamlit.py"):
        (desk / name).write_text(SHADOW)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = shutil.which("lcmis", path=str(Path(sys.executable).parent))
    command = [script or "lcmis", "dashboard", "--store", "audit", "--port", str(port)]
    command += ["--allow-host", "audits.example.org"]
    with outside() as proxy:
        to_it = f"http://127.0.0.1:{proxy.server_port}"
        environment = {**os.environ, "http_proxy": to_it, "https_proxy": to_it, "no_proxy": ""}
        environment["PYTHONPATH"] = str(Path(__file__).parents[1])
        with subprocess.Popen(
            command, cwd=desk, env=environment, stdout=subprocess.DEVNULL
        ) as server:
            try:
                pages.awaited(f"http://127.0.0.1:{port}/_stcore/health", server)
                yield port, proxy.asked, desk / "audit"
            finally:
                server.terminate()


def asked(port: int, path: str, **headers: str) -> int:
    """The status of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers={name.title(): text for name, text in headers.items()})
    return connection.getresponse().status


def shaken(port: int, origin: str, host: str = "localhost") -> int:
    """The status of the answer to a browser that wants to speak over a WebSocket."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest("GET", "/_stcore/stream", skip_host=True)
    wanted = {"Host": f"{host}:{port}", "Upgrade": "websocket", "Connection": "Upgrade"}
    wanted |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"}
    for name, text in {**wanted, "Origin": origin}.items():
        connection.putheader(name, text)
    connection.endheaders()
    return connection.getresponse().status


def test_it_answers_under_its_own_names_and_under_those_that_were_allowed(served):
    port, _, _ = served
    own = ("127.0.0.1", f"localhost:{port}", f"LOCALHOST:{port}", "[::1]", "audits.example.org")
    assert [asked(port, "/", host=host) for host in own] == [200] * 5


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8501", "", "[::1", "10.0.0.7"]
)
def test_a_name_that_somebody_pointed_here_gets_neither_page_nor_picture(served, host):
    port, _, folder = served
    with Store(folder, read_only=True) as store:
        shown = next(one.render.sha256 for one in store.renders(limit=9) if not one.render.refusal)
    for kind in ("picture", "thumbnail"):
        assert asked(port, f"/{kind}/{shown}.webp", host="localhost") == 200
        assert asked(port, f"/{kind}/{shown}.webp", host=host) in (400, 421)
    assert asked(port, "/", host=host) in (400, 421)


def test_a_foreign_page_is_refused_whatever_the_folder_says_and_nobody_outside_is_asked(served):
    port, outside, _ = served
    assert shaken(port, f"http://localhost:{port}") == 101
    assert shaken(port, "https://audits.example.org", "audits.example.org") == 101
    for origin in ("http://evil.example", "null", "http://localhost.evil.example", "http://[::1"):
        assert shaken(port, origin) == 403
        assert asked(port, "/", host="localhost", origin=origin) == 421
    assert shaken(port, f"http://localhost:{port}", "evil.example") == 403
    assert outside == []
