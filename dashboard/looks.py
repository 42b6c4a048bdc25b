"""How things look: colours that colour-blind eyes tell apart, charts, and words for each term."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from lcmis.errors import UnknownNameError, UserError
from lcmis.findings import words
from lcmis.judge import Decision, Difference
from lcmis.machine import letters
from lcmis.types import ConceptPair, QuestionKind, Side, Verdict

BLUE, ORANGE, GREEN, PINK, SKY, VERMILLION, GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#999999",
)
"""Okabe and Ito's palette."""
BETWEEN_ROWS = 4 / 3
"""A row with the space before the next one, in rows."""

HELP_RIGHT = (
    "A picture is right when the checker finds both things that the prompt asks for. The range in "
    "brackets is where the true rate lies with 95 % confidence."
)
HELP_LEVEL = (
    "How badly a pair fails, from 1 (16 to 20 of 20 pictures right) to 5 (none right). A range "
    "such as 4–5 means that so few pictures cannot tell which."
)
HELP_CONTROLLED = (
    "Each pair is decided by itself. Of many that pass, some look as if they failed, by chance: of "
    "those that are left after control, at most one in twenty does, on average."
)
HELP_CHECKER = (
    "The model that looks at every picture and says how surely each thing is there. Scores of two "
    "checkers are never mixed."
)
HELP_THRESHOLD = (
    "A thing counts as present from this score on. Pictures and scores stay; verdicts, "
    "rates and levels are computed anew."
)
HELP_DECISION = (
    "A pair fails when it is wrong more often than the audit's limit, and passes when it is not. "
    "Open is what could not be decided yet."
)
HELP_INTRUDER = (
    "What is painted in the place of a thing that is missing: the option that the checker finds "
    "likeliest when asked what is there."
)
HELP_PATTERN = (
    "Why the two things get in each other's way, e.g. a drink in a vessel that it is seldom seen "
    "in. Each kind gathers pairs of the same sort."
)
HELP_HEALTH = (
    "A checker is a model and errs. These tests say how much its verdicts are worth: what it says "
    "where nothing is to be seen, and whether others see the same."
)
HELP_SENSITIVITY = "Of what people see in the pictures, the share that the checker sees too."
HELP_SPECIFICITY = (
    "Of what people do not see in the pictures, the share that the checker does not see either."
)
HELP_UNSCORED = "The checker gave no answer; such a picture counts in no rate."
HELP_REFUSED = "The image model's own filter withheld the picture; it counts in no rate."

_BADGES = {
    Verdict.ALIGNED: (":material/check:", "green"),
    Verdict.A_MISSING: (":material/close:", "orange"),
    Verdict.B_MISSING: (":material/close:", "orange"),
    Verdict.BOTH_MISSING: (":material/block:", "red"),
    Verdict.UNSCORED: (":material/question_mark:", "gray"),
    Verdict.REFUSED: (":material/visibility_off:", "violet"),
}


@contextmanager
def user_errors_shown() -> Iterator[None]:
    """Turn what the user must mend into a sentence on the page."""
    try:
        yield
    except UserError as error:
        sentence = str(error)
        st.error(plain(sentence[:1].upper() + sentence[1:] + "."), icon=":material/error:")
        if isinstance(error, UnknownNameError):
            st.page_link("views/pairs.py", label="All pairs", icon=":material/arrow_back:")


_ADDRESS = re.compile(r"https?(?=://)|www(?=\.)|@(?=[\w-])", re.IGNORECASE)


def plain(text: str) -> str:
    """Text of models, files and people, so that Markdown shows it letter for letter.

    Unescaped, an image link in a prompt would make the reader's browser fetch a foreign address;
    marks that nobody sees, such as a right-to-left override, are spelled out. Addresses are linked
    by Markdown even where every sign is escaped; a word joiner, which takes no room, prevents it.
    """
    seen = _ADDRESS.sub("\\g<0>\N{WORD JOINER}", letters.visible(text, longest=len(text)))
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|<>~$:@&/^=\"'])", r"\\\1", seen)


