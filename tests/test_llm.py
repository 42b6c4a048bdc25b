"""Text models: a real server on loopback that behaves as badly as servers do."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import SecretStr

from lcmis.errors import ConfigError, ProposalError, TextModelError
from lcmis.plugins.protocols import TextModel
from lcmis.plugins.settings import TextModelSettings
from lcmis.store import Store
from lcmis.text import endpoint
from lcmis.text.chat import ChatModel, Rung, clean, read_json, request_of
from lcmis.text.recorded import Correspondence

CANARY = "sk-canary-7f3a91"
PROMPTS = {
    "type": "object",
    "properties": {"prompts": {"type": "array", "items": {"type": "string"}, "minItems": 1}},
    "required": ["prompts"],
    "additionalProperties": False,
}
ASK = [{"role": "user", "content": "Say it otherwise."}]
GOOD = '{"prompts": ["a small porcelain cup of dark cola"]}'


def http(body: str | bytes, status: str = "200 OK", **headers: str) -> bytes:
    body = body.encode() if isinstance(body, str) else body
    lines = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status}\r\n{head}Connection: close\r\n\r\n".encode() + body


def chat(content: object, **message: object) -> bytes:
    said = {"role": "assistant", "content": content, **message}
    choice = {"index": 0, "finish_reason": "stop", "message": said}
    return http(json.dumps({"id": "1", "object": "chat.completion", "choices": [choice]}))


@dataclass
class Server:
    """Sends what it is told to, one answer a connection, the last one again and again."""

    answers: list[bytes | float | Callable[[socket.socket], None]] = field(default_factory=list)
    """Bytes to send, seconds to be silent, or what is done with the connection."""
    asked: list[dict] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    drip_seconds: float = 0.0
    done: int = 0
    """Answers that were sent, or kept silent about, to their end."""

    def __post_init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.stopped = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}/v1"

    def stop(self) -> None:
        self.stopped.set()
        with contextlib.suppress(OSError):  # stopped before
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def _serve(self) -> None:
        while not self.stopped.is_set():
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            data = b""
            while b"\r\n\r\n" not in data:
                data += connection.recv(65536)
            head, _, body = data.partition(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            )
            while len(body) < length:
                body += connection.recv(65536)
            self.heads.append(head.decode())
            self.asked.append(json.loads(body))
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            try:
                if callable(answer):
                    answer(connection)
                elif isinstance(answer, float):
                    if self.stopped.wait(answer):
                        return
                elif self.drip_seconds:
                    for byte in answer:
                        connection.sendall(bytes([byte]))
                        if self.stopped.wait(self.drip_seconds):
                            break
                else:
                    connection.sendall(answer)
                self.done += 1
            except OSError:
                pass  # the client has gone, which is what is tested


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    yield one
    one.stop()


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(endpoint, "FIRST_WAIT_SECONDS", 0.01)


def settings(server: Server, **changes: object) -> TextModelSettings:
    one = TextModelSettings(
        "openai", "m", server.endpoint, SecretStr(CANARY), deadline_seconds=20.0
    )
    return replace(one, **changes)


# ── good replies ─────────────────────────────────────────────────────────────────────────────────


def test_a_chat_model_is_a_text_model(server):
    model: TextModel = ChatModel(settings(server))
    server.answers = [chat("hello")]
    assert model.complete(ASK) == "hello"
    assert server.asked[0]["model"] == "m"
    assert "response_format" not in server.asked[0]


def test_the_key_goes_to_the_endpoint_and_nowhere_else(server):
    server.answers = [chat("hello")]
    ChatModel(settings(server)).complete(ASK)
    assert f"authorization: bearer {CANARY}" in server.heads[0].lower()


def test_a_schema_is_enforced_by_an_endpoint_that_can(server):
    server.answers = [chat(GOOD)]
    assert json.loads(ChatModel(settings(server)).complete(ASK, schema=PROMPTS)) == json.loads(GOOD)
    asked = server.asked[0]["response_format"]
    assert asked["type"] == "json_schema"
    assert asked["json_schema"]["schema"] == PROMPTS


@pytest.mark.parametrize("status", ["400 Bad", "422 Unknown field", "500 Broken"])
def test_an_endpoint_that_knows_no_schema_is_asked_with_less_and_remembered(server, status):
    no = http('{"error": {"message": "what is json_schema?"}}', status)
    server.answers = [no, no, chat(GOOD)]
    model = ChatModel(settings(server))
    model.complete(ASK, schema=PROMPTS)
    kinds = [asked.get("response_format", {}).get("type") for asked in server.asked]
    assert kinds == ["json_schema", "json_object", None]
    assert '"prompts"' in server.asked[2]["messages"][-1]["content"]
    model.complete(ASK, schema=PROMPTS)
    assert len(server.asked) == 4


@pytest.mark.parametrize(
    "reply",
    [
        f"Of course!\n```json\n{GOOD}\n```\nAnything else?",
        f"<think>[maybe] {{so}}</think>{GOOD}",
        "{'prompts': ['a small porcelain cup of dark cola',]}",
        '{"prompts": ["a small porcelain cup of dark cola"',
        '{prompts: ["a small porcelain cup of dark cola"]}',
        f"As [noted], here you are: {GOOD}",
    ],
)
def test_json_is_read_in_whatever_dress_it_comes(server, reply):
    server.answers = [chat(reply)]
    assert json.loads(ChatModel(settings(server)).complete(ASK, schema=PROMPTS)) == json.loads(GOOD)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "reply",
    ['{"prompts": []}', '{"prompt": "x"}', '{"prompts": [NaN]}', '{"prompts": [1e999]}', '["x"]'],
)
def test_json_of_another_shape_is_asked_for_once_more_with_the_reason(server, reply):
    server.answers = [chat(reply), chat(GOOD)]
    assert json.loads(ChatModel(settings(server)).complete(ASK, schema=PROMPTS)) == json.loads(GOOD)
    roles = [message["role"] for message in server.asked[1]["messages"]]
    assert roles == ["user", "assistant", "user"]
    assert "cannot be used" in server.asked[1]["messages"][-1]["content"]


def test_a_list_of_parts_is_one_text(server):
    server.answers = [chat([{"type": "text", "text": "hel"}, 7, {"type": "text", "text": "lo"}])]
    assert ChatModel(settings(server)).complete(ASK) == "hello"


def test_text_arrives_clean_also_from_within_json(server):
    server.answers = [
        chat('{"prompts": ["a\\ud800b\\u0000c\\u202ed", "cafe\\u0301 \\ud83c\\udf75"]}')
    ]
    reply = ChatModel(settings(server)).complete(ASK, schema=PROMPTS)
    assert json.loads(reply) == {"prompts": ["abcd", "café 🍵"]}
    server.answers = [http('{"choices": [{"message": {"content": "x\\udfff\\u0007y"}}]}')]
    assert ChatModel(settings(server)).complete(ASK) == "xy"


def test_markup_is_text_like_any_other(server):
    hostile = '<script>alert(1)</script>![x](http://example.invalid/a.png) =cmd|"/C calc"!A0'
    server.answers = [chat(json.dumps({"prompts": [hostile]}))]
    reply = ChatModel(settings(server)).complete(ASK, schema=PROMPTS)
    assert json.loads(reply) == {"prompts": [hostile]}


def test_a_busy_endpoint_is_asked_again(server):
    busy = http("{}", "429 Too Many Requests", Retry_After="0.05")
    server.answers = [busy, http("oops", "503 Unavailable"), chat("hello")]
    assert ChatModel(settings(server)).complete(ASK) == "hello"
    assert len(server.asked) == 3


def test_a_model_that_wants_its_limit_under_the_other_name_gets_it(server):
    message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    server.answers = [http(json.dumps({"error": {"message": message}}), "400 Bad"), chat("hello")]
    assert ChatModel(settings(server)).complete(ASK) == "hello"
    assert server.asked[1]["max_completion_tokens"] == 4096
    assert "max_tokens" not in server.asked[1]


def test_pictures_are_sent_as_data_to_a_model_that_sees(server):
    server.answers = [chat("a red square")]
    picture = Image.new("RGB", (4, 4), (255, 0, 0))
    model = ChatModel(settings(server, sees_images=True))
    assert model.complete(ASK, images=[picture]) == "a red square"
    shown, said = server.asked[0]["messages"][0]["content"]
    assert shown["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
    assert said == {"type": "text", "text": ASK[0]["content"]}
    with pytest.raises(TextModelError, match="sees none"):
        ChatModel(settings(server)).complete(ASK, images=[picture])


def test_an_error_where_an_event_loop_runs_already_is_that_error():
    async def fails() -> None:
        raise ConfigError("it cannot be")

    async def notebook() -> None:
        endpoint.finish(fails())

    with pytest.raises(ConfigError, match="it cannot be"):
        asyncio.run(notebook())


def test_it_works_where_an_event_loop_runs_already(server):
    server.answers = [chat("hello")]
    model = ChatModel(settings(server))

    async def notebook() -> str:
        return model.complete(ASK)

    assert asyncio.run(notebook()) == "hello"


# ── everything else is one of our errors, in time ────────────────────────────────────────────────

NESTED = "[" * 5000 + "]" * 5000
BAD_ANSWERS = {
    "always busy": (http("{}", "429 Busy"), "429"),
    "broken": (http("<h1>oops</h1>", "500 Broken"), "500"),
    "html with 200": (http("<html><body>Log in</body></html>"), "no JSON"),
    "empty body": (http(""), "no JSON"),
    "cut json": (http('{"choices": [{"mess'), "no JSON"),
    "short body": (http("{}", Content_Length="500"), "no connection"),
    "no http": (b"SSH-2.0-OpenSSH\r\n\r\n", "no connection"),
    "closed at once": (b"", "no connection"),
    "no choices": (http("{}"), "without a message"),
    "a list": (http("[]"), "without a message"),
    "empty choices": (http('{"choices": []}'), "without a message"),
    "odd choices": (http('{"choices": {"0": 1}}'), "without a message"),
    "odd message": (http('{"choices": [{"message": "hi"}]}'), "without a message"),
    "content null": (chat(None), "empty message"),
    "content empty list": (chat([]), "empty message"),
    "content number": (chat(7), "empty message"),
    "only control characters": (chat("\x00\x07"), "empty message"),
    "refusal": (chat(None, refusal="I will not."), "refused: I will not"),
    "nested arrays": (http(NESTED), "no JSON"),
    "only a thought beside it": (chat(None, reasoning_content=GOOD), "beside a thought"),
    "a thought in parts": (chat([{"type": "thinking", "text": GOOD}]), "empty message"),
    "an error with 200": (http('{"error": {"message": "it broke"}}'), "error in its answer: it br"),
    "a busy error with 200": (http('{"error": {"code": 503, "message": "x"}}'), "status 503: x"),
    "an error in a choice": (
        http('{"choices": [{"error": {"code": 502, "message": "x"}, "message": {}}]}'),
        "empty message",
    ),
    "moderated": (http('{"detail": "Flagged by moderation"}', "403 No"), "Flagged by moderation"),
    "a reason in plain text": (http("your glass is empty", "418 Teapot"), "your glass is empty"),
    "nested error": (http(NESTED, "400 Bad"), "400"),
    "redirect": (http("", "307 Moved", Location="http://example.invalid/v1"), "redirect"),
    "endless": (http(b" " * (2**22 + 1)), "more than"),
    "packed": (http("x", Content_Encoding="gzip"), "packed"),
    "long reply": (chat("a" * 70000), "70000 letters"),
    "come back in an hour": (http("{}", "429 Busy", Retry_After="3600"), "past the deadline"),
    "come back never": (http("{}", "429 Busy", Retry_After="inf"), "past the deadline"),
    "come back whenever": (http("{}", "429 Busy", Retry_After="soon"), "429"),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
@pytest.mark.parametrize("schema", [None, PROMPTS], ids=["text", "json"])
def test_a_bad_answer_is_one_clear_error(server, caplog, name, schema):
    caplog.set_level(logging.DEBUG)
    answer, sentence = BAD_ANSWERS[name]
    server.answers = [answer]
    recorded = []
    model = ChatModel(settings(server), recorded.append)
    with pytest.raises(TextModelError, match=sentence) as caught:
        model.complete(ASK, schema=schema)
    assert recorded[-1].reason
    for text in (str(caught.value), repr(caught.value), repr(model), caplog.text):
        assert CANARY not in text
    assert CANARY not in repr(recorded)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert len(server.asked) <= 9


@pytest.mark.parametrize(
    "reply", ["I would rather talk about tea.", NESTED, '{"prompts": []}', "{}"]
)
def test_a_reply_that_stays_unreadable_is_given_up(server, reply):
    server.answers = [chat(reply)]
    with pytest.raises(ProposalError, match="asked twice"):
        ChatModel(settings(server)).complete(ASK, schema=PROMPTS)
    assert len(server.asked) <= 4


@pytest.mark.parametrize("drips", [False, True])
def test_nothing_outlasts_the_deadline(server, drips):
    server.answers = [chat("hello " * 500) if drips else 60.0]  # a minute of either
    server.drip_seconds = 0.02 if drips else 0.0
    model = ChatModel(settings(server, deadline_seconds=0.3))
    with pytest.raises(TextModelError, match=r"no whole reply in 0\.3 s"):
        model.complete(ASK, schema=PROMPTS)
    assert server.done == 0, "it waited for the whole answer"


def test_a_reply_cut_off_by_its_limit_is_no_reply(server):
    body = {"choices": [{"finish_reason": "length", "message": {"content": GOOD[:20]}}]}
    server.answers = [http(json.dumps(body))]
    with pytest.raises(TextModelError, match="raise max_tokens"):
        ChatModel(settings(server)).complete(ASK, schema=PROMPTS)


def test_nobody_listening_is_a_sentence(server):
    model = ChatModel(settings(server))
    server.stop()
    with pytest.raises(TextModelError, match="no connection"):
        model.complete(ASK)


def test_a_redirect_is_not_followed_and_the_prompt_stays_here(server):
    other = Server([chat("hello")])
    server.answers = [http("", "307 Moved", Location=f"{other.endpoint}/chat/completions")]
    with pytest.raises(TextModelError, match="redirect"):
        ChatModel(settings(server)).complete(ASK)
    assert other.asked == []
    other.stop()


def test_proxies_and_headers_of_the_environment_are_not_read(server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-somebody")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody")
    server.answers = [chat("hello")]
    assert ChatModel(settings(server, key=None)).complete(ASK) == "hello"
    assert "somebody" not in server.heads[0]


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://me:secret@localhost/v1",
        "http://secret@localhost/v1",
        "http://localhost/v1?key=secret",
        "http://localhost/v1#secret",
        "file:///etc/secret",
        "http://",
        "http://localhost:port/v1",
        "http://[::1/v1",
        "",
    ],
)
def test_an_endpoint_that_hides_something_is_refused_without_repeating_it(endpoint):
    with pytest.raises(ConfigError, match="endpoint") as caught:
        ChatModel(TextModelSettings("openai", "m", endpoint))
    if "file" not in endpoint:
        assert "secret" not in str(caught.value)


def test_settings_and_their_key_may_be_printed(server):
    assert CANARY not in repr(settings(server))


@given(st.text(max_size=60) | st.text(alphabet="{}[]\",:\\ \n'a1/*#", max_size=60))
def test_no_reply_makes_the_reader_stumble(reply):
    read = read_json(reply, PROMPTS)
    assert bool(read.text) != bool(read.problem)
    if read.text:
        assert all(isinstance(prompt, str) for prompt in json.loads(read.text)["prompts"])


@pytest.mark.parametrize(
    "reply", ['{"prompts": ["' + 'a"b' * 20000, "{ " * 30 + "x" * 60000, "{" + '"a":' * 16000]
)
def test_a_long_broken_reply_is_not_worth_mending(reply):
    calls = itertools.count()
    sys.setprofile(lambda *_: next(calls))
    try:
        found = read_json(reply, PROMPTS)
    finally:
        sys.setprofile(None)
    assert found.problem
    assert next(calls) < 5_000, "mending takes a call or more for every letter"


@given(st.text())
def test_clean_text_can_be_stored_and_is_clean(text):
    once = clean(text + "\ud800\x00\u202e")
    assert once.encode().decode() == once
    assert clean(once) == once
    assert not {"\x00", "\u202e"} & set(once)


# ── recorded and replayed ────────────────────────────────────────────────────────────────────────


def test_every_exchange_is_told_with_what_was_said_then(server):
    no = http('{"error": {"message": "?"}}', "400 Bad")
    server.answers = [no, chat("prose"), chat('{"prompts": []}'), chat(GOOD)]
    recorded = []
    ChatModel(settings(server), recorded.append).complete(ASK, schema=PROMPTS)
    assert [bool(one.reason) for one in recorded] == [True, False, False, False]
    assert [one.reply for one in recorded] == ["", "prose", '{"prompts": []}', GOOD]
    assert len({one.request for one in recorded}) == 4
    assert {json.loads(one.schema)["type"] for one in recorded} == {"object"}
    assert len(recorded[-1].messages) == 3


def test_a_recorded_session_is_replayed_without_the_endpoint(server, tmp_path):
    no = http('{"error": {"message": "?"}}', "400 Bad")
    server.answers = [no, chat("prose"), chat('{"prompts": []}'), chat(GOOD), chat(GOOD), chat("é")]
    picture = Image.new("RGB", (2, 2))
    chosen = settings(server, sees_images=True)

    def run(model: TextModel) -> list[str]:
        return [
            model.complete(ASK, schema=PROMPTS),
            model.complete(ASK, schema=PROMPTS),
            model.complete(ASK, images=[picture]),
        ]

    with Store(tmp_path / "audit", create=True) as store:
        lived = run(Correspondence(ChatModel(chosen), chosen, store))
        server.stop()
        assert len(server.asked) == 6
        said = ["", "prose", '{"prompts": []}', GOOD, lived[0], GOOD, lived[1], "é", "é"]
        assert [one.reply for _, one in store.exchanges()] == said
        replayed = Correspondence(ChatModel(chosen), chosen, store)
        assert run(replayed) == lived
        with pytest.raises(TextModelError, match="no connection"):
            replayed.complete([{"role": "user", "content": "Something else."}])
        kept = store.exchanges()
    assert len(kept) == len(said) + 2
    assert "no connection" in kept[-1][1].reason
    assert CANARY not in repr(kept)


def test_the_same_question_has_one_name_however_json_is_asked_for():
    """Stores of older versions are found again: this name is fixed for ever."""
    asked = request_of("m@1", TextModelSettings("openai", "m"), ASK, schema=PROMPTS)
    assert asked.key == "k1:f6e7f30eb535e6a32a0a0c44f12ad969"
    assert replace(asked, rung=Rung.TEXT).key != asked.key
