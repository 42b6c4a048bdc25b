"""Certificates: seeds of each nomination's own, proofs again and elsewhere, what a repair costs."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wilcoxon
from sqlalchemy import event
from worlds.toys import ToyModel, audited, pair, registered, repair

from lcmis import judge
from lcmis.audit.provenance import provenance
from lcmis.audit.run import Audit
from lcmis.errors import ConfigError
from lcmis.export.repaired import repaired_prompts
from lcmis.findings import find_repairs
from lcmis.plugins.settings import ModelSettings
from lcmis.repair.certify import Certify, stand_together
from lcmis.repair.evaluate import look, spec_of
from lcmis.repair.search import Repair, RepairSettings
from lcmis.store import Store
from lcmis.types import CERTIFICATE_BLOCK, FIRST_CERTIFICATE_SEED, Candidate, Nomination, Stage
from lcmis.workers.studio import Studio

PAIRS = (pair("rubine", "azure"), pair("lime", "amber"))
JUDGE, GUIDE = "toy:reader@1", "toy:guide@1"

pytestmark = pytest.mark.usefixtures("toys")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store in which both pairs are repaired by their looks; tests work on copies of it."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        registered(patch)
        config = audited(folder, PAIRS, "deaf")
        repair(config, method="rewrite", certificate=8)
    return config


@pytest.fixture
def config(made, tmp_path):
    shutil.copytree(made.store, tmp_path / "audit")
    return dataclasses.replace(made, store=str(tmp_path / "audit"))


@pytest.fixture
def repaired(config):
    ToyModel.drawn.clear()
    with Store(config.store) as store:
        yield store


def certify(config, store, *behaviours, **settings):
    if behaviours:
        models = tuple(ModelSettings("toy", scheduler=name) for name in behaviours)
        config = dataclasses.replace(config, models=models)
    return Certify(config, store, elsewhere=bool(behaviours), **settings).run("a proof")


# ── seeds ────────────────────────────────────────────────────────────────────────────────────────


@given(st.text(min_size=1), st.integers(1, 10**6))
def test_a_nominations_seeds_lie_in_the_range_of_certificates_beyond_the_shared_ones(name, budget):
    one = Nomination("k1:p", "m@1", name, "g", Candidate((Stage("x"),)), budget, 1, "found")
    seeds = one.fresh_seeds
    assert len(seeds) == CERTIFICATE_BLOCK
    assert seeds[0] >= FIRST_CERTIFICATE_SEED + CERTIFICATE_BLOCK
    assert seeds[-1] < 2**32
    assert seeds == dataclasses.replace(one, pictures=5, ended="spent", reference="x").fresh_seeds


def test_no_two_nominations_of_a_pair_share_a_seed():
    candidate = Candidate((Stage("x"),))
    many = [Nomination("k1:p", "m@1", "moce", "g", candidate, n, 1, "found") for n in range(1, 200)]
    assert len({one.fresh_seeds[0] for one in many}) == len(many)


def test_a_pair_repaired_twice_is_certified_on_other_seeds(config, repaired):
    Repair(config, repaired, RepairSettings("rewrite", budget=60, certificate=8)).run("again")
    found = find_repairs(repaired, JUDGE, pair=PAIRS[0].key)
    first, second = (set(one.certificate.seeds) for one in found)
    assert len(first) == len(second) == 8
    assert not first & second


def test_a_certificate_made_before_nominations_had_their_own_seeds_is_found(config, repaired):
    (nomination,) = repaired.nominations(PAIRS[0].key)
    older = dataclasses.replace(nomination, budget=7)
    repaired.add_nomination(older)
    audit = Audit(config, repaired)
    (model,), (checker, _) = audit.models, audit.checkers
    asked = (Candidate((Stage(PAIRS[0].prompt),)), older.candidate)
    shared = range(FIRST_CERTIFICATE_SEED, FIRST_CERTIFICATE_SEED + 5)
    specs = [spec_of(model, item, seed) for item in asked for seed in shared]
    look(Studio(repaired, 20), checker, model, PAIRS[0], specs)
    found = {one.certificate.nomination.budget: one for one in find_repairs(repaired, JUDGE)}
    assert found[7].certificate.seeds == tuple(shared)
    assert found[nomination.budget].certificate.seeds == tuple(nomination.fresh_seeds[:8])


# ── again ────────────────────────────────────────────────────────────────────────────────────────


def test_proved_again_on_its_own_model_a_certificate_is_the_same_and_draws_only_what_is_new(
    config, repaired
):
    before = [one.certificate for one in find_repairs(repaired, JUDGE)]
    again = certify(config, repaired, pictures=8)
    assert [one.certificate for one in again.proofs] == before
    assert (again.drawn, again.num_repaired) == (0, len(PAIRS))
    more = certify(config, repaired, pictures=12)
    assert more.drawn == len(PAIRS) * 2 * 4
    assert [one.certificate.after.total for one in more.proofs] == [12, 12]


def test_a_repair_that_holds_on_another_model_is_shown_beside_its_own_certificate(config, repaired):
    result = certify(config, repaired, "no b", "right", pictures=8)
    by_model = {(one.model, one.pair.key): one for one in result.proofs}
    assert len(by_model) == 4
    for one in PAIRS:
        lost, right = by_model["toy@no-b", one.key], by_model["toy@right", one.key]
        assert (lost.certificate.after.value, lost.certificate.passed) == (0, False)
        assert (right.certificate.before.value, right.certificate.after.value) == (1, 1)
        assert lost.certificate.model == "toy@no-b"
        assert lost.own.passed
        assert lost.own.model == ""
        assert lost.certificate.seeds == lost.own.seeds, "the same fresh seeds on every model"
    found = find_repairs(repaired, JUDGE)
    others = [other for one in found for other in one.elsewhere]
    assert [one.model for one in found[0].elsewhere] == ["toy@no-b", "toy@right"]
    assert {one.certificate for one in others} == {one.certificate for one in result.proofs}
    assert all(not one.certificate.model for one in found)


def test_a_prompt_that_another_model_cannot_read_is_not_portable_and_the_reason_is_said(
    config, repaired
):
    (nomination, *_) = repaired.nominations()
    staged = Candidate((Stage("a" * 61, 0.5), Stage(PAIRS[0].prompt)))
    repaired.add_nomination(dataclasses.replace(nomination, candidate=staged))
    result = certify(config, repaired, "right", pictures=4)
    refused = [one for one in result.proofs if one.certificate is None]
    assert [one.reason for one in refused] == ["'" + "a" * 20 + "'… has 61 letters"]
    assert refused[0].own is None


def test_the_latest_nomination_counts_that_the_judge_did_not_guide(config, repaired):
    (nomination, *_) = repaired.nominations()
    repaired.add_nomination(dataclasses.replace(nomination, guide=JUDGE))
    assert len(certify(config, repaired, pictures=4).proofs) == len(PAIRS)
    turned = dataclasses.replace(config, checkers=config.checkers[::-1])
    (only,) = certify(turned, repaired, pictures=4).proofs
    assert only.certificate.judge == GUIDE


def test_a_guide_certifies_nothing_of_its_own(config, repaired):
    turned = dataclasses.replace(config, checkers=config.checkers[::-1])
    with pytest.raises(ConfigError, match="guided every repair"):
        certify(turned, repaired)


def test_where_there_is_nothing_to_certify_that_is_one_sentence(config, tmp_path):
    with (
        Store(tmp_path / "empty", create=True) as store,
        pytest.raises(ConfigError, match="run `lcmis repair` first"),
    ):
        certify(config, store)


def test_a_model_that_nobody_can_open_any_more_is_one_sentence(config, repaired):
    (nomination, *_) = repaired.nominations()
    repaired.add_nomination(dataclasses.replace(nomination, model="gone@1"))
    with pytest.raises(ConfigError, match="gone@1 found a repair"):
        certify(config, repaired)


@pytest.mark.parametrize("pictures", [0, 1025])
def test_fresh_seeds_are_as_many_as_belong_to_a_nomination(config, repaired, pictures):
    with pytest.raises(ConfigError, match="--certificate is"):
        certify(config, repaired, pictures=pictures)


def test_more_nominations_are_certified_by_no_more_queries(config, repaired):
    repaired.pairs()  # their documents are read once a store
    asked = []
    event.listen(repaired._engine, "before_cursor_execute", lambda *one: asked.append(one[2]))
    before = find_repairs(repaired, JUDGE)
    few = len(asked)
    for nomination in repaired.nominations():
        for budget in range(5):
            repaired.add_nomination(dataclasses.replace(nomination, budget=budget))
    asked.clear()
    assert find_repairs(repaired, JUDGE) == before
    assert len(asked) == few


# ── other settings ───────────────────────────────────────────────────────────────────────────────


def hurried(config):
    (model,) = config.models
    return dataclasses.replace(config, models=(dataclasses.replace(model, num_inference_steps=2),))


def test_a_search_with_other_settings_is_another_and_proved_by_pictures_drawn_so(config, repaired):
    settings = RepairSettings("rewrite", budget=40, certificate=8)
    before = [one.certificate for one in find_repairs(repaired, JUDGE)]
    result = Repair(hurried(config), repaired, settings).run("with two steps")
    assert result.drawn > 0, "what was found with one step is not taken for found with two"
    assert [one.certificate.after.value for one in result.pairs] == [0, 0]
    found = find_repairs(repaired, JUDGE)
    assert [one.spec.num_inference_steps for one in found] == [1, 1, 2, 2]
    after = [one.certificate for one in result.pairs]
    assert [one.certificate for one in found] == before + after
    again = Repair(hurried(config), repaired, settings).run("again")
    assert (again.drawn, again.pairs) == (0, result.pairs)


def test_a_search_learns_nothing_from_trials_that_were_drawn_otherwise(config, repaired):
    few = Repair(hurried(config), repaired, RepairSettings("rewrite", budget=40, certificate=8))
    place = (PAIRS[0].key, few.models[0].model_id)
    assert few.store.trials(*place)
    assert few._trials(place) == []
    few.run("with two steps")
    assert {one.cache for one in few._trials(place)} == {"num_inference_steps 2; scheduler deaf"}


def test_a_repair_proved_with_other_settings_keeps_its_own_certificate(config, repaired):
    before = find_repairs(repaired, JUDGE)
    proofs = Certify(hurried(config), repaired, pictures=8).run("with two steps").proofs
    assert [one.certificate.after.value for one in proofs] == [0, 0]
    assert find_repairs(repaired, JUDGE) == before, "eight seeds each: those drawn first count"
    as_found = Certify(hurried(config), repaired, pictures=8, named=False)
    assert as_found.run("as they were found").drawn == 0


def test_a_threshold_of_its_own_names_another_search(config, repaired):
    stricter = dataclasses.replace(config, threshold=0.8)
    Repair(stricter, repaired, RepairSettings("rewrite", budget=40, certificate=8)).run(
        "lcmis repair"
    )
    given = {one.given for one in repaired.nominations()}
    assert given == {("scheduler deaf",), ("threshold 0.8", "scheduler deaf")}


# ── the best of several ──────────────────────────────────────────────────────────────────────────


def test_a_later_search_that_proves_nothing_takes_no_proved_repair_away(config, repaired):
    proved = repaired_prompts(repaired, JUDGE)
    assert len(proved) == len(PAIRS)
    Repair(config, repaired, RepairSettings("best-of-n", budget=2, certificate=4)).run("a baseline")
    assert [one.certificate for one in repaired_prompts(repaired, JUDGE)] == [
        one.certificate for one in proved
    ]
    assert len(repaired_prompts(repaired, JUDGE, every=True)) == len(PAIRS), "no plain prompt"
    chosen = {nomination for nomination, _ in Certify(config, repaired, pictures=8).plan}
    assert chosen == {one.certificate.nomination for one in proved}


def test_where_none_stands_the_sentence_says_so_and_every_exports_them(config, repaired):
    with pytest.raises(ConfigError, match="2 repairs in this store, and none stands as proved"):
        repaired_prompts(repaired, JUDGE, threshold=0.95)
    assert len(repaired_prompts(repaired, JUDGE, threshold=0.95, every=True)) == len(PAIRS)


def test_an_export_judges_by_the_threshold_of_the_last_repair_and_says_so(config, lcmis, tmp_path):
    strict = dataclasses.replace(config, threshold=0.95)
    with Store(config.store) as store:
        Repair(strict, store, RepairSettings("rewrite", budget=40, certificate=8)).run(
            "lcmis repair"
        )
    path = tmp_path / "repaired.jsonl"
    code, _, err = lcmis("export", "jsonl", path, "--store", config.store)
    assert (code, "threshold of 0.95" in err) == (2, True)
    for flags, threshold in ((["--threshold", "0.5"], 0.5), (["--every"], 0.95)):
        assert lcmis("export", "jsonl", path, "--store", config.store, *flags)[0] == 0
        records = [json.loads(line) for line in path.read_text().splitlines()]
        assert {one["threshold"] for one in records} == {threshold}
        assert {one["after_right"] for one in records} == {float(threshold == 0.5)}
    assert lcmis("export", "jsonl", path, "--store", config.store, "--threshold", "nan")[0] == 2


def test_a_model_that_cannot_be_opened_here_any_more_harms_no_other(config, repaired, tmp_path):
    with Store(tmp_path / "other", create=True):
        pass
    gone = dataclasses.replace(config, models=(ModelSettings(str(tmp_path / "moved-away")),))
    repaired.add_run(provenance(gone, "lcmis audit", ["moved-away@1"], []))
    assert len(repaired_prompts(repaired, JUDGE)) == len(PAIRS)
    assert Certify(config, repaired, pictures=8, named=False).run("a proof").num_proved == 2


def test_without_a_model_named_each_repair_is_proved_on_its_own(config, lcmis, tmp_path):
    file = tmp_path / "two.toml"
    file.write_text(
        f'store = "{config.store}"\npairs = ["{config.pairs[0]}"]\n'
        + "".join(f'[[models]]\nname = "toy"\nscheduler = "{one}"\n' for one in ("deaf", "no b"))
        + "".join(f'[[checkers]]\nkind = "toy"\nname = "{one}"\n' for one in ("reader", "guide"))
    )
    ToyModel.drawn.clear()
    code, out, err = lcmis("certify", file, "--yes", "--json", "--certificate", "8")
    assert (code, err) == (0, "")
    assert {one["model"] for one in json.loads(out)["proofs"]} == {"toy@deaf"}
    assert ToyModel.drawn == []


# ── collateral ───────────────────────────────────────────────────────────────────────────────────

CHOSEN = Nomination(
    PAIRS[0].key, "m@1", "moce", "clip:guide@1", Candidate((Stage("x"),)), 9, 9, "found"
)
RIGHT, WRONG = judge.Picture(0.9, 0.9), judge.Picture(0.1, 0.9)


def certificate(fits):
    count = len(fits)
    before, after = [WRONG] * count, [RIGHT] * count
    return judge.certificate(
        CHOSEN, "vqa:judge@1", range(count), before, after, pair=PAIRS[0], fits=fits
    )


def test_pictures_that_fit_the_plain_prompt_less_are_collateral():
    fits = [(0.8 + 0.001 * n, 0.5 + 0.01 * n) for n in range(12)]
    changes = [after - before for before, after in fits]
    assert wilcoxon(changes, alternative="less").pvalue < 0.05
    assert certificate(fits).collateral == (
        "fits the plain prompt less, says the guide: 0.81 before, 0.56 after",
    )


def test_two_numbers_that_differ_are_told_so_that_they_differ():
    small = [(0.0042 + 1e-5 * n, 0.0011) for n in range(12)]
    assert certificate(small).collateral == (
        "fits the plain prompt less, says the guide: 0.004 before, 0.001 after",
    )


@pytest.mark.parametrize(
    "fits",
    [
        [(0.5, 0.5)] * 12,
        [(0.2, 0.9)] * 12,
        [(0.8, 0.5)] * 3,
        [(0.8, None)] * 12,
        [(None, None)] * 12,
    ],
    ids=["equal", "better", "too few", "after unknown", "unknown"],
)
def test_what_is_equal_better_few_or_unknown_is_no_collateral(fits):
    assert certificate(fits).collateral == ()


def test_the_command_shows_what_helps_elsewhere_beside_its_own(config, repaired, capsys):
    from lcmis.cli.terminal.repairs import print_proofs

    print_proofs(certify(config, repaired, "no b", "right", pictures=8))
    said = " ".join(capsys.readouterr().out.split())
    assert "0 of 4 help on another model too (0 after control for looking at 4); 0 do harm" in said
    assert "its own 100 %" in said
    print_proofs(certify(config, repaired, pictures=8))
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "2 of 2 repairs pass again on the model they were found for "
        "(2 after control for looking at 2)." in said
    )


# ── many ─────────────────────────────────────────────────────────────────────────────────────────


def test_every_certificate_of_a_run_stands_among_all_of_it(config, repaired):
    result = certify(config, repaired, pictures=8)
    assert (result.num_repaired, result.num_proved) == (2, 2)
    assert [one.standing.among for one in result.proofs] == [2, 2]
    both = [one.certificate for one in result.proofs]
    assert tuple(one.standing for one in result.proofs) == judge.standings(both)


def test_what_passes_alone_does_not_stand_among_many_that_show_nothing(config, repaired):
    (found, _) = certify(config, repaired, pictures=8).proofs
    nothing = judge.certificate(
        CHOSEN, "vqa:j@1", range(8), [RIGHT] * 8, [RIGHT] * 8, pair=PAIRS[0]
    )
    assert nothing.anytime_p == 1
    standings = stand_together([found.certificate, None, *[nothing] * 63])
    assert standings[1] is None
    assert (standings[0].proved, standings[0].among) == (False, 64)
    assert found.certificate.passed


def test_repairs_stand_among_all_of_the_store_those_on_other_models_too(config, repaired):
    certify(config, repaired, "no b", "right", pictures=8)
    found = find_repairs(repaired, JUDGE)
    own = [one.certificate for one in found]
    others = [other.certificate for one in found for other in one.elsewhere]
    assert {one.standing.among for one in found} == {len(own) + len(others)} == {6}
    assert [one.standing.proved for one in found] == [True, True]
    assert [one.standing.expected for one in found] == list(judge.expected(own))


# ── how far it is ────────────────────────────────────────────────────────────────────────────────


def pictures_of(store):
    """Of every search and the proofs of both prompts, eight fresh seeds each."""
    return [one.pictures + 2 * 8 for one in store.nominations()]


def test_a_repair_tells_the_pictures_of_searches_and_proofs_over_all_pairs(config, tmp_path):
    config = dataclasses.replace(config, store=str(tmp_path / "new"))
    with Store(config.store, create=True) as store:
        Audit(config, store).run("an audit")
        told = []
        Repair(config, store, RepairSettings("rewrite", 40, certificate=8), told.append).run()
        spent = pictures_of(store)
    assert [one.pictures for one in told] == sorted(one.pictures for one in told)
    assert (told[0].pictures, told[0].expected) == (0, 2 * (40 + 16))
    assert (told[-1].pictures, told[-1].expected) == (sum(spent), sum(spent))
    assert (told[-1].done, told[-1].pairs, told[-1].repaired) == (2, 2, 2)
    assert {one.done for one in told} == {0, 1, 2}
    assert told[-1].activity.startswith("repaired: ")
    half = next(one for one in told if one.done == 1)
    assert half.expected in {40 + 16 + ended for ended in spent}


def test_a_repair_run_again_tells_the_same_end(config, repaired):
    told = []
    settings = RepairSettings("rewrite", budget=60, certificate=8)
    Repair(config, repaired, settings).run()
    Repair(config, repaired, settings, told.append).run()
    spent = sum(one.pictures + 16 for one in repaired.nominations() if one.budget == 60)
    assert (told[-1].pictures, told[-1].expected, told[-1].repaired) == (spent, spent, 2)


def test_proofs_tell_how_many_pictures_they_compare(config, repaired):
    told = []
    Certify(config, repaired, pictures=8, watch=told.append).run()
    assert (told[0].pictures, told[0].done, told[0].repaired) == (0, 0, 0)
    assert (told[-1].pictures, told[-1].expected) == (32, 32)
    assert (told[-1].done, told[-1].pairs, told[-1].repaired) == (2, 2, 2)
