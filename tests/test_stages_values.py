"""Steps to the call: what a clock says beside real schedulers, and what a denoiser is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import diffusers
import pytest
import torch

from lcmis.render.conditioning import CallArguments
from lcmis.render.stages import Clock, standing_in, step_of, watching


@pytest.mark.parametrize(
    ("timestep", "step"),
    [
        (999, 0),
        (880, 0),
        (870, 1),
        (630, 1),
        (620, 2),
        (500, 2),
        (251, 3),
        (1, 3),
        (-50, 3),
        (2000, 0),
    ],
)
def test_a_timestep_belongs_to_the_nearest_step(timestep: float, step: int) -> None:
    assert step_of(timestep, [1000, 750, 500, 250], 4) == step
    assert step_of(timestep, [250, 500, 500, 750, 1000, 250], 4) == step


def test_timesteps_between_two_steps_belong_to_the_earlier_one() -> None:
    twice = [900, 800, 700, 600, 500, 400]
    assert [step_of(timestep, twice, 3) for timestep in twice] == [0, 0, 1, 1, 2, 2]
    assert [step_of(timestep, twice, 4) for timestep in twice] == [0, 0, 1, 2, 2, 3]


def test_a_timestep_in_the_middle_belongs_to_the_earlier_step() -> None:
    assert step_of(875, [1000, 750], 2) == 0


def clock_of(kind: Any, steps: int) -> Clock:
    scheduler = kind()
    scheduler.set_timesteps(steps)
    return Clock(scheduler, steps)


def walked(clock: Clock, strides: int) -> list[tuple[int, bool]]:
    seen = []
    for _ in range(strides):
        seen.append((clock.step, clock.is_last))
        clock.stride()
    return seen


def test_a_clock_tells_the_steps_of_a_scheduler_that_takes_one_for_one() -> None:
    clock = clock_of(diffusers.DDIMScheduler, 3)
    assert walked(clock, 4) == [(0, False), (1, False), (2, True), (2, True)]


def test_heun_takes_two_strides_at_every_timestep_but_the_first() -> None:
    clock = clock_of(diffusers.HeunDiscreteScheduler, 2)
    assert walked(clock, 3) == [(0, False), (1, False), (1, True)]


def test_where_a_consistency_model_arrives_is_no_step() -> None:
    arriving = SimpleNamespace(timesteps=torch.tensor([999.0, 499.0, 0.0]))
    assert walked(Clock(arriving, 2), 2) == [(0, False), (1, True)]
    twofold = SimpleNamespace(timesteps=torch.tensor([999.0, 499.0, 0.0]), order=2)
    assert walked(Clock(twofold, 2), 3) == [(0, False), (0, False), (1, True)]
    repeated = SimpleNamespace(timesteps=torch.tensor([999.0, 499.0, 499.0, 0.0]), order=1)
    assert walked(Clock(repeated, 2), 3) == [(0, False), (1, False), (1, True)]


def test_a_clock_starts_before_the_first_call_and_counts_calls_of_each_step() -> None:
    clock = clock_of(diffusers.DDIMScheduler, 2)
    assert (clock.calls, clock.call_in_step, clock.strides) == (0, -1, 0)
    clock.tick()
    assert (clock.calls, clock.call_in_step, clock.strides) == (1, 0, 0)
    clock.tick()
    assert (clock.calls, clock.call_in_step, clock.strides) == (2, 1, 0)
    clock.stride()
    assert (clock.calls, clock.call_in_step, clock.strides) == (2, -1, 1)
    clock.tick()
    clock.stride()
    assert (clock.calls, clock.call_in_step, clock.strides) == (3, -1, 2)


def test_a_clock_reads_timesteps_when_first_asked_and_only_then() -> None:
    scheduler = diffusers.DDIMScheduler()
    clock = Clock(scheduler, 2)
    scheduler.set_timesteps(2)
    assert clock.step == 0
    scheduler.set_timesteps(9)
    assert walked(clock, 2) == [(0, False), (1, True)]


class Told(torch.nn.Module):
    """Says what it was told."""

    def forward(self, sample: Any, *rest: Any, **named: Any) -> Any:
        return (sample, *rest), named


@pytest.fixture
def pipeline() -> Any:
    scheduler = diffusers.DDIMScheduler()
    scheduler.set_timesteps(2)
    return SimpleNamespace(scheduler=scheduler)


def test_what_a_denoiser_is_told_is_heard_and_may_be_told_otherwise(pipeline: Any) -> None:
    denoiser, clock = Told(), Clock(pipeline.scheduler, 2)
    heard: list[CallArguments] = []
    instead: list[CallArguments | None] = [None, CallArguments(("c",), {"t": 2})]

    def told(said: CallArguments) -> CallArguments | None:
        heard.append(said)
        return instead[clock.calls - 1]

    with watching(pipeline, denoiser, clock, told=told):
        assert denoiser("a", 1, t=1) == (("a", 1), {"t": 1})
        assert denoiser("b", t=1) == (("c",), {"t": 2})
    assert [(said.args, said.kwargs) for said in heard] == [
        (("a", 1), {"t": 1}),
        (("b",), {"t": 1}),
    ]
    assert (clock.calls, clock.call_in_step) == (2, 1)
    assert denoiser("b", t=1) == (("b",), {"t": 1})
    assert len(heard) == 2
    assert clock.calls == 2


def test_what_a_scheduler_goes_by_is_heard_at_every_step(pipeline: Any) -> None:
    scheduler, clock = pipeline.scheduler, Clock(pipeline.scheduler, 2)
    noise, sample = torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    plain = scheduler.step(noise, scheduler.timesteps[0], sample)
    stepped: list[Any] = []
    with watching(pipeline, None, clock, stepped=stepped.append):
        assert scheduler.step.__name__ == "step"
        assert scheduler.step.__doc__ == diffusers.DDIMScheduler.step.__doc__
        first = scheduler.step(noise, scheduler.timesteps[0], sample)
        named = scheduler.step(
            timestep=scheduler.timesteps[0], sample=sample, model_output=noise, return_dict=False
        )
    assert all(one is noise for one in stepped)
    assert len(stepped) == 2
    assert torch.equal(first.prev_sample, plain.prev_sample)
    assert torch.equal(named[0], plain.prev_sample)
    assert clock.strides == 2
    assert "step" not in vars(scheduler)


def test_unless_asked_to_nothing_is_changed_or_told(pipeline: Any) -> None:
    denoiser, clock = Told(), Clock(pipeline.scheduler, 2)
    noise = torch.ones(1, 1, 2, 2)
    with watching(pipeline, denoiser, clock):
        assert denoiser("a", t=1) == (("a",), {"t": 1})
        pipeline.scheduler.step(noise, pipeline.scheduler.timesteps[0], noise)
    assert (clock.calls, clock.strides) == (1, 1)


def test_a_run_that_breaks_leaves_no_hook_behind(pipeline: Any) -> None:
    denoiser, clock = Told(), Clock(pipeline.scheduler, 2)
    inside = watching(pipeline, denoiser, clock)
    inside.__enter__()
    assert denoiser._forward_pre_hooks
    assert not inside.__exit__(KeyError, KeyError(), None)
    assert not denoiser._forward_pre_hooks
    assert "step" not in vars(pipeline.scheduler)


def test_who_stands_in_is_given_the_forward_and_what_was_told() -> None:
    denoiser = Told()
    with standing_in(denoiser, lambda inner, said: (inner(*said.args), said.args, said.kwargs)):
        assert denoiser("a", 1, t=2) == ((("a", 1), {}), ("a", 1), {"t": 2})
    assert "forward" not in vars(denoiser)
    assert denoiser("a") == (("a",), {})


def test_a_forward_of_the_denoisers_own_is_put_back() -> None:
    denoiser = Told()
    own = denoiser.forward
    denoiser.forward = own
    inside = standing_in(denoiser, lambda *_: "b")
    inside.__enter__()
    assert denoiser("a") == "b"
    assert not inside.__exit__(KeyError, KeyError(), None)
    assert vars(denoiser)["forward"] is own
