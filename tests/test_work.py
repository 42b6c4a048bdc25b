"""Who worked in a run, from what was kept of it, and what gathers it while they work."""

from __future__ import annotations

import dataclasses

import pytest
from worlds.toys import ToyChecker, ToyModel, pair

from lcmis.check import questions_for
from lcmis.errors import Refusal, RenderError
from lcmis.findings.work import by_worker, of_runs, spent, together
from lcmis.plugins.settings import CheckerSettings, ModelSettings
from lcmis.store import Store
from lcmis.types import Shift, Stage
from lcmis.workers.orders import Delivery, DrawOrder, Heard, Painted, Unsaid, Wish
from lcmis.workers.shifts import SHIFT_SECONDS, Shifts
from lcmis.workers.studio import Studio

pytestmark = pytest.mark.usefixtures("toys")

PAIR = pair("rubine", "azure")
SHIFT = Shift("r1", "worker 2", "node", "H100", "toy@1", "t1", 60.0, 45.0, 100, 0, 1)


def test_what_one_worker_did_in_a_minute_with_two_plugins_lasted_a_minute():
    judged = dataclasses.replace(SHIFT, plugin="vqa:j@1", busy=12.0, pictures=0, answers=7)
    (one,) = by_worker([SHIFT, judged])
    assert (one.seconds, one.busy, one.busy_share) == (60.0, 57.0, 57 / 60)
    assert (one.pictures, one.answers, one.failures, one.per_minute) == (100, 7, 2, 100.0)
    other = dataclasses.replace(SHIFT, worker="worker 10", node="another")
    later = dataclasses.replace(SHIFT, run_id="r2")
    runs = of_runs([SHIFT, judged, later, other])
    assert runs == {"r1": [SHIFT, judged, other], "r2": [later]}
    whole = together(runs["r1"])
    assert (whole.seconds, whole.pictures, whole.nodes) == (120.0, 200, ("node", "another"))
    assert [one.worker for one in by_worker([other, SHIFT])] == ["worker 2", "worker 10"]


def test_only_what_has_a_price_costs():
    assert spent([SHIFT, dataclasses.replace(SHIFT, plugin="other@1")], {"toy@1": 0.25}) == 25.0
    assert spent([SHIFT], {}) is None


def test_nothing_lasted_is_no_share():
    died = Shift("r1", "worker 1", "node", "H100", "", "t1", 0.0, 0.0, sentence="it died")
    (one,) = by_worker([died])
    assert (one.busy_share, one.per_minute, one.sentences) == (None, None, ("it died",))


class Crew:
    """Says where one worker is, and that it died once."""

    def __init__(self):
        self.died = [("worker 1", "it died")]

    def whereabouts(self, worker):
        return "node", "H100", f"/logs/{worker}"

    def troubles(self):
        died, self.died = self.died, []
        return died


def test_a_shift_counts_what_came_and_what_did_not():
    now = [0.0]
    shifts = Shifts("r1", Crew(), lambda: now[0])
    model, checker = ToyModel(ModelSettings("toy")), ToyChecker(CheckerSettings("toy"))
    question = questions_for(checker, PAIR)[0]
    specs = tuple(model.spec((Stage(PAIR.prompt),), seed) for seed in range(3))
    drawn = (None, Refusal("withheld"), RenderError("not finite"))
    painted = tuple(Painted(*one) for one in zip(specs, (1.0,) * 3, drawn, strict=True))
    said = (Heard(checker.checker_id, specs[0].key, question, ()),)
    unsaid = (Unsaid(checker.checker_id, specs[1].key, "it is silent"),)
    order = DrawOrder(model.model_id, specs)
    shifts.heard(Delivery(order, painted, said, unsaid, worker="worker 1", seconds=12.0))
    assert not shifts.is_due
    now[0] = SHIFT_SECONDS
    assert shifts.is_due
    drew, judged, died = shifts.ended()
    assert (drew.plugin, drew.busy, drew.pictures, drew.failures) == (model.model_id, 12.0, 2, 1)
    assert (judged.plugin, judged.answers, judged.failures) == (checker.checker_id, 1, 1)
    assert (drew.seconds, drew.node, drew.log) == (SHIFT_SECONDS, "node", "/logs/worker 1")
    assert (died.worker, died.plugin, died.sentence) == ("worker 1", "", "it died")
    assert not shifts.is_due
    assert shifts.ended() == []


def test_a_run_keeps_what_was_done_and_work_of_no_run_is_not_kept(tmp_path):
    model, checker = ToyModel(ModelSettings("toy")), ToyChecker(CheckerSettings("toy"))
    specs = tuple(model.spec((Stage(PAIR.prompt),), seed) for seed in range(6))
    asked = ((checker, tuple(questions_for(checker, PAIR))),)
    with Store(tmp_path, create=True) as store:
        store.add_pairs([PAIR])
        studio = Studio(store, 20)
        studio.make([Wish(PAIR, model, specs[:2])])
        assert store.shifts() == []
        studio.run_id = "r1"
        studio.make([Wish(PAIR, model, specs, asked)])
        drew, judged = store.shifts("r1")
        assert store.shifts("r2") == []
    assert (drew.plugin, drew.pictures, drew.device) == (model.model_id, 4, specs[0].device)
    assert (judged.plugin, judged.answers) == (checker.checker_id, studio.asked)
