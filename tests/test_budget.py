"""Budgets: what is paid once, what ends a search, and that all of them end it alike."""

import pytest

from lcmis.errors import OutOfBudget
from lcmis.machine.budget import Budget


def test_a_picture_is_paid_once_and_the_next_one_is_refused():
    budget = Budget(pictures=2)
    assert [budget.affords(picture) for picture in ("a", "b", "a", "c")] == [
        True,
        True,
        True,
        False,
    ]
    assert budget.pictures == 2


def test_many_pictures_are_paid_together_or_not_at_all():
    budget = Budget(pictures=3)
    budget.pay(["a", "b"])
    with pytest.raises(OutOfBudget, match=r"^the 3 pictures are spent$"):
        budget.pay(["b", "c", "d"])
    assert budget.pictures == 2
    assert budget.holds(["a", "b", "c"])
    assert not budget.holds(["c", "d"])
    budget.pay(["b", "c"])
    assert budget.pictures == 3


def test_calls_end_after_the_last_that_was_allowed():
    budget = Budget(calls=2, whose="its")
    budget.call()
    budget.call()
    with pytest.raises(OutOfBudget, match=r"^its 2 calls of the text model are spent$"):
        budget.call()
    assert budget.calls == 2


def test_seconds_that_are_spent_end_it_and_others_do_not():
    with pytest.raises(OutOfBudget, match=r"^the 0 seconds are spent$"):
        Budget(seconds=0).refuse_late()
    Budget(seconds=1e9).refuse_late()
    Budget().refuse_late()


def test_without_limits_nothing_is_refused():
    budget = Budget()
    budget.pay(range(1000))
    budget.call()
    assert (budget.pictures, budget.calls) == (1000, 1)
    assert budget.holds(range(5000))
