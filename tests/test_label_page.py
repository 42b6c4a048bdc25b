"""The page on which people label: what is asked next, how it is answered and taken back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from worlds import small_store
from worlds.pages import drawn, unescaped
from worlds.small_store import COKE, HOSTILE, JUDGE, ROSES, SECOND

from lcmis.errors import ConfigError
from lcmis.findings import calibration, labels
from lcmis.store import Store
from lcmis.types import Label, QuestionKind

import labelling  # isort: skip
from labelling import RaterRecord  # isort: skip

HAS_A, HAS_B, _, INSTEAD = small_store.questions_of(COKE)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_store.fill(tmp_path_factory.mktemp("small"))


@pytest.fixture
def folder(tmp_path: Path, untouched: Path) -> Path:
    """A store of its own, without labels."""
    return shutil.copytree(untouched, tmp_path / "audit")


def opened(folder: Path, *, may_label: bool = True, rater: str = "") -> AppTest:
    """The page, where the rater of the address has confirmed that name."""
    query = {"rater": rater} if rater else {}
    app = drawn({"store": str(folder), "labels": may_label}, "label", **query)
    if rater and may_label:
        next(button for button in app.button if button.label.startswith("Label as")).click().run()
    return app


def press(app: AppTest, label: str) -> None:
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception


def words(app: AppTest) -> str:
    boxes = (*app.error, *app.info, *app.warning, *app.success, *app.caption, *app.header)
    return " ".join(box.value for box in boxes).replace("\\", "")


def kept(folder: Path) -> list[Label]:
    with Store(folder, read_only=True) as store:
        return store.labels()


# ── the order ────────────────────────────────────────────────────────────────────────────────────


class Rater:
    """Answers what he is asked, as the page asks it, and remembers."""

    def __init__(self, folder: Path, answer: str = "yes") -> None:
        self.store = Store(folder)
        self.known = calibration.audited(self.store, [JUDGE, SECOND])
        self.answer, self.labels, self.pictures = answer, list[Label](), list[str]()
        self.repeats: list[str] = []

    def label(self) -> bool:
        """One picture with all of its questions; whether there was one."""
        found = labels.readings(self.labels)
        record = RaterRecord(found, "ann")
        truth = calibration.Truths(found, self.store.question)
        right = {
            place[0]: told
            for place in self.known.cards.strata_of(record.answers)
            if (told := truth.of(place[0], self.known.pairs[place[1]]).right) is not None
        }
        turn = labelling.next_turn(self.known.cards, record, right)
        if turn is None:
            return False
        asked = [question for question, _ in self.store.scores(turn.place[0])]
        questions = labelling.questions_of(self.known.pairs[turn.place[1]], asked)
        said = dict(record.of(turn.place[0]))
        while question := labelling.open_question(questions, said, repeat=turn.repeat):
            answer = question.options[0] if question.kind.is_choice else self.answer
            at = f"2026-11-21T03:00:00.{len(self.labels):06}+00:00"
            self.labels.append(Label(turn.place[0], question.key, answer, "ann", at))
            said[question.key] = (*said.get(question.key, ()), answer)
        (self.repeats if turn.repeat else self.pictures).append(turn.place[0])
        return True


def asked(app: AppTest) -> list[str]:
    """The buttons of the page itself; the sidebar's are on every page."""
    return [button.label for button in app.main.button]


def test_every_picture_comes_once_and_some_a_second_time(folder: Path):
    rater = Rater(folder)
    while rater.label():
        assert len(rater.labels) < 200
    assert len(rater.pictures) == len(set(rater.pictures)) == 21
    assert len(rater.repeats) == len(set(rater.repeats)) == 2
    assert set(rater.repeats) <= set(rater.pictures)
    (found,) = calibration.find_labels(rater.known, rater.labels, rater.store.question).raters
    assert found.repeats.share.total == 4
    assert found.repeats.share.value == 1


def test_a_repeat_lies_far_behind_its_picture(folder: Path):
    rater = Rater(folder)
    for _ in range(11):
        rater.label()
    place = rater.pictures.index(rater.repeats[0])
    assert place < len(rater.pictures) - labelling.LEAST_BETWEEN


def test_the_same_labels_lead_to_the_same_picture_for_everybody(folder: Path):
    first, second = Rater(folder), Rater(folder)
    for _ in range(15):
        assert first.label() == second.label()
    assert first.pictures == second.pictures