_DECISIONS = {
    Decision.FAILS: ("fails", ":material/close:", "orange"),
    Decision.PASSES: ("passes", ":material/check:", "green"),
    Decision.UNDECIDED: ("open: undecided", ":material/question_mark:", "gray"),
    Decision.CONTINUE: ("open: unfinished", ":material/more_horiz:", "gray"),
}


def decision_badge(made: Decision) -> str:
    """Whether a pair fails, passes or is open, in Markdown."""
    told, icon, colour = _DECISIONS[made]
    return f":{colour}-badge[{icon} {told}]"


def verdict_badge(verdict: Verdict, pair: ConceptPair) -> str:
    """A coloured word, in Markdown, that says what a picture shows; its symbol says it again."""
    icon, colour = _BADGES[verdict]
    return f":{colour}-badge[{icon} {plain(words.verdict(verdict, pair))}]"


def as_asked(pair: ConceptPair) -> tuple[Side, Side]:
    """Both things of a pair, the one first that the prompt names first."""
    prompt = pair.prompt.casefold()
    places = {side: prompt.find(pair.concept(side).name.casefold()) for side in Side}
    return (Side.B, Side.A) if 0 <= places[Side.B] < places[Side.A] else (Side.A, Side.B)


def question_words(kind: QuestionKind, pair: ConceptPair, text: str = "") -> str:
    """What a question wants to know of a picture of this pair; of a likeness, to which text."""
    match kind:
        case QuestionKind.A_PRESENT:
            return f"Is “{pair.a.name}” there"
        case QuestionKind.B_PRESENT:
            return f"Is “{pair.b.name}” there"
        case QuestionKind.RELATION:
            return "Does the whole prompt hold"
        case QuestionKind.INTRUDER_A:
            return f"In the place of {pair.a.name}"
        case QuestionKind.INTRUDER_B:
            return f"In the place of {pair.b.name}"
        case QuestionKind.LIKENESS:
            return f"How like “{text}” is it"


def accent() -> str:
    """The colour of what stands alone in a chart."""
    return SKY if st.context.theme.type == "dark" else BLUE


def _ink() -> str:
    return "#e8e8e8" if st.context.theme.type == "dark" else "#2b2b2b"


def share_axis(channel: type[alt.X | alt.Y], title: str) -> alt.X | alt.Y:
    """A scale of shares, on which an interval begins at ``low``."""
    return channel(
        "low:Q",
        title=title,
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1]),
    )


def by_colour(column: str, colours: Sequence[str] | None = None) -> alt.Color:
    """What the colour tells, in the order of the rows, with a legend above."""
    return alt.Color(
        f"{column}:N",
        sort=None,
        title=None,
        scale=alt.Scale() if colours is None else alt.Scale(range=list(colours)),
        legend=alt.Legend(orient="top", labelLimit=400, symbolOpacity=1),
    )


