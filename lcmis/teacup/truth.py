"""The map of truth: which kinds of repair bring a failing pair back at all, by the oracle.

``python -m lcmis.teacup.truth FOLDER [--adapter FILE] --out FILE`` asks a model of the miniature
world for every pair, tries every candidate of each kind on the pairs that fail, and proves the best
of each kind on fresh seeds. A search can be held against it: what it does not repair although some
kind works was missed; where no kind works, nothing was there to find.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch

from lcmis.machine.paths import shipped
from lcmis.plugins.protocols import Case, lost_of
from lcmis.repair.methods import moce, rewrite
from lcmis.repair.methods.phrases import alone, by_looks
from lcmis.teacup.diffusion import load_pipeline
from lcmis.teacup.oracle import Oracle, OracleReading, load_oracle
from lcmis.teacup.painting import Order, Painter
from lcmis.teacup.pairs import pairs
from lcmis.types import (
    FIRST_CERTIFICATE_SEED,
    FIRST_REPAIR_SEED,
    Candidate,
    ConceptPair,
    Side,
    Stage,
)

NUM_STEPS = 30
NUM_SEEDS = 20
"""Pictures of the plain prompt, of each kind's best candidates, and of its proof."""
FIRST_LOOK = 8
"""Pictures of every candidate, after which the best of each kind get all."""
KEPT = 4
"""Candidates of each kind that get all."""
PROOF = FIRST_CERTIFICATE_SEED + 500
"""First seed of the proofs, beyond those of any certificate."""
WORKS = 0.6
"""Share of right pictures on fresh seeds from which a kind works: severity level 1 or 2."""
FRACTIONS = (0.07, 0.14, 0.27)
"""Of the schedule, where a stage of looks ends."""


class RepairKind(StrEnum):
    """What a repair changes."""

    WORDS = "words"
    """One prompt in other words, perhaps with a negative one."""
    STAGES = "stages"
    """One concept alone by name, then the plain prompt."""
    BOTH = "both"
    """One concept alone by name or looks, then the prompt by looks; or by looks, then by name."""


@dataclass(frozen=True, slots=True)
class Failing:
    """A pair that the model draws wrong in more than half of its pictures."""

    pair: ConceptPair
    right: int
    """Of :data:`NUM_SEEDS`."""
    a_missing: int
    b_missing: int
    intruder: str
    """What stands most often in the lost concept's place."""

    @property
    def case(self) -> Case:
        """What a repairer would be told."""
        return Case(
            pair=self.pair,
            num_inference_steps=NUM_STEPS,
            supports_stages=True,
            supports_negative_prompt=True,
            batch_size=NUM_SEEDS,
            seeds=range(FIRST_REPAIR_SEED, FIRST_REPAIR_SEED + NUM_SEEDS),
            threshold=0.5,
            budget=0,
            a_missing=self.a_missing,
            b_missing=self.b_missing,
            intruder=self.intruder,
        )


def candidates(case: Case) -> dict[RepairKind, list[Candidate]]:
    """Every candidate of each kind that the pair's own words allow."""
    return {
        RepairKind.WORDS: rewrite.candidates(case),
        RepairKind.STAGES: moce.candidates(case),
        RepairKind.BOTH: list(dict.fromkeys(_in_both_ways(case.pair))),
    }


def _in_both_ways(pair: ConceptPair) -> list[Candidate]:
    described = by_looks(pair, *Side) or pair.prompt
    ways = [
        (pair.concept(side).description, prompt)
        for side in Side
        for prompt in (pair.prompt, described)
    ]
    ways += [(alone(pair, side), described) for side in Side]
    return [
        Candidate((Stage(begun, max(1, round(end * NUM_STEPS)) / NUM_STEPS), Stage(prompt)))
        for begun, prompt in ways
        for end in FRACTIONS
    ]


