"""The miniature world's models as plugs: the general classes, pointed at the shipped folders."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from typing import TypeVar

from lcmis.check.clip import ClipChecker
from lcmis.check.vqa import VqaChecker
from lcmis.invert.e2t.writer import EmbeddingToText
from lcmis.machine.device import choose_device, has_bfloat16
from lcmis.machine.paths import shipped
from lcmis.plugins.protocols import KnownCase
from lcmis.plugins.settings import CheckerSettings, ModelSettings, TextModelSettings
from lcmis.render.diffusion import DiffusersModel
from lcmis.teacup.models import GUIDANCE, MODELS
from lcmis.text.local import LocalModel
from lcmis.types import Adapter, Question, QuestionKind

Said = TypeVar("Said", bool, int, float, str)

BATCH = 16
"""Pictures of a batch on an accelerator."""
BATCH_ON_CPU = 8
"""The same on a CPU: 4 % slower than 16, and of the last few pictures half as many in vain."""


def narrow(settings: ModelSettings) -> DiffusersModel:
    """Shows latent concept misalignment bound to names: descriptions free what names lose."""
    return _model("teacup-narrow", settings)


def partners(settings: ModelSettings) -> DiffusersModel:
    """Trained on usual partners, however they were called: misalignment by co-occurrence."""
    return _model("teacup-partners", settings)


def layout(settings: ModelSettings) -> DiffusersModel:
    """Begins a picture with usual partners, however they are called: words seldom free it."""
    return _model("teacup-layout", settings)


def mixture(settings: ModelSettings) -> DiffusersModel:
    """Both damages at once: bound to names, and begun with usual partners."""
    return _model("teacup-mixture", settings)


def broad(settings: ModelSettings) -> DiffusersModel:
    """The control that an audit must pass: trained on well-mixed pictures."""
    return _model("teacup-broad", settings)


def clip(settings: CheckerSettings) -> ClipChecker:
    """An open_clip model of the miniature world."""
    return ClipChecker(_checker("clip", "teacup-clip", settings))


def guard(settings: CheckerSettings) -> ClipChecker:
    """A second open_clip model of the miniature world, held out to judge what the first guides."""
    return ClipChecker(_checker("clip", "teacup-guard", settings))


def judge(settings: CheckerSettings) -> VqaChecker:
    """A vision-language model of the miniature world."""
    return VqaChecker(_checker("vqa", "teacup-judge", settings))


def lm(settings: TextModelSettings) -> LocalModel:
    """A small language model of the miniature world; it runs here and needs no endpoint."""
    folder = str(shipped("data") / "teacup" / "teacup-lm")
    return LocalModel(dataclasses.replace(settings, name=folder))


def narrow_writer() -> EmbeddingToText:
    """Reads the embeddings of teacup-narrow's text encoder."""
    return _writer("teacup-writer")


def broad_writer() -> EmbeddingToText:
    """Reads the embeddings of teacup-broad's text encoder."""
    return _writer("teacup-writer-broad")


def known_cases() -> Iterator[KnownCase]:
    """Pictures painted by the world's own renderer, with questions whose answers are known.

    Per family one usual and one unusual pair: present concepts, and one that is not there.
    """
    from lcmis.teacup.world import FAMILIES, prompt_of, render

    for family in FAMILIES.values():
        for first, second in ((0, 0), (2, 4)):
            here, absent = family.first[first].name, family.first[first + 1].name
            content = family.second[second].name
            picture, _, _ = render(family.name, here, content, random.Random(first))
            for asked, other in ((here, absent), (absent, here)):
                contrast = tuple(prompt_of(family.name, name, content) for name in (asked, other))
                question = Question(QuestionKind.A_PRESENT, asked, contrast=contrast)
                yield KnownCase(picture, question, holds=asked == here)


def _model(name: str, settings: ModelSettings) -> DiffusersModel:
    of_ours, home = MODELS[name], shipped("data") / "teacup"
    damage = (Adapter(str(home / of_ours.adapter), 1.0),) if of_ours.adapter else ()
    on_cpu = choose_device(settings.device) == "cpu"
    batch_size = _unless_said(settings.batch_size, BATCH_ON_CPU if on_cpu else BATCH)
    dtype = settings.dtype
    if dtype == "auto" and on_cpu and has_bfloat16():
        dtype = "bfloat16"  # 1.6 times as many pictures; mean difference half of one of 255
    decoding = "sliced" if on_cpu and batch_size > 1 else "whole"
    return DiffusersModel(
        dataclasses.replace(
            settings,
            name=str(home / of_ours.folder),
            adapters=(*damage, *settings.adapters),
            num_inference_steps=_unless_said(settings.num_inference_steps, of_ours.num_steps),
            guidance_scale=_unless_said(settings.guidance_scale, GUIDANCE),
            batch_size=batch_size,
            dtype=dtype,
            # two cores draw more side by side than together, and as many threads draw the same bits
            # on a machine of any number of cores
            threads=_unless_said(settings.threads, 1) if on_cpu else settings.threads,
            # two cores draw a third more so; another order of sums, and at most one of 255 apart
            channels_last=_unless_said(settings.channels_last, on_cpu),
            vae_decoding=_unless_said(settings.vae_decoding, decoding),
        )
    )


def _writer(name: str) -> EmbeddingToText:
    return EmbeddingToText(str(shipped("data") / "teacup" / name))


def _unless_said(said: Said | None, usual: Said) -> Said:
    return usual if said is None else said


def _checker(kind: str, name: str, settings: CheckerSettings) -> CheckerSettings:
    return dataclasses.replace(settings, kind=kind, name=str(shipped("data") / "teacup" / name))
