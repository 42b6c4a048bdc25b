"""A report's values → HTML and Markdown, in which foreign text is text and nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lcmis import __version__
from lcmis.export.report.contents import Report
from lcmis.findings import RepairFinding, Told, words
from lcmis.findings.words import outcome
from lcmis.judge import FEW_LABELS, UNNAMED, Decision
from lcmis.machine import letters
from lcmis.types import Answer, Verdict

_SHADES = 8
"""Of the cells of a matrix, as classes in the style sheet."""


def html(report: Report) -> str:
    """One file; its content policy lets it load nothing but its own style and pictures."""
    environment = _environment(autoescape=True)
    style = environment.get_template("report.css").render()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return _rendered(environment, "report.html.j2", report, style=Markup(style), digest=digest)


def markdown(report: Report) -> str:
    """The same in words and tables; pictures by their keys."""
    text = _rendered(_environment(autoescape=False), "report.md.j2", report)
    return re.sub(r"\n{3,}", "\n\n", text)


def _rendered(environment: Environment, template: str, report: Report, **beside: Any) -> str:
    return environment.get_template(template).render(
        report=report,
        version=__version__,
        Verdict=Verdict,
        Decision=Decision,
        UNNAMED=UNNAMED,
        FEW_LABELS=FEW_LABELS,
        UNKNOWN_WORDS=words.UNKNOWN_WORDS,
        **beside,
    )


def environment_of(package: str, *, autoescape: bool = True) -> Environment:
    """Templates of a package, in which letters that act are spelled out: of pages, or of Markdown.

    Rates, counts, moments and decisions are said by the filters that bear their names.
    """
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=autoescape,
        finalize=_shown if autoescape else _shown_in_markdown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        rate=words.rate,
        several=words.several,
        decision=words.decision,
        short_key=words.short_key,
        moment=words.moment,
        rule=words.rule,
        counted=words.counted,
        certificate=words.certificate,
    )
    return environment


@lru_cache(maxsize=2)
def _environment(*, autoescape: bool) -> Environment:
    environment = environment_of("lcmis.export.report", autoescape=autoescape)
    environment.filters.update(
        percent=words.percent,
        p_value=words.p_value,
        verdict=words.verdict,
        elsewhere=words.elsewhere,
        standing=words.standing,
        outcome=_outcome,
        reply=words.reply,
        asking=words.asking,
        answered=words.answered,
        beside=words.beside,
        surely=_surely,
        score=words.score,
        shade=_shade,
        megabytes=words.megabytes,
    )
    return environment


def _outcome(found: RepairFinding) -> str:
    return outcome(passed=found.certificate.passed, proved=found.standing.proved)


def _surely(told: Told) -> list[tuple[Answer, str]]:
    """Each answer with how surely it holds, the interval of a counted share beside it."""
    shares = zip(told.answers, told.ranges, strict=True)
    return [(answer, words.told_range(answer, share, told.counted)) for answer, share in shares]


def _shown(value: Any) -> Any:
    """What every expression of a page passes through: letters that act are spelled out."""
    foreign = isinstance(value, str) and not isinstance(value, Markup)
    return letters.visible(value) if foreign else value


def _shown_in_markdown(value: Any) -> Any:
    """The same, and no letter is markup: no picture is fetched, no link made."""
    shown = _shown(value)
    foreign = isinstance(shown, str) and not isinstance(shown, Markup)
    return re.sub(r"([\\`*_{}\[\]<>#|~$!&@:/])", r"\\\1", shown) if foreign else shown


def _shade(count: int, most: int) -> int:
    """From 1 to :data:`_SHADES`, by the share of the largest."""
    return max(1, round(_SHADES * count / most))
