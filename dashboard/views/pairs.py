"""Every pair of every model, worst first."""

from __future__ import annotations

import choices
import facts
import looks
import opinions
import pandas as pd
import streamlit as st

from lcmis.findings import words

MOST_ROWS = 2000  # a table of clickable rows is sent to the browser whole
ANY = "any"
CHECKERS = (ANY, "agree", "disagree")
REPAIRS = (ANY, "proven", "tried", "none")
ORDERS = {
    "worst first": (["rate", "high", "prompt", "model"], True),
    "best first": (["rate", "low", "prompt", "model"], False),
    "surest first": (["width", "rate", "prompt"], True),
    "most pictures": (["scored", "prompt"], False),
    "by prompt": (["prompt", "model"], True),
}


def main() -> None:
    """Draw the page."""
    st.title("Pairs")
    table = facts.judged_pairs()
    names = words.short_names(facts.models())
    with st.container(horizontal=True, vertical_alignment="bottom"):
        shown = _filtered(table, names)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        shown, compared = _by_checkers(shown)
        shown = _by_repairs(shown)
        order = st.selectbox("Order", list(ORDERS), key="order", bind="query-params", width=180)
    if shown.empty:
        st.info("No pair passes these filters. Take one away to see more.")
        return
    columns, ascending = ORDERS[order]
    shown = shown.assign(width=shown["high"] - shown["low"]).sort_values(
        columns, ascending=ascending, kind="stable", na_position="last"
    )
    st.caption(
        f"{shown['pair_key'].nunique():,} of "
        f"{words.several(table['pair_key'].nunique(), 'pair')}, {order}. "
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
        compared=compared,
    )


def _filtered(table: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    text = choices.words(
        width=180,
        help_text="Shows pairs whose prompt, kind or intruder has every one of these words.",
    )
    models = choices.several(
        "Models",
        list(names),
        names=names,
        key="models",
        width=200,
        help_text="Image models that painted the pair.",
    )
    patterns = choices.several(
        "Kinds of conflict",
        sorted({pattern for pattern in table["pattern"] if pattern}),
        key="patterns",
        width=220,
        help_text=looks.HELP_PATTERN,
    )
    intruders = choices.several(
        "Painted instead",
        sorted({name for name in table["painted"] if name}),
        key="intruders",
        width=200,
        help_text=looks.HELP_INTRUDER,
        placeholder="anything",
    )
    levels = st.pills(
        "Level",
        [1, 2, 3, 4, 5],
        selection_mode="multi",
        key="levels",
        bind="query-params",
        help=looks.HELP_LEVEL,
    )
    return opinions.chosen(
        table, models=models, patterns=patterns, levels=levels, intruders=intruders, text=text
    )


def _by_checkers(shown: pd.DataFrame) -> tuple[pd.DataFrame, bool]:
    """Pairs on which checkers agree or not; whether they were compared."""
    if len(facts.checkers()) < 2:
        return shown, False
    wanted = choices.one_of(
        "Checkers",
        CHECKERS,
        key="checkers",
        help_text="Whether all checkers see the same in every picture of the pair that they "
        "judged.",
    )
    if wanted == ANY:
        return shown, False
    table = shown.merge(facts.disagreements(), how="left", on=["pair_key", "model"])
    differs = table["disagree"].fillna(0) > 0
    keep = differs if wanted == "disagree" else ~differs & table["compared"].fillna(0).gt(0)
    return table[keep].assign(
        disagreement=[
            f"{some:.0f} of {total:.0f}"
            for some, total in zip(table[keep]["disagree"], table[keep]["compared"], strict=True)
        ]
    ), True


def _by_repairs(shown: pd.DataFrame) -> pd.DataFrame:
    if not facts.growth().nominations:
        return shown
    wanted = choices.one_of(
        "Repair",
        REPAIRS,
        key="repair",
        help_text="Whether another way of prompting was found (tried), and proved on fresh seeds "
        "that it paints the pair right more often (proven).",
    )
    if wanted == ANY:
        return shown
    known = facts.repairs()
    state = [
        known.get(place, "none") for place in zip(shown["pair_key"], shown["model"], strict=True)
    ]
    return shown[[one == wanted for one in state]]


def _table(shown: pd.DataFrame, *, several: bool, compared: bool) -> None:
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
        "disagreement": word(
            "Checkers differ", width=105, help="Pictures that some checker sees differently."
        ),
        "a_missing": number("No A", help="The first thing of the pair is missing.", width=45),
        "b_missing": number("No B", help="The second thing of the pair is missing.", width=45),
        "both_missing": number("Neither", help="Both things are missing.", width=58),
        "unscored": number("Not judged", help=looks.HELP_UNSCORED, width=72),
        "refused": number("Refused", help=looks.HELP_REFUSED, width=62),
        "pattern": word("Kind of conflict", width=150, help=looks.HELP_PATTERN),
    }
    if not several:
        del columns["name"]
    if not compared:
        del columns["disagreement"]
    event = st.dataframe(
        shown[list(columns)],
        hide_index=True,
        height="content" if len(shown) < 18 else 660,
        column_config=columns,
        on_select="rerun",
        selection_mode="single-cell",
        placeholder="–",
        key="table",
        alt="Pairs with rate, level and what is painted instead",
    )
    if event.selection.cells:
        row = shown.iloc[int(event.selection.cells[0][0])]
        st.switch_page("views/pair.py", query_params=facts.address(pair=row["pair_key"]))


main()
