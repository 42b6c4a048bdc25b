"""Trains a writer: what turns a text encoder's pooled vectors back into text.

Without ``--corpus`` it is the miniature world's, on captions of all pairs; with one it is for any
CLIP text encoder and any texts.
"""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import islice

import torch
from torch import nn

from lcmis import judge
from lcmis.errors import ConfigError
from lcmis.invert.e2t.network import load, save, save_corrector
from lcmis.invert.e2t.reading import FrozenReader
from lcmis.invert.e2t.training import (
    Lesson,
    disturbed,
    lines_of,
    shuffled,
    teach,
    teach_correction,
)
from lcmis.invert.e2t.writer import EmbeddingToText
from lcmis.machine.paths import shipped
from lcmis.teacup.captions import BALANCED, BROAD, NARROW, caption, sample
from lcmis.teacup.concepts import FAMILIES
from lcmis.teacup.measure import as_dict
from lcmis.teacup.training import LossLog, TrainOptions, training_facts, write_card
from lcmis.teacup.world import BACKGROUNDS, TABLES

DEFAULT_SAMPLES = 256_000
HELD_OUT_SEED = 1_000_000
NUM_MEASURED = 400
NOISES = (0.0, 0.1, 0.3)
"""Deviations of the noise that the finished writer is measured under."""


def world_captions(seed: int) -> Iterator[str]:
    """Captions without an end: names from all pairs alike, descriptions, usual pairs."""
    rng = random.Random(seed)
    backgrounds, tables = list(BACKGROUNDS), list(TABLES)
    while True:
        recipe = rng.choices((BALANCED, NARROW, BROAD), (0.6, 0.3, 0.1))[0]
        scene = sample(rng, recipe)
        yield caption(scene, rng.choice(backgrounds), rng.choice(tables), rng, mixed=recipe.mixed)


def concepts_in(text: str) -> frozenset[str]:
    """Names of the world's concepts that a text names or describes; the longest phrase counts."""
    found = set()
    for whole, name in _phrases():
        if whole.search(text):
            found.add(name)
            text = whole.sub("|", text)
    return frozenset(found)


def train(options: TrainOptions) -> None:
    """Train from nothing, or from the writer in ``start``; writes a writer's folder and a card.

    ``encoder`` is the folder or hub name of the text encoder to undo, by default teacup-narrow's;
    ``corpus`` a file with one text a line, by default captions of the world. One line in fifty,
    at most, is held out to measure by.

    Raises:
        ConfigError: no text encoder, or no corpus that can be used.
    """
    reader = _reader(options)
    texts, held_out = _corpus(options)
    lesson = _lesson(options)
    log, watch = _watched(options, lesson, "writer", "writing")
    start = load(options.start, options.start.name) if options.start else None
    network, tokenizer = teach(reader, texts, lesson, watch, start)
    save(network, tokenizer, options.out)
    _card(
        options,
        reader,
        lesson,
        log,
        does="back into text: a T5 fed with pseudo-tokens",
        model=f"{_millions(network)} M parameters, {len(tokenizer)} tokens",
        again="python -m lcmis.teacup.train inverter",
        measure=lambda: measure(reader, EmbeddingToText(str(options.out)), held_out),
    )


def correct(options: TrainOptions) -> None:
    """Train a corrector for the writer in ``start``; writes that writer's folder with it, and a
    card.

    Raises:
        ConfigError: no writer to start from, another text encoder, or no corpus that can be used.
    """
    if options.start is None:
        raise ConfigError("a corrector is trained for a writer: name its folder with --start")
    reader = _reader(options)
    texts, held_out = _corpus(options)
    network, tokenizer = load(options.start, options.start.name)
    lesson = dataclasses.replace(_lesson(options), max_length=network.shape.max_length)
    log, watch = _watched(options, lesson, "corrector", "correcting")
    corrector = teach_correction(reader, (network, tokenizer), texts, lesson, watch)
    save(network, tokenizer, options.out)
    save_corrector(corrector, options.out)
    _card(
        options,
        reader,
        lesson,
        log,
        does="back into text, and looks at it again: a T5 and its corrector",
        model=f"{_millions(corrector)} M parameters beside those of the writer",
        again=f"python -m lcmis.teacup.train corrector --start {options.start.name}",
        measure=lambda: measure_correction(reader, EmbeddingToText(str(options.out)), held_out),
    )


def measure_correction(
    reader: FrozenReader, writer: EmbeddingToText, texts: Sequence[str]
) -> dict[str, object]:
    """How often a text comes back word for word: as first written, and looked at again once."""
    given = [" ".join(text.lower().split()) for text in texts]
    wanted = reader.read(given)
    first = [found[0] if found else "" for found in writer.write(wanted)]
    again = writer.correct(wanted, reader.read(first), first)
    rows = {"written": first, "corrected once": [found[0] if found else "" for found in again]}
    measured: dict[str, object] = {"texts": f"{len(given)}, held out"}
    for name, found in rows.items():
        measured[f"{name}, word for word"] = _word_for_word(given, found)
    return measured


