"""How often a gate is wrong where the truth is known: rare broken pairs, few pairs, many."""

from __future__ import annotations

import numpy as np
import pytest

from lcmis.judge import PairedCounts, Ruling, failing, model_rate, paired_difference, ruling

AUDITS = 160
ALLOWED = 0.05


def chances(dice: np.random.Generator, pairs: int, broken: float, right: float) -> np.ndarray:
    """Of each pair: never right, with chance ``broken``, else right so often."""
    return np.where(dice.random(pairs) < broken, 0.0, right)


@pytest.mark.parametrize(
    ("broken", "pairs", "pictures"),
    [
        (0.05, 40, 20),
        (0.05, 40, 4),
        (0.02, 136, 20),
        (0.10, 20, 20),
        (0.10, 6, 8),
        (0.01, 200, 4),
    ],
)
def test_rare_broken_pairs_among_nearly_perfect_ones_seldom_deceive_a_gate(
    broken: float, pairs: int, pictures: int
) -> None:
    dice = np.random.default_rng(pairs)
    truth = broken + (1 - broken) * 0.01
    passed = failed = 0
    for _ in range(AUDITS):
        right = dice.binomial(pictures, chances(dice, pairs, broken, 0.99))
        wrong = failing(model_rate([(int(one), pictures) for one in right]))
        passed += ruling(wrong.low, wrong.high, truth * 0.999) is Ruling.PASS
        failed += ruling(wrong.low, wrong.high, truth) is Ruling.FAIL
    assert passed / AUDITS <= ALLOWED
    assert failed / AUDITS <= ALLOWED


@pytest.mark.parametrize(("lost", "pairs"), [(0.05, 40), (0.02, 136), (0.1, 20)])
def test_rare_lost_pairs_seldom_deceive_a_gate_against_a_reference(lost: float, pairs: int) -> None:
    dice, pictures = np.random.default_rng(pairs), 4
    passed = failed = 0
    for _ in range(AUDITS):
        gone = dice.binomial(pictures, np.where(dice.random(pairs) < lost, 1.0, 0.0))
        found = paired_difference([PairedCounts(pictures - n, n, 0, 0) for n in gone.tolist()])
        passed += ruling(-found.high, -found.low, lost * 0.999) is Ruling.PASS
        failed += ruling(-found.high, -found.low, lost) is Ruling.FAIL
    assert passed / AUDITS <= ALLOWED
    assert failed / AUDITS <= ALLOWED


@pytest.mark.parametrize("pairs", [40, 136])
def test_a_gate_still_tells_where_the_truth_is_clear(pairs: int) -> None:
    """An interval of [0, 1] would err never and tell nothing."""
    dice, told = np.random.default_rng(pairs), 0
    for _ in range(50):
        good, bad = (
            failing(model_rate([(n, 4) for n in dice.binomial(4, share).tolist()]))
            for share in (dice.beta(9.5, 0.5, pairs), dice.beta(6, 4, pairs))
        )
        told += ruling(good.low, good.high, 0.2) is Ruling.PASS
        told += ruling(bad.low, bad.high, 0.2) is Ruling.FAIL
    assert told / 100 >= 0.97


def test_more_wrong_pictures_never_turn_doubt_into_a_pass() -> None:
    order = (Ruling.PASS, Ruling.UNDECIDED, Ruling.FAIL)
    limits = (0.05, 0.088, 0.09, 0.1, 0.2)
    last = dict.fromkeys(limits, 0)
    for wrong in range(0, 160, 3):
        full, rest = divmod(wrong, 20)
        pairs = [(0, 20)] * full + [(20 - rest, 20)] + [(20, 20)] * (39 - full)
        found = failing(model_rate(pairs))
        for limit in limits:
            place = order.index(ruling(found.low, found.high, limit))
            assert place >= last[limit]
            last[limit] = place
    assert list(last.values()) == [2, 2, 1, 1, 1]
