"""What evidence says under a threshold, as tables: everything here is a pure function of facts.

Whole columns are judged at once: a hundred thousand pictures take a few hundredths of a second.
Tests hold every column against :mod:`lcmis.judge`, which alone knows the formulas.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lcmis import judge
from lcmis.findings import CONTROL_MODEL
from lcmis.types import NONE_OF_THESE, ConceptPair, LevelRange, Rate, Side, Verdict

if TYPE_CHECKING:
    from lcmis.store import Evidence

VERDICTS = list(Verdict)
NOT_NAMED = "something not named"
"""Stands for an intruder that no option named."""
NUMBERS = ("a", "b", "relation", "intruder_a_value", "intruder_b_value")
NAMES = ("pair_key", "model", "intruder_a", "intruder_b")
OTHERS = {"spec_key": object, "seed": np.int64, "refused": bool}
COLUMNS = (*NAMES, *OTHERS, *NUMBERS)
READ = operator.attrgetter(*COLUMNS)


def gather(evidence: Sequence[Evidence]) -> pd.DataFrame:
    """One row a picture, in the order of pair, model and seed; abstentions are NaN.

    Left out: pictures of repairs, which say nothing of how often the pair fails, and controls.
    """
    audited = {model for model in {e.model for e in evidence} if is_audited(model)}
    rows = [READ(e) for e in evidence if not e.of_repair and e.model in audited]
    columns = zip(COLUMNS, zip(*rows, strict=True) if rows else [()] * len(COLUMNS), strict=True)
    table = pd.DataFrame({name: _column(name, values) for name, values in columns})
    return table.sort_values(["pair_key", "model", "seed"], kind="stable", ignore_index=True)


def _column(name: str, values: tuple[Any, ...]) -> Any:
    if name in NAMES:
        return pd.Categorical(values)
    return np.array(values, dtype=np.float64 if name in NUMBERS else OTHERS[name])


def is_audited(model: str) -> bool:
    """Whether this is a model, and not the name that control pictures bear."""
    return model.partition("@")[0] != CONTROL_MODEL


def verdicts(pictures: pd.DataFrame, threshold: float) -> pd.Categorical[str]:
    """What :func:`lcmis.judge.verdict` says of every row."""
    a, b = pictures["a"].to_numpy(), pictures["b"].to_numpy()
    has_a, has_b = a >= threshold, b >= threshold  # NaN compares as absent; silence goes first
    codes = np.select(
        [
            pictures["refused"].to_numpy(),
            np.isnan(a) | np.isnan(b),
            has_a & has_b,
            has_b,
            has_a,
        ],
        [
            VERDICTS.index(kind)
            for kind in (
                Verdict.REFUSED,
                Verdict.UNSCORED,
                Verdict.ALIGNED,
                Verdict.A_MISSING,
                Verdict.B_MISSING,
            )
        ],
        VERDICTS.index(Verdict.BOTH_MISSING),
    )
    categories = pd.Index([kind.value for kind in VERDICTS])
    return pd.Categorical.from_codes(codes.astype(np.int64), categories=categories)


def judged(pictures: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """The same rows with a column ``verdict``."""
    return pictures.assign(verdict=verdicts(pictures, threshold))


# ── pairs ────────────────────────────────────────────────────────────────────────────────────────


@functools.lru_cache(maxsize=100_000)
def rate_of(correct: int, total: int, rule: judge.StoppingRule | None) -> Rate:
    """The rate of one pair; few counts are different, so each is computed once."""
    return (
        judge.rate(correct, total) if rule is None else judge.stopped_interval(correct, total, rule)
    )


def by_pair(
    pictures: pd.DataFrame,
    pairs: Mapping[str, ConceptPair],
    rule: judge.StoppingRule | None,
) -> pd.DataFrame:
    """One row for each pair and model, worst first; at equal rates the one that is surest.

    Pairs without a scored picture come last, with NaN for rate and levels.
    """
    keys = [key for key in pictures["pair_key"].cat.categories if key in pairs]
    known = pictures[pictures["pair_key"].isin(keys)]
    counts = _count(known)
    table = counts.reset_index()
    scored = table[[kind.value for kind in VERDICTS if kind.is_scored]].sum(axis=1)
    rates = [
        rate_of(correct, total, rule)
        for correct, total in zip(table["aligned"].tolist(), scored.tolist(), strict=True)
    ]
    levels = [judge.level_range(rate) for rate in rates]
    silent = scored.eq(0)
    table["scored"] = scored
    table["rate"] = pd.Series([r.value for r in rates], dtype=float).mask(silent)
    table["low"] = pd.Series([r.low for r in rates], dtype=float).mask(silent)
    table["high"] = pd.Series([r.high for r in rates], dtype=float).mask(silent)
    table["best_level"] = pd.Series([x.low for x in levels], dtype=float).mask(silent)
    table["worst_level"] = pd.Series([x.high for x in levels], dtype=float).mask(silent)
    table["interval"] = [
        "" if not rate.total else f"{share(rate.low)}–{share(rate.high)} %" for rate in rates
    ]
    table["levels"] = [
        "" if not rate.total else str(level) for rate, level in zip(rates, levels, strict=True)
    ]
    for name in ("prompt", "pattern"):
        spelled = {key: getattr(pairs[key], name) for key in keys}
        table[name] = table["pair_key"].map(spelled).astype(object)
    table = table.merge(_main_intruder(known, pairs), how="left", on=["pair_key", "model"])
    table["intruder"] = [
        "" if pd.isna(times) else f"{name} in {times:.0f} of {total}"
        for name, times, total in zip(table["painted"], table["times"], scored, strict=True)
    ]
    return table.drop(columns=["painted", "times"]).sort_values(
        ["rate", "high", "prompt", "model"], kind="stable", ignore_index=True
    )


def _count(pictures: pd.DataFrame) -> pd.DataFrame:
    """Pictures of each verdict, indexed by pair and model, with groups that have any."""
    models, width = pictures["model"].cat.categories, len(VERDICTS)
    keys = pictures["pair_key"].cat.categories
    place = pictures["pair_key"].cat.codes.astype(np.int64) * len(models) + pictures[
        "model"
    ].cat.codes.astype(np.int64)
    codes = pictures["verdict"].cat.codes.astype(np.int64)
    size = len(keys) * len(models)
    tally = np.bincount(place * width + codes, minlength=size * width).reshape(size, width)
    present = np.flatnonzero(tally.sum(axis=1))
    index = pd.MultiIndex.from_arrays(
        [
            keys[present // max(1, len(models))].astype(object),
            models[present % max(1, len(models))].astype(object),
        ],
        names=["pair_key", "model"],
    )
    return pd.DataFrame(tally[present], index=index, columns=[kind.value for kind in VERDICTS])


def _displaced(
    pictures: pd.DataFrame, pairs: Mapping[str, ConceptPair], side: Side
) -> pd.DataFrame:
    """Pictures that lack the concept of one side: pair, model, ``asked`` and ``painted``.

    The asked concept itself, "none of these" and an abstention name nobody, as in
    :func:`lcmis.judge.judge_pair`.
    """
    lacking = Verdict.A_MISSING if side is Side.A else Verdict.B_MISSING
    missing = pictures[pictures["verdict"].isin([lacking.value, Verdict.BOTH_MISSING.value])]
    asked = (
        missing["pair_key"]
        .map({key: pair.concept(side).name for key, pair in pairs.items()})
        .astype(object)
    )
    painted = missing[f"intruder_{side.value}"].astype(object)
    nobody = painted.isna() | painted.isin(["", NONE_OF_THESE]) | painted.eq(asked)
    return pd.DataFrame(
        {
            "pair_key": missing["pair_key"].astype(object),
            "model": missing["model"].astype(object),
            "asked": asked,
            "painted": painted.mask(nobody, NOT_NAMED),
        }
    )


def names_somebody(option: object, asked: str) -> bool:
    """Whether the option chosen in the place of a missing concept is an intruder's name."""
    return isinstance(option, str) and option not in ("", NONE_OF_THESE, asked)


