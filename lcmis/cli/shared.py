"""What commands share: the flags of an audit, and the store they open."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
import sys
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lcmis.audit.config import PICTURES_VARIABLE, STORE_VARIABLE
from lcmis.cli.registered import CATALOGUES, complete, complete_or_path
from lcmis.errors import ConfigError
from lcmis.plugins.settings import USUAL_STORE, AuditSettings
from lcmis.types import Adapter, Embedding

if TYPE_CHECKING:
    from lcmis.plugins.settings import CheckerSettings, ModelSettings, TextModelSettings
    from lcmis.store import Store

StoreOption = Annotated[
    str | None,
    typer.Option("--store", help="Folder of the facts, or a database URL.  [default: audit]"),
]
PicturesOption = Annotated[
    str | None,
    typer.Option(
        "--pictures",
        help="Where the pictures lie, if not beside the facts: a folder or s3://BUCKET/PREFIX.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
YesOption = Annotated[
    bool,
    typer.Option("--yes", "-y", help="Draw without asking first; what it costs is said anyway."),
]
ModelsOption = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Only models whose name contains this.", show_default=False),
]
CheckerOption = Annotated[
    str | None,
    typer.Option(
        "--checker",
        "-c",
        help="Whose scores decide; that of the last audit by default.",
        show_default=False,
    ),
]
ThresholdOption = Annotated[
    float, typer.Option(min=0, max=1, help="Score from which a concept counts as present.")
]
LevelOption = Annotated[
    int | None,
    typer.Option(
        help="Pairs of this level or worse, instead of those decided to fail.", show_default=False
    ),
]


_SERVED = "How a checker behind an API is asked"
_WORKERS = "Who draws and checks"


def option(
    panel: str, text: str, *names: str, autocompletion: Callable[[str], list[str]] | None = None
) -> Any:
    """A flag in a panel of the help; what it is without being given is said in its text."""
    return typer.Option(
        *names,
        help=text,
        rich_help_panel=panel,
        show_default=False,
        autocompletion=autocompletion,
    )


def command_line() -> str:
    """What was typed after ``lcmis``, as runs keep it."""
    return " ".join(sys.argv[1:])


def settings(
    config: Annotated[
        Path | None, typer.Argument(help="An audit.toml; flags go before what it says.")
    ] = None,
    *,
    model: Annotated[
        list[str] | None,
        option(
            "What is audited",
            "One of {models}, a folder or a hub name, NAME or NAME@REVISION; may be repeated.",
            "--model",
            "-m",
            autocompletion=complete_or_path("models"),
        ),
    ] = None,
    checker: Annotated[
        list[str] | None,
        option(
            "What is audited",
            "KIND:NAME, such as vqa:Qwen/Qwen2-VL-2B-Instruct, clip:ViT-B-32/openai or "
            "openai:MODEL of a server; kinds are {checkers}. The first one decides, the others are "
            "second opinions; may be repeated.",
            "--checker",
            "-c",
            autocompletion=complete("checkers"),
        ),
    ] = None,
    pairs: Annotated[
        list[str] | None,
        option(
            "What is audited",
            "A shipped catalogue ({catalogues}), a file of pairs, or a set of prompts that "
            "`lcmis import` reads (those that ask for no two concepts are left out); may be "
            "repeated.",
            "--pairs",
            "-p",
            autocompletion=complete_or_path(CATALOGUES),
        ),
    ] = None,
    column: Annotated[
        str | None,
        option("What is audited", "Of a set, the column that holds the prompts.", "--column"),
    ] = None,
    patterns: Annotated[
        list[str] | None,
        option("What is audited", "Only pairs whose pattern contains this.", "--pattern"),
    ] = None,
    limit: Annotated[
        int | None,
        option("What is audited", "So many pairs at the most, spread over the patterns."),
    ] = None,
    steps: Annotated[int | None, option("How pictures are drawn", "Denoising steps.")] = None,
    guidance: Annotated[float | None, option("How pictures are drawn", "Guidance scale.")] = None,
    scheduler: Annotated[
        str | None,
        option("How pictures are drawn", "A diffusers scheduler: EulerDiscreteScheduler, …"),
    ] = None,
    size: Annotated[str | None, option("How pictures are drawn", "WIDTHxHEIGHT in pixels.")] = None,
    negative_prompt: Annotated[
        str | None, option("How pictures are drawn", "What to steer away from.")
    ] = None,
    adapter: Annotated[
        list[str] | None,
        option("How pictures are drawn", "LoRA weights laid over the model: NAME or NAME:WEIGHT."),
    ] = None,
    base: Annotated[
        str | None,
        option(
            "How pictures are drawn",
            "Of a single file of weights: the hub name or folder that says how its model is built.",
        ),
    ] = None,
    vae: Annotated[
        str | None,
        option("How pictures are drawn", "Another VAE: a hub name, a folder or a file."),
    ] = None,
    variant: Annotated[
        str | None,
        option("How pictures are drawn", "Which weights of a folder with several: fp16, …"),
    ] = None,
    refiner: Annotated[
        str | None,
        option(
            "How pictures are drawn",
            "Of Stable Diffusion XL: who may draw the last steps of a repair, e.g. "
            "stabilityai/stable-diffusion-xl-refiner-1.0.",
        ),
    ] = None,
    embedding: Annotated[
        list[str] | None,
        option(
            "How pictures are drawn",
            "A word of one's own (textual inversion): NAME or NAME:TOKEN; may be repeated.",
        ),
    ] = None,
    device: Annotated[
        str | None, option("How pictures are drawn", "auto, cpu, cuda, cuda:1, mps.")
    ] = None,
    dtype: Annotated[
        str | None, option("How pictures are drawn", "auto, float32, float16 or bfloat16.")
    ] = None,
    offload: Annotated[
        str | None,
        option(
            "How pictures are drawn",
            "none, encoders, model, group or sequential: what a small GPU needs.",
        ),
    ] = None,
    batch: Annotated[
        int | None, option("How pictures are drawn", "Pictures drawn at once.")
    ] = None,
    checker_endpoint: Annotated[
        str | None,
        option(_SERVED, "Its address, else LCMIS_ENDPOINT; its key is in LCMIS_API_KEY."),
    ] = None,
    checker_samples: Annotated[
        int | None,
        option(_SERVED, "Replies drawn and counted, where it tells no probabilities of words: 9."),
    ] = None,
    checker_thinking: Annotated[
        int | None,
        option(_SERVED, "Tokens of a thought before each reply, of a model that thinks."),
    ] = None,
    checker_effort: Annotated[
        str | None, option(_SERVED, "How hard it thinks, as the service calls it: low, medium, …")
    ] = None,
    checker_in_flight: Annotated[int | None, option(_SERVED, "Requests at once: 8.")] = None,
    checker_price: Annotated[
        str | None,
        option(_SERVED, "READ:WRITTEN, of a million tokens each, in the currency of your bill."),
    ] = None,
    checker_spend_limit: Annotated[
        float | None,
        option(_SERVED, "What one run may spend on it; needs the price."),
    ] = None,
    service: Annotated[
        list[str] | None,
        option(
            "How a service is asked",
            "An address of a hosted: model; of several, each does a part of the work.",
        ),
    ] = None,
    seeded: Annotated[
        bool | None,
        option(
            "How a service is asked",
            "It draws from seed, steps and guidance, as vLLM-Omni and SGLang do.",
            "--seeded/--no-seeded",
        ),
    ] = None,
    in_flight: Annotated[
        int | None,
        option("How a service is asked", "Requests under way at each address at once: 4."),
    ] = None,
    rule: Annotated[
        str | None, option("When a pair is decided", "sprt, curtailed or fixed.")
    ] = None,
    cap: Annotated[
        int | None, option("When a pair is decided", "Pictures of one pair at the most.")
    ] = None,
    threshold: Annotated[
        float | None,
        option("When a pair is decided", "Score from which a concept counts as present."),
    ] = None,
    workers: Annotated[
        int | None,
        option(_WORKERS, "Processes that draw and check side by side; needs lcmis[cluster]."),
    ] = None,
    ray: Annotated[
        str | None,
        option(_WORKERS, "The address of a Ray cluster, HOST:PORT, or auto for this machine's."),
    ] = None,
    shard: Annotated[
        str | None,
        option(_WORKERS, "i/n: only the i-th of n parts of the pairs, for a queue system."),
    ] = None,
    store: StoreOption = None,
    pictures: PicturesOption = None,
) -> AuditSettings:
    """Lay the flags over a file; `audit` and `plan` share them: what is planned is drawn."""
    from lcmis.audit.config import checker_settings, load_config, model_settings

    read = load_config(
        config,
        models=[model_settings(text) for text in model] if model else None,
        checkers=[checker_settings(text) for text in checker] if checker else None,
        pairs=pairs or None,
        column=column,
        patterns=patterns or None,
        limit=limit,
        threshold=threshold,
        store=store,
        pictures=pictures or None,
        stopping={k: v for k, v in (("rule", rule), ("cap", cap)) if v is not None} or None,
        shard=shard,
        workers={k: v for k, v in (("count", workers), ("ray", ray)) if v is not None} or None,
    )
    width, height = _width_height(size) if size else (None, None)
    drawing = {
        "num_inference_steps": steps,
        "guidance_scale": guidance,
        "scheduler": scheduler,
        "width": width,
        "height": height,
        "negative_prompt": negative_prompt,
        "adapters": tuple(_adapter(text) for text in adapter) if adapter else None,
        "base": base,
        "vae": vae,
        "variant": variant,
        "refiner": refiner,
        "embeddings": tuple(_embedding(text) for text in embedding) if embedding else None,
        "device": device,
        "dtype": dtype,
        "offload": offload,
        "batch_size": batch,
    }
    price_read, price_written = _two_prices(checker_price) if checker_price else (None, None)
    asking = {
        "endpoint": checker_endpoint,
        "samples": checker_samples,
        "thinking_tokens": checker_thinking,
        "reasoning_effort": checker_effort,
        "in_flight": checker_in_flight,
        "price_read": price_read,
        "price_written": price_written,
        "spend_limit": checker_spend_limit,
    }
    given: dict[str, Any] = {name: value for name, value in drawing.items() if value is not None}
    told: dict[str, Any] = {name: value for name, value in asking.items() if value is not None}
    models = [dataclasses.replace(entry, **given) for entry in read.models]
    asked = {"seeded": seeded, "in_flight": in_flight}
    reached: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    if service:
        reached |= {"endpoint": "", "endpoints": tuple(service)}
    return dataclasses.replace(
        read,
        models=tuple(_reached(models, reached)),
        checkers=_asked_so(read.checkers, told),
    )


def _asked_so(
    checkers: tuple[CheckerSettings, ...], told: dict[str, Any]
) -> tuple[CheckerSettings, ...]:
    """Flags laid over every checker behind an API; the others have no use for them."""
    if told and not any(entry.remote for entry in checkers):
        raise ConfigError(
            "a flag speaks of a checker behind an API, but none is named: name one with "
            "--checker openai:MODEL, or under [[checkers]] in the file"
        )
    return tuple(
        dataclasses.replace(entry, remote=dataclasses.replace(entry.remote, **told))
        if entry.remote
        else entry
        for entry in checkers
    )


def _reached(models: list[ModelSettings], told: dict[str, Any]) -> list[ModelSettings]:
    """What the command line says of services, laid over what a file says.

    Raises:
        ConfigError: there is none among the models.
    """
    if told and not any(model.hosted for model in models):
        raise ConfigError(
            "a flag speaks of a service, but no model is one: name one with --model hosted:NAME"
        )
    return [
        dataclasses.replace(model, hosted=dataclasses.replace(model.hosted, **told))
        if model.hosted
        else model
        for model in models
    ]


# ── text models ──────────────────────────────────────────────────────────────────────────────────

_ASKED = "Which text model is asked"


@dataclass(frozen=True, slots=True)
class TextModelFlags:
    """What the command line says of a text model; None where it says nothing."""

    text_model: str | None
    endpoint: str | None
    vision: bool | None
    max_tokens: int | None
    temperature: float | None
    deadline: float | None

    def over(self, settings: TextModelSettings | None) -> TextModelSettings | None:
        """Laid over what a file says, or a command's own choice; None where nobody names one.

        Raises:
            ConfigError: flags for a text model that nobody named.
        """
        from lcmis.audit.config import kind_and_name, text_model_settings

        given: dict[str, Any] = {
            "endpoint": self.endpoint,
            "sees_images": self.vision,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "deadline_seconds": self.deadline,
        }
        changes = {name: value for name, value in given.items() if value is not None}
        if self.text_model and settings is not None:
            changes |= kind_and_name(self.text_model)
        elif self.text_model:
            settings = text_model_settings(self.text_model)
        if settings is None and changes:
            raise ConfigError(
                "a flag speaks of a text model, but none is named: name one with --text-model, or "
                "under [text_model] in the file"
            )
        return dataclasses.replace(settings, **changes) if settings is not None else None


def text_model_flags(
    *,
    text_model: Annotated[
        str | None,
        option(
            _ASKED,
            "KIND or KIND:NAME, such as openai:MODEL or local:FOLDER; kinds are {text_models}; "
            "else the file's.",
            autocompletion=complete("text_models"),
        ),
    ] = None,
    endpoint: Annotated[
        str | None,
        option(_ASKED, "Its address, else LCMIS_ENDPOINT; its key is in LCMIS_API_KEY."),
    ] = None,
    vision: Annotated[
        bool | None,
        option(_ASKED, "It sees pictures, or does not.", "--vision/--no-vision"),
    ] = None,
    max_tokens: Annotated[
        int | None, option(_ASKED, "How long one reply may be, thoughts included: 4096.")
    ] = None,
    temperature: Annotated[
        float | None, option(_ASKED, "From 0 up; its own choice by default.")
    ] = None,
    deadline: Annotated[
        float | None, option(_ASKED, "Seconds that one answer may take, retries included: 120.")
    ] = None,
) -> TextModelFlags:
    """The flags of every command that asks a text model."""
    return TextModelFlags(text_model, endpoint, vision, max_tokens, temperature, deadline)


# ── commands that share flags ────────────────────────────────────────────────────────────────────


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Of a function, with the annotations typer reads in place of their spelling."""
    hints = typing.get_type_hints(function, include_extras=True)
    return [
        parameter.replace(annotation=hints[parameter.name])
        for parameter in inspect.signature(function).parameters.values()
    ]


