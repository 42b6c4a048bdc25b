"""One stored picture drawn again, and compared bit for bit."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lcmis import findings
from lcmis.errors import ConfigError, RenderError
from lcmis.machine.device import DTYPES
from lcmis.machine.versions import versions
from lcmis.plugins.opening import open_model
from lcmis.plugins.optional import made_again
from lcmis.plugins.protocols import ImageModel
from lcmis.plugins.settings import ModelSettings
from lcmis.render import draw
from lcmis.store import Store, picture_hash
from lcmis.types import RenderSpec

PINNED = re.compile(r".+@[0-9a-f]{40}")
"""A name on the hub with its commit."""
NUMBERS = ("num_inference_steps", "guidance_scale", "height", "width", "scheduler")
"""What a model chooses where its user does not; a later lcmis may choose otherwise."""


@dataclass(frozen=True, slots=True)
class Replay:
    """A stored picture, drawn again."""

    same: bool
    sha256: str
    """Of the picture drawn now."""
    differing: float
    """Share of the pixel values that differ, in [0, 1]."""
    largest: int
    """The largest difference of one value, of 255."""
    changed: tuple[str, ...]
    """What is different on this machine, one line each: package versions, device."""


def replay(store: Store, key: str, also: Sequence[ModelSettings]) -> Replay:
    """Draw a stored picture again and compare it, bit for bit.

    The model is found among those of the runs in the store, and then those of ``also``.

    Raises:
        UserError: there is no such picture, or its model cannot be opened here.
        RenderError: it cannot be drawn.
    """
    import numpy as np

    spec, render = store.render(key)
    if render.refusal:
        raise ConfigError(f"{spec.key} was refused by its model: there is no picture to compare")
    model = _model_of(spec, store, also)
    (picture,) = draw(model, [spec])
    if isinstance(picture, RenderError):
        raise picture
    before = np.asarray(store.image(render.sha256), dtype=np.int16)
    now = np.asarray(picture, dtype=np.int16)
    if before.shape != now.shape:
        raise RenderError(f"{spec.key}: drawn at {now.shape[1]}x{now.shape[0]} this time")
    distance = np.abs(before - now)
    digest = picture_hash(picture)
    return Replay(
        same=digest == render.sha256,
        sha256=digest,
        differing=float((distance > 0).mean()),
        largest=int(distance.max()),
        changed=_changed(store),
    )


def _model_of(spec: RenderSpec, store: Store, also: Sequence[ModelSettings]) -> ImageModel:
    tried = []
    for known in _likeliest_first(spec, dict.fromkeys([*findings.past_models(store), *also])):
        settings = _in_format_of(spec, known)
        model = open_model(settings)
        if model.model_id == spec.model and (usual := _usual(model, spec)) is not None:
            if dataclasses.replace(usual, negative_prompt=spec.negative_prompt) == spec:
                return model
            if (then := _with_numbers_of(spec, usual, settings)) is not None:
                return then
            if (then := _computed_plainly(spec, settings)) is not None:
                return then
        tried.append(model.model_id)
    raise ConfigError(
        f"{spec.key} was drawn by {spec.model} with {spec.profile}, {spec.num_inference_steps} "
        f"steps; here are only {', '.join(dict.fromkeys(tried))}: name the model and settings it "
        f"was drawn with"
    )


def _usual(model: ImageModel, spec: RenderSpec) -> RenderSpec | None:
    """The picture under this model's settings; None where those cannot draw its stages, as without
    the refiner that it was drawn with.
    """
    try:
        return made_again(model, spec)
    except RenderError:
        return None


def _likeliest_first(spec: RenderSpec, known: Iterable[ModelSettings]) -> Iterator[ModelSettings]:
    """First those that name the picture's model, pinned to the commits at which it was drawn.

    A branch may have moved since, and what is not needed may not be here any more.
    """
    others = []
    for settings in known:
        before = re.match(rf"{re.escape(settings.name)}@([0-9a-f]{{40}})(?![0-9a-f])", spec.model)
        if before is None:
            others.append(settings)
            continue
        adapters = settings.adapters
        if len(adapters) == len(spec.adapters):
            adapters = tuple(
                then if PINNED.search(then.name) else now
                for now, then in zip(adapters, spec.adapters, strict=True)
            )
        yield dataclasses.replace(settings, revision=before[1], adapters=adapters)
    yield from others


def _in_format_of(spec: RenderSpec, settings: ModelSettings) -> ModelSettings:
    """With the number format and the threads that a picture was drawn with, where nobody had said
    any: what is chosen by itself depends on the processor, and has changed since.
    """
    told = re.match(
        rf"(?P<device>[a-z]+)-(?P<dtype>{'|'.join(DTYPES)})-b\d+(-t(?P<threads>\d+))?", spec.profile
    )
    if told is None:
        return settings
    if settings.dtype == "auto":
        settings = dataclasses.replace(settings, dtype=told["dtype"])
    if settings.threads is None and told["device"] == "cpu":
        settings = dataclasses.replace(settings, threads=int(told["threads"] or 1))
    return settings


def _with_numbers_of(
    spec: RenderSpec, usual: RenderSpec, settings: ModelSettings
) -> ImageModel | None:
    """The model with the numbers that a picture was drawn with, where nobody had set them and they
    have changed since; None where more than those is different.
    """
    open_then = {
        name: getattr(spec, name)
        for name in NUMBERS
        if getattr(settings, name) is None and getattr(spec, name) != getattr(usual, name)
    }
    if dataclasses.replace(usual, negative_prompt=spec.negative_prompt, **open_then) != spec:
        return None
    return open_model(dataclasses.replace(settings, **open_then))


def _computed_plainly(spec: RenderSpec, settings: ModelSettings) -> ImageModel | None:
    """The model with neither layout nor decoding of its own, as all were run before there were
    any; None where that is not how the picture was drawn.
    """
    if settings.channels_last is not None or settings.vae_decoding is not None:
        return None
    then = dataclasses.replace(settings, channels_last=False, vae_decoding="whole")
    model = open_model(then)
    usual = model.spec(spec.stages, spec.seed)
    if dataclasses.replace(usual, negative_prompt=spec.negative_prompt) == spec:
        return model
    return _with_numbers_of(spec, usual, then)


def _changed(store: Store) -> tuple[str, ...]:
    now = versions()
    then = json.loads(store.runs()[-1].versions) if store.runs() else now
    return tuple(
        f"{name} was {then.get(name, 'absent')}, is {now[name]}"
        for name in now
        if then.get(name) != now[name]
    )
