"""What a page lets its reader choose; every choice is kept in the address."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import streamlit as st


def words(*, width: int, help_text: str) -> str:
    """Words that must occur; empty if none."""
    text = st.text_input(
        "Words",
        key="words",
        placeholder="tea cup",
        bind="query-params",
        width=width,
        help=help_text,
    )
    return text or ""


def several(
    label: str,
    options: Sequence[str],
    *,
    key: str,
    width: int,
    help_text: str,
    names: Mapping[str, str] | None = None,
    placeholder: str = "all",
) -> list[str]:
    """Any of the options, shown by their ``names``; none means all."""
    return st.multiselect(
        label,
        options,
        format_func=lambda option: option if names is None else names[option],
        key=key,
        bind="query-params",
        placeholder=placeholder,
        width=width,
        help=help_text,
    )


def one_of(
    label: str,
    options: Sequence[str],
    *,
    key: str,
    help_text: str | None = None,
    hidden: bool = False,
) -> str:
    """One of a few options side by side; the first unless another is chosen.

    A ``hidden`` label is there for those who do not see the page alone.
    """
    return st.segmented_control(
        label,
        options,
        default=options[0],
        key=key,
        bind="query-params",
        required=True,
        help=help_text,
        label_visibility="collapsed" if hidden else "visible",
        width="content",
    )


def named(label: str, names: Mapping[str, str], *, key: str, width: int, help_text: str) -> str:
    """One of the ``names``, the first unless another is chosen; the address holds its words."""
    words_of = {name: one for one, name in names.items()}
    chosen = st.selectbox(
        label, list(words_of), key=key, bind="query-params", width=width, help=help_text
    )
    return words_of[chosen]


def chosen_before(names: Mapping[str, str], *, key: str) -> str:
    """What :func:`named` of this key will say further down on the page."""
    said = st.session_state.get(key) or st.query_params.get(key)
    return next((one for one, name in names.items() if name == said), next(iter(names)))


def page(count: int, per_page: int, *, key: str = "page") -> slice:
    """Which of ``count`` things are on the chosen page; with one page there is no choice."""
    num_pages = math.ceil(count / per_page)
    number = st.pagination(num_pages, key=key, bind="query-params") if num_pages > 1 else 1
    return slice((number - 1) * per_page, number * per_page)