def _given(
    command: Callable[..., None], name: str, read: Callable[..., Any]
) -> Callable[..., None]:
    """The command with all the flags of ``read``, called with what that makes of them."""
    shared = _parameters(read)
    own = [parameter for parameter in _parameters(command) if parameter.name != name]

    @functools.wraps(command)
    def run(**flags: Any) -> None:
        mine = {parameter.name: flags.pop(parameter.name) for parameter in own}
        command(**{name: read(**flags)}, **mine)

    del run.__wrapped__  # or typer would look through to the command's own parameters
    parameters = sorted([*shared, *own], key=lambda parameter: parameter.kind)
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all the flags of :func:`settings`; it is called with ``config``."""
    return _given(command, "config", settings)


def with_text_model(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all the flags of :func:`text_model_flags`; it is called with ``asked``."""
    return _given(command, "asked", text_model_flags)


def store_name(store: str | None) -> str:
    """The store that a command works on: the flag, else the environment, else the default."""
    return store or os.environ.get(STORE_VARIABLE) or USUAL_STORE


def open_store(
    store: str | None,
    pictures: str | None = None,
    *,
    read_only: bool = False,
    create: bool = False,
) -> Store:
    """Open it; none of SQLAlchemy is imported before."""
    from lcmis.store import Store
    from lcmis.store.places import refuse_passing

    name = store_name(store)
    if "://" in name:
        pictures = pictures or os.environ.get(PICTURES_VARIABLE)
    refuse_passing(pictures or "")
    return Store(
        name,
        pictures=pictures or None,
        read_only=read_only,
        create=create,
    )


def _width_height(size: str) -> tuple[int, int]:
    width, cross, height = size.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise ConfigError(f"--size is {size!r}, but it is WIDTHxHEIGHT, such as 1024x768")
    return int(width), int(height)


def _two_prices(text: str) -> tuple[float, float]:
    read, _, written = text.partition(":")
    try:
        return float(read), float(written)
    except ValueError as error:
        raise ConfigError(
            f"--checker-price is {text!r}, but it is READ:WRITTEN, such as 0.15:0.60"
        ) from error


def _embedding(text: str) -> Embedding:
    name, _, token = text.partition(":")
    if not name or (token == "" and ":" in text):
        raise ConfigError(
            f"--embedding is {text!r}, but it is NAME or NAME:TOKEN, such as toy.safetensors:<toy>"
        )
    return Embedding(name, token)


def _adapter(text: str) -> Adapter:
    name, colon, weight = text.rpartition(":")
    if not colon:
        return Adapter(text)
    try:
        return Adapter(name, float(weight))
    except ValueError as error:
        raise ConfigError(
            f"--adapter is {text!r}, but it is NAME or NAME:WEIGHT, such as my-lora:0.8"
        ) from error
