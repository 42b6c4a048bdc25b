"""The answer in words, the worst pairs in pictures, and what is behind either."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import altair as alt
import facts
import looks
import opinions
import pandas as pd
import proofs
import shots
import streamlit as st
from looks import plain

from lcmis import judge
from lcmis.findings import short, words
from lcmis.findings.calibration import CorrectedRate, LabelFinding
from lcmis.findings.short import Phrase
from lcmis.findings.words import several
from lcmis.types import ConceptPair, Verdict

MOST_SHOWN = 14  # names on either side of the chart of what is painted instead
WORST_SHOWN = 6  # pairs, with pictures
MOST_KINDS = 12
ALL_MODELS = "all models"


def main() -> None:
    """Draw the page."""
    pictures, rule = facts.pictures(), facts.rule()
    models = opinions.by_model(pictures, rule)
    names = words.short_names(facts.models())
    models.insert(0, "name", models["model"].map(names))
    st.title("Overview")
    _in_short()
    for sentence in facts.mixed_ways():
        st.warning(plain(f"{sentence}."))
    scored = models[models["counted"] > 0]
    if scored.empty:
        st.info(f"No picture has a verdict yet, so there is no rate to show. {facts.how_to_fill()}")
    _worst(names)
    rates, others, health = st.container(), st.container(), st.container()
    if len(scored):
        with others:
            _kinds(names)
            _instead(pictures, names)
    _troubles(models)
    _provenance(names, pictures, models)
    if len(scored):
        # Last: to hold a large audit against its labels takes seconds.
        num_labels = facts.growth().labels
        with rates:
            labelled = facts.found_by_labels(num_labels) if num_labels else None
            _rates(scored, labelled)
        with health:
            _health(labelled)


# ── the answer ───────────────────────────────────────────────────────────────────────────────────


def _in_short() -> None:
    """The answer in the words of the report, each sentence with the way to what is behind it."""
    for model, found in facts.outcomes().items():
        st.markdown(spelled(short.model(found)), help=looks.HELP_CONTROLLED)
        fails = found.decided[judge.Decision.FAILS]
        with st.container(horizontal=True, gap="small"):
            for one, many, decision, count in (
                ("fails", "fail", "fails", fails),
                ("is open", "are open", "open", found.open),
                ("passes", "pass", "passes", found.decided[judge.Decision.PASSES]),
            ):
                if count:
                    st.page_link(
                        "views/pairs.py",
                        label=f"{several(count, 'pair')} that {one if count == 1 else many}",
                        icon=":material/arrow_forward:",
                        query_params=facts.address(models=model, verdict=decision),
                    )
    every = proofs.all_proved() if facts.growth().nominations else ()
    st.markdown(
        spelled(
            short.repairs(
                [one.standing.proved for one in every], [one.certificate.passed for one in every]
            )
        )
    )
    if every:
        st.page_link(
            "views/repairs.py",
            label="Repairs, before and after",
            icon=":material/arrow_forward:",
            query_params=facts.address(),
        )


def spelled(pieces: Sequence[Phrase]) -> str:
    """Sentences in Markdown, in which foreign text is text."""
    return " ".join(f"**{plain(one.text)}**" if one.strong else plain(one.text) for one in pieces)


def _worst(names: dict[str, str]) -> None:
    """The worst pairs: what was painted, beside what a right picture looks like."""
    ranked = facts.judged_pairs()
    wrong = ranked[(ranked["scored"] > 0) & (ranked["rate"] < 1)]
    worst = wrong.drop_duplicates("pair_key").head(WORST_SHOWN)
    if worst.empty:
        return
    st.header("The worst pairs", help=looks.HELP_RIGHT)
    shown = worst.merge(facts.examples(), on=["pair_key", "model"], how="left")
    rights = facts.examples()
    rights = rights[rights["right"] != ""].drop_duplicates("pair_key")
    rights = rights.set_index("pair_key")["right"]
    grid = st.grid("auto", min_column_width=330, gap="small")
    row: Any
    for row in shown.itertuples(index=False):
        with grid.container(border=True, gap="xsmall"):
            pair = facts.pairs()[row.pair_key]
            right = row.right or rights.get(row.pair_key, "")
            _example(pair, {"wrong": row.wrong, "right": right})
            st.page_link(
                "views/pair.py",
                label=f"**{plain(pair.prompt)}**",
                icon=":material/compare:",
                query_params=facts.address(pair=pair.key),
            )
            instead = f", painted instead: {row.intruder}" if row.intruder else ""
            st.caption(
                plain(
                    f"{names[row.model]} {words.decision(judge.Decision(row.decision))}: "
                    f"{row.aligned} of {row.scored} right{instead}"
                )
            )


def _example(pair: ConceptPair, keys: dict[str, str]) -> None:
    """A wrong picture and a right one, side by side; the right one may be another model's."""
    store = facts.store()
    drawn = store.renders_of([key for key in keys.values() if key])
    figures = []
    for kind, key in keys.items():
        if key and not shots.why_none(drawn[key][1], store):
            shown = shots.markup(drawn[key][1], "thumbnail", f"{pair.prompt}: {kind}")
            figures.append(f"<figure>{shown}<figcaption>{kind}</figcaption></figure>")
        else:
            told = f"the {kind} one is missing" if key else f"no picture is {kind}"
            figures.append(f"<figure><figcaption>{told}</figcaption></figure>")
    st.html(f'<div class="lcmis-two">{"".join(figures)}</div>')


