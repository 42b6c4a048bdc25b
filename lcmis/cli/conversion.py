"""Weights that are given out only as pickles, made safe to load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def convert(
    file: Annotated[
        Path, typer.Argument(help="Weights that torch.save wrote: a .bin, .pt, .pth or .ckpt.")
    ],
    into: Annotated[
        Path, typer.Option("--into", help="The folder for safetensors and what lay beside FILE.")
    ],
    like: Annotated[
        str | None,
        typer.Option(
            help="The open_clip model whose weights they are, such as ViT-H-14; its configuration "
            "is written too.",
            show_default=False,
        ),
    ] = None,
    part: Annotated[
        str,
        typer.Option(help="Which of several sets of weights in FILE.", show_default=False),
    ] = "",
) -> None:
    """Read a pickle of weights in a process of its own and write safetensors.

    A pickle can run code when it is opened. Here only tensors, numbers and texts are read from it,
    by a process that reaches no network, no other file and no other program.
    """
    from lcmis.check.clip import config_like
    from lcmis.machine.pickles import convert as write

    done = write(file, into, part=part, open_clip=config_like(like) if like else None)
    size = f"{done.num_bytes / 1e6:,.1f} MB of {', '.join(done.dtypes)}"
    where = f" (from its part {done.part})" if done.part else ""
    print(f"{done.file}: {done.tensors} tensors{where}, {size}")
    if done.copied:
        print(f"copied beside it: {', '.join(done.copied)}")
