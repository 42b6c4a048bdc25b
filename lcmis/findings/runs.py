"""What a store's runs say of themselves: settings, rule, who decided."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from lcmis import judge
from lcmis.errors import ConfigError, UnknownNameError
from lcmis.store import Store
from lcmis.types import Run


def stopping_rule(
    *,
    rule: str,
    threshold: float,
    delta: float,
    alpha: float,
    beta: float,
    block: int,
    cap: int,
) -> judge.StoppingRule:
    """The stopping rule that settings describe.

    Raises:
        ConfigError: the rule is none of sprt, curtailed and fixed.
    """
    match rule:
        case "sprt":
            return judge.Sprt(threshold, delta, alpha, beta, block, cap)
        case "curtailed":
            return judge.Curtailed(cap, threshold, block)
        case "fixed":
            return judge.FixedN(cap, threshold, block)
    raise ConfigError(f"there is no stopping rule {rule!r}: write sprt, curtailed or fixed")


def last_audit(runs: Sequence[Run]) -> Run | None:
    """The run whose rule drew the pictures that count: the latest of `lcmis audit`.

    Repairs and proofs are runs too, and their rule draws nothing. Runs that were started from
    Python have no command; where all are such, the latest counts.
    """
    audits = [run for run in runs if "audit" in run.command.split()[:2]]
    return next(reversed(audits or runs), None)


def rule_of(run: Run) -> judge.StoppingRule:
    """The stopping rule under which a run drew its pictures."""
    return stopping_rule(**json.loads(run.config)["stopping"])


def deciding_checker(store: Store, name: str | None = None) -> str:
    """The checker whose id contains ``name``; without a name, the one the last run named first.

    Raises:
        UnknownNameError: no checker in the store is called so, or several are.
    """
    known = store.checkers()
    if name is not None:
        matching = [checker for checker in known if name in checker]
        if len(matching) != 1:
            raise UnknownNameError(
                f"{'several checkers' if matching else 'no checker'} in this store match "
                f"{name!r}; there are {', '.join(known) or 'none: run `lcmis audit`'}"
            )
        return matching[0]
    runs = store.runs()
    if not known or not runs:
        raise UnknownNameError("nothing has been checked in this store yet: run `lcmis audit`")
    deciding = next((run.checkers[0] for run in reversed(runs) if run.checkers), "")
    if deciding in known:
        return deciding
    # only runs of an lcmis that kept no ids: by the name in the configuration
    named = json.loads(runs[-1].config)["checkers"][0]
    words = [word for word in (named["name"], named["kind"]) if word]
    first = [checker for checker in known if any(Path(word).name in checker for word in words)]
    return first[0] if first else known[0]
