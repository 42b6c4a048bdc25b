"""Imports: pairs in a file, pictures in a folder model, whole or not at all."""

from __future__ import annotations

import csv
import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner
from worlds.toys import COLOURS

from lcmis.audit.run import Audit
from lcmis.cli import app
from lcmis.errors import ConfigError
from lcmis.plugins.opening import open_model
from lcmis.plugins.settings import AuditSettings, CheckerSettings, ModelSettings
from lcmis.propose.catalogue import read_pairs
from lcmis.propose.formats.outcomes import LineOutcome
from lcmis.propose.importing import import_sets
from lcmis.propose.importing.pictures import PicturesImported, import_pictures
from lcmis.store import Store
from lcmis.types import Stage

TEXT = "a fork and a wig\na red car\n\na fork and a wig\na fox and a drum\n"


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def run(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def refused(function: Callable[[], object], match: str) -> None:
    with pytest.raises(ConfigError, match=match) as caught:
        function()
    assert "\n" not in str(caught.value)


# ── prompts ──────────────────────────────────────────────────────────────────────────────────────


def test_an_import_leaves_a_file_that_an_audit_reads(tmp_path: Path) -> None:
    into = tmp_path / "pairs.jsonl"
    found = import_sets([written(tmp_path, "p.txt", TEXT)], into, source="me", licence="CC0")
    assert [pair.prompt for pair in read_pairs(into)] == ["a fork and a wig", "a fox and a drum"]
    assert {(pair.source, pair.licence) for pair in read_pairs(into)} == {("me", "CC0")}
    (read,) = found.sets
    assert read.num_lines == 5
    assert dict(read.counts) == {"pair": 2, "no pair": 1, "refused": 1, "repeated": 1}
    assert {(item.reason, item.lines) for item in read.reasons} == {
        ("asks for one thing only", (2,)),
        ("an empty line", (3,)),
        ("asked before", (4,)),
    }


def test_what_an_audit_leaves_out_of_a_set_is_counted_with_the_reasons(tmp_path: Path) -> None:
    path = written(tmp_path, "p.txt", TEXT)
    asked = ("plan", "-m", "teacup-narrow", "-p", path, "--store", tmp_path / "none")
    planned = run(*asked)
    assert planned.exit_code == 0
    told = " ".join(planned.output.split())
    assert "5 lines: 2 pairs, 1 no pair of concepts, 1 repeated, 1 not read" in told
    assert "asks for one thing only (line 2: red car)" in told
    assert "asked before (line 4: p.txt, line 1)" in told
    assert isinstance(json.loads(run(*asked, "--json").stdout), list)


def test_importing_again_adds_nothing_twice(tmp_path: Path) -> None:
    into, path = tmp_path / "pairs.jsonl", written(tmp_path, "p.txt", TEXT)
    first = import_sets([path, path], into)
    assert first.num_added == 2
    before = into.read_bytes()
    again = import_sets([path], into)
    assert (again.num_added, again.before, again.num_pairs) == (0, 2, 2)
    assert into.read_bytes() == before
    more = import_sets([written(tmp_path, "q.txt", "a harp in a box\nA FORK AND A WIG")], into)
    assert more.num_added == 1
    assert into.read_bytes().startswith(before)


def test_what_a_person_wrote_in_the_file_stays(tmp_path: Path) -> None:
    line = '{"a": "cup", "b": "coke", "prompt": "a cup of coke", "intruder": "glass", '
    own = written(tmp_path, "pairs.jsonl", line + '"intruder_replaces": "a"}')  # no last line end
    import_sets([written(tmp_path, "p.txt", TEXT)], own)
    cup, *others = read_pairs(own)
    assert cup.intruders[0].prompt == "a glass of coke"
    assert len(others) == 2


def test_nothing_is_half_imported(tmp_path: Path) -> None:
    into, report = tmp_path / "pairs.jsonl", tmp_path / "report.csv"
    good = written(tmp_path, "p.txt", TEXT)
    broken = written(tmp_path, "q.json", '[{"prompt": "a harp in a box"},\n{"prompt": ]')
    before = sorted(tmp_path.iterdir())
    refused(lambda: import_sets([good, broken], into, report=report), "line 2, .*not JSON")
    assert sorted(tmp_path.iterdir()) == before


def test_a_set_without_pairs_leaves_no_file(tmp_path: Path) -> None:
    into = tmp_path / "pairs.jsonl"
    found = import_sets([written(tmp_path, "p.txt", "a red car\n")], into)
    assert found.num_pairs == 0
    assert not into.exists()


def test_a_destination_that_cannot_be_is_said(tmp_path: Path) -> None:
    path = written(tmp_path, "p.jsonl", '{"prompt": "a harp in a box"}')
    refused(lambda: import_sets([path], tmp_path / "pairs.toml"), "kept as JSON lines")
    refused(lambda: import_sets([path], path), "is read and cannot be written")
    refused(lambda: import_sets([path], tmp_path / "no" / "p.jsonl"), "cannot be written")
    torn = written(tmp_path, "torn.jsonl", '{"a": "x"')
    refused(lambda: import_sets([path], torn), "line 1: not JSON")


def test_a_report_has_a_row_for_every_line(tmp_path: Path) -> None:
    report = tmp_path / "report.csv"
    import_sets([written(tmp_path, "p.txt", TEXT)], tmp_path / "pairs.jsonl", report=report)
    with report.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["line"], row["outcome"], row["reason"]) for row in rows] == [
        ("1", "pair", ""),
        ("2", "no pair", "asks for one thing only"),
        ("3", "refused", "an empty line"),
        ("4", "repeated", "asked before"),
        ("5", "pair", ""),
    ]


