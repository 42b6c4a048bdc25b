"""Two models or two audits on the same pairs: which is right more often, where they differ."""

from __future__ import annotations

from typing import Any

import choices
import dividers
import facts
import looks
import opinions
import pandas as pd
import streamlit as st
from looks import plain

from lcmis.errors import UnknownNameError
from lcmis.findings import words
from lcmis.judge import Difference
from lcmis.store import Store
from lcmis.types import ConceptPair, Render, Verdict

PER_PAGE = 12  # places in the order of seeds, two pictures each
MOST_ROWS = 2000
SHOW = {
    "where they differ": [(True, False), (False, True)],
    "only first right": [(True, False)],
    "only second right": [(False, True)],
    "all": [(True, False), (False, True), (True, True), (False, False)],
}


def main() -> None:
    """Draw the page."""
    st.title("Compare")
    if not facts.checkers():
        return
    sides = facts.sides()
    if len(sides) < 2:
        st.info(
            "There is one model here, and a comparison needs two. Audit another one with "
            "`lcmis audit --model NAME`, or start the dashboard with `--beside FOLDER` to compare "
            "with another audit."
        )
        return
    first, second = _choice(sides)
    if first == second:
        st.info("Choose two different models.")
        return
    ours, our_pictures, our_fair = facts.side_pictures(first)
    theirs, their_pictures, their_fair = facts.side_pictures(second)
    table, not_shared, unpaired = opinions.paired(
        our_pictures, their_pictures, prefix=min(our_fair, their_fair)
    )
    if table.empty:
        st.info(
            "These two have no judged picture of the same pair, so nothing can be compared. Audit "
            "both on the same pairs."
        )
        return
    counts = opinions.paired_counts(table)
    found = opinions.difference(counts)
    st.markdown(_sentence(first, second, found))
    differing = counts[(counts["first"] > 0) | (counts["second"] > 0)]
    if differing.empty:
        st.info("Both are right and wrong in the same places: there is nothing to look at.")
    else:
        listed, shown = st.columns([2, 3], gap="medium")
        both = (our_pictures, their_pictures)
        with listed:
            _pairs(first, second, differing)
        with shown:
            _pictures((first, second), (ours, theirs), both, table, differing)
    st.header("How sure this is")
    _verdict(first, second, table, found)
    _left_out(not_shared, unpaired, min(our_fair, their_fair))


def _choice(
    sides: dict[str, facts.ComparedAudit],
) -> tuple[facts.ComparedAudit, facts.ComparedAudit]:
    keys = list(sides)
    with st.container(horizontal=True):
        chosen = [
            st.selectbox(
                label,
                keys,
                index=number,
                format_func=lambda key: sides[key].words,
                key=key,
                bind="query-params",
                help="An image model, judged by the checker and the threshold at the left.",
                width=320,
            )
            for number, (label, key) in enumerate((("First", "first"), ("Second", "second")))
        ]
    return sides[chosen[0]], sides[chosen[1]]


def _verdict(
    first: facts.ComparedAudit, second: facts.ComparedAudit, table: pd.DataFrame, found: Difference
) -> None:
    """What the comparison says, in numbers and a chart."""
    share = [table["first_right"].mean(), table["second_right"].mean()]
    with st.container(horizontal=True):
        for side, value in zip((first, second), share, strict=True):
            st.metric(
                f"{side.words}: right",
                f"{words.percent(value)} %",
                help=looks.HELP_RIGHT,
                border=True,
            )
        st.metric(
            "Difference",
            words.points(found.value),
            help="How much more often the second is right than the first, in percentage points: "
            "50 % after 40 % are +10.",
            border=True,
        )
        st.metric(
            "Pictures compared",
            f"{found.pictures:,}",
            help="Of each of the two: the same pairs, the same places in the order of seeds.",
            border=True,
        )
    st.altair_chart(
        looks.difference_chart(found), alt="The difference with its interval, around zero"
    )
    unseen = (
        f"Grey: differences smaller than {100 * found.detectable:.1f} points would mostly go "
        f"unnoticed in a comparison of this size ({words.several(found.pairs, 'pair')})."
        if found.detectable < 1
        else f"So few pairs ({found.pairs:,}) cannot be relied on to notice any true difference."
    )
    st.caption(
        f"The bar is where the true difference lies with 95 % confidence; pairs are the sample. "
        f"{unseen}"
    )


def _sentence(first: facts.ComparedAudit, second: facts.ComparedAudit, found: Difference) -> str:
    if found.low > 0 or found.high < 0:
        better, worse = (second, first) if found.value > 0 else (first, second)
        least, most = sorted((abs(found.low), abs(found.high)))
        return (
            f"**{plain(better.words)}** is right more often than {plain(worse.words)}, by "
            f"{plain(f'{100 * least:.1f} to {100 * most:.1f}')} percentage points."
        )
    return (
        "**Nobody can tell yet** which of the two is right more often: the difference lies between "
        f"{plain(words.points(found.low))} and {plain(words.points(found.high))} percentage points."
    )


