"""What each method of repair asks for, step by step, of toys whose answers are formulas."""

from __future__ import annotations

import dataclasses
import json
import random
import re
from collections.abc import Mapping, Sequence

import pytest
from PIL import Image
from scipy import stats
from worlds.searches import CASE, CUP, Formula, Reciter, Scores
from worlds.toys import Scripted

from lcmis.errors import OutOfBudget, TextModelError
from lcmis.plugins import registry
from lcmis.plugins.protocols import Tools
from lcmis.repair.methods import (
    alternating,
    bigpe,
    inversion,
    moce,
    ordered,
    portfolio,
    proxies,
    rewrite,
)
from lcmis.text.prompts import wording
from lcmis.types import Candidate, Concept, ConceptPair, Side, Stage

FIVE = [Candidate((Stage(word),)) for word in ("p", "q", "r", "s", "t")]


def plainly(toy: Formula) -> list[dict[str, list[int]]]:
    """What was asked, batch by batch: each prompt with its seeds."""
    return [{str(candidate): seeds for candidate, seeds in batch} for batch in toy.asked]


# ── evolution ────────────────────────────────────────────────────────────────────────────────────


class Pen:
    """A text model that follows instructions to the letter and makes new ones by adding to them."""

    model_id = "pen@1"
    sees_images = False

    def __init__(self, broken: Sequence[str] = ()) -> None:
        self.broken = broken
        self.asked: list[tuple[str, str]] = []

    def complete(
        self,
        messages: Sequence[dict[str, str]],
        images: Sequence[Image.Image] = (),
        schema: dict[str, object] | None = None,
    ) -> str:
        assert schema is not None
        (answer,) = schema["properties"]
        said = messages[-1]["content"]
        told = said.partition("Instruction: ")[2].splitlines()[0]
        self.asked.append((answer, said))
        if answer in self.broken or f"{answer} of {told}" in self.broken:
            raise TextModelError("no ink")
        match answer:
            case "prompt":
                subject = "two" if "two" in said else "one"
                return json.dumps({"prompt": f"{told} for {subject}"})
            case "pairs":
                found = [{"inference": "so so", "improvement": f"more {n}"} for n in (1, 2, 3)]
                return json.dumps({"pairs": found})
            case "instruction":
                more = re.findall(r"more (\d)", said)[-1]
                return json.dumps({"instruction": f"{told} more {more}"})
        return json.dumps({"instructions": [f"{told} {letter}" for letter in "abc"]})


ONE, TWO = (
    ConceptPair(Concept(f"left {n}"), Concept(f"right {n}"), f"plain {n}") for n in ("one", "two")
)
WORTH = {
    "go for one": 0.1,
    "go for two": 0.3,
    "go a for one": 0.5,
    "go a for two": 0.2,
    "go b for one": 0.0,
    "go b for two": 0.9,
    "go b more 1 for one": 0.8,
    "go b more 1 for two": 0.7,
    "go b more 2 for one": -0.4,
    "go b more 2 for two": 0.6,
    "told so": 0.4,
}


class Drawing:
    """Scores by a table and by the seed; some prompts cannot be read on some seeds."""

    def __init__(self, unread: Mapping[str, Sequence[int]] | None = None, most: int = 999) -> None:
        self.unread, self.most = unread or {}, most
        self.calls: list[list[tuple[str, tuple[int, ...]]]] = []
        self.failures = Formula(lambda *_: (None, None))

    def score(self, asked: Sequence[bigpe.Asked]) -> list[dict[int, float]]:
        if len(self.calls) == self.most:
            raise OutOfBudget("spent")
        self.calls.append([(one.prompt, one.seeds) for one in asked])
        return [
            {
                seed: WORTH.get(one.prompt, 0.0) * (1 + (seed % 2)) + seed / 100
                for seed in one.seeds
                if seed not in self.unread.get(one.prompt, ())
            }
            for one in asked
        ]


def evolved(drawing: Drawing, pen: Pen, seeds: range = range(10, 90), **told: object):
    experts = told.pop("experts", None)
    return bigpe.evolve(
        [ONE, TWO],
        pen,
        drawing.score,
        drawing.failures.attempt,
        seeds,
        instruction="go",
        plan=bigpe.Plan(**{"selector": "greedy", "pictures": 2, "keep": 2} | told),
        experts=experts,
        dice=random.Random(7),
    )


