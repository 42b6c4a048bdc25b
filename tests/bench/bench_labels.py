"""Whether rates corrected by labels cover the truth, on an audit of the miniature world.

``python tests/bench/bench_labels.py FOLDER`` lets the world's oracle label pictures of an audit as
a rater who is never wrong, in the order of the label page, and holds the corrected rate against
the oracle's on all pictures. Nothing is written to the store.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "dashboard"))

from labelling import RaterRecord, next_turn

from lcmis import findings
from lcmis.findings import calibration
from lcmis.store import Store
from lcmis.teacup.oracle import load_oracle


def main() -> None:
    """Print, for several numbers of labels, the rates raw, corrected and true."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("--labels", type=int, nargs="+", default=[50, 100, 200])
    asked = parser.parse_args()
    with Store(asked.store, read_only=True) as store:
        deciding = findings.deciding_checker(store)
        others = [one for one in store.checkers() if one != deciding]
        rule = findings.rule_of(store.runs()[-1])
        known = calibration.audited(store, [deciding, *others], rule=rule)
        truth = true_of(store, known)
        right = sum(a and b for a, b in truth.values()) / len(truth)
        print(f"{len(truth)} pictures, {right:.1%} right by the oracle")
        record, told = RaterRecord((), "oracle"), {}
        for number in range(1, max(asked.labels) + 1):
            turn = next_turn(known.cards, record, told)
            while turn is not None and turn.repeat:
                record.answers[turn.place[0]] = {"seen": ("again", "again")}
                turn = next_turn(known.cards, record, told)
            if turn is None:
                break
            record.answers[turn.place[0]] = {"seen": ("once",)}
            told[turn.place[0]] = all(truth[turn.place])
            if number in asked.labels:
                report(store, known, [p for p in truth if p[0] in told], truth, number)


def true_of(
    store: Store, known: calibration.LabelledAudit
) -> dict[calibration.Place, tuple[bool, bool]]:
    """Whether each concept is in each picture, by the oracle."""
    places = [place for some in known.cards.strata.values() for place in some]
    images = [store.image(store.render(render)[1].sha256) for render, _ in places]
    found = {}
    for place, reading in zip(places, load_oracle().classify(images), strict=True):
        pair, seen = known.pairs[place[1]], (reading.first, reading.second)
        found[place] = (pair.a.name in seen, pair.b.name in seen)
    return found


def report(
    store: Store,
    known: calibration.LabelledAudit,
    places: list[calibration.Place],
    truth: dict[calibration.Place, tuple[bool, bool]],
    number: int,
) -> None:
    """One line a checker."""
    from lcmis.types import Label

    labels = []
    for place in places:
        for question, _ in store.scores(place[0]):
            if question.kind in calibration.PRESENCES:
                there = truth[place][calibration.PRESENCES.index(question.kind)]
                answer = "yes" if there else "no"
                labels.append(
                    Label(place[0], question.key, answer, "oracle", "2026-11-21T00:00:00+00:00")
                )
    found = calibration.find_labels(known, list(dict.fromkeys(labels)), store.question)
    for rate in found.rates:
        if findings.is_control(rate.model) or rate.corrected is None:
            continue
        one = found.calibration(rate.checker)
        assert one is not None
        assert one.accuracy is not None
        mine = [
            truth[item.spec_key, item.pair_key]
            for item in known.evidence[rate.checker]
            if item.model == rate.model and (item.spec_key, item.pair_key) in truth
        ]
        whole = sum(a and b for a, b in mine) / len(mine)
        print(
            f"{number} labels  {rate.checker.partition('@')[0]}  {rate.model.partition('@')[0]}: "
            f"true {whole:.1%}, raw {rate.raw.value:.1%} [{rate.raw.low:.1%}, {rate.raw.high:.1%}],"
            f" corrected {rate.corrected.value:.1%} "
            f"[{rate.corrected.low:.1%}, {rate.corrected.high:.1%}]; sensitivity "
            f"{one.accuracy.sensitivity.rate.value:.1%}, specificity "
            f"{one.accuracy.specificity.rate.value:.1%}, kappa {one.agreement.kappa}"
        )


if __name__ == "__main__":
    main()
