"""How a loaded pipeline computes: memory layout, compiled parts, attention; each named in keys."""

from __future__ import annotations

import ast
import functools
import importlib.util
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcmis.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from lcmis.plugins.settings import ModelSettings

COMPILED = ("none", "regional", "whole")
VAE_DECODING = ("whole", "sliced", "tiled", "compiled")
ROUNDS = ("sage",)
"""How backends begin that compute attention in eight bits: they draw another picture."""
PLAIN = "native"
"""The attention that is used where nobody says otherwise."""
SDPA = {
    "_native_cudnn": "CUDNN_ATTENTION",
    "_native_efficient": "EFFICIENT_ATTENTION",
    "_native_flash": "FLASH_ATTENTION",
    "_native_math": "MATH",
}
"""Backends that are one kernel of PyTorch's own attention, and what PyTorch calls it."""


@dataclass(frozen=True, slots=True)
class Execution:
    """Settings that change how pictures are computed and not what is asked for.

    All of them keep the mathematics and change the rounding, so each that is not as usual has a
    name in the numerics profile, and pictures drawn with it are other pictures.
    """

    channels_last: bool = False
    compiled: str = "none"
    vae_decoding: str = "whole"
    attention_backend: str = PLAIN

    @property
    def mark(self) -> str:
        """What the numerics profile says of it, e.g. ``"-nhwc-regional"``; empty as usual."""
        return "".join(
            f"-{word}"
            for word, holds in (
                ("nhwc", self.channels_last),
                (self.compiled, self.compiled != "none"),
                (f"vae_{self.vae_decoding}", self.vae_decoding != "whole"),
                (self.attention_backend.removeprefix("_"), self.attention_backend != PLAIN),
            )
            if holds
        )

    def lay(self, pipeline: Any, name: str, size: tuple[int, int]) -> None:
        """Make a loaded pipeline compute so; before any of its weights go to rest elsewhere.

        Args:
            pipeline: as diffusers loaded it.
            name: of the model, for sentences.
            size: height and width in pixels of what is drawn.

        Raises:
            ConfigError: one of the settings has nothing to act on here; the sentence names it.
        """
        denoiser = denoiser_in(pipeline)
        vae = getattr(pipeline, "vae", None)
        if self.channels_last:
            _lay_channels_last(name, [part for part in (denoiser, vae) if part is not None])
        if self.vae_decoding != "whole":
            _lay_decoding(name, vae, self.vae_decoding, max(size))
        if self.attention_backend != PLAIN or self.compiled != "none":
            if denoiser is None:
                raise ConfigError(
                    f"{name} has no transformer and no U-Net, so compiled and attention_backend "
                    f"would change nothing: leave them out"
                )
            if self.compiled != "none":
                _compile(name, denoiser, self.compiled)
            if self.attention_backend != PLAIN:
                _attend(name, denoiser, self.attention_backend)


def denoiser_in(pipeline: Any) -> Any:
    """Its transformer or U-Net; None where it has neither."""
    return getattr(pipeline, "transformer", None) or getattr(pipeline, "unet", None)


def chosen_execution(
    settings: ModelSettings,
    *,
    name: str,
    device: str,
    offload: str,
    batch_size: int,
) -> Execution:
    """What a user set, checked as far as can be without loading anything.

    Args:
        settings: of the model.
        name: of the model, for sentences.
        device: on which it draws.
        offload: what of it rests in main memory.
        batch_size: pictures drawn at once.

    Raises:
        ConfigError: there is no such setting, or it cannot act here.
    """
    decoding = settings.vae_decoding or VAE_DECODING[0]
    for field, said, words in (
        ("compiled", settings.compiled, COMPILED),
        ("vae_decoding", decoding, VAE_DECODING),
    ):
        if said not in words:
            raise ConfigError(f"there is no {field} = {said!r}: write {', '.join(words)}")
    if decoding == "sliced" and batch_size == 1:
        raise ConfigError(
            f'{name}: vae_decoding = "sliced" decodes one picture at a time, which batches of one '
            f"are already: leave it out"
        )
    compiles = settings.compiled != "none" or decoding == "compiled"
    if compiles:
        _refuse_no_compiler(name, device)
        if offload in ("sequential", "group"):
            raise ConfigError(
                f'{name}: with offload = "{offload}" weights come and go inside of what would be '
                f"compiled: leave one of the two out"
            )
    backend = settings.attention_backend or PLAIN
    if backend != PLAIN:
        _refuse_backend(name, backend, device)
    return Execution(
        channels_last=settings.channels_last or False,
        compiled=settings.compiled,
        vae_decoding=decoding,
        attention_backend=backend,
    )


@cache
def attention_backends() -> tuple[str, ...]:
    """Names of the installed diffusers' attention backends that are computed with what is on this
    machine, read from its source: importing it costs seconds. Those that fetch kernels from the hub
    are left out, since code that comes over the network is never run.
    """
    found = importlib.util.find_spec("diffusers")
    if found is None or found.origin is None:
        raise ConfigError("diffusers is not installed: install lcmis again, whole")
    source = Path(found.origin).parent / "models" / "attention_dispatch.py"
    tree = ast.parse(source.read_text(encoding="utf-8"))
    names = next(
        node.body
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == "AttentionBackendName"
    )
    values = [
        str(node.value.value)
        for node in names
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    ]
    return tuple(value for value in values if not value.endswith("_hub"))


