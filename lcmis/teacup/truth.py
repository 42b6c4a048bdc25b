"""The map of truth: which kinds of repair bring a failing pair back at all, by the oracle.

``python -m lcmis.teacup.truth MODEL`` takes the pairs that fail by the model's card, in an order
drawn by lot, tries every candidate of each kind on two pictures, the better ones on four more, and
the best of each kind on twenty fresh seeds. It writes after every pair and goes on where it was. A
search can be held against the map: what it does not repair although some kind works was missed;
where no kind works, nothing was there to find.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch

from lcmis.machine.device import choose_dtype, has_bfloat16
from lcmis.machine.files import replacing
from lcmis.machine.paths import shipped
from lcmis.teacup.concepts import FAMILIES
from lcmis.teacup.measure import Pair, all_pairs
from lcmis.teacup.models import GUIDANCE, MODELS
from lcmis.teacup.oracle import Oracle, OracleReading, load_oracle
from lcmis.teacup.painting import Order, Painter, open_painter
from lcmis.teacup.training import CARD
from lcmis.teacup.world import concept, noun_phrase, prompt_by_looks
from lcmis.types import FIRST_CERTIFICATE_SEED, FIRST_REPAIR_SEED, Candidate, Side, Stage

NUM_SEEDS = 20
"""Pictures of the plain prompt and of each kind's proof, fewer where the rest decides nothing."""
LOOKS = (2, 4)
"""Pictures of every candidate, and then of the better ones."""
KEPT = 2
"""Candidates of each kind that are looked at again: those with a right picture, best first."""
PROOF = FIRST_CERTIFICATE_SEED + 500
"""First seed of the proofs, beyond those of any certificate."""
WORKS = 11
"""Right pictures of :data:`NUM_SEEDS` from which a kind works: severity level 1 or 2."""
ENDS = (0.07, 0.13, 0.25)
"""Shares of the schedule after which the second stage begins; at least one step."""


class RepairKind(StrEnum):
    """What a repair changes."""

    WORDS = "words"
    """One prompt in other words, perhaps with a negative one."""
    STAGES = "stages"
    """One concept alone by name or looks, then the plain prompt."""


def words(pair: Pair, lost: Side, intruder: str) -> Iterator[Candidate]:
    """The pair in other words: by looks, by synonym, said twice, turned round, kept away."""
    a, b = concept(pair.first), concept(pair.second)
    gone = a if lost is Side.A else b
    template = FAMILIES[pair.family].template
    plain = str(pair)
    prompts = [
        prompt_by_looks(pair.family, pair.first, pair.second),
        template.format(a=a.description, b=noun_phrase(b.name)),
        template.format(a=noun_phrase(a.name), b=b.description),
        f"{noun_phrase(gone.name)}, {plain}",
        f"{noun_phrase(b.name)} and {noun_phrase(a.name)}",
    ]
    synonym = noun_phrase(gone.synonyms[0])
    prompts.append(
        template.format(a=synonym, b=noun_phrase(b.name))
        if gone is a
        else template.format(a=noun_phrase(a.name), b=synonym)
    )
    yield from (Candidate((Stage(prompt),)) for prompt in prompts)
    yield Candidate((Stage(plain),), noun_phrase(intruder))


def stages(pair: Pair, lost: Side, num_steps: int) -> Iterator[Candidate]:
    """Either concept first, at three switch steps; the lost one by its looks, too."""
    named = [noun_phrase(pair.first), noun_phrase(pair.second)]
    gone = concept(pair.first if lost is Side.A else pair.second)
    ends = sorted({max(1, round(share * num_steps)) / num_steps for share in ENDS})
    for begun in (*named, gone.description):
        for end in ends:
            yield Candidate((Stage(begun, end), Stage(str(pair))))