def values(evolution: bigpe.Evolution) -> dict[str, tuple[object, ...]]:
    return {
        one.text: (
            one.parent,
            one.improvement,
            one.value and (round(one.value.gain, 3), round(one.value.error, 3)),
            one.value and (one.value.subjects, one.value.pictures),
        )
        for one in evolution.tried
    }


def kinds(pen: Pen) -> str:
    return " ".join(answer for answer, _ in pen.asked)


def first_seeds(call: list[tuple[str, tuple[int, ...]]]) -> dict[str, int]:
    return {prompt: seeds[0] for prompt, seeds in call}


def test_an_evolution_goes_its_way_and_says_what_each_instruction_gained():
    drawing, pen = Drawing(), Pen()
    found = evolved(drawing, pen, iterations=3, improvements=2)
    assert values(found) == {
        "go": ("", "", (0.3, 0.15), (2, 8)),
        "go a": ("go", "", (0.525, 0.225), (2, 4)),
        "go b": ("go", "", (0.675, 0.675), (2, 8)),
        "go a more 1": ("go a", "more 1", (0.0, 0.0), (2, 4)),
        "go a more 2": ("go a", "more 2", (0.0, 0.0), (2, 4)),
    }
    assert found.kept == (("go",), ("go b", "go a"), ("go b", "go a more 1"))
    assert found.best.text == "go a"
    assert (found.ended, found.first) == ("", found.tried[0])
    reach = stats.t.ppf(0.975, 1) * 0.15
    assert found.first.value is not None
    assert found.first.value.high == pytest.approx(0.3 + reach)
    assert dict(found.first.prompts) == {"plain one": "go for one", "plain two": "go for two"}
    assert [seeds for _, seeds in drawing.calls[0]] == [(10, 11)] * 4
    fresh = {"plain one": 10, "go for one": 10, "plain two": 10, "go for two": 10}
    assert first_seeds(drawing.calls[0]) == fresh
    assert drawing.calls[1] == [
        *((prompt, (12, 13)) for prompt in fresh),
        ("plain one", (10, 11)),
        ("go a for one", (10, 11)),
        ("plain two", (10, 11)),
        ("go a for two", (10, 11)),
        ("go b for one", (10, 11)),
        ("go b for two", (10, 11)),
    ]
    assert kinds(pen) == (
        "prompt prompt instructions prompt prompt prompt prompt pairs instruction instruction "
        "prompt prompt prompt prompt"
    )
    shown = [json.loads(line) for line in pen.asked[7][1].splitlines() if line[0] == "{"]
    assert [tuple(one.values())[3:] for one in shown] == [
        ("go a for one", 0.75, "go a for one", 0.75),
        ("go a for two", 0.3, "go b for two", 1.35),
    ]
    assert "go\ngo a\n" not in pen.asked[2][1]
    assert "Write 2 other" in pen.asked[2][1]
    assert drawing.failures.failures == []


def test_subjects_take_turns_in_batches_and_seeds_move_on_after_each_round():
    drawing = Drawing()
    found = evolved(drawing, Pen(), iterations=4, batch=1, pictures=3, keep=1, improvements=1)
    told = [dict(call) for call in drawing.calls]
    assert told[0] == {"plain one": (10, 11, 12), "go for one": (10, 11, 12)}
    assert told[1]["go for two"] == (10, 11, 12)
    assert told[1]["go a for one"] == (10, 11, 12)
    assert told[2]["go a for two"] == (10, 11, 12)
    assert told[3]["go a for one"] == (13, 14, 15)
    assert found.kept == (("go",), ("go a",), ("go a",), ("go a",))
    short = evolved(Drawing(), Pen(), range(10, 12), iterations=3)
    assert (short.ended, len(short.kept)) == ("there are no more seeds", 1)
    large = Drawing()
    evolved(large, Pen(), iterations=1, batch=9)
    assert len(large.calls[0]) == 4


