"""Chat endpoints through the openai client: limits, and a ladder for JSON."""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from lcmis.errors import ConfigError, ProposalError, ServiceClosed, TextModelError
from lcmis.plugins.settings import TextModelSettings
from lcmis.text.complaints import Meant
from lcmis.text.endpoint import (
    Outcome,
    clean,
    client,
    cut,
    finish,
    mended,
    persist,
    redacted,
    send,
    service_at,
)
from lcmis.text.prompts import wording
from lcmis.text.replies import NoReply, answer_in, data_url, said_in
from lcmis.text.thoughts import answer_of
from lcmis.types import Exchange, content_key

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_BODY_BYTES = 2**22
"""A reply's body, headers not counted; more is cut off and refused."""
MAX_NESTING = 40
"""Brackets within brackets of a JSON reply; ours need four."""
MAX_PIECES = 200
MAX_MENDED_LETTERS = 2**12
"""A longer reply that is no sound JSON is not mended: the time that takes grows with its square."""
TOO_MUCH_ASKED = frozenset({400, 404, 415, 422, 500, 501})
"""Statuses with which endpoints answer a response format that they do not know."""


class Rung(StrEnum):
    """How strongly JSON is asked for; the further down, the more endpoints understand it."""

    PLAIN = "plain"
    """As the question stands: where nothing is enforced, and the question says the shape."""
    JSON_SCHEMA = "json_schema"
    JSON_OBJECT = "json_object"
    TEXT = "text"


Recorder = Callable[[Exchange], None]
"""Is told of every exchange as it ends, failed ones included."""


# ── what every text model shares ─────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Request:
    """All that decides a reply."""

    model: str
    messages: tuple[tuple[str, str], ...]
    """``(role, text)`` in order."""
    images: tuple[str, ...]
    """SHA-256 of each picture's mode, size and pixels."""
    schema: str
    """The JSON schema asked for; empty where any text will do."""
    max_tokens: int
    temperature: float | None
    rung: Rung | None = None
    """None where it is left to the model how JSON is asked for."""
    pictures: tuple[Image, ...] = field(default=(), metadata={"identity": False}, compare=False)

    @property
    def key(self) -> str:
        """Named by all that decides the reply: the same question is found again by this."""
        return content_key(self)

    def exchange(self, reply: str, reason: str, started: float) -> Exchange:
        """What came of it, as a fact; ``started`` on the monotonic clock, in seconds."""
        seconds = time.monotonic() - started
        began = datetime.now(UTC) - timedelta(seconds=seconds)
        return Exchange(
            request=self.key,
            model=self.model,
            messages=self.messages,
            reply=reply,
            reason=reason,
            images=self.images,
            schema=self.schema,
            seconds=round(seconds, 3),
            at=began.isoformat(timespec="seconds"),
        )


def request_of(
    model_id: str,
    settings: TextModelSettings,
    messages: Sequence[dict[str, str]],
    images: Sequence[Image] = (),
    schema: dict[str, Any] | None = None,
) -> Request:
    """What :meth:`lcmis.plugins.protocols.TextModel.complete` is asked, as a value."""
    return Request(
        model=model_id,
        messages=tuple((said["role"], clean(said["content"])) for said in messages),
        images=tuple(map(_picture_hash, images)),
        schema="" if schema is None else json.dumps(schema, sort_keys=True),
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        pictures=tuple(images),
    )


def _picture_hash(image: Image) -> str:
    return hashlib.sha256(f"{image.mode} {image.size}\n".encode() + image.tobytes()).hexdigest()


