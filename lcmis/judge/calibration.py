"""What labels say of a checker: how often it errs, what its scores mean, what rates are left.

Labels are few, cluster by pair and are not drawn evenly, so every share here carries weights and an
effective number of labels.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lcmis.judge.clusters import Floats, share_bounds, typical
from lcmis.judge.rates import check_confidence, exact_bounds, two_sided_z
from lcmis.types import Rate

FEW_LABELS = 50
"""Below this many labelled pictures a checker counts as uncalibrated."""
FOLDS = 5
MOST_BINS = 10


@dataclass(frozen=True, slots=True)
class Judged:
    """What a checker said of one thing, beside what is true of it by people's labels.

    Raises:
        ValueError: a score outside [0, 1], or a weight that is not above 0.
    """

    score: float
    truth: bool
    weight: float = 1.0
    """Pictures it stands for."""
    group: str = ""
    """What errors may cluster by, the pair; the empty one is a group of its own each time."""
    stratum: str = ""
    """Pictures from which it was drawn by lot; the empty one is none."""

    def __post_init__(self) -> None:
        if not 0 <= self.score <= 1:
            raise ValueError(f"a score lies in [0, 1], got {self.score}")
        if not self.weight > 0:
            raise ValueError(f"a weight lies above 0, got {self.weight}")


@dataclass(frozen=True, slots=True)
class Share:
    """A weighted, clustered share."""

    rate: Rate
    effective: float
    """Independent pictures of equal weight that would say as much; 0 where nothing is said."""


def clustered_share(
    hits: Sequence[bool],
    weights: Sequence[float],
    groups: Sequence[str],
    *,
    confidence: float = 0.95,
) -> Share:
    """A weighted share with an interval clustered by group; the empty group is one of its own each
    time.

    The interval allows for a group that nobody labelled, of typical weight, and all misses or all
    hits (:func:`lcmis.judge.clusters.share_bounds`): no surer than so many single labels as there
    are groups. Equal weights without groups give :func:`lcmis.judge.rate`.

    Raises:
        ValueError: sequences of different lengths, a confidence outside (0, 1).
    """
    check_confidence(confidence)
    right: dict[tuple[str, int], float] = defaultdict(float)
    seen: dict[tuple[str, int], float] = defaultdict(float)
    for place, (hit, weight, group) in enumerate(zip(hits, weights, groups, strict=True)):
        name = (group, -1 if group else place)
        right[name] += weight if hit else 0.0
        seen[name] += weight
    if not hits:
        return Share(Rate(value=0.5, low=0.0, high=1.0, total=0), 0.0)
    rights, all_seen = np.array(list(right.values())), np.array(list(seen.values()))
    value = min(1.0, float(rights.sum() / all_seen.sum()))
    rate = Rate(value, *share_bounds(rights, all_seen, typical(all_seen), confidence), len(hits))
    return Share(rate, effective_number(rate, confidence=confidence))


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How often a checker is right, by what is true."""

    sensitivity: Share
    """Of what is there, the share that the checker sees."""
    specificity: Share
    """Of what is not there, the share that the checker does not see."""

    @property
    def informed(self) -> float:
        """1 for a perfect checker, 0 for a coin.

        Source: Youden, Cancer 1950 (the index J).
        """
        return self.sensitivity.rate.value + self.specificity.rate.value - 1


def accuracy(
    judged: Sequence[Judged], *, threshold: float = 0.5, confidence: float = 0.95
) -> Accuracy:
    """Sensitivity and specificity at a threshold, with intervals; nothing labelled is [0, 1]."""

    def share(truth: bool) -> Share:
        mine = [item for item in judged if item.truth is truth]
        return clustered_share(
            [(item.score >= threshold) is truth for item in mine],
            [item.weight for item in mine],
            [item.group for item in mine],
            confidence=confidence,
        )

    return Accuracy(sensitivity=share(True), specificity=share(False))


# ── corrected rates ──────────────────────────────────────────────────────────────────────────────


def effective_number(rate: Rate, *, confidence: float = 0.95) -> float:
    """Pictures at which the exact interval is as wide as this one, which may be clustered or of a
    stopped sample; 0 where it says nothing.
    """
    from scipy.optimize import brentq

    check_confidence(confidence)
    width = rate.high - rate.low

    def excess(logarithm: float) -> float:
        total = math.exp(logarithm)
        low, high = exact_bounds(rate.value * total, total, confidence)
        return high - low - width

    least, most = math.log(1e-3), math.log(1e12)
    if not rate.total or excess(least) <= 0:
        return 0.0
    if excess(most) >= 0:
        return math.exp(most)
    return math.exp(float(brentq(excess, least, most)))


