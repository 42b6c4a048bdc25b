"""One pair: what was asked, how every model fared, and the pictures side by side."""

from __future__ import annotations

import html
import math
from typing import Any

import choices
import dialogs
import facts
import looks
import notepad
import pandas as pd
import pictures
import proofs
import shots
import streamlit as st
from looks import plain

from lcmis import judge
from lcmis.findings import RepairFinding, words
from lcmis.store import Store
from lcmis.types import About, ConceptPair, Render, Side, Verdict

PER_PAGE = 60  # pictures, all models together
CHANGES_SHOWN = 8  # seeds of a repair, before and after
MOST_COLUMNS = 3  # more models than this lie below each other instead of side by side
PICTURES, REPAIRS = "Pictures", "Repairs"
SHOW = {
    "all": None,
    "right": [Verdict.ALIGNED],
    "wrong": [Verdict.A_MISSING, Verdict.B_MISSING, Verdict.BOTH_MISSING],
    "not counted": [Verdict.UNSCORED, Verdict.REFUSED],
}
DIFFER = "checkers differ"
LEAST_WIDTH = 230  # pixels of a picture
HELP_WHY = "The questions behind the scores, and how surely each answer holds."


def main() -> None:
    """Draw the page."""
    ranked = facts.judged_pairs()
    wanted = st.query_params.get("pair", "")
    if not wanted:
        _open(next(iter(ranked["pair_key"]), next(iter(facts.pairs()))))
    pair = facts.store().pair(wanted)
    order = list(dict.fromkeys(ranked["pair_key"]))
    _heading(pair, order)
    judged = facts.pictures()
    mine = judged[judged["pair_key"] == pair.key]
    with st.container(horizontal=True, vertical_alignment="center", key="choices"):
        tab = choices.one_of("What to see", [PICTURES, REPAIRS], key="tab", hidden=True)
        show = ""
        if tab == PICTURES and not mine.empty:
            differ = [DIFFER] if len(facts.checkers()) > 1 else []
            show = choices.one_of("Which pictures", [*SHOW, *differ], key="show", hidden=True)
        _about(pair)
    if tab == REPAIRS:
        _repairs(pair)
    elif mine.empty:
        st.info(f"No picture was painted for this pair yet. {facts.how_to_fill()}")
    else:
        _gallery(pair, mine, ranked[ranked["pair_key"] == pair.key], show)
        _look_ahead(pair, order)
    notepad.beside(About.PAIR, pair.key)


def _look_ahead(pair: ConceptPair, order: list[str]) -> None:
    """Whoever goes through the pairs goes on to the better one."""
    if pair.key in order[:-1]:
        judged = facts.pictures()
        after = judged[judged["pair_key"] == order[order.index(pair.key) + 1]]
        first = after.sort_values(["seed", "model"], kind="stable").head(PER_PAGE)
        pictures.shrink_ahead(facts.store(), list(first["spec_key"]))


def _open(pair_key: str) -> None:
    st.switch_page("views/pair.py", query_params=facts.address(pair=pair_key))


def _heading(pair: ConceptPair, ranked: list[str]) -> None:
    """The prompt, and beside it the ways to the list and to the next worse and better pair."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.title(plain(pair.prompt), width="content")
        st.html(copies(pair.prompt), width="content")
        st.space("stretch")
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
        st.caption(f"{place + 1:,} of {len(ranked):,}, worst first", width="content")


def copies(prompt: str) -> str:
    """Buttons that copy the prompt and the address of this page."""
    told = html.escape(prompt, quote=True)
    return (
        f'<div class="lcmis-copies"><button class="lcmis-copy" data-lcmis-copy="{told}">'
        '<span aria-live="polite">copy prompt</span></button>'
        '<button class="lcmis-copy" data-lcmis-copy=""><span aria-live="polite">copy link</span>'
        "</button></div>"
    )


def _about(pair: ConceptPair) -> None:
    """The two things asked for, in the order of the prompt, and who may take their place."""
    with st.popover("About this pair", icon=":material/info:", type="tertiary"):
        for side in looks.as_asked(pair):
            concept = pair.concept(side)
            look = f": {plain(concept.description)}" if concept.description else ""
            st.markdown(f"**{plain(concept.name)}**{look}")
            suspects = [intruder.concept.name for intruder in pair.intruders_of(side)]
            if suspects:
                st.caption(
                    f"May be displaced by: {plain(', '.join(suspects))}", help=looks.HELP_INTRUDER
                )
        for label, text in (
            ("Kind of conflict", pair.pattern),
            ("Proposed by", pair.source),
            ("Key", pair.key),
        ):
            if text:
                st.caption(plain(f"{label}: {text}"))


def _gallery(pair: ConceptPair, mine: pd.DataFrame, ranked: pd.DataFrame, show: str) -> None:
    """One page of seeds, the models side by side: equal seeds lie at equal places."""
    models = [model for model in facts.models() if (mine["model"] == model).any()]
    names = words.short_names(facts.models())
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
            grid = st.grid("auto", min_column_width=LEAST_WIDTH, gap="small")
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
    """The model, its verdict on the pair and what that rests on, in two lines."""
    row: Any
    for row in rows.itertuples(index=False):
        badge = looks.decision_badge(judge.Decision(row.decision)) if row.scored else ""
        st.markdown(f"## {plain(name)} {badge}")
        right = words.share(row.rate, row.low, row.high)
        instead = f" · instead: {plain(row.intruder)}" if row.intruder else ""
        st.caption(
            f"{row.aligned} of {row.scored} right: {plain(right)} · level "
            f"{row.levels or words.level(None)}{instead}",
            help=f"{looks.HELP_RIGHT} {looks.HELP_LEVEL} {looks.HELP_DECISION}",
        )


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
        scores = {Side.A: picture.a, Side.B: picture.b}
        said += [(pair.concept(side).name, scores[side]) for side in looks.as_asked(pair)]
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
        if st.button("Why", type="tertiary", key=f"why-{spec_key}", help=HELP_WHY):
            _why(pair, spec_key)


@dialogs.dialog("Why", width="large")
def _why(pair: ConceptPair, spec_key: str) -> None:
    """The picture, and beside it what made its verdict; the rest below."""
    with looks.user_errors_shown():
        store = facts.store()
        spec, render = store.render(spec_key)
        said = store.scores(spec_key)
        picture, told = st.columns([2, 3], gap="medium")
        with picture:
            shots.shot(render, kind="picture", alt=f"{pair.prompt}, seed {spec.seed}", store=store)
            st.caption(plain(f"{pair.prompt}, seed {spec.seed}"))
        first = shots.deciding(said, facts.checker(), facts.threshold())
        rest = [one for one in said if one not in first]
        with told:
            verdict = facts.pictures()
            here = verdict[(verdict["spec_key"] == spec_key) & (verdict["pair_key"] == pair.key)]
            if len(here):
                st.markdown(looks.verdict_badge(Verdict(here["verdict"].iloc[0]), pair))
            shots.answers(first or said, pair)
            if first:
                st.caption(
                    f"These decide: a thing counts as present from {facts.threshold():g} on."
                )
        if first and rest:
            with st.expander(f"{words.several(len(rest), 'other answer')}"):
                shots.answers(rest, pair)


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
    """One certificate: in words, as pictures, and as a plot over models."""
    proofs.spelled(one)
    proofs.changes(one, most=CHANGES_SHOWN)
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


def _percent(value: float) -> str:
    return words.score(None if math.isnan(value) else value)


main()