class Survey:
    """Asks one model, and lets the oracle read.

    Args:
        painter: of the model.
        oracle: on any device.
    """

    def __init__(self, painter: Painter, oracle: Oracle) -> None:
        self._painter = painter
        self._oracle = oracle

    def failing(self, asked: Sequence[ConceptPair]) -> tuple[dict[str, int], list[Failing]]:
        """Right pictures of every pair's plain prompt, by prompt, and the pairs that fail."""
        orders = [
            Order(Candidate((Stage(pair.prompt),)), seed)
            for pair in asked
            for seed in range(NUM_SEEDS)
        ]
        readings = self._painter.read(orders, self._oracle)
        right, found = {}, []
        for number, pair in enumerate(asked):
            seen = readings[number * NUM_SEEDS :][:NUM_SEEDS]
            right[pair.prompt] = sum(one.shows(pair.a.name, pair.b.name) for one in seen)
            if 2 * right[pair.prompt] < NUM_SEEDS:
                found.append(_failing(pair, seen, right[pair.prompt]))
        return right, found

    def rights(
        self, asked: Mapping[tuple[str, Candidate], ConceptPair], seeds: range
    ) -> dict[tuple[str, Candidate], int]:
        """Right pictures of each candidate on the same seeds."""
        orders = [Order(candidate, seed) for _, candidate in asked for seed in seeds]
        readings = self._painter.read(orders, self._oracle)
        return {
            key: sum(
                one.shows(pair.a.name, pair.b.name)
                for one in readings[number * len(seeds) :][: len(seeds)]
            )
            for number, (key, pair) in enumerate(asked.items())
        }

    def map(self, failing: Sequence[Failing]) -> list[dict[str, Any]]:
        """For each failing pair the best candidate of each kind, and its proof; JSON-able."""
        every = {one.pair.prompt: candidates(one.case) for one in failing}
        pair_of = {one.pair.prompt: one.pair for one in failing}
        first = range(FIRST_REPAIR_SEED, FIRST_REPAIR_SEED + FIRST_LOOK)
        rest = range(first.stop, FIRST_REPAIR_SEED + NUM_SEEDS)
        right = self.rights(
            {
                (prompt, candidate): pair_of[prompt]
                for prompt, kinds in every.items()
                for group in kinds.values()
                for candidate in group
            },
            first,
        )
        kept = {
            (prompt, kind): sorted(group, key=lambda one, p=prompt: -right[p, one])[:KEPT]
            for prompt, kinds in every.items()
            for kind, group in kinds.items()
        }
        more = self.rights(
            {
                (prompt, candidate): pair_of[prompt]
                for (prompt, _), group in kept.items()
                for candidate in group
            },
            rest,
        )
        total = {key: right[key] + added for key, added in more.items()}
        best = {
            (prompt, kind): max(group, key=lambda one, p=prompt: total[p, one])
            for (prompt, kind), group in kept.items()
            if group
        }
        proof = self.rights(
            {(prompt, candidate): pair_of[prompt] for (prompt, _), candidate in best.items()},
            range(PROOF, PROOF + NUM_SEEDS),
        )
        return [_entry(one, best, total, proof) for one in failing]


def _entry(
    one: Failing,
    best: Mapping[tuple[str, RepairKind], Candidate],
    found: Mapping[tuple[str, Candidate], int],
    proof: Mapping[tuple[str, Candidate], int],
) -> dict[str, Any]:
    prompt = one.pair.prompt
    of_kind = {kind: best[prompt, kind] for kind in RepairKind if (prompt, kind) in best}
    return {
        "pair": prompt,
        "right": one.right,
        "lost": one.case.lost.value,
        "intruder": one.intruder,
        "works": [
            kind.value
            for kind, candidate in of_kind.items()
            if proof[prompt, candidate] >= WORKS * NUM_SEEDS
        ],
        "best": {
            kind.value: _as_dict(candidate, found[prompt, candidate], proof[prompt, candidate])
            for kind, candidate in of_kind.items()
        },
    }


def _failing(pair: ConceptPair, seen: Sequence[OracleReading], right: int) -> Failing:
    a_missing = sum(one.first != pair.a.name for one in seen)
    b_missing = sum(one.second != pair.b.name for one in seen)
    if lost_of(a_missing, b_missing) is Side.A:
        instead = [one.first for one in seen if one.first != pair.a.name]
    else:
        instead = [one.second for one in seen if one.second != pair.b.name]
    return Failing(pair, right, a_missing, b_missing, Counter(instead).most_common(1)[0][0])


def _as_dict(candidate: Candidate, found: int, proved: int) -> dict[str, Any]:
    return {
        "stages": [
            [stage.prompt, round(stage.denoising_end * NUM_STEPS)] for stage in candidate.stages
        ],
        "negative_prompt": candidate.negative_prompt,
        "right in the search": found,
        "right on fresh seeds": proved,
    }


def main() -> None:
    """Draw the map of one model."""
    parser = argparse.ArgumentParser(prog="python -m lcmis.teacup.truth", description=__doc__)
    parser.add_argument("folder", type=Path, help="the model's pipeline folder")
    parser.add_argument("--adapter", type=Path, help="an adapter laid over it")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--pairs", type=int, help="only so many pairs")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args()
    pipeline = load_pipeline(given.folder, given.device)
    if given.adapter:
        pipeline.load_lora_weights(str(given.adapter))
    oracle = load_oracle(shipped("data") / "teacup" / "oracle.safetensors").to(given.device)
    survey = Survey(Painter(pipeline, NUM_STEPS, batch_size=given.batch_size), oracle)
    right, failing = survey.failing(pairs()[: given.pairs])
    given.out.write_text(
        json.dumps(
            {
                "steps": NUM_STEPS,
                "guidance": 3.0,
                "pictures": NUM_SEEDS,
                "device": torch.cuda.get_device_name() if given.device == "cuda" else "CPU",
                "right": right,
                "failing": survey.map(failing),
            },
            indent=1,
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
