"""Tiny pipelines of the real classes, opened and drawn with."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lcmis.errors import RenderError
from lcmis.plugins.protocols import ImageModel
from lcmis.plugins.settings import ModelSettings
from lcmis.render import draw
from lcmis.render.diffusion import DiffusersModel
from lcmis.types import RenderSpec, Stage
from worlds import tiny_pipelines

FAMILIES = list(tiny_pipelines.FAMILIES)


CUP = (Stage("a red cup"),)


DOGS = (Stage("two dogs on a boat"),)


SMALL = ModelSettings("", height=32, width=32, num_inference_steps=4, batch_size=3)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a tiny pipeline, built when first asked for."""
    root = tmp_path_factory.mktemp("tiny")

    def folder(family: str) -> Path:
        path = root / family
        return path if path.exists() else tiny_pipelines.save(family, path)

    return folder


@pytest.fixture(scope="session")
def open_model(tiny: Callable[[str], Path]) -> Callable[..., DiffusersModel]:
    """A model of a tiny pipeline; one object for each choice of settings."""
    opened: dict[Any, DiffusersModel] = {}

    def model(family: str, **settings: Any) -> DiffusersModel:
        chosen = dataclasses.replace(SMALL, name=str(tiny(family)), **settings)
        if chosen not in opened:
            opened[chosen] = DiffusersModel(chosen)
        return opened[chosen]

    return model


@pytest.fixture
def copy(tiny: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """A tiny pipeline's folder that a test may damage."""
    return lambda family: Path(shutil.copytree(tiny(family), tmp_path / family))


def settings_of(folder: Path, **changes: Any) -> ModelSettings:
    return dataclasses.replace(SMALL, name=str(folder), **changes)


def pixels(model: ImageModel, *specs: RenderSpec) -> list[np.ndarray]:
    drawn = draw(model, specs)
    assert not [item for item in drawn if isinstance(item, RenderError)]
    return [np.asarray(picture) for picture in drawn]


def one(model: ImageModel, stages: tuple[Stage, ...], seed: int = 1) -> np.ndarray:
    (picture,) = pixels(model, model.spec(stages, seed))
    return picture


def same(left: np.ndarray, right: np.ndarray) -> bool:
    return bool(np.array_equal(left, right))
