"""What each baseline draws and asks, step by step, of tables of scores and a text model by rote."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence

import pytest
from PIL import Image
from worlds.searches import CASE, CUP, Formula

from lcmis.errors import TextModelError
from lcmis.plugins.protocols import Case, Tools
from lcmis.repair.methods import alternating, negatives
from lcmis.repair.methods.best_of_n import BestOfN
from lcmis.repair.methods.craft import Craft
from lcmis.repair.methods.negatives import Negatives
from lcmis.repair.methods.opt2i import Opt2i
from lcmis.repair.methods.protegi import Protegi
from lcmis.repair.methods.raising import Raising
from lcmis.repair.methods.unmet import lacking, share_right
from lcmis.types import Candidate, Concept, Intruder, Seen, Side, Stage, Trial

PLAIN = CUP.prompt
A, B, BOTH, RIGHT, UNREAD = (0.1, 0.9), (0.9, 0.1), (0.2, 0.1), (0.9, 0.8), (None, None)
"""What a picture shows, by what it lacks."""
Shown = tuple[float | None, float | None]


class Rote:
    """Answers the n-th question with the n-th list; what it was told is kept, in short."""

    model_id = "rote@1"
    sees_images = False

    def __init__(self, *replies: Sequence[str]) -> None:
        self.replies = list(replies)
        self.told: list[tuple[object, ...]] = []

    def complete(
        self,
        messages: Sequence[dict[str, str]],
        images: Sequence[Image.Image] = (),
        schema: dict[str, object] | None = None,
    ) -> str:
        said = messages[-1]["content"]
        if not self.replies:
            raise TextModelError("nothing more is known by rote")
        count = int(re.findall(r"(?:Write|up to) (\d+)", said)[0])
        scored = [tuple(json.loads(line).values()) for line in said.splitlines() if line[0] == "{"]
        if scored:
            self.told.append((count, *scored))
        elif "Not seen: " in said:
            lines = dict(line.split(": ", 1) for line in said.splitlines()[1:8])
            self.told.append((count, lines["Prompt"], lines["Not seen"], lines["Painted instead"]))
        else:
            self.told.append((count, *said.partition("show:\n")[2].partition("\nName")[0].split()))
        assert schema is not None
        (answer,) = schema["properties"]
        return json.dumps({answer: list(self.replies.pop(0))})


def table(shown: Mapping[str, Sequence[Shown] | Shown], otherwise: Shown = A) -> Formula:
    """Each prompt's pictures from seed 100 on; the last goes on for ever."""

    def scores(candidate: Candidate, seed: int) -> Shown:
        found = shown.get(candidate.stages[0].prompt, otherwise)
        if isinstance(found[0], tuple):
            return found[min(seed - 100, len(found) - 1)]
        return found

    return Formula(scores)


def drawn(toy: Formula) -> list[str]:
    """Batch by batch, prompts with their first and last seed after the hundredth."""
    return [
        " + ".join(f"{one} {seeds[0] - 100}-{seeds[-1] - 100}" for one, seeds in batch)
        for batch in toy.asked
    ]


def told_by(model: Rote | None, **told: object) -> Case:
    return dataclasses.replace(CASE, text_model=model, **told)


# ── edits ────────────────────────────────────────────────────────────────────────────────────────


def test_craft_builds_on_an_edit_that_is_as_good_and_goes_back_on_none():
    model = Rote(["e1", "e2"], ["e2", "e3"], ["e4"], ["e4"])
    toy = table({"e1": BOTH, "e3": [RIGHT, A]})
    Craft(rounds=9, seeds=2).repair(told_by(model), toy)
    assert drawn(toy) == [f"{PLAIN} 0-1", "e1 0-1", "e3 0-1", "e4 0-1", "e3 2-5"]
    # one edit is used and more are asked for: one more than there are prompts that were tried
    assert model.told == [
        (2, PLAIN, "tea cup", "glass"),
        (4, "e1", "tea cup", "glass"),
        (5, "e3", "tea cup", "glass"),
        (6, "e3", "tea cup", "glass"),
    ]
    assert toy.failures == []


def test_craft_asks_for_eight_at_most_and_ends_with_its_rounds():
    model = Rote(list("abcde"), list("fghij"), ["k"])
    toy = table({"a": A, "f": A, "k": RIGHT})
    Craft(rounds=2, seeds=1).repair(told_by(model), toy)
    assert drawn(toy) == [f"{PLAIN} 0-0", "a 0-0", "f 0-0", "f 1-2"]
    assert [count for count, *_ in model.told] == [2, 4]
    long = Rote(*([f"{letter}{n}" for n in range(9)] for letter in "abcdefgh"))
    toy = table({})
    Craft().repair(told_by(long), toy)
    assert [count for count, *_ in long.told] == [2, 4, 8, 8, 8, 8]
    assert drawn(toy)[0] == f"{PLAIN} 0-3"
    assert drawn(toy)[-1] == "f0 4-11"


