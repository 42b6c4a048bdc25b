"""One pair: what was asked, how every model fared, and the pictures side by side."""

from __future__ import annotations

import math
from typing import Any

import choices
import facts
import looks
import notepad
import pandas as pd
import pictures
import proofs
import shots
import streamlit as st
from looks import plain

from lcmis.findings import BeforeAfter, RepairFinding, words
from lcmis.store import Evidence, Store
from lcmis.types import About, ConceptPair, Render, Side, Verdict

PER_PAGE = 60  # pictures, all models together
WHY_WIDTH = 590  # pixels of the answers in a box over the page
CHANGES_SHOWN = 12  # seeds of a repair, before and after
MOST_COLUMNS = 3  # more models than this lie below each other instead of side by side
SHOW = {
    "all": None,
    "right": [Verdict.ALIGNED],
    "wrong": [Verdict.A_MISSING, Verdict.B_MISSING, Verdict.BOTH_MISSING],
    "not counted": [Verdict.UNSCORED, Verdict.REFUSED],
}
DIFFER = "checkers differ"


def main() -> None:
    """Draw the page."""
    ranked = facts.judged_pairs()
    wanted = st.query_params.get("pair", "")
    if not wanted:
        _open(next(iter(ranked["pair_key"]), next(iter(facts.pairs()))))
    pair = facts.store().pair(wanted)
    order = list(dict.fromkeys(ranked["pair_key"]))
    _neighbours(pair, order)
    st.title(plain(pair.prompt))
    _asked(pair)
    notepad.beside(About.PAIR, pair.key)
    drawn, repaired = st.tabs(
        ["Pictures", "Repairs"], key="tab", on_change="rerun", bind="query-params"
    )
    if drawn.open:
        with drawn:
            _pictures(pair, ranked[ranked["pair_key"] == pair.key])
        _look_ahead(pair, order)
    if repaired.open:
        with repaired:
            _repairs(pair)


def _pictures(pair: ConceptPair, ranked: pd.DataFrame) -> None:
    judged = facts.pictures()
    mine = judged[judged["pair_key"] == pair.key]
    if mine.empty:
        st.info("No picture was painted for this pair yet. Run `lcmis audit`: it shows up here.")
    else:
        _gallery(pair, mine, ranked)


