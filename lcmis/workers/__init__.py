"""Who draws and checks: the hands of every run, whatever is to be made."""

from __future__ import annotations

from collections.abc import Mapping

from lcmis.plugins.settings import CheckerSettings, ModelSettings, WorkersSettings
from lcmis.store import Store
from lcmis.workers.here import Here
from lcmis.workers.orders import Crew

__all__ = ["hire"]


def hire(
    store: Store,
    settings: WorkersSettings,
    models: Mapping[str, ModelSettings],
    checkers: Mapping[str, CheckerSettings],
) -> Crew:
    """The process itself, or workers on every device that is asked for.

    Args:
        store: where everything goes.
        settings: how many workers, and where.
        models: how each model is opened, by its id.
        checkers: the same of checkers.

    Raises:
        ConfigError: workers are asked for, and there is no Ray, or not what they need.
    """
    if not settings.are_elsewhere:
        return Here(store)
    from lcmis.workers.ray import Ray

    return Ray(store, settings, models, checkers)
