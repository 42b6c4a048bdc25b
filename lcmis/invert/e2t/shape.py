"""What a writer's folder says of itself."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from lcmis.errors import ConfigError

FILE = "writer.json"
CORRECTOR = "corrector.safetensors"
"""In a writer's folder, where a corrector was trained for it."""


@dataclass(frozen=True, slots=True)
class WriterShape:
    """What a writer reads and writes, besides the configuration of its T5."""

    encodes_like: str
    """Content hash of the text encoder whose embeddings it reads."""
    text_encoder: str
    """That encoder's ``name@revision``, for people."""
    embedding_dim: int
    num_pseudo_tokens: int
    """Places at which the T5 is told the embedding."""
    max_length: int
    """Tokens that it writes at most, the end included."""

    def save(self, folder: Path) -> None:
        """Write it beside the weights."""
        (folder / FILE).write_text(json.dumps(asdict(self), indent=1) + "\n")


def read_shape(folder: Path, name: str) -> WriterShape:
    """Read it back; nothing heavy is loaded.

    Raises:
        ConfigError: no writer's folder, or one of another version.
    """
    try:
        return WriterShape(**json.loads((folder / FILE).read_text("utf-8")))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{name} has no {FILE} and is no writer: give a folder that its training wrote"
        ) from error
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{name}/{FILE} cannot be used ({error}): copy it again") from error
