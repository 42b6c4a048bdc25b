"""Vision-language models behind an address: asked over the chat protocol, many at once."""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lcmis.check.pictures import abstain, options_of, to_look_at
from lcmis.check.reading import by_count, by_odds, said_place
from lcmis.check.wording import WORDINGS, asked_in_words, can_word, worded
from lcmis.errors import CheckError, ConfigError, ServiceClosed
from lcmis.machine.pictures import picture_hash
from lcmis.plugins.protocols import Bill, KeepsExchanges
from lcmis.plugins.settings import CheckerSettings, RemoteSettings
from lcmis.text.complaints import Meant
from lcmis.text.endpoint import Outcome, client, finish, mended, persist, send, service_at
from lcmis.text.prompts import wordings_hash
from lcmis.text.replies import (
    KeptReply,
    NoReply,
    answer_in,
    data_url,
    kept_replies,
    kept_reply,
)
from lcmis.text.thoughts import answer_of
from lcmis.types import Answer, Exchange, Inquiry, Question, content_key

if TYPE_CHECKING:
    import openai
    from PIL.Image import Image

MAX_BODY_BYTES = 2**24
"""An answer with many replies and their odds; more is cut off and refused."""
UNPINNED = "unpinned"
"""In the place of a revision where nobody named one."""
FIRST_LIMITS = (1, 16)
"""Tokens of a reply whose first word is all that is read; some services give no fewer than 16."""
DOUBTS = 2
"""Questions that may be turned down before the first has been answered: beyond, none will be."""
PATCH = 14
"""Pixels of a side that cost one token in the smallest patches in use: what a picture costs until
a service has said it."""
REFUSING = frozenset({400, 404, 415, 422, 500, 501})
"""Statuses with which services answer a setting that they do not know."""
TOO_SMALL = re.compile(r"(minimum|at least|below|greater than|>=)\D{0,40}\d", re.IGNORECASE)
ONE_BY_ONE = re.compile(r"""(?:['"`]n['"`]|\bn\b\s*(?:=|must|should|is|>|parameter))""")
"""How services say that they give one reply at a time."""
NOT_ASKED = Outcome(reason="nothing more is asked")


