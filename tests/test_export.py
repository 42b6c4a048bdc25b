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
from itertools import pairwise
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
from lcmis.export.formats import export, open_exporter
from lcmis.export.repaired import RepairedPrompt, repaired_prompt
from lcmis.export.tables import record
from lcmis.findings import RepairFinding
from lcmis.plugins import registry
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
    path = tmp_path / f"repaired{open_exporter(format).suffix}"
    export(many or MANY, format, path)
    return path


# ── all of them ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("format", registry.names("exporters"))
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


@pytest.mark.parametrize("format", registry.names("exporters"))
def test_a_repair_that_did_not_pass_is_called_not_repaired(tmp_path, format):
    one = repaired()
    failed = replace(
        one,
        certificate=replace(one.certificate, wins=1, losses=1, p=1.0, anytime_p=1.0),
        standing=replace(one.standing, proved=False),
    )
    assert b"NOT repaired: 0% right before" in written(tmp_path, format, [failed]).read_bytes()


@pytest.mark.parametrize("format", registry.names("exporters"))
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


@pytest.mark.parametrize("format", registry.names("exporters"))
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
    text = open_exporter("csv").write([repaired(Stage(prompt), negative_prompt=prompt)]).decode()
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


def literal(text: str) -> str:
    """What AUTOMATIC1111's ``parse_prompt_attention`` reads, where nothing has a weight."""
    said = ""
    for token in re.findall(r"\\[()\[\]\\]|\\|[^\\()\[\]:]+|:|[()\[\]]", text):
        assert token not in tuple("()[]"), text
        said += token.removeprefix("\\") if token != "\\\\" else "\\"
        assert "BREAK" not in re.findall(r"\w+", token), text
    return said


def taken_apart(text: str, position: int = 0, closing: str = "") -> tuple[list, int]:
    """A prompt as text and ``(before, after, when)``, escapes kept."""
    parts: list = []
    while position < len(text) and (not closing or text[position] not in closing):
        if text[position] == "\\":
            parts.append(text[position : position + 2])
            position += 2
        elif text[position] == "[":
            before, position = taken_apart(text, position + 1, ":")
            after, position = taken_apart(text, position + 1, ":")
            when, position = taken_apart(text, position + 1, "]")
            parts.append((before, after, "".join(when)))
            position += 1
        else:
            assert text[position] not in "()]|", text[position:]
            parts.append(text[position])
            position += 1
    return parts, position


def told_at_each_call(text: str, steps: int, calls: int) -> list[str]:
    """AUTOMATIC1111 1.10.1: a schedule of texts, each up to a call, then looked up call by call.

    Its rule: a number with a point is a share of the steps, else it is one of them; cut to whole
    ones it is where a text ends, if it is 1 or more; a call reads the first text that ends at it or
    later.
    """
    tree, _ = taken_apart(text)

    def number(when: str) -> int:
        return min(steps, int(float(when) * (steps if "." in when else 1)))

    def ends(parts: list) -> set[int]:
        found = set()
        for part in parts:
            if isinstance(part, tuple):
                before, after, when = part
                found |= (
                    ends(before) | ends(after) | ({number(when)} if number(when) >= 1 else set())
                )
        return found

    def at(parts: list, step: int) -> str:
        return "".join(
            part
            if isinstance(part, str)
            else at(part[0] if step <= number(part[2]) else part[1], step)
            for part in parts
        )

    schedule = sorted({steps, *ends(tree)})
    assert not re.search(r"\bAND\b", text)
    assert not re.search(r"<\w+:[^>]+>", text)
    texts = [
        at(tree, next((end for end in schedule if call <= end), schedule[0]))
        for call in range(calls)
    ]
    return [literal(text) for text in texts]


def at_step(text: str, step: int, steps: int) -> str:
    return told_at_each_call(text, steps, step + 1)[step]


def blocks(path: Path) -> list[str]:
    return path.read_text().split("\n\n")