def test_professional_prompts_are_drawn_once_each_where_their_subject_is():
    experts = {"plain one": ["told so", "told so", "so told"], "plain two": (), "plain six": ["x"]}
    drawing, pen = Drawing({"go for two": [11]}), Pen()
    found = evolved(drawing, pen, iterations=2, improvements=2, experts=experts)
    assert sorted(drawing.calls[0][4:]) == [("so told", (10, 11)), ("told so", (10, 11))]
    assert kinds(pen).startswith("prompt prompt pairs instruction instruction")
    shown = [json.loads(line) for line in pen.asked[2][1].splitlines() if line[0] == "{"]
    assert [tuple(one.values())[3:] for one in shown] == [
        ("go for one", 0.15, "told so", 0.6),
        ("go for two", 0.3, "go for two", 0.3),
    ]
    assert values(found)["go"] == ("", "", (0.275, 0.125), (2, 7))
    assert values(found)["go more 2"][:2] == ("go", "more 2")
    few = Drawing()
    evolved(few, Pen(), iterations=1, experts={"plain one": list("abcdefgh")})
    assert len(few.calls[0]) == 4 + 5


def test_what_is_not_written_gains_nothing_and_every_failure_has_its_name():
    drawing, pen = Drawing({"plain two": [10]}), Pen(("prompt of go", "instructions"))
    found = evolved(drawing, pen, iterations=3)
    assert values(found) == {"go": ("", "", (0.0, 0.0), (2, 11))}
    assert found.tried[0].prompts == ()
    assert found.kept == (("go",),) * 3
    assert drawing.failures.failures == [
        "bigpe's writer: no ink",
        "bigpe's writer: no ink",
        "bigpe's modifier: no ink",
        "bigpe's modifier: no ink",
    ]
    drawing, pen = Drawing(), Pen(("pairs", "prompt of go b"))
    evolved(drawing, pen, iterations=3, improvements=2)
    assert drawing.failures.failures == [
        "bigpe's writer: no ink",
        "bigpe's writer: no ink",
        "bigpe's analyst: no ink",
    ]
    unread = Drawing({prompt: range(99) for prompt in ("plain one", "plain two")})
    (lone,) = evolved(unread, Pen(("instructions",)), iterations=1).tried
    assert lone.value is None


def test_an_evolution_that_is_told_nothing_begins_with_the_neutral_instruction():
    drawing, pen = Drawing(), Pen()
    found = bigpe.evolve(
        [ONE], pen, drawing.score, drawing.failures.attempt, range(999), dice=random.Random(3)
    )
    assert found.first.text == wording("instruction")
    assert (len(found.kept), found.ended) == (10, "")
    assert drawing.calls[0] == [
        ("plain one", (0, 1, 2, 3)),
        (f"{found.first.text} for one", (0, 1, 2, 3)),
    ]
    assert [len(texts) for texts in found.kept[:3]] == [1, 3, 3]
    assert bigpe.Plan() == bigpe.Plan(10, None, 4, 3, "ucb", 0.8, 0.1, 3, 5)


def test_bigpe_repairs_one_pair_on_its_own_seeds_until_they_end():
    worth = {"go for one": 0.4, "go a for one": 0.7}
    toy = Formula(lambda one, _: (worth.get(str(one), 0.2), 0.6), budget=20)
    case = dataclasses.replace(CASE, text_model=Pen(), instruction="go")
    plan = bigpe.Plan(iterations=2, pictures=3, keep=1, improvements=1)
    bigpe.Bigpe(plan).repair(case, toy)
    seeds = [100, 101, 102]
    later = [103, 104, 105]
    assert [[(str(candidate), some) for candidate, some in batch] for batch in toy.asked] == [
        [(CUP.prompt, seeds), ("go for one", seeds)],
        [
            (CUP.prompt, later),
            ("go for one", later),
            (CUP.prompt, seeds),
            ("go a for one", seeds),
        ],
    ]
    spent = Formula(lambda one, _: (0.5, 0.5), budget=5)
    with pytest.raises(OutOfBudget, match=r"^spent$"):
        bigpe.Bigpe(plan).repair(case, spent)
    silent = Formula(lambda one, _: (0.5, 0.5))
    bigpe.Bigpe().repair(CASE, silent)
    assert silent.failures == ["bigpe: bigpe evolves what a text model is told, and none is named"]
    assert silent.asked == []
    dry = Formula(lambda one, _: (0.5, 0.5))
    dumb = dataclasses.replace(case, text_model=Pen(("prompt", "instructions")))
    bigpe.Bigpe(plan).repair(dumb, dry)
    assert dry.failures[0] == "bigpe's writer: no ink"
    with pytest.raises(ValueError, match=r"^nothing to evolve on: an evolution needs a subject$"):
        bigpe.evolve([], Pen(), Drawing().score, dry.attempt, range(9), dice=random.Random(1))