def test_craft_asks_nothing_where_nothing_is_unmet_and_nobody_where_nobody_is_named():
    right = table({PLAIN: RIGHT})
    model = Rote()
    Craft().repair(told_by(model), right)
    assert drawn(right) == [f"{PLAIN} 0-3", f"{PLAIN} 4-11"]
    alone = table({})
    Craft().repair(told_by(None), alone)
    assert drawn(alone) == drawn(right)
    assert alone.failures == [
        "a targeted edit: craft asks a text model for edits, and no model is named"
    ]


def test_protegis_beam_goes_on_by_its_edits_on_new_seeds_each_round():
    model = Rote(["e1", "e2"], ["f1", "e1"], ["g1", "f1"], ["g1", "g2"])
    toy = table(
        {
            "e1": [RIGHT, RIGHT, RIGHT, RIGHT, A],
            "e2": [RIGHT, A, B],
            "f1": [RIGHT],
            "g1": [A],
        }
    )
    Protegi(rounds=3, beam=2, edits=2, seeds=2).repair(told_by(model), toy)
    assert drawn(toy) == [
        f"{PLAIN} 0-1",
        "e1 0-1 + e2 0-1",
        "e1 2-3 + e2 2-3",
        "f1 2-3",
        "e1 4-5 + f1 4-5",
        "g1 4-5",
    ]
    assert model.told == [
        (2, PLAIN, "tea cup", "glass"),
        (2, "e2", "iced coke", "glass"),
        (2, "e1", "tea cup", "glass"),
    ]


def test_protegi_draws_an_edit_once_and_ends_with_its_rounds_its_seeds_or_its_edits():
    toy = table({})
    model = Rote("ab", "cd", "ce", "cf")
    Protegi(rounds=2, seeds=1).repair(told_by(model), toy)
    # all are equally wrong: those that were seen first go on first
    beam = f"{PLAIN} 1-1 + a 1-1 + b 1-1"
    edits = "c 1-1 + d 1-1 + e 1-1 + f 1-1"
    assert drawn(toy) == [f"{PLAIN} 0-0", "a 0-0 + b 0-0", beam, edits]
    few = table({})
    Protegi(beam=1, seeds=2).repair(told_by(Rote("a", "b", "c"), seeds=range(100, 105)), few)
    assert drawn(few) == [f"{PLAIN} 0-1", "a 0-1", f"{PLAIN} 2-3", "b 2-3"]
    dry = table({})
    Protegi(beam=1).repair(told_by(Rote("ab", "ba")), dry)
    assert drawn(dry) == [f"{PLAIN} 0-2", "a 0-2 + b 0-2", f"{PLAIN} 3-5"]
    assert dry.failures == []
    alone = table({})
    Protegi().repair(told_by(None), alone)
    assert drawn(alone) == [f"{PLAIN} 0-2"]
    assert alone.failures == [
        "edits against faults: protegi asks a text model for edits, and no model is named"
    ]


def test_protegi_keeps_its_beam_where_nothing_can_be_ranked():
    toy = table({}, otherwise=(0.1, None))
    Protegi(rounds=2, seeds=2).repair(told_by(Rote("a", "b")), toy)
    assert drawn(toy) == [f"{PLAIN} 0-1", "a 0-1", f"{PLAIN} 2-3", "b 2-3"]


# ── populations ──────────────────────────────────────────────────────────────────────────────────


def test_raise_writes_more_where_more_is_unmet_and_ends_when_it_is_met_twice_running():
    model = Rote(["r1", "r2"], ["r1", "r3", "r4"])
    toy = table({"r1": [RIGHT, A], "r2": [RIGHT, RIGHT, BOTH], "r3": RIGHT})
    Raising(each=2, seeds=2).repair(told_by(model), toy)
    assert drawn(toy) == [
        f"{PLAIN} 0-1",
        "r1 0-1 + r2 0-1",
        "r2 2-3",
        "r3 2-3 + r4 2-3",
        "r3 4-5",
        "r3 6-7",
    ]
    assert model.told == [
        (2, PLAIN, "tea cup", "glass"),
        (4, "r2", "tea cup, iced coke", "glass"),
    ]
    again = table({PLAIN: [RIGHT, A, RIGHT]})
    Raising(seeds=1).repair(told_by(Rote(["worse"])), again)
    assert drawn(again) == [
        f"{PLAIN} 0-0",
        f"{PLAIN} 1-1",
        "worse 1-1",
        f"{PLAIN} 2-2",
        f"{PLAIN} 3-3",
    ]


