"""What the engine rests on, proved on a model itself when it is first needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lcmis.errors import ConfigError
from lcmis.render.calling import PROOF_STEPS, Asked, Running
from lcmis.render.conditioning import same
from lcmis.types import RenderSpec


class Proofs:
    """Tries a model's guidance, negative prompts and stages, each once, by drawing a few steps."""

    def __init__(self, model_id: str, running: Running, template: RenderSpec) -> None:
        self._model_id = model_id
        self._running = running
        self._template = template
        self._guides: set[bool] = set()
        self._stages: str | None = None

    def settings(self, specs: Sequence[RenderSpec]) -> None:
        """See that guidance and negative prompts act, by one step with and one without.

        Raises:
            ConfigError: one of them changes nothing; the sentence names it.
        """
        for spec in specs:
            kind = bool(spec.negative_prompt.strip())
            if kind not in self._guides:
                self._guides.add(kind)
                self._see_that_it_acts(spec)

    def _see_that_it_acts(self, spec: RenderSpec) -> None:
        scale = spec.guidance_scale
        asked = Asked((spec.prompt,), (spec.negative_prompt,))
        if scale in (0.0, 1.0):
            return
        usual = self._first_step(asked)
        if same(usual, self._first_step(asked, guidance_scale=1.0)):
            raise ConfigError(
                f"{self._model_id}: guidance_scale = {scale:g} changes nothing in what it draws: "
                f"set it to 0, or to a number that this pipeline is guided by"
            )
        if spec.negative_prompt.strip():
            other = Asked(asked.prompts, (asked.negative_prompts[0] + ", and more",))
            if same(usual, self._first_step(other)):
                raise ConfigError(
                    f"{self._model_id}: a negative prompt changes nothing in what it draws: leave "
                    f"it out"
                )

    def _first_step(self, asked: Asked, guidance_scale: float | None = None) -> list[Any]:
        return self._running.predictions(
            asked, self._template.num_inference_steps, most=1, guidance_scale=guidance_scale
        )

    def stages(self, rulings: Sequence[Asked]) -> str:
        """Why a batch's prompts cannot be switched from one to the next; empty where they can.

        Drawn over a few steps: what is asked for the last and told another throughout must be that
        other bit for bit, at every step. Where that fails with what was heard in one step, all
        steps are heard.
        """
        last = rulings[-1]
        other = next((asked for asked in rulings if asked != last), None)
        if self._stages is None and other is not None:
            self._stages = self._prove_stages(other, last)
        return self._stages or ""

    def _prove_stages(self, first: Asked, last: Asked) -> str:
        steps = min(PROOF_STEPS, self._template.num_inference_steps)
        running = self._running
        expected = running.predictions(first, steps)
        if same(expected, running.predictions(last, steps)):
            return "two prompts are drawn alike"
        for records_all in (False, True):
            running.records_all = records_all
            told = running.differences({0: first}, last, steps)
            try:
                switched = running.predictions(last, steps, told=told)
            except IndexError:
                continue  # it is called more often in some steps than in others
            if same(expected, switched):
                return ""
        return "more than what its denoiser is told depends on the prompt"
