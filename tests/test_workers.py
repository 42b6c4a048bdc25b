"""Who draws and checks, in one process: what is made side by side is what would be made alone."""

from __future__ import annotations

import dataclasses
import threading

import pytest
from worlds.toys import ToyChecker, ToyModel, pair

from lcmis.audit.pairs import chosen_pairs
from lcmis.audit.run import Audit
from lcmis.check import questions_for
from lcmis.errors import CheckError, ConfigError, TooManyFailures, UnknownNameError
from lcmis.plugins.settings import (
    AuditSettings,
    CheckerSettings,
    ModelSettings,
    StoppingSettings,
    WorkersSettings,
)
from lcmis.propose.catalogue import to_toml
from lcmis.store import Store
from lcmis.types import Stage
from lcmis.workers.here import Here
from lcmis.workers.orders import Delivery, DrawOrder, Wish, ask, paint
from lcmis.workers.studio import Studio
from lcmis.workers.turns import Turns

pytestmark = pytest.mark.usefixtures("toys")

PAIRS = (pair("rubine", "azure"), pair("lime", "amber"), pair("azure", "amber"))


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store", create=True) as opened:
        opened.add_pairs(PAIRS)
        yield opened


def wish(model, one, count, checker=None, first=0):
    specs = tuple(model.spec((Stage(one.prompt),), seed) for seed in range(first, first + count))
    asked = ((checker, tuple(questions_for(checker, one))),) if checker else ()
    return Wish(one, model, specs, asked)


class Eager:
    """A crew of so many hands, each with one order at a time, that ends them in the order given by
    ``turn``; it draws ahead, and asks itself.
    """

    draws_ahead = True
    told = "many hands"
    notes = ()

    def __init__(self, hands, turn=0):
        self.hands, self.turn, self.store = hands, turn, None
        self.models, self.checkers = {}, {}
        self.orders, self.ahead = [], []

    def know(self, models, checkers):
        self.models |= models
        self.checkers |= checkers

    def begin(self, plugins):
        pass

    def checks_too(self, model, checker):
        return True

    def wanted(self, ready):
        return next(iter(ready)) if ready and self.runs_low else None

    def batch_size(self, model):
        return 4

    def takes_check(self, checker):
        return self.runs_low

    def give(self, order):
        assert self.runs_low
        self.orders.append(order)

    @property
    def is_busy(self):
        return bool(self.orders)

    @property
    def runs_low(self):
        return len(self.orders) < self.hands

    def whereabouts(self, worker):
        return "here", "cpu", ""

    def troubles(self):
        return []

    def check_size(self, pictures):
        return 8

    def reports(self):
        order = self.orders.pop(self.turn % len(self.orders))
        if not isinstance(order, DrawOrder):
            images = {key: self.store.image(sha256) for key, sha256 in order.stored.items()}
            said, unsaid = ask(
                self.checkers[order.checker], order.asked, {**images, **order.images}
            )
            return [Delivery(order, said=tuple(said), unsaid=tuple(unsaid))]
        if order.is_ahead:
            self.ahead += [spec.key for spec in order.specs]
        report = paint(self.models[order.model], order)
        images = {one.spec.key: one.drawn for one in report.painted}
        said, unsaid = [], []
        for checker, asked in order.asked.items():
            some, none = ask(self.checkers[checker], asked, images)
            said += some
            unsaid += none
        return [dataclasses.replace(report, said=tuple(said), unsaid=tuple(unsaid))]

    def stop(self):
        self.orders.clear()
        return []

    def close(self):
        pass


def facts(store):
    assert list(store.verify()) == []
    return {
        (item.pair_key, item.spec.key, item.render.sha256, len(store.scores(item.spec.key)))
        for item in store.renders(limit=10_000)
    }


def audited(folder, crew, behaviour="coin", **changes):
    (folder / "pairs.toml").write_text(to_toml(PAIRS), "utf-8")
    config = AuditSettings(
        models=(ModelSettings("toy", scheduler=behaviour, batch_size=4),),
        checkers=(CheckerSettings("toy"), CheckerSettings("toy", "twin")),
        pairs=(str(folder / "pairs.toml"),),
        **changes,
    )
    with Store(folder / "store", create=True) as store:
        audit = Audit(config, store)
        with pytest.MonkeyPatch.context() as patch:
            if crew is not None:
                crew.store = store
                patch.setattr("lcmis.audit.run.hire", lambda *_: crew)
            result = audit.run("a test")
        return result, facts(store)


# ── wishes ───────────────────────────────────────────────────────────────────────────────────────


def test_a_wish_is_granted_once_and_what_two_ask_for_is_drawn_once(store):
    model, checker = ToyModel(ModelSettings("toy")), ToyChecker(CheckerSettings("toy"))
    studio = Studio(store, 20)
    twin = dataclasses.replace(PAIRS[0], source="another set", pattern="other")
    store.add_pairs([twin])
    studio.make([wish(model, PAIRS[0], 5, checker), wish(model, twin, 3, checker)])
    assert len(ToyModel.drawn) == len(set(ToyModel.drawn)) == studio.drawn == 5
    for one, count in ((PAIRS[0], 5), (twin, 3)):
        assert len(store.evidence(checker.checker_id, pair=one.key)) >= count
    asked = ToyChecker.asked
    studio.make([wish(model, PAIRS[0], 5, checker)])
    assert (studio.drawn, ToyChecker.asked) == (5, asked)