class AsksForJson(ABC):
    """The ladder: asks for JSON as strongly as the endpoint bears, reads tolerantly, asks twice.

    A schema is enforced by the endpoint if it can, else it stands in the message. The rung that
    worked is where the next question starts.
    """

    model_id: str
    sees_images: bool
    rungs: tuple[Rung, ...] = (Rung.JSON_SCHEMA, Rung.JSON_OBJECT, Rung.TEXT)
    """Ways to ask for JSON, the first tried first."""

    def __init__(self, settings: TextModelSettings, record: Recorder | None = None) -> None:
        if not 0 < settings.deadline_seconds < math.inf or settings.max_tokens < 1:
            raise ConfigError(
                f"{settings.name}: deadline_seconds and max_tokens are numbers above zero"
            )
        if settings.temperature is not None and not 0 <= settings.temperature < math.inf:
            raise ConfigError(f"{settings.name}: the temperature is a number from 0 up")
        self._settings = settings
        self.record = record
        """As :class:`lcmis.plugins.protocols.TellsAttempts` has it."""
        self._rung = self.rungs[0]

    def complete(
        self,
        messages: Sequence[dict[str, str]],
        images: Sequence[Image] = (),
        schema: dict[str, Any] | None = None,
    ) -> str:
        """The reply's text; with a schema, JSON that is valid against it, each string cleaned.

        Args:
            messages: ``{"role": …, "content": …}`` each.
            images: shown with the last message, as PNG.
            schema: JSON schema of an object; with ``additionalProperties: false`` and everything
                required, endpoints that can enforce it do.

        Raises:
            TextModelError: no reply within the deadline, a refusal, or an answer that holds none.
            ProposalError: two replies could not be read as JSON of this shape, or a reply is only
                a thought.
            ServiceClosed: key, account, model or address are wrong.
        """
        if images and not self.sees_images:
            raise TextModelError(
                f"{self.model_id} was shown {len(images)} pictures and sees none: "
                f"choose a text model that does, and say so with --vision, or sees_images = true"
            )
        deadline = time.monotonic() + self._settings.deadline_seconds
        request = request_of(self.model_id, self._settings, messages, images, schema)
        if schema is not None:
            return self._climb_down(request, schema, deadline)
        said = answer_of(self._reply(replace(request, rung=Rung.TEXT), deadline))
        if said.problem:
            raise ProposalError(f"{self.model_id} gave a reply that cannot be used: {said.problem}")
        return self._hidden(said.text)

    def _climb_down(self, request: Request, schema: dict[str, Any], deadline: float) -> str:
        for rung in self.rungs[self.rungs.index(self._rung) :]:
            asked = request
            if rung in (Rung.JSON_OBJECT, Rung.TEXT):
                asked = _with_more(request, wording("json").format(schema=request.schema))
            asked = replace(asked, rung=rung)
            outcome = self._told(asked, deadline)
            last = rung is Rung.TEXT
            if _asks_too_much(outcome) and not last:
                continue
            self._refuse_failed(outcome)
            read = self._read(outcome.reply, schema)
            if read.is_json or last:
                break
        if not read.problem:
            self._rung = rung
            return read.text
        asked = replace(
            asked,
            messages=(
                *asked.messages,
                ("assistant", outcome.reply),
                ("user", wording("reask").format(problem=read.problem, schema=request.schema)),
            ),
        )
        read = self._read(self._reply(asked, deadline), schema)
        if read.problem:
            raise ProposalError(
                f"{self.model_id} was asked twice and its reply cannot be used: {read.problem}"
            )
        self._rung = rung
        return read.text

    def _reply(self, request: Request, deadline: float) -> str:
        outcome = self._told(request, deadline)
        self._refuse_failed(outcome)
        return outcome.reply

    def _read(self, reply: str, schema: dict[str, Any]) -> ReadJson:
        read = read_json(reply, schema)
        return replace(read, text=self._hidden(read.text), problem=self._hidden(read.problem))

    def _hidden(self, text: str) -> str:
        """A text as it may be shown and kept."""
        return text

    def _refuse_failed(self, outcome: Outcome) -> None:
        if outcome.ends_all:
            raise ServiceClosed(f"{self.model_id} {outcome.ends_all} ({outcome.reason})")
        if outcome.reason:
            raise TextModelError(f"{self.model_id} gave no reply: {outcome.reason}")

    def _told(self, request: Request, deadline: float) -> Outcome:
        started = time.monotonic()
        outcome = self._ask(request, deadline)
        if self.record is not None:
            self.record(request.exchange(outcome.reply, outcome.reason, started))
        return outcome

    @abstractmethod
    def _ask(self, request: Request, deadline: float) -> Outcome:
        """One question at one rung; a failure is an outcome with a reason.

        Args:
            request: its rung is never None.
            deadline: on the monotonic clock, in seconds.
        """


