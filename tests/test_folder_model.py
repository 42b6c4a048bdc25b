"""Pictures made elsewhere, as a model."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from worlds.drawing import one

from lcmis.errors import ConfigError, RenderError
from lcmis.machine.pictures import LARGEST_PICTURE
from lcmis.plugins.protocols import ImageModel
from lcmis.plugins.settings import ModelSettings
from lcmis.render import draw
from lcmis.render.folder import FolderModel
from lcmis.types import Stage


def write_folder(folder: Path, rows: Sequence[dict[str, Any]], kind: str = "csv") -> Path:
    folder.mkdir(exist_ok=True)
    for index, row in enumerate(rows):
        colour = (index * 20 % 256, 100, 200)
        Image.new("RGB", (12, 10), colour).save(folder / Path(row["file"]).name)
    if kind == "csv":
        with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as opened:
            writer = csv.DictWriter(opened, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        lines = "\n".join(json.dumps(row) for row in rows)
        (folder / "manifest.jsonl").write_text(lines + "\n", encoding="utf-8")
    return folder


ROWS = [
    {"file": "one.png", "prompt": 'a cup, "red"\nand old', "seed": 7},
    {"file": "two.png", "prompt": 'a cup, "red"\nand old', "seed": 3},
    {"file": "three.png", "prompt": "une tasse d'thé", "seed": 7},
]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_pictures_are_found_by_prompt_and_seed(kind: str, tmp_path: Path) -> None:
    model = FolderModel(ModelSettings(str(write_folder(tmp_path / "made", ROWS, kind))))
    assert isinstance(model, ImageModel)
    assert model.supports_seeds
    assert not model.supports_stages
    spec = model.spec((Stage(ROWS[0]["prompt"]),), 3)
    assert (spec.width, spec.height) == (12, 10)
    assert spec.model == model.model_id
    assert spec.model.startswith("folder:made@")
    assert one(model, (Stage(ROWS[0]["prompt"]),), 3)[0, 0].tolist() == [20, 100, 200]
    assert one(model, (Stage(ROWS[2]["prompt"]),), 7)[0, 0].tolist() == [40, 100, 200]


def test_without_seeds_pictures_are_counted_in_the_order_of_the_manifest(tmp_path: Path) -> None:
    rows = [{"file": row["file"], "prompt": row["prompt"]} for row in ROWS]
    model = FolderModel(ModelSettings(str(write_folder(tmp_path / "made", rows))))
    assert not model.supports_seeds
    assert one(model, (Stage(ROWS[0]["prompt"]),), 1)[0, 0].tolist() == [20, 100, 200]


def test_a_prompt_or_seed_that_the_folder_lacks_is_named(tmp_path: Path) -> None:
    model = FolderModel(ModelSettings(str(write_folder(tmp_path / "made", ROWS))))
    with pytest.raises(RenderError, match='nearest is "une tasse d\'thé"'):
        model.spec((Stage("une tasse d'the"),), 7)
    with pytest.raises(RenderError, match=r"2 pictures .* \(seeds 3 to 7\), and none of seed 4"):
        model.spec((Stage(ROWS[0]["prompt"]),), 4)
    with pytest.raises(RenderError, match="cannot switch prompts"):
        model.spec((Stage("a", 0.5), Stage(ROWS[0]["prompt"])), 7)


def test_a_folder_is_another_model_once_a_picture_changes(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "made", ROWS)
    before = FolderModel(ModelSettings(str(folder))).model_id
    assert FolderModel(ModelSettings(str(folder))).model_id == before
    Image.new("RGB", (12, 10), "white").save(folder / "two.png")
    assert FolderModel(ModelSettings(str(folder))).model_id != before


def test_a_damaged_picture_costs_only_itself(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "made", ROWS)
    noisy = np.random.default_rng(0).integers(0, 255, (10, 12, 3), dtype=np.uint8)
    Image.fromarray(noisy).save(folder / "one.png")
    whole = (folder / "one.png").read_bytes()
    (folder / "one.png").write_bytes(whole[: len(whole) // 2])
    model = FolderModel(ModelSettings(str(folder)))
    prompt = (Stage(ROWS[0]["prompt"]),)
    damaged, fine = draw(model, [model.spec(prompt, 7), model.spec(prompt, 3)])
    assert isinstance(damaged, RenderError)
    assert "one.png is damaged" in str(damaged)
    assert isinstance(fine, Image.Image)


def test_a_file_that_is_no_picture_or_claims_too_many_pixels_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "made", ROWS)
    (folder / "one.png").write_text("not a picture")
    side = int(LARGEST_PICTURE**0.5) + 8
    Image.new("1", (side, side)).save(folder / "two.png")
    model = FolderModel(ModelSettings(str(folder)))
    with pytest.raises(RenderError, match=r"one\.png is no picture"):
        model.spec((Stage(ROWS[0]["prompt"]),), 7)
    with pytest.raises(RenderError, match=r"two\.png claims 8200x8200 pixels"):
        model.spec((Stage(ROWS[0]["prompt"]),), 3)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([{"file": "../one.png", "prompt": "a"}], "lies outside the folder"),
        ([{"file": "a.png", "prompt": ""}], "line 2: file and prompt"),
        ([{"file": "a.png", "prompt": "a", "seed": "-1"}], "line 2: the seed '-1'"),
        (
            [{"file": "a.png", "prompt": "a", "seed": 1}, {"file": "b.png", "prompt": "a"}],
            "for some pictures only",
        ),
        ([{"file": "a.png", "prompt": "a", "seed": 1}] * 2, "two pictures of 'a' with seed 1"),
    ],
    ids=str,
)
def test_a_manifest_that_cannot_be_understood_is_refused(
    rows: list[dict[str, Any]], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        FolderModel(ModelSettings(str(write_folder(tmp_path / "made", rows))))


def test_a_folder_without_one_manifest_and_its_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no folder"):
        FolderModel(ModelSettings(str(tmp_path / "nowhere")))
    with pytest.raises(ConfigError, match="has 0 manifests"):
        FolderModel(ModelSettings(str(tmp_path)))
    folder = write_folder(tmp_path / "made", ROWS)
    (folder / "two.png").unlink()
    with pytest.raises(ConfigError, match=r"'two\.png', which does not exist"):
        FolderModel(ModelSettings(str(folder)))
    write_folder(folder, ROWS, "jsonl")
    with pytest.raises(ConfigError, match="has 2 manifests"):
        FolderModel(ModelSettings(str(folder)))


def test_finished_pictures_follow_no_drawing_settings(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "made", ROWS)
    with pytest.raises(ConfigError, match="guidance_scale can change nothing"):
        FolderModel(ModelSettings(str(folder), guidance_scale=3.0))