def test_chance_is_the_pairs_own_and_falls_the_same_way_again():
    plan = bigpe.Plan(iterations=9, pictures=1, keep=2, improvements=3, selector="epsilon")
    plan = dataclasses.replace(plan, epsilon=1.0)
    case = dataclasses.replace(CASE, text_model=Pen(), instruction="go")

    def way(pair: ConceptPair) -> list[dict[str, list[int]]]:
        toy = Formula(lambda one, _: (0.1 + len(str(one)) % 7 / 10, 0.9))
        bigpe.Bigpe(plan).repair(dataclasses.replace(case, pair=pair), toy)
        return plainly(toy)

    assert way(CUP) == way(CUP)
    others = [dataclasses.replace(CUP, source=letter, intruders=()) for letter in "ab"]
    assert way(others[0]) == way(others[1])


# ── by inversion ─────────────────────────────────────────────────────────────────────────────────

SQUARE, WIDE = Image.new("RGB", (8, 8)), Image.new("RGB", (16, 8))
TOOLS = Tools(lambda _prompt, _seed: None)


def half_right(candidate: Candidate, seed: int) -> tuple[float, float]:
    return (0.9, 0.9) if seed % 2 else (0.1, 0.9)


def test_what_an_inverter_finds_competes_the_best_first():
    toy = Formula(half_right, tools=TOOLS, reference=SQUARE)
    search = inversion.ByInversion(Reciter(), most=2, seeds=3)
    search.repair(CASE, toy)
    assert plainly(toy) == [
        {"fifth": [100, 101, 102], "fourth": [100, 101, 102]},
        {"fifth": [103, 104, 105]},
    ]
    assert (search.repairer_id, toy.equipped, toy.failures) == ("reciter", [True], [])
    many = Formula(half_right, tools=TOOLS, reference=SQUARE)
    inversion.ByInversion(Reciter()).repair(CASE, many)
    assert list(plainly(many)[0]) == ["fifth", "fourth", "third", "second", "first"]
    assert set(map(tuple, plainly(many)[0].values())) == {(100, 101, 102, 103)}
    torn = Formula(half_right, tools=TOOLS, reference=WIDE)
    inversion.ByInversion(Reciter()).repair(CASE, torn)
    assert list(plainly(torn)[0]) == ["fourth", "third", "second", "first"]
    assert torn.failures == ["reciter: lost the thread"]
    for without in (Formula(half_right, tools=TOOLS), Formula(half_right, reference=SQUARE)):
        inversion.ByInversion(Reciter()).repair(CASE, without)
        assert (without.asked, without.failures) == ([], [])
    assert inversion.ByInversion(Reciter()).most == 8


def test_each_inversion_is_called_by_its_name():
    found = {
        made.__name__: made().repairer_id
        for made in (
            inversion.pez,
            inversion.pez_through_denoiser,
            inversion.editor,
            inversion.arpo,
        )
    }
    assert found == {
        "pez": "pez",
        "pez_through_denoiser": "pez-denoiser-bank",
        "editor": "editor",
        "arpo": "arpo",
    }


# ── the balance of stages ────────────────────────────────────────────────────────────────────────


def switches(toy: Formula, steps: int) -> list[tuple[int, int]]:
    """After how many steps each batch's only candidate switches, and on how many seeds."""
    return [
        (round(candidate.stages[0].denoising_end * steps), len(seeds))
        for batch in toy.asked
        for candidate, seeds in batch
    ]


def constant(a: float, b: float) -> Scores:
    return lambda _candidate, _seed: (a, b)


