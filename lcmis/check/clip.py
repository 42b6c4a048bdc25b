"""Similarity of open_clip models, as a contrast: the asked prompt against its counterfactuals."""

from __future__ import annotations

import difflib
import json
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcmis.check.pictures import abstain, once_each, to_look_at
from lcmis.check.tags import Tagged, architecture, architectures, find_tagged
from lcmis.errors import ConfigError, UnknownNameError
from lcmis.machine.device import choose_device, choose_dtype
from lcmis.machine.hub import (
    Located,
    fetch_weights,
    locate,
    needed,
    refuse_no_safetensors,
    refuse_pickles,
    weights_of,
)
from lcmis.machine.memory import in_batches, is_out_of_memory
from lcmis.machine.weights import refuse_not_finite, refuse_unusable
from lcmis.plugins.protocols import Encoder
from lcmis.plugins.settings import CheckerSettings
from lcmis.types import NONE_OF_THESE, Answer, Question

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from lcmis.machine.hub.fetching import Fetch

BATCH_SIZE = 32
MAX_CACHED_TEXTS = 4096
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")
"""File names under which open_clip looks for safe weights in a folder, first match first."""
TOWERS = ("clip", "siglip")
"""Model types of transformers that make one vector of a picture, and one of a text."""
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of pixels, as OpenAI's and LAION's models were trained."""
HUB_PREFIX = "hf-hub:"
FOLDER_PREFIX = "local-dir:"


class ClipChecker:
    """Asks an open_clip model which of several prompts a picture fits.

    The value is the soft-max over ``logit_scale · cos(image, text)`` of the question's contrast
    prompts, at the asked prompt or, in a forced choice, at each option's prompt; none of these has
    no prompt and gets no answer. A question without counterfactuals is not taken: the absolute
    similarity says more of the prompt than of the picture. For models trained with a sigmoid
    (SigLIP) the same expression is the probability given that exactly one of the prompts holds;
    their bias cancels.

    Works in float32 on every device unless told otherwise: multiplied by a scale of 100, the
    rounding of a bfloat16 cosine alone would move a value by a tenth.

    Args:
        settings: ``name`` is ``MODEL/TAG`` as open_clip lists them, ``hf-hub:owner/name``, or a
            folder, with or without ``local-dir:`` before it: one that open_clip saved, with
            ``open_clip_config.json``, or a CLIP or SigLIP that transformers saved.

    Raises:
        ConfigError: no such device, no safe weights, a folder without a configuration.
        UnknownNameError: no such model; the sentence lists near ones.

    Source: Radford et al., ICML 2021 (zero-shot classification, section 3.1.2).
    """

    def __init__(self, settings: CheckerSettings) -> None:
        self.device = choose_device(settings.device)
        dtype = "float32" if settings.dtype == "auto" else settings.dtype
        self.dtype = choose_dtype(dtype, self.device)
        self.batch_size = settings.batch_size or BATCH_SIZE
        self._located, self._built_in = _find(settings.name, settings.revision)
        self.checker_id = f"clip:{self._located or self._built_in}"
        self._clip: _Clip | None = None

    @staticmethod
    def asked(checker_id: str, question: Question) -> tuple[tuple[str, str], ...]:
        """The prompts that a picture is compared with, the first one asked for unless it is a
        choice; as :func:`lcmis.plugins.opening.asked_by` has it.
        """
        return tuple(("compared with", text) for text in question.contrast)

    def takes(self, question: Question) -> bool:
        """Whether there is something to compare; a choice needs one prompt for each option."""
        if question.kind.is_choice:
            return 2 <= len(question.contrast) == len(_shown(question))
        return len(question.contrast) >= 2

    def score(
        self, images: Sequence[Image], questions: Sequence[Question]
    ) -> list[tuple[Answer, ...]]:
        """Answer question i about image i; a picture is looked at once, whatever it is asked.

        Raises:
            ConfigError: the weights cannot be loaded, or memory does not suffice.
        """
        answers, rows = to_look_at(images, questions, self.takes, _answered)
        if not rows:
            return answers
        clip = self._loaded()
        different, places = once_each([picture for _, picture in rows])
        seen = clip.see(different, self.batch_size)
        clip.read(text for row, _ in rows for text in questions[row].contrast)
        for (row, _), place in zip(rows, places, strict=True):
            answers[row] = _compare(clip, seen[place], questions[row])
        return answers

    def encoder(self) -> Encoder:
        """The same model, with gradients; it shares the weights of this checker."""
        from lcmis.check.encoder import ClipEncoder

        return ClipEncoder(self.checker_id, self.device, self.batch_size, self._loaded)

    def load(self) -> None:
        """Read the weights now, fetched where they must be.

        Raises:
            ConfigError: that cannot be.
        """
        self._loaded()

    def fetches(self) -> tuple[Fetch, ...]:
        """How much of it comes from the hub, and how much of that is here."""
        if self._located is None:
            return self._built_in.fetches() if self._built_in else ()
        return needed(self._located, _files(self._located))

    def _loaded(self) -> _Clip:
        if self._clip is None:
            self._clip = _Clip(self._located, self._built_in, self.device, self.dtype)
        return self._clip


def _shown(question: Question) -> tuple[str, ...]:
    return tuple(option for option in question.options if option != NONE_OF_THESE)


def _answered(question: Question) -> tuple[str, ...]:
    return _shown(question) if question.kind.is_choice else ("",)


def _compare(clip: _Clip, seen: torch.Tensor, question: Question) -> tuple[Answer, ...]:
    options = _answered(question)
    for text in question.contrast:
        if clip.is_too_long(text):
            return abstain(
                options,
                f"{text!r} is {clip.num_tokens(text)} tokens long, "
                f"and the text encoder reads {clip.context_length}",
            )
    probabilities = clip.probabilities(seen, question.contrast)
    if probabilities is None:
        return abstain(options, "a similarity is not a finite number")
    return tuple(
        Answer(value, option) for option, value in zip(options, probabilities, strict=False)
    )


def _find(name: str, revision: str | None) -> tuple[Located | None, Tagged | None]:
    """A folder or hub model, or the model and tag of one that open_clip lists."""
    path = Path(name.removeprefix(FOLDER_PREFIX)).expanduser()
    if name.startswith(FOLDER_PREFIX) and not path.is_dir():
        raise ConfigError(f"there is no folder {path}: give one with an open_clip_config.json")
    if path.is_dir() or name.startswith(HUB_PREFIX):
        located = locate(name.removeprefix(FOLDER_PREFIX).removeprefix(HUB_PREFIX), revision)
        _refuse_unsafe(located)
        return located, None
    model, _, tag = name.partition("/")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise UnknownNameError(
            f"no open_clip model is called {name!r}: write MODEL/TAG such as "
            f"ViT-B-32/laion2b_s34b_b79k, hf-hub:owner/name, or the path of a folder"
        )
    _refuse_unlisted(model, name)
    return None, find_tagged(model, tag, revision)


def is_listed(model: str) -> bool:
    """Whether open_clip has a model of this name."""
    return model in architectures()


def config_like(model: str) -> dict[str, Any]:
    """An ``open_clip_config.json`` for weights of a model that open_clip lists.

    Raises:
        UnknownNameError: there is no such model; the sentence lists near ones.
    """
    _refuse_unlisted(model)
    return {
        "model_cfg": architecture(model),
        "preprocess_cfg": {"mean": list(MEAN), "std": list(STD)},
    }


def _refuse_unlisted(model: str, name: str = "") -> None:
    if not is_listed(model):
        near = difflib.get_close_matches(model, architectures(), n=3, cutoff=0.5) or ["ViT-B-32"]
        hub = f"; if {name} is a model on the hub, write clip:{HUB_PREFIX}{name}" if name else ""
        raise UnknownNameError(f"open_clip has no model {model!r}; try {', '.join(near)}{hub}")


def _refuse_unsafe(located: Located) -> None:
    """Judge a folder by its files before anything of it is loaded."""
    config = located.path / "open_clip_config.json"
    if not config.is_file() and _is_towers(located.path):
        _files(located)
        return
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{located.name} has no open_clip_config.json, and no config.json of a CLIP or SigLIP: "
            f"give a folder that open_clip or transformers saved"
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{located.name}/open_clip_config.json cannot be read as JSON ({error}): copy it again"
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("model_cfg"), dict):
        raise ConfigError(
            f"{located.name}/open_clip_config.json has no model_cfg: "
            f"give a folder that open_clip saved"
        )
    tokenizer = located.path / "tokenizer_config.json"
    brings_code = tokenizer.is_file() and "auto_map" in tokenizer.read_text(encoding="utf-8")
    if brings_code or "trust_remote_code" in json.dumps(content):
        raise ConfigError(
            f"{located.name} wants code of its own to be run, which never happens: "
            f"take another model"
        )
    _files(located)


def _is_towers(folder: Path) -> bool:
    """Whether transformers saved a CLIP or SigLIP here."""
    try:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("model_type") in TOWERS


def _files(located: Located) -> tuple[str, ...]:
    """From which the weights are loaded; they may still be on the hub.

    Raises:
        ConfigError: there are none, or only pickles.
    """
    names = located.names()
    if "open_clip_config.json" not in names:
        refuse_no_safetensors(located)
        return weights_of(located)
    for file in WEIGHTS:
        if file in names:
            return (file,)
    refuse_pickles(located)
    raise ConfigError(
        f"{located.name} has no {WEIGHTS[0]}: call its safetensors so, or copy the model again, "
        f"whole"
    )


class _Clip:
    """A loaded model with the features of the texts it has read."""

    def __init__(
        self, located: Located | None, built_in: Tagged | None, device: str, dtype: str
    ) -> None:
        import torch

        refuse_unusable(device)
        self.device = device
        self.dtype: torch.dtype = getattr(torch, dtype)
        if located is not None:
            folder, shown = fetch_weights(located, _files(located)), located.name
            model, tokenizer, transform = (
                _saved_by_open_clip(f"{FOLDER_PREFIX}{folder}", shown, {}, dtype, device)
                if (folder / "open_clip_config.json").is_file()
                else _saved_by_transformers(folder, shown, self.dtype)
            )
        else:
            assert built_in is not None
            shown = str(built_in)
            model, tokenizer, transform = _saved_by_open_clip(
                built_in.model, shown, built_in.choices(), dtype, device
            )
        refuse_not_finite(shown, model.state_dict())
        self.name = shown
        self.model: Any = model.to(device).eval()
        self.tokenizer: Any = tokenizer
        self.transform: Any = transform
        self.context_length: int = self.tokenizer.context_length
        self._texts: OrderedDict[str, torch.Tensor] = OrderedDict()
        self._lengths: dict[str, int] = {}

    def see(self, images: Sequence[Image], batch_size: int) -> torch.Tensor:
        """Unit features, float32 on the CPU, ``(images, dim)``.

        Raises:
            ConfigError: memory does not suffice for a batch.
        """
        import torch

        def see(batch: Sequence[Image]) -> list[torch.Tensor]:
            pixels = torch.stack([self.transform(image) for image in batch])
            return list(_unit(self.model.encode_image(pixels.to(self.device, self.dtype))))

        with torch.inference_mode():
            return torch.stack(in_batches(images, batch_size, see, self.name))

    def read(self, texts: Any) -> None:
        """Put the unit features of all texts that fit into the cache."""
        import torch

        new = [
            text
            for text in dict.fromkeys(texts)
            if text not in self._texts and not self.is_too_long(text)
        ]
        with torch.inference_mode():
            for start in range(0, len(new), BATCH_SIZE):
                batch = new[start : start + BATCH_SIZE]
                tokens = self.tokenizer(batch).to(self.device)
                for text, feature in zip(batch, _unit(self.model.encode_text(tokens)), strict=True):
                    self._texts[text] = feature

    def probabilities(self, seen: torch.Tensor, texts: Sequence[str]) -> list[float] | None:
        """The soft-max over texts of one picture's features; None where it is not finite."""
        import torch

        with torch.inference_mode():
            scale = self.model.logit_scale.exp().float().cpu()
            logits = scale * torch.stack([self._text(text) for text in texts]) @ seen
            if not logits.isfinite().all():
                return None
            values: list[float] = logits.softmax(dim=0).clamp(0, 1).tolist()
        return values

    def num_tokens(self, text: str) -> int:
        """How long a text is for this model, special tokens included, before any cutting."""
        if text not in self._lengths:
            if len(self._lengths) >= MAX_CACHED_TEXTS:
                self._lengths.clear()
            self._lengths[text] = _num_tokens(self.tokenizer, text)
        return self._lengths[text]

    def is_too_long(self, text: str) -> bool:
        """Whether the tokenizer would silently cut it."""
        return self.num_tokens(text) > self.context_length

    def _text(self, text: str) -> torch.Tensor:
        if text not in self._texts:
            self.read([text])
        self._texts.move_to_end(text)
        feature = self._texts[text]
        while len(self._texts) > MAX_CACHED_TEXTS:
            self._texts.popitem(last=False)
        return feature


