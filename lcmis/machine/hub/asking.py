"""One question to the hub: patiently, but not for ever; what goes wrong is one sentence."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import logging
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import urlsplit

from lcmis.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    import httpx2

Given = TypeVar("Given")

THREADS = 4
"""Files that are fetched at once."""
TRIES = 5
"""Of one request, the first included."""
FIRST_PAUSE = 1.0
"""Seconds before the second try where the hub names none; each further one is twice as long."""
LONGEST_WAIT = 60.0
"""Seconds that one request may wait between its tries, all pauses together."""
TOLD_AFTER = 3.0
"""Seconds without a sign of life until a line says whom we are waiting for."""
SILENCE = 120.0
"""Seconds without any sign of life after which nothing is expected any more."""
TRY_AGAIN = (408, 429, 500, 502, 503, 504)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
TALKATIVE = ("huggingface_hub", "httpx2", "httpcore2")
"""Loggers whose lines hold signed addresses."""


class Unreachable(ConfigError):
    """The hub gave no answer that is of use; what lies in its cache may do instead."""


def _to_stderr(line: str) -> None:
    from lcmis.machine.console import stderr_console

    stderr_console().print(f"lcmis: {line}", markup=False, soft_wrap=True)


class _Left(ConfigError):
    """Whoever asked has gone: nothing is told of this."""


@dataclass
class Watch:
    """What whoever waits, and the threads that work for them, tell each other."""

    tries: int = TRIES
    """Of one request; few, where the cache would do as well."""
    gone: threading.Event = field(default_factory=threading.Event)
    """Set once nobody waits any more."""
    heard: float = field(default_factory=time.monotonic)
    """When there was a sign of life last."""
    say: Callable[[str], None] = _to_stderr
    """Prints a line."""
    tick: Callable[[], None] = lambda: None
    """Called ten times a second by whoever waits."""

    def note(self) -> None:
        """A sign of life."""
        self.heard = time.monotonic()
        if self.gone.is_set():
            raise _Left("nobody waits for it")


def ask(asked: str, call: Callable[[], Given], watch: Watch | None = None) -> Given:
    """Make one call of huggingface_hub's; as :func:`ask_all`."""
    return ask_all(asked, [call], watch or Watch())[0]


def ask_all(
    asked: str,
    calls: Sequence[Callable[[], Given]],
    watch: Watch,
    alive: Callable[[], object] = lambda: None,
) -> list[Given]:
    """Make calls of huggingface_hub's beside each other, while Ctrl-C ends all at once.

    Args:
        asked: what is asked for, as sentences call it.
        calls: their own library may make a request again; we try each again by our rules.
        watch: told of every sign of life.
        alive: anything that changes as long as something happens that is told to nobody.

    Raises:
        UnknownNameError: the hub has no such thing.
        Unreachable: no answer, or none that is of use.
        ConfigError: the hub refuses, or the cache cannot be written.
    """
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    for place in range(len(calls)):
        todo.put(place)
    done: queue.SimpleQueue[tuple[int, Given | None, BaseException | None]] = queue.SimpleQueue()

    def work() -> None:
        with contextlib.suppress(queue.Empty):
            while not watch.gone.is_set():
                place = todo.get_nowait()
                said: tuple[int, Given | None, BaseException | None] | None = None
                try:
                    said = (place, calls[place](), None)
                except _foreseen() as error:
                    said = (place, None, error)
                finally:  # whatever happens, somebody waits for it
                    done.put(said or (place, None, AssertionError("it ended in nothing")))

    given: dict[int, Any] = {}
    with _quiet(), _patient(watch):
        try:
            for _ in range(min(THREADS, len(calls))):
                threading.Thread(target=work, daemon=True).start()
            while len(given) < len(calls):
                place, answer, error = _next(done, watch, alive)
                if error is not None:
                    refuse(asked, error)
                given[place] = answer
        finally:
            watch.gone.set()  # for those that are still at work
    return [given[place] for place in range(len(calls))]


def _next(done: queue.SimpleQueue[Given], watch: Watch, alive: Callable[[], object]) -> Given:
    told, state = False, None
    while True:
        with contextlib.suppress(queue.Empty):
            return done.get(timeout=0.1)
        watch.tick()
        silent = time.monotonic() - watch.heard
        if silent < TOLD_AFTER:
            told = False
            continue
        if state != (state := alive()):
            watch.heard = time.monotonic()
        elif silent > SILENCE:
            raise Unreachable(f"{host()} has sent nothing for {silent:.0f} seconds: {LATER}")
        elif not told:
            told = True
            watch.say(f"waiting for {host()} …")


