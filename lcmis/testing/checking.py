"""The contract of checkers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from lcmis.check import questions_of
from lcmis.testing.given import BATCH_TOLERANCE, contract_pair, contract_pictures
from lcmis.types import Answer, Question, QuestionKind

if TYPE_CHECKING:
    from PIL.Image import Image

    from lcmis.plugins.protocols import Checker


class CheckerContract:
    """What every checker must pass: subclass, and say how yours is made.

    ::

        class TestMine(CheckerContract):
            def make(self):
                return MyChecker(CheckerSettings("mine", "some/model"))
    """

    def make(self) -> Checker:
        """Yours."""
        raise NotImplementedError("say how your checker is made: write make() in your test class")

    @pytest.fixture
    def checker(self) -> Checker:
        """What is tried; take this over instead where one object shall serve all tests."""
        return self.make()

    def test_its_id_names_kind_model_and_revision(self, checker: Checker) -> None:
        """Scores of two ids are never compared, so an id must name all that decides them."""
        assert re.fullmatch(r"[\w-]+:[^@]+@[\w.+-]+", checker.checker_id)

    def test_it_answers_every_question_in_order(self, checker: Checker) -> None:
        """One answer for a yes/no, distinct options for a choice, none for what is not taken."""
        images, questions = _everything()
        answers = checker.score(images, questions)
        assert len(answers) == len(questions)
        for question, given in zip(questions, answers, strict=True):
            options = [answer.option for answer in given]
            assert bool(given) == checker.takes(question)
            if question.kind.is_choice:
                assert len(set(options)) == len(options)
                assert set(options) <= set(question.options)
            else:
                assert options in ([], [""])
        assert any(answers), "it takes none of the questions that are asked of every pair"

    def test_the_options_of_a_choice_share_one_probability(self, checker: Checker) -> None:
        """They exclude each other."""
        images, questions = _everything()
        for question, given in zip(questions, checker.score(images, questions), strict=True):
            if question.kind.is_choice:
                values = [answer.value for answer in given if answer.value is not None]
                assert sum(values) <= 1 + BATCH_TOLERANCE

    def test_a_batch_changes_nothing(self, checker: Checker) -> None:
        """Neither neighbours nor order move a value by more than 0.001."""
        images, questions = _everything()
        together = checker.score(images, questions)
        backwards = checker.score(images[::-1], questions[::-1])[::-1]
        for i, (image, question) in enumerate(zip(images, questions, strict=True)):
            _assert_same(checker.score([image], [question])[0], together[i])
            _assert_same(backwards[i], together[i])

    def test_the_same_question_twice_gets_the_same_answer(self, checker: Checker) -> None:
        """To the last bit, when the whole call is the same."""
        images, questions = _everything()
        assert checker.score(images, questions) == checker.score(images, questions)

    def test_nothing_in_nothing_out(self, checker: Checker) -> None:
        """No pictures are no answers, not an error."""
        assert checker.score([], []) == []

    def test_a_question_that_it_does_not_take_gets_no_answer(self, checker: Checker) -> None:
        """So that nothing is recorded."""
        nothing = Question(QuestionKind.INTRUDER_A, "tea cup")
        assert not checker.takes(nothing)
        assert checker.score(contract_pictures()[:1], [nothing]) == [()]

    def test_a_damaged_picture_is_an_abstention_and_leaves_its_neighbours_alone(
        self, checker: Checker
    ) -> None:
        """Silence is not absence."""
        question = next(one for one in questions_of(contract_pair()) if checker.takes(one))
        whole = contract_pictures()[0]
        damaged: Any = None
        before, between, after = checker.score([whole, damaged, whole], [question] * 3)
        assert between
        assert all(answer.value is None and answer.reason for answer in between)
        alone = checker.score([whole], [question])[0]
        _assert_same(before, alone)
        _assert_same(after, alone)


def _everything() -> tuple[list[Image], list[Question]]:
    pairs = [
        (image, question)
        for image in contract_pictures()
        for question in questions_of(contract_pair())
    ]
    return [image for image, _ in pairs], [question for _, question in pairs]


def _assert_same(one: tuple[Answer, ...], other: tuple[Answer, ...]) -> None:
    assert [answer.option for answer in one] == [answer.option for answer in other]
    for left, right in zip(one, other, strict=True):
        assert (left.value is None) == (right.value is None), (left, right)
        if left.value is not None and right.value is not None:
            assert abs(left.value - right.value) <= BATCH_TOLERANCE, (left, right)
