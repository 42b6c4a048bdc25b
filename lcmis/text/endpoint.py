"""A service behind an address: a bounded client, what is tried again, and for how long."""

from __future__ import annotations

import asyncio
import itertools
import re
import threading
import time
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from lcmis.errors import ConfigError

if TYPE_CHECKING:
    import openai

MAX_TRIES = 3
"""Requests for one reply while the endpoint is busy or out of reach."""
FIRST_WAIT_SECONDS = 0.5
"""Before the second try, doubled for each one after; an endpoint may ask for longer."""
UNBEARABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and marks that turn the direction of writing."""
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Statuses after which the same request may well be answered."""


def host_of(endpoint: str) -> str:
    """Host and port of an endpoint that may be asked.

    Raises:
        ConfigError: it is not a plain http address; the sentence does not repeat what may be
            secret in it.
    """
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"the endpoint is not an address ({error})") from None
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            "the endpoint holds a user name or password: take them out, and give the "
            "key by its environment variable"
        )
    if parts.query or parts.fragment:
        raise ConfigError("the endpoint has a query or fragment: leave it out")
    if parts.scheme not in ("http", "https") or not host or re.search(r"[\s\x00-\x1f]", endpoint):
        raise ConfigError(
            f"the endpoint is {endpoint!r}: write an address such as http://localhost:8000/v1"
        )
    return f"{host}:{port}" if port else host


class NotTaken(Exception):
    """The answer is not taken in: too long, or packed."""


def client(endpoint: str, key: str, max_body_bytes: int) -> openai.AsyncOpenAI:
    """A client that goes to this address and nowhere else, and takes in no more than it should.

    It tries nothing again, keeps no time and follows no redirect: that is the caller's.
    """
    import httpx2
    import openai

    class Bounded(httpx2.AsyncByteStream):
        """A body that ends with an error where it grows beyond what is taken in."""

        def __init__(self, stream: httpx2.AsyncByteStream) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            size = 0
            async for chunk in self._stream:
                size += len(chunk)
                if size > max_body_bytes:
                    raise NotTaken(f"an answer of more than {max_body_bytes} bytes")
                yield chunk

        async def aclose(self) -> None:
            await self._stream.aclose()

    class Transport(httpx2.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            response = await super().handle_async_request(request)
            if response.headers.get("content-encoding", "identity") != "identity":
                await response.aclose()
                raise NotTaken("a packed answer, which was not asked for")
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            response.stream = Bounded(response.stream)
            return response

    opened = openai.AsyncOpenAI(
        api_key=key or "none",
        base_url=endpoint,
        max_retries=0,
        timeout=None,  # the deadline is kept outside, where dripping cannot stretch it
        default_headers={"Accept-Encoding": "identity"},
        http_client=httpx2.AsyncClient(
            transport=Transport(trust_env=False), trust_env=False, follow_redirects=False
        ),
    )
    opened.organization = opened.project = None  # it reads them from the environment
    return opened


ResultT = TypeVar("ResultT")


def finish(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run to the end, also where an event loop is running already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    results: list[ResultT] = []
    thread = threading.Thread(target=lambda: results.append(asyncio.run(work)), daemon=True)
    thread.start()
    thread.join()
    return results[0]


# ── one question ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one try."""

    reply: str = ""
    """What was read out of the answer."""
    reason: str = ""
    status: int = 0
    retry_after: float = 0.0
    code: str = ""
    """What the service calls its error."""
    is_passing: bool = False
    """Whether the same request may well be answered a little later."""


async def persist(
    attempt: Callable[[], Awaitable[Outcome]], deadline: float
) -> tuple[Outcome, int]:
    """Try until there is an answer, or none is to be expected; gives the number of tries too.

    Args:
        attempt: one try.
        deadline: on the monotonic clock, in seconds.
    """
    for tries in itertools.count(1):
        outcome = await attempt()
        if not outcome.is_passing or tries >= MAX_TRIES:
            break
        wait = max(outcome.retry_after, FIRST_WAIT_SECONDS * 2 ** (tries - 1))
        if time.monotonic() + wait >= deadline:
            late = f"{outcome.reason}; another try in {wait:g} s would be past the deadline"
            outcome = replace(outcome, reason=late)
            break
        await asyncio.sleep(wait)
    return outcome, tries


async def send(
    call: Callable[[], Awaitable[Any]],
    read: Callable[[bytes], Outcome],
    deadline: float,
    seconds: float,
) -> Outcome:
    """One request through the openai client, within its time.

    Args:
        call: asks for a raw response.
        read: makes an outcome of the body of an answer with status 200.
        deadline: on the monotonic clock, in seconds.
        seconds: that were allowed in all, for the sentence.
    """
    import httpx2
    import openai

    left = deadline - time.monotonic()
    try:
        async with asyncio.timeout(max(0.0, left)):
            answer = await call()
            return read(answer.content)
    except (TimeoutError, openai.APITimeoutError):
        return Outcome(reason=f"no whole reply in {seconds:g} s")
    except openai.APIStatusError as error:
        return _refused(error)
    except openai.APIConnectionError as error:
        cause = error.__cause__ or error
        if isinstance(cause, NotTaken):
            return Outcome(reason=str(cause))
        return Outcome(reason=f"no connection ({type(cause).__name__})", is_passing=True)
    except NotTaken as error:
        return Outcome(reason=str(error))
    except httpx2.HTTPError as error:
        return Outcome(reason=f"no connection ({type(error).__name__})", is_passing=True)
    except (openai.OpenAIError, httpx2.InvalidURL, ValueError, RecursionError) as error:
        return Outcome(reason=f"an answer that cannot be read ({type(error).__name__})")


def _refused(error: openai.APIStatusError) -> Outcome:
    """The outcome of an answer with another status."""
    status = error.status_code
    said = clean(str(error.message)).partition("\n")[0][:200]
    if 300 <= status < 400:
        reason = f"status {status}, a redirect, which is not followed: name the address it leads to"
    elif status in (401, 403):
        reason = f"status {status}, the key is not accepted: {said}"
    else:
        reason = f"status {status}: {said}"
    try:
        wait = float(error.response.headers.get("retry-after", "0"))
    except ValueError:
        wait = 0.0
    return Outcome(
        reason=reason,
        status=status,
        retry_after=wait if wait >= 0 else 0.0,
        code=clean(str(error.code or ""))[:80],
        is_passing=status in RETRIED,
    )


def redacted(text: str, key: str) -> str:
    """Text without the key: some services say it again when they refuse it."""
    return text.replace(key, "[key]") if key else text


def clean(text: str) -> str:
    """Text as every database and terminal bears it.

    Composed (NFC); without lone surrogates, control characters other than newline and tab, and
    marks that turn the direction of writing, which would show a reader another text.
    """
    text = text.replace("\r\n", "\n").encode("utf-16", "surrogatepass").decode("utf-16", "ignore")
    return unicodedata.normalize("NFC", UNBEARABLE.sub("", text))
