"""Zero-shot object detectors: the best box for a concept, and what stands in a concept's place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lcmis.check.pictures import abstain, options_of, to_look_at
from lcmis.errors import CheckError, ConfigError
from lcmis.machine.device import choose_device, choose_dtype
from lcmis.machine.hub import (
    Located,
    fetch_weights,
    locate,
    needed,
    refuse_file,
    refuse_no_safetensors,
)
from lcmis.machine.memory import in_batches
from lcmis.machine.weights import (
    refuse_missing,
    refuse_not_finite,
    refuse_unusable,
    silent,
)
from lcmis.plugins.settings import CheckerSettings
from lcmis.types import NONE_OF_THESE, Answer, Box, Question, QuestionKind

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from lcmis.machine.hub.fetching import Fetch

BATCH_SIZE = 8
READING = "r1"
"""Stands in every id: it changes when what is looked for, or how boxes are read, does."""
NO_RELATION = "a detector finds things, and cannot tell how they stand to each other"


@dataclass(frozen=True, slots=True)
class _Dialect:
    """What differs between kinds of detectors, by their model type."""

    prompt: str
    """How a thing is named to it; ``{}`` is the name."""
    none_below: float
    """From which score on transformers counts a box, unless told otherwise."""
    separate: bool
    """Whether the names asked for together do not see each other."""
    separators: str = ""
    """Characters that would cut a name in two."""
    padded_to_square: bool = False
    """Whether its boxes lie in the square around the picture."""


_OWL = _Dialect("a photo of a {}", 0.1, separate=True)
_DINO = _Dialect("{}.", 0.25, separate=False, separators=".?")
FAMILIES: Mapping[str, _Dialect] = {
    "owlvit": _OWL,
    "owlv2": _Dialect("a photo of a {}", 0.1, separate=True, padded_to_square=True),
    "grounding-dino": _DINO,
    "mm-grounding-dino": _DINO,
    "omdet-turbo": _Dialect("{}", 0.3, separate=False),
}
"""By ``model_type``: how each is asked."""

_Found = tuple[float, Box]


class DetectorChecker:
    """Looks for things and says where they are: the score of the best box is the answer.

    Presence: the highest score, in [0, 1], of any box for the concept's name or one of its
    synonyms; the box comes with the answer. A name that is longer than the model reads is an
    abstention, and such a synonym is not looked for. A detector's scores are no probabilities: many
    models call a thing found from 0.1 or 0.3 on, so calibrate the threshold, or set it.

    Forced choice: each option has the weight of its best box, and none of these the weight
    ``none_below``; the value of an option is its share of all weights. So none of these wins where
    no box reaches ``none_below``, and only there.

    A relation is an abstention: boxes say nothing of it.

    Works in float32 on every device unless told otherwise.

    Args:
        settings: ``name`` is a folder or hub name of a detector that transformers knows (OWL-ViT,
            OWLv2, Grounding DINO, MM Grounding DINO, OmDet-Turbo), with safetensors.

    Raises:
        ConfigError: no such device, another kind of model, only pickles, or ``none_below`` outside
            of (0, 1).
        UnknownNameError: neither a folder nor on the hub.

    Source: Luce, "Individual Choice Behavior", 1959 (an option is chosen in proportion to its
    weight); Minderer et al., NeurIPS 2023 (OWLv2); Liu et al., ECCV 2024 (Grounding DINO).
    """

    reads_synonyms = True
    takes_none_below = True

    def __init__(self, settings: CheckerSettings) -> None:
        self.device = choose_device(settings.device)
        dtype = "float32" if settings.dtype == "auto" else settings.dtype
        self.dtype = choose_dtype(dtype, self.device)
        self.batch_size = settings.batch_size or BATCH_SIZE
        self._located = locate(settings.name, settings.revision)
        self._family = _family_of(self._located)
        given = settings.none_below
        self.none_below = self._family.none_below if given is None else given
        if not 0 < self.none_below < 1:
            raise ConfigError(f"none_below is {self.none_below:g}, but it lies between 0 and 1")
        self.checker_id = f"detect:{self._located}+{READING}-none{self.none_below:g}"
        self._detector: _Detector | None = None

    @staticmethod
    def asked(checker_id: str, question: Question) -> tuple[tuple[str, str], ...]:
        """The names that were looked for."""
        if question.kind is QuestionKind.RELATION:
            return ()
        return tuple(("looked for", name) for some in _names(question) for name in some)

    def takes(self, question: Question) -> bool:
        """Presence, a choice among two options or more, and, to abstain, a relation."""
        if question.kind.is_choice:
            return len(question.options) >= 2
        return question.kind is not QuestionKind.LIKENESS and bool(question.text.strip())

    def score(
        self, images: Sequence[Image], questions: Sequence[Question]
    ) -> list[tuple[Answer, ...]]:
        """Answer question i about image i.

        Raises:
            ConfigError: the weights cannot be loaded, or memory does not suffice.
            CheckError: the model cannot take the pictures in.
        """
        answers, rows = to_look_at(images, questions, self.takes, options_of)
        asked: list[tuple[int, Image, list[tuple[str, ...]]]] = []
        for place, picture in rows:
            if questions[place].kind is QuestionKind.RELATION:
                answers[place] = abstain(("",), NO_RELATION)
                continue
            names = _names(questions[place])
            unreadable = self._loaded().unreadable
            reason = next(filter(None, (unreadable(name) for name, *_ in names)), "")
            if reason:
                answers[place] = abstain(options_of(questions[place]), reason)
            else:
                read = [tuple(name for name in some if not unreadable(name)) for some in names]
                asked.append((place, picture, read))
        if not asked:
            return answers
        found = self._loaded().find(
            [
                (picture, dict.fromkeys(name for some in names for name in some))
                for _, picture, names in asked
            ],
            self.batch_size,
        )
        for (place, _, names), seen in zip(asked, found, strict=True):
            best = [max((seen[name] for name in some), key=_score) for some in names]
            answers[place] = self._answer(questions[place], best)
        return answers

    def _answer(self, question: Question, best: Sequence[_Found]) -> tuple[Answer, ...]:
        scores = [score for score, _ in best]
        if any(not 0 <= score <= 1 for score in scores):
            return abstain(options_of(question), "a score is not a finite number")
        if not question.kind.is_choice:
            return (Answer(scores[0], box=best[0][1]),)
        shown = [option for option in question.options if option != NONE_OF_THESE]
        whole = sum(scores) + self.none_below
        found = {
            option: Answer(score / whole, option, box=box)
            for option, (score, box) in zip(shown, best, strict=True)
        }
        none = Answer(self.none_below / whole, NONE_OF_THESE)
        return tuple(found.get(option, none) for option in question.options)

    def load(self) -> None:
        """Read the weights now, fetched where they must be.

        Raises:
            ConfigError: that cannot be.
        """
        self._loaded()

    def fetches(self) -> tuple[Fetch, ...]:
        """How much of it comes from the hub, and how much of that is here."""
        return needed(self._located)

    def _loaded(self) -> _Detector:
        if self._detector is None:
            self._detector = _Detector(self._located, self._family, self.device, self.dtype)
        return self._detector


def _score(found: _Found) -> float:
    return found[0]


def _names(question: Question) -> list[tuple[str, ...]]:
    """What is looked for: for the text, or for each option but none of these, all its names."""
    texts = question.options if question.kind.is_choice else (question.text,)
    others = question.synonyms or ((),) * len(texts)
    return [
        tuple(dict.fromkeys((text, *synonyms)))
        for text, synonyms in zip(texts, others, strict=True)
        if text != NONE_OF_THESE
    ]


def _family_of(located: Located) -> _Dialect:
    """Judge a folder by its files before anything of it is loaded."""
    refuse_file(located)
    config = located.path / "config.json"
    try:
        kind = json.loads(config.read_text(encoding="utf-8"))["model_type"]
    except FileNotFoundError as error:
        raise ConfigError(
            f"{located.name} has no config.json: give a detector that transformers saved"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{located.name}/config.json names no model_type: copy the model again, whole"
        ) from error
    if kind not in FAMILIES:
        raise ConfigError(
            f"{located.name} is a {kind} and finds no things by their names: detectors that do are "
            f"{', '.join(FAMILIES)}"
        )
    refuse_no_safetensors(located)
    return FAMILIES[kind]


class _Detector:
    """A loaded model that looks for names in pictures."""

    def __init__(self, located: Located, family: _Dialect, device: str, dtype: str) -> None:
        import torch
        from safetensors import SafetensorError
        from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

        refuse_unusable(device)
        self.name, self.device, self.family = located.name, device, family
        folder = fetch_weights(located)
        safe: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            with silent():
                self.processor: Any = AutoProcessor.from_pretrained(folder, **safe)
                model, report = AutoModelForZeroShotObjectDetection.from_pretrained(
                    folder,
                    dtype=getattr(torch, dtype),
                    use_safetensors=True,
                    output_loading_info=True,
                    **safe,
                )
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            said = " ".join(str(error).split())[:300]
            raise ConfigError(
                f"{self.name} cannot be loaded as a detector ({said}): copy it again, whole"
            ) from error
        refuse_missing(self.name, report["missing_keys"])
        refuse_not_finite(self.name, model.state_dict())
        self.model: Any = model.to(device).eval()
        self.tokenizer: Any = self.processor.tokenizer
        self._reads = _reads(model.config)

    def unreadable(self, name: str) -> str:
        """Why a name cannot be looked for; empty if it can."""
        said = self._said(name)
        if not re.search(r"\w", said):
            return f"{name!r} names nothing that could be looked for"
        # OmDet-Turbo also reads what it is to do
        whole = said if self.family.separate or self._merges else f"Detect {said}."
        length = len(self.tokenizer(whole, truncation=False, verbose=False)["input_ids"])
        if length > self._reads:
            return f"{name!r} is {length} tokens long, and the detector reads {self._reads}"
        return ""

    def find(
        self, rows: Sequence[tuple[Image, Iterable[str]]], batch_size: int
    ) -> list[dict[str, _Found]]:
        """For each picture the best box of every name, and its score.

        Pictures of one size are looked at together, so that none is padded to another's size.
        """
        found: list[dict[str, _Found]] = [{} for _ in rows]
        by_size: dict[tuple[int, int], list[tuple[int, Image, list[str]]]] = {}
        for place, (picture, names) in enumerate(rows):
            same = by_size.setdefault(picture.size, [])
            if self.family.separate:
                same.append((place, picture, list(names)))
            else:
                same += [(place, picture, [name]) for name in names]

        def look(
            batch: Sequence[tuple[int, Image, list[str]]],
        ) -> list[dict[str, _Found]]:
            return self._look([picture for _, picture, _ in batch], [row[2] for row in batch])

        for same in by_size.values():
            same.sort(key=lambda row: max(map(len, row[2])))
            best = in_batches(same, batch_size, look, self.name)
            for (place, _, _), some in zip(same, best, strict=True):
                found[place] |= some
        return found

    def _look(
        self, pictures: Sequence[Image], names: Sequence[Sequence[str]]
    ) -> list[dict[str, _Found]]:
        import torch

        texts = [[self._said(name) for name in some] for some in names]
        try:
            inputs = self.processor(
                images=list(pictures),
                text=[" ".join(some) for some in texts] if self._merges else texts,
                return_tensors="pt",
                **({"padding": True} if self._merges else {}),
            )
        except ValueError as error:
            raise CheckError(f"{self.name} cannot take these pictures in: {error}") from error
        with torch.inference_mode():
            outputs = self.model(**inputs.to(self.device, self.model.dtype))
        scores, boxes = _read(outputs)
        return [
            {
                name: self._best(scores[row, :, column], boxes[row], picture, name)
                for column, name in enumerate(some)
            }
            for row, (picture, some) in enumerate(zip(pictures, names, strict=True))
        ]

    @property
    def _merges(self) -> bool:
        """Whether all that is looked for is one text, with a full stop behind each name."""
        return self.family.prompt.endswith(".")

    def _said(self, name: str) -> str:
        for separator in self.family.separators:
            name = name.replace(separator, " ")
        name = " ".join(name.split())
        return self.family.prompt.format(name.lower() if self._merges else name)

    def _best(self, scores: torch.Tensor, boxes: torch.Tensor, picture: Image, name: str) -> _Found:
        place = int(scores.argmax())
        x, y, width, height = boxes[place].tolist()
        square = max(picture.size)
        across, down = (
            (square / picture.width, square / picture.height)
            if self.family.padded_to_square
            else (1.0, 1.0)
        )
        left, right = (_within((x + side * width / 2) * across) for side in (-1, 1))
        top, bottom = (_within((y + side * height / 2) * down) for side in (-1, 1))
        return float(scores[place]), Box(
            min(left, right), min(top, bottom), max(left, right), max(top, bottom), name
        )


def _within(edge: float) -> float:
    return min(max(edge, 0.0), 1.0) if edge == edge else 0.0


def _reads(config: Any) -> int:
    """Tokens of one text, special ones included, that the model takes in."""
    limits = (
        getattr(config, "max_text_len", None),
        getattr(getattr(config, "text_config", None), "max_position_embeddings", None),
    )
    return min(limit for limit in limits if limit is not None)


def _read(outputs: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores ``(rows, boxes, names)`` in [0, 1] and boxes ``(rows, boxes, 4)`` as centre and size,
    in fractions; float32 on the CPU.

    Of a model that reads one text for all names, a box's score is that of its likeliest token.
    """
    if "decoder_class_logits" in outputs:
        logits, boxes = outputs.decoder_class_logits, outputs.decoder_coord_logits
    else:
        logits, boxes = outputs.logits, outputs.pred_boxes
    scores = logits.float().sigmoid().cpu()
    if getattr(outputs, "input_ids", None) is not None:
        scores = scores.amax(dim=-1, keepdim=True)
    return scores, boxes.float().cpu()
