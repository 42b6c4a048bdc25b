"""Where a picture shows what a word of its prompt says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from lcmis.text import edits

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

    from lcmis.plugins.protocols import Denoiser


MaskBy = Literal["difference", "attention"]


@dataclass(frozen=True, slots=True)
class WordMask:
    """The part of a picture that belongs to one word."""

    word: str
    threshold: float
    """Heat from which a pixel belongs to it, in [0, 1]."""
    share: float
    """Of the picture that it covers, in [0, 1]."""
    heat: npt.NDArray[np.float32] = field(repr=False, compare=False, metadata={"shown": False})
    """(height, width) of the picture, from 0 where the word matters least to 1 where
    it matters most."""

    @property
    def covered(self) -> npt.NDArray[np.bool_]:
        """The mask, (height, width)."""
        return self.heat >= self.threshold


def word_masks(
    denoiser: Denoiser, picture: Image.Image, prompt: str, by: MaskBy = "difference"
) -> tuple[WordMask, ...]:
    """One mask for each word of the prompt that is neither article nor connector.

    A map is enlarged to the picture by bicubic interpolation and cut in two at Otsu's threshold.

    Args:
        denoiser: Of the model that is looked into.
        picture: Of any size.
        prompt: Says what the picture shows.
        by: ``"attention"`` is EDITOR's way: where the cross-attention of a word looks.
            ``"difference"`` is where the model would draw otherwise without the word. In a text
            encoder that carries a word on to the end of the text, a word's own attention may look
            everywhere but at what it names; then only the difference tells.

    Raises:
        ItemError: the model's text encoder cannot read the prompt.

    Source: Li et al., EDITOR, arXiv 2506.03067 (unsupervised segmentation; its threshold is not
    published); Tang et al., "What the DAAM", ACL 2023, section 2.2 (attention maps, upscaling);
    Couairon et al., "DiffEdit", ICLR 2023 (difference). The threshold is ours.
    """
    words = edits.words(prompt)
    if by == "attention":
        maps = denoiser.attention(picture, prompt)
    else:
        without = [edits.without(prompt, word) for word in words]
        maps = dict(zip(words, denoiser.influence(picture, prompt, without), strict=True))
    return tuple(
        mask_of(word, _numbers(maps[word]), picture.size) for word in words if word in maps
    )


def _numbers(found: torch.Tensor) -> npt.NDArray[np.float32]:
    numbers: npt.NDArray[np.float32] = found.detach().float().cpu().numpy()
    return numbers


def mask_of(word: str, attention: npt.NDArray[np.float32], size: tuple[int, int]) -> WordMask:
    """The mask of one map (rows, columns), for a picture of this width and height.

    A model sees a picture of another shape than its own cut to the middle; what it does not see
    belongs to no word.
    """
    left, top, right, bottom = middle(size, (attention.shape[1], attention.shape[0]))
    coarse = Image.fromarray(attention.astype(np.float32))
    large = np.asarray(coarse.resize((right - left, bottom - top), Image.Resampling.BICUBIC))
    low, high = float(large.min()), float(large.max())
    heat = np.zeros((size[1], size[0]), np.float32)
    if high > low:
        heat[top:bottom, left:right] = (large - low) / (high - low)
    threshold = otsu(heat[top:bottom, left:right])
    return WordMask(word, threshold, float((heat >= threshold).mean()), heat)


def middle(size: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest box (left, top, right, bottom) in the middle of a picture of this width and
    height that has the proportions of another width and height.
    """
    width, height = size
    inner_width = min(width, max(1, round(height * shape[0] / shape[1])))
    inner_height = min(height, max(1, round(width * shape[1] / shape[0])))
    left, top = (width - inner_width) // 2, (height - inner_height) // 2
    return left, top, left + inner_width, top + inner_height


def otsu(values: npt.NDArray[np.float32]) -> float:
    """The threshold that parts values into two groups with the greatest variance between them.

    Exact, over all values instead of a histogram: the least value of the upper group. Above the
    greatest value where all are equal, so that no mask covers everything.

    Source: Otsu, "A threshold selection method from gray-level histograms", IEEE Transactions on
    Systems, Man, and Cybernetics 9(1), 1979, equation 14.
    """
    ordered = np.sort(values.astype(np.float64), axis=None)
    if ordered[0] == ordered[-1]:
        return float(np.nextafter(np.float32(ordered[-1]), np.float32(np.inf)))
    below = np.arange(1, ordered.size)
    share = below / ordered.size
    total, sums = ordered.sum(), np.cumsum(ordered)[:-1]
    apart = sums / below - (total - sums) / (ordered.size - below)
    between = np.where(np.diff(ordered) > 0, share * (1 - share) * apart**2, -1.0)
    return float(ordered[int(between.argmax()) + 1])
