"""The page that every visit begins with: Streamlit's own, with our script and style in it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

FOLDER = Path(__file__).parent
KINDS = {"front.js": "text/javascript", "front.css": "text/css"}
"""What is ours of what a browser loads before anything is drawn."""
_OURS = '<script src="./lcmis/front.js"></script><link rel="stylesheet" href="./lcmis/front.css">'
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_ASKED_ANEW = {"cache-control": "no-cache"}


@lru_cache(maxsize=1)
def markup() -> str:
    """Streamlit's page; our script comes before its own."""
    theirs = Path(st.__file__).with_name("static") / "index.html"
    return theirs.read_text(encoding="utf-8").replace("<head>", f"<head>{_OURS}", 1)


def allowed() -> str:
    """What a content policy must name for the scripts that stand within the page itself."""
    digests = (hashlib.sha256(text.encode()).digest() for text in _INLINE.findall(markup()))
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


def routes(pages: Sequence[str]) -> list[Route]:
    """The addresses of these pages, and of our script and style; the first page stands at the top.

    Streamlit knows its first page by no name, so whoever types one is led there.
    """
    first, *others = pages

    async def page(_request: Request) -> Response:
        return HTMLResponse(markup(), headers=_ASKED_ANEW)

    async def ours(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in KINDS:
            return PlainTextResponse("There is no such file.", 404)
        return FileResponse(FOLDER / name, media_type=KINDS[name], headers=_ASKED_ANEW)

    async def top(request: Request) -> Response:
        return RedirectResponse(f"./?{request.url.query}" if request.url.query else "./")

    return [
        Route("/lcmis/{name}", ours),
        Route(f"/{first}", top),
        *(Route(f"/{name}", page) for name in ("", *others)),
    ]
