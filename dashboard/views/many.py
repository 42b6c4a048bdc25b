"""One question asked of a whole grid of pictures, and what raters disagree on, to be settled."""

from __future__ import annotations

from pathlib import Path

import facts
import labelling
import lightbox
import looks
import raters
import shots
import streamlit as st
from looks import plain

from lcmis.errors import UserError
from lcmis.findings import calibration, labels, words
from lcmis.findings.calibration import LabelledAudit
from lcmis.findings.labels import Disagreement, Reading
from lcmis.store import Store
from lcmis.types import ConceptPair, Question, QuestionKind, Side

PER_PAGE = 24
AT_ONCE = 12
"""Disagreements on a screen."""
ANSWERS = {"yes": "Yes", "no": "No", "unsure": "Cannot tell"}
PATIENCE_SECONDS = 10.0
GUIDELINE = (
    "Say what a person would see who was told the prompt and nothing else. A thing counts when it "
    "can be told apart for what it is; half of it, at the picture's edge, counts. A thing of "
    "another kind that does the same work does not: a glass is no tea cup. Where you would have to "
    "guess, you cannot tell."
)


def main() -> None:
    """Draw the page."""
    st.title("Label many")
    if not st.secrets.get("labels", True):
        st.info("This dashboard was started with --no-labels: labels can be looked at, not given.")
        return
    rater = raters.chosen()
    if not rater:
        return
    found = labels.readings(facts.store().labels())
    grid, settle = st.tabs(
        ["Answer a grid", "Settle"], key="tab", on_change="rerun", bind="query-params"
    )
    if grid.open:
        with grid:
            _grid(rater, found)
    if settle.open:
        with settle:
            _settle(rater, found)


# ── a grid ───────────────────────────────────────────────────────────────────────────────────────


def _grid(rater: str, found: list[Reading]) -> None:
    known = facts.audited(facts.usual_threshold())
    answered = {
        (one.render, one.question) for one in found if one.rater == rater and not one.unasked
    }
    open_ = _open(known, answered)
    if not open_:
        st.success("You have answered both questions of every picture. Thank you!")
        return
    places = list(open_)
    chosen = st.selectbox(
        "Question",
        range(len(places)),
        format_func=lambda number: _told(known.pairs[places[number][0]], places[number][1], open_),
        key=f"question-{rater}",
        help="In the order of what the first of its pictures is worth: the label that shortens the "
        "ranges of the rates most.",
    )
    pair_key, kind = places[chosen]
    pair, keys = known.pairs[pair_key], open_[pair_key, kind][:PER_PAGE]
    question = _question(pair, kind, keys[0])
    if question is None:
        st.info("No checker was asked this of these pictures. Choose another question.")
        return
    concept = pair.concept(Side.A if kind is QuestionKind.A_PRESENT else Side.B)
    left, right = st.columns([1, 3], gap="large")
    with left:
        st.header(plain(f"Is “{concept.name}” there?"))
        if concept.description:
            st.markdown(plain(concept.description))
        st.caption(GUIDELINE)
        st.caption(
            "A click on a picture turns its answer: yes, no, cannot tell. With the keyboard `y`, "
            "`n` and `u` answer and go on. Nothing is kept before you press the button, and a "
            "picture without an answer comes again."
        )
        st.html(lightbox.keeper())
        # Pressed by the page itself once all is kept.
        st.button("Next pictures", key="many-next", type="tertiary")
    with right:
        drawn = facts.store().renders_of(keys)
        st.html(
            lightbox.cards(
                [
                    lightbox.Card(
                        key,
                        drawn[key][1].sha256,
                        f"Picture {number} of {len(keys)}: what it shows is for you to say",
                        instead=shots.fault(facts.store(), drawn[key][1], pixels=False),
                    )
                    for number, key in enumerate(keys, 1)
                ],
                question=question.key,
                rater=rater,
            )
        )


def _open(
    known: LabelledAudit, answered: set[tuple[str, str]]
) -> dict[tuple[str, QuestionKind], list[str]]:
    """Pictures by pair and question that the rater has not answered, the worthiest first."""
    done: dict[str, set[QuestionKind]] = {}
    for render, key in answered:
        done.setdefault(render, set()).add(facts.question(key).kind)
    found: dict[tuple[str, QuestionKind], list[str]] = {}
    for render, pair_key in calibration.by_worth(known.cards):
        for kind in calibration.PRESENCES:
            if kind not in done.get(render, ()):
                found.setdefault((pair_key, kind), []).append(render)
    return found


def _told(
    pair: ConceptPair, kind: QuestionKind, open_: dict[tuple[str, QuestionKind], list[str]]
) -> str:
    asked = looks.question_words(kind, pair)
    return f"{asked}, in “{pair.prompt}”: {len(open_[pair.key, kind]):,} pictures to answer"


def _question(pair: ConceptPair, kind: QuestionKind, render: str) -> Question | None:
    asked = [question for question, _ in facts.store().scores(render)]
    return labelling.questions_of(pair, asked).get(kind)


# ── disagreements ────────────────────────────────────────────────────────────────────────────────


def _settle(rater: str, found: list[Reading]) -> None:
    trouble = st.session_state.pop("settle_trouble", "")
    if trouble:
        st.error(plain(trouble), icon=":material/error:")
    every = labels.disagreements(found)
    waiting = [one for one in every if not one.settled]
    if not waiting:
        done = len(every)
        st.success(
            f"Nothing to settle: {words.several(done, 'disagreement')} settled."
            if done
            else "All agree."
        )
        return
    st.caption(
        f"{len(waiting):,} of {words.several(len(every), 'disagreement')} to settle. What is "
        "settled on decides in place of all that was said; everybody's own answers stay, and their "
        "agreement is told as it was."
    )
    grid = st.grid("auto", min_column_width=220, gap="small")
    for one in waiting[:AT_ONCE]:
        with grid.container(border=True, gap="xsmall", height="stretch"):
            _disagreement(one, rater)


def _disagreement(one: Disagreement, rater: str) -> None:
    store = facts.store()
    spec, render = store.render(one.render)
    question = facts.question(one.question)
    shots.shot(render, kind="thumbnail", alt=f"{spec.prompt}, seed {spec.seed}")
    keys = store.pairs_of(one.render)
    pair = store.pair(keys[0]) if keys else None
    asked = looks.question_words(question.kind, pair) if pair else question.text
    st.markdown(f"**{plain(asked)}?**")
    st.caption(plain(" · ".join(f"{who}: {ANSWERS.get(what, what)}" for who, what in one.said)))
    with st.container(horizontal=True, gap="small"):
        for answer in labels.allowed(question):
            st.button(
                plain(ANSWERS.get(answer, answer)),
                key=f"settle {one.render} {one.question} {answer}",
                on_click=_keep,
                args=(one, answer, rater),
            )


def _keep(one: Disagreement, answer: str, rater: str) -> None:
    folder = str(st.secrets["pictures"])
    try:
        with Store(
            facts.place(), pictures=Path(folder) if folder else None, wait_seconds=PATIENCE_SECONDS
        ) as writable:
            writable.add_labels([labels.settling(one, answer, rater)])
    except UserError as error:
        st.session_state["settle_trouble"] = f"This was not kept: {error}."


main()
