"""Plugins that other processes find too, and a small Ray on this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from lcmis.errors import RenderError
from lcmis.plugins.settings import CheckerSettings, ModelSettings
from lcmis.types import Answer, Question, RenderSpec
from worlds.toys import ToyChecker, ToyModel

TESTS = Path(__file__).parent.parent


class SleepingModel(ToyModel):
    """Rests for so many milliseconds a picture as ``settings.guidance_scale`` says."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings)
        self.batch_size = settings.batch_size or 4

    def generate(self, specs: Sequence[RenderSpec]) -> list[Image.Image | RenderError]:
        time.sleep((self.settings.guidance_scale or 0.0) / 1000 * self.batch_size)
        return [self._paint(spec) for spec in specs]


class SleepingChecker(ToyChecker):
    """Rests for so many milliseconds a picture as ``settings.name`` says."""

    def score(
        self, images: Sequence[Image.Image], questions: Sequence[Question]
    ) -> list[tuple[Answer, ...]]:
        time.sleep(float(self.settings.name or 0) / 1000 * len({id(image) for image in images}))
        return [self._answer(image, q) for image, q in zip(images, questions, strict=True)]


class DyingModel(ToyModel):
    """Dies over the prompt that the file beside ``settings.name`` names: once for each line."""

    def generate(self, specs: Sequence[RenderSpec]) -> list[Image.Image | RenderError]:
        for spec in specs:
            for token in sorted(Path(os.environ["LCMIS_TEST_DEATHS"]).glob(f"{spec.prompt}*")):
                token.unlink(missing_ok=True)
                os._exit(9)
        return [self._paint(spec) for spec in specs]


def checker(settings: CheckerSettings) -> ToyChecker:
    return ToyChecker(settings)


def installed_at(folder: Path) -> Path:
    """A package whose plugins any process finds that has this folder on its path."""
    place = folder / "lcmis_toys-1.0.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: lcmis-toys\nVersion: 1.0\n")
    (place / "entry_points.txt").write_text(
        "[lcmis.models]\n"
        "toy = worlds.toys:ToyModel\n"
        "sleeping = worlds.clustered:SleepingModel\n"
        "dying = worlds.clustered:DyingModel\n"
        "[lcmis.checkers]\n"
        "toy = worlds.toys:ToyChecker\n"
        "sleeping = worlds.clustered:SleepingChecker\n"
    )
    return folder


@contextmanager
def small_ray(folder: Path, cpus: int, **variables: str) -> Iterator[Any]:
    """Ray in as little memory as it takes; its workers find the plugins too."""
    import ray

    path = os.pathsep.join(
        [str(folder), str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]
    )
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "600")  # a busy machine fails no test
    os.environ.setdefault("RAY_health_check_timeout_ms", "120000")
    ray.init(
        "local",
        num_cpus=cpus,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=80 * 2**20,
        _system_config={"prestart_worker_first_driver": False, "enable_worker_prestart": False},
        runtime_env={"env_vars": {"PYTHONPATH": path, **variables}},
    )
    yield ray
    ray.shutdown()
