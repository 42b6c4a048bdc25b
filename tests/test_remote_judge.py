"""A judge behind an address: its answers, what is kept of them, and servers that misbehave."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import SecretStr
from worlds import tiny_checkers
from worlds.chat_server import ChatServer, chat_server, completion, odds, question_in, words
from worlds.toys import COLOURS, pair

from lcmis.audit.config import checker_settings, load_config
from lcmis.check import questions_of
from lcmis.check.reading import by_count, by_odds, said_place
from lcmis.check.remote import RemoteChecker
from lcmis.check.vqa import VqaChecker
from lcmis.check.wording import worded
from lcmis.errors import CheckError, ConfigError, ServiceClosed
from lcmis.plugins.protocols import Checker
from lcmis.plugins.settings import CheckerSettings, RemoteSettings
from lcmis.propose.catalogue import to_toml
from lcmis.store import Store
from lcmis.testing import CheckerContract
from lcmis.testing.given import contract_pair, contract_pictures
from lcmis.text import endpoint
from lcmis.types import Exchange, Question, QuestionKind

CANARY = "sk-canary-51c0de77"
PRESENT = Question(QuestionKind.A_PRESENT, "tea cup")
CHOICE = Question(
    QuestionKind.INTRUDER_A, "tea cup", options=("glass", "tea cup", "can", "none of these")
)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_WAIT_SECONDS", 0.01)


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[dict[str, Any]], Any]], ChatServer]]:
    """Starts servers that are stopped afterwards."""
    started = []

    def start(answer: Callable[[dict[str, Any]], Any]) -> ChatServer:
        context = chat_server(answer)
        started.append(context)
        return context.__enter__()

    yield start
    for context in started:
        context.__exit__(None, None, None)


Serve = Callable[[Callable[[dict[str, Any]], Any]], ChatServer]


def checker_of(server: ChatServer, **changes: Any) -> RemoteChecker:
    revision = changes.pop("revision", None)
    remote = RemoteSettings(server.address, SecretStr(CANARY), deadline_seconds=20.0)
    settings = CheckerSettings("openai", "org/vlm", revision, remote=replace(remote, **changes))
    return RemoteChecker(settings)


def grey(shade: int) -> Image.Image:
    return Image.new("RGB", (16, 12), (shade, shade, shade))


YES = odds({"Yes": 0.8, "No": 0.15, "The": 0.05})


# ── the same as at home ──────────────────────────────────────────────────────────────────────────


class LocalVlm:
    """A real model, asked over the wire as its own checker asks it here."""

    def __init__(self, folder: Path) -> None:
        self.checker = VqaChecker(CheckerSettings("vqa", str(folder), device="cpu"))
        self.judge = self.checker._loaded()

    def __call__(self, body: dict[str, Any]) -> Any:
        picture, text = question_in(body)
        (rows,) = self.judge.vlm.first_tokens([(picture.convert("RGB"), [text])])
        shares = rows[0]
        best = shares.topk(min(body["top_logprobs"], len(shares)))
        told = [
            {"token": self.judge.vlm.tokenizer.decode([token]), "logprob": math.log(share)}
            for share, token in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]
        return completion(odds(told), model="tiny")


@pytest.fixture(scope="module")
def vlm(tmp_path_factory: pytest.TempPathFactory) -> LocalVlm:
    return LocalVlm(tiny_checkers.tiny_llava(tmp_path_factory.mktemp("served") / "llava"))


@pytest.fixture(scope="module")
def served(vlm: LocalVlm) -> Iterator[ChatServer]:
    with chat_server(vlm) as server:
        yield server


class TestARemoteCheckerKeepsTheContract(CheckerContract):
    @pytest.fixture
    def checker(self, served: ChatServer) -> Checker:
        return checker_of(served, top_logprobs=100)


class TestARemoteCheckerThatCountsKeepsTheContract(CheckerContract):
    @pytest.fixture
    def checker(self, serve: Serve) -> Checker:
        def answer(body: dict[str, Any]) -> Any:
            _, text = question_in(body)
            said = ["A", "A", "B"] if "letter" in text else ["Yes", "No", "Yes."]
            return completion(*map(words, said[: body.get("n", 1)]))

        return checker_of(serve(answer), samples=3)


def test_a_served_model_says_what_it_says_here(served: ChatServer, vlm: LocalVlm) -> None:
    pictures, questions = zip(
        *((p, q) for p in contract_pictures() for q in questions_of(contract_pair())), strict=True
    )
    here = vlm.checker.score(pictures, questions)
    there = checker_of(served, top_logprobs=100).score(pictures, questions)
    assert len(here) == len(there) == 16
    for ours, theirs in zip(here, there, strict=True):
        assert [one.option for one in ours] == [one.option for one in theirs]
        assert [one.value for one in theirs] == pytest.approx([one.value for one in ours], abs=1e-3)
        assert [one.mass for one in theirs] == pytest.approx([one.mass for one in ours], abs=1e-3)


def test_a_service_that_tells_only_few_words_gives_the_same_or_nothing(
    served: ChatServer, vlm: LocalVlm
) -> None:
    pictures, questions = zip(
        *((p, q) for p in contract_pictures() for q in questions_of(contract_pair())), strict=True
    )
    here = vlm.checker.score(pictures, questions)
    for few in (20, 5, 2):
        there = checker_of(served, top_logprobs=few).score(pictures, questions)
        for ours, theirs in zip(here, there, strict=True):
            for one, other in zip(ours, theirs, strict=True):
                assert one.value is not None
                assert other.value is None or abs(one.value - other.value) <= 0.02


def test_pictures_are_sent_whole_at_their_size_and_the_key_goes_along(serve: Serve) -> None:
    server = serve(lambda body: completion(YES))
    picture = contract_pictures()[0]
    checker_of(server, detail="high").score([picture], [PRESENT])
    (body,) = server.asked
    sent, text = question_in(body)
    assert (sent.size, sent.tobytes()) == (picture.size, picture.tobytes())
    assert text == 'Does this image show "tea cup"? Answer yes or no.'
    assert body["messages"][0]["content"][0]["image_url"]["detail"] == "high"
    assert (body["max_tokens"], body["logprobs"], body["top_logprobs"]) == (1, True, 20)
    assert server.keys == [f"Bearer {CANARY}"]


# ── by odds ──────────────────────────────────────────────────────────────────────────────────────


def test_the_mass_of_all_spellings_counts() -> None:
    told = {"Yes": 0.4, " yes": 0.1, "▁YES": 0.05, "No": 0.2, "Ġno": 0.05, "Maybe": 0.1}
    first = [(word, math.log(share)) for word, share in told.items()]
    (answer,) = by_odds(PRESENT, first, 2)
    assert answer.value == pytest.approx(0.55 / 0.8, abs=0.02) or answer.value is None
    sure = [*first, *((f"w{i}", math.log(1e-6)) for i in range(14))]
    (answer,) = by_odds(PRESENT, sure, 20)
    assert (answer.value, answer.mass) == pytest.approx((0.55 / 0.8, 0.8))


def test_little_mass_on_what_was_asked_is_an_abstention() -> None:
    (answer,) = by_odds(PRESENT, [("The", math.log(0.97)), ("Yes", math.log(0.02))], 20)
    assert answer.value is None
    assert "only 0.020 of the probability" in answer.reason


def test_words_that_are_not_told_may_decide_and_then_nothing_is_known() -> None:
    first = [("Yes", math.log(0.30)), ("A", math.log(0.25)), ("The", math.log(0.25))]
    (answer,) = by_odds(PRESENT, first, 3)
    assert answer.value is None
    assert "top_logprobs" in answer.reason
    (answer,) = by_odds(PRESENT, [("Yes", math.log(0.98)), ("The", math.log(0.001))], 2)
    assert answer.value == pytest.approx(1.0, abs=0.02)


def test_the_word_that_was_drawn_stands_beside_the_likeliest_and_bounds_nothing() -> None:
    first = [("Yes", math.log(0.4)), ("The", math.log(0.3)), ("zebra", math.log(1e-9))]
    assert by_odds(PRESENT, first, 2)[0].value is None


@pytest.mark.parametrize(
    "odd", [math.nan, 0.5, math.inf], ids=["not a number", "above one", "infinite"]
)
def test_what_is_no_probability_is_an_abstention(odd: float) -> None:
    (answer,) = by_odds(PRESENT, [("Yes", odd), ("No", -1.0)], 20)
    assert answer.value is None
    assert by_odds(PRESENT, [("Yes", 0.0), ("No", 0.0)], 20)[0].value is None


# ── by words ─────────────────────────────────────────────────────────────────────────────────────

SAID = {
    "Yes": 0,
    "yes.": 0,
    "**Yes**": 0,
    "Yes, the image shows a tea cup.": 0,
    "Answer: yes": 0,
    "The answer is **Yes**.": 0,
    "\\boxed{yes}": 0,
    "<think>No... wait, no handle. Yes?</think>\n\nYes": 0,
    "No": 1,
    "NO!": 1,
    "No, there is no tea cup.": 1,
    "No. The vessel is not a tea cup.": 1,
    "<think>Yes, yes.</think>No.": 1,
    "": None,
    "Yes and no": None,
    "Yes or no": None,
    "Yes, but it is not a tea cup.": None,
    "No, wait: yes.": None,
    "no idea": None,
    "Maybe.": None,
    "Ja": None,
    "Oui.": None,
    "はい": None,
    "I cannot tell.": None,
    "yesterday": None,
    "<think>Yes": None,
    "\\boxed{yes} or \\boxed{no}": None,
    '{"answer": "yes"}': 0,
    '{"answer": "no", "then": "yes"}': None,
    "A": None,
    "* " * 40000: None,
}
CHOSEN = {
    "B": 1,
    "b": 1,
    "(B)": 1,
    "B.": 1,
    "B. tea cup": 1,
    "Answer: B": 1,
    "**B**": 1,
    "B) A tea cup": 1,
    "tea cup": 1,
    "A tea cup.": 1,
    "None of these": 3,
    "<think>A. No, C.</think>B": 1,
    "A": 0,
    "E": None,
    "A and B": None,
    "A, B": None,
    "B. glass": None,
    "A or B": None,
    "Beer": None,
    "a cup": None,
    "yes": None,
    "": None,
    "A. glass\nB. tea cup": None,
}


@pytest.mark.parametrize(("said", "place"), SAID.items(), ids=lambda one: str(one)[:24])
def test_a_reply_in_words_is_yes_or_no_or_neither(said: str, place: int | None) -> None:
    assert said_place(PRESENT, said) == place


@pytest.mark.parametrize(("said", "place"), CHOSEN.items(), ids=lambda one: str(one)[:24])
def test_a_reply_in_words_is_a_letter_that_was_offered_or_nothing(
    said: str, place: int | None
) -> None:
    assert said_place(CHOICE, said) == place


def test_replies_are_counted_as_shares_and_those_that_answer_nothing_are_missing_mass() -> None:
    (answer,) = by_count(PRESENT, [0, 0, 1, None])
    assert (answer.value, answer.mass) == pytest.approx((2 / 3, 3 / 4))
    assert by_count(PRESENT, [0, None, None])[0].value is None
    assert [one.value for one in by_count(CHOICE, [1, 1, 0, 1])] == [0.25, 0.75, 0, 0]


# ── samples ──────────────────────────────────────────────────────────────────────────────────────


def test_several_replies_are_asked_for_at_once_where_that_is_borne(serve: Serve) -> None:
    server = serve(lambda body: completion(*[words("Yes")] * 3, *[words("No")] * (body["n"] - 3)))
    ((answer,),) = checker_of(server, samples=5).score([grey(1)], [PRESENT])
    assert (answer.value, answer.mass) == (0.6, 1.0)
    (body,) = server.asked
    assert (body["n"], body["temperature"], body["top_p"]) == (5, 1.0, 1.0)


def test_who_gives_one_reply_at_a_time_is_asked_one_by_one(serve: Serve) -> None:
    ignoring = serve(lambda body: completion(words("Yes")))
    checker_of(ignoring, samples=5).score([grey(1)], [PRESENT])
    assert [body.get("n", 1) for body in ignoring.asked] == [5, 1, 1, 1, 1]

    def refusing(body: dict[str, Any]) -> Any:
        if body.get("n", 1) > 1:
            return 400, {"error": {"message": "only n = 1 is supported", "param": "n"}}
        return completion(words("No"))

    server = serve(refusing)
    ((answer,),) = checker_of(server, samples=5).score([grey(1)], [PRESENT])
    assert answer.value == 0
    assert [body.get("n", 1) for body in server.asked] == [5, 1, 1, 1, 1, 1]


def test_a_model_that_thinks_has_a_budget_of_its_own_and_its_answer_counts(serve: Serve) -> None:
    said = iter(["Yes", "<think>no no</think>No", "<think>no end: yes"] * 2)
    server = serve(lambda body: completion(words(next(said), reasoning_content="No?")))
    checker = checker_of(server, samples=6, thinking_tokens=1000, reasoning_effort="low")
    ((answer,),) = checker.score([grey(1)], [PRESENT])
    assert (answer.value, answer.mass) == pytest.approx((0.5, 4 / 6))
    assert server.asked[0]["max_tokens"] == 1256
    assert server.asked[0]["reasoning_effort"] == "low"


def test_a_thought_in_the_place_of_the_first_word_ends_the_run_with_what_to_set(
    serve: Serve,
) -> None:
    server = serve(lambda body: completion(odds({"<think>": 0.99}, "<think>")))
    with pytest.raises(ServiceClosed, match=r"thinks before it answers.*think = false.*samples"):
        checker_of(server).score([grey(1), grey(2)], [PRESENT] * 2)
    assert len(server.asked) == 1
    server = serve(lambda body: completion(words("<think>Hm", "length")))
    with pytest.raises(ServiceClosed, match="thinking_tokens = 2048"):
        checker_of(server, samples=3).score([grey(1), grey(2)], [PRESENT] * 2)


def test_a_service_without_probabilities_ends_the_run_with_what_to_set(serve: Serve) -> None:
    silent = serve(lambda body: completion(words("Yes", "length")))
    refusing = serve(
        lambda body: (400, {"error": {"message": "logprobs are not supported", "param": None}})
    )
    for server in (silent, refusing):
        with pytest.raises(ServiceClosed, match="set samples = 9"):
            checker_of(server).score([grey(1), grey(2)], [PRESENT] * 2)
        assert len(server.asked) == 1


# ── what a service bears ─────────────────────────────────────────────────────────────────────────


def test_a_model_that_wants_its_limit_otherwise_gets_it(serve: Serve) -> None:
    def answer(body: dict[str, Any]) -> Any:
        if "max_tokens" in body:
            said = "Unsupported parameter: use 'max_completion_tokens' instead."
            return 400, {"error": {"message": said, "param": "max_tokens"}}
        if body["max_completion_tokens"] < 16:
            said = "max_completion_tokens: below the minimum value of 16"
            return 400, {"error": {"message": said, "param": "max_completion_tokens"}}
        if "temperature" in body:
            return 400, {"error": {"message": "only the default", "param": "temperature"}}
        return completion(YES)

    server = serve(answer)
    checker = checker_of(server)
    ((answer_,),) = checker.score([grey(1)], [PRESENT])
    assert answer_.value == pytest.approx(0.8 / 0.95, abs=0.02)
    checker.score([grey(2)], [PRESENT])
    assert len(server.asked) == 5  # what was learned is remembered


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"reasoning_effort": "low", "samples": 3}, "does not take reasoning_effort"),
        ({"think": False}, "does not take think "),
        ({"detail": "high"}, "does not take detail"),
    ],
    ids=["effort", "think", "detail"],
)
def test_a_setting_that_a_service_does_not_take_is_not_dropped_silently(
    serve: Serve, setting: dict[str, Any], said: str
) -> None:
    named = {"think": "chat_template_kwargs"}.get(next(iter(setting)), next(iter(setting)))
    message = f"Unrecognized request argument supplied: {named}"
    server = serve(lambda body: (400, {"error": {"message": message}}))
    with pytest.raises(ServiceClosed, match=said):
        checker_of(server, **setting).score([grey(1)], [PRESENT])


def test_many_are_asked_at_once_after_the_first_and_no_more_than_told(serve: Serve) -> None:
    import threading

    full = threading.Barrier(4, timeout=120)

    def answer(body: dict[str, Any]) -> Any:
        if question_in(body)[0].getpixel((0, 0)) != (0, 0, 0):
            full.wait()
        return completion(YES)

    server = serve(answer)
    pictures = [grey(shade) for shade in range(9)]
    checker_of(server, in_flight=4).score(pictures, [PRESENT] * 9)
    assert server.most_at_once == 4


def test_the_same_picture_and_question_are_asked_once(serve: Serve) -> None:
    server = serve(lambda body: completion(YES))
    answers = checker_of(server).score([grey(1), grey(1).copy(), grey(2)], [PRESENT] * 3)
    assert len(server.asked) == 2
    assert answers[0] == answers[1]


# ── refusals, failures, other models ─────────────────────────────────────────────────────────────


def test_a_refusal_is_an_abstention_with_its_reason_and_the_reply_is_kept(
    serve: Serve, tmp_path: Path
) -> None:
    answers = iter(
        [
            completion(words(None, refusal="I can't help with that image.")),
            completion(words("", "content_filter")),
            (400, {"error": {"message": "flagged", "code": "content_policy_violation"}}),
        ]
    )
    server = serve(lambda body: next(answers))
    with Store(tmp_path / "s", create=True) as store:
        checker = checker_of(server)
        checker.kept = store
        for shade, said in enumerate(["can't help", "content filter", "flagged"]):
            ((answer,),) = checker.score([grey(shade)], [PRESENT])
            assert answer.value is None
            assert said in answer.reason
        kept = [exchange for _, exchange in store.exchanges()]
        assert [bool(exchange.reply and exchange.reason) for exchange in kept] == [True] * 3
        again = checker_of(server)
        again.kept = store
        assert again.score([grey(0)], [PRESENT])[0][0].reason.endswith("that image.")
    assert len(server.asked) == 3


def test_what_fails_on_the_way_spares_the_others_and_is_asked_again(
    serve: Serve, tmp_path: Path
) -> None:
    is_broken = True

    def answer(body: dict[str, Any]) -> Any:
        if is_broken and question_in(body)[0].getpixel((0, 0)) == (1, 1, 1):
            return b"<html>captive portal</html>"
        return completion(YES)

    server = serve(answer)
    with Store(tmp_path / "s", create=True) as store:
        checker = checker_of(server)
        checker.kept = store
        with pytest.raises(CheckError, match="no JSON, beginning") as failed:
            checker.score([grey(0), grey(1), grey(2)], [PRESENT] * 3)
        assert list(failed.value.failed) == [1]
        assert [bool(one) for one in failed.value.answers] == [True, False, True]
        is_broken = False
        asked = len(server.asked)
        again = checker_of(server)
        again.kept = store
        assert all(again.score([grey(0), grey(1), grey(2)], [PRESENT] * 3))
        assert len(server.asked) == asked + 1


def test_a_killed_audit_pays_for_no_reply_twice(serve: Serve, tmp_path: Path) -> None:
    server = serve(lambda body: completion(words("Yes")))
    with Store(tmp_path / "s", create=True) as store:
        checker = checker_of(server, samples=4)

        class Killed(RuntimeError):
            pass

        class Dying:
            """The store of a run that dies with its seventh reply."""

            def __getattr__(self, name: str) -> Any:
                return getattr(store, name)

            def add_exchange(self, exchange: Exchange) -> None:
                store.add_exchange(exchange)
                if len(store.exchanges()) == 7:
                    raise Killed

        checker.kept = Dying()
        with pytest.raises(Killed):
            checker.score([grey(shade) for shade in range(4)], [PRESENT] * 4)
        before = len(store.exchanges())
        again = checker_of(server, samples=4)
        again.kept = store
        asked = len(server.asked)
        again.score([grey(shade) for shade in range(4)], [PRESENT] * 4)
        assert len(server.asked) - asked == 16 - before
        assert len(store.exchanges()) == 16


def test_answers_of_two_models_never_mix(serve: Serve, tmp_path: Path) -> None:
    name = "vlm-2026-08"
    server = serve(lambda body: completion(YES, model=name, system_fingerprint="fp_1"))
    with Store(tmp_path / "s", create=True) as store:
        checker = checker_of(server)
        checker.kept = store
        checker.score([grey(1)], [PRESENT])
        name = "vlm-2026-11"
        again = checker_of(server)
        again.kept = store
        with pytest.raises(ServiceClosed, match=r"openai:org/vlm@vlm-2026-11.*of its own"):
            again.score([grey(2)], [PRESENT])
        pinned = checker_of(server, revision="vlm-2026-11")
        assert "@vlm-2026-11+" in pinned.checker_id
        assert pinned.score([grey(2)], [PRESENT])[0][0].value is not None
        assert checker_of(server, revision="fp_1").score([grey(2)], [PRESENT])
        with pytest.raises(ServiceClosed, match="answers as vlm-2026-11 with fp_1, and not as"):
            checker_of(server, revision="other").score([grey(3)], [PRESENT])


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "set SOME_KEY"), (402, "paid first"), (404, "knows no such model")],
)
def test_a_wrong_key_or_model_ends_the_run_in_one_sentence_without_the_key(
    serve: Serve, status: int, said: str
) -> None:
    server = serve(lambda body: (status, {"error": {"message": f"no: {CANARY}"}}))
    with pytest.raises(ServiceClosed, match=said) as closed:
        checker_of(server, key_variable="SOME_KEY").score([grey(1), grey(2)], [PRESENT] * 2)
    assert CANARY not in str(closed.value)
    assert len(server.asked) == 1


def test_a_model_that_sees_nothing_is_asked_twice_at_the_most(serve: Serve) -> None:
    server = serve(lambda body: (400, {"error": {"message": "image input is not supported"}}))
    with pytest.raises(ServiceClosed, match="has answered nothing yet"):
        checker_of(server).score([grey(shade) for shade in range(9)], [PRESENT] * 9)
    assert len(server.asked) == 2


def test_the_key_stands_in_nothing_that_is_kept_or_said(serve: Serve, tmp_path: Path) -> None:
    server = serve(lambda body: completion(odds({"Yes": 0.9, CANARY: 0.1}, f"Yes {CANARY}")))
    with Store(tmp_path / "s", create=True) as store:
        checker = checker_of(server)
        checker.kept = store
        checker.score([grey(1)], [PRESENT])
        assert CANARY not in str(store.exchanges())
    assert CANARY not in repr(checker.__dict__)


# ── what it costs ────────────────────────────────────────────────────────────────────────────────

PRICED = {"price_read": 1000.0, "price_written": 2000.0}


def test_whatever_may_have_been_billed_counts_by_the_services_own_numbers(serve: Serve) -> None:
    server = serve(lambda body: completion(YES))
    checker = checker_of(server, **PRICED)
    checker.score([grey(1), grey(2)], [PRESENT] * 2)
    assert checker.spent == pytest.approx(2 * (100 * 1000 + 1 * 2000) / 1e6)
    silent = serve(lambda body: completion(YES, usage=None))
    checker = checker_of(silent, **PRICED)
    checker.score([grey(1)], [PRESENT])
    assert checker.spent > 0
    busy = serve(lambda body: (429, {"error": {"message": "slow down"}}))
    checker = checker_of(busy, **PRICED)
    with pytest.raises(CheckError):
        checker.score([grey(1)], [PRESENT])
    assert checker.spent == 0


def test_nothing_is_asked_beyond_the_limit_and_more_money_goes_on(
    serve: Serve, tmp_path: Path
) -> None:
    server = serve(lambda body: completion(YES))
    pictures, questions = [grey(shade) for shade in range(6)], [PRESENT] * 6
    with Store(tmp_path / "s", create=True) as store:
        checker = checker_of(server, **PRICED, spend_limit=0.35)
        checker.kept = store
        with pytest.raises(ServiceClosed, match="raise spend_limit"):
            checker.score(pictures, questions)
        assert len(server.asked) == 3
        assert checker.spent <= 0.35
        richer = checker_of(server, **PRICED, spend_limit=9.0)
        richer.kept = store
        assert all(richer.score(pictures, questions))
        assert len(server.asked) == 6


# ── settings ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"endpoint": ""}, "needs an address"),
        ({"endpoint": "localhost:8000"}, "write an address"),
        ({"in_flight": 0}, "in_flight is 0"),
        ({"samples": -1}, "samples is -1"),
        ({"top_logprobs": 1}, "top_logprobs is 1"),
        ({"samples": 3, "top_logprobs": 5}, "top_logprobs then has no effect"),
        ({"max_tokens": 9}, "max_tokens then has no effect"),
        ({"thinking_tokens": 100}, "set samples too"),
        ({"spend_limit": 1.0}, "set price_read"),
        ({"price_read": 1.0}, "set both"),
        ({"price_read": -1.0, "price_written": 1.0}, "above 0"),
        ({"deadline_seconds": math.inf}, "above 0"),
    ],
    ids=lambda one: str(one)[:30],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, Any], said: str) -> None:
    remote = replace(RemoteSettings("http://localhost:1/v1"), **changes)
    with pytest.raises(ConfigError, match=said):
        RemoteChecker(CheckerSettings("openai", "m", remote=remote))


def test_what_decides_an_answer_is_named_by_the_id_and_nothing_else() -> None:
    def name(**changes: Any) -> str:
        remote = replace(RemoteSettings("http://h:1/v1"), **changes)
        return RemoteChecker(CheckerSettings("openai", "m", remote=remote)).checker_id

    usual = name()
    assert usual.startswith("openai:h:1/m@unpinned+p")
    assert name(in_flight=2, key=SecretStr("k"), price_read=1.0, price_written=1.0) == usual
    different = [
        usual,
        name(samples=9),
        name(samples=10),
        name(top_logprobs=5),
        name(detail="low"),
        name(think=False),
        name(samples=9, thinking_tokens=9),
    ]
    assert len(set(different)) == len(different)
    assert "+9replies" in different[1]
    assert json.dumps(different)


# ── an audit ─────────────────────────────────────────────────────────────────────────────────────


def eye(body: dict[str, Any]) -> Any:
    """A model that reads the toy's pictures truly, and says so in odds or in words."""
    picture, text = question_in(body)
    seen = {picture.getpixel((4, 4)), picture.getpixel((12, 4))}
    if lines := [line for line in text.splitlines() if line[1:3] == ". "]:
        names = {line[0]: COLOURS.get(line[3:]) in seen for line in lines}
        right = next((letter for letter, there in names.items() if there), lines[-1][0])
        told = {letter: 0.96 if letter == right else 0.01 for letter in names}
    else:
        named = [colour in seen for name, colour in COLOURS.items() if name in text]
        right = "Yes" if named and all(named) else "No"
        told = {"Yes": 0.04, "No": 0.04, right: 0.95}
    if body.get("logprobs"):
        return completion(odds(told))
    return completion(*[words(right)] * body.get("n", 1))