LATER = "check the connection, and run the same command again"


def host() -> str:
    """Of the hub, as people know it."""
    from huggingface_hub import constants

    return urlsplit(str(constants.ENDPOINT)).netloc.rpartition("@")[2] or "the hub"


def refuse_endpoint() -> None:
    """Before anything is asked: the hub's address must be one.

    Raises:
        ConfigError: it is none.
    """
    from huggingface_hub import constants

    if not re.fullmatch(r"https?://[^\s/?#]+[^\s?#]*", constants.ENDPOINT):
        raise ConfigError(
            f"HF_ENDPOINT is {constants.ENDPOINT!r}, which is no address: write https:// before "
            f"the host, or unset it"
        )


# ── requests ─────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def _patient(watch: Watch) -> Iterator[None]:
    """Every request of huggingface_hub's is tried again by our rules while inside.

    Its own rules wait for minutes without a word for one request, and not at all for another.
    """
    from huggingface_hub.utils import get_session

    client: Any = get_session()
    sent = client.send

    def send(request: httpx2.Request, **how: Any) -> httpx2.Response:
        return _sent(sent, request, how, watch)

    nested = "send" in vars(client)
    if not nested:
        vars(client)["send"] = send
    try:
        yield
    finally:
        if not nested:
            del vars(client)["send"]


def _sent(
    send: Callable[..., httpx2.Response],
    request: httpx2.Request,
    how: Mapping[str, Any],
    watch: Watch,
) -> httpx2.Response:
    import httpx2
    from huggingface_hub import constants

    waited = 0.0
    seconds = float(constants.HF_HUB_DOWNLOAD_TIMEOUT)
    request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), seconds)
    for tries in itertools.count(1):
        watch.note()
        pause = FIRST_PAUSE * 2 ** (tries - 1)
        try:
            response = send(request, **how)
        except (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError) as error:
            reason, later = _lost(error), LATER
        else:
            watch.note()
            if response.status_code not in TRY_AGAIN:
                return response
            pause = _retry_after(response) or pause
            reason, later = _busy(response.status_code)
            response.close()
        if waited + pause > LONGEST_WAIT and tries < watch.tries:
            raise Unreachable(
                f"{host()} {reason} and asks to be left alone for {pause:.0f} seconds: run the "
                f"same command again after that"
            )
        if tries >= watch.tries:
            raise Unreachable(f"{host()} {reason}, {tries} times over: {later}")
        watch.say(
            f"{host()} {reason}; trying again in {pause:.0f} s ({tries} of {watch.tries - 1})"
        )
        waited += pause
        if watch.gone.wait(pause):
            raise _Left("nobody waits for it")
    raise AssertionError("the loop ends by itself")


def _lost(error: httpx2.TransportError) -> str:
    import httpx2

    if isinstance(error, httpx2.TimeoutException):
        return "does not answer"
    if isinstance(error, httpx2.ConnectError):
        return "cannot be reached"
    return "broke the connection off"


def _busy(status: int) -> tuple[str, str]:
    if status == 429:
        return (
            "has had too many requests from here (429)",
            "wait some minutes, or log in with `hf auth login`, and run the same command again",
        )
    return f"is out of order (it answers {status})", LATER


