"""How likely a pair that passes looks as bad as one did, under the rule that drew its pictures."""

from __future__ import annotations

import functools

import numpy as np

from lcmis.judge.rates import check_counts
from lcmis.judge.stopping import Decision, Sprt, StoppingRule


def passing_rate(rule: StoppingRule) -> float:
    """The highest failure rate at which a rule promises not to call a pair failing.

    That is the lower of the two rates of a sequential test, and else the threshold: a fixed number
    of pictures compares with it and promises nothing between.
    """
    return rule.threshold - rule.delta if isinstance(rule, Sprt) else rule.threshold


@functools.lru_cache(maxsize=4096)
def failing_p(correct: int, total: int, rule: StoppingRule) -> float:
    """p-value of a pair that was called failing: that one at the passing rate looks as bad.

    Worse is what the rule called failing earlier, and at the same look what shows more failures;
    1 where the rule does not say that the pair fails. Exact where looks came on schedule.

    Source: Armitage, Journal of the Royal Statistical Society B 1957 (ordering by stages); Tsiatis,
    Rosner, Mehta, Biometrics 1984 (p-values in it).

    Raises:
        ValueError: counts that are not 0 <= correct <= total.
    """
    check_counts(correct, total)
    if rule.decide(correct, total) is not Decision.FAILS:
        return 1.0
    return _chance_to_look_so_bad(correct, total, rule)


@functools.lru_cache(maxsize=4096)
def _chance_to_look_so_bad(correct: int, total: int, rule: StoppingRule) -> float:
    wrong = passing_rate(rule)
    on_the_way, worse = np.ones(1), 0.0  # probabilities by number correct
    for seen in range(1, total + 1):
        on_the_way = np.append(on_the_way * wrong, 0.0) + np.append(0.0, on_the_way * (1 - wrong))
        if seen < min(total, rule.cap) and seen % rule.block == 0:
            for right in range(seen + 1):
                decision = rule.decide(right, seen)
                if decision is not Decision.CONTINUE:
                    worse += float(on_the_way[right]) * (decision is Decision.FAILS)
                    on_the_way[right] = 0.0
    return min(1.0, worse + float(on_the_way[: correct + 1].sum()))
