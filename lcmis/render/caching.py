"""Caches by which a denoiser uses again what it has worked out: diffusers' own, and only to search.

What they draw is another picture than the model's, so it may lead a search and proves nothing.
"""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lcmis.errors import ConfigError
from lcmis.render.signature import names_calls

if TYPE_CHECKING:
    import torch

    from lcmis.render.stages import Clock


@dataclass(frozen=True, slots=True)
class CacheKind:
    """One of diffusers' caches, and what has to be known of it."""

    config: str
    """The class of ``diffusers.hooks`` that says how it works."""
    number: str
    """The field of that class which a user may set."""
    usual: float
    """Of the number, as diffusers has it."""
    is_interval: bool = True
    """Whether the number counts steps, from 2; else it is a threshold above 0 and up to 1."""
    by_picture: bool = False
    """Whether it decides by a mean over all rows of a batch: then each picture is drawn alone."""
    knows_calls: bool = True
    """Whether it keeps apart what a step asks with the prompt and with the negative prompt; else it
    wants one call a step, and is told at which time of the schedule that is."""
    only: str = ""
    """The one denoiser for which diffusers has the numbers it goes by; empty for any."""
    more: tuple[tuple[str, Any], ...] = ()
    """Fields that are always set."""


KINDS: Mapping[str, CacheKind] = MappingProxyType(
    {
        "first-block": CacheKind(
            "FirstBlockCacheConfig", "threshold", 0.05, is_interval=False, by_picture=True
        ),
        "taylor-seer": CacheKind("TaylorSeerCacheConfig", "cache_interval", 5),
        "taylor-seer-lite": CacheKind(
            "TaylorSeerCacheConfig", "cache_interval", 5, more=(("use_lite_mode", True),)
        ),
        "mag": CacheKind(
            "MagCacheConfig", "threshold", 0.06, is_interval=False, only="FluxTransformer2DModel"
        ),
        "pyramid-attention": CacheKind(
            "PyramidAttentionBroadcastConfig",
            "spatial_attention_block_skip_range",
            2,
            knows_calls=False,
        ),
        "faster-cache": CacheKind(
            "FasterCacheConfig",
            "spatial_attention_block_skip_range",
            2,
            knows_calls=False,
            more=(("is_guidance_distilled", True),),
        ),
    }
)
"""By the name that a user writes."""


@dataclass(frozen=True, slots=True)
class Cache:
    """A cache with its number, e.g. ``first-block:0.12``."""

    name: str
    number: float

    def __str__(self) -> str:
        return f"{self.name}:{self.number:g}"

    @property
    def kind(self) -> CacheKind:
        """What has to be known of it."""
        return KINDS[self.name]

    @property
    def mark(self) -> str:
        """What the numerics profile says of it, e.g. ``"-lossy_first_block_0.12"``."""
        return f"-lossy_{self.name.replace('-', '_')}_{self.number:g}"

    def rows(self, batch_size: int) -> int:
        """Of a batch, where the model's own has so many."""
        return 1 if self.kind.by_picture else batch_size

    def config(self, pipeline: Any, steps: int) -> Any:
        """What diffusers' ``enable_cache`` is given.

        Args:
            pipeline: whose denoiser it is.
            steps: of the denoising.
        """
        from diffusers import hooks
        from diffusers.hooks import mag_cache

        kind = self.kind
        told = {
            **dict(kind.more),
            kind.number: int(self.number) if kind.is_interval else self.number,
        }
        if not kind.knows_calls:
            told["current_timestep_callback"] = lambda: pipeline.current_timestep
        if kind.only:
            told |= {"mag_ratios": mag_cache.FLUX_MAG_RATIOS, "num_inference_steps": steps}
        return getattr(hooks, kind.config)(**told)


def read_cache(text: str) -> Cache:
    """Read ``KIND`` or ``KIND:NUMBER``.

    Raises:
        ConfigError: there is no such kind, or the number is none that it could go by.
    """
    name, colon, said = text.partition(":")
    if name not in KINDS:
        raise ConfigError(
            f"there is no cache = {text!r}: write {', '.join(KINDS)}, with or without a number "
            f"behind it, e.g. first-block:0.12"
        )
    kind = KINDS[name]
    try:
        number = float(said) if colon else kind.usual
    except ValueError:
        number = math.nan
    if kind.is_interval and not (2 <= number < math.inf and number == int(number)):
        raise ConfigError(
            f"cache = {text!r}: behind {name}: stands every how many steps it works anew, a whole "
            f"number from 2, e.g. {name}:{kind.usual:g}"
        )
    if not kind.is_interval and not 0 < number <= 1:
        raise ConfigError(
            f"cache = {text!r}: behind {name}: stands a threshold above 0 and up to 1, "
            f"e.g. {name}:{kind.usual:g}"
        )
    return Cache(name, number)


