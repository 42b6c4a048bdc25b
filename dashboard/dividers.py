"""Two pictures that lie on each other, with a slider between them: before and after, or two models.

The slider is a range of the browser's own, so that keys and fingers move it too.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

import shots
import streamlit as st
from looks import plain

from lcmis.machine import letters
from lcmis.store import Store
from lcmis.types import Render

LONGEST = 40
"""Letters of a name on a picture."""


def between(
    renders: tuple[Render, Render],
    names: tuple[str, str],
    alts: tuple[str, str],
    stores: Sequence[Store],
) -> None:
    """Draw the first to the left of the slider and the second to the right.

    Where one of them is not there, the other stands alone and a sentence says why.

    Args:
        renders: What was drawn.
        names: A word for each, on the picture.
        alts: What each shows, for those who do not see it.
        stores: Where each lies.
    """
    reasons = [shots.why_none(one, store) for one, store in zip(renders, stores, strict=True)]
    if not any(reasons):
        st.html(markup(renders, names, alts))
        return
    for render, name, alt, store, reason in zip(renders, names, alts, stores, reasons, strict=True):
        if reason:
            st.caption(f"{plain(name)}: {reason}")
        else:
            shots.shot(render, kind="picture", alt=alt, store=store)


def markup(renders: tuple[Render, Render], names: tuple[str, str], alts: tuple[str, str]) -> str:
    """Both pictures and the slider; nothing in any text is read as HTML."""
    first, second = (html.escape(shots.address("picture", one)) for one in renders)
    left, right = (html.escape(letters.visible(name, longest=LONGEST)) for name in names)
    said = [html.escape(letters.visible(alt, longest=shots.LONGEST_ALT)) for alt in alts]
    return (
        f'<div class="lcmis-divider"><img src="{second}" alt="{said[1]}">'
        f'<div class="before"><img src="{first}" alt="{said[0]}"></div><i></i>'
        f'<input type="range" min="0" max="100" value="50" step="2" '
        f'aria-label="How much of {left} is seen, the rest being {right}">'
        f"<span>{left}</span><span>{right}</span></div>"
    )
