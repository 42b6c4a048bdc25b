"""Human preference scores: CLIP models tuned on people's choices, as plain similarities."""

from __future__ import annotations

from lcmis.check.similarity import SimilarityChecker


class PreferenceChecker(SimilarityChecker):
    """HPS v2 and v2.1: the cosine of a picture and the whole plain prompt, as CLIP-H was taught it.

    It guides a search and says nothing of single concepts, so it cannot decide an audit. Only
    differences on one prompt mean something: absolute values depend on the prompt. The published
    score is a hundred times this one; a negative cosine counts as 0.

    Args:
        settings: ``name`` is a folder with ``open_clip_config.json`` of ViT-H-14 and the weights of
            HPS v2 or v2.1 as safetensors, or a hub name. They are given out as pickles:
            ``lcmis convert HPS_v2.1_compressed.pt --into FOLDER --like ViT-H-14``.

    Source: Wu et al., "Human Preference Score v2", arXiv 2306.09341, 2023.
    """

    kind = "hps"


class PickScoreChecker(SimilarityChecker):
    """PickScore: the cosine of a picture and the whole plain prompt, as CLIP-H was taught it.

    It guides a search and says nothing of single concepts, so it cannot decide an audit. The
    published score is this one times the model's scale (100 of ``yuvalkirstain/PickScore_v1``); by
    it, the chance that people prefer one of two pictures of a prompt is the logistic function of
    the difference of their published scores.

    Args:
        settings: ``name`` is a folder or hub name of a CLIP model, as transformers or open_clip
            saved it, with its tokenizer and preprocessor.

    Source: Kirstain et al., "Pick-a-Pic", NeurIPS 2023, section 4.
    """

    kind = "pickscore"
