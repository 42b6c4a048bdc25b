"""Every picture of the store on one page, a screen at a time: filtered, sorted, opened in full."""

from __future__ import annotations

from typing import Any

import cards
import choices
import choosing
import facts
import lightbox
import looks
import said
import streamlit as st
from choosing import ANY, CHECKERS, KINDS, LABELS, ORDERS, Wanted

from lcmis.findings import notes, words
from lcmis.types import About, Verdict

PER_PAGE = 60
VERDICTS = {
    Verdict.ALIGNED: "right",
    Verdict.A_MISSING: "first thing missing",
    Verdict.B_MISSING: "second thing missing",
    Verdict.BOTH_MISSING: "neither there",
    Verdict.UNSCORED: "not judged",
    Verdict.REFUSED: "refused",
}
HELP_WORTH = (
    "Which label would shorten the ranges of the rates most: pictures on which checkers disagree, "
    "whose score lies near the threshold, or whose pair could still turn come first. The number "
    "beneath a picture is its place in this order."
)


def main() -> None:
    """Draw the page."""
    st.title("Grid")
    kind = choices.chosen_before(KINDS, key="of")
    wanted = _filters(kind)
    table = facts.grid_pictures(kind)
    rows = facts.chosen_pictures(kind, wanted)
    if not len(rows):
        st.info("No picture passes these filters. Take one away to see more.")
        return
    keys = table["spec_key"].to_numpy(object)[rows]
    first = choosing.start(keys, st.query_params.get("from", ""))
    _turn(keys, first, len(table))
    _cards(table.iloc[rows[first : first + PER_PAGE]], first, wanted)
    if first + PER_PAGE < len(rows):
        _next(keys, first, "below")


def _filters(kind: str) -> Wanted:
    names = words.short_names(facts.grid_pictures(kind)["model"].cat.categories.tolist())
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = choices.words(
            width=150,
            help_text="Shows pictures whose pair has each of these words in its prompt or kind.",
        )
        models = choices.several(
            "Models",
            list(names),
            names=names,
            key="models",
            width=170,
            help_text="Image models that painted the picture.",
        )
        verdicts = choices.several(
            "Verdict",
            [verdict.value for verdict in VERDICTS],
            names={verdict.value: name for verdict, name in VERDICTS.items()},
            key="verdicts",
            width=180,
            help_text="What the checker at the left sees in the picture.",
        )
        intruders = choices.several(
            "Painted instead",
            facts.intruders(kind),
            key="intruders",
            width=180,
            help_text=looks.HELP_INTRUDER,
            placeholder="anything",
        )
        order = choices.named("Order", ORDERS, key="order", width=220, help_text=HELP_WORTH)
    more = _more()
    return Wanted(
        text=text,
        models=tuple(models),
        verdicts=tuple(verdicts),
        intruders=tuple(intruders),
        order=order,
        **more,
    )


def _more() -> dict[str, Any]:
    """Filters that are wanted now and then; folded away unless one of them is at work."""
    pairs = facts.pairs().values()
    people = facts.people()
    tags = sorted({tag for noted in people.noted.values() for tag in noted.tags})
    at_work = [name for name in FOLDED if name in st.query_params]
    with st.expander("More filters", expanded=bool(at_work)):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            patterns = choices.several(
                "Kinds of conflict",
                sorted({pair.pattern for pair in pairs if pair.pattern}),
                key="patterns",
                width=220,
                help_text=looks.HELP_PATTERN,
            )
            low, high = st.slider(
                "Score of what is shown less",
                0.0,
                1.0,
                (0.0, 1.0),
                0.01,
                key="score",
                bind="query-params",
                width=230,
                help="How surely the checker sees the thing that it sees less of the two.",
            )
            labels = choices.named(
                "Labels",
                LABELS,
                key="labels",
                width=190,
                help_text="What people said of the picture.",
            )
            choices.named(
                "Pictures",
                KINDS,
                key="of",
                width=160,
                help_text="Those of the audit make the rates; those of repairs and controls make "
                "none.",
            )
        with st.container(horizontal=True, vertical_alignment="bottom"):
            wanted = choices.several(
                "Tags", tags, key="tags", width=220, help_text="Every one of these."
            )
            comment = st.text_input(
                "Words in a comment", key="comment", bind="query-params", width=190
            )
            starred = st.toggle("Starred", key="starred", bind="query-params")
            commented = st.toggle("With a comment", key="commented", bind="query-params")
            differ = ANY
            if len(facts.checkers()) > 1:
                differ = choices.one_of(
                    "Checkers",
                    CHECKERS,
                    key="checkers",
                    help_text="Whether all checkers that judged the picture see the same.",
                )
    return {
        "patterns": tuple(patterns),
        "low": low,
        "high": high,
        "labels": labels,
        "tags": tuple(wanted),
        "said": comment or "",
        "starred": starred,
        "commented": commented,
        "checkers": differ,
    }


FOLDED = (
    "patterns", "score", "labels", "of", "tags", "comment", "starred", "commented", "checkers",
)  # fmt: skip


def _turn(keys: Any, first: int, total: int) -> None:
    """Where we are, the way to the pages before and after, and how large pictures are."""
    last = min(first + PER_PAGE, len(keys))
    with st.container(horizontal=True, vertical_alignment="center"):
        if len(keys) > PER_PAGE:
            st.button(
                "Before",
                icon=":material/chevron_left:",
                type="tertiary",
                shortcut="k",
                disabled=first == 0,
                on_click=_begin_with,
                args=(keys[max(0, first - PER_PAGE)],),
            )
            _next(keys, first, "above")
        of = "" if len(keys) == total else f", of {total:,}, that pass"
        shown = f"{first + 1:,} to {last:,} of " if len(keys) > PER_PAGE else ""
        st.caption(
            f"{shown}{words.several(len(keys), 'picture')}{of}. Click one to see it in full."
        )
        st.html(lightbox.sizes(), width="content")
        st.page_link(
            "views/similar.py",
            label="Similarity",
            icon=":material/scatter_plot:",
            query_params=facts.address(),
            width="content",
        )


def _next(keys: Any, first: int, place: str) -> None:
    there = first + PER_PAGE < len(keys)
    st.button(
        "After",
        icon=":material/chevron_right:",
        type="tertiary",
        shortcut="j" if place == "above" else None,
        disabled=not there,
        key=f"after-{place}",
        on_click=_begin_with,
        args=(keys[first + PER_PAGE] if there else "",),
    )


def _begin_with(key: str) -> None:
    """Before the page is drawn again, so that it is drawn once."""
    st.query_params["from"] = str(key)


def _cards(shown: Any, first: int, wanted: Wanted) -> None:
    store, pairs, people = facts.store(), facts.pairs(), facts.people()
    drawn = store.renders_of(shown["spec_key"])
    names = words.short_names(shown["model"].cat.categories.tolist())
    drawings = []
    picture: Any
    for place, picture in enumerate(shown.itertuples(index=False), first + 1):
        _, render = drawn[picture.spec_key]
        noted = people.noted.get((About.PICTURE, picture.spec_key), notes.NOTHING)
        marks = said.marks(len(noted.stars), noted.tags, len(noted.comments))
        where = f"{names[picture.model]}, seed {picture.seed}"
        if wanted.order == "worth":
            where += f", worth a label: number {place:,}"
        drawings.append(cards.card(picture, pairs[picture.pair_key], render, where, marks))
    st.html(lightbox.cards(drawings))


main()
