"""Adapters laid over a model."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from worlds import drawing
from worlds.drawing import CUP, one, same, settings_of

from lcmis.errors import ConfigError
from lcmis.render.diffusion import DiffusersModel
from lcmis.types import Adapter

open_model = drawing.open_model
tiny = drawing.tiny


HAS_PEFT = importlib.util.find_spec("peft") is not None


def write_adapter(path: Path, block: str = "down_blocks.1", rank: int = 2, width: int = 64) -> Path:
    layer = f"unet.{block}.attentions.0.transformer_blocks.0.attn2.to_k"
    noise = torch.Generator().manual_seed(3)
    save_file(
        {
            f"{layer}.lora_A.weight": torch.randn(rank, 32, generator=noise),
            f"{layer}.lora_B.weight": torch.randn(width, rank, generator=noise),
        },
        path,
    )
    return path


@pytest.mark.skipif(HAS_PEFT, reason="peft is installed")
def test_adapters_without_peft_say_what_to_install(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    adapter = Adapter(str(write_adapter(tmp_path / "style.safetensors")))
    with pytest.raises(ConfigError, match="pip install peft"):
        DiffusersModel(settings_of(tiny("sd"), adapters=(adapter,)))


@pytest.mark.skipif(not HAS_PEFT, reason="needs peft")
def test_an_adapter_makes_a_variant_with_keys_and_pictures_of_its_own(
    tiny: Callable[[str], Path], open_model: Callable[..., DiffusersModel], tmp_path: Path
) -> None:
    path = str(write_adapter(tmp_path / "style.safetensors"))
    plain = open_model("sd")
    strong, weak = (
        DiffusersModel(settings_of(tiny("sd"), adapters=(Adapter(path, weight),)))
        for weight in (1.0, 0.25)
    )
    ids = {model.model_id for model in (plain, strong, weak)}
    assert len(ids) == 3
    assert len({model.spec(CUP, 1).key for model in (plain, strong, weak)}) == 3
    (adapter,) = strong.spec(CUP, 1).adapters
    assert adapter.name.startswith("style.safetensors@")
    pictures = [one(model, CUP) for model in (plain, strong, weak)]
    assert not same(pictures[0], pictures[1])
    assert not same(pictures[1], pictures[2])


@pytest.mark.skipif(not HAS_PEFT, reason="needs peft")
@pytest.mark.parametrize("changes", [{"block": "elsewhere.7"}, {"width": 48}], ids=str)
def test_an_adapter_for_another_model_is_an_error(
    changes: dict[str, Any], tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    adapter = Adapter(str(write_adapter(tmp_path / "style.safetensors", **changes)))
    model = DiffusersModel(settings_of(tiny("sd"), adapters=(adapter,)))
    with pytest.raises(ConfigError, match=r"adapter style\.safetensors@.* cannot be laid over"):
        model.generate([model.spec(CUP, 1)])


@pytest.mark.skipif(not HAS_PEFT, reason="needs peft")
def test_an_adapter_is_one_safetensors_file(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    torch.save({}, tmp_path / "style.bin")
    with pytest.raises(ConfigError, match="one safetensors file"):
        DiffusersModel(settings_of(tiny("sd"), adapters=(Adapter(str(tmp_path)),)))


@pytest.mark.skipif(not HAS_PEFT, reason="needs peft")
@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_an_adapters_weight_is_finite(
    weight: float, tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    adapter = Adapter(str(write_adapter(tmp_path / "style.safetensors")), weight)
    with pytest.raises(ConfigError, match=f"is {weight:g}, but it is finite"):
        DiffusersModel(settings_of(tiny("sd"), adapters=(adapter,)))
