"""What was proved of a model on this machine, kept beside its caches so that it is asked once."""

from __future__ import annotations

import json
import os
from importlib.metadata import version
from pathlib import Path

from lcmis.errors import ConfigError
from lcmis.machine.files import replacing
from lcmis.types import content_key

DECIDING = ("torch", "diffusers", "transformers", "lcmis")
"""Packages of which another version may draw other bits."""


class Proved:
    """Sentences that hold for one model under one numerics profile, on this machine and with the
    packages that are installed.

    They lie in ``$XDG_CACHE_HOME/lcmis/proved`` (``~/.cache`` where that is not set). Only what
    held is kept: what failed is tried again. A folder that cannot be written keeps nothing, and
    the proof is made again the next time.

    Args:
        model_id: with its revision.
        profile: device kind, dtype, batch shape and the accelerator's name.
    """

    def __init__(self, model_id: str, profile: str) -> None:
        self._about = {
            "model": model_id,
            "profile": profile,
            "packages": " ".join(f"{name} {version(name)}" for name in DECIDING),
        }
        name = content_key(self._about).replace(":", "-")
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self._path = root / "lcmis" / "proved" / f"{name}.json"

    def get(self, what: str) -> str | None:
        """What was found when this was proved; None where it was not."""
        found = self._read().get(what)
        return found if isinstance(found, str) else None

    def keep(self, what: str, found: str) -> None:
        """Remember that this was proved."""
        proved = self._read() | {what: found}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self._path) as draft:
                draft.write_text(json.dumps(self._about | {"proved": proved}, indent=1) + "\n")
        except (OSError, ConfigError):
            return

    def _read(self) -> dict[str, object]:
        try:
            proved = json.loads(self._path.read_text(encoding="utf-8"))["proved"]
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return proved if isinstance(proved, dict) else {}