class Survey:
    """Asks one model, and lets the oracle read.

    Args:
        painter: of the model.
        oracle: on any device.
    """

    def __init__(self, painter: Painter, oracle: Oracle) -> None:
        self._painter = painter
        self._oracle = oracle

    @property
    def num_steps(self) -> int:
        """Of every picture."""
        return self._painter.num_steps

    def entry(self, pair: Pair) -> dict[str, Any] | None:
        """What works for a pair, JSON-able; None where half of its pictures are right anyway."""
        plain = Candidate((Stage(str(pair)),))
        seen = self._until_decided(pair, plain, range(NUM_SEEDS), enough=NUM_SEEDS // 2)
        right = _num_right(pair, seen)
        if 2 * right >= NUM_SEEDS:
            return None
        lost, intruder = _lost(pair, seen)
        tried = {
            RepairKind.WORDS: list(words(pair, lost, intruder)),
            RepairKind.STAGES: list(stages(pair, lost, self.num_steps)),
        }
        best = self._best(pair, tried)
        proved = {
            kind: self._until_decided(pair, one, range(PROOF, PROOF + NUM_SEEDS), enough=WORKS)
            for kind, one in best.items()
        }
        works = [kind for kind, shown in proved.items() if _num_right(pair, shown) >= WORKS]
        return {
            "grade": pair.grade,
            "right": [right, len(seen)],
            "lost": lost.value,
            "intruder": intruder,
            "dtype": self._painter.dtype,
            "works": "both" if len(works) == len(RepairKind) else works[0] if works else "none",
            "best": {
                kind: {
                    **_as_dict(one),
                    "right": [_num_right(pair, proved[kind]), len(proved[kind])],
                }
                for kind, one in best.items()
            },
        }

    def _best(
        self, pair: Pair, tried: Mapping[RepairKind, Sequence[Candidate]]
    ) -> dict[RepairKind, Candidate]:
        """Of each kind the candidate that is right most often; none where none ever was."""
        kind_of = {one: kind for kind, group in tried.items() for one in group}
        right: Counter[Candidate] = Counter()
        first, kept = FIRST_REPAIR_SEED, list(kind_of)
        for num_pictures in LOOKS:
            orders = [
                Order(one, seed) for one in kept for seed in range(first, first + num_pictures)
            ]
            readings = self._painter.read(orders, self._oracle)
            for order, reading in zip(orders, readings, strict=True):
                right[order.candidate] += reading.shows(pair.first, pair.second)
            first += num_pictures
            ranked = sorted(kept, key=lambda one: -right[one])
            kept = [
                one
                for kind in RepairKind
                for one in [one for one in ranked if kind_of[one] is kind and right[one]][:KEPT]
            ]
        best: dict[RepairKind, Candidate] = {}
        for one in kept:
            best.setdefault(kind_of[one], one)
        return best

    def _until_decided(
        self, pair: Pair, candidate: Candidate, seeds: range, enough: int
    ) -> list[OracleReading]:
        """Pictures in fours, until so many are right or so many can no longer be."""
        seen: list[OracleReading] = []
        for start in range(0, len(seeds), 4):
            orders = [Order(candidate, seed) for seed in seeds[start : start + 4]]
            seen += self._painter.read(orders, self._oracle)
            right = _num_right(pair, seen)
            if right >= enough or right + len(seeds) - len(seen) < enough:
                break
        return seen


def failing_by_card(model: str) -> list[Pair]:
    """Pairs that were wrong in more than half of their pictures when the card was written."""
    card = json.loads((shipped("data") / "teacup" / model / CARD).read_text())
    failing = [one for one in all_pairs() if str(one) in card["measured"]["failing pairs"]]
    return random.Random(0).sample(failing, len(failing))


def draw_map(model: str, out: Path, survey: Survey, failing: Sequence[Pair]) -> None:
    """Add every failing pair that the file lacks."""
    out.parent.mkdir(parents=True, exist_ok=True)
    kept = json.loads(out.read_text())["pairs"] if out.exists() else {}
    for pair in failing:
        if str(pair) in kept:
            continue
        kept[str(pair)] = survey.entry(pair)
        text = json.dumps(
            {
                "model": model,
                "steps": survey.num_steps,
                "guidance": GUIDANCE,
                "failing by the card": len(failing),
                "mapped": len(kept),
                "pairs": kept,
            },
            indent=1,
        )
        with replacing(out) as draft:
            draft.write_text(f"{text}\n")


def _num_right(pair: Pair, seen: Sequence[OracleReading]) -> int:
    return sum(one.shows(pair.first, pair.second) for one in seen)


def _lost(pair: Pair, seen: Sequence[OracleReading]) -> tuple[Side, str]:
    """The concept that is missing more often, and what stands there instead."""
    instead_of_a = Counter(one.first for one in seen if one.first != pair.first)
    instead_of_b = Counter(one.second for one in seen if one.second != pair.second)
    if instead_of_a.total() >= instead_of_b.total():
        return Side.A, instead_of_a.most_common(1)[0][0]
    return Side.B, instead_of_b.most_common(1)[0][0]


def _as_dict(candidate: Candidate) -> dict[str, Any]:
    return {
        "stages": [[stage.prompt, stage.denoising_end] for stage in candidate.stages],
        "negative_prompt": candidate.negative_prompt,
    }


def main() -> None:
    """Draw the map of one model, or go on with it."""
    parser = argparse.ArgumentParser(prog="python -m lcmis.teacup.truth", description=__doc__)
    parser.add_argument("model", choices=sorted(MODELS))
    parser.add_argument("--out", type=Path, help="the JSON file; by default the shipped one")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--dtype",
        default="bfloat16" if has_bfloat16() else "auto",
        help="auto, float32 or bfloat16",
    )
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    out = given.out or shipped("data") / "teacup" / "truth" / f"{given.model}.json"
    dtype = getattr(torch, choose_dtype(given.dtype, given.device))
    painter = open_painter(given.model, given.device, dtype)
    survey = Survey(painter, load_oracle().to(given.device))
    draw_map(given.model, out, survey, failing_by_card(given.model))


if __name__ == "__main__":
    main()
