"""Controls show nothing of their pair, are many different pictures, and cost nothing twice."""

from __future__ import annotations

import dataclasses
from itertools import chain, combinations

import pytest
from worlds.toys import COLOURS, ToyModel, pair

from lcmis.audit.controls import AT_ONCE, Strangers, missing_controls
from lcmis.audit.run import Audit
from lcmis.plugins.settings import AuditSettings, CheckerSettings, ModelSettings
from lcmis.propose.catalogue import to_toml
from lcmis.store import Store
from lcmis.store.images import PictureFolder
from lcmis.types import Concept

pytestmark = pytest.mark.usefixtures("toys")

PAINTS = [name for name in COLOURS if name != "void"]
PAIRS = tuple(pair(a, b) for a, b in chain(combinations(PAINTS, 2)))


@pytest.fixture
def config(tmp_path):
    (tmp_path / "pairs.toml").write_text(to_toml(PAIRS), "utf-8")
    return AuditSettings(
        models=(ModelSettings("toy"),),
        checkers=(CheckerSettings("toy"),),
        pairs=(str(tmp_path / "pairs.toml"),),
        store=str(tmp_path / "audit"),
    )


def run(config):
    with Store(config.store, create=True) as store:
        return Audit(config, store).run("a test")


def controls(store, kind):
    return {item.pair_key: item.render for item in store.renders(model=f"control@{kind}")}


def named(number, a=None, b=None):
    """A pair of names of its own."""
    a, b = a or f"a{number}", b or f"b{number}"
    halves = pair("rubine", "azure")
    return dataclasses.replace(
        halves, a=Concept(a), b=Concept(b), prompt=f"{a} and {b} {number}", intruders=()
    )


def test_a_mismatched_picture_is_one_of_a_pair_that_shares_no_concept(config):
    run(config)
    with Store(config.store, read_only=True) as store:
        first = {
            item.render.sha256: item.pair_key
            for item in store.renders(limit=1000)
            if item.spec.seed == 0 and not item.spec.model.startswith("control")
        }
        pairs = {one.key: one for one in PAIRS}
        shown = controls(store, "mismatched")
        assert len(shown) == len(PAIRS)
        for key, render in shown.items():
            names = {pairs[first[render.sha256]].a.name, pairs[first[render.sha256]].b.name}
            assert not names & {pairs[key].a.name, pairs[key].b.name}


def test_mismatched_pictures_are_as_many_as_pairs_where_no_pair_shares_a_concept():
    pairs = [named(number) for number in range(50)]
    strangers = Strangers(pairs)
    nearest = {one.key: next(strangers.of(one)).key for one in pairs}
    assert len(set(nearest.values())) == 50
    assert all(key != other for key, other in nearest.items())
    again = Strangers(pairs[::-1])
    assert nearest == {one.key: next(again.of(one)).key for one in pairs}


def test_every_stranger_is_found_and_no_other():
    mixed = [
        *(named(number, a="cup") for number in range(20)),
        *(named(number, b="milk") for number in range(20, 30)),
        named(30, "cup", "milk"),
        *(named(number) for number in range(31, 40)),
    ]

    def names(one):
        return {one.a.name, one.b.name}

    strangers = Strangers(mixed)
    for one in mixed:
        expected = {other.key for other in mixed if not names(one) & names(other)}
        found = [other.key for other in strangers.of(one)]
        assert set(found) == expected
        assert len(found) == len(expected)
    assert list(Strangers(PAIRS[:1]).of(PAIRS[0])) == []


def test_pairs_that_share_a_concept_are_passed_over_whole():
    """Each looks at no other: 20,000 pairs of one cup would be 200 million comparisons."""
    pairs = [named(number, a="cup") for number in range(20_000)]
    strangers = Strangers(pairs)
    assert all(next(strangers.of(one), None) is None for one in pairs)


def test_a_resume_with_nothing_to_do_reads_no_picture(config, tmp_path):
    before = run(config).models[0].prior
    for file in (tmp_path / "audit" / "pictures").rglob("*.webp"):
        file.unlink()
    assert run(config).models[0].prior == before


def test_controls_come_a_few_at_a_time_and_no_picture_is_read_for_them(config, monkeypatch):
    run(config)
    monkeypatch.delattr(PictureFolder, "read")
    with Store(config.store) as store:
        pairs = [named(number) for number in range(3 * AT_ONCE)]
        model = ToyModel(config.models[0])
        spec = store.renders(limit=1)[0].spec
        first = dict.fromkeys(pairs, spec)
        assert model.model_id == spec.model
        made = list(missing_controls(store, first))
        assert max(map(len, made)) == AT_ONCE
        assert sum(map(len, made)) == 2 * len(pairs)


def test_what_was_left_of_controls_is_done_by_the_next_run(config):
    run(config)
    with Store(config.store, read_only=True) as store:
        whole = store.growth()
    few = dataclasses.replace(config, store=config.store + "-few", limit=3)
    run(few)
    run(dataclasses.replace(few, limit=None))
    with Store(few.store, read_only=True) as store:
        grown = store.growth()
        assert len(controls(store, "blank")) == len(PAIRS)
        assert grown.renders == whole.renders
        assert grown.scores == whole.scores
