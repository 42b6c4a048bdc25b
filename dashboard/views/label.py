"""One picture, one question, a key for each answer; and what the labels say so far."""

from __future__ import annotations

import dataclasses

import altair as alt
import facts
import labelling
import looks
import pandas as pd
import raters
import shots
import streamlit as st
from labelling import RaterRecord
from looks import plain

from lcmis import judge
from lcmis.errors import UserError
from lcmis.findings import words
from lcmis.findings.calibration import (
    RIGHT,
    Calibration,
    LabelFinding,
    LabelledAudit,
    Place,
    Truths,
)
from lcmis.findings.labels import (
    NO,
    UNSURE,
    YES,
    allowed,
    latest,
    moved,
    now,
    readings,
    standing,
    withdrawal,
)
from lcmis.store import Store
from lcmis.types import NONE_OF_THESE, ConceptPair, Label, Question, QuestionKind, Rate, Score, Side

LEAST_REPEATS = 10  # questions that came twice, before a share of them says something
MOST_GIVEN = 8  # rows of a table, before it gets a scroll bar of its own
KEYS = {YES: "y", NO: "n", UNSURE: "u"}
WORDS = {YES: "Yes", NO: "No", UNSURE: "Cannot tell", NONE_OF_THESE: "None of these"}
UNDO_KEY = "z"
PATIENCE_SECONDS = 10.0
"""A label waits so long for an audit that is writing."""
KIND_WORDS: dict[str, str] = {
    RIGHT: "Both there",
    QuestionKind.A_PRESENT: "First thing there",
    QuestionKind.B_PRESENT: "Second thing there",
    QuestionKind.INTRUDER_A: "In the first one's place",
    QuestionKind.INTRUDER_B: "In the second one's place",
}
HELP_KAPPA = (
    "Agreement beyond what chance gives: 1 is perfect, 0 is a coin. From 0.6 on it is usually "
    "called good."
)
HELP_BRIER = (
    "How far the scores lie from the truth, squared: 0 is perfect, 0.25 is always saying 50 %."
)
HELP_MENDED = (
    "The same after the scores were bent to what labels say, measured on labels that were kept "
    "apart."
)
HELP_THRESHOLD = "The score from which people more often see the thing than not."
HELP_WORTH = (
    "Pictures come in the order of what a label is worth: those on which checkers disagree, whose "
    "score lies near the threshold, or whose pair could still turn; every fourth by lot alone. "
    "Some come twice, to see how far you agree with yourself."
)


def main() -> None:
    """Draw the page."""
    st.title("Label", help=HELP_WORTH)
    if not st.secrets.get("labels", True):
        st.info("This dashboard was started with --no-labels: labels can be looked at, not given.")
        _standing("")
        return
    rater = raters.chosen()
    if not rater:
        _standing("")
        return
    _labelling(rater)


@st.fragment
def _labelling(rater: str) -> None:
    with looks.user_errors_shown():
        trouble = st.session_state.pop("label_trouble", "")
        if trouble:
            st.error(plain(trouble), icon=":material/error:")
        _ask(rater)
    _standing(rater)


# ── asking ───────────────────────────────────────────────────────────────────────────────────────


def _ask(rater: str) -> None:
    known = facts.audited(facts.usual_threshold())
    labels = _labels_of(facts.store(), rater)
    found = readings(labels)
    record = RaterRecord(found, rater)
    truth = Truths(found, facts.question)
    places = {place[0]: place for place in known.cards.strata_of(record.answers.keys())}
    rights = {
        render: right
        for render, place in places.items()
        if (right := truth.of(render, known.pairs[place[1]]).right) is not None
    }
    place, question = _next(known, record, rights, places)
    _progress(rater, record, known)
    if place is None or question is None:
        st.success("You have labelled every picture that can be labelled. Thank you!")
        _undo(labels, rater)
        return
    pair = known.pairs[place[1]]
    columns = st.columns([3, 2], gap="large")
    with columns[0]:
        _picture(place)
    with columns[1]:
        _buttons(place, pair, question, rater, len(labels))
        _undo(labels, rater)
        _before(known, record, places, place[0])


def _labels_of(store: Store, rater: str) -> list[Label]:
    return _labels_named(store.labels(), rater)


def _next(
    known: LabelledAudit,
    record: RaterRecord,
    rights: dict[str, bool],
    places: dict[str, Place],
) -> tuple[Place | None, Question | None]:
    """The picture and the question to ask now; pictures that nobody can ask about are passed by."""
    current = next(reversed(record.answers), None)
    if current is not None and current in places:
        question = labelling.in_progress(record, _questions(known, places[current]), current)
        if question is not None:
            return places[current], question
    turn = labelling.next_turn(known.cards, record, rights)
    if turn is None:
        return None, None
    questions = _questions(known, turn.place)
    question = labelling.open_question(questions, record.of(turn.place[0]), repeat=turn.repeat)
    return turn.place, question


