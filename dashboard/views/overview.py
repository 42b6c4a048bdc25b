"""How often each model paints what was asked, how badly pairs fail, and what is painted instead."""

from __future__ import annotations

import json

import altair as alt
import facts
import looks
import opinions
import pandas as pd
import streamlit as st
from looks import plain

from lcmis import judge
from lcmis.findings import words
from lcmis.findings.calibration import CorrectedRate, LabelFinding
from lcmis.findings.words import controlled, several
from lcmis.types import Verdict

MOST_SHOWN = 14  # names on either side of the chart of what is painted instead
MOST_PATTERNS = 12
ALL_MODELS = "all models"


def main() -> None:
    """Draw the page."""
    pictures, rule = facts.pictures(), facts.rule()
    models = opinions.by_model(pictures, rule)
    names = words.short_names(facts.models())
    models.insert(0, "name", models["model"].map(names))
    st.title("Overview")
    _figures(pictures, models)
    scored = models[models["counted"] > 0]
    if scored.empty:
        st.info(
            "No picture has a verdict yet, so there is no rate to show. Run `lcmis audit` again: "
            "it checks what is there."
        )
    rates, others, health = st.container(), st.container(), st.container()
    if len(scored):
        with others:
            _charts(pictures, names)
    _troubles(models)
    _provenance(names)
    if len(scored):
        # Last: to hold a large audit against its labels takes seconds.
        num_labels = facts.growth().labels
        with rates:
            labelled = facts.found_by_labels(num_labels) if num_labels else None
            _rates(scored, labelled)
        with health:
            _health(labelled)


def _charts(pictures: pd.DataFrame, names: dict[str, str]) -> None:
    beside = st.grid("auto", min_column_width=430, gap="large")
    with beside.container():
        _levels(names)
    with beside.container():
        _patterns(pictures, names)
    _instead(pictures, names)


def _figures(pictures: pd.DataFrame, models: pd.DataFrame) -> None:
    scored = pictures["verdict"].isin([kind.value for kind in Verdict if kind.is_scored]).sum()
    figures = [
        ("Pairs", pictures["pair_key"].nunique(), "Two things asked for together in one prompt."),
        ("Models", len(models), "Image models that painted pictures for these pairs."),
        (
            "Pictures",
            len(pictures),
            "One for each pair, model and seed; repairs do not count here.",
        ),
        ("Judged", scored, "Pictures of which the chosen checker gave both answers."),
        ("Refused", models["refused"].sum(), looks.HELP_REFUSED),
        (
            "Failures",
            len(facts.failures()),
            "Items that broke; they are tried again next time.",
        ),
    ]
    with st.container(horizontal=True):
        for label, number, help_text in figures:
            st.metric(label, f"{int(number):,}", help=help_text, border=True, width=150)


def _rates(models: pd.DataFrame, labelled: LabelFinding | None) -> None:
    st.header("How often each model paints what was asked", help=looks.HELP_RIGHT)
    corrected = [] if labelled is None else labelled.only(facts.checker()).rates
    st.altair_chart(
        looks.rates_chart(
            opinions.beside_labels(models, corrected),
            "name",
            "by",
            [
                alt.Tooltip("name:N", title="Model"),
                alt.Tooltip("by:N", title="Seen"),
                alt.Tooltip("words:N", title="Right"),
                alt.Tooltip("counted:Q", title="Pictures counted", format=","),
                alt.Tooltip("pairs:Q", title="Pairs", format=","),
            ],
            colours=[looks.accent(), looks.ORANGE],
            step=46,
            written=True,
        ),
        alt="Rate and interval of every model",
    )
    for one in corrected:
        _worth_of_labels(one)
    rule = facts.rule()
    if rule is not None and rule.fair < rule.cap:
        st.caption(
            f"Each pair counts with its first {several(rule.fair, 'picture')}: a pair that "
            "stopped early stopped at an extreme, and all its pictures would bend the rate. "
            "The interval takes pairs, not pictures, as the sample."
        )
    if left_out := int(models["left_out"].sum()):
        st.caption(f"{several(left_out, 'pair')} with fewer pictures so far: left out.")