def test_the_papers_loop_stays_within_its_steps_however_few_there_are():
    for steps, way in (
        (4, [1]),
        (5, [1]),
        (6, [2]),
        (8, [2, 3]),
        (20, [5, 8, 10]),
        (16, [4, 6, 8]),
    ):
        toy = Formula(constant(0.2, 0.4))
        case = dataclasses.replace(CASE, likeness_weight=1.0, num_inference_steps=steps)
        moce.Moce("replicate", pictures=2).repair(case, toy)
        assert [step for step, _ in switches(toy, steps)] == way, steps
    leading = Formula(constant(0.4, 0.2))
    case = dataclasses.replace(CASE, likeness_weight=1.0, num_inference_steps=16)
    moce.Moce("replicate", pictures=2).repair(case, leading)
    assert [step for step, _ in switches(leading, 16)] == [4, 3, 1]


def test_the_papers_loop_accepts_above_its_threshold_and_below_its_distance():
    def probes(a: float, b: float, **told: float) -> int:
        toy = Formula(constant(a, b))
        case = dataclasses.replace(CASE, likeness_weight=1.0)
        moce.Moce("replicate", pictures=2, **told).repair(case, toy)
        return len(toy.asked)

    assert probes(0.9, 0.75, threshold=0.75) > 1
    assert probes(0.9, 0.75, threshold=0.74) == 1
    assert probes(0.75, 0.9, threshold=0.74) == 1
    assert probes(0.5, 0.75, distance=0.25) > 1
    assert probes(0.5, 0.625, distance=0.25) == 1
    assert probes(0.625, 0.5, distance=0.25) == 1
    assert probes(0.73, 0.9) == 1
    assert probes(0.72, 0.9) > 1
    assert probes(0.5, 0.505) == 1
    assert probes(0.5, 0.52) > 1


def test_bisection_keeps_to_whole_steps_also_of_an_odd_number():
    case = dataclasses.replace(CASE, num_inference_steps=41)
    toy = Formula(constant(0.2, 0.4))
    moce.Moce("bisect", first=Side.A).repair(case, toy)
    asked = {candidate.stages[0].denoising_end for batch in toy.asked for candidate, _ in batch}
    assert asked == {step / 41 for step in (5, 10, 14, 17, 19, 20)}
    late = Formula(constant(0.2, 0.4))
    moce.Moce("bisect", first=Side.A).repair(dataclasses.replace(CASE, num_inference_steps=6), late)
    assert [step for step, _ in switches(late, 6)] == [2, 3] * 2, "by its name, then by its looks"


def test_bisection_goes_on_to_later_steps_where_neither_leads():
    toy = Formula(constant(0.4, 0.4))
    moce.Moce("bisect", first=Side.A).repair(CASE, toy)
    assert [step for step, _ in switches(toy, 40)][:6] == [5, 10, 14, 17, 19, 20]


@pytest.mark.parametrize(("batch_size", "seeds"), [(6, 4), (29, 4), (30, 5), (42, 7), (60, 8)])
def test_a_trunk_has_as_many_seeds_as_its_six_branches_fill_a_batch(batch_size, seeds):
    toy = Formula(constant(0.2, 0.4))
    moce.Moce().repair(dataclasses.replace(CASE, batch_size=batch_size, budget=999), toy)
    assert [some for _, some in toy.asked[0]] == [list(range(100, 100 + seeds))] * 6


def test_bisection_ends_where_enough_are_right_and_no_sooner():
    def steps(right: int) -> list[tuple[int, int]]:
        toy = Formula(lambda _one, seed: (0.9, 0.9) if seed < 100 + right else (0.9, 0.1))
        moce.Moce("bisect", first=Side.A, enough=0.75).repair(CASE, toy)
        return switches(toy, 40)

    assert steps(6) == [(5, 8)]
    assert len(steps(5)) > 1


def probe_of(leads: dict[int, list[float]], first: Side = Side.A, **told: object) -> moce._Probe:
    """A probe that has seen these leads, seed by seed."""
    steps = 40

    def scores(candidate: Candidate, seed: int) -> tuple[float | None, float | None]:
        lead = leads[round(candidate.stages[0].denoising_end * steps)][seed - 100]
        lead = lead if first is Side.A else -lead
        return 0.5 + lead / 2, 0.5 - lead / 2

    probe = moce._Probe(dataclasses.replace(CASE, **told), Formula(scores), first, "alone")
    for step, some in leads.items():
        probe.extend([step], len(some))
    return probe


