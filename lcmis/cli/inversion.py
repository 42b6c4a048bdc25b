"""From a picture to prompts."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from lcmis.audit.config import checker_settings, model_settings, text_model_settings
from lcmis.cli.registered import complete, complete_or_path
from lcmis.cli.shared import JsonOption, TextModelFlags, YesOption, option, with_text_model
from lcmis.errors import ConfigError
from lcmis.invert.masks import MaskBy
from lcmis.machine.paths import shipped
from lcmis.plugins.settings import CheckerSettings

MINIATURE = "teacup-"
"""Models of these names bring their own encoders, text model and writer."""
WRITERS = {"teacup-narrow": "teacup-writer", "teacup-broad": "teacup-writer-broad"}
"""Each reads the embeddings of one text encoder alone."""
GUIDE, GUARD, TEXT_MODEL = "teacup-clip", "teacup-guard", "phrasebook"


_METHODS, _MAKE = "How it is inverted", "What is made of the prompts"


@with_text_model
def invert(
    picture: Annotated[Path, typer.Argument(help="A PNG, JPEG or WebP file.")],
    *,
    asked: TextModelFlags,
    method: Annotated[
        str | None,
        option(
            _METHODS,
            "One or more of {inverters}, with commas; else all.",
            autocompletion=complete("inverters"),
        ),
    ] = None,
    model: Annotated[
        str,
        option(
            _METHODS,
            "Paints the prompts: {models}, a folder or a hub name.",
            "--model",
            "-m",
            autocompletion=complete_or_path("models"),
        ),
    ] = "teacup-broad",
    guide: Annotated[
        str | None,
        option(
            _METHODS,
            "Encoder that searches, as KIND:NAME, such as clip:ViT-L-14/datacomp_xl_s13b_b90k; "
            "kinds are {checkers}.",
            autocompletion=complete("checkers"),
        ),
    ] = None,
    guard: Annotated[str | None, option(_METHODS, "Encoder that judges, never the guide.")] = None,
    writer: Annotated[
        str | None,
        option(
            _METHODS,
            "Turns embeddings into text, for editor: {writers}, or a folder.",
            autocompletion=complete_or_path("writers"),
        ),
    ] = None,
    table: Annotated[
        Path | None,
        option(_METHODS, "A TOML file of phrases, for interrogator: subject, medium, flavour."),
    ] = None,
    fluency: Annotated[
        str | None,
        option(
            _METHODS,
            "A language model for perplexity: {language_models}, a folder or a hub name.",
            autocompletion=complete_or_path("language_models"),
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Pictures a prompt is judged by.")] = 8,
    pictures: Annotated[int, typer.Option(help="That each method may paint.")] = 60,
    seconds: Annotated[
        float | None, typer.Option(help="That each method may search.", show_default=False)
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, float16 or bfloat16.")] = "auto",
    join: Annotated[Path | None, option(_MAKE, "Another picture: ask for what both show.")] = None,
    replace: Annotated[
        list[str] | None, option(_MAKE, "OLD=NEW in the prompt; may be repeated.")
    ] = None,
    delete: Annotated[
        list[str] | None, option(_MAKE, "A word to take out of it; may be repeated.")
    ] = None,
    evolve: Annotated[
        Path | None, option(_MAKE, "Another picture: breed the prompts of both.")
    ] = None,
    generations: Annotated[int, typer.Option(help="Of --evolve.", rich_help_panel=_MAKE)] = 3,
    mask: Annotated[
        bool, option(_MAKE, "Where the picture shows each word of the best prompt.", "--mask")
    ] = False,
    mask_by: Annotated[
        MaskBy, typer.Option(help="How --mask finds it.", rich_help_panel=_MAKE)
    ] = "difference",
    out: Annotated[
        Path | None, option(_MAKE, "Folder for painted pictures, prompts and masks.")
    ] = None,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Find prompts for a picture, by every method side by side, the best first."""
    from lcmis.check.pictures import open_picture
    from lcmis.cli import terminal
    from lcmis.cli.terminal.costs import at_most, tell_cost
    from lcmis.cli.terminal.inversions import inversion_progress, print_inversions
    from lcmis.findings.words import several
    from lcmis.invert.applications import Wishes, examine, refuse_unfulfillable
    from lcmis.invert.keeping import keep, prepared
    from lcmis.invert.run import Inversion, InversionSettings

    shown = open_picture(picture)
    wishes = Wishes(
        join=open_picture(join) if join else None,
        replace=tuple(_old_new(text) for text in replace or ()),
        delete=tuple(delete or ()),
        evolve=open_picture(evolve) if evolve else None,
        generations=generations,
        mask=mask_by if mask else None,
    )
    folder = prepared(out) if out else None
    settings = InversionSettings(
        model=dataclasses.replace(model_settings(model), device=device, dtype=dtype),
        guard=_guard(guard, model, device),
        guide=_encoder(guide or (GUIDE if _is_miniature(model) else ""), device),
        methods=tuple(filter(None, (method or "").replace(" ", "").split(","))),
        writer=writer or _writer(model),
        text_model=asked.over(text_model_settings(TEXT_MODEL) if _is_miniature(model) else None),
        table=str(table or ""),
        fluency=fluency or "",
        seeds=seeds,
        pictures=pictures,
        seconds=seconds,
    )
    started = Inversion(settings)
    refuse_unfulfillable(started, wishes)
    methods = len(started.inverters)
    what = f"{several(methods, 'method')}, {pictures} pictures each to search and {seeds} to judge"
    tell_cost(at_most(methods * (pictures + seeds), what), yes=yes, quiet=json)
    with inversion_progress(quiet=json) as started.watch:
        result = examine(started, shown, wishes)
    kept = keep(result, folder, terminal.as_json(result)) if folder else []
    terminal.print_json(result) if json else print_inversions(result, kept)


def _writer(model: str) -> str:
    name = WRITERS.get(model, "")
    return name if name and (shipped("data") / "teacup" / name).is_dir() else ""


def _is_miniature(model: str) -> bool:
    return model.startswith(MINIATURE)


def _guard(guard: str | None, model: str, device: str) -> CheckerSettings:
    found = _encoder(guard or (GUARD if _is_miniature(model) else ""), device)
    if found is None:
        raise ConfigError(
            f"prompts for {model} need an encoder that judges them: name one with --guard, such as "
            f"clip:ViT-H-14/laion2b_s32b_b79k, and another with --guide for methods that search "
            f"by one"
        )
    return found


def _encoder(name: str, device: str) -> CheckerSettings | None:
    return dataclasses.replace(checker_settings(name), device=device) if name else None


def _old_new(text: str) -> tuple[str, str]:
    old, equals, new = (part.strip() for part in text.partition("="))
    if not (old and equals and new):
        raise ConfigError(
            f'--replace is {text!r}, but it is OLD=NEW, such as "tea cup=old boot"; '
            f"to take a word out use --delete"
        )
    return old, new
