"""What draws first in a process of its own: tests load torch long before anything is drawn."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from worlds import drawing
from worlds.drawing import CUP, settings_of
from worlds.toys import pair

from lcmis.audit.provenance import provenance
from lcmis.errors import RenderError
from lcmis.plugins.settings import AuditSettings, CheckerSettings, ModelSettings
from lcmis.render import draw
from lcmis.render.diffusion import DiffusersModel
from lcmis.store import Drawn, Store, picture_hash
from lcmis.types import Render

ROOT = Path(__file__).parent.parent
tiny = drawing.tiny

BARE = """
import sys
from lcmis.plugins.opening import open_model
from lcmis.plugins.settings import ModelSettings
from lcmis.types import Stage

model = open_model(ModelSettings(sys.argv[1], num_inference_steps=1, height=32, width=32))
assert "torch" not in sys.modules
print(model.generate([]))
assert "torch" not in sys.modules
(picture,) = model.generate([model.spec((Stage("a red cup"),), 0)])
print(picture.size)
"""


def ran(*words: str | Path) -> str:
    """What a fresh interpreter prints."""
    asked = [sys.executable, *map(str, words)]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder(tiny: Callable[[str], Path]) -> Path:
    return tiny("sd")


def test_a_model_draws_before_anybody_has_loaded_torch_and_loads_it_only_to_draw(
    folder: Path,
) -> None:
    assert ran("-c", BARE, folder).splitlines() == ["[]", "(32, 32)"]


def test_what_a_machine_does_fastest_is_measured(folder: Path) -> None:
    flags = ["-m", folder, "-p", "teacup", "--limit", "1", "-c", "teacup-clip", "--steps", "1"]
    flags += ["--size", "32x32", "--batch", "1", "--no-compile", "--minutes", "0.0001", "--json"]
    (ways,) = json.loads(ran("-m", "lcmis", "tune", *flags)).values()
    assert ways[0]["way"]["name"] == "as it is"


def test_a_picture_is_drawn_again(folder: Path, tmp_path: Path) -> None:
    settings: ModelSettings = settings_of(folder)
    model = DiffusersModel(settings)
    spec, cup = model.spec(CUP, 3), pair("cup", "coke")
    (picture,) = draw(model, [spec])
    assert not isinstance(picture, RenderError)
    with Store(tmp_path / "store", create=True) as store:
        config = AuditSettings(models=(settings,), checkers=(CheckerSettings("clip"),), pairs=())
        store.add_run(provenance(config, "lcmis audit"))
        store.add_pairs([cup])
        render = Render(spec.key, picture_hash(picture), 1.0, "cpu")
        store.add_renders([Drawn(cup.key, spec, render, picture)])
    said = ran("-m", "lcmis", "replay", spec.key, "--store", tmp_path / "store")
    assert "bit for bit" in said
