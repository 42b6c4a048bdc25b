"""Reference pictures: read, found, pasted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from lcmis.errors import ConfigError, InversionError
from lcmis.repair import references
from lcmis.repair.references import Reference
from lcmis.store import Evidence

RED, BLUE = Image.new("RGB", (64, 32), "red"), Image.new("RGB", (64, 32), "blue")


def seen(key: str, a: float | None, b: float | None, **changes: object) -> Evidence:
    one = Evidence(
        "pair", "m@1", key, 0, False, a, b, None, None, None, None, None, scored=True, refused=False
    )
    return dataclasses.replace(one, **changes)


def test_a_picture_of_the_users_is_read_with_its_name_and_hash(tmp_path):
    RED.save(tmp_path / "cup.png")
    found = references.read(tmp_path / "cup.png")
    assert (found.picture.mode, found.picture.size) == ("RGB", (64, 32))
    assert found.origin.startswith("cup.png sha256:")
    RED.convert("CMYK").save(tmp_path / "cup.jpg")
    assert references.read(tmp_path / "cup.jpg").picture.mode == "RGB"


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\nand then nothing"])
def test_a_file_that_is_no_picture_is_one_sentence(tmp_path, content):
    path = tmp_path / "cup.png"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"cup\.png"):
        references.read(path)


def test_half_a_picture_no_file_and_a_folder_are_one_sentence_each(tmp_path):
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    whole = tmp_path / "whole.png"
    Image.fromarray(noise).save(whole)
    half = tmp_path / "half.png"
    half.write_bytes(whole.read_bytes()[:6000])
    for path in (half, tmp_path / "none.png", tmp_path):
        with pytest.raises(ConfigError, match=path.name):
            references.read(path)


def test_the_clearest_picture_is_the_one_whose_worse_concept_is_seen_best():
    pictures = [
        seen("one-sided", 1.0, 0.3),
        seen("clear", 0.7, 0.6),
        seen("silent", 0.9, None),
        seen("refused", 0.9, 0.9, refused=True),
    ]
    assert references.clearest(pictures, 0.5) == pictures[1]
    assert references.clearest(pictures, 0.65) is None
    assert references.clearest([], 0.0) is None


def test_without_a_region_b_lies_at_half_its_size_in_the_middle():
    found = references.pasted(Reference(RED, "a"), Reference(BLUE, "b"), None)
    pixels = np.asarray(found.picture)
    blue = (pixels == (0, 0, 255)).all(axis=2)
    assert blue.sum() == 32 * 16
    assert blue[8:24, 16:48].all()
    assert found.origin == "b pasted into a"
    assert RED.getpixel((32, 16)) == (255, 0, 0), "the pictures themselves stay as they are"


def test_with_a_region_b_stays_where_it_is():
    where = Image.new("L", (64, 32), 0)
    where.paste(255, (40, 0, 64, 32))
    pixels = np.asarray(references.pasted(Reference(RED, "a"), Reference(BLUE, "b"), where).picture)
    assert (pixels[:, 50:] == (0, 0, 255)).all()
    assert (pixels[:, :30] == (255, 0, 0)).all()


class Parts:
    """A denoiser for which every word matters in the right half; it may refuse to say so."""

    def __init__(self, *, refuses=False):
        self.refuses = refuses

    def influence(self, picture, prompt, others):
        import torch

        if self.refuses:
            raise InversionError("this model cannot be looked into")
        right = torch.zeros(8, 8)
        right[:, 4:] = 1 / 32
        return [right] * len(others)


def test_a_region_is_where_the_words_of_a_name_matter():
    square = Image.new("RGB", (64, 64), "blue")
    found = references.region(Parts(), square, "an iced coke", "iced coke")
    white = np.asarray(found) == 255
    assert white.shape == (64, 64)
    assert white[:, 44:].all()
    assert not white[:, :20].any()


def test_where_no_word_has_a_place_there_is_no_region():
    assert references.region(Parts(), BLUE, "an iced coke", "tea cup") is None
    assert references.region(Parts(refuses=True), BLUE, "an iced coke", "iced coke") is None
