"""What a service says is wrong, read from the body of an answer in whatever shape it has one."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

MAX_PARTS = 500
"""Values of a complaint that are looked at: a person's sentence needs a handful."""
MAX_DEPTH = 8
MAX_VALUES = 200_000
"""Of an answer in JSON: letters that are few in a body may be many values in memory."""
MAX_LETTERS = 2000
"""Of one value, and of a body that is no JSON: a longer one is somebody's web page."""

WORDS = (
    "message",
    "msg",
    "error",
    "detail",
    "reason",
    "reasons",
    "description",
    "title",
    "error_message",
    "error_description",
    "errors",
    "failure_reason",
    "raifilteredreason",
    "status",
)
"""Where services write for people, the best place first."""
CODES = frozenset(
    {
        "code",
        "type",
        "error",
        "error_code",
        "name",
        "kind",
        "status",
        "reason",
        "finish_reason",
        "finishreason",
        "blockreason",
        "block_reason",
    }
)
"""Where services write for programs."""
ABOUT = frozenset({"param", "loc", "field", "parameter"})
"""Where services name what of the request they mean."""
ECHOES = frozenset({"input", "flagged_input", "prompt", "revised_prompt", "ctx"})
"""Where services say our own words again."""

MODERATED = re.compile(
    r"moderat(?!e(?:ly)?\b)|content[ _-]?(polic|filter|management|violat|checker|safety)|"
    r"safety[ _-]?(system|filter|polic|check|setting|guideline|violation|rating)|"
    r"usage[ _-]polic|responsible ?ai|\brai\b|nsfw|\bflagged\b|data_?inspection|"
    r"(prohibited|sensitive|inappropriate|unsafe|harmful|explicit|disallowed)[ _-]?"
    r"(content|image|prompt|word|material|text)|"
    r"(prompt|content|image)s? (was|were|has been|have been|is|are) "
    r"(blocked|rejected|filtered|refused)|"
    r"violat\w* (of )?(\w+ ){0,5}(polic|guideline|terms|rule)|policy[ _-]?violation|"
    r"敏感|违规|不安全|内容安全",
    re.IGNORECASE,
)
"""How services say that they will not do it for this prompt."""
MODERATED_CODE = re.compile(r"(^|[_.:-])(safety|blocklist|nsfw)($|[_.:-])")
SPENT_CODES = frozenset(
    {
        "billing_not_active",
        "exceeded_current_quota_error",
        "credit_balance_too_low",
        "out_of_credits",
        "arrearage",
        "account_deactivated",
        "account_disabled",
        "account_suspended",
        "account_not_active",
        "organization_deactivated",
        "access_terminated",
    }
)
SPENT = re.compile(
    r"(insufficient|not[ _]enough)[ _]?(quota|balance|credit|fund)|billing[ _](hard[ _])?limit|"
    r"account_?overdue|余额不足|欠费|"
    r"(billing|account|subscription) (is |details )?not (yet )?active|"
    r"(credit|account)s? balance is (too low|insufficient|negative|exhausted)|"
    r"payment[ _](is )?required|(out of|no|no more) credits|"
    r"exceeded your (monthly|included|prepaid)|"
    r"(account|organi[sz]ation|subscription|workspace|project)\b[^.]{0,60}? "
    r"(has been|have been|was|is|got) (\w+ )?"
    r"(deactivated|suspended|terminated|banned|disabled|flagged|in arrears|overdue)",
    re.IGNORECASE,
)
"""How services say that nothing more comes until somebody pays, or writes to them."""
PLAN = re.compile(r"check your plan and billing", re.IGNORECASE)
"""Said of money, and by some of a limit that is over in a minute: then they say when."""
FILTERED = re.compile(
    r"(is_?)?(filtered|moderated|flagged|blocked|nsfw|content_?filtered|has_nsfw_concepts?|"
    r"nsfw_?content_?detected)",
    re.IGNORECASE,
)
"""Flags that are true where something was withheld."""


