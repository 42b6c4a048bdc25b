"""Chat endpoints through the openai client: limits, and a ladder for JSON."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import json
import math
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from lcmis.errors import ConfigError, ProposalError, TextModelError
from lcmis.plugins.settings import TextModelSettings
from lcmis.text.endpoint import Outcome, clean, client, finish, host_of, persist, redacted, send
from lcmis.text.prompts import wording
from lcmis.types import Exchange, content_key

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_BODY_BYTES = 2**22
"""A reply's body, headers not counted; more is cut off and refused."""
MAX_REPLY_LETTERS = 2**16
MAX_NESTING = 40
"""Brackets within brackets of a JSON reply; ours need four."""
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


class Recorder(Protocol):
    """Is told of every exchange as it ends, failed ones included."""

    def __call__(self, exchange: Exchange) -> None:
        """Keep it."""
        ...


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
        self._settings = settings
        self._record = record
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
            ProposalError: two replies could not be read as JSON of this shape.
        """
        if images and not self.sees_images:
            raise TextModelError(
                f"{self.model_id} was shown {len(images)} pictures and sees none: "
                f"choose a text model with sees_images = true"
            )
        deadline = time.monotonic() + self._settings.deadline_seconds
        request = request_of(self.model_id, self._settings, messages, images, schema)
        if schema is None:
            return self._reply(replace(request, rung=Rung.TEXT), deadline)
        return self._climb_down(request, schema, deadline)

    def _climb_down(self, request: Request, schema: dict[str, Any], deadline: float) -> str:
        for rung in self.rungs[self.rungs.index(self._rung) :]:
            asked = request
            if rung in (Rung.JSON_OBJECT, Rung.TEXT):
                asked = _with_more(request, wording("json").format(schema=request.schema))
            asked = replace(asked, rung=rung)
            outcome = self._told(asked, deadline)
            last = rung is Rung.TEXT
            if outcome.reason and outcome.status in TOO_MUCH_ASKED and not last:
                continue
            self._refuse_failed(outcome)
            read = read_json(outcome.reply, schema)
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
        read = read_json(self._reply(asked, deadline), schema)
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

    def _refuse_failed(self, outcome: Outcome) -> None:
        if outcome.reason:
            raise TextModelError(f"{self.model_id} gave no reply: {outcome.reason}")

    def _told(self, request: Request, deadline: float) -> Outcome:
        started = time.monotonic()
        outcome = self._ask(request, deadline)
        if self._record is not None:
            self._record(request.exchange(outcome.reply, outcome.reason, started))
        return outcome

    @abstractmethod
    def _ask(self, request: Request, deadline: float) -> Outcome:
        """One question at one rung; a failure is an outcome with a reason.

        Args:
            request: its rung is never None.
            deadline: on the monotonic clock, in seconds.
        """


def _with_more(request: Request, text: str) -> Request:
    """The request with a paragraph more in its last message."""
    role, said = request.messages[-1]
    return replace(request, messages=(*request.messages[:-1], (role, f"{said}\n\n{text}")))


# ── an endpoint ──────────────────────────────────────────────────────────────────────────────────


class ChatModel(AsksForJson):
    """A model behind any endpoint that speaks the OpenAI chat protocol.

    Every try obeys one deadline, dripping bodies included; redirects are not followed and proxy
    variables are not read, so that a prompt goes to the endpoint named and nowhere else.

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
        self.model_id = f"chat:{settings.name}@{host_of(settings.endpoint)}"
        self.sees_images = settings.sees_images
        self._key = settings.key.get_secret_value() if settings.key else ""
        self._limit_name = "max_tokens"

    def __repr__(self) -> str:
        return f"ChatModel({self.model_id!r})"

    def _ask(self, request: Request, deadline: float) -> Outcome:
        outcome = finish(self._try(request, deadline))
        return replace(
            outcome,
            reply=redacted(outcome.reply, self._key),
            reason=redacted(outcome.reason, self._key),
        )

    async def _try(self, request: Request, deadline: float) -> Outcome:
        async with client(self._settings.endpoint, self._key, MAX_BODY_BYTES) as asked:

            async def attempt() -> Outcome:
                answer = asked.chat.completions.with_raw_response.create
                outcome = await send(
                    lambda: answer(**self._arguments(request)),
                    _opened,
                    deadline,
                    self._settings.deadline_seconds,
                )
                if outcome.status == 400 and self._takes_another_limit(outcome):
                    return await attempt()
                gives_up = outcome.status in TOO_MUCH_ASKED and request.rung != Rung.TEXT
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
            shown = [{"type": "image_url", "image_url": _data_url(p)} for p in request.pictures]
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