def chosen_cache(
    text: str | None,
    *,
    model: str,
    denoiser: str,
    pipeline: str,
    compiled: str,
    offload: str,
) -> Cache | None:
    """What a user set, checked as far as can be without loading anything.

    Args:
        text: None is no cache.
        model: its name, for sentences.
        denoiser: its class; empty where none is known.
        pipeline: likewise.
        compiled: what of the denoiser is compiled.
        offload: what of the model rests in main memory.

    Raises:
        ConfigError: there is no such cache, or it cannot act here.
    """
    if text is None:
        return None
    chosen = read_cache(text)
    if denoiser not in cached_denoisers():
        raise ConfigError(
            f"{model}: cache = {text!r} has nothing to act on, since diffusers has no caches for a "
            f"{denoiser or pipeline}: leave it out"
        )
    if chosen.kind.only not in ("", denoiser):
        raise ConfigError(
            f"{model}: cache = {text!r} goes by numbers that diffusers has for a "
            f"{chosen.kind.only} only, and this is a {denoiser}: take another cache"
        )
    if chosen.kind.knows_calls and not names_calls(pipeline):
        raise ConfigError(
            f"{model}: a {pipeline} does not tell caches which of its calls is with the prompt: "
            f"leave cache = {text!r} out"
        )
    if compiled != "none":
        raise ConfigError(
            f"{model}: what is compiled would be compiled again whenever the cache is laid on or "
            f"taken off: leave compiled or cache out"
        )
    if offload == "group":
        raise ConfigError(
            f'{model}: with offload = "group" layers are fetched in the order in which all of them '
            f"run, and a cache leaves some out: leave one of the two out"
        )
    return chosen


@cache
def cached_denoisers() -> frozenset[str]:
    """Classes of the installed diffusers that have caches, read from its source: importing it costs
    seconds.
    """
    found = importlib.util.find_spec("diffusers")
    if found is None or found.origin is None:
        raise ConfigError("diffusers is not installed: install lcmis again, whole")
    root = Path(found.origin).parent / "models" / "transformers"
    return frozenset(
        name
        for file in root.glob("*.py")
        for name, bases in re.findall(
            r"^class (\w+)\(([^)]*)\):", file.read_text(encoding="utf-8"), re.MULTILINE
        )
        if re.search(r"\bCacheMixin\b", bases)
    )


class Caching:
    """Lays a cache on a loaded pipeline's denoiser while a batch is drawn, and takes it off again;
    nothing that it keeps is there for the next batch.

    Args:
        cache: which.
        model: its name, for sentences.
        pipeline: as diffusers loaded it.
        denoiser: its part that has caches.
        steps: of the denoising.

    Raises:
        ConfigError: it cannot be laid on this one.
    """

    def __init__(
        self, cache: Cache, model: str, pipeline: Any, denoiser: torch.nn.Module, steps: int
    ) -> None:
        self._cache = cache
        self._model = model
        self._pipeline = pipeline
        self._denoiser: Any = denoiser
        self._steps = steps
        self._is_proved = cache.kind.by_picture  # whether it acts is another matter for each
        self._layers: list[int] = []
        """Run, by calls of the denoiser."""
        if not cache.kind.knows_calls and not hasattr(type(pipeline), "current_timestep"):
            raise ConfigError(
                f"{model}: a {type(pipeline).__name__} does not say at which step it is, as cache "
                f"= {str(cache)!r} must know: take another cache"
            )
        with self._laid_on():
            pass

    @contextmanager
    def drawing(self) -> Iterator[Callable[[Clock], None]]:
        """With the cache while inside, empty at first.

        Returns:
            What wants to be told of every call of the denoiser.

        Raises:
            ConfigError: it changes nothing here, or would mistake one call for another.
        """
        with self._laid_on(), self._counting():
            yield self._heard
        if not self._is_proved and len(set(self._layers)) < 2:
            raise ConfigError(
                f"{self._model}: cache = {str(self._cache)!r} leaves nothing out in "
                f"{self._steps} steps: set more steps or another number, or leave it out"
            )
        self._is_proved = True

    def forget(self) -> None:
        """Have all that is kept worked out anew; between two calls of the denoiser, not in one."""
        self._denoiser._reset_stateful_cache()

    @contextmanager
    def _laid_on(self) -> Iterator[None]:
        from lcmis.machine.weights import silent

        with silent():
            try:
                self._denoiser.enable_cache(self._cache.config(self._pipeline, self._steps))
            except (ValueError, IndexError) as error:  # of blocks that it does not know, or has not
                raise ConfigError(
                    f"{self._model}: diffusers cannot lay cache = {str(self._cache)!r} on a "
                    f"{type(self._denoiser).__name__} ({error}): take another cache"
                ) from error
        try:
            yield
        finally:
            self._denoiser.disable_cache()

    def _heard(self, clock: Clock) -> None:
        if not self._cache.kind.knows_calls and clock.call_in_step:
            raise ConfigError(
                f"{self._model}: its denoiser is called more than once a step, and cache = "
                f"{str(self._cache)!r} cannot tell these calls apart: take first-block"
            )
        self._layers.append(0)

    @contextmanager
    def _counting(self) -> Iterator[None]:
        """Count the layers that run, until it is known that some do not."""
        self._layers.clear()
        hooks = (
            []
            if self._is_proved
            else [one.register_forward_pre_hook(self._ran) for one in self._linear]
        )
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _ran(self, *_: Any) -> None:
        self._layers[-1] += 1

    @cached_property
    def _linear(self) -> list[torch.nn.Module]:
        import torch

        return [one for one in self._denoiser.modules() if isinstance(one, torch.nn.Linear)]
