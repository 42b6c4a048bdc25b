"""Weights of few bits, and weights on several devices: what they need, said before they load."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lcmis.errors import ConfigError
from lcmis.machine.device import choose_device, choose_dtype, choose_offload
from lcmis.plugins.settings import CheckerSettings

NEEDS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "awq": ("AWQ", {"gptqmodel": "gptqmodel"}),
    "gptq": ("GPTQ", {"optimum": "optimum", "gptqmodel": "gptqmodel"}),
    "bitsandbytes": ("bitsandbytes", {"bitsandbytes": "bitsandbytes"}),
    "compressed-tensors": ("compressed-tensors", {"compressed_tensors": "compressed-tensors"}),
    "torchao": ("torchao", {"torchao": "torchao"}),
    "hqq": ("HQQ", {"hqq": "hqq"}),
    "quanto": ("quanto", {"optimum": "optimum", "optimum.quanto": "optimum-quanto"}),
    "auto-round": ("AutoRound", {"auto_round": "auto-round"}),
    "aqlm": ("AQLM", {"aqlm": "aqlm"}),
    "vptq": ("VPTQ", {"vptq": "vptq"}),
    "eetq": ("EETQ", {"eetq": "eetq"}),
    "quark": ("Quark", {"quark": "amd-quark"}),
    "spqr": ("SpQR", {"spqr_quant": "spqr_quant"}),
    "fbgemm_fp8": ("FBGEMM fp8", {"fbgemm_gpu": "fbgemm-gpu"}),
    "mxfp4": ("MXFP4", {"kernels": "kernels"}),
    "fp8": ("fp8", {}),
    "mxfp8": ("MXFP8", {}),
    "nvfp4": ("NVFP4", {}),
    "bitnet": ("BitNet", {}),
}
"""``quant_method`` → how people call it, and the packages that it needs: module → distribution.

Source: ``validate_environment`` of the quantisers of transformers 5.23.
"""
GPU_ONLY = ("awq", "eetq", "fbgemm_fp8", "fp8", "mxfp8", "nvfp4", "aqlm", "vptq", "spqr")
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")


@dataclass(frozen=True, slots=True)
class Placing:
    """Where weights go, and in which numbers."""

    device: str
    dtype: str
    """A float format; of quantised weights that of what is computed with them."""
    device_map: str = ""
    """How weights are spread over several devices; empty for one."""
    offload: str = "none"
    """What rests in main memory between uses, as for image models."""
    quantised: bool = False
    """Whether the weights are of few bits."""


def quantised_by(config: Mapping[str, Any]) -> str:
    """``quant_method`` of a ``config.json``, of the model's or of its text model's; empty where the
    weights are plain.
    """
    for place in (config, config.get("text_config"), config.get("language_config")):
        said = place.get("quantization_config") if isinstance(place, Mapping) else None
        if isinstance(said, Mapping):
            if said.get("load_in_4bit") or said.get("load_in_8bit"):
                return "bitsandbytes"
            return str(said.get("quant_method", ""))
    return ""


def refuse_lacking(name: str, method: str, device: str) -> None:
    """Say what this machine lacks for quantised weights.

    Raises:
        ConfigError: a package, a GPU, or a way that transformers does not know.
    """
    if not method:
        return
    if method not in NEEDS:
        raise ConfigError(
            f"{name} is quantised by {method!r}, which is not known here: take the model in "
            f"bfloat16, or quantised by {', '.join(list(NEEDS)[:5])}"
        )
    called, packages = NEEDS[method]
    lacking = [shown for module, shown in packages.items() if not _installed(module)]
    if lacking:
        raise ConfigError(
            f"{name} is quantised by {called}, and {' and '.join(lacking)} is not installed: "
            f"pip install {' '.join(lacking)}, or take the model in bfloat16"
        )
    if method in GPU_ONLY and not device.startswith("cuda"):
        raise ConfigError(
            f"{name} is quantised by {called}, which needs an NVIDIA GPU: set device to one, or "
            f"take the model in bfloat16"
        )


def placing_of(settings: CheckerSettings, name: str, method: str) -> Placing:
    """Where a checker's weights go.

    Args:
        settings: the user's.
        name: of the model, for sentences.
        method: that its weights are quantised by; empty for plain ones.

    Raises:
        ConfigError: a setting that cannot be, or something that this machine lacks.
    """
    device = choose_device(settings.device)
    refuse_lacking(name, method, device)
    if method and settings.offload != "none":
        raise ConfigError(
            f"{name} is quantised, and quantised weights cannot rest in main memory between uses: "
            f'leave offload = "{settings.offload}" out'
        )
    return Placing(
        device,
        choose_dtype(settings.dtype, device),
        _device_map(settings),
        choose_offload(settings.offload, device),
        bool(method),
    )


def _device_map(settings: CheckerSettings) -> str:
    asked, device, offload = settings.device_map, settings.device, settings.offload
    if not asked:
        return ""
    if asked not in DEVICE_MAPS:
        raise ConfigError(f"there is no device_map {asked!r}: write {', '.join(DEVICE_MAPS)}")
    if ":" in device:
        raise ConfigError(
            f"device_map = {asked!r} spreads a model over all GPUs, and device = {device!r} names "
            f"one: leave one of them out"
        )
    if offload != "none":
        raise ConfigError(
            f"device_map = {asked!r} already lets rest in main memory what fits on no GPU: leave "
            f"offload = {offload!r} out"
        )
    return asked


def load_placed(
    kind: Any, folder: Path, placing: Placing, **safe: Any
) -> tuple[Any, Mapping[str, Any]]:
    """Load a model of one of transformers' automatic classes to where it belongs.

    With ``offload = "model"`` it stays in main memory, and who uses it moves it.

    Returns:
        The model, and what the loader reports of its tensors.
    """
    import torch

    spread: Any = placing.device_map or ({"": placing.device} if placing.quantised else None)
    model, report = kind.from_pretrained(
        folder,
        dtype=getattr(torch, placing.dtype),
        device_map=spread,
        use_safetensors=True,
        output_loading_info=True,
        **safe,
    )
    if placing.offload == "sequential":
        from accelerate import cpu_offload

        cpu_offload(model, execution_device=torch.device(placing.device))
    elif not spread and placing.offload == "none":
        model = model.to(placing.device)
    return model, report


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it
        return False
