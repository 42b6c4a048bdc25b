"""ImageReward: how well people would like a picture of a prompt, as BLIP was taught it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lcmis.check.clip import MEAN as MEAN_OF_PIXELS
from lcmis.check.clip import STD as STD_OF_PIXELS
from lcmis.check.pictures import abstain, once_each, options_of, to_look_at
from lcmis.errors import ConfigError
from lcmis.machine.device import choose_device, choose_dtype
from lcmis.machine.hub import (
    Located,
    fetch_weights,
    locate,
    needed,
    refuse_file,
    refuse_no_safetensors,
)
from lcmis.machine.memory import in_batches
from lcmis.machine.weights import (
    refuse_missing,
    refuse_not_finite,
    refuse_unusable,
    silent,
)
from lcmis.plugins.settings import CheckerSettings
from lcmis.types import Answer, Question, QuestionKind

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from lcmis.machine.hub.fetching import Fetch

BATCH_SIZE = 16
READS = 35
"""Tokens of a prompt, start and end included, as it was trained."""
MEAN, STD = 0.16717362830052426, 1.0333394966054072
"""Of its output over the pictures that its authors measured; a published reward is less the first,
by the second."""
HEAD_WIDTH = 64
"""Of every attention head of BLIP, which its weights do not say."""
VOCABULARY = ("tokenizer.json", "vocab.txt")

SEES = (
    ("cls_token", "embeddings.class_embedding"),
    ("pos_embed", "embeddings.position_embedding"),
    (r"patch_embed\.proj\.", "embeddings.patch_embedding."),
    (r"blocks\.(\d+)\.norm(\d)\.", r"encoder.layers.\1.layer_norm\2."),
    (r"blocks\.(\d+)\.attn\.qkv\.", r"encoder.layers.\1.self_attn.qkv."),
    (r"blocks\.(\d+)\.attn\.proj\.", r"encoder.layers.\1.self_attn.projection."),
    (r"blocks\.(\d+)\.mlp\.", r"encoder.layers.\1.mlp."),
    (r"norm\.", "post_layernorm."),
)
"""How the published file calls what transformers calls otherwise, in the tower that sees."""


class ImageRewardChecker:
    """ImageReward, as the chance that people prefer the picture to an average one of its authors'.

    The model's output f was trained so that people prefer one of two pictures of a prompt with
    chance σ(f − f'), σ being the logistic function; here f' is the published mean. So the value v
    lies in (0, 1), and the published reward is ln(v / (1 − v)) / 1.0333.

    It guides a search and says nothing of single concepts, so it cannot decide an audit. Only
    differences on one prompt mean something.

    Args:
        settings: ``name`` is a folder or hub name with the published weights as safetensors, under
            their published names, and the tokenizer of ``bert-base-uncased``. They are given out as
            a pickle: ``lcmis convert ImageReward.pt --into FOLDER``.

    Raises:
        ConfigError: no such device, no safe weights, no tokenizer.
        UnknownNameError: neither a folder nor on the hub.

    Source: Xu et al., "ImageReward", NeurIPS 2023, section 2.2. Deviation: a prompt longer than 35
    tokens is an abstention, where theirs is cut.
    """

    decides = False

    def __init__(self, settings: CheckerSettings) -> None:
        self.device = choose_device(settings.device)
        dtype = "float32" if settings.dtype == "auto" else settings.dtype
        self.dtype = choose_dtype(dtype, self.device)
        self.batch_size = settings.batch_size or BATCH_SIZE
        self._located = locate(settings.name, settings.revision)
        _refuse_incomplete(self._located)
        self.checker_id = f"imagereward:{self._located}"
        self._reward: _Reward | None = None

    @staticmethod
    def asked(checker_id: str, question: Question) -> tuple[tuple[str, str], ...]:
        """The prompt that a picture was compared with."""
        return (("compared with", question.text),)

    def takes(self, question: Question) -> bool:
        """Whole prompts only."""
        return question.kind is QuestionKind.RELATION and bool(question.text.strip())

    def score(
        self, images: Sequence[Image], questions: Sequence[Question]
    ) -> list[tuple[Answer, ...]]:
        """Answer question i about image i; a picture is looked at once, whatever it is asked.

        Raises:
            ConfigError: the weights cannot be loaded, or memory does not suffice.
        """
        answers, rows = to_look_at(images, questions, self.takes, options_of)
        asked = []
        for place, picture in rows:
            text = questions[place].text
            length = self._loaded().num_tokens(text)
            if length > READS:
                reason = f"{text!r} is {length} tokens long, and the text encoder reads {READS}"
                answers[place] = abstain(("",), reason)
            else:
                asked.append((place, picture, text))
        if not asked:
            return answers
        reward = self._loaded()
        different, seen_at = once_each([picture for _, picture, _ in asked])
        seen = in_batches(different, self.batch_size, reward.see, reward.name)
        pairs = [(seen[place], text) for place, (_, _, text) in zip(seen_at, asked, strict=True)]
        outputs = in_batches(pairs, self.batch_size, reward.compare, reward.name)
        for (place, _, _), output in zip(asked, outputs, strict=True):
            answers[place] = (_answer(output),)
        return answers

    def load(self) -> None:
        """Read the weights now, fetched where they must be.

        Raises:
            ConfigError: that cannot be.
        """
        self._loaded()

    def fetches(self) -> tuple[Fetch, ...]:
        """How much of it comes from the hub, and how much of that is here."""
        return needed(self._located, _files(self._located))

    def _loaded(self) -> _Reward:
        if self._reward is None:
            self._reward = _Reward(self._located, self.device, self.dtype)
        return self._reward


def _answer(output: float) -> Answer:
    if not math.isfinite(output):
        return Answer(None, reason="the reward is not a finite number")
    above = max(min(output - MEAN, 700.0), -700.0)  # where exp still has a value
    return Answer(1 / (1 + math.exp(-above)))


def _refuse_incomplete(located: Located) -> None:
    refuse_file(located)
    if not _files(located):
        refuse_no_safetensors(located)
    if not any((located.path / name).is_file() for name in VOCABULARY):
        raise ConfigError(
            f"{located.name} has no {VOCABULARY[0]}: put that of bert-base-uncased into it, as "
            f"`hf download google-bert/bert-base-uncased {VOCABULARY[0]} --local-dir "
            f"{located.path}` does"
        )


def _files(located: Located) -> list[str]:
    """From which it is loaded; they may still be on the hub."""
    return [name for name in located.names() if name.endswith(".safetensors")]


class _Reward:
    """The loaded model: BLIP sees, reads, and five linear layers make one number of it."""

    def __init__(self, located: Located, device: str, dtype: str) -> None:
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file
        from torchvision.transforms import v2
        from transformers import BertTokenizer

        refuse_unusable(device)
        self.name, self.device = located.name, device
        self.dtype: torch.dtype = getattr(torch, dtype)
        folder = fetch_weights(located, _files(located))
        tensors: dict[str, torch.Tensor] = {}
        try:
            for file in _files(located):
                tensors |= load_file(folder / file)
            with silent():
                self.tokenizer: Any = BertTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, TypeError, SafetensorError) as error:
            said = " ".join(str(error).split())[:300]
            raise ConfigError(
                f"{self.name} cannot be loaded ({said}): copy it again, whole"
            ) from error
        refuse_not_finite(self.name, tensors)
        parts = _parts(self.name, tensors)
        self.sees, self.reads, self.head = (part.to(device, self.dtype).eval() for part in parts)
        side = parts[0].config.image_size
        self.transform: Any = v2.Compose(
            [
                v2.Resize(side, interpolation=v2.InterpolationMode.BICUBIC),
                v2.CenterCrop(side),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(MEAN_OF_PIXELS, STD_OF_PIXELS),
            ]
        )

    def num_tokens(self, text: str) -> int:
        """Of a prompt, start and end included."""
        return len(self.tokenizer(text, truncation=False, verbose=False)["input_ids"])

    def see(self, images: Sequence[Image]) -> list[torch.Tensor]:
        """Each picture as ``(patches + 1, dim)`` on the device."""
        import torch

        pixels = torch.stack([self.transform(image) for image in images])
        with torch.inference_mode():
            return list(self.sees(pixels.to(self.device, self.dtype)).last_hidden_state)

    def compare(self, pairs: Sequence[tuple[torch.Tensor, str]]) -> list[float]:
        """The model's output for each picture and prompt, before it is made a reward."""
        import torch

        read = self.tokenizer(
            [text for _, text in pairs], padding="max_length", max_length=READS, return_tensors="pt"
        ).to(self.device)
        with torch.inference_mode():
            state = self.reads(
                input_ids=read["input_ids"],
                attention_mask=read["attention_mask"],
                encoder_hidden_states=torch.stack([seen for seen, _ in pairs]),
                is_decoder=False,
            ).last_hidden_state
            outputs: list[float] = self.head(state[:, 0]).float().flatten().tolist()
        return outputs


def _parts(
    name: str, tensors: dict[str, torch.Tensor]
) -> tuple[torch.nn.Module, torch.nn.Module, torch.nn.Module]:
    """The tower that sees, the one that reads, and the head, filled with published weights.

    Raises:
        ConfigError: a tensor is missing, or has a shape that no ImageReward has.
    """
    import torch
    from transformers import BlipTextConfig, BlipTextModel, BlipVisionConfig, BlipVisionModel

    published = [
        _under(prefix, tensors) for prefix in ("blip.visual_encoder.", "blip.text_encoder.", "mlp.")
    ]
    vision = {_as_transformers(key): tensor for key, tensor in published[0].items()}
    text, head = published[1:]
    try:
        patch, words = (
            vision["embeddings.patch_embedding.weight"],
            text["embeddings.word_embeddings.weight"],
        )
        places = vision["embeddings.position_embedding"].shape[1] - 1
        width, side = patch.shape[0], patch.shape[-1]
        reads = text["embeddings.position_embeddings.weight"].shape[0]
        sees = BlipVisionModel(
            BlipVisionConfig(
                hidden_size=width,
                intermediate_size=vision["encoder.layers.0.mlp.fc1.bias"].shape[0],
                num_hidden_layers=_count(vision, r"encoder\.layers\.(\d+)\."),
                num_attention_heads=width // HEAD_WIDTH,
                image_size=side * math.isqrt(places),
                patch_size=side,
                layer_norm_eps=1e-6,
            )
        )
        read = BlipTextModel(
            BlipTextConfig(
                vocab_size=words.shape[0],
                hidden_size=words.shape[1],
                encoder_hidden_size=width,
                intermediate_size=text["encoder.layer.0.intermediate.dense.bias"].shape[0],
                num_hidden_layers=_count(text, r"encoder\.layer\.(\d+)\."),
                num_attention_heads=words.shape[1] // HEAD_WIDTH,
                max_position_embeddings=reads,
                layer_norm_eps=1e-12,
                bos_token_id=None,
                sep_token_id=None,
            ),
            add_pooling_layer=False,
        )
        sizes = [head[f"layers.{place}.weight"].shape for place in (0, 2, 4, 6, 7)]
        layers = {
            str(place): torch.nn.Linear(size[1], size[0])
            for place, size in zip((0, 2, 4, 6, 7), sizes, strict=True)
        }
        scores = torch.nn.Sequential()
        scores.layers = torch.nn.Sequential()
        for place, layer in layers.items():
            scores.layers.add_module(place, layer)
        for part, weights in ((sees, vision), (read, text), (scores, head)):
            refuse_missing(name, part.load_state_dict(weights, strict=False).missing_keys)
    except KeyError as error:
        refuse_missing(name, [error.args[0]])
        raise
    except (RuntimeError, IndexError) as error:
        said = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"{name} has weights that are no ImageReward's ({said}): convert its published file"
        ) from error
    return sees, read, scores


def _under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        key.removeprefix(prefix): tensor
        for key, tensor in tensors.items()
        if key.startswith(prefix)
    }


def _as_transformers(key: str) -> str:
    for theirs, ours in SEES:
        key, found = re.subn(rf"^{theirs}", ours, key)
        if found:
            break
    return key


def _count(tensors: dict[str, torch.Tensor], layer: str) -> int:
    found = (re.match(layer, key) for key in tensors)
    return 1 + max((int(one[1]) for one in found if one), default=-1)
