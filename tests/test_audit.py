import dataclasses
import json

import pytest
from worlds.toys import ToyChecker, ToyModel, pair

from lcmis import findings, judge
from lcmis.audit.pairs import chosen_pairs
from lcmis.audit.replay import replay
from lcmis.audit.run import Audit
from lcmis.errors import ConfigError, TooManyFailures, UnknownNameError, UserError
from lcmis.export import report
from lcmis.plugins.settings import AuditSettings, CheckerSettings, ModelSettings, StoppingSettings
from lcmis.propose.catalogue import to_toml
from lcmis.store import Store
from lcmis.types import Verdict

PAIRS = (pair("rubine", "azure"), pair("lime", "amber"), pair("azure", "amber"))


pytestmark = pytest.mark.usefixtures("toys")


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "pairs.toml"
    file.write_text(to_toml(PAIRS), "utf-8")

    def make(behaviour="right", checker="", **changes):
        return dataclasses.replace(
            AuditSettings(
                models=(ModelSettings("toy", scheduler=behaviour),),
                checkers=(CheckerSettings("toy", checker),),
                pairs=(str(file),),
                store=str(tmp_path / "audit"),
            ),
            **changes,
        )

    return make


def run(config):
    with Store(config.store, create=True) as store:
        return Audit(config, store).run("a test")


def facts(config):
    with Store(config.store, read_only=True) as store:
        pictures = {
            (item.spec.key, item.render.sha256, len(store.scores(item.spec.key)))
            for item in store.renders(limit=10_000)
        }
        assert list(store.verify()) == []
        return pictures


def test_what_the_first_look_loads_is_there_before_a_picture_is_drawn(config, monkeypatch):
    known = judge.stopping._stopped_interval
    known.cache_clear()
    drawn, sizes = ToyModel.generate, []

    def generate(self, specs):
        sizes.append(known.cache_info().currsize)
        return drawn(self, specs)

    monkeypatch.setattr(ToyModel, "generate", generate)
    run(config())
    assert sizes[0] > 0


@pytest.mark.parametrize(
    ("behaviour", "verdict", "decision"),
    [
        ("right", Verdict.ALIGNED, judge.Decision.PASSES),
        ("no a", Verdict.A_MISSING, judge.Decision.FAILS),
        ("no b", Verdict.B_MISSING, judge.Decision.FAILS),
        ("neither", Verdict.BOTH_MISSING, judge.Decision.FAILS),
        ("refuses", Verdict.REFUSED, judge.Decision.UNDECIDED),
    ],
)
def test_what_a_model_does_is_what_the_audit_says(config, behaviour, verdict, decision):
    (model,) = run(config(behaviour)).models
    assert [item.judgement.failing for item in model.pairs] == [decision] * 3
    assert {v for item in model.pairs for v in item.judgement.verdicts} == {verdict}


def test_pairs_that_fail_are_counted_alone_and_among_all_that_were_looked_at(config, capsys):
    from lcmis.cli.terminal import print_result

    result = run(config("no a"))
    assert (result.models[0].num_surely_failing, result.models[0].num_looked_at) == (3, 3)
    print_result(result, "audit")
    told = " ".join(capsys.readouterr().out.split())
    assert "toy: 3 pairs fail (3 after control for looking at 3)" in told
    print_result(run(config("right")), "audit")
    assert "after control" not in capsys.readouterr().out


def test_the_intruder_is_named(config):
    (model,) = run(config("no a")).models
    (count,) = model.pairs[0].judgement.intruders_a
    assert (count.name, count.count) == ("void", count.total)
    assert model.pairs[0].painted_instead == f"void in {count.count} of {count.total}"


def test_silence_is_not_absence(config):
    (model,) = run(config("right", "silent")).models
    assert model.count(Verdict.UNSCORED) == model.pictures == 60
    assert all(item.judgement.aligned.total == 0 for item in model.pairs)


def test_a_clear_pair_is_drawn_in_one_block_and_an_unclear_one_up_to_the_cap(config):
    clear = run(config("no b"))
    assert clear.drawn == 12
    unclear = run(config("coin", store=config().store + "2"))
    drawn = [len(item.evidence) for item in unclear.models[0].pairs]
    assert all(4 <= count <= 20 and count % 4 == 0 for count in drawn)
    assert max(drawn) > 4


