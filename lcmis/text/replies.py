"""What stands in an answer of a chat endpoint: words, the odds of the first one, who said them."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lcmis.machine.pictures import flat
from lcmis.text.complaints import parsed
from lcmis.text.endpoint import Outcome, clean, cut

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_REPLY_LETTERS = 2**16
MAX_THOUGHT_LETTERS = 4000
"""Of a thought, as it is kept beside a reply."""
MAX_ODDS = 1000
"""Words with their odds that are read; a service that is asked for twenty gives as many."""
MAX_NAME_LETTERS = 200
THOUGHTS = ("reasoning_content", "reasoning", "thinking")
"""Where services write a thought beside the reply."""


class NoReply(ValueError):
    """The body of an answer holds none that can be used; the words say why."""


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """The body of an answer with status 200, taken apart."""

    choices: tuple[dict[str, Any], ...]
    """At least one; each has a message."""
    model: str = ""
    """As the service calls what answered; empty where it does not say."""
    fingerprint: str = ""
    """Of the version behind that name, where it says."""
    tokens_read: int | None = None
    """Pictures counted as the service counts them; None where it does not say."""
    tokens_written: int | None = None
    """Thoughts counted, of all choices together."""


def answer_in(body: bytes, mend: Callable[[str], str]) -> ChatAnswer:
    """What an answer holds.

    Args:
        body: of an answer with status 200.
        mend: makes every text in it fit to be shown.

    Raises:
        NoReply: it is no JSON, or holds no message.
    """
    try:
        answer = parsed(body)
    except ValueError:
        begins = cut(mend(body.decode("utf-8", "replace")), 80)
        raise NoReply(f"an answer that is no JSON, beginning {begins!r}") from None
    choices = answer.get("choices") if isinstance(answer, dict) else None
    found = [one for one in choices if _has_message(one)] if isinstance(choices, list) else []
    if not found:
        raise NoReply("an answer without a message in it")
    usage = answer.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return ChatAnswer(
        choices=tuple(found),
        model=_name(answer.get("model"), mend),
        fingerprint=_name(answer.get("system_fingerprint"), mend),
        tokens_read=_count(usage.get("prompt_tokens")),
        tokens_written=_count(usage.get("completion_tokens")),
    )


def said_in(choice: dict[str, Any], mend: Callable[[str], str]) -> Outcome:
    """The reply's text in one choice; a thought beside it is none."""
    message = choice["message"]
    if refusal := refusal_in(choice, mend):
        return Outcome(reason=refusal, status=200)
    if choice.get("finish_reason") == "length":
        return Outcome(reason="the reply was cut off: raise max_tokens", status=200)
    content = text_in(choice)
    if not clean(content).strip():
        thought = any(message.get(name) for name in THOUGHTS)
        beside = " beside a thought: raise max_tokens" if thought else ""
        return Outcome(reason=f"an empty message{beside}", status=200)
    if len(content) > MAX_REPLY_LETTERS:
        return Outcome(reason=f"a reply of {len(content)} letters", status=200)
    return Outcome(reply=clean(content), status=200)


def refusal_in(choice: dict[str, Any], mend: Callable[[str], str]) -> str:
    """In which words a service will not answer; empty where it does."""
    refusal = choice["message"].get("refusal")
    if isinstance(refusal, str) and refusal:
        return f"it refused: {cut(mend(refusal), 200)}"
    if choice.get("finish_reason") == "content_filter":
        return "the endpoint's content filter withheld the reply"
    return ""


def text_in(choice: dict[str, Any]) -> str:
    """The words of a message, as one text or in parts; empty where there are none."""
    content = choice["message"].get("content")
    if isinstance(content, list):
        return "".join(
            part["text"]
            for part in content
            if isinstance(part, dict)
            and isinstance(part.get("text"), str)
            and part.get("type", "text") in ("text", "output_text")
        )
    return content if isinstance(content, str) else ""


def thought_in(choice: dict[str, Any], mend: Callable[[str], str]) -> str:
    """A thought that stands beside the reply."""
    found = (choice["message"].get(name) for name in THOUGHTS)
    said = next((one for one in found if isinstance(one, str) and one), "")
    return mend(said[:MAX_THOUGHT_LETTERS])


