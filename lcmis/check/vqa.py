"""P("yes") and forced choice of a vision-language model, read off its first token."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from lcmis.check.eyes import FAMILY, eyes_of
from lcmis.check.pictures import abstain, once_each, options_of, readable, to_look_at
from lcmis.check.quantised import placing_of, quantised_by
from lcmis.check.templates import manner_of
from lcmis.check.wording import (
    LETTERS,
    MASS_FLOOR,
    NO,
    ROUNDING,
    WORDINGS,
    YES,
    asked_in_words,
    can_word,
    shares,
    worded,
)
from lcmis.errors import CheckError, ConfigError
from lcmis.machine.device import choose_device, choose_dtype
from lcmis.machine.hub import Located, locate, needed, refuse_file, refuse_no_safetensors
from lcmis.machine.memory import in_batches
from lcmis.machine.tokenizers import refuse_unread_words
from lcmis.plugins.settings import CheckerSettings
from lcmis.text.prompts import wording, wordings_hash
from lcmis.types import Answer, Question

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from lcmis.check.vlm import Vlm
    from lcmis.machine.hub.fetching import Fetch

BATCH_SIZE = 16
MAX_CAPTION_TOKENS = 40


class VqaChecker:
    """Asks a vision-language model for yes or no, or for a letter, and reads the probabilities.

    Presence and relation: the mass of all spellings of yes over that of yes and no, at the first
    token of the reply. Forced choice: likewise over the letters of the options. ``mass`` is what
    all allowed answers have together; below :data:`lcmis.check.wording.MASS_FLOOR` it is an
    abstention.

    A picture is looked at once, whatever it is asked: see :class:`lcmis.check.vlm.Vlm`. A row does
    not see its neighbours. What remains is rounding, 1e-6 in float32; bfloat16 on an accelerator
    rounds more.

    Args:
        settings: ``name`` is a folder or hub name of any model that transformers knows as image and
            text to text, with safetensors and a chat template, or of a family whose authors say how
            it is asked without one.

    Raises:
        ConfigError: no such device, only pickles, no way to ask it, quantised weights without
            their package, the hub cannot be reached.
        UnknownNameError: neither a folder nor on the hub.

    Source: Lin et al., "Evaluating Text-to-Visual Generation with Image-to-Text Generation", ECCV
    2024 (VQAScore). Here normalised by yes and no, and summed over spellings. Of an encoder-decoder
    it is the first token that the decoder gives.
    """

    def __init__(self, settings: CheckerSettings) -> None:
        choose_device(settings.device)
        choose_dtype(settings.dtype, "cpu")
        self.batch_size = settings.batch_size or BATCH_SIZE
        self._located = locate(settings.name, settings.revision)
        config = _configuration(self._located)
        self._placing = placing_of(settings, self._located.name, quantised_by(config))
        self._manner = manner_of(self._located.path, self._located.name, config)
        self._eyes = eyes_of(self._located, config, settings)
        marks = self._manner.mark + (self._eyes.mark if self._eyes else "")
        self.checker_id = f"{self.kind}:{self._located}+{wordings_hash(*self.wordings)}{marks}"
        self._judge: Judge | None = None

    kind = "vqa"
    wordings: tuple[str, ...] = WORDINGS
    """Names of the texts that are sent."""
    may_be_spread = True
    """Over several devices, by ``device_map`` and ``offload``."""
    asked = staticmethod(asked_in_words)
    """As :func:`lcmis.plugins.opening.asked_by` has it."""

    def takes(self, question: Question) -> bool:
        """Whether it can be worded: a choice needs two to eight options."""
        return can_word(question)

    def worded(self, question: Question) -> str:
        """A question as the model is asked it."""
        return worded(question)

    def read(self, judge: Judge, question: Question, first: torch.Tensor) -> tuple[Answer, ...]:
        """What the probabilities ``(vocabulary,)`` of a reply's first token say."""
        return judge.answer(question, first)

    def score(
        self, images: Sequence[Image], questions: Sequence[Question]
    ) -> list[tuple[Answer, ...]]:
        """Answer question i about image i.

        Raises:
            ConfigError: the weights cannot be loaded, or memory does not suffice.
            CheckError: the model cannot take the pictures in.
        """
        answers, asked = to_look_at(images, questions, self.takes, options_of)
        if not asked:
            return answers
        judge = self._loaded()
        rows = []
        for place, picture in asked:
            text = self.worded(questions[place])
            control = judge.vlm.control_token_in(text)
            if control:
                reason = f"the question holds {control!r}, which steers the model instead of asking"
                answers[place] = abstain(options_of(questions[place]), reason)
            else:
                rows.append((place, picture, text))
        for looks in _by_picture(rows):
            self._look(judge, looks, questions, answers)
        return answers

    def _look(
        self,
        judge: Judge,
        looks: Sequence[_Look],
        questions: Sequence[Question],
        answers: list[tuple[Answer, ...]],
    ) -> None:
        """Ask looks of one kind, batch by batch, and put the answers in their places."""

        def answered(batch: Sequence[_Look]) -> list[list[tuple[Answer, ...]]]:
            first = judge.vlm.first_tokens([(look.picture, look.texts) for look in batch])
            return [
                [
                    self.read(judge, questions[place], row)
                    for place, row in zip(look.places, rows, strict=True)
                ]
                for look, rows in zip(batch, first, strict=True)
            ]

        given = in_batches(looks, self.batch_size, answered, judge.vlm.name)
        for look, said in zip(looks, given, strict=True):
            for place, answer in zip(look.places, said, strict=True):
                answers[place] = answer

    def describe(self, images: Sequence[Image]) -> list[str]:
        """What the model sees, one sentence a picture: its likeliest 40 tokens at most.

        Raises:
            ConfigError: the weights cannot be loaded, or memory does not suffice.
            CheckError: a picture cannot be read, or the model cannot take it in.
        """
        pictures = []
        for image in images:
            picture = readable(image)
            if isinstance(picture, str):
                raise CheckError(picture)
            pictures.append(picture)
        vlm = self._loaded().vlm
        caption = partial(vlm.describe, text=wording("caption"), num_tokens=MAX_CAPTION_TOKENS)
        return in_batches(pictures, self.batch_size, caption, vlm.name)

    @property
    def way(self) -> str:
        """How a picture with several questions is looked at; empty until one was."""
        return self._judge.vlm.way if self._judge else ""

    def load(self) -> None:
        """Read the weights now, fetched where they must be.

        Raises:
            ConfigError: that cannot be.
        """
        self._loaded()

    def fetches(self) -> tuple[Fetch, ...]:
        """How much of it comes from the hub, and how much of that is here."""
        return needed(self._located) + (needed(self._eyes.tower) if self._eyes else ())

    def _loaded(self) -> Judge:
        if self._judge is None:
            from lcmis.check.vlm import Vlm

            self._judge = Judge(Vlm(self._located, self._manner, self._placing, self._eyes))
        return self._judge


