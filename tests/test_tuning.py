"""Which ways of computing pay here: tried beside the usual one, told with what they change."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL.Image import Image
from typer.testing import CliRunner
from worlds import drawing
from worlds.drawing import settings_of
from worlds.toys import pair

from lcmis.audit.config import load_config
from lcmis.audit.tuning import (
    Computing,
    MeasuredWay,
    Tuning,
    best_of,
    refuse_unwritable,
    ways_of,
    write_settings,
)
from lcmis.cli import app
from lcmis.cli.terminal.tuning import print_best
from lcmis.errors import ConfigError
from lcmis.machine.device import has_bfloat16
from lcmis.plugins.settings import ModelSettings
from lcmis.types import Answer, Question

tiny = drawing.tiny
PAIRS = [pair("cup", "coke"), pair("dog", "boat")]


class Reddish:
    """Says that all is there where the first pixel is more red than a threshold allows."""

    checker_id = "reddish@1"

    def takes(self, question: Question) -> bool:
        return question.kind.value.endswith("present")

    def score(self, images: Sequence[Image], questions: Sequence[Question]) -> list[tuple[Answer]]:
        return [(Answer(float(np.asarray(image)[0, 0, 0]) / 255),) for image in images]


def measured(ratio: float, name: str = "a way", **said: object) -> MeasuredWay:
    usual = MeasuredWay(Computing(name, {name: True}), "p", 1.0, ratio, 1.0, 2, 2, 0, 0, 0)
    return dataclasses.replace(usual, **said)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[MeasuredWay]:
    """Of a tiny pipeline under a clock by which all take the same time."""
    folder = drawing.tiny_pipelines.save("sd", tmp_path_factory.mktemp("tiny") / "sd")
    ticks = itertools.count(0.0, 1.0)
    settings = settings_of(folder, batch_size=2, num_inference_steps=2)
    tuning = Tuning(
        settings, PAIRS, Reddish(), threshold=0.5, compiled=False, clock=lambda: next(ticks)
    )
    return list(tuning.measure())


def test_the_usual_way_comes_first_and_every_other_is_told_beside_it(
    found: list[MeasuredWay],
) -> None:
    usual, *others = found
    assert usual.way.settings == {}
    assert (usual.kind, usual.largest, usual.turned) == ("E", 0, 0)
    told = {one.way.name: one.profile for one in others}
    halves = told.pop("dtype = bfloat16", None)
    assert halves == ("cpu-bfloat16-b2" if has_bfloat16() else None)
    assert told == {
        "channels_last": "cpu-float32-b2-nhwc",
        "vae_decoding = sliced": "cpu-float32-b2-vae_sliced",
    }
    assert all(one.ratio == 1.0 and one.pictures_per_second == 4.0 for one in found)
    assert all(one.answers == 8 for one in found)
    assert all(one.largest <= (16 if "bfloat16" in one.profile else 2) for one in found)


def test_a_way_is_exact_only_if_no_picture_changed(found: list[MeasuredWay]) -> None:
    assert all((one.kind == "E") == (one.largest == 0) for one in found)
    assert measured(2.0, equal=1).kind == "N"


def test_what_takes_no_less_time_is_not_taken(found: list[MeasuredWay]) -> None:
    assert best_of(found) is found[0]
    slow, fast = measured(1.02), measured(1.03)
    assert best_of([found[0], slow]) is found[0]
    assert best_of([found[0], slow, fast, measured(0.9)]) is fast


def test_a_way_that_cannot_be_gone_is_told_and_the_next_is_tried(
    tiny: Callable[[str], Path],
) -> None:
    settings = settings_of(tiny("sd"), batch_size=1, num_inference_steps=1)
    tuning = Tuning(settings, PAIRS, compiled=False)
    refused = next(one for one in tuning.measure() if "sliced" in one.way.name)
    assert "batches of one are already" in refused.refusal
    assert best_of([measured(1.0), refused]).refusal == ""


def test_a_cache_is_told_as_lossy_and_never_taken(tiny: Callable[[str], Path]) -> None:
    settings = settings_of(tiny("flux"), batch_size=1, num_inference_steps=5)
    ticks = itertools.count(0.0, 1.0)
    tuning = Tuning(settings, PAIRS, compiled=False, clock=lambda: next(ticks))
    names = {"first-block:0.12", "taylor-seer:5"}
    told = {one.way.settings["cache"]: one for one in tuning.measure() if one.kind == "L"}
    assert set(told) == names
    assert told["taylor-seer:5"].profile == "cpu-float32-b1-lossy_taylor_seer_5"
    lossy = measured(5.0, equal=2)
    lossy = dataclasses.replace(lossy, way=Computing("cache", {"cache": "first-block:0.12"}))
    assert lossy.kind == "L"
    assert best_of([measured(1.0), lossy, measured(1.1)]).ratio == 1.1
    chosen = dataclasses.replace(settings, cache="mag:0.1")
    assert [one.name for one in Tuning(chosen, PAIRS)._lossy("cpu")] == ["cache = mag:0.1"]
    bare = settings_of(tiny("sd"))
    assert not list(Tuning(bare, PAIRS)._lossy("cpu"))


def test_nothing_more_is_tried_once_the_time_is_over(tiny: Callable[[str], Path]) -> None:
    ticks = itertools.count(0.0, 1.0)
    settings = settings_of(tiny("sd"), batch_size=1, num_inference_steps=1)
    tuning = Tuning(settings, PAIRS, compiled=False, seconds=4.0, clock=lambda: next(ticks))
    found = list(tuning.measure())
    assert [one.way.name for one in found] == ["as it is"]
    ways = ["channels_last", "vae_decoding = sliced", "dtype = bfloat16"]
    assert [one.name for one in tuning.untried] == [
        way for way in ways if way != "dtype = bfloat16" or has_bfloat16()
    ]


def test_what_there_was_no_time_for_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    print_best("m", measured(1.0, way=Computing("as it is", {})), None, [Computing("whole", {})])
    said = " ".join(capsys.readouterr().out.split())
    assert said == (
        "no time was left for whole: allow more with --minutes "
        "m: of what was tried, nothing draws faster here; leave it as it is"
    )


def test_what_the_user_has_set_is_not_tried_otherwise() -> None:
    free = ModelSettings("m")
    assert {"channels_last", "batch_size = 8", "batch_size = 2"} <= {
        way.name for way in ways_of(free, "cpu", 4, compiled=False)
    }
    bound = dataclasses.replace(free, channels_last=False, batch_size=4)
    names = {way.name for way in ways_of(bound, "cpu", 4, compiled=True)}
    always = {"vae_decoding = sliced", "compiled = regional", "compiled = whole, VAE too"}
    assert names - {"dtype = bfloat16"} == always
    assert ("dtype = bfloat16" in names) == has_bfloat16()
    said = dataclasses.replace(free, dtype="float32")
    assert "dtype = bfloat16" not in {one.name for one in ways_of(said, "cpu", 4, compiled=True)}


def test_a_way_that_a_model_goes_by_itself_is_not_measured_again() -> None:
    usual = ModelSettings("teacup-narrow", device="cpu", num_inference_steps=1, batch_size=2)
    (alone,) = Tuning(usual, PAIRS, compiled=False).measure()
    assert alone.way.settings == {}
    assert alone.profile == f"cpu-{'bfloat16' if has_bfloat16() else 'float32'}-b2-nhwc-vae_sliced"


FILE = """# mine
pairs = ["teacup"]

