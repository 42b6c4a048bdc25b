"""`lcmis …`: parse, call, print."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import os
import sys
import tempfile
import typing
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lcmis import __version__
from lcmis.config import PICTURES_VARIABLE, STORE_VARIABLE, AuditConfig
from lcmis.errors import ConfigError, UserError
from lcmis.types import Adapter

if TYPE_CHECKING:
    from lcmis.store import Store

app = typer.Typer(
    help="Audits text-to-image models for latent concept misalignment: asked for a tea cup of iced "
    "coke, a model paints a glass. lcmis draws such pairs, checks every picture, and says which "
    "pairs fail, how often, with what certainty, and what is painted instead.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
db = typer.Typer(help="Look after the database.", no_args_is_help=True)
app.add_typer(db, name="db")

StoreOption = Annotated[
    str | None,
    typer.Option("--store", help="Folder of the facts, or a database URL.  [default: audit]"),
]
PicturesOption = Annotated[
    Path | None,
    typer.Option("--pictures", help="Where the pictures lie, if the store is a database URL."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


def _option(panel: str, text: str, *names: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, show_default=False)


def settings(
    config: Annotated[
        Path | None, typer.Argument(help="An audit.toml; flags go before what it says.")
    ] = None,
    *,
    model: Annotated[
        list[str] | None,
        _option(
            "What is audited",
            "A registered name, a folder or a hub name, NAME or NAME@REVISION; may be repeated.",
            "--model",
            "-m",
        ),
    ] = None,
    checker: Annotated[
        list[str] | None,
        _option(
            "What is audited",
            "KIND:NAME, such as vqa:Qwen/Qwen2-VL-2B-Instruct or clip:ViT-B-32/openai; the first "
            "one decides, the others are second opinions.",
            "--checker",
            "-c",
        ),
    ] = None,
    pairs: Annotated[
        list[str] | None,
        _option(
            "What is audited",
            "A shipped catalogue (everyday, teacup) or a file of pairs; may be repeated.",
            "--pairs",
            "-p",
        ),
    ] = None,
    patterns: Annotated[
        list[str] | None,
        _option("What is audited", "Only pairs whose pattern contains this.", "--pattern"),
    ] = None,
    limit: Annotated[
        int | None,
        _option("What is audited", "So many pairs at the most, spread over the patterns."),
    ] = None,
    steps: Annotated[int | None, _option("How pictures are drawn", "Denoising steps.")] = None,
    guidance: Annotated[float | None, _option("How pictures are drawn", "Guidance scale.")] = None,
    scheduler: Annotated[
        str | None,
        _option("How pictures are drawn", "A diffusers scheduler: EulerDiscreteScheduler, …"),
    ] = None,
    size: Annotated[
        str | None, _option("How pictures are drawn", "WIDTHxHEIGHT in pixels.")
    ] = None,
    negative_prompt: Annotated[
        str | None, _option("How pictures are drawn", "What to steer away from.")
    ] = None,
    adapter: Annotated[
        list[str] | None,
        _option("How pictures are drawn", "LoRA weights laid over the model: NAME or NAME:WEIGHT."),
    ] = None,
    device: Annotated[
        str | None, _option("How pictures are drawn", "auto, cpu, cuda, cuda:1, mps.")
    ] = None,
    dtype: Annotated[
        str | None, _option("How pictures are drawn", "auto, float32, float16 or bfloat16.")
    ] = None,
    offload: Annotated[
        str | None,
        _option("How pictures are drawn", "none, model or sequential: what a small GPU needs."),
    ] = None,
    batch: Annotated[
        int | None, _option("How pictures are drawn", "Pictures drawn at once.")
    ] = None,
    rule: Annotated[
        str | None, _option("When a pair is decided", "sprt, curtailed or fixed.")
    ] = None,
    cap: Annotated[
        int | None, _option("When a pair is decided", "Pictures of one pair at the most.")
    ] = None,
    threshold: Annotated[
        float | None,
        _option("When a pair is decided", "Score from which a concept counts as present."),
    ] = None,
    store: StoreOption = None,
    pictures: PicturesOption = None,
) -> AuditConfig:
    """Lay the flags over a file; `audit` and `plan` share them: what is planned is drawn."""
    from lcmis.config import checker_settings, load_config, model_settings

    read = load_config(
        config,
        models=[model_settings(text) for text in model] if model else None,
        checkers=[checker_settings(text) for text in checker] if checker else None,
        pairs=pairs or None,
        patterns=patterns or None,
        limit=limit,
        threshold=threshold,
        store=store,
        pictures=str(pictures) if pictures else None,
        stopping={k: v for k, v in (("rule", rule), ("cap", cap)) if v is not None} or None,
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
        "device": device,
        "dtype": dtype,
        "offload": offload,
        "batch_size": batch,
    }
    given: dict[str, Any] = {name: value for name, value in drawing.items() if value is not None}
    return dataclasses.replace(
        read, models=tuple(dataclasses.replace(entry, **given) for entry in read.models)
    )


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Of a function, with the annotations typer reads in place of their spelling."""
    hints = typing.get_type_hints(function, include_extras=True)
    return [
        parameter.replace(annotation=hints[parameter.name])
        for parameter in inspect.signature(function).parameters.values()
    ]


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all the flags of :func:`settings`; it is called with the AuditConfig."""
    shared, own = _parameters(settings), _parameters(command)[1:]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        mine = {parameter.name: given.pop(parameter.name) for parameter in own}
        command(settings(given.pop("config"), **given), **mine)

    del run.__wrapped__  # or typer would look through to the command's own parameters
    run.__signature__ = inspect.Signature([*shared, *own])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in [*shared, *own]}
    return run


# ── the main job ─────────────────────────────────────────────────────────────────────────────────


@app.command()
@with_settings
def audit(config: AuditConfig, *, json: JsonOption = False) -> None:
    """Draw, check and judge concept pairs; run it again to go on where it stopped.

    Without arguments it audits the two miniature models that come with lcmis.

    Another model: lcmis audit -m MODEL -p everyday -c vqa:CHECKER
    """
    from lcmis import terminal
    from lcmis.audit import Audit

    with _open(config.store, config.pictures, create=True) as facts:
        with terminal.progress(quiet=json) as watch:
            result = Audit(config, facts, watch).run(" ".join(sys.argv[1:]))
        terminal.print_json(result) if json else terminal.print_result(result, config.store)


@app.command()
@with_settings
def plan(config: AuditConfig, *, json: JsonOption = False) -> None:
    """Say what an audit would draw, how long it takes and what it can detect; draw nothing."""
    from lcmis import terminal
    from lcmis.audit import Audit

    with contextlib.ExitStack() as stack:
        place = config.store
        if "://" not in place and not Path(place).exists():  # a plan leaves nothing behind
            place = stack.enter_context(tempfile.TemporaryDirectory())
        facts = stack.enter_context(_open(place, config.pictures, create=True))
        plans = Audit(config, facts).plan()
        terminal.print_json(plans) if json else terminal.print_plan(plans, config)


@app.command()
@with_settings
def repair(
    config: AuditConfig,
    *,
    method: Annotated[
        str, typer.Option(help="portfolio, moce, moce-bisect, moce-replicate, rewrite.")
    ] = "portfolio",
    budget: Annotated[int, typer.Option(help="Pictures that one pair's search may ask for.")] = 120,
    seconds: Annotated[
        float | None, typer.Option(help="That one pair's search may take.", show_default=False)
    ] = None,
    certificate: Annotated[int, typer.Option(help="Fresh seeds for the proof.")] = 20,
    level: Annotated[
        int | None,
        typer.Option(
            "--level",
            help="Pairs of this level or worse, instead of those decided to fail.",
            show_default=False,
        ),
    ] = None,
    text_model: Annotated[
        str | None,
        typer.Option(
            help="Asked for other prompts: KIND or KIND:NAME, such as openai:MODEL.",
            show_default=False,
        ),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(help="Of the text model; its key is in LCMIS_API_KEY.", show_default=False),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Look for another way of prompting for every pair that fails, and prove it on fresh seeds.

    Needs an audit first. The second checker guides the search; the first one, which the search
    never sees, judges what was found. Run it again to go on where it stopped.
    """
    from lcmis import terminal
    from lcmis.config import text_model_settings
    from lcmis.repairing import Repair, RepairSettings

    texts = text_model_settings(text_model, endpoint) if text_model else None
    chosen = RepairSettings(method, budget, seconds, certificate, level, texts)
    with _open(config.store, config.pictures) as facts:
        with terminal.repair_progress(quiet=json) as watch:
            result = Repair(config, facts, chosen, watch).run(" ".join(sys.argv[1:]))
        terminal.print_json(result) if json else terminal.print_repairs(result)