def _saved_by_transformers(folder: Path, shown: str, dtype: torch.dtype) -> tuple[Any, Any, Any]:
    from lcmis.check.towers import load_towers

    return load_towers(folder, shown, dtype)


def _saved_by_open_clip(
    name: str, shown: str, choices: Mapping[str, Any], dtype: str, device: str
) -> tuple[Any, Any, Any]:
    """A model with its tokenizer and its transform."""
    import open_clip
    from safetensors import SafetensorError

    try:
        model, _, transform = open_clip.create_model_and_transforms(
            name,
            precision={"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}[dtype],
            device=device,
            require_pretrained=True,
            **choices,
        )
        return model, open_clip.get_tokenizer(name), transform
    except (RuntimeError, OSError, ValueError, SafetensorError) as error:
        if is_out_of_memory(error):
            raise
        said = " ".join(str(error).split())[:300]
        raise ConfigError(f"{shown} cannot be loaded ({said}): copy it again, whole") from error


def _unit(features: torch.Tensor) -> torch.Tensor:
    features = features.float().cpu()
    return features / features.norm(dim=-1, keepdim=True)


def _num_tokens(tokenizer: Any, text: str) -> int:
    import open_clip

    if isinstance(tokenizer, open_clip.SimpleTokenizer):
        return len(tokenizer.encode(text)) + 2
    clean = getattr(tokenizer, "clean_fn", str)
    ids = tokenizer.tokenizer(clean(text), truncation=False, verbose=False)["input_ids"]
    return len(ids) + (getattr(tokenizer, "tokenizer_mode", "") == "clips")
