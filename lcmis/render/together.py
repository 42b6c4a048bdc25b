"""Several prompts followed at once: what is predicted for each is added up by weights.

Source: Liu et al., "Compositional Visual Generation with Composable Diffusion Models", ECCV 2022,
arXiv 2206.01714, conjunction of concepts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lcmis.plugins.protocols import Work
from lcmis.render.calling import Running, Wording
from lcmis.render.conditioning import CallArguments
from lcmis.render.stages import Clock, standing_in
from lcmis.types import Beside, Stage

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Term:
    """What a batch follows, and how much it counts, row by row."""

    wording: Wording
    weights: tuple[float, ...]


def terms_of(rows: Sequence[Stage], negatives: tuple[str, ...]) -> tuple[Term, ...]:
    """What a batch follows at once, one stage a row; a row that follows fewer prompts than another
    has its own again, which count nothing.
    """
    parts = [(Beside(stage.prompt, stage.weight), *stage.beside) for stage in rows]
    most = max(map(len, parts))
    filled = [(*row, *[Beside(row[0].prompt, 0.0)] * (most - len(row))) for row in parts]
    return tuple(
        Term(Wording(tuple(one.prompt for one in column), negatives), weights)
        for column in zip(*filled, strict=True)
        for weights in [tuple(one.weight for one in column)]
    )


def sums_of(
    schedules: Sequence[Mapping[int, Stage]], negatives: tuple[str, ...]
) -> dict[int, tuple[Term, ...]]:
    """From which step on a batch follows what.

    Args:
        schedules: of each row, from which step on which stage rules.
        negatives: of each row, what it is kept away from.
    """
    starts = sorted({start for row in schedules for start in row})
    return {
        start: terms_of([row[max(s for s in row if s <= start)] for row in schedules], negatives)
        for start in starts
    }


def added(said: Sequence[torch.Tensor], weights: Sequence[Sequence[float]]) -> torch.Tensor:
    """The prediction that guidance makes of the sum what the sum of guidances is.

    With u for the negative prompt and c_i for prompt i, guidance of strength s draws by
    u + s (c - u); for c = sum w_i c_i + (1 - sum w_i) u that is u + s sum w_i (c_i - u). One prompt
    of weight one is itself bit for bit, whatever else counts nothing.

    Args:
        said: for each prompt (2 · pictures, …), the half for the negative prompt first and the same
            in all.
        weights: for each prompt one a picture.

    Returns:
        (2 · pictures, …), the half for the negative prompt as it was.
    """
    import torch

    pictures = len(weights[0])
    negative = said[0][:pictures]
    told = torch.tensor([list(row) for row in weights], device=negative.device)
    told = told.view(len(weights), pictures, *[1] * (negative.ndim - 1))
    total = (1 - told.sum(0)) * negative.float()
    for one, weight in zip(said, told, strict=True):
        total = total + weight * one[pictures:].float()
    return torch.cat([negative, total.to(negative.dtype)])


class Together:
    """Tells a denoiser every step's prompts, and where there are several of a picture at once,
    answers for it with the sum of what it says to each.

    Each prompt is a run of the whole batch in its one shape, the half for the negative prompt
    included, which is thrown away but once: so k prompts cost k times one.

    Args:
        running: the loaded pipeline.
        sums: from which step on a batch follows what.
        native: what the pipeline itself is asked.
        steps: of the denoising.
        pictures: which of the rows are no filler.
        tell: is told at every such call what the prompts beyond the first cost.
    """

    def __init__(
        self,
        running: Running,
        sums: Mapping[int, tuple[Term, ...]],
        native: Wording,
        steps: int,
        pictures: Sequence[int],
        tell: Callable[[Work], None],
    ) -> None:
        self._denoiser = running.denoiser
        self._sums = sums
        self._rows, self._pictures = len(native.prompts), len(pictures)
        self._tell = tell
        most = max(map(len, sums.values()))
        self._is_needed = most > 1
        self._told = [
            running.differences(
                {start: terms[min(place, len(terms) - 1)].wording for start, terms in sums.items()},
                native,
                steps,
            )
            for place in range(most)
        ]

    def told(self, clock: Clock, heard: CallArguments) -> CallArguments | None:
        """What a call is told in the place of what the pipeline says; None for the same."""
        return None if self._is_needed else self._told[0](clock, heard)

    @contextmanager
    def answering(self, clock: Clock, within: AbstractContextManager[None]) -> Iterator[None]:
        """In the denoiser's place, while inside, and within it another that answers from what was
        said before.
        """
        if not self._is_needed:
            with within:
                yield
            return
        assert self._denoiser is not None

        def answer(inner: Callable[..., Any], heard: CallArguments) -> Any:
            terms = self._sums[max(start for start in self._sums if start <= clock.step)]
            said = []
            for told, _ in zip(self._told, terms, strict=False):
                asked = told(clock, heard) or heard
                said.append(inner(*asked.args, **asked.kwargs)[0])
            more = len(terms) - 1
            pictures = more * self._pictures
            self._tell(Work(alone=pictures, run=more * self._rows, useful=pictures))
            return (added(said, [term.weights for term in terms]),)

        with standing_in(self._denoiser, answer), within:
            yield