class RemoteChecker:
    """Asks a vision-language model behind any endpoint of OpenAI's chat protocol.

    With ``samples = 0`` it reads the probabilities of the reply's first word, as the service tells
    them, by the rules of ``vqa``: the mass of each answer over its spellings, and an abstention
    where little of it is on any answer allowed, or where words that are not told could change it.
    With ``samples = n`` it draws n replies, each with a thought before it if the model thinks, and
    counts: of those that give an answer the share that gives each; the mass is the share that gives
    any. A refusal is an abstention with the service's reason.

    Every reply is kept as it comes, under the key of its :class:`lcmis.types.Inquiry`, and is never
    asked for twice. What failed on the way is a failure of its picture, and is asked again by the
    next run. No question is asked beyond the spending limit, and whatever may have been billed
    counts. Answers of two models never mix: where another one begins to answer, it stops.

    Args:
        settings: ``name`` is the model, as the service calls it; ``revision`` what it must call
            itself, or the fingerprint that it must tell, in every answer.

    Raises:
        ConfigError: no model or endpoint is named, or a setting that cannot be followed.
    """

    def __init__(self, settings: CheckerSettings) -> None:
        remote = settings.remote or RemoteSettings()
        _refuse_impossible(settings, remote)
        self._service = service_at(remote.endpoint, remote.key, remote.proxy, remote.api_version)
        self._name, self._revision = settings.name, settings.revision
        self._remote = remote
        self.checker_id = _id(settings, remote, self._service.host)
        self.kept: KeepsExchanges | None = None
        """As :class:`lcmis.plugins.protocols.AsksService` has it."""
        self.spent = 0.0
        """Money that may have been billed; 0 without prices."""
        self._bearing = _Bearing()
        self._answers_as = ""
        """What the model calls itself; empty until it is known."""
        self._is_proved = False
        """Whether a reply has come that can be used."""
        self._doubts: dict[str, str] = {}
        self._most_read = 0
        """Tokens of a question with its picture, at the most by now."""
        self._next_at = 0.0
        self._closed = ""
        """Why nothing more is asked."""

    def takes(self, question: Question) -> bool:
        """Whether it can be worded: a choice needs two to eight options."""
        return can_word(question)

    asked = staticmethod(asked_in_words)
    """As :func:`lcmis.plugins.opening.asked_by` has it."""

    @property
    def way(self) -> str:
        """Who answers, and what a picture costs there: by that it can be told at which size it is
        looked at; empty until something was asked.
        """
        if not self._most_read:
            return ""
        who = self._answers_as or "a model that does not say its name"
        return (
            f"answered by {who}; a question with its picture is read there as up to "
            f"{self._most_read} tokens"
        )

    def bill(self, questions: Sequence[Question], width: int, height: int) -> Bill:
        """What these questions about one picture cost at the most.

        A service counts a picture in tokens of its own; until one has said how many, a token is
        reckoned for every :data:`PATCH` pixels of a side, which is more than any is known to count.

        Args:
            questions: of one picture.
            width: of the picture, in pixels.
            height: likewise.
        """
        asked = [question for question in questions if self.takes(question)]
        read = sum(self._tokens_read(worded(question), width, height) for question in asked)
        # how a service gives several replies is not known: at the worst it reads for each anew
        read *= max(1, self._remote.samples)
        written = len(asked) * self._tokens_written(max(1, self._remote.samples))
        is_priced = self._remote.price_read is not None
        price = self._price(read, written) if is_priced else None
        return Bill(len(asked), read, written, price)

    def score(
        self, images: Sequence[Image], questions: Sequence[Question]
    ) -> list[tuple[Answer, ...]]:
        """Answer question i about image i; what is known from before is not asked again.

        Raises:
            CheckError: some got no answer that can be read; it holds those of the others.
            ServiceClosed: key, account, model, address or settings are wrong, or the next question
                would cost more than is left to spend.
        """
        answers, rows = to_look_at(images, questions, self.takes, options_of)
        asked: dict[str, _Pending] = {}
        places: dict[str, list[int]] = {}
        for place, picture in rows:
            inquiry = Inquiry(self.checker_id, picture_hash(picture), questions[place].key)
            places.setdefault(inquiry.key, []).append(place)
            if inquiry.key not in asked:
                asked[inquiry.key] = _Pending(inquiry, questions[place], picture)
        for one in asked.values():
            one.replies = self._known(one)
        todo = [one for one in asked.values() if not self._is_enough(one)]
        if todo:
            self._remember_who_answered()
            finish(self._ask_all(todo))
        failed: dict[int, str] = {}
        for key, one in asked.items():
            for place in places[key]:
                if self._is_enough(one):
                    answers[place] = self._read(one)
                else:
                    failed[place] = f"{self.checker_id} {one.reason or self._closed}"
        if failed and self._closed:
            raise ServiceClosed(self._closed)
        if failed:
            raise CheckError(next(iter(failed.values())), answers, failed)
        return answers

    # ── what is known ────────────────────────────────────────────────────────────────────────

    def _known(self, one: _Pending) -> list[KeptReply]:
        """Replies that were kept and can be used, the oldest first."""
        if self.kept is None:
            return []
        kept = [said for said in self.kept.exchanges_of(one.inquiry.key) if said.reply]
        read = [(said.reason, kept_reply(said.reply)) for said in kept]
        return [reply for reason, reply in read if not reason or reply.refusal]

    def _remember_who_answered(self) -> None:
        if self.kept is None or self._answers_as:
            return
        last = self.kept.last_exchange(self.checker_id)
        if last is not None and last.reply:
            self._answers_as = kept_reply(last.reply).model
            self._is_proved = True

    def _is_enough(self, one: _Pending) -> bool:
        """Whether it need not be asked, or asked again."""
        refused = any(reply.refusal for reply in one.replies)
        return refused or len(one.replies) >= max(1, self._remote.samples)

    def _read(self, one: _Pending) -> tuple[Answer, ...]:
        """What its replies say."""
        question, options = one.question, options_of(one.question)
        samples = self._remote.samples
        refusal = next((reply.refusal for reply in one.replies if reply.refusal), "")
        if refusal and len(one.replies) < max(2, samples):
            return abstain(options, refusal)
        if not samples:
            reply = one.replies[0]
            if reply.calls_tool:
                return abstain(options, "it asked for a tool to be run instead of answering")
            return by_odds(question, reply.first or (), self._remote.top_logprobs)
        answer = by_count(question, [_place(question, r) for r in one.replies[:samples]])
        if refusal and any(each.value is None for each in answer):
            return abstain(options, refusal, answer[0].mass)
        return answer

    # ── asking ───────────────────────────────────────────────────────────────────────────────

    async def _ask_all(self, todo: Sequence[_Pending]) -> None:
        """One by one until a reply has come, so that a service that can give none is not asked,
        and paid, many times; then many at once.
        """
        gate = asyncio.Semaphore(self._remote.in_flight)
        async with client(self._service, MAX_BODY_BYTES) as service:
            left = list(todo)
            while left and not self._is_proved and not self._closed:
                await self._answer(service, left.pop(0), gate)
            if not self._closed:
                await asyncio.gather(*(self._answer(service, one, gate) for one in left))

    async def _answer(
        self, service: openai.AsyncOpenAI, one: _Pending, gate: asyncio.Semaphore
    ) -> None:
        """Ask until there are replies enough, or it fails."""
        while not (self._is_enough(one) or one.reason or self._closed):
            lacking = max(1, self._remote.samples) - len(one.replies)
            together = lacking if self._bearing.takes_many else 1
            once = lacking // together if self._is_proved else 1
            await asyncio.gather(
                *(self._request(service, one, together, gate) for _ in range(once))
            )

    async def _request(
        self, service: openai.AsyncOpenAI, one: _Pending, count: int, gate: asyncio.Semaphore
    ) -> None:
        """One request for some replies; they are kept, or the reason why there are none."""
        found: list[KeptReply] = []
        paid = _Paid()

        def read(body: bytes) -> Outcome:
            found.clear()
            try:
                answer = answer_in(body, mended(self._service.key))
            except NoReply as error:
                return Outcome(reason=str(error), status=200)
            found.extend(kept_replies(answer, mended(self._service.key)))
            paid.read, paid.written = answer.tokens_read, answer.tokens_written
            return Outcome(status=200)

        async def attempt() -> Outcome:
            await self._pace()
            bearing = replace(self._bearing)
            asked = count if bearing.takes_many else 1
            reserved, paid.read, paid.written = self._reserve(one, asked), None, None
            if self._closed:
                return NOT_ASKED
            outcome = await send(
                lambda: service.chat.completions.with_raw_response.create(
                    **self._arguments(one, asked, bearing)
                ),
                read,
                deadline,
                self._remote.deadline_seconds,
                self._service.key,
                one.text,
            )
            adapts = self._adapts(outcome, bearing, asked)
            self._settle(reserved, paid, outcome.may_cost and not adapts)
            if asked > 1 and len(found) == 1:
                self._bearing.takes_many = False  # it was told so, and gives one at a time
            return await attempt() if adapts else outcome

        async with gate:
            started, at = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
            deadline = started + self._remote.deadline_seconds
            outcome, _ = await persist(attempt, deadline)
        if outcome is NOT_ASKED:
            return
        if outcome.meant is Meant.WITHHELD:
            found = [KeptReply(refusal=f"it refused: {outcome.reason}")]
        seconds = round(time.monotonic() - started, 3)
        if not found:
            self._keep(one, "", outcome.reason, seconds, at)
            self._failed(one, outcome)
        for reply in found:
            problem = self._problem(reply)
            self._keep(one, reply.as_json(), reply.refusal or problem, seconds, at)
            if problem and not reply.refusal:
                one.reason = problem
            else:
                one.replies.append(reply)
                self._is_proved = self._is_proved or not reply.refusal

    def _keep(self, one: _Pending, reply: str, reason: str, seconds: float, at: str) -> None:
        if self.kept is None:
            return
        self.kept.add_exchange(
            Exchange(
                request=one.inquiry.key,
                model=self.checker_id,
                messages=(("user", one.text),),
                reply=reply,
                reason=reason,
                images=(one.inquiry.picture,),
                schema=json.dumps(self._shown(one), sort_keys=True),
                seconds=seconds,
                at=at,
            )
        )

    def _shown(self, one: _Pending) -> dict[str, Any]:
        """How a picture was shown and a reply asked for, for a reader."""
        how: dict[str, Any] = {
            "picture": f"{one.picture.width}x{one.picture.height}, PNG, as data",
            "detail": self._remote.detail or "left to the service",
        }
        if self._remote.samples:
            return how | {"max_tokens": self._remote.max_tokens + self._remote.thinking_tokens}
        return how | {"top_logprobs": self._remote.top_logprobs}

    def _arguments(self, one: _Pending, count: int, bearing: _Bearing) -> dict[str, Any]:
        remote = self._remote
        picture: dict[str, Any] = {"url": one.data}
        if remote.detail:
            picture["detail"] = remote.detail
        content = [{"type": "image_url", "image_url": picture}, {"type": "text", "text": one.text}]
        arguments: dict[str, Any] = {
            "model": self._name,
            "messages": [{"role": "user", "content": content}],
        }
        if remote.samples:
            arguments[bearing.limit_name] = remote.max_tokens + remote.thinking_tokens
            if bearing.takes_chance:
                arguments |= {"temperature": 1.0, "top_p": 1.0}
            if count > 1:
                arguments["n"] = count
        else:
            arguments[bearing.limit_name] = FIRST_LIMITS[bearing.limit]
            arguments |= {"logprobs": True, "top_logprobs": remote.top_logprobs}
            if bearing.takes_chance:
                arguments["temperature"] = 0.0
        if remote.reasoning_effort:
            arguments["reasoning_effort"] = remote.reasoning_effort
        if remote.think is not None:
            switches = {"enable_thinking": remote.think, "thinking": remote.think}
            arguments["extra_body"] = {"chat_template_kwargs": switches}
        return arguments

    # ── what a service bears ─────────────────────────────────────────────────────────────────

    def _adapts(self, outcome: Outcome, bearing: _Bearing, count: int) -> bool:
        """Whether the same is to be asked again in another way, which the service bears; where
        it will not bear what was set, nothing more is asked.
        """
        refuses = outcome.reason and outcome.status in REFUSING and outcome.meant is Meant.OTHER
        if not refuses or self._closed:
            return False
        said, words = outcome.complaint, outcome.complaint.words
        if bearing.limit_name == "max_tokens" and "max_completion_tokens" in words:
            self._bearing.limit_name = "max_completion_tokens"
        elif count > 1 and ONE_BY_ONE.search(words):
            self._bearing.takes_many = False
        elif bearing.takes_chance and said.names("temperature", "top_p"):
            self._bearing.takes_chance = False
        elif not self._remote.samples and said.names("logprobs"):
            self._close(_NO_ODDS.format(reason=outcome.reason))
            return False
        elif self._is_unheeded(outcome):
            return False
        elif (
            not self._remote.samples
            and bearing.limit == 0
            and said.names(bearing.limit_name)
            and TOO_SMALL.search(words)
        ):
            self._bearing.limit = 1
        else:
            return False
        return True

    def _is_unheeded(self, outcome: Outcome) -> bool:
        """Whether it does not take what somebody set; then nothing more is asked."""
        set_here = {
            "reasoning_effort": bool(self._remote.reasoning_effort),
            "detail": bool(self._remote.detail),
            "chat_template_kwargs": self._remote.think is not None,
        }
        for name, is_set in set_here.items():
            if is_set and outcome.complaint.names(name):
                named = {"chat_template_kwargs": "think"}.get(name, name)
                self._close(f"does not take {named} ({outcome.reason}): leave it out")
                return True
        return False

    def _close(self, sentence: str) -> None:
        self._closed = self._closed or f"{self.checker_id} {sentence}".replace(
            "LCMIS_API_KEY", self._remote.key_variable
        )

    def _failed(self, one: _Pending, outcome: Outcome) -> None:
        """Why a question got no reply; where it shows that none can come, nothing more is asked."""
        one.reason = f"gave no answer: {outcome.reason}"
        if outcome.ends_all:
            self._close(f"{outcome.ends_all} ({outcome.reason})")
        elif not self._is_proved and (outcome.status == 200 or 400 <= outcome.status < 500):
            self._doubts[one.inquiry.key] = outcome.reason
            if len(self._doubts) >= DOUBTS and outcome.status != 429:
                self._close(
                    f"has answered nothing yet, and turned down {DOUBTS} questions, the last with: "
                    f"{outcome.reason.rstrip('.')}; so no more are asked: look at the model's "
                    f"name, whether it sees pictures, LCMIS_ENDPOINT and the settings under "
                    f"[checkers.remote]"
                )

    def _problem(self, reply: KeptReply) -> str:
        """Why a reply cannot be used; where that goes for all to come, nothing more is asked."""
        if sentence := self._another(reply):
            self._close(sentence)
            return "came from another model"
        thinks = bool(reply.thought or answer_of(reply.said).problem)
        if not self._is_proved and thinks and not self._remote.thinking_tokens:
            if not self._remote.samples:
                self._close(
                    "thinks before it answers, so the first word of a reply is no answer: set "
                    "think = false where its server heeds that, or samples = 9 and "
                    "thinking_tokens = 2048"
                )
                return "begins with a thought"
            if reply.is_cut:
                self._close(
                    "thinks before it answers, and its thoughts are cut off: set "
                    "thinking_tokens = 2048"
                )
                return "ends within a thought"
        if self._remote.samples or reply.refusal or reply.calls_tool or reply.first:
            return ""
        if not self._is_proved and reply.said:
            self._close(_NO_ODDS.format(reason="its answer holds none"))
        return "told no probabilities of its words"

    def _another(self, reply: KeptReply) -> str:
        """That another model answers than was named, or than answered before; empty else."""
        told = [name for name in (reply.model, reply.fingerprint) if name]
        if self._revision:
            if self._revision in told or reply.refusal:
                return ""
            return (
                f"answers as {' with '.join(told) or 'nobody, for it does not say'}, and not as "
                f"{self._revision}: name what it calls itself behind the @, or nothing"
            )
        self._answers_as = self._answers_as or reply.model
        if not reply.model or reply.model == self._answers_as:
            return ""
        return (
            f"answers as {reply.model} now, and answered as {self._answers_as} before; answers of "
            f"two models are not mixed: pin it with openai:{self._name}@{reply.model}, which makes "
            f"a checker of its own"
        )

    # ── what it costs ────────────────────────────────────────────────────────────────────────

    def _reserve(self, one: _Pending, count: int) -> float:
        """Set aside what a request may cost at the most; without it, no more is asked."""
        remote = self._remote
        if remote.price_read is None or remote.price_written is None:
            return 0.0
        read = self._tokens_read(one.text, one.picture.width, one.picture.height)
        price = self._price(read, self._tokens_written(count))
        limit = remote.spend_limit
        if limit is not None and self.spent + price > limit + 1e-9:
            self._close(
                f"may ask no more: the next question costs up to {price:.4f}, and of {limit:.2f} "
                f"that may be spent {self.spent:.4f} may have been billed; all answers are kept: "
                f"raise spend_limit and run the same command again"
            )
            return 0.0
        self.spent += price
        return price

    def _tokens_read(self, text: str, width: int, height: int) -> int:
        """Of one question and its picture: what was billed at the most by now, or a guess."""
        return self._most_read or len(text) + math.ceil(width * height / PATCH**2)

    def _tokens_written(self, count: int) -> int:
        """Of so many replies, at the most."""
        remote = self._remote
        if remote.samples:
            return count * (remote.max_tokens + remote.thinking_tokens)
        return FIRST_LIMITS[self._bearing.limit]

    def _price(self, read: int, written: int) -> float:
        remote = self._remote
        return (read * (remote.price_read or 0) + written * (remote.price_written or 0)) / 1e6

    def _settle(self, reserved: float, paid: _Paid, may_cost: bool) -> None:
        """Put back what was not billed, by the service's own count where it gave one."""
        if not may_cost:
            self.spent -= reserved
        elif paid.read is not None and paid.written is not None:
            self._most_read = max(self._most_read, paid.read)
            if reserved:
                self.spent += self._price(paid.read, paid.written) - reserved

    async def _pace(self) -> None:
        """Wait for this request's turn."""
        if self._remote.requests_per_minute is None:
            return
        now = time.monotonic()
        turn = max(now, self._next_at)
        self._next_at = turn + 60 / self._remote.requests_per_minute
        await asyncio.sleep(turn - now)