def _rates(models: pd.DataFrame, labelled: LabelFinding | None) -> None:
    st.header("How often each model paints what was asked", help=looks.HELP_RIGHT)
    whole = None if labelled is None else labelled.calibration(facts.checker())
    told = labelled is not None and whole is not None and whole.is_calibrated
    corrected = labelled.only(facts.checker()).rates if labelled is not None and told else ()
    table = opinions.beside_labels(models, corrected)
    event = st.altair_chart(
        looks.clicked(
            looks.rates_chart(
                table,
                "name",
                "by",
                [
                    alt.Tooltip("name:N", title="Model"),
                    alt.Tooltip("by:N", title="Seen"),
                    alt.Tooltip("words:N", title="Right"),
                    alt.Tooltip("counted:Q", title="Pictures counted", format=","),
                    alt.Tooltip("pairs:Q", title="Pairs", format=","),
                ],
                colours=[looks.accent(), looks.ORANGE],
                step=46,
                written=True,
            ),
            "model",
        ),
        alt="Rate and interval of every model",
        on_select="rerun",
        key="rates",
    )
    if chosen := looks.clicks(event):
        _open_pairs(models=str(chosen["model"]))
    if num_labels := 0 if whole is None or told else whole.labels:
        st.caption(
            f"{several(num_labels, 'picture')} labelled by people: from {judge.FEW_LABELS} on, "
            "the rate is told corrected for the checker's errors too."
        )
    for one in corrected:
        _worth_of_labels(one)
    rule = facts.rule()
    if rule is not None and rule.fair < rule.cap:
        st.caption(
            f"Each pair counts with its first {several(rule.fair, 'picture')}: a pair that "
            "stopped early stopped at an extreme, and all its pictures would bend the rate. "
            "The interval takes pairs, not pictures, as the sample."
        )
    if left_out := int(models["left_out"].sum()):
        st.caption(f"{several(left_out, 'pair')} with fewer pictures so far: left out.")


def _worth_of_labels(one: CorrectedRate) -> None:
    """What the corrected rate lacks, if anything."""
    name = plain(words.short_names(facts.models())[one.model])
    if one.corrected is None:
        st.caption(
            f"{name}: labels do not show the checker to be better than a coin, so its rate cannot "
            "be corrected."
        )
    elif one.labels_to_halve is not None:
        st.caption(f"{name}: {one.labels_to_halve:,} more labels would halve the corrected range.")


def _open_pairs(**query: str) -> None:
    st.switch_page("views/pairs.py", query_params=facts.address(**query))


