"""Pictures made elsewhere: how they are spelled, sorted and flattened is the same on every road."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lcmis.audit.run import open_model
from lcmis.check.pictures import open_picture, readable
from lcmis.errors import ConfigError
from lcmis.machine.pictures import flat, within
from lcmis.plugins.settings import ModelSettings
from lcmis.propose.catalogue import read_pairs
from lcmis.propose.importing.pictures import PicturesImported, import_pictures
from lcmis.text.words import by_number
from lcmis.types import Stage

PROMPT = "a rubine and an azure"


def picture(path: Path, number: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
    return path


def drawn(found: PicturesImported, prompt: str = PROMPT) -> list[int]:
    """The numbers of a prompt's pictures, in the order of their seeds."""
    (read,) = found.folders
    model = open_model(ModelSettings(f"folder:{read.manifest}"))
    specs = [model.spec((Stage(prompt),), seed) for seed in range(read.num_pictures)]
    pictures = model.generate(specs)
    assert all(isinstance(one, Image.Image) for one in pictures)
    return [one.getpixel((0, 0))[0] for one in pictures]


# ── in which order ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("spelled", ["{}", "{:05}", "img_{}", "seed{} of 4"])
def test_seed_two_is_the_second_picture_and_not_the_tenth(tmp_path: Path, spelled: str) -> None:
    place = tmp_path / "made" / "00000"
    for number in range(12):
        picture(place / "samples" / f"{spelled.format(number)}.png", number)
    asked = {"tag": "two_object", "prompt": PROMPT}
    include = [{"class": "rubine"}, {"class": "azure"}]
    (place / "metadata.jsonl").write_text(json.dumps(asked | {"include": include}))
    assert drawn(import_pictures(tmp_path / "made", tmp_path / "p.jsonl")) == list(range(12))


