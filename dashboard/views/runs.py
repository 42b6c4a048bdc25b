"""An audit while it runs, what failed and was refused, what it cost, and every run so far."""

from __future__ import annotations

import json
import math
import time

import choices
import facts
import looks
import opinions
import pandas as pd
import streamlit as st

from lcmis import findings, judge
from lcmis.findings import words
from lcmis.findings.work import Worked, by_worker, of_runs, spent, together
from lcmis.types import Run

RECENT_SECONDS = 600.0
PER_PAGE = 30


def main() -> None:
    """Draw the page."""
    st.title("Runs")
    names = words.short_names(facts.models())
    _progress()
    _workers()
    _decided(names)
    _refusals(names)
    _errors()
    _money(names)
    _exchanges()
    _every_run()


@st.fragment(run_every=facts.LIVE_SECONDS)
def _progress() -> None:
    """How fast the store grows, as seen since somebody began to look."""
    with looks.user_errors_shown():
        now = facts.growth()
        samples = facts.samples()
        st.header(
            "What happens now",
            help="Facts carry no clock, so this is measured while the dashboard is open: it looks "
            "every few seconds how many pictures and scores there are.",
        )
        recent = [one for one in samples if time.monotonic() - one.seconds < RECENT_SECONDS]
        first, last = recent[0], recent[-1]
        minutes = (last.seconds - first.seconds) / 60
        runs = facts.is_growing()
        painted, scored = (
            now.renders - first.found.renders,
            now.scores - first.found.scores,
        )
        with st.container(horizontal=True):
            for label, count, per_minute in (
                ("Pictures", now.renders, painted / minutes if runs and minutes else None),
                ("Scores", now.scores, scored / minutes if runs and minutes else None),
            ):
                st.metric(
                    label,
                    f"{count:,}",
                    delta=None if per_minute is None else f"{per_minute:,.0f} a minute",
                    delta_arrow="off",
                    delta_color="off",
                    border=True,
                )
            st.metric(
                "Painted while you looked",
                f"{painted:,}",
                help=f"In the last {max(1, math.ceil(minutes))} minutes.",
                border=True,
            )
        if runs:
            st.markdown(":material/sync: **An audit is writing.** This page follows it.")
            table = pd.DataFrame(
                [((last.seconds - one.seconds) / 60, one.found.renders) for one in recent],
                columns=["minutes", "number"],
            )
            st.altair_chart(looks.growth_chart(table), alt="Pictures over the last minutes")
        else:
            st.caption(f"Nothing has been added since you began to look. {facts.how_to_fill()}")


def _workers() -> None:
    """Who worked in a run, how busy each device was, and what befell it."""
    told = of_runs(facts.shifts())
    runs = {one.run_id: one for one in facts.runs()}
    worked = [run_id for run_id in runs if run_id in told]
    if not worked:
        return
    st.header(
        "Who worked",
        help="Every minute a run keeps what each of its workers did since the last one. What a "
        "worker says beside its work is in its log, on its own machine.",
    )
    run_id = st.selectbox(
        "Run",
        worked,
        format_func=lambda one: (
            f"{words.moment(runs[one].started_at)}, {words.begun_by(runs[one].command)}"
        ),
        key="run_worked",
    )
    mine = told[run_id]
    whole, each = together(mine), by_worker(mine)
    cost = spent(mine, _prices(runs[run_id]))
    share = "" if whole.busy_share is None else f"{words.percent(whole.busy_share)} % busy"
    with st.container(horizontal=True):
        for label, value, note in (
            ("Workers", f"{len(each):,}", words.several(len(whole.nodes), "machine")),
            ("Pictures drawn", f"{whole.pictures:,}", f"{whole.answers:,} answers"),
            ("Device time", words.duration(whole.busy), share),
            ("Failures", f"{whole.failures:,}", words.several(len(whole.sentences), "death")),
            *([("Spent", f"{cost:,.2f}", "by your price")] if cost is not None else []),
        ):
            st.metric(
                label,
                value,
                delta=note or None,
                delta_arrow="off",
                delta_color="off",
                border=True,
            )
    st.dataframe(
        pd.DataFrame([_worker_row(one) for one in each]),
        hide_index=True,
        height="content" if len(each) < 12 else 420,
        column_config={
            "Busy": st.column_config.ProgressColumn(
                format="%.0f %%",
                min_value=0,
                max_value=100,
                help="Of the time since its first work, how much its device worked.",
            ),
            "A minute": st.column_config.NumberColumn(format="%.1f", help="Pictures."),
            "Pictures": st.column_config.NumberColumn(format="localized"),
            "Answers": st.column_config.NumberColumn(format="localized"),
            "Failures": st.column_config.NumberColumn(format="localized"),
            "What befell it": st.column_config.TextColumn(width="medium"),
            "Log": st.column_config.TextColumn(width="medium"),
        },
    )