@pytest.mark.parametrize("flags", [[], ["--checker-samples", "3"]], ids=["odds", "samples"])
def test_an_audit_by_a_served_judge_decides_as_an_audit_by_one_that_sees(
    serve: Serve,
    tmp_path: Path,
    toys: None,
    lcmis: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
) -> None:
    monkeypatch.setenv("LCMIS_API_KEY", CANARY)
    server = serve(eye)
    pairs = [pair(*names) for names in itertools.combinations(list(COLOURS)[:3], 2)]
    (tmp_path / "pairs.toml").write_text(to_toml(pairs), "utf-8")
    store = ["--store", str(tmp_path / "s")]
    _, said, _ = lcmis(
        "audit", "-m", "toy", "-c", "toy", "-c", "openai:org/vlm", "-p", tmp_path / "pairs.toml",
        "--checker-endpoint", server.address, "--cap", "4", "--checker-price", "10:20",
        *flags, *store,
    )  # fmt: skip
    assert "This run cost about" in said
    with Store(tmp_path / "s") as facts:
        reader, remote = sorted(facts.checkers(), key=lambda name: name.startswith("openai"))
        ours, theirs = facts.evidence(reader), facts.evidence(remote)
        assert len(theirs) == len(ours)
        assert all(one.a is not None and one.b is not None for one in theirs)
        assert [one.a for one in theirs if one.a < 0.5]
        assert CANARY not in str(facts.runs()) + str(facts.exchanges())
        assert len(facts.exchanges(limit=10**6)) == len(server.asked) * (3 if flags else 1)
    asked = len(server.asked)
    lcmis(
        "audit", "-m", "toy", "-c", "openai:org/vlm", "-p", tmp_path / "pairs.toml",
        "--checker-endpoint", server.address, "--cap", "4", *flags, *store,
    )  # fmt: skip
    assert len(server.asked) == asked  # a store that knows all asks nothing
    code, _, said = lcmis("show", *store)  # what a run kept of its settings is read again
    assert code == 0, said


