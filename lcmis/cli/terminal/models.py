"""What the terminal shows of models whose numbers are known."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape

from lcmis.cli.terminal import console
from lcmis.cli.terminal.tables import Column, Grid
from lcmis.render.known import KnownModel, known_models

COLUMNS = (
    Column(name="model", wraps=True, style="bold"),
    Column(name="steps", right=True),
    Column(name="guidance", right=True),
    Column(name="size", right=True),
    Column(name="few steps"),
    Column(name="name on the hub", spare=1),
)


def print_known(found: Sequence[KnownModel] | None) -> None:
    """The whole table, or each of those that were found, with everything."""
    if found is None:
        every = known_models()
        console.print(Grid(COLUMNS, [_row(model) for model in every]))
        console.print(
            f"[dim]{len(every)} models; where nothing stands, the usual number of its family is "
            f"taken. lcmis models --known NAME says more of one, and where its numbers come from."
            f"[/]"
        )
        return
    for model in found:
        console.print(f"[bold]{escape(model.title)}[/]")
        for name, said in _told(model):
            console.print(f"  [dim]{name}[/] {escape(said)}")
        console.print()


def _row(model: KnownModel) -> list[str]:
    return [
        model.title,
        _number(model.num_inference_steps),
        _number(model.guidance_scale),
        f"{model.width}x{model.height}" if model.width else "",
        "yes" if model.few_steps else "",
        model.names[0],
    ]


def _told(model: KnownModel) -> list[tuple[str, str]]:
    said = {
        "names": ", ".join(model.names),
        "pipeline": " or ".join(model.pipelines),
        "num_inference_steps": _number(model.num_inference_steps),
        model.guidance: _number(model.guidance_scale),
        "size": f"{model.width}x{model.height}" if model.width else "",
        "scheduler": model.scheduler or "",
        "dtype": model.dtype,
        "negative prompt": repr(model.negative_prompt) if model.negative_prompt else "",
        "few steps": "distilled: the numbers of its family would ruin it"
        if model.few_steps
        else "",
        "mind": model.mind,
        "sources": " ".join(model.sources),
    }
    return [(name, text) for name, text in said.items() if text]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
