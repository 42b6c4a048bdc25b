"""Labels as facts and as files, and what the command line says of them."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import small_store
from worlds.small_store import BROAD, COKE, HOSTILE, JUDGE, NARROW, ROSES, SECOND

from lcmis.errors import ConfigError, UnknownNameError
from lcmis.findings import calibration, labels
from lcmis.findings.labels import NO, UNSURE, WITHDRAWN, YES
from lcmis.findings.sheets import Imported
from lcmis.store import Store
from lcmis.types import Label, Question, QuestionKind

HAS_A, HAS_B, _, INSTEAD = small_store.questions_of(COKE)
PICTURE = small_store.make_spec(COKE, BROAD, 0).key


def said(
    answer: str,
    minute: int,
    *,
    rater: str = "ann",
    question: Question = HAS_A,
    render: str = PICTURE,
) -> Label:
    return Label(render, question.key, answer, rater, f"2026-11-21T03:{minute:02}:00+00:00")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once; tests work on copies of it."""
    return small_store.fill(tmp_path_factory.mktemp("labels") / "audit")


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "audit")


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with Store(folder) as opened:
        yield opened


def labelled(store: Store) -> list[Label]:
    """Both presences of every picture of two pairs, by two raters who differ once."""
    found = []
    for (model, pair), kinds in small_store.PICTURES.items():
        for seed, kind in enumerate(kinds):
            if pair not in (COKE, ROSES) or kind == "r":
                continue
            render = small_store.make_spec(pair, model, seed).key
            for rater in ("ann", HOSTILE[:50]):
                for question in small_store.questions_of(pair)[:2]:
                    odd = rater != "ann" and (model, seed, pair) == (NARROW, 1, COKE)
                    missing = "gm-" if question.kind is QuestionKind.A_PRESENT else "b"
                    answer = NO if (kind in missing) != odd else YES
                    found.append(
                        said(answer, len(found) % 60, rater=rater, question=question, render=render)
                    )
    store.add_labels(found)
    return found


# ── what stands ──────────────────────────────────────────────────────────────────────────────────


def test_the_latest_answer_counts_and_times_decide_not_the_order_of_arrival():
    found = labels.readings([said(NO, 5), said(YES, 1)])
    assert [reading.answers for reading in found] == [(YES, NO)]
    assert labels.truths(found) == {(PICTURE, HAS_A.key): NO}


def test_taking_back_leaves_what_stood_before():
    given_back = [said(YES, 1), said(NO, 2), said(WITHDRAWN, 3)]
    assert labels.readings(given_back)[0].answers == (YES,)
    assert labels.readings([*given_back, said(WITHDRAWN, 4)]) == []
    assert labels.readings([said(WITHDRAWN, 0), said(YES, 1)])[0].answers == (YES,)


def test_the_label_to_take_back_is_the_raters_own_latest_that_stands():
    every = [
        said(YES, 1),
        said(NO, 2, question=HAS_B),
        said(YES, 3, rater="bob"),
        said(WITHDRAWN, 4, question=HAS_B),
    ]
    assert labels.latest(every, "ann") == every[0]
    assert labels.latest(every, "bob") == every[2]
    assert labels.latest(every, "nobody") is None
    assert labels.withdrawal(every[0]).answer == WITHDRAWN


@given(st.lists(st.sampled_from([YES, NO, UNSURE, WITHDRAWN]), max_size=12))
def test_undoing_again_and_again_leaves_nothing(answers: list[str]):
    every = [said(answer, minute) for minute, answer in enumerate(answers)]
    while (last := labels.latest(every, "ann")) is not None:
        assert labels.readings(every)[0].answers[-1] == last.answer
        every.append(said(WITHDRAWN, len(every)))
    assert labels.readings(every) == []


def test_most_raters_decide_and_a_tie_decides_nothing():
    tie = [said(YES, 1), said(NO, 1, rater="bob")]
    assert labels.truths(labels.readings(tie)) == {}
    unsure = [*tie, said(UNSURE, 1, rater="eve")]
    assert labels.truths(labels.readings(unsure)) == {}
    third = [*tie, said(NO, 1, rater="eve")]
    assert list(labels.truths(labels.readings(third)).values()) == [NO]


@pytest.mark.parametrize("name", ["", "  ", "a" * 61, "a\x1b[31m", "a\u202eb", "a\nb"])
def test_a_rater_has_a_name_that_can_be_seen(name: str):
    with pytest.raises(ConfigError, match="name"):
        labels.rater_name(name)


def test_a_raters_name_is_stored_in_one_spelling():
    assert labels.rater_name(" Zoe\u0308 ") == "Zoë"


