"""Asking better: a panel that votes, and a concept weighed against its look-alikes."""

import dataclasses

import pytest
from PIL import Image
from worlds.facts import make_pair

from lcmis.check import questions_for, questions_of
from lcmis.check.compared import ComparedChecker
from lcmis.check.panel import PanelChecker
from lcmis.errors import ConfigError, UnknownNameError
from lcmis.judge import certificate
from lcmis.plugins import registry
from lcmis.plugins.opening import asked_by, open_checker
from lcmis.plugins.settings import AuditSettings, CheckerSettings, ModelSettings
from lcmis.repair.search import Repair, RepairSettings
from lcmis.store import Store
from lcmis.testing import CheckerContract
from lcmis.types import (
    NONE_OF_THESE,
    Answer,
    Box,
    Candidate,
    Concept,
    Nomination,
    Question,
    QuestionKind,
    Stage,
    members_of,
    share_a_member,
)

PAIR = make_pair()
NAMED = dataclasses.replace(PAIR, a=Concept("tea cup", synonyms=("teacup",)))
GREY = Image.new("RGB", (8, 8), (128, 128, 128))
PRESENT = QuestionKind.A_PRESENT


class Fixed:
    """Says of each name what its own name says, ``tea cup=0.9,glass=?``: ``?`` is silence, else 0.

    Takes a question where it knows what to say of the concept, and a choice unless it is blind.
    """

    decides = True

    def __init__(self, settings):
        self._said = dict(part.split("=") for part in settings.name.split(","))
        self.checker_id = f"fixed:{settings.name}@{settings.revision or 1}"
        self.asked_of = []

    def takes(self, question):
        if question.kind.is_choice:
            return "blind" not in self._said and len(question.options) > 1
        return question.kind is not QuestionKind.LIKENESS and (
            "known" not in self._said or question.text in self._said
        )

    def score(self, images, questions):
        self.asked_of += questions
        return [
            self._answers(one, image) if self.takes(one) else ()
            for image, one in zip(images, questions, strict=True)
        ]

    def _answers(self, question, image):
        names = question.options if question.kind.is_choice else ("",)
        if image is None:
            return tuple(Answer(None, name, "there is no picture") for name in names)
        if question.kind.is_choice:
            return tuple(Answer(1 / len(names), name) for name in names)
        said = self._said.get(question.text, "0")
        if said == "?":
            return (Answer(None, reason="it will not say"),)
        return (Answer(float(said), mass=0.8, box=Box(0, 0, 1, 1, question.text)),)


class Likes(Fixed):
    decides = False


class Served(Fixed):
    kept = None


class ReadsAll(Fixed):
    reads_synonyms = True


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    ours = registry.BUILT_IN["checkers"] | {
        name: f"{__name__}:{kind.__name__}"
        for name, kind in (
            ("fixed", Fixed),
            ("likes", Likes),
            ("served", Served),
            ("reads-all", ReadsAll),
        )
    }
    monkeypatch.setitem(registry.BUILT_IN, "checkers", ours)


def panel(*members, **settings):
    return open_checker(CheckerSettings("panel", "+".join(members), **settings))


def compared(name, **settings):
    return open_checker(CheckerSettings("compared", name, **settings))


def of_cup(checker):
    presence = questions_for(checker, PAIR)[0]
    ((answer,),) = checker.score([GREY], [presence])
    return answer


class TestAPanelKeepsTheContract(CheckerContract):
    def make(self):
        return panel("fixed:tea cup=0.9", "fixed:tea cup=0.7")


class TestAComparisonKeepsTheContract(CheckerContract):
    def make(self):
        return compared("fixed:tea cup=0.9,glass=0.4")


# ── a panel ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("votes", "value"),
    [
        ((0.9, 0.7), 0.8),
        ((0.2, 0.4), 0.3),
        ((0.5, 0.5), 0.5),
        ((0.5, 0.499), None),
        ((0.9, 0.1), None),
        ((0.9, 0.6, 0.1), 0.6),
        ((0.9, 0.2, 0.1), 0.2),
        ((0.9, 0.8, 0.7, 0.1), 0.75),
        ((0.9, 0.8, 0.3, 0.1), None),
    ],
)
def test_more_than_half_decide_and_a_tie_is_an_abstention(votes, value):
    said = of_cup(panel(*(f"fixed:tea cup={vote},{n}=0" for n, vote in enumerate(votes))))
    assert said.value == (None if value is None else pytest.approx(value))
    assert said.mass == 0.8


def test_a_divided_panel_says_who_said_what():
    said = of_cup(panel("fixed:tea cup=0.93", "fixed:tea cup=0.02"))
    assert said.reason == (
        "the panel is divided: fixed:tea cup=0.93@1 0.93, fixed:tea cup=0.02@1 0.02"
    )


