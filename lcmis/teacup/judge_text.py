"""What teacup-judge is asked and what it should answer, its tokenizer and its chat format."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from lcmis.teacup import world
from lcmis.teacup.checker_data import Shown, all_pairs, near_miss, word_pair

PRESENCE = 'Does this image show "{text}"? Answer yes or no.'
CHOICE = "Which of these does this image show?\n{options}\nAnswer with the letter only."
DESCRIBE = "Describe this image in one sentence."
NONE = "none of these"
NOTHING = "nothing"
LETTERS = "ABCDEFGH"

START, END, PADDING, IMAGE, ANSWER = "<s>", "</s>", "<pad>", "<image>", "<|answer|>"
CHAT_TEMPLATE = (
    "{{ '<s>' }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ '<|answer|>' }}{% endif %}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' %}{{ '</s>' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|answer|>' }}{% endif %}"
)
"""Start, picture, question, ``<|answer|>``, answer, end."""


@dataclass(frozen=True, slots=True)
class QuestionAnswer:
    """A question about a picture and the right answer."""

    question: str
    answer: str


def presence(text: str, *, holds: bool) -> QuestionAnswer:
    """Whether something is to be seen."""
    return QuestionAnswer(PRESENCE.format(text=text), "Yes" if holds else "No")


def choice(options: Sequence[str], right: str) -> QuestionAnswer:
    """Which of at most eight options is to be seen."""
    lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False)]
    return QuestionAnswer(CHOICE.format(options="\n".join(lines)), LETTERS[options.index(right)])


def description(shown: Shown | None) -> QuestionAnswer:
    """What is to be seen; None is a picture of nothing."""
    if shown is None:
        return QuestionAnswer(DESCRIBE, NOTHING)
    place = f"on a {shown.table} table, {shown.background} background"
    return QuestionAnswer(DESCRIBE, f"{shown.prompt} {place}")


def ask(shown: Shown | None, rng: random.Random) -> list[QuestionAnswer]:
    """Eight exchanges on one picture: three presences, a prompt, three choices, a description.

    Args:
        shown: None for a picture of nothing.
        rng: decides wordings and options.
    """
    return [
        *(_ask_presence(shown, rng) for _ in range(3)),
        _ask_pair(shown, rng),
        *(_ask_choice(shown, rng) for _ in range(3)),
        description(shown),
    ]


def make_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """Learn a byte-pair vocabulary of the exchanges, blind to case and to white space.

    "yes" and "no" are one token each in any spelling, and so are the capitals A to H where they
    stand alone; an article is another token than the letter A.
    """
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    words = Regex(r"\p{L}+|\p{N}|[^\s\p{L}\p{N}]")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.ByteLevel(),
            decoders.Replace("</w>", " "),
            decoders.Replace(" ,", ","),
            decoders.Strip(" ", 0, 1),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        special_tokens=[START, END, PADDING, IMAGE, ANSWER],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(random.Random(seed)), trainer)
    tokenizer.add_tokens([AddedToken(one, single_word=True, normalized=False) for one in LETTERS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=START,
        eos_token=END,
        pad_token=PADDING,
        padding_side="left",
        model_max_length=512,
        extra_special_tokens={"image_token": IMAGE},
    )


def _wording(name: str, rng: random.Random) -> str:
    concept = world.concept(name)
    if rng.random() < 0.2:
        return concept.description
    called = rng.choice((concept.name, concept.name, *concept.synonyms))
    return called if rng.random() < 0.5 else world.noun_phrase(called)


def _ask_presence(shown: Shown | None, rng: random.Random) -> QuestionAnswer:
    """Half of the answers are yes; most of the others are of the same kind, hence hard."""
    if shown is None:
        stranger = rng.choice(all_pairs())
        name = rng.choice((str(stranger.first), str(stranger.second)))
        return presence(_wording(name, rng), holds=False)
    of_first = rng.random() < 0.55
    roll = rng.random()
    if roll < 0.5:
        asked = shown.first if of_first else shown.second
    elif roll < 0.93:
        missed = near_miss(shown, rng)
        asked = missed.first if missed.first != shown.first else missed.second
    else:
        stranger = rng.choice([pair for pair in all_pairs() if pair.family != shown.family])
        asked = rng.choice((stranger.first, stranger.second))
    return presence(_wording(str(asked), rng), holds=asked in (shown.first, shown.second))


def _ask_pair(shown: Shown | None, rng: random.Random) -> QuestionAnswer:
    """Yes only if both concepts are there; the place, where mentioned, is always right."""
    roll = rng.random()
    if shown is None or roll < 0.05:
        asked = rng.choice(all_pairs())
    else:
        asked = shown if roll < 0.5 else near_miss(shown, rng)
    text = word_pair(asked, rng)
    if shown is not None and rng.random() < 0.2:
        text += rng.choice((f" on a {shown.table} table", f", {shown.background} background"))
    if rng.random() < 0.1:
        text = f"a picture of {text}"
    both = shown is not None and (asked.first, asked.second) == (shown.first, shown.second)
    return presence(text, holds=both)


def _ask_choice(shown: Shown | None, rng: random.Random) -> QuestionAnswer:
    """One to seven concepts of a kind, rather many, and "none of these", sometimes right."""
    at_home = shown is not None and rng.random() < 0.93
    home = shown.family if shown is not None and at_home else rng.choice(list(world.FAMILIES))
    of_first = rng.random() < 0.6
    kind = world.FAMILIES[home].first if of_first else world.FAMILIES[home].second
    names = [concept.name for concept in kind]
    seen = None if shown is None else shown.first if of_first else shown.second
    others = [name for name in names if name != seen]
    right = seen if seen in names and rng.random() < 0.75 else None
    most = min(len(LETTERS) - 1, len(others) + (right is not None))
    count = max(rng.randint(1, most), rng.randint(1, most))
    listed = rng.sample(others, count) if right is None else [right, *rng.sample(others, count - 1)]
    rng.shuffle(listed)
    plain = rng.random() < 0.7
    options = [name if plain else _wording(name, rng) for name in listed]
    answer = NONE if right is None else options[listed.index(right)]
    place = len(options) if rng.random() < 0.7 else rng.randint(0, len(options))
    options.insert(place, NONE)
    return choice(options, answer)


def _corpus(rng: random.Random) -> Iterator[str]:
    """Every pair and wording many times over."""
    backgrounds, tables = list(world.BACKGROUNDS), list(world.TABLES)
    for _ in range(40):
        for pair in all_pairs():
            shown = replace(pair, background=rng.choice(backgrounds), table=rng.choice(tables))
            for exchange in ask(shown, rng):
                yield exchange.question
                yield exchange.answer
    yield NOTHING