def _worker_row(one: Worked) -> dict[str, object]:
    return {
        "Worker": one.worker or "the command itself",
        "Machine": ", ".join(one.nodes),
        "Device": ", ".join(one.devices),
        "Busy": None if one.busy_share is None else 100 * one.busy_share,
        "Pictures": one.pictures,
        "A minute": one.per_minute,
        "Answers": one.answers,
        "Failures": one.failures,
        "What befell it": "; ".join(one.sentences),
        "Log": ", ".join(one.logs),
    }


def _decided(names: dict[str, str]) -> None:
    """Pairs whose question is settled, of all."""
    rule = facts.rule()
    if rule is None or not facts.checkers():
        return
    st.header(
        "Pairs decided",
        help="An audit paints pictures of a pair until it can tell whether the pair fails more "
        "often than the limit, or until it has painted as many as it may.",
    )
    table = opinions.decisions(facts.judged_pairs())
    known = len(facts.pairs())
    kinds = [kind.value for kind in judge.Decision]
    settled = table[kinds].sum(axis=1) - table[judge.Decision.CONTINUE.value]
    st.dataframe(
        table.assign(
            name=table["model"].map(names),
            done=100 * settled / known,
            settled=settled,
            untouched=known - table[kinds].sum(axis=1),
        )[["name", "done", "settled", *kinds, "untouched"]],
        hide_index=True,
        height="content",
        column_config={
            "name": st.column_config.TextColumn("Model"),
            "done": st.column_config.ProgressColumn(
                "Of all pairs", format="%.0f %%", min_value=0, max_value=100
            ),
            "settled": st.column_config.NumberColumn("Decided", format="localized"),
            "fails": st.column_config.NumberColumn(
                "Fail", format="localized", help="Wrong more often than the limit."
            ),
            "passes": st.column_config.NumberColumn(
                "Pass", format="localized", help="Not wrong more often than the limit."
            ),
            "undecided": st.column_config.NumberColumn(
                "Undecided",
                format="localized",
                help="All pictures that were allowed are painted, and they speak for neither.",
            ),
            "continue": st.column_config.NumberColumn(
                "Unfinished", format="localized", help="More pictures are to come."
            ),
            "untouched": st.column_config.NumberColumn(
                "Not begun", format="localized", help="Pairs without any picture by this model."
            ),
        },
    )


def _refusals(names: dict[str, str]) -> None:
    pictures = facts.pictures()
    refused = pictures[pictures["refused"]]
    if refused.empty:
        return
    st.header("Refused pictures", help=looks.HELP_REFUSED)
    known = facts.pairs()
    table = refused.groupby(["pair_key", "model"], observed=True).size().reset_index(name="number")
    table["prompt"] = [known[key].prompt for key in table["pair_key"]]
    table["name"] = table["model"].astype(object).map(names)
    st.dataframe(
        table.sort_values("number", ascending=False)[["prompt", "name", "number"]],
        hide_index=True,
        lazy=True,
        column_config={
            "prompt": st.column_config.TextColumn("Prompt", width="large"),
            "name": st.column_config.TextColumn("Model"),
            "number": st.column_config.NumberColumn("Refused", help=looks.HELP_REFUSED),
        },
    )


def _errors() -> None:
    errors = facts.failures()
    st.header("Errors", help="What could not be painted, checked or asked; it is no verdict.")
    if not errors:
        st.caption("None: everything that was tried worked.")
        return
    st.caption(f"{len(errors):,}, newest first; the next `lcmis audit` tries them again.")
    st.dataframe(
        pd.DataFrame(
            [(words.moment(f.at), f.stage, f.sentence, f.item) for f in errors],
            columns=["When (UTC)", "While", "What happened", "Item"],
        ),
        hide_index=True,
        lazy=True,
        column_config={"What happened": st.column_config.TextColumn(width="large")},
    )


