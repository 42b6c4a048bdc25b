"""How vision-language models are asked, what they need to load, and what they cannot take in."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    BitsAndBytesConfig,
    TorchAoConfig,
)
from worlds import tiny_checkers, tiny_vlms

from lcmis.check import quantised, questions_of, shared_prefix, vlm
from lcmis.check.quantised import NEEDS, quantised_by, refuse_lacking
from lcmis.check.templates import Asking, manner_of, thought_switches
from lcmis.check.vqa import VqaChecker
from lcmis.errors import CheckError, ConfigError
from lcmis.machine import tokenizers
from lcmis.plugins.opening import open_checker
from lcmis.plugins.settings import CheckerSettings
from lcmis.testing import contract_pair, contract_pictures
from lcmis.types import Answer, Question, QuestionKind

PLAIN = (
    "{% for m in messages %}{{ m['role'] }}: {% for part in m['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}\n"
    "{% endfor %}{% if add_generation_prompt %}assistant: "
)
ODD = ("qwen2_5_vl", "llava", "idefics3", "mistral3", "lfm2_vl")
CUP = Question(QuestionKind.A_PRESENT, "cup")


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkers.tiny_llava(tmp_path_factory.mktemp("vlm") / "llava")


@pytest.fixture
def copied(llava: Path, tmp_path: Path) -> Callable[..., Path]:
    """A folder of one's own, with another chat template or configuration."""

    def copy(template: str = "", **config: Any) -> Path:
        folder = Path(shutil.copytree(llava, tmp_path / "llava"))
        if template:
            (folder / "chat_template.jinja").write_text(template, "utf-8")
        said = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**said, **config}))
        return folder

    return copy


def checker(folder: Path, **settings: Any) -> VqaChecker:
    return VqaChecker(CheckerSettings("vqa", str(folder), **{"device": "cpu", **settings}))


def asked_of(folder: Path, text: str = "a cup?") -> str:
    """What a model reads when it is asked."""
    config = json.loads((folder / "config.json").read_text())
    processor = AutoProcessor.from_pretrained(folder)
    inputs = Asking(processor, manner_of(folder, "it", config))([contract_pictures()[0]], [text])
    return "".join(processor.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0].tolist()))


# ── thinking ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("said", "switches"),
    [
        ("{% if enable_thinking is defined and enable_thinking is false %}x{% endif %}", False),
        ("{% if thinking %}x{% endif %}", False),
        ("{% if not (thinking | default(true)) %}x{% endif %}", False),
        ("{% if thinking_mode == 'off' %}x{% elif thinking_mode == 'on' %}y{% endif %}", "off"),
        ("{% if reasoning_effort in ['high', 'none'] %}x{% endif %}", "none"),
        ("{% if thinking_budget == 0 %}x{% endif %}", 0),
        ("{% set thinking = thinking | default(true) %}{{ thinking }}", False),
    ],
)
def test_the_variable_that_a_template_tests_is_turned_off(said: str, switches: Any) -> None:
    (found,) = thought_switches(said).values()
    assert found == switches
    assert type(found) is type(switches)


@pytest.mark.parametrize(
    "said",
    [
        "{{ messages }}",
        "{% set thought = messages[0] %}{{ thought.reasoning_content }}",
        "{% if reasoning_effort == 'high' %}x{% elif reasoning_effort == 'max' %}y{% endif %}",
        "{% if broken",
    ],
)
def test_a_template_without_a_switch_for_thinking_gets_none(said: str) -> None:
    assert thought_switches(said) == {}