def _questions(known: LabelledAudit, place: Place) -> dict[QuestionKind, Question]:
    asked = [question for question, _ in facts.store().scores(place[0])]
    return labelling.questions_of(known.pairs[place[1]], asked)


def _progress(rater: str, record: RaterRecord, known: LabelledAudit) -> None:
    done, few = len(record), judge.FEW_LABELS
    told = f"{words.several(done, 'picture')} labelled by {plain(rater)}, of {len(known.cards):,}"
    if done < few:
        told += f"; {few - done} more and the checkers count as calibrated"
    st.progress(min(1.0, done / few), text=told)


def _picture(place: Place) -> None:
    _, render = facts.store().render(place[0])
    shots.shot(
        render,
        kind="picture",
        alt="The picture to label; what it shows is for you to say",
        width=512,
    )


def _buttons(place: Place, pair: ConceptPair, question: Question, rater: str, so_far: int) -> None:
    side = Side.A if question.kind in (QuestionKind.A_PRESENT, QuestionKind.INTRUDER_A) else Side.B
    concept = pair.concept(side)
    asked = looks.question_words(question.kind, pair)
    if question.kind.is_choice:
        asked = f"What is there {asked[:1].lower()}{asked[1:]}"
    st.header(plain(f"{asked}?"))
    if concept.description and not question.kind.is_choice:
        st.caption(plain(concept.description))
    st.caption(f"Your answer, **{plain(rater)}**:")
    for number, answer in enumerate(allowed(question), 1):
        # A key of its own for every question: a press that comes late answers nothing else.
        st.button(
            plain(WORDS.get(answer, answer)),
            key=f"answer {so_far} {place[0]} {question.key} {number}",
            shortcut=_key(question, answer, number),
            width="stretch",
            on_click=_keep,
            args=(Label(place[0], question.key, answer, rater, ""), so_far),
        )


def _key(question: Question, answer: str, number: int) -> str | None:
    if answer == UNSURE or not question.kind.is_choice:
        return KEYS[answer]
    return str(number) if number <= 9 else None


def _undo(labels: list[Label], rater: str) -> None:
    last = latest(labels, rater)
    st.button(
        "Undo",
        key=f"undo {len(labels)}",
        icon=":material/undo:",
        type="tertiary",
        shortcut=UNDO_KEY,
        disabled=last is None,
        help="Takes back your last answer; the label stays on record as withdrawn.",
        on_click=_keep,
        args=(last if last is None else withdrawal(last), len(labels)),
    )


def _keep(label: Label | None, so_far: int) -> None:
    """Write one label.

    A rater has said ``so_far`` things when a button is drawn. If it is more by now, the press came
    before the page could show the next question, or Streamlit calls back a second time because
    another press interrupted the page: it answers nothing.
    """
    if label is not None:
        _write([dataclasses.replace(label, at=now())], label.rater, so_far)


def _write(labels: list[Label], rater: str, so_far: int) -> None:
    """Add labels through a connection of its own, which is closed again at once."""
    if not st.secrets.get("labels", True):
        return
    folder = str(st.secrets["pictures"])
    try:
        with Store(
            facts.place(),
            pictures=folder or None,
            wait_seconds=PATIENCE_SECONDS,
        ) as writable:
            if len(_labels_of(writable, rater)) == so_far:
                writable.add_labels(labels)
    except UserError as error:
        st.session_state["label_trouble"] = f"This was not kept: {error}."


def _before(
    known: LabelledAudit, record: RaterRecord, places: dict[str, Place], current: str
) -> None:
    """The picture labelled before, with what the checkers say of it: told only now."""
    done = [render for render in reversed(record.answers) if render != current]
    if not done or done[0] not in places:
        return
    place = places[done[0]]
    pair, said = known.pairs[place[1]], record.of(place[0])
    scores = facts.store().scores(place[0])
    with st.container(border=True, gap="xsmall"):
        st.caption("The picture before")
        _, render = facts.store().render(place[0])
        shots.shot(render, kind="thumbnail", alt="Labelled before", width=120)
        names = words.short_names(facts.checkers())
        for question in _questions(known, place).values():
            if question.key not in said:
                continue
            yours = WORDS.get(said[question.key][-1], said[question.key][-1])
            theirs = _theirs(question, scores, names)
            st.caption(
                f"{plain(looks.question_words(question.kind, pair))}: you **{plain(yours)}**"
                f"{''.join(f' · {plain(one)}' for one in theirs)}"
            )