[[models]]
name = "teacup-narrow"  # the damaged one
batch_size = 4
# a remark

[[models]]
name = "teacup-broad"

[[checkers]]
kind = "teacup-clip"
"""


def test_settings_are_written_under_their_model_and_nothing_else_changes(tmp_path: Path) -> None:
    path = tmp_path / "audit.toml"
    path.write_text(FILE)
    write_settings(path, "teacup-narrow", {"batch_size": 8, "channels_last": True})
    narrow, broad = load_config(path).models
    assert (narrow.batch_size, narrow.channels_last) == (8, True)
    assert (broad.batch_size, broad.channels_last) == (None, None)
    expected = FILE.replace("batch_size = 4\n# a remark\n", "batch_size = 8\n# a remark\n{}")
    assert path.read_text() == expected.format("channels_last = true\n")
    write_settings(path, "teacup-broad", {"vae_decoding": "sliced"})
    assert [one.vae_decoding for one in load_config(path).models] == [None, "sliced"]


STRANGE = {
    "lines that Python would break": FILE.replace("# mine", "# mine \x85 \u2028"),
    "quoted keys": FILE.replace("name =", '"name" =').replace("batch_size =", "'batch_size' ="),
    "a text of several lines": FILE.replace(
        "# a remark",
        'negative_prompt = """\n[[models]]\nname = "teacup-narrow"\nbatch_size = 1\n"""',
    ),
    "tables in a row": 'models = [{name = "other"}, {name = "teacup-narrow", batch_size = 4}]\n',
    "no end of the last line": '[[models]]\nname = "teacup-narrow"',
    "tables inside": FILE.replace("# a remark", '[[models.adapters]]\nname = "mine"'),
    "a table between two": FILE + '[[models]]\nname = "teacup-layout"\n',
    "a dotted name": FILE.replace("# a remark", "text.name = 1"),
}


@pytest.mark.parametrize("text", STRANGE.values(), ids=STRANGE)
@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_however_a_file_is_laid_out_it_says_the_same_and_the_settings(
    text: str, ends: str, tmp_path: Path
) -> None:
    path = tmp_path / "audit.toml"
    path.write_text(text, "utf-8", newline=ends)
    expected = tomllib.loads(text)
    settings = {"batch_size": 8, "channels_last": True, "vae_decoding": "sliced"}
    refuse_unwritable(path, ["teacup-narrow"])
    assert path.read_bytes().decode() == text.replace("\n", ends)
    write_settings(path, "teacup-narrow", settings)
    (mine,) = (one for one in expected["models"] if one["name"] == "teacup-narrow")
    mine |= settings
    written = path.read_bytes().decode()
    assert tomllib.loads(written) == expected
    assert written.count("\n") == written.count(ends)
    for remark in ("# mine", "# the damaged one"):
        assert (remark in written) == (remark in text)


REFUSED = {
    "latin-1": ("# für mich\n".encode("latin-1"), "cannot be read as text: .*; save it as UTF-8"),
    "no TOML": (b"[[models]\n", "is no valid TOML: .*; mend that line"),
    "twice": (2 * b'[[models]]\nname = "teacup-narrow"\n', "has 2 tables .*: leave one"),
    "no list": (b'[models]\nname = "teacup-narrow"\n', "has no table .*: write one"),
    "a name": (b'models = ["teacup-narrow"]\n', "has no table .*: write one"),
}


@pytest.mark.parametrize(("content", "sentence"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_cannot_be_written_into_is_refused_before_anything_is_measured(
    content: bytes, sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "audit.toml"
    path.write_bytes(content)
    flags = [
        "tune",
        "-m",
        "teacup-narrow",
        "-p",
        "teacup",
        "-c",
        "teacup-clip",
        "--into",
        str(path),
    ]
    said = CliRunner().invoke(app, flags)
    assert isinstance(said.exception, ConfigError)
    assert re.search(sentence, str(said.exception))
    assert path.read_bytes() == content


def test_a_place_where_nothing_can_be_replaced_is_said_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "audit.toml"
    path.write_text(FILE)

    def full(self: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "touch", full)
    with pytest.raises(ConfigError, match=r"cannot be written .*: name another file"):
        refuse_unwritable(path, ["teacup-narrow"])
    assert path.read_text() == FILE


def test_what_was_measured_is_printed_although_it_cannot_be_kept_any_more(
    tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, path = str(tiny("sd")), tmp_path / "audit.toml"
    path.write_text(f'[[models]]\nname = "{folder}"\n')

    def measure(self: Tuning) -> Iterator[MeasuredWay]:
        yield measured(1.0, way=Computing("as it is", {}))
        path.write_text("# somebody else\n")
        yield measured(2.0, "channels_last")

    monkeypatch.setattr(Tuning, "measure", measure)
    flags = ["-m", folder, "-p", "teacup", "--limit", "1", "-c", "teacup-clip", "--json"]
    said = CliRunner().invoke(app, ["tune", *flags, "--into", str(path)])
    assert re.search("has no table .*: channels_last = true", str(said.exception))
    assert [one["ratio"] for one in json.loads(said.stdout)[folder]] == [1.0, 2.0]
    assert path.read_text() == "# somebody else\n"


@pytest.mark.parametrize("text", ['models = ["teacup-narrow"]\n', FILE.replace("narrow", "wide")])
def test_a_file_that_has_no_table_for_the_model_is_left_alone(text: str, tmp_path: Path) -> None:
    path = tmp_path / "audit.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"no table .*: channels_last = true"):
        write_settings(path, "teacup-narrow", {"channels_last": True})
    assert path.read_text() == text


def test_the_command_measures_and_says_what_to_set(tiny: Callable[[str], Path]) -> None:
    folder = str(tiny("sd"))
    said = CliRunner().invoke(
        app,
        [
            *("tune", "-m", folder, "-p", "teacup", "--limit", "2", "-c", "teacup-clip"),
            *("--steps", "1", "--size", "32x32", "--batch", "2"),
            *("--no-compile", "--minutes", "0.001", "--json"),
        ],
    )
    assert said.exit_code == 0, said.output
    (ways,) = json.loads(said.stdout).values()
    assert ways[0]["way"] == {"name": "as it is", "settings": {}}
    assert ways[0]["answers"] == 8


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--minutes", "0"], "--minutes is 0, but it is above 0"),
        (["--minutes", "nan"], "--minutes is nan, but it is above 0 and ends"),
        (["--minutes", "inf"], "--minutes is inf, but it is above 0 and ends"),
        (["--into", "nowhere.toml"], "there is no file nowhere.toml"),
    ],
)
def test_the_command_refuses_what_cannot_be_before_anything_is_drawn(
    flags: list[str], sentence: str
) -> None:
    said = CliRunner().invoke(app, ["tune", *flags])
    assert isinstance(said.exception, ConfigError)
    assert sentence in str(said.exception)