@dataclass(frozen=True, slots=True)
class _Correction:
    """What corrects a rate: shares smoothed by a group of hits and one of misses, and their errors.

    Each of the two is of typical weight, so that labels of few groups say little.
    """

    sensitivity: float
    specificity: float
    errors: tuple[np.ndarray, np.ndarray]
    """What each group of labels moves the two by; the smoothing is four groups more."""

    def limits(self, seen: float, value: float, z: float, fewer: float) -> tuple[float, float]:
        """Of a rate ``value`` on so many pictures, with errors of ``fewer`` times the variance."""
        informed = self.sensitivity + self.specificity - 1
        if informed <= 0:
            return 0.0, 1.0
        p = (value * seen + z * z / 2) / (seen + z * z)
        estimate = (p + self.specificity - 1) / informed
        right, wrong = self.errors
        labels = float((((1 - estimate) * wrong - estimate * right) ** 2).sum())
        half = z * math.sqrt(p * (1 - p) / (seen + z * z) + fewer * labels)
        shift = estimate * float((right**2).sum()) - (1 - estimate) * float((wrong**2).sum())
        centre = estimate + 2 * z * z * fewer * shift
        return centre - half / informed, centre + half / informed


def rate_by_labels(
    rate: Rate,
    judged: Sequence[Judged],
    *,
    threshold: float = 0.5,
    confidence: float = 0.95,
    more: float = 1.0,
) -> Rate | None:
    """The true rate behind a checker's, with an interval that carries the uncertainty of its
    sensitivity and specificity too; None where labels do not show it to be better than a coin.

    It holds if the checker errs on these pictures as often as on those that the labelled ones
    stand for. Labels of equal weight in no stratum and no group give the source's limits exactly.
    Beyond the source, the labels' variance is linearised: strata take their means out of it, groups
    count whole, the hit and the miss that smooth each share are groups of typical weight, and the
    rate may be a clustered one (:func:`effective_number`). Simulated coverage at 95 % was 0.94 or
    more with labels of 3 to 40 pairs, 3 to 20 a pair, on some of which the checker always errs.

    Args:
        rate: Of pictures that the checker calls right.
        judged: Labelled pictures.
        threshold: Score from which the checker calls a picture right.
        confidence: Of the interval.
        more: What the interval would be with so many times the labels.

    Source: Lang and Reiczigel, Preventive Veterinary Medicine 2014 (limits); Rogan and Gladen,
    American Journal of Epidemiology 1978 (value); Valliant, JASA 1993 (linearised variance after
    stratification).

    Raises:
        ValueError: a confidence outside (0, 1).
    """
    z, seen = two_sided_z(confidence), effective_number(rate, confidence=confidence)
    checker = accuracy(judged, threshold=threshold, confidence=confidence)
    if not seen or len({item.truth for item in judged}) < 2 or checker.informed <= 0:
        return None
    specificity = checker.specificity.rate.value
    value = min(1.0, max(0.0, (rate.value + specificity - 1) / checker.informed))
    low, high = (
        min(1.0, max(0.0, bound))
        for bound in _correction(judged, threshold).limits(seen, rate.value, z, 1 / more)
    )
    return Rate(value, min(low, value), max(high, value), rate.total, rate.stopped)


def _correction(judged: Sequence[Judged], threshold: float) -> _Correction:
    names = [item.group or f"\0{place}" for place, item in enumerate(judged)]
    numbers = {name: number for number, name in enumerate(sorted(set(names)))}
    groups = np.array([numbers[name] for name in names])
    shares, errors = {}, {}
    for truth in (True, False):
        mine = np.array([item.truth is truth for item in judged])
        weights = np.array([item.weight for item in judged]) * mine
        weights *= mine.sum() / weights.sum()
        hits = np.array([(item.score >= threshold) is truth for item in judged])
        more = typical(np.bincount(groups, weights).astype(np.float64))
        total = float(mine.sum()) + 2 * more
        shares[truth] = (float((weights * hits).sum()) + more) / total
        added = more * np.array([1 - shares[truth], -shares[truth]]) / total
        unlike = _without_strata(weights * (hits - shares[truth]) / total, judged)
        errors[truth] = (np.bincount(groups, unlike) * _few(len(numbers), len(judged)), added)
    (right, more_right), (wrong, more_wrong) = errors[True], errors[False]
    nothing = np.zeros(2)
    return _Correction(
        shares[True],
        shares[False],
        (
            np.concatenate([right, more_right, nothing]),
            np.concatenate([wrong, nothing, more_wrong]),
        ),
    )