def _theirs(
    question: Question, scores: list[tuple[Question, Score]], names: dict[str, str]
) -> list[str]:
    told: dict[str, str] = {}
    for asked, score in scores:
        if asked.key == question.key and score.checker not in told:
            option, surely = score.answer.option, words.score(score.answer.value)
            told[score.checker] = f"{names[score.checker]} {option} {surely}".replace("  ", " ")
    return list(told.values())


# ── what the labels say ──────────────────────────────────────────────────────────────────────────


def _standing(rater: str) -> None:
    with looks.user_errors_shown():
        labels = facts.store().labels()
        st.header("What the labels say")
        if not labels:
            st.info("There are no labels yet.")
            return
        found = facts.found_by_labels(len(labels))
        whole = found.calibration(facts.checker())
        assert whole is not None
        if not whole.is_calibrated:
            st.info(
                f"{words.several(whole.labels, 'labelled picture')} of {judge.FEW_LABELS}: with "
                "that many, this page says how often the checker errs and corrects the rates for "
                "it. Fewer would say more about chance than about the checker."
            )
        else:
            left, right = st.columns(2, gap="large")
            with left:
                _figures(whole, found)
            with right:
                if whole.curve:
                    st.altair_chart(_curve_chart(whole), alt="Share of right pictures by score")
            _table(found)
        _raters(found, rater)
        _moving(labels, rater)


def _moving(labels: list[Label], rater: str) -> None:
    """Give answers to the person who gave them."""
    if not st.secrets.get("labels", True):
        return
    names = list(dict.fromkeys(label.rater for label in labels))
    with st.expander("Answers under a wrong name", key="moving", on_change="rerun") as unfolded:
        if not unfolded.open:
            return
        st.caption(
            "They are taken back under that name and said under the right one, at the time when "
            "they were said; both stay on record."
        )
        with st.container(horizontal=True):
            wrong = st.selectbox("Given under", names, key="wrong_rater", width=240)
            right = st.selectbox(
                "By whom",
                dict.fromkeys([*([rater] if rater else []), *names]),
                index=None,
                key="right_rater",
                accept_new_options=True,
                placeholder="Choose or write a name",
                width=240,
            )
        given = standing(labels, wrong)[::-1]
        event = st.dataframe(
            _given(given),
            hide_index=True,
            height="content" if len(given) < MOST_GIVEN else 320,
            on_select="rerun",
            selection_mode="multi-row",
            key=f"given {wrong} {len(labels)}",
            alt="Answers given under this name, newest first",
        )
        rows = [int(row) for row in event.selection.rows if int(row) < len(given)]
        chosen = {(given[row].render, given[row].question) for row in rows}
        taken = [one for one in given if (one.render, one.question) in chosen] or given
        which = "" if rows or len(taken) == 1 else "all "
        which += words.several(len(taken), "answer")
        st.button(
            f"Give {which} to {plain(right)}" if right else f"Give {which} to …",
            disabled=not right or right == wrong or not given,
            on_click=_give,
            args=(taken, right or "", len(_labels_named(labels, wrong))),
        )


def _given(labels: list[Label]) -> pd.DataFrame:
    """Answers as rows, for people."""
    drawn = facts.store().renders_of(label.render for label in labels)
    rows = []
    for label in labels:
        question = facts.question(label.question)
        told = KIND_WORDS.get(question.kind, question.kind.value)
        rows.append(
            (
                drawn[label.render][0].prompt,
                f"{told}: {question.text}" if not question.kind.is_choice else told,
                label.answer,
                words.moment(label.at),
            )
        )
    return pd.DataFrame(rows, columns=["Prompt", "Question", "Answer", "Given (UTC)"])


def _give(labels: list[Label], name: str, so_far: int) -> None:
    try:
        new = moved(labels, name)
    except UserError as error:
        st.session_state["label_trouble"] = f"Nothing was moved: {error}."
        return
    _write(new, labels[0].rater, so_far)


def _labels_named(labels: list[Label], rater: str) -> list[Label]:
    return [label for label in labels if label.rater == rater]


