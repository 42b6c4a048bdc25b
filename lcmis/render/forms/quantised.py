"""Weights that were saved quantised: what a component says of itself, and which package reads it."""

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
OURS = {"bitsandbytes": "quantised", "gguf": "gguf", "torchao": "quantised"}
"""Packages that an extra of lcmis installs."""


def refuse_unreadable(where: str, config: Mapping[str, Any]) -> None:
    """A quantised component needs its package.

    Args:
        where: the component, as a sentence calls it.
        config: its ``config.json``.

    Raises:
        ConfigError: the package is not installed, or nobody here knows how it was quantised.
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