def test_the_same_command_again_draws_and_asks_nothing(config):
    first = run(config("coin"))
    asked = ToyChecker.asked
    second = run(config("coin"))
    assert (second.drawn, ToyChecker.asked) == (0, asked)
    assert second.models == first.models


def test_another_threshold_costs_no_picture(config):
    first = run(config())
    again = run(config(threshold=0.95))
    assert again.models[0].pairs[0].judgement.failing is judge.Decision.FAILS
    assert again.drawn == 0
    assert first.models[0].pairs[0].judgement.failing is judge.Decision.PASSES


def test_a_second_checker_scores_old_pictures_without_drawing(config):
    run(config())
    both = config(checkers=(CheckerSettings("toy"), CheckerSettings("toy", "twin")))
    result = run(both)
    assert result.drawn == 0
    assert result.models[0].second_opinions[0].agreement.share.value == 1.0


def test_interrupted_at_any_picture_nothing_is_lost_and_nothing_drawn_twice(config, monkeypatch):
    whole = config("coin")
    run(whole)
    expected, total = facts(whole), len(ToyModel.drawn)
    for moment in range(0, total, 5):
        broken = config("coin", store=f"{whole.store}-{moment}")
        monkeypatch.setattr(ToyModel, "drawn", [])
        monkeypatch.setattr(ToyModel, "interrupt_at", moment)
        with pytest.raises(KeyboardInterrupt):
            run(broken)
        monkeypatch.setattr(ToyModel, "interrupt_at", None)
        run(broken)
        assert len(ToyModel.drawn) == len(set(ToyModel.drawn)) == total
        assert facts(broken) == expected


def test_a_picture_that_fails_is_recorded_and_drawn_by_the_next_run(config):
    all_at_once = StoppingSettings(rule="fixed", cap=4)
    first = run(config("fails once", stopping=all_at_once))
    assert first.failures == 3
    with Store(config().store, read_only=True) as store:
        assert {item.sentence for item in store.failures()} == {"the first batch is lost"}
    second = run(config("fails once", stopping=all_at_once))
    assert (second.drawn, second.failures) == (3, 0)
    with Store(config().store, read_only=True) as store:
        assert store.failures() == []


def test_a_failed_picture_is_drawn_at_the_next_look(config):
    assert run(config("fails once")).failures == 0


def test_too_many_failures_stop_the_audit_with_a_sentence(config):
    with pytest.raises(TooManyFailures, match="not finite"):
        run(config("fails", max_failures=5))
    with pytest.raises(TooManyFailures, match="lost its weights"):
        run(config("right", "broken", max_failures=5))


def test_a_prompt_the_model_cannot_read_is_left_out_with_the_reason(config, tmp_path):
    long = dataclasses.replace(PAIRS[0], prompt="rubine beside azure" + " very" * 20, intruders=())
    (tmp_path / "long.toml").write_text(to_toml((long, PAIRS[1])), "utf-8")
    asked = config(pairs=(str(tmp_path / "long.toml"),))
    with Store(asked.store, create=True) as store:
        (plan,) = Audit(asked, store).plan()
        assert len(plan.refused) == 1
        assert "letters" in plan.refused[0]
    result = run(asked)
    assert (result.failures, len(result.models[0].pairs)) == (1, 1)


def test_a_plan_says_what_the_audit_then_draws(config):
    with Store(config().store, create=True) as store:
        (plan,) = Audit(config(), store).plan()
        assert (plan.undecided, plan.present, plan.seconds_each) == (3, 0, None)
        assert ToyModel.drawn == []
    result = run(config())
    assert plan.least <= result.drawn <= plan.most
    with Store(config().store, read_only=True) as store:
        (after,) = Audit(config(), store).plan()
        assert (after.undecided, after.expected, after.present) == (0, 0, 12)
        assert after.seconds_each is not None