def _kinds(names: dict[str, str]) -> None:
    """Of each kind of conflict, how many pairs fail; a click opens them."""
    table = opinions.failing_kinds(facts.judged_pairs())
    if table.empty:
        return
    st.header("Which kinds of conflict fail", help=looks.HELP_PATTERN)
    kinds = list(dict.fromkeys(table["pattern"]))
    told = {
        (row["pattern"], row["model"]): f"{row['fail']} of {several(row['pairs'], 'pair')}"
        for row in table.to_dict("records")
    }
    failing = [kind for kind in kinds if table.loc[table["pattern"] == kind, "fail"].sum()]
    shown = (failing or kinds)[:MOST_KINDS]
    rows = [
        {"kind": kind, **{names[model]: told.get((kind, model), "") for model in names}}
        for kind in shown
    ]
    event = st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        height="content",
        width="content",
        placeholder="–",
        column_config={
            "kind": st.column_config.TextColumn("Kind of conflict", width=260),
            **{
                name: st.column_config.TextColumn(f"{name}: fail", width=150)
                for name in names.values()
            },
        },
        on_select="rerun",
        selection_mode="single-cell",
        key="kinds",
        alt="Pairs that fail, of each kind of conflict and by each model",
    )
    if more := len(kinds) - len(shown):
        st.caption(
            f"{several(more, 'more kind')}, of which "
            + ("no pair fails." if len(failing) <= MOST_KINDS else "fewer pairs fail.")
        )
    if event.selection.cells:
        row, column = event.selection.cells[0]
        of_model = {name: model for model, name in names.items()}.get(str(column))
        _open_pairs(patterns=shown[int(row)], **({"models": of_model} if of_model else {}))


def _instead(pictures: pd.DataFrame, names: dict[str, str]) -> None:
    st.header("What is painted instead", help=looks.HELP_INTRUDER)
    wanted = ALL_MODELS
    if len(names) > 1:
        wanted = st.selectbox(
            "Of",
            [ALL_MODELS, *names],
            format_func=lambda model: names.get(model, model),
            key="of",
            bind="query-params",
            width=260,
        )
        if wanted != ALL_MODELS:
            pictures = pictures[pictures["model"] == wanted]
    instead = opinions.drawn_instead(pictures, facts.pairs())
    if instead.empty:
        st.info("Nothing is missing from any picture at this threshold.")
        return
    asked, painted = (
        list(instead.groupby(side)["pictures"].sum().nlargest(MOST_SHOWN).index)
        for side in ("asked", "painted")
    )
    shown = instead[instead["asked"].isin(asked) & instead["painted"].isin(painted)]
    event = st.altair_chart(
        looks.clicked(looks.instead_chart(shown, asked, painted), "asked", "painted"),
        alt="Number of pictures by what was asked and painted",
        on_select="rerun",
        key="instead",
    )
    if chosen := looks.clicks(event):
        _open_pictures(str(chosen["asked"]), str(chosen["painted"]), wanted)
    st.caption("Click a field to see its pictures.")
    if hidden := int(instead["pictures"].sum() - shown["pictures"].sum()):
        st.caption(
            f"The commonest {MOST_SHOWN} names; {several(hidden, 'more picture')} with others."
        )


def _open_pictures(asked: str, painted: str, model: str) -> None:
    """The pictures in which one thing stands in the place of another."""
    query = {} if painted == opinions.NOT_NAMED else {"intruders": painted}
    query |= {} if model == ALL_MODELS else {"models": model}
    of_it = [one for one in facts.pairs().values() if asked in (one.a.name, one.b.name)]
    if all(asked.casefold() in one.prompt.casefold() for one in of_it):
        query["words"] = asked
    st.switch_page("views/grid.py", query_params=facts.address(**query))


