"""The store keeps facts: once, whole, and exactly as they were."""

from __future__ import annotations

import dataclasses
import itertools
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from worlds import facts
from worlds.facts import (
    CHECKER,
    answer_all,
    make_drawn,
    make_pair,
    make_picture,
    make_spec,
    questions_of,
)

from lcmis.errors import StoreError, UnknownNameError
from lcmis.store import Drawn, Store, picture_hash
from lcmis.types import (
    Adapter,
    Answer,
    Candidate,
    Concept,
    ConceptPair,
    Failure,
    Intruder,
    Label,
    Nomination,
    Question,
    QuestionKind,
    Render,
    RenderSpec,
    Run,
    Score,
    Seen,
    Side,
    Stage,
    Trial,
)

audited = facts.audited
folder = facts.folder
place = facts.place
postgresql = facts.postgresql
store = facts.store


# ── what goes in comes out ───────────────────────────────────────────────────────────────────────


texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12
)  # every character that a database can keep


units = st.floats(0, 1)


concepts = st.builds(Concept, texts, texts, st.lists(texts, max_size=2).map(tuple))


pairs = st.builds(
    lambda a, b, prompt, *rest: ConceptPair(a, b, f"p{prompt}", *rest),
    concepts.map(lambda concept: dataclasses.replace(concept, name=f"a{concept.name}")),
    concepts.map(lambda concept: dataclasses.replace(concept, name=f"b{concept.name}")),
    texts,
    st.lists(texts, max_size=2).map(tuple),
    st.lists(st.builds(Intruder, concepts, st.sampled_from(Side), texts), max_size=2).map(tuple),
    texts,
    texts,
    texts,
)


ends = st.sets(st.floats(0, 1, exclude_min=True, exclude_max=True), max_size=2)


stages = ends.flatmap(
    lambda some: st.tuples(*(st.builds(Stage, texts, st.just(end)) for end in [*sorted(some), 1.0]))
)


specs = st.builds(
    RenderSpec,
    texts,
    stages,
    st.integers(0, 2**63 - 1),
    st.integers(1, 1000),
    st.floats(0, 1e300) | st.integers(0, 100),
    texts,
    st.integers(1, 9000),
    st.integers(1, 9000),
    texts,
    st.lists(st.builds(Adapter, texts, st.floats(-2, 2)), max_size=2).map(tuple),
    texts,
)


answers = st.builds(Answer, units, texts, st.just(""), units) | st.builds(
    Answer, st.none(), texts, texts.map(lambda reason: f"r{reason}"), units
)


questions = st.builds(
    Question,
    st.sampled_from(QuestionKind),
    texts,
    st.lists(texts, max_size=3).map(tuple),
    st.lists(texts, max_size=3).map(tuple),
)


slowly = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@slowly
@given(pair=pairs)
def test_a_pair_comes_out_as_it_went_in(store: Store, pair: ConceptPair) -> None:
    store.add_pairs([pair])
    found = store.pair(pair.key)
    assert found.key == pair.key
    if dataclasses.replace(found, pattern="", source="", licence="") != found:
        assert pair.prompt == found.prompt
    assert [one for one in store.pairs() if one.key == pair.key] == [found]


@slowly
@given(pair=pairs)
def test_a_pair_keeps_what_does_not_count_in_its_key(pair: ConceptPair) -> None:
    from lcmis.store import documents

    assert documents.pair(documents.document(pair)) == pair


@slowly
@given(spec=specs, refused=st.booleans())
def test_a_picture_comes_out_as_it_went_in(store: Store, spec: RenderSpec, refused: bool) -> None:
    pair = make_pair()
    store.add_pairs([pair])
    drawn = make_drawn(pair, spec, refusal="no" if refused else "")
    store.add_renders([drawn])
    found, render = store.render(spec.key)
    assert found == spec
    assert found.key == spec.key
    assert repr(found) == repr(spec)
    if (render.refusal != "") == refused:
        assert render == drawn.render
    if render.sha256:
        assert store.image(render.sha256).tobytes() == make_picture(spec.seed).tobytes()