def _main_intruder(pictures: pd.DataFrame, pairs: Mapping[str, ConceptPair]) -> pd.DataFrame:
    """For each pair and model the commonest name of either side, and how many ``times``."""
    group = ["pair_key", "model"]
    both = pd.concat(
        [_displaced(pictures, pairs, side).assign(side=side.value) for side in Side],
        ignore_index=True,
    )
    named = both[both["painted"] != NOT_NAMED]
    times = named.groupby([*group, "side", "painted"], as_index=False).size()
    first = times.sort_values(["size", "side", "painted"], ascending=[False, True, True])
    return first.drop_duplicates(group).rename(columns={"size": "times"})[
        [*group, "painted", "times"]
    ]


def drawn_instead(pictures: pd.DataFrame, pairs: Mapping[str, ConceptPair]) -> pd.DataFrame:
    """What was asked for, what was painted in its place, in how many pictures and pairs."""
    displaced = pd.concat([_displaced(pictures, pairs, side) for side in Side], ignore_index=True)
    table = displaced.groupby(["asked", "painted"], as_index=False).agg(
        pictures=("pair_key", "size"), pairs=("pair_key", "nunique")
    )
    lacking = displaced.groupby("asked").size()
    table["share"] = table["pictures"] / table["asked"].map(lacking)
    return table.sort_values(
        ["pictures", "asked", "painted"], ascending=[False, True, True], ignore_index=True
    )


# ── models ───────────────────────────────────────────────────────────────────────────────────────


