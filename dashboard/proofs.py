"""Repairs, what proves them, and what their search tried: as the pages show it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import altair as alt
import dividers
import facts
import looks
import pandas as pd
import streamlit as st
from looks import plain

from lcmis import findings, judge
from lcmis.findings import BeforeAfter, RepairFinding, words
from lcmis.findings.words import outcome
from lcmis.types import ConceptPair, Nomination, Render, Trial

HELP_CERTIFICATE = (
    "The plain and the repaired prompt are drawn from the same fresh seeds, which no search has "
    "seen, and judged by a checker that did not guide the search. A repair passes when it wins "
    "more seeds than it loses and chance alone would do so in fewer than 5 of 100 cases, however "
    "often one looks. Of many, some pass so: repaired are those that still stand when all are "
    "looked at together."
)
HELP_PORTABLE = (
    "The same prompts and seeds on other models. `lcmis certify -m MODEL` draws what is missing."
)


def all_proved() -> tuple[RepairFinding, ...]:
    """Every certified repair, those that stand first and the largest gain to be expected before
    the smaller.
    """
    return _proved(facts.gathered(), facts.threshold())


def proved(pair_key: str) -> tuple[RepairFinding, ...]:
    """Those of one pair, as they stand among all."""
    return tuple(one for one in all_proved() if one.pair.key == pair_key)


@st.cache_resource(
    show_spinner="Reading the certificates of repairs …",
    max_entries=16,
    hash_funcs=facts.BY_NAME,
)
def _proved(gathered: facts.Gathered, threshold: float) -> tuple[RepairFinding, ...]:
    store, checker = gathered.opened.store, gathered.checker
    found = findings.find_repairs(store, checker, threshold=threshold)
    return tuple(sorted(found, key=findings.usefulness))


def table(shown: Sequence[RepairFinding]) -> pd.DataFrame:
    """One row a repair, in their order."""
    names = words.short_names(facts.models())
    rows = [
        {
            "repaired": one.standing.proved,
            "prompt": one.pair.prompt,
            "candidate": str(one.certificate.nomination.candidate),
            "name": names.get(one.model, one.model),
            "method": one.certificate.nomination.repairer,
            "before": 100 * one.certificate.before.value,
            "after": 100 * one.certificate.after.value,
            "wins": one.certificate.wins,
            "losses": one.certificate.losses,
            "expected": 100 * one.standing.expected.after,
            "p": one.certificate.anytime_p,
            "holds": ", ".join(
                names.get(other.model, other.model)
                for other in one.elsewhere
                if other.standing.proved
            ),
        }
        for one in shown
    ]
    return pd.DataFrame(rows)


def chosen(
    every: Iterable[RepairFinding],
    *,
    text: str = "",
    models: Sequence[str] = (),
    methods: Sequence[str] = (),
    passed: bool | None = None,
) -> list[RepairFinding]:
    """The repairs that pass every filter; an empty filter lets all pass.

    Every word must be in the pair's prompt or in the repaired one. ``passed`` asks for a
    certificate that stands among all, or does not.
    """

    def fits(one: RepairFinding) -> bool:
        proof = one.certificate
        said = f"{one.pair.prompt} {proof.nomination.candidate}".casefold()
        return (
            all(word in said for word in text.casefold().split())
            and (not models or one.model in models)
            and (not methods or proof.nomination.repairer in methods)
            and passed in (None, one.standing.proved)
        )

    return [one for one in every if fits(one)]


def spelled(one: RepairFinding, *, linked: bool = False) -> None:
    """One repair: the prompt to copy, and its proof; ``linked`` to its pair."""
    proof = one.certificate
    names = words.short_names([*facts.models(), *facts.checkers()])
    with st.container(horizontal=True, vertical_alignment="center"):
        told = outcome(passed=proof.passed, proved=one.standing.proved)
        if one.standing.proved:
            st.badge(told, icon=":material/verified:", color="green")
        else:
            st.badge(told, icon=":material/close:", color="gray")
        if linked:
            st.markdown(f"**{plain(one.pair.prompt)}**", width="content")
        model = names.get(one.model, one.model)
        st.caption(
            plain(f"on {model}, by {proof.nomination.repairer}"),
            width="content",
            help=_cost(proof.nomination),
        )
        if linked:
            st.page_link(
                "views/pair.py",
                label="its pictures",
                icon=":material/compare:",
                query_params=facts.address(pair=one.pair.key, tab="Repairs"),
                width="content",
            )
    _prompts(proof.nomination)
    st.markdown(
        plain(f"{words.certificate(proof, names)} {words.standing(one)}"), help=HELP_CERTIFICATE
    )
    for cost in proof.collateral:
        st.warning(plain(f"But {cost}."), icon=":material/warning:")


def changes(one: RepairFinding, *, most: int) -> None:
    """The same seed before and after under one slider, wins and losses first."""
    ordered = sorted(one.pictures, key=lambda seed: (not seed.is_win, not seed.is_loss))[:most]
    if not ordered:
        return
    store, pair = facts.store(), one.pair
    keys = [item.spec_key for seed in ordered for item in (seed.before, seed.after)]
    drawn = store.renders_of(keys)
    grid = st.grid("auto", min_column_width=250, gap="small")
    for seed in ordered:
        with grid.container(gap="xsmall"):
            _change(pair, seed, (drawn[seed.before.spec_key][1], drawn[seed.after.spec_key][1]))
    if left := len(one.pictures) - len(ordered):
        st.caption(f"{words.several(left, 'more seed')}, alike or of the same kind.")


def _change(pair: ConceptPair, seed: BeforeAfter, renders: tuple[Render, Render]) -> None:
    """One seed: its two pictures, and what either shows."""
    names = ("before", "after")
    shown = [words.verdict(kind, pair) for kind in (seed.was, seed.now)]
    dividers.between(
        renders,
        names,
        (
            f"before: {pair.prompt}, seed {seed.before.seed}: {shown[0]}",
            f"after: {pair.prompt}, seed {seed.after.seed}: {shown[1]}",
        ),
        (facts.store(), facts.store()),
    )
    told = "won" if seed.is_win else "lost" if seed.is_loss else "alike"
    st.markdown(
        f"{looks.verdict_badge(seed.was, pair)} → {looks.verdict_badge(seed.now, pair)}  \n"
        f":small[seed {seed.before.seed}, **{told}**]"
    )
    with st.container(horizontal=True, gap="small"):
        for name, item in zip(names, (seed.before, seed.after), strict=True):
            st.page_link(
                "views/picture.py",
                label=name,
                icon=":material/open_in_full:",
                query_params=facts.address(pair=pair.key, picture=item.spec_key),
                width="content",
            )


def _cost(nomination: Nomination) -> str:
    """What the search took."""
    return (
        f"The search asked for {words.several(nomination.pictures, 'picture')} of the "
        f"{nomination.budget:,} that it might; it ended: {plain(nomination.ended)}."
    )


def _prompts(nomination: Nomination) -> None:
    """Every prompt of a repair as a block that can be copied."""
    told = nomination.candidate
    for stage in told.stages:
        if len(told.stages) > 1:
            until = words.percent(stage.denoising_end)
            st.caption(f"Until {until} % of the steps" if stage.denoising_end < 1 else "Then")
        st.code(stage.said, language=None, wrap_lines=True)
    if told.negative_prompt:
        st.caption("Negative prompt")
        st.code(told.negative_prompt, language=None, wrap_lines=True)


# ── what was tried ───────────────────────────────────────────────────────────────────────────────


def spent(
    trials: Sequence[Trial], nominated: Iterable[Nomination], threshold: float
) -> pd.DataFrame:
    """One row a trial: pictures the search had asked for until then, and the share right.

    A picture that was asked for twice counts once. Trials in which nothing was seen are left out.
    """
    names = words.short_names(list(dict.fromkeys(trial.model for trial in trials)))
    candidates = {(one.model, one.repairer, one.candidate) for one in nominated}
    asked: dict[tuple[str, str], set[tuple[str, int]]] = defaultdict(set)
    rows = []
    for trial in trials:
        search = (trial.model, trial.repairer)
        asked[search] |= {(trial.candidate.key, seed) for seed in trial.seeds}
        right, total = trial.right(threshold)
        if total:
            rate = judge.rate(right, total)
            rows.append(
                {
                    "search": f"{trial.repairer} on {names[trial.model]}",
                    "pictures": len(asked[search]),
                    "rate": rate.value,
                    "low": rate.low,
                    "high": rate.high,
                    "words": f"{right} of {total}",
                    "candidate": str(trial.candidate)[:300],
                    "nominated": (*search, trial.candidate) in candidates,
                }
            )
    return pd.DataFrame(rows)


def trials_chart(tried: pd.DataFrame) -> alt.LayerChart:
    """What every trial of a search drew right, by the pictures spent until then."""
    base = alt.Chart(tried).encode(
        x=alt.X(
            "pictures:Q",
            title="Pictures that the search had asked for",
            axis=alt.Axis(format="d", tickMinStep=1),
        ),
        color=looks.by_colour(
            "search", [looks.BLUE, looks.ORANGE, looks.GREEN, looks.PINK, looks.SKY]
        ),
        tooltip=[
            alt.Tooltip("candidate:N", title="Prompt"),
            alt.Tooltip("search:N", title="Search"),
            alt.Tooltip("words:N", title="Right, by the guide"),
            alt.Tooltip("pictures:Q", title="Pictures until then"),
        ],
    )
    share = looks.share_axis(alt.Y, "Right, by the checker that guides")
    interval = base.mark_rule(strokeWidth=3, opacity=0.35).encode(y=share, y2="high:Q")
    dot = base.mark_point(filled=True, opacity=1).encode(
        y="rate:Q",
        shape=alt.Shape(
            "nominated:N",
            legend=None,
            scale=alt.Scale(domain=[False, True], range=["circle", "diamond"]),
        ),
        size=alt.Size(
            "nominated:N", legend=None, scale=alt.Scale(domain=[False, True], range=[55, 220])
        ),
    )
    return alt.layer(interval, dot).properties(height=280)


# ── what was proved ──────────────────────────────────────────────────────────────────────────────


def rates(one: RepairFinding) -> pd.DataFrame:
    """Two rows a model: right before and after, the model it was found for first."""
    names = words.short_names(facts.models())
    rows = []
    for found in (one, *one.elsewhere):
        for when, rate in (
            ("plain prompt", found.certificate.before),
            ("repaired", found.certificate.after),
        ):
            rows.append(
                {
                    "name": names[found.model],
                    "when": when,
                    "rate": rate.value,
                    "low": rate.low,
                    "high": rate.high,
                    "total": rate.total,
                }
            )
    return pd.DataFrame(rows)


def rates_chart(shown: pd.DataFrame) -> alt.LayerChart:
    """Before and after with their intervals, a model below the other."""
    return looks.rates_chart(
        shown,
        "name",
        "when",
        [
            alt.Tooltip("name:N", title="Model"),
            alt.Tooltip("when:N", title="With the"),
            alt.Tooltip("words:N", title="Right"),
            alt.Tooltip("total:Q", title="Pictures"),
        ],
        colours=[looks.ORANGE, looks.BLUE],
        step=26,
    )