def _opened(body: bytes) -> Outcome:
    """The reply's text in the body of an answer with status 200."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        begins = clean(body[:80].decode("utf-8", "replace"))
        return Outcome(reason=f"an answer that is no JSON, beginning {begins!r}", status=200)
    choices = answer.get("choices") if isinstance(answer, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        return Outcome(reason="an answer without a message in it", status=200)
    if isinstance(message.get("refusal"), str) and message["refusal"]:
        return Outcome(reason=f"it refused: {clean(message['refusal'])[:200]}", status=200)
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(
            part["text"]
            for part in content
            if isinstance(part, dict) and isinstance(part.get("text"), str)
        )
    if choice.get("finish_reason") == "content_filter":
        return Outcome(reason="the endpoint's content filter withheld the reply", status=200)
    if choice.get("finish_reason") == "length":
        return Outcome(reason="the reply was cut off: raise max_tokens", status=200)
    if not isinstance(content, str) or not clean(content).strip():
        return Outcome(reason="an empty message", status=200)
    if len(content) > MAX_REPLY_LETTERS:
        return Outcome(reason=f"a reply of {len(content)} letters", status=200)
    return Outcome(reply=clean(content), status=200)


def _data_url(picture: Image) -> dict[str, str]:
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "PNG")
    return {"url": f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"}


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

    Fences, thoughts and words around it are passed over, and small faults of spelling are mended;
    values are never invented: what is missing is a problem.
    """
    import jsonschema

    thoughtless = re.sub(r"<think>.*?</think>", "", reply, flags=re.DOTALL).strip()
    start = min((at for at in map(thoughtless.find, "{[") if at >= 0), default=-1)
    if start < 0:
        return ReadJson(problem="there is no JSON in it")
    if _nesting(thoughtless) > MAX_NESTING:
        return ReadJson(problem=f"brackets are nested deeper than {MAX_NESTING}")
    value = _value(thoughtless, start)
    if not isinstance(value, dict | list) or not value:
        return ReadJson(problem="there is no JSON in it")
    value = _cleaned(value)
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return ReadJson(problem="a number in it is not finite", is_json=True)
    validator = jsonschema.Draft202012Validator(schema)
    wrong = jsonschema.exceptions.best_match(validator.iter_errors(value))
    if wrong is not None:
        place = "".join(f"[{part!r}]" for part in wrong.absolute_path)
        sentence = f"{place + ': ' if place else ''}{wrong.message}"
        return ReadJson(problem=sentence[:300], is_json=True)
    return ReadJson(text=text, is_json=True)


def _value(text: str, start: int) -> Any:
    """The first JSON object in a text, else the first list, mended where it is broken, or None."""
    import json_repair

    decoder = json.JSONDecoder()
    decoded = []
    for bracket in itertools.islice(re.finditer(r"[{\[]", text), MAX_NESTING):
        try:
            decoded.append(decoder.raw_decode(text, bracket.start())[0])
        except (ValueError, RecursionError):
            continue
        if isinstance(decoded[-1], dict):
            return decoded[-1]
    if decoded and "{" not in text:
        return decoded[0]
    broken = text[max(start, text.find("{")) :]
    if len(broken) > MAX_MENDED_LETTERS:
        return None
    try:
        return json_repair.loads(broken, skip_json_loads=True)
    except (ValueError, RecursionError, IndexError, KeyError):
        return None


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
