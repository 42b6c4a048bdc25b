"""CLIPScore: how like a picture is to a name, a description or a prompt."""

from __future__ import annotations

from lcmis.check.similarity import SimilarityChecker
from lcmis.types import QuestionKind


class ClipScoreChecker(SimilarityChecker):
    """CLIPScore, 2.5 · max(cos, 0), of a picture and a concept's name, its description, the prompt.

    What is kept of each picture is max(cos, 0), since a score lies in [0, 1]; the 2.5 is in the
    formula that reads them (:func:`lcmis.judge.likeness.clipscore`), which takes means over
    pictures first and then the higher of name and description. "A photo depicts " stands before
    every text. torchmetrics multiplies by 100 instead, and has no such words before the text.

    It is no verdict: a picture of a glass of coke is like "tea cup" too. It guides a search that
    compares means (``moce-replicate``), and its numbers are shown beside those of papers.

    Args:
        settings: ``name`` as ``clip:`` takes it; papers mostly used ``ViT-B-32/openai``.

    Source: Hessel et al., "CLIPScore", EMNLP 2021, section 3. Deviation: a text longer than the
    encoder reads is an abstention, where theirs is cut.
    """

    kind = "clipscore"
    kinds = (QuestionKind.RELATION, QuestionKind.LIKENESS)
    prefix = "A photo depicts "
    likeness_weight = 2.5
    """Stretches cosines, which rarely pass 0.4, over most of [0, 1]."""
