"""One pair: what was asked, how every model fared, and the pictures side by side."""

from __future__ import annotations

import math
from typing import Any

import facts
import looks
import opinions
import pandas as pd
import pictures
import streamlit as st
from looks import plain

from lcmis.types import ConceptPair, Side, Verdict

PER_PAGE = 24  # pictures, all models together
MOST_COLUMNS = 3  # more models than this lie below each other instead of side by side
SHOW = {
    "all": None,
    "right": [Verdict.ALIGNED],
    "wrong": [Verdict.A_MISSING, Verdict.B_MISSING, Verdict.BOTH_MISSING],
    "not counted": [Verdict.UNSCORED, Verdict.REFUSED],
}


def main() -> None:
    """Draw the page."""
    ranked = facts.judged_pairs()
    wanted = st.query_params.get("pair", "")
    if not wanted:
        _open(next(iter(ranked["pair_key"]), next(iter(facts.pairs()))))
    pair = facts.store().pair(wanted)
    _neighbours(pair, list(dict.fromkeys(ranked["pair_key"])))
    st.title(plain(pair.prompt))
    _asked(pair)
    judged = facts.pictures()
    mine = judged[judged["pair_key"] == pair.key]
    if mine.empty:
        st.info("No picture was painted for this pair yet. Run `lcmis audit`, then reload.")
        return
    _gallery(pair, mine, ranked[ranked["pair_key"] == pair.key])


def _open(pair_key: str) -> None:
    st.switch_page("views/pair.py", query_params=facts.address(pair=pair_key))


def _neighbours(pair: ConceptPair, ranked: list[str]) -> None:
    """Links to the list and to the next worse and the next better pair."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.page_link(
            "views/pairs.py",
            label="All pairs",
            icon=":material/arrow_back:",
            query_params=facts.address(),
            width="content",
        )
        if pair.key not in ranked:
            return
        place = ranked.index(pair.key)
        for label, icon, key, other in (
            ("Worse", ":material/keyboard_arrow_up:", "k", place - 1),
            ("Better", ":material/keyboard_arrow_down:", "j", place + 1),
        ):
            there = 0 <= other < len(ranked)
            if st.button(label, icon=icon, type="tertiary", shortcut=key, disabled=not there):
                _open(ranked[other])
        st.caption(f"Number {place + 1:,} of {len(ranked):,}, worst first")


def _asked(pair: ConceptPair) -> None:
    """The two things asked for, how they look, and who may take their place."""
    for side, column in zip(Side, st.columns(2, border=True), strict=True):
        concept = pair.concept(side)
        with column:
            st.markdown(f"**{plain(concept.name)}**")
            if concept.description:
                st.caption(plain(concept.description))
            suspects = [intruder.concept.name for intruder in pair.intruders_of(side)]
            if suspects:
                st.caption(
                    f"May be displaced by: {plain(', '.join(suspects))}", help=looks.HELP_INTRUDER
                )
    beside = [
        f"{label}: {text}"
        for label, text in (
            ("Kind of conflict", pair.pattern),
            ("Proposed by", pair.source),
            ("Key", pair.key),
        )
        if text
    ]
    st.caption(plain(" · ".join(beside)))


def _gallery(pair: ConceptPair, mine: pd.DataFrame, ranked: pd.DataFrame) -> None:
    """One page of seeds, the models side by side: equal seeds lie at equal places."""
    models = [model for model in facts.models() if (mine["model"] == model).any()]
    names = opinions.short_names(facts.models())
    with st.container(
        horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"
    ):
        show = st.segmented_control(
            "Pictures", list(SHOW), default="all", key="show", bind="query-params", required=True
        )
        seeds = sorted(set(mine.loc[_passes(mine, show), "seed"]))
        per_page = max(1, PER_PAGE // len(models))
        num_pages = max(1, math.ceil(len(seeds) / per_page))
        page = st.pagination(num_pages, key="page", bind="query-params") if num_pages > 1 else 1
    if not seeds:
        st.info("No picture of this pair is like that. Choose “all” to see the others.")
        return
    on_page = seeds[(page - 1) * per_page : page * per_page]
    side_by_side = len(models) <= MOST_COLUMNS
    places = (
        st.columns(len(models), gap="medium") if side_by_side else [st.container() for _ in models]
    )
    for model, place in zip(models, places, strict=True):
        of_model = mine[(mine["model"] == model) & mine["seed"].isin(on_page) & _passes(mine, show)]
        with place:
            _model_heading(names[model], ranked[ranked["model"] == model])
            if of_model.empty:
                st.caption("None on this page.")
                continue
            grid = st.grid("auto", min_column_width=150, gap="small")
            for picture in of_model.itertuples(index=False):
                with grid.container(border=True, gap="xsmall", height="stretch"):
                    _card(pair, picture)


def _passes(mine: pd.DataFrame, show: str) -> pd.Series:
    kinds = SHOW.get(show)
    if kinds is None:
        return pd.Series(True, index=mine.index)
    return mine["verdict"].isin([kind.value for kind in kinds])


def _model_heading(name: str, rows: pd.DataFrame) -> None:
    st.markdown(f"#### {plain(name)}")
    row: Any
    for row in rows.itertuples(index=False):
        words = opinions.rate_text(row.rate, row.low, row.high)
        level = opinions.levels_text(row.best_level, row.worst_level)
        st.markdown(
            f"Right: **{plain(words)}** · level **{level}** · {row.scored} judged",
            help=f"{looks.HELP_RIGHT} {looks.HELP_LEVEL}",
        )
        if row.intruder:
            st.caption(f"Painted instead: {plain(row.intruder)}", help=looks.HELP_INTRUDER)


def _card(pair: ConceptPair, picture: Any) -> None:
    """One picture, what it shows, how surely, and the way to its record."""
    verdict = Verdict(picture.verdict)
    words = looks.verdict_words(verdict, pair)
    _, render = facts.store().render(picture.spec_key)
    if render.refusal:
        st.caption(f":material/visibility_off: {plain(render.refusal)}")
    elif not facts.store().image_path(render.sha256).is_file():
        st.caption(
            ":material/broken_image: The file of this picture is missing: restore it from a copy "
            "of the store."
        )
    else:
        st.image(
            pictures.address("thumbnail", render.sha256),
            width="stretch",
            alt=f"{pair.prompt}, seed {picture.seed}: {words}",
        )
    looks.verdict_badge(verdict, pair)
    said = [
        f"{plain(concept.name)} **{_percent(value)}**"
        for concept, value in ((pair.a, picture.a), (pair.b, picture.b))
    ]
    if not render.refusal:
        st.caption("  \n".join(said))
    for lacking, asked, name, value in (
        (Verdict.A_MISSING, pair.a.name, picture.intruder_a, picture.intruder_a_value),
        (Verdict.B_MISSING, pair.b.name, picture.intruder_b, picture.intruder_b_value),
    ):
        if verdict in (lacking, Verdict.BOTH_MISSING) and opinions.names_somebody(name, asked):
            st.caption(f"looks like {plain(name)} **{_percent(value)}**")
    st.page_link(
        "views/picture.py",
        label=f"seed {picture.seed}",
        icon=":material/open_in_full:",
        query_params=facts.address(pair=pair.key, picture=picture.spec_key),
    )


def _percent(value: float) -> str:
    return "no answer" if math.isnan(value) else f"{100 * value:.0f} %"


main()