def rates_chart(
    rates: pd.DataFrame,
    row: str,
    series: str,
    tooltip: Sequence[alt.Tooltip],
    *,
    order: Sequence[str] | None = None,
    colours: Sequence[str] | None = None,
    step: int,
    written: bool = False,
) -> alt.LayerChart:
    """A dot and its interval for each ``row`` and, in a colour of its own, each ``series``.

    Args:
        rates: With columns ``rate``, ``low`` and ``high``, in [0, 1].
        row: Column that names the rows, from above in their ``order``.
        series: Column that names what the colours stand for.
        tooltip: What is told of a dot; ``words`` is the rate with its range.
        order: Of the rows; None leaves them as they come.
        colours: Of the series, as they come; None takes the theme's.
        step: Pixels from one dot to the next below.
        written: Whether the same words stand above each dot.
    """
    spelled = map(words.share, rates["rate"], rates["low"], rates["high"])
    middle = (rates["low"] + rates["high"]) / 2
    base = alt.Chart(rates.assign(words=list(spelled), middle=middle)).encode(
        y=alt.Y(
            f"{row}:N",
            title=None,
            sort=None if order is None else list(order),
            axis=alt.Axis(labelLimit=260, ticks=False),
        ),
        yOffset=alt.YOffset(f"{series}:N", sort=None),
        tooltip=list(tooltip),
    )
    coloured = base.encode(color=by_colour(series, colours))
    size = min(170, 5 * step)
    layers = [
        coloured.mark_rule(strokeWidth=3 if size < 100 else 4, opacity=0.45).encode(
            x=share_axis(alt.X, "Pictures that show what was asked"), x2="high:Q"
        ),
        coloured.mark_circle(size=size, opacity=1).encode(x="rate:Q"),
    ]
    if written:
        said = base.mark_text(dy=-14, fontSize=13, color=_ink())
        layers.append(said.encode(x="middle:Q", text="words:N"))
    lanes = rates[row].nunique() * rates[series].nunique()
    return _as_high(alt.layer(*layers), round(lanes * step * BETWEEN_ROWS))


def difference_chart(difference: Difference) -> alt.LayerChart:
    """The difference with its interval, zero, and the differences too small to be noticed."""
    end = min(
        1.0, max(0.1, 1.15 * max(abs(difference.low), abs(difference.high), difference.detectable))
    )
    unseen = min(end, difference.detectable)
    table = pd.DataFrame(
        {
            "low": [difference.low],
            "high": [difference.high],
            "value": [difference.value],
            "unseen_low": [-unseen],
            "unseen_high": [unseen],
            "zero": [0.0],
        }
    )
    base = alt.Chart(table)
    share = alt.X(
        "low:Q",
        title="How much more often the second is right (percentage points)",
        scale=alt.Scale(domain=[-end, end]),
        axis=alt.Axis(format="+.0%", tickCount=9),
    )
    band = base.mark_rect(opacity=0.18, color=GREY).encode(
        x=alt.X("unseen_low:Q", scale=alt.Scale(domain=[-end, end])), x2="unseen_high:Q"
    )
    zero = base.mark_rule(color=_ink(), strokeDash=[4, 4]).encode(x=alt.X("zero:Q"))
    interval = base.mark_rule(strokeWidth=6, opacity=0.5, color=accent()).encode(
        x=share, x2="high:Q", y=alt.value(38)
    )
    dot = base.mark_circle(size=220, opacity=1, color=accent()).encode(
        x="value:Q",
        y=alt.value(38),
        tooltip=[
            alt.Tooltip("value:Q", title="Difference", format="+.1%"),
            alt.Tooltip("low:Q", title="From", format="+.1%"),
            alt.Tooltip("high:Q", title="To", format="+.1%"),
        ],
    )
    return alt.layer(band, zero, interval, dot).properties(height=130)


def instead_chart(
    instead: pd.DataFrame, asked: Sequence[str], painted: Sequence[str]
) -> alt.LayerChart:
    """Asked by painted, the number of pictures in each field, both in the given order."""
    dark = st.context.theme.type == "dark"
    shades = ["#12293a", SKY] if dark else ["#e3f0f8", BLUE]
    half = instead["pictures"].max() / 2
    strong, weak = ("#000000", "#ffffff") if dark else ("#ffffff", "#000000")
    table = instead.assign(ink=[strong if many > half else weak for many in instead["pictures"]])
    base = alt.Chart(table).encode(
        x=alt.X(
            "painted:N",
            title="Painted in its place",
            sort=list(painted),
            axis=alt.Axis(
                labelAngle=-40, labelAlign="left", labelLimit=140, labelOverlap=False, orient="top"
            ),
        ),
        y=alt.Y("asked:N", title="Asked for", sort=list(asked), axis=alt.Axis(labelLimit=180)),
        tooltip=[
            alt.Tooltip("asked:N", title="Asked for"),
            alt.Tooltip("painted:N", title="Painted"),
            alt.Tooltip("pictures:Q", title="Pictures", format=","),
            alt.Tooltip("pairs:Q", title="In pairs", format=","),
            alt.Tooltip("share:Q", title="Of pictures that lack it", format=".0%"),
        ],
    )
    field = base.mark_rect(cornerRadius=3).encode(
        color=alt.Color("pictures:Q", scale=alt.Scale(range=shades), legend=None)
    )
    number = base.mark_text(fontSize=12).encode(
        text=alt.Text("pictures:Q", format=","), color=alt.Color("ink:N", scale=None)
    )
    return _as_high(
        alt.layer(field, number).resolve_scale(color="independent"), 26 * table["asked"].nunique()
    )


