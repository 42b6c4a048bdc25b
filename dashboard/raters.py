"""Who answers in this browser: chosen, confirmed, and shown beside every question."""

from __future__ import annotations

import difflib
from collections import Counter

import facts
import streamlit as st
from looks import plain, user_errors_shown

from lcmis.errors import UserError
from lcmis.findings import words
from lcmis.findings.labels import rater_name, readings

RATER, CONFIRMED = "rater", "confirmed_rater"
"""In the address, where anybody may write it; and what this visitor has confirmed."""
LONGEST_WRITTEN = 200


def chosen() -> str:
    """Who labels in this browser; empty until somebody has said so and confirmed it.

    While keys answer questions there is no field on the page that could take them.
    """
    said = st.query_params.get(RATER, "")
    if not said and (said := st.session_state.get(CONFIRMED, "")):  # on the other page of labels
        st.query_params[RATER] = said
    if said and st.session_state.get(CONFIRMED) == said:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"Labelling as **{plain(said)}**", width="content")
            st.button("Somebody else", type="tertiary", on_click=_nobody)
        return said
    with user_errors_shown():
        _confirm(said) if said else _choose()
    return ""


def _confirm(said: str) -> None:
    """A name that was written, or came with the address: is it that of who sits here?"""
    try:
        name = rater_name(said)
    except UserError:
        st.button("Another name", on_click=_nobody)
        raise
    known = _answers_by()
    st.header(f"Are you {plain(name)}?")
    if name in known:
        told = f"**{plain(name)}** has given {words.several(known[name], 'answer')} here."
    else:
        told = f"Nobody called **{plain(name)}** has labelled here yet."
        near = difflib.get_close_matches(name.casefold(), [one.casefold() for one in known])
        alike = [one for one in known if one.casefold() in near]
        told += f" Did you mean {plain(' or '.join(alike))}?" if alike else ""
    st.markdown(told)
    with st.container(horizontal=True):
        st.button(f"Label as {plain(name)}", on_click=_begin, args=(name,))
        for other in known:
            if other != name:
                _known(other, known[other])
        st.button("Another name", type="tertiary", on_click=_nobody)


def _choose() -> None:
    """Nobody has said a name: those who have labelled here, and a field for others."""
    known = _answers_by()
    st.header("Who labels?")
    st.caption("The name is kept with every answer, so that people can be compared.")
    if known:
        with st.container(horizontal=True):
            for name, count in known.items():
                _known(name, count)
    with st.form("new rater", width=320, border=False):
        st.text_input(
            "Somebody new" if known else "Your name",
            key="written",
            placeholder="Name or initials",
            max_chars=LONGEST_WRITTEN,
        )
        st.form_submit_button("Go on", on_click=_written)


def _known(name: str, count: int) -> None:
    st.button(
        f"I am {plain(name)} ({words.several(count, 'answer')})", on_click=_begin, args=(name,)
    )


def _answers_by() -> dict[str, int]:
    """How many answers of each rater stand, who gave most first."""
    found = readings(facts.store().labels())
    return dict(Counter(reading.rater for reading in found).most_common())


def _written() -> None:
    if name := str(st.session_state["written"]).strip():
        st.query_params[RATER] = name


def _begin(name: str) -> None:
    st.session_state[CONFIRMED] = name
    st.query_params[RATER] = name


def _nobody() -> None:
    st.session_state.pop(CONFIRMED, None)
    st.query_params.pop(RATER, None)
