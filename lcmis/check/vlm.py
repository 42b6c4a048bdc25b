"""A vision-language model in memory: what it would say first to questions about pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image

from lcmis.check import clip_t5
from lcmis.check.eyes import Eyes
from lcmis.check.quantised import Placing, load_placed
from lcmis.check.seen_once import features_once, prepare_once
from lcmis.check.shared_prefix import LOGITS, NotShared, place_all, shared_logits
from lcmis.check.templates import Asking, Manner
from lcmis.errors import CheckError, ConfigError
from lcmis.machine.hub import Located, fetch_weights
from lcmis.machine.memory import is_out_of_memory
from lcmis.machine.weights import refuse_missing, refuse_not_finite, refuse_unusable, silent

Look = tuple[Image, Sequence[str]]
"""A picture and all that is asked of it."""

GREEDY = {
    "do_sample": False,
    "num_beams": 1,
    "temperature": None,
    "top_p": None,
    "top_k": None,
}
TOLERANCE = {torch.float32: 3e-5, torch.float16: 1e-2, torch.bfloat16: 6e-2}
"""How far logits may lie from those of a question asked alone, as the root of their mean square
over the spread of the logits: some ten times what rounding was seen to do. Quantised weights are
held to the coarsest: what is computed with them is rounded anew for every batch."""
UNFIT = (ValueError, TypeError, IndexError, KeyError, AttributeError, ZeroDivisionError, OSError)
"""What processors and models raise at what they were not made for."""


class Vlm:
    """A loaded model that is asked many questions about many pictures at a time.

    Of a picture that is asked several questions the beginning, picture and common words, is read
    once and kept. The first time, the same questions are also asked one by one: where the logits
    disagree, or the family keeps no beginning, every question reads the whole again, and only what
    sees pictures works once. ``way`` says which of the two it is, and why.

    Args:
        located: its folder.
        manner: how it is asked.
        placing: where its weights go, and in which numbers.
        eyes: what a CLIP-T5 sees by, which no class of transformers loads; None for all others.

    Raises:
        ConfigError: the weights cannot be loaded.
    """

    def __init__(
        self, located: Located, manner: Manner, placing: Placing, eyes: Eyes | None = None
    ) -> None:
        from safetensors import SafetensorError

        refuse_unusable(placing.device)
        self.name, self.device = located.name, placing.device
        folder = fetch_weights(located)
        self.processor: Any
        try:
            with silent():
                if eyes is None:
                    self.processor, model, report = _by_transformers(folder, placing)
                else:
                    self.processor, model, report = clip_t5.load(folder, self.name, eyes, placing)
        except ImportError as error:
            raise ConfigError(f"{self.name} cannot be loaded here: {_short(error)}") from error
        except (
            OSError,
            ValueError,
            KeyError,
            RuntimeError,
            MemoryError,
            SafetensorError,
        ) as error:
            if is_out_of_memory(error):
                raise ConfigError(
                    f"{self.name} does not fit into the memory of {self.device}: set device_map = "
                    f'"auto", offload = "sequential" or dtype = "bfloat16", or take a smaller model'
                ) from error
            raise ConfigError(
                f"{self.name} cannot be loaded as an image-and-text model ({_short(error)}): copy "
                f"it again, whole, or take one that transformers knows without code of its own"
            ) from error
        refuse_missing(self.name, report["missing_keys"])
        refuse_not_finite(self.name, model.state_dict())
        self.model: Any = model.eval()
        self._rests = placing.offload == "model"
        coarse = TOLERANCE[torch.bfloat16]
        self._tolerance = coarse if placing.quantised else TOLERANCE.get(model.dtype, coarse)
        self.tokenizer: Any = self.processor.tokenizer
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        added = self.tokenizer.added_tokens_decoder.values()
        self._controls = [token.content for token in added if token.special]
        prepare_once(self.processor)
        self._asking = Asking(self.processor, manner)
        self._shares: bool | None = None
        self.way = ""

    def control_token_in(self, text: str) -> str:
        """A control token that a text would smuggle into the prompt; empty for an honest text."""
        return next((token for token in self._controls if token in text), "")

    def first_tokens(self, looks: Sequence[Look]) -> list[torch.Tensor]:
        """Probabilities of each reply's first token.

        Returns:
            For each look ``(questions, vocabulary)``, float32 on the CPU.

        Raises:
            CheckError: the model cannot take one of these pictures in.
        """
        try:
            with self._awake():
                return self._first_tokens(looks)
        except (*UNFIT, RuntimeError) as error:
            if is_out_of_memory(error):
                raise
            raise CheckError(
                f"{self.name} cannot look at these pictures ({_sizes(looks)}): {_short(error)}"
            ) from error

    def _first_tokens(self, looks: Sequence[Look]) -> list[torch.Tensor]:
        images = [image for image, _ in looks]
        rounds = range(max(len(texts) for _, texts in looks))
        # a look with fewer questions than others asks its last one again
        asked = [[texts[min(i, len(texts) - 1)] for _, texts in looks] for i in rounds]
        encoded = [self._encoded(images, texts) for texts in asked]
        if len(rounds) == 1:
            logits = [self._logits(encoded[0])]
        elif self._shares is None:
            logits = self._proved(images, asked, encoded)
        else:
            logits = self._several(encoded)
        by_look = torch.stack(logits, dim=1)
        return [
            rows[: len(texts)].softmax(dim=-1).cpu()
            for rows, (_, texts) in zip(by_look, looks, strict=True)
        ]

    def describe(self, images: Sequence[Image], text: str, num_tokens: int) -> list[str]:
        """The likeliest words to a question about each picture, ``num_tokens`` at most."""
        inputs = self._encoded(images, [text] * len(images))
        with torch.inference_mode(), self._awake():
            reply = self.model.generate(
                **self._placed(inputs), **self._how(), max_new_tokens=num_tokens
            )
        if not self.model.config.is_encoder_decoder:
            reply = reply[:, inputs["input_ids"].shape[1] :]
        special = set(self.tokenizer.all_special_ids)
        said = [[token for token in row if token not in special] for row in reply.tolist()]
        return [self.tokenizer.decode(tokens).strip() if tokens else "" for tokens in said]

    @contextmanager
    def _awake(self) -> Iterator[None]:
        """On its device while inside, where it rests in main memory between uses."""
        if self._rests:
            self.model.to(self.device)
        try:
            yield
        finally:
            if self._rests:
                self.model.to("cpu")

    def _encoded(self, images: Sequence[Image], texts: Sequence[str]) -> Any:
        try:
            return self._asking(images, texts)
        except (*UNFIT, RuntimeError) as error:
            if is_out_of_memory(error):
                raise
            sizes = _sizes([(image, ()) for image in images])
            raise CheckError(
                f"{self.name} cannot take these pictures in ({sizes}): {_short(error)}"
            ) from error

    def _logits(self, inputs: Mapping[str, Any]) -> torch.Tensor:
        """Of one question a row, in one go, ``(rows, vocabulary)``."""
        with torch.inference_mode():
            said = self.model.generate(
                **self._placed(inputs), **self._how(), **LOGITS, max_new_tokens=1
            )
        first: torch.Tensor = said.logits[0].float()
        return first

    def _several(self, encoded: Sequence[Mapping[str, Any]]) -> list[torch.Tensor]:
        """Of several questions about the same pictures, in the way that was proved."""
        if self._shares:
            return self._shared(encoded)
        with features_once(self.model):
            return [self._logits(inputs) for inputs in encoded]

    def _shared(self, encoded: Sequence[Mapping[str, Any]]) -> list[torch.Tensor]:
        with torch.inference_mode():
            return shared_logits(
                self.model,
                encoded,
                self._picture_tokens(),
                self._place,
                **self._how(),
                max_new_tokens=1,
            )

    def _proved(
        self,
        images: Sequence[Image],
        asked: Sequence[Sequence[str]],
        encoded: Sequence[Mapping[str, Any]],
    ) -> list[torch.Tensor]:
        """The first answers, and by them which way is taken from now on."""
        alone = torch.stack(
            [self._logits(self._encoded(images[:1], texts[:1]))[0] for texts in asked]
        )
        reason = ""
        try:
            logits = self._shared(encoded)
        except NotShared as error:
            reason = str(error)
        except (*UNFIT, RuntimeError) as error:
            if is_out_of_memory(error):
                raise
            reason = f"its family cannot go on from a beginning ({_short(error)})"
        else:
            away = distance(alone, torch.stack([one[0] for one in logits]))
            if away <= self._tolerance:
                self._shares = True
                self.way = "a picture and the words before its questions are read once"
                return logits
            reason = f"the answers would not be the same, {away:.1e} of their spread apart"
        self._shares = False
        self.way = (
            f"a picture goes through the vision tower once, and is read again with every "
            f"question: {reason}"
        )
        return self._several(encoded)

    def _picture_tokens(self) -> frozenset[int]:
        """Ids that stand for a picture, as processor and configuration name them."""
        config = self.model.config
        found: set[int] = set()
        for owner in (self.processor, config):
            for name in ("image_token_id", "image_token_index", "image_ids"):
                value = getattr(owner, name, None)
                found.update([value] if isinstance(value, int) else value or ())
        return frozenset(found)

    def _how(self) -> dict[str, Any]:
        return {**GREEDY, "pad_token_id": self.tokenizer.pad_token_id}

    def _placed(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        return {name: place_all(value, self._place) for name, value in inputs.items()}

    def _place(self, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.is_floating_point():
            return tensor.to(self.device, self.model.dtype)
        return tensor.to(self.device)


def _by_transformers(folder: Path, placing: Placing) -> tuple[Any, Any, Mapping[str, Any]]:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    safe: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    processor = AutoProcessor.from_pretrained(folder, **safe)
    return processor, *load_placed(AutoModelForImageTextToText, folder, placing, **safe)


def distance(alone: torch.Tensor, other: torch.Tensor) -> float:
    """Between logits ``(rows, vocabulary)``: of their differences the root of the mean square, over
    their spread. What all logits of a row have in common changes no probability and is left out.
    """
    alone = alone - alone.mean(dim=-1, keepdim=True)
    other = other - other.mean(dim=-1, keepdim=True)
    spread = alone.square().mean().sqrt().clamp_min(1e-12)
    return float((alone - other).square().mean().sqrt() / spread)


def _sizes(looks: Sequence[Look]) -> str:
    return ", ".join(sorted({f"{image.width}x{image.height}" for image, _ in looks}))


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
