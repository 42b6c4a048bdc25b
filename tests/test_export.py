"""Repaired prompts as others read them: each format by its own reader, or run."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from worlds import tiny_pipelines

from lcmis.errors import ConfigError, UnknownNameError
from lcmis.export.formats import FORMATS, SUFFIXES, export
from lcmis.export.repaired import RepairedPrompt, repaired_prompt
from lcmis.export.tables import record
from lcmis.findings import RepairFinding
from lcmis.types import (
    Candidate,
    Certificate,
    Concept,
    ConceptPair,
    Expected,
    LevelRange,
    Nomination,
    Rate,
    RenderSpec,
    Seen,
    Stage,
    Standing,
)

PAIR = ConceptPair(Concept("tea cup"), Concept("iced coke"), "a tea cup of iced coke")
FULL = "a small cup of dark cola, with ice"
SEEDS = (3221225472, 3221225473, 3221225474)


def repaired(*stages: Stage, pair: ConceptPair = PAIR, model="tiny@1", **changes) -> RepairedPrompt:
    candidate = Candidate(stages or (Stage("a tea cup", 0.2), Stage(FULL)))
    nomination = Nomination(
        pair.key,
        model,
        "moce-fork",
        "clip:g@1",
        candidate,
        200,
        120,
        "found",
        given=("text model chat:w@localhost",),
        reference="k1:ab by other@2",
    )
    certificate = Certificate(
        nomination,
        "vqa:judge@1",
        SEEDS,
        unjudged=1,
        before=Rate(0.0, 0.0, 0.5, 3),
        after=Rate(1.0, 0.5, 1.0, 3),
        levels_before=LevelRange(4, 5),
        levels_after=LevelRange(1, 2),
        wins=15,
        losses=0,
        p=6.1e-5,
        anytime_p=4.8e-4,
        collateral=("the prompt is longer",),
    )
    one = RepairedPrompt(
        pair,
        certificate,
        Standing(True, 4, Expected(1.0, 0.9, 0.95)),
        num_inference_steps=20,
        guidance_scale=7.5,
        scheduler="DPMSolverMultistepScheduler",
        height=128,
        width=96,
        negative_prompt="glass, straw",
        seen=tuple(Seen(seed, 0.9, None if seed == SEEDS[2] else 0.25) for seed in SEEDS),
    )
    return replace(one, **changes)


def on_other_models(one: RepairedPrompt) -> RepairedPrompt:
    """The same with certificates on three models: it helps, harms, and does neither."""
    shown = (
        ("helps@1", Rate(0.1, 0.0, 0.4, 10), Rate(0.9, 0.6, 1.0, 10), 9, 1, 0.021, 0.048),
        ("harms@2", Rate(1.0, 0.7, 1.0, 10), Rate(0.2, 0.1, 0.5, 10), 0, 8, 0.0078, 0.022),
        ("neither@3", Rate(0.5, 0.2, 0.8, 10), Rate(0.6, 0.3, 0.8, 10), 2, 1, 1.0, 1.0),
    )
    elsewhere = tuple(
        replace(
            one.certificate,
            model=model,
            before=before,
            after=after,
            wins=wins,
            losses=losses,
            p=p,
            anytime_p=anytime_p,
            collateral=("iced coke is lost in 3 pictures that had it before",),
        )
        for model, before, after, wins, losses, p, anytime_p in shown
    )
    return replace(one, elsewhere=elsewhere, helps_on=("helps@1",))


HOSTILE = '=cmd|"/C calc"!A0, (red:1.4) [x|y] AND #no \\ "quo" \'ted\' é🍵 {brace} <lora:x:1> """'
ODD = ConceptPair(Concept("=2+3"), Concept("@sum"), '-1+1: odd; "names"')
MANY = [
    repaired(),
    repaired(Stage(HOSTILE), pair=ODD, negative_prompt="+plus", seen=()),
    on_other_models(
        repaired(Stage("one", 0.05), Stage("two", 0.35), Stage("three"), negative_prompt="")
    ),
]


