"""What people left on a pair or a repair, and a word of one's own, on a page: :func:`beside`."""

from __future__ import annotations

from pathlib import Path

import facts
import streamlit as st
from looks import plain

from lcmis.errors import UserError
from lcmis.findings import notes, words
from lcmis.findings.notes import Noted
from lcmis.store import Store
from lcmis.types import About, NoteKind

NEWEST = 10
"""Comments that are shown."""
PATIENCE_SECONDS = 10.0


def beside(about: About, subject: str) -> None:
    """Stars, tags and comments on a pair or a repair, folded; whoever may write may add to them.

    Args:
        about: What it is.
        subject: The key of the pair, or of the nomination.
    """
    noted = facts.people().noted.get((about, subject), notes.NOTHING)
    told = f"Words on this {about}" + (f": {_short(noted)}" if noted else "")
    with st.expander(plain(told), key=f"words-{subject}", on_change="rerun") as unfolded:
        if not unfolded.open:
            return
        trouble = st.session_state.pop(f"trouble {subject}", "")
        if trouble:
            st.error(plain(trouble), icon=":material/error:")
        if len(noted.comments) > NEWEST:
            st.caption(f"The newest {NEWEST} of {len(noted.comments):,} comments.")
        for note in noted.comments[-NEWEST:]:
            st.markdown(f"**{plain(note.rater)}**, {words.moment(note.at)}: {plain(note.text)}")
        if st.secrets.get("labels", True):
            _form(about, subject)


def _short(noted: Noted) -> str:
    stars = f"★ {', '.join(noted.stars)}" if noted.stars else ""
    tags = " ".join(f"#{tag}" for tag in noted.tags)
    said = words.several(len(noted.comments), "comment") if noted.comments else ""
    return " ".join(filter(None, (stars, tags, said)))


def _form(about: About, subject: str) -> None:
    with (
        st.form(f"note {subject}", border=False, clear_on_submit=False),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        st.text_input("Your name", key=f"name {subject}", width=160)
        st.text_input("Tag", key=f"tag {subject}", width=160)
        st.text_input("Comment", key=f"comment {subject}", width="stretch")
        st.toggle("Star", key=f"star {subject}")
        st.form_submit_button("Keep", on_click=_keep, args=(about, subject))


def _keep(about: About, subject: str) -> None:
    """Write what was filled in; what cannot be kept stays in its field."""
    said = {name: st.session_state[f"{name} {subject}"] for name in ("name", "tag", "comment")}
    folder = str(st.secrets["pictures"])
    try:
        given = [
            notes.written(about, subject, kind, text, said["name"])
            for kind, text in (
                (NoteKind.TAG, said["tag"]),
                (NoteKind.COMMENT, said["comment"]),
            )
            if text.strip()
        ]
        if st.session_state[f"star {subject}"]:
            given.append(notes.written(about, subject, NoteKind.STAR, "", said["name"]))
        with Store(
            facts.place(), pictures=Path(folder) if folder else None, wait_seconds=PATIENCE_SECONDS
        ) as writable:
            writable.add_notes(given)
        facts.look_again()
    except UserError as error:
        st.session_state[f"trouble {subject}"] = f"This was not kept: {error}."
        return
    for name in ("tag", "comment"):
        st.session_state[f"{name} {subject}"] = ""
    st.session_state[f"star {subject}"] = False