def _without_strata(errors: Floats, judged: Sequence[Judged]) -> Floats:
    """Errors around the means of their strata."""
    strata: dict[str, list[int]] = defaultdict(list)
    for place, item in enumerate(judged):
        if item.stratum:
            strata[item.stratum].append(place)
    for places in strata.values():
        if len(places) > 1:
            errors[places] -= errors[places].mean()
            errors[places] *= math.sqrt(len(places) / (len(places) - 1))
    return errors


def _few(groups: int, labels: int) -> float:
    """What a sum over few groups is short of, where labels share groups."""
    return math.sqrt(groups / (groups - 1)) if 1 < groups < labels else 1.0


MOST_TIMES = 1000


def labels_to_halve(
    rate: Rate, judged: Sequence[Judged], *, threshold: float = 0.5, confidence: float = 0.95
) -> int | None:
    """More labels, of the kind there are, that would halve the corrected rate's interval.

    None where none would: what is left is chance in the pictures, and more of those are needed.

    Raises:
        ValueError: a confidence outside (0, 1).
    """

    def width(more: float) -> float:
        found = rate_by_labels(rate, judged, threshold=threshold, confidence=confidence, more=more)
        return math.inf if found is None else found.high - found.low

    half = width(1) / 2
    if not width(MOST_TIMES) <= half < math.inf:
        return None
    few, enough = len(judged), MOST_TIMES * len(judged)
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (few, middle) if width(middle / len(judged)) <= half else (middle, enough)
    return enough - len(judged)


# ── what a score means ───────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Bin:
    """Scores that lie close to each other, and how often they were right."""

    score: float
    """Their weighted mean."""
    right: Rate


def calibration_curve(
    judged: Sequence[Judged], *, bins: int = MOST_BINS, confidence: float = 0.95
) -> tuple[Bin, ...]:
    """Share of truth by score, in bins of about equally many labels; equal scores stay together.

    Source: DeGroot and Fienberg, The Statistician 1983 (reliability diagram).
    """
    if not judged:
        return ()
    scores = np.array([item.score for item in judged])
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, bins + 1)))
    places = np.searchsorted(edges[1:-1], scores).tolist()
    found = []
    for place in sorted(set(places)):
        mine = [item for item, other in zip(judged, places, strict=True) if other == place]
        weights = [item.weight for item in mine]
        share = clustered_share(
            [item.truth for item in mine],
            weights,
            [item.group for item in mine],
            confidence=confidence,
        )
        score = math.fsum(item.score * item.weight for item in mine) / math.fsum(weights)
        found.append(Bin(score, share.rate))
    return tuple(found)


def brier(judged: Sequence[Judged], probabilities: Sequence[float] = ()) -> float | None:
    """Weighted mean squared distance from truth, in [0, 1]; of the scores unless probabilities are
    given. None without labels.

    Source: Brier, Monthly Weather Review 1950, halved as usual for two outcomes.

    Raises:
        ValueError: not one probability for each.
    """
    said = probabilities or [item.score for item in judged]
    if not judged:
        return None
    squares = [
        item.weight * (value - item.truth) ** 2 for item, value in zip(judged, said, strict=True)
    ]
    return math.fsum(squares) / math.fsum(item.weight for item in judged)


@dataclass(frozen=True, slots=True)
class Platt:
    """Probability as a logistic curve of the score."""

    slope: float
    intercept: float

    def __str__(self) -> str:
        return "Platt"

    def probability(self, score: float) -> float:
        """That the thing is there, in [0, 1]."""
        return 1 / (1 + math.exp(-max(-500.0, min(500.0, self.slope * score + self.intercept))))

    @property
    def threshold(self) -> float | None:
        """Score from which the thing is likelier there than not; None where there is none."""
        if self.slope <= 0:
            return None
        crossing = -self.intercept / self.slope
        return crossing if 0 < crossing < 1 else None


