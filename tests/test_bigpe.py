"""BIGPE: the search on toys with known answers, its questions, its files, its harness."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from worlds.threads import Threads, make_one_sick
from worlds.toys import COLOURS, Scripted, audited, pair

from lcmis.cli.terminal.evolution import print_evolved
from lcmis.errors import ConfigError, ItemError, OutOfBudget, ProposalError, TextModelError
from lcmis.plugins import registry
from lcmis.plugins.settings import CheckerSettings, TextModelSettings, WorkersSettings
from lcmis.repair.evaluate import SEARCH_SEEDS
from lcmis.repair.evolve import (
    Evolve,
    EvolveSettings,
    fresh_seeds,
    read_experts,
    read_instruction,
    write_instruction,
)
from lcmis.repair.methods.bigpe import (
    SELECTORS,
    Asked,
    Bigpe,
    InstructionStanding,
    Plan,
    epsilon_greedy,
    evolve,
    greedy,
    ucb,
    value,
)
from lcmis.repair.search import Repair, RepairSettings
from lcmis.store import Store
from lcmis.teacup.pairs import pairs
from lcmis.teacup.phrasebook import Phrasebook
from lcmis.teacup.phrasebook.instructions import CLAUSES, read, written
from lcmis.text import asking
from lcmis.types import Concept, ConceptPair

PAIRS = pairs()
TEA = next(one for one in PAIRS if (one.a.name, one.b.name) == ("tea cup", "iced coke"))
BOOT = next(one for one in PAIRS if one.a.name == "boot")
SUBJECTS = [
    ConceptPair(Concept(f"left {n}"), Concept(f"right {n}"), f"subject {n}") for n in range(4)
]


class Ladder:
    """A text model whose instructions are ``level N``; every new one is a level higher."""

    model_id = "ladder@1"
    sees_images = False

    def __init__(self, broken: tuple[str, ...] = ()) -> None:
        self.broken = broken
        self.asked: list[str] = []
        self.questions: list[str] = []

    def complete(self, messages, images=(), schema=None) -> str:
        (answer,) = schema["properties"]
        self.asked.append(answer)
        self.questions.append(messages[-1]["content"])
        if answer in self.broken:
            raise TextModelError("it would rather not say")
        said = messages[-1]["content"]
        level = int(said.partition("Instruction: level ")[2].split()[0])
        if answer == "prompt":
            return json.dumps({"prompt": f"level {level}"})
        if answer == "pairs":
            return json.dumps({"pairs": [{"inference": "too low", "improvement": "go higher"}]})
        if answer == "instruction":
            return json.dumps({"instruction": f"level {level + 10}"})
        tried = [int(line[6:]) for line in said.splitlines() if line.startswith("level ")]
        return json.dumps({"instructions": [f"level {max(tried) + n}" for n in (1, 2, 3)]})


class World:
    """Scores with known parts: how hard the subject is, luck of the seed, a tenth per level."""

    def __init__(self, most: float = math.inf, unreadable: str = "none is") -> None:
        self.asked: list[Asked] = []
        self.calls: list[list[Asked]] = []
        self.failures: list[str] = []
        self.most = most
        self.unreadable = unreadable

    def score(self, asked):
        if len(self.asked) + len(asked) > self.most:
            raise OutOfBudget("the pictures are spent")
        self.asked += asked
        self.calls.append(list(asked))
        return [self._scores(one) for one in asked]

    def _scores(self, one: Asked) -> dict[int, float]:
        if one.prompt == self.unreadable:
            return {}
        kind, _, number = one.prompt.partition(" ")
        level = int(number) if kind == "level" else 0
        hard = 3.0 * int(one.subject.prompt[-1])
        return {seed: 0.1 * level - hard + random.Random(seed).gauss(0, 5) for seed in one.seeds}

    def attempt(self, what, source):
        found = []
        try:
            for item in source():
                found.append(item)
        except ItemError as error:
            self.failures.append(f"{what}: {error}")
        return found


def run(world: World, model: Ladder, **settings):
    experts = settings.pop("experts", None)
    return evolve(
        SUBJECTS,
        model,
        world.score,
        world.attempt,
        range(1000),
        instruction="level 0",
        plan=Plan(**settings),
        experts=experts,
        dice=random.Random(1),
    )


# ── the search ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("selector", SELECTORS)
def test_a_gain_is_known_exactly_however_hard_the_subjects_and_lucky_the_seeds(selector):
    evolution = run(World(), Ladder(), iterations=6, selector=selector)
    assert len(evolution.tried) > 6
    for one in evolution.tried:
        if one.value is not None:
            assert one.value.gain == pytest.approx(0.1 * int(one.text[6:]), abs=1e-9)
            assert one.value.error == pytest.approx(0, abs=1e-9)
    assert evolution.first.text == "level 0"
    values = {one.text: one.value.gain for one in evolution.tried if one.value}
    assert evolution.best.text == max(values, key=values.__getitem__)


def test_the_nth_evaluation_of_every_instruction_is_on_the_same_subjects_and_seeds():
    world = World()
    run(world, Ladder(), iterations=5, batch=3, pictures=2)
    by_prompt: dict[str, list[tuple[str, tuple[int, ...]]]] = {}
    for one in world.asked:
        if one.prompt.startswith("level"):
            by_prompt.setdefault(one.prompt, []).append((one.subject.prompt, one.seeds))
    longest = max(by_prompt.values(), key=len)
    assert longest[:4] == [
        ("subject 0", (0, 1)),
        ("subject 1", (0, 1)),
        ("subject 2", (0, 1)),
        ("subject 3", (0, 1)),
    ]
    assert longest[4] == ("subject 0", (2, 3))
    assert all(cells == longest[: len(cells)] for cells in by_prompt.values())


def test_who_is_the_best_already_is_varied_and_who_is_not_is_analysed():
    model = Ladder()
    run(World(), model, iterations=3)
    others = [name for name in model.asked if name != "prompt"]
    assert others == ["instructions", "pairs", "instruction"]
    analysed = model.questions[model.asked.index("pairs")]
    shown = [json.loads(line) for line in analysed.splitlines() if line.startswith("{")]
    assert {(one["written"], one["best"]) for one in shown} == {("level 1", "level 3")}
    assert [one["gain"] for one in shown] == [0.1] * 4
    assert [one["best gain"] for one in shown] == [0.3] * 4


def test_professional_prompts_join_the_pool_and_the_first_instruction_is_held_against_them():
    model, world = Ladder(), World()
    experts = {"subject 2": [f"level {n}" for n in range(50, 60)], "subject 9": ["level 99"]}
    evolution = run(world, model, iterations=2, experts=experts)
    drawn = {one.prompt for one in world.asked if one.subject is SUBJECTS[2]}
    first = world.calls[0]
    assert sum(one.prompt.startswith("level 5") for one in first) == 5
    assert "level 99" not in drawn
    assert [name for name in model.asked if name != "prompt"] == ["pairs", "instruction"]
    assert evolution.best.text == "level 10"
    assert evolution.best.parent == "level 0"
    assert evolution.best.improvement == "go higher"


def test_the_weakest_of_those_kept_goes_and_never_the_last_one():
    evolution = run(World(), Ladder(), iterations=4)
    assert evolution.kept[0] == ("level 0",)
    assert evolution.kept[1] == ("level 3", "level 2", "level 1")
    assert "level 1" not in evolution.kept[2]
    assert all(len(kept) <= 3 for kept in evolution.kept)


@pytest.mark.parametrize("broken", ["prompt", "pairs", "instruction", "instructions"])
def test_an_agent_that_fails_is_recorded_and_the_search_goes_on(broken):
    world = World()
    experts = {"subject 1": ["level 70"]}
    evolution = run(world, Ladder((broken,)), iterations=4, experts=experts)
    assert len(evolution.kept) == 4
    agent = {"prompt": "writer", "pairs": "analyst"}.get(broken, "modifier")
    assert any(agent in failure for failure in world.failures) or broken == "instructions"
    if broken == "prompt":
        assert evolution.best is evolution.first
        assert evolution.first.value.gain == 0
    else:
        assert evolution.best.value.gain > 0


def test_a_budget_that_ends_leaves_the_best_so_far():
    evolution = run(World(most=60), Ladder(), iterations=10)
    assert evolution.ended == "the pictures are spent"
    assert evolution.best.value.gain > 0
    assert 1 <= len(evolution.kept) < 10


def test_a_prompt_that_cannot_be_drawn_gains_nothing():
    evolution = run(World(unreadable="level 3"), Ladder(), iterations=3)
    (unreadable,) = [one for one in evolution.tried if one.text == "level 3"]
    assert unreadable.value.gain == 0
    assert evolution.best.text != "level 3"


def test_seeds_that_run_out_end_the_search():
    world = World()
    evolution = evolve(
        SUBJECTS[:1],
        Ladder(),
        world.score,
        world.attempt,
        range(8),
        instruction="level 0",
        plan=Plan(pictures=4),
        dice=random.Random(1),
    )
    assert "no more seeds" in evolution.ended


def test_nothing_can_be_evolved_on_nothing():
    world = World()
    with pytest.raises(ValueError, match="subject"):
        evolve([], Ladder(), world.score, world.attempt, range(8), dice=random.Random(1))


# ── values and selectors ─────────────────────────────────────────────────────────────────────────


@given(st.lists(st.lists(st.floats(-1, 1), min_size=1, max_size=4), min_size=2, max_size=6))
def test_an_interval_is_students_over_the_subjects(gains):
    found = value(gains)
    means = [sum(one) / len(one) for one in gains]
    if max(means) - min(means) < 1e-6:
        assert found.high - found.low == pytest.approx(0, abs=1e-4)
        return
    expected = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert found.error == pytest.approx(stats.sem(means))
    assert (found.subjects, found.pictures) == (len(gains), sum(map(len, gains)))


def test_of_one_subject_the_pictures_are_the_sample_and_of_one_picture_nothing_follows():
    gains = [0.1, 0.4, 0.2, 0.0]
    expected = stats.ttest_1samp(gains, 0).confidence_interval(0.95)
    assert (value([gains]).low, value([gains]).high) == pytest.approx(tuple(expected))
    assert (value([[0.3]]).low, value([[0.3]]).high) == (-math.inf, math.inf)
    assert value([]) is None
    assert value([[], []]) is None


def test_ucb_is_the_published_formula_in_units_of_the_spread():
    standings = [
        InstructionStanding(0.50, 30),
        InstructionStanding(0.40, 0),
        InstructionStanding(0.45, 6),
        InstructionStanding(0.10, 30),
    ]

    def promise(one: InstructionStanding, t: int, spread: float) -> float:
        return one.mean + 0.8 * spread * math.sqrt(math.log(t) / (1 + one.evaluations))

    kept = ucb(standings, Plan(), 3, 0.2, random.Random(1))
    left, expected = {0, 1, 2, 3}, []
    for position in range(3):
        best = max(left, key=lambda place: promise(standings[place], 10 + position, 0.2))
        expected.append(best)
        left -= {best}
    assert kept == expected == [1, 0, 2]
    assert ucb(standings, Plan(), 3, 0.0, random.Random(1)) == [0, 2, 1]
    assert ucb(standings, Plan(), 0, 0.2, random.Random(1))[0] == 0  # ln 1 = 0: nothing to explore


def test_epsilon_keeps_by_chance_as_often_as_it_says():
    standings = [InstructionStanding(float(place), 1) for place in range(10)]
    dice = random.Random(7)
    plan = Plan(keep=1, epsilon=0.3)
    firsts = Counter(epsilon_greedy(standings, plan, 0, 1.0, dice)[0] for _ in range(4000))
    assert stats.binomtest(firsts[9], 4000, 0.7 + 0.3 / 10).pvalue > 0.001
    assert len(firsts) == 10
    assert len(set(epsilon_greedy(standings, Plan(epsilon=1.0), 0, 1.0, dice))) == 3


def test_greed_keeps_the_highest_means():
    standings = [
        InstructionStanding(0.1, 1),
        InstructionStanding(0.3, 9),
        InstructionStanding(0.2, 1),
        InstructionStanding(0.0, 1),
    ]
    assert greedy(standings, Plan(), 5, 1.0, random.Random(1)) == [1, 2, 0]


# ── what is asked ────────────────────────────────────────────────────────────────────────────────


ASK = {
    "prompt": lambda model: asking.refine(model, "be brief", TEA),
    "pairs": lambda model: asking.critique(model, "be brief", [], 3),
    "instruction": lambda model: asking.amend(model, "be brief", "be clear"),
    "instructions": lambda model: asking.vary(model, "be brief", ["be loud"], 3),
}


@pytest.mark.parametrize("field", ASK)
@pytest.mark.parametrize(
    "reply",
    [
        "Sure! Here is what you asked for.",
        '{"FIELD": ',
        '{"FIELD": []}',
        '{"FIELD": [""]}',
        '{"FIELD": ""}',
        '{"FIELD": 7}',
        '{"other": "x"}',
        "[" * 5000,
        '{"FIELD": "<script>alert(1)</script>"}',
        '{"FIELD": ["<lora:evil:1>", "see https://example.org"]}',
    ],
)
def test_a_reply_that_cannot_be_used_is_an_items_error(field, reply):
    with pytest.raises(ProposalError):
        ASK[field](Scripted(reply.replace("FIELD", field)))


def test_what_is_too_long_is_refused_and_what_is_known_is_not_new():
    with pytest.raises(ProposalError, match="501 letters"):
        ASK["prompt"](Scripted(json.dumps({"prompt": "x" * 501})))
    with pytest.raises(ProposalError, match="no new instruction"):
        ASK["instructions"](Scripted(json.dumps({"instructions": ["Be brief", " be  LOUD "]})))
    said = {"instructions": ["be kind", "<b>", "be kind", "be bold", "be calm", "be fast"]}
    assert ASK["instructions"](Scripted(json.dumps(said))) == ["be kind", "be bold", "be calm"]


# ── the phrasebook's answers ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("choices", list(itertools.product(*CLAUSES.values()))[::7])
def test_the_phrasebook_reads_what_it_writes(choices):
    wanted = dict(zip(CLAUSES, choices, strict=True))
    assert read(written(wanted)) == wanted


def test_the_phrasebook_does_what_an_instruction_says():
    def told(instruction: str) -> str:
        return asking.refine(Phrasebook(), instruction, TEA)

    a, b = TEA.a, TEA.b
    assert told("Refine the prompt carefully.") == TEA.prompt
    assert told("Describe how both things look instead of naming them.") == (
        f"{a.description} of {b.description}"
    )
    assert told("Say how the first thing looks, never name it: not its name.").startswith(
        a.description
    )
    assert told("Use a synonym for the second thing.") == f"a tea cup of {b.synonyms[0]}"
    assert told("Turn the order round; repeat the first thing at the end.") == (
        "iced coke and a tea cup, a tea cup"
    )
    assert told("Make it epic, 8k, trending.") == TEA.prompt


def test_the_phrasebook_infers_from_gains_what_the_better_prompts_do():
    looks = f"{TEA.a.description} of iced coke"
    with_looks = asking.WritingShown(TEA, TEA.prompt, 0.0, looks, 0.6)
    turned = asking.WritingShown(BOOT, BOOT.prompt, 0.0, f"{BOOT.b.name} and a boot", 0.1)
    improvements = asking.critique(Phrasebook(), "Refine.", [with_looks, turned], 2)
    assert improvements[0] == CLAUSES["first"]["looks"]
    assert len(improvements) <= 2
    amended = asking.amend(Phrasebook(), "Repeat the second thing at the end.", improvements[0])
    assert read(amended) == {**read(""), "twice": "second", "first": "looks"}
    worse = asking.WritingShown(TEA, TEA.prompt, 0.5, looks, 0.2)
    with pytest.raises(ProposalError):
        asking.critique(Phrasebook(), "Refine.", [worse], 2)


def test_the_phrasebook_varies_by_one_clause_and_never_repeats_itself():
    known = ["Refine the prompt carefully."]
    for _ in range(8):
        new = asking.vary(Phrasebook(), known[0], known, 3)
        assert len(new) == 3
        assert not {tuple(read(one).items()) for one in new} & {
            tuple(read(one).items()) for one in known
        }
        known += new
    changes = [sum(read(one)[slot] != read("")[slot] for slot in CLAUSES) for one in known[1:]]
    assert changes == sorted(changes)
    assert changes[0] == 1


# ── on pairs: the repairer, the harness, the files ───────────────────────────────────────────────


class Teller:
    """Says a pair by its looks if the instruction says so; knows two instructions."""

    sees_images = False

    def __init__(self, settings: TextModelSettings) -> None:
        self.settings = settings
        self.model_id = f"toy:teller {settings.name}@1"

    def complete(self, messages, images=(), schema=None) -> str:
        said = messages[-1]["content"]
        (answer,) = schema["properties"]
        if self.settings.name == "mute":
            raise TextModelError("it would rather not say")
        if answer == "prompt":
            prompt = said.partition("Prompt: ")[2].partition("\n")[0]
            left, _, right = prompt.partition(" beside ")
            return json.dumps(
                {"prompt": f"{left[::-1]} beside {right}" if "looks" in said else prompt}
            )
        if answer == "instructions":
            return json.dumps({"instructions": ["shout", "say its looks"]})
        if answer == "first":
            return json.dumps({"first": said.partition("One thing: ")[2].partition("\n")[0]})
        if answer == "prompts":
            return json.dumps({"prompts": ["something else"]})
        if answer == "stages":
            return "no stages"
        return json.dumps({"pairs": [{"inference": "names", "improvement": "say its looks"}]})


COLOUR_PAIRS = [
    pair(a, b) for a, b in itertools.permutations([c for c in COLOURS if c != "void"], 2)
]


@pytest.fixture
def deaf(toys, monkeypatch, tmp_path):
    """A store of twelve pairs that all fail, because the model knows A by its looks only."""
    monkeypatch.setitem(registry.BUILT_IN["text_models"], "teller", "test_bigpe:Teller")
    config = audited(tmp_path, COLOUR_PAIRS, "deaf", guide="second")
    with Store(config.store) as store:
        yield config, store


def settings(**changed) -> EvolveSettings:
    plan = Plan(iterations=3, pictures=2)
    model = TextModelSettings("teller", changed.pop("name", ""))
    return EvolveSettings(
        **{"text_model": model, "plan": plan, "subjects": 4, "fresh": 3} | changed
    )


def test_an_evolved_instruction_is_measured_on_pairs_and_seeds_that_the_search_never_saw(deaf):
    found = Evolve(*deaf, settings()).run()
    assert found.evolution.best.text == "say its looks"
    assert found.evolution.best.value.gain == pytest.approx(0.8)
    assert {one.key for one in found.subjects}.isdisjoint(one.pair.key for one in found.held_out)
    assert (len(found.subjects), len(found.held_out)) == (4, 8)
    assert (found.first.value, found.best.value, found.plain.value) == (0, 1, 0)
    assert found.difference.value == 1
    assert found.helps
    assert found.failures == 1  # the teller knows no third instruction
    drawn = {item.seed for item in deaf[1].evidence("toy:reader@1") if item.of_repair}
    assert set(fresh_seeds("say its looks", 3)) <= drawn


def test_who_is_left_out_of_an_evolution_is_named(deaf, monkeypatch, capsys):
    config, store = deaf
    make_one_sick(monkeypatch, Threads())
    workers = WorkersSettings(2, gpus=0)
    found = Evolve(dataclasses.replace(config, workers=workers), store, settings()).run()
    (sentence,) = found.notes
    assert "is left out: it died 6 times" in sentence
    print_evolved(found, Path("best.txt"))
    assert sentence in " ".join(capsys.readouterr().out.split())


def test_an_evolution_searches_by_a_cache_and_measures_without_it(deaf, monkeypatch):
    monkeypatch.setitem(registry.BUILT_IN["models"], "toy", "worlds.toys:SketchingModel")
    found = Evolve(*deaf, settings()).run()
    _, store = deaf
    drawn = {
        (store.render(key)[0].seed in SEARCH_SEEDS, said.endswith("-lossy"))
        for key, said in store.profiles(found.model).items()
    }
    assert drawn == {(True, True), (False, False)}
    assert found.best.value == 1


def test_an_evolution_that_is_done_again_draws_and_asks_nothing_and_says_the_same(deaf):
    first = Evolve(*deaf, settings()).run()
    exchanges = len(deaf[1].exchanges(limit=1000))
    again = Evolve(*deaf, settings()).run()
    assert again.drawn == 0
    assert first.drawn > 0
    assert len(deaf[1].exchanges(limit=1000)) == exchanges
    assert (again.evolution, again.held_out) == (first.evolution, first.held_out)


def test_a_text_model_that_says_nothing_leaves_the_first_instruction_and_recorded_failures(deaf):
    found = Evolve(*deaf, settings(name="mute")).run()
    assert found.evolution.best == found.evolution.first
    assert found.difference.value == 0
    assert not found.helps
    assert any("rather not say" in one.sentence for one in deaf[1].failures())


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"subjects": 1}, "--subjects"),
        ({"held_out": 0}, "--held-out"),
        ({"fresh": 0}, "--fresh"),
        ({"budget": 0}, "--budget"),
        ({"plan": Plan(iterations=0)}, "--iterations"),
        ({"score": CheckerSettings("toy")}, "--score"),
        ({"experts": {"a cat on a mat": ["a feline"]}}, "begin a paragraph"),
        ({"level": 9}, "--level"),
    ],
)
def test_what_cannot_be_evolved_is_said_before_anything_is_drawn(deaf, changed, match):
    with pytest.raises(ConfigError, match=match):
        Evolve(*deaf, settings(**changed))


def test_bigpe_repairs_one_pair_and_an_instruction_is_where_it_starts(deaf):
    config, store = deaf
    texts = TextModelSettings("teller")
    options = RepairSettings("bigpe", budget=60, certificate=8, text_model=texts)
    repair = Repair(config, store, options)
    repair.failing = repair.failing[:1]
    (found,) = repair.run().pairs
    assert found.certificate.passed
    told = RepairSettings(
        "bigpe", budget=60, certificate=8, text_model=texts, instruction="say its looks"
    )
    again = Repair(config, store, told)
    again.failing = again.failing[:1]
    (better,) = again.run().pairs
    assert better.certificate.passed
    assert better.certificate.nomination != found.certificate.nomination
    assert "instruction say its looks" in better.certificate.nomination.given


def test_an_instruction_reaches_the_other_methods_prompts_and_wants_a_text_model(deaf):
    config, store = deaf
    options = RepairSettings(
        "rewrite", budget=40, text_model=TextModelSettings("teller"), instruction="say its looks"
    )
    repair = Repair(config, store, options)
    model, finding = repair.failing[0]
    case = repair._case(model, finding, repair._correspondence())
    left, _, right = finding.pair.prompt.partition(" beside ")
    assert case.other_prompts[0] == f"{left[::-1]} beside {right}"
    with pytest.raises(ConfigError, match="--text-model"):
        Repair(config, store, RepairSettings("rewrite", instruction="say its looks"))


def test_bigpe_without_a_text_model_is_refused(deaf):
    with pytest.raises(ConfigError, match="bigpe asks a text model, and none is named"):
        Repair(*deaf, RepairSettings("bigpe", budget=20))


def test_bigpe_is_registered_with_each_of_its_selectors():
    ids = {registry.load("repairers", name)().repairer_id for name in ("bigpe", "bigpe-greedy")}
    assert ids == {"bigpe", "bigpe-greedy"}
    assert registry.load("repairers", "bigpe-epsilon")().plan.selector == "epsilon"
    assert Bigpe().plan.c == 0.8


def test_the_command_writes_a_file_that_repair_reads(deaf, lcmis, tmp_path):
    config, store = deaf
    store.close()
    (tmp_path / "audit.toml").write_text(
        f'store = "{config.store}"\npairs = ["{config.pairs[0]}"]\n'
        '[[models]]\nname = "toy"\nscheduler = "deaf"\n'
        '[[checkers]]\nkind = "toy"\n[[checkers]]\nkind = "toy"\nname = "second"\n'
    )
    where, out = tmp_path / "audit.toml", tmp_path / "looks.txt"
    few = ("--iterations", 2, "--subjects", 3, "--held-out", 3, "--fresh", 2)
    code, said, errors = lcmis("evolve", where, "--text-model", "teller", "--out", out, *few)
    assert (code, errors) == (0, "") or "toy" in errors
    assert "beats the first one" in said
    assert read_instruction(out) == "say its looks"
    code, said, _ = lcmis(
        *("repair", where, "--method", "rewrite", "--budget", 30, "--certificate", 8),
        *("--text-model", "teller", "--instruction", out, "--json", "--limit", 3),
    )
    assert code == 0
    assert json.loads(said)["num_repaired"] == 3
    code, _, errors = lcmis("evolve", where, "--text-model", "teller", "--out", "/nowhere/x.txt")
    assert code == 2
    assert "--out" in errors


def test_an_instructions_file_is_read_without_its_comments(tmp_path, deaf):
    path = tmp_path / "told.txt"
    path.write_text("# from somewhere\n  say its\n\nlooks  \n")
    assert read_instruction(path) == "say its looks"
    write_instruction(Evolve(*deaf, settings()).run(), path)
    assert path.read_text().startswith(
        "# evolved by lcmis on 4 pairs of toy@deaf; on 8 others +100"
    )
    assert read_instruction(path) == "say its looks"
    for content in ("", "# only this\n", "x" * 1001):
        path.write_text(content)
        with pytest.raises(ConfigError, match="letters"):
            read_instruction(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_instruction(path)
    with pytest.raises(ConfigError, match="does not exist"):
        read_instruction(tmp_path / "none.txt")


LINE = st.from_regex(r"[a-z][a-z ,.]{0,20}[a-z]", fullmatch=True).map(lambda s: " ".join(s.split()))


@given(st.dictionaries(LINE, st.lists(LINE, min_size=1, max_size=4), min_size=1, max_size=4))
def test_professional_prompts_come_back_as_they_were_written(tmp_path_factory, said):
    path = tmp_path_factory.mktemp("experts") / "prompts.txt"
    paragraphs = ["\n".join([subject, "# by hand", *prompts]) for subject, prompts in said.items()]
    path.write_text("\n\n \n".join(paragraphs))
    assert read_experts(path) == {subject: tuple(prompts) for subject, prompts in said.items()}


def test_a_professional_prompt_file_that_says_nothing_is_refused(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("a tea cup of iced coke\n\nanother\nprompt\n")
    with pytest.raises(ConfigError, match="nothing follows 'a tea cup of iced coke'"):
        read_experts(path)
    path.write_text("\n\n# nothing\n")
    with pytest.raises(ConfigError, match="no prompts"):
        read_experts(path)


def test_a_preference_score_is_the_cosine_of_picture_and_whole_prompt():
    import open_clip
    import torch

    from lcmis.check import questions_of
    from lcmis.machine.paths import shipped
    from lcmis.teacup.world import render
    from lcmis.types import QuestionKind

    folder = str(shipped("data") / "teacup" / "teacup-clip")
    checker = registry.load("checkers", "hps")(CheckerSettings("hps", folder, device="cpu"))
    assert checker.checker_id.startswith("hps:")
    picture, _, _ = render("drinks", "tea cup", "iced coke", random.Random(1))
    questions = questions_of(TEA)
    taken = [one for one in questions if checker.takes(one)]
    assert [one.kind for one in taken] == [QuestionKind.RELATION]
    (answers,) = checker.score([picture], taken)
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()
    with torch.no_grad():
        seen = model.encode_image(transform(picture)[None], normalize=True)
        tokens = open_clip.get_tokenizer(f"local-dir:{folder}")([TEA.prompt])
        read_text = model.encode_text(tokens, normalize=True)
    assert answers[0].value == pytest.approx(max(0.0, float(seen @ read_text.T)), abs=1e-5)
