"""Attend-and-Excite: latents are moved until the concept that is attended to least is seen.

Source: Chefer et al., "Attend-and-Excite: Attention-Based Semantic Guidance for Text-to-Image
Diffusion Models", SIGGRAPH 2023, arXiv 2301.13826; drawn by diffusers' own pipeline of that name.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from lcmis.machine.weights import silent
from lcmis.plugins.protocols import Work
from lcmis.render.calling import renew_schedulers
from lcmis.render.conditioning import tokens_within
from lcmis.render.forms.schedulers import seed_noise
from lcmis.text.words import places
from lcmis.types import RenderSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

OF = 50
"""Steps that the source's numbers are for."""
THRESHOLDS = {0: 0.05, 10: 0.5, 20: 0.8}
"""By step of :data:`OF`: attention that every word must reach there before the picture goes on."""
EXCITED = 25
"""Steps of :data:`OF` in which latents are moved."""


class OneByOne(NamedTuple):
    """What pipelines give, of pictures that were drawn one by one."""

    images: list[np.ndarray]
    """(height, width, 3) in [0, 1] each."""
    nsfw_content_detected: list[bool]


class Exciting:
    """Draws with the parts of a pipeline of Stable Diffusion 1 or 2, one picture at a time.

    The source's numbers for fifty steps are stretched to as many as there are. Attention is looked
    at where maps have a quarter of the latents' side, as in the source, or at the nearest layers
    that have any.

    Args:
        pipeline: as diffusers loaded it; its weights are shared.
        tell: is told of every row that went through the denoiser.
    """

    def __init__(self, pipeline: Any, tell: Callable[[Work], None]) -> None:
        from diffusers import StableDiffusionAttendAndExcitePipeline as Pipeline

        parts = {name: part for name, part in pipeline.components.items() if name in _PARTS}
        with silent():
            self._pipeline = Pipeline(**parts, requires_safety_checker=False)
        self._pipeline.set_progress_bar_config(disable=True)
        self._pipeline.unet.requires_grad_(False)
        self._tell = tell

    def draw(self, rows: Sequence[RenderSpec], places: Sequence[int]) -> OneByOne:
        """A batch, row by row.

        Args:
            rows: filler included, in the places of which stands some picture of the batch.
            places: of those that are none.
        """
        drawn = {place: self._draw(rows[place]) for place in places}
        outputs = [drawn.get(place, drawn[places[0]]) for place in range(len(rows))]
        flagged = [bool((one.nsfw_content_detected or [False])[0]) for one in outputs]
        return OneByOne([one.images[0] for one in outputs], flagged)

    def _draw(self, spec: RenderSpec) -> Any:
        pipeline, unet = self._pipeline, self._pipeline.unet
        (stage,) = spec.stages
        renew_schedulers(pipeline)
        seed_noise(pipeline.scheduler, [spec.seed])
        stretch = spec.num_inference_steps / OF
        processors = unet.attn_processors
        hook = unet.register_forward_pre_hook(lambda *_: self._tell(Work(1, 1, 1)))
        try:
            return pipeline(
                prompt=stage.prompt,
                negative_prompt=spec.negative_prompt or None,
                token_indices=tokens_of(pipeline.tokenizer, stage.prompt, stage.excited),
                height=spec.height,
                width=spec.width,
                num_inference_steps=spec.num_inference_steps,
                guidance_scale=spec.guidance_scale,
                generator=[torch.Generator("cpu").manual_seed(spec.seed)],
                output_type="np",
                max_iter_to_alter=math.ceil(EXCITED * stretch),
                thresholds={round(step * stretch): least for step, least in THRESHOLDS.items()},
                attn_res=self._map_size(spec),
            )
        finally:
            hook.remove()
            unet.set_attn_processor(processors)

    def _map_size(self, spec: RenderSpec) -> tuple[int, int]:
        """Height and width of the attention maps that are looked at."""
        config, factor = self._pipeline.unet.config, self._pipeline.vae_scale_factor
        looking = [n for n, kind in enumerate(config.down_block_types) if "CrossAttn" in kind]
        level = min(looking, key=lambda halvings: abs(halvings - 2))
        sides = (spec.height // factor, spec.width // factor)
        height, width = (math.ceil(side / 2**level) for side in sides)
        return height, width


_PARTS = frozenset(
    {"vae", "text_encoder", "tokenizer", "unet", "scheduler", "safety_checker", "feature_extractor"}
)


def tokens_of(tokenizer: Any, prompt: str, words: Sequence[str]) -> list[int]:
    """Places, in a prompt's tokens, of all that say one of these words, each where it first stands:
    as a word of its own, if it does so anywhere ("ice" is the last word of "rice with ice").

    Args:
        tokenizer: tells which letters a token stands for.
        prompt: as it is drawn.
        words: each is in the prompt.
    """
    found: list[int] = []
    for word in words:
        whole = places(prompt, word)
        start = whole[0][0] if whole else prompt.index(word)
        found += tokens_within(tokenizer, prompt, start, start + len(word))
    return list(dict.fromkeys(found))
