"""Dialogs: as long as one is open, the page behind it is not drawn anew, which would close it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal, ParamSpec

import streamlit as st

Told = ParamSpec("Told")

_OPEN = "a dialog is open"


def dialog(
    title: str, width: Literal["small", "medium", "large"] = "small"
) -> Callable[[Callable[Told, None]], Callable[Told, Any]]:
    """As Streamlit's own; what was added to the store meanwhile is shown when it is closed."""

    def decorated(draw: Callable[Told, None]) -> Callable[Told, Any]:
        @functools.wraps(draw)
        def drawn(*args: Told.args, **kwargs: Told.kwargs) -> None:
            st.session_state[_OPEN] = True
            draw(*args, **kwargs)

        return st.dialog(title, width=width, on_dismiss=all_closed)(drawn)

    return decorated


def is_open() -> bool:
    """Whether one is, as far as is known here."""
    return bool(st.session_state.get(_OPEN))


def all_closed() -> None:
    """Told by whoever closes them, and by every page that is drawn from the beginning."""
    st.session_state[_OPEN] = False
