"""Teaches a writer to undo one text encoder, on any corpus of texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from lcmis.errors import ConfigError
from lcmis.invert.e2t.network import (
    CorrectorNetwork,
    WriterNetwork,
    make_tokenizer,
    t5_config,
    tokens_of,
)
from lcmis.invert.e2t.reading import FrozenReader
from lcmis.invert.e2t.shape import WriterShape

TOKENIZER_SAMPLE = 20_000
"""Texts that the tokenizer is made from."""
NUM_SAMPLED_BATCHES = 40
"""Batches of texts by whose embeddings the space is measured."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """How a writer is trained."""

    steps: int
    batch_size: int = 64
    rate: float = 2e-3
    """AdamW's, after the warm-up."""
    noise: float = 0.5
    """Greatest deviation of the noise on embeddings, in deviations of an embedding's numbers; each
    text gets a share of it between none and all, the cube of a number drawn evenly: words are told
    by directions of little variance, which much noise hides."""
    bfloat16: bool = False
    """Whether the forward passes run in bfloat16."""
    width: int = 128
    layers: int = 2
    """That write; half as many read, since one vector is all there is to read."""
    vocabulary: int = 4096
    """Tokens at most."""
    num_pseudo_tokens: int = 4
    max_length: int = 48
    """Tokens; longer texts are cut before they are read."""
    seed: int = 0


def lines_of(file: Path) -> list[str]:
    """A corpus: one text a line, in UTF-8; empty lines are passed over.

    Raises:
        ConfigError: no such file, no text, or nothing in it.
    """
    try:
        texts = [line.strip() for line in file.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the corpus {file} cannot be read ({error}): give a text file in UTF-8"
        ) from error
    texts = [text for text in texts if text]
    if not texts:
        raise ConfigError(f"the corpus {file} is empty: write one text a line")
    return texts