def test_raise_ends_with_its_rounds_its_seeds_or_its_rewritings():
    model = Rote("abc", "def", "ghi")
    toy = table({})
    Raising(rounds=2).repair(told_by(model), toy)
    first = f"{PLAIN} 0-1", "a 0-1 + b 0-1 + c 0-1"
    assert drawn(toy) == [*first, f"{PLAIN} 2-3", "d 2-3 + e 2-3 + f 2-3"]
    assert [count for count, *_ in model.told] == [3, 3]
    few = table({})
    Raising(seeds=2).repair(told_by(Rote("abc", "def"), seeds=range(100, 103)), few)
    assert drawn(few) == [*first]
    dry = table({})
    Raising().repair(told_by(Rote("abc", "cba")), dry)
    assert drawn(dry) == [*first, f"{PLAIN} 2-3"]
    mute = table({}, otherwise=(0.1, None))
    Raising(rounds=2).repair(told_by(Rote("a", "b")), mute)
    assert drawn(mute) == [f"{PLAIN} 0-1", "a 0-1", f"{PLAIN} 2-3", "b 2-3"]
    alone = table({})
    Raising().repair(told_by(None), alone)
    assert drawn(alone) == [f"{PLAIN} 0-1"]
    assert alone.failures == [
        "rewritings for what is unmet: raise asks a text model for rewritings, and no model is "
        "named"
    ]


def test_opt2i_shows_the_best_in_rising_order_and_draws_again_what_is_right_often_enough():
    model = Rote(["o1", "o2"], ["o3", "o2"], ["o1", "o2", "o4", "o3"], ["o5"])
    toy = table({"o1": (0.3, 0.9), "o2": (0.2, 0.9), "o3": (0.25, 0.9), "o4": [RIGHT, RIGHT, A]})
    Opt2i(prompts=3, seeds=3, shown=2, enough=2 / 3).repair(told_by(model), toy)
    assert drawn(toy) == [
        f"{PLAIN} 0-2",
        "o1 0-2 + o2 0-2",
        "o3 0-2",
        "o4 0-2",
        "o4 3-5",
    ]
    assert model.told == [
        (3, (PLAIN, 10)),
        (3, ("o2", 20), ("o1", 30)),
        (3, ("o3", 25), ("o1", 30)),
    ]
    sure = table({"o1": [RIGHT, RIGHT, A], "o2": RIGHT})
    Opt2i(seeds=3, enough=0.67).repair(told_by(Rote(["o1"], ["o2"], ["o3"])), sure)
    assert drawn(sure) == [f"{PLAIN} 0-2", "o1 0-2", "o2 0-2", "o2 3-5"]
    lone = table({"o1": RIGHT})
    Opt2i(seeds=1).repair(told_by(Rote(["o1"], ["o2"])), lone)
    assert drawn(lone) == [f"{PLAIN} 0-0", "o1 0-0", "o1 1-1"]


def test_opt2i_ends_with_its_rounds_or_its_prompts_and_shows_none_that_could_not_be_read():
    model = Rote(["o1"], ["o2"], ["o3"])
    toy = table({"o1": UNREAD})
    Opt2i(rounds=2).repair(told_by(model), toy)
    assert drawn(toy) == [f"{PLAIN} 0-3", "o1 0-3", "o2 0-3"]
    assert model.told == [(5, (PLAIN, 10)), (5, (PLAIN, 10))]
    dry = table({})
    Opt2i().repair(told_by(Rote(["o1"])), dry)
    assert drawn(dry) == [f"{PLAIN} 0-3", "o1 0-3"]
    assert dry.failures == ["prompts by their history: nothing more is known by rote"]
    mute = table({}, otherwise=UNREAD)
    Opt2i(rounds=1).repair(told_by(Rote(["o1"])), mute)
    assert drawn(mute) == [f"{PLAIN} 0-3", "o1 0-3"]
    alone = table({})
    Opt2i().repair(told_by(None), alone)
    assert alone.failures == [
        "prompts by their history: opt2i asks a text model for prompts, and no model is named"
    ]


# ── what is kept away, the plain prompt, the checklist ───────────────────────────────────────────


