"""Letters that act on what shows them: spelled out."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 600
"""Letters of foreign text that are shown."""
JOINERS = "\u200c\u200d"
"""Letters that do not show themselves but shape others: in Persian, in family emoji."""


def acts(letter: str) -> bool:
    """Whether a letter does something to what shows it instead of showing itself."""
    category = unicodedata.category(letter)
    return category in ("Cc", "Cf", "Cs", "Zl", "Zp", "Cn") and letter not in JOINERS


def harmless(text: str) -> str:
    """The same lines, every letter in them that would act spelled out.

    A right-to-left override becomes ``[U+202E]``; a terminal's escape ``[U+001B]``.
    """
    if text.isprintable():
        return text
    return "".join(
        f"[U+{ord(letter):04X}]" if letter not in "\n\t" and acts(letter) else letter
        for letter in text
    )


def visible(text: str, longest: int = LONGEST) -> str:
    """Text of models, files and people on one line and so long at most, harmless."""
    flat = re.sub(r"[ \t\n\r\f\v\x1c-\x1f\x85\u2028\u2029]+", " ", text).strip(" ")
    if len(flat) > longest:
        flat = f"{flat[:longest]}… ({len(text):,} letters)"
    return harmless(flat)