def _worth_of_labels(one: CorrectedRate) -> None:
    """What the corrected rate lacks, if anything."""
    name = plain(words.short_names(facts.models())[one.model])
    if one.corrected is None:
        st.caption(
            f"{name}: labels do not show the checker to be better than a coin, so its rate cannot "
            "be corrected."
        )
    elif one.labels_to_halve is not None:
        st.caption(f"{name}: {one.labels_to_halve:,} more labels would halve the corrected range.")


def _levels(names: dict[str, str]) -> None:
    st.header("How badly pairs fail", help=looks.HELP_LEVEL)
    levels = opinions.level_counts(facts.judged_pairs())
    levels.insert(0, "name", levels["model"].map(names))
    st.altair_chart(looks.levels_chart(levels), alt="Number of pairs at each level")
    st.caption("Solid: surely of this level. Pale: the interval allows it as well.")
    for one in opinions.surely_failing(facts.judged_pairs(), facts.rule()).itertuples():
        told = controlled(one.surely, one.looked_at)
        st.caption(
            plain(f"{names[one.model]}: {several(one.failing, 'pair')} decided to fail ({told})."),
            help=looks.HELP_CONTROLLED,
        )


def _patterns(pictures: pd.DataFrame, names: dict[str, str]) -> None:
    st.header("Which kinds of conflict fail most", help=looks.HELP_PATTERN)
    patterns = opinions.by_pattern(pictures, facts.pairs(), facts.rule())
    if patterns.empty:
        st.info("These pairs name no kind of conflict: the catalogue's and proposed pairs do.")
        return
    order = list(dict.fromkeys(patterns["pattern"]))[:MOST_PATTERNS]
    shown = patterns[patterns["pattern"].isin(order)]
    shown = shown.assign(name=shown["model"].map(names)).sort_values("name", kind="stable")
    st.altair_chart(
        looks.rates_chart(
            shown,
            "pattern",
            "name",
            [
                alt.Tooltip("pattern:N", title="Kind of conflict"),
                alt.Tooltip("name:N", title="Model"),
                alt.Tooltip("words:N", title="Right"),
                alt.Tooltip("pairs:Q", title="Pairs", format=","),
                alt.Tooltip("counted:Q", title="Pictures counted", format=","),
            ],
            order=order,
            step=13 if len(order) > 6 else 18,
        ),
        alt="Rate and interval of every kind of conflict",
    )
    if (more := patterns["pattern"].nunique() - len(order)) > 0:
        st.caption(f"The worst {MOST_PATTERNS}; {several(more, 'more kind')} with a better rate.")


def _instead(pictures: pd.DataFrame, names: dict[str, str]) -> None:
    st.header("What is painted instead", help=looks.HELP_INTRUDER)
    if len(names) > 1:
        wanted = st.selectbox(
            "Of",
            [ALL_MODELS, *names],
            format_func=lambda model: names.get(model, model),
            key="of",
            bind="query-params",
            width=260,
        )
        if wanted != ALL_MODELS:
            pictures = pictures[pictures["model"] == wanted]
    instead = opinions.drawn_instead(pictures, facts.pairs())
    if instead.empty:
        st.info("Nothing is missing from any picture at this threshold.")
        return
    asked, painted = (
        list(instead.groupby(side)["pictures"].sum().nlargest(MOST_SHOWN).index)
        for side in ("asked", "painted")
    )
    shown = instead[instead["asked"].isin(asked) & instead["painted"].isin(painted)]
    st.altair_chart(
        looks.instead_chart(shown, asked, painted),
        alt="Number of pictures by what was asked and painted",
    )
    if hidden := int(instead["pictures"].sum() - shown["pictures"].sum()):
        st.caption(
            f"The commonest {MOST_SHOWN} names; {several(hidden, 'more picture')} with others."
        )


