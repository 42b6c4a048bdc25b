"""What is published for other tools is read again: by our importer, and by plain readers."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from pathlib import Path

import pyarrow.parquet
import pytest
from PIL import Image
from worlds.small_store import BROAD, COKE, JUDGE, NARROW, ROSES, SECOND, STRANGE, fill

from lcmis.errors import UserError
from lcmis.export.publish import Published, publish
from lcmis.plugins.opening import open_model
from lcmis.plugins.settings import ModelSettings
from lcmis.propose.catalogue import read_pairs
from lcmis.propose.importing.pictures import import_pictures
from lcmis.store import Store, picture_hash
from lcmis.types import Stage


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("peers") / "store")


def published(folder: Path, form: str, place: Path, model: str = "broad") -> Published:
    with Store(folder, read_only=True) as store:
        (found,) = publish(store, JUDGE, form, place, model=model)
    return found


def expected(folder: Path, model: str) -> dict[str, list[str]]:
    """Prompt → hashes of its plainly prompted pictures, in the order of their seeds."""
    with Store(folder, read_only=True) as store:
        return {
            pair.prompt: [
                store.render(item.spec_key)[1].sha256
                for item in store.evidence(JUDGE, model=model, pair=pair.key)
                if not item.of_repair and not item.refused
            ]
            for pair in (COKE, ROSES, STRANGE)
        }


@pytest.mark.parametrize(
    ("form", "manifest", "prompts"),
    [
        ("geneval", None, 3),
        ("t2i-compbench", "prompts.txt", 2),
        ("evalscope", "evalscope.jsonl", 3),
        ("imagefolder", None, 3),
    ],
)
def test_what_is_published_is_imported_again_picture_for_picture(
    folder: Path, tmp_path: Path, form: str, manifest: str | None, prompts: int
) -> None:
    out, into = tmp_path / "out", tmp_path / "pairs.jsonl"
    wrote = published(folder, form, out)
    found = import_pictures(out, into, out / manifest if manifest else None)
    pictures = expected(folder, BROAD)
    (read,) = found.folders
    assert read.num_prompts == prompts
    assert read.num_pictures == wrote.num_pictures
    model = open_model(ModelSettings(f"folder:{read.manifest}"))
    for prompt in (COKE.prompt, ROSES.prompt):
        specs = [model.spec((Stage(prompt),), seed) for seed in range(len(pictures[prompt]))]
        drawn = model.generate(specs)
        assert all(isinstance(picture, Image.Image) for picture in drawn)
        assert [picture_hash(picture) for picture in drawn] == pictures[prompt]
    imported = {pair.prompt: pair for pair in read_pairs(into)}
    assert imported[COKE.prompt].a.name == "tea cup"
    assert imported[COKE.prompt].b.name == "iced coke"


def test_what_a_format_cannot_say_is_named(folder: Path, tmp_path: Path) -> None:
    wrote = published(folder, "t2i-compbench", tmp_path / "out")
    (sentence,) = wrote.left_out
    assert "holds a _ or a /" in sentence
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["prompts.txt", "samples"]
    names = sorted(path.name for path in (tmp_path / "out" / "samples").iterdir())
    assert (names[0], names[-1]) == (
        "a pot of roses_000000.png",
        "a tea cup of iced coke_000015.png",
    )


def test_a_parquet_file_has_a_row_for_every_picture_and_checker(
    folder: Path, tmp_path: Path
) -> None:
    wrote = published(folder, "parquet", tmp_path / "out")
    table = pyarrow.parquet.read_table(tmp_path / "out" / "pictures.parquet")
    rows = table.to_pylist()
    assert len(rows) == 2 * wrote.num_pictures
    assert {row["checker"] for row in rows} == {JUDGE, SECOND}
    first = next(row for row in rows if row["prompt"] == COKE.prompt and row["seed"] == 0)
    assert (first["a_score"], first["b_score"]) == (0.1, 0.9)
    assert (first["verdict"], first["seen_instead_of_a"]) == ("a_missing", "glass")
    silent = next(row for row in rows if row["prompt"] == COKE.prompt and row["seed"] == 7)
    assert (silent["a_score"], silent["verdict"]) == (None, "unscored")


def test_a_log_for_inspect_has_a_sample_a_pair_and_an_epoch_a_picture(
    folder: Path, tmp_path: Path
) -> None:
    wrote = published(folder, "inspect", tmp_path / "out")
    pictures = expected(folder, BROAD)
    with zipfile.ZipFile(tmp_path / "out" / "lcmis.eval") as log:
        header = json.loads(log.read("header.json"))
        summaries = json.loads(log.read("summaries.json"))
        names = [name for name in log.namelist() if name.startswith("samples/")]
        samples = [json.loads(log.read(name)) for name in names]
    assert len(summaries) == len(samples) == wrote.num_pictures
    assert header["eval"]["model"] == BROAD
    for sample in samples:
        url = sample["messages"][1]["content"][0]["image"]
        encoded = base64.b64decode(url.removeprefix("data:image/webp;base64,"))
        shown = Image.open(io.BytesIO(encoded)).convert("RGB")
        assert picture_hash(shown) == pictures[sample["input"]][sample["epoch"] - 1]
    marks = [sample["scores"][JUDGE]["value"] for sample in samples]
    assert set(marks) == {"C", "I", "N"}
    (score,) = header["results"]["scores"]
    right, wrong = marks.count("C"), marks.count("I")
    assert score["metrics"]["accuracy"]["value"] == pytest.approx(right / (right + wrong))


def test_inspect_reads_its_log_where_it_is_installed(folder: Path, tmp_path: Path) -> None:
    inspect_log = pytest.importorskip("inspect_ai.log")
    wrote = published(folder, "inspect", tmp_path / "out")
    log = inspect_log.read_eval_log(str(tmp_path / "out" / "lcmis.eval"))
    assert (log.status, len(log.samples)) == ("success", wrote.num_pictures)
    assert log.samples[0].scores[JUDGE].value in ("C", "I", "N")


def test_a_dataset_names_every_file_and_what_was_seen_in_it(folder: Path, tmp_path: Path) -> None:
    wrote = published(folder, "imagefolder", tmp_path / "out")
    lines = (tmp_path / "out" / "metadata.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == wrote.num_pictures
    assert all((tmp_path / "out" / row["file_name"]).is_file() for row in rows)
    assert {tuple(row) for row in rows} == {tuple(rows[0])}


def test_several_models_have_a_folder_each_and_refusals_are_no_pictures(
    folder: Path, tmp_path: Path
) -> None:
    with Store(folder, read_only=True) as store:
        found = publish(store, JUDGE, "geneval", tmp_path / "out")
    assert {item.model: item.folder.name for item in found} == {
        BROAD: "broad-1111111aaaa",
        NARROW: "narrow-2222222bbbb",
    }
    narrow = next(item for item in found if item.model == NARROW)
    assert narrow.num_pictures == 4  # of the roses, each one was refused


@pytest.mark.parametrize(
    ("form", "place", "model", "said"),
    [
        ("genevall", "out", None, "there are geneval, t2i-compbench"),
        ("geneval", ".", None, "exists: name a folder"),
        ("geneval", "no/out", None, "cannot be written"),
        ("geneval", "out", "nobody", "no pictures of 'nobody': models broad@"),
    ],
)
def test_what_cannot_be_published_is_one_sentence(
    folder: Path, tmp_path: Path, form: str, place: str, model: str | None, said: str
) -> None:
    with Store(folder, read_only=True) as store, pytest.raises(UserError, match=said):
        publish(store, JUDGE, form, tmp_path / place, model=model)
    assert list(tmp_path.iterdir()) == []


def test_a_lost_picture_leaves_no_half_folder(tmp_path: Path) -> None:
    place = fill(tmp_path / "store")
    next((place / "pictures").rglob("*.webp")).unlink()
    with Store(place, read_only=True) as store, pytest.raises(UserError, match="is missing"):
        publish(store, JUDGE, "imagefolder", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_the_command_says_where_the_pictures_are(folder: Path, tmp_path: Path, lcmis) -> None:
    code, out, _ = lcmis("publish", "t2i-compbench", tmp_path / "out", "--store", folder)
    assert code == 0
    assert "pictures of broad@1111111aaaa in" in out
    assert "left out" in out
