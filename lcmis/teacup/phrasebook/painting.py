"""How a picture of the world is painted in stages: the vessel, its usual partner, then the pair."""

from __future__ import annotations

import json
from itertools import pairwise

from lcmis.errors import TextModelError
from lcmis.teacup.concepts import FAMILIES
from lcmis.teacup.phrasebook.asked import TemplateRead
from lcmis.teacup.phrasebook.wordings import holds, pair
from lcmis.teacup.world import noun_phrase, prompt_of


def stages(asked: TemplateRead) -> str:
    """The vessel alone, the vessel as it is most often seen, and the whole prompt.

    Partners are usual along the diagonal of a family's table. Which steps is a rule of thumb: a
    sixth of them, then a quarter.

    Raises:
        TextModelError: fewer than four steps.
    """
    steps = int(asked.filled["count"])
    if steps < 4:
        raise TextModelError(f"the phrasebook cannot split {steps} steps into stages")
    a, b = pair(asked.filled["a"], asked.filled["b"])
    vessel = a if holds(a) else b
    family = next(one for one in FAMILIES.values() if vessel in one.first)
    usual = family.second[family.first.index(vessel)]
    prompts = [noun_phrase(vessel.name), prompt_of(family.name, vessel.name, usual.name)]
    ends = [max(1, round(steps / 6)), max(2, round(steps / 4)), steps]
    whole = [*prompts, asked.filled["prompt"]]
    said = [
        {"prompt": prompt, "last_step": end}
        for (prompt, after), end in zip(pairwise([*whole, ""]), ends, strict=True)
        if prompt != after
    ]
    return json.dumps({"stages": said})