_NO_ODDS = (
    "tells no such probabilities of its words ({reason}): set samples = 9, so that replies are "
    "drawn and counted, or a smaller top_logprobs where it is that"
)


@dataclass(slots=True)
class _Bearing:
    """How a service bears to be asked, as far as is known."""

    limit_name: str = "max_tokens"
    limit: int = 0
    """Which of :data:`FIRST_LIMITS`."""
    takes_many: bool = True
    """Whether several replies may be asked for at once."""
    takes_chance: bool = True
    """Whether it may be told how much is left to chance."""


@dataclass(slots=True)
class _Paid:
    """Tokens that a service says it will bill."""

    read: int | None = None
    written: int | None = None


@dataclass(slots=True)
class _Pending:
    """A question about a picture, and what came of it."""

    inquiry: Inquiry
    question: Question
    picture: Image
    replies: list[KeptReply] = field(default_factory=list)
    reason: str = ""
    """Why there are not enough of them."""
    _data: str = ""

    @property
    def text(self) -> str:
        """The question in words."""
        return worded(self.question)

    @property
    def data(self) -> str:
        """The picture as an address."""
        self._data = self._data or data_url(self.picture)
        return self._data


def _place(question: Question, reply: KeptReply) -> int | None:
    if reply.refusal or reply.is_cut or reply.calls_tool:
        return None
    return said_place(question, reply.said)


