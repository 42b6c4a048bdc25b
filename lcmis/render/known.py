"""Models that people use, with the numbers that their authors run them with."""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import itertools
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pydantic

from lcmis.errors import ConfigError, UnknownNameError
from lcmis.machine.device import choose_device
from lcmis.machine.paths import shipped
from lcmis.plugins.settings import ModelSettings

if TYPE_CHECKING:
    from lcmis.render.conditioning import Defaults
    from lcmis.render.pipeline_folder import PipelineFolder

ANY_SCALE = 2.0
"""At which a model that can be guided is."""
FEW = 8
"""Steps up to which a family's own numbers suit a distilled model too."""
FEW_WORDS = frozenset(
    {"turbo", "lightning", "lcm", "hyper", "schnell", "distill", "distilled", "distil", "sprint"}
    | {"flash", "dmd", "dmd2", "tcd", "pcm", "sdxs", "instaflow"}
)
"""Words in a name with which people say that a model draws in few steps."""
STEPS_NAMED = re.compile(r"(?<![0-9a-z])([1-9]|1[0-6])-?steps?(?![a-z])")
FEW_SCHEDULERS = frozenset({"LCMScheduler", "TCDScheduler", "SCMScheduler"})
"""Schedulers that were made for distilled models, and are of no use to others."""
SINGLE_STEP_SCHEDULERS = frozenset(
    {"EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "DDIMScheduler"}
)
"""With trailing steps and noise to predict, these drive a distilled model; others are trained to
end at noise alone, and want trailing steps for that."""
FORMAT = re.compile(
    r"[-.](fp16|fp32|fp8|bf16|float16|float32|bfloat16|int8|int4|uint4|nf4|4bit|8bit|bnb|gguf|sdnq"
    r"|torchao|awq|scaled|e4m3fn|e5m2|q[2-8](-[k01])?(-[sml])?|diffusers|pruned|ema|emaonly)$"
)
"""What the spelling of a name says of the format that the same weights are in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """What is known of a checkpoint; None and "" leave a number to its family.

    Raises:
        ValueError: a number that no picture can have, or no name, pipeline or source.
    """

    title: str
    names: tuple[str, ...]
    """Hub names, and names of files and folders without their endings, ``*`` for anything."""
    pipelines: tuple[str, ...]
    """Diffusers classes that it may come as."""
    sources: tuple[str, ...]
    """Addresses at which its numbers stand."""
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    guidance: Literal[
        "guidance_scale",
        "true_cfg_scale",
        "distilled_guidance_scale",
        "prior_guidance_scale",
        "guider",
    ] = "guidance_scale"
    """The argument of the pipeline that the scale is, or the part that holds it."""
    height: int | None = None
    width: int | None = None
    dtype: str = ""
    """On an accelerator."""
    scheduler: str | None = None
    """Where the one that a model comes with is not what its authors draw with."""
    negative_prompt: str = ""
    few_steps: bool = False
    """Whether it was distilled, so that its family's numbers would ruin it."""
    mind: str = ""
    """What else is to be known."""

    def __post_init__(self) -> None:
        if not (self.title and self.names and self.pipelines and self.sources):
            raise ValueError(f"{self.title}: a title, names, pipelines and sources are needed")
        steps, scale = self.num_inference_steps, self.guidance_scale
        if (steps is not None and not 1 <= steps <= 200) or (
            scale is not None and not 0 <= scale <= 30
        ):
            raise ValueError(f"{self.title}: {steps} steps and guidance {scale} cannot be")
        if (self.height is None) != (self.width is None):
            raise ValueError(f"{self.title}: height and width belong together")

    def is_called(self, name: str) -> bool:
        """Whether a name means this model: a hub name, or the name of a file or folder."""
        asked, alone = spelled(name), spelled(name.rpartition("/")[2])
        few = says_few_steps(name)
        for pattern in self.names:
            if few and not says_few_steps(pattern):
                continue
            known = spelled(pattern)
            if fnmatch.fnmatchcase(asked if "/" in name else alone, known):
                return True
            if fnmatch.fnmatchcase(alone, known.rpartition("/")[2]):
                return True
        return False

    def holds(self, part: str) -> bool:
        """Whether the title or a name holds a part of a name, as :func:`spelled` writes it."""
        return any(part in spelled(name) for name in (self.title, *self.names))


@functools.cache
def known_models() -> tuple[KnownModel, ...]:
    """Every model of ``data/models.toml``, in its order."""
    table = tomllib.loads((shipped("data") / "models.toml").read_text("utf-8"))
    reads = pydantic.TypeAdapter(tuple[KnownModel, ...])
    return reads.validate_python(table["models"])


def known_as(name: str, pipeline: str | None = None) -> KnownModel | None:
    """The model that a name means, in any case and format; None if nobody here knows it.

    Args:
        name: a hub name, or the path of a file or folder, such as one in the hub's cache.
        pipeline: the class that it comes as, where that is known: another class is another model.
    """
    for called in _names_of(name):
        for model in known_models():
            if pipeline in (None, *model.pipelines) and model.is_called(called):
                return model
    return None


def find_known(name: str) -> list[KnownModel]:
    """The model that a name means, else all whose title or names hold it as a part.

    Raises:
        UnknownNameError: there is none.
    """
    model = known_as(name) if name else None
    part = spelled(name)
    found = [model] if model else [one for one in known_models() if one.holds(part)]
    if not found:
        raise UnknownNameError(
            f"nothing is known of {name!r}, so it would be run with the usual numbers of its "
            f"family, or with yours: lcmis models --known lists all"
        )
    return found


def _names_of(name: str) -> Iterator[str]:
    """A hub name as it is; of a path, the hub name that its cache spells, or its last part."""
    cached = re.search(r"models--([^/\\]+?)--([^/\\]+)", name)
    if cached:
        yield f"{cached[1]}/{cached[2]}"
    elif re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not name.startswith("."):
        yield name
    else:
        yield Path(name.rstrip("/\\")).expanduser().name


def spelled(name: str) -> str:
    """A name in small letters, without its ending and what it says of its format."""
    plain = re.sub(r"[_ ]+", "-", name.casefold())
    plain = re.sub(r"\.(safetensors|gguf|ckpt)$", "", plain)
    while shorter := FORMAT.sub("", plain):
        if shorter == plain:
            break
        plain = shorter
    return plain


def says_few_steps(name: str) -> str:
    """The word with which a name says that a few steps suffice; empty if it says nothing."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name)
    words = [word for word in re.split(r"[^a-z0-9]+", apart.casefold()) if word]
    for word, after in itertools.pairwise([*words, ""]):
        if word in FEW_WORDS and not (word == "hyper" and after.startswith("real")):
            return word
    named = STEPS_NAMED.search("-".join(words))
    return named[0] if named else ""


def with_known_numbers(
    settings: ModelSettings,
    folder: PipelineFolder,
    usual: Defaults,
    refusal: Callable[[float, str], str],
) -> tuple[ModelSettings, tuple[str, ...]]:
    """A user's settings, and what they leave open as its authors run this model.

    An adapter that is known goes before the model that it is laid over.

    Args:
        settings: what the user set, which stands.
        folder: the model's configuration.
        usual: what its family would be run with.
        refusal: why its family cannot follow a guidance scale and a negative prompt.

    Returns:
        The settings, and sentences that say what was taken from where and what is to be minded.

    Raises:
        ConfigError: it looks as if it were made for few steps, nobody here knows its numbers, and
            the user has not set them.
    """
    pipeline = folder.class_name
    adapters = [known_as(adapter.name, pipeline) for adapter in settings.adapters]
    found = [model for model in (*adapters, known_as(settings.name, pipeline)) if model]
    is_guided = not refusal(ANY_SCALE, "")
    _refuse_guesses(settings, folder, usual, found, is_guided)
    filled, taken = settings, {}
    for model in found:
        said = _left_open(filled, model)
        if "guidance_scale" in said and refusal(said["guidance_scale"], ""):
            del said["guidance_scale"]  # its authors' "none" is another number here
        filled = dataclasses.replace(filled, **said)
        scale = _first(filled.guidance_scale, usual.guidance_scale, 0.0)
        negative = model.negative_prompt
        if filled.negative_prompt is None and negative and not refusal(scale, negative):
            said["negative_prompt"] = negative
            filled = dataclasses.replace(filled, negative_prompt=negative)
        taken[model] = said
    return filled, tuple(_said(taken))


def _left_open(settings: ModelSettings, model: KnownModel) -> dict[str, Any]:
    """The numbers of a known model that nobody has set yet, by setting."""
    said = {
        name: getattr(model, name)
        for name in ("num_inference_steps", "guidance_scale", "scheduler")
        if getattr(settings, name) is None and getattr(model, name) is not None
    }
    if settings.height is None and settings.width is None and model.height is not None:
        said |= {"width": model.width, "height": model.height}
    if model.dtype and settings.dtype == "auto" and choose_device(settings.device) != "cpu":
        said["dtype"] = model.dtype
    return said


def _said(taken: Mapping[KnownModel, Mapping[str, Any]]) -> Iterator[str]:
    """What was taken from which model, and what its entry says is to be minded."""
    for model, numbers in taken.items():
        if numbers:
            yield as_run(model, numbers)
        if model.mind:
            yield f"{model.title}: {model.mind}"


def as_run(model: KnownModel, numbers: Mapping[str, Any]) -> str:
    """A sentence that says which settings a known model has given, and who says so."""
    told = ", ".join(f"{name} = {_shown(value)}" for name, value in numbers.items())
    return f"as {model.title} is run: {told} ({model.sources[0]})"


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else f"{value:g}"


def _refuse_guesses(
    settings: ModelSettings,
    folder: PipelineFolder,
    usual: Defaults,
    found: list[KnownModel],
    is_guided: bool,
) -> None:
    """What looks distilled and is not known is not drawn with the numbers of another model."""
    missing = [
        name
        for name in ("num_inference_steps", "guidance_scale")
        if getattr(settings, name) is None and (is_guided or name != "guidance_scale")
    ]
    suits = usual.num_inference_steps is not None and usual.num_inference_steps <= FEW
    if not missing or suits or any(model.few_steps for model in found):
        return
    of_adapters = [says_few_steps(adapter.name) for adapter in settings.adapters]
    known = found and not any(of_adapters)  # an undistilled model that its own entry speaks of
    sign = next((f"the name of an adapter says {word!r}" for word in of_adapters if word), "")
    sign = sign or ("" if known else _sign_of_few_steps(settings.name, folder))
    if sign:
        raise ConfigError(
            f"{settings.name} seems to be made for few steps ({sign}), and lcmis does not know how "
            f"its authors run it: set {' and '.join(missing)} as its card says"
        )


def _sign_of_few_steps(name: str, folder: PipelineFolder) -> str:
    """Why a model seems to be distilled; empty if it does not."""
    for called in _names_of(name):
        if word := says_few_steps(called):
            return f"its name says {word!r}"
    if folder.index.get("is_distilled") is True:
        return "its model_index.json says is_distilled"
    if folder.has("unet") and folder.config("unet").get("time_cond_proj_dim") is not None:
        return "its U-Net reads the guidance as an input, as distilled ones do"
    scheduler = folder.config("scheduler") if folder.has("scheduler") else {}
    kind = scheduler.get("_class_name")
    if kind in FEW_SCHEDULERS:
        return f"its scheduler is {kind}"
    if (
        kind in SINGLE_STEP_SCHEDULERS
        and scheduler.get("timestep_spacing") == "trailing"
        and scheduler.get("prediction_type", "epsilon") == "epsilon"
        and not scheduler.get("rescale_betas_zero_snr")
    ):
        return f"its {kind} has trailing steps"
    return ""


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)
