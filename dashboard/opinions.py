"""What evidence says under a threshold, as tables: everything here is a pure function of facts.

Whole columns are judged at once: a hundred thousand pictures take a few hundredths of a second.
Tests hold every column against :mod:`lcmis.judge`, which alone knows the formulas.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from lcmis import judge
from lcmis.findings import CONTROL_MODEL, words
from lcmis.findings.short import ModelOutcome
from lcmis.types import NONE_OF_THESE, ConceptPair, Rate, Side, Verdict

if TYPE_CHECKING:
    from lcmis.findings.calibration import CorrectedRate
    from lcmis.store.columns import EvidenceTable

VERDICTS = list(Verdict)
BY_CHECKER, BY_LABELS = "by the checker", "corrected by labels"
"""Whose rate it is."""
NOT_NAMED = "something not named"
"""Stands for an intruder that no option named."""
_NOBODY = (NOT_NAMED, "", NONE_OF_THESE)


def gather(table: EvidenceTable) -> pd.DataFrame:
    """One row a picture, in the order of pair, model and seed; abstentions are NaN.

    Left out: pictures of repairs, which say nothing of how often the pair fails, and controls.
    """
    audited = np.array([is_audited(model) for model in table.models], dtype=bool)
    return _rows(table, np.flatnonzero(~table.of_repair & audited[table.model]))


def gather_others(table: EvidenceTable) -> pd.DataFrame:
    """The rows that :func:`gather` leaves out; ``kind`` says whether of a repair or a control."""
    audited = np.array([is_audited(model) for model in table.models], dtype=bool)
    control = ~audited[table.model]
    keep = np.flatnonzero(table.of_repair | control)
    return _rows(table, keep).assign(kind=np.where(control[keep], "control", "repair"))


def _rows(table: EvidenceTable, keep: npt.NDArray[np.int64]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "pair_key": _named(table.pair[keep], table.pair_keys),
            "model": _named(table.model[keep], table.models),
            "intruder_a": _named(table.intruder_a[keep], table.options),
            "intruder_b": _named(table.intruder_b[keep], table.options),
            "spec_key": pd.Series(table.spec_keys[keep], dtype=object),
            "seed": table.seed[keep],
            "refused": table.refused[keep],
            "a": table.a[keep],
            "b": table.b[keep],
            "intruder_a_value": table.intruder_a_value[keep],
            "intruder_b_value": table.intruder_b_value[keep],
        }
    )


def _named(numbers: npt.NDArray[np.int64], names: Sequence[str]) -> pd.Categorical[str]:
    """A column of names, of which only those that occur are kept."""
    used, codes = np.unique(numbers, return_inverse=True)
    missing = int(bool(len(used)) and used[0] < 0)  # -1 comes first and stays -1
    categories = pd.Index([names[number] for number in used[missing:]], dtype=object)
    return pd.Categorical.from_codes(codes - missing, categories=categories)


def controls(table: EvidenceTable) -> judge.PriorCheck:
    """What the checker says of blank and of mismatched pictures."""
    said: dict[str, list[float | None]] = {}
    for kind in ("blank", "mismatched"):
        number = (
            table.models.index(name) if (name := f"{CONTROL_MODEL}@{kind}") in table.models else -1
        )
        of_kind = table.model == number
        values = np.concatenate([table.a[of_kind], table.b[of_kind]])
        said[kind] = [None if np.isnan(value) else value for value in values.tolist()]
    return judge.prior(said["blank"], said["mismatched"])


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


@functools.lru_cache(maxsize=100_000)
def decided(
    correct: int, total: int, drawn: int, rule: judge.StoppingRule | None
) -> judge.Decision:
    """Whether a pair fails, by ``correct`` of ``total`` scored pictures of all that were drawn."""
    ruling = rule or judge.FixedN(max(1, total))
    decision = ruling.decide(correct, total)
    if decision is judge.Decision.CONTINUE and drawn >= ruling.cap:
        return judge.Decision.UNDECIDED
    return decision


def by_pair(
    pictures: pd.DataFrame,
    pairs: Mapping[str, ConceptPair],
    rule: judge.StoppingRule | None,
) -> pd.DataFrame:
    """One row for each pair and model, worst first; at equal rates the one that is surest.

    Pairs without a scored picture come last, with NaN for rate and levels. ``decision`` is that of
    :func:`lcmis.judge.judge_pair`.
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
    table["decision"] = [
        decided(right, total, drawn, rule).value
        for right, total, drawn in zip(
            table["aligned"].tolist(),
            scored.tolist(),
            table[[kind.value for kind in VERDICTS]].sum(axis=1).tolist(),
            strict=True,
        )
    ]
    table["interval"] = [
        "" if not rate.total else f"{words.interval(rate.low, rate.high)} %" for rate in rates
    ]
    table["levels"] = [
        words.level(level) if rate.total else "" for rate, level in zip(rates, levels, strict=True)
    ]
    for name in ("prompt", "pattern"):
        spelled = {key: getattr(pairs[key], name) for key in keys}
        table[name] = table["pair_key"].map(spelled).astype(object)
    asked = {key: f"{pairs[key].a.name} {pairs[key].b.name}" for key in keys}
    table["asked"] = table["pair_key"].map(asked).astype(object)
    table = table.merge(_main_intruder(known, pairs), how="left", on=["pair_key", "model"])
    table["intruder"] = [
        "" if pd.isna(times) else f"{name} in {times:.0f} of {total}"
        for name, times, total in zip(table["painted"], table["times"], scored, strict=True)
    ]
    table["painted"] = table["painted"].astype(object).where(table["painted"].notna(), "")
    return table.drop(columns="times").sort_values(
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


def _displaced(pictures: pd.DataFrame, pairs: Mapping[str, ConceptPair]) -> pd.DataFrame:
    """Pictures that lack a concept: pair, model, ``side``, ``asked`` and ``painted``.

    The asked concept itself, "none of these" and an abstention name nobody, as in
    :func:`lcmis.judge.judge_pair`. All columns are numbered names: of a hundred thousand pictures
    each name is looked at once.
    """
    keys = pictures["pair_key"].cat.categories
    asked_by = {
        side: [pairs[key].concept(side).name if key in pairs else "" for key in keys]
        for side in Side
    }
    options = {side: pictures[f"intruder_{side.value}"].cat.categories for side in Side}
    names = pd.Index(
        list(dict.fromkeys(chain(*asked_by.values(), *options.values(), _NOBODY))), dtype=object
    )
    return pd.concat(
        [_displaced_on(pictures, side, names, asked_by[side], options[side]) for side in Side],
        ignore_index=True,
    )


def _displaced_on(
    pictures: pd.DataFrame,
    side: Side,
    names: pd.Index[str],
    asked_by: Sequence[str],
    options: pd.Index[str],
) -> pd.DataFrame:
    lacking = Verdict.A_MISSING if side is Side.A else Verdict.B_MISSING
    kinds = [VERDICTS.index(lacking), VERDICTS.index(Verdict.BOTH_MISSING)]
    at = np.flatnonzero(np.isin(pictures["verdict"].cat.codes.to_numpy(), kinds))
    missing = pictures.iloc[at]
    asked = names.get_indexer(pd.Index(asked_by, dtype=object))[
        missing["pair_key"].cat.codes.to_numpy()
    ]
    numbers = np.append(names.get_indexer(options), -1)  # the last one, which -1 takes
    painted = numbers[missing[f"intruder_{side.value}"].cat.codes.to_numpy()]
    not_named, *nobody = names.get_indexer(pd.Index(_NOBODY, dtype=object)).tolist()
    painted = np.where((painted == asked) | np.isin(painted, [-1, *nobody]), not_named, painted)
    return pd.DataFrame(
        {
            "pair_key": missing["pair_key"].array,
            "model": missing["model"].array,
            "side": pd.Categorical([side.value] * len(at), categories=[one.value for one in Side]),
            "asked": pd.Categorical.from_codes(asked, categories=names),
            "painted": pd.Categorical.from_codes(painted, categories=names),
            "row": at,
        }
    )


def painted_instead(pictures: pd.DataFrame, pairs: Mapping[str, ConceptPair]) -> pd.DataFrame:
    """What was ``painted`` in the place of what was ``asked`` for, in which ``row``: one entry for
    each concept that a picture lacks and whose place somebody who can be named has taken.
    """
    found = _displaced(pictures, pairs)
    return found[found["painted"] != NOT_NAMED]


def _main_intruder(pictures: pd.DataFrame, pairs: Mapping[str, ConceptPair]) -> pd.DataFrame:
    """For each pair and model the commonest name of either side, and how many ``times``."""
    group = ["pair_key", "model"]
    both = _displaced(pictures, pairs)
    named = both[both["painted"] != NOT_NAMED]
    times = (
        named.groupby([*group, "side", "painted"], observed=True).size().reset_index(name="size")
    )
    for name in (*group, "side", "painted"):
        times[name] = times[name].astype(object)
    first = times.sort_values(["size", "side", "painted"], ascending=[False, True, True])
    return first.drop_duplicates(group).rename(columns={"size": "times"})[
        [*group, "painted", "times"]
    ]


def painting(
    pictures: pd.DataFrame, pairs: Mapping[str, ConceptPair], names: Sequence[str]
) -> pd.DataFrame:
    """Pairs and models with a picture in which one of these names stands in a thing's place."""
    displaced = _displaced(pictures, pairs)
    found = displaced[displaced["painted"].isin(list(names))]
    return found[["pair_key", "model"]].astype(object).drop_duplicates()


def drawn_instead(pictures: pd.DataFrame, pairs: Mapping[str, ConceptPair]) -> pd.DataFrame:
    """What was asked for, what was painted in its place, in how many pictures and pairs."""
    displaced = _displaced(pictures, pairs)
    both = ["asked", "painted"]
    in_pair = displaced.groupby([*both, "pair_key"], observed=True).size().reset_index(name="size")
    table = in_pair.groupby(both, observed=True, as_index=False).agg(
        pictures=("size", "sum"), pairs=("pair_key", "size")
    )
    for name in both:
        table[name] = table[name].astype(object)
    table["share"] = table["pictures"] / table.groupby("asked")["pictures"].transform("sum")
    return table.sort_values(
        ["pictures", "asked", "painted"], ascending=[False, True, True], ignore_index=True
    )


# ── models ───────────────────────────────────────────────────────────────────────────────────────


def fair_counts(pictures: pd.DataFrame, rule: judge.StoppingRule | None) -> pd.DataFrame:
    """Right and scored pictures of every pair and model, those that
    :func:`lcmis.judge.fair_rate` counts.
    """
    counted = pictures
    if rule is not None:
        group = pictures["pair_key"].cat.codes.to_numpy(np.int64) * len(
            pictures["model"].cat.categories
        ) + pictures["model"].cat.codes.to_numpy(np.int64)
        place, size = _places_in_group(group)
        counted = pictures[(place < rule.fair) & (size >= rule.block)]
    counts = _count(counted)
    scored = counts[[kind.value for kind in VERDICTS if kind.is_scored]].sum(axis=1)
    return pd.DataFrame({"right": counts["aligned"], "scored": scored})


def _places_in_group(
    group: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The place of each row in its group, from 0, and the group's size; groups lie together."""
    first = np.flatnonzero(np.diff(group, prepend=-1))
    size = np.diff(np.append(first, len(group)))
    return np.arange(len(group)) - np.repeat(first, size), np.repeat(size, size)


def _rate_over_pairs(counts: pd.DataFrame) -> dict[str, float | int]:
    """A rate clustered by pair, as columns; NaN where nothing was scored."""
    rate = judge.model_rate(
        list(zip(counts["right"].tolist(), counts["scored"].tolist(), strict=True))
    )
    return {
        "rate": rate.value if rate.total else np.nan,
        "low": rate.low if rate.total else np.nan,
        "high": rate.high if rate.total else np.nan,
        "counted": rate.total,
    }


def by_model(pictures: pd.DataFrame, rule: judge.StoppingRule | None) -> pd.DataFrame:
    """One row a model: its rate over all pairs, clustered by pair, and what could not be counted.

    ``left_out`` pairs have fewer pictures than :func:`fair_counts` wants.
    """
    kinds = [kind.value for kind in VERDICTS]
    fair = fair_counts(pictures, rule)
    models, codes = pictures["model"].cat.categories, pictures["model"].cat.codes.to_numpy()
    tally = np.bincount(
        codes.astype(np.int64) * len(kinds) + pictures["verdict"].cat.codes.to_numpy(np.int64),
        minlength=len(models) * len(kinds),
    ).reshape(len(models), len(kinds))
    rows = []
    for number, model in enumerate(models):
        num_pairs = pictures.loc[codes == number, "pair_key"].nunique()
        of_model = fair[fair.index.get_level_values("model") == model]
        rows.append(
            {
                "model": str(model),
                **_rate_over_pairs(of_model),
                "pairs": num_pairs,
                "left_out": num_pairs - len(of_model),
                "pictures": int(tally[number].sum()),
                **dict(zip(kinds, tally[number].tolist(), strict=True)),
            }
        )
    names = ["model", "rate", "low", "high", "counted", "pairs", "left_out", "pictures", *kinds]
    return pd.DataFrame(rows, columns=names)


def beside_labels(models: pd.DataFrame, corrected: Sequence[CorrectedRate]) -> pd.DataFrame:
    """The rows of :func:`by_model`, and after them once more those whose rate labels correct;
    column ``by`` tells them apart.
    """
    found = {one.model: one.corrected for one in corrected if one.corrected is not None}
    raw = models.assign(by=BY_CHECKER)
    mended = raw[raw["model"].isin(list(found))]
    rates = [found[model] for model in mended["model"]]
    mended = mended.assign(
        by=BY_LABELS,
        rate=[rate.value for rate in rates],
        low=[rate.low for rate in rates],
        high=[rate.high for rate in rates],
    )
    return pd.concat([raw, mended], ignore_index=True)


def outcomes(
    pictures: pd.DataFrame,
    table: pd.DataFrame,
    pairs: Mapping[str, ConceptPair],
    rule: judge.StoppingRule | None,
) -> dict[str, ModelOutcome]:
    """What there is to say in short of each model; ``table`` is that of :func:`by_pair`."""
    models = by_model(pictures, rule)
    names = words.short_names(models["model"].tolist())
    decided = decisions(table).set_index("model")
    sure = surely_failing(table, rule).set_index("model")
    found = {}
    for row in models.to_dict("records"):
        model = row["model"]
        instead = drawn_instead(pictures[pictures["model"] == model], pairs)
        named = instead[instead["painted"] != NOT_NAMED]
        painted = named.iloc[0] if len(named) else None
        rate = Rate(row["rate"], row["low"], row["high"], row["counted"])
        found[model] = ModelOutcome(
            name=names[model],
            aligned=rate,
            decided={
                kind: int(decided.loc[model, kind.value]) if model in decided.index else 0
                for kind in judge.Decision
            },
            surely_failing=int(sure.loc[model, "surely"]) if model in sure.index else 0,
            looked_at=int(sure.loc[model, "looked_at"]) if model in sure.index else 0,
            pictures=row["pictures"],
            unscored=row[Verdict.UNSCORED.value],
            refused=row[Verdict.REFUSED.value],
            painted="" if painted is None else painted["painted"],
            asked="" if painted is None else painted["asked"],
            painted_pictures=0 if painted is None else int(painted["pictures"]),
            painted_pairs=0 if painted is None else int(painted["pairs"]),
        )
    return found


def failing_kinds(pairs: pd.DataFrame) -> pd.DataFrame:
    """One row for each kind of conflict and model: pairs that ``fail`` of those that were judged,
    the kind with the largest share first; pairs of no kind are left out.
    """
    known = pairs[(pairs["scored"] > 0) & (pairs["pattern"] != "")]
    fails = known["decision"].eq(judge.Decision.FAILS.value)
    table = (
        pd.DataFrame(
            {"pattern": known["pattern"], "model": known["model"].astype(object), "fail": fails}
        )
        .groupby(["pattern", "model"], as_index=False)
        .agg(fail=("fail", "sum"), pairs=("fail", "size"))
    )
    of_kind = table.groupby("pattern")[["fail", "pairs"]].transform("sum")
    table["share"] = of_kind["fail"] / of_kind["pairs"]
    return table.sort_values(
        ["share", "pattern", "model"], ascending=[False, True, True], ignore_index=True
    )


def examples(pictures: pd.DataFrame) -> pd.DataFrame:
    """For each pair and model the spec keys of the first picture that is ``right`` and of the
    first that is ``wrong``; empty where there is none.
    """
    kinds = pictures["verdict"].astype(object)
    scored = [kind.value for kind in VERDICTS if kind.is_scored]
    table = pd.DataFrame(
        {
            "pair_key": pictures["pair_key"].astype(object),
            "model": pictures["model"].astype(object),
            "spec_key": pictures["spec_key"],
            "kind": np.where(
                kinds.eq(Verdict.ALIGNED.value),
                "right",
                np.where(kinds.isin(scored), "wrong", ""),
            ),
        }
    )
    first = table[table["kind"] != ""].drop_duplicates(["pair_key", "model", "kind"])
    shown = first.pivot(index=["pair_key", "model"], columns="kind", values="spec_key")
    return shown.reindex(columns=["right", "wrong"]).fillna("").reset_index()


# ── checkers ─────────────────────────────────────────────────────────────────────────────────────


def _side_by_side(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Pair, model and both verdicts (``first``, ``second``) of the pictures that both scored."""
    scored = [kind.value for kind in VERDICTS if kind.is_scored]
    columns = ["pair_key", "model", "spec_key", "verdict"]
    ours, theirs = (table[table["verdict"].isin(scored)][columns] for table in (first, second))
    both = ours.merge(theirs[["pair_key", "spec_key", "verdict"]], on=["pair_key", "spec_key"])
    return both.rename(columns={"verdict_x": "first", "verdict_y": "second"})


def agreement(first: pd.DataFrame, second: pd.DataFrame) -> judge.Agreement:
    """How far two checkers see the same in the same pictures."""
    both = _side_by_side(first, second)
    return judge.agreement(
        [Verdict(one) for one in both["first"]], [Verdict(one) for one in both["second"]]
    )


def disagreements(first: pd.DataFrame, others: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """For each pair and model: pictures (``disagree``) that some other checker sees differently,
    of those (``compared``) that both scored.
    """
    sides = [_side_by_side(first, other) for other in others]
    if not sides:
        return pd.DataFrame(columns=["pair_key", "model", "compared", "disagree"])
    both = pd.concat(sides, ignore_index=True)
    both["differs"] = both["first"].astype(object) != both["second"].astype(object)
    pictures = both.groupby(["pair_key", "model", "spec_key"], observed=True)["differs"].any()
    return (
        pictures.groupby(["pair_key", "model"], observed=True)
        .agg(compared="size", disagree="sum")
        .reset_index()
    )


def differing(first: pd.DataFrame, others: Sequence[pd.DataFrame]) -> frozenset[str]:
    """Spec keys of the pictures that some other checker sees differently, both having judged it."""
    found: set[str] = set()
    for other in others:
        both = _side_by_side(first, other)
        differs = both["first"].astype(object) != both["second"].astype(object)
        found.update(both.loc[differs, "spec_key"].astype(str))
    return frozenset(found)


def compared(first: pd.DataFrame, others: Sequence[pd.DataFrame]) -> frozenset[str]:
    """Spec keys of the pictures that some other checker has judged too."""
    sides = (_side_by_side(first, other)["spec_key"] for other in others)
    return frozenset(chain.from_iterable(sides))


# ── two models ───────────────────────────────────────────────────────────────────────────────────


def paired(
    first: pd.DataFrame, second: pd.DataFrame, *, prefix: int
) -> tuple[pd.DataFrame, int, int]:
    """Two models on the pairs and the places in the order of seeds that both have.

    Both tables hold one model each. Counted are the first ``prefix`` pictures of each pair.

    Returns:
        One row a picture that both checkers scored: ``pair_key``, the two spec keys ``first`` and
        ``second``, and who is right, ``first_right`` and ``second_right``; then the number of
        pairs that only one model drew, and of pictures left out as refused or not scored.
    """
    places = [_places(table, prefix) for table in (first, second)]
    both = places[0].merge(places[1], on=["pair_key", "place"], suffixes=("_1", "_2"))
    scored = both["scored_1"] & both["scored_2"]
    keys = [set(table["pair_key"]) for table in places]
    table = both[scored].rename(
        columns={
            "spec_key_1": "first",
            "spec_key_2": "second",
            "right_1": "first_right",
            "right_2": "second_right",
        }
    )
    columns = ["pair_key", "first", "second", "first_right", "second_right"]
    return table[columns].reset_index(drop=True), len(keys[0] ^ keys[1]), int((~scored).sum())


def _places(table: pd.DataFrame, prefix: int) -> pd.DataFrame:
    place, _ = _places_in_group(table["pair_key"].cat.codes.to_numpy().astype(np.int64))
    scored = [kind.value for kind in VERDICTS if kind.is_scored]
    return pd.DataFrame(
        {
            "pair_key": table["pair_key"].astype(object),
            "place": place,
            "spec_key": table["spec_key"],
            "right": table["verdict"].eq(Verdict.ALIGNED.value),
            "scored": table["verdict"].isin(scored),
        }
    )[place < prefix]


def paired_counts(paired: pd.DataFrame) -> pd.DataFrame:
    """One row a pair, the largest difference first: ``both``, ``first``, ``second``, ``neither``
    count pictures by who is right.
    """
    one, other = paired["first_right"], paired["second_right"]
    kinds = pd.DataFrame(
        {
            "pair_key": paired["pair_key"],
            "both": one & other,
            "first": one & ~other,
            "second": ~one & other,
            "neither": ~one & ~other,
        }
    )
    table = kinds.groupby("pair_key", as_index=False, sort=True).sum()
    table["gap"] = table["second"] - table["first"]
    order = table["gap"].abs().sort_values(ascending=False, kind="stable").index
    return table.loc[order].reset_index(drop=True)


def difference(counts: pd.DataFrame) -> judge.Difference:
    """How much more often the second model is right, with its interval, clustered by pair."""
    columns = ["both", "first", "second", "neither"]
    return judge.paired_difference(
        [judge.PairedCounts(*row) for row in counts[columns].itertuples(index=False, name=None)]
    )


# ── an audit that runs ───────────────────────────────────────────────────────────────────────────


def decisions(pairs: pd.DataFrame) -> pd.DataFrame:
    """One row a model: pairs of each :class:`lcmis.judge.Decision`."""
    models = pairs["model"].astype(object)
    table = pairs.groupby([models, "decision"]).size().unstack(fill_value=0)
    kinds = [kind.value for kind in judge.Decision]
    return table.reindex(columns=kinds, fill_value=0).reset_index()


def surely_failing(pairs: pd.DataFrame, rule: judge.StoppingRule | None) -> pd.DataFrame:
    """One row a model: pairs that fail, those that still do when all are looked at together
    (:func:`lcmis.judge.surely_failing`), and pairs that were looked at.
    """
    scored = pairs[pairs["scored"] > 0]
    rows = []
    for model, table in scored.groupby(scored["model"].astype(object), sort=False):
        chances = [
            judge.failing_p(right, total, rule or judge.FixedN(total))
            for right, total in zip(
                table["aligned"].tolist(), table["scored"].tolist(), strict=True
            )
        ]
        failing = sum(p < 1 for p in chances)
        rows.append((model, failing, sum(judge.benjamini_hochberg(chances)), len(chances)))
    return pd.DataFrame(rows, columns=["model", "failing", "surely", "looked_at"])


# ── choosing and wording ─────────────────────────────────────────────────────────────────────────


def chosen(
    table: pd.DataFrame,
    *,
    models: Sequence[str] = (),
    patterns: Sequence[str] = (),
    levels: Sequence[int] = (),
    decisions: Sequence[str] = (),
    text: str = "",
) -> pd.DataFrame:
    """The rows that pass every filter; an empty filter lets all pass.

    A level passes pairs that may be of it. Every word of the text must be in the prompt, a thing
    asked for, the pattern or the intruder.
    """
    keep = np.ones(len(table), dtype=bool)
    for name, wanted in (("model", models), ("pattern", patterns), ("decision", decisions)):
        if wanted:
            keep &= table[name].isin(list(wanted)).to_numpy()
    if levels:
        best, worst = table["best_level"].to_numpy(), table["worst_level"].to_numpy()
        keep &= np.logical_or.reduce([(best <= level) & (worst >= level) for level in levels])
    for word in text.casefold().split():
        keep &= np.logical_or.reduce(
            [
                table[name].str.casefold().str.contains(word, regex=False).to_numpy(dtype=bool)
                for name in ("prompt", "asked", "pattern", "intruder")
            ]
        )
    return table[keep]
