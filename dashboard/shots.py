"""One picture on a page: the picture or a sentence in its place, and the answers behind a score."""

from __future__ import annotations

import functools
import html
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

import facts
import lightbox
import looks
import numpy as np
import pandas as pd
import pictures
import streamlit as st
from looks import plain

from lcmis.errors import StoreError
from lcmis.findings import Told, words
from lcmis.machine import letters
from lcmis.store import Store
from lcmis.types import ConceptPair, Question, QuestionKind, Render, Score

MOST_ROWS = 40  # of answers, before a table gets a scroll bar of its own
LONGEST_ALT = 320
MISSING = "The file of this picture is missing: restore it from a copy of the store."
DAMAGED = (
    "The file of this picture is damaged: restore it from a copy of the store, or paint it again "
    "with `lcmis replay`."
)


def shot(
    render: Render, *, kind: str, alt: str, width: int | None = None, store: Store | None = None
) -> None:
    """Draw a ``"picture"`` or ``"thumbnail"``, from the page's store unless another is given; a
    click opens the whole picture, never a copy of it.

    A refusal, a missing and a damaged file are a sentence in its place.
    """
    if sentence := why_none(render, store or facts.store(), pixels=kind == "picture"):
        st.caption(sentence)
    else:
        st.html(markup(render, kind, alt, width))


def why_none(render: Render, store: Store, *, pixels: bool = False) -> str:
    """Why there is no picture to show, in Markdown; empty where there is one."""
    if render.refusal:
        return f":material/visibility_off: Refused by the model: {plain(render.refusal)}"
    sentence = fault(store, render, pixels=pixels)
    return f":material/broken_image: {sentence}" if sentence else ""


def address(kind: str, render: Render) -> str:
    """The URL of a picture, from which the lightbox knows which it is."""
    return pictures.address(kind, render.sha256) + lightbox.fragment(render.spec_key)


def markup(render: Render, kind: str, alt: str, width: int | None = None) -> str:
    """A picture that leads to the whole of itself; nothing in any text is read as HTML.

    Args:
        render: Which there is.
        kind: ``"picture"`` or ``"thumbnail"``.
        alt: what it shows, for those who do not see it.
        width: pixels at the most; None for all the room there is.
    """
    whole, shown = (html.escape(address(one, render)) for one in ("picture", kind))
    told = html.escape(letters.visible(alt, longest=LONGEST_ALT))
    size = "" if width is None else f' style="max-width:{width}px"'
    return (
        f'<a class="lcmis-shot" href="{whole}" target="_blank"{size}>'
        f'<img src="{shown}" alt="{told}"></a>'
    )


def fault(store: Store, render: Render, *, pixels: bool = True) -> str:
    """What is wrong with the file of a picture; empty if nothing is.

    Without ``pixels`` only its length is looked at, as sixty thumbnails on a page need it.
    """
    if not (store.pictures.is_local or pixels):
        return ""  # sixty questions to a bucket: the thumbnail itself says what is wrong
    try:
        path = store.image_path(render.sha256)
        found = path.stat()
    except (OSError, StoreError):
        return MISSING
    if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for
        return DAMAGED
    version = (found.st_mtime_ns, found.st_size)
    if pixels:
        return _fault(store, render.sha256, version)
    return "" if _is_whole(path, version) else DAMAGED


@functools.lru_cache(maxsize=16_384)
def _fault(store: Store, sha256: str, _version: tuple[int, int]) -> str:
    try:
        store.image(sha256)
    except StoreError:
        return DAMAGED
    return ""


