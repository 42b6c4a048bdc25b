"""L-BFGS for many searches side by side: each row has steps and a memory of its own."""

from __future__ import annotations

from collections.abc import Callable

import torch

FLAT, TINY = 1e-7, 1e-9
"""A row ends where its steepest slope, or its last change, is not above these."""
LEAST_CURVATURE = 1e-10
"""Of a step that is remembered."""

Slopes = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""From points (n, dim) to their losses (n,) and the gradients (n, dim)."""
_Step = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Where each row went, how its gradient changed, and one over the product of both."""


def descend(slopes: Slopes, start: torch.Tensor, *, rate: float, iterations: int) -> torch.Tensor:
    """Points (n, dim) after so many steps, or fewer where a row has come to rest.

    Steps have a fixed length, the first one excepted, and all of them are remembered: each row goes
    where ``torch.optim.LBFGS`` without a line search would take it alone. That one, as SciPy's,
    keeps one memory for all it is given: rows would share a curvature that none of them has, or an
    optimizer for each would ask for their losses one by one instead of as one batch.

    Source: Nocedal and Wright, Numerical Optimization, 2006, algorithms 7.4 and 7.5.
    """
    at = start.clone()
    value, slope = slopes(at)
    alive = slope.abs().amax(1) > FLAT
    steepness = slope.abs().sum(1, keepdim=True)
    direction, length = -slope, rate * torch.clamp(1 / steepness, max=1)
    scale = torch.ones_like(steepness)
    memory: list[_Step] = []
    for left in reversed(range(iterations)):
        alive = alive & ((slope * direction).sum(1) <= -TINY)
        if not alive.any():
            break
        moved = torch.where(alive[:, None], length * direction, 0.0)
        at = at + moved
        if not left:
            break
        slope_before, value_before = slope, value
        value, slope = slopes(at)
        changed = slope - slope_before
        curvature = (changed * moved).sum(1, keepdim=True)
        bent = curvature > LEAST_CURVATURE
        inverse = torch.where(bent, 1 / curvature, 0.0)
        memory.append((torch.where(bent, moved, 0.0), torch.where(bent, changed, 0.0), inverse))
        scale = torch.where(bent, curvature / changed.square().sum(1, keepdim=True), scale)
        alive = (
            alive
            & (slope.abs().amax(1) > FLAT)
            & (moved.abs().amax(1) > TINY)
            & ((value - value_before).abs() >= TINY)
        )
        direction, length = _downhill(slope, memory, scale), torch.full_like(length, rate)
    return at


def _downhill(slope: torch.Tensor, memory: list[_Step], scale: torch.Tensor) -> torch.Tensor:
    """Minus the gradient times what is known of the inverse of the curvature."""
    direction = -slope
    weights = []
    for moved, changed, inverse in reversed(memory):
        weight = inverse * (moved * direction).sum(1, keepdim=True)
        direction = direction - weight * changed
        weights.append(weight)
    direction = scale * direction
    for (moved, changed, inverse), weight in zip(memory, reversed(weights), strict=True):
        back = inverse * (changed * direction).sum(1, keepdim=True)
        direction = direction + (weight - back) * moved
    return direction
