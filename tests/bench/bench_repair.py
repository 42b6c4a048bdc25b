"""Which way of repairing helps how much, at equal budgets, by the oracle on fresh seeds.

``python tests/bench/bench_repair.py --store FOLDER --models teacup-narrow`` audits models with 20
pictures of every pair where the store lacks them, and repairs the pairs that fail in more than half
of them: all of them by the first method, a sample, the same for all, by the others. The oracle,
which knows what a picture of the miniature world shows, then looks at the certificates' pictures,
drawn on seeds that no search has seen. Rates carry intervals clustered by pair. ``of repairable``
is the share of pairs that reach level 1 or 2 among those that some kind of repair mends by the map
of truth (:mod:`lcmis.teacup.truth`), as far as it has been drawn. ``a right picture`` is the share
of pairs for which the picture that the guide likes best of the whole search is right: best of N has
no other figure. At the end the first method is compared with each of the others pair by pair, on
every model and on all pairs of all models together. Every model has a store of its own in the
folder. Run again, it goes on where it stopped. ``--into FILE`` keeps what came of every pair,
beside what other runs kept there.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lcmis import judge
from lcmis.audit.run import Audit
from lcmis.cli.inversion import WRITERS as OWN_WRITERS
from lcmis.machine.paths import shipped
from lcmis.plugins.protocols import ImageModel
from lcmis.plugins.settings import (
    AuditSettings,
    CheckerSettings,
    ModelSettings,
    StoppingSettings,
    TextModelSettings,
)
from lcmis.propose.catalogue import catalogue, to_toml
from lcmis.repair.evaluate import spec_of
from lcmis.repair.search import Repair, RepairSettings
from lcmis.store import Store
from lcmis.teacup.oracle import Oracle, load_oracle
from lcmis.teacup.truth import failing_by_card
from lcmis.types import Candidate, Certificate, ConceptPair, Rate, Stage

MODELS = ("teacup-narrow", "teacup-partners", "teacup-layout", "teacup-mixture")
METHODS = (
    "portfolio",
    "rewrite",
    "moce",
    "moce-replicate",
    "ordered",
    "alternating",
    "best-of-n",
    "npc",
    "opt2i",
    "protegi",
    "craft",
    "raise",
    "proxies",
    "bigpe",
    "arpo",
    "editor",
    "pez",
    "pez-denoiser",
)

WRITERS = {**OWN_WRITERS, "teacup-layout": OWN_WRITERS["teacup-broad"]}
"""An adapter over the denoiser alone leaves the text encoder; other models have no writer."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One pair by one method."""

    proof: Certificate
    """By the deciding checker."""
    truth: Certificate
    """By the oracle, on the same pictures."""
    picked: bool
    """Whether the picture of the search that the guide likes best is right, by the oracle."""


@dataclass(frozen=True, slots=True)
class Row:
    """One method on one model."""

    model: str
    method: str
    text: str
    pairs: dict[str, dict[str, Any]]
    """Prompt → all that came of a pair, as it is kept in a file; nothing where nothing was
    nominated."""

    def after(self, prompt: str) -> float:
        """Share of right pictures of a pair after its repair; 0 where nothing was nominated."""
        right, total = self.pairs[prompt].get("right after", (0, 1))
        return float(right / total)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", help="keep facts here, or go on with those that are there")
    parser.add_argument("--budget", type=int, default=48, help="pictures of one search")
    parser.add_argument("--certificate", type=int, default=20, help="fresh seeds of one proof")
    parser.add_argument(
        "--sample", type=int, default=12, help="pairs for all methods but the first"
    )
    parser.add_argument("--limit", type=int, help="pairs for the first method")
    parser.add_argument("--models", nargs="*", default=MODELS, help="what is repaired")
    parser.add_argument(
        "--pairs", type=int, help="of those that fail by the card, in the order of the map of truth"
    )
    parser.add_argument("--dtype", default="auto", help="of the image model")
    parser.add_argument("--methods", nargs="*", default=METHODS)
    parser.add_argument("--into", type=Path, help="JSON file of what came of every pair")
    asked = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for model in asked.models:
            new = table(model, Path(asked.store or folder) / model, asked)
            rows += new
            if asked.into:
                keep(asked.into, new, asked.budget)
    for other in asked.methods[1:]:
        for some in [[model] for model in asked.models] + [asked.models] * (len(asked.models) > 1):
            print(pair_by_pair(rows, asked.methods[0], other, some))
    print(agreement(rows))