def test_a_member_that_abstains_makes_the_panel_abstain():
    members = ("fixed:tea cup=0.9", "fixed:tea cup=0.8", "fixed:tea cup=?")
    assert of_cup(panel(*members)).reason == "fixed:tea cup=?@1: it will not say"


def test_a_choice_is_answered_by_the_first_member_that_takes_it_alone():
    ours = panel("fixed:blind=1", "fixed:tea cup=1")
    choice = questions_of(PAIR)[-1]
    ((*answers,),) = ours.score([GREY], [choice])
    assert [one.option for one in answers] == list(choice.options)
    assert not panel("fixed:blind=1", "fixed:blind=1,x=0").takes(choice)


def test_what_one_member_does_not_take_is_not_asked_of_the_others():
    ours = panel("fixed:tea cup=1,known=1", "fixed:tea cup=1")
    assert ours.takes(Question(PRESENT, "tea cup"))
    assert not ours.takes(Question(PRESENT, "glass"))
    assert ours.score([GREY], [Question(PRESENT, "glass")]) == [()]


def test_a_panels_id_names_every_member_with_its_revision():
    ours = panel("fixed:a=1@r1", "fixed:b=1@r2")
    assert ours.checker_id == "panel:fixed:a=1 and fixed:b=1@r1-and-r2"
    assert members_of(ours.checker_id) == ("fixed:a=1@r1", "fixed:b=1@r2")


def test_the_last_revision_may_come_apart_from_the_name_as_a_flag_has_it():
    split = CheckerSettings("panel", "fixed:a=1@r1+fixed:b=1", revision="r2")
    assert open_checker(split).checker_id == panel("fixed:a=1@r1", "fixed:b=1@r2").checker_id


def test_each_member_of_a_panel_reads_what_it_reads_alone():
    ours = panel("reads-all:tea cup=1", "compared:fixed:tea cup=1,y=0", "fixed:tea cup=1,x=0")
    presence = questions_for(ours, NAMED)[0]
    assert presence.options == ("tea cup", "glass", "mug")
    assert presence.synonyms == (("teacup",),)
    ours.score([GREY], [presence])
    reads, comparing, plain = ours._members
    alone = Question(PRESENT, "tea cup", contrast=presence.contrast)
    assert plain.asked_of == [alone]
    assert reads.asked_of == [Question(PRESENT, "tea cup", (), presence.contrast, (("teacup",),))]
    assert [one.text for one in comparing._checker.asked_of] == ["tea cup", "glass", "mug"]
    assert comparing._checker.asked_of[0] == alone


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "has two members or more"),
        ("fixed:a=1", "has two members or more"),
        ("fixed:a=1+", "has two members or more"),
        ("fixed:a=1+fixed:a=1", "one vote twice"),
        ("fixed:a=1+compared:fixed:a=1", "one vote twice"),
        ("fixed:a=1+panel:x", "cannot be a member"),
        ("fixed:a=1+likes:b=1", "no vote in a panel"),
        ("fixed:a=1+served:b=1", "behind an API"),
        ("fixed:a=1+fixed:b and c=1", "another name"),
    ],
)
def test_a_panel_that_cannot_vote_is_refused_in_a_sentence(name, said):
    with pytest.raises(ConfigError, match=said):
        open_checker(CheckerSettings("panel", name))


def test_a_member_of_a_kind_that_is_not_there_is_named():
    with pytest.raises(UnknownNameError, match="fixd"):
        panel("fixed:a=1", "fixd:b=1")


# ── compared ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("tea cup=0.9", 0.9 / 1.0),
        ("tea cup=0.9,glass=0.9", 0.9 / 1.9),
        ("tea cup=0.9,glass=0.8", 0.5),
        ("tea cup=0.4,glass=0.1,mug=0.2", 0.4 / 0.7),
        ("tea cup=0.02", 0.02 / 0.12),
        ("tea cup=0", 0.0),
    ],
)
def test_a_concept_is_there_where_it_is_surer_than_its_nearest_look_alike(said, value):
    answer = of_cup(compared(f"fixed:{said}"))
    assert answer.value == pytest.approx(value)
    assert (answer.mass, answer.box.words) == (0.8, "tea cup")


def test_the_weight_of_neither_may_be_set_and_is_part_of_the_id():
    ours = compared("fixed:tea cup=0.6,glass=0.2", none_below=0.4)
    assert of_cup(ours).value == pytest.approx(0.5)
    assert ours.checker_id == "compared:fixed:tea cup=0.6,glass=0.2@1+none0.4"
    assert members_of(ours.checker_id) == ("fixed:tea cup=0.6,glass=0.2@1",)
    assert compared("fixed:tea cup=1").checker_id.endswith("@1+none0.1")