@dataclass(frozen=True, slots=True)
class Isotonic:
    """Probability as a curve that only rises, straight between its knots."""

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]

    def __str__(self) -> str:
        return "isotonic"

    def probability(self, score: float) -> float:
        """That the thing is there, in [0, 1]."""
        return float(np.interp(score, self.scores, self.probabilities))

    @property
    def threshold(self) -> float | None:
        """Score from which the thing is likelier there than not; None where there is none."""
        knots = list(zip(self.scores, self.probabilities, strict=True))
        for (below, low), (above, high) in pairwise(knots):
            if low < 0.5 <= high:
                return below + (above - below) * (0.5 - low) / (high - low)
        return None


Calibrator = Platt | Isotonic


def fit_platt(judged: Sequence[Judged]) -> Platt:
    """Logistic regression on smoothed truths, so that separated scores give no infinite slope.

    Source: Platt, Advances in Large Margin Classifiers 1999, section 2.2.

    Raises:
        ValueError: nothing to fit.
    """
    from scipy.optimize import minimize

    if not judged:
        raise ValueError("a curve needs labels")
    scores, truths, weights = _columns(judged)
    weights = weights * len(judged) / weights.sum()
    there, absent = float(weights[truths].sum()), float(weights[~truths].sum())
    targets = np.where(truths, (there + 1) / (there + 2), 1 / (absent + 2))

    def loss(curve: np.ndarray) -> tuple[float, np.ndarray]:
        said = curve[0] * scores + curve[1]
        slope = weights * (1 / (1 + np.exp(-np.clip(said, -500, 500))) - targets)
        value = float((weights * (np.logaddexp(0, said) - targets * said)).sum())
        return value, np.array([(slope * scores).sum(), slope.sum()])

    start = np.array([0.0, math.log((there + 1) / (absent + 1))])
    found = minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-8})
    return Platt(float(found.x[0]), float(found.x[1]))


def fit_isotonic(judged: Sequence[Judged]) -> Isotonic:
    """Least squares among curves that only rise; equal scores share one probability.

    Source: Zadrozny and Elkan, KDD 2002.

    Raises:
        ValueError: nothing to fit.
    """
    from scipy.optimize import isotonic_regression

    if not judged:
        raise ValueError("a curve needs labels")
    scores, truths, weights = _columns(judged)
    knots, places = np.unique(scores, return_inverse=True)
    masses = np.bincount(places, weights)
    means = np.bincount(places, weights * truths) / masses
    fitted = np.clip(isotonic_regression(means, weights=masses).x, 0, 1)
    return Isotonic(tuple(knots.tolist()), tuple(fitted.tolist()))


def _columns(judged: Sequence[Judged]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.array([item.score for item in judged]),
        np.array([item.truth for item in judged]),
        np.array([item.weight for item in judged]),
    )


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A curve from scores to probabilities, and how good it is on labels it has not seen."""

    curve: Calibrator
    brier: float
    """Cross-validated, in [0, 1]; below that of the raw scores, or the curve is of no use."""


def calibrate(judged: Sequence[Judged]) -> Calibrated | None:
    """The better of an isotonic and Platt's curve, by Brier score over folds of whole groups.

    None with fewer than :data:`FEW_LABELS` labels, fewer than two groups, or where all labels say
    the same.

    Source: Roberts et al., Ecography 2017 (folds of whole groups where data cluster).
    """
    groups = sorted({item.group or f"\0{place}" for place, item in enumerate(judged)})
    if len(judged) < FEW_LABELS or len(groups) < 2 or len({item.truth for item in judged}) < 2:
        return None
    fold_of = {group: place % FOLDS for place, group in enumerate(groups)}
    folds = [fold_of[item.group or f"\0{place}"] for place, item in enumerate(judged)]
    best = None
    for fit in (fit_platt, fit_isotonic):
        held_out = [0.5] * len(judged)
        for fold in set(folds):
            known = [item for item, mine in zip(judged, folds, strict=True) if mine != fold]
            curve = fit(known)
            for place, item in enumerate(judged):
                if folds[place] == fold:
                    held_out[place] = curve.probability(item.score)
        missed = brier(judged, held_out)
        assert missed is not None
        if best is None or missed < best.brier:
            best = Calibrated(fit(judged), missed)
    return best