def _health(labelled: LabelFinding | None) -> None:
    """Whether the checker that judges here can be trusted."""
    st.header("How far the checker can be trusted", help=looks.HELP_HEALTH)
    whole = None if labelled is None else labelled.calibration(facts.checker())
    few = whole is None or not whole.is_calibrated
    rows = [
        (
            "Labelled pictures",
            f"{whole.labels if whole else 0:,} of {judge.FEW_LABELS}",
            "With fewer nobody can tell how often it errs: intervals speak of chance alone."
            if few
            else "Enough to tell how often this checker errs.",
        )
    ]
    if whole is not None and whole.is_calibrated and whole.accuracy is not None:
        for label, rate, told in (
            ("Sees what is there", whole.accuracy.sensitivity.rate, looks.HELP_SENSITIVITY),
            ("Sees what is not", whole.accuracy.specificity.rate, looks.HELP_SPECIFICITY),
        ):
            if rate.total:
                rows.append((label, words.rate(rate), told))
    prior = facts.gathered().controls
    for label, rate, what in (
        ("Blank pictures", prior.blank, "an empty picture"),
        ("Other pictures", prior.mismatched, "a picture of something else"),
    ):
        said = words.rate(rate) if rate.total else "not asked"
        told = f"How surely it sees the thing in {what}: the nearer to 0 the better."
        rows.append((label, said, told))
    names = words.short_names(facts.checkers())
    for other in facts.checkers():
        if other == facts.checker():
            continue
        agreed = facts.agreement(other)
        if agreed.share.total:
            share = words.rate(agreed.share)
            beyond = (
                "" if agreed.kappa is None else f", kappa {agreed.kappa:.2f} (chance 0, always 1)"
            )
            rows.append(
                (
                    f"Against {names[other]}",
                    share,
                    f"The same verdict, of {several(agreed.share.total, 'picture')} both "
                    f"judged{beyond}.",
                )
            )
    st.dataframe(
        pd.DataFrame(rows, columns=["Test", "Result", "What it says"]),
        hide_index=True,
        height="content",
        column_config={
            "Test": st.column_config.TextColumn(width=160),
            "Result": st.column_config.TextColumn(width=130),
            "What it says": st.column_config.TextColumn(width="large"),
        },
    )
    st.page_link(
        "views/label.py",
        label="Uncalibrated: label pictures to learn how often it errs"
        if few
        else "How often it errs, by the labels",
        icon=":material/edit:",
        query_params=facts.address(),
    )


def _troubles(models: pd.DataFrame) -> None:
    silent = models[(models["refused"] > 0) | (models["unscored"] > 0)]
    errors = facts.failures()
    if silent.empty and not errors:
        return
    st.header("What could not be counted")
    if not silent.empty:
        st.dataframe(
            silent[["name", "pictures", "refused", "unscored"]],
            hide_index=True,
            width="content",
            column_config={
                "name": st.column_config.TextColumn("Model"),
                "pictures": st.column_config.NumberColumn("Pictures", format="localized"),
                "refused": st.column_config.NumberColumn(
                    "Refused", help=looks.HELP_REFUSED, format="localized"
                ),
                "unscored": st.column_config.NumberColumn(
                    "Not judged", help=looks.HELP_UNSCORED, format="localized"
                ),
            },
        )
    if errors:
        st.page_link(
            "views/runs.py",
            label=f"{several(len(errors), 'error')}: what happened",
            icon=":material/arrow_forward:",
            query_params=facts.address(),
        )


def _provenance(names: dict[str, str], pictures: pd.DataFrame, models: pd.DataFrame) -> None:
    st.header("Where these numbers come from")
    drawn, stored = pictures["spec_key"].nunique(), facts.growth().renders
    scored = pictures["verdict"].isin([kind.value for kind in Verdict if kind.is_scored]).sum()
    beside = (
        f"; {stored - drawn:,} more belong to repairs and controls and count in no rate"
        if stored > drawn
        else ""
    )
    st.caption(
        f"{several(pictures['pair_key'].nunique(), 'pair')}, {several(len(models), 'model')}, "
        f"{several(drawn, 'picture')}{beside}. {int(scored):,} are judged, "
        f"{int(models['refused'].sum()):,} were refused; "
        f"{several(len(facts.failures()), 'error')}."
    )
    exact = [("Model", names[model], model) for model in names]
    spelled = words.short_names(facts.checkers())
    exact += [("Checker", spelled[checker], checker) for checker in spelled]
    st.dataframe(
        pd.DataFrame(exact, columns=["What", "Shown as", "Exactly"]),
        hide_index=True,
        column_config={"Exactly": st.column_config.TextColumn(width="large")},
    )
    runs = facts.runs()
    if not runs:
        st.caption("No run is recorded: these pictures did not come from `lcmis audit`.")
        return
    last = runs[0]
    st.caption(
        plain(
            f"Last run {words.moment(last.started_at)} UTC, "
            f"{words.begun_by(last.command)}, on {last.device}, "
            f"lcmis at {last.git_revision or 'a release'}: "
            f"{_versions(last.versions)}"
        )
    )
    st.caption(plain(words.rule(facts.rule())))


def _versions(text: str) -> str:
    versions = json.loads(text)
    return ", ".join(f"{name} {version}" for name, version in versions.items())


main()
