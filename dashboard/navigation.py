"""The frame round every page: which pages there are, which checker judges, from what score on.

The pages lie in ``views``: a folder called ``pages`` beside this file would put Streamlit in its
old mode, in which the first visitor gets a page without its frame.
"""

from __future__ import annotations

import dialogs
import facts
import lightbox
import pages
import streamlit as st
from looks import HELP_CHECKER, HELP_THRESHOLD, user_errors_shown

from lcmis.findings import words
from lcmis.store import Growth

# Drawn here: named icons are fetched from a foreign host.
CUP = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="#0072B2" '
    'stroke-width="3"><path d="M4 6h12v8a5 5 0 0 1-5 5H9a5 5 0 0 1-5-5zM16 8h2a3 3 0 0 1 0 6h-2"/>'
    "</svg>"
)

STILL = ("label", "many")
"""Pages that do not look for what is new while somebody works on them.

Streamlit loses the end of a fragment that another request overtakes at the wrong moment: an answer
would be kept, and the next question would not appear.
"""


def main() -> None:
    """Draw the sidebar and the page; what the user must mend is one sentence."""
    dialogs.all_closed()
    st.set_page_config(page_title="lcmis", page_icon=CUP, layout="wide", initial_sidebar_state=240)
    listed = [
        st.Page(f"views/{name}.py", title=title, icon=icon, url_path=name, default=number == 0)
        for number, (name, title, icon) in enumerate(pages.LISTED)
    ]
    hidden = [
        st.Page(f"views/{name}.py", title=title, url_path=name, visibility="hidden")
        for name, title in pages.HIDDEN
    ]
    page = st.navigation([*listed, *hidden], position="top")
    # On a small screen Streamlit hides the pages behind a sign that nobody knows.
    with st.container(key="pages", horizontal=True):
        for one in listed:
            st.page_link(one, query_params=facts.address())
    with user_errors_shown():
        if _controls(follow=page.url_path not in STILL):
            page.run()
            lightbox.install(blind=page.url_path in STILL)


def _controls(*, follow: bool) -> bool:
    """Which checker judges, from what score on; whether there is anything to show."""
    growth, checkers = facts.growth(), facts.checkers()
    names = words.short_names(checkers)
    with st.sidebar:
        if checkers:
            st.selectbox(
                "Checker",
                checkers,
                format_func=names.__getitem__,
                key="checker",
                help=HELP_CHECKER,
                bind="query-params",
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
        if follow:
            st.fragment(_follow, run_every=_pause(growth))(facts.seen())
        else:
            _extent(growth)
        st.code(facts.place_shown(), language=None, wrap_lines=True)
        if st.button("Keys", icon=":material/keyboard:", type="tertiary", key="keys"):
            _keys()
    if not growth.pairs:
        st.info(f"This audit is empty. {facts.how_to_fill()}")
        return False
    if not growth.renders:
        st.info(
            f"{words.several(growth.pairs, 'pair')} asked for, but no picture was painted yet. "
            f"{facts.how_to_fill()}"
        )
        return False
    if not checkers:
        st.warning(
            "No checker has looked at the pictures yet, so nothing is judged. "
            f"{facts.how_to_fill()}"
        )
    return True


@dialogs.dialog("Keys")
def _keys() -> None:
    for key, told in pages.KEYS:
        st.markdown(f"**{key}**: {told}")


def _pause(drawn: Growth) -> int:
    """Seconds until the page looks again whether the store has grown."""
    waits = facts.is_growing() or not drawn.scores
    return facts.LIVE_SECONDS if waits else facts.IDLE_SECONDS


def _follow(drawn: tuple[Growth, Growth]) -> None:
    """How much there is; when there is more to show, the page is drawn again, unless somebody reads
    a dialog before it.
    """
    with user_errors_shown():
        now, read = facts.seen()
        _extent(now)
        if (now, read) != drawn and not dialogs.is_open():
            st.rerun()


def _extent(now: Growth) -> None:
    st.caption(
        f"Store of {words.several(now.renders, 'picture')} and "
        f"{words.several(now.scores, 'score')}, {words.several(now.pairs, 'pair')}",
        help="Looked up again every few seconds, but not while you label: what a running audit "
        "adds appears by itself.",
    )


main()