@pytest.mark.parametrize("first", Side)
def test_new_steps_lie_where_the_lead_vanishes(first: Side):
    def around(leads: dict[int, list[float]]) -> list[int]:
        return probe_of(leads, first).around_balance()

    assert around({1: [-0.2] * 2, 12: [0.4] * 2}) == [3, 4]
    assert around({9: [0.2] * 2}) == [3, 2]
    assert around({3: [0.2] * 2}) == [2, 1]
    assert around({4: [-0.2] * 2, 16: [0.4] * 2}) == [8, 7]
    assert around({4: [-0.2] * 3, 16: [0.4] * 3}) == [8]
    assert around({4: [-0.45, -0.1, -0.1], 16: [0.2, 0.2, 0.6]}) == [9, 8]
    assert around({4: [-0.2] * 3, 16: [-0.1] * 3}) == []
    assert around({4: [-0.2] * 3, 5: [0.1] * 3}) == []
    assert around({1: [-0.2] * 3}) == []
    far = {30: [0.3] * 3, 36: [0.9] * 3, 39: [-0.9] * 3}
    near = {2: [-0.9] * 3, 4: [-0.3] * 3, 8: [-0.1] * 3, 20: [0.5] * 3}
    # two steps on either side of the balance tell where it is, and no others
    assert around(near | far) == around({4: near[4], 8: near[8], 20: near[20], 30: far[30]})
    assert around(near) == [10]


def test_the_balance_lies_where_the_leads_contradict_least():
    def later(leads: dict[int, list[float]]) -> tuple[int, bool]:
        probe = probe_of(leads)
        return probe._first_beyond(), probe.balance_is_later()

    assert later({2: [-0.3], 4: [0.1], 8: [-0.4], 12: [0.2]}) == (3, False)
    assert later({2: [-0.3], 4: [0.4], 8: [-0.1], 12: [0.2]}) == (1, False)
    assert later({2: [-0.3], 4: [-0.1]}) == (2, True)
    assert later({2: [0.3], 4: [0.1]}) == (0, False)
    assert later({2: [-0.3], 4: [0.0]}) == (1, False)


def test_a_step_that_was_not_tried_shows_nothing():
    probe = moce._Probe(CASE, Formula(constant(0.9, 0.7)), Side.B, "alone")
    assert (probe.share(7), probe.leads(7), probe.steps) == (0.0, {}, [])
    assert probe.clipscores(7, 0) == (0.0, 0.0)
    assert moce._mean([None]) == 0.0
    assert moce._mean([None, 0.5, 0.25]) == 0.375
    weighed = dataclasses.replace(CASE, likeness_weight=0.5)
    described = moce._Probe(weighed, Formula(constant(0.8, 0.4)), Side.B, "alone")
    assert described.clipscores(3, 2) == pytest.approx((0.2, 0.4))
    assert described.leads(3) == pytest.approx({100: -0.4, 101: -0.4})
    asked = described._evaluate.asked
    described.extend([3, 5], 3)
    assert [(len(batch), batch[0][1]) for batch in asked[1:]] == [(2, [102])]
    assert asked[1][1][1] == [100, 101, 102]
    described.extend([3, 5], 3)
    assert len(asked) == 2


def test_a_lead_is_asked_for_until_it_is_sure_or_the_step_is_right():
    def seeds(leads: Sequence[float], batch_size: int = 16, enough: float = 0.8) -> int:
        toy = Formula(lambda _one, seed: (0.4 + leads[(seed - 100) % len(leads)], 0.4), budget=999)
        probe = moce._Probe(dataclasses.replace(CASE, batch_size=batch_size), toy, Side.A, "alone")
        probe.lead(3, enough)
        return sum(len(some) for batch in toy.asked for _, some in batch)

    assert seeds([0.05]) == 8
    assert seeds([0.0]) == 8
    assert seeds([0.2, -0.2]) == 24
    assert seeds([0.2, -0.2], batch_size=4) == 24
    assert seeds([0.2, -0.2], batch_size=40) == 24
    assert seeds([0.2, 0.2, 0.2, -0.17]) == 16
    assert seeds([0.2, 0.2, 0.2, -0.17], batch_size=8) == 12
    assert seeds([0.2, -0.2], enough=0.0) == 8