@pytest.mark.parametrize("samples", [0, 3])
def test_a_plan_says_what_a_remote_judge_will_cost_at_the_most(
    serve: Serve,
    tmp_path: Path,
    toys: None,
    lcmis: Callable[..., Any],
    samples: int,
) -> None:
    server = serve(eye)
    pairs = [pair(*names) for names in itertools.combinations(list(COLOURS)[:3], 2)]
    (tmp_path / "pairs.toml").write_text(to_toml(pairs), "utf-8")
    words = [
        "-m", "toy", "-c", "openai:org/vlm", "-p", tmp_path / "pairs.toml",
        "--checker-endpoint", server.address, "--cap", "4", "--store", str(tmp_path / "s"),
        *(["--checker-samples", str(samples)] if samples else []),
    ]  # fmt: skip
    unpriced = lcmis("plan", *words)[1]
    assert "give its prices with --checker-price" in " ".join(unpriced.split())
    priced = [*words, "--checker-price", "10:20"]
    assert "cost up to" in lcmis("plan", *priced)[1]
    (plan,) = json.loads(lcmis("plan", *priced, "--json")[1])
    (bill,) = plan["judging"]
    assert not server.asked  # a plan asks nothing
    assert bill["least"]["price"] <= bill["expected"]["price"] <= bill["most"]["price"]
    each = len(questions_of(pairs[0]))
    for name in ("least", "expected", "most"):
        assert bill[name]["questions"] == plan[name] * each
        written = samples * RemoteSettings().max_tokens if samples else 1
        assert bill[name]["tokens_written"] == bill[name]["questions"] * written
        cost = bill[name]["tokens_read"] * 10 + bill[name]["tokens_written"] * 20
        assert bill[name]["price"] == pytest.approx(cost / 1e6)


