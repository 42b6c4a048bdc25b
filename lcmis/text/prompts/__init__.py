"""The texts we send to LLMs and VLMs, one file each."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files


@cache
def wording(name: str) -> str:
    """The text of ``name.txt``, without the newline that ends the file."""
    return (files(__name__) / f"{name}.txt").read_text(encoding="utf-8").removesuffix("\n")


def wordings_hash(*names: str) -> str:
    """Seven characters that name the wordings: other words give other scores."""
    digest = hashlib.blake2b(digest_size=3)
    for name in names:
        digest.update(wording(name).encode() + b"\0")
    return f"p{digest.hexdigest()}"