def test_without_suspects_the_checkers_own_answer_stands():
    ours = compared("fixed:tea cup=0.3")
    lonely = dataclasses.replace(PAIR, intruders=())
    ((answer,),) = ours.score([GREY], [questions_for(ours, lonely)[0]])
    assert answer.value == 0.3


def test_a_silence_about_a_look_alike_is_one_of_the_comparison():
    assert of_cup(compared("fixed:tea cup=0.9,glass=?")).reason == "glass: it will not say"


def test_questions_name_look_alikes_only_to_who_reads_them():
    ours, plain = compared("fixed:tea cup=1"), open_checker(CheckerSettings("fixed", "x=1"))
    assert questions_for(plain, NAMED) == questions_of(NAMED)
    a, b, *rest = questions_for(ours, NAMED)
    assert (a.options, b.options) == (("tea cup", "glass", "mug"), ("iced coke", "hot tea"))
    assert tuple(rest) == questions_of(NAMED)[2:]
    assert NONE_OF_THESE not in a.options


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "asks one checker more"),
        ("panel:a+b", "asks one checker more"),
        ("compared:fixed:a=1", "asks one checker more"),
        ("likes:a=1", "nothing to compare"),
        ("fixed:known=1", "nothing to compare"),
        ("served:a=1", "behind an API"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(name, said):
    with pytest.raises(ConfigError, match=said):
        compared(name)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_weight_of_neither_outside_of_its_range_is_refused(weight):
    with pytest.raises(ConfigError, match="between 0 and 1"):
        compared("fixed:a=1", none_below=weight)


# ── who searches does not judge ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("vqa:a@1", "vqa:a@1", True),
        ("vqa:a@1", "vqa:a@2", False),
        ("panel:vqa:a and clip:b@1-and-2", "clip:b@2", True),
        ("panel:vqa:a and clip:b@1-and-2", "clip:b@1", False),
        ("compared:vqa:a@1+p2+none0.1", "vqa:a@1+p2", True),
        ("panel:compared:vqa:a and clip:b@1+none0.1-and-2", "vqa:a@1", True),
        ("compared:vqa:a@1+none0.1", "panel:clip:b and clip:c@2-and-3", False),
    ],
)
def test_two_checkers_share_a_member_where_the_same_one_looks(one, other, shared):
    assert share_a_member(one, other) is shared
    assert share_a_member(other, one) is shared


def test_a_guide_that_has_a_part_in_the_judge_certifies_nothing():
    guided = Nomination(
        PAIR.key, "m@1", "r@1", "clip:b@2", Candidate((Stage("x"),)), 1, pictures=1, ended="found"
    )
    with pytest.raises(ValueError, match="guided the search"):
        certificate(guided, "panel:vqa:a and clip:b@1-and-2", [], [], [], pair=PAIR)


def test_a_repair_whose_guide_has_a_part_in_the_judge_is_refused(tmp_path):
    config = AuditSettings(
        models=(ModelSettings("teacup-narrow"),),
        checkers=(
            CheckerSettings("panel", "fixed:a=1+fixed:b=1"),
            CheckerSettings("compared", "fixed:b=1"),
        ),
        pairs=("teacup",),
    )
    with (
        Store(tmp_path / "audit", create=True) as store,
        pytest.raises(ConfigError, match="has a part in"),
    ):
        Repair(config, store, RepairSettings("rewrite"))


def test_what_was_asked_can_be_shown_for_every_member_and_every_look_alike():
    judge = open_checker(CheckerSettings("teacup-judge", device="cpu")).checker_id
    guard = open_checker(CheckerSettings("teacup-guard", device="cpu")).checker_id
    presence = questions_of(PAIR, lookalikes=True)[0]
    shown = [text for _, text in asked_by(f"compared:{judge}+none0.1", presence)]
    assert [name in text for name, text in zip(presence.options, shown, strict=True)] == [True] * 3
    both = PanelChecker(CheckerSettings("panel", "teacup-judge+teacup-guard")).checker_id
    assert members_of(both) == (judge, guard)
    said = asked_by(both, presence)
    assert said == (*asked_by(judge, presence), *asked_by(guard, presence))
    choice = questions_of(PAIR)[-1]
    assert asked_by(both, choice) == asked_by(judge, choice) != ()


def test_both_are_kinds_that_a_person_can_name():
    assert registry.load("checkers", "panel") is PanelChecker
    assert registry.load("checkers", "compared") is ComparedChecker
