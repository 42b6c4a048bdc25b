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
from worlds.small_store import (
    BROAD,
    COKE,
    JUDGE,
    NARROW,
    ROSES,
    SECOND,
    STRANGE,
    add,
    fill,
    make_pair,
    make_spec,
)

from lcmis.errors import UserError
from lcmis.export.publish import Published, publish
from lcmis.plugins.opening import open_model
from lcmis.plugins.settings import ModelSettings
from lcmis.propose.catalogue import read_pairs
from lcmis.propose.importing.pictures import import_pictures
from lcmis.store import Store, picture_hash
from lcmis.types import Concept, ConceptPair, Stage


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
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "lcmis_pairs.jsonl",
        "prompts.txt",
        "samples",
    ]
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
    published(folder, "inspect", tmp_path / "other", model="narrow")
    analysis = pytest.importorskip("inspect_ai.analysis", exc_type=ImportError)  # wants pandas
    logs = [str(tmp_path / place / "lcmis.eval") for place in ("out", "other")]
    assert sorted(analysis.evals_df(logs, quiet=True).model) == [BROAD, NARROW]
    assert analysis.samples_df(logs, quiet=True).sample_id.nunique() == wrote.num_pictures + 4


def test_a_dataset_names_every_file_and_what_was_seen_in_it(folder: Path, tmp_path: Path) -> None:
    wrote = published(folder, "imagefolder", tmp_path / "out")
    lines = (tmp_path / "out" / "metadata.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == wrote.num_pictures
    assert all((tmp_path / "out" / row["file_name"]).is_file() for row in rows)
    assert {tuple(row) for row in rows} == {tuple(rows[0])}


# ── GenEval ──────────────────────────────────────────────────────────────────────────────────────


def coco(a: str, b: str, prompt: str, pattern: str = "") -> ConceptPair:
    """A pair of GenEval's kind, with a suspect, as the small store wants it."""
    suspected = make_pair(a, b, "mug").intruders
    return ConceptPair(Concept(a), Concept(b), prompt, pattern=pattern, intruders=suspected)


ASKED = {  # pair: what GenEval's own generator writes for such a prompt; None where it cannot
    coco("bench", "sports ball", "a photo of a bench and a sports ball"): (
        "two_object",
        [{"class": "bench", "count": 1}, {"class": "sports ball", "count": 1}],
    ),
    coco("purple wine glass", "black apple", "a photo of a purple wine glass and a black apple"): (
        "color_attr",
        [
            {"class": "wine glass", "count": 1, "color": "purple"},
            {"class": "apple", "count": 1, "color": "black"},
        ],
    ),
    coco("teddy bear", "dog", "a photo of a dog right of a teddy bear", "position"): (
        "position",
        [
            {"class": "teddy bear", "count": 1},
            {"class": "dog", "count": 1, "position": ["right of", 0]},
        ],
    ),
    coco("wine glass", "kite", "a photo of a wine glass above a kite"): (
        "position",
        [
            {"class": "kite", "count": 1},
            {"class": "wine glass", "count": 1, "position": ["above", 0]},
        ],
    ),
    coco("orange", "orange cat", "an orange and an orange cat"): (
        "color_attr",
        [{"class": "orange", "count": 1}, {"class": "cat", "count": 1, "color": "orange"}],
    ),
    coco("tea cup", "spoon", "a tea cup and a spoon"): None,
    coco("grey cat", "dog", "a grey cat and a dog"): None,
    coco("red cup", "blue cup", "a red cup and a blue cup"): None,
    coco("cups", "dog", "cups and a dog"): None,
}


def found_by_geneval(metadata: dict, objects: dict[str, list[tuple[str, str]]]) -> bool:
    """GenEval's ``evaluate``: every class is there, of that colour, where it should be.

    Args:
        metadata: of one folder.
        objects: class → ``(colour, relation to the other thing)`` of each thing that is seen.
    """
    right, matched = True, []
    for asked in metadata["include"]:
        seen = objects.get(asked["class"], [])[: asked["count"]]
        fits = len(seen) >= asked["count"]
        if fits and "color" in asked:
            fits = [colour for colour, _ in seen].count(asked["color"]) >= asked["count"]
        if fits and "position" in asked:
            relation, target = asked["position"]
            fits = matched[target] is not None and all(where == relation for _, where in seen)
        matched.append(seen if fits else None)
        right &= fits
    return right


@pytest.fixture(scope="module")
def kinds_of_coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("coco") / "store"
    with Store(place, create=True) as store:
        store.add_pairs(list(ASKED))
        for model in (BROAD, NARROW):
            for pair in ASKED:
                for seed in range(2):
                    add(store, pair, make_spec(pair, model, seed), "+", scored=True)
    return place


def test_geneval_is_asked_in_its_own_words_or_told_why_not(
    kinds_of_coco: Path, tmp_path: Path, lcmis
) -> None:
    wrote = published(kinds_of_coco, "geneval", tmp_path / "out")
    read = {}
    for place in sorted((tmp_path / "out").iterdir()):
        metadata = json.loads((place / "metadata.jsonl").read_text())
        read[metadata["prompt"]] = (metadata["tag"], metadata["include"])
        assert len(list((place / "samples").glob("*.png"))) == 2
    assert read == {pair.prompt: said for pair, said in ASKED.items() if said}
    assert (wrote.num_prompts, wrote.num_pictures) == (5, 10)
    assert [sentence.partition(" asks for ")[2] for sentence in wrote.left_out] == [
        "'grey cat', which is not one of GenEval's 80 classes with one of its colours",
        "'cup' twice, of which GenEval looks at the clearest one only",
        "'tea cup', which is not one of GenEval's 80 classes with one of its colours",
        "'cups', which is not one of GenEval's 80 classes with one of its colours",
    ]
    words = ("publish", "geneval", tmp_path / "two", "--store", kinds_of_coco, "-c", JUDGE)
    code, out, errors = lcmis(*words)
    assert (code, errors) == (0, "")
    assert out.count("5 of 9 prompts, 4 left out") == 2


def test_geneval_finds_right_what_is_right_and_only_that(
    kinds_of_coco: Path, tmp_path: Path
) -> None:
    published(kinds_of_coco, "geneval", tmp_path / "out")
    asked = {
        metadata["prompt"]: metadata
        for path in (tmp_path / "out").glob("*/metadata.jsonl")
        for metadata in [json.loads(path.read_text())]
    }
    glass = asked["a photo of a purple wine glass and a black apple"]
    assert found_by_geneval(glass, {"wine glass": [("purple", "")], "apple": [("black", "")]})
    assert not found_by_geneval(glass, {"wine glass": [("red", "")], "apple": [("black", "")]})
    dog = asked["a photo of a dog right of a teddy bear"]
    assert found_by_geneval(
        dog, {"dog": [("brown", "right of")], "teddy bear": [("red", "left of")]}
    )
    assert not found_by_geneval(
        dog, {"dog": [("brown", "left of")], "teddy bear": [("red", "right of")]}
    )
    cat = asked["an orange and an orange cat"]
    assert found_by_geneval(cat, {"orange": [("red", "")], "cat": [("orange", "")]})
    assert not found_by_geneval(cat, {"cat": [("orange", "")]})


def test_pictures_published_for_geneval_are_imported_again(
    kinds_of_coco: Path, tmp_path: Path
) -> None:
    out, into = tmp_path / "out", tmp_path / "pairs.jsonl"
    published(kinds_of_coco, "geneval", out)
    (read,) = import_pictures(out, into, None).folders
    assert (read.num_prompts, read.num_pictures) == (5, 10)
    imported = {pair.prompt: pair for pair in read_pairs(into)}
    pair = imported["a photo of a purple wine glass and a black apple"]
    assert (pair.a.name, pair.b.name) == ("purple wine glass", "black apple")


def test_nothing_that_a_format_can_say_is_a_sentence(folder: Path, tmp_path: Path) -> None:
    with (
        Store(folder, read_only=True) as store,
        pytest.raises(UserError, match=r"nothing .* geneval: .* one of GenEval's 80"),
    ):
        publish(store, JUDGE, "geneval", tmp_path / "out", model="broad")
    assert list(tmp_path.iterdir()) == []


# ── others by their own rules ────────────────────────────────────────────────────────────────────


def test_evalscope_opens_every_picture_from_anywhere(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    wrote = published(folder, "evalscope", Path("out"))
    lines = (tmp_path / "out" / "evalscope.jsonl").read_text().splitlines()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for line in lines:
        with Image.open(json.loads(line)["image_path"]) as picture:  # as its metrics do
            picture.convert("RGB")
    assert len(lines) == wrote.num_pictures


def test_t2i_compbench_reads_the_prompt_and_a_number_of_its_own_off_every_name(
    folder: Path, tmp_path: Path
) -> None:
    wrote = published(folder, "t2i-compbench", tmp_path / "out")
    names = [path.name for path in (tmp_path / "out" / "samples").iterdir()]
    names.sort(key=lambda name: int(name.split("_")[-1].split(".")[0]))  # as its scripts do
    assert [int(name.split("_")[-1].split(".")[0]) for name in names] == list(
        range(wrote.num_pictures)
    )
    assert {name.split("_")[0] for name in names} == {COKE.prompt, ROSES.prompt}


def test_logs_of_two_models_have_two_ids_and_of_one_the_same(folder: Path, tmp_path: Path) -> None:
    with Store(folder, read_only=True) as store:
        for place in ("out", "again"):
            publish(store, JUDGE, "inspect", tmp_path / place)

    def ids(place: str) -> dict[str, str]:
        found = {}
        for path in sorted((tmp_path / place).glob("*/lcmis.eval")):
            with zipfile.ZipFile(path) as log:
                said = json.loads(log.read("header.json"))["eval"]
                assert said == json.loads(log.read("_journal/start.json"))["eval"]
            found[said["model"]] = said["eval_id"]
        return found

    assert ids("out") == ids("again")
    assert set(ids("out")) == {BROAD, NARROW}
    assert len(set(ids("out").values())) == 2


def test_data_frames_of_inspect_have_both_models_where_it_is_installed(
    folder: Path, tmp_path: Path
) -> None:
    analysis = pytest.importorskip("inspect_ai.analysis")
    with Store(folder, read_only=True) as store:
        wrote = publish(store, JUDGE, "inspect", tmp_path / "out")
    logs = [str(item.folder / "lcmis.eval") for item in wrote]
    assert set(analysis.evals_df(logs, quiet=True)["model"]) == {BROAD, NARROW}
    samples = analysis.samples_df(logs, quiet=True)
    assert len(samples) == samples["sample_id"].nunique() == sum(i.num_pictures for i in wrote)


def test_several_models_have_a_folder_each_and_refusals_are_no_pictures(
    folder: Path, tmp_path: Path
) -> None:
    with Store(folder, read_only=True) as store:
        found = publish(store, JUDGE, "imagefolder", tmp_path / "out")
    assert {item.model: item.folder.name for item in found} == {
        BROAD: "broad-1111111aaaa",
        NARROW: "narrow-2222222bbbb",
    }
    narrow = next(item for item in found if item.model == NARROW)
    assert narrow.num_pictures == 4  # of the roses, each one was refused


@pytest.mark.parametrize(
    ("form", "place", "model", "said"),
    [
        ("genevall", "out", None, "no publisher is called .genevall.; try geneval"),
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
