"""The one door through which pickles of weights come in, to go out as safetensors."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lcmis.errors import ConfigError
from lcmis.machine.files import replacing

BESIDE = (
    "config.json",
    "open_clip_config.json",
    "med_config.json",
    "model_index.json",
    "scheduler_config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "tokenizer.model",
    "chat_template.jinja",
    "chat_template.json",
)
"""What makes a model besides its weights, and is copied with them."""
OPEN_CLIP = "open_clip_model.safetensors"
NAMES = {"pytorch_model": "model", "open_clip_pytorch_model": "open_clip_model"}
"""How files of weights are called once they are no pickles; others keep their name."""
ALSO = ("diffusion_pytorch_model", "pytorch_lora_weights", "adapter_model")
"""Names that loaders look for, safe or not."""
SLOWEST = 5_000_000
"""Bytes a second that a machine reads and writes at the least."""


@dataclass(frozen=True, slots=True)
class Converted:
    """What was written."""

    file: Path
    tensors: int
    dtypes: tuple[str, ...]
    num_bytes: int
    part: str
    """Where in the pickle the weights lay; empty for its outermost mapping."""
    copied: tuple[str, ...]
    """Names of the files that lay beside it and now lie beside the weights too."""


def convert(
    file: Path, folder: Path, *, part: str = "", open_clip: Mapping[str, Any] | None = None
) -> Converted:
    """Read a pickle of weights in a process of its own and write them as safetensors.

    Only tensors, numbers and texts are read from it, and the process that does so reaches no
    network, no other file and no other program, and ends at a limit of memory and time. Types of
    numbers stay; tensors that share memory are each written whole.

    Args:
        file: what ``torch.save`` wrote.
        folder: where the weights go, with what lay beside the file; made where it is not there.
        part: which of several sets of weights.
        open_clip: content of an ``open_clip_config.json`` to be written beside the weights.

    Raises:
        ConfigError: there is no such file, it cannot be read so, or the folder has such weights.
    """
    file, folder = file.expanduser().resolve(), folder.expanduser().resolve()
    if not file.is_file():
        raise ConfigError(f"{file} is no file: name a file of weights, such as pytorch_model.bin")
    if file.suffix == ".safetensors":
        raise ConfigError(f"{file} is safe already: nothing needs to be converted")
    target = folder / (OPEN_CLIP if open_clip else _safe_name(file.name))
    if target.exists():
        raise ConfigError(f"{target} is there already: name another folder with --into")
    made = _made(folder)
    try:
        with replacing(target) as draft:
            said = _read(file, draft, part)
        copied = _copy_beside(file, folder)
        if open_clip is not None:
            _write_json(folder / "open_clip_config.json", open_clip)
        copied += _copy_index(file, folder)
    except ConfigError:
        for place in made:
            place.rmdir()
        raise
    return Converted(
        target,
        len(said["shapes"]),
        tuple(said["dtypes"]),
        target.stat().st_size,
        said["part"],
        tuple(copied),
    )


def _safe_name(name: str) -> str:
    """``pytorch_model-00001-of-00002.bin`` → ``model-00001-of-00002.safetensors``."""
    stem = name.rpartition(".")[0] or name
    kind = re.match(r"[A-Za-z_]+(?=$|[.-])", stem)
    if kind and kind[0] in NAMES:
        return f"{NAMES[kind[0]]}{stem[kind.end() :]}.safetensors"
    return f"{stem}.safetensors" if kind and kind[0] in ALSO else "model.safetensors"


def _made(folder: Path) -> list[Path]:
    """Make a folder; which ones were made, innermost first."""
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be made ({error.strerror}): name another folder with --into"
        ) from error
    return made


def _read(file: Path, draft: Path, part: str) -> dict[str, Any]:
    """Let another process do it.

    Raises:
        ConfigError: it refused, or was ended.
    """
    script = Path(__file__).with_name("unpickling.py")
    seconds = 60 + file.stat().st_size // SLOWEST
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT") if name in os.environ}
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-B", str(script), str(file), str(draft), part, str(seconds)],
            capture_output=True,
            check=False,
            cwd=draft.parent,
            env={**kept, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
            stdin=subprocess.DEVNULL,
            timeout=2 * seconds + 120,
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(
            f"{file} was not read within {error.timeout:.0f} seconds: it is no ordinary file of "
            f"weights"
        ) from error
    try:
        said: dict[str, Any] = json.loads(done.stdout.decode().splitlines()[-1])
    except (ValueError, IndexError):
        last = (done.stderr.decode(errors="replace").strip().splitlines() or [""])[-1]
        said = {"refused": last[:200] or f"its reader was ended with code {done.returncode}"}
    if "asked" in said:
        raise ConfigError(f"{file} {said['asked']}")
    if "refused" in said:
        raise ConfigError(
            f"{file} cannot be read as weights alone ({said['refused']}): nothing of it "
            f"was run or kept; take the model's safetensors, or a file that holds only its weights"
        )
    return said


def _copy_beside(file: Path, folder: Path) -> list[str]:
    copied = []
    for name in BESIDE:
        beside, target = file.with_name(name), folder / name
        if beside.is_file() and not target.exists():
            shutil.copyfile(beside, target)
            copied.append(name)
    return copied


def _copy_index(file: Path, folder: Path) -> list[str]:
    """Which shard holds which tensor, in the shards' new names."""
    shard = re.fullmatch(r"(.+)-\d+-of-\d+\.bin", file.name)
    beside = file.with_name(f"{shard[1]}.bin.index.json") if shard else None
    if beside is None or not beside.is_file():
        return []
    content = json.loads(beside.read_text(encoding="utf-8"))
    content["weight_map"] = {
        tensor: _safe_name(name) for tensor, name in content["weight_map"].items()
    }
    name = f"{_safe_name(beside.name.removesuffix('.index.json'))}.index.json"
    _write_json(folder / name, content)
    return [name]


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    with replacing(file) as draft:
        draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
