"""Every certified repair: search, choose, copy, and take away for other tools."""

from __future__ import annotations

import functools

import choices
import facts
import looks
import proofs
import streamlit as st

from lcmis.export.formats import open_exporter
from lcmis.export.repaired import repaired_prompt
from lcmis.findings import RepairFinding, words
from lcmis.plugins import registry

MOST_ROWS = 2000  # a table of selectable rows is sent to the browser whole
MOST_SPELLED = 12  # repairs that are written out below the table
OUTCOMES = {"all": None, "repaired": True, "not repaired": False}
MIME = {"csv": "text/csv", "jsonl": "application/jsonl", "comfyui": "application/json"}


def main() -> None:
    """Draw the page."""
    st.title("Repairs", help=proofs.HELP_CERTIFICATE)
    every = proofs.all_proved()
    if not every:
        _nothing()
        return
    shown = _filtered(every)
    if not shown:
        st.info("No repair passes these filters. Take one away to see more.")
        return
    picked = _table(shown[:MOST_ROWS], len(every), len(shown))
    taken = picked or shown
    st.header("Take away")
    _export(taken, whole=not picked)
    st.header("Chosen" if picked else "In words")
    for one in taken[:MOST_SPELLED]:
        with st.container(border=True):
            proofs.spelled(one, linked=True)
    if len(taken) > MOST_SPELLED:
        st.caption(f"{len(taken) - MOST_SPELLED:,} more: choose rows to read them here.")


def _nothing() -> None:
    """Why there is no repair to show, and what to do about it."""
    nominated = facts.store().nominations()
    if not nominated:
        st.info(
            "No repair yet. Run `lcmis repair`: it looks for another way of prompting for every "
            "pair that fails, and proves what it finds on fresh seeds. This page shows what comes "
            "by itself."
        )
    elif all(one.guide == facts.checker() for one in nominated):
        st.info(
            "This checker guided the search for every repair of this store, so it cannot prove "
            "any. Choose another checker in the sidebar."
        )
    else:
        st.info(
            f"Found: {words.several(len(nominated), 'repair')}, but none with pictures on "
            "fresh seeds that this checker has judged. Run `lcmis certify` to draw and judge them."
        )


def _filtered(every: tuple[RepairFinding, ...]) -> list[RepairFinding]:
    models = list(dict.fromkeys(one.model for one in every))
    names = words.short_names(models)
    methods = sorted({one.certificate.nomination.repairer for one in every})
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = choices.words(
            width=220, help_text="Shows repairs whose plain or repaired prompt has all these words."
        )
        chosen_models = choices.several(
            "Models",
            models,
            names=names,
            key="models",
            width=240,
            help_text="Image models that the prompt was found for.",
        )
        chosen_methods = choices.several(
            "Methods",
            methods,
            key="methods",
            width=240,
            help_text="The algorithm that found the prompt.",
        )
        outcome = choices.one_of(
            "Certificate", list(OUTCOMES), key="outcome", help_text=proofs.HELP_CERTIFICATE
        )
    return proofs.chosen(
        every, text=text, models=chosen_models, methods=chosen_methods, passed=OUTCOMES[outcome]
    )


def _table(shown: list[RepairFinding], num_all: int, num_shown: int) -> list[RepairFinding]:
    """The rows; those that are ticked."""
    st.caption(
        f"{num_shown:,} of {words.several(num_all, 'repair')}, "
        "those to be expected to help most first. "
        "Tick rows to read and take only those."
        + (f" The table ends after {MOST_ROWS:,}." if num_shown > MOST_ROWS else "")
    )
    word, number = st.column_config.TextColumn, st.column_config.NumberColumn
    share = functools.partial(
        st.column_config.ProgressColumn,
        format="%.0f %%",
        min_value=0,
        max_value=100,
        width=80,
        help=looks.HELP_RIGHT,
    )
    frame = proofs.table(shown)
    columns = {
        "repaired": st.column_config.CheckboxColumn(
            "Repaired", help=proofs.HELP_CERTIFICATE, width=68
        ),
        "prompt": word("Plain prompt", width=165),
        "candidate": word("Repaired prompt", width=200),
        "name": word("Model", width=110),
        "method": word("Method", width=78),
        "before": share("Before"),
        "after": share("After"),
        "wins": number("Won", help="Seeds that only the repaired prompt draws right.", width=50),
        "losses": number("Lost", help="Seeds that only the plain prompt draws right.", width=50),
        "expected": share(
            "Expected",
            help="After, on other seeds: those that came out highest owe some of it to luck, so "
            "each is drawn to the mean of all.",
        ),
        "p": number(
            "p",
            format="%.2g",
            help="How often chance alone would differ as much, however often one looks.",
            width=84,
        ),
        "holds": word("Holds on", help=proofs.HELP_PORTABLE, width=110),
    }
    if len(facts.models()) == 1:
        del columns["name"], columns["holds"]
    event = st.dataframe(
        frame[list(columns)],
        hide_index=True,
        height="content" if len(frame) < 14 else 520,
        column_config=columns,
        on_select="rerun",
        selection_mode="multi-row",
        placeholder="–",
        key="table",
        alt="Repairs with what proves them",
    )
    return [shown[int(row)] for row in event.selection.rows if int(row) < len(shown)]


def _export(taken: list[RepairFinding], *, whole: bool) -> None:
    """A button a format; the file is made when it is asked for."""
    st.caption(
        f"{'All' if whole else 'Chosen'}: {words.several(len(taken), 'repair')}, with seeds, "
        "scores and certificate. Those that did not pass are marked so in every format."
    )
    prompts = [repaired_prompt(one) for one in taken]
    with st.container(horizontal=True):
        for entry in registry.describe("exporters"):
            exporter = open_exporter(entry.name)
            st.download_button(
                entry.name,
                data=functools.partial(exporter.write, prompts),
                file_name=f"repaired-{entry.name}{exporter.suffix}",
                mime=MIME.get(entry.name, "application/octet-stream"),
                icon=":material/download:",
                help=entry.summary,
                key=f"take-{entry.name}",
                on_click="ignore",
            )


main()