def _left_out(not_shared: int, unpaired: int, prefix: int) -> None:
    said = [
        f"Counted are the first {words.several(prefix, 'picture')} of each pair that both have: "
        "a pair that stopped early stopped at an extreme."
    ]
    if not_shared:
        said.append(
            f"Left out: {words.several(not_shared, 'pair')} that only one of the two has painted."
        )
    if unpaired:
        said.append(
            f"Left out: {words.several(unpaired, 'picture')}, as one of the two is refused or not "
            f"judged."
        )
    st.caption(" ".join(said))


def _pairs(
    first: facts.ComparedAudit, second: facts.ComparedAudit, differing: pd.DataFrame
) -> None:
    st.header("Pairs on which they differ")
    known = facts.pairs()
    shown = differing.head(MOST_ROWS)
    shown = shown.assign(
        prompt=[known[key].prompt if key in known else key for key in shown["pair_key"]]
    )
    number = st.column_config.NumberColumn
    event = st.dataframe(
        shown[["prompt", "first", "second", "both", "neither"]],
        hide_index=True,
        height="content" if len(shown) < 16 else 600,
        column_config={
            "prompt": st.column_config.TextColumn("Prompt", width=170),
            "first": number(
                "Only first", help=f"Only {first.words} is right, on so many seeds.", width=72
            ),
            "second": number(
                "Only second", help=f"Only {second.words} is right, on so many seeds.", width=86
            ),
            "both": number("Both", help="Both are right.", width=46),
            "neither": number("Neither", help="Neither is right.", width=58),
        },
        on_select="rerun",
        selection_mode="single-cell",
        key="pairs_table",
        alt="Pairs on which the two differ, the largest difference first",
    )
    st.caption(
        f"{words.several(len(differing), 'pair')}, the largest difference first. Click a row "
        "to see its pictures."
    )
    if event.selection.cells:
        st.query_params["pair"] = shown["pair_key"].iloc[int(event.selection.cells[0][0])]


def _pictures(
    sides: tuple[facts.ComparedAudit, facts.ComparedAudit],
    stores: tuple[Store, Store],
    judged: tuple[pd.DataFrame, pd.DataFrame],
    table: pd.DataFrame,
    differing: pd.DataFrame,
) -> None:
    """Pictures of one pair, the two models side by side, seed by seed."""
    wanted = st.query_params.get("pair") or str(differing["pair_key"].iloc[0])
    pair = facts.store().pair(wanted)
    mine = table[table["pair_key"] == pair.key]
    if mine.empty:
        raise UnknownNameError("these two have no judged picture of the pair in this address")
    st.header(plain(pair.prompt))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        show = choices.one_of("Pictures", list(SHOW), key="show")
        kinds = pd.MultiIndex.from_tuples(SHOW[show])
        here = pd.MultiIndex.from_frame(mine[["first_right", "second_right"]]).isin(kinds)
        mine = mine[here].sort_values(["second_right", "first_right"], kind="stable")
        on_page = mine.iloc[choices.page(len(mine), PER_PAGE)]
        st.page_link(
            "views/pair.py",
            label="All about this pair",
            icon=":material/arrow_forward:",
            query_params=facts.address(pair=pair.key),
            width="content",
        )
    if mine.empty:
        st.info("No picture of this pair is like that. Choose “all” to see the others.")
        return
    first, second = (
        of_side[of_side["pair_key"] == pair.key].set_index("spec_key") for of_side in judged
    )
    drawn = [
        store.renders_of(on_page[column])
        for store, column in zip(stores, ("first", "second"), strict=True)
    ]
    st.caption(plain(f"Left of the slider: {sides[0].words}. Right of it: {sides[1].words}."))
    grid = st.grid("auto", min_column_width=250, gap="small")
    row: Any
    for row in on_page.itertuples(index=False):
        with grid.container(gap="xsmall"):
            _card(
                pair,
                sides,
                stores,
                (drawn[0][row.first][1], drawn[1][row.second][1]),
                (first.loc[row.first], second.loc[row.second]),
            )


def _card(
    pair: ConceptPair,
    sides: tuple[facts.ComparedAudit, facts.ComparedAudit],
    stores: tuple[Store, Store],
    renders: tuple[Render, Render],
    rows: tuple[Any, Any],
) -> None:
    """One place in the order of seeds: both pictures under one slider, and what either shows."""
    verdicts = [Verdict(row["verdict"]) for row in rows]
    shown = [words.verdict(verdict, pair) for verdict in verdicts]
    alts = [
        f"{pair.prompt} by {side.words}, seed {row['seed']}: {told}"
        for side, row, told in zip(sides, rows, shown, strict=True)
    ]
    dividers.between(renders, (sides[0].words, sides[1].words), (alts[0], alts[1]), stores)
    badges = [looks.verdict_badge(verdict, pair) for verdict in verdicts]
    st.markdown(f"{badges[0]} | {badges[1]}  \n:small[seed {rows[0]['seed']}]")
    with st.container(horizontal=True, gap="small"):
        for label, side, render in zip(("left", "right"), sides, renders, strict=True):
            if side.place == facts.place():
                st.page_link(
                    "views/picture.py",
                    label=label,
                    icon=":material/open_in_full:",
                    query_params=facts.address(pair=pair.key, picture=render.spec_key),
                    width="content",
                )


main()
