"""Whether another way of prompting draws a pair better: the same fresh seeds, before and after."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lcmis.judge.anytime import anytime_p
from lcmis.judge.models import paired_test
from lcmis.judge.pairs import Perceived
from lcmis.judge.rates import level_range, rate, verdict
from lcmis.types import Certificate, ConceptPair, Nomination, Verdict, share_a_member


def certificate(
    nomination: Nomination,
    judge_id: str,
    seeds: Iterable[int],
    before: Sequence[Perceived | None],
    after: Sequence[Perceived | None],
    *,
    pair: ConceptPair,
    threshold: float = 0.5,
    model: str = "",
    fits: Sequence[tuple[float | None, float | None]] = (),
) -> Certificate:
    """Compare the plain prompt's pictures with the candidate's, seed by seed.

    Args:
        nomination: What was chosen.
        judge_id: Whose scores these are.
        seeds: One for each picture.
        before: Of the plain prompt; None where there is no picture.
        after: Of the candidate.
        pair: Names the concepts.
        threshold: Score from which a concept counts as present.
        model: Who drew the pictures, where that is not the nomination's model.
        fits: How well the guide finds that each seed's pictures fit the plain prompt, before and
            after, in [0, 1]; empty where nobody asked it. It decides nothing but the collateral.

    Raises:
        ValueError: the guide judges itself, or the numbers of pictures differ.
    """
    if share_a_member(judge_id, nomination.guide):
        raise ValueError(f"{judge_id} guided the search, so it cannot certify what was found")

    def seen(picture: Perceived | None) -> Verdict:
        if picture is None:
            return Verdict.UNSCORED
        return verdict(
            picture.a,
            picture.b,
            threshold_a=threshold,
            threshold_b=threshold,
            refused=picture.refused,
        )

    judged = [
        (seed, seen(old), seen(new)) for seed, old, new in zip(seeds, before, after, strict=True)
    ]
    paired = [item for item in judged if item[1].is_scored and item[2].is_scored]
    was = [old is Verdict.ALIGNED for _, old, _ in paired]
    now = [new is Verdict.ALIGNED for _, _, new in paired]
    won = [new for old, new in zip(was, now, strict=True) if new is not old]
    wins, losses = won.count(True), won.count(False)
    rates = [rate(sum(side), len(side)) for side in (was, now)]
    return Certificate(
        nomination=nomination,
        judge=judge_id,
        seeds=tuple(seed for seed, _, _ in paired),
        unjudged=len(judged) - len(paired),
        before=rates[0],
        after=rates[1],
        levels_before=level_range(rates[0]),
        levels_after=level_range(rates[1]),
        wins=wins,
        losses=losses,
        p=paired_test(wins, losses),
        anytime_p=_at_any_look(won),
        collateral=(
            *_lost(pair, [(old, new) for _, old, new in paired]),
            *_estranged(fits),
        ),
        model="" if model == nomination.model else model,
    )


def _at_any_look(won: Sequence[bool]) -> float:
    """Two-sided, for what there is more of."""
    more = 2 * sum(won) - len(won)
    if more == 0:
        return 1.0
    return min(1.0, 2 * anytime_p([one is (more > 0) for one in won]))


def _lost(pair: ConceptPair, paired: Sequence[tuple[Verdict, Verdict]]) -> tuple[str, ...]:
    """A sentence for each concept that the candidate loses more often than the plain prompt did."""
    said = []
    for concept, lacking in (
        (pair.a, (Verdict.A_MISSING, Verdict.BOTH_MISSING)),
        (pair.b, (Verdict.B_MISSING, Verdict.BOTH_MISSING)),
    ):
        lost = sum(old not in lacking and new in lacking for old, new in paired)
        regained = sum(old in lacking and new not in lacking for old, new in paired)
        if lost > regained:
            said.append(f"{concept.name} is lost in {lost} pictures that had it before")
    return tuple(said)


def _estranged(
    fits: Sequence[tuple[float | None, float | None]], alpha: float = 0.05
) -> tuple[str, ...]:
    """A sentence where pictures fit the plain prompt less than before, and not by chance.

    Source: Wilcoxon, Biometrics Bulletin 1945 (signed ranks, one-sided).
    """
    from scipy.stats import wilcoxon

    known = [(old, new) for old, new in fits if old is not None and new is not None]
    changes = [new - old for old, new in known]
    if not any(changes) or wilcoxon(changes, alternative="less").pvalue >= alpha:
        return ()
    before, after = (sum(side) / len(known) for side in zip(*known, strict=True))
    if after >= before:
        return ()
    digits = next((n for n in range(2, 16) if f"{before:.{n}f}" != f"{after:.{n}f}"), 16)
    fit = f"{before:.{digits}f} before, {after:.{digits}f} after"
    return (f"fits the plain prompt less, says the guide: {fit}",)
