"""Which pictures look alike: all of them on a map, and the nearest of one."""

from __future__ import annotations

from typing import Any

import cards
import facts
import lightbox
import looks
import numpy as np
import pandas as pd
import streamlit as st
from facts import Alike
from looks import plain

from lcmis.findings import words
from lcmis.findings.features import nearest
from lcmis.types import Verdict

MOST_POINTS = 5000
"""On the map: more would be sent to the browser for long, and lie on one another."""
NEAREST = 24
ONE = "one thing missing"
SHOWS = {
    Verdict.ALIGNED: "right",
    Verdict.A_MISSING: ONE,
    Verdict.B_MISSING: ONE,
    Verdict.BOTH_MISSING: "neither there",
    Verdict.UNSCORED: "not judged",
}
MAP = "map"
NONE_YET = (
    "No encoder has looked at these pictures yet: run `lcmis embed` on this store, then reload "
    "the page."
)


def main() -> None:
    """Draw the page."""
    st.title("Similarity")
    st.page_link(
        "views/grid.py",
        label="Grid",
        icon=":material/arrow_back:",
        query_params=facts.address(),
        width="content",
    )
    table = facts.pictures()
    known = {name: one for name, one in facts.alike().items() if len(one.places)}
    if not known:
        st.info(NONE_YET)
        return
    names = words.short_names(list(known))
    encoder = st.selectbox(
        "Encoder",
        list(known),
        format_func=names.__getitem__,
        key="encoder",
        bind="query-params",
        width=320,
        help="The model by whose eyes pictures are alike: those it embeds near one another.",
    )
    alike = known[encoder]
    key = st.query_params.get("picture", "")
    chosen = np.flatnonzero(table["spec_key"].to_numpy(object)[alike.places] == key)[:1]
    _map(table, alike, chosen)
    _absent(table, alike)
    if len(chosen):
        _near(table, alike, int(chosen[0]))
    elif key:
        st.info("The picture that this address names is not on the map: click another.")


def _map(table: pd.DataFrame, alike: Alike, chosen: Any) -> None:
    """Every picture as a point, or evenly some of very many; the chosen one always."""
    count = len(alike.places)
    some = np.linspace(0, count - 1, min(count, MOST_POINTS)).astype(np.int64)
    on_map = _points(table, alike, np.union1d(some, chosen))
    drawn = {one.value: told for one, told in SHOWS.items()}
    told = {SHOWS[one]: cards.COLOURS[one] for one in SHOWS}
    on_map["shows"] = on_map.pop("verdict").astype(object).map(drawn)
    there = set(on_map["shows"])
    st.altair_chart(
        looks.clicked(
            looks.map_chart(
                on_map,
                {word: colour for word, colour in told.items() if word in there},
                _points(table, alike, chosen).drop(columns="verdict"),
            ),
            "key",
        ),
        alt="Pictures on a map; those that look alike lie near one another",
        on_select=_choose,
        key=MAP,
    )
    of = "" if len(some) == count else f", {len(some):,} of {count:,} pictures"
    st.caption(
        f"The two principal components of the features{of}: the plane shows "
        f"{words.percent(alike.layout.share)} % of all that tells the pictures apart, and "
        f"points that lie together on it may differ in the rest. Click one for the pictures "
        f"nearest to it in all directions."
    )


def _points(table: pd.DataFrame, alike: Alike, which: Any) -> pd.DataFrame:
    pairs = facts.pairs()
    rows = table.iloc[alike.places[which]]
    names = words.short_names(facts.models())
    return pd.DataFrame(
        {
            "across": alike.layout.places[which, 0],
            "up": alike.layout.places[which, 1],
            "verdict": rows["verdict"].to_numpy(object),
            "prompt": [pairs[key].prompt for key in rows["pair_key"]],
            "where": [
                f"{names[model]}, seed {seed}"
                for model, seed in zip(rows["model"], rows["seed"], strict=True)
            ],
            "key": rows["spec_key"].to_numpy(object),
        }
    )


def _choose() -> None:
    """The picture whose point was clicked goes into the address."""
    if chosen := looks.clicks(st.session_state[MAP]):
        st.query_params["picture"] = str(chosen["key"])


def _absent(table: pd.DataFrame, alike: Alike) -> None:
    painted = int((~table["refused"]).sum())
    if unseen := painted - len(alike.places):
        st.caption(
            f"{words.several(unseen, 'picture')} of {painted:,} not seen by this encoder yet: "
            f"`lcmis embed` adds what is missing."
        )


def _near(table: pd.DataFrame, alike: Alike, chosen: int) -> None:
    """The chosen picture and those most like it, each once."""
    keys = table["spec_key"].to_numpy(object)[alike.places]
    mine = alike.features.names[alike.rows[chosen]]
    likeness = alike.features.likeness(mine)[alike.rows]
    _, firsts = np.unique(keys, return_index=True)
    others = np.sort(firsts[keys[firsts] != keys[chosen]])
    near = [chosen, *others[nearest(likeness[others], NEAREST)].tolist()]
    drawn = facts.store().renders_of(keys[near].tolist())
    pairs, names = facts.pairs(), words.short_names(facts.models())
    shown = []
    picture: Any
    rows = table.iloc[alike.places[near]].itertuples(index=False)
    for place, picture in zip(near, rows, strict=True):
        where = f"{names[picture.model]}, seed {picture.seed}"
        if place != chosen:
            where = f"{likeness[place]:.3f}, {where}"
        _, render = drawn[picture.spec_key]
        shown.append(cards.card(picture, pairs[picture.pair_key], render, where))
    st.header("Nearest")
    st.caption(
        f"First {plain(pairs[table['pair_key'].iloc[alike.places[chosen]]].prompt)} itself, then "
        f"those most like it, the likest first; the number is the cosine of the angle between "
        f"what the encoder sees, 1 for what it cannot tell apart."
    )
    st.html(lightbox.sizes(), width="content")
    st.html(lightbox.cards(shown))


main()
