"""Who draws and checks: the hands of every run, whatever is to be made."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from lcmis.plugins.opening import open_model
from lcmis.plugins.optional import threads_of
from lcmis.plugins.protocols import Checker, ImageModel
from lcmis.plugins.settings import AuditSettings, CheckerSettings, ModelSettings, WorkersSettings
from lcmis.store import Store
from lcmis.workers.here import Here
from lcmis.workers.orders import Crew

__all__ = ["as_hired", "hire"]


def as_hired(config: AuditSettings) -> AuditSettings:
    """How models are opened where workers draw: with one core each on a CPU, unless the user said
    with how many, so that as many workers fit as there are cores, on whatever machine.

    Raises:
        UserError: there is no such model, or it cannot be run as asked.
    """
    if not config.workers.are_elsewhere:
        return config
    models = [
        dataclasses.replace(one, threads=1)
        if one.threads is None and threads_of(open_model(one)) > 1
        else one
        for one in config.models
    ]
    return dataclasses.replace(config, models=tuple(models))


def hire(
    store: Store,
    settings: WorkersSettings,
    models: Iterable[tuple[ImageModel, ModelSettings]],
    checkers: Iterable[tuple[Checker, CheckerSettings]],
) -> Crew:
    """The process itself, or workers on every device that is asked for.

    Args:
        store: where everything goes.
        settings: how many workers, and where.
        models: how each model is opened elsewhere; one that is not among them draws here.
        checkers: the same of checkers.

    Raises:
        ConfigError: workers are asked for, and there is no Ray, or not what they need.
    """
    if not settings.are_elsewhere:
        return Here(store)
    from lcmis.workers.ray import Ray

    return Ray(
        store,
        settings,
        {model.model_id: how for model, how in models},
        {checker.checker_id: how for checker, how in checkers},
    )