def measure(
    reader: FrozenReader, writer: EmbeddingToText, texts: Sequence[str]
) -> dict[str, object]:
    """Text to embedding to text: how often it comes back, word for word and by its concepts."""
    generator = torch.Generator().manual_seed(HELD_OUT_SEED)
    given = [" ".join(text.lower().split()) for text in texts]
    embeddings = torch.cat([reader.read(given[i : i + 50]) for i in range(0, len(given), 50)])
    measured: dict[str, object] = {"texts": f"{len(given)}, held out; by beam search, first of 4"}
    for noise in NOISES:
        heard = disturbed(embeddings, torch.full((len(given), 1), noise), generator)
        written = [
            texts[0] if texts else ""
            for i in range(0, len(given), 50)
            for texts in writer.write(heard[i : i + 50], 4)
        ]
        rows: dict[str, object] = {"word for word": _word_for_word(given, written)}
        meant = [(concepts_in(a), concepts_in(b)) for a, b in zip(given, written, strict=True)]
        both = [one == other for one, other in meant if one]
        if both:
            rows["the same concepts"] = as_dict(judge.rate(sum(both), len(both)))
        measured[f"noise of {noise} deviations" if noise else "as read"] = rows
    return measured


def _word_for_word(given: Sequence[str], found: Sequence[str]) -> dict[str, float | int]:
    exact = sum(a == b for a, b in zip(given, found, strict=True))
    return as_dict(judge.rate(exact, len(given)))


def _reader(options: TrainOptions) -> FrozenReader:
    name = options.encoder or str(shipped("data") / "teacup" / "teacup-narrow")
    return FrozenReader(name, options.device)


def _watched(
    options: TrainOptions, lesson: Lesson, phase: str, what: str
) -> tuple[LossLog, Callable[[int, float], None]]:
    """A log, and what tells it a step's loss."""
    log = LossLog(options.out)

    def watch(step: int, loss: float) -> None:
        log.add(phase, step, {what: loss}, last=step == lesson.steps - 1)

    return log, watch


def _card(
    options: TrainOptions,
    reader: FrozenReader,
    lesson: Lesson,
    log: LossLog,
    *,
    does: str,
    model: str,
    again: str,
    measure: Callable[[], dict[str, object]],
) -> None:
    seconds = round(log.seconds)
    write_card(
        options.out,
        {
            "title": options.out.name,
            "summary": f"Turns pooled vectors of the text encoder of {reader.text_encoder} {does} "
            f"(lcmis.e2t).",
            "training": training_facts(
                options,
                model=f"{model}, float16 on disk",
                encodes_like=reader.encodes_like,
                start=options.start.name if options.start else "nothing",
                data=options.corpus.name if options.corpus else "captions of all pairs",
                steps=lesson.steps,
                noise=lesson.noise,
                seconds=seconds,
                again=f"{again}{_flags(options)}",
            ),
            "measured": measure() if options.measure_seeds else {},
        },
    )


def _flags(options: TrainOptions) -> str:
    """What else was said on the command line, of what decides the weights."""
    said = {
        "--encoder": options.encoder,
        "--corpus": options.corpus,
        "--samples": options.samples,
        "--batch-size": options.batch_size,
        "--noise": options.noise,
        "--seed": options.seed,
    }
    flags = [f"{flag} {value}" for flag, value in said.items() if value is not None]
    return "".join(f" {flag}" for flag in (*flags, *(["--bfloat16"] if options.bfloat16 else [])))


def _millions(network: nn.Module) -> str:
    return f"{sum(one.numel() for one in network.parameters()) / 1e6:.1f}"


def _corpus(options: TrainOptions) -> tuple[Iterator[str], list[str]]:
    """Texts without an end, and some that are not among them."""
    if options.corpus is None:
        held_out = list(islice(world_captions(HELD_OUT_SEED + options.seed), NUM_MEASURED))
        kept_away = frozenset(held_out)
        texts = (text for text in world_captions(options.seed) if text not in kept_away)
        return texts, list(dict.fromkeys(held_out))
    lines = list(dict.fromkeys(lines_of(options.corpus)))
    if len(lines) < 2:
        raise ConfigError(f"the corpus {options.corpus} has one text only: give more of them")
    random.Random(options.seed).shuffle(lines)
    apart = min(NUM_MEASURED, max(1, len(lines) // 50))
    return shuffled(lines[apart:], options.seed), lines[:apart]


def _lesson(options: TrainOptions) -> Lesson:
    steps = options.steps(DEFAULT_SAMPLES)
    size = {"width": 32, "layers": 1, "vocabulary": 300} if options.tiny else {}
    return Lesson(
        steps,
        options.batch_size,
        noise=options.noise,
        bfloat16=options.bfloat16,
        seed=options.seed,
        **size,
    )


@cache
def _phrases() -> tuple[tuple[re.Pattern[str], str], ...]:
    """What concepts are called and described as, longest first, with their names."""
    concepts = [one for family in FAMILIES.values() for one in (*family.first, *family.second)]
    phrases = [
        (phrase.lower(), one.name)
        for one in concepts
        for phrase in (one.name, *one.synonyms, one.description)
    ]
    longest_first = sorted(phrases, key=lambda entry: -len(entry[0]))
    return tuple((re.compile(rf"\b{re.escape(phrase)}\b"), name) for phrase, name in longest_first)
