"""CLIP-FlanT5 and CLIP-T5: a T5 that reads a picture's patches between its words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import nn

from lcmis.check.eyes import Eyes
from lcmis.check.quantised import Placing, load_placed
from lcmis.check.templates import PICTURE
from lcmis.errors import ConfigError
from lcmis.machine.hub import Located, fetch_weights, refuse_no_safetensors, weights_of

if TYPE_CHECKING:
    from transformers import T5ForConditionalGeneration

PLACE = -200
"""In the place of a token's id: here stands a patch of the picture."""
TOWER, PROJECTOR = "vision_tower.vision_tower.", "mm_projector."
"""What the names of tensors begin with that no T5 has."""
TIED = ("embed_tokens.weight",)
"""Names under which the table of words may be there once more."""


class ClipT5(nn.Module):
    """A CLIP that sees, a projector, and a T5 that reads both and answers.

    The patches of a picture, as the second last layer of CLIP has them and without the one that
    sums up the whole, are projected into the place of the picture among the words.

    Source: Lin et al., "Evaluating Text-to-Visual Generation with Image-to-Text Generation", ECCV
    2024; the names of the tensors are those of their code, CLIP-FlanT5.
    """

    def __init__(
        self, language: T5ForConditionalGeneration, tower: nn.Module, told: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.language: Any = language
        self.tower = tower
        self.projector = _projector(
            str(told.get("mm_projector_type", "linear")),
            int(told["mm_hidden_size"]),
            language.config.d_model,
        )
        self._layer = int(told.get("mm_vision_select_layer", -2))
        self._begins = 1 if told.get("mm_vision_select_feature", "patch") == "patch" else 0

    @property
    def config(self) -> Any:
        """Of the T5."""
        return self.language.config

    @property
    def dtype(self) -> torch.dtype:
        """Of the T5."""
        return self.language.dtype

    def get_input_embeddings(self) -> nn.Module:
        """The table of words."""
        return self.language.shared

    def get_output_embeddings(self) -> nn.Module:
        """What makes words of the decoder's states."""
        return self.language.lm_head

    def get_decoder(self) -> nn.Module:
        """What answers."""
        return self.language.decoder

    def generate(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        pixel_values: torch.Tensor,
        **how: Any,
    ) -> Any:
        """As transformers' ``generate``.

        Args:
            input_ids: ``(rows, length)``, with :data:`PLACE` where a patch stands.
            attention_mask: ``(rows, length)``.
            pixel_values: ``(rows, 3, side, side)``.
            how: what else ``generate`` is told.
        """
        states = self.tower(pixel_values, output_hidden_states=True).hidden_states
        patches = self.projector(states[self._layer][:, self._begins :])
        words = self.language.shared(input_ids.clamp(min=0))
        words[input_ids == PLACE] = patches.flatten(0, 1).to(words.dtype)
        return self.language.generate(inputs_embeds=words, attention_mask=attention_mask, **how)


class ClipT5Processor:
    """Pictures and words → what :class:`ClipT5` takes in.

    A picture is widened to a square with CLIP's mean colour, and nothing of it is cut off. The
    words before it and those behind it each end with T5's end token, as the model was taught.
    """

    def __init__(self, tokenizer: Any, image_processor: Any, num_patches: int) -> None:
        self.tokenizer = tokenizer
        self.image_processor = image_processor
        self._num_patches = num_patches

    def __call__(
        self, images: Sequence[Image.Image], text: Sequence[str], **_: Any
    ) -> dict[str, torch.Tensor]:
        """Tensors on the CPU, rows padded on the left."""
        rows = [self._ids(one) for one in text]
        width = max(map(len, rows))
        lacking = [width - len(row) for row in rows]
        return {
            "input_ids": torch.tensor(
                [
                    [self.tokenizer.pad_token_id] * n + row
                    for n, row in zip(lacking, rows, strict=True)
                ]
            ),
            "attention_mask": torch.tensor([[0] * n + [1] * (width - n) for n in lacking]),
            "pixel_values": self.image_processor.preprocess(
                [self._square(image) for image in images], return_tensors="pt"
            )["pixel_values"],
        }

    def _ids(self, text: str) -> list[int]:
        before, _, after = text.partition(PICTURE)
        first, second = (list(self.tokenizer(part).input_ids) for part in (before, after))
        return [*first, *[PLACE] * self._num_patches, *second]

    def _square(self, image: Image.Image) -> Image.Image:
        side = max(image.size)
        red, green, blue = (int(255 * part) for part in self.image_processor.image_mean)
        page = Image.new("RGB", (side, side), (red, green, blue))
        page.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
        return page


def load(
    folder: Path, name: str, eyes: Eyes, placing: Placing
) -> tuple[ClipT5Processor, ClipT5, Mapping[str, Any]]:
    """Read such a model from its folder, and its eyes from theirs where it does not hold them.

    Args:
        folder: with ``config.json``, safetensors, and the tokenizer of its T5.
        name: of the model, for sentences.
        eyes: the CLIP that it sees by.
        placing: where its weights go, and in which numbers.

    Returns:
        Processor, model, and what is missing, as transformers' loaders report it.

    Raises:
        ConfigError: no tokenizer, tensors that are no such model's, or no weights for its eyes.
        OSError, ValueError, KeyError, RuntimeError: as transformers and safetensors raise them.
    """
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        CLIPVisionModel,
        T5Config,
        T5ForConditionalGeneration,
        T5Tokenizer,
    )

    if not any((folder / file).is_file() for file in ("tokenizer.json", "spiece.model")):
        raise ConfigError(
            f"{name} has no tokenizer: put tokenizer.json and tokenizer_config.json of the T5 that "
            f"it was made from, such as google/flan-t5-xl, into its folder"
        )
    tower, told = eyes.tower, eyes.told
    own = {key: value for key, value in told.items() if not key.startswith("mm_")}
    language, report = load_placed(
        T5ForConditionalGeneration,
        folder,
        placing,
        config=T5Config(**{**own, "model_type": "t5"}),
        local_files_only=True,
    )
    others = _others(folder)
    strange = [key for key in report["unexpected_keys"] if key not in TIED and key not in others]
    if strange:
        raise ConfigError(f"{name} holds the tensor {strange[0]}, which no CLIP-T5 has")
    sees = CLIPVisionConfig.from_pretrained(tower.path)
    seen = {
        key.removeprefix(TOWER): tensor for key, tensor in others.items() if key.startswith(TOWER)
    }
    if seen:
        vision, found = CLIPVisionModel.from_pretrained(
            None, config=sees, state_dict=seen, use_safetensors=True, output_loading_info=True
        )
    else:
        refuse_no_safetensors(tower)
        vision, found = CLIPVisionModel.from_pretrained(
            fetch_weights(tower), config=sees, use_safetensors=True, output_loading_info=True
        )
    model = ClipT5(language, vision, told)
    model.projector.load_state_dict(
        {
            key.removeprefix(PROJECTOR): tensor
            for key, tensor in others.items()
            if key.startswith(PROJECTOR)
        }
    )
    tokenizer = T5Tokenizer.from_pretrained(folder, local_files_only=True)
    head = language.lm_head  # published ones have rows behind the last word, to fill the table
    head.weight = nn.Parameter(head.weight[: len(tokenizer)].detach(), requires_grad=False)
    pictures = CLIPImageProcessor.from_pretrained(tower.path)
    patches = (sees.image_size // sees.patch_size) ** 2 + (1 - model._begins)
    missing = {*report["missing_keys"], *found["missing_keys"]}
    model = model.to(device=language.device, dtype=language.dtype)
    return ClipT5Processor(tokenizer, pictures, patches), model, {"missing_keys": missing}


def _others(folder: Path) -> dict[str, torch.Tensor]:
    """Tensors of the projector, and of the eyes where the model's files hold them."""
    from safetensors import safe_open

    files = [file for file in weights_of(Located(folder, folder.name, "")) if ".json" not in file]
    found: dict[str, torch.Tensor] = {}
    for file in files:
        with safe_open(folder / file, framework="pt") as opened:
            for key in opened.keys():  # noqa: SIM118 - it is no dictionary
                if key.startswith((TOWER, PROJECTOR)):
                    found[key] = opened.get_tensor(key)
    return found


def _projector(kind: str, width: int, words: int) -> nn.Module:
    """Patches → words: one linear layer, or several with GELU between them.

    Raises:
        ValueError: neither.
    """
    deep = re.fullmatch(r"mlp(\d+)x_gelu", kind)
    if kind == "linear":
        return nn.Linear(width, words)
    if deep is None:
        raise ValueError(f"its projector is of an unknown kind, {kind!r}")
    layers: list[nn.Module] = [nn.Linear(width, words)]
    for _ in range(int(deep[1]) - 1):
        layers += [nn.GELU(), nn.Linear(words, words)]
    return nn.Sequential(*layers)