def _id(settings: CheckerSettings, remote: RemoteSettings, host: str) -> str:
    """Names all that decides what is asked and how it is read; the version is a pin, or a word that
    says that there is none.
    """
    revision = re.sub(r"[^\w.+-]", "-", settings.revision or UNPINNED)
    name = settings.name.replace("@", "")
    named = f"{settings.kind}:{host}/{name}@{revision}"
    parts = [wordings_hash(*WORDINGS)]
    if remote.samples:
        parts.append(f"{remote.samples}replies")
    decides = {
        name: getattr(remote, name)
        for name in (("max_tokens", "thinking_tokens") if remote.samples else ("top_logprobs",))
        + ("think", "reasoning_effort", "detail")
    }
    usual = {name: getattr(RemoteSettings(), name) for name in decides}
    if changed := {name: value for name, value in decides.items() if value != usual[name]}:
        parts.append(f"s{content_key(changed).rpartition(':')[2][:6]}")
    return "+".join([named, *parts])


def _refuse_impossible(settings: CheckerSettings, remote: RemoteSettings) -> None:
    name = f"{settings.kind}:{settings.name}"
    if not settings.name.strip():
        raise ConfigError(
            f"a checker of kind {settings.kind} needs a name: write {settings.kind}:MODEL, as the "
            f"service has it"
        )
    if not remote.endpoint:
        raise ConfigError(
            f"{name} needs an address: set LCMIS_ENDPOINT or write endpoint under "
            f"[checkers.remote], such as http://localhost:8000/v1"
        )
    for setting in ("device", "dtype", "batch_size", "device_map", "offload"):
        if getattr(settings, setting) != getattr(CheckerSettings(""), setting):
            raise ConfigError(f"{name} is a service, which {setting} cannot reach: leave it out")
    counts = {
        "in_flight": (remote.in_flight, 1, 256),
        "top_logprobs": (remote.top_logprobs, 2, 1000),
        "samples": (remote.samples, 0, 1000),
        "thinking_tokens": (remote.thinking_tokens, 0, 10**6),
        "max_tokens": (remote.max_tokens, 1, 10**6),
    }
    for setting, (count, low, high) in counts.items():
        if not low <= count <= high:
            raise ConfigError(f"{name}: {setting} is {count}, but it lies from {low} to {high}")
    above_zero = {
        "price_read": remote.price_read,
        "price_written": remote.price_written,
        "spend_limit": remote.spend_limit,
        "requests_per_minute": remote.requests_per_minute,
        "deadline_seconds": remote.deadline_seconds,
    }
    for setting, value in above_zero.items():
        is_free = value == 0 and setting.startswith("price")
        if value is not None and not is_free and not 0 < value < math.inf:
            raise ConfigError(f"{name}: {setting} is {value}, but it is above 0")
    if (remote.price_read is None) != (remote.price_written is None):
        raise ConfigError(
            f"{name}: a price is told for reading and writing: set both, one may be 0"
        )
    if remote.spend_limit is not None and remote.price_read is None:
        raise ConfigError(
            f"{name}: spend_limit can only hold if the prices are known: set price_read and "
            f"price_written too"
        )
    if remote.thinking_tokens and not remote.samples:
        raise ConfigError(
            f"{name}: after a thought there is no first word to read the probabilities of: set "
            f"samples too, such as 5"
        )
    if remote.samples and remote.top_logprobs != RemoteSettings().top_logprobs:
        raise ConfigError(
            f"{name}: samples are counted, and top_logprobs then has no effect: leave it out"
        )
    if not remote.samples and remote.max_tokens != RemoteSettings().max_tokens:
        raise ConfigError(
            f"{name}: only the first word is read, and max_tokens then has no effect: leave it out"
        )
