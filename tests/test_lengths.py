"""How much of a prompt a pipeline reads: its template counted, and what it cuts by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from worlds import zoo

from lcmis.render.kinds import PipelineKind
from lcmis.render.lengths import Lengths
from lcmis.render.pipeline_folder import PipelineFolder

LONG = "a red cup of cold water on a wooden table " * 60


@pytest.fixture(scope="module")
def lengths(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Lengths]:
    root = tmp_path_factory.mktemp("lengths")

    def of(name: str) -> Lengths:
        path = root / name
        folder = PipelineFolder(path if path.exists() else zoo.save(name, path), "MODEL")
        family = zoo.FAMILIES[name]
        arguments = PipelineKind(folder).arguments(
            family.guidance or 0.0, family.steps, family.size, family.size
        )
        return Lengths(folder, arguments)

    return of


@pytest.mark.parametrize(
    ("name", "longest", "said"),
    [
        # 165 letters of system prompt and a start token go before it; one token a letter
        ("lumina2", 91, "has 257 tokens and MODEL reads 256, what its pipeline puts around it"),
        # its tokenizer is told 1058; 512 of what the encoder said reach the denoiser
        ("qwen-image", 397, "is longer than what MODEL reads: the end would be cut off"),
        ("longcat-image", 512, "is longer than what MODEL reads: the end would be cut off"),
        ("ideogram4", 2029, "is more than MODEL reads (prompt has 2049 tokens, exceeds"),
        ("hunyuandit", 254, "has 257 tokens and MODEL reads 256, start and end included"),
    ],
)
def test_the_longest_prompt_is_read_and_one_letter_more_is_not(
    name: str, longest: int, said: str, lengths: Callable[[str], Lengths]
) -> None:
    tells = lengths(name)
    assert tells.cut(LONG[: longest - 1] + "x") == ""
    assert tells.cut(LONG[:longest] + "x").startswith(said)


def test_a_negative_prompt_is_measured_as_the_pipeline_reads_it(
    lengths: Callable[[str], Lengths],
) -> None:
    tells = lengths("sana")
    assert tells.cut(LONG[:297] + "x") == ""  # with an instruction of a thousand letters before it
    assert tells.cut(LONG[:297] + "x", "a cup") == ""  # with none
    assert "reads 300, start and end" in tells.cut(LONG[:300] + "x", "a cup")


def test_a_negative_prompt_that_is_cut_to_the_length_of_the_prompt_is_refused(
    lengths: Callable[[str], Lengths],
) -> None:
    tells = lengths("kandinsky3")
    assert tells.cut("a red glass", "two dogs") == (
        "is longer than what MODEL reads beside such a prompt: the end would be cut off"
    )
    assert tells.cut("a red glass", "two dogs on a boat") == ""
    assert tells.cut(" ", "two dogs") == ""


def test_every_class_that_draws_from_words_is_in_the_zoo_or_left_out_for_a_reason(
    tmp_path: Path,
) -> None:
    from lcmis.errors import ConfigError
    from lcmis.render.pipeline_folder import _diffusers_names

    draws = set()
    for name in _diffusers_names("Pipeline"):
        (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": name}))
        try:
            PipelineKind(PipelineFolder(tmp_path, name))
        except ConfigError:
            continue
        draws.add(name)
    root = Path(__file__).parent / "worlds" / "zoo"
    built = {
        name
        for name in draws
        if any(f"    {name},\n" in file.read_text() for file in root.glob("*_families.py"))
        or f"    {name},\n" in (root / "cascades.py").read_text()
    }
    assert draws - built == set(zoo.UNBUILT)
