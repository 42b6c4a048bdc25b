"""Pickles come in through one door, in a process of its own, and go out as safetensors."""

from __future__ import annotations

import ast
import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from worlds import tiny_checkers, tiny_scorers

from lcmis.check.clip import ClipChecker
from lcmis.check.preference import PreferenceChecker
from lcmis.check.reward import ImageRewardChecker
from lcmis.errors import ConfigError, UnknownNameError
from lcmis.machine import pickles, unpickling
from lcmis.machine.pickles import convert
from lcmis.plugins.opening import open_checker, open_language_model, open_text_model
from lcmis.plugins.settings import CheckerSettings, TextModelSettings
from lcmis.testing import contract_pictures
from lcmis.types import Question, QuestionKind

ROOT = Path(__file__).parent.parent
QUESTION = Question(QuestionKind.RELATION, "a tea cup")


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


# ── what comes out ───────────────────────────────────────────────────────────────────────────────


def test_tensors_come_out_bit_for_bit_with_their_types_and_tied_ones_twice(tmp_path: Path) -> None:
    tied = torch.randn(4, 6)
    content = {
        "state_dict": {
            "a": tied,
            "b": tied,
            "turned": tied.T,
            "half": torch.randn(3, dtype=torch.float16),
            "brain": torch.randn(5, dtype=torch.bfloat16)[::2],
            "whole": torch.arange(3),
            "flag": torch.tensor(True),
            "none": torch.zeros(0, 2),
        },
        "epoch": 3,
        "note": "trained",
    }
    done = convert(saved(tmp_path / "weights.pt", content), tmp_path / "out")
    assert done.file == (tmp_path / "out" / "model.safetensors").resolve()
    assert (done.tensors, done.part) == (8, "state_dict")
    assert done.dtypes == ("bfloat16", "bool", "float16", "float32", "int64")
    found = load_file(done.file)
    assert set(found) == set(content["state_dict"])
    for name, tensor in content["state_dict"].items():
        assert found[name].dtype is tensor.dtype
        assert torch.equal(found[name], tensor)
    with safe_open(done.file, "pt") as file:
        assert file.metadata() == {"format": "pt"}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
def test_both_formats_of_torch_are_read(tmp_path: Path, zipped: bool) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    done = convert(tmp_path / "a.pth", tmp_path / "out")
    assert torch.equal(load_file(done.file)["a"], torch.ones(2))


@pytest.mark.parametrize(
    ("name", "becomes"),
    [
        ("pytorch_model.bin", "model.safetensors"),
        ("pytorch_model.fp16.bin", "model.fp16.safetensors"),
        ("pytorch_model-00001-of-00002.bin", "model-00001-of-00002.safetensors"),
        ("diffusion_pytorch_model.bin", "diffusion_pytorch_model.safetensors"),
        ("open_clip_pytorch_model.bin", "open_clip_model.safetensors"),
        ("pytorch_lora_weights.bin", "pytorch_lora_weights.safetensors"),
        ("ImageReward.pt", "model.safetensors"),
        ("HPS_v2.1_compressed.pt", "model.safetensors"),
    ],
)
def test_files_get_the_names_that_loaders_look_for(name: str, becomes: str) -> None:
    assert pickles._safe_name(name) == becomes


def test_what_lies_beside_comes_along_and_nothing_else(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "tokenizer.json", "notes.txt", "other.json"):
        (model / name).write_text("{}")
    index = {"metadata": {}, "weight_map": {"a": "pytorch_model-00001-of-00001.bin"}}
    (model / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    done = convert(
        saved(model / "pytorch_model-00001-of-00001.bin", {"a": torch.ones(1)}), tmp_path / "out"
    )
    assert done.copied == ("config.json", "tokenizer.json", "model.safetensors.index.json")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "config.json",
        "model-00001-of-00001.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
    ]
    told = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert told["weight_map"] == {"a": "model-00001-of-00001.safetensors"}


def test_a_transformers_folder_of_pickles_becomes_one_that_checks(tmp_path: Path) -> None:
    folder = tiny_scorers.towers("clip", tmp_path / "clip")
    before = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    file = saved(folder / "pytorch_model.bin", before)
    convert(file, folder)  # beside the pickle is as good a place as any
    settings = CheckerSettings("clip", str(folder), device="cpu")
    question = Question(QuestionKind.RELATION, "a cup", contrast=("a cup", "a glass"))
    assert ClipChecker(settings).score(contract_pictures()[:1], [question])[0][0].value is not None


def _judge(folder: Path) -> object:
    return open_checker(CheckerSettings("vqa", str(folder), device="cpu"))


def _text(folder: Path) -> object:
    return open_text_model(TextModelSettings("local", str(folder)))


def _fluency(folder: Path) -> object:
    return open_language_model(str(folder)).perplexity("a cup")  # it loads by its first use


@pytest.mark.parametrize("opened", [_judge, _text, _fluency])
def test_whoever_finds_only_a_pickle_names_the_command_that_converts_it(
    opened: Callable[[Path], object], tmp_path: Path
) -> None:
    folder = tiny_checkers.tiny_llava(tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"only as pytorch_model\.bin.*`lcmis convert .*--into"):
        opened(folder)


