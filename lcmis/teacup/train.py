"""Trains the miniature world's models: ``python -m lcmis.teacup.train vae|broad|narrow|oracle``."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from lcmis.teacup.training import TrainOptions

TRAINERS: dict[str, str] = {
    "vae": "lcmis.teacup.train_vae:train",
    "broad": "lcmis.teacup.train_broad:train",
    "narrow": "lcmis.teacup.train_narrow:train",
    "partners": "lcmis.teacup.train_partners:partners",
    "layout": "lcmis.teacup.train_partners:layout",
    "mixture": "lcmis.teacup.train_partners:mixture",
    "oracle": "lcmis.teacup.train_oracle:train",
    "clip": "lcmis.teacup.train_clip:train",
    "guard": "lcmis.teacup.train_clip:train_guard",
    "judge": "lcmis.teacup.train_judge:train",
    "inverter": "lcmis.teacup.train_inverter:train",
    "corrector": "lcmis.teacup.train_inverter:correct",
    "lm": "lcmis.teacup.train_lm:train",
}
"""Model to the function that trains it, imported on demand: ``train(options: TrainOptions)``."""


def trainer(model: str) -> Callable[[TrainOptions], None]:
    """The function that trains a model.

    Raises:
        KeyError: no trainer of this name.
    """
    module, _, name = TRAINERS[model].partition(":")
    found: Callable[[TrainOptions], None] = getattr(importlib.import_module(module), name)
    return found


def parse(arguments: Sequence[str] | None = None) -> tuple[str, TrainOptions]:
    """Read the command line: which model, and how."""
    parser = argparse.ArgumentParser(prog="python -m lcmis.teacup.train", description=__doc__)
    parser.add_argument("model", choices=sorted(TRAINERS))
    parser.add_argument("--out", type=Path, required=True, help="folder for weights, log, card")
    parser.add_argument("--start", type=Path, help="folder of finished models to build on")
    parser.add_argument("--pictures", type=int, help="different pictures to draw")
    parser.add_argument("--samples", type=int, help="samples to train on")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--bfloat16", action="store_true", help="forward passes in bfloat16")
    parser.add_argument("--tiny", action="store_true", help="models for tests")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--encoder", help="inverter: folder or hub name of the text encoder")
    parser.add_argument("--corpus", type=Path, help="inverter: file with one text a line")
    parser.add_argument("--noise", type=float, default=0.5, help="inverter: on embeddings")
    parser.add_argument("--measure-seeds", type=int, default=4, help="pictures a pair; 0: none")
    given = vars(parser.parse_args(arguments))
    model = str(given.pop("model"))
    if given["device"] == "auto":
        given["device"] = "cuda" if torch.cuda.is_available() else "cpu"
    return model, TrainOptions(**given)


def main() -> None:
    """Train one model."""
    model, options = parse()
    torch.set_num_threads(options.threads)
    trainer(model)(options)


if __name__ == "__main__":
    main()