@slowly
@given(question=questions, answer=answers)
def test_a_score_comes_out_as_it_went_in(
    audited: tuple[Store, ConceptPair, RenderSpec], question: Question, answer: Answer
) -> None:
    store, _, spec = audited
    score = Score(spec.key, f"c:{random.Random(repr(answer)).random()}", question.key, answer)
    store.add_scores([score], [question])
    assert store.question(question.key) == question
    found = [(q, s) for q, s in store.scores(spec.key) if s.checker == score.checker]
    assert (question, score) in found


def test_runs_and_labels_come_out_as_they_went_in(
    audited: tuple[Store, ConceptPair, RenderSpec],
) -> None:
    store, pair, spec = audited
    runs = [Run(f"r{n}", "2026-01-01", "audit", "{}", "{}", "abc", "cpu") for n in range(2)]
    for run in [*runs, runs[0]]:
        store.add_run(run)
    assert store.runs() == runs
    asked = questions_of(pair)[QuestionKind.A_PRESENT]
    labels = [Label(spec.key, asked.key, "yes", rater, "2026-01-01") for rater in ("ann", "bob")]
    store.add_labels(labels, [asked])
    store.add_labels(labels)
    assert store.labels() == labels == store.labels(render=spec.key)
    assert store.labels(render="k1:other") == []


@pytest.mark.parametrize(
    ("text", "said"), [("nul\x00", "NUL"), ("half \ud83d of a face", "surrogate")]
)
def test_text_that_no_database_keeps_is_refused(
    audited: tuple[Store, ConceptPair, RenderSpec], text: str, said: str
) -> None:
    store, pair, spec = audited
    with pytest.raises(StoreError, match=said):
        store.add_pairs([dataclasses.replace(pair, source=text)])
    with pytest.raises(StoreError, match=said):
        store.add_pairs([dataclasses.replace(pair, prompt=text)])
    asked = Question(QuestionKind.A_PRESENT, "x")
    score = Score(spec.key, CHECKER, asked.key, Answer(None, reason=text))
    with pytest.raises(StoreError, match=said):
        store.add_scores([score], [asked])
    with pytest.raises(StoreError, match=said):
        store.add_failure(Failure("k1:x", "render", text, "now"))
    assert store.checkers() == []


# ── facts are written once ───────────────────────────────────────────────────────────────────────


def test_a_second_telling_changes_nothing(audited: tuple[Store, ConceptPair, RenderSpec]) -> None:
    store, pair, spec = audited
    scores, asked = answer_all(spec, pair, random.Random(0))
    store.add_scores(scores, asked)
    before = (store.pairs(), store.renders(), store.scores(spec.key), store.counts())
    store.add_pairs([dataclasses.replace(pair, source="somebody else")])
    again = dataclasses.replace(make_drawn(pair, spec).render, seconds=9.0)
    store.add_renders([Drawn(pair.key, spec, again, make_picture(spec.seed))])
    store.add_scores(
        [dataclasses.replace(score, answer=Answer(1.0, score.answer.option)) for score in scores],
        asked,
    )
    assert (store.pairs(), store.renders(), store.scores(spec.key), store.counts()) == before


def test_another_picture_for_a_known_spec_leaves_no_file(
    audited: tuple[Store, ConceptPair, RenderSpec],
) -> None:
    store, pair, spec = audited
    other = make_picture(99)
    render = Render(spec.key, picture_hash(other), 0.5, "cpu")
    store.add_renders([Drawn(pair.key, spec, render, other)])
    assert store.render(spec.key)[1] == make_drawn(pair, spec).render
    assert list(store.verify()) == []


def test_the_work_to_do_is_the_plan_minus_the_store_in_order(store: Store) -> None:
    pair = make_pair()
    store.add_pairs([pair])
    plan = [make_spec(pair, seed) for seed in range(2000)]
    assert store.missing(plan) == plan
    store.add_renders([make_drawn(pair, spec) for spec in plan[3:6]])
    assert store.missing(plan) == plan[:3] + plan[6:]
    assert store.missing([]) == []