def test_hps_is_converted_like_the_model_it_was_tuned_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file holds a state_dict of open_clip and no configuration."""
    folder = tiny_checkers.tiny_clip(tmp_path / "clip")
    file = saved(
        tmp_path / "HPS_v2.1_compressed.pt",
        {"state_dict": load_file(folder / "open_clip_model.safetensors"), "epoch": 1},
    )
    config = json.loads((folder / "open_clip_config.json").read_text())
    convert(file, tmp_path / "hps", open_clip=config)
    images, asked = contract_pictures(), [QUESTION] * len(contract_pictures())
    wanted, given = (
        PreferenceChecker(CheckerSettings("hps", str(place), device="cpu")).score(images, asked)
        for place in (folder, tmp_path / "hps")
    )
    assert given == wanted


def test_a_configuration_is_that_of_open_clips_own_list() -> None:
    from lcmis.check.clip import config_like

    config = config_like("ViT-H-14")
    assert config["model_cfg"] == open_clip.get_model_config("ViT-H-14")
    assert tuple(config["preprocess_cfg"]["mean"]) == open_clip.OPENAI_DATASET_MEAN
    assert tuple(config["preprocess_cfg"]["std"]) == open_clip.OPENAI_DATASET_STD
    with pytest.raises(UnknownNameError, match=r"try .*ViT-H-14"):
        config_like("ViT-H-41")


def test_imagereward_is_converted_from_its_published_layout(tmp_path: Path) -> None:
    parts = tiny_scorers.image_reward()
    folder = tmp_path / "reward"
    convert(saved(tmp_path / "ImageReward.pt", tiny_scorers.published(parts)), folder)
    tiny_scorers.save_words(folder)
    other = tiny_scorers.save_reward(parts, tmp_path / "other")
    images, asked = contract_pictures(), [QUESTION] * len(contract_pictures())
    wanted, given = (
        ImageRewardChecker(CheckerSettings("imagereward", str(place), device="cpu")).score(
            images, asked
        )
        for place in (other, folder)
    )
    assert given == wanted


def test_the_command_says_what_it_wrote(tmp_path: Path) -> None:
    file = saved(tmp_path / "w.pt", {"model": {"a": torch.ones(4)}})
    asked = [sys.executable, "-m", "lcmis", "convert", str(file), "--into", str(tmp_path / "out")]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "model.safetensors: 1 tensors (from its part model), 0.0 MB of float32" in done.stdout
    again = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert "is there already: name another folder with --into" in again.stderr
    assert again.stdout == ""


# ── what is refused ──────────────────────────────────────────────────────────────────────────────


class Calls:
    """Unpickled by a careless reader, it calls a function."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.called = (function, args)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.called


