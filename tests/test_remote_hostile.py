"""A thousand hostile answers to a judge behind an address: none is lost, and none is read wrong."""

from __future__ import annotations

import json
import math
import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import SecretStr
from test_remote_judge import CHOICE, PRESENT, SAID
from worlds.chat_server import chat_server, completion, odds, question_in, words

from lcmis.check.remote import RemoteChecker
from lcmis.errors import CheckError
from lcmis.plugins.settings import CheckerSettings, RemoteSettings
from lcmis.store import Store
from lcmis.text import endpoint
from lcmis.types import Answer, Question

FAILS = "fails"
"""What is expected of an answer that is none: a failure of its picture, to be asked again."""
SILENT = None
"""Of one that is an answer to nothing: an abstention with its reason."""
Expected = str | float | None | list[float]
Hostile = tuple[Any, Expected]


def picture(number: int) -> Image.Image:
    return Image.new("RGB", (8, 8), (number % 256, number // 256, 7))


def number_of(shown: Image.Image) -> int:
    low, high, _ = shown.getpixel((0, 0))
    return low + 256 * high


def whole(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    told = len(body) if length is None else length
    head = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {told}"]
    return "\r\n".join([*head, *headers, "Connection: close", "", ""]).encode() + body


def told(*likely: Any) -> dict[str, Any]:
    return completion(odds(list(likely)))


def entry(token: Any, logprob: Any) -> dict[str, Any]:
    return {"token": token, "logprob": logprob}


def right(rng: random.Random) -> Hostile:
    share = rng.choice([0.02, 0.3, 0.7, 0.97])
    yes, no = rng.choice(["Yes", " yes", "▁YES"]), rng.choice(["No", "Ġno", " NO"])
    return told(entry(yes, math.log(share)), entry(no, math.log(1 - share))), share


def once_busy(status: int) -> Callable[[random.Random], Hostile]:
    def make(rng: random.Random) -> Hostile:
        answer, share = right(rng)
        said = [(status, {"error": {"message": "busy"}}), answer]
        return (lambda: said.pop(0) if len(said) > 1 else said[0]), share

    return make


def always(body: Any, expected: Expected) -> Callable[[random.Random], Hostile]:
    return lambda rng: (body, expected)


GOOD = json.dumps(told(entry("Yes", -0.01), entry("No", -5.0))).encode()
AS_LETTERS = [("A", 0.2), (" B", 0.7), ("▁C", 0.05), ("ĠD", 0.05)]

BY_ODDS: dict[str, Callable[[random.Random], Hostile]] = {
    "right": right,
    "busy once": once_busy(429),
    "down once": once_busy(503),
    "always busy": always((429, {"error": {"message": "slow down"}}), FAILS),
    "500": always((500, {"error": {"message": "boom"}}), FAILS),
    "500 without words": always((500, {}), FAILS),
    "empty": always(b"", FAILS),
    "blank": always(b"  \n", FAILS),
    "null": always(b"null", FAILS),
    "list": always(b"[]", FAILS),
    "number": always(b"3", FAILS),
    "html": always(b"<html><body>Sign in to this network</body></html>", FAILS),
    "truncated": lambda rng: (GOOD[: rng.randrange(1, len(GOOD) - 1)], FAILS),
    "cut by the line": lambda rng: (whole(GOOD[:40], length=len(GOOD)), FAILS),
    "no length kept": always(whole(GOOD, length=10), FAILS),
    "packed": always(whole(GOOD, "Content-Encoding: gzip"), FAILS),
    "redirect": always(whole(b"", "Location: /v2", status="307 Temporary Redirect"), FAILS),
    "deep": always(b"[" * 6000 + b"]" * 6000, FAILS),
    "not utf-8": always(b'{"choices": "\xff\xfe"}', FAILS),
    "error with status 200": always({"error": {"message": "overloaded", "code": 503}}, FAILS),
    "error as text": always({"error": "the model is loading"}, FAILS),
    "no choices": always({"choices": []}, FAILS),
    "choices null": always({"choices": None}, FAILS),
    "choice null": always({"choices": [None]}, FAILS),
    "no message": always({"choices": [{"index": 0}]}, FAILS),
    "message is text": always({"choices": [{"message": "Yes"}]}, FAILS),
    "words without odds": always(completion(words("Yes", "length")), FAILS),
    "odds null": always(completion(words("Yes") | {"logprobs": None}), FAILS),
    "odds empty": always(completion(words("Yes") | {"logprobs": {"content": []}}), FAILS),
    "odds a list": always(completion(words("Yes") | {"logprobs": [1]}), FAILS),
    "likeliest empty": always(completion(odds([], "Yes")), FAILS),
    "not a number": always(told(entry("Yes", math.nan), entry("No", -1.0)), SILENT),
    "above zero": always(told(entry("Yes", 0.7), entry("No", -1.0)), SILENT),
    "infinite": always(told(entry("Yes", math.inf)), SILENT),
    "as text": always(told(entry("Yes", "-0.1"), entry("No", -1.0)), SILENT),
    "as true": always(told(entry("Yes", True), entry("No", -1.0)), SILENT),
    "no odds told": always(told({"token": "Yes"}, entry("No", -1.0)), SILENT),
    "no token": always(told({"logprob": -0.1}), SILENT),
    "token is a number": always(told(entry(7, -0.1)), SILENT),
    "entries null": always(told(None, None), SILENT),
    "more than everything": always(told(entry("Yes", -0.01), entry("No", -0.01)), SILENT),
    "impossible is zero": always(told(entry("Yes", -0.001), entry("No", -9999.0)), 1.0),
    "little on the answers": always(told(entry("The", -0.01), entry("Yes", -5.0)), SILENT),
    "German": always(told(entry("Ja", -0.1), entry("Nein", -2.4)), SILENT),
    "Japanese": always(told(entry("はい", -0.1), entry("いいえ", -2.4)), SILENT),
    "full width": always(told(entry("Ｙｅｓ", -0.1)), SILENT),
    "almost": always(told(entry("Yesterday", -0.1), entry("Not", -2.4)), SILENT),
    "a letter": always(told(entry("A", -0.1), entry("B", -2.4)), SILENT),
    "a thought": always(told(entry("<think>", -0.001)), SILENT),
    "tool": always(completion(words(None, "tool_calls", tool_calls=[{"id": "1"}])), SILENT),
    "refusal": always(completion(words(None, refusal="I cannot help.")), SILENT),
    "refusal beside odds": always(
        completion(odds({"Yes": 0.99}) | {"message": {"content": "Yes", "refusal": "No."}}), SILENT
    ),
    "filter": always(completion(words("", "content_filter")), SILENT),
    "filter with 400": always(
        (400, {"error": {"code": "content_filter", "message": "flagged"}}), SILENT
    ),
    "odd numbers beside": always(
        told(entry("Yes", -0.01), entry("No", -5.0)) | {"usage": {"prompt_tokens": -3}}, 0.993
    ),
    "odd names beside": always(
        told(entry("Yes", -0.01), entry("No", -5.0)) | {"usage": 7, "system_fingerprint": [1]},
        0.993,
    ),
    "words that say otherwise": always(
        completion(odds([entry("Yes", -0.01), entry("No", -5.0)], "No")), 0.993
    ),
    "surrogates": always(told(entry("\ud800Yes", -0.01)), 1.0),
    "control letters": always(told(entry("No\x00\u202e", -0.01)), 0.0),
    "list of parts": always(
        completion(
            odds([entry("No", -0.01), entry("Yes", -6.0)], [{"type": "text", "text": "No"}])
        ),
        0.0025,
    ),
}
BY_LETTERS: dict[str, Callable[[random.Random], Hostile]] = {
    "right": always(told(*(entry(w, math.log(p)) for w, p in AS_LETTERS)), [0.2, 0.7, 0.05, 0.05]),
    "not offered": always(told(entry("E", -0.1), entry("H", -2.4)), SILENT),
    "yes": always(told(entry("Yes", -0.1), entry("No", -2.4)), SILENT),
    "small": always(told(entry("b", -0.01)), SILENT),
    "both": always(told(entry("AB", -0.01)), SILENT),
    "an article": always(told(entry("a", -0.01)), SILENT),
}


def thousand() -> list[tuple[str, Question, Any, Expected]]:
    """A name, the question, the answer and what is to be made of it; the first one is sound, so
    that what follows is not taken for a service that can answer nothing.
    """
    rng = random.Random(12)
    every = [(PRESENT, name, make) for name, make in BY_ODDS.items()]
    every += [(CHOICE, name, make) for name, make in BY_LETTERS.items()]
    chosen = [every[0], *every, *rng.choices(every, k=599 - len(every))]
    return [(name, question, *make(rng)) for question, name, make in chosen]


def served(hostile: Any) -> Any:
    return hostile() if callable(hostile) else hostile


def asked_all(checker: RemoteChecker, questions: list[Question]) -> list[tuple[Answer, ...] | str]:
    """What became of each: answers, or why it failed."""
    pictures = [picture(number) for number in range(len(questions))]
    first = checker.score(pictures[:1], questions[:1])
    try:
        return [*first, *checker.score(pictures[1:], questions[1:])]
    except CheckError as error:
        rest: list[tuple[Answer, ...] | str] = list(error.answers)
        for place, sentence in error.failed.items():
            assert rest[place] == ()
            rest[place] = sentence
        return [*first, *rest]


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_WAIT_SECONDS", 0.001)


def settings(address: str, **changes: Any) -> CheckerSettings:
    remote = RemoteSettings(address, SecretStr("sk-canary"), in_flight=16, **changes)
    return CheckerSettings("openai", "m", remote=remote)


def judged_wrong(got: tuple[Answer, ...] | str, expected: Expected) -> str:
    """In which way what came of an answer is not what it says; empty where it is."""
    if expected == FAILS:
        return "" if isinstance(got, str) and got else f"no failure: {got}"
    if isinstance(got, str) or not got:
        return f"lost: {got}"
    if expected is SILENT:
        silent = all(one.value is None and one.reason for one in got)
        return "" if silent else f"read as {got}"
    values = [one.value for one in got]
    wanted = expected if isinstance(expected, list) else [expected]
    return "" if values == pytest.approx(wanted, abs=2e-3) else f"{values}, not {wanted}"


def test_of_six_hundred_answers_with_odds_none_is_lost_and_none_read_wrong(tmp_path: Path) -> None:
    cases = thousand()
    lock = threading.Lock()

    def answer(body: dict[str, Any]) -> Any:
        with lock:
            return served(cases[number_of(question_in(body)[0])][2])

    with chat_server(answer) as server, Store(tmp_path / "s", create=True) as store:
        checker = RemoteChecker(settings(server.address))
        checker.kept = store
        got = asked_all(checker, [question for _, question, _, _ in cases])
        assert len(got) == len(cases) == 600
        wrong = {
            name: problem
            for (name, _, _, expected), one in zip(cases, got, strict=True)
            if (problem := judged_wrong(one, expected))
        }
        assert wrong == {}
        kept = [one for _, one in store.exchanges(limit=10_000)]
        assert len(kept) == len(cases)  # each is kept, failures too
        assert all(one.reply or one.reason for one in kept)
        # and what came of those that were kept is the same, without the service
        again = RemoteChecker(settings("http://127.0.0.1:9/v1"))
        again.checker_id = checker.checker_id
        again.kept = store
        for number, (one, (_, question, _, expected)) in enumerate(zip(got, cases, strict=True)):
            if expected != FAILS:
                assert again.score([picture(number)], [question]) == [one]


def test_of_four_hundred_answers_in_words_none_is_lost_and_none_read_wrong(tmp_path: Path) -> None:
    rng = random.Random(5)
    texts = [(said, place) for said, place in SAID.items() if len(said) < 1000]
    odd: list[tuple[dict[str, Any], int | None]] = [
        (words(None), None),
        (words(7), None),
        (words({"text": "yes"}), None),
        (words("Yes", "length"), None),
        (words("Yes", tool_calls=[{"id": "1"}]), None),
        (words([{"type": "text", "text": "No"}, {"type": "image_url"}]), 1),
        (words("No", reasoning_content="Yes! Yes! <answer>Yes</answer>"), 1),
        (words("Yes.", reasoning="It says no."), 0),
        (words("\ud800Yes\x00"), 0),
    ]
    cases = []
    for _ in range(400):
        some = rng.choices(texts, k=3)
        choices = [(words(said), place) for said, place in some]
        choices[rng.randrange(3)] = rng.choice([*odd, choices[0]])
        cases.append(choices)
    cases[0] = [(words("Yes"), 0)] * 3

    def answer(body: dict[str, Any]) -> Any:
        choices = cases[number_of(question_in(body)[0])]
        return completion(*(choice for choice, _ in choices))

    with chat_server(answer) as server, Store(tmp_path / "s", create=True) as store:
        checker = RemoteChecker(settings(server.address, samples=3))
        checker.kept = store
        got = asked_all(checker, [PRESENT] * len(cases))
        assert len(server.asked) == len(cases)
        assert len(store.exchanges(limit=10_000)) == 3 * len(cases)
    outcomes: Counter[str] = Counter()
    for one, choices in zip(got, cases, strict=True):
        places = [place for _, place in choices if place is not None]
        assert not isinstance(one, str), one
        if 2 * len(places) < 3:
            assert one[0].value is None
            assert one[0].reason
            outcomes["silent"] += 1
        else:
            assert one[0].value == pytest.approx(places.count(0) / len(places))
            assert one[0].mass == pytest.approx(len(places) / 3)
            outcomes["answered"] += 1
    assert min(outcomes["silent"], outcomes["answered"]) > 50


def test_a_service_that_hangs_fails_its_own_pictures_only(tmp_path: Path) -> None:
    waits = threading.Event()

    def answer(body: dict[str, Any]) -> Any:
        if number_of(question_in(body)[0]) % 5 == 3:
            waits.wait(120)
        return GOOD

    with chat_server(answer) as server:
        checker = RemoteChecker(settings(server.address, deadline_seconds=8.0))
        got = asked_all(checker, [PRESENT] * 10)
        waits.set()
    assert ["no whole reply in 8 s" in str(one) for one in got] == [i % 5 == 3 for i in range(10)]