def _look_ahead(pair: ConceptPair, order: list[str]) -> None:
    """Whoever goes through the pairs goes on to the better one."""
    if pair.key in order[:-1]:
        judged = facts.pictures()
        after = judged[judged["pair_key"] == order[order.index(pair.key) + 1]]
        first = after.sort_values(["seed", "model"], kind="stable").head(PER_PAGE)
        pictures.shrink_ahead(facts.store(), list(first["spec_key"]))


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
    names = words.short_names(facts.models())
    with st.container(
        horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"
    ):
        differ = [DIFFER] if len(facts.checkers()) > 1 else []
        show = choices.one_of("Pictures", [*SHOW, *differ], key="show")
        seeds = sorted(set(mine.loc[_passes(mine, show), "seed"]))
        on_page = seeds[choices.page(len(seeds), max(1, PER_PAGE // len(models)))]
    if not seeds:
        st.info("No picture of this pair is like that. Choose “all” to see the others.")
        return
    side_by_side = len(models) <= MOST_COLUMNS
    places = (
        st.columns(len(models), gap="medium") if side_by_side else [st.container() for _ in models]
    )
    shown = mine[mine["seed"].isin(on_page) & _passes(mine, show)]
    store, address = facts.store(), facts.address(pair=pair.key)
    renders = store.renders_of(shown["spec_key"])
    for model, place in zip(models, places, strict=True):
        of_model = shown[shown["model"] == model]
        with place:
            _model_heading(names[model], ranked[ranked["model"] == model])
            if of_model.empty:
                st.caption("None on this page.")
                continue
            grid = st.grid("auto", min_column_width=150, gap="small")
            picture: Any
            for picture in of_model.itertuples(index=False):
                with grid.container(border=True, gap="xsmall", height="stretch"):
                    _, render = renders[picture.spec_key]
                    _card(pair, picture, render, store, address)


def _passes(mine: pd.DataFrame, show: str) -> pd.Series:
    if show == DIFFER:
        return mine["spec_key"].isin(facts.differing())
    kinds = SHOW.get(show)
    if kinds is None:
        return pd.Series(True, index=mine.index)
    return mine["verdict"].isin([kind.value for kind in kinds])


def _model_heading(name: str, rows: pd.DataFrame) -> None:
    st.markdown(f"## {plain(name)}")
    row: Any
    for row in rows.itertuples(index=False):
        right = words.share(row.rate, row.low, row.high)
        level = row.levels or words.level(None)
        st.markdown(
            f"Right: **{plain(right)}** · level **{level}** · {row.scored} judged",
            help=f"{looks.HELP_RIGHT} {looks.HELP_LEVEL}",
        )
        if row.intruder:
            st.caption(f"Painted instead: {plain(row.intruder)}", help=looks.HELP_INTRUDER)


def _card(
    pair: ConceptPair, picture: Any, render: Render, store: Store, address: dict[str, str]
) -> None:
    """One picture, what it shows, how surely, and the way to its record."""
    verdict = Verdict(picture.verdict)
    shown = words.verdict(verdict, pair)
    alt = f"{pair.prompt}, seed {picture.seed}: {shown}"
    shots.shot(render, kind="thumbnail", alt=alt, store=store)
    said = []
    if not render.refusal:
        said += [(pair.a.name, picture.a), (pair.b.name, picture.b)]
    for lacking, asked, name, value in (
        (Verdict.A_MISSING, pair.a.name, picture.intruder_a, picture.intruder_a_value),
        (Verdict.B_MISSING, pair.b.name, picture.intruder_b, picture.intruder_b_value),
    ):
        if verdict in (lacking, Verdict.BOTH_MISSING) and _names(name, asked):
            said.append((f"looks like {name}", value))
    # One element for all words: of three a card, sixty cards would take a browser twice as long.
    lines = [f":small[{plain(what)} **{_percent(value)}**]" for what, value in said]
    st.markdown("  \n".join([looks.verdict_badge(verdict, pair), *lines]))
    _beneath(pair, picture.spec_key, picture.seed, address)


def _names(option: object, asked: str) -> bool:
    """Whether the option chosen for a missing thing is an intruder's name; it may be no text."""
    return isinstance(option, str) and words.names_somebody(option, asked)


def _beneath(pair: ConceptPair, spec_key: str, seed: int, address: dict[str, str]) -> None:
    """The way to a picture's record, and the questions behind its scores."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.page_link(
            "views/picture.py",
            label=f"seed {seed}",
            icon=":material/open_in_full:",
            query_params=address | {"picture": spec_key},
            width="content",
        )
        why = st.popover(
            "Why",
            type="tertiary",
            help="The questions behind the scores, and how surely each answer holds.",
            key=f"why-{spec_key}",
            on_change="rerun",
        )
        if why.open:
            with why:
                said = facts.store().scores(spec_key)
                mine = [one for one in said if one[1].checker == facts.checker()]
                shots.answers(mine or said, pair, width=WHY_WIDTH)


# ── repairs ──────────────────────────────────────────────────────────────────────────────────────


def _repairs(pair: ConceptPair) -> None:
    """What was tried for this pair, what came of it, and whether it holds elsewhere."""
    nominated = facts.store().nominations(pair.key)
    trials = facts.store().trials(pair.key)
    if not nominated and not trials:
        st.info(
            "No repair was looked for yet. Run `lcmis repair`: it tries other ways of prompting "
            "for the pairs that fail, and what it finds shows up here."
        )
        return
    every = proofs.proved(pair.key)
    for one in every:
        with st.container(border=True):
            _repair(pair, one)
    if len(every) < len(nominated):
        st.info(
            f"Of {words.several(len(nominated), 'repair')}, "
            f"{len(nominated) - len(every):,} without a certificate by this checker: it guided "
            "their search, or `lcmis certify` has yet to draw their fresh pictures."
        )
    _trials(proofs.spent(trials, nominated, facts.threshold()))


def _trials(tried: pd.DataFrame) -> None:
    st.header(
        "What was tried",
        help="Each mark is one way of prompting, at the number of pictures that its search had "
        "asked for by then. The line is the 95 % interval; a diamond is what the search chose.",
    )
    if tried.empty:
        st.info("No trial has a picture that was judged.")
        return
    st.altair_chart(proofs.trials_chart(tried), alt="Trials by pictures spent and share right")
    with st.expander(f"{len(tried):,} trials as a table"):
        st.dataframe(
            tried[["search", "pictures", "words", "candidate", "nominated"]],
            hide_index=True,
            lazy=True,
            alt="Trials",
            column_config={
                "search": st.column_config.TextColumn("Search"),
                "pictures": st.column_config.NumberColumn("Pictures until then"),
                "words": st.column_config.TextColumn("Right"),
                "candidate": st.column_config.TextColumn("Prompt", width="large"),
                "nominated": st.column_config.CheckboxColumn("Chosen"),
            },
        )


def _repair(pair: ConceptPair, one: RepairFinding) -> None:
    """One certificate: in words, as a plot over models, and as pictures."""
    proofs.spelled(one)
    st.altair_chart(
        proofs.rates_chart(proofs.rates(one)), alt="Right before and after, on every model"
    )
    if one.elsewhere:
        names = words.short_names(facts.models())
        told = [f"{names[other.model]}: {words.elsewhere(other)}" for other in one.elsewhere]
        st.caption(plain(f"Elsewhere – {'; '.join(told)}"), help=proofs.HELP_PORTABLE)
    else:
        st.caption(
            "Not tried on another model yet: `lcmis certify -m MODEL` asks whether it holds there.",
            help=proofs.HELP_PORTABLE,
        )
    _changes(pair, one)


def _changes(pair: ConceptPair, one: RepairFinding) -> None:
    """The same seed before and after, wins and losses first."""
    ordered = sorted(one.pictures, key=lambda seed: (not seed.is_win, not seed.is_loss))
    proof = one.certificate
    with st.expander(
        f"Before and after on the same seeds: {proof.wins} won, {proof.losses} lost, "
        f"{len(proof.seeds) - proof.wins - proof.losses} alike",
        key=f"changes-{one.certificate.nomination.key}",
        on_change="rerun",
    ) as unfolded:
        if not unfolded.open:
            return
        grid = st.grid("auto", min_column_width=330, gap="small")
        for seed in ordered[:CHANGES_SHOWN]:
            with grid.container(border=True, gap="xsmall"):
                _change(pair, seed)
        if len(ordered) > CHANGES_SHOWN:
            st.caption(f"{len(ordered) - CHANGES_SHOWN} more seeds, alike or of the same kind.")


def _change(pair: ConceptPair, seed: BeforeAfter) -> None:
    outcome = "won" if seed.is_win else "lost" if seed.is_loss else "alike"
    st.caption(f"seed {seed.seed}, **{outcome}**")
    halves = st.grid(2, gap="small")
    for title, item, verdict in (
        ("Before", seed.before, seed.was),
        ("After", seed.after, seed.now),
    ):
        with halves.container(gap="xsmall"):
            _half(pair, title, item, verdict)


def _half(pair: ConceptPair, title: str, item: Evidence, verdict: Verdict) -> None:
    _, render = facts.store().render(item.spec_key)
    shown = words.verdict(verdict, pair)
    shots.shot(render, kind="thumbnail", alt=f"{title}: {pair.prompt}, seed {item.seed}: {shown}")
    st.caption(title)
    st.markdown(looks.verdict_badge(verdict, pair))
    st.page_link(
        "views/picture.py",
        label="record",
        icon=":material/open_in_full:",
        query_params=facts.address(pair=pair.key, picture=item.spec_key),
    )


def _percent(value: float) -> str:
    return words.score(None if math.isnan(value) else value)


main()