def first_odds(
    choice: dict[str, Any], mend: Callable[[str], str]
) -> tuple[tuple[str, float], ...] | None:
    """What the reply's first token may be, each word with the logarithm of its probability.

    Words are as the service spells them, blanks before them included; numbers are as it gives
    them, not finite ones and those above zero included. None where it tells of none.
    """
    told = choice.get("logprobs")
    places = told.get("content") if isinstance(told, dict) else None
    first = places[0] if isinstance(places, list) and places else None
    likely = first.get("top_logprobs") if isinstance(first, dict) else None
    if not isinstance(likely, list) or not likely:
        return None
    return tuple((_token(one, mend), _odds(one)) for one in likely[:MAX_ODDS])


def _token(one: Any, mend: Callable[[str], str]) -> str:
    token = one.get("token") if isinstance(one, dict) else None
    return mend(token[:200]) if isinstance(token, str) else ""


def _odds(one: Any) -> float:
    odds = one.get("logprob") if isinstance(one, dict) else None
    if isinstance(odds, bool) or not isinstance(odds, int | float) or abs(odds) > 1e300:
        return math.nan
    return float(odds)


def _has_message(choice: Any) -> bool:
    return isinstance(choice, dict) and isinstance(choice.get("message"), dict)


def _name(said: Any, mend: Callable[[str], str]) -> str:
    return cut(mend(said), MAX_NAME_LETTERS) if isinstance(said, str) else ""


def _count(said: Any) -> int | None:
    is_count = isinstance(said, int) and not isinstance(said, bool) and 0 <= said < 10**12
    return said if is_count else None


# ── as it is kept ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class KeptReply:
    """One reply to a question with all that a reader may want to know of it."""

    said: str = ""
    """Clean; empty where there were no words."""
    thought: str = ""
    refusal: str = ""
    """Why there is no answer, in the service's words or for its filter."""
    is_cut: bool = False
    """Whether it ended because it might be no longer."""
    calls_tool: bool = False
    """Whether it asked for a tool to be run in place of answering."""
    first: tuple[tuple[str, float], ...] | None = None
    """As :func:`first_odds` has it."""
    model: str = ""
    fingerprint: str = ""
    tokens_read: int | None = None
    tokens_written: int | None = None
    """Of all replies that came together; told with the first of them."""

    def as_json(self) -> str:
        """On one line; what a service did not say is left out."""
        told = {
            "said": self.said,
            "thought": self.thought,
            "refusal": self.refusal,
            "cut": self.is_cut,
            "tool": self.calls_tool,
            "model": self.model,
            "fingerprint": self.fingerprint,
            "tokens_read": self.tokens_read,
            "tokens_written": self.tokens_written,
            "first": self.first
            and [[word, odds if math.isfinite(odds) else str(odds)] for word, odds in self.first],
        }
        kept = {name: value for name, value in told.items() if value or name == "said"}
        return json.dumps(kept, ensure_ascii=False)


def kept_replies(answer: ChatAnswer, mend: Callable[[str], str]) -> list[KeptReply]:
    """Every choice of an answer; what was read and written is told with the first."""
    return [
        KeptReply(
            said=mend(text_in(choice)[:MAX_REPLY_LETTERS]),
            thought=thought_in(choice, mend),
            refusal=refusal_in(choice, mend),
            is_cut=choice.get("finish_reason") == "length",
            calls_tool=bool(choice["message"].get("tool_calls")),
            first=first_odds(choice, mend),
            model=answer.model,
            fingerprint=answer.fingerprint,
            tokens_read=answer.tokens_read if place == 0 else None,
            tokens_written=answer.tokens_written if place == 0 else None,
        )
        for place, choice in enumerate(answer.choices)
    ]


def kept_reply(text: str) -> KeptReply:
    """The reply that :meth:`KeptReply.as_json` wrote.

    Raises:
        ValueError: it is another text.
    """
    told = json.loads(text)
    if not isinstance(told, dict) or "said" not in told:
        raise ValueError("no reply that was kept")
    first = told.get("first")
    return KeptReply(
        said=told["said"],
        thought=told.get("thought", ""),
        refusal=told.get("refusal", ""),
        is_cut=told.get("cut", False),
        calls_tool=told.get("tool", False),
        first=first and tuple((word, float(odds)) for word, odds in first),
        model=told.get("model", ""),
        fingerprint=told.get("fingerprint", ""),
        tokens_read=told.get("tokens_read"),
        tokens_written=told.get("tokens_written"),
    )


# ── pictures on the way there ────────────────────────────────────────────────────────────────────


def data_url(picture: Image) -> str:
    """A picture as an address that holds it: PNG, every pixel as it is."""
    buffer = io.BytesIO()
    flat(picture).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