@pytest.mark.parametrize(
    ("opens", "closed"),
    [
        ("<think>\n", "<think>\n\n</think>\n\n"),
        ("<think>", "<think></think>"),
        ("[THINK]", "[THINK][/THINK]"),
        ("◁think▷", "◁think▷◁/think▷"),
        ("<|begin_of_thought|>", "<|begin_of_thought|><|end_of_thought|>"),
        ("<think>\n\n</think>\n\n", "<think>\n\n</think>\n\n"),
        ("", ""),
    ],
)
def test_a_thought_that_the_prompt_opens_is_closed(
    opens: str, closed: str, copied: Callable[..., Path]
) -> None:
    folder = copied(f"{PLAIN}{{% endif %}}")
    bare = asked_of(folder)
    (folder / "chat_template.jinja").write_text(f"{PLAIN}{opens}{{% endif %}}", "utf-8")
    tokenizer = AutoProcessor.from_pretrained(folder).tokenizer
    spelled = "".join(tokenizer.convert_ids_to_tokens(tokenizer.encode(closed)))
    assert asked_of(folder) == bare + spelled


def test_only_another_way_of_asking_changes_a_checkers_id(copied: Callable[..., Path]) -> None:
    """A plain template and ``enable_thinking`` were asked so before; their ids stand."""
    config = {"model_type": "llava"}
    folder = copied()
    marks = {}
    for name, end in {
        "plain": "{% endif %}",
        "known": "{% if enable_thinking %}x{% endif %}{% endif %}",
        "other": "{% if thinking %}x{% endif %}{% endif %}",
        "opened": "<think>{% endif %}",
    }.items():
        (folder / "chat_template.jinja").write_text(PLAIN + end)
        marks[name] = manner_of(folder, "it", config).mark
    assert marks["plain"] == marks["known"] == ""
    assert len({marks["plain"], marks["other"], marks["opened"]}) == 3


# ── families without a chat template ─────────────────────────────────────────────────────────────


def test_a_family_without_a_template_is_asked_in_its_authors_words(tmp_path: Path) -> None:
    folder = tiny_vlms.make("paligemma", tmp_path / "paligemma")
    said = asked_of(folder, "a cup?")
    assert said == "<image>" * 16 + "<s>answer en a cup?\n"


def test_a_family_that_answers_no_questions_says_so_before_it_loads(
    copied: Callable[..., Path],
) -> None:
    with pytest.raises(ConfigError, match=r"florence2\) follows fixed tasks such as <CAPTION>"):
        checker(copied(model_type="florence2"))


def test_weights_of_other_shapes_than_the_configuration_says_are_a_sentence(
    copied: Callable[..., Path],
) -> None:
    folder = copied()
    said = json.loads((folder / "config.json").read_text())
    said["text_config"]["intermediate_size"] = 96
    (folder / "config.json").write_text(json.dumps(said))
    with pytest.raises(ConfigError, match="cannot be loaded as an image-and-text model"):
        checker(folder).score(contract_pictures()[:1], [CUP])


def test_the_template_may_stand_in_the_tokenizers_configuration(
    copied: Callable[..., Path],
) -> None:
    folder = copied()
    before = asked_of(folder)
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").unlink()
    file = folder / "tokenizer_config.json"
    said = json.loads(file.read_text())
    file.write_text(json.dumps({**said, "chat_template": template}))
    assert asked_of(folder) == before
    named = [{"name": "tool", "template": "x"}, {"name": "default", "template": template}]
    file.write_text(json.dumps({**said, "chat_template": named}))
    assert manner_of(folder, "it", {"model_type": "llava"}).template == template


# ── weights of few bits, several devices ─────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", ["awq", "gptq", "bitsandbytes", "compressed-tensors", "torchao"])
def test_quantised_weights_name_the_package_that_lacks(
    method: str, copied: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantised, "_installed", lambda module: False)
    packages = " ".join(NEEDS[method][1].values())
    with pytest.raises(ConfigError, match=f"pip install {packages}, or take the model in bfloat16"):
        checker(copied(quantization_config={"quant_method": method}))