def table(model: str, folder: Path, asked: argparse.Namespace) -> list[Row]:
    """One model by every method, printed as it comes."""
    folder.mkdir(parents=True, exist_ok=True)
    pairs = "teacup"
    if asked.pairs is not None:
        pairs = str(folder / "pairs.toml")
        Path(pairs).write_text(to_toml(mapped(model)[: asked.pairs]))
    config = AuditSettings(
        models=(ModelSettings(model, dtype=asked.dtype),),
        checkers=(CheckerSettings("teacup-judge"), CheckerSettings("teacup-clip")),
        pairs=(pairs,),
        stopping=StoppingSettings(rule="fixed", cap=20),
        store=str(folder),
        max_failures=10_000,  # a method that cannot be tried is a recorded failure of each pair
    )
    rows: list[Row] = []
    with Store(config.store, create=True) as store:
        Audit(config, store).run("bench_repair")
        oracle = load_oracle()
        print(f"{model}: {asked.budget} pictures a search, {asked.certificate} fresh seeds a proof")
        print(HEADER)
        for place, method in enumerate(asked.methods):
            if method == "editor" and model not in WRITERS:
                print("editor: no writer reads this model's text encoder")
                continue
            settings = RepairSettings(
                method,
                asked.budget,
                certificate=asked.certificate,
                text_model=TextModelSettings("phrasebook"),
                guard=CheckerSettings("teacup-guard"),
                writer=WRITERS.get(model, "") if method == "editor" else "",
            )
            count = asked.sample if place else asked.limit
            rows.append(line(model, method, config, store, settings, oracle, count))
            print(rows[-1].text, flush=True)
    return rows


def keep(path: Path, rows: Sequence[Row], budget: int) -> None:
    """Add to what is there, of any budget."""
    kept = json.loads(path.read_text("utf-8")) if path.exists() else {}
    for row in rows:
        here = kept.setdefault(f"{budget} pictures", {}).setdefault(row.model, {})
        here.setdefault(row.method, {}).update(row.pairs)
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", "utf-8")


def repairable(model: str) -> frozenset[str]:
    """Prompts of pairs that some kind of repair mends by the map of truth, as far as it goes."""
    file = shipped("data") / "teacup" / "truth" / f"{model}.json"
    if not file.exists():
        return frozenset()
    entries = json.loads(file.read_text())["pairs"].items()
    return frozenset(prompt for prompt, entry in entries if entry and entry["works"] != "none")


def mapped(model: str) -> list[ConceptPair]:
    """Pairs that fail by a model's card, in the order in which the map of truth takes them."""
    catalogue_of = {pair.prompt: pair for pair in catalogue("teacup")}
    return [catalogue_of[str(one)] for one in failing_by_card(model)]


def line(
    model_name: str,
    method: str,
    config: AuditSettings,
    store: Store,
    settings: RepairSettings,
    oracle: Oracle,
    count: int | None,
) -> Row:
    """Repair by one method, ask the oracle, and sum it up."""
    started = time.monotonic()
    if method == "moce-replicate":  # its thresholds are CLIPScores
        folder = str(shipped("data") / "teacup" / "teacup-clip")
        guides = (config.checkers[0], CheckerSettings("clipscore", folder))
        config = dataclasses.replace(config, checkers=guides)
    repair = Repair(config, store, settings)
    # by key: as good as chance, and a larger sample only adds to a smaller one
    repair.failing = sorted(repair.failing, key=lambda item: item[1].pair.key)[:count]
    found: list[Outcome] = []
    pairs: dict[str, dict[str, Any]] = {}
    mendable = repairable(model_name)
    mended: list[bool] = []
    for (model, finding), item in zip(repair.failing, repair.run().pairs, strict=True):
        came = pairs[finding.pair.prompt] = {}
        if item.certificate is not None:
            truth = looked_at(oracle, store, model, finding.pair, item.certificate)
            picked = liked_best(oracle, store, model, finding.pair, item.certificate)
            found.append(Outcome(item.certificate, truth, picked))
            came |= {
                "by": str(item.certificate.nomination.candidate),
                "right before": _counts(truth.before),
                "right after": _counts(truth.after),
                "proved": item.certificate.passed,
                "proved by the oracle": truth.passed,
                "a right picture": picked,
                "pictures": item.certificate.nomination.pictures,
            }
        if finding.pair.prompt in mendable:
            mended.append(item.certificate is not None and is_mended(found[-1]))
    spent = time.monotonic() - started
    text = row(method, len(repair.failing), found, mended, spent)
    return Row(model_name, method, text, pairs)


def is_mended(found: Outcome) -> bool:
    """Whether a repair reached level 1 or 2, by the oracle."""
    return judge.level(*_counts(found.truth.after)) <= 2


def liked_best(
    oracle: Oracle, store: Store, model: ImageModel, pair: ConceptPair, proof: Certificate
) -> bool:
    """Whether the search's picture that the guide likes best is right."""
    chosen = proof.nomination
    seen = [
        (item.worse, -item.seed, trial.candidate)
        for trial in store.trials(pair.key, chosen.model)
        if (trial.repairer, trial.guide) == (chosen.repairer, chosen.guide)
        for item in trial.seen
        if item.worse is not None
    ]
    _, seed, candidate = max(seen, key=lambda one: one[:2])
    _, render = store.render(spec_of(model, candidate, -seed).key)
    (shown,) = oracle.classify([store.image(render.sha256)])
    return (shown.first, shown.second) == (pair.a.name, pair.b.name)