def test_stages_are_prompt_editing(tmp_path):
    first, _, third = blocks(written(tmp_path, "a1111"))
    assert first.startswith("[a tea cup:a small cup of dark cola, with ice:3]\n")
    assert third == (
        "# left out: 'a tea cup of iced coke' for tiny@1: 'one' rules one call of the denoiser "
        "alone, and the shortest that AUTOMATIC1111 can say is two\n"
    )


SCHEDULERS_THERE = {
    "EulerDiscreteScheduler": {},
    "DPMSolverMultistepScheduler": {},
    "UniPCMultistepScheduler": {},
    "HeunDiscreteScheduler": {},
    "KDPM2DiscreteScheduler": {},
    "PNDMScheduler": {"skip_prk_steps": True},
}


def stages_from(first: int, steps: int) -> list[Stage]:
    """A stage up to that step, and one for every step from there on."""
    ends = [*range(first, steps), steps]
    return [Stage(f"text {end}", end / steps) for end in ends]


@pytest.mark.parametrize("scheduler", SCHEDULERS_THERE)
def test_prompt_editing_switches_at_the_call_at_which_ours_does(scheduler):
    import diffusers

    from lcmis.render.stages import step_of
    from lcmis.types import stage_starts

    ours = getattr(diffusers, scheduler)(**SCHEDULERS_THERE[scheduler])
    twice = scheduler in ("HeunDiscreteScheduler", "KDPM2DiscreteScheduler")
    said = set()
    for steps in range(2, 61):
        ours.set_timesteps(steps)
        timesteps = ours.timesteps.tolist()
        calls = [step_of(one, timesteps, steps) for one in timesteps]
        for first in (1, 2):
            stages = stages_from(first, steps)
            starts = stage_starts(stages, steps)
            ruling = [starts[max(s for s in starts if s <= call)].prompt for call in calls]
            one = repaired(*stages, num_inference_steps=steps, scheduler=scheduler)
            text = open_exporter("a1111").write([one]).decode()
            if text.startswith("# left out: "):
                assert (first, ruling.count(f"text {first}")) == (1, 1)
                continue
            said.add((first, steps))
            positive, _, _ = parse_infotext(text)
            assert told_at_each_call(positive, steps * (1 + twice), len(calls)) == ruling
    # KDPM2 asks twice in its first step, so that even one step can be said
    firsts = (1, 2) if scheduler == "KDPM2DiscreteScheduler" else (2,)
    assert said == {(first, steps) for steps in range(2, 61) for first in firsts}


def test_one_repair_that_cannot_be_said_is_named_and_none_is_refused(tmp_path):
    found = export(MANY, "a1111", tmp_path / "x.txt")
    assert found.num_repairs == 2
    (sentence,) = found.left_out
    assert "'one' rules one call" in sentence
    assert found.notes == ("# begins a comment in AUTOMATIC1111, so it is taken out of the prompt",)
    with pytest.raises(ConfigError, match=r"'one' rules one call .* export to another format"):
        export(MANY[2:], "a1111", tmp_path / "y.txt")
    assert not (tmp_path / "y.txt").exists()
    assert export(MANY, "csv", tmp_path / "x.csv").num_repairs == 3


@pytest.mark.parametrize("scheduler", ["DEISMultistepScheduler", "SASolverScheduler"])
def test_a_scheduler_without_a_name_elsewhere_is_left_out_and_said(tmp_path, scheduler):
    one = repaired(scheduler=scheduler)
    found = export([one], "a1111", tmp_path / "x.txt")
    _, _, parameters = parse_infotext((tmp_path / "x.txt").read_text())
    assert not {"Sampler", "Schedule type"} & set(parameters)
    assert parameters["Left out"] == found.notes[0]
    assert scheduler in found.notes[0]
    (note,) = export([one], "comfyui", tmp_path / "x.json").notes
    assert note == f"{scheduler} has no name in ComfyUI: euler stands in its place"
    assert note in (tmp_path / "x.json").read_text()


