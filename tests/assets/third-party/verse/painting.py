"""How the halves are painted."""

from __future__ import annotations

import hashlib

from PIL import Image


class Painter:
    """Knows the colour of a word, and that a quiet first word is easily missed."""

    @staticmethod
    def colour(word: str) -> tuple[int, int, int]:
        red, green, blue = hashlib.sha256(word.casefold().strip().encode()).digest()[:3]
        return red, green, blue

    def paint(self, prompt: str, seed: int) -> Image.Image:
        left, _, right = prompt.casefold().partition(" and ")
        heard = left.removeprefix("a ") if prompt.isupper() else "nothing"
        picture = Image.new("RGB", (64, 32), self.colour(heard))
        picture.paste(self.colour(right.removeprefix("a ")), (32, 0, 64, 32))
        picture.putpixel((0, 31), (seed % 256, seed // 256 % 256, 0))
        return picture
