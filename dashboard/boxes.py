"""What detectors found, framed on the picture: each box with its words and its score."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import choices
import facts
import looks
import shots
import streamlit as st

from lcmis.findings import boxes as found_boxes
from lcmis.findings import words
from lcmis.machine import letters
from lcmis.types import Box, Question, QuestionKind, Render, Score

COLOURS = {
    QuestionKind.A_PRESENT: looks.ORANGE,
    QuestionKind.B_PRESENT: looks.SKY,
    QuestionKind.INTRUDER_A: looks.PINK,
    QuestionKind.INTRUDER_B: looks.PINK,
}
"""Black letters are read on each."""


LONGEST = 80
"""Letters of a name that are shown."""


@dataclass(frozen=True)
class ColouredFrame:
    """One box to be drawn."""

    box: Box
    label: str
    colour: str
    is_sure: bool
    """Whether the answer reaches the threshold; else the frame is dashed."""


def shot(
    render: Render,
    said: Sequence[tuple[Question, Score]],
    *,
    alt: str,
) -> None:
    """Draw the picture; where a detector has looked at it, with what it found, if one wants."""
    by_checker = found_boxes.by_detector(said)
    if not by_checker or render.refusal or shots.fault(facts.store(), render):
        shots.shot(render, kind="picture", alt=alt)
        return
    shown = st.toggle("Show what a detector found", value=True, key="boxes")
    names = words.short_names(list(by_checker))
    chosen = next(iter(by_checker))
    if shown and len(by_checker) > 1:
        name = choices.one_of("Detector", list(names.values()), key="detector")
        chosen = next(checker for checker in by_checker if names[checker] == name)
    if not shown:
        shots.shot(render, kind="picture", alt=alt)
        return
    framed = frames(by_checker[chosen], facts.threshold())
    st.html(markup(shots.address("picture", render), framed, alt))
    if not all(frame.is_sure for frame in framed):
        st.caption(
            "A dashed frame is the best one found, but its score does not reach the threshold."
        )


def frames(said: Sequence[tuple[Question, Score]], threshold: float) -> list[ColouredFrame]:
    """The best box of both concepts, and of what won a choice against one of them."""
    return [
        ColouredFrame(one.box, one.label, COLOURS[one.kind], one.is_sure)
        for one in found_boxes.frames(said, threshold)
    ]


def markup(address: str, framed: Sequence[ColouredFrame], alt: str) -> str:
    """The picture with frames over it; nothing in any text is read as HTML."""
    drawn = "".join(_frame(frame) for frame in framed)
    found = ", ".join(frame.label for frame in framed)
    told = _escaped(f"{alt}; found: {found}" if found else alt, 4 * LONGEST)
    return (
        f'<a class="lcmis-shot" href="{html.escape(address)}" target="_blank" '
        'style="position:relative;overflow:hidden">'
        f'<img src="{html.escape(address)}" alt="{told}">{drawn}</a>'
    )


def _frame(frame: ColouredFrame) -> str:
    box = frame.box
    place = (
        f"left:{100 * box.left:.3f}%;top:{100 * box.top:.3f}%;"
        f"width:{100 * (box.right - box.left):.3f}%;height:{100 * (box.bottom - box.top):.3f}%"
    )
    line = "solid" if frame.is_sure else "dashed"
    # At the lower or right edge of the picture its words would hang out of it.
    down = "bottom" if box.top > 0.85 else "top"
    across = "right" if box.left > 0.6 else "left"
    at = f"{down}:0;{across}:0"
    return (
        f'<div class="lcmis-box" style="position:absolute;box-sizing:border-box;{place};'
        f'border:3px {line} {frame.colour}">'
        f'<span style="position:absolute;{at};padding:0 4px;background:{frame.colour};'
        f'color:#000;font:600 13px/18px sans-serif;white-space:nowrap">'
        f"{_escaped(frame.label)}</span></div>"
    )


def _escaped(text: str, longest: int = LONGEST) -> str:
    return html.escape(letters.visible(text, longest=longest))
