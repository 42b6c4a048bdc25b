"""The table search: a caption or a subject, a medium and flavours, as long as they fit better."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lcmis.errors import InversionError
from lcmis.invert.methods.fit import Fit
from lcmis.plugins.protocols import Need, PhraseTable, Tools
from lcmis.text.asking import caption
from lcmis.text.phrases import shipped_table

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class Interrogator:
    """Puts phrases of a table behind a caption, each time the one that fits the picture best.

    Source: pharmapsychotic's CLIP Interrogator, mode "best": a BLIP caption, then a greedy chain
    over the 2,048 flavours nearest to the picture, until nothing is gained or 77 tokens are full.
    Deviations: the table is ours and small, without artists or sites, and may be the user's own;
    beside the caption, and instead of it where no text model sees pictures, a chain starts at the
    table's best subject, and the better of both chains is the last.

    Args:
        most: flavours of a prompt.
        shortlist: flavours that are tried, the nearest ones to the picture.
    """

    most: int = 8
    shortlist: int = 2048

    needs = frozenset({Need.ENCODER})

    @property
    def reads_table(self) -> bool:
        """It does."""
        return True

    @property
    def inverter_id(self) -> str:
        """The algorithm."""
        return "interrogator"

    def invert(self, reference: Image, tools: Tools) -> Iterator[str]:
        """Each chain from its start on, the one that ends nearer to the picture last.

        Raises:
            InversionError: there is no encoder.
            TextModelError: no caption.
        """
        if tools.encoder is None:
            raise InversionError(
                "interrogator compares phrases with the picture by an encoder and there is none: "
                "let an open_clip model guide"
            )
        fit = Fit(tools.encoder, reference)
        table = shipped_table() if tools.phrases is None else tools.phrases
        starts = [fit.best(table.subject)]
        if tools.text_model is not None and tools.text_model.sees_images:
            starts.append(fit.shortened(caption(tools.text_model, reference)))
        chains = [self._chain(start, table, fit) for start in starts]
        chains.sort(key=lambda chain: fit.of(chain[-1]))
        last = chains[-1]
        yield from dict.fromkeys(
            text for chain in chains[:-1] for text in chain if text not in last
        )
        yield from last

    def _chain(self, start: str, table: PhraseTable, fit: Fit) -> list[str]:
        """A text, with a medium if one fits, and with one flavour more each time."""
        prompts = [start]
        fit.of_all(table.flavour)
        near = sorted(table.flavour, key=fit.of, reverse=True)[: self.shortlist]
        for phrases in (table.medium, *[near] * self.most):
            longer = _longer(prompts[-1], phrases, fit)
            if longer:
                prompts.append(longer)
            elif phrases is near:
                break
        return prompts


def _longer(prompt: str, phrases: Sequence[str], fit: Fit) -> str:
    """With the phrase behind it that fits best; empty where none fits better than the prompt."""
    said = prompt.split(", ")
    texts = [f"{prompt}, {phrase}" for phrase in phrases if phrase not in said]
    texts = [text for text in texts if fit.takes(text)]
    best = fit.best(texts) if texts else prompt
    return best if fit.of(best) > fit.of(prompt) else ""
