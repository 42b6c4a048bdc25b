"""Tokenizers as files: which package reads them, said before anything is loaded."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection

from lcmis.errors import ConfigError

NEEDED = {"sentencepiece": "sentencepiece", "google.protobuf": "protobuf"}
"""Module → distribution of what reads a ``.model`` file of sentence pieces; of transformers 5 both,
which names another package where one of them lacks."""


def refuse_unread_words(where: str, names: Collection[str]) -> None:
    """A folder may hold its vocabulary in sentencepiece's format alone, without the
    ``tokenizer.json`` that needs no package.

    Args:
        where: the model or its part, as a sentence calls it.
        names: of the files directly in its folder.

    Raises:
        ConfigError: so it is, and what reads that format is not installed.
    """
    models = sorted(name for name in names if name.endswith(".model"))
    if not models or "tokenizer.json" in names:
        return
    lacking = [shown for module, shown in NEEDED.items() if not _installed(module)]
    if lacking:
        raise ConfigError(
            f"{where} has its words only as {models[0]}, and what reads that is not installed "
            f'({" and ".join(lacking)}): `pip install "lcmis[sentencepiece]"`'
        )


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it
        return False