def test_parameters_are_read_back(tmp_path):
    positive, negative, parameters = parse_infotext(blocks(written(tmp_path, "a1111"))[0])
    assert at_step(positive, 0, 20) == "a tea cup"
    assert negative == "glass, straw"
    assert parameters == {
        "Steps": "20",
        "Sampler": "DPM++ 2M",
        "Schedule type": "SGM Uniform",
        "CFG scale": "7.5",
        "Seed": "3221225472",
        "Size": "96x128",
        "Model": "tiny@1",
        "RNG": "CPU",
        "Original prompt": "a tea cup of iced coke",
        "Certificate": MANY[0].summary(),
        "Seeds": "3221225472, 3221225473, 3221225474",
        "Scores": "3221225472 0.900 0.250; 3221225473 0.900 0.250; 3221225474 0.900 not scored",
    }


def test_letters_that_mean_something_there_are_only_letters(tmp_path):
    positive, _, _ = parse_infotext(blocks(written(tmp_path, "a1111"))[1])
    assert at_step(positive, 0, 20) == HOSTILE.replace("#", "")
    assert "<lora:" not in positive
    assert "#" not in positive


SYNTAX = r"( ) [ ] \ : | # AND BREAK <lora:x:1> { } // /* */ embedding: (3:15) \( \)"
MARKED = st.lists(
    st.one_of(
        st.sampled_from([*SYNTAX.split(), " ", "\n", "\t", "\0\1", "\0"]),
        st.text(st.characters(codec="utf-8"), min_size=1),
    ),
    min_size=1,
).map("".join)
MARKED = MARKED.filter(str.strip)
"""Prompts, and what other programs take for more than letters."""


@given(MARKED)
def test_any_prompt_is_one_block_that_reads_back(prompt):
    text = open_exporter("a1111").write([repaired(Stage(prompt), negative_prompt=prompt)]).decode()
    positive, negative, parameters = parse_infotext(text)
    expected = " ".join(prompt.replace("#", " ").split())
    assert at_step(positive, 0, 20) == expected
    assert literal(negative) == expected
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
    "PrimitiveStringMultiline": ({"value": str}, ("STRING",)),
    "SaveImage": ({"images": "IMAGE", "filename_prefix": str}, ()),
}


def validate(graph: dict) -> None:
    for name, node in graph.items():
        inputs, _ = NODES[node["class_type"]]
        assert set(node["inputs"]) == set(inputs), name
        for field, wanted in inputs.items():
            value = node["inputs"][field]
            if wanted is str and isinstance(value, list):
                wanted = "STRING"
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


def text_of(graph: dict, node: str) -> str:
    """What a node encodes: its own text, or that of the node it is linked to."""
    text = graph[node]["inputs"]["text"]
    return text if isinstance(text, str) else graph[text[0]]["inputs"]["value"]


class Discrete:
    """ComfyUI's ``ModelSamplingDiscrete`` of Stable Diffusion."""

    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    sigmas = np.sqrt(1 / np.cumprod(1 - betas) - 1)

    def sigma(self, timestep):
        return np.exp(np.interp(timestep, np.arange(1000), np.log(self.sigmas)))

    def timesteps(self, count):
        return np.linspace(999, 0, count + 1)[:-1]

    def at(self, share):
        return 1e9 if share <= 0 else 0.0 if share >= 1 else self.sigma((1 - share) * 999)

    def between(self, first, second):
        return np.sqrt(first * second)


class Shifted(Discrete):
    """ComfyUI's ``ModelSamplingDiscreteFlow``: 1000 timesteps, their sigmas shifted."""

    def __init__(self, shift):
        self.shift = shift

    def sigma(self, timestep):
        share = np.asarray(timestep) / 1000
        return self.shift * share / (1 + (self.shift - 1) * share)

    def timesteps(self, count):
        return np.linspace(1000, self.sigma(1) * 1000, count + 1)[:-1]

    def at(self, share):
        return 1.0 if share <= 0 else 0.0 if share >= 1 else self.sigma((1 - share) * 1000)


