"""Names and settings → plugins: every model, checker, encoder and writer is found here."""

from __future__ import annotations

import dataclasses

from lcmis.plugins import registry
from lcmis.plugins.protocols import Checker, ImageModel
from lcmis.plugins.settings import CheckerSettings, ModelSettings


def open_model(settings: ModelSettings) -> ImageModel:
    """Find an image model by registered name, folder or hub name; nothing is loaded yet.

    Raises:
        UserError: there is no such model, or it cannot be run as asked.
    """
    name, _, rest = settings.name.partition(":")
    if settings.name in registry.names("models"):
        plug = registry.load("models", settings.name)
    elif rest and name in registry.names("models"):
        plug = registry.load("models", name)
        settings = dataclasses.replace(settings, name=rest)
    else:
        plug = registry.load("models", "diffusers")
    model: ImageModel = plug(settings)
    return model


def open_checker(settings: CheckerSettings) -> Checker:
    """Find a checker by kind and name; nothing is loaded yet.

    Raises:
        UserError: there is no such checker.
    """
    checker: Checker = registry.load("checkers", settings.kind)(settings)
    return checker