def _figures(whole: Calibration, found: LabelFinding) -> None:
    st.metric(
        "Agreement of checker and people (kappa)",
        "–" if whole.agreement.kappa is None else f"{whole.agreement.kappa:.2f}",
        help=HELP_KAPPA,
    )
    if whole.agreement.kappa is not None:
        st.caption(f"{whole.agreement.low:.2f} to {whole.agreement.high:.2f} with 95 % confidence")
    for rate in found.rates:
        if rate.checker != whole.checker:
            continue
        st.markdown(
            f"{plain(words.short_name(rate.model))}: right **{_rate(rate.raw)}** by the checker, "
            f"**{'cannot tell' if rate.corrected is None else _rate(rate.corrected)}** corrected",
            help=looks.HELP_RIGHT,
        )
        if rate.labels_to_halve is not None:
            st.caption(
                f"{words.several(rate.labels_to_halve, 'more label')} would halve this range."
            )
        elif rate.corrected is not None:
            st.caption("More labels alone would not halve this range; more pairs would.")


def _rate(rate: Rate) -> str:
    return plain(words.rate(rate))


def _curve_chart(whole: Calibration) -> alt.LayerChart:
    """Bins of scores with intervals, and the line on which a score would be a probability."""
    table = pd.DataFrame(
        [(b.score, b.right.value, b.right.low, b.right.high, b.right.total) for b in whole.curve],
        columns=["score", "right", "low", "high", "labels"],
    )
    base = alt.Chart(table).encode(
        x=alt.X("score:Q", title="Score of the checker", scale=alt.Scale(domain=[0, 1])),
        tooltip=[
            alt.Tooltip("score:Q", title="Score", format=".2f"),
            alt.Tooltip("right:Q", title="Right by people", format=".0%"),
            alt.Tooltip("low:Q", title="At the least", format=".0%"),
            alt.Tooltip("high:Q", title="At the most", format=".0%"),
            alt.Tooltip("labels:Q", title="Labels"),
        ],
    )
    share = looks.share_axis(alt.Y, "Right, by people")
    ideal = (
        alt.Chart(pd.DataFrame({"score": [0, 1], "right": [0, 1]}))
        .mark_line(strokeDash=[4, 4], color=looks.GREY)
        .encode(x="score:Q", y="right:Q")
    )
    colour = looks.accent()
    interval = base.mark_rule(strokeWidth=3, opacity=0.5, color=colour).encode(y=share, y2="high:Q")
    dots = base.mark_circle(size=90, opacity=1, color=colour).encode(y="right:Q")
    return alt.layer(ideal, interval, dots).properties(height=280)


def _table(found: LabelFinding) -> None:
    names = words.short_names(facts.checkers())
    rows = [
        (
            names[one.checker],
            KIND_WORDS[one.kind],
            one.labels,
            _rate(one.accuracy.sensitivity.rate).replace("\\", "") if one.accuracy else "",
            _rate(one.accuracy.specificity.rate).replace("\\", "") if one.accuracy else "",
            one.agreement.kappa,
            one.brier,
            None if one.calibrated is None else one.calibrated.brier,
            one.threshold,
        )
        for one in found.calibrations
        if one.labels
    ]
    config = st.column_config
    st.dataframe(
        pd.DataFrame(
            rows,
            columns=[
                "Checker",
                "Question",
                "Labels",
                "Sees what is there",
                "Sees what is not",
                "Kappa",
                "Brier",
                "Brier calibrated",
                "Threshold",
            ],
        ),
        hide_index=True,
        placeholder="–",
        column_config={
            "Sees what is there": config.TextColumn(help=looks.HELP_SENSITIVITY),
            "Sees what is not": config.TextColumn(help=looks.HELP_SPECIFICITY),
            "Kappa": config.NumberColumn(format="%.2f", help=HELP_KAPPA),
            "Brier": config.NumberColumn(format="%.3f", help=HELP_BRIER),
            "Brier calibrated": config.NumberColumn(format="%.3f", help=HELP_MENDED),
            "Threshold": config.NumberColumn(format="%.2f", help=HELP_THRESHOLD),
        },
    )


def _raters(found: LabelFinding, rater: str) -> None:
    between = found.between
    if between.value is not None and between.units < judge.FEW_LABELS:
        st.caption(
            f"{words.several(between.units, 'question')} of {judge.FEW_LABELS} answered by more "
            "than one person: with that many, this page says how far people agree."
        )
    elif between.value is not None:
        st.caption(
            f"Between raters: Krippendorff's alpha {between.value:.2f} "
            f"({between.low:.2f} to {between.high:.2f}) on "
            f"{words.several(between.units, 'shared question')}."
        )
    for one in found.raters:
        again = one.repeats
        if not again.share.total:
            told = "no picture came twice yet"
        elif again.share.total < LEAST_REPEATS:
            told = f"{words.several(again.share.total, 'question')} came twice so far"
        else:
            told = f"the same answer again in {_rate(again.share)} of {again.share.total}"
        you = " (you)" if one.rater == rater else ""
        st.caption(f"{plain(one.rater)}{you}: {words.several(one.answers, 'answer')}, {told}")


main()