def _as_high(chart: alt.LayerChart, pixels: int) -> alt.LayerChart:
    """As high as its rows want, its axes beside; only its width follows the page. (A height by
    steps would say the same, and Vega warns of it wherever a chart fits its page.)
    """
    size = alt.AutoSizeParams(type="fit-x", contains="padding")
    return chart.properties(height=pixels, autosize=size)


def map_chart(
    points: pd.DataFrame, colours: Mapping[str, str], ringed: pd.DataFrame
) -> alt.LayerChart:
    """Pictures on a plane (columns ``across``, ``up``, ``shows``, ``prompt``, ``where``, ``key``).

    Args:
        points: A row a picture.
        colours: Of what ``shows`` may say, in the order of the legend.
        ringed: Rows that a ring stands round.
    """

    def axis(channel: type[alt.X | alt.Y], column: str, title: str) -> alt.X | alt.Y:
        return channel(
            f"{column}:Q",
            title=title,
            scale=alt.Scale(zero=False),
            axis=alt.Axis(labels=False, ticks=False, grid=False),
        )

    across = axis(alt.X, "across", "First principal component")
    up = axis(alt.Y, "up", "Second principal component")
    marks = alt.Chart(points).mark_circle(size=45, opacity=0.75, cursor="pointer")
    drawn = marks.encode(
        x=across,
        y=up,
        color=alt.Color(
            "shows:N",
            title=None,
            scale=alt.Scale(domain=list(colours), range=list(colours.values())),
            legend=alt.Legend(orient="top", labelLimit=400, symbolOpacity=1),
        ),
        tooltip=[
            alt.Tooltip("prompt:N", title="Prompt"),
            alt.Tooltip("where:N", title="By"),
            alt.Tooltip("shows:N", title="Seen"),
        ],
    )
    ring = alt.Chart(ringed).mark_point(size=220, strokeWidth=3, color=_ink())
    return alt.layer(drawn, ring.encode(x=across, y=up)).properties(height=460)


CLICK = "click"


def clicked(chart: alt.LayerChart, *fields: str) -> alt.LayerChart:
    """The chart, whose marks a click chooses; ``fields`` of the row come back by :func:`clicks`."""
    chooses = alt.selection_point(name=CLICK, fields=list(fields), on="click", empty=False)
    chart.layer[0] = chart.layer[0].add_params(chooses)
    return chart


def clicks(event: Any) -> dict[str, Any] | None:
    """The row of the mark that was clicked; None where none was."""
    found = event.selection.get(CLICK) or []
    return dict(found[0]) if found else None


def growth_chart(growth: pd.DataFrame) -> alt.LayerChart:
    """Pictures and scores over the last minutes (columns ``minutes``, ``what``, ``number``)."""
    base = alt.Chart(growth).encode(
        x=alt.X(
            "minutes:Q",
            title="Minutes ago",
            scale=alt.Scale(nice=False, reverse=True),
            axis=alt.Axis(format="d", tickMinStep=1),
        ),
        y=alt.Y("number:Q", title="Pictures", scale=alt.Scale(zero=False)),
    )
    line = base.mark_line(color=accent(), strokeWidth=3)
    return alt.layer(line, base.mark_circle(color=accent(), size=40)).properties(height=200)