FAMILIES = {"discrete": Discrete(), "SD3": Shifted(3.0), "unshifted": Shifted(1.0)}
DROPS = {"dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2"}


def calls_there(family: Discrete, sampler: str, steps: int) -> list[tuple[int, float]]:
    """The step and sigma of each call of the denoiser, by ComfyUI's samplers and sgm_uniform."""
    sigmas = [*family.sigma(family.timesteps(steps + (sampler in DROPS))), 0.0]
    if sampler in DROPS:
        del sigmas[-2]
    found = []
    for step, (sigma, following) in enumerate(pairwise(sigmas)):
        found.append((step, sigma))
        if following == 0:
            break
        if sampler == "heun":
            found.append((step + 1, following))
        elif sampler in ("dpm_2", "dpmpp_sde"):
            found.append((step, family.between(sigma, following)))
    return found


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("scheduler", "sampler"),
    [
        ("EulerDiscreteScheduler", "euler"),
        ("DDIMScheduler", "ddim"),
        ("DPMSolverMultistepScheduler", "dpmpp_2m"),
        ("UniPCMultistepScheduler", "uni_pc"),
        ("KDPM2DiscreteScheduler", "dpm_2"),
        ("KDPM2AncestralDiscreteScheduler", "dpm_2_ancestral"),
        ("HeunDiscreteScheduler", "heun"),
        ("DPMSolverSDEScheduler", "dpmpp_sde"),
        ("PNDMScheduler", "euler"),
    ],
)
def test_exactly_one_stage_of_the_graph_rules_at_every_call_and_it_is_ours(
    family, scheduler, sampler
):
    place = FAMILIES[family]
    for steps in range(1, 61):
        stages = stages_from(1, steps)
        one = repaired(*stages, num_inference_steps=steps, scheduler=scheduler)
        graph = json.loads(open_exporter("comfyui").write([one]))
        (drawn,) = (n["inputs"] for n in graph.values() if n["class_type"] == "KSampler")
        assert (drawn["sampler_name"], drawn["scheduler"]) == (sampler, "sgm_uniform")
        ranges = [
            (place.at(n["inputs"]["start"]), place.at(n["inputs"]["end"]), n["inputs"])
            for n in graph.values()
            if n["class_type"] == "ConditioningSetTimestepRange"
        ]
        assert len(ranges) == (steps if steps > 1 else 0)
        for of_step, sigma in calls_there(place, sampler, steps) if ranges else ():
            ruling = [i for start, end, i in ranges if not (sigma > start or sigma < end)]
            (text,) = (text_of(graph, i["conditioning"][0]) for i in ruling)
            assert text == stages[of_step].prompt, (steps, of_step)


def weighed(text: str) -> list[tuple[str, float]]:
    """ComfyUI's ``token_weights``: brackets are weights, unless a backslash stands before them."""

    def parts(text: str, weight: float) -> list[tuple[str, float]]:
        found, depth, begun = [], 0, 0
        for place, letter in enumerate(text):
            if letter == "(":
                if depth == 0:
                    found.append((text[begun:place], weight))
                    begun = place
                depth += 1
            elif letter == ")":
                depth -= 1
                if depth == 0:
                    inner, colon, number = text[begun + 1 : place].rpartition(":")
                    try:
                        of_inner = float(number) if colon else 1.1 * weight
                    except ValueError:
                        of_inner = 1.1 * weight
                    found += parts(inner if colon else number, of_inner)
                    begun = place + 1
        return [one for one in (*found, (text[begun:], weight)) if one[0]]

    escaped = text.replace("\\)", "\0\1").replace("\\(", "\0\2")
    return [
        (said.replace("\0\1", ")").replace("\0\2", "("), weight)
        for said, weight in parts(escaped, 1.0)
    ]


