"""How often each model paints what was asked, how badly pairs fail, and what is painted instead."""

from __future__ import annotations

import json

import facts
import looks
import opinions
import pandas as pd
import streamlit as st
from looks import plain

from lcmis.types import Verdict

MOST_SHOWN = 14  # names on either side of the chart of what is painted instead


def main() -> None:
    """Draw the page."""
    pictures, rule = facts.pictures(), facts.rule()
    models = opinions.by_model(pictures, rule)
    names = opinions.short_names(facts.models())
    models.insert(0, "name", models["model"].map(names))
    st.title("Overview")
    _figures(pictures, models)
    scored = models[models["counted"] > 0]
    if scored.empty:
        st.info("No picture has a verdict yet, so there is no rate to show.")
    else:
        _rates(scored)
        left, right = st.columns(2, gap="large")
        with left:
            _levels(names)
        with right:
            _instead(pictures)
    _troubles(models)
    _provenance(names)


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
        ("Failures", facts.counts().failures, "Items that broke; they are tried again next time."),
    ]
    for column, (label, number, help_text) in zip(st.columns(len(figures)), figures, strict=True):
        column.metric(label, f"{int(number):,}", help=help_text, border=True)


def _rates(models: pd.DataFrame) -> None:
    st.subheader("How often each model paints what was asked", help=looks.HELP_RIGHT)
    st.altair_chart(looks.rates_chart(models), alt="Rate and interval of every model")
    if facts.num_labels() < facts.FEW_LABELS:
        st.caption(
            f":material/info: Uncalibrated: {facts.num_labels()} human labels, and "
            f"{facts.FEW_LABELS} are the least to tell how often this checker errs. "
            "The intervals speak of chance, not of the checker's mistakes."
        )
    rule = facts.rule()
    if rule is not None:
        st.caption(
            f"Each pair counts with its first {rule.block} pictures: a pair that stopped early "
            "stopped at an extreme, and all its pictures would bend the rate. "
            "The interval takes pairs, not pictures, as the sample."
        )
    if left_out := int(models["left_out"].sum()):
        st.caption(f"{left_out:,} pairs have fewer pictures than that yet and are left out.")


def _levels(names: dict[str, str]) -> None:
    st.subheader("How badly pairs fail", help=looks.HELP_LEVEL)
    levels = opinions.level_counts(facts.judged_pairs())
    levels.insert(0, "name", levels["model"].map(names))
    st.altair_chart(looks.levels_chart(levels), alt="Number of pairs at each level")
    st.caption("Solid: surely of this level. Pale: the interval allows it as well.")


def _instead(pictures: pd.DataFrame) -> None:
    st.subheader("What is painted instead", help=looks.HELP_INTRUDER)
    instead = opinions.drawn_instead(pictures, facts.pairs())
    if instead.empty:
        st.info("Nothing is missing from any picture at this threshold.")
        return
    top = [
        instead.groupby(side)["pictures"].sum().nlargest(MOST_SHOWN).index
        for side in ("asked", "painted")
    ]
    shown = instead[instead["asked"].isin(top[0]) & instead["painted"].isin(top[1])]
    st.altair_chart(
        looks.instead_chart(shown), alt="Number of pictures by what was asked and painted"
    )
    if hidden := int(instead["pictures"].sum() - shown["pictures"].sum()):
        st.caption(f"The commonest {MOST_SHOWN} names; {hidden:,} more pictures show others.")


def _troubles(models: pd.DataFrame) -> None:
    silent = models[(models["refused"] > 0) | (models["unscored"] > 0)]
    failures = facts.failures()
    if silent.empty and not failures:
        return
    st.subheader("What could not be counted")
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
        st.caption("Failures, newest first; the next `lcmis audit` tries them again.")
        st.dataframe(
            pd.DataFrame(
                [(f.at, f.stage, f.sentence, f.item) for f in failures],
                columns=["When (UTC)", "While", "What happened", "Item"],
            ),
            hide_index=True,
            lazy=True,
            column_config={"What happened": st.column_config.TextColumn(width="large")},
        )


def _provenance(names: dict[str, str]) -> None:
    st.subheader("Where these numbers come from")
    exact = [("Model", names[model], model) for model in names]
    spelled = opinions.short_names(facts.checkers())
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
    table = pd.DataFrame(
        [
            (r.started_at, r.command, r.device, r.git_revision[:10], _versions(r.versions))
            for r in runs
        ],
        columns=["Started (UTC)", "Command", "Device", "Revision", "Versions"],
    )
    st.dataframe(
        table,
        hide_index=True,
        column_config={
            "Command": st.column_config.TextColumn(width="medium"),
            "Revision": st.column_config.TextColumn(help="Of lcmis itself, in git."),
            "Versions": st.column_config.TextColumn(width="large"),
        },
    )
    rule = facts.rule()
    if rule is not None:
        st.caption(f"Pictures were painted until this rule stopped them: {plain(rule.name)}")


def _versions(text: str) -> str:
    versions = json.loads(text)
    return ", ".join(f"{name} {version}" for name, version in versions.items())


main()
