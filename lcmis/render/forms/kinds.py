"""What a pipeline makes and wants, read from its name and source: not all draw from a prompt."""

from __future__ import annotations

import ast
import fnmatch
import importlib.util
import json
import re
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

from lcmis.errors import ConfigError

WANTED = "lcmis audits models that draw a picture from a prompt alone"

NAMES = (
    ("Modular", "is put together from blocks that are code of their own"),
    ("Onnx", "runs in ONNX, not in torch"),
    ("Flax", "runs in JAX, not in torch"),
    ("Img2Img", "draws over a picture that it is given"),
    ("Inpaint", "fills a hole in a picture that it is given"),
    ("Fill", "fills a hole in a picture that it is given"),
    ("ControlNet", "follows a picture that it is given"),
    ("Control", "follows a picture that it is given"),
    ("Adapter", "follows a picture that it is given"),
    ("GLIGEN", "follows boxes that it is given"),
    ("Upscale", "enlarges a picture that it is given"),
    ("SuperRes", "enlarges a picture that it is given"),
    ("Refiner", "refines a picture that it is given"),
    ("ImageVariation", "varies a picture that it is given"),
    ("DualGuided", "varies a picture that it is given"),
    ("Depth2Img", "draws over a picture that it is given"),
    ("I2I", "draws over a picture that it is given"),
    ("Pix2Pix", "edits a picture that it is given"),
    ("Edit", "edits a picture that it is given"),
    ("CycleDiffusion", "edits a picture that it is given"),
    ("Layered", "takes a picture apart that it is given"),
    ("VisualCloze", "follows pictures that it is given"),
    ("Depth", "measures a picture that it is given"),
    ("Normals", "measures a picture that it is given"),
    ("Intrinsics", "measures a picture that it is given"),
    ("Video", "makes films"),
    ("AnimateDiff", "makes films"),
    ("I2V", "makes films"),
    ("Audio", "makes sound"),
    ("Music", "makes sound"),
    ("ShapE", "makes shapes in three dimensions"),
    ("Prior", "makes only the first half of a picture, as numbers"),
    ("Decoder", "makes only the second half of a picture, from numbers"),
)
"""Words in the name of a pipeline to what they say of it; the first that is found counts."""

OUTPUTS = {
    "frames": "makes films",
    "video": "makes films",
    "videos": "makes films",
    "audio": "makes sound",
    "audios": "makes sound",
    "texts": "writes text",
    "text": "writes text",
}
GIVEN = ("image", "images", "video", "reference_image", "mask_image", "controls")
"""Arguments of a call that are pictures."""


def refuse_other_kinds(name: str, class_name: str) -> None:
    """Only a pipeline that makes pictures of prompts goes on.

    Raises:
        ConfigError: this one makes something else, or wants more than a prompt.
    """
    what = other_kind(class_name)
    if what:
        raise ConfigError(f"{name} is a {class_name}, which {what}: {WANTED}; name such a one")


@cache
def other_kind(class_name: str) -> str:
    """What a pipeline does instead of drawing from a prompt alone; empty where it does just that.

    What its source does not show is taken for granted: the engine finds out before it draws.
    """
    for word, what in NAMES:
        if word in class_name:
            return what
    call = _call(class_name)
    if call is None:
        return ""
    made = {
        keyword.arg or ""
        for node in ast.walk(call)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id.endswith("Output")
        for keyword in node.keywords
    }
    if made and not made & {"image", "images"}:
        return next((OUTPUTS[one] for one in sorted(made) if one in OUTPUTS), "makes no pictures")
    arguments = [argument.arg for argument in call.args.args]
    if "prompt" not in arguments:
        return "is told no prompt"
    needed = arguments[: len(arguments) - len(call.args.defaults)]
    if any(one in GIVEN for one in needed):
        return "draws over a picture that it is given"
    if "prompt" in needed and len(needed) > 2:  # self, prompt, and what else?
        return f"wants more than a prompt: {', '.join(needed[2:])}"
    return ""


def refuse_other_folders(path: Path, name: str, names: Collection[str]) -> None:
    """Say what a folder is that is no pipeline, where that can be seen.

    Args:
        path: where its configuration lies.
        name: as sentences call it.
        names: of the files in it, also of those that are still on the hub.

    Raises:
        ConfigError: it is one of the kinds that are known.
    """
    if "model_index.json" in names:
        return
    if "modular_model_index.json" in names:
        raise ConfigError(
            f"{name} {NAMES[0][1]}: code that comes with a model is never run; name a model that "
            f"has a model_index.json"
        )
    if "adapter_config.json" in names or fnmatch.filter(names, "*lora*.safetensors"):
        raise ConfigError(
            f"{name} is an adapter, not a model: name the model that it was made for with -m, and "
            f"lay it over with --adapter {name.partition('@')[0]}"
        )
    if fnmatch.filter(names, "learned_embeds*"):
        raise ConfigError(
            f"{name} is a word (textual inversion), not a model: name the model that it was made "
            f"for with -m, and teach it the word with --embedding {name.partition('@')[0]}"
        )
    config = _json(path / "config.json")
    if "_class_name" in config:
        raise ConfigError(
            f"{name} is one component of a pipeline, a {config['_class_name']}: name the folder "
            f"that holds a model_index.json"
            + ("; another VAE goes into --vae" if "Autoencoder" in config["_class_name"] else "")
        )
    if "model_type" in config or "architectures" in config:
        kind = (config.get("architectures") or [config.get("model_type")])[0]
        raise ConfigError(f"{name} is a transformers model, a {kind}: {WANTED}; name such a one")
    files = [one for one in sorted(names) if one.endswith((".safetensors", ".gguf"))]
    if files:
        raise ConfigError(
            f"{name} is no diffusers folder, but holds {_spelled(files)}: name the file itself, "
            f"and with --base the model that says how it is built"
        )


def _spelled(files: list[str]) -> str:
    shown = ", ".join(files[:3])
    return shown if len(files) <= 3 else f"{shown} and {len(files) - 3} more"


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


@cache
def _call(class_name: str) -> ast.FunctionDef | None:
    """``__call__`` of a pipeline, parsed and not run: importing diffusers costs seconds."""
    found = importlib.util.find_spec("diffusers")
    if found is None or found.origin is None:
        return None
    start = re.compile(rf"^class {class_name}\(", re.MULTILINE)
    for file in (Path(found.origin).parent / "pipelines").rglob("pipeline_*.py"):
        source = file.read_text(encoding="utf-8")
        if f"class {class_name}(" in source and start.search(source):
            for node in ast.parse(source).body:
                if isinstance(node, ast.ClassDef) and node.name == class_name:
                    return next(
                        (
                            one
                            for one in node.body
                            if isinstance(one, ast.FunctionDef) and one.name == "__call__"
                        ),
                        None,
                    )
    return None