@functools.lru_cache(maxsize=16_384)
def _is_whole(path: Path, version: tuple[int, int]) -> bool:
    """Whether a WebP file is as long as its first bytes say, at the least."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return False
    told = int.from_bytes(head[4:8], "little") + 8
    return head[:4] == b"RIFF" and head[8:] == b"WEBP" and told <= version[1]


def _yes(kind: QuestionKind) -> str:
    """A likeness is no yes."""
    return "" if kind is QuestionKind.LIKENESS else "yes"


def answers(said: Sequence[tuple[Question, Score]], pair: ConceptPair | None) -> None:
    """Every answer of every checker, as it was given."""
    if not said:
        st.info(f"No checker has looked at this picture yet. {facts.how_to_fill()}")
        return
    kinds = list(QuestionKind)
    said = sorted(said, key=lambda one: (one[1].checker, kinds.index(one[0].kind)))
    names = words.short_names(list(dict.fromkeys(score.checker for _, score in said)))
    table = pd.DataFrame(
        [
            {
                "checker": names[score.checker],
                "question": looks.question_words(question.kind, pair, question.text)
                if pair
                else question.kind,
                "answer": score.answer.option or _yes(question.kind),
                "value": np.nan if score.answer.value is None else 100 * score.answer.value,
                "mass": 100 * score.answer.mass,
                "reason": score.answer.reason,
            }
            for question, score in said
        ]
    )
    if not table["reason"].any():
        del table["reason"]
    word = st.column_config.TextColumn
    st.dataframe(
        table,
        hide_index=True,
        height="content" if len(table) < MOST_ROWS else 420,
        placeholder="–",
        alt="Questions and answers about this picture",
        column_config={
            "checker": word("Checker", width=115),
            "question": word("Question", width=165),
            "answer": word("Answer", width=105),
            "value": st.column_config.ProgressColumn(
                "Score",
                format="%.0f %%",
                min_value=0,
                max_value=100,
                width=120,
                help="How surely the answer holds; a dash where the checker gave none.",
            ),
            "mass": st.column_config.NumberColumn(
                "Heard",
                format="%.0f %%",
                width=60,
                help="How much of its probability the checker gave to answers that were allowed. "
                "Little means that it did not really answer.",
            ),
            "reason": word("Why no score"),
        },
    )


def deciding(
    said: Sequence[tuple[Question, Score]], checker: str, threshold: float
) -> list[tuple[Question, Score]]:
    """The answers that make a checker's verdict: both presences, and of a thing that is missing
    what won in its place.
    """
    mine = [one for one in said if one[1].checker == checker]
    found = []
    for presence, choice in (
        (QuestionKind.A_PRESENT, QuestionKind.INTRUDER_A),
        (QuestionKind.B_PRESENT, QuestionKind.INTRUDER_B),
    ):
        seen = [one for one in mine if one[0].kind is presence]
        found += seen
        value = seen[0][1].answer.value if seen else None
        if value is not None and value < threshold:
            instead = [
                one for one in mine if one[0].kind is choice and one[1].answer.value is not None
            ]
            best = max(instead, key=lambda one: one[1].answer.value or 0.0, default=None)
            found += [] if best is None else [best]
    return found


def asked_and_said(told: Sequence[Told], pair: ConceptPair | None) -> None:
    """What each checker was asked of the picture, its options and answers, and every reply."""
    names = words.short_names(list(dict.fromkeys(one.checker for one in told)))
    for checker, name in names.items():
        mine = [one for one in told if one.checker == checker]
        with st.expander(plain(name), key=f"asked-{checker}", on_change="rerun") as unfolded:
            if unfolded.open:
                for one in mine:
                    _asked(one, pair)


def _asked(one: Told, pair: ConceptPair | None) -> None:
    what = looks.question_words(one.question.kind, pair) if pair else one.question.kind
    st.markdown(f"**{plain(what)}**")
    asked = one.messages or (("asked", words.UNKNOWN_WORDS),)
    _spelled(f"{role}: {text}" for role, text in asked)
    lines = []
    for answer, share in zip(one.answers, one.ranges, strict=True):
        surely = words.told_range(answer, share, one.counted)
        name = words.answered(one.question, answer)
        lines.append(f"{name}: {surely}{words.beside(answer)}")
    _spelled(lines)
    if one.replies:
        _spelled(
            [
                *(
                    f"{number}. {name}: {text}"
                    for number, reply in enumerate(one.replies, 1)
                    for name, text in words.reply(reply)
                ),
                *(f"{name}: {text}" for name, text in words.asking(one.replies)),
            ]
        )


def _spelled(lines: Iterable[str]) -> None:
    """Text of anybody, letter for letter: Markdown would make links of the addresses in it."""
    st.code(letters.harmless("\n".join(lines)), language=None, wrap_lines=True)