def test_controls_tell_what_a_checker_says_when_nothing_is_there(config):
    prior = run(config()).models[0].prior
    assert prior.blank.total == 6
    assert prior.blank.value == pytest.approx(0.1)
    assert prior.mismatched.total > 0
    assert prior.mismatched.value == pytest.approx(0.1)


def test_every_picture_has_its_provenance(config):
    run(config())
    with Store(config().store, read_only=True) as store:
        (started,) = store.runs()
        assert started.command == "a test"
        assert json.loads(started.config)["models"][0]["name"] == "toy"
        assert "torch" in json.loads(started.versions)
        assert findings.rule_of(started) == judge.Sprt()


def test_a_fixed_number_of_pictures_is_drawn_when_asked(config):
    result = run(config(stopping=StoppingSettings(rule="fixed", cap=10)))
    assert result.drawn == 30
    saved = run(config("coin", stopping=StoppingSettings(rule="curtailed", cap=20)))
    assert saved.drawn < 60


def test_a_stored_picture_can_be_drawn_again(config):
    run(config())
    with Store(config().store, read_only=True) as store:
        key = store.renders(limit=1)[0].spec.key
        again = replay(store, key, config().models)
        assert (again.same, again.differing) == (True, 0.0)
        with pytest.raises(UnknownNameError):
            replay(store, "k1:nothing", config().models)


def test_what_a_person_looks_up_is_found(config):
    run(config("no a"))
    with Store(config().store, read_only=True) as store:
        assert len(findings.look_up(store, None).pairs) == 3
        one = findings.look_up(store, PAIRS[0].prompt)
        assert one.pair == PAIRS[0]
        picture = findings.look_up(store, one.findings[0].evidence[0].spec_key)
        assert len(picture.scores) == 8  # two presences, two choices of three options
        assert findings.look_up(store, "failures").failures == ()
        with pytest.raises(UnknownNameError):
            findings.look_up(store, "no such thing")
        with pytest.raises(UnknownNameError):
            findings.look_up(store, None, checker="nobody")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"models": (ModelSettings("toyy/never"),)}, "toyy/never"),
        ({"checkers": (CheckerSettings("toyx"),)}, "toy"),
        ({"models": (ModelSettings("toy"), ModelSettings("toy"))}, "named twice"),
        ({"pairs": ("no-such-catalogue",)}, "no-such-catalogue"),
        ({"patterns": ("nothing like it",)}, "nothing like it"),
    ],
    ids=str,
)
def test_a_wrong_name_is_one_sentence_before_anything_is_drawn(config, change, sentence):
    asked = config(**change)
    with Store(asked.store, create=True) as store, pytest.raises(UserError) as caught:
        Audit(asked, store)
    assert sentence in str(caught.value)
    assert ToyModel.drawn == []


def test_a_pattern_is_found_by_a_part_of_its_name(config):
    assert len(chosen_pairs(config(patterns=("HALV",))).pairs) == 3


def test_the_first_seed_and_the_limit_are_obeyed(config):
    result = run(config(first_seed=100, limit=2))
    assert len(result.models[0].pairs) == 2
    assert {item.seed for found in result.models[0].pairs for item in found.evidence} == {
        100,
        101,
        102,
        103,
    }
    with pytest.raises(ConfigError):
        chosen_pairs(config(pairs=("nowhere.toml",)))


def test_pictures_of_several_ways_of_drawing_are_never_counted_together_without_a_word(config):
    """Here they are counted apart; what reads the whole store counts both, and says so."""
    assert run(config()).notes == ()
    (model,) = config().models
    hurried = config(models=(dataclasses.replace(model, num_inference_steps=2),))
    result = run(hurried)
    assert result.models[0].aligned.value == 0, "its own pictures alone"
    (note,) = result.notes
    with Store(hurried.store) as store:
        shown = findings.look_up(store, None)
        assert {one.judgement.aligned.value for one in shown.pairs} == {0.5}
        (half,) = {one.judgement.aligned.total // 2 for one in shown.pairs}
        assert (shown.notes, shown.first(1).notes) == ((note,), (note,))
        assert f"(1 step: {3 * half} pictures; 2 steps: {3 * half} pictures)" in note
        assert report.gather(store).notes == (note,)
