"""JSON schemas of the replies that our texts ask for, as endpoints that enforce them want them."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}


def several(item: Schema = TEXT, **bounds: int) -> Schema:
    """A list; ``minItems`` and ``maxItems`` bound it."""
    return {"type": "array", "items": item, **bounds}


def whole(**properties: Schema) -> Schema:
    """An object with all of these and nothing else."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