def _refuse_backend(name: str, backend: str, device: str) -> None:
    known = [one for one in attention_backends() if not one.lstrip("_").startswith(ROUNDS)]
    if backend not in known:
        why = (
            "computes attention in eight bits, which draws other pictures"
            if backend.lstrip("_").startswith(ROUNDS)
            else "is none that the installed diffusers has on this machine"
        )
        raise ConfigError(
            f"{name}: attention_backend = {backend!r} {why}: write one of {', '.join(known)}"
        )
    if backend not in ("_native_math", "flex") and not device.startswith("cuda"):
        raise ConfigError(
            f"{name}: attention_backend = {backend!r} needs an NVIDIA GPU, and this runs on "
            f"{device}: leave it out"
        )


def _refuse_no_compiler(name: str, device: str) -> None:
    """What torch would say only at the first picture, and at length."""
    if device == "mps":
        raise ConfigError(f"{name}: nothing is compiled for mps: leave compiled out")
    compiler = os.environ.get("CXX") or next(filter(shutil.which, ("g++", "clang++", "c++")), "")
    if not compiler:
        raise ConfigError(
            f"{name}: compiling needs a C++ compiler, and there is none on the path: install g++ "
            f"or leave compiled out"
        )
    if device.startswith("cuda") and importlib.util.find_spec("triton") is None:
        raise ConfigError(
            f"{name}: compiling for a GPU needs the package triton: pip install triton, or leave "
            f"compiled out"
        )


def _lay_channels_last(name: str, parts: list[torch.nn.Module]) -> None:
    import torch

    images = [parameter for part in parts for parameter in part.parameters() if parameter.ndim == 4]
    if not any(min(parameter.shape[:2]) > 1 for parameter in images):
        raise ConfigError(
            f"{name} convolves nothing, so channels_last would change nothing: leave it out"
        )
    for part in parts:
        part.to(memory_format=torch.channels_last)


def _lay_decoding(name: str, vae: Any, how: str, side: int) -> None:
    import torch

    if vae is None:
        raise ConfigError(f"{name} has no VAE, so vae_decoding would change nothing: leave it out")
    if how == "compiled":
        decoder = getattr(vae, "decoder", None)
        if decoder is None:
            raise ConfigError(
                f'{name}: its VAE cannot be compiled: leave vae_decoding = "{how}" out'
            )
        decoder.forward = torch.compile(decoder.forward, dynamic=False)
        return
    switch = getattr(vae, {"sliced": "enable_slicing", "tiled": "enable_tiling"}[how], None)
    if switch is None:
        raise ConfigError(
            f"{name}: its {type(vae).__name__} cannot be {how}: leave vae_decoding out"
        )
    tile = _tile_side(vae)
    if how == "tiled" and tile is not None and side <= tile:
        raise ConfigError(
            f"{name}: pictures of {side} pixels are one tile of {tile}: leave vae_decoding out"
        )
    switch()


def _tile_side(vae: Any) -> int | None:
    """The largest side of a picture that is decoded whole all the same."""
    names = ("tile_sample_min_size", "tile_sample_min_height")
    return next((int(getattr(vae, name)) for name in names if hasattr(vae, name)), None)


def _compile(name: str, denoiser: Any, how: str) -> None:
    import torch

    # frozen shapes, and no kernels chosen by timing them: those differ from run to run
    if how == "whole":
        denoiser.forward = torch.compile(denoiser.forward, dynamic=False)
        return
    if not getattr(denoiser, "_repeated_blocks", None):
        raise ConfigError(
            f"{name}: diffusers names no repeated blocks of a {type(denoiser).__name__} that could "
            f'be compiled: set compiled = "whole", or leave it out'
        )
    denoiser.compile_repeated_blocks(dynamic=False)


def _attend(name: str, denoiser: Any, backend: str) -> None:
    """Through diffusers' own switch where the processors have one, else through PyTorch's."""
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry as Registry

    processors = [getattr(module, "processor", None) for module in denoiser.modules()]
    if any(hasattr(processor, "_attention_backend") for processor in processors):
        before = Registry._active_backend
        try:
            denoiser.set_attention_backend(backend)
        except (RuntimeError, ValueError, ImportError) as error:
            raise ConfigError(f"{name}: attention_backend = {backend!r}: {error}") from error
        finally:  # it also turns all other models to it
            Registry._active_backend = before
        return
    if backend not in SDPA:
        raise ConfigError(
            f"{name}: a {type(denoiser).__name__} knows only PyTorch's own attention: set "
            f"attention_backend to one of {', '.join(SDPA)}"
        )
    denoiser.forward = _within(denoiser.forward, SDPA[backend])


def _within(forward: Callable[..., Any], kernel: str) -> Callable[..., Any]:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    @functools.wraps(forward)
    def within(*args: Any, **kwargs: Any) -> Any:
        with sdpa_kernel(getattr(SDPBackend, kernel)):
            return forward(*args, **kwargs)

    return within
