"""Weights that were saved quantised: what a component says, and which package reads it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from lcmis.errors import ConfigError

PACKAGES = {
    "auto-round": "auto-round",
    "awq": "gptqmodel",
    "bitsandbytes": "bitsandbytes",
    "compressed-tensors": "compressed-tensors",
    "gguf": "gguf",
    "gptq": "gptqmodel",
    "hqq": "hqq",
    "modelopt": "nvidia-modelopt",
    "quanto": "optimum-quanto",
    "torchao": "torchao",
}
"""``quant_method`` of a configuration to the package that reads it."""
MODULES = {
    "auto-round": "auto_round",
    "compressed-tensors": "compressed_tensors",
    "nvidia-modelopt": "modelopt",
    "optimum-quanto": "optimum.quanto",
}
"""Packages whose module is called otherwise."""
OURS = {
    "bitsandbytes": "quantised",
    "gguf": "gguf",
    "compressed-tensors": "quantised",
    "sentencepiece": "sentencepiece",
    "torchao": "quantised",
    "torchsde": "schedulers",
}
"""Packages that an extra of lcmis installs."""


def refuse_unreadable(where: str, library: str, config: Mapping[str, Any], device: str) -> None:
    """A quantised component needs its package, and some need a GPU.

    Args:
        where: the component, as a sentence calls it.
        library: what loads it, ``"diffusers"`` or ``"transformers"``.
        config: its ``config.json``.
        device: where it will draw, e.g. ``"cpu"``.

    Raises:
        ConfigError: the package or the GPU is not there, or nobody here knows how it was quantised.
    """
    said = config.get("quantization_config")
    if not isinstance(said, Mapping):
        return
    method = str(said.get("quant_method", "")).lower().removesuffix("_4bit").removesuffix("_8bit")
    if method not in PACKAGES:
        raise ConfigError(
            f"{where} is quantised by {method or 'a method that it does not name'}, which lcmis "
            f"cannot read: take the model unquantised, or by {', '.join(sorted(PACKAGES))}"
        )
    refuse_absent(PACKAGES[method], f"{where} is quantised by {method}")
    if method == "bitsandbytes" and library == "diffusers" and device == "cpu":
        raise ConfigError(
            f"{where} is quantised by bitsandbytes, and diffusers draws with that on a GPU only: "
            f"run it where there is one, or take the model unquantised"
        )


def refuse_absent(package: str, why: str) -> None:
    """Say what to install.

    Raises:
        ConfigError: the package is not installed.
    """
    module = MODULES.get(package, package)
    try:
        installed = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it
        installed = False
    if not installed:
        extra = OURS.get(package)
        what = f'"lcmis[{extra}]"' if extra else package
        raise ConfigError(f"{why}, which needs the package {package}: `pip install {what}`")
