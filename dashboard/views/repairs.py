"""Every certified repair: search, choose, copy, and take away for other tools."""

from __future__ import annotations

import functools

import choices
import facts
import looks
import notepad
import proofs
import streamlit as st
from looks import plain

from lcmis.export.formats import open_exporter
from lcmis.export.repaired import repaired_prompt
from lcmis.findings import RepairFinding, words
from lcmis.plugins import registry
from lcmis.types import About, share_a_member

MOST_ROWS = 2000  # a table of selectable rows is sent to the browser whole
MOST_SPELLED = 8  # repairs that are written out below the table
CHANGES_SHOWN = 4  # seeds of each, before and after
MOST_TOLD = 8  # things that a format cannot say
OUTCOMES = {"all": None, "repaired": True, "not repaired": False}
HELP_TAKEN = (
    "Rows that are ticked; without a tick, the repairs that are proved, as `lcmis export` takes "
    "them."
)
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
    downloads = st.container()
    read = picked or shown
    st.header("Chosen" if picked else "In words")
    for one in read[:MOST_SPELLED]:
        with st.container(border=True):
            proofs.spelled(one, linked=True)
            proofs.changes(one, most=CHANGES_SHOWN)
            notepad.beside(About.REPAIR, one.certificate.nomination.key)
    if len(read) > MOST_SPELLED:
        st.caption(f"{len(read) - MOST_SPELLED:,} more: choose rows to read them here.")
    with downloads:
        _take_away(picked, shown)


def _nothing() -> None:
    """Why there is no repair to show, and what to do about it."""
    nominated = facts.store().nominations()
    if not nominated:
        st.info(
            "No repair yet. Run `lcmis repair`: it looks for another way of prompting for every "
            "pair that fails, and proves what it finds on fresh seeds. This page shows what comes "
            "by itself."
        )
    elif all(share_a_member(one.guide, facts.checker()) for one in nominated):
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
        "prompt": word("Plain prompt", width=150),
        "candidate": word("Repaired prompt", width=190),
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


def _take_away(picked: list[RepairFinding], shown: list[RepairFinding]) -> None:
    """What goes into the files: what was ticked, else what is proved, as the command line does."""
    st.header("Take away", help=HELP_TAKEN)
    taken = picked or [one for one in shown if one.standing.proved]
    if not picked and len(taken) < len(shown):
        unproved = len(shown) - len(taken)
        also = st.toggle(
            f"Also {words.several(unproved, 'repair')} not proved", key="every", bind="query-params"
        )
        taken = shown if also else taken
    if not taken:
        st.info(
            "No repair here is proved, so there is nothing to take away. Tick rows, or take those "
            "not proved too: they are marked so in every format."
        )
        return
    _export(taken, whole="Chosen" if picked else "All" if len(taken) == len(shown) else "Proved")


def _export(taken: list[RepairFinding], *, whole: str) -> None:
    """A button a format, and what each cannot say; the file is made when it is asked for."""
    proved = sum(one.standing.proved for one in taken)
    marked = "" if proved == len(taken) else " Those that are not proved are marked so."
    st.caption(
        f"{whole}: {words.several(len(taken), 'repair')}, with seeds, scores and certificate."
        f"{marked}"
    )
    prompts = [repaired_prompt(one) for one in taken]
    told = []
    with st.container(horizontal=True):
        for entry in registry.describe("exporters"):
            exporter = open_exporter(entry.name)
            left_out = [sentence for one in prompts if (sentence := exporter.left_out(one))]
            notes = dict.fromkeys(note for one in prompts for note in exporter.notes(one))
            told += [f"{entry.name} leaves out {sentence}" for sentence in left_out]
            told += [f"{entry.name}: {note}" for note in notes]
            st.download_button(
                entry.name,
                data=functools.partial(exporter.write, prompts),
                file_name=f"repaired-{entry.name}{exporter.suffix}",
                mime=MIME.get(entry.name, "application/octet-stream"),
                icon=":material/download:",
                help=entry.summary,
                key=f"take-{entry.name}",
                on_click="ignore",
                disabled=len(left_out) == len(prompts),
            )
    if told:
        _cannot_say(told)


def _cannot_say(told: list[str]) -> None:
    """What is lost on the way into a format, as the command line says it when it exports."""
    st.markdown(f":material/info: **{words.several(len(told), 'thing')} that a format cannot say**")
    st.markdown("\n".join(f"- {plain(one)}" for one in told[:MOST_TOLD]))
    if len(told) > MOST_TOLD:
        st.caption(f"{len(told) - MOST_TOLD:,} more: choose fewer repairs to read them.")


main()
