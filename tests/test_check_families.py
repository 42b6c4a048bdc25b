"""Every family of vision-language models gives one answer: alone, in a batch, or from one look."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image
from transformers.models.auto import modeling_auto
from worlds import tiny_vlms

from lcmis.check import questions_of
from lcmis.check.templates import MUTE
from lcmis.check.vqa import VqaChecker
from lcmis.plugins.settings import CheckerSettings
from lcmis.testing import contract_pair, contract_pictures
from lcmis.types import Answer, Question

Answers = Sequence[Sequence[Answer]]


def told(answers: Answers) -> list[tuple[str, float | None, float]]:
    return [(one.option, one.value, one.mass) for given in answers for one in given]


def apart(one: Answers, other: Answers) -> float:
    """The largest difference of a value or a mass; both say the same of the same options."""
    pairs = list(zip(told(one), told(other), strict=True))
    assert all(a[0] == b[0] and (a[1] is None) == (b[1] is None) for a, b in pairs)
    return max(abs(x - y) for a, b in pairs for x, y in zip(a[1:], b[1:], strict=True) if x and y)


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    """Of three shapes, so that rows of a batch are of several lengths."""
    first, second, third, _ = contract_pictures()
    return [first, second.resize((96, 40)), third]


@pytest.mark.parametrize("name", tiny_vlms.FAMILIES)
def test_answers_are_the_same_alone_in_a_batch_and_from_one_look(
    name: str, tmp_path: Path, pictures: list[Image.Image]
) -> None:
    folder = tiny_vlms.make(name, tmp_path / name)
    checker = VqaChecker(CheckerSettings("vqa", str(folder), device="cpu"))
    questions: tuple[Question, ...] = questions_of(contract_pair())
    of_picture = [picture for picture in pictures for _ in questions]
    at_once = checker.score(of_picture, questions * len(pictures))
    alone = [
        checker.score([picture], [question])[0] for picture in pictures for question in questions
    ]
    batches = [checker.score(pictures, [question] * len(pictures)) for question in questions]
    batched = [batch[i] for i in range(len(pictures)) for batch in batches]
    assert apart(at_once, alone) < 1e-5
    assert apart(batched, alone) < 1e-5
    shares = checker.way.startswith("a picture and the words before its questions are read once")
    assert shares == tiny_vlms.FAMILIES[name].shares, checker.way
    seen = {round(answers[0].mass, 6) for answers in alone[:: len(questions)]}
    assert len(seen) == len(pictures)  # none of them is blind


def test_what_is_tried_and_what_is_refused_are_families_that_transformers_knows() -> None:
    known = set(modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)
    tried = {family.kind or name for name, family in tiny_vlms.FAMILIES.items()}
    assert tried <= known
    assert set(MUTE) <= known
    assert not tried & set(MUTE)
    assert len(tried) >= 40


def test_the_page_names_every_family_that_is_tried() -> None:
    page = (Path(__file__).parent.parent / "docs" / "checkers.md").read_text("utf-8")
    tried = page[page.index("Tried with small random models") :].partition("\n\n")[0]
    shared, _, apart = tried.partition("Only ")
    kinds = {family.kind or name: family for name, family in tiny_vlms.FAMILIES.items()}
    assert set(re.findall(r"`([^`]+)`", shared)) == set(kinds)
    assert set(re.findall(r"`([^`]+)`", apart)) == {
        kind for kind, family in kinds.items() if not family.shares
    }
