"""Models that draw what is only searched with otherwise: an audit and a repair of one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from lcmis.audit.run import Audit
from lcmis.plugins.settings import AuditSettings, CheckerSettings, ModelSettings
from lcmis.propose.catalogue import to_toml
from lcmis.render.diffusion import DiffusersModel
from lcmis.repair.search import Repair, RepairSettings
from lcmis.store import Store
from lcmis.types import RenderSpec
from worlds import toys
from worlds.drawing import pixels

BRIEF = RepairSettings("moce", 12, certificate=4)


def sketches(model: DiffusersModel, *specs: RenderSpec) -> list[np.ndarray]:
    """Pictures as they are only searched with."""
    return pixels(model, *(model.sketch(spec) for spec in specs))


def repaired(config: AuditSettings) -> int:
    """Run a repair to its end; gives the pictures that it drew."""
    with Store(config.store) as store:
        return Repair(config, store, BRIEF).run("a repair").drawn


@contextmanager
def audited_and_repaired(folder: Path, model: ModelSettings) -> Iterator[AuditSettings]:
    """An audit and a repair of one pair, both done."""
    (folder / "pairs.toml").write_text(to_toml([toys.pair("rubine", "azure")]), "utf-8")
    settings = AuditSettings(
        models=(model,),
        checkers=(CheckerSettings("toy"), CheckerSettings("toy", "guide")),
        pairs=(str(folder / "pairs.toml"),),
        store=str(folder / "audit"),
    )
    with pytest.MonkeyPatch.context() as patch:
        toys.registered(patch)
        with Store(settings.store, create=True) as store:
            Audit(settings, store).run("an audit")
        repaired(settings)
        yield settings