def test_a_question_stays_open_until_this_checker_has_answered(
    audited: tuple[Store, ConceptPair, RenderSpec],
) -> None:
    store, pair, spec = audited
    scores, asked = answer_all(spec, pair, random.Random(0))
    plan = [(spec.key, question) for question in asked]
    assert store.unscored(CHECKER, plan) == plan
    last = asked[-1].key
    store.add_scores([score for score in scores if score.question != last], asked)
    assert store.unscored(CHECKER, plan) == plan[-1:]
    assert store.unscored("clip:other@1", plan) == plan
    assert store.unscored(CHECKER, [("k1:never drawn", asked[0])]) == [("k1:never drawn", asked[0])]


def test_an_abstention_answers_a_question(audited: tuple[Store, ConceptPair, RenderSpec]) -> None:
    store, pair, spec = audited
    asked = questions_of(pair)[QuestionKind.A_PRESENT]
    store.add_scores([Score(spec.key, CHECKER, asked.key, Answer(None, reason="mute"))], [asked])
    assert store.unscored(CHECKER, [(spec.key, asked)]) == []


def test_a_render_must_belong_to_its_spec_and_its_image(
    audited: tuple[Store, ConceptPair, RenderSpec],
) -> None:
    store, pair, spec = audited
    new = make_drawn(pair, make_spec(pair, 1))
    before = store.counts()
    with pytest.raises(ValueError, match="another spec"):
        store.add_renders([dataclasses.replace(new, spec=spec)])
    with pytest.raises(ValueError, match="another hash"):
        store.add_renders([dataclasses.replace(new, image=make_picture(5))])
    with pytest.raises(ValueError, match="no image"):
        store.add_renders([dataclasses.replace(new, image=None)])
    with pytest.raises(UnknownNameError, match="no pair"):
        store.add_renders([dataclasses.replace(new, pair_key="k1:none")])
    assert store.counts() == before


def test_scores_of_unknown_pictures_or_questions_are_refused(
    audited: tuple[Store, ConceptPair, RenderSpec],
) -> None:
    store, _, spec = audited
    asked = Question(QuestionKind.RELATION, "x")
    with pytest.raises(UnknownNameError, match="no picture"):
        store.add_scores([Score("k1:none", CHECKER, asked.key, Answer(0.5))], [asked])
    with pytest.raises(UnknownNameError, match="no question"):
        store.add_scores([Score(spec.key, CHECKER, asked.key, Answer(0.5))], [])
    assert store.counts().scores == 0


# ── names ────────────────────────────────────────────────────────────────────────────────────────


def test_a_pair_answers_to_its_key_its_beginning_and_its_prompt(store: Store) -> None:
    found = [make_pair("tea cup", f"drink {number}") for number in range(40)]
    store.add_pairs(found)
    for pair in found:
        assert store.pair(pair.key) == pair
        assert store.pair(pair.prompt) == pair
        assert store.pair(pair.key[:14]) == pair
        assert store.pair(pair.key[3:14]) == pair
    with pytest.raises(UnknownNameError, match="more than one pair begins with 'k1:'"):
        store.pair("k1:")
    with pytest.raises(UnknownNameError, match="near it: a tea cup of drink 3"):
        store.pair("tea cup of drink 3")
    with pytest.raises(UnknownNameError, match="no pair"):
        store.pair("%")


def test_pairs_of_one_prompt_are_told_apart_by_key(store: Store) -> None:
    both = [make_pair("coke", "cup", prompt="one"), make_pair("cup", "coke", prompt="one")]
    store.add_pairs(both)
    with pytest.raises(UnknownNameError):
        store.pair("one")
    assert [store.pair(pair.key) for pair in both] == both


def test_a_picture_answers_to_the_beginning_of_its_key(
    audited: tuple[Store, ConceptPair, RenderSpec],
) -> None:
    store, _, spec = audited
    assert store.render(spec.key[:9])[0] == spec == store.render(spec.key[3:9])[0]
    with pytest.raises(UnknownNameError, match="no picture"):
        store.render("k1:zz")


def test_many_pictures_are_found_by_their_whole_keys_alone(
    audited: tuple[Store, ConceptPair, RenderSpec],
) -> None:
    store, pair, spec = audited
    others = [make_spec(pair, seed) for seed in range(100, 1100)]  # more than one statement takes
    store.add_renders([make_drawn(pair, other, refusal="no") for other in others])
    keys = [one.key for one in (spec, *others)]
    found = store.renders_of([*keys, *keys[:3], "k1:none", spec.key[:9]])
    assert found == {key: store.render(key) for key in keys[:2]} | {
        key: found[key] for key in keys[2:]
    }
    assert [found[key][0] for key in keys] == [spec, *others]
    assert store.renders_of([]) == {}


