"""Models that open_clip lists: where their weights lie on the hub, read without importing it."""

from __future__ import annotations

import ast
import copy
import difflib
import importlib.util
import json
import re
import runpy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lcmis.errors import ConfigError, UnknownNameError
from lcmis.machine.hub import Located, fetch_weights, locate_unfetched, needed
from lcmis.machine.hub.fetching import Fetch

SAFE = "open_clip_model.safetensors"
"""What safe weights are called where a tag names no file."""


@dataclass(frozen=True, slots=True)
class Tagged:
    """A model and one of its tags, pinned to a commit of the hub."""

    model: str
    tag: str
    located: Located
    file: str
    """Its weights, within."""
    settings: Mapping[str, Any]
    """What open_clip says of the tag: how pictures are prepared, which activation."""

    def __str__(self) -> str:
        return f"{self.model}/{self.tag}@{self.located.revision}"

    def fetches(self) -> tuple[Fetch, ...]:
        """How much of it comes from the hub, and how much of that is here."""
        return needed(self.located, [self.file])

    def choices(self) -> dict[str, Any]:
        """How open_clip must build the model so that its weights mean what they were trained for.

        Raises:
            ConfigError: the weights cannot be fetched.
        """
        return {
            "pretrained": str(fetch_weights(self.located, [self.file]) / self.file),
            "force_quick_gelu": bool(self.settings.get("quick_gelu", False)),
            "image_mean": self.settings["mean"],
            "image_std": self.settings["std"],
            "image_interpolation": self.settings["interpolation"],
            "image_resize_mode": self.settings["resize_mode"],
        }


def find_tagged(model: str, tag: str, revision: str | None) -> Tagged:
    """Look a model of open_clip's up, at the state that the hub has of it now, or had.

    Raises:
        UnknownNameError: this model has no such tag, or its weights no such revision.
        ConfigError: the hub cannot be reached, or the weights are given out only as a pickle.
    """
    tags = _every_tag().get(model, {})
    spelled = tag.lower().replace("-", "_")
    settings = tags.get(spelled)
    if settings is None:
        near = difflib.get_close_matches(spelled, tags, n=3) or sorted(tags)
        raise UnknownNameError(f"open_clip's {model} has no tag {tag!r}; try {', '.join(near)}")
    name, _, file = str(settings["hf_hub"]).rpartition("/")
    if not name:
        _refuse_pickle(model, tag, str(settings["url"]).rpartition("/")[2])
    located = locate_unfetched(name, revision)
    wanted = re.sub(r"\.(bin|pth?)$", ".safetensors", file) if file else SAFE
    if wanted not in located.files:
        pickled = [one for one in located.names() if one.endswith((".bin", ".pt", ".pth"))]
        _refuse_pickle(model, tag, (pickled or [file or wanted])[0])
    _refuse_other_words(model, tag, located)
    return Tagged(model, spelled, located, wanted, settings)


def _refuse_other_words(model: str, tag: str, located: Located) -> None:
    """SigLIP, CLIPA and models of many languages read words by a tokenizer of the hub's, which
    open_clip would fetch by itself, whatever it is at that moment.

    Raises:
        ConfigError: so it is with this one; the sentence names the model that holds its own.
    """
    reads = architecture(model).get("text_cfg", {})
    words = reads.get("hf_tokenizer_name") or reads.get("hf_model_name")
    if not words:
        return
    holds_all = "open_clip_config.json" in located.files and SAFE in located.files
    instead = (
        f"write clip:hf-hub:{located.hub_name}, which holds its own"
        if holds_all
        else "take a model of the hub that holds its own, clip:hf-hub:owner/name"
    )
    raise ConfigError(
        f"{model}/{tag} reads words by a tokenizer of {words}, which could change under the same "
        f"name: {instead}"
    )


def _refuse_pickle(model: str, tag: str, file: str) -> None:
    raise ConfigError(
        f"{model}/{tag} is given out only as {file}, a pickle that can run code when opened: take "
        f"another tag, or a folder with safetensors"
    )


@cache
def architectures() -> list[str]:
    """Names of the configurations that come with open_clip, which itself is slow to import."""
    return sorted(file.stem for file in (_installed() / "model_configs").glob("*.json"))


def architecture(model: str) -> dict[str, Any]:
    """The configuration of one of them."""
    content = (_installed() / "model_configs" / f"{model}.json").read_text(encoding="utf-8")
    said: dict[str, Any] = json.loads(content)
    return said


@cache
def _every_tag() -> dict[str, dict[str, dict[str, Any]]]:
    """Model to tag to what is said of it: the table in open_clip's source, and nothing else of it.

    The module itself imports torch.
    """
    known: dict[str, Any] = dict(runpy.run_path(str(_installed() / "constants.py")), copy=copy)
    source = ast.parse((_installed() / "pretrained.py").read_text(encoding="utf-8"))
    table: list[ast.stmt] = [
        node
        for node in source.body
        if isinstance(node, ast.Assign | ast.For)
        or (isinstance(node, ast.FunctionDef) and re.fullmatch(r"_\w*cfg", node.name))
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call))
    ]
    exec(compile(ast.Module(table, []), "pretrained.py", "exec"), known)
    found: dict[str, dict[str, dict[str, Any]]] = known["_PRETRAINED"]
    return found


def _installed() -> Path:
    found = importlib.util.find_spec("open_clip")
    if found is None or found.origin is None:
        raise ConfigError("open_clip is not installed: install lcmis again, whole")
    return Path(found.origin).parent