def _money(names: dict[str, str]) -> None:
    """What pictures cost, where the configuration gave a price."""
    prices: dict[str, float] = {}
    for run in reversed(facts.runs()):
        prices |= _prices(run)
    painted = facts.pictures()["model"].value_counts()
    rows = [
        (names[model], int(painted.get(model, 0)), price, painted.get(model, 0) * price)
        for model, price in prices.items()
        if model in names
    ]
    if not rows:
        return
    st.header(
        "Money",
        help="Pictures in the store times the price of one that the last configuration gave, in "
        "the currency of your bill; refused pictures count, those of repairs do not.",
    )
    st.dataframe(
        pd.DataFrame(rows, columns=["Model", "Pictures", "Price of one", "Spent"]),
        hide_index=True,
        height="content",
        column_config={"Spent": st.column_config.NumberColumn(format="%.2f")},
    )


def _prices(run: Run) -> dict[str, float]:
    """The price of one picture by model, as a run's configuration had it."""
    return {
        model: entry.hosted.price
        for model, entry in zip(run.models, findings.settings_of(run).models, strict=False)
        if entry.hosted is not None and entry.hosted.price is not None
    }


def _exchanges() -> None:
    """What text models were asked and said, a page at a time."""
    total = facts.growth().exchanges
    if not total:
        return
    st.header(
        "What text models were asked",
        help="Proposals and repairs may ask a language model; every question and reply is kept.",
    )
    newest = choices.page(total, PER_PAGE, key="exchanges")
    after = max(0, total - newest.stop)
    found = facts.store().exchanges(after=after, limit=total - after - newest.start)
    table = pd.DataFrame(
        [
            (
                words.moment(one.at),
                one.model,
                one.messages[-1][1] if one.messages else "",
                one.reply or f"no reply: {one.reason}",
                one.seconds,
            )
            for _, one in reversed(found)
        ],
        columns=["When (UTC)", "Model", "Asked", "Said", "Seconds"],
    )
    event = st.dataframe(
        table,
        hide_index=True,
        height="content" if len(table) < 12 else 420,
        on_select="rerun",
        selection_mode="single-cell",
        key="exchanges_table",
        column_config={
            "Asked": st.column_config.TextColumn(width="medium"),
            "Said": st.column_config.TextColumn(width="large"),
            "Seconds": st.column_config.NumberColumn(format="%.2f"),
        },
    )
    st.caption(f"{total:,} in all, newest first. Click a row to read it whole.")
    if event.selection.cells:
        _, one = list(reversed(found))[int(event.selection.cells[0][0])]
        for role, text in one.messages:
            st.caption(looks.plain(role))
            st.code(text, language=None, wrap_lines=True)
        st.caption("said" if one.reply else "no reply")
        st.code(one.reply or one.reason, language=None, wrap_lines=True)


def _every_run() -> None:
    st.header("Every run")
    runs = facts.runs()
    if not runs:
        st.caption("No run is recorded: these pictures did not come from `lcmis audit`.")
        return
    told = of_runs(facts.shifts())
    worked = {run_id: together(some) for run_id, some in told.items()}
    table = pd.DataFrame(
        [
            (
                words.moment(run.started_at),
                words.begun_by(run.command),
                worked[run.run_id].pictures if run.run_id in worked else None,
                words.duration(worked[run.run_id].busy) if run.run_id in worked else "",
                spent(told.get(run.run_id, []), _prices(run)),
                ", ".join(run.models),
                ", ".join(run.checkers),
                run.device,
                run.git_revision,
                ", ".join(f"{k} {v}" for k, v in json.loads(run.versions).items()),
                run.run_id,
            )
            for run in runs
        ],
        columns=[
            "Started (UTC)",
            "Command",
            "Pictures",
            "Device time",
            "Spent",
            "Models",
            "Checkers",
            "Device",
            "Revision",
            "Versions",
            "Run",
        ],
    )
    st.dataframe(
        table,
        hide_index=True,
        lazy=True,
        placeholder="",
        column_config={
            "Command": st.column_config.TextColumn(width="medium"),
            "Pictures": st.column_config.NumberColumn(
                format="localized", help="That this run drew; those it found are not counted."
            ),
            "Spent": st.column_config.NumberColumn(
                format="%.2f", help="By the price of one picture in its configuration."
            ),
            "Revision": st.column_config.TextColumn(help="Of lcmis itself, in git."),
            "Versions": st.column_config.TextColumn(width="large"),
        },
    )


main()
