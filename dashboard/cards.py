"""A judged picture as a card of a grid: what it shows, of which prompt, in a verdict's colour."""

from __future__ import annotations

from typing import Any

import choosing
import facts
import lightbox
import looks
import shots

from lcmis.findings import words
from lcmis.types import ConceptPair, Render, Verdict

COLOURS = {
    Verdict.ALIGNED: looks.GREEN,
    Verdict.A_MISSING: looks.ORANGE,
    Verdict.B_MISSING: looks.ORANGE,
    Verdict.BOTH_MISSING: looks.VERMILLION,
    Verdict.UNSCORED: looks.GREY,
    Verdict.REFUSED: looks.PINK,
}


def card(
    picture: Any, pair: ConceptPair, render: Render, where: str, marks: str = ""
) -> lightbox.Card:
    """The card of a row of :func:`facts.grid_pictures`.

    Args:
        picture: The row, as ``itertuples`` gives it.
        pair: That it was drawn for.
        render: Its file.
        where: The last line beneath it: by which model, with which seed.
        marks: What people left on it.
    """
    verdict = Verdict(picture.verdict)
    told = words.verdict(verdict, pair)
    for side in choosing.lacking(verdict):
        name = getattr(picture, f"intruder_{side.value}")
        if isinstance(name, str) and words.names_somebody(name, pair.concept(side).name):
            told += f", {name} instead"
    fault = f"Refused by the model: {render.refusal}" if render.refusal else ""
    return lightbox.Card(
        key=picture.spec_key,
        sha256=render.sha256,
        alt=f"{pair.prompt}, {where}: {told}",
        words=(told, pair.prompt, where),
        colour=COLOURS[verdict],
        marks=marks,
        instead=fault or shots.fault(facts.store(), render, pixels=False),
    )