def test_folders_and_compbench_names_are_counted_too(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    for number in range(12):
        picture(folder / "samples" / f"{PROMPT}_{number}.png", number)
    manifest = tmp_path / "prompts.txt"
    manifest.write_text(PROMPT)
    assert drawn(import_pictures(folder, tmp_path / "p.jsonl", manifest)) == list(range(12))


def test_names_are_sorted_as_people_count() -> None:
    names = ["b", "a10", "a2", "2", "10", "a", "a2b1", "a02", ""]
    assert sorted(names, key=by_number) == ["", "2", "10", "a", "a02", "a2", "a2b1", "a10", "b"]


# ── how they are spelled ─────────────────────────────────────────────────────────────────────────

NFC = "old café"
NFD = unicodedata.normalize("NFD", NFC)


@pytest.mark.parametrize("there", [NFC, NFD])
@pytest.mark.parametrize("said", [NFC, NFD])
def test_a_file_is_found_in_either_spelling_of_its_accents(
    tmp_path: Path, there: str, said: str
) -> None:
    picture(tmp_path / "made" / there / f"{there}.png", 7)
    (tmp_path / "made" / "manifest.jsonl").write_text(
        json.dumps({"file": f"{said}/{said}.png", "prompt": PROMPT})
    )
    assert drawn(import_pictures(tmp_path / "made", tmp_path / "p.jsonl")) == [7]
    model = open_model(ModelSettings(f"folder:{tmp_path / 'made' / 'manifest.jsonl'}"))
    assert model.spec((Stage(PROMPT),), 0).height == 8


@pytest.mark.parametrize("there", [NFC, NFD])
@pytest.mark.parametrize("said", [NFC, NFD, NFC.replace(" ", "\u00a0")])
def test_a_prompt_is_found_in_either_spelling_of_its_accents(
    tmp_path: Path, there: str, said: str
) -> None:
    folder, manifest = tmp_path / "made", tmp_path / "made" / "manifest.jsonl"
    picture(folder / "1.png", 7)
    manifest.write_text(json.dumps({"file": "1.png", "prompt": f"{there} on a tray"}))
    model = open_model(ModelSettings(f"folder:{folder}"))
    assert model.spec((Stage(f"{said} on a tray"),), 0).seed == 0
    picture(folder / "samples" / f"a table and the {there}_000000.png", 8)
    prompts = tmp_path / "prompts.txt"
    prompts.write_text(f"a table and the {said}")
    found = import_pictures(folder, tmp_path / "p.jsonl", prompts)
    assert drawn(found, f"a table and the {NFC}") == [8]
    assert [pair.prompt for pair in read_pairs(tmp_path / "p.jsonl")] == [f"a table and the {NFC}"]


def test_a_path_from_windows_is_one_here(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    picture(folder / "a" / "b" / "1.png", 7)
    rows = [{"file": "a\\b\\1.png", "prompt": PROMPT}, {"file": "a/b/1.png", "prompt": PROMPT}]
    (folder / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = import_pictures(folder, tmp_path / "p.jsonl")
    assert drawn(found) == [7]
    assert [reason.reason for reason in found.reasons] == ["named before"]
    lone = folder / "own.csv"
    lone.write_text(f"file,prompt\na\\b\\1.png,{PROMPT}\n")
    assert open_model(ModelSettings(f"folder:{lone}")).spec((Stage(PROMPT),), 0).width == 8


def test_a_backslash_leads_out_of_no_folder(tmp_path: Path) -> None:
    picture(tmp_path / "outside.png", 1)
    picture(tmp_path / "made" / "1.png", 2)
    rows = [{"file": name, "prompt": PROMPT} for name in ("..\\outside.png", "1.png")]
    (tmp_path / "made" / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = import_pictures(tmp_path / "made", tmp_path / "p.jsonl")
    assert [one.reason for one in found.reasons] == ["lies outside the folder: copy it in"]
    with pytest.raises(ConfigError, match="outside the folder"):
        open_model(ModelSettings(f"folder:{tmp_path / 'made' / 'manifest.jsonl'}"))


def test_a_name_with_a_backslash_of_its_own_stays(tmp_path: Path) -> None:
    picture(tmp_path / "a\\b.png", 3)
    assert within(tmp_path, "a\\b.png") == tmp_path / "a\\b.png"
    assert within(tmp_path, "nowhere.png") == tmp_path / "nowhere.png"


@pytest.mark.parametrize("odd", ["\u2028", "\u0085", "\x0b"])
def test_a_manifest_is_cut_at_line_feeds_only(tmp_path: Path, odd: str) -> None:
    picture(tmp_path / "1.png", 1)
    row = {"file": "1.png", "prompt": PROMPT, "note": f"x{odd}y"}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\r\n\n")
    assert open_model(ModelSettings(f"folder:{tmp_path}")).spec((Stage(PROMPT),), 0).width == 8


# ── how they are flattened ───────────────────────────────────────────────────────────────────────


def deep_grey() -> Image.Image:
    return Image.fromarray(np.array([[0, 0x8080], [0x4040, 0xFFFF]], np.uint16))


def half_clear() -> Image.Image:
    image = Image.new("RGBA", (2, 2), (255, 0, 0, 255))
    image.putpixel((0, 0), (255, 0, 0, 0))
    image.putpixel((1, 1), (0, 0, 0, 51))
    return image


def clear_palette() -> Image.Image:
    image = Image.new("P", (2, 2), 1)
    image.putpalette([0, 255, 0, 0, 0, 255])
    image.putpixel((0, 0), 0)
    image.info["transparency"] = 0
    return image


WHITE = (255, 255, 255)
FLAT: dict[str, tuple[Callable[[], Image.Image], list[tuple[int, int, int]]]] = {
    "sixteen bits": (deep_grey, [(0, 0, 0), (128, 128, 128), (64, 64, 64), WHITE]),
    "half clear": (half_clear, [WHITE, (255, 0, 0), (255, 0, 0), (204, 204, 204)]),
    "clear palette": (clear_palette, [WHITE, *[(0, 0, 255)] * 3]),
    "grey and clear": (lambda: Image.new("LA", (2, 2), (0, 0)), [WHITE] * 4),
    "grey": (lambda: Image.new("L", (2, 2), 9), [(9, 9, 9)] * 4),
    "plain": (lambda: Image.new("RGB", (2, 2), (1, 2, 3)), [(1, 2, 3)] * 4),
}


@pytest.mark.parametrize("kind", FLAT)
def test_a_picture_is_flattened_alike_on_every_road(tmp_path: Path, kind: str) -> None:
    made, pixels = FLAT[kind]
    path = tmp_path / "1.png"
    made().save(path)
    (tmp_path / "manifest.jsonl").write_text(json.dumps({"file": "1.png", "prompt": PROMPT}))
    model = open_model(ModelSettings(f"folder:{tmp_path}"))
    (from_folder,) = model.generate([model.spec((Stage(PROMPT),), 0)])
    with Image.open(path) as opened:
        roads = [flat(made()), flat(opened), from_folder, open_picture(path), readable(opened)]
    for image in roads:
        assert isinstance(image, Image.Image)
        assert image.mode == "RGB"
        assert list(image.getdata()) == pixels


def test_numbers_without_a_scale_are_no_picture(tmp_path: Path) -> None:
    Image.new("F", (2, 2), 0.5).save(tmp_path / "1.tiff")
    picture(tmp_path / "2.png", 1)
    rows = [{"file": name, "prompt": PROMPT} for name in ("1.tiff", "2.png")]
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("\n".join(map(json.dumps, rows)))
    found = import_pictures(tmp_path, tmp_path / "p.jsonl")
    assert [one.reason for one in found.reasons] == [
        "holds numbers without a scale: save it as PNG or JPEG with 8 or 16 bits"
    ]
    with pytest.raises(ConfigError, match="numbers without a scale"):
        open_picture(tmp_path / "1.tiff")
    model = open_model(ModelSettings(f"folder:{manifest}"))
    first, _ = model.generate([model.spec((Stage(PROMPT),), seed) for seed in (0, 1)])
    assert "without a scale" in str(first)