HOSTILE: dict[str, Callable[[Path], Any]] = {
    "a command": lambda mark: {"a": torch.ones(1), "x": Calls(os.system, f"touch {mark}")},
    "code": lambda mark: Calls(exec, f"open({str(mark)!r}, 'w').close()"),
    "a tensor of a million million numbers": lambda mark: {"a": torch.zeros(1).expand(10**12)},
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_pickle_is_one_sentence_and_touches_nothing(tmp_path: Path, kind: str) -> None:
    mark, out = tmp_path / "touched", tmp_path / "new" / "out"
    file = saved(tmp_path / "evil.pt", HOSTILE[kind](mark))
    with pytest.raises(ConfigError, match="nothing of it was run or kept") as caught:
        convert(file, out)
    assert len(str(caught.value).splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.pt"]


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        (dict.fromkeys(map(str, range(5000)), torch.ones(99)), "more numbers than the file"),
        ({"a": torch.eye(2).to_sparse()}, "a is of a kind that safetensors does not hold"),
        ({"a": torch.ones(2, dtype=torch.complex64)}, "a is of a kind that safetensors"),
    ],
)
def test_tensors_that_safetensors_cannot_hold_are_refused(
    tensors: dict[str, torch.Tensor], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        unpickling.alone(tensors, 1_000_000)


def test_a_file_without_tensors_is_refused() -> None:
    nested: dict[str, Any] = {"a": torch.ones(1)}
    for _ in range(2 * unpickling.DEEPEST):
        nested = {"x": nested, "y": nested}  # a walk to the end would take for ever
    for content in ({"a": 1}, [torch.ones(1)], torch.ones(1), nested):
        with pytest.raises(ValueError, match="no weights by their names"):
            unpickling.chosen(content, "")


def test_a_damaged_or_foreign_file_is_one_sentence(tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole.pt", {"a": torch.randn(64, 64)}).read_bytes()
    contents = {"cut.pt": whole[: len(whole) // 2]}
    contents["bare.pkl"] = pickle.dumps(Calls(os.system, f"touch {tmp_path / 'touched'}"))
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigError, match="cannot be read as weights alone"):
            convert(tmp_path / name, tmp_path / "out")
    archive = tmp_path / "program.pt"
    torch.jit.script(torch.nn.Linear(2, 2)).save(archive)
    assert zipfile.is_zipfile(archive)
    with pytest.raises(ConfigError, match="TorchScript archive"):
        convert(archive, tmp_path / "out")
    assert not (tmp_path / "touched").exists()
    assert not (tmp_path / "out").exists()


def test_several_sets_of_weights_are_told_apart_by_name(tmp_path: Path) -> None:
    content = {"model": {"a": torch.ones(1)}, "ema": {"inner": {"a": torch.zeros(1)}}}
    file = saved(tmp_path / "two.ckpt", content)
    with pytest.raises(ConfigError, match=r"name one of model, ema\.inner with --part"):
        convert(file, tmp_path / "out")
    with pytest.raises(ConfigError, match=r"no part 'emma': name one of model, ema\.inner"):
        convert(file, tmp_path / "out", part="emma")
    done = convert(file, tmp_path / "out", part="ema.inner")
    assert load_file(done.file)["a"].item() == 0


def test_what_needs_no_conversion_or_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no file"):
        convert(tmp_path / "nothing.pt", tmp_path / "out")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ConfigError, match="safe already"):
        convert(tmp_path / "model.safetensors", tmp_path / "out")
    file = saved(tmp_path / "a.pt", {"a": torch.ones(1)})
    with pytest.raises(ConfigError, match="name another folder with --into"):
        convert(file, file / "out")


# ── the fence, without torch's own guard before it ───────────────────────────────────────────────

ATTEMPTS = {
    "a command": "import os; os.system('touch {mark}')",
    "a program": "import subprocess; subprocess.run(['touch', '{mark}'])",
    "a fork": "import os; os.fork() or open('{mark}', 'w')",
    "a socket": "import socket; socket.socket().connect(('127.0.0.1', {port}))",
    "a name on the network": "import socket; socket.getaddrinfo('localhost', 80)",
    "another file to write": "open('{mark}', 'w')",
    "another file to read": "open('{secret}').read()",
    "a folder": "import os; os.mkdir('{mark}')",
    "a removal": "import os; os.remove('{secret}')",
    "a library of C": "import ctypes; ctypes.CDLL(None)",
}


@pytest.mark.parametrize("kind", ATTEMPTS)
def test_behind_the_fence_nothing_outside_is_reached(tmp_path: Path, kind: str) -> None:
    mark, secret = tmp_path / "mark", tmp_path / "secret"
    secret.write_text("kept")
    attempt = ATTEMPTS[kind].format(mark=mark, secret=secret, port=9)
    code = (
        f"import sys; sys.path.insert(0, {str(Path(unpickling.__file__).parent)!r})\n"
        f"import socket, subprocess, ctypes, unpickling\n"
        f"unpickling.fence('in', 'out')\n"
        f"try:\n    exec({attempt!r})\n"
        f"except unpickling.FencedError as error:\n    print('fenced:', error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("fenced: it would "), done.stderr
    assert secret.read_text() == "kept"
    assert not mark.exists()


def test_memory_and_time_of_the_reader_are_bounded() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(unpickling.__file__).parent)!r})\n"
        f"import resource, unpickling\n"
        f"unpickling.limit(1000, 30)\n"
        f"print(resource.getrlimit(resource.RLIMIT_CPU)[0], resource.RLIMIT_AS)\n"
        f"bytearray(8 << 30)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("30 ")
    if sys.platform == "linux":
        assert "MemoryError" in done.stderr


# ── nothing else ever opens a pickle ─────────────────────────────────────────────────────────────

FILES = sorted([*(ROOT / "lcmis").rglob("*.py"), *(ROOT / "dashboard").rglob("*.py")])
READERS = {"pickle", "cPickle", "dill", "joblib", "shelve", "cloudpickle", "marshal"}
OPENERS = {"torch.load", "torch.jit.load", "np.load", "numpy.load", "pd.read_pickle"}
FORBIDDEN = {"weights_only=False", "allow_pickle=True", "use_safetensors=False"}
DOOR = ROOT / "lcmis" / "machine" / "unpickling.py"


def test_nothing_else_ever_opens_a_pickle() -> None:
    found = {path: _used(path) for path in FILES}
    for path, (imported, called, switches) in found.items():
        assert not switches & FORBIDDEN, path
        if path != DOOR:
            assert not imported & READERS, path
            assert not called & OPENERS, path
    assert "weights_only=True" in found[DOOR][2]


def _used(path: Path) -> tuple[set[str], set[str], set[str]]:
    """Packages that a file imports, functions that it calls, and switches that it sets."""
    imported, called, switches = set(), set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
            called |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call):
            called.add(ast.unparse(node.func))
            told = {f"{keyword.arg}={ast.unparse(keyword.value)}" for keyword in node.keywords}
            switches |= told
    return imported, called, switches


def test_models_are_loaded_from_safetensors_alone() -> None:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            loader = ast.unparse(node.func)
            weighs = any(word in loader for word in ("Model", "Pipeline"))
            if node.func.attr == "from_pretrained" and weighs:
                told = {keyword.arg for keyword in node.keywords}
                assert told & {"use_safetensors", None}, f"{path}: {loader}"
