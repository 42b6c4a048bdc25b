"""GenEval 2's questions: they ask for many where the prompt has one, and for its colour apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lcmis.propose.formats import Line, open_set
from lcmis.text.words import singulars

Thing = tuple[str, str, str, str]
"""How many, of which look, called what, and what many of them are called."""


def row(first: Thing, between: str, *others: Thing) -> dict[str, object]:
    """A prompt with the questions that its published set asks of such a one."""
    said, questions, skills = [], [], []
    for count, look, name, many in (first, *others):
        verb, subject = ("Is", name) if count == "one" else ("Are", many)
        article = "a" if count == "one" else count
        said.append(" ".join(filter(None, (article, look, subject))))
        questions.append([f"How many {many} are in the image?", count])
        skills.append("count")
        if look:
            questions.append([f"{verb} the {subject} {look}?", "Yes"])
            skills.append("attribute")
        questions.append([f"Are there any {many} in the image?", "Yes"])
        skills.append("object")
    if others:
        questions.append([f"Are the {first[3]} {between} the {others[0][2]}?", "Yes"])
        skills.append("position")
    return {
        "prompt": f" {between} ".join(said),
        "atom_count": len(skills),
        "vqa_list": questions,
        "skills": skills,
    }


def read(folder: Path, *rows: dict[str, object]) -> list[Line]:
    path = folder / "set.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    found = open_set(path)
    assert found.format.name == "geneval2"
    return list(found.lines())


@pytest.mark.parametrize(
    ("first", "between", "second", "pair"),
    [
        (
            ("one", "green", "satchel", "satchels"),
            "and",
            ("one", "", "walrus", "walruses"),
            ("green satchel", "walrus"),
        ),
        (
            ("three", "striped", "daisy", "daisies"),
            "to the left of",
            ("one", "glass", "wolf", "wolves"),
            ("striped daisies", "glass wolf"),
        ),
        (
            ("one", "", "wine glass", "wine glasses"),
            "under",
            ("seven", "metal", "mouse", "mice"),
            ("wine glass", "metal mice"),
        ),
        (
            ("two", "", "knife", "knives"),
            "chasing",
            ("one", "old brown", "box", "boxes"),
            ("knives", "old brown box"),
        ),
    ],
)
def test_one_of_many_is_found_with_how_it_looks(
    tmp_path: Path, first: Thing, between: str, second: Thing, pair: tuple[str, str]
) -> None:
    (line,) = read(tmp_path, row(first, between, second))
    assert line.pair is not None, line
    assert (line.pair.a.name, line.pair.b.name) == pair


def test_one_thing_and_three_are_no_pair(tmp_path: Path) -> None:
    satchel, harp = ("one", "green", "satchel", "satchels"), ("two", "", "harp", "harps")
    found = read(
        tmp_path,
        row(satchel, "and"),
        row(satchel, "and", harp, ("one", "", "walrus", "walruses")),
    )
    assert [line.reason for line in found] == [
        "asks for one thing only",
        "asks for more than two things",
    ]


def test_what_the_prompt_does_not_name_is_no_pair(tmp_path: Path) -> None:
    odd = row(("one", "", "satchel", "satchels"), "and", ("one", "", "harp", "harps"))
    (line,) = read(tmp_path, odd | {"prompt": "a satchel and a tuba"})
    assert line.reason == "the prompt does not name both, word for word"


@pytest.mark.parametrize(
    ("many", "one"),
    [
        *(("harps", "harp"), ("boxes", "box"), ("horses", "horse"), ("daisies", "daisy")),
        *(("wolves", "wolf"), ("knives", "knife"), ("policemen", "policeman"), ("mice", "mouse")),
        *(("wine glasses", "wine glass"), ("people", "person"), ("sheeps", "sheep")),
    ],
)
def test_one_of_many_is_among_what_may_be_one(many: str, one: str) -> None:
    assert one in singulars(many)


def test_what_has_no_ending_of_many_has_no_one() -> None:
    assert singulars("sheep") == ()
    assert singulars("s") == ()
    assert singulars("") == ()
