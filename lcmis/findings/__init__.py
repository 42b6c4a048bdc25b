"""Opinions about stored facts: pairs, repairs, labels, comparisons, gates; draws nothing."""

from lcmis.findings.dissent import Dissent, dissents
from lcmis.findings.lookup import AllPairs, Dissents, Failures, OnePair, OnePicture, look_up
from lcmis.findings.pairs import (
    CONTROL_MODEL,
    ModelFinding,
    PairFinding,
    SecondOpinion,
    counts_for_pair,
    find_models,
    find_pairs,
    is_control,
    severity,
    verdict_of,
)
from lcmis.findings.repairs import (
    BeforeAfter,
    RepairFinding,
    best_repairs,
    find_certificate,
    find_repairs,
    usefulness,
)
from lcmis.findings.runs import (
    deciding_checker,
    last_audit,
    last_proof,
    past_models,
    rule_of,
    settings_of,
    stopping_rule,
    threshold_of,
)
from lcmis.findings.told import SaidReply, Told, tell
from lcmis.findings.ways import mixed_ways

__all__ = [
    "CONTROL_MODEL",
    "AllPairs",
    "BeforeAfter",
    "Dissent",
    "Dissents",
    "Failures",
    "ModelFinding",
    "OnePair",
    "OnePicture",
    "PairFinding",
    "RepairFinding",
    "SaidReply",
    "SecondOpinion",
    "Told",
    "best_repairs",
    "counts_for_pair",
    "deciding_checker",
    "dissents",
    "find_certificate",
    "find_models",
    "find_pairs",
    "find_repairs",
    "is_control",
    "last_audit",
    "last_proof",
    "look_up",
    "mixed_ways",
    "past_models",
    "rule_of",
    "settings_of",
    "severity",
    "stopping_rule",
    "tell",
    "threshold_of",
    "usefulness",
    "verdict_of",
]