def test_the_command_says_what_was_read_and_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path, "p.txt", TEXT)
    shown = run("import", path)
    assert shown.exit_code == 0
    flat = " ".join(shown.output.split())
    assert "5 lines: 2 pairs, 1 no pair of concepts, 1 repeated, 1 not read" in flat
    assert "no pair: asks for one thing only (line 2: red car)" in flat
    assert "licence: unknown; say it with --licence" in flat
    assert "2 pairs added to pairs.jsonl, which has 2 now" in flat
    assert "Next: lcmis audit -p pairs.jsonl" in flat
    assert json.loads(run("import", path, "--json").output)["before"] == 2
    assert run("import", written(tmp_path, "n.txt", "a car"), "--into", "n.jsonl").exit_code == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name files of prompts, or a folder"),
        (["p.txt", "--images", "x"], "name files of prompts, or a folder"),
        (["p.txt", "--manifest", "x"], "--manifest belongs to --images"),
        (["p.txt", "--encoding", "utf-7"], "utf-8, latin-1 or cp1252"),
        (["nowhere.txt"], "No such file"),
    ],
)
def test_a_command_that_makes_no_sense_is_one_sentence(words: list[str], said: str) -> None:
    shown = run("import", *words)
    assert isinstance(shown.exception, ConfigError)
    assert said in str(shown.exception)


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────


def picture(path: Path, left: str = "rubine", right: str = "azure", number: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (16, 8), COLOURS[left])
    image.paste(COLOURS[right], (8, 0, 16, 8))
    image.putpixel((0, 0), (number, 0, 0))
    image.save(path)
    return path


