"""Whether a scheduler can drive a model: what must be installed, and which settings it takes."""

from __future__ import annotations

import ast
import importlib.util
import inspect
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from lcmis.errors import ConfigError
from lcmis.render.forms.quantised import refuse_absent

PACKAGES = {
    "note_seq": "note-seq",
    "onnx": "onnxruntime",
    "opencv": "opencv-python",
    "optimum_quanto": "optimum-quanto",
}
"""What diffusers calls a package to what it is installed as, where that differs."""
OURS = frozenset({"torch", "transformers"})
"""Come with lcmis; whether they are there is not asked, for a plan is made without them."""
STEP = ("self", "model_output", "timestep", "sample")
"""What every pipeline tells a scheduler at a step."""


def refuse_packages(name: str, class_name: str) -> None:
    """A class of diffusers may need more than diffusers does.

    Args:
        name: what a sentence says of the class, e.g. ``"the scheduler X is in diffusers"``.
        class_name: the class.

    Raises:
        ConfigError: a package is not installed.
    """
    for package in needed(class_name):
        if package in OURS:
            continue
        refuse_absent(PACKAGES.get(package, package), name)


@cache
def needed(class_name: str) -> tuple[str, ...]:
    """The packages that a class needs, as diffusers calls them.

    Read from the stand-ins that diffusers has for the classes of each package.
    """
    found = importlib.util.find_spec("diffusers")
    if found is None or found.origin is None:
        return ()
    for file in sorted((Path(found.origin).parent / "utils").glob("dummy_*_objects.py")):
        source = file.read_text(encoding="utf-8")
        start = source.find(f"class {class_name}(")
        if start >= 0:
            listed = source[source.index("[", start) : source.index("]", start) + 1]
            return tuple(map(str, ast.literal_eval(listed)))
    return ()


def refuse_unfit(class_name: str, config: Mapping[str, Any], steps: int) -> None:
    """Try a scheduler on the model's own settings, before any weights are read.

    Args:
        class_name: one of diffusers.
        config: of the model's own scheduler.
        steps: that will be drawn.

    Raises:
        ConfigError: it does not take them, or it is none that a text-to-image pipeline can call.
    """
    import diffusers

    sentence = f"the scheduler {class_name} cannot drive this model"
    kind = getattr(diffusers, class_name)
    step = inspect.signature(kind.step).parameters if hasattr(kind, "step") else {}
    needed = [name for name, one in step.items() if one.default is one.empty]
    if not step or any(name not in STEP and name not in ("args", "kwargs") for name in needed):
        raise ConfigError(f"{sentence}: it is called otherwise; set another one")
    try:
        scheduler = kind.from_config(dict(config))
        scheduler.set_timesteps(steps)
    except (AttributeError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(f"{sentence} in {steps} steps ({reason}): set another one") from error
    if not class_name.startswith("FlowMatch"):
        for attribute in ("init_noise_sigma", "scale_model_input", "order"):
            if not hasattr(scheduler, attribute):
                raise ConfigError(f"{sentence}: it is called otherwise; set another one")


def seed_noise(scheduler: Any, seeds: Sequence[int]) -> None:
    """Let a scheduler that makes noise of its own make it from the pictures' seeds.

    DPMSolverSDEScheduler would draw one seed for a whole batch from the process's own generator: no
    picture could be drawn again.
    """
    if hasattr(scheduler, "noise_sampler_seed"):
        scheduler.noise_sampler_seed = list(seeds)