def test_a_step_is_found_by_its_share_of_at_least_eight_pictures():
    def found(right: int, wrong: int, enough: float = 0.8) -> bool:
        toy = Formula(lambda _one, seed: (0.9, 0.5) if seed < 100 + right else (0.9, 0.4))
        probe = moce._Probe(CASE, toy, Side.A, "alone")
        probe.extend([3], right + wrong)
        return probe.is_found(enough)

    assert [found(8, 2), found(7, 3), found(8, 0), found(7, 0)] == [True, False, True, False]


# ── baselines, proxies, rewriting ────────────────────────────────────────────────────────────────


def test_every_search_by_halves_begins_with_all_that_it_knows_on_its_first_seeds():
    reply = [("a cup", 10), ("dark tea", 20), (CUP.prompt, 40)]
    stages = [{"prompt": said, "last_step": end} for said, end in reply]
    case = dataclasses.replace(CASE, text_model=Scripted({"stages": stages}))
    for search, every in (
        (rewrite.Rewrite(), rewrite.candidates(case)),
        (proxies.Proxies(), list(proxies.candidates(case))),
        (ordered.Ordered(), ordered.candidates(case)),
        (alternating.Alternating(), alternating.candidates(case)),
    ):
        for seeds in (4, 3):
            toy = Formula(half_right)
            dataclasses.replace(search, seeds=seeds).repair(case, toy)
            assert toy.asked[0] == [(one, list(case.seeds[:seeds])) for one in every]
            assert len(toy.asked[1]) == len(every) // 2
            assert toy.asked[1][0][1] == list(case.seeds[seeds : 2 * seeds])
        assert search.seeds == 4
        assert search.repairer_id == type(search).__name__.lower()
    silent = Formula(half_right)
    proxies.Proxies().repair(CASE, silent)
    assert (silent.asked, silent.failures) == (
        [],
        [
            "stages by a text model: proxies are stages that a text model names, and no model is "
            "named"
        ],
    )


def ends_of(*named: int, steps: int = 12) -> list[tuple[int, ...]]:
    stages = [{"prompt": f"s{end}", "last_step": end} for end in named]
    model = Scripted({"stages": [*stages, {"prompt": CUP.prompt, "last_step": steps}]})
    case = dataclasses.replace(CASE, text_model=model, num_inference_steps=steps)
    found = list(proxies.candidates(case))
    assert all(one.stages[-1] == Stage(CUP.prompt) for one in found)
    prompts = [f"s{end}" for end in named]
    assert all([stage.prompt for stage in one.stages[:-1]] == prompts for one in found)
    return [tuple(round(stage.denoising_end * steps) for stage in one.stages[:-1]) for one in found]


def test_ends_are_shifted_together_and_then_one_by_one_within_the_steps():
    assert ends_of(5) == [(5,), (4,), (6,), (3,), (7,)]
    assert ends_of(1) == [(1,), (2,), (3,)]
    assert ends_of(11) == [(11,), (10,), (9,)]
    assert ends_of(4, 6) == [
        *((4, 6), (3, 5), (5, 7), (2, 4), (6, 8)),
        *((3, 6), (5, 6), (2, 6)),
        *((4, 5), (4, 7), (4, 8)),
    ]
    assert ends_of(2, 11) == [(2, 11), (1, 10), (1, 11), (3, 11), (4, 11), (2, 10), (2, 9)]


def test_rewriting_goes_by_where_a_name_stands_first_and_does_without_names():
    twice = dataclasses.replace(CUP, prompt="a tea cup of iced coke by a tea cup")
    found = [str(one) for one in rewrite.candidates(dataclasses.replace(CASE, pair=twice))]
    assert "iced coke and a tea cup" in found
    assert "dark drink with ice and a small white cup" in found
    nameless = dataclasses.replace(CUP, prompt="coke in a cup", sentences=(), intruders=())
    case = dataclasses.replace(CASE, pair=nameless, intruder="")
    assert [str(one) for one in rewrite.candidates(case)] == [
        "tea cup, coke in a cup",
        "coke in a cup, a small white cup",
        "dark drink with ice and a small white cup",
        "a small white cup, coke in a cup",
        "iced coke and tea cup",
    ]