def test_a_bill_is_by_the_services_own_count_once_it_has_told_one(serve: Serve) -> None:
    server = serve(lambda body: completion(YES))  # which says that it has read 100 tokens
    checker = checker_of(server, **PRICED)
    asked = [PRESENT, CHOICE, replace(CHOICE, options=("one",))]  # the last cannot be asked
    before = checker.bill(asked, 28, 14)
    assert before.questions == 2
    assert before.tokens_read == sum(len(worded(one)) + 2 for one in asked[:2])
    checker.score([grey(1)] * 2, asked[:2])
    after = checker.bill(asked, 28, 14)
    assert (after.tokens_read, after.tokens_written) == (200, 2)
    assert after.price == pytest.approx(checker.spent)
    assert after.times(3) == after + after + after
    assert checker_of(server).bill(asked, 28, 14).price is None


def test_flags_for_a_judge_that_nobody_named_are_refused(lcmis: Callable[..., Any]) -> None:
    code, _, said = lcmis("plan", "-c", "clip:x", "--checker-samples", "3")
    assert code == 2
    assert "name one with --checker openai:MODEL" in said


def test_key_and_address_come_from_the_environment_and_never_from_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LCMIS_ENDPOINT", "http://localhost:9/v1")
    monkeypatch.setenv("OTHER_KEY", CANARY)
    path = tmp_path / "audit.toml"
    path.write_text(
        '[[checkers]]\nkind = "openai"\nname = "m"\n[checkers.remote]\nsamples = 5\n'
        'key_variable = "OTHER_KEY"\n'
    )
    (entry,) = load_config(path).checkers
    assert entry.remote is not None
    assert entry.remote.endpoint == "http://localhost:9/v1"
    assert entry.remote.key is not None
    assert entry.remote.key.get_secret_value() == CANARY
    assert CANARY not in repr(entry)
    for bad, said in (
        ('key = "sk"\n', "does not belong in a file"),
        ("sample = 3\n", "did you mean 'samples'"),
    ):
        (tmp_path / "bad.toml").write_text(path.read_text() + bad)
        with pytest.raises(ConfigError, match=said):
            load_config(tmp_path / "bad.toml")
    for variable, said in (
        ("sk-proj-1234", "no name of an environment"),
        ("NOT_SET", "holds none"),
    ):
        (tmp_path / "bad.toml").write_text(path.read_text().replace("OTHER_KEY", variable))
        with pytest.raises(ConfigError, match=said) as refused:
            load_config(tmp_path / "bad.toml")
        assert "sk-proj" not in str(refused.value)


def test_the_short_form_takes_a_pin_and_a_name_that_begins_with_an_at() -> None:
    assert checker_settings("openai:gpt-4o@gpt-4o-2024-08-06").revision == "gpt-4o-2024-08-06"
    assert checker_settings("openai:@cf/llava").name == "@cf/llava"
