"""What a store's runs say of themselves: settings, rule, who decided."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pydantic

from lcmis import judge
from lcmis.errors import StoreError, UnknownNameError
from lcmis.plugins.settings import AuditSettings, ModelSettings, StoppingSettings
from lcmis.store import Store
from lcmis.types import Run


def stopping_rule(settings: StoppingSettings) -> judge.StoppingRule:
    """The stopping rule that settings describe."""
    match settings.rule:
        case "sprt":
            return judge.Sprt(
                settings.threshold,
                settings.delta,
                settings.alpha,
                settings.beta,
                settings.block,
                settings.cap,
            )
        case "curtailed":
            return judge.Curtailed(settings.cap, settings.threshold, settings.block)
        case "fixed":
            return judge.FixedN(settings.cap, settings.threshold, settings.block)


def settings_of(run: Run) -> AuditSettings:
    """What a run was asked, as it was kept: without any key.

    Raises:
        StoreError: it was kept by an lcmis whose settings this one cannot read.
    """
    try:
        return pydantic.TypeAdapter(AuditSettings).validate_json(run.config)
    except pydantic.ValidationError as error:
        raise StoreError(
            f"the settings of the run of {run.started_at} cannot be read: was it kept by another "
            f"version of lcmis? Use that one, or audit into a new store"
        ) from error


def past_models(store: Store) -> list[ModelSettings]:
    """Every model that a run of this store has named, the latest first, each once."""
    named = [entry for run in reversed(store.runs()) for entry in settings_of(run).models]
    return list(dict.fromkeys(named))


def last_audit(runs: Sequence[Run]) -> Run | None:
    """The run whose rule drew the pictures that count: the latest of `lcmis audit`.

    Repairs and proofs are runs too, and their rule draws nothing. Runs that were started from
    Python have no command; where all are such, the latest counts.
    """
    audits = [run for run in runs if "audit" in run.command.split()[:2]]
    return next(reversed(audits or runs), None)


def last_proof(runs: Sequence[Run]) -> Run | None:
    """The run whose threshold proved repairs: the latest of `lcmis repair` and `lcmis certify`, or
    else what :func:`last_audit` says.
    """
    proofs = [run for run in runs if {"repair", "certify"} & set(run.command.split()[:2])]
    return next(reversed(proofs), None) or last_audit(runs)


def threshold_of(run: Run | None) -> float:
    """Score from which a thing counted as present in a run; the usual one where there is none."""
    return settings_of(run).threshold if run else 0.5


def rule_of(run: Run) -> judge.StoppingRule:
    """The stopping rule under which a run drew its pictures."""
    return stopping_rule(settings_of(run).stopping)


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
    named = settings_of(runs[-1]).checkers[0]
    words = [word for word in (named.name, named.kind) if word]
    first = [checker for checker in known if any(Path(word).name in checker for word in words)]
    return first[0] if first else known[0]