def shuffled(texts: Sequence[str], seed: int) -> Iterator[str]:
    """A corpus again and again, each time in another order."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield from (texts[i] for i in torch.randperm(len(texts), generator=generator).tolist())


def teach(
    reader: FrozenReader,
    texts: Iterator[str],
    lesson: Lesson,
    watch: Callable[[int, float], None],
    start: tuple[WriterNetwork, PreTrainedTokenizerFast] | None = None,
) -> tuple[WriterNetwork, PreTrainedTokenizerFast]:
    """Train a writer.

    Args:
        reader: the text encoder to undo; the writer ends where it lies.
        texts: without an end.
        lesson: how.
        watch: told the step, from 0, and its loss.
        start: a writer of another text encoder with vectors of this size, which already knows how
            to spell; its shape counts then, and not the lesson's. By default from nothing.

    Raises:
        ConfigError: the start reads vectors of another size.
        FloatingPointError: the loss is not finite.
    """
    with torch.random.fork_rng():
        torch.manual_seed(lesson.seed)  # dropout asks the global generator
        network, tokenizer = _beginning(reader, texts, lesson, start)
        batch = partial(_batch, reader, tokenizer, texts, lesson)
        _learn(network.to(reader.device), network.loss, batch, lesson, watch)
    return network.eval(), tokenizer


def teach_correction(
    reader: FrozenReader,
    start: tuple[WriterNetwork, PreTrainedTokenizerFast],
    texts: Iterator[str],
    lesson: Lesson,
    watch: Callable[[int, float], None],
) -> CorrectorNetwork:
    """Train a corrector for a finished writer, on what that writer makes of texts.

    Each text is read, the writer spells its vector by the likeliest token at each place, and what
    it spelled is read in turn: from both vectors and the spelled text, the text is to be found.

    Args:
        reader: the text encoder to undo; the corrector ends where it lies.
        start: the writer, which begins each time and stays as it is.
        texts: without an end.
        lesson: how; its shape is the writer's.
        watch: told the step, from 0, and its loss.

    Raises:
        ConfigError: the writer reads another text encoder.
        FloatingPointError: the loss is not finite.
    """
    writer, tokenizer = start
    if writer.shape.encodes_like != reader.encodes_like:
        raise ConfigError(
            f"the writer to correct reads {writer.shape.text_encoder}, not {reader.text_encoder}: "
            f"name its own text encoder with --encoder"
        )
    with torch.random.fork_rng():
        torch.manual_seed(lesson.seed)  # dropout asks the global generator
        network = CorrectorNetwork(writer.shape, writer.t5.config)
        network.begin_as(writer)
        network, writer = network.to(reader.device), writer.to(reader.device).eval()

        def loss(heard: Tensor, labels: Tensor) -> Tensor:
            spelled = writer.likeliest(heard)
            first = tokenizer.batch_decode(spelled, skip_special_tokens=True)
            tokens = tokens_of(first, tokenizer, lesson.max_length).input_ids.to(reader.device)
            return network.loss(heard, reader.read(first), tokens, labels)

        _learn(network, loss, partial(_batch, reader, tokenizer, texts, lesson), lesson, watch)
    return network.eval()


def _learn(
    network: nn.Module,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    batch: Callable[[], tuple[Tensor, Tensor]],
    lesson: Lesson,
    watch: Callable[[int, float], None],
) -> None:
    """Minimise the loss of embeddings, disturbed, and labels, where the network lies."""
    generator = torch.Generator().manual_seed(lesson.seed)
    kind = next(network.train().parameters()).device.type
    optimizer = torch.optim.AdamW(network.parameters(), lesson.rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _warm_up_and_cosine(lesson.steps))
    for step in range(lesson.steps):
        with torch.autocast(kind, torch.bfloat16, enabled=lesson.bfloat16):
            embeddings, labels = batch()
            shares = torch.rand((len(embeddings), 1), generator=generator) ** 3
            loss = loss_of(disturbed(embeddings, lesson.noise * shares, generator), labels)
        if not loss.isfinite():
            raise FloatingPointError(f"the loss at step {step} is {loss.item()}")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        watch(step, loss.item())


def _beginning(
    reader: FrozenReader,
    texts: Iterator[str],
    lesson: Lesson,
    start: tuple[WriterNetwork, PreTrainedTokenizerFast] | None,
) -> tuple[WriterNetwork, PreTrainedTokenizerFast]:
    if start is None:
        tokenizer = make_tokenizer(islice(texts, TOKENIZER_SAMPLE), lesson.vocabulary)
        config = t5_config(len(tokenizer), width=lesson.width, layers=lesson.layers)
        places, longest = lesson.num_pseudo_tokens, lesson.max_length
    else:
        old, tokenizer = start
        if old.shape.embedding_dim != reader.dim:
            raise ConfigError(
                f"the writer to start from reads vectors of {old.shape.embedding_dim} numbers, "
                f"those of {reader.text_encoder} have {reader.dim}: start from nothing"
            )
        config = old.t5.config
        places, longest = old.shape.num_pseudo_tokens, old.shape.max_length
    shape = WriterShape(reader.encodes_like, reader.text_encoder, reader.dim, places, longest)
    network = WriterNetwork(shape, config)
    if start is not None:
        network.load_state_dict(start[0].state_dict())
    sample = (list(islice(texts, lesson.batch_size)) for _ in range(NUM_SAMPLED_BATCHES))
    network.whiten(torch.cat([reader.read(batch) for batch in sample]).cpu())
    return network, tokenizer


def disturbed(embeddings: Tensor, deviations: Tensor, generator: torch.Generator) -> Tensor:
    """Embeddings (n, dim) with noise, as an optimisation may leave them.

    Args:
        embeddings: what texts are read as.
        deviations: (n, 1), of the noise, as a share of the deviation of each embedding's numbers.
        generator: on the CPU.
    """
    spread = embeddings.std(1, keepdim=True)
    noise = torch.randn(embeddings.shape, generator=generator).to(embeddings.device)
    return embeddings + deviations.to(embeddings.device) * spread * noise


def _batch(
    reader: FrozenReader,
    tokenizer: PreTrainedTokenizerFast,
    texts: Iterator[str],
    lesson: Lesson,
) -> tuple[Tensor, Tensor]:
    """Embeddings, and tokens of the same texts: what is cut for one is cut for the other."""
    given = tokens_of(list(islice(texts, lesson.batch_size)), tokenizer, lesson.max_length)
    kept = tokenizer.batch_decode(given.input_ids, skip_special_tokens=True)
    labels = given.input_ids.masked_fill(given.attention_mask == 0, -100)
    return reader.read([text.strip() for text in kept]), labels.to(reader.device)


def _warm_up_and_cosine(steps: int) -> Callable[[int], float]:
    warm_up = max(1, min(200, steps // 10))

    def factor(step: int) -> float:
        return min(1.0, (step + 1) / warm_up) * (0.51 + 0.49 * math.cos(math.pi * step / steps))

    return factor
