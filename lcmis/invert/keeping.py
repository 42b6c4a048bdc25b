"""An inversion as files: prompts, painted pictures, masks, and one sheet to look at."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from lcmis.errors import ConfigError

if TYPE_CHECKING:
    from lcmis.invert.applications import InversionResult
    from lcmis.invert.masks import WordMask
    from lcmis.invert.run import JudgedPrompt, Painting

SHEET = "sheet.png"
TILE = 128
"""Pixels of a picture's longer side on the sheet."""
GAP = 6
CAPTION = 16
"""Pixels of a line of text on the sheet."""
SHADE = 0.25
"""How much is left of what a mask does not cover, in [0, 1]."""
OUTLINE = (255, 64, 64)


def prepared(folder: Path) -> Path:
    """The folder, made if it was not there.

    Raises:
        ConfigError: it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".lcmis").touch()
        (folder / ".lcmis").unlink()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"--out {folder} cannot be written to ({reason}): name another folder"
        ) from error
    return folder


def keep(result: InversionResult, folder: Path, as_json: str) -> list[Path]:
    """Write everything into a folder; files of the same names are replaced.

    Args:
        result: What is kept.
        folder: From :func:`prepared`.
        as_json: The result as JSON, for ``prompts.json``.

    Returns:
        The files, ``sheet.png`` first where there is something to see.
    """
    written = []
    (folder / "prompts.json").write_text(as_json, "utf-8")
    result.picture.save(folder / "picture.png")
    for name, judged in _rows(result):
        place = folder / _safe(name)
        place.mkdir(exist_ok=True)
        for number, painting in enumerate(judged.paintings, start=1):
            path = place / f"{number}.png"
            painting.picture.save(path)
            written.append(path)
    for number, mask in enumerate(result.masks, start=1):
        place = folder / "masks"
        place.mkdir(exist_ok=True)
        path = place / f"{number}-{_safe(mask.word)}.png"
        overlay(result.picture, mask).save(path)
        black_white = Image.fromarray(mask.covered.astype(np.uint8) * 255)
        black_white.save(path.with_name(f"{path.stem}-mask.png"))
        written += [path, path.with_name(f"{path.stem}-mask.png")]
    sheet(result).save(folder / SHEET)
    return [folder / SHEET, folder / "prompts.json", folder / "picture.png", *written]


def overlay(picture: Image.Image, mask: WordMask) -> Image.Image:
    """The picture with what a word does not cover greyed, and a line round what it covers."""
    pixels = np.asarray(picture.convert("RGB"), np.float32)
    covered = mask.covered[..., None]
    grey = pixels.mean(axis=2, keepdims=True) * SHADE + 255 * (1 - SHADE) * 0.9
    shown = np.where(covered, pixels, grey)
    shown[_edge(mask.covered)] = OUTLINE
    return Image.fromarray(shown.round().astype(np.uint8))


def sheet(result: InversionResult) -> Image.Image:
    """One row for each prompt, the best first: the picture it came from, then what it paints; last
    the masks of the best one.
    """
    rows = [
        (f"{name}: {judged.prompt}", _tiles(judged.paintings)) for name, judged in _rows(result)
    ]
    if result.masks:
        words = [overlay(result.picture, mask) for mask in result.masks]
        rows.append(("where: " + "  ".join(mask.word for mask in result.masks), words))
    columns = 1 + max((len(tiles) for _, tiles in rows), default=0)
    step = TILE + GAP
    page = Image.new(
        "RGB", (columns * step + GAP, max(1, len(rows)) * (step + CAPTION) + GAP), "white"
    )
    pen = ImageDraw.Draw(page)
    for number, (title, tiles) in enumerate(rows or [("nothing was found", [])]):
        top = GAP + number * (step + CAPTION)
        pen.text((GAP, top), title, fill=(40, 40, 40), font_size=11)
        for column, tile in enumerate([result.picture, *tiles]):
            small = tile.copy()
            small.thumbnail((TILE, TILE))
            page.paste(small, (GAP + column * step, top + CAPTION))
    return page


def _rows(result: InversionResult) -> Iterator[tuple[str, JudgedPrompt]]:
    for one in result.inverted:
        if one.judged is not None:
            yield one.method, one.judged
    for made in result.made:
        if made.judged is not None:
            yield made.how, made.judged


def _tiles(paintings: Sequence[Painting]) -> list[Image.Image]:
    return [painting.picture for painting in paintings]


def _edge(
    covered: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Covered places with an uncovered neighbour above, below, left or right."""
    around = np.pad(covered, 1, mode="edge")
    inside = around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
    return covered & ~inside


def _safe(name: str) -> str:
    return re.sub(r"[^\w-]+", "-", name.lower()).strip("-")[:60] or "prompt"
