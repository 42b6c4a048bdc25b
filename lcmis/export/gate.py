"""A gate's rulings for other programs: JUnit's XML, and Markdown for the page of a job."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lcmis.errors import ConfigError
from lcmis.findings.gate import Gate
from lcmis.judge import Ruling
from lcmis.machine.files import replacing


def write_junit(gates: Sequence[Gate], path: Path) -> None:
    """One test case a condition: a failure, or an error with the reason where it cannot tell.

    An error and not a skipped case: what is skipped leaves a build green in GitLab, in Jenkins and
    in GitHub's reporters of tests, an error makes it red in all of them.

    Raises:
        ConfigError: the file cannot be written.
    """
    from junitparser import Error, Failure, JUnitXml, TestCase, TestSuite

    report: Any = JUnitXml("lcmis gate")
    for gate in gates:
        suite = TestSuite(_printable(gate.model))
        suite.add_property("checker", _printable(gate.checker))
        for condition in gate.conditions:
            case = TestCase(condition.name, classname=_printable(gate.model))
            sentence = _printable(condition.sentence)
            if condition.ruling is Ruling.FAIL:
                case.result = [Failure(sentence)]
            elif condition.ruling is Ruling.UNDECIDED:
                case.result = [Error(f"cannot tell: {sentence}")]
            else:
                case.system_out = sentence
            suite.add_testcase(case)
        report.add_testsuite(suite)
    report.update_statistics()
    with replacing(path) as draft:
        report.write(str(draft), pretty=True)


def _printable(text: str) -> str:
    """Without the control characters that XML cannot hold."""
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "\ufffd", text)


def add_summary(gates: Sequence[Gate], path: Path) -> None:
    """Write :func:`markdown` at the end of a file, as the page of a job wants it.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(markdown(gates))
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written ({error.strerror}): name another file"
        ) from error


def markdown(gates: Sequence[Gate]) -> str:
    """A summary for a pull request or a job's page."""
    lines = []
    for gate in gates:
        lines += [
            f"### {_cell(gate.model)}: {gate.ruling}",
            "",
            "| condition | ruling | measured | 95 % interval | limit |",
            "| --- | --- | ---: | ---: | ---: |",
        ]
        for one in gate.conditions:
            measured = one.measured
            lines.append(
                f"| {one.name} | **{one.ruling}** | {measured.value:.1%} | "
                f"{measured.low:.1%} to {measured.high:.1%} | {one.limit:.1%} |"
            )
        lines += ["", *(f"- {_cell(one.sentence)}." for one in gate.conditions), ""]
        lines += [f"Checked by {_cell(gate.checker)}.", ""]
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Text that is no markup."""
    return re.sub(r"([\\`*_{}\[\]<>#|!])", r"\\\1", " ".join(text.split()))
