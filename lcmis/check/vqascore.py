"""VQAScore as its paper has it: how surely a model says Yes to "Does this figure show …?"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lcmis.check.vqa import Judge, VqaChecker
from lcmis.check.wording import can_word
from lcmis.text.prompts import wording, wordings_hash
from lcmis.types import Answer, Question

if TYPE_CHECKING:
    import torch

WORDINGS = ("figure",)


def asked_of_a_figure(checker_id: str, question: Question) -> tuple[tuple[str, str], ...]:
    """The message beside a picture, ``(role, text)``; nothing of a checker that was asked in other
    words, or of a choice.
    """
    is_same = wordings_hash(*WORDINGS) in checker_id
    return (("user", _figure(question)),) if is_same and _takes(question) else ()


class VqaScoreChecker(VqaChecker):
    """VQAScore: how surely a vision-language model says Yes to "Does this figure show …?".

    Concepts and the whole prompt are asked one by one; of a choice it says nothing. The value is
    the probability of the token ``Yes`` itself, over the whole vocabulary: not of all spellings,
    and not as a share of yes and no, as ``vqa`` has it. So it is lower than that, and a threshold
    of the one is none of the other. Where yes and no together have less than
    :data:`lcmis.check.wording.MASS_FLOOR`, the model did not answer, and that is an abstention.

    Their library t2v_metrics takes the mean over the tokens of the answer instead, of which a T5's
    has two, Yes and the end: its numbers of CLIP-FlanT5 are near the square root of these.

    Args:
        settings: as of :class:`lcmis.check.vqa.VqaChecker`.

    Source: Lin et al., "Evaluating Text-to-Visual Generation with Image-to-Text Generation", ECCV
    2024, equation 1.
    """

    kind = "vqascore"
    wordings = WORDINGS
    asked = staticmethod(asked_of_a_figure)

    def takes(self, question: Question) -> bool:
        """Whether it is yes or no."""
        return _takes(question)

    def worded(self, question: Question) -> str:
        """In the words of the paper."""
        return _figure(question)

    def read(self, judge: Judge, question: Question, first: torch.Tensor) -> tuple[Answer, ...]:
        """What the probabilities ``(vocabulary,)`` of a reply's first token say."""
        return judge.surely_yes(first)

    def _loaded(self) -> Judge:
        judge = super()._loaded()
        judge.refuse_spelled_out()
        return judge


def _takes(question: Question) -> bool:
    return not question.kind.is_choice and can_word(question)


def _figure(question: Question) -> str:
    return wording("figure").replace("{text}", question.text)
