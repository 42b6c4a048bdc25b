"""What a checker was asked and said: in the terminal, in the report, as values; and who differs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from worlds import judged_store, small_store
from worlds.judged_store import LOCAL, PICTURE, THOUGHT
from worlds.small_store import COKE, HOSTILE, JUDGE, SECOND

from lcmis.errors import ConfigError
from lcmis.findings import dissents, look_up, tell, words
from lcmis.store import Store
from lcmis.types import QuestionKind, Verdict

Lcmis = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return judged_store.fill(tmp_path_factory.mktemp("judged"))


def of(folder: Path, name: str, kind: QuestionKind) -> Any:
    with Store(folder, read_only=True) as store:
        _, render = store.render(PICTURE.key)
        return next(
            one for one in tell(store, render) if name in one.checker and one.question.kind is kind
        )


def test_a_judge_that_runs_here_is_told_in_the_words_it_was_asked(folder: Path) -> None:
    told = of(folder, LOCAL, QuestionKind.A_PRESENT)
    assert told.messages == (("user", 'Does this image show "tea cup"? Answer yes or no.'),)
    assert told.replies == ()
    choice = of(folder, LOCAL, QuestionKind.INTRUDER_A)
    lines = choice.messages[0][1].splitlines()[1:-1]
    assert [line[3:] for line in lines] == list(choice.question.options)
    assert [answer.option for answer in choice.answers] == list(choice.question.options)


def test_a_judge_that_was_asked_in_other_words_is_not_put_todays_into_its_mouth(
    folder: Path,
) -> None:
    assert of(folder, JUDGE, QuestionKind.A_PRESENT).messages == ()


def test_a_judge_that_compares_is_told_with_what(folder: Path) -> None:
    with Store(folder, read_only=True) as store:
        _, render = store.render(PICTURE.key)
        clip = [one for one in tell(store, render) if one.checker == SECOND]
    assert {one.messages for one in clip} == {()}  # its questions had no counterfactual
    from lcmis.check import questions_of
    from lcmis.plugins.opening import asked_by

    question = questions_of(COKE)[0]
    assert asked_by(SECOND, question) == tuple(("compared with", t) for t in question.contrast)
    assert asked_by("toothbrush:x@1", question) == ()


def test_a_reply_read_by_its_odds_is_told_with_them(folder: Path) -> None:
    told = of(folder, "org/odds", QuestionKind.A_PRESENT)
    ((reply,), (answer,)) = told.replies, told.answers
    said = dict(words.reply(reply))
    assert said["first word"].startswith("“Yes” 81\u00a0%, “No” 12\u00a0%")
    how = dict(words.asking(told.replies))
    assert how["answered by"] == "vlm-2026-08 with fp_7"
    assert how["tokens"] == "100 read, 1 written"
    assert how["picture"] == "64x48, PNG, as data"
    assert answer.value == pytest.approx(0.81 / 0.93)
    assert told.ranges == (None,)


def test_replies_that_were_counted_are_told_one_by_one_with_the_interval_of_their_share(
    folder: Path,
) -> None:
    told = of(folder, "org/thinks", QuestionKind.A_PRESENT)
    assert [one.reply.said for one in told.replies] == ["No", "No", "Yes", "No.", "Hm"]
    assert {one.reply.thought for one in told.replies} == {THOUGHT}
    (answer,), (share,) = told.answers, told.ranges
    assert (answer.value, answer.mass) == (0.25, 0.8)
    assert share.total == 4
    assert share.low < 0.25 < share.high
    said = words.told_range(answer, share, told.counted)
    assert said.startswith("25\u00a0% (")
    assert said.endswith("of 4 replies, of 5 asked for")


def test_a_refusal_is_told_with_its_words(folder: Path) -> None:
    told = of(folder, "org/thinks", QuestionKind.RELATION)
    assert told.answers[0].value is None
    assert "I will not judge this" in told.answers[0].reason
    assert dict(words.reply(told.replies[0]))["no use"].startswith("it refused")


def test_show_asked_tells_all_of_it(folder: Path, lcmis: Lcmis) -> None:
    code, said, _ = lcmis("show", PICTURE.key, "--asked", "--store", folder)
    assert code == 0
    for words_ in (
        'user: Does this image show "tea cup"? Answer yes or no.',
        "“Yes” 81",
        THOUGHT[:30],
        "I will not judge this",
        "of 4 replies, of 5",
        words.UNKNOWN_WORDS,
    ):
        assert words_ in " ".join(said.split()), words_
    _, plain, _ = lcmis("show", PICTURE.key, "--store", folder)
    assert THOUGHT not in " ".join(plain.split())
    assert "--asked" in plain
    _, told, _ = lcmis("show", PICTURE.key, "--asked", "--json", "--store", folder)
    kept = json.loads(told)["told"]
    assert {one["checker"] for one in kept} >= {JUDGE, SECOND, LOCAL}


def test_show_disagree_lists_the_pictures_that_checkers_see_differently(
    folder: Path, lcmis: Lcmis
) -> None:
    code, said, _ = lcmis("show", "--disagree", "--json", "--store", folder)
    assert code == 0
    found = json.loads(said)["pictures"]
    assert found
    with Store(folder, read_only=True) as store:
        known = {c: {e.spec_key: e for e in store.evidence(c)} for c in store.checkers()}
        everything = dissents(store, [JUDGE, *sorted(set(known) - {JUDGE})])
    assert len(found) == len(everything)
    for one in everything:
        assert len({verdict for _, verdict in one.verdicts}) > 1
        assert all(verdict.is_scored for _, verdict in one.verdicts)
        assert one.verdicts[0][0] == JUDGE
    _, table, _ = lcmis("show", "iced coke", "--disagree", "--store", folder)
    assert "seen differently" in table
    assert len(found) == 6  # the odds say yes where the judge sees a glass


def test_checkers_of_one_mind_differ_nowhere(tmp_path: Path, lcmis: Lcmis) -> None:
    store = small_store.fill(tmp_path / "s")
    _, said, _ = lcmis("show", "--disagree", "--store", store)
    assert "No picture is seen differently by 2 checkers." in said


@pytest.mark.parametrize(
    "asked",
    [
        ("failures", "--disagree"),
        ("failures", "--asked"),
        ("--asked",),
        ("iced coke", "--asked"),
        (PICTURE.key, "--disagree"),
    ],
    ids=" ".join,
)
def test_a_choice_that_says_nothing_of_what_was_named_is_refused(
    folder: Path, lcmis: Lcmis, asked: tuple[str, ...]
) -> None:
    code, _, said = lcmis("show", *asked, "--store", folder)
    assert code == 2
    assert said.count("\n") <= 3


def test_looking_up_says_the_same_to_a_program(folder: Path) -> None:
    with Store(folder, read_only=True) as store:
        found = look_up(store, COKE.key, disagree=True)
        assert {one.pair.key for one in found.pictures} == {COKE.key}
        assert Verdict.UNSCORED not in {v for one in found.pictures for _, v in one.verdicts}
        with pytest.raises(ConfigError):
            look_up(store, "failures", asked=True)
    assert HOSTILE


def test_the_report_opens_every_answer_and_lists_where_checkers_differ(
    folder: Path, tmp_path: Path, lcmis: Lcmis
) -> None:
    places = ("--out", tmp_path / "r.html", "--markdown", tmp_path / "r.md")
    code, _, said = lcmis("report", *places, "--checker", JUDGE, "--store", folder)
    assert code == 0, said
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "<details" in page
    for text in ("Where checkers differ", THOUGHT, "I will not judge this", "of 4 replies, of 5"):
        assert text in page, text
    assert "Does this image show &#34;tea cup&#34;? Answer yes or no." in page
    assert page.count("<a href") == page.count('<a href="#')
    told = (tmp_path / "r.md").read_text("utf-8")
    assert "## Where checkers differ" in told
    assert told.count("8ab1ce86b3f7") >= 1
