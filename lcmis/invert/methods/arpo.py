"""ARPO: paint, let a text model say what differs, keep the phrases that the picture bears out.

Source: Ren, Zhan, Yu, Tao, "Reverse Prompt: Cracking the Recipe Inside Text-to-Image Generation",
arXiv 2503.19937, 2025. Its three parts (painting, textual gradients, greedy selection by text–image
similarity) and the two forms of gradients are the paper's. No code was published: wordings,
numbers, the stop rule and the guard are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from lcmis.errors import InversionError, ItemError, OutOfBudget
from lcmis.invert.methods.caption import text_model
from lcmis.invert.methods.fit import Fit
from lcmis.plugins.protocols import Encoder, Need, TextModel, Tools
from lcmis.text import asking, edits
from lcmis.text.asking import Changes

if TYPE_CHECKING:
    from PIL.Image import Image

ASPECTS = (
    "subject",
    "attributes",
    "count",
    "composition",
    "background",
    "light",
    "colour",
    "lens",
    "medium",
    "style",
    "artist or era",
    "mood",
)
"""Headings under which both pictures are described, so that the descriptions can be compared."""


@dataclass(frozen=True, slots=True)
class Arpo:
    """Starts from a caption and changes it phrase by phrase, as long as it fits the picture better.

    The guide's text–image similarity chooses; it may rise while the painting gets worse, so which
    prompt is the best is left to the guard: the image–image similarity of the paintings to the
    reference. Without a guard, the prompt that the guide likes best is the last.

    Args:
        gradients: ``vanilla`` shows both pictures to the text model at once; ``enhanced`` has each
            described alone and the descriptions compared, and tells which phrases helped before.
        rounds: paintings that are compared, at most.
        count: changes that the text model is asked for in a round.
        patience: rounds in a row without gain that end the search.
        least_gain: rise of the similarity in a round that counts as one.
    """

    gradients: Literal["enhanced", "vanilla"] = "enhanced"
    rounds: int = 8
    count: int = 12
    patience: int = 2
    least_gain: float = 0.001

    needs = frozenset({Need.ENCODER, Need.SEEING_TEXT_MODEL})

    @property
    def inverter_id(self) -> str:
        """The algorithm, and its gradients where they are not the usual ones."""
        return "arpo" if self.gradients == "enhanced" else f"arpo-{self.gradients}"

    def invert(self, reference: Image, tools: Tools) -> Iterator[str]:
        """Every prompt that was painted, each once; the best one last, also where the search
        breaks off.

        Raises:
            InversionError: there is no guide, no text model, or no painting of a prompt.
            TextModelError: no reply, or the text model sees no pictures.
            ProposalError: its reply cannot be used.
            OutOfBudget: as it paints.
        """
        best: _Tried | None = None
        broken_off: ItemError | OutOfBudget | None = None
        search = self._search(reference, tools)
        try:
            for tried in search:
                worse, best = sorted((best or tried, tried), key=lambda one: one.standing)
                if worse is not best:
                    yield worse.prompt
        except (ItemError, OutOfBudget) as error:
            broken_off = error
        if best is not None:
            yield best.prompt
        if broken_off is not None:
            raise broken_off

    def _search(self, reference: Image, tools: Tools) -> Iterator[_Tried]:
        """Every prompt as it is painted, in the order in which the guide prefers them."""
        model = text_model(self.inverter_id, tools)
        if tools.encoder is None:
            raise InversionError(
                f"{self.inverter_id} compares texts with the picture: give it a guide of kind clip"
            )
        compare = _GRADIENTS[self.gradients](model, reference, self.count)
        fit = Fit(tools.encoder, reference)
        prompt, idle = fit.shortened(asking.caption(model, reference)), 0
        painting = _paint(prompt, tools)
        yield _Tried(prompt, _standing(prompt, painting, reference, fit, tools.guard))
        helped: dict[str, bool] = {}
        for _ in range(self.rounds):
            changes = compare(painting, prompt, helped)
            if not changes:
                return  # the text model sees no difference
            better = ascend(prompt, changes, fit)
            helped |= {
                phrase: edits.says(better, phrase)
                for phrase in (*changes.add, *(new for _, new in changes.replace))
            }
            gain = fit.of(better) - fit.of(prompt)
            idle = 0 if gain > self.least_gain else idle + 1
            if better != prompt:
                prompt, painting = better, _paint(better, tools)
                yield _Tried(prompt, _standing(prompt, painting, reference, fit, tools.guard))
            if idle == self.patience:
                return


def vanilla() -> Arpo:
    """ARPO, both pictures shown to the text model at once."""
    return Arpo("vanilla")


@dataclass(frozen=True, slots=True)
class _Tried:
    prompt: str
    standing: float
    """Cosine to the reference picture: of the painting by the guard or, without one, of the prompt
    by the guide."""


# ── textual gradients ────────────────────────────────────────────────────────────────────────────


class _Vanilla:
    """One question, two pictures."""

    def __init__(self, model: TextModel, reference: Image, count: int) -> None:
        self._model, self._reference, self._count = model, reference, count

    def __call__(self, painting: Image, prompt: str, helped: Mapping[str, bool]) -> Changes:
        return asking.changes(self._model, self._reference, painting, prompt, self._count)


class _Enhanced:
    """Each picture described once, alone; the descriptions compared as text."""

    def __init__(self, model: TextModel, reference: Image, count: int) -> None:
        self._model, self._reference, self._count = model, reference, count
        self._painted: tuple[str, dict[str, str]] = ("", {})

    def __call__(self, painting: Image, prompt: str, helped: Mapping[str, bool]) -> Changes:
        if self._painted[0] != prompt:
            self._painted = (prompt, asking.describe(self._model, painting, ASPECTS))
        return asking.differences(
            self._model,
            self._goal,
            self._painted[1],
            prompt,
            self._count,
            accepted=[phrase for phrase, did in helped.items() if did],
            rejected=[phrase for phrase, did in helped.items() if not did],
        )

    @cached_property
    def _goal(self) -> dict[str, str]:
        return asking.describe(self._model, self._reference, ASPECTS)


_Compare = Callable[["Image", str, Mapping[str, bool]], Changes]
"""From a painting, its prompt and which phrases helped, to what to change."""
_GRADIENTS: dict[str, Callable[[TextModel, Image, int], _Compare]] = {
    "vanilla": _Vanilla,
    "enhanced": _Enhanced,
}


# ── greedy selection ─────────────────────────────────────────────────────────────────────────────


def ascend(prompt: str, changes: Changes, fit: Fit) -> str:
    """Make the one change that fits the picture best, and so on, while the fit rises.

    A prompt that the encoder would cut is never chosen. Source: the greedy selection of ARPO; the
    moves are those of pharmapsychotic's CLIP Interrogator (chain), with replacing and dropping.
    """
    current = fit.of(prompt)
    while texts := [text for text in variants(prompt, changes) if fit.takes(text)]:
        best, text = max(zip(fit.of_all(texts), texts, strict=True))
        if best <= current:
            break
        prompt, current = text, best
    return prompt


def variants(prompt: str, changes: Changes) -> list[str]:
    """A prompt with one phrase more, one less, or one for another, each once.

    Phrases of the prompt are what its commas part, and those that the changes name. What stands
    before the first comma says what the picture shows: there, only the changes' own phrases are
    touched, for similarity alone would give up a thing for a word that is nearer to its look.
    """
    parts = prompt.split(", ")
    new = [phrase for phrase in changes.add if not edits.says(prompt, phrase)]
    found = [f"{prompt}, {phrase}" for phrase in new]
    for place in range(1, len(parts)):
        before, after = parts[:place], parts[place + 1 :]
        found += [", ".join([*before, phrase, *after]) for phrase in new]
        found.append(", ".join([*before, *after]))
    found += [edits.replace(prompt, a, b) for a, b in changes.replace if edits.says(prompt, a)]
    found += [rest for phrase in changes.drop for rest in _without(prompt, phrase)]
    return [text for text in dict.fromkeys(found) if text != prompt]


def _without(prompt: str, phrase: str) -> Iterator[str]:
    try:
        yield edits.delete(prompt, phrase)
    except ValueError:
        return  # it does not say that, or nothing else


# ── painting and its guard ───────────────────────────────────────────────────────────────────────


def _paint(prompt: str, tools: Tools) -> Image:
    painting = tools.paint(prompt, 0)
    if painting is None:
        raise InversionError(f"no picture was painted of {prompt!r}, so it cannot be compared")
    return painting


def _standing(
    prompt: str, painting: Image, reference: Image, fit: Fit, guard: Encoder | None
) -> float:
    if guard is None:
        return fit.of(prompt)
    seen, wanted = guard.see([painting, reference])
    return float(seen @ wanted)
