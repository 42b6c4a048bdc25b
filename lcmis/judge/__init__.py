"""From scores to opinions: verdicts, rates with intervals, levels, stopping rules, tests.

Everything here is a pure function of its arguments. A *rate* is always one of pictures that came
out right (aligned); a stopping rule asks about the other side, whether the *failure* rate exceeds
its threshold. scipy and statsmodels are imported where they are used, so that this import is quick.
"""

from __future__ import annotations

from lcmis.judge.anytime import anytime_p
from lcmis.judge.calibration import (
    FEW_LABELS,
    Accuracy,
    Bin,
    Calibrated,
    Calibrator,
    Isotonic,
    Judged,
    Platt,
    Share,
    accuracy,
    brier,
    calibrate,
    calibration_curve,
    clustered_share,
    effective_number,
    fit_isotonic,
    fit_platt,
    labels_to_halve,
    rate_by_labels,
)
from lcmis.judge.certificates import certificate
from lcmis.judge.chance import failing_p
from lcmis.judge.comparison import (
    Difference,
    PairedCounts,
    Ruling,
    failing,
    paired_difference,
    pairs_needed,
    ruling,
)
from lcmis.judge.models import (
    fair_rate,
    minimum_detectable_difference,
    model_rate,
    paired_test,
    pictures_needed,
)
from lcmis.judge.multiplicity import (
    FALSE_SHARE,
    benjamini_hochberg,
    proved,
    standings,
    surely_failing,
)
from lcmis.judge.pairs import UNNAMED, IntruderCount, PairJudgement, Perceived, Picture, judge_pair
from lcmis.judge.raters import Agreement, Alpha, answers_agreement, krippendorff_alpha
from lcmis.judge.rates import corrected_rate, counts, level, level_range, rate, verdict
from lcmis.judge.sampling import ONE_BY_LOT, Stratum, sample_weights, stratum, worth
from lcmis.judge.shrinkage import expected
from lcmis.judge.stopping import (
    Curtailed,
    Decision,
    ExpectedPictures,
    FixedN,
    OperatingCharacteristics,
    Sprt,
    StoppingRule,
    expected_pictures,
    operating_characteristics,
    stopped_interval,
)
from lcmis.judge.trust import (
    PriorCheck,
    agreement,
    disagreements,
    prior,
    rank_correlation,
)

__all__ = [
    "FALSE_SHARE",
    "FEW_LABELS",
    "ONE_BY_LOT",
    "UNNAMED",
    "Accuracy",
    "Agreement",
    "Alpha",
    "Bin",
    "Calibrated",
    "Calibrator",
    "Curtailed",
    "Decision",
    "Difference",
    "ExpectedPictures",
    "FixedN",
    "IntruderCount",
    "Isotonic",
    "Judged",
    "OperatingCharacteristics",
    "PairJudgement",
    "PairedCounts",
    "Perceived",
    "Picture",
    "Platt",
    "PriorCheck",
    "Ruling",
    "Share",
    "Sprt",
    "StoppingRule",
    "Stratum",
    "accuracy",
    "agreement",
    "answers_agreement",
    "anytime_p",
    "benjamini_hochberg",
    "brier",
    "calibrate",
    "calibration_curve",
    "certificate",
    "clustered_share",
    "corrected_rate",
    "counts",
    "disagreements",
    "effective_number",
    "expected",
    "expected_pictures",
    "failing",
    "failing_p",
    "fair_rate",
    "fit_isotonic",
    "fit_platt",
    "judge_pair",
    "krippendorff_alpha",
    "labels_to_halve",
    "level",
    "level_range",
    "minimum_detectable_difference",
    "model_rate",
    "operating_characteristics",
    "paired_difference",
    "paired_test",
    "pairs_needed",
    "pictures_needed",
    "prior",
    "proved",
    "rank_correlation",
    "rate",
    "rate_by_labels",
    "ruling",
    "sample_weights",
    "standings",
    "stopped_interval",
    "stratum",
    "surely_failing",
    "verdict",
    "worth",
]