# ── files ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_labels_move_to_another_machine_and_back_nothing_is_added_twice(
    made: Path, store: Store, tmp_path: Path, ending: str
):
    given = [*labelled(store), said("none of these", 9, question=INSTEAD), said(WITHDRAWN, 10)]
    store.add_labels(given)
    path = tmp_path / f"labels.{ending}"
    assert labels.export_labels(store, path) == len(given)
    with Store(shutil.copytree(made, tmp_path / "other")) as other:
        assert labels.import_labels(other, path) == Imported(len(given), 0)
        assert labels.import_labels(other, path) == Imported(0, len(given))
        assert set(other.labels()) == set(given)
        again = tmp_path / f"again.{ending}"
        labels.export_labels(other, again)
    assert again.read_bytes() == path.read_bytes()


TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30)


@given(
    st.lists(
        st.fixed_dictionaries(dict.fromkeys(labels.SHEET.columns, TEXTS)), min_size=1, max_size=5
    ),
    st.sampled_from([".csv", ".jsonl"]),
)
def test_any_text_survives_a_file(rows: list[dict[str, str]], ending: str):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"labels{ending}"
        labels.SHEET.write(path, rows)
        assert [row for _, row in labels.SHEET.read(path)] == rows


def test_a_file_says_in_words_what_was_asked(store: Store, tmp_path: Path):
    store.add_labels([said(YES, 1)])
    labels.export_labels(store, tmp_path / "labels.csv")
    (row,) = csv.DictReader(io.StringIO((tmp_path / "labels.csv").read_text()))
    assert (row["kind"], row["text"], row["prompt"]) == ("a_present", "tea cup", COKE.prompt)
    assert row["picture"] == store.render(PICTURE)[1].sha256


def spoilt(store: Store, path: Path, **changes: str) -> Path:
    """A file of three labels, the second one spoilt."""
    store.add_labels([said(YES, 1), said(NO, 2), said(YES, 3)])
    labels.export_labels(store, path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[1] |= changes
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"render": "k1:gone"}, "k1:gone"),
        ({"render": PICTURE[:10]}, "no picture in the store has the key"),
        ({"question": "k1:unknown"}, "no question has the key 'k1:unknown'"),
        ({"picture": "0" * 64}, "other pixels"),
        ({"answer": "perhaps"}, "one of yes, no, unsure"),
        ({"rater": ""}, "no rater"),
        ({"rater": " ann"}, "stored as 'ann'"),
        ({"at": "yesterday"}, "ISO 8601"),
    ],
)
def test_a_line_that_cannot_be_used_is_named_and_nothing_is_imported(
    made: Path, store: Store, tmp_path: Path, changes: dict[str, str], words: str
):
    path = spoilt(store, tmp_path / "labels.jsonl", **changes)
    with Store(shutil.copytree(made, tmp_path / "other")) as other:
        with pytest.raises(ConfigError, match="line 2") as told:
            labels.import_labels(other, path)
        assert words in str(told.value)
        assert "1 of 3 labels" in str(told.value)
        assert other.labels() == []


def test_a_refused_picture_cannot_be_labelled(store: Store, tmp_path: Path):
    refused = small_store.make_spec(ROSES, NARROW, 0).key
    path = spoilt(store, tmp_path / "labels.jsonl", render=refused)
    with pytest.raises(ConfigError, match="was refused here"):
        labels.import_labels(store, path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("labels.txt", b"", "neither .csv nor .jsonl"),
        ("labels.jsonl", b"{no json", "no file of labels"),
        ("labels.jsonl", b"[1]\n", "no render and no question"),
        ("labels.csv", b"render,answer\r\n", "lacks question"),
        ("labels.csv", b"\xff\xfe", "cannot be read as text"),
        ("nowhere/labels.csv", None, "cannot be read"),
    ],
)
def test_a_file_that_is_none_is_a_sentence(
    store: Store, tmp_path: Path, name: str, content: bytes | None, words: str
):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        labels.import_labels(store, path)


def test_many_bad_lines_are_counted_not_all_told(store: Store, tmp_path: Path):
    path = tmp_path / "labels.jsonl"
    path.write_text("{}\n" * 50)
    with pytest.raises(ConfigError) as told:
        labels.import_labels(store, path)
    assert "50 of 50" in str(told.value)
    assert "and 30 more lines" in str(told.value)


# ── findings ─────────────────────────────────────────────────────────────────────────────────────


def found_in(store: Store, threshold: float = 0.5) -> calibration.LabelFinding:
    known = calibration.audited(store, [JUDGE, SECOND], threshold=threshold)
    return calibration.find_labels(known, store.labels(), store.question)


