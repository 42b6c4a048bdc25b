"""Text-to-image pipelines that lcmis knows nothing of but that diffusers can run them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from lcmis.render.conditioning import Conditioning, Defaults, Encoding


@dataclass(frozen=True, slots=True, eq=False)
class PromptWords(Encoding):
    """A prompt as it was written: the pipeline itself encodes it."""

    prompt: str = ""


class Unproved(Conditioning):
    """Any other pipeline: one picture at a time, one stage, and no setting is guessed.

    Some of these pad prompts to the longest of a batch, so that neighbours touch one another, and
    each tells its denoiser of the prompt in a way of its own. A family that is proved gets a class
    beside this one.
    """

    flow = None
    supports_stages = False
    largest_batch = 1

    def defaults(self) -> Defaults | None:
        """Not known without running the pipeline's own code."""
        return None

    def token_limits(self) -> Mapping[str, int]:
        """What the pipeline says it reads by default, else what its tokenizers do."""
        parameter = _call_parameters(self.folder.class_name).get("max_sequence_length")
        limit = 2**31 if parameter is None else int(parameter.default)
        return {
            component: limit
            for component in self.folder.components()
            if component.startswith("tokenizer")
        }

    def refusal(self, guidance_scale: float, negative_prompt: str) -> str:
        """Whether negative prompts are taken cannot be told before loading."""
        return "negative prompts are not passed on to this pipeline" if negative_prompt else ""

    def encode(self, pipeline: Any, prompt: str, negative_prompt: str, guided: bool) -> Encoding:
        """Left to the pipeline."""
        return PromptWords(None, prompt=prompt)

    def pipeline_arguments(self, rows: Sequence[Encoding]) -> dict[str, Any]:
        """The prompts in words."""
        return {"prompt": [row.prompt for row in rows if isinstance(row, PromptWords)]}

    def denoiser_arguments(self, rows: Sequence[Encoding]) -> dict[str, Any]:
        """Not known.

        Raises:
            ValueError: always; there are no stages to switch between.
        """
        raise ValueError(f"{self.folder.class_name} cannot be told of another prompt")


@cache
def _call_parameters(class_name: str) -> Mapping[str, inspect.Parameter]:
    import diffusers

    return inspect.signature(getattr(diffusers, class_name).__call__).parameters