def suspects(*named: tuple[str, str, Side]) -> tuple[Intruder, ...]:
    return tuple(
        Intruder(Concept(name, look), side, f"{name} in a picture") for name, look, side in named
    )


MANY = dataclasses.replace(
    CUP,
    intruders=suspects(
        ("hot tea", "brown drink", Side.B),
        ("glass", "a tall glass", Side.A),
        ("mug", "a thick mug", Side.A),
        ("tea cup rack", "", Side.A),
    ),
)
AWAY = ["mug", "a thick mug", "glass", "a tall glass", "hot tea", "brown drink"]
LOOK = "a small white cup of iced coke"


def kept_away(case: Case, mined: list[str]) -> list[tuple[str, str]]:
    found = negatives.candidates(case, mined)
    assert all(len(one.stages) == 1 for one in found)
    return [(one.stages[0].prompt, one.negative_prompt) for one in found]


def test_negatives_stand_by_what_was_seen_first_and_the_first_and_all_with_the_looks():
    case = told_by(None, pair=MANY, intruder="mug")
    every = [*AWAY, "steam"]
    assert kept_away(case, ["the steam", "a glass", "an iced coke"]) == [
        *((PLAIN, one) for one in every),
        (PLAIN, ", ".join(every)),
        (LOOK, "mug"),
        (LOOK, ", ".join(every)),
    ]
    nobody = told_by(None, pair=MANY, intruder="", a_missing=0)
    assert [one for _, one in kept_away(nobody, [])][:6] == [
        *("hot tea", "brown drink"),
        *("glass", "a tall glass", "mug", "a thick mug"),
    ]
    assert kept_away(nobody, [])[-2][0] == "a tea cup of dark drink with ice"
    lone = told_by(None, pair=dataclasses.replace(CUP, intruders=()), intruder="")
    assert kept_away(lone, ["steam"]) == [(PLAIN, "steam"), (LOOK, "steam")]
    assert kept_away(lone, ["tea cup"]) == []
    plain = dataclasses.replace(lone, pair=dataclasses.replace(lone.pair, a=Concept("tea cup")))
    assert kept_away(plain, ["steam"]) == [(PLAIN, "steam")]
    assert kept_away(dataclasses.replace(lone, supports_negative_prompt=False), ["steam"]) == []


class Eyes(Rote):
    """Sees as well: its captions are numbered."""

    sees_images = True
    seen = 0

    def complete(self, messages, images=(), schema=None):
        if images:
            self.seen += 1
            return f"no{self.seen}"
        return super().complete(messages, images, schema)


def test_what_is_mined_competes_and_captions_are_for_models_that_see():
    asked: list[tuple[str, int]] = []

    def paint(prompt: str, place: int) -> Image.Image | None:
        asked.append((prompt, place))
        return None if place == 1 else Image.new("RGB", (8, 8))

    pair = dataclasses.replace(CUP, a=Concept("tea cup"), intruders=())
    for model, tools, shown in (
        (Eyes(["steam", "ice"]), Tools(paint), ["no1", "no2"]),
        (Eyes(["steam", "ice"]), None, ["none"]),
        (Rote(["steam", "ice"]), Tools(paint), ["none"]),
    ):
        asked.clear()
        toy = table({}, otherwise=A)
        toy.tools = tools
        Negatives(seeds=2).repair(told_by(model, pair=pair, intruder=""), toy)
        assert asked == ([(PLAIN, place) for place in (0, 1, 2)] if len(shown) == 2 else [])
        assert model.told == [(6, *shown)]
        assert toy.equipped == [False]
        away = ["steam", "ice", "steam, ice"]
        assert toy.asked[0] == [(Candidate((Stage(PLAIN),), one), [100, 101]) for one in away]
        assert [(one.negative_prompt, seeds) for one, seeds in toy.asked[1]] == [
            ("steam", [102, 103])
        ]
    dry = table({})
    Negatives().repair(told_by(Rote()), dry)
    assert dry.failures == ["negatives by a text model: nothing more is known by rote"]
    assert dry.asked[0] == [
        (one, [100, 101, 102, 103]) for one in negatives.candidates(told_by(None), [])
    ]
    silent = table({})
    Negatives().repair(told_by(None), silent)
    assert (silent.asked, silent.failures, silent.equipped) == (dry.asked, [], [])
    deaf = table({})
    Negatives().repair(told_by(Rote(["steam"]), supports_negative_prompt=False), deaf)
    assert (deaf.asked, deaf.failures, deaf.equipped) == ([], [], [])