def _asks_too_much(outcome: Outcome) -> bool:
    """Whether the same question asked for less strongly may be answered."""
    too_much = outcome.status in TOO_MUCH_ASKED and outcome.meant is Meant.OTHER
    return bool(outcome.reason) and too_much


def _with_more(request: Request, text: str) -> Request:
    """The request with a paragraph more in its last message."""
    role, said = request.messages[-1]
    return replace(request, messages=(*request.messages[:-1], (role, f"{said}\n\n{text}")))


# ── an endpoint ──────────────────────────────────────────────────────────────────────────────────


class ChatModel(AsksForJson):
    """A model behind any endpoint that speaks the OpenAI chat protocol.

    Every try obeys one deadline, dripping bodies included; redirects are not followed and the
    usual proxy variables are not read, so that a prompt goes to the endpoint named and nowhere
    else; who must go through a proxy names it in LCMIS_PROXY.

    Args:
        settings: ``name`` is the model, as the endpoint calls it.
        record: told of every exchange.

    Raises:
        ConfigError: no model is named, or the endpoint is no plain http address, or holds a user
            name, password, query or fragment.
    """

    def __init__(self, settings: TextModelSettings, record: Recorder | None = None) -> None:
        if not settings.name.strip():
            raise ConfigError("a text model of kind openai needs a name: write the model's")
        super().__init__(settings, record)
        self._service = service_at(
            settings.endpoint, settings.key, settings.proxy, settings.api_version
        )
        self.model_id = f"chat:{settings.name}@{self._service.host}"
        self.sees_images = settings.sees_images
        self._limit_name = "max_tokens"

    def __repr__(self) -> str:
        return f"ChatModel({self.model_id!r})"

    def _ask(self, request: Request, deadline: float) -> Outcome:
        return finish(self._try(request, deadline))

    def _hidden(self, text: str) -> str:
        return redacted(text, self._service.key)

    async def _try(self, request: Request, deadline: float) -> Outcome:
        async with client(self._service, MAX_BODY_BYTES) as asked:

            async def attempt() -> Outcome:
                answer = asked.chat.completions.with_raw_response.create
                outcome = await send(
                    lambda: answer(**self._arguments(request)),
                    lambda body: _opened(body, mended(self._service.key)),
                    deadline,
                    self._settings.deadline_seconds,
                    self._service.key,
                    request.messages[-1][1],
                )
                if outcome.status == 400 and self._takes_another_limit(outcome):
                    return await attempt()
                gives_up = _asks_too_much(outcome) and request.rung != Rung.TEXT
                return replace(outcome, is_passing=False) if gives_up else outcome

            outcome, _ = await persist(attempt, deadline)
            return outcome

    def _takes_another_limit(self, outcome: Outcome) -> bool:
        """Newer models of OpenAI want the limit under another name; most others know only one."""
        if self._limit_name == "max_tokens" and "max_completion_tokens" in outcome.reason:
            self._limit_name = "max_completion_tokens"
            return True
        return False

    def _arguments(self, request: Request) -> dict[str, Any]:
        messages: list[dict[str, Any]] = [
            {"role": role, "content": text} for role, text in request.messages
        ]
        if request.pictures:
            shown = [
                {"type": "image_url", "image_url": {"url": data_url(p)}} for p in request.pictures
            ]
            # with the first question: a second one comes after the model's own reply
            place = max(i for i, said in enumerate(messages) if said["role"] != "assistant")
            if "assistant" in (said["role"] for said in messages):
                place = min(i for i, said in enumerate(messages) if said["role"] == "assistant") - 1
            text = {"type": "text", "text": messages[place]["content"]}
            messages[place]["content"] = [*shown, text]
        arguments: dict[str, Any] = {
            "model": self._settings.name,
            "messages": messages,
            self._limit_name: request.max_tokens,
        }
        if request.temperature is not None:
            arguments["temperature"] = request.temperature
        if request.rung == Rung.JSON_SCHEMA:
            named = {"name": "reply", "strict": True, "schema": json.loads(request.schema)}
            arguments["response_format"] = {"type": "json_schema", "json_schema": named}
        elif request.rung == Rung.JSON_OBJECT:
            arguments["response_format"] = {"type": "json_object"}
        return arguments