def bomb(path: Path) -> None:
    """A PNG of a few bytes that claims 60,000 by 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        total = kind + data
        return struct.pack(">I", len(data)) + total + struct.pack(">I", zlib.crc32(total))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b""))


def geneval_folder(root: Path) -> Path:
    for index, (tag, prompt, include) in enumerate(
        [
            ("two_object", "a photo of a rubine and an azure", ["rubine", "azure"]),
            ("counting", "a photo of two limes", ["lime"]),
        ]
    ):
        line = {"tag": tag, "include": [{"class": n, "count": 1} for n in include]}
        place = root / f"{index:05}"
        written(place, "metadata.jsonl", json.dumps(line | {"prompt": prompt}))
        for number in range(8):
            picture(place / "samples" / f"{number:05}.png", number=number)
        picture(place / "grid.png")
    return root


def test_a_geneval_folder_is_audited_without_drawing_anything(tmp_path: Path, toys: None) -> None:
    folder, into = geneval_folder(tmp_path / "made"), tmp_path / "pairs.jsonl"
    found = import_pictures(folder, into)
    assert (found.num_claimed, found.folders[0].num_pictures) == (16, 16)
    assert found.pairs.sets[0].count(LineOutcome.PAIR) == 1
    assert found.pairs.sets[0].count(LineOutcome.NO_PAIR) == 1
    config = AuditSettings(
        models=(ModelSettings(f"folder:{folder / 'imported.jsonl'}"),),
        checkers=(CheckerSettings("toy"),),
        pairs=(str(into),),
    )
    with Store(tmp_path / "store", create=True) as store:
        result = Audit(config, store).run()
    (model,) = result.models
    (pair,) = model.pairs
    assert model.model.startswith("folder:made@")
    assert pair.pair.prompt == "a photo of a rubine and an azure"
    assert (pair.judgement.aligned.value, result.failures) == (1.0, 0)


def test_the_folder_alone_names_an_imported_model_too(tmp_path: Path) -> None:
    folder = geneval_folder(tmp_path / "made")
    import_pictures(folder, tmp_path / "pairs.jsonl")
    whole = open_model(ModelSettings(f"folder:{folder}"))
    assert whole.model_id == open_model(ModelSettings(f"folder:{folder}/imported.jsonl")).model_id
    again = import_pictures(folder, tmp_path / "pairs.jsonl", folder / "imported.jsonl")
    assert again.folders[0].num_pictures == 16
    assert open_model(ModelSettings(f"folder:{folder}")).model_id == whole.model_id


def damaged(tmp_path: Path) -> tuple[Path, PicturesImported]:
    folder = tmp_path / "made"
    good = picture(folder / "good one_with_marks.png", number=1)
    shutil.copy(good, folder / "copy.png")
    picture(folder / "second.png", number=2)
    outside = picture(tmp_path / "outside.png", number=3)
    (folder / "link.png").symlink_to(outside)
    torn = picture(folder / "torn.png", number=4)
    torn.write_bytes(torn.read_bytes()[:-30])
    bomb(folder / "bomb.png")
    written(folder, "text.png", "no picture")
    (folder / "dir.png").mkdir()
    files = [
        *("good one_with_marks.png", "missing.png", "torn.png", "bomb.png", "text.png", "dir.png"),
        *("link.png", "../outside.png", "copy.png", "second.png", "second.png", "x" * 300),
    ]
    rows = [{"file": file, "prompt": "a rubine and an azure"} for file in files]
    lines = [*map(json.dumps, rows), "{broken"]
    written(folder, "manifest.jsonl", "\n".join(lines))
    return folder, import_pictures(folder, tmp_path / "pairs.jsonl", report=tmp_path / "report.csv")


def test_every_picture_that_cannot_be_used_has_one_reason(tmp_path: Path) -> None:
    folder, found = damaged(tmp_path)
    with (tmp_path / "report.pictures.csv").open(newline="") as file:
        told = {(row["line"], row["file"][:30]): row["reason"] for row in csv.DictReader(file)}
    assert told == {
        ("1", "good one_with_marks.png"): "",
        ("2", "missing.png"): "does not exist",
        ("3", "torn.png"): "is truncated or damaged",
        ("4", "bomb.png"): "claims more than 67,108,864 pixels: make it smaller",
        ("5", "text.png"): "is no picture",
        ("6", "dir.png"): "is no file",
        ("7", "link.png"): "lies outside the folder: copy it in",
        ("8", "../outside.png"): "lies outside the folder: copy it in",
        ("9", "copy.png"): "the same picture twice for one prompt",
        ("10", "second.png"): "",
        ("11", "second.png"): "named before",
        ("12", "x" * 30): "is no name of a file",
    }
    assert found.num_claimed == 12
    assert found.folders[0].num_pictures == 2
    assert sum(item.count for item in found.reasons) == 10
    assert found.pairs.sets[0].count(LineOutcome.REFUSED) == 1
    model = open_model(ModelSettings(f"folder:{folder / 'imported.jsonl'}"))
    spec = model.spec((Stage("a rubine and an azure"),), 1)
    (second,) = model.generate([spec])
    assert isinstance(second, Image.Image)
    assert second.getpixel((0, 0)) == (2, 0, 0)
    with pytest.raises(ConfigError, match="2 manifests: name the one you mean"):
        open_model(ModelSettings(f"folder:{folder}"))


def test_the_command_shows_what_is_wrong_with_a_folder(tmp_path: Path) -> None:
    damaged(tmp_path)
    shown = run(
        *("import", "--images", tmp_path / "made", "--into", tmp_path / "pairs.jsonl"),
        *("--manifest", tmp_path / "made" / "manifest.jsonl"),
    )
    assert shown.exit_code == 0
    flat = " ".join(shown.output.split())
    assert "2 of 12 pictures can be used" in flat
    assert "refused: is no picture (line 5: text.png)" in flat
    assert f"Next: lcmis audit -m folder:{tmp_path}/made/imported.jsonl -p" in flat


def test_compbench_names_are_matched_with_the_manifest_and_never_read(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    for number, name in enumerate(
        ["a rubine and an azure", "a snake_case and a lime", "a word from nowhere", "odd"]
    ):
        picture(folder / "samples" / f"{name}_{number:06}.png", number=number)
    picture(folder / "samples" / "a rubine and an azure_000010.png", number=10)
    manifest = written(
        tmp_path, "color_val.txt", "a rubine and an azure\r\na snake_case and a lime\r\na fork"
    )
    found = import_pictures(folder, tmp_path / "pairs.jsonl", manifest)
    assert found.num_claimed == 5
    (read,) = found.folders
    assert (read.num_pictures, read.num_prompts) == (3, 2)
    (reason,) = found.reasons
    assert (reason.count, reason.reason) == (2, "no prompt of the manifest is this file's")
    assert found.pairs.num_added == 2


def test_each_model_of_a_manifest_is_a_model(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    rows = ["prompt,file,model,seed"]
    for model in ("one/big", "two"):
        for seed in (42, 43):
            file = picture(folder / model / f"{seed}.png", number=seed)
            rows.append(f"a rubine and an azure,{file.relative_to(folder)},{model},{seed}")
    manifest = written(folder, "all.csv", "\n".join(rows))
    found = import_pictures(folder, tmp_path / "pairs.jsonl", manifest)
    assert [item.model for item in found.folders] == ["one/big", "two"]
    models = [open_model(ModelSettings(f"folder:{item.manifest}")) for item in found.folders]
    assert [model.model_id.partition("@")[0] for model in models] == [
        "folder:made-one-big",
        "folder:made-two",
    ]
    (line, _) = found.folders[0].manifest.read_text().splitlines()
    assert json.loads(line)["drawn_from_seed"] == "42"
    (drawn,) = models[0].generate([models[0].spec((Stage("a rubine and an azure"),), 0)])
    assert isinstance(drawn, Image.Image)


def test_other_manifests_of_pictures_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    picture(folder / "1.png")
    prompt = "a rubine and an azure"
    for name, content in (
        ("evalscope.jsonl", json.dumps({"id": 1, "prompt": prompt, "image_path": "1.png"})),
        ("geneval2.json", json.dumps({prompt: "1.png"})),
        ("metadata.csv", f"file_name,text\n1.png,{prompt}\n"),
        ("own.csv", f"a,b,prompt,file\nrubine,azure,{prompt},1.png\n"),
    ):
        manifest = written(tmp_path, name, content)
        into = tmp_path / f"{name}.pairs.jsonl"
        found = import_pictures(folder, into, manifest)
        assert found.folders[0].num_pictures == 1, name
        assert [pair.b.name for pair in read_pairs(into)] == ["azure"], name


def test_a_folder_that_cannot_be_imported_leaves_everything_as_it_was(tmp_path: Path) -> None:
    into = tmp_path / "pairs.jsonl"
    refused(lambda: import_pictures(tmp_path / "nowhere", into), "there is no folder")
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(lambda: import_pictures(empty, into), "0 manifests and no GenEval folders")
    written(empty, "manifest.csv", "file,prompt\nx.png,a fork and a wig\n")
    refused(lambda: import_pictures(empty, into), "no picture that can be taken: 1 does not exist")
    assert [path.name for path in empty.iterdir()] == ["manifest.csv"]
    assert not into.exists()
    picture(empty / "y.png")
    two = "prompt,file,model\na fork and a wig,y.png,a b\na fork and a wig,z.png,a-b\n"
    picture(empty / "z.png", number=5)
    manifest = written(tmp_path, "two.csv", two)
    refused(lambda: import_pictures(empty, into, manifest), "would share a file name")
