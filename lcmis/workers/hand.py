"""One worker in a process of its own: holds models and checkers, draws, checks, encodes, keeps."""

from __future__ import annotations

import dataclasses
import logging
import os
import platform
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lcmis.errors import ConfigError, RenderError, UserError
from lcmis.machine.device import device_name
from lcmis.machine.versions import versions
from lcmis.plugins.opening import open_checker, open_model
from lcmis.plugins.optional import load, made_again
from lcmis.plugins.protocols import Checker, ImageModel
from lcmis.plugins.settings import CheckerSettings, ModelSettings
from lcmis.store import picture_hash
from lcmis.store.images import PictureFiles
from lcmis.workers.orders import CheckOrder, Delivery, DrawOrder, Heard, Order, Painted, ask, paint

if TYPE_CHECKING:
    from PIL.Image import Image

    from lcmis.workers.orders import Unsaid

TALK = logging.getLogger("lcmis.workers")


@dataclass(frozen=True, slots=True)
class Hello:
    """Where a worker is, and what it is."""

    node: str
    device: str
    """The accelerator's name, or ``cpu`` and its architecture."""
    versions: Mapping[str, str]
    sees_pictures: bool
    """Whether the folder of pictures is the one of who asked."""
    log: str = ""
    """The file that it writes what it does to; empty where it has none."""
    unlogged: str = ""
    """Why it could not write to the one that it was given; empty where it need not."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What a worker cannot mend: one sentence for the user."""

    sentence: str


class Hand:
    """Works off one order after another; a second one may be brought while the first is written.

    Args:
        name: as the user sees it.
        models: how each is opened, by its id.
        checkers: the same.
        pictures: the folder, or what stands for it, that all workers write to.
        log: a file for what is said here; without its folder, or where it cannot be written, the
            work is done all the same.
    """

    def __init__(
        self,
        name: str,
        models: Mapping[str, ModelSettings],
        checkers: Mapping[str, CheckerSettings],
        pictures: PictureFiles,
        log: Path | None = None,
    ) -> None:
        self._name = name
        self._settings: dict[str, ModelSettings | CheckerSettings] = {**models, **checkers}
        self._opened: dict[str, ImageModel | Checker] = {}
        self._pictures = pictures
        self._device = threading.Lock()
        self._unlogged = _begin_log(log) if log is not None else ""
        self._log = str(log) if log is not None and not self._unlogged and log.is_file() else ""
        TALK.info("%s begins in process %d on %s", name, os.getpid(), platform.node())

    def hello(self, probe: str = "") -> Hello:
        """Say where this is; ``probe`` is a mark that whoever asks left among the pictures."""
        return Hello(
            platform.node(),
            device_name(),
            versions(),
            not probe or self._pictures.sees(probe),
            self._log,
            self._unlogged,
        )

    def load(self, names: tuple[str, ...]) -> Trouble | None:
        """Have these in memory before the first order."""
        try:
            for name in names:
                with self._device:
                    load(self._plugin(name))
        except UserError as error:
            return Trouble(str(error))
        return None

    def run(self, order: Order) -> Delivery | Trouble:
        """Draw or check; the files of what is drawn are written when this returns."""
        try:
            return self._check(order) if isinstance(order, CheckOrder) else self._draw(order)
        except UserError as error:
            TALK.info("%s: %s", self._name, error)
            return Trouble(str(error))

    def _draw(self, order: DrawOrder) -> Delivery:
        with self._device:
            started = time.monotonic()
            model = self._plugin(order.model)
            assert isinstance(model, ImageModel)
            _refuse_other_profile(model, order)
            report = paint(model, order)
            said, unsaid = self._ask(order, _pictures(report.painted))
            seconds = time.monotonic() - started
        painted = report.painted if order.is_ahead else self._keep(report.painted)
        TALK.info("%s drew %d with %s in %.2f s", self._name, len(painted), order.model, seconds)
        return dataclasses.replace(
            report,
            painted=painted,
            said=tuple(said),
            unsaid=tuple(unsaid),
            worker=self._name,
            seconds=seconds,
        )

    def _check(self, order: CheckOrder) -> Delivery:
        images = dict(order.images)
        for key, sha256 in order.stored.items():
            images[key] = self._pictures.read(sha256)
        with self._device:
            started = time.monotonic()
            checker = self._plugin(order.checker)
            assert isinstance(checker, Checker)
            said, unsaid = ask(checker, order.asked, images)
            seconds = time.monotonic() - started
        TALK.info(
            "%s asked %s %d times in %.2f s", self._name, order.checker, len(order.asked), seconds
        )
        return Delivery(
            order, said=tuple(said), unsaid=tuple(unsaid), worker=self._name, seconds=seconds
        )

    def _ask(
        self, order: DrawOrder, images: Mapping[str, Image]
    ) -> tuple[list[Heard], list[Unsaid]]:
        said: list[Heard] = []
        unsaid: list[Unsaid] = []
        for checker_id, asked in order.asked.items():
            checker = self._plugin(checker_id)
            assert isinstance(checker, Checker)
            some, none = ask(checker, asked, images)
            said += some
            unsaid += none
        return said, unsaid

    def _keep(self, painted: tuple[Painted, ...]) -> tuple[Painted, ...]:
        """Write the files; what goes back is their names."""
        images = _pictures(painted)
        hashes = {key: picture_hash(image) for key, image in images.items()}
        sizes = self._pictures.write({hashes[key]: image for key, image in images.items()})
        return tuple(
            dataclasses.replace(
                one,
                drawn=None,
                sha256=hashes[one.spec.key],
                num_bytes=sizes[hashes[one.spec.key]],
            )
            if one.spec.key in hashes
            else one
            for one in painted
        )

    def _plugin(self, name: str) -> ImageModel | Checker:
        if name not in self._opened:
            settings = self._settings[name]
            opened: ImageModel | Checker = (
                open_model(settings)
                if isinstance(settings, ModelSettings)
                else open_checker(settings)
            )
            self._opened[name] = opened
        return self._opened[name]


def _begin_log(log: Path) -> str:
    """Write what is said in this process to a file, if its folder is there; why that cannot be."""
    try:
        if log.parent.is_dir():
            logging.basicConfig(
                filename=log, level=logging.INFO, format="%(asctime)s %(name)s: %(message)s"
            )
    except OSError as error:
        return f"{log} cannot be written: {error.strerror}"
    return ""


def _pictures(painted: Sequence[Painted]) -> dict[str, Image]:
    """Those that were drawn, by the keys of their specs."""
    return {
        one.spec.key: one.drawn
        for one in painted
        if one.drawn is not None and not isinstance(one.drawn, RenderError)
    }


def _refuse_other_profile(model: ImageModel, order: DrawOrder) -> None:
    """Check that this draws the bits that were asked for.

    Raises:
        ConfigError: it has another kind of device.
    """
    wanted = order.specs[0]
    mine = made_again(model, wanted)
    if mine.profile != wanted.profile:
        raise ConfigError(
            f"it draws as {mine.profile}, and the run asks for {wanted.profile}: pictures of two "
            f"kinds are not mixed in one run; start the run where the same kind of device is, or "
            f"name device and dtype of the model"
        )