def _health(labelled: LabelFinding | None) -> None:
    """Whether the checker that judges here can be trusted."""
    st.header("How far the checker can be trusted", help=looks.HELP_HEALTH)
    whole = None if labelled is None else labelled.calibration(facts.checker())
    few = whole is None or not whole.is_calibrated
    rows = [
        (
            "Labelled pictures",
            f"{whole.labels if whole else 0:,} of {judge.FEW_LABELS}",
            "With fewer nobody can tell how often it errs: intervals speak of chance alone."
            if few
            else "Enough to tell how often this checker errs.",
        )
    ]
    if whole is not None and whole.accuracy is not None:
        for label, rate, told in (
            ("Sees what is there", whole.accuracy.sensitivity.rate, looks.HELP_SENSITIVITY),
            ("Sees what is not", whole.accuracy.specificity.rate, looks.HELP_SPECIFICITY),
        ):
            if rate.total:
                rows.append((label, words.rate(rate), told))
    prior = facts.gathered().controls
    for label, rate, what in (
        ("Blank pictures", prior.blank, "an empty picture"),
        ("Other pictures", prior.mismatched, "a picture of something else"),
    ):
        said = words.rate(rate) if rate.total else "not asked"
        told = f"How surely it sees the thing in {what}: the nearer to 0 the better."
        rows.append((label, said, told))
    names = words.short_names(facts.checkers())
    for other in facts.checkers():
        if other == facts.checker():
            continue
        agreed = facts.agreement(other)
        if agreed.share.total:
            share = words.rate(agreed.share)
            beyond = (
                "" if agreed.kappa is None else f", kappa {agreed.kappa:.2f} (chance 0, always 1)"
            )
            rows.append(
                (
                    f"Against {names[other]}",
                    share,
                    f"The same verdict, of {several(agreed.share.total, 'picture')} both "
                    f"judged{beyond}.",
                )
            )
    st.dataframe(
        pd.DataFrame(rows, columns=["Test", "Result", "What it says"]),
        hide_index=True,
        height="content",
        column_config={
            "Test": st.column_config.TextColumn(width=160),
            "Result": st.column_config.TextColumn(width=130),
            "What it says": st.column_config.TextColumn(width="large"),
        },
    )
    st.page_link(
        "views/label.py",
        label="Uncalibrated: label pictures to learn how often it errs"
        if few
        else "How often it errs, by the labels",
        icon=":material/edit:",
        query_params=facts.address(),
    )


def _troubles(models: pd.DataFrame) -> None:
    silent = models[(models["refused"] > 0) | (models["unscored"] > 0)]
    failures = facts.failures()
    if silent.empty and not failures:
        return
    st.header("What could not be counted")
    if not silent.empty:
        st.dataframe(
            silent[["name", "pictures", "refused", "unscored"]],
            hide_index=True,
            width="content",
            column_config={
                "name": st.column_config.TextColumn("Model"),
                "pictures": st.column_config.NumberColumn("Pictures", format="localized"),
                "refused": st.column_config.NumberColumn(
                    "Refused", help=looks.HELP_REFUSED, format="localized"
                ),
                "unscored": st.column_config.NumberColumn(
                    "Not judged", help=looks.HELP_UNSCORED, format="localized"
                ),
            },
        )
    if failures:
        st.page_link(
            "views/runs.py",
            label=f"{several(len(failures), 'failure')}: what happened",
            icon=":material/arrow_forward:",
            query_params=facts.address(),
        )


def _provenance(names: dict[str, str]) -> None:
    st.header("Where these numbers come from")
    exact = [("Model", names[model], model) for model in names]
    spelled = words.short_names(facts.checkers())
    exact += [("Checker", spelled[checker], checker) for checker in spelled]
    st.dataframe(
        pd.DataFrame(exact, columns=["What", "Shown as", "Exactly"]),
        hide_index=True,
        column_config={"Exactly": st.column_config.TextColumn(width="large")},
    )
    runs = facts.runs()
    if not runs:
        st.caption("No run is recorded: these pictures did not come from `lcmis audit`.")
        return
    last = runs[0]
    st.caption(
        plain(
            f"Last run {words.moment(last.started_at)} UTC, "
            f"{last.command or 'without a command line'}, on {last.device}, "
            f"lcmis at {last.git_revision or 'a release'}: "
            f"{_versions(last.versions)}"
        )
    )
    st.caption(plain(words.rule(facts.rule())))


def _versions(text: str) -> str:
    versions = json.loads(text)
    return ", ".join(f"{name} {version}" for name, version in versions.items())


main()
