"""A denoiser whose linear layers compute in eight bits, beside the model's own: only to search.

What it draws is another picture than the model's, so it may lead a search and proves nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lcmis.errors import ConfigError
from lcmis.render.execution import denoiser_in
from lcmis.render.forms.quantised import refuse_absent

if TYPE_CHECKING:
    import torch

SEARCH_DTYPES = ("float8",)
CAPABLE = (8, 9)
"""Compute capability of the first NVIDIA GPUs that multiply matrices in float8."""
DIVISOR = 16
"""Of both sides of a matrix that such a GPU multiplies."""


def chosen_search_dtype(
    said: str | None, *, model: str, device: str, dtype: str, offload: str
) -> str:
    """What a user set, checked as far as can be without loading anything; empty for nothing.

    Args:
        said: None is nothing.
        model: its name, for sentences.
        device: on which it draws.
        dtype: in which it computes.
        offload: what of it rests in main memory.

    Raises:
        ConfigError: there is no such type, or it cannot act here.
    """
    if said is None:
        return ""
    if said not in SEARCH_DTYPES:
        raise ConfigError(
            f"there is no search_dtype = {said!r}: write {', '.join(SEARCH_DTYPES)}, or leave it "
            f"out"
        )
    asked = f"{model}: search_dtype = {said!r}"
    if device == "mps":
        raise ConfigError(f"{asked} is not computed on mps: leave it out")
    if device != "cpu" and dtype != "bfloat16":
        raise ConfigError(
            f"{asked} is computed beside bfloat16 on a GPU, and this is {dtype}: leave dtype or "
            f"search_dtype out"
        )
    if offload != "none":
        raise ConfigError(
            f'{asked} keeps a second denoiser on the device, and with offload = "{offload}" parts '
            f"of the model rest elsewhere for want of room: leave one of the two out"
        )
    refuse_absent("torchao", asked)
    return said


def refuse_unnarrowable(pipeline: Any, name: str, device: str) -> None:
    """Say why its denoiser cannot be narrowed, before any weight is.

    Raises:
        ConfigError: its denoiser has no layers to narrow, or the GPU does not multiply in float8.
    """
    import torch

    if not _linear_in_blocks(denoiser_in(pipeline)):
        raise ConfigError(
            f"{name} has no linear layers in blocks whose sides are multiples of {DIVISOR}, so "
            f"search_dtype would change nothing: leave it out"
        )
    if device != "cpu" and torch.version.cuda:
        found = torch.cuda.get_device_capability(device)
        if found < CAPABLE:
            raise ConfigError(
                f'{name}: search_dtype = "float8" needs a GPU of compute capability 8.9 or higher, '
                f"and this one has {found[0]}.{found[1]}: leave it out"
            )


def narrowed(pipeline: Any, name: str, device: str) -> Any:
    """Another pipeline of the same weights, but for the linear layers in its denoiser's blocks,
    which have their own in float8, a scale a row, by torchao. On a GPU what goes into them is
    rounded as well, a scale a token, and multiplied in float8; on a CPU it is not, and nothing is
    faster.

    Args:
        pipeline: as diffusers loaded it; it stays as it is.
        name: of the model, for sentences.
        device: where its weights lie.

    Raises:
        ConfigError: as :func:`refuse_unnarrowable`, or torchao does not do that on this device.

    Source: torchao's ``Float8DynamicActivationFloat8WeightConfig`` and ``Float8WeightOnlyConfig``.
    """
    from torchao import quantization

    from lcmis.machine.weights import silent
    from lcmis.render.replicas import with_same_weights

    refuse_unnarrowable(pipeline, name, device)
    other = with_same_weights(pipeline)
    denoiser = denoiser_in(other)
    places = _linear_in_blocks(denoiser)
    how = (
        quantization.Float8WeightOnlyConfig()
        if device == "cpu"
        else quantization.Float8DynamicActivationFloat8WeightConfig(
            granularity=quantization.PerRow()
        )
    )
    with silent():
        try:
            quantization.quantize_(denoiser, how, lambda _, place: place in places)
        except AssertionError as error:  # so it says what a device lacks
            raise ConfigError(
                f'{name}: search_dtype = "float8" cannot be computed on {device} ({error}): leave '
                f"it out"
            ) from error
    return other


def _linear_in_blocks(denoiser: torch.nn.Module | None) -> frozenset[str]:
    """Names of linear layers in lists of blocks: what stands around the blocks is small, and
    pictures are most easily spoilt there. None that are quantised already.
    """
    import torch

    modules = dict(denoiser.named_modules()) if denoiser is not None else {}
    lists = [f"{place}." for place, one in modules.items() if isinstance(one, torch.nn.ModuleList)]
    return frozenset(
        place
        for place, one in modules.items()
        if type(one) is torch.nn.Linear
        and type(one.weight) is torch.nn.Parameter
        and not any(side % DIVISOR for side in one.weight.shape)
        and place.startswith(tuple(lists))
    )