@dataclass(frozen=True, slots=True)
class _Look:
    """One picture, the texts it is asked, and where their answers belong."""

    picture: Image
    places: list[int]
    texts: list[str]


def _by_picture(rows: Sequence[tuple[int, Image, str]]) -> list[list[_Look]]:
    """Looks of one question, then looks of several; equal shapes and lengths side by side, which
    need little padding.
    """
    different, seen_at = once_each([picture for _, picture, _ in rows])
    looks = [_Look(picture, [], []) for picture in different]
    for (place, _, text), at in zip(rows, seen_at, strict=True):
        looks[at].places.append(place)
        looks[at].texts.append(text)
    looks.sort(key=lambda look: (len(look.texts), look.picture.size, len(look.texts[0])))
    single = [look for look in looks if len(look.texts) == 1]
    return [some for some in (single, looks[len(single) :]) if some]


def first_token_ids(tokenizer: Any, answers: Sequence[Iterable[str]]) -> list[list[int]]:
    """The ids with which a reply can begin that means each answer.

    With and without a space before it, as byte-level and sentencepiece vocabularies spell them.
    A spelling that is one token counts; only where an answer has none do the first tokens of longer
    spellings. An id that two answers share tells nothing and is left out.

    Args:
        tokenizer: of transformers.
        answers: for each answer its spellings.
    """
    found = [_ids_of(tokenizer, spellings) for spellings in answers]
    shared = {token for ids in found for token in ids if sum(token in other for other in found) > 1}
    return [sorted(ids - shared) for ids in found]