def by_model(pictures: pd.DataFrame, rule: judge.StoppingRule | None) -> pd.DataFrame:
    """One row a model: its rate over all pairs, clustered by pair, and what could not be counted.

    A pair that stopped early stopped at an extreme; so the rate counts the first pictures of every
    pair only, as many as the rule's first look. ``left_out`` pairs have fewer than that.
    """
    rows = []
    kinds = [kind.value for kind in VERDICTS]
    for model, of_model in pictures.groupby("model", observed=True):
        groups = of_model.groupby("pair_key", observed=True)
        first = rule.block if rule else None
        enough, prefix = of_model, of_model
        if first is not None:
            enough = of_model[groups["seed"].transform("size") >= first]
            prefix = enough[enough.groupby("pair_key", observed=True).cumcount() < first]
        counts = _count(prefix)
        right = counts["aligned"]
        scored = counts[[kind.value for kind in VERDICTS if kind.is_scored]].sum(axis=1)
        rate = judge.model_rate(list(zip(right.tolist(), scored.tolist(), strict=True)))
        tally = of_model["verdict"].value_counts()
        rows.append(
            {
                "model": str(model),
                "rate": rate.value if rate.total else np.nan,
                "low": rate.low if rate.total else np.nan,
                "high": rate.high if rate.total else np.nan,
                "counted": rate.total,
                "pairs": groups.ngroups,
                "left_out": groups.ngroups - len(counts),
                "pictures": len(of_model),
                **{kind: int(tally[kind]) for kind in kinds},
            }
        )
    names = ["model", "rate", "low", "high", "counted", "pairs", "left_out", "pictures", *kinds]
    return pd.DataFrame(rows, columns=names)


def level_counts(pairs: pd.DataFrame) -> pd.DataFrame:
    """For each model and level: pairs that are surely of it, and that may be of it besides."""
    rows = []
    scored = pairs[pairs["scored"] > 0]
    for model, of_model in scored.groupby("model", observed=True):
        best, worst = of_model["best_level"], of_model["worst_level"]
        for level in range(1, 6):
            surely = int((best.eq(level) & worst.eq(level)).sum())
            at_all = int((best.le(level) & worst.ge(level)).sum())
            rows.append({"model": str(model), "level": level, "surely": surely, "at_all": at_all})
    return pd.DataFrame(rows, columns=["model", "level", "surely", "at_all"])


# ── choosing and wording ─────────────────────────────────────────────────────────────────────────


def chosen(
    table: pd.DataFrame,
    *,
    models: Sequence[str] = (),
    patterns: Sequence[str] = (),
    levels: Sequence[int] = (),
    text: str = "",
) -> pd.DataFrame:
    """The rows that pass every filter; an empty filter lets all pass.

    A level passes pairs that may be of it. Every word of the text must be in the prompt, the
    pattern or the intruder.
    """
    keep = np.ones(len(table), dtype=bool)
    if models:
        keep &= table["model"].isin(list(models)).to_numpy()
    if patterns:
        keep &= table["pattern"].isin(list(patterns)).to_numpy()
    if levels:
        best, worst = table["best_level"].to_numpy(), table["worst_level"].to_numpy()
        keep &= np.logical_or.reduce([(best <= level) & (worst >= level) for level in levels])
    for word in text.casefold().split():
        keep &= np.logical_or.reduce(
            [
                table[name].str.casefold().str.contains(word, regex=False).to_numpy(dtype=bool)
                for name in ("prompt", "pattern", "intruder")
            ]
        )
    return table[keep]


def share(value: float) -> str:
    """A share in [0, 1] in per cent, spelled so that 0 and 100 are said of nothing else."""
    percent = 100 * value
    if 0 < percent < 1:
        return f"{max(percent, 0.1):.1f}"
    if 99 < percent < 100:
        return f"{min(percent, 99.9):.1f}"
    return f"{percent:.0f}"


def rate_text(value: float, low: float, high: float) -> str:
    """A rate with its interval: ``"12 % (5–25)"``; a dash where nothing was scored."""
    return "–" if np.isnan(value) else f"{share(value)} % ({share(low)}–{share(high)})"


def levels_text(best: float, worst: float) -> str:
    """Levels as ``"4–5"``; a dash where nothing was scored."""
    return "–" if np.isnan(best) else str(LevelRange(low=int(best), high=int(worst)))


def short_names(ids: Sequence[str]) -> dict[str, str]:
    """Ids without folders and revisions, as far as they stay different."""

    def bare(name: str) -> str:
        return re.sub(r"(^|:)[/~.].*/", r"\1", name.partition("@")[0].rstrip("/")) or name

    def with_revision(name: str) -> str:
        revision = name.partition("@")[2]
        return f"{bare(name)}@{revision[:7]}" if revision else name

    names = {}
    for name in ids:
        for spell in (bare, with_revision, str):
            if sum(spell(other) == spell(name) for other in ids) == 1:
                names[name] = spell(name)
                break
    return names