def written(tmp_path: Path, format: str, many: list[RepairedPrompt] | None = None) -> Path:
    path = tmp_path / f"repaired{SUFFIXES[format]}"
    export(many or MANY, format, path)
    return path


# ── all of them ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_names_model_seeds_scores_and_certificate(tmp_path, format):
    path = written(tmp_path, format, [repaired()])
    content = path.read_bytes()
    if format == "parquet":
        content = json.dumps(pyarrow.parquet.read_table(path).to_pylist()).encode()
    for fact in (
        b"tiny@1",
        b"3221225472",
        b"3221225474",
        b"0.25",
        b"15 wins, 0 losses",
        b"but the prompt is longer",
        b"6.1e-05",
    ):
        assert fact in content, fact


@pytest.mark.parametrize("format", FORMATS)
def test_a_repair_that_did_not_pass_is_called_not_repaired(tmp_path, format):
    one = repaired()
    failed = replace(
        one,
        certificate=replace(one.certificate, wins=1, losses=1, p=1.0, anytime_p=1.0),
        standing=replace(one.standing, proved=False),
    )
    assert b"NOT repaired: 0% right before" in written(tmp_path, format, [failed]).read_bytes()


@pytest.mark.parametrize("format", FORMATS)
def test_a_repair_that_passes_alone_but_not_among_all_is_called_not_repaired(tmp_path, format):
    one = replace(repaired(), standing=Standing(False, 64, Expected(1.0, 0.3, 0.5)))
    content = written(tmp_path, format, [one]).read_bytes()
    assert b"NOT repaired among 64 certificates, though it passes alone: 0% right" in content