def pair_by_pair(rows: Sequence[Row], method: str, other: str, models: Sequence[str]) -> str:
    """One method against another on the pairs of these models that both were tried on.

    The interval is the mean difference and two standard errors, over pairs.
    """
    after = {
        name: {
            (row.model, prompt): row.after(prompt)
            for row in rows
            if row.method == name and row.model in models
            for prompt in row.pairs
        }
        for name in (method, other)
    }
    apart = [after[method][key] - after[other][key] for key in after[other] if key in after[method]]
    error = statistics.stdev(apart) / len(apart) ** 0.5 if len(apart) > 1 else float("nan")
    mean = 100 * statistics.mean(apart) if apart else float("nan")
    return (
        f"{method} less {other} on {' and '.join(models)}, right after, pair by pair: "
        f"{mean:+.0f} [{mean - 200 * error:+.0f} to {mean + 200 * error:+.0f}] points on "
        f"{len(apart)} pairs"
    )


def agreement(rows: Sequence[Row]) -> str:
    """How many certificates say what the oracle's say, by all methods; clustered by pair."""
    counts: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        for prompt, came in row.pairs.items():
            if came:
                of_pair = counts.setdefault((row.model, prompt), [0, 0])
                of_pair[0] += came["proved"] == came["proved by the oracle"]
                of_pair[1] += 1
    alike, total = (sum(one[place] for one in counts.values()) for place in (0, 1))
    rate = percent(judge.model_rate([(right, of) for right, of in counts.values()]))
    return (
        f"{alike} of {total} certificates of {len(counts)} pairs say what the oracle says: {rate} %"
    )


def looked_at(
    oracle: Oracle, store: Store, model: ImageModel, pair: ConceptPair, proof: Certificate
) -> Certificate:
    """The oracle's certificate, from the pictures of the checker's."""
    sides = []
    for candidate in (Candidate((Stage(pair.prompt),)), proof.nomination.candidate):
        drawn = []
        for seed in proof.seeds:
            _, render = store.render(spec_of(model, candidate, seed).key)
            drawn.append(store.image(render.sha256))
        sides.append(
            [
                judge.Picture(float(one.first == pair.a.name), float(one.second == pair.b.name))
                for one in oracle.classify(drawn)
            ]
        )
    nomination = dataclasses.replace(proof.nomination, guide="nobody")
    return judge.certificate(nomination, "oracle", proof.seeds, *sides, pair=pair)


HEADER = (
    f"{'method':<15} {'pairs':>7} {'right before':>14} {'right after':>14} {'left level 5':>20} "
    f"{'reached 1-2':>20} {'of repairable':>20} {'repaired':>20} {'oracle agrees':>20} "
    f"{'a right picture':>20} "
    f"{'pictures':>8} {'s/pair':>7}"
)


def row(
    method: str, asked: int, found: Sequence[Outcome], mended: Sequence[bool], seconds: float
) -> str:
    """One method's line; every share with its 95 % interval.

    Pairs for which nothing was nominated stay as they were: they count in no rate of pictures, but
    as not repaired in every share of pairs.
    """
    truths = [item.truth for item in found]
    worst = [one for one in truths if one.before.value == 0]
    spent = sum(item.proof.nomination.pictures for item in found) / max(1, len(found))
    missing = [False] * (asked - len(found))
    return (
        f"{method:<15} {len(found):>3}/{asked:<3} "
        f"{percent(judge.model_rate([_counts(one.before) for one in truths])):>14} "
        f"{percent(judge.model_rate([_counts(one.after) for one in truths])):>14} "
        f"{share([one.after.value > 0 for one in worst]):>20} "
        f"{share([*map(is_mended, found), *missing]):>20} "
        f"{share(mended):>20} "
        f"{share([item.proof.passed for item in found] + missing):>20} "
        f"{share([item.proof.passed == item.truth.passed for item in found]):>20} "
        f"{share([item.picked for item in found] + missing):>20} "
        f"{spent:>8.0f} {seconds / max(1, asked):>7.0f}"
    )


def _counts(rate: Rate) -> tuple[int, int]:
    return round(rate.value * rate.total), rate.total


def share(holds: Sequence[bool]) -> str:
    """Of pairs."""
    return f"{percent(judge.rate(sum(holds), len(holds)))} {sum(holds)}/{len(holds)}"


def percent(rate: Rate) -> str:
    """E.g. ``"42 [28-57] %"``."""
    return (
        f"{100 * rate.value:.0f} [{100 * rate.low:.0f}-{100 * rate.high:.0f}]"
        if rate.total
        else "-"
    )


if __name__ == "__main__":
    main()
