"""The small store with repairs: one that passed, one that did not, one that only its guide saw."""

from __future__ import annotations

from pathlib import Path

from lcmis.store import Drawn, Store, picture_hash
from lcmis.types import (
    Candidate,
    ConceptPair,
    Label,
    Nomination,
    QuestionKind,
    Render,
    RenderSpec,
    Seen,
    Stage,
    Trial,
)
from worlds import small_store
from worlds.small_store import BROAD, COKE, JUDGE, NARROW, ROSES, SECOND

SHOUT = "a **tea cup** <img src=//evil.example/x.png> of iced coke \u202eekoc"
BETTER = Candidate((Stage("a small cup", 0.4), Stage(SHOUT)))
WORSE = Candidate((Stage("roses, a pot"),), "vase")
PASSED = Nomination(COKE.key, BROAD, "moce", SECOND, BETTER, 24, 12, "found")
FAILED = Nomination(ROSES.key, BROAD, "rewrite", SECOND, WORSE, 24, 24, "out of pictures")
OWN_GUIDE = Nomination(COKE.key, BROAD, "bigpe", JUDGE, WORSE, 24, 24, "out of pictures")

# One picture a seed: on the plain and on the repaired prompt, the letters of small_store.
PROOFS = {
    (PASSED, BROAD): ("+ggggggg", "g+++++++"),
    (PASSED, NARROW): ("++++", "++++"),
    (FAILED, BROAD): ("++r+", "b+++"),
}


def fill(folder: Path) -> Path:
    """Make it."""
    small_store.fill(folder)
    with Store(folder) as store:
        for nomination in (PASSED, FAILED, OWN_GUIDE):
            _search(store, nomination)
            store.add_nomination(nomination)
        for (nomination, model), (before, after) in PROOFS.items():
            pair = store.pair(nomination.pair)
            for place, kinds in enumerate(zip(before, after, strict=True)):
                seed = nomination.fresh_seeds[place]
                _add(store, pair, small_store.make_spec(pair, model, seed), kinds[0])
                _add(store, pair, _repaired(pair, model, seed, nomination.candidate), kinds[1])
    return folder


def _repaired(pair: ConceptPair, model: str, seed: int, candidate: Candidate) -> RenderSpec:
    plain = small_store.make_spec(pair, model, seed, *candidate.stages)
    settings = {name: getattr(plain, name) for name in RenderSpec.__slots__}
    return RenderSpec(**settings | {"negative_prompt": candidate.negative_prompt})


def _search(store: Store, nomination: Nomination) -> None:
    plain = Candidate((Stage("plain"),))
    for candidate, scores in (
        (plain, (0.1, 0.2, 0.1)),
        (nomination.candidate, (0.9, None, 0.8)),
    ):
        seen = tuple(Seen(2**31 + place, a, 0.9) for place, a in enumerate(scores))
        store.add_trial(
            Trial(
                nomination.pair,
                nomination.model,
                nomination.repairer,
                nomination.guide,
                candidate,
                seen,
            )
        )


def _add(store: Store, pair: ConceptPair, spec: RenderSpec, kind: str) -> None:
    picture = small_store.make_picture(spec.seed % 97)
    refused = kind == "r"
    render = Render(
        spec.key,
        "" if refused else picture_hash(picture),
        0.1,
        "cpu",
        "unsafe, says the filter" if refused else "",
    )
    store.add_renders([Drawn(pair.key, spec, render, None if refused else picture)])
    if not refused:
        scores = small_store.answers(pair, kind, JUDGE, spec.key)
        store.add_scores(scores, small_store.questions_of(pair))


def label(folder: Path, answer: str = "yes") -> None:
    """A person says of the first pictures whether the things are there."""
    asked = [
        question
        for question in small_store.questions_of(COKE)
        if question.kind in (QuestionKind.A_PRESENT, QuestionKind.B_PRESENT)
    ]
    with Store(folder) as store:
        store.add_labels(
            [
                Label(
                    small_store.make_spec(COKE, BROAD, seed).key,
                    question.key,
                    answer if question.kind is QuestionKind.B_PRESENT else "no",
                    "anna",
                    f"2026-11-21T03:00:{seed:02d}Z",
                )
                for seed in range(6)
                for question in asked
            ]
        )