@app.command()
def export(
    form: Annotated[
        str,
        typer.Argument(metavar="FORMAT", help="csv, jsonl, parquet, diffusers, a1111 or comfyui."),
    ],
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; it is replaced.")],
    every: Annotated[
        bool, typer.Option("--every", help="Also prompts whose certificate did not pass.")
    ] = False,
    checker: Annotated[
        str | None, typer.Option("--checker", "-c", help="Certify by another checker.")
    ] = None,
    store: StoreOption = None,
    pictures: PicturesOption = None,
) -> None:
    """Take repaired prompts to your own tool, with their seeds, scores and certificates."""
    from lcmis.export import export as write
    from lcmis.findings import deciding_checker
    from lcmis.repairing import repaired_prompts

    with _open(store, pictures, read_only=True) as facts:
        found = repaired_prompts(facts, deciding_checker(facts, checker), every=every)
    write(found, form, path)
    print(f"{len(found)} repaired prompts in {path}")


@app.command()
def show(
    what: Annotated[
        str | None,
        typer.Argument(
            help="`failures`, the prompt or key of a pair, or the key of a picture; "
            "without it, every pair."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Only models whose name contains this.")
    ] = None,
    checker: Annotated[
        str | None, typer.Option("--checker", "-c", help="Judge by another checker.")
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Score from which a concept counts as present.")
    ] = 0.5,
    store: StoreOption = None,
    pictures: PicturesOption = None,
    json: JsonOption = False,
) -> None:
    """Look at what is stored: all pairs, one pair, or one picture with all its scores."""
    from lcmis import terminal
    from lcmis.findings import look_up

    with _open(store, pictures, read_only=True) as facts:
        found = look_up(facts, what, model=model, checker=checker, threshold=threshold)
    terminal.print_json(found) if json else terminal.print_found(found)


@app.command()
def models(json: JsonOption = False) -> None:
    """List the image models that lcmis knows by name."""
    from lcmis import terminal
    from lcmis.registry import describe

    hint = (
        "Any other name is a diffusers model: a folder, or a hub name such as "
        "stabilityai/stable-diffusion-xl-base-1.0."
    )
    terminal.print_json(describe("models")) if json else terminal.print_names(
        describe("models"), hint
    )


@app.command()
def checkers(json: JsonOption = False) -> None:
    """List the kinds of checkers."""
    from lcmis import terminal
    from lcmis.registry import describe

    hint = (
        "Name a model after the kind: vqa:Qwen/Qwen2-VL-2B-Instruct, clip:ViT-B-32/openai, "
        "or a folder."
    )
    terminal.print_json(describe("checkers")) if json else terminal.print_names(
        describe("checkers"), hint
    )


@app.command()
@with_settings
def doctor(config: AuditConfig, *, json: JsonOption = False) -> None:
    """Examine this machine: versions, memory, device, checkers on known pictures, equal bits."""
    from lcmis import terminal
    from lcmis.doctor import examine

    found = []
    for finding in examine(config, Path(config.store)):
        found.append(finding)
        if not json:
            terminal.print_health([finding])
    if json:
        terminal.print_json(found)
    raise typer.Exit(1 if any(finding.state == "fault" for finding in found) else 0)


@app.command()
def replay(
    key: Annotated[str, typer.Argument(help="The key of a picture, or its beginning.")],
    store: StoreOption = None,
    pictures: PicturesOption = None,
    json: JsonOption = False,
) -> None:
    """Draw one stored picture again and say whether it is the same; exit code 1 if it is not."""
    from lcmis import terminal
    from lcmis.audit import replay as draw_again

    with _open(store, pictures, read_only=True) as facts:
        result = draw_again(facts, key, AuditConfig())
    terminal.print_json(result) if json else terminal.print_replay(result)
    raise typer.Exit(0 if result.same else 1)


@app.command()
def dashboard(
    store: StoreOption = None,
    pictures: PicturesOption = None,
    port: Annotated[int, typer.Option(help="On this machine's loopback address.")] = 8501,
) -> None:
    """Look at the pictures in a browser; reads the store and changes nothing."""
    from lcmis.paths import shipped

    folder = _store_name(store)
    command = [sys.executable, "-m", "streamlit", "run", str(shipped("dashboard") / "app.py")]
    options = {
        "server.address": "127.0.0.1",
        "server.port": str(port),
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": "false",
    }
    for name, value in options.items():
        command += [f"--{name}", value]
    place = folder if "://" in folder else str(Path(folder).resolve())
    told = {STORE_VARIABLE: place} | ({PICTURES_VARIABLE: str(pictures)} if pictures else {})
    print(f"lcmis dashboard: http://127.0.0.1:{port} (Ctrl-C ends it)", flush=True)
    os.execve(sys.executable, command, {**os.environ, **told})


@db.command()
def upgrade(store: StoreOption = None) -> None:
    """Bring an older store to this version; a copy of the old database is kept beside it."""
    from lcmis.store.schema import upgrade_store

    print(upgrade_store(_store_name(store)))


@db.command()
def check(store: StoreOption = None, pictures: PicturesOption = None) -> None:
    """Compare the schema, and re-hash every picture and key; exit code 1 if anything disagrees."""
    from lcmis import terminal

    with _open(store, pictures, read_only=True) as facts:
        faults = [*facts.drift(), *facts.verify()]
    terminal.print_faults(faults)
    raise typer.Exit(1 if faults else 0)


# ── shared ───────────────────────────────────────────────────────────────────────────────────────


def _store_name(store: str | None) -> str:
    return store or os.environ.get(STORE_VARIABLE) or AuditConfig().store


def _open(
    store: str | None,
    pictures: str | Path | None = None,
    *,
    read_only: bool = False,
    create: bool = False,
) -> Store:
    from lcmis.store import Store

    return Store(
        _store_name(store),
        pictures=Path(pictures) if pictures else None,
        read_only=read_only,
        create=create,
    )


def _width_height(size: str) -> tuple[int, int]:
    width, cross, height = size.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise ConfigError(f"--size is {size!r}, but it is WIDTHxHEIGHT, such as 1024x768")
    return int(width), int(height)


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


def _version(wanted: bool) -> None:
    if wanted:
        print(f"lcmis {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    """Takes what belongs to no command."""


def main() -> None:
    """Run a command; what the user can mend is one sentence and exit code 2."""
    try:
        app()
    except UserError as error:
        print(f"lcmis: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("\nlcmis: stopped; run the same command again to go on", file=sys.stderr)
        raise SystemExit(130) from None
