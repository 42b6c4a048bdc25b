"""Pictures of one model that were drawn in several ways: counted together, and said so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lcmis.findings.pairs import is_control
from lcmis.findings.words import several, short_names
from lcmis.store import Store


def mixed_ways(store: Store) -> dict[str, str]:
    """Model → a sentence, for each whose audited pictures were not all drawn with the same steps,
    guidance, scheduler and size: its rates count them together.
    """
    found = {model: ways for model, ways in store.ways().items() if not is_control(model)}
    names = short_names(list(found))
    return {
        model: f"{names[model]} counts pictures of {len(ways)} ways of drawing together "
        f"({_told(ways)}): audit into a --store of its own to tell them apart"
        for model, ways in found.items()
        if len(ways) > 1
    }


_SAID: dict[str, Callable[[Any], str]] = {
    "num_inference_steps": lambda steps: several(steps, "step"),
    "guidance_scale": "guidance {:g}".format,
    "scheduler": str,
    "width": "{} wide".format,
    "height": "{} high".format,
}


def _told(ways: list[tuple[dict[str, Any], int]]) -> str:
    differing = [name for name in _SAID if len({way[name] for way, _ in ways}) > 1]
    return "; ".join(
        f"{', '.join(_SAID[name](way[name]) for name in differing)}: {several(count, 'picture')}"
        for way, count in ways
    )
