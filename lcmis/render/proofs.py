"""What the engine rests on, proved on a model itself when it is first needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from lcmis.errors import ConfigError
from lcmis.render.calling import Running, Wording
from lcmis.render.conditioning import CallArguments, same, tensors
from lcmis.render.proved import Proved
from lcmis.render.stages import standing_in
from lcmis.types import RenderSpec

STEPS = 3
"""Of a drawing that only proves something, where the user's own are not fewer."""


class Proofs:
    """Tries what a model promises, each once, by drawing a few steps: that guidance and negative
    prompts act, that a batch's pictures leave one another alone, that stages are what they say.

    What held is kept on this machine; see :class:`lcmis.render.proved.Proved`.
    """

    def __init__(self, running: Running, template: RenderSpec, proved: Proved) -> None:
        self._running = running
        self._template = template
        self._proved = proved
        self._seen: set[str] = set()
        self._switching: str | None = None
        self._adding: str | None = None

    # ── settings ─────────────────────────────────────────────────────────────────────────────

    def settings(self, specs: Sequence[RenderSpec], batch_size: int, *, pinned: bool) -> None:
        """See that nothing which was set is without effect, and batches without any.

        Args:
            specs: what is to be drawn.
            batch_size: of how many rows.
            pinned: whether a picture's row follows from its seed, so that only its neighbours may
                change.

        Raises:
            ConfigError: one of them is; the sentence names it.
        """
        for spec in specs:
            if spec.guidance_scale not in (0.0, 1.0):
                self._once(f"guidance {spec.guidance_scale:g}", self._guides, spec)
                if spec.negative_prompt.strip():
                    self._once("negative prompts", self._steers_away, spec)
            if batch_size > 1:
                self._once(
                    f"batches of {batch_size}", partial(self._rows, batch_size, pinned), spec
                )

    def _once(self, what: str, prove: Callable[[RenderSpec], None], spec: RenderSpec) -> None:
        if what in self._seen:
            return
        if self._proved.get(what) is None:
            prove(spec)
            self._proved.keep(what, "seen in the first steps of a drawing")
        self._seen.add(what)

    def _guides(self, spec: RenderSpec) -> None:
        asked = Wording((spec.prompt,), (spec.negative_prompt,))
        # some read any number below 1 as none, and some cannot be run with 1
        other = spec.guidance_scale + 1 if spec.guidance_scale > 1 else 1.0
        if same(self._first_step(asked), self._first_step(asked, guidance_scale=other)):
            raise ConfigError(
                f"{spec.model}: guidance_scale = {spec.guidance_scale:g} changes nothing in what "
                f"it draws: set it to 0, or to a number that this pipeline is guided by"
            )

    def _steers_away(self, spec: RenderSpec) -> None:
        asked, other = (
            Wording((spec.prompt,), (negative,))
            for negative in (spec.negative_prompt, f"other than {spec.negative_prompt}")
        )
        if same(self._first_step(asked), self._first_step(other)):
            raise ConfigError(
                f"{spec.model}: a negative prompt changes nothing in what it draws: leave it out"
            )

    def _first_step(self, asked: Wording, guidance_scale: float | None = None) -> list[Any]:
        steps = self._template.num_inference_steps
        return self._running.predictions(asked, [0], steps, most=1, guidance_scale=guidance_scale)

    def _rows(self, batch_size: int, pinned: bool, spec: RenderSpec) -> None:
        if not self._agree(batch_size, pinned, spec):
            smaller = [2**power for power in range(batch_size.bit_length(), 0, -1)]
            fit = (one for one in smaller if one < batch_size and self._agree(one, pinned, spec))
            raise ConfigError(
                f"{spec.model} draws {batch_size} pictures at once otherwise than each by itself: "
                f"set batch_size = {next(fit, 1)}"
            )

    def _agree(self, batch_size: int, pinned: bool, spec: RenderSpec) -> bool:
        """Whether one prompt's pictures in one order and the other, or in their rows among others,
        are the same bit for bit.
        """
        asked = Wording((spec.prompt,) * batch_size, (spec.negative_prompt,) * batch_size)
        seeds = list(range(batch_size))
        others = [seed + batch_size * (seed % 2) for seed in seeds] if pinned else seeds[::-1]
        first, second = (
            list(tensors(self._running.predictions(asked, order, self._few)))
            for order in (seeds, others)
        )
        if pinned:  # every second row has another neighbour, and is itself as before
            agree = same([said[::2] for said in first], [said[::2] for said in second])
        else:
            agree = same(first, [said.flip(0) for said in second])
        return bool(first) and agree

    @property
    def _few(self) -> int:
        return min(STEPS, self._template.num_inference_steps)

    # ── stages ───────────────────────────────────────────────────────────────────────────────

    def stages(self, rulings: Sequence[Wording]) -> str:
        """Why a batch's prompts cannot be switched from one to the next; empty where they can.

        Drawn over a few steps: what is asked for the last and told another throughout must be that
        other bit for bit, at every step. Where that fails with what was heard in one step, all
        steps are heard.
        """
        last = rulings[-1]
        other = next((asked for asked in rulings if asked != last), None)
        if self._switching is None and other is not None:
            kept = self._proved.get("stages")
            if kept is None:
                self._switching = self._try_switching(other, last)
                if not self._switching:
                    heard = "all steps" if self._running.records_all else "one step"
                    self._proved.keep("stages", heard)
            else:
                self._switching = ""
                self._running.records_all = kept == "all steps"
        return self._switching or ""

    def _try_switching(self, first: Wording, last: Wording) -> str:
        running, steps = self._running, self._few
        seeds = range(len(last.prompts))
        expected = running.predictions(first, seeds, steps)
        if same(expected, running.predictions(last, seeds, steps)):
            return "two prompts are drawn alike"
        for records_all in (False, True):
            running.records_all = records_all
            try:
                told = running.differences({0: first}, last, steps)
                switched = running.predictions(last, seeds, steps, told=told)
            except IndexError:
                continue  # it is called more often in some steps than in others
            if same(expected, switched):
                return ""
        return "more than what its denoiser is told depends on the prompt"

    # ── prompts followed at once ─────────────────────────────────────────────────────────────

    def adding(self, asked: Wording, guidance_scale: float) -> str:
        """Why no batch follows several prompts at once; empty where it can.

        The denoiser must be told every picture twice at one call, first with the negative prompt
        and then with the prompt, and the scheduler be given what plain guidance makes of both.
        """
        if self._adding is None:
            self._adding = ""
            if self._proved.get("prompts at once") is None:
                self._adding = self._try_adding(asked, guidance_scale)
                if not self._adding:
                    self._proved.keep("prompts at once", "seen in the first step of a drawing")
        return self._adding

    def _try_adding(self, asked: Wording, guidance_scale: float) -> str:
        other = Wording(tuple(f"other than {p}" for p in asked.prompts), asked.negative_prompts)
        (said, given), (said_other, _) = map(self._first_answer, (asked, other))
        pictures = len(asked.prompts)
        if said is None or said_other is None or len(said) != 2 * pictures or len(given) != 1:
            return "it is not told prompt and negative prompt of a picture at one call"
        negative, positive = said[:pictures], said[pictures:]
        if not same(negative, said_other[:pictures]) or same(positive, said_other[pictures:]):
            return "what its denoiser says first is not of the negative prompt alone"
        expected = negative + guidance_scale * (positive - negative)
        largest = float(expected.abs().max())
        if given[0].shape != expected.shape or (given[0] - expected).abs().max() > largest / 100:
            return "its guidance is another than the difference to the negative prompt"
        return ""

    def _first_answer(self, asked: Wording) -> tuple[Any, list[Any]]:
        """What the denoiser says at its first call, None unless it is one tensor; and what the
        scheduler is given then.
        """
        heard: list[Any] = []

        def listen(inner: Callable[..., Any], told: CallArguments) -> Any:
            heard.append(inner(*told.args, **told.kwargs))
            return heard[-1]

        denoiser = self._running.denoiser
        if denoiser is None:
            return None, []
        given = self._running.predictions(
            asked,
            range(len(asked.prompts)),
            self._template.num_inference_steps,
            most=1,
            beside=lambda _: standing_in(denoiser, listen),
        )
        is_one = len(heard) == 1 and isinstance(heard[0], tuple) and len(heard[0]) == 1
        return (heard[0][0] if is_one else None), given
