"""The frame round every page: which pages there are, which checker judges, from what score on.

The pages lie in ``views``: a folder called ``pages`` beside this file would put Streamlit in its
old mode, in which the first visitor gets a page without its frame.
"""

from __future__ import annotations

import facts
import opinions
import streamlit as st
from looks import HELP_CHECKER, HELP_THRESHOLD, plain

from lcmis.errors import UnknownNameError, UserError

# Drawn here: named icons are fetched from a foreign host.
CUP = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="#0072B2" '
    'stroke-width="3"><path d="M4 6h12v8a5 5 0 0 1-5 5H9a5 5 0 0 1-5-5zM16 8h2a3 3 0 0 1 0 6h-2"/>'
    "</svg>"
)

LESS_MARGIN = "<style>[data-testid=stMainBlockContainer] {padding: 4rem 2rem}</style>"


def main() -> None:
    """Draw the sidebar and the page; what the user must mend is one sentence."""
    st.set_page_config(page_title="lcmis", page_icon=CUP, layout="wide", initial_sidebar_state=240)
    st.html(LESS_MARGIN)
    page = st.navigation(
        [
            st.Page(
                "views/overview.py", title="Overview", icon=":material/insights:", default=True
            ),
            st.Page(
                "views/pairs.py", title="Pairs", icon=":material/table_rows:", url_path="pairs"
            ),
            st.Page("views/pair.py", title="Pair", icon=":material/compare:", url_path="pair"),
            st.Page("views/picture.py", title="Picture", url_path="picture", visibility="hidden"),
        ],
        position="top",
    )
    try:
        if _controls():
            page.run()
    except UserError as error:
        sentence = str(error)
        st.error(plain(sentence[:1].upper() + sentence[1:] + "."), icon=":material/error:")
        if isinstance(error, UnknownNameError):
            st.page_link("views/pairs.py", label="All pairs", icon=":material/arrow_back:")


def _controls() -> bool:
    """Which checker judges, from what score on; whether there is anything to show."""
    counts, checkers = facts.counts(), facts.checkers()
    if not counts.pairs:
        st.info("This audit is empty. Run `lcmis audit` to fill it, then reload this page.")
        return False
    names = opinions.short_names(checkers)
    with st.sidebar:
        if checkers:
            st.selectbox(
                "Checker",
                checkers,
                format_func=names.__getitem__,
                key="checker",
                help=HELP_CHECKER,
                bind="query-params",
                disabled=len(checkers) == 1,
            )
        else:
            st.session_state["checker"] = ""
        st.slider(
            "Present from a score of",
            0.0,
            1.0,
            facts.usual_threshold(),
            0.01,
            key="threshold",
            help=HELP_THRESHOLD,
            bind="query-params",
        )
        st.caption(
            f"{counts.renders:,} pictures, {counts.scores:,} scores of {counts.pairs:,} pairs in"
        )
        st.code(facts.place_shown(), language=None, wrap_lines=True)
    if not counts.renders:
        st.info(
            f"{counts.pairs:,} pairs wait, but no picture was painted yet. "
            "Run `lcmis audit`, then reload this page."
        )
        return False
    if not checkers:
        st.warning(
            "No checker has looked at the pictures yet, so nothing is judged. Run `lcmis audit` "
            "again: it checks what is there."
        )
    return True


main()
