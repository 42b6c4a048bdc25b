"""The map of truth: what works for a pair that fails, as the oracle saw it."""

import json

import pytest
import torch

from lcmis.machine.paths import shipped
from lcmis.teacup.measure import Pair, all_pairs
from lcmis.teacup.models import MODELS
from lcmis.teacup.oracle import OracleReading, load_oracle
from lcmis.teacup.painting import Order, open_painter
from lcmis.teacup.truth import (
    NUM_SEEDS,
    PROOF,
    WORKS,
    Survey,
    draw_map,
    failing_by_card,
    stages,
    words,
)
from lcmis.types import Candidate, Side, Stage

TRUTH = shipped("data") / "teacup" / "truth"
MAPS = sorted(TRUTH.glob("*.json"))
CUP = Pair("drinks", "tea cup", "milk", 4)


class Ruled:
    """A painter whose pictures follow a rule, read by nobody but itself."""

    num_steps = 16
    dtype = "float32"

    def __init__(self, shows):
        self.shows, self.asked = shows, []

    def read(self, orders, oracle):
        assert oracle is None
        self.asked += orders
        return [
            OracleReading(CUP.first if self.shows(order) else "glass", CUP.second, 1.0, 1.0)
            for order in orders
        ]


def entry(shows):
    painter = Ruled(shows)
    return Survey(painter, None).entry(CUP), painter.asked


def staged(order):
    return len(order.candidate.stages) > 1


# ── the shipped maps ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", MAPS, ids=lambda path: path.stem)
def test_a_shipped_map_says_of_each_pair_what_works_and_shows_it(path):
    told = json.loads(path.read_text())
    assert told["model"] == path.stem
    assert told["steps"] == MODELS[path.stem].num_steps
    assert set(told["pairs"]) <= {str(one) for one in all_pairs()}
    assert len(told["pairs"]) == told["mapped"] <= told["failing by the card"]
    for seen in filter(None, told["pairs"].values()):
        right, total = seen["right"]
        assert 2 * right < NUM_SEEDS >= total
        proved = {kind: one["right"][0] >= WORKS for kind, one in seen["best"].items()}
        works = [kind for kind, holds in proved.items() if holds]
        assert seen["works"] == ("both" if len(works) == 2 else works[0] if works else "none")
        assert seen["lost"] in set(Side)


def test_a_proof_in_a_shipped_map_can_be_drawn_again():
    model = "teacup-narrow"
    proofs = [
        (prompt, seen["dtype"], best)
        for prompt, seen in json.loads((TRUTH / f"{model}.json").read_text())["pairs"].items()
        for best in (seen["best"].values() if seen else ())
    ]
    prompt, dtype, best = max(proofs, key=lambda one: one[-1]["right"][0] / one[-1]["right"][1])
    pair = next(one for one in all_pairs() if str(one) == prompt)
    candidate = Candidate(tuple(Stage(*stage) for stage in best["stages"]), best["negative_prompt"])
    orders = [Order(candidate, seed) for seed in range(PROOF, PROOF + 4)]
    painter = open_painter(model, "cpu", getattr(torch, dtype))
    readings = painter.read(orders, load_oracle())
    right, total = best["right"]
    assert right >= WORKS
    assert sum(not one.shows(pair.first, pair.second) for one in readings) <= total - right


# ── how one is drawn ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("shows", "works"),
    [
        (lambda _: False, "none"),
        (lambda order: staged(order), "stages"),
        (lambda order: not staged(order) and order.candidate.stages[0].prompt != str(CUP), "words"),
        (lambda order: staged(order) or "porcelain" in str(order.candidate), "both"),
    ],
)
def test_a_pair_is_mapped_to_what_brings_it_back(shows, works):
    told, _ = entry(shows)
    assert told["works"] == works
    assert (told["lost"], told["intruder"], told["right"]) == ("a", "glass", [0, 12])


def test_a_pair_that_is_right_anyway_is_not_failing():
    assert entry(lambda _: True)[0] is None


def test_what_never_was_right_is_not_proved():
    told, asked = entry(lambda _: False)
    assert told["best"] == {}
    assert not any(order.seed >= PROOF for order in asked)


def test_a_proof_holds_at_eleven_of_twenty_and_not_at_ten():
    def shown(right):
        def shows(order):
            return staged(order) and (order.seed < PROOF or order.seed < PROOF + right)

        return entry(shows)[0]

    assert [shown(right)["works"] for right in (10, 11)] == ["none", "stages"]
    assert shown(11)["best"]["stages"]["right"] == [11, 12]
    assert shown(10)["best"]["stages"]["right"] == [10, 20]


def test_candidates_are_different_and_say_what_their_kind_may_say():
    for lost in Side:
        said, laid = list(words(CUP, lost, "glass")), list(stages(CUP, lost, 16))
        assert len({*said, *laid}) == len(said) + len(laid)
        assert all(len(one.stages) == 1 for one in said)
        assert all(one.stages[-1].prompt == str(CUP) for one in laid)
        assert sorted({one.stages[0].denoising_end * 16 for one in laid}) == [1, 2, 4]


def test_a_map_goes_on_where_it_was(tmp_path):
    out, painter = tmp_path / "map.json", Ruled(lambda _: False)
    failing = all_pairs()[:3]
    for count in (2, 2, 3):
        before = len(painter.asked)
        draw_map("teacup-narrow", out, Survey(painter, None), failing[:count])
    told = json.loads(out.read_text())
    assert list(told["pairs"]) == [str(one) for one in failing]
    assert {order.candidate.stages[-1].prompt for order in painter.asked[before:]} >= {
        str(failing[2])
    }
    assert (told["failing by the card"], told["mapped"], told["steps"]) == (3, 3, 16)


def test_pairs_are_mapped_in_an_order_drawn_by_lot_so_that_a_part_of_a_map_is_a_sample():
    failing = failing_by_card("teacup-narrow")
    assert len(failing) == len(set(failing)) > 40
    assert failing == failing_by_card("teacup-narrow")
    assert failing != sorted(failing, key=all_pairs().index)
