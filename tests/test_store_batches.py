"""Facts of many kinds go in together: one transaction, the same rows, nothing twice."""

from __future__ import annotations

import dataclasses
import random

import pytest
from worlds import facts
from worlds.facts import answer_all, make_drawn, make_pair, make_picture, make_spec

from lcmis.errors import UnknownNameError
from lcmis.store import Store
from lcmis.store.images import PictureFolder
from lcmis.types import Exchange, Failure, Score

folder = facts.folder
place = facts.place
postgresql = facts.postgresql
store = facts.store

PAIR, OTHER = make_pair(), make_pair("wine glass", "milk")
SPECS = [make_spec(PAIR, seed) for seed in range(4)]
FAILURE = Failure("k1:0", "render", "not finite", "2026-01-01T00:00:00+00:00")


def answers() -> tuple[list[Score], list]:
    scores, questions = [], []
    for spec in SPECS:
        said, asked = answer_all(spec, PAIR, random.Random(spec.seed))
        scores += said
        questions += asked
    return scores, questions


def test_a_batch_of_many_kinds_is_what_one_call_a_kind_keeps(store: Store, tmp_path) -> None:
    drawn, (scores, questions) = [make_drawn(PAIR, spec) for spec in SPECS], answers()
    exchange = Exchange("k1:1", "openai:judge", (("user", "?"),), "yes", "")
    with Store(tmp_path / "apart", create=True) as apart:
        for one in (store, apart):
            one.add_pairs([PAIR, OTHER])
        store.add_many(
            drawn,
            scores,
            questions,
            links={OTHER.key: [SPECS[0].key]},
            exchanges=[exchange],
            failures=[FAILURE],
        )
        apart.add_renders(drawn)
        apart.add_scores(scores, questions)
        apart.link(OTHER.key, [SPECS[0].key])
        apart.add_exchange(exchange)
        apart.add_failure(FAILURE)
        assert store.growth() == apart.growth()
        assert store.evidence(facts.CHECKER) == apart.evidence(facts.CHECKER)
        assert store.failures() == apart.failures() == [FAILURE]
        assert store.exchanges() == apart.exchanges()


def test_a_batch_that_comes_again_adds_nothing(store: Store) -> None:
    drawn, (scores, questions) = [make_drawn(PAIR, spec) for spec in SPECS], answers()
    store.add_pairs([PAIR])
    store.add_many(drawn[:2], [one for one in scores if one.render == SPECS[0].key], questions)
    store.add_many(drawn, scores, questions)
    before = store.growth()
    store.add_many(drawn, scores, questions)
    assert store.growth() == before
    assert (before.renders, before.links, before.scores) == (4, 4, len(scores))


def test_a_batch_is_kept_whole_or_not_at_all(store: Store) -> None:
    store.add_pairs([PAIR])
    scores, questions = answers()
    with pytest.raises(UnknownNameError, match="no picture in the store has the key"):
        store.add_many([make_drawn(PAIR, SPECS[0])], scores, questions, failures=[FAILURE])
    assert (store.growth().renders, store.growth().scores, store.growth().failures) == (0, 0, 0)
    with pytest.raises(UnknownNameError, match="no pair in the store has the key"):
        store.add_many([make_drawn(OTHER, make_spec(OTHER))])
    assert store.growth().renders == 0


def test_a_picture_whose_file_another_process_wrote_is_kept_by_its_row(
    store: Store, tmp_path
) -> None:
    picture = make_picture(SPECS[0].seed)
    drawn = make_drawn(PAIR, SPECS[0])
    store.add_pairs([PAIR])
    sizes = PictureFolder(store.image_path(drawn.render.sha256).parents[1]).write(
        {drawn.render.sha256: picture}
    )
    size = sizes[drawn.render.sha256]
    store.add_many([dataclasses.replace(drawn, image=None, num_bytes=size)])
    assert store.image(drawn.render.sha256).tobytes() == picture.tobytes()
    assert store.counts().picture_bytes == size > 0


def test_a_picture_that_was_checked_before_it_was_linked_brings_its_answers(store: Store) -> None:
    twin = dataclasses.replace(PAIR, sentences=("a cup with coke",))
    scores, questions = answers()
    store.add_pairs([PAIR, twin])
    store.add_many([make_drawn(PAIR, spec) for spec in SPECS], scores, questions)
    assert store.evidence(facts.CHECKER, pair=twin.key) == []
    store.add_many(links={twin.key: [spec.key for spec in SPECS]})
    shared = store.evidence(facts.CHECKER, pair=twin.key)
    assert [line.a for line in shared] == [
        line.a for line in store.evidence(facts.CHECKER, pair=PAIR.key)
    ]
    assert None not in [line.a for line in shared]
