"""A service behind an address: a bounded client, what is tried again, and for how long."""

from __future__ import annotations

import asyncio
import concurrent.futures
import email.utils
import functools
import itertools
import math
import re
import ssl
import time
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from lcmis.errors import ConfigError
from lcmis.text.complaints import Complaint, Meant, complaint

if TYPE_CHECKING:
    import openai
    from pydantic import SecretStr

MAX_TRIES = 3
"""Requests for one reply while the endpoint is busy or out of reach."""
FIRST_WAIT_SECONDS = 0.5
"""Before the second try, doubled for each one after; an endpoint may ask for longer."""
UNBEARABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and marks that turn the direction of writing."""
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Statuses after which the same request may well be answered."""
WITHHOLDING = frozenset({200, 400, 403, 406, 409, 422, 451, 500})
"""Statuses with which services say that they will not do it for this prompt."""
FREE = frozenset({401, 402, 403, 404, 405, 407, 410, 411, 413, 414, 415, 421, 426, 429, 431})
"""Statuses that say that nothing was done; redirects are others."""
NEVER_PASSES = {
    401: "does not accept the key: set LCMIS_API_KEY",
    402: "wants to be paid first: look at your plan there",
    403: "does not allow this with the key given: check what LCMIS_API_KEY may do",
    404: "knows no such model or address: check the model's name and LCMIS_ENDPOINT",
    405: "takes no such request at this address: check LCMIS_ENDPOINT",
    407: "is behind a proxy that wants a user name and password: write them in LCMIS_PROXY",
    410: "has this model or address no more: check the model's name and LCMIS_ENDPOINT",
}
"""Statuses that no later request will escape."""
BAD_KEY = re.compile(
    r"(invalid|incorrect|missing|expired|no) api[ _-]?key|"
    r"api[ _-]?key( is| was)? (not valid|invalid|incorrect|missing|expired)",
    re.IGNORECASE,
)
"""How some services say with status 400 what others say with 401."""


MAX_REASON_LETTERS = 300
"""Of what a service says, as it is told and kept."""
LEAST_SECRET = 8
"""Letters of a key that is looked for in what comes back: servers of one's own take any word for
one, and a word stands in every other reply."""
KEPT_HEADERS = frozenset(
    {"host", "accept", "accept-encoding", "connection", "content-length", "content-type"}
    | {"transfer-encoding", "user-agent"}
)
"""What is said to a service beside the request and the key: nothing of this machine or of its
environment."""


# ── where it is ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Service:
    """Where a service is and how it is reached."""

    base: str
    """The address without its query."""
    host: str
    """And port."""
    api_version: str = ""
    key: str = field(default="", repr=False)
    proxy: str = field(default="", repr=False)


def service_at(
    endpoint: str,
    key: SecretStr | None = None,
    proxy: SecretStr | None = None,
    api_version: str | None = None,
) -> Service:
    """Read an address that may be asked, and what goes with it.

    Args:
        endpoint: a plain http address; ``?api-version=…`` may follow, as Azure wants it.
        key: sent to this address and nowhere else.
        proxy: a plain http address, which may hold a user name and password; addresses of this
            machine are reached without it.
        api_version: the same as behind the endpoint.

    Raises:
        ConfigError: one of them is no such thing; the sentence does not repeat what may be secret.
    """
    parts = _address(endpoint, "endpoint")
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            "the endpoint holds a user name or password: take them out, and give the "
            "key by its environment variable"
        )
    said = dict(parse_qsl(parts.query, keep_blank_values=True))
    version = said.pop("api-version", "") or api_version or ""
    if said or parts.fragment or (parts.query and not version):
        raise ConfigError(
            "the endpoint has a query or fragment: leave it out; only ?api-version=… may follow"
        )
    if version and not re.fullmatch(r"[\w.-]{1,40}", version):
        raise ConfigError("the api-version is no version: write one such as 2024-10-21")
    if not version and re.search(r"\.azure\.com(:\d+)?/openai/deployments/", endpoint):
        raise ConfigError(
            f"{parts.hostname} wants to be told its version: write it behind the endpoint, such as "
            f"…/openai/deployments/NAME?api-version=2024-10-21, or use its address that ends with "
            f"/openai/v1"
        )
    secret = key.get_secret_value().strip() if key else ""
    if not re.fullmatch(r"[\x21-\x7e]*", secret):
        raise ConfigError(
            "LCMIS_API_KEY holds a blank, a line break or a letter that no key has: copy it anew"
        )
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return Service(
        base=urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")),
        host=f"{host}:{parts.port}" if parts.port else host,
        api_version=version,
        key=secret,
        proxy=_proxy(proxy, parts.hostname or ""),
    )


