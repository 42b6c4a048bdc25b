"""Trains teacup-lm: a small language model that answers our questions about the miniature world."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from lcmis import judge
from lcmis.machine.hub import locate
from lcmis.plugins.settings import TextModelSettings
from lcmis.propose.rounds import REPEATS, Kind, Measured, Rounds
from lcmis.teacup.concepts import FAMILIES
from lcmis.teacup.lm_text import TEMPLATES, Conversation, converse, make_tokenizer
from lcmis.teacup.measure import as_dict
from lcmis.teacup.pairs import pairs
from lcmis.teacup.training import (
    Average,
    LossLog,
    Rate,
    TrainOptions,
    fit,
    training_facts,
    write_card,
)
from lcmis.text.chat import read_json
from lcmis.text.fluency import load_causal
from lcmis.text.local import LocalModel
from lcmis.types import Exchange

DEFAULT_SAMPLES = 41_600
CONTEXT = 1024
CHUNK = 32
"""Batches that are sorted by length together."""
LEARNING_RATE = 3e-3
TEMPERATURE = 0.7
HELD_OUT_SEED = 1_000_000


def build(vocabulary: int, seed: int, *, tiny: bool = False) -> LlamaForCausalLM:
    """The network, untrained."""
    width, layers = (32, 1) if tiny else (112, 3)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=width * 3,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
        attn_implementation="sdpa",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def conversations(seed: int) -> Iterator[Conversation]:
    """Without an end."""
    rng = random.Random(seed)
    while True:
        yield converse(rng)


def encode(said: Conversation, tokenizer: PreTrainedTokenizerFast) -> tuple[list[int], int]:
    """Tokens of a whole conversation, and where the answer begins."""
    asked = [{"role": "user", "content": said.question}]
    question = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    start = tokenizer(question, add_special_tokens=False)["input_ids"]
    answer = tokenizer(said.answer, add_special_tokens=False)["input_ids"]
    return [*start, *answer, tokenizer.eos_token_id], len(start)


def batches(
    said: Iterator[Conversation], tokenizer: PreTrainedTokenizerFast, size: int, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Tokens ``(batch, length)`` and targets, -100 where nothing is to be foreseen.

    Conversations of like length stand together: little is padded.
    """
    rng = random.Random(seed)
    while True:
        some = sorted(
            (encode(one, tokenizer) for one in islice(said, size * CHUNK)),
            key=lambda one: len(one[0]),
        )
        groups = [some[start : start + size] for start in range(0, len(some), size)]
        rng.shuffle(groups)
        for group in groups:
            longest = len(group[-1][0])
            tokens = torch.full((size, longest), tokenizer.pad_token_id)
            targets = torch.full((size, longest), -100)
            for row, (ids, start) in enumerate(group):
                tokens[row, : len(ids)] = torch.tensor(ids)
                targets[row, start : len(ids)] = torch.tensor(ids[start:])
            yield tokens, targets


def answer_loss(model: LlamaForCausalLM, tokens: Tensor, targets: Tensor) -> Tensor:
    """Mean negative log-likelihood of the answers' tokens; padding stands right, where causal
    attention does not see it.
    """
    hidden = model.model(tokens[:, :-1], use_cache=False).last_hidden_state
    wanted = targets[:, 1:]
    counts = wanted != -100
    return nn.functional.cross_entropy(model.lm_head(hidden[counts]).float(), wanted[counts])


