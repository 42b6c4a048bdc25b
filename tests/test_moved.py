"""Names that people import since the first edition."""

import importlib

import pytest
from worlds.installed import forget_packages

from lcmis.plugins import registry

NAMES = [
    "lcmis.audit:Audit",
    "lcmis.audit:AuditResult",
    "lcmis.config:load_config",
    "lcmis.config:model_settings",
    "lcmis.store:Store",
    "lcmis.protocols:ImageModel",
    "lcmis.protocols:Checker",
    "lcmis.protocols:ModelSettings",
    "lcmis.registry:load",
    "lcmis.testing:CheckerContract",
    "lcmis.testing:EncoderContract",
    "lcmis.testing:DenoiserContract",
    "lcmis.testing:InverterContract",
    "lcmis.types:ConceptPair",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_the_first_edition_is_still_found(name):
    module, _, attribute = name.partition(":")
    assert getattr(importlib.import_module(module), attribute)


def test_the_settings_of_an_audit_are_found_under_their_first_name():
    config = importlib.import_module("lcmis.config")
    assert isinstance(config.load_config(), config.AuditConfig)


def test_what_is_registered_under_the_old_name_is_registered():
    old = importlib.import_module("lcmis.registry")
    assert old.BUILT_IN is registry.BUILT_IN


@pytest.mark.parametrize("kind", ["models", "checkers", "text_models", "repairers", "inverters"])
def test_the_groups_of_entry_points_keep_their_names(kind, monkeypatch):
    found = []
    monkeypatch.setattr(registry, "entry_points", lambda *, group: found.append(group) or ())
    forget_packages()
    registry.names(kind)
    forget_packages()
    assert found == [f"lcmis.{kind}"]
