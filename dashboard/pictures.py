"""Where the browser gets pictures: by hash or key, not by the websocket, never from elsewhere."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import streamlit as st
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from lcmis.errors import StoreError, UnknownNameError, UserError
from lcmis.store import Store

if TYPE_CHECKING:
    from starlette.requests import Request

THUMBNAIL_SIDE = 320
"""Pixels of the longer side; twice what a card is wide, for dense screens."""

PAUSE_SECONDS = 1.0
"""A browser is busy so long with a page; its cores are ours too."""

_NAME = re.compile(r"[0-9a-f]{64}")
_KEY = re.compile(r"k[0-9]+:[0-9a-f]{32}")
"""Of what was asked for: a table has these at hand, and looking up each would take longer."""
_FOREVER = {"cache-control": "public, max-age=31536000, immutable"}

_DAMAGED = (
    f'<svg xmlns="http://www.w3.org/2000/svg" width="{THUMBNAIL_SIDE}" height="{THUMBNAIL_SIDE}">'
    '<rect width="100%" height="100%" fill="#888"/><text x="50%" y="50%" fill="#fff" '
    'font-family="sans-serif" font-size="24" text-anchor="middle">damaged file</text></svg>'
)
"""Stands where a picture would, which a browser shows whatever the status says."""


def routes(store: str, folder: str = "", beside: Sequence[str] = ()) -> list[Route]:
    """The addresses of whole pictures and of thumbnails, for the store at this place and for
    those that were named to compare with it.
    """

    @functools.cache
    def opened(place: str) -> Store:
        own = folder if folder and place == store else None
        return Store(place, pictures=own, read_only=True)

    def path(name: str) -> Path | None:
        if not (_NAME.fullmatch(name) or _KEY.fullmatch(name)):
            return None
        for place in (store, *beside):
            with contextlib.suppress(StoreError, UnknownNameError):
                here = opened(place)
                sha256 = name if _NAME.fullmatch(name) else here.render(name)[1].sha256
                if sha256 and (found := here.image_path(sha256)).is_file():
                    return found
        return None

    async def whole(request: Request) -> Response:
        found = await run_in_threadpool(path, request.path_params["sha256"])
        if found is None:
            return _not_found()
        return FileResponse(found, media_type="image/webp", headers=_FOREVER)

    async def thumbnail(request: Request) -> Response:
        found = await run_in_threadpool(path, request.path_params["sha256"])
        if found is None:
            return _not_found()
        content = await run_in_threadpool(shrunk, found)
        if content is None:
            return Response(_DAMAGED, 422, {"cache-control": "no-store"}, "image/svg+xml")
        return Response(content, media_type="image/webp", headers=_FOREVER)

    return [Route("/picture/{sha256}.webp", whole), Route("/thumbnail/{sha256}.webp", thumbnail)]


def _not_found() -> Response:
    return PlainTextResponse("There is no such picture.", 404, {"cache-control": "no-store"})


@functools.lru_cache(maxsize=4096)
def shrunk(path: Path) -> bytes | None:
    """A small copy of a picture file (some 15 kB), itself where it is small, None if unreadable."""
    if not path.is_file():
        return None
    try:
        with Image.open(path, formats=["WEBP"]) as picture:
            if max(picture.size) <= THUMBNAIL_SIDE:
                return path.read_bytes()
            picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
            copy = io.BytesIO()
            picture.save(copy, format="WEBP", quality=80, method=0)  # a third of the time
            return copy.getvalue()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


_coming = threading.Timer(0, lambda: None)


def shrink_ahead(store: Store, spec_keys: Sequence[str]) -> None:
    """Make the thumbnails of the page that probably comes next, once this one is drawn.

    Whoever goes on before that changes the plan.
    """
    global _coming
    _coming.cancel()
    _coming = threading.Timer(PAUSE_SECONDS, _shrink_all, (store, spec_keys))
    _coming.daemon = True
    _coming.start()


def _shrink_all(store: Store, spec_keys: Sequence[str]) -> None:
    with contextlib.suppress(UserError):  # whoever opens the page is told
        for _, render in store.renders_of(spec_keys).values():
            if not render.refusal:
                shrunk(store.image_path(render.sha256))


def address(kind: str, name: str) -> str:
    """The URL of a ``"picture"`` or ``"thumbnail"`` by its hash or by the key of what was asked
    for, absolute as Streamlit wants it.
    """
    here = urlsplit(st.context.url or "http://localhost")
    return f"{here.scheme}://{here.netloc}/{kind}/{name}.webp"
