"""The full picture over any page, with what was said of it and a word of one's own.

Every picture that a page draws through :func:`shots.shot`, or as a card of :func:`cards`, opens in
it by a click or Enter; the arrows go through all pictures of the page in their order. A page does
nothing for it but draw its pictures: :func:`install` is called once, round every page. A picture
that shall not open lies in an element with ``data-no-lightbox``.
"""

from __future__ import annotations

import functools
import hashlib
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import facts
import streamlit as st
from starlette.responses import Response
from starlette.routing import Route

from lcmis.machine import letters

if TYPE_CHECKING:
    from starlette.requests import Request

LONGEST = 300
"""Letters of a text beneath a picture."""
LEAST_SIDE, USUAL_SIDE, MOST_SIDE = 80, 180, 640
"""Pixels that a picture of a grid is wide."""
KINDS = {"lightbox.js": "text/javascript", "lightbox.css": "text/css"}
_FOREVER = {"cache-control": "public, max-age=31536000, immutable"}


@dataclass(frozen=True, slots=True)
class Card:
    """A picture in a grid, and what stands beneath it."""

    key: str
    """Of the picture; the lightbox asks for the rest by it."""
    sha256: str
    """Empty where there is no picture."""
    alt: str
    words: tuple[str, ...] = ()
    """Lines beneath it, in plain text; the first is the strongest."""
    colour: str = ""
    """Of the line on its upper edge, that says the first line once more."""
    marks: str = ""
    """Of what people left on it: a star, tags, a speech bubble."""
    instead: str = ""
    """Stands in the place of a picture that cannot be shown."""


def routes() -> list[Route]:
    """Where the browser gets what draws the lightbox."""

    async def part(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in KINDS:
            return Response("There is no such file.", 404)
        return Response(_content(name), media_type=KINDS[name], headers=_FOREVER)

    return [Route("/lightbox/{version}/{name}", part)]


@functools.cache
def _content(name: str) -> bytes:
    return Path(__file__).with_name(name).read_bytes()


@functools.cache
def _version() -> str:
    return hashlib.sha256(b"".join(map(_content, KINDS))).hexdigest()[:12]


def install(*, blind: bool = False) -> None:
    """Bring the lightbox to this page; what it tells is judged as the sidebar chose.

    Args:
        blind: Whether pictures are labelled here: then it shows them, and tells nothing of them.
    """
    judged = urlencode({"checker": facts.checker(), "threshold": facts.threshold()})
    hidden = " data-lcmis-blind" if blind else ""
    st.html(
        f'<span hidden data-lcmis-judge="{html.escape(judged)}"{hidden}></span>'
        f'<script type="module" src="/lightbox/{_version()}/lightbox.js"></script>',
        unsafe_allow_javascript=True,
    )


def fragment(spec_key: str) -> str:
    """What an address of a picture bears at its end, so that the lightbox knows which it is."""
    return f"#{quote(spec_key, safe=':')}" if spec_key else ""


def sizes() -> str:
    """A slider for the size of the pictures of a grid, as HTML: it asks no server."""
    return (
        f'<label class="lcmis-sizes">Size <input type="range" min="{LEAST_SIDE}" '
        f'max="{MOST_SIDE}" step="10" value="{USUAL_SIDE}" data-lcmis-size></label>'
    )


def cards(shown: Sequence[Card], *, question: str = "", rater: str = "") -> str:
    """A grid of pictures as HTML; nothing in any text is read as HTML.

    Args:
        shown: The pictures.
        question: Key of a question that the whole grid answers: then a click gives a picture its
            answer, and :func:`keeper` draws the button that keeps all.
        rater: Who answers.
    """
    every = "".join(map(_card, shown))
    asks = ""
    if question:
        asks = f' data-lcmis-answering="{html.escape(question)}" data-rater="{html.escape(rater)}"'
    return f'<ul class="lcmis-grid" data-side="{USUAL_SIDE}"{asks}>{every}</ul>'


def keeper() -> str:
    """Buttons that answer all that has no answer yet, the one that keeps the answers of a grid, and
    where it says what went wrong, as HTML.
    """
    return (
        '<div class="lcmis-keeper"><button type="button" class="lcmis-rest" data-lcmis-rest="yes">'
        'All others: yes</button><button type="button" class="lcmis-rest" data-lcmis-rest="no">'
        'All others: no</button><button type="button" data-lcmis-keep disabled>No answers yet'
        '</button><span role="status" data-lcmis-told></span></div>'
    )


def _card(card: Card) -> str:
    lines = "".join(f"<span>{_escaped(line)}</span>" for line in card.words if line)
    if card.instead:
        drawn = f'<span class="lcmis-none">{_escaped(card.instead)}</span>'
    else:
        drawn = (
            f'<img alt="" decoding="async" data-name="{card.sha256}" '
            f'src="/thumbnail/{card.sha256}.webp">'
        )
    return (
        f'<li><button type="button" class="lcmis-card" data-picture="{html.escape(card.key)}" '
        f'data-sha="{html.escape(card.sha256)}" aria-label="{_escaped(card.alt)}" '
        f'style="--verdict:{card.colour or "transparent"}">'
        f'{drawn}<span class="lcmis-lines">{lines}'
        f'<span class="lcmis-marks">{_escaped(card.marks)}</span></span></button></li>'
    )


def _escaped(text: str) -> str:
    return html.escape(letters.visible(text, longest=LONGEST))