def test_a_judge_whose_words_only_sentencepiece_reads_names_what_lacks(
    copied: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied()
    (folder / "tokenizer.json").rename(folder / "tokenizer.model")
    monkeypatch.setattr(tokenizers, "_installed", lambda module: False)
    with pytest.raises(ConfigError, match=r"only as tokenizer\.model.*sentencepiece and protobuf"):
        checker(folder)


def test_quantisation_is_read_wherever_a_configuration_says_it() -> None:
    assert quantised_by({}) == ""
    assert quantised_by({"quantization_config": {"load_in_4bit": True}}) == "bitsandbytes"
    assert quantised_by({"text_config": {"quantization_config": {"quant_method": "awq"}}}) == "awq"


def test_a_method_of_gpus_is_refused_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantised, "_installed", lambda module: True)
    with pytest.raises(ConfigError, match="AWQ, which needs an NVIDIA GPU"):
        refuse_lacking("it", "awq", "cpu")
    refuse_lacking("it", "awq", "cuda")
    refuse_lacking("it", "bitsandbytes", "cpu")
    with pytest.raises(ConfigError, match="quantised by 'newest', which is not known here"):
        refuse_lacking("it", "newest", "cuda")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"device_map": "even"}, "there is no device_map 'even': write auto, balanced"),
        ({"device_map": "auto", "offload": "model"}, "leave offload = 'model' out"),
        ({"offload": "disk"}, "there is no offload 'disk'"),
        ({"offload": "model"}, "needs an NVIDIA GPU: write none on cpu"),
        ({"dtype": "int3"}, "there is no dtype 'int3'"),
    ],
)
def test_a_placing_that_cannot_be_is_refused_before_it_loads(
    settings: dict[str, str], sentence: str, llava: Path
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        checker(llava, **settings)


def test_one_gpu_and_all_gpus_cannot_both_be_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantised, "choose_device", lambda asked: asked)
    settings = CheckerSettings("vqa", "it", device="cuda:1", device_map="auto")
    with pytest.raises(ConfigError, match="device = 'cuda:1' names one: leave one of them out"):
        quantised.placing_of(settings, "it", "")
    with pytest.raises(ConfigError, match="it is quantised, and quantised weights cannot rest"):
        quantised.placing_of(
            CheckerSettings("vqa", "it", device="cuda", offload="model"), "it", "fp8"
        )


def test_a_checker_of_another_kind_is_not_spread(tmp_path: Path) -> None:
    folder = str(tiny_checkers.tiny_clip(tmp_path / "clip"))
    with pytest.raises(ConfigError, match="runs whole on one device: leave device_map and offload"):
        open_checker(CheckerSettings("clip", folder, device="cpu", device_map="auto"))


def test_a_spread_model_answers_as_one_on_one_device(llava: Path) -> None:
    questions = questions_of(contract_pair())
    pictures = contract_pictures()[:1] * len(questions)
    here = checker(llava).score(pictures, questions)
    assert checker(llava, device_map="auto").score(pictures, questions) == here
    low = checker(llava, dtype="bfloat16")
    assert low.score(pictures, questions) != here
    assert low.way.startswith("a picture and the words before its questions are read once")