def test_the_next_picture_is_drawn_while_the_last_one_is_looked_at(store):
    drawing_again = threading.Event()

    class Model(ToyModel):
        def generate(self, specs):
            if len(ToyModel.drawn) >= 3:
                drawing_again.set()
            return super().generate(specs)

    class Waiting(ToyChecker):
        def score(self, images, questions):
            assert drawing_again.wait(60), "nothing is drawn while a checker looks"
            return super().score(images, questions)

    model, checker = Model(ModelSettings("toy")), Waiting(CheckerSettings("toy"))
    Studio(store, 20).make([wish(model, PAIRS[0], 6, checker)])
    assert len(store.evidence(checker.checker_id)) == 6


def test_a_pair_is_looked_at_again_while_others_still_wait(store):
    model, checker = ToyModel(ModelSettings("toy")), ToyChecker(CheckerSettings("toy"))
    studio, told = Studio(store, 20), []

    def then(done):
        told.append({one.pair.prompt for one in done})
        for one in done:
            if len(one.specs) == 3:
                yield wish(model, one.pair, 6, checker)

    studio.work_on([wish(model, one, 3, checker) for one in PAIRS], then)
    assert studio.drawn == 18
    assert len(told) > 1


def test_what_the_writer_could_not_write_ends_the_run_with_its_sentence(tmp_path, store):
    model = ToyModel(ModelSettings("toy"))
    stranger = pair("amber", "lime")
    studio = Studio(store, 20)
    with pytest.raises(UnknownNameError, match="no pair in the store"):
        studio.make([wish(model, stranger, 3)])


# ── ahead ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("hands", "turn"), [(1, 0), (3, 0), (3, 1), (16, 0), (16, 5), (64, -1)])
def test_the_store_does_not_depend_on_how_many_work_or_on_what_was_drawn_ahead(
    tmp_path, hands, turn
):
    for name in ("alone", "together"):
        (tmp_path / name).mkdir()
    alone, wanted = audited(tmp_path / "alone", None)
    crew = Eager(hands, turn)
    together, found = audited(tmp_path / "together", crew)
    assert found == wanted
    assert together.models == alone.models
    assert together.drawn == alone.drawn
    if hands == 64:
        assert crew.ahead, "nobody drew ahead, so nothing is shown"


def test_a_picture_drawn_ahead_is_in_the_store_only_once_it_is_asked_for(store):
    model, checker = ToyModel(ModelSettings("toy")), ToyChecker(CheckerSettings("toy"))
    studio = Studio(store, 20, crew=Eager(8))
    first, later = wish(model, PAIRS[0], 4, checker), wish(model, PAIRS[0], 12, checker)
    rest = dataclasses.replace(later, specs=later.specs[4:])

    def then(done):
        return (
            [dataclasses.replace(later, specs=later.specs[:8])] if len(done[0].specs) == 4 else []
        )

    studio.work_on([first], then, lambda: [rest])
    assert studio.drawn == 8
    assert {item.spec.seed for item in store.renders()} == set(range(8))
    assert len(set(ToyModel.drawn)) == len(ToyModel.drawn) == 12


# ── turns ────────────────────────────────────────────────────────────────────────────────────────


def test_tasks_take_turns_and_go_on_when_all_that_they_wait_for_has_come():
    told = []
    turns = None

    def task(name):
        for step in range(2):
            told.append(f"{name}{step}")
            turns.wait_for([f"{name} {step} x", f"{name} {step} y"])
        told.append(f"{name} ends")

    turns = Turns([lambda: task("a"), lambda: task("b")])
    first = list(turns.begin())
    assert told == ["a0", "b0"]
    assert list(turns.after(first[2:3])) == []
    second = list(turns.after(first[3:]))
    assert told == ["a0", "b0", "b1"]
    assert list(turns.after(second)) == []
    assert told[-1] == "b ends"
    turns.stop()


def test_an_error_in_a_task_is_the_owners_and_the_other_tasks_end():
    ended = []

    def wrong():
        raise ConfigError("it is wrong")

    def waits():
        try:
            turns.wait_for([1])
        finally:
            ended.append("waits")

    turns = Turns([waits, wrong])
    with pytest.raises(ConfigError, match="it is wrong"):
        list(turns.begin())
    turns.stop()
    turns._hand.shutdown(wait=True)
    assert ended == ["waits"]


# ── failures ─────────────────────────────────────────────────────────────────────────────────────


class Blind(ToyChecker):
    """Cannot read what is drawn from these seeds; pictures tell theirs."""

    def __init__(self, name, seeds):
        super().__init__(CheckerSettings("toy", name))
        self.seeds = seeds

    def score(self, images, questions):
        if any(image.getpixel((0, 0))[0] in self.seeds for image in images):
            raise CheckError("it cannot be read")
        return super().score(images, questions)


