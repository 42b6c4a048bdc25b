"""Pictures made ready for a model: RGB, each once, the damaged ones told apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PIL import Image

from lcmis.types import Answer, Question


def readable(image: object) -> Image.Image | str:
    """The picture in RGB, or why it cannot be looked at."""
    if not isinstance(image, Image.Image):
        return f"there is no picture, only {type(image).__name__}"
    if min(image.size) < 1:
        return f"the picture is empty: {image.width}x{image.height} pixels"
    try:
        return image.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:  # what PIL raises for broken files
        return f"the picture cannot be read: {error}"


def once_each(images: Sequence[Image.Image]) -> tuple[list[Image.Image], list[int]]:
    """The different pictures in order, and for each of ``images`` its place among them.

    Equal objects and equal pixels count as one picture.
    """
    place_of_object: dict[int, int] = {}
    place_of_pixels: dict[tuple[tuple[int, int], str, bytes], int] = {}
    different: list[Image.Image] = []
    for image in images:
        if id(image) in place_of_object:
            continue
        pixels = (image.size, image.mode, image.tobytes())
        if pixels not in place_of_pixels:
            place_of_pixels[pixels] = len(different)
            different.append(image)
        place_of_object[id(image)] = place_of_pixels[pixels]
    return different, [place_of_object[id(image)] for image in images]


def abstain(options: Iterable[str], reason: str, mass: float = 1.0) -> tuple[Answer, ...]:
    """One abstention for every option."""
    return tuple(Answer(None, option, reason, mass) for option in options)


def options_of(question: Question) -> tuple[str, ...]:
    """What a question is answered for: its options, or the one nameless yes/no."""
    return question.options if question.kind.is_choice else ("",)
