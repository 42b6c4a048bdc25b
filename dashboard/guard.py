"""Who may ask this server, and what the browser may fetch: nothing outside, for nobody outside."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import front
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocketClose

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
        "font-src 'self' data:; "
        f"script-src 'self' 'unsafe-eval' 'wasm-unsafe-eval' {front.allowed()}; "
        "connect-src 'self' ws: wss:; worker-src 'self' blob:; frame-ancestors 'none'; "
        "base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


class KeptAtHome:
    """Answers only those who call this server by a name of its own, from a page of its own.

    A foreign page may make a browser ask a server on its loopback address: under the server's own
    name, or, once that page's name was pointed there, under that name. Both are refused here,
    before Streamlit would look up this machine's address outside to find out who is asking.
    Every answer tells the browser to fetch nothing from any other host, whatever a page contains.

    Args:
        hosts: names, without port, beside those of the loopback address.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()) -> None:
        self.app = app
        self.hosts = LOOPBACK | {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a stranger; pass others on, and add the headers to the answer."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        if not self._knows(Headers(scope=scope)):
            refusal = WebSocketClose(1008) if scope["type"] == "websocket" else _MISDIRECTED
            await refusal(scope, receive, send_with_headers)
            return
        if scope["type"] == "websocket":
            scope = {**scope, "headers": _from_here(scope["headers"])}
        await self.app(scope, receive, send_with_headers)

    def _knows(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        called = _host(f"//{headers.get('host', '')}")
        return called in self.hosts and (origin is None or _host(origin) in self.hosts)


_MISDIRECTED = PlainTextResponse(
    "This server is known under another name. `lcmis dashboard --allow-host NAME` adds one.", 421
)


def _from_here(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Streamlit knows the loopback address without looking anything up, and other names not."""
    others = [(name, value) for name, value in headers if name != b"origin"]
    return [*others, (b"origin", b"http://localhost")]


def _host(address: str) -> str:
    """The name in an address, in small letters; empty where it has none."""
    try:
        return (urlsplit(address).hostname or "").rstrip(".")
    except ValueError:
        return ""