def train(options: TrainOptions) -> None:
    """Train from nothing, or from the model in ``start``; writes its folder and a card.

    ``measure_seeds`` is the number of sessions that it is measured by, three rounds each.
    """
    log = LossLog(options.out)
    if options.start:
        model, tokenizer = load_causal(locate(str(options.start), None), options.device)
    else:
        tokenizer = make_tokenizer(options.seed)
        model = build(len(tokenizer), options.seed, tiny=options.tiny).to(options.device)
    steps = options.steps(DEFAULT_SAMPLES)
    feed = batches(conversations(options.seed), tokenizer, options.batch_size, options.seed)
    average = Average(model.parameters(), 0.98)

    def losses(_step: int) -> dict[str, Tensor]:
        tokens, targets = (one.to(options.device) for one in next(feed))
        with options.autocast():
            return {"answer": answer_loss(model, tokens, targets)}

    fit(
        [Rate(list(model.parameters()), LEARNING_RATE)],
        losses,
        steps=steps,
        log=log,
        phase="lm",
        average=average,
        weight_decay=0.05,
    )
    seconds = log.seconds
    save(model, tokenizer, options.out)
    parameters = sum(one.numel() for one in model.parameters())
    write_card(options.out, card(options, parameters, steps, seconds))


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write weights in half precision with configuration and tokenizer."""
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=TEMPERATURE,
        top_k=0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    half = {
        name: one.half() for name, one in model.state_dict().items() if name != "lm_head.weight"
    }
    model.save_pretrained(folder, state_dict=half)
    tokenizer.save_pretrained(folder)


def card(options: TrainOptions, parameters: int, steps: int, seconds: float) -> dict[str, Any]:
    """What the finished model in ``options.out`` is, and how good."""
    return {
        "title": options.out.name,
        "summary": "A small language model of the miniature world (lcmis.teacup): it answers "
        "lcmis's own questions about pairs with the JSON they ask for, so that lcmis propose works "
        "without an endpoint. It knows the forty concepts of the world and the kinds of pairs that "
        "can be made of them; of the everyday catalogue it knows names and kinds but mixes up "
        "what belongs to which, and of anything else it writes nonsense. Its sentences are the "
        "captions that the world's models were trained on. "
        "What any image model gets wrong was no part of its training: it is told in "
        "the question.",
        "training": training_facts(
            options,
            model=f"Llama, {parameters / 1e6:.2f} M parameters, float16 on disk; phrases of the "
            f"questions and names are single tokens",
            data=f"synthetic conversations over {', '.join(TEMPLATES)}; what failed is thrown "
            f"anew for each",
            steps=steps,
            seconds=round(seconds),
            again="python -m lcmis.teacup.train lm",
        ),
        "measured": measure(options.out, options.measure_seeds) if options.measure_seeds else {},
    }


def measure(folder: Path, sessions: int) -> dict[str, Any]:
    """Rounds of proposals against painters that fail by chance, as lcmis propose would ask."""
    replies: list[bool] = []
    new, known, lost, at_home, seconds = 0, 0, 0, 0, 0.0
    world = {one.name for family in FAMILIES.values() for one in (*family.first, *family.second)}

    def record(exchange: Exchange) -> None:
        nonlocal seconds
        seconds += exchange.seconds
        replies.append(not read_json(exchange.reply, json.loads(exchange.schema)).problem)

    model = LocalModel(TextModelSettings("local", str(folder)), record)
    for session in range(sessions):
        rng = random.Random(HELD_OUT_SEED + session)
        seeds = rng.sample(pairs(), 8)
        for number in range(1, 4):
            kinds = [Kind(name) for name in dict.fromkeys(one.pattern for one in seeds)]
            said = Rounds(model, seeds, kinds, folder.name, count=12, seed=session).round(
                number, [Measured(pair, rng.choice((0, 4)), 4) for pair in seeds]
            )
            seeds += [one.pair for one in said.proposals]
            new += len(said.proposals)
            at_home += sum(
                one.pair.a.name in world and one.pair.b.name in world for one in said.proposals
            )
            repeats = sum(one.reason in REPEATS for one in said.dropped)
            known += repeats
            lost += len(said.dropped) - repeats
    return {
        "asked": f"{sessions} sessions of three rounds, eight pairs of the world to begin with, "
        f"each painted wrong or right by chance",
        "replies that are JSON of the asked shape": as_dict(judge.rate(sum(replies), len(replies))),
        "pairs that are new to the session": as_dict(judge.rate(new, new + known)),
        "named pairs lost for other reasons": as_dict(judge.rate(lost, new + known + lost)),
        "new pairs of the world's own concepts": as_dict(judge.rate(at_home, new)),
        "seconds a reply": round(seconds / max(1, len(replies)), 2),
    }
