"""Every pair of every model, worst first."""

from __future__ import annotations

import choices
import facts
import looks
import opinions
import pandas as pd
import pictures
import streamlit as st

from lcmis import judge
from lcmis.findings import words
from lcmis.types import Side

MOST_ROWS = 2000  # a table of clickable rows is sent to the browser whole
ROW_HEIGHT = 72  # pixels, of which a picture takes most
ANY = "any"
VERDICTS: dict[str, tuple[str, ...]] = {
    ANY: (),
    "fails": (judge.Decision.FAILS.value,),
    "open": (judge.Decision.UNDECIDED.value, judge.Decision.CONTINUE.value),
    "passes": (judge.Decision.PASSES.value,),
}
KEY_HERE = "KEY"
MORE = ("patterns", "intruders", "levels", "checkers", "repair")
"""Filters that are folded away, by their names in the address."""
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
        text = choices.words(
            width=180,
            help_text="Shows pairs whose prompt, things, kind or intruder has every one of these "
            "words.",
        )
        verdict = choices.one_of(
            "Verdict", list(VERDICTS), key="verdict", help_text=looks.HELP_DECISION
        )
        models = choices.several(
            "Models",
            list(names),
            names=names,
            key="models",
            width=200,
            help_text="Image models that painted the pair.",
        )
        order = st.selectbox("Order", list(ORDERS), key="order", bind="query-params", width=160)
    shown = opinions.chosen(table, models=models, decisions=VERDICTS[verdict], text=text)
    given = [name for name in MORE if name in st.query_params]
    label = f"More filters ({len(given)} set)" if given else "More filters"
    with st.expander(label, expanded=bool(given), key="more"):
        shown, compared = _more(table, shown)
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
    examples = facts.examples()
    rights = examples[examples["right"] != ""].drop_duplicates("pair_key")
    by_any = rights.set_index("pair_key")["right"]
    shown = shown.head(MOST_ROWS).merge(examples, on=["pair_key", "model"], how="left")
    shown["right"] = shown["right"].where(shown["right"] != "", shown["pair_key"].map(by_any))
    _table(
        shown.assign(
            name=shown["model"].map(names),
            rate=100 * shown["rate"],
            verdict=[
                words.standing_word(judge.Decision(made)) if scored else ""
                for made, scored in zip(shown["decision"], shown["scored"], strict=True)
            ],
            missing=_missing(shown),
            **{kind: _thumbnails(shown[kind]) for kind in ("wrong", "right")},
        ),
        several=len(names) > 1,
        compared=compared,
    )


def _thumbnails(keys: pd.Series) -> list[str | None]:
    """Addresses of pictures by their keys; None where there is no key."""
    around = pictures.address("thumbnail", KEY_HERE).split(KEY_HERE)
    return [key.join(around) if isinstance(key, str) and key else None for key in keys]


def _missing(shown: pd.DataFrame) -> list[str]:
    """What wrong pictures of each row lack, by name, in the order of the prompt."""
    known, found = facts.pairs(), []
    for key, a, b, both in zip(
        shown["pair_key"],
        shown["a_missing"].tolist(),
        shown["b_missing"].tolist(),
        shown["both_missing"].tolist(),
        strict=True,
    ):
        told = [f"neither in {both}"] if both else []
        if a or b:
            pair, counts = known[key], {Side.A: a, Side.B: b}
            told[:0] = [
                f"no {pair.concept(side).name} in {counts[side]}"
                for side in looks.as_asked(pair)
                if counts[side]
            ]
        found.append(", ".join(told))
    return found


def _more(table: pd.DataFrame, shown: pd.DataFrame) -> tuple[pd.DataFrame, bool]:
    """The filters that are seldom wanted; whether checkers were compared."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        patterns = choices.several(
            "Kinds of conflict",
            sorted({pattern for pattern in table["pattern"] if pattern}),
            key="patterns",
            width=220,
            help_text=looks.HELP_PATTERN,
        )
        intruders = choices.several(
            "Painted instead",
            facts.painted_names(),
            key="intruders",
            width=200,
            help_text=f"In one of its pictures at the least. {looks.HELP_INTRUDER}",
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
        shown = opinions.chosen(shown, patterns=patterns, levels=levels)
        if intruders:
            shown = shown.merge(facts.painting(tuple(intruders)), on=["pair_key", "model"])
        shown, compared = _by_checkers(shown)
        return _by_repairs(shown), compared


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
    picture = st.column_config.ImageColumn
    columns = {
        "prompt": word("Prompt", width=160),
        "rate": st.column_config.ProgressColumn(
            "Right", format="%.0f %%", min_value=0, max_value=100, width=85, help=looks.HELP_RIGHT
        ),
        "verdict": word("Verdict", width=62, help=looks.HELP_DECISION),
        "wrong": picture("A wrong one", width=84, help="The first picture that is wrong."),
        "right": picture(
            "A right one",
            width=84,
            help="The first picture that is right, of another model where this one has none.",
        ),
        "name": word("Model", width=105),
        "intruder": word("Painted instead", width=150, help=looks.HELP_INTRUDER),
        "missing": word("What is missing", width=150, help="In how many pictures."),
        "interval": word("95 % range", width=76, help=looks.HELP_RIGHT),
        "levels": word("Level", width=50, help=looks.HELP_LEVEL),
        "disagreement": word(
            "Checkers differ", width=105, help="Pictures that some checker sees differently."
        ),
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
        height="content" if len(shown) < 9 else 690,
        row_height=ROW_HEIGHT,
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