class Meant(enum.Enum):
    """What a complaint comes to."""

    SPENT = "spent"
    """Money, or the account itself: the next request fares no better."""
    WITHHELD = "withheld"
    """What was asked for is the reason: another prompt may well be answered."""
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a service says is wrong."""

    words: str = ""
    """For a person, one line after another; empty where it says nothing."""
    codes: frozenset[str] = frozenset()
    """What it calls it, in small letters."""
    about: frozenset[str] = frozenset()
    """The parts of the request that it names, in small letters."""
    flags: tuple[str, ...] = ()
    """Filters that say they struck, such as ``violence is filtered``."""
    status: int = 0
    """An HTTP status that stands in the body; 0 without one."""
    wait: float = 0.0
    """Seconds that it asks for in the body."""
    is_error: bool = False
    """Whether the body calls itself an error."""

    def meant(self, asked: str = "") -> Meant:
        """What it comes to; what it calls it goes before what it says.

        Args:
            asked: our own words, which it may say again; they do not count.
        """
        if self.codes & SPENT_CODES or any(map(SPENT.search, self.codes)):
            return Meant.SPENT
        if self.flags or any(
            MODERATED.search(code) or MODERATED_CODE.search(code) for code in self.codes
        ):
            return Meant.WITHHELD
        said = self._own(asked)
        if SPENT.search(said) or (not self.wait and PLAN.search(said)):
            return Meant.SPENT
        return Meant.WITHHELD if MODERATED.search(said) else Meant.OTHER

    def names(self, *parts: str, asked: str = "") -> bool:
        """Whether it means one of these parts of the request; ``asked`` as for :meth:`meant`."""
        said = self._own(asked).casefold()
        return any(part in self.about or part in said for part in parts)

    def _own(self, asked: str) -> str:
        """Its words without ours."""
        return self.words.replace(asked.strip(), " ") if asked.strip() else self.words

    def told(self) -> str:
        """All of it in one line; empty where it says nothing."""
        parts = dict.fromkeys((*self.words.split("\n"), *self.flags))
        said = "; ".join(" ".join(part.split()).rstrip(".") for part in parts if part.strip())
        return said or ", ".join(sorted(self.codes))


def parsed(body: bytes) -> Any:
    """An answer's JSON.

    Raises:
        ValueError: it is none, or nested too deep, or holds far more values than an answer does.
    """
    if sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise ValueError(f"more than {MAX_VALUES} values")
    try:
        return json.loads(body)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def complaint(body: bytes, mend: Callable[[str], str] = str) -> Complaint:
    """What the body of an answer complains of, JSON or not.

    Args:
        body: as it came.
        mend: makes every text in it fit to be shown, before anything is cut off.
    """
    text = body.decode("utf-8", "replace")
    try:
        return complaint_in(parsed(text.removeprefix("\ufeff").encode()), mend)
    except ValueError:
        begins = text[:1000].casefold()
        if len(text) > MAX_LETTERS or "<html" in begins or "<!doctype" in begins:
            return Complaint()
        return Complaint(words=mend(text).strip().partition("\n")[0])


def complaint_in(said: Any, mend: Callable[[str], str] = str) -> Complaint:
    """As :func:`complaint`, of JSON that was read."""
    if isinstance(said, str):
        return Complaint(words=mend(said).strip()[:MAX_LETTERS], is_error=True)
    words: dict[str, int] = {}
    codes: set[str] = set()
    about: set[str] = set()
    flags: dict[str, None] = {}
    status, wait = 0, 0.0
    for count, (path, value) in enumerate(_leaves(said)):
        if count >= MAX_PARTS:
            break
        names = [part.casefold() for part in path]
        if ECHOES.intersection(names):
            continue
        name = names[-1] if names else ""
        if isinstance(value, str) and (text := mend(value).strip()[:MAX_LETTERS]):
            if name in CODES and re.fullmatch(r"[\w.:-]{1,80}", text):
                codes.add(text.casefold())
            elif name in WORDS or not names:
                words.setdefault(text, WORDS.index(name) if name in WORDS else 0)
            if ABOUT.intersection(names):
                about.add(text.casefold())
        if (value is True and FILTERED.fullmatch(name)) or (
            value is False and name == "respect_moderation"
        ):
            flags[mend(" ".join(path[-2:])).replace("_", " ")[:80]] = None
        if name in ("code", "status", "status_code", "error_code"):
            status = status or _status(value)
        if name in ("retrydelay", "retry_after", "retryafter"):
            wait = wait or _seconds(value)
    return Complaint(
        words="\n".join(sorted(words, key=words.__getitem__)),
        codes=frozenset(codes),
        about=frozenset(about),
        flags=tuple(flags),
        status=status,
        wait=wait,
        is_error=_calls_itself_an_error(said),
    )


def _calls_itself_an_error(said: Any) -> bool:
    if not isinstance(said, dict):
        return False
    if any(said.get(name) for name in ("error", "errors", "detail")):
        return True
    return said.get("success") is False or said.get("status") in ("error", "failed", "failure")


def _leaves(said: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value that holds no others, with the names that lead to it; lists have none."""
    if isinstance(said, dict):
        for name, value in said.items() if len(path) < MAX_DEPTH else ():
            yield from _leaves(value, (*path, str(name)))
    elif isinstance(said, list):
        for value in said:
            if not isinstance(value, list):  # lists in lists say nothing
                yield from _leaves(value, path)
    else:
        yield path, said


def _status(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return 0
    text = value if isinstance(value, str) else str(value) if 0 <= value < 1000 else ""
    return int(text) if re.fullmatch(r"[45][0-9][0-9]", text) else 0


def _seconds(value: Any) -> float:
    """``34``, ``"34"`` or ``"34s"`` as seconds; 0 for anything else."""
    said = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*s?", str(value)[:30].strip())
    return float(said[1]) if said else 0.0