def test_records_tell_the_decision_among_all_from_the_one_alone():
    one = replace(repaired(), standing=Standing(False, 64, Expected(1.0, 0.3, 0.5)))
    told = record(one)
    assert (told["repaired"], told["passes_alone"], told["certificates"]) == (False, True, 64)
    assert (told["expected_gain"], told["expected_right"]) == (0.3, 0.5)
    assert (told["p"], told["anytime_p"]) == (6.1e-5, 4.8e-4)
    assert record(repaired())["repaired"]


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_to_export_is_a_sentence(tmp_path, format):
    with pytest.raises(ConfigError, match="lcmis repair"):
        export([], format, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_format_is_answered_with_near_ones(tmp_path):
    with pytest.raises(UnknownNameError, match="comfyui"):
        export(MANY, "comfy", tmp_path / "x")


def test_a_place_that_cannot_be_written_is_a_sentence_and_leaves_nothing(tmp_path):
    with pytest.raises(ConfigError, match="cannot be written"):
        export(MANY, "csv", tmp_path / "nowhere" / "x.csv")
    (tmp_path / "taken").mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        export(MANY, "csv", tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_certificate_of_another_pair_is_refused():
    with pytest.raises(ValueError, match="not about"):
        replace(repaired(), pair=ODD)


# ── tables ───────────────────────────────────────────────────────────────────────────────────────


def test_json_lines_read_back_as_they_were(tmp_path):
    lines = written(tmp_path, "jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [record(one) for one in MANY]


def test_parquet_reads_back_as_it_was(tmp_path):
    table = pyarrow.parquet.read_table(written(tmp_path, "parquet"))
    assert table.to_pylist() == [record(one) for one in MANY]
    frame = pandas.read_parquet(tmp_path / "repaired.parquet")
    assert frame["wins"].tolist() == [15, 15, 15]


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_tables_say_on_which_other_models_a_prompt_helps_or_harms_and_by_how_much(tmp_path, format):
    path = written(tmp_path, format, [on_other_models(repaired()), repaired()])
    match format:
        case "csv":
            rows = list(csv.DictReader(path.open(newline="")))
            for row in rows:
                row.update({n: json.loads(row[n]) for n in ("helps_on", "harms_on", "elsewhere")})
        case "jsonl":
            rows = [json.loads(line) for line in path.read_text().splitlines()]
        case _:
            rows = pyarrow.parquet.read_table(path).to_pylist()
    moved, alone = rows
    assert (moved["helps_on"], moved["harms_on"]) == (["helps@1"], ["harms@2"])
    assert [one["model"] for one in moved["elsewhere"]] == ["helps@1", "harms@2", "neither@3"]
    harm = moved["elsewhere"][1]
    assert (harm["before_right"], harm["after_right"], harm["after_total"]) == (1.0, 0.2, 10)
    assert (harm["after_low"], harm["after_high"]) == (0.1, 0.5)
    assert (harm["wins"], harm["losses"], harm["p"]) == (0, 8, 0.0078)
    assert harm["seeds"] == list(SEEDS)
    assert harm["collateral"] == ["iced coke is lost in 3 pictures that had it before"]
    assert alone["helps_on"] == alone["harms_on"] == alone["elsewhere"] == []


def test_a_certificate_of_another_candidate_is_no_certificate_elsewhere():
    one, other = repaired(), repaired(Stage("another"))
    with pytest.raises(ValueError, match="another candidate"):
        replace(one, elsewhere=(other.certificate,))


def test_a_column_has_its_type_also_where_it_is_empty(tmp_path):
    full = pyarrow.parquet.read_table(written(tmp_path, "parquet", MANY[:1])).schema
    empty = pyarrow.parquet.read_table(written(tmp_path, "parquet", MANY[1:2])).schema
    assert full == empty


def test_csv_reads_back_but_for_the_apostrophes(tmp_path):
    text = written(tmp_path, "csv").read_bytes().decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    for row, one in zip(rows, MANY, strict=True):
        for name, value in record(one).items():
            if isinstance(value, list):
                assert json.loads(row[name]) == value
            elif isinstance(value, str) and row[name] != value:
                assert row[name] == f"'{value}"
                assert value[0] in "=+-@"
            else:
                assert row[name] == str(value)
    assert rows[1]["a"] == "'=2+3"
    frame = pandas.read_csv(io.StringIO(text))
    assert frame["p"].tolist() == [6.1e-5] * 3


@given(st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip))
def test_no_csv_cell_begins_like_a_formula(prompt):
    text = FORMATS["csv"]([repaired(Stage(prompt), negative_prompt=prompt)]).decode()
    for row in csv.reader(io.StringIO(text, newline="")):
        for cell in row:
            assert cell.strip()[:1] not in ("=", "+", "-", "@")


# ── AUTOMATIC1111 ────────────────────────────────────────────────────────────────────────────────

PARAMETER = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


def parse_infotext(block: str) -> tuple[str, str, dict[str, str]]:
    """As that web interface takes a pasted text apart."""
    *lines, last = block.strip().split("\n")
    parameters = {
        name: json.loads(value) if value.startswith('"') else value
        for name, value in PARAMETER.findall(last)
    }
    positive, negative = [], None
    for line in lines:
        if line.startswith("Negative prompt:"):
            negative = line.removeprefix("Negative prompt:").strip()
        else:
            positive.append(line)
    return "\n".join(positive), negative or "", parameters


def at_step(text: str, step: int, steps: int) -> str:
    """What a prompt with ``[from:to:when]`` says at a step counted from 0; escapes resolved."""

    def read(position: int, closing: str) -> tuple[str, int]:
        said = ""
        while position < len(text) and text[position] not in closing:
            if text[position] == "\\":
                said += text[position + 1]
                position += 2
            elif text[position] == "[":
                before, position = read(position + 1, ":")
                after, position = read(position + 1, ":")
                when, position = read(position + 1, "]")
                switch = int(float(when) * steps) if float(when) < 1 else int(when)
                said += before if step < switch else after
                position += 1
            else:
                assert text[position] not in "()]|", text[position:]
                said += text[position]
                position += 1
        return said, position

    return read(0, "")[0]


def blocks(path: Path) -> list[str]:
    return path.read_text().split("\n\n")


def test_stages_are_prompt_editing(tmp_path):
    first, _, third = blocks(written(tmp_path, "a1111"))
    assert first.startswith("[a tea cup:a small cup of dark cola, with ice:0.2]\n")
    assert third.startswith("[one:[two:three:0.35]:0.05]\n")


@pytest.mark.parametrize("steps", [1, 4, 12, 20, 28, 50, 100])
def test_prompt_editing_switches_at_the_same_step_as_ours(steps):
    ends = [0.01, 0.05, 0.07, 0.1, 0.29, 0.33, 0.58, 0.7, 0.995]
    for end, later in zip(ends, [*ends[1:], 0.999], strict=True):
        stages = (Stage("one", end), Stage("two", later), Stage("three"))
        one = repaired(*stages, num_inference_steps=steps)
        text, _, _ = parse_infotext(FORMATS["a1111"]([one]).decode())
        for step in range(steps):
            ruling = [prompt for start, prompt in one.starts() if start <= step][-1]
            assert at_step(text, step, steps) == ruling


def test_parameters_are_read_back(tmp_path):
    positive, negative, parameters = parse_infotext(blocks(written(tmp_path, "a1111"))[0])
    assert at_step(positive, 0, 20) == "a tea cup"
    assert negative == "glass, straw"
    assert parameters == {
        "Steps": "20",
        "Sampler": "DPM++ 2M",
        "CFG scale": "7.5",
        "Seed": "3221225472",
        "Size": "96x128",
        "Model": "tiny@1",
        "Original prompt": "a tea cup of iced coke",
        "Certificate": MANY[0].summary(),
        "Seeds": "3221225472, 3221225473, 3221225474",
        "Scores": "3221225472 0.900 0.250; 3221225473 0.900 0.250; 3221225474 0.900 not scored",
    }


def test_letters_that_mean_something_there_are_only_letters(tmp_path):
    positive, _, _ = parse_infotext(blocks(written(tmp_path, "a1111"))[1])
    said = HOSTILE.replace("AND #no", "and no")
    assert at_step(positive, 0, 20) == said
    assert "<lora:" not in positive
    assert "#" not in positive


@given(st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip))
def test_any_prompt_is_one_block_that_reads_back(prompt):
    text = FORMATS["a1111"]([repaired(Stage(prompt), negative_prompt=prompt)]).decode()
    positive, negative, parameters = parse_infotext(text)
    expected = " ".join(prompt.replace("#", " ").split())
    assert at_step(positive, 0, 20).casefold() == expected.casefold()
    assert at_step(negative, 0, 20).casefold() == expected.casefold()
    assert parameters["Steps"] == "20"


# ── ComfyUI ──────────────────────────────────────────────────────────────────────────────────────

SAMPLERS = {
    "euler", "euler_ancestral", "heun", "dpm_2", "dpm_2_ancestral", "lms", "dpmpp_sde", "dpmpp_2m",
    "ddpm", "lcm", "ddim", "uni_pc",
}  # fmt: skip
SCHEDULERS = {"normal", "karras", "exponential", "sgm_uniform", "simple", "ddim_uniform"}
NODES = {  # from the public node definitions: inputs with their types and bounds; outputs
    "CheckpointLoaderSimple": ({"ckpt_name": str}, ("MODEL", "CLIP", "VAE")),
    "CLIPTextEncode": ({"text": str, "clip": "CLIP"}, ("CONDITIONING",)),
    "ConditioningSetTimestepRange": (
        {"conditioning": "CONDITIONING", "start": (float, 0, 1), "end": (float, 0, 1)},
        ("CONDITIONING",),
    ),
    "ConditioningCombine": (
        {"conditioning_1": "CONDITIONING", "conditioning_2": "CONDITIONING"},
        ("CONDITIONING",),
    ),
    "EmptyLatentImage": (
        {"width": (int, 16, 16384), "height": (int, 16, 16384), "batch_size": (int, 1, 4096)},
        ("LATENT",),
    ),
    "KSampler": (
        {
            "model": "MODEL",
            "seed": (int, 0, 2**64 - 1),
            "steps": (int, 1, 10000),
            "cfg": (float, 0, 100),
            "sampler_name": SAMPLERS,
            "scheduler": SCHEDULERS,
            "positive": "CONDITIONING",
            "negative": "CONDITIONING",
            "latent_image": "LATENT",
            "denoise": (float, 0, 1),
        },
        ("LATENT",),
    ),
    "VAEDecode": ({"samples": "LATENT", "vae": "VAE"}, ("IMAGE",)),
    "SaveImage": ({"images": "IMAGE", "filename_prefix": str}, ()),
}


def validate(graph: dict) -> None:
    for name, node in graph.items():
        inputs, _ = NODES[node["class_type"]]
        assert set(node["inputs"]) == set(inputs), name
        for field, wanted in inputs.items():
            value = node["inputs"][field]
            if isinstance(wanted, str):
                source, slot = value
                assert NODES[graph[source]["class_type"]][1][slot] == wanted, (name, field)
            elif isinstance(wanted, tuple):
                kind, low, high = wanted
                assert type(value) is kind, (name, field)
                assert low <= value <= high, (name, field)
            elif isinstance(wanted, set):
                assert value in wanted, (name, field)
            else:
                assert type(value) is wanted, (name, field)


def test_the_graph_is_one_that_its_nodes_accept(tmp_path):
    graph = json.loads(written(tmp_path, "comfyui").read_text())
    validate(graph)
    kinds = [node["class_type"] for node in graph.values()]
    assert kinds.count("CheckpointLoaderSimple") == 1
    assert kinds.count("SaveImage") == kinds.count("KSampler") == 3
    assert kinds.count("ConditioningSetTimestepRange") == 5
    assert kinds.count("ConditioningCombine") == 3


@pytest.mark.parametrize("steps", [1, 4, 12, 20, 50])
def test_exactly_one_stage_of_the_graph_rules_at_every_step_and_it_is_ours(steps):
    stages = (Stage("one", 0.1), Stage("two", 0.34), Stage("three"))
    one = repaired(*stages, num_inference_steps=steps)
    graph = json.loads(FORMATS["comfyui"]([one]))
    validate(graph)
    ranges = [n["inputs"] for n in graph.values() if n["class_type"].endswith("TimestepRange")]
    if not ranges:  # too few steps for more than one stage
        assert len(one.starts()) == 1
        return
    for step in range(steps):
        ruling = [one for one in ranges if one["start"] <= step / steps <= one["end"]]
        (text,) = (graph[one["conditioning"][0]]["inputs"]["text"] for one in ruling)
        assert text == [prompt for start, prompt in one.starts() if start <= step][-1]


def test_a_prompt_in_the_graph_is_the_prompt(tmp_path):
    graph = json.loads(written(tmp_path, "comfyui").read_text())
    texts = {n["inputs"]["text"] for n in graph.values() if n["class_type"] == "CLIPTextEncode"}
    assert {HOSTILE, FULL, "a tea cup", "+plus", ""} <= texts
    (drawn,) = (n for n in graph.values() if n["_meta"].get("lcmis", {}).get("pair") == ODD.key)
    assert drawn["_meta"]["lcmis"] == record(MANY[1])


# ── diffusers ────────────────────────────────────────────────────────────────────────────────────

STEPS = 6
STAGED = (Stage("a tea cup", 0.34), Stage("a glass", 0.67), Stage("iced coke in it"))
CASES = {  # family: stages, settings
    "sd": (STAGED, {"negative_prompt": "straw"}),
    "sd plain": ((Stage("a tea cup of iced coke"),), {}),
    "sd heun": (STAGED, {"scheduler": "HeunDiscreteScheduler"}),
    "sdxl": (STAGED, {}),
    "sd3": (STAGED, {}),
    "flux": (STAGED[1:], {}),
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> tuple[dict[str, Image.Image], dict[str, Image.Image]]:
    """The same pictures, ours and the script's, in the order of the cases."""
    from lcmis.plugins.settings import ModelSettings
    from lcmis.render.diffusion import DiffusersModel

    root = tmp_path_factory.mktemp("export")
    ours, many = {}, []
    for name, (stages, changes) in CASES.items():
        folder = root / name.split()[0]
        if not folder.exists():
            tiny_pipelines.save(folder.name, folder)
        settings = ModelSettings(
            str(folder), num_inference_steps=STEPS, height=64, width=64, batch_size=2, **changes
        )
        model = DiffusersModel(settings)
        spec = model.spec(stages, SEEDS[1])
        last_alone = model.spec((Stage(stages[-1].prompt),), SEEDS[1])
        ours[name], alone = model.generate([spec, last_alone])
        if len(stages) > 1:  # else nothing would be proved
            assert np.abs(np.asarray(ours[name], int) - np.asarray(alone, int)).max() > 4
        many.append(
            repaired(
                *stages,
                model=model.model_id,
                source=str(folder),
                num_inference_steps=STEPS,
                guidance_scale=spec.guidance_scale,
                scheduler=spec.scheduler,
                height=64,
                width=64,
                negative_prompt=spec.negative_prompt,
            )
        )
    script = root / "repaired.py"
    export([*many, repaired(Stage(HOSTILE), pair=ODD)], "diffusers", script)
    asked = [sys.executable, str(script), "--device", "cpu", "--seeds", str(SEEDS[1])]
    asked += ["--output", str(root / "out"), "--only", *map(str, range(len(many)))]
    told = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    subprocess.run(asked, check=True, cwd=root, env=os.environ | told)
    theirs = {
        name: Image.open(root / "out" / f"{number:03d}-{SEEDS[1]}.png")
        for number, name in enumerate(CASES)
    }
    return ours, theirs


@pytest.mark.parametrize("name", CASES)
def test_the_script_alone_draws_our_picture(drawn, name):
    ours, theirs = (np.asarray(pictures[name], dtype=int) for pictures in drawn)
    assert ours.std() > 1
    assert np.abs(ours - theirs).max() <= 2


def test_the_script_reads_nothing_of_lcmis(tmp_path):
    text = written(tmp_path, "diffusers").read_text()
    assert not re.search(r"^\s*(import|from) lcmis", text, re.MULTILINE)


@given(st.text(min_size=1).filter(str.strip))
def test_no_prompt_breaks_out_of_the_script(prompt):
    pair = ConceptPair(Concept("a"), Concept("b"), prompt)
    text = FORMATS["diffusers"]([repaired(Stage(prompt), pair=pair, negative_prompt=prompt)])
    names = {}
    source = text.decode()
    head = source[source.index("REPAIRED =") : source.index("\nTEXT = ")]
    compile(source, "repaired.py", "exec")
    exec(head, names)
    assert names["REPAIRED"][0]["prompt"] == prompt
    assert names["REPAIRED"][0]["original_prompt"] == prompt


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("profile", ["service", "file", "cuda", "my-own-profile"])
def test_a_repair_is_exported_whoever_drew_it(tmp_path, format, profile):
    one = repaired(Stage("a small cup of cold cola"))
    spec = RenderSpec("m@1", one.stages, 0, 4, 3.0, "service", 8, 8, profile)
    found = RepairFinding(one.pair, one.certificate, spec, (), one.standing)
    assert repaired_prompt(found).dtype == "float32"
    assert one.pair.prompt in written(tmp_path, format, [repaired_prompt(found)]).read_text(
        "latin1"
    )


def test_the_number_format_of_a_repair_is_the_one_it_was_drawn_in():
    one = repaired(Stage("a small cup of cold cola"))
    spec = RenderSpec("m@1", one.stages, 0, 4, 3.0, "Euler", 8, 8, "cuda-b1", dtype="float16")
    assert (
        repaired_prompt(RepairFinding(one.pair, one.certificate, spec, (), one.standing)).dtype
        == "float16"
    )