def test_a_checker_that_sees_what_people_see_errs_in_nothing(store: Store):
    labelled(store)
    found = found_in(store)
    whole = found.calibration(JUDGE)
    assert (whole.labels, found.pictures, found.of) == (18, 18, 21), "the raters differ on one"
    assert whole.accuracy.sensitivity.rate.value == 1
    assert whole.accuracy.specificity.rate.value == 1
    assert whole.agreement.kappa == 1
    assert not whole.is_calibrated
    assert {rate.model for rate in found.rates} == {BROAD, NARROW}
    broad = next(rate for rate in found.rates if rate.model == BROAD)
    assert broad.corrected.value == pytest.approx(broad.raw.value)
    assert found.between.units == 40
    assert 0 < found.between.value < 1


def test_pictures_that_nobody_could_tell_and_repairs_count_for_nothing(store: Store):
    repair = next(e for e in store.evidence(JUDGE) if e.staged).spec_key
    store.add_labels([said(UNSURE, 1), said(YES, 2, render=repair)])
    found = found_in(store)
    assert (found.answers, found.pictures) == (2, 0)
    assert found.calibration(JUDGE).labels == 0
    assert found.rates[0].corrected is None


def test_a_choice_is_held_against_what_people_choose(store: Store):
    store.add_labels(
        [said("glass", 1, question=INSTEAD)]
        + [
            said("mug", 2, question=INSTEAD, render=small_store.make_spec(COKE, BROAD, seed).key)
            for seed in (1, 4)
        ]
    )
    share = found_in(store).calibration(JUDGE, "intruder_a").agreement.share
    assert (share.total, share.value) == (3, pytest.approx(2 / 3))


def test_a_rater_is_held_against_himself(store: Store):
    again = [said(YES, 1), said(NO, 2), said(NO, 3, question=HAS_B), said(NO, 4, question=HAS_B)]
    store.add_labels(again)
    (rater,) = found_in(store).raters
    assert (rater.rater, rater.answers) == ("ann", 4)
    assert (rater.repeats.share.value, rater.repeats.share.total) == (0.5, 2)


def test_the_deck_leaves_out_what_rates_leave_out(store: Store):
    cards = calibration.audited(store, [JUDGE]).cards
    places = [place for some in cards.strata.values() for place in some]
    evidence = {(e.spec_key, e.pair_key): e for e in store.evidence(JUDGE)}
    assert len(set(places)) == len(places) == len(cards) == 21
    assert all(calibration.countable(evidence[place]) for place in places)


def test_without_a_checker_there_is_nothing_to_hold_labels_against(store: Store):
    with pytest.raises(ConfigError, match="lcmis audit"):
        calibration.audited(store, [])


# ── the command line ─────────────────────────────────────────────────────────────────────────────


def test_labels_travel_by_command(lcmis, made: Path, folder: Path, store: Store, tmp_path: Path):
    given = labelled(store)
    path, other = tmp_path / "labels.csv", shutil.copytree(made, tmp_path / "other")
    assert lcmis("label", "--store", folder, "--export", path)[:2] == (
        0,
        f"wrote {len(given)} labels to {path}\n",
    )
    code, out, _ = lcmis("label", "--store", other, "--import", path)
    assert (code, out) == (0, f"added {len(given)} labels; 0 were there already\n")
    code, out, _ = lcmis("label", "--store", other)
    assert code == 0
    assert HOSTILE[:20] in out.replace("\n", "")
    listed = json.loads(lcmis("label", "--store", other, "--json")[1])
    assert len(listed) == len(given)
    assert lcmis("label", "--store", other, "--import", path, "--export", path)[0] == 2


def test_calibrate_says_how_often_checkers_err(lcmis, folder: Path, store: Store):
    code, out, _ = lcmis("calibrate", "--store", folder)
    assert (code, "no labels yet" in out) == (0, True)
    labelled(store)
    code, out, _ = lcmis("calibrate", "--store", folder)
    assert code == 0
    for words in ("uncalibrated", "sensitivity", "corrected", "Krippendorff", "18 of 21 pictures"):
        assert words in out
    found = json.loads(lcmis("calibrate", "--store", folder, "-c", SECOND, "--json")[1])
    assert {one["checker"] for one in found["calibrations"]} == {SECOND}
    assert lcmis("calibrate", "--store", folder, "-c", "nobody")[0] == 2
    assert lcmis("calibrate", "--store", folder, "--threshold", "2")[0] == 2


def test_an_unknown_picture_is_refused_by_the_store_itself(store: Store):
    with pytest.raises(UnknownNameError, match="k1:gone"):
        store.add_labels([dataclasses.replace(said(YES, 1), render="k1:gone")])
