"""What a step of an inversion costs: `python tests/bench/bench_gradients.py --rounds 3`.

Restarts as rows of one batch against the same restarts one by one, under the same page of the bank,
so that both compute the same gradients; and layers recomputed against layers kept. Times are of the
processor and ratios of medians over rounds in one run, both ways in turn, so that load on the
machine matters little. Memory is what one step keeps for its gradients, counted tensor by tensor as
autograd keeps them; what a recomputed layer needs while it is recomputed is not in it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parents[2])]

from worlds import tiny_pipelines  # noqa: E402

from lcmis.invert.methods.bank import Bank  # noqa: E402
from lcmis.plugins.opening import open_model  # noqa: E402
from lcmis.plugins.optional import denoiser_of  # noqa: E402
from lcmis.plugins.protocols import Denoiser  # noqa: E402
from lcmis.plugins.settings import ModelSettings  # noqa: E402
from lcmis.testing import contract_pictures  # noqa: E402

TINY = ("sdxl", "sd3-words", "flux-words")
RESTARTS, WORDS = 8, 8


def denoiser(name: str, *, recomputes: bool | None = None) -> Denoiser:
    """Of a registered model or a folder."""
    found = denoiser_of(
        open_model(ModelSettings(name, device="cpu", gradient_checkpointing=recomputes))
    )
    assert found is not None
    return found


def bank_of(parts: Denoiser, rows: int) -> Bank:
    """Three pairs a page, as ph2p has them."""
    latents = parts.latents(contract_pictures()[0])
    return Bank(parts, latents, seed=0, samples=3, times=(0.5, 0.9), rows=rows)


def seconds(bank: Bank, vectors: torch.Tensor) -> tuple[float, torch.Tensor]:
    """Of the processor for one step of all restarts, and its gradients."""
    began = time.process_time()
    _, gradients = bank.slopes(vectors)
    return time.process_time() - began, gradients


def kept(bank: Bank, vectors: torch.Tensor) -> float:
    """Megabytes for the gradients of one step."""
    count = 0

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal count
        count += tensor.numel() * tensor.element_size()
        return tensor

    near = vectors.detach().requires_grad_()
    contextual = bank.denoiser.read_embeddings(near, padded=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        bank.losses(contextual)
    return count / 1e6


def main() -> None:
    """Print a line for each model and comparison."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", nargs="*", default=["teacup-broad", *TINY])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.models:
            place = name
            if name in TINY:
                place = str(tiny_pipelines.save(name, Path(folder) / name))
            compare(name, place, asked.rounds)


def compare(name: str, place: str, rounds: int) -> None:
    """One model."""
    stored, again = (denoiser(place, recomputes=way) for way in (False, True))
    table = stored.vocabulary()
    dice = torch.Generator().manual_seed(0)
    vectors = table[torch.randint(len(table), (RESTARTS, WORDS), generator=dice)]
    ways = {
        "rows": bank_of(stored, RESTARTS),
        "one by one": bank_of(stored, 1),
        "recomputed": bank_of(again, RESTARTS),
    }
    found: dict[str, list[float]] = {way: [] for way in ways}
    gradients = {way: seconds(bank, vectors)[1] for way, bank in ways.items()}
    for _ in range(rounds):
        for way, bank in ways.items():
            found[way].append(seconds(bank, vectors)[0])
    taken = {way: statistics.median(each) for way, each in found.items()}
    apart = {
        way: float((each - gradients["rows"]).abs().max() / gradients["rows"].abs().max())
        for way, each in gradients.items()
    }
    memory = {way: kept(bank, vectors) for way, bank in ways.items()}
    single = kept(ways["one by one"], vectors[:1])
    print(
        f"{name}: {RESTARTS} restarts as rows {1 / taken['rows']:.2f} steps/s, one by one "
        f"{1 / taken['one by one']:.2f}: {taken['one by one'] / taken['rows']:.2f} times; keeps "
        f"{memory['rows']:.1f} MB against {single:.1f} MB; gradients differ by "
        f"{apart['one by one']:.1e}"
    )
    print(
        f"{name}: layers recomputed keep {memory['recomputed']:.1f} MB of {memory['rows']:.1f} MB, "
        f"take {taken['recomputed'] / taken['rows']:.2f} times as long; gradients differ by "
        f"{apart['recomputed']:.1e}",
        flush=True,
    )


if __name__ == "__main__":
    main()