def _address(text: str, what: str) -> Any:
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname, parts.port
        (host or "").encode("idna")
    except ValueError:  # whose words may say again what is secret
        raise ConfigError(
            f"the {what} is not an address: write one such as http://localhost:8000/v1"
        ) from None
    if (
        parts.scheme not in ("http", "https")
        or not host
        or re.search(r"[\s\x00-\x1f\\]|%(?![0-9a-fA-F]{2})", text)
    ):
        is_plain = what == "endpoint" and not set("@?#") & set(text)  # and so holds no secret
        raise ConfigError(
            f"the {what} is {repr(text) if is_plain else 'no address'}: write an address such as "
            f"http://localhost:8000/v1"
        )
    return parts


def _proxy(proxy: SecretStr | None, host: str) -> str:
    text = proxy.get_secret_value().strip() if proxy else ""
    if not text:
        return ""
    parts = _address(text, "proxy in LCMIS_PROXY")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ConfigError(
            "the proxy in LCMIS_PROXY has a path: write http://HOST:PORT, or "
            "http://USER:PASSWORD@HOST:PORT"
        )
    is_here = host == "localhost" or host.startswith("127.") or host == "::1"
    return "" if is_here else text


# ── a client ─────────────────────────────────────────────────────────────────────────────────────


class NotTaken(Exception):
    """The answer is not taken in: too long, or packed."""


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Whom this machine trusts, SSL_CERT_FILE and SSL_CERT_DIR included; reading them takes a
    twentieth of a second.
    """
    import httpx2

    return httpx2.create_ssl_context(trust_env=True)


def client(service: Service, max_body_bytes: int) -> openai.AsyncOpenAI:
    """A client that goes to this address and nowhere else, and takes in no more than it should.

    It tries nothing again, keeps no time and follows no redirect: that is the caller's. Of the
    environment it reads nothing: neither proxies nor the headers, organizations and keys that the
    openai client finds there leave this machine, nor what that client tells of it.
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
            headers = {
                name: value
                for name, value in request.headers.items()
                if name.casefold() in KEPT_HEADERS
            }
            if service.key and service.api_version:
                headers["api-key"] = service.key
            elif service.key:
                headers["Authorization"] = f"Bearer {service.key}"
            sent = httpx2.Request(
                request.method,
                request.url,
                headers=headers,
                stream=request.stream,
                extensions=request.extensions,
            )
            response = await super().handle_async_request(sent)
            if response.headers.get("content-encoding", "identity") != "identity":
                await response.aclose()
                raise NotTaken("a packed answer, which was not asked for")
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            response.stream = Bounded(response.stream)
            return response

    return openai.AsyncOpenAI(
        api_key="none",  # the key is set by the transport, after all that others may have said
        base_url=service.base,
        max_retries=0,
        timeout=None,  # the deadline is kept outside, where dripping cannot stretch it
        default_headers={"Accept-Encoding": "identity"},
        default_query={"api-version": service.api_version} if service.api_version else None,
        http_client=httpx2.AsyncClient(
            transport=Transport(
                verify=_certificates(), trust_env=False, proxy=service.proxy or None
            ),
            trust_env=False,
            follow_redirects=False,
        ),
    )


ResultT = TypeVar("ResultT")
NOTHING_SAID = Complaint()


def finish(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run to the end, also where an event loop is running already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    pool = concurrent.futures.ThreadPoolExecutor(1)
    try:
        return pool.submit(asyncio.run, work).result()
    finally:
        pool.shutdown(wait=False)  # so that Ctrl-C need not wait for the deadline


# ── one question ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one try."""

    reply: str = ""
    """What was read out of the answer."""
    reason: str = ""
    status: int = 0
    """Of the answer, or one that stands in its body; 0 where there was none."""
    retry_after: float = 0.0
    """Seconds."""
    complaint: Complaint = NOTHING_SAID
    """What the service says is wrong."""
    meant: Meant = Meant.OTHER
    is_passing: bool = False
    """Whether the same request may well be answered a little later."""
    may_cost: bool = True
    """Whether the service may have done the work, and may want to be paid for it."""

    @property
    def ends_all(self) -> str:
        """What to do before any request can be answered; empty where others may be."""
        if not self.reason:
            return ""
        if self.meant is Meant.SPENT:
            return "answers nothing more until its account is in order: look at your plan there"
        return "" if self.meant is Meant.WITHHELD else NEVER_PASSES.get(self.status, "")


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
    key: str = "",
    asked: str = "",
) -> Outcome:
    """One request through the openai client, within its time.

    Args:
        call: asks for a raw response.
        read: makes an outcome of the body of an answer with status 200.
        deadline: on the monotonic clock, in seconds.
        seconds: that were allowed in all, for the sentence.
        key: that never stands in what is told.
        asked: our own words, which a service may say again.
    """
    import httpx2
    import openai

    left = deadline - time.monotonic()
    try:
        async with asyncio.timeout(max(0.0, left)):
            answer = await call()
            body: bytes = answer.content
    except (TimeoutError, openai.APITimeoutError):
        return Outcome(reason=f"no whole reply in {seconds:g} s")
    except openai.APIStatusError as error:
        response = error.response
        return refused(response.status_code, response.headers, response.content, key, asked)
    except openai.APIConnectionError as error:
        return _not_reached(error.__cause__ or error)
    except (NotTaken, httpx2.HTTPError) as error:
        return _not_reached(error)
    except (openai.OpenAIError, httpx2.InvalidURL, ValueError, RecursionError) as error:
        return Outcome(reason=f"an answer that cannot be read ({type(error).__name__})")
    outcome = read(body)
    if outcome.reason:
        said = complaint(body, mended(key))
        if said.is_error or said.meant(asked) is Meant.WITHHELD:
            return refused(200, answer.headers, body, key, asked, said)
    return replace(
        outcome, reply=redacted(outcome.reply, key), reason=redacted(outcome.reason, key)
    )


