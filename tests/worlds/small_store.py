"""A store small enough to know by heart, for tests of what is shown of it."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image, ImageDraw

from lcmis.store import Drawn, Store, picture_hash
from lcmis.types import (
    NONE_OF_THESE,
    Answer,
    Concept,
    ConceptPair,
    Failure,
    Intruder,
    Question,
    QuestionKind,
    Render,
    RenderSpec,
    Run,
    Score,
    Side,
    Stage,
)

BROAD, NARROW = "broad@1111111aaaa", "narrow@2222222bbbb"
JUDGE, SECOND = "vqa:judge@3333333cccc", "clip:second@4444444dddd"
HOSTILE = "tea ![x](http://evil.example/x.png) [y](http://evil.example) <img src=//evil.example>"
SETTINGS = {
    "models": [{"name": "narrow"}, {"name": "broad"}],
    "pairs": ["mine.toml"],
    "threshold": 0.5,
    "checkers": [{"kind": "vqa", "name": "judge"}, {"kind": "clip", "name": "second"}],
    "stopping": {
        "rule": "sprt",
        "threshold": 0.5,
        "delta": 0.18,
        "alpha": 0.05,
        "beta": 0.05,
        "block": 4,
        "cap": 20,
    },
}


def make_pair(
    a: str, b: str, *suspects: str, pattern: str = "drink and wrong vessel"
) -> ConceptPair:
    """A pair whose first concept has suspects."""
    intruders = tuple(Intruder(Concept(s), Side.A, f"a {s} of {b}") for s in suspects)
    return ConceptPair(
        Concept(a, "a small cup"), Concept(b), f"a {a} of {b}", intruders=intruders, pattern=pattern
    )


COKE = make_pair("tea cup", "iced coke", "glass", "mug")
ROSES = make_pair("pot", "roses", "vase", pattern="plant and wrong vessel")
STRANGE = make_pair("bucket", HOSTILE, "cup", pattern="![x](http://evil.example/p.png)")
UNSEEN = make_pair("bowl", "ink", "inkwell")

# For each model and pair, one picture a character: both there, no a (and which suspect), no b,
# neither, unscored, refused.
PICTURES = {
    (BROAD, COKE): "ggggmg-u",
    (BROAD, ROSES): "++++++b+",
    (BROAD, STRANGE): "guor",
    (NARROW, COKE): "g+g+",
    (NARROW, ROSES): "rrrr",
}
SAID: dict[str, tuple[float | None, float | None, str]] = {
    "+": (0.9, 0.8, "asked"),
    "g": (0.1, 0.9, "first"),
    "m": (0.2, 0.7, "second"),
    "-": (0.3, 0.9, "none"),
    "b": (0.8, 0.2, "asked"),
    "o": (0.1, 0.1, "first"),
    "u": (None, 0.9, "asked"),
}


def questions_of(pair: ConceptPair) -> tuple[Question, Question, Question, Question]:
    """Both presences, the relation and what stands in the place of the first concept."""
    options = (pair.a.name, *(i.concept.name for i in pair.intruders), NONE_OF_THESE)
    return (
        Question(QuestionKind.A_PRESENT, pair.a.name),
        Question(QuestionKind.B_PRESENT, pair.b.name),
        Question(QuestionKind.RELATION, pair.prompt),
        Question(QuestionKind.INTRUDER_A, pair.prompt, options),
    )


def make_spec(pair: ConceptPair, model: str, seed: int, *stages: Stage) -> RenderSpec:
    """A picture of a pair, plainly prompted unless stages are given."""
    return RenderSpec(
        model, stages or (Stage(pair.prompt),), seed, 20, 7.5, "Euler", 48, 64, "cpu-float32-b4"
    )


def make_picture(seed: int) -> Image.Image:
    """A picture of its own for every seed."""
    picture = Image.new("RGB", (64, 48), (30 * seed % 256, 90, 160))
    ImageDraw.Draw(picture).ellipse((8 + seed, 8, 40 + seed, 40), fill=(240, 228, 66))
    return picture


def answers(pair: ConceptPair, kind: str, checker: str, spec_key: str) -> list[Score]:
    """What a checker says of one picture."""
    a, b, chosen = SAID[kind]
    present_a, present_b, relation, intruder = questions_of(pair)
    names = [i.concept.name for i in pair.intruders]
    favourite = {
        "asked": pair.a.name,
        "first": names[0],
        "second": names[-1],
        "none": NONE_OF_THESE,
    }[chosen]

    def score(question: Question, answer: Answer) -> Score:
        return Score(spec_key, checker, question.key, answer)

    return [
        score(present_a, Answer(None, reason="no answer") if a is None else Answer(a)),
        score(present_b, Answer(b, mass=0.97)),
        score(relation, Answer(0.5)),
        *(
            score(intruder, Answer(0.7 if option == favourite else 0.1, option))
            for option in intruder.options
        ),
    ]


def fill(folder: Path, *, scored: bool = True, runs: bool = True) -> Path:
    """Make the store; ``scored`` and ``runs`` say whether checkers and audits left a trace."""
    with Store(folder, create=True) as store:
        if runs:
            versions = json.dumps({"lcmis": "0.1.0", "torch": "2.15.0"})
            settings = json.dumps(SETTINGS)
            store.add_run(
                Run("r1", "2026-11-21T02:00:00Z", "lcmis audit", settings, versions, "67a3", "cpu")
            )
        store.add_pairs([COKE, ROSES, STRANGE, UNSEEN])
        for (model, pair), kinds in PICTURES.items():
            for seed, kind in enumerate(kinds):
                add(store, pair, make_spec(pair, model, seed), kind, scored=scored)
        repair = make_spec(COKE, BROAD, 0, Stage("a tea cup", 0.5), Stage(COKE.prompt))
        control = make_spec(COKE, "control@blank", 0)
        for spec in (repair, control):
            add(store, COKE, spec, "+", scored=scored)
        store.add_failure(Failure("k1:00", "render", HOSTILE, "2026-11-21T02:01:00Z"))
    return folder


def add(store: Store, pair: ConceptPair, spec: RenderSpec, kind: str, *, scored: bool) -> None:
    """One picture and what is said of it."""
    picture = make_picture(spec.seed)
    if kind == "r":
        render = Render(spec.key, "", 0.1, "cpu", "unsafe, says the filter")
        store.add_renders([Drawn(pair.key, spec, render, None)])
        return
    render = Render(spec.key, picture_hash(picture), 0.1, "cpu")
    store.add_renders([Drawn(pair.key, spec, render, picture)])
    if scored:
        for checker in (JUDGE, SECOND):
            store.add_scores(answers(pair, kind, checker, spec.key), questions_of(pair))
