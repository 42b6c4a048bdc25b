"""Text models on this machine: any causal language model of transformers with a chat template."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from lcmis.errors import ConfigError
from lcmis.machine.device import choose_device, choose_dtype
from lcmis.machine.hub import Located, locate_spelled, refuse_file, refuse_no_safetensors
from lcmis.machine.memory import is_out_of_memory
from lcmis.plugins.settings import TextModelSettings
from lcmis.text.chat import AsksForJson, Recorder, Request, Rung
from lcmis.text.endpoint import Outcome, clean
from lcmis.text.fluency import load_causal

if TYPE_CHECKING:
    import torch


class LocalModel(AsksForJson):
    """A causal language model that runs in this program, from safetensors, without remote code.

    What is drawn by chance is drawn from a seed that the request itself decides: the same question
    to the same weights on the same machine is answered alike. Nothing enforces JSON, so the
    question is asked as it stands, and with the schema only if that gave none. Weights are loaded
    by the first question.

    Args:
        settings: ``name`` is a folder, or ``owner/name`` on the hub, or that with ``@revision``; a
            temperature of None leaves all to the model's own generation config, 0 takes the
            likeliest token.
        record: told of every exchange.
        device: as :func:`lcmis.machine.device.choose_device` reads it.

    Raises:
        UserError: no such model, no chat template, or a setting that cannot be.
    """

    rungs = (Rung.PLAIN, Rung.TEXT)
    sees_images = False

    def __init__(
        self, settings: TextModelSettings, record: Recorder | None = None, device: str = "auto"
    ) -> None:
        name = settings.name.strip()
        if not name:
            raise ConfigError(
                "a text model of kind local needs a name: write a model folder or owner/name"
            )
        super().__init__(settings, record)
        if settings.sees_images:
            raise ConfigError(f"{name} runs as a text model and sees no pictures: leave it out")
        self._located = locate_spelled(name)
        _refuse_mute(self._located)
        self._device = choose_device(device)
        self._loaded: tuple[Any, Any] | None = None
        self.model_id = f"local:{self._located}"

    def __repr__(self) -> str:
        return f"LocalModel({self.model_id!r})"

    def _ask(self, request: Request, deadline: float) -> Outcome:
        import torch
        from jinja2 import TemplateError

        model, tokenizer = self._weights()
        messages = [{"role": role, "content": text} for role, text in request.messages]
        try:
            asked = tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"
            ).to(self._device)
        except TemplateError as error:
            return Outcome(reason=f"its chat template does not take these messages ({error})")
        length = asked["input_ids"].shape[1]
        room = _context_length(model) - length
        if room < 1:
            return Outcome(
                reason=f"the question has {length} tokens, and it reads {length + room - 1} at most"
            )
        seed = int(request.key.rpartition(":")[2][:15], 16)
        forked = [self._device] if self._device.startswith("cuda") else []
        try:
            with torch.inference_mode(), torch.random.fork_rng(forked):
                torch.manual_seed(seed)
                written = model.generate(
                    **asked,
                    max_new_tokens=min(request.max_tokens, room),
                    max_time=max(0.0, deadline - time.monotonic()),
                    **_chance(request.temperature),
                )[0, length:]
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return Outcome(reason="the memory of its device does not suffice for this question")
        if not _has_ended(written, model.generation_config.eos_token_id):
            if time.monotonic() >= deadline:
                return Outcome(
                    reason=f"no whole reply within {self._settings.deadline_seconds:g} seconds"
                )
            return Outcome(reason="the reply was cut off: raise max_tokens")
        text = clean(tokenizer.decode(written, skip_special_tokens=True))
        return Outcome(text) if text.strip() else Outcome(reason="an empty message")

    def _weights(self) -> tuple[Any, Any]:
        """The model and its tokenizer."""
        if self._loaded is None:
            dtype = choose_dtype("auto", self._device)
            self._loaded = load_causal(self._located, self._device, dtype)
        return self._loaded


def _chance(temperature: float | None) -> dict[str, Any]:
    if temperature is None:
        return {}
    if temperature == 0:
        return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    return {"do_sample": True, "temperature": temperature}


def _has_ended(written: torch.Tensor, ends: int | list[int] | None) -> bool:
    """Whether the model itself stopped; one that has no token for it never does."""
    wanted = [ends] if isinstance(ends, int) else ends or []
    return bool(len(written)) and int(written[-1]) in wanted


def _context_length(model: Any) -> int:
    """In tokens; a model without a limit of its own reads as much as it is given."""
    return int(getattr(model.config, "max_position_embeddings", None) or 2**20)


def _refuse_mute(located: Located) -> None:
    """A model that was never taught to answer only goes on with the question."""
    refuse_file(located)
    if not (located.path / "config.json").is_file():
        raise ConfigError(
            f"{located.name} has no config.json: name the folder of a causal language model as "
            f"transformers saves it"
        )
    refuse_no_safetensors(located)
    if any(located.path.glob("chat_template*")):
        return
    try:
        said = json.loads((located.path / "tokenizer_config.json").read_text("utf-8"))
    except (OSError, ValueError):
        said = {}
    if not isinstance(said, dict) or not said.get("chat_template"):
        raise ConfigError(
            f"{located.name} has no chat template: take a model that was tuned to answer, often "
            f"called instruct or chat"
        )
