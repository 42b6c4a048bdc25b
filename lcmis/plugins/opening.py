"""Names and settings → plugins: every model, checker, encoder and writer is found here."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from lcmis.errors import ConfigError, UserError
from lcmis.machine.device import choose_device
from lcmis.plugins import registry
from lcmis.plugins.optional import encoder_of, may_be_spread, takes_none_below
from lcmis.plugins.protocols import (
    Checker,
    Encoder,
    ImageModel,
    Inverter,
    LanguageModel,
    Repairer,
    TextModel,
    Writer,
)
from lcmis.plugins.settings import CheckerSettings, ModelSettings, TextModelSettings
from lcmis.types import Question


def open_model(settings: ModelSettings) -> ImageModel:
    """Find an image model by registered name, folder or hub name; nothing is loaded yet.

    Raises:
        UserError: there is no such model, or it cannot be run as asked.
    """
    _refuse_none_of(settings, "batch_size", "height", "width", "num_inference_steps", "threads")
    name, _, rest = settings.name.partition(":")
    if settings.name in registry.names("models"):
        plug = registry.load("models", settings.name)
    elif rest and name in registry.names("models"):
        plug = registry.load("models", name)
        settings = dataclasses.replace(settings, name=rest)
    else:
        plug = registry.load("models", "diffusers")
    model: ImageModel = plug(settings)
    return model


class Openable:
    """Models that were named once, each opened when somebody looks for one.

    Args:
        entries: likeliest first.
    """

    def __init__(self, entries: Iterable[ModelSettings]) -> None:
        self._left = iter(dict.fromkeys(entries))
        self._opened: list[tuple[ImageModel, ModelSettings]] = []
        self.reasons: list[str] = []
        """Why some cannot be opened here; they may be none of those that are looked for."""

    def named(self, model_id: str) -> Iterator[tuple[ImageModel, ModelSettings]]:
        """Those of this id, in order."""
        place = 0
        while place < len(self._opened) or self._opens_another():
            if self._opened[place][0].model_id == model_id:
                yield self._opened[place]
            place += 1

    def _opens_another(self) -> bool:
        for entry in self._left:
            try:
                self._opened.append((open_model(entry), entry))
            except UserError as error:
                self.reasons.append(str(error))
            else:
                return True
        return False


def open_checker(settings: CheckerSettings) -> Checker:
    """Find a checker by kind and name; nothing is loaded yet.

    Raises:
        UserError: there is no such checker, or a setting would have no effect on it.
    """
    _refuse_none_of(settings, "batch_size")
    plug = registry.load("checkers", settings.kind)
    if settings.none_below is not None and not takes_none_below(plug):
        raise ConfigError(
            f"none_below has no effect on {settings.kind}, but on detect and compared: leave it out"
        )
    checker: Checker = plug(settings)
    if (settings.device_map or settings.offload != "none") and not may_be_spread(checker):
        raise ConfigError(
            f"{checker.checker_id} runs whole on one device: leave device_map and offload out"
        )
    return checker


def _refuse_none_of(settings: ModelSettings | CheckerSettings, *names: str) -> None:
    """Of what there is at least one, whatever the plugin.

    Raises:
        ConfigError: none is asked for, or less.
    """
    whose = settings.name if isinstance(settings, ModelSettings) else settings.kind
    for name in names:
        said = getattr(settings, name)
        if said is not None and said < 1:
            raise ConfigError(f"{whose}: {name} = {said}: write 1 or more")


def asked_by(checker_id: str, question: Question) -> tuple[tuple[str, str], ...]:
    """What a checker is asked beside a picture, ``(role, text)`` in order, as its kind words it
    (``asked(checker_id, question)`` of its class); nothing where its kind is not here, does not
    say, or words it otherwise today.
    """
    kind = checker_id.partition(":")[0]
    if kind not in registry.names("checkers"):
        return ()
    words = getattr(registry.load("checkers", kind), "asked", None)
    said: tuple[tuple[str, str], ...] = words(checker_id, question) if callable(words) else ()
    return said


def open_text_model(settings: TextModelSettings) -> TextModel:
    """Find a text model by kind and name; nothing is asked or loaded yet.

    Raises:
        UserError: there is no such text model, or its settings cannot be.
    """
    model: TextModel = registry.load("text_models", settings.kind)(settings)
    return model


def open_repairer(name: str) -> Repairer:
    """Find a way of repairing by its registered name.

    Raises:
        UnknownNameError: there is no such method.
    """
    repairer: Repairer = registry.load("repairers", name)()
    return repairer


def open_inverter(name: str) -> Inverter:
    """Find a way from a picture to prompts by its registered name.

    Raises:
        UnknownNameError: there is no such method.
    """
    inverter: Inverter = registry.load("inverters", name)()
    return inverter


def open_encoder(settings: CheckerSettings) -> Encoder:
    """The encoder of a checker.

    Raises:
        UserError: there is no such checker, or it compares no pictures with texts.
    """
    checker = open_checker(settings)
    encoder = encoder_of(checker)
    if encoder is None:
        raise ConfigError(
            f"{checker.checker_id} cannot compare a picture with a text: name an encoder, such as "
            f"clip:ViT-B-32/laion2b_s34b_b79k"
        )
    return encoder


def open_language_model(name: str) -> LanguageModel:
    """Find a causal language model by registered name, folder or hub name; nothing is loaded yet.

    Raises:
        UserError: there is no such language model.
    """
    if name in registry.names("language_models"):
        model: LanguageModel = registry.load("language_models", name)()
        return model
    causal: LanguageModel = registry.load("language_models", "causal")(name)
    return causal


def open_writer(name: str, device: str = "auto") -> Writer:
    """Find what turns embeddings into text by registered name, folder or hub name.

    Raises:
        UserError: there is no such writer.
    """
    if name in registry.names("writers"):
        writer: Writer = registry.load("writers", name)()
        return writer
    trained: Writer = registry.load("writers", "e2t")(name, device=choose_device(device))
    return trained
