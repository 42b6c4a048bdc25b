"""Every form in which models come is drawn as its own program draws it, or told what lacks."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from worlds import drawing, single_files
from worlds.drawing import CUP, DOGS, one, same, settings_of

from lcmis.errors import ConfigError
from lcmis.plugins.settings import ModelSettings
from lcmis.render.diffusion import DiffusersModel
from lcmis.types import Adapter, Embedding, RenderSpec, Stage

copy = drawing.copy
open_model = drawing.open_model
tiny = drawing.tiny

Tiny = Callable[[str], Path]


def configuration_only(folder: Path) -> Path:
    """What a base needs to be where the file holds all weights."""
    for file in folder.rglob("*.safetensors"):
        file.unlink()
    return folder


# ── single files ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("family", single_files.LAYOUTS)
def test_a_checkpoint_of_a_sharing_site_draws_what_its_folder_draws(
    family: str,
    tiny: Tiny,
    copy: Tiny,
    open_model: Callable[..., DiffusersModel],
    tmp_path: Path,
) -> None:
    file = single_files.checkpoint(family, tiny(family), tmp_path / "dream.safetensors")
    model = DiffusersModel(settings_of(file, base=str(configuration_only(copy(family)))))
    assert same(one(model, CUP), one(open_model(family), CUP))
    assert not same(one(model, CUP), one(model, DOGS))