def _ids_of(tokenizer: Any, spellings: Iterable[str]) -> set[int]:
    vocabulary = tokenizer.get_vocab()
    single: set[int] = set()
    first: set[int] = set()
    for spelling in spellings:
        for text in (spelling, f" {spelling}"):
            ids = tokenizer.encode(text, add_special_tokens=False)
            (single if len(ids) == 1 else first).update(ids[:1])
        if f"▁{spelling}" in vocabulary:  # sentencepiece, which hides the form without a space
            written = (f"▁{spelling}", spelling)
            single.update(vocabulary[text] for text in written if text in vocabulary)
    return single or first


def _configuration(located: Located) -> dict[str, Any]:
    """What ``config.json`` says; a folder is judged by its files before anything is loaded.

    Raises:
        ConfigError: it holds no model that sees, or weights that are pickles.
    """
    refuse_file(located)
    folder, name = located.path, located.name
    config = folder / "config.json"
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{name} has no config.json: give a vision-language model that transformers saved"
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{name}/config.json cannot be read as JSON ({error}): copy it again"
        ) from error
    if not isinstance(content, dict) or "model_type" not in content:
        raise ConfigError(f"{name}/config.json names no model_type: copy the model again, whole")
    if content["model_type"] != FAMILY and not any(
        (folder / file).is_file() for file in ("processor_config.json", "preprocessor_config.json")
    ):
        raise ConfigError(
            f"{name} cannot see, it has no processor_config.json: "
            f"give a model that takes pictures and text"
        )
    refuse_unread_words(name, located.names())
    refuse_no_safetensors(located)
    return content


class Judge:
    """Reads answers off what a model would say first."""

    def __init__(self, vlm: Vlm) -> None:
        self.vlm = vlm
        self.model = vlm.model
        self._yes_no = first_token_ids(vlm.tokenizer, (YES, NO))
        self._said_yes = vlm.tokenizer.encode("Yes", add_special_tokens=False)
        self._letters = first_token_ids(vlm.tokenizer, [(letter,) for letter in LETTERS])
        if not all(self._yes_no):
            raise ConfigError(
                f"the first token of a reply of {vlm.name} cannot tell yes from no: "
                f"take a model with another tokenizer"
            )

    def refuse_spelled_out(self) -> None:
        """For who reads one token only.

        Raises:
            ConfigError: this tokenizer has no token for Yes.
        """
        if len(self._said_yes) != 1:
            raise ConfigError(
                f"{self.vlm.name} spells Yes in {len(self._said_yes)} tokens, and VQAScore is the "
                f"probability of one: ask it as vqa"
            )

    def surely_yes(self, first: torch.Tensor) -> tuple[Answer, ...]:
        """The probability of ``Yes`` itself, in this spelling, as VQAScore has it."""
        yes = float(first[self._said_yes[0]])
        said = sum(float(first[ids].sum()) for ids in self._yes_no)
        if not 0 <= yes <= said <= 1 + ROUNDING:
            return abstain(("",), "a probability is not a finite number")
        if said < MASS_FLOOR:
            reason = f"only {said:.3f} of the probability is on yes and no"
            return abstain(("",), reason, said)
        return (Answer(min(yes, 1.0), mass=min(said, 1.0)),)

    def answer(self, question: Question, first: torch.Tensor) -> tuple[Answer, ...]:
        """What the probabilities of the first token say to a question."""
        options = options_of(question)
        ids = self._letters[: len(options)] if question.kind.is_choice else self._yes_no
        if not all(ids):
            return abstain(options, "the tokenizer has no letters of their own to choose by")
        return shares(question, [float(first[each].sum()) for each in ids])