def test_few_failures_among_many_pictures_end_nothing(store):
    studio = Studio(store, 3, share=0.05)
    studio.make([wish(ToyModel(ModelSettings("toy")), PAIRS[0], 97)])
    for number in range(5):
        studio.fail(f"item {number}", "render", "it is lost")  # 5 of 102
    with pytest.raises(TooManyFailures):
        studio.fail("item 5", "render", "it is lost")  # 6 of 103


def test_a_second_checker_may_fail_on_as_many_stored_pictures_as_one_that_is_there_from_the_start(
    store,
):
    model, few = ToyModel(ModelSettings("toy")), {40, 140}
    Studio(store, 2, share=0.05).make([wish(model, PAIRS[0], 200, Blind("first", few))])
    for _ in range(2):  # the next run asks only what failed, and lives with it as this one did
        studio = Studio(store, 2, share=0.05)
        studio.make([wish(model, PAIRS[0], 200, Blind("second", few))])
        assert (studio.drawn, len(studio.failed)) == (0, 2)


@pytest.mark.parametrize("is_stored", [True, False])
def test_a_checker_that_reads_nothing_ends_the_run_as_soon_as_so_many_have_failed(store, is_stored):
    model = ToyModel(ModelSettings("toy"))
    if is_stored:
        Studio(store, 20).make([wish(model, PAIRS[0], 200)])
    for _ in range(2):
        studio = Studio(store, 20, share=0.05)
        with pytest.raises(TooManyFailures, match="20 items failed, the last because it cannot be"):
            studio.make([wish(model, PAIRS[0], 200, Blind("blind", range(256)))])
        assert studio.drawn < 100


def test_a_picture_that_was_drawn_and_could_not_be_read_is_one_that_was_tried(store):
    studio = Studio(store, 10, share=0.1)
    with pytest.raises(TooManyFailures):  # 10 of 100; of 110 they would be too few
        studio.make(
            [wish(ToyModel(ModelSettings("toy")), PAIRS[0], 100, Blind("b", range(90, 100)))]
        )


def test_what_nobody_has_asked_for_cannot_have_failed(store):
    model, checker = ToyModel(ModelSettings("toy")), Blind("blind", range(4, 12))
    studio = Studio(store, 3, crew=Eager(8))
    first, rest = wish(model, PAIRS[0], 4, checker), wish(model, PAIRS[0], 8, checker, first=4)
    studio.work_on([first], None, lambda: [rest])
    assert len(set(ToyModel.drawn)) > 4, "nobody drew ahead, so nothing is shown"
    assert (studio.failed, store.failures()) == (set(), [])
    with pytest.raises(TooManyFailures):
        studio.make([rest])


def test_prompts_that_nobody_can_read_end_no_audit(tmp_path):
    long = [
        dataclasses.replace(
            PAIRS[0], prompt=f"rubine beside azure {number}" + " very" * 20, intruders=()
        )
        for number in range(25)
    ]
    (tmp_path / "pairs.toml").write_text(to_toml((*long, PAIRS[1])), "utf-8")
    config = AuditSettings(
        models=(ModelSettings("toy"),),
        checkers=(CheckerSettings("toy"),),
        pairs=(str(tmp_path / "pairs.toml"),),
    )
    with Store(tmp_path / "store", create=True) as store:
        result = Audit(config, store).run("a test")
    assert (result.failures, len(result.models[0].pairs), result.drawn) == (25, 1, 4)


# ── parts ────────────────────────────────────────────────────────────────────────────────────────


def test_the_parts_of_the_pairs_are_all_of_them_once(tmp_path):
    (tmp_path / "pairs.toml").write_text(to_toml(PAIRS), "utf-8")

    def part(shard):
        return chosen_pairs(
            AuditSettings(
                models=(ModelSettings("toy"),),
                checkers=(CheckerSettings("toy"),),
                pairs=(str(tmp_path / "pairs.toml"),),
                shard=shard,
            )
        ).pairs

    assert sorted(one.key for one in (*part("1/2"), *part("2/2"))) == sorted(p.key for p in PAIRS)
    assert (len(part("1/2")), len(part("2/2"))) == (2, 1)
    for wrong in ("0/2", "3/2", "2", "a/b", "1/0", "1/4"):
        with pytest.raises(ConfigError, match="shard is"):
            part(wrong)


def test_one_process_is_the_crew_where_nobody_is_asked_for(store):
    assert isinstance(Studio(store, 1).crew, Here)
    assert not WorkersSettings().are_elsewhere
    assert WorkersSettings(ray="auto").are_elsewhere


def test_a_fixed_audit_draws_the_same_by_any_crew(tmp_path):
    rule = StoppingSettings(rule="fixed", cap=6)
    for name in ("alone", "together"):
        (tmp_path / name).mkdir()
    _, wanted = audited(tmp_path / "alone", None, stopping=rule)
    _, found = audited(tmp_path / "together", Eager(5), stopping=rule)
    assert found == wanted