def test_rewriting_says_both_concepts_in_the_other_order_and_by_their_other_names():
    inside = dataclasses.replace(CUP, prompt="iced coke in a tea cup", sentences=(), intruders=())
    case = dataclasses.replace(CASE, pair=inside, intruder="")
    assert [str(one) for one in rewrite.candidates(case)] == [
        "iced coke in a small white cup",
        "dark drink with ice in a tea cup",
        "dark drink with ice in a small white cup",
        "a tea cup, iced coke in a tea cup",
        "iced coke in a tea cup, a small white cup",
        "a small white cup and dark drink with ice",
        "dark drink with ice in a small white cup, iced coke in a tea cup",
        "iced coke in a teacup",
        "a tea cup and iced coke",
    ]
    deaf = dataclasses.replace(case, intruder="glass", supports_negative_prompt=False)
    assert rewrite.candidates(deaf) == rewrite.candidates(case)


def test_the_order_of_concepts_is_that_of_whole_words() -> None:
    names = {"a": Concept("bread", "a loaf"), "b": Concept("ice", "clear cubes")}
    one = dataclasses.replace(CUP, **names, prompt="a slice of bread on ice", sentences=())
    found = [str(one) for one in rewrite.candidates(dataclasses.replace(CASE, pair=one))]
    assert "ice and bread" in found
    assert "bread and ice" not in found


# ── the portfolio's other tools ──────────────────────────────────────────────────────────────────


class Seeing(Scripted):
    sees_images = True


def opened(**told: object) -> list[str]:
    return [one.inverter_id for one in portfolio._inverters(dataclasses.replace(TOOLS, **told))]


def test_inverters_are_those_whose_tools_are_there():
    encoder, denoiser, writer = object(), object(), object()
    blind, seeing = Scripted(""), Seeing("")
    assert opened() == []
    assert opened(encoder=encoder) == ["pez"]
    assert opened(denoiser=denoiser) == ["pez-denoiser-bank"]
    assert opened(writer=writer) == []
    assert opened(denoiser=denoiser, writer=writer) == ["editor", "pez-denoiser-bank"]
    assert opened(denoiser=denoiser, encoder=encoder) == ["pez-denoiser-bank"]
    assert opened(encoder=encoder, text_model=blind) == ["pez"]
    assert opened(encoder=encoder, text_model=seeing) == ["arpo", "pez"]
    assert opened(text_model=seeing) == []
    every = opened(encoder=encoder, denoiser=denoiser, writer=writer, text_model=seeing)
    assert every == ["editor", "arpo", "pez-denoiser-bank"]


@pytest.fixture
def reciter(monkeypatch: pytest.MonkeyPatch) -> Tools:
    """Tools with which the only inverter there is recites."""
    monkeypatch.setitem(registry.BUILT_IN["inverters"], "pez", "worlds.searches:Reciter")
    return dataclasses.replace(TOOLS, encoder=object())


def test_the_best_three_prompts_of_each_inverter_join_the_best_first(reciter: Tools):
    toy = Formula(half_right, tools=reciter, reference=SQUARE)
    assert [str(one) for one in portfolio.inverted(CASE, toy)] == ["fifth", "fourth", "third"]
    assert toy.equipped == [False, True]
    torn = Formula(half_right, tools=reciter, reference=WIDE)
    assert [str(one) for one in portfolio.inverted(CASE, torn)] == ["fourth", "third", "second"]
    assert torn.failures == ["reciter: lost the thread"]
    for bare in (TOOLS, None):
        without = Formula(half_right, tools=bare, reference=SQUARE)
        assert portfolio.inverted(CASE, without) == []
        assert without.equipped == [False]


def test_stages_are_those_by_rule_and_then_those_that_a_text_model_names():
    toy = Formula(half_right)
    by_rule = portfolio._by_rule(CASE)
    assert portfolio.staged(CASE, toy) == by_rule
    stages = [{"prompt": "a cup", "last_step": 9}, {"prompt": CUP.prompt, "last_step": 40}]
    asked = dataclasses.replace(CASE, text_model=Scripted({"stages": stages}))
    assert portfolio.staged(asked, toy) == [*by_rule, *proxies.candidates(asked)]
    assert toy.failures == []
    dumb = dataclasses.replace(CASE, text_model=Scripted("no"))
    assert portfolio.staged(dumb, toy) == by_rule
    assert toy.failures[0].startswith("stages by a text model: ")
