"""Which CLIP a CLIP-T5 sees by: another model, named in its configuration and found beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lcmis.errors import ConfigError, UserError
from lcmis.machine.hub import Located, locate
from lcmis.plugins.settings import CheckerSettings

FAMILY = "clip_t5"
"""``model_type`` of CLIP-FlanT5 and CLIP-T5; transformers has no class for it."""


@dataclass(frozen=True, slots=True)
class Eyes:
    """The tower of a CLIP-T5, and how its own configuration says that it is used."""

    tower: Located
    told: Mapping[str, Any]
    """The ``config.json`` of the CLIP-T5."""

    @property
    def mark(self) -> str:
        """Part of the checker's id: other eyes give other scores."""
        return f"+t{self.tower.revision[:7]}"


def eyes_of(located: Located, config: Mapping[str, Any], settings: CheckerSettings) -> Eyes | None:
    """Find what a CLIP-T5 sees by; None for a model of any other family.

    Args:
        located: the model.
        config: its ``config.json``.
        settings: the user's; such a model runs whole on one device.

    Raises:
        ConfigError: it names none, or none that can be found; or it is to be spread.
    """
    if config["model_type"] != FAMILY:
        return None
    name = located.name
    if settings.device_map or settings.offload == "sequential":
        raise ConfigError(
            f"{name} runs whole on one device: leave device_map and offload = "
            f'"sequential" out; dtype = "bfloat16" needs half the memory'
        )
    tower = config.get("mm_vision_tower")
    if not isinstance(tower, str) or not tower or "mm_hidden_size" not in config:
        raise ConfigError(
            f"{name}/config.json names no mm_vision_tower and mm_hidden_size, without which it "
            f"cannot see: take a CLIP-FlanT5 of the second stage, such as zhiqiulin/clip-flant5-xl"
        )
    beside = located.path / tower
    try:
        found = locate(str(beside) if beside.is_dir() else tower, None)
    except UserError as error:
        raise ConfigError(
            f"{name} sees by {tower}, the mm_vision_tower in its config.json, which cannot be "
            f"found ({error}): name a folder there that holds it"
        ) from error
    if not (found.path / "preprocessor_config.json").is_file():
        raise ConfigError(
            f"{name} sees by {tower}, which has no preprocessor_config.json: copy it again, whole"
        )
    return Eyes(found, config)