def _not_reached(error: BaseException) -> Outcome:
    import httpx2

    if isinstance(error, NotTaken):
        return Outcome(reason=str(error), status=200)
    never_sent = (
        httpx2.ConnectError,
        httpx2.ConnectTimeout,
        httpx2.LocalProtocolError,
        httpx2.ProxyError,
        httpx2.UnsupportedProtocol,
    )
    return Outcome(
        reason=f"no connection ({type(error).__name__})",
        is_passing=True,
        may_cost=not isinstance(error, never_sent),
    )


def refused(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    key: str = "",
    asked: str = "",
    said: Complaint | None = None,
) -> Outcome:
    """The outcome of an answer that is an error, by its status or by what stands in it."""
    said = complaint(body, mended(key)) if said is None else said
    status = said.status or status if status == 200 else status
    if status in (200, 400) and BAD_KEY.search(said.words):
        status = 401
    meant = said.meant(asked)
    if meant is Meant.WITHHELD and status not in WITHHOLDING:
        meant = Meant.OTHER
    words = cut(redacted(clean(said.told()), key), MAX_REASON_LETTERS) or "it does not say why"
    if 300 <= status < 400:
        reason = f"status {status}, a redirect, which is not followed: name the address it leads to"
    elif meant is Meant.WITHHELD:
        reason = words
    elif status in (401, 403):
        reason = f"status {status}, the key is not accepted: {words}"
    elif status == 200:
        reason = f"an error in its answer: {words}"
    else:
        reason = f"status {status}: {words}"
    return Outcome(
        reason=reason,
        status=status,
        retry_after=_wait(headers, said),
        complaint=said,
        meant=meant,
        is_passing=status in RETRIED
        and meant is Meant.OTHER
        and headers.get("x-should-retry", "").casefold() != "false",
        may_cost=meant is Meant.WITHHELD
        or not (meant is Meant.SPENT or status in FREE or 300 <= status < 400),
    )


def _wait(headers: Mapping[str, str], said: Complaint) -> float:
    """Seconds that a service asks for: in a header, as seconds, thousandths or a date, or in the
    body; 0 where it asks for nothing that can be read.
    """
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            wait = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        if not math.isnan(wait):
            return max(0.0, wait)
    until = _date(headers.get("retry-after", ""))
    if until is None:
        return said.wait
    now = _date(headers.get("date", "")) or datetime.now(
        UTC
    )  # its clock may go otherwise than ours
    return max(0.0, (until - now).total_seconds())


def _date(text: str) -> datetime | None:
    """An HTTP date, with its zone."""
    try:
        date = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


# ── what is told and kept ────────────────────────────────────────────────────────────────────────


def mended(key: str) -> Callable[[str], str]:
    """What makes a service's text fit to be told and kept: clean, and without the key."""
    return lambda text: redacted(clean(text), key)


def cut(text: str, most: int) -> str:
    """A text in one line of no more letters than that, its end marked where it was cut off."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def redacted(text: str, key: str) -> str:
    """Text without the key: some services say it again when they refuse it."""
    return text.replace(key, "[key]") if len(key) >= LEAST_SECRET else text


def clean(text: str) -> str:
    """Text as every database and terminal bears it.

    Composed (NFC); without lone surrogates, control characters other than newline and tab, and
    marks that turn the direction of writing, which would show a reader another text.
    """
    text = text.replace("\r\n", "\n").encode("utf-16", "surrogatepass").decode("utf-16", "ignore")
    return unicodedata.normalize("NFC", UNBEARABLE.sub("", text))