# ── pages ────────────────────────────────────────────────────────────────────────────────────────


def test_pages_show_every_picture_once_and_in_order(store: Store) -> None:
    pairs = [make_pair("cup", f"drink {number}") for number in range(3)]
    store.add_pairs(pairs)
    plan = [
        (pair, make_spec(pair, seed, model))
        for seed, pair, model in itertools.product(range(4), pairs, ("m@1", "n@2"))
    ]
    store.add_renders([make_drawn(pair, spec) for pair, spec in plan])

    def walk(**chosen: str) -> list[tuple[str, RenderSpec]]:
        seen, after = [], 0
        while page := store.renders(after=after, limit=5, **chosen):
            assert len(page) <= 5
            after = page[-1].position
            seen += [(listed.pair_key, listed.spec) for listed in page]
        return seen

    named = [(pair.key, spec) for pair, spec in plan]
    assert walk() == named
    assert walk(pair=pairs[1].key) == [item for item in named if item[0] == pairs[1].key]
    assert walk(model="n@2") == [item for item in named if item[1].model == "n@2"]
    both = walk(pair=pairs[2].prompt, model="m@1")
    assert both == [i for i in named if i[0] == pairs[2].key and i[1].model == "m@1"]
    assert walk(model="unheard of") == []
    assert store.models() == ["m@1", "n@2"]


# ── failures ─────────────────────────────────────────────────────────────────────────────────────


def test_a_failure_is_listed_until_its_item_succeeds(store: Store) -> None:
    pair = make_pair()
    spec, other = make_spec(pair, 1), make_spec(pair, 2)
    store.add_pairs([pair])
    first, again = (Failure(spec.key, "render", "out of memory", f"day {day}") for day in (1, 2))
    unlike = Failure(other.key, "render", "not finite", "day 2")
    for failure in (first, again, unlike):
        store.add_failure(failure)
    assert store.failures() == [again, unlike]
    store.add_renders([make_drawn(pair, spec)])
    assert store.failures() == [unlike]
    unchecked = Failure(spec.key, "check", "cannot read", "day 3")
    store.add_failure(unchecked)
    assert store.failures() == [unlike, unchecked]
    assert store.counts().failures == 2
    store.add_scores(*answer_all(spec, pair, random.Random(0)))
    assert store.failures() == [unlike]
    another = dataclasses.replace(unchecked, sentence="the second checker cannot read")
    store.add_failure(another)
    assert store.failures() == [unlike, another]
    store.clear_failure(other.key)
    assert store.failures() == [another]
    store.add_failure(unlike)
    assert store.failures() == [another, unlike]


# ── repairs ──────────────────────────────────────────────────────────────────────────────────────


def test_trials_and_nominations_come_back_as_they_went_in_each_once(store: Store) -> None:
    first, second = make_pair(), make_pair("mug")
    store.add_pairs([first, second])
    candidate = Candidate((Stage("a tea cup", 1 / 3), Stage(first.prompt)), "glass")
    tried = [
        Trial(pair.key, model, "moce", "clip:g@1", candidate, (Seen(2**31, 0.1, None),))
        for pair in (first, second)
        for model in ("m@1", "n@1")
    ]
    chosen = Nomination(first.key, "m@1", "moce", "clip:g@1", candidate, 120, 7, "found")
    for _ in range(2):
        for one in tried:
            store.add_trial(one)
        store.add_nomination(chosen)
    assert store.trials() == tried
    assert store.trials(second.key) == tried[2:]
    assert store.trials(first.key, "n@1") == [tried[1]]
    assert store.trials(model="nobody@1") == []
    assert store.nominations(first.key, "m@1") == [chosen]
    assert store.nominations(second.key) == []
    with pytest.raises(UnknownNameError):
        store.add_trial(dataclasses.replace(tried[0], pair="k1:unknown"))