def _opened(body: bytes, mend: Callable[[str], str]) -> Outcome:
    """The reply's text in the body of an answer with status 200."""
    try:
        return said_in(answer_in(body, mend).choices[0], mend)
    except NoReply as error:
        return Outcome(reason=str(error), status=200)


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class ReadJson:
    """What a reply says as JSON."""

    text: str = ""
    """Canonical JSON, valid against the schema; empty if there is a problem."""
    problem: str = ""
    """One sentence for the model, or for a person."""
    is_json: bool = False
    """Whether there was JSON at all, valid or not."""


def read_json(reply: str, schema: dict[str, Any]) -> ReadJson:
    """Read JSON from a reply, tolerantly as to its dress, strictly as to its shape.

    Thoughts, fences and words around it are passed over, and small faults of spelling are mended.
    Of several pieces the last one that fits counts: those before it are examples and attempts.
    Values are never invented and nothing is guessed: what is missing, cut off, said twice under one
    name or taken back by a later piece is a problem.
    """
    said = answer_of(reply)
    if said.problem:
        return ReadJson(problem=said.problem)
    if _nesting(said.text) > MAX_NESTING:
        return ReadJson(problem=f"brackets are nested deeper than {MAX_NESTING}")
    pieces = _pieces(said.text)
    if not pieces:
        return ReadJson(problem="there is no JSON in it")
    fitting = [place for place, piece in enumerate(pieces) if not piece.wrong(schema)]
    last = fitting[-1] if fitting else -1
    later = [piece for piece in pieces[last + 1 :] if piece.answers(schema)]
    if fitting and not later:
        return pieces[last].read()
    if fitting:
        return ReadJson(problem="what comes after its JSON says something else", is_json=True)
    if len(later) == 1 and later[0].value is None and not later[0].begins_again(schema):
        mended = _mended(later[0])
        return replace(mended, problem=mended.problem or mended.wrong(schema)).read()
    if any(piece.value is None for piece in later):
        return ReadJson(problem="there are several pieces of broken JSON in it", is_json=True)
    tried = (later or pieces)[-1]
    return ReadJson(problem=tried.wrong(schema), is_json=True)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a reply that is JSON, or would be."""

    text: str
    value: Any = None
    """None where it is broken."""
    problem: str = ""
    """What is wrong with it whatever it was asked for."""

    def wrong(self, schema: dict[str, Any]) -> str:
        """Why it is not what was asked for; empty if it is."""
        import jsonschema

        if self.problem or self.value is None:
            return self.problem or "it is broken"
        wrong = jsonschema.exceptions.best_match(
            jsonschema.Draft202012Validator(schema).iter_errors(self.value)
        )
        if wrong is None:
            return ""
        place = "".join(f"[{part!r}]" for part in wrong.absolute_path)
        return cut(f"{place + ': ' if place else ''}{wrong.message}", 300)

    def answers(self, schema: dict[str, Any]) -> bool:
        """Whether it is an attempt at the answer: broken, or with a name that was asked for."""
        if self.value is None:
            return True
        said = self.value if isinstance(self.value, list) else [self.value]
        wanted = set(schema.get("properties", ()))
        return any(isinstance(one, dict) and wanted & set(one) for one in said)

    def begins_again(self, schema: dict[str, Any]) -> bool:
        """Whether what was asked for begins within it once more."""
        names = "|".join(map(re.escape, schema.get("properties", ())))
        begins = rf"""\{{\s*["'“‘]?(?:{names})["'”’]?\s*:"""
        return bool(names and re.search(begins, self.text[1:]))

    def read(self) -> ReadJson:
        """What is handed on."""
        if self.problem:
            return ReadJson(problem=self.problem, is_json=self.value is not None)
        return ReadJson(json.dumps(self.value, ensure_ascii=False), is_json=True)


class _NamedTwice(ValueError):
    """An object has two values of one name."""


def _object(items: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(items)
    if len(found) < len(items):
        raise _NamedTwice
    return found


_STRICT = json.JSONDecoder(object_pairs_hook=_object)
_TOLERANT = json.JSONDecoder()
_LIKE_JSON = re.compile(r"""\{\s*(?:["'“”‘’}]|//|/\*|[\w$]+\s*:)|\[\s*[{\["'“]""")
"""How a bracket goes on that is not prose."""


def _pieces(text: str) -> list[_Piece]:
    """Objects and lists in a text, whole or broken, in order, none within another."""
    found: list[_Piece] = []
    at = 0
    while (bracket := re.compile(r"[{\[]").search(text, at)) is not None:
        start = bracket.start()
        if len(found) >= MAX_PIECES:
            return [_Piece(text, problem=f"there are more than {MAX_PIECES} pieces of JSON in it")]
        try:
            value, at = _TOLERANT.raw_decode(text, start)
        except (ValueError, RecursionError):
            if _LIKE_JSON.match(text, start):
                at = _end_of(text, start)
                found.append(_Piece(text[start:at]))
            else:
                at = start + 1
            continue
        problem = ""
        try:
            _STRICT.raw_decode(text, start)
        except _NamedTwice:
            problem = "a name in it has two values"
        found += _piece(text[start:at], value, problem)
    return found


def _piece(text: str, value: Any, problem: str = "") -> list[_Piece]:
    """A value that says something; an object that stands alone in a list counts as itself."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        value = value[0]
    if not value:
        return []
    value = _cleaned(value)
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        problem = problem or "a number in it is not finite"
    return [_Piece(text, value, problem)]


def _end_of(text: str, start: int) -> int:
    """Where a bracket closes, those within strings counted too; the end if it never does."""
    depth = 0
    for at in range(start, len(text)):
        if text[at] in "[{":
            depth += 1
        elif text[at] in "]}":
            depth -= 1
            if not depth:
                return at + 1
    return len(text)


def _mended(piece: _Piece) -> _Piece:
    """A broken piece with its small faults of spelling mended; what was cut off stays missing."""
    import json_repair

    if piece.problem:
        return piece
    text = piece.text.partition("\n```")[0].rstrip()
    if len(text) > MAX_MENDED_LETTERS:
        return replace(piece, problem="there is no JSON in it")
    if text[-1:] not in "}]" and (_is_in_string(text) or text[-1:].isalnum()):
        return replace(piece, problem="its JSON is cut off")
    try:
        value = json_repair.loads(text, skip_json_loads=True)
    except (ValueError, RecursionError, IndexError, KeyError):
        value = None
    mended = _piece(text, value) if isinstance(value, dict | list) else []
    return mended[0] if mended else replace(piece, problem="there is no JSON in it")


def _is_in_string(text: str) -> bool:
    """Whether a text ends between quotes."""
    return re.sub(r"\\.", "", text, flags=re.DOTALL).count('"') % 2 == 1


def _nesting(text: str) -> int:
    """How deep brackets stand in brackets, those within strings counted too."""
    deepest = depth = 0
    for letter in text:
        if letter in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif letter in "]}":
            depth = max(0, depth - 1)
    return deepest


def _cleaned(value: Any) -> Any:
    """The same value with every text in it cleaned: JSON spells surrogates in plain letters."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {clean(str(name)): _cleaned(item) for name, item in value.items()}
    return value
