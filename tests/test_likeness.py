"""A guide that measures likeness: the paper's loop by CLIPScore, and who may not use it."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from worlds.toys import ToyModel

from lcmis.audit.run import Audit
from lcmis.check import likenesses_of
from lcmis.errors import ConfigError, OutOfBudget
from lcmis.findings.likeness import find_likenesses
from lcmis.plugins.optional import choice_of
from lcmis.plugins.protocols import Case
from lcmis.plugins.settings import (
    AuditSettings,
    CheckerSettings,
    ModelSettings,
    StoppingSettings,
)
from lcmis.repair.evaluate import SEARCH_SEEDS, Bench, Evaluation
from lcmis.repair.methods import ranked
from lcmis.repair.methods.moce import Moce, two_stages
from lcmis.repair.methods.rewrite import Rewrite
from lcmis.repair.search import Repair, RepairSettings
from lcmis.store import Store
from lcmis.testing import Desk, contract_case
from lcmis.types import Answer, Candidate, Concept, ConceptPair, Question, Seen, Side, Stage
from lcmis.workers.studio import Studio

TEACUP_CLIP = Path(__file__).parent.parent / "data" / "teacup" / "teacup-clip"
PAIR = ConceptPair(
    Concept("rubine", "a red one"), Concept("azure", "a blue one"), "rubine beside azure"
)
CASE = dataclasses.replace(contract_case(), num_inference_steps=40, likeness_weight=2.5)


class Scored(Desk):
    """Says by formula how like a picture is to names and descriptions: a, b, a′, b′."""

    def __init__(self, case: Case, cosines: Callable[[Candidate], Sequence[float]]) -> None:
        super().__init__(case, 10_000)
        self._cosines = cosines

    def _seen(self, candidate: Candidate, seed: int) -> tuple[float, ...]:  # type: ignore[override]
        return tuple(self._cosines(candidate))


def probes(desk: Desk) -> list[int]:
    return [round(trial.stages[0].denoising_end * 40) for trial in desk.trials]


def loop(case: Case, cosines: Callable[[Candidate], Sequence[float]]) -> Desk:
    desk = Scored(case, cosines)
    Moce("replicate").repair(case, desk)
    return desk


# ── the published threshold ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("lower", "accepted"), [(0.2881, True), (0.2879, False)], ids=["above", "below"]
)
def test_072_is_25_times_a_cosine_of_0288(lower: float, accepted: bool) -> None:
    """By hand: 2.5 · 0.2881 = 0.72025 > 0.72, and 2.5 · 0.2879 = 0.71975 is not."""
    desk = loop(CASE, lambda candidate: (0.32, lower))
    assert (probes(desk) == [10]) is accepted
    assert accepted or len(desk.trials) > 1


@pytest.mark.parametrize(
    ("apart", "accepted"), [(0.0039, True), (0.0041, False)], ids=["near", "far"]
)
def test_a_distance_of_001_is_a_cosine_distance_of_0004(apart: float, accepted: bool) -> None:
    desk = loop(CASE, lambda candidate: (0.2 + apart, 0.2))
    assert (probes(desk) == [10]) is accepted


def test_the_higher_of_name_and_description_counts_once_both_are_means() -> None:
    """Names of 0.1 are below, descriptions of 0.3 above the threshold."""
    assert probes(loop(CASE, lambda candidate: (0.1, 0.1, 0.3, 0.31))) == [10]
    turns = iter(range(10_000))

    def alternating(candidate: Candidate) -> tuple[float, float, float, float]:
        """Each picture has one text at 0.4: picture by picture 1.0, but both means are 0.5."""
        named, described = (0.4, 0.0) if next(turns) % 2 else (0.0, 0.4)
        return named, 0.4, described, 0.4

    assert len(loop(CASE, alternating).trials) > 1


def test_without_likenesses_the_papers_loop_tries_nothing() -> None:
    case = dataclasses.replace(CASE, likeness_weight=None)
    assert loop(case, lambda candidate: (0.9, 0.9)).trials == []


# ── the step that it ends with ───────────────────────────────────────────────────────────────────


def by_step(scores: dict[int, tuple[float, ...]]) -> Callable[[Candidate], Sequence[float]]:
    """CLIPScores of a tea cup and iced coke by the step at which the prompt switches."""
    return lambda one: [x / 2.5 for x in scores[round(one.stages[0].denoising_end * 40)]]


def ended(desk: Desk, case: Case = CASE) -> int:
    chosen = Moce("replicate").choose(case, desk.trials)
    assert chosen is not None
    return round(chosen.stages[0].denoising_end * 40)


def test_the_loop_ends_with_the_step_that_it_accepts_though_another_is_fitter() -> None:
    desk = loop(CASE, by_step({10: (0.70, 0.66), 6: (0.655, 0.65)}))
    assert probes(desk) == [10, 6]
    assert ranked(desk.trials, CASE.threshold)[0] == desk.trials[0].candidate
    assert ended(desk) == 6


def test_an_exhausted_loop_ends_with_the_highest_weaker_score_of_means() -> None:
    """Picture by picture the weaker concept of step 10 is at 0.2, in the mean it is at 0.5."""
    turns = iter(range(10_000))

    def cosines(one: Candidate) -> tuple[float, float]:
        if round(one.stages[0].denoising_end * 40) != 10:
            return 0.55 / 2.5, 0.4 / 2.5
        return (1.0 / 2.5, 0.2 / 2.5) if next(turns) % 2 else (0.2 / 2.5, 0.8 / 2.5)

    desk = loop(CASE, cosines)
    assert len(probes(desk)) > 2
    assert ranked(desk.trials, CASE.threshold)[0] != desk.trials[0].candidate
    assert ended(desk) == 10
    described = by_step({10: (0.7, 0.5), 6: (0.7, 0.3, 0.0, 0.55), 3: (0.7, 0.4), 2: (0.7, 0.4)})
    desk = loop(CASE, described)
    assert probes(desk) == [10, 6, 3, 2]
    assert ended(desk) == 6


def test_a_probe_that_the_budget_cut_off_is_left_out_unless_it_is_the_only_one() -> None:
    scores = by_step({10: (0.7, 0.5), 6: (0.7, 0.695)})
    for pictures, step in ((100, 10), (48, 10), (128, 6)):
        desk = Scored(CASE, scores)
        desk.pictures = pictures
        with contextlib.suppress(OutOfBudget):
            Moce("replicate").repair(CASE, desk)
        assert ended(desk) == step


def test_where_nothing_was_seen_or_the_guide_decides_the_loop_names_nothing() -> None:
    desk = loop(CASE, by_step({10: (0.7, 0.695)}))
    assert Moce("replicate").choose(CASE, []) is None
    assert Moce("fork").choose(CASE, desk.trials) is None
    assert choice_of(Moce("replicate"), CASE, desk.trials) == desk.trials[0].candidate
    assert choice_of(Rewrite(), CASE, desk.trials) is None


# ── from the guide to the loop ───────────────────────────────────────────────────────────────────


class Likeness:
    """Measures how like a picture is to a text by the length of the text."""

    checker_id = "clipscore:toy@1"
    likeness_weight = 2.5
    decides = False

    def takes(self, question: Question) -> bool:
        return question.kind.value in ("likeness", "relation")

    def score(self, images: Sequence[object], questions: Sequence[Question]) -> list[object]:
        return [(Answer(len(one.text) / 100),) if self.takes(one) else () for one in questions]


def test_an_evaluation_keeps_likenesses_to_name_and_description(tmp_path: Path) -> None:
    model = ToyModel(ModelSettings("toy", scheduler="right"))
    with Store(tmp_path, create=True) as store:
        store.add_pairs([PAIR])
        bench = Bench(Studio(store, 5), model, Likeness(), "moce-replicate", budget=2)
        evaluation = Evaluation(bench, PAIR, lambda activity, spent: None)
        trial = evaluation((Stage(PAIR.prompt),), seeds=SEARCH_SEEDS[:2])
        with pytest.raises(OutOfBudget):
            evaluation((Stage("rubine"),), seeds=SEARCH_SEEDS[:1])
        (kept,) = store.trials(PAIR.key, model.model_id)
        assert store.evidence(Likeness.checker_id)[0].a is None, "likeness is no presence"
    assert trial.seen == tuple(Seen(seed, 0.06, 0.05, 0.09, 0.1) for seed in SEARCH_SEEDS[:2])
    assert kept == trial
    assert (trial.mean(Side.A), trial.mean(Side.B)) == (0.09, 0.1)
    assert trial.fitness == pytest.approx(0.09)
    assert [one.text for one in likenesses_of(PAIR, Side.A)] == ["rubine", "a red one"]


def test_a_trial_without_descriptions_keeps_the_key_it_had() -> None:
    assert dataclasses.asdict(Seen(1, 0.5, None)) == {
        "seed": 1,
        "a": 0.5,
        "b": None,
        "a_described": None,
        "b_described": None,
    }
    candidate = two_stages(CASE, Side.A, 4)
    keys = {candidate.key, dataclasses.replace(candidate).key}
    assert len(keys) == 1


# ── who may guide, and who may decide ────────────────────────────────────────────────────────────


def audit(tmp_path: Path, *checkers: CheckerSettings) -> AuditSettings:
    return AuditSettings(
        models=(ModelSettings("teacup-narrow"),),
        checkers=checkers,
        pairs=("teacup",),
        limit=1,
        store=str(tmp_path),
        stopping=StoppingSettings(rule="fixed", block=1, cap=1),
    )


@pytest.mark.parametrize("kind", ["clipscore", "hps", "pickscore"])
def test_what_tells_no_presence_decides_no_audit(tmp_path: Path, kind: str) -> None:
    asked = audit(tmp_path, CheckerSettings(kind, str(TEACUP_CLIP), device="cpu"))
    with (
        Store(tmp_path, create=True) as store,
        pytest.raises(ConfigError, match="decides nothing: name another checker before it"),
    ):
        Audit(asked, store)


@pytest.mark.parametrize(
    ("method", "guide", "said"),
    [
        ("moce-replicate", "clip", "compares CLIPScores with its threshold, and clip:teacup-clip"),
        ("moce", "clipscore", "measures likeness and cannot tell moce-fork whether"),
        ("rewrite", "hps", "says nothing of single concepts, so it cannot guide"),
    ],
)
def test_a_guide_of_the_wrong_kind_is_refused_before_anything_is_drawn(
    tmp_path: Path, method: str, guide: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Repair, "_failing", lambda self: [])
    asked = audit(
        tmp_path,
        CheckerSettings("teacup-judge", device="cpu"),
        CheckerSettings(guide, str(TEACUP_CLIP), device="cpu"),
    )
    with Store(tmp_path, create=True) as store:
        repair = Repair(asked, store, RepairSettings(method))
        with pytest.raises(ConfigError, match=said):
            repair.run()
        assert store.runs() == []


def test_likenesses_are_asked_in_an_audit_and_no_verdict_rests_on_them(tmp_path: Path) -> None:
    asked = audit(
        tmp_path,
        CheckerSettings("teacup-judge", device="cpu"),
        CheckerSettings("clipscore", str(TEACUP_CLIP), device="cpu"),
    )
    model = dataclasses.replace(asked.models[0], num_inference_steps=2, batch_size=1, device="cpu")
    asked = dataclasses.replace(asked, models=(model,))
    with Store(tmp_path, create=True) as store:
        run = Audit(asked, store)
        result = run.run()
        (found,) = result.models[0].pairs
        likeness = run.checkers[1].checker_id
        (line,) = store.evidence(likeness, model=run.models[0].model_id)
        said = [
            (question.text, score.answer.value)
            for question, score in store.scores(line.spec_key)
            if score.checker == likeness
        ]
        (measured,) = find_likenesses(store, result.models[0].pairs)
    assert (line.a, line.b) == (None, None)
    assert {text for text, _ in said} >= {found.pair.a.name, found.pair.b.name, found.pair.prompt}
    assert all(value is not None and math.isfinite(value) for _, value in said)
    values = dict(said)
    concepts = (found.pair.a, found.pair.b)
    a, b = (2.5 * max(values[one.name], values[one.description]) for one in concepts)
    assert (measured.a, measured.b) == (pytest.approx(a), pytest.approx(b))
    assert measured.difference == pytest.approx(a - b)
    assert (measured.checker, measured.pictures) == (likeness, 1)