def of_the_page(text: str, chosen: int = -1) -> str:
    """What ComfyUI's page makes of a text field that takes choices and comments."""
    text = re.sub(r"/\*[\s\S]*?\*/|//.*", "", text)
    said, place = "", 0
    while place < len(text):
        if text[place] == "\\":
            said += text[place : place + 2] if place + 1 < len(text) else "\\undefined"
            place += 2
        elif text[place] == "{":
            end = text.find("}", place)
            end = len(text) if end < 0 else end
            said += of_the_page(text[place + 1 : end].split("|")[chosen])
            place = end + 1
        else:
            said += text[place]
            place += 1
    return re.sub(r"\\([{}|])", r"\1", said)


@pytest.mark.parametrize(
    "prompt",
    [
        "a tea cup (small)",
        "a clock (3:15)",
        "((a)) (b:2) c) (d",
        "back \\ slash \\( and \\) end \\",
        "embedding:nice a cup embedding:other.pt, xembedding:no",
        "{a|b} // c /* d */ \\{e\\}",
        "control \0\1 \0\2 \0",
    ],
)
def test_a_graph_draws_every_prompt_with_weight_one_throughout(prompt):
    graph_says(prompt)


@given(MARKED)
def test_a_graph_draws_any_prompt_with_weight_one_throughout(prompt):
    graph_says(prompt)


def graph_says(prompt: str) -> None:
    """Every text of a graph is read there as we read it, weight 1, no file named."""
    one = repaired(Stage(prompt, 0.4), Stage(f"{prompt} too"), negative_prompt=prompt)
    graph = json.loads(open_exporter("comfyui").write([one]))
    validate(graph)
    nodes = [name for name, n in graph.items() if n["class_type"] == "CLIPTextEncode"]
    for name, said in zip(nodes, (prompt, f"{prompt} too", prompt), strict=True):
        text = text_of(graph, name)
        if isinstance(graph[name]["inputs"]["text"], str):
            assert of_the_page(text) == text
        read = weighed(text)
        assert {weight for _, weight in read} <= {1.0}
        whole = "".join(part for part, _ in read)
        assert not whole.startswith("embedding:")
        assert len(re.split(r"(?<=\s)embedding:", whole)) == 1
        expected = said.replace("\0", "")
        assert whole.replace("embedding :", "embedding:") == expected.replace(
            "embedding :", "embedding:"
        )


def test_a_graph_keeps_what_is_no_syntax_letter_for_letter(tmp_path):
    graph = json.loads(written(tmp_path, "comfyui").read_text())
    texts = {text_of(graph, k) for k, n in graph.items() if n["class_type"] == "CLIPTextEncode"}
    assert {FULL, "a tea cup", "+plus", ""} <= texts
    assert HOSTILE.replace("(", "\\(").replace(")", "\\)") in texts
    (drawn,) = (n for n in graph.values() if n["_meta"].get("lcmis", {}).get("pair") == ODD.key)
    assert drawn["_meta"]["lcmis"] == record(MANY[1]) | {"notes": []}


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


@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                ['"', "'", '"""', "'''", "\\", "{", "}", "{data}", "\n", "\r", "\0", "%s"]
            ),
            st.text(min_size=1),
        ),
        min_size=1,
    )
    .map("".join)
    .filter(str.strip)
)
def test_no_prompt_breaks_out_of_the_script(prompt):
    pair = ConceptPair(Concept("a"), Concept("b"), prompt)
    one = repaired(
        Stage(prompt), pair=pair, negative_prompt=prompt, source=prompt, scheduler=prompt
    )
    text = open_exporter("diffusers").write([one])
    names = {}
    source = text.decode()
    head = source[source.index("REPAIRED =") : source.index("\nTEXT = ")]
    compile(source, "repaired.py", "exec")
    exec(head, names)
    assert names["REPAIRED"] == [record(one)]


@pytest.mark.parametrize("format", registry.names("exporters"))
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