def _retry_after(response: httpx2.Response) -> float | None:
    """Seconds that the hub asks to wait; None where it names none that can be read."""
    wanted = [response.headers.get("Retry-After", "")]
    if "r=0" in response.headers.get("RateLimit", ""):
        wanted += re.findall(r"\bt=(\d+)", response.headers["RateLimit"])
    named = [float(text) for text in wanted if re.fullmatch(r"\d{1,9}(\.\d+)?", text.strip())]
    return max(named, default=None)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """None of the libraries' log lines while inside: they hold signed addresses."""
    loggers = [logging.getLogger(name) for name in TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


# ── what goes wrong ──────────────────────────────────────────────────────────────────────────────


def _foreseen() -> tuple[type[BaseException], ...]:
    """What huggingface_hub raises for answers, connections and disks not as they should be.

    Answers that are no hub's end in whatever reading them ends in.
    """
    import httpx2
    from huggingface_hub.errors import FileMetadataError, RevisionResolutionError

    theirs = (httpx2.HTTPError, httpx2.InvalidURL, RevisionResolutionError, FileMetadataError)
    strange = (ValueError, LookupError, TypeError, AttributeError, RuntimeError, AssertionError)
    return (ConfigError, UnknownNameError, OSError, *theirs, *strange)


def refuse(asked: str, error: BaseException) -> NoReturn:
    """Say in one sentence what an error of the library's means; nothing of its own text is shown.

    Raises:
        UnknownNameError: the hub has no such thing.
        Unreachable: no answer, or none that is of use.
        ConfigError: the hub refuses, or the cache cannot be written.
    """
    from huggingface_hub import errors as hub

    chain = list(_chain(error))
    ours = next((one for one in chain if isinstance(one, ConfigError | UnknownNameError)), None)
    if ours is not None:
        raise ours from None
    for one in chain:
        if isinstance(one, hub.OfflineModeIsEnabled):
            raise Unreachable(
                f"{asked} is not in the hub's cache on this machine while the hub cannot be "
                f"reached (HF_HUB_OFFLINE is set)"
            )
        if isinstance(one, hub.HfHubHTTPError):
            _refuse_answer(asked, one)
        if isinstance(one, OSError) and one.errno is not None and not _is_network(one):
            _refuse_disk(asked, one)
    _refuse_network(asked, chain)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _refuse_answer(asked: str, error: Any) -> NoReturn:
    """The hub answered, and not with what was asked for."""
    from huggingface_hub import errors as hub

    status = error.response.status_code
    said = error.response.headers.get("X-Error-Message", "")
    log_in = "log in with `hf auth login`"
    if isinstance(error, hub.GatedRepoError):
        raise ConfigError(f"{asked} is gated: accept its terms on its page and {log_in}")
    if isinstance(error, hub.RevisionNotFoundError):
        raise UnknownNameError(f"the hub knows no such revision of {asked}")
    if isinstance(error, hub.DisabledRepoError) or "disabled" in said.lower():
        raise ConfigError(
            f"{asked} has been disabled by the hub, which hands it to nobody: take another model"
        )
    if status == 401 and "credentials" in said:
        raise ConfigError(
            f"the hub does not accept the token that it was shown: {log_in}, or unset HF_TOKEN"
        )
    if isinstance(error, hub.RepositoryNotFoundError):
        raise UnknownNameError(
            f"neither a folder nor a model on the hub is called {asked}: check the spelling, or "
            f"log in if it is private"
        )
    if isinstance(error, hub.EntryNotFoundError) and "X-Error-Code" in error.response.headers:
        raise ConfigError(f"the hub lists a file of {asked} that it does not have: {LATER}")
    if status in (401, 403):
        raise ConfigError(
            f"the hub forbids {asked} to this account (it answers {status}): {log_in}, or take "
            f"another model"
        )
    if status in (404, 410):
        raise Unreachable(
            f"{host()} knows neither {asked} nor how to say so: is HF_ENDPOINT a hub's address?"
        )
    raise Unreachable(f"the hub would not hand out {asked} (it answers {status}): {LATER}")


def _is_network(error: OSError) -> bool:
    return isinstance(error, ConnectionError | TimeoutError)


def _refuse_disk(asked: str, error: OSError) -> NoReturn:
    from huggingface_hub import constants

    place = f"the hub's cache, {constants.HF_HUB_CACHE}"
    if error.errno in NO_ROOM:
        raise ConfigError(
            f"there is no room for {asked} in {place}: make some, or set HF_HOME to a folder on "
            f"another disk"
        )
    raise ConfigError(
        f"{asked} cannot be written into {place} ({error.strerror}): set HF_HOME to a folder that "
        f"can be written"
    )


def _refuse_network(asked: str, chain: list[BaseException]) -> NoReturn:
    import httpx2

    for error in chain:
        if isinstance(error, httpx2.ProxyError):
            raise Unreachable(
                f"the proxy between here and {host()} does not work: mend HTTPS_PROXY, or unset it"
            )
        if isinstance(error, httpx2.InvalidURL | httpx2.UnsupportedProtocol):
            raise ConfigError(
                f"{host()} sent on to an address that is none: is HF_ENDPOINT a hub's address?"
            )
        if isinstance(error, UnicodeError | httpx2.LocalProtocolError):
            raise ConfigError("the hub's token holds letters that no token has: set HF_TOKEN anew")
        if isinstance(error, httpx2.TransportError):
            raise Unreachable(f"{host()} {_lost(error)} while {asked} is fetched: {LATER}")
        if isinstance(error, httpx2.HTTPError | json.JSONDecodeError):
            break
        if isinstance(error, OSError) and "onsistency" in str(error):
            raise Unreachable(
                f"what {host()} sent for {asked} is not as long as it should be: {LATER}"
            )
    raise Unreachable(
        f"what answers at {host()} for {asked} is no hub: does this network want a login page to "
        f"be filled in first? If not, check HF_ENDPOINT"
    )
