"""Which files of a component's folder are its weights: variants and shards, told by their names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from lcmis.errors import ConfigError

_WEIGHTS = re.compile(
    r"(?:diffusion_pytorch_model|model)"
    r"(?:\.(?P<before>[^.]+?))?(?:-\d+-of-\d+)?(?:\.(?P<after>[^.]+))?\.safetensors"
)
"""As diffusers and transformers save them; the variant stands before the shard's number, or, in
older models, after it."""


def by_variant(names: Iterable[str]) -> dict[str, list[str]]:
    """Variant, empty for the plain one, to its files, of all files in one component's folder.

    Adapters and what else lies there are left out.
    """
    found: dict[str, list[str]] = {}
    for name in sorted(names):
        match = _WEIGHTS.fullmatch(name)
        if match:
            found.setdefault(match["before"] or match["after"] or "", []).append(name)
    return found


def chosen_variant(names: Sequence[str], wanted: str, where: str) -> str:
    """The variant that is loaded: the wanted one if it is there, else the plain, else the only one.

    Args:
        names: all files of one component's folder.
        wanted: empty where nobody asked.
        where: the component, as a sentence calls it.

    Raises:
        ConfigError: there are several, none is plain, and none of them was asked for.
    """
    found = by_variant(names)
    if wanted in found:
        return wanted
    if "" in found or not found:
        return ""
    if len(found) > 1:
        raise ConfigError(
            f"{where} comes as {' and '.join(sorted(found))}: say which with variant, e.g. "
            f'variant = "{min(found)}"'
        )
    return next(iter(found))


def refuse_incomplete(folder: Path, where: str) -> None:
    """Every file that an index of shards names must be there.

    Raises:
        ConfigError: one is not, or an index cannot be read.
    """
    for index in sorted(folder.glob("*.safetensors.index*.json")):
        try:
            named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{where}/{index.name} is no index of weights: copy it again") from (
                error
            )
        lacking = sorted(name for name in named if not (folder / str(name)).is_file())
        if lacking and len(lacking) < len(named):
            raise ConfigError(
                f"{where} lacks {lacking[0]}, one of {len(named)} files that its index names: copy "
                f"the model again, whole"
            )