@pytest.mark.parametrize(
    ("told", "batches"),
    [
        ({"budget": 10, "batch_size": 4}, ["0-3", "4-7", "8-9"]),
        ({"budget": 8, "batch_size": 4}, ["0-3", "4-7"]),
        ({"budget": 10, "batch_size": 4, "seeds": range(100, 105)}, ["0-3", "4-4"]),
    ],
)
def test_best_of_n_draws_full_batches_until_the_budget_or_the_seeds_end(told, batches):
    toy = table({})
    BestOfN().repair(told_by(None, **told), toy)
    assert drawn(toy) == [f"{PLAIN} {batch}" for batch in batches]


def test_wordings_in_turn_end_with_the_frequent_one_and_no_stage_follows_its_like():
    third = Candidate((Stage("f", 0.1), Stage("r", 0.2), Stage("f", 0.3), Stage("r")))
    assert alternating._in_turn("f", "r", 3, 10) == third
    assert alternating._in_turn("f", "r", 4, 10) == third
    assert alternating._in_turn("f", "r", 2, 10) == Candidate((Stage("f", 0.1), Stage("r")))
    toy = table({})
    alternating.Alternating().repair(told_by(Rote()), toy)
    assert toy.failures == ["a frequent wording: nothing more is known by rote"]


def trial(*shown: Shown) -> Trial:
    seen = tuple(Seen(seed, *one) for seed, one in enumerate(shown))
    return Trial(CUP.key, "m@1", "toy", "clip:g@1", Candidate((Stage("x"),)), seen)


def test_a_checklist_counts_each_concept_over_the_pictures_that_could_be_read():
    case = told_by(None)
    assert lacking(trial((0.5, 0.5)), case) == []
    assert lacking(trial((0.49, 0.5)), case) == [Side.A]
    assert lacking(trial((0.1, None), RIGHT, A), case) == [Side.A]
    assert lacking(trial(A, B, BOTH, B), case) == [Side.B]
    assert lacking(trial(BOTH, BOTH, B), case) == [Side.B, Side.A]
    assert lacking(trial(BOTH, BOTH, A), case) == [Side.A, Side.B]
    assert lacking(trial(BOTH), case) == [Side.A, Side.B]
    # neither is missing in more than half: the one that is missing more often, else the lost one
    assert lacking(trial(A, RIGHT), case) == [Side.A]
    assert lacking(trial(A, B), case) == [Side.A]
    assert lacking(trial(A, B), told_by(None, a_missing=0)) == [Side.B]
    assert lacking(trial(A, RIGHT), told_by(None, a_missing=0)) == [Side.A]
    assert lacking(trial(B, RIGHT), case) == [Side.B]
    assert share_right([trial(RIGHT, A, UNREAD), trial(RIGHT)], 0.5) == 2 / 3
    assert share_right([trial((0.6, 0.6), RIGHT)], 0.7) == 0.5
    assert share_right([trial(UNREAD)], 0.5) == 0.0


def test_what_nobody_could_read_is_not_taken_for_seen():
    case = told_by(None)
    assert lacking(trial(UNREAD), case) == [Side.A, Side.B]
    assert lacking(trial(), case) == [Side.A, Side.B]
    assert lacking(trial((0.9, None), (0.9, None)), case) == [Side.B]
    assert lacking(trial((None, 0.1)), case) == [Side.A, Side.B]
    # each is seen somewhere, and no picture says that both are: the lost one stands for that
    assert lacking(trial((0.9, None), (None, 0.9)), case) == [Side.A]
    assert lacking(trial((0.9, None), RIGHT), case) == []


@pytest.mark.parametrize("method", [Craft(), Raising(), Protegi()], ids=lambda m: m.repairer_id)
def test_a_guide_that_abstains_of_one_concept_ends_no_search(method):
    model = Rote(["e1", "e2", "e3"], ["e4"])
    toy = table({"e1": RIGHT}, (0.9, None))
    method.repair(told_by(model), toy)
    assert model.told[0][1:3] == (PLAIN, "iced coke")
    assert any("e1" in batch for batch in drawn(toy))


def test_craft_builds_on_no_edit_of_which_nothing_could_be_read():
    model = Rote(["e1"], ["e2"])
    toy = table({"e1": UNREAD, "e2": RIGHT}, A)
    Craft().repair(told_by(model), toy)
    assert [prompt for _, prompt, *_ in model.told] == [PLAIN, PLAIN]
    assert drawn(toy)[-1] == "e2 4-11"