@pytest.mark.parametrize(
    "bits", [{"load_in_8bit": True}, {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}]
)
def test_a_model_of_few_bits_answers_where_its_package_is_there(
    bits: dict[str, Any], llava: Path, tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes")
    folder = Path(shutil.copytree(llava, tmp_path / "few"))
    (folder / "model.safetensors").unlink()
    AutoModelForImageTextToText.from_pretrained(
        llava, quantization_config=BitsAndBytesConfig(**bits), device_map={"": "cpu"}
    ).save_pretrained(folder)
    questions = questions_of(contract_pair())
    judge = checker(folder)
    answers = judge.score(contract_pictures()[:1] * len(questions), questions)
    assert any(answer.value is not None for given in answers for answer in given)
    assert judge.way.startswith("a picture and the words before its questions are read once")


def by_torchao(llava: Path, folder: Path) -> None:
    """Eight-bit weights, as transformers saves what torchao has quantised."""
    quantization = pytest.importorskip("torchao.quantization")
    (folder / "model.safetensors").unlink()
    AutoModelForImageTextToText.from_pretrained(
        llava,
        quantization_config=TorchAoConfig(quantization.Int8WeightOnlyConfig(version=2)),
        device_map={"": "cpu"},
    ).save_pretrained(folder)


def by_compressed_tensors(_: Path, folder: Path) -> None:
    """Eight-bit weights of the language model, packed four to a number, as vLLM's tools save them;
    by hand, from what the format says.
    """
    pytest.importorskip("compressed_tensors")
    tensors: dict[str, torch.Tensor] = {}
    for key, tensor in load_file(folder / "model.safetensors").items():
        if not (key.endswith("_proj.weight") and "language_model" in key):
            tensors[key] = tensor
            continue
        scale = tensor.abs().amax(1, keepdim=True) / 127
        bytes_of_four = ((tensor / scale).round().to(torch.int32) + 128).reshape(len(tensor), -1, 4)
        packed = (bytes_of_four << torch.tensor([0, 8, 16, 24])).sum(-1).to(torch.int32)
        tensors |= {
            f"{key}_packed": packed,
            f"{key}_scale": scale,
            f"{key}_shape": torch.tensor(tensor.shape),
        }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    weights = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel"}
    file = folder / "config.json"
    config = json.loads(file.read_text())
    config["quantization_config"] = {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "ignore": ["lm_head", "re:.*vision_tower.*", "re:.*multi_modal_projector.*"],
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
    }
    file.write_text(json.dumps(config))


@pytest.mark.parametrize("quantise", [by_torchao, by_compressed_tensors])
def test_a_model_of_eight_bits_answers_nearly_as_the_whole_numbers_do(
    quantise: Callable[[Path, Path], None], llava: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(llava, tmp_path / "few"))
    quantise(llava, folder)
    questions = questions_of(contract_pair())[:3]
    pictures = contract_pictures()[:1] * len(questions)
    whole, few = (
        [one[0].value for one in checker(each).score(pictures, questions)]
        for each in (llava, folder)
    )
    assert few == pytest.approx(whole, abs=0.05)
    assert few != whole


# ── one look ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def seen(llava: Path) -> tuple[VqaChecker, list[int]]:
    """A checker, and how many pictures its vision tower has seen, call by call."""
    judge = checker(llava)
    calls: list[int] = []
    tower = judge._loaded().model.model.vision_tower
    tower.embeddings.register_forward_hook(lambda _, args, __: calls.append(len(args[0])))
    return judge, calls


def test_pictures_go_through_the_vision_tower_once_whatever_is_asked(
    seen: tuple[VqaChecker, list[int]],
) -> None:
    judge, calls = seen
    questions = questions_of(contract_pair())
    pictures = contract_pictures()
    of_picture = [picture.copy() for picture in pictures for _ in questions]
    first = judge.score(of_picture, questions * len(pictures))
    calls.clear()
    assert judge.score(of_picture, questions * len(pictures)) == first
    assert calls == [len(pictures)]


def test_where_nothing_can_be_shared_the_vision_tower_works_once_all_the_same(
    seen: tuple[VqaChecker, list[int]],
) -> None:
    judge, calls = seen
    questions = questions_of(contract_pair())
    pictures = contract_pictures()
    of_picture = [picture for picture in pictures for _ in questions]
    shared = judge.score(of_picture, questions * len(pictures))
    judge._loaded().vlm._shares = False
    calls.clear()
    again = judge.score(of_picture, questions * len(pictures))
    assert calls == [len(pictures)]
    for one, other in zip(shared, again, strict=True):
        assert [a.value for a in one] == pytest.approx([a.value for a in other], abs=1e-5)


def test_pictures_with_fewer_questions_keep_their_own_answers(llava: Path) -> None:
    judge = checker(llava)
    questions = questions_of(contract_pair())
    one, two, three, _ = contract_pictures()
    images = [one, two, one, three, one, two]
    asked = [questions[0], questions[1], questions[1], questions[2], questions[3], questions[0]]
    together = judge.score(images, asked)
    for image, question, answers in zip(images, asked, together, strict=True):
        (alone,) = judge.score([image], [question])
        assert [a.value for a in answers] == pytest.approx([a.value for a in alone], abs=1e-5)


def test_a_wrong_beginning_is_noticed_and_refused_with_its_reason(
    llava: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = shared_prefix.shared_logits

    def wrong(*args: Any, **how: Any) -> list[torch.Tensor]:
        return [one.flip(-1) for one in honest(*args, **how)]

    monkeypatch.setattr(vlm, "shared_logits", wrong)
    judge, other = checker(llava), checker(llava)
    questions = questions_of(contract_pair())
    pictures = contract_pictures()[:1] * len(questions)
    answers = judge.score(pictures, questions)
    assert "the answers would not be the same" in judge.way
    monkeypatch.undo()
    for one, two in zip(answers, other.score(pictures, questions), strict=True):
        assert [a.value for a in one] == pytest.approx([a.value for a in two], abs=1e-5)


def test_a_template_with_the_question_before_the_picture_shares_nothing(
    copied: Callable[..., Path],
) -> None:
    folder = copied(
        "{% for m in messages %}{{ m['content'][1]['text'] }}<image>{% endfor %}assistant: "
    )
    judge = checker(folder)
    questions = questions_of(contract_pair())
    judge.score(contract_pictures()[:1] * len(questions), questions)
    assert "its question does not stand wholly behind the picture" in judge.way


def test_questions_part_at_the_first_token_that_differs_and_keep_one_of_their_own() -> None:
    def rows(*ids: list[int]) -> dict[str, torch.Tensor]:
        width = max(map(len, ids))
        mask = [[0] * (width - len(row)) + [1] * len(row) for row in ids]
        padded = [[0] * (width - len(row)) + row for row in ids]
        return {"input_ids": torch.tensor(padded), "attention_mask": torch.tensor(mask)}

    asked = [rows([9, 9, 5, 1], [9, 4]), rows([9, 9, 5, 2, 3], [9, 4, 7])]
    parts = shared_prefix.beginnings_of(asked, frozenset({9}))
    assert parts.lengths == [3, 1]
    assert parts.starts == [[0, 2], [0, 2]]
    assert parts.rests == [[1, 1], [2, 2]]
    with pytest.raises(shared_prefix.NotShared, match="behind the picture"):
        shared_prefix.beginnings_of([rows([1, 9, 2]), rows([3, 9, 2])], frozenset({9}))


def test_the_distance_leaves_out_what_all_logits_share() -> None:
    logits = torch.tensor([[1.0, -1.0, 3.0, -3.0]])
    assert vlm.distance(logits, logits + 7) == pytest.approx(0, abs=1e-6)
    assert vlm.distance(logits, 2 * logits) == pytest.approx(1)


# ── pictures of odd shapes ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (3, 1), (1, 900), (900, 1), (2, 2)])
@pytest.mark.parametrize("name", ODD)
def test_a_picture_of_any_shape_is_answered_or_refused_in_a_sentence(
    name: str, size: tuple[int, int], many: dict[str, VqaChecker]
) -> None:
    said = said_of(many[name], Image.new("RGB", size, "red"))
    if isinstance(said, str):
        assert re.match(rf"{name} cannot (take|look at) these .*\({size[0]}x{size[1]}\): ", said)
    else:
        assert said.value is None or 0 <= said.value <= 1


def said_of(judge: VqaChecker, picture: Image.Image) -> Answer | str:
    try:
        return judge.score([picture], [CUP])[0][0]
    except CheckError as error:
        return str(error)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> dict[str, VqaChecker]:
    root = tmp_path_factory.mktemp("many")
    return {name: checker(tiny_vlms.make(name, root / name)) for name in ODD}