def test_disputed_and_doubtful_pictures_come_before_sure_ones(folder: Path):
    known = calibration.audited(Rater(folder).store, [JUDGE, SECOND])
    kinds = list(known.cards.strata)
    sizes = known.cards.sizes
    rater = Rater(folder)
    rater.label()
    rater.label()
    kind = next(k for k, places in known.cards.strata.items() if rater.pictures[1] in dict(places))
    best = max(kinds, key=lambda k: calibration.judge.worth(sizes[k], 0, 0, kind=k))
    assert kind == best or rater.pictures[0] in dict(known.cards.strata[best])


def test_what_stands_instead_is_asked_only_of_what_is_missing():
    questions = labelling.questions_of(COKE, small_store.questions_of(COKE))
    assert set(questions) == {
        QuestionKind.A_PRESENT, QuestionKind.B_PRESENT, QuestionKind.INTRUDER_A,
    }  # fmt: skip
    both = {HAS_A.key: ("yes",), HAS_B.key: ("yes",)}
    assert labelling.open_question(questions, both) is None
    assert labelling.open_question(questions, both | {HAS_A.key: ("no",)}) == INSTEAD
    assert labelling.open_question(questions, both | {HAS_A.key: ("unsure",)}) is None
    assert labelling.open_question(questions, both, repeat=True) == HAS_A
    assert labelling.questions_of(ROSES, small_store.questions_of(COKE)) == {}


# ── the page ─────────────────────────────────────────────────────────────────────────────────────


ASKING = {"Yes", "No", "Cannot tell", "Undo", "Somebody else"}


def test_nothing_is_asked_before_a_name_is_said_and_confirmed_and_then_no_field_is_left(
    folder: Path,
):
    app = opened(folder)
    assert "Who labels?" in words(app)
    app.text_input(key="written").set_value(" ann ")
    press(app, "Go on")
    assert "Are you ann?" in words(app)
    assert not app.text_input
    press(app, "Label as ann")
    assert set(asked(app)) == ASKING
    assert not app.text_input
    assert "Your answer, **ann**" in words(app)
    press(app, "Somebody else")
    assert "Who labels?" in words(app)


def test_a_name_of_the_address_asks_nothing_until_it_is_confirmed(folder: Path):
    press(opened(folder, rater="ann"), "Yes")
    app = drawn({"store": str(folder)}, "label", rater="anny")
    said = " ".join(text.value for text in app.markdown)
    assert "Nobody called **anny** has labelled here yet. Did you mean ann?" in said
    assert set(asked(app)) == {*("Label as anny", "I am ann (1 answer)", "Another name")}
    press(app, "I am ann (1 answer)")
    assert set(asked(app)) == ASKING
    press(app, "Yes")
    assert [label.rater for label in kept(folder)] == ["ann", "ann"]


def test_answers_under_a_wrong_name_are_given_to_their_person_and_nothing_is_changed(folder: Path):
    app = opened(folder, rater="anny")
    press(app, "Yes")
    press(app, "Cannot tell")
    before = kept(folder)
    new = labels.moved(labels.standing(before, "anny")[::-1], "ann")
    with Store(folder) as store:
        store.add_labels(new)
    assert kept(folder)[:2] == before
    said = {(one.question, one.answers, one.rater) for one in labels.readings(kept(folder))}
    assert said == {(one.question, (one.answer,), "ann") for one in before}
    assert labels.standing(kept(folder), "anny") == []
    assert [one.at for one in labels.standing(kept(folder), "ann")] == [one.at for one in before]


def test_both_answers_of_a_repeated_question_move_together_in_their_order():
    given = [Label("r", "q", answer, "anny", f"2026-11-21T03:00:0{n}+00:00") for n, answer in
             enumerate(("yes", "no"))]  # fmt: skip
    after = [*given, *labels.moved(given[::-1], "ann")]
    (reading,) = labels.readings(after)
    assert (reading.rater, reading.answers) == ("ann", ("yes", "no"))
    with pytest.raises(ConfigError, match="ann's answers already"):
        labels.moved(labels.standing(after, "ann"), " ann ")


@pytest.mark.parametrize("name", ["a" * 80, "a\u202eb"])
def test_a_name_that_cannot_be_is_a_sentence(folder: Path, name: str):
    app = drawn({"store": str(folder)}, "label", rater=name)
    assert "name" in app.error[0].value
    assert asked(app) == ["Another name"]


