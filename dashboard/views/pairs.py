"""Every pair of every model, worst first."""

from __future__ import annotations

import facts
import looks
import opinions
import pandas as pd
import streamlit as st

MOST_ROWS = 2000  # a table of clickable rows is sent to the browser whole


def main() -> None:
    """Draw the page."""
    st.title("Pairs")
    table = facts.judged_pairs()
    names = opinions.short_names(facts.models())
    patterns = sorted({pattern for pattern in table["pattern"] if pattern})
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input(
            "Words",
            key="words",
            placeholder="tea cup",
            bind="query-params",
            width=220,
            help="Shows pairs whose prompt, kind or intruder has every one of these words.",
        )
        models = st.multiselect(
            "Models",
            list(names),
            format_func=names.__getitem__,
            key="models",
            bind="query-params",
            placeholder="all",
            width=220,
        )
        chosen_patterns = st.multiselect(
            "Kinds of conflict",
            patterns,
            key="patterns",
            bind="query-params",
            placeholder="all",
            width=260,
        )
        levels = st.pills(
            "Level",
            [1, 2, 3, 4, 5],
            selection_mode="multi",
            key="levels",
            bind="query-params",
            help=looks.HELP_LEVEL,
        )
    shown = opinions.chosen(
        table, models=models, patterns=chosen_patterns, levels=levels, text=text or ""
    )
    if shown.empty:
        st.info("No pair passes these filters. Take one away to see more.")
        return
    pairs = shown["pair_key"].nunique()
    st.caption(
        f"{pairs:,} of {table['pair_key'].nunique():,} pairs, worst first. "
        "Click a row to see its pictures."
        + (
            f" The table ends after {MOST_ROWS:,} rows: filter to see others."
            if len(shown) > MOST_ROWS
            else ""
        )
    )
    _table(
        shown.head(MOST_ROWS).assign(name=shown["model"].map(names), rate=100 * shown["rate"]),
        several=len(names) > 1,
    )


def _table(shown: pd.DataFrame, *, several: bool) -> None:
    number = st.column_config.NumberColumn
    word = st.column_config.TextColumn
    columns = {
        "prompt": word("Prompt", width=225),
        "name": word("Model", width=110),
        "rate": st.column_config.ProgressColumn(
            "Right", format="%.0f %%", min_value=0, max_value=100, width=95, help=looks.HELP_RIGHT
        ),
        "interval": word("95 % range", width=76, help=looks.HELP_RIGHT),
        "levels": word("Level", width=50, help=looks.HELP_LEVEL),
        "intruder": word("Painted instead", width=145, help=looks.HELP_INTRUDER),
        "a_missing": number("No A", help="The first thing of the pair is missing.", width=45),
        "b_missing": number("No B", help="The second thing of the pair is missing.", width=45),
        "both_missing": number("Neither", help="Both things are missing.", width=58),
        "unscored": number("Not judged", help=looks.HELP_UNSCORED, width=72),
        "refused": number("Refused", help=looks.HELP_REFUSED, width=62),
        "pattern": word("Kind of conflict", width=150),
    }
    if not several:
        del columns["name"]
    event = st.dataframe(
        shown[list(columns)],
        hide_index=True,
        height="content" if len(shown) < 18 else 660,
        column_config=columns,
        on_select="rerun",
        selection_mode="single-cell",
        placeholder="–",
        key="table",
    )
    if event.selection.cells:
        row = shown.iloc[int(event.selection.cells[0][0])]
        st.switch_page("views/pair.py", query_params=facts.address(pair=row["pair_key"]))


main()
