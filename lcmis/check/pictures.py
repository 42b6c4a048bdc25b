"""Pictures made ready for a model: RGB, each once, the damaged ones told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from lcmis.errors import ConfigError
from lcmis.machine.pictures import BROKEN, TooLargeError, UnscaledError, flat, opened
from lcmis.types import Answer, Question


def open_picture(path: str | Path) -> Image.Image:
    """A picture of the user's, as :func:`lcmis.machine.pictures.flat` makes it.

    Raises:
        ConfigError: no such file, no picture, half a picture, one that is too large, or one of
            numbers without a scale.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise ConfigError(f"{path} is a folder: name one picture in it")
    try:
        with opened(path) as picture:
            return flat(picture)
    except FileNotFoundError as error:
        raise ConfigError(f"there is no picture {path}: check the path") from error
    except TooLargeError as error:
        raise ConfigError(f"{path} {error}: make it smaller") from error
    except PermissionError as error:
        raise ConfigError(f"{path} may not be read by you: change its permissions") from error
    except UnscaledError as error:
        raise ConfigError(f"{path} {error}") from error
    except UnidentifiedImageError as error:
        raise ConfigError(f"{path} is no picture: name a PNG, JPEG or WebP file") from error
    except BROKEN as error:
        raise ConfigError(f"{path} is damaged ({error}): copy it again, whole") from error


def readable(image: object) -> Image.Image | str:
    """The picture in RGB, or why it cannot be looked at."""
    if not isinstance(image, Image.Image):
        return f"there is no picture, only {type(image).__name__}"
    if min(image.size) < 1:
        return f"the picture is empty: {image.width}x{image.height} pixels"
    try:
        return flat(image)
    except BROKEN as error:
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


def to_look_at(
    images: Sequence[object],
    questions: Sequence[Question],
    takes: Callable[[Question], bool],
    answered: Callable[[Question], tuple[str, ...]],
) -> tuple[list[tuple[Answer, ...]], list[tuple[int, Image.Image]]]:
    """The rows that a checker has to look at, and the answers to all others.

    Args:
        images: one for each question, damaged ones among them.
        questions: what is asked.
        takes: which of them the checker answers.
        answered: what it answers one for: options, or the one nameless yes/no.

    Returns:
        For each row nothing, or abstentions where the picture cannot be read; and place and picture
        of each row that is left.
    """
    answers: list[tuple[Answer, ...]] = [()] * len(questions)
    rows: list[tuple[int, Image.Image]] = []
    for place, (image, question) in enumerate(zip(images, questions, strict=True)):
        if not takes(question):
            continue
        picture = readable(image)
        if isinstance(picture, str):
            answers[place] = abstain(answered(question), picture)
        else:
            rows.append((place, picture))
    return answers, rows


def abstain(options: Iterable[str], reason: str, mass: float = 1.0) -> tuple[Answer, ...]:
    """One abstention for every option."""
    return tuple(Answer(None, option, reason, mass) for option in options)


def options_of(question: Question) -> tuple[str, ...]:
    """What a question is answered for: its options, or the one nameless yes/no."""
    return question.options if question.kind.is_choice else ("",)