def test_answers_are_kept_with_name_and_time_and_lead_to_the_next_question(folder: Path):
    app = opened(folder, rater="ann")
    first = app.header[0].value
    press(app, "Yes")
    assert app.header[0].value != first
    (label,) = kept(folder)
    assert (label.answer, label.rater) == ("yes", "ann")
    assert label.at.endswith("+00:00")
    press(app, "Cannot tell")
    assert [label.answer for label in kept(folder)] == ["yes", "unsure"]
    assert "1 picture labelled by ann" in " ".join(
        bar.proto.text for bar in app.get("progress")
    ).replace("\\", "")


def test_a_missing_thing_asks_what_stands_instead(folder: Path):
    app = opened(folder, rater="ann")
    while "tea cup" not in app.header[0].value:
        press(app, "Yes")
    press(app, "No")
    press(app, "Yes")
    assert app.header[0].value == "What is there in the place of tea cup?"
    press(app, "glass")
    assert kept(folder)[-1].answer == "glass"


def test_undo_is_a_fact_too_and_brings_the_question_back(folder: Path):
    app = opened(folder, rater="ann")
    asked = app.header[0].value
    press(app, "Yes")
    press(app, "Undo")
    assert app.header[0].value == asked
    assert [label.answer for label in kept(folder)] == ["yes", "withdrawn"]
    assert next(button for button in app.button if button.label == "Undo").disabled


def test_the_checkers_answer_is_told_only_when_the_picture_is_done(folder: Path):
    app = opened(folder, rater="ann")
    assert "vqa:judge" not in words(app)
    press(app, "Yes")
    assert "vqa:judge" not in words(app)
    press(app, "Yes")
    assert "you **Yes** · vqa:judge" in words(app)


def test_another_rater_begins_anew_and_agreement_is_shown(folder: Path):
    app = opened(folder, rater="ann")
    for _ in range(6):
        press(app, "Yes")
    app = opened(folder, rater="bob")
    assert "answered by more than one person" not in words(app)
    for _ in range(6):
        press(app, "Yes")
    assert "bob (you): 6 answers" in words(app)
    assert "ann: 6 answers" in words(app)


def test_before_there_are_enough_labels_only_their_number_is_told(folder: Path):
    app = opened(folder, rater="ann")
    for _ in range(6):
        press(app, "Yes")
    assert "3 labelled pictures of 50" in words(app)
    assert not app.metric
    assert not app.dataframe
    assert not app.get("vega_lite_chart")


def test_without_labels_the_page_only_shows(folder: Path):
    app = opened(folder, may_label=False, rater="ann")
    assert "--no-labels" in words(app)
    assert not asked(app)
    assert not app.text_input
    assert not app.expander
    assert kept(folder) == []


def test_a_strange_name_is_shown_letter_for_letter(folder: Path):
    app = opened(folder, rater=HOSTILE[:50])
    press(app, "Yes")
    shown = [*app.caption, *app.markdown, *app.header]
    assert any(HOSTILE[:50] in unescaped(one.value) for one in shown)
    assert not any("![" in one.value for one in shown)


def test_a_store_that_cannot_be_written_is_a_sentence_and_the_question_stays(folder: Path):
    app = opened(folder, rater="ann")
    asked = app.header[0].value
    (folder / "facts.db").rename(folder / "away.db")
    press_without_store(app)
    (folder / "away.db").rename(folder / "facts.db")
    app.run()
    assert app.header[0].value == asked
    assert kept(folder) == []


def press_without_store(app: AppTest) -> None:
    next(button for button in app.button if button.label == "Yes").click().run()
    assert not app.exception
    assert app.error


def test_a_picture_whose_file_is_gone_can_still_be_passed_by(folder: Path):
    for path in (folder / "pictures").rglob("*.webp"):
        path.unlink()
    app = opened(folder, rater="ann")
    assert "file of this picture is missing" in words(app)
    press(app, "Cannot tell")
    assert kept(folder)[0].answer == "unsure"


def test_when_all_is_labelled_the_page_says_so(folder: Path):
    rater = Rater(folder)
    while rater.label():
        pass
    rater.store.add_labels(rater.labels)
    app = opened(folder, rater="ann")
    assert "labelled every picture" in words(app)
    press(app, "Undo")
    assert "?" in app.header[0].value
