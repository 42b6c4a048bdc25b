"""Services as bad as they come, over real sockets: one sentence, bounded memory, no secret told."""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import json
import socket
import struct
import threading
import unicodedata
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import SecretStr
from test_llm import ASK, CANARY, GOOD, PROMPTS, Server, chat, http

from lcmis.errors import ConfigError, ItemError, LcmisError, RenderError, ServiceClosed
from lcmis.plugins.settings import HostedSettings, ModelSettings, TextModelSettings
from lcmis.render import hosted
from lcmis.render.hosted import HostedModel
from lcmis.text import endpoint
from lcmis.text.chat import ChatModel
from lcmis.text.complaints import MAX_VALUES, parsed
from lcmis.text.endpoint import refused, service_at
from lcmis.types import Stage


@pytest.fixture(scope="module")
def server():
    one = Server()
    yield one
    one.stop()


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch, server):
    monkeypatch.setattr(endpoint, "FIRST_WAIT_SECONDS", 0.0)
    server.asked.clear()
    server.heads.clear()
    server.drip_seconds = 0.0


def talker(address, **changes):
    plain = TextModelSettings("openai", "m", address, SecretStr(CANARY), deadline_seconds=20.0)
    return ChatModel(replace(plain, **changes))


def painter(address, **changes):
    reached = replace(HostedSettings(address, SecretStr(CANARY), deadline_seconds=20.0), **changes)
    return HostedModel(ModelSettings("m", height=32, width=32, hosted=reached))


def drawn(model, prompt="a tea cup"):
    return model.generate([model.spec((Stage(prompt),), 0)])[0]


def told(address, kind, **changes):
    """The sentence with which it ends."""
    try:
        if kind == "picture":
            one = drawn(painter(address, **changes))
            assert isinstance(one, RenderError)
            raise one
        talker(address, **changes).complete(ASK, schema=PROMPTS if kind == "json" else None)
    except LcmisError as error:
        return str(error)
    raise AssertionError("it was content")


def is_one_clean_sentence(text):
    assert CANARY not in text
    assert text == " ".join(text.split())
    assert 10 < len(text) < 1000
    assert not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text)
    return True


# ── sockets ──────────────────────────────────────────────────────────────────────────────────────

sent = {"bytes": 0}


def endless(head, piece):
    """Sends a head, and then the same piece until nobody listens."""

    def send(connection):
        sent["bytes"] = 0
        with contextlib.suppress(OSError):
            connection.sendall(head)
            while sent["bytes"] < 2**30:
                connection.sendall(piece)
                sent["bytes"] += len(piece)

    return send


def reset(data):
    """Sends some, then drops the connection with a reset."""

    def send(connection):
        connection.sendall(data)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return send


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BOMB = gzip.compress(b" " * 2**26)
FLOODS = {
    "body": endless(OK + b"Connection: close\r\n\r\n", b" " * 65536),
    "chunks": endless(
        OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b" " * 4096 + b"\r\n"
    ),
    "headers": endless(OK, b"X-More: " + b"x" * 4000 + b"\r\n"),
    "one header": endless(OK + b"X-More: ", b"x" * 65536),
    "status line": endless(b"HTTP/1.1 200 ", b"O" * 65536),
    "error body": endless(b"HTTP/1.1 500 No\r\n\r\n", b"x" * 65536),
    "chunk name": endless(OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x" * 65536),
    "trailers": endless(
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-More: " + b"x" * 4000 + b"\r\n"
    ),
}


@pytest.mark.parametrize("flood", FLOODS)
@pytest.mark.parametrize("kind", ["text", "picture"])
def test_a_flood_is_left_after_a_bounded_part_of_it(server, monkeypatch, flood, kind):
    monkeypatch.setattr("lcmis.text.chat.MAX_BODY_BYTES", 2**20)
    monkeypatch.setattr(hosted, "MAX_BODY_BYTES", 2**20)
    server.answers = [FLOODS[flood]]
    assert is_one_clean_sentence(told(server.endpoint, kind))
    assert sent["bytes"] < 2**24  # what the sockets between hold included


@pytest.mark.parametrize("kind", ["text", "picture"])
def test_a_flood_of_first_words_ends_at_the_deadline(server, kind):
    server.answers = [endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)]
    assert "no whole reply in 0.4 s" in told(server.endpoint, kind, deadline_seconds=0.4)


HOSTILE = {
    "reset at once": reset(b""),
    "reset in the head": reset(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "reset in the body": reset(OK + b"Content-Length: 900\r\n\r\n{"),
    "a bomb": http(BOMB, Content_Encoding="gzip"),
    "a bomb of an error": http(BOMB, "500 No", Content_Encoding="deflate"),
    "a bomb on the way": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "no UTF-8": http(b'{"error": {"message": "\xff\xfe\xfa"}}', "400 Bad"),
    "no UTF-8 with 200": http(b"\xff\xfe{\x00"),
    "another alphabet": http(b"{}", Content_Type="application/json; charset=ebcdic-nonsense"),
    "another type": http(b"GIF89a", Content_Type="image/gif"),
    "a stream of events": http(b"data: {}\n\n", Content_Type="text/event-stream"),
    "deep": http("[" * 100000),
    "deep names": http('{"a":' * 50000 + "1" + "}" * 50000),
    "a deep error": http('{"error":' * 50000 + "1" + "}" * 50000, "400 Bad"),
    "a deep list of errors": http("[" * 50000 + "]" * 50000, "400 Bad"),
    "huge numbers": http('{"choices": ' + "9" * 100000 + "}"),
    "endless numbers": http('{"created": 1e999, "data": [{"b64_json": -1e999}]}'),
    "a huge status": http('{"error": {"code": ' + "9" * 4000 + ', "message": "x"}}'),
    "many values": http("[" + "[]," * 300000 + "1]"),
    "many names": http("{" + ",".join(f'"{n}":[]' for n in range(200001)) + "}"),
    "a null": http("null"),
    "a number": http("7", "400 Bad"),
    "a word": http('"no"', "400 Bad"),
    "a word with 200": http('"no"'),
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "another protocol": b"HTTP/1.1 101 Up\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "an odd status": b"HTTP/1.1 999 \r\nContent-Length: 0\r\n\r\n",
    "a status of nothing": b"HTTP/1.1 000 \r\nContent-Length: 0\r\n\r\n",
    "an old protocol": b"HTTP/0.9 200 OK\r\n\r\n",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    "a length below nothing": OK + b"Content-Length: -1\r\n\r\n{}",
    "a chunk of no size": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a line in a header": OK + b"X-A: a\rX-B: b\nX-C: c\r\nContent-Length: 2\r\n\r\n{}",
    "a folded header": OK + b"X-A: a\r\n  b\r\nContent-Length: 2\r\n\r\n{}",
    "letters of control": http(
        json.dumps({"error": {"message": "\x1b[31m\u202egnp\x00\r\n"}}), "400 B"
    ),
    "a long excuse": http(json.dumps({"error": {"message": "so sorry " * 90000}}), "400 B"),
    "a wait of nothing": http("", "429 Busy", Retry_After="nan"),
    "a wait without end": http("", "429 Busy", Retry_After="9" * 400),
    "a date without end": http("", "429 Busy", Retry_After="Fri, 31 Dec 9999 23:59:59 GMT"),
    "a date that is none": http("", "429 Busy", Retry_After="Fri, 99 Foo 0000 99:99:99 +9999"),
    "a name that is none": http('{"error": {"code": {"a": [1, {"b": null}]}, "type": 7}}', "400 B"),
    "the key": http(
        json.dumps({"error": {"message": f"no {CANARY} here", "code": CANARY}}), "418 T"
    ),
    "the key in pieces": http(
        json.dumps({"error": {"message": "sk-\x00cana\u202ery-7f3a91"}}), "418 T"
    ),
    "the key at the cut": http(
        json.dumps({"error": {"message": "x" * (endpoint.MAX_REASON_LETTERS - 6) + CANARY}}),
        "418 T",
    ),
    "the key after blanks": http(
        json.dumps({"error": {"message": "x" + " " * 1995 + CANARY}}), "418 T"
    ),
    "the key in a page": http(f"<html>{'x' * 60}{CANARY}"),
    "the key as a name": http(json.dumps({"error": {CANARY: {"filtered": True}}}), "400 B"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("kind", ["text", "json", "picture"])
def test_a_hostile_answer_is_one_sentence(server, caplog, name, kind):
    caplog.set_level("DEBUG")
    server.answers = [HOSTILE[name]]
    assert is_one_clean_sentence(told(server.endpoint, kind))
    for secret in (CANARY, CANARY[:-2]):
        assert secret not in caplog.text
    assert len(server.asked) <= 9


@pytest.mark.parametrize(
    "name", ["the key at the cut", "the key after blanks", "the key in a page"]
)
def test_no_part_of_a_key_is_told(server, name):
    server.answers = [HOSTILE[name]]
    assert "sk-c" not in told(server.endpoint, "text")


def test_an_answer_of_far_more_values_than_an_answer_has_is_not_unpacked():
    """Four megabytes of empty lists are a hundred in memory, and sixty-four are two thousand."""
    fits = b"[" + b"0," * (MAX_VALUES - 2) + b"0]"
    assert len(parsed(fits)) == MAX_VALUES - 1
    for piece in (b"0,", b"[],", b'{"a":0},'):
        with pytest.raises(ValueError, match="more than"):
            parsed(b"[" + piece * MAX_VALUES + b"0]")


@pytest.mark.parametrize("kind", ["text", "picture"])
def test_a_drip_ends_at_the_deadline(server, kind):
    server.answers, server.drip_seconds = [chat("hello")], 0.02
    assert "no whole reply in 0.4 s" in told(server.endpoint, kind, deadline_seconds=0.4)


def test_a_key_that_a_service_says_in_its_reply_is_not_kept(server):
    spelt = "".join(f"\\u{ord(letter):04x}" for letter in CANARY)
    server.answers = [chat(f"it is {CANARY}"), chat('{"prompts": ["' + spelt + '"]}')]
    model = talker(server.endpoint)
    assert model.complete(ASK) == "it is [key]"
    assert json.loads(model.complete(ASK, schema=PROMPTS)) == {"prompts": ["[key]"]}
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32)).save(buffer, "PNG")
    item = {"b64_json": base64.b64encode(buffer.getvalue()).decode(), "revised_prompt": CANARY}
    server.answers = [http(json.dumps({"data": [item]}))]
    one = painter(server.endpoint)
    drawn(one)
    assert CANARY not in str(one.remarks())


def test_a_word_that_serves_as_a_key_is_left_in_replies(server):
    server.answers = [chat("none of these")]
    assert talker(server.endpoint, key=SecretStr("none")).complete(ASK) == "none of these"
    assert "authorization: bearer none" in server.heads[0].lower()


# ── a thousand and more ──────────────────────────────────────────────────────────────────────────

NAMES = st.sampled_from(
    [
        "choices", "message", "content", "refusal", "reasoning_content", "text", "finish_reason",
        "data", "b64_json", "url", "created", "usage", "revised_prompt", "filtered",
        "error", "code", "type", "detail", "errors", "param", "loc", "msg", "status", "reason",
        "success", "retryDelay",
    ]
)  # fmt: skip
TEXTS = st.sampled_from(
    [
        "", "x", "{", "[" * 50, "A" * 400, "\n\r\t", "\x1b]0;x\x07", "\u202e", "\ud800", CANARY,
        "insufficient_quota", "content_filter", "moderation_blocked", "length", "34s",
        "api key invalid", "check your plan and billing",
        "response_format", "max_completion_tokens", "model",
        "data:image/png;base64,AAAA", "iVBORw0KGgo=", GOOD, f"<think>{GOOD}", "</think>", "<think>",
    ]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
SHAPES = st.one_of(
    VALUES,
    VALUES.map(lambda value: {"choices": [{"message": {"content": value}}]}),
    VALUES.map(lambda value: {"choices": [value]}),
    VALUES.map(lambda value: {"data": [{"b64_json": value}]}),
    VALUES.map(lambda value: {"data": [value]}),
    VALUES.map(lambda value: {"error": value}),
    VALUES.map(lambda value: {"detail": [value]}),
)
BODIES = st.one_of(
    SHAPES.map(lambda value: json.dumps(value).encode()),
    SHAPES.map(lambda value: json.dumps(value).encode()[:-3]),
    st.binary(max_size=80),
)
STATUSES = st.sampled_from(
    [200, 200, 200, 201, 301, 400, 400, 401, 402, 403, 404, 409, 422, 429, 451, 500, 503, 529, 600]
)
HEADERS = st.dictionaries(
    st.sampled_from(["Retry-After", "Retry-After-Ms", "Date", "X-Should-Retry", "Content-Type"]),
    st.sampled_from(["0", "-1", "nan", "3600", "Fri, 31 Dec 1999 23:59:59 GMT", "x", "false", ""]),
    max_size=2,
)


@given(
    status=STATUSES,
    body=BODIES,
    headers=HEADERS,
    kind=st.sampled_from(["text", "json", "picture"]),
    cut=st.integers(0, 40) | st.just(0),
)
@settings(
    max_examples=1200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_no_answer_whatever_is_a_traceback(server, status, body, headers, kind, cut):
    answer = http(body, f"{status} X", **{n.replace("-", "_"): v for n, v in headers.items()})
    server.answers = [answer[: len(answer) - cut]]
    server.asked.clear()
    try:
        if kind == "picture":
            one = drawn(painter(server.endpoint))
            said = str(one) if isinstance(one, RenderError) else ""
        else:
            schema = PROMPTS if kind == "json" else None
            said = ""
            reply = talker(server.endpoint).complete(ASK, schema=schema)
            assert CANARY not in reply
            reply.encode()
            if schema:
                assert all(isinstance(text, str) for text in json.loads(reply)["prompts"])
    except (ItemError, ServiceClosed) as error:
        said = str(error)
    assert not said or is_one_clean_sentence(said)
    assert len(server.asked) <= 9


@given(status=st.integers(100, 999), body=BODIES, headers=HEADERS, asked=TEXTS)
@settings(max_examples=1000, deadline=None)
def test_no_complaint_is_misread_into_a_traceback(status, body, headers, asked):
    lowered = {name.lower(): value for name, value in headers.items()}
    outcome = refused(status, lowered, body, CANARY, asked)
    assert outcome.reason
    assert is_one_clean_sentence(f"a sentence: {outcome.reason}")
    assert outcome.retry_after >= 0
    assert not (outcome.is_passing and outcome.ends_all)


# ── waiting as long as is asked ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
        (
            {
                "retry-after": "Fri, 27 Nov 2026 12:00:30 GMT",
                "date": "Fri, 27 Nov 2026 12:00:00 GMT",
            },
            30,
        ),
        ({"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"}, 0),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "nan"}, 0),
        ({"retry-after": "soon"}, 0),
        ({}, 0),
    ],
)
def test_a_wait_is_read_in_every_spelling(headers, seconds):
    assert refused(429, headers, b"").retry_after == seconds


def test_a_wait_that_stands_in_the_body_is_read():
    body = json.dumps({"error": {"details": [{"retryDelay": "34s"}]}}).encode()
    assert refused(429, {}, body).retry_after == 34
    assert refused(429, {"retry-after": "2"}, body).retry_after == 2


@pytest.mark.parametrize(
    "wait",
    [
        {"Retry_After": "3600"},
        {"Retry_After_Ms": "3600000"},
        {"Retry_After": "Fri, 27 Nov 2026 13:00:00 GMT", "Date": "Fri, 27 Nov 2026 12:00:00 GMT"},
    ],
)
def test_a_wait_beyond_the_deadline_is_not_waited_for(server, wait):
    server.answers = [http("", "429 Busy", **wait), chat("hello")]
    said = told(server.endpoint, "text")
    assert "another try in 3600 s would be past the deadline" in said
    assert len(server.asked) == 1


def test_a_wait_of_thousandths_is_kept_and_then_it_is_answered(server):
    server.answers = [http("", "429 Busy", Retry_After_Ms="20"), chat("hello")]
    assert talker(server.endpoint).complete(ASK) == "hello"


def test_who_says_not_to_ask_again_is_not_asked_again(server):
    server.answers = [http("", "503 Busy", X_Should_Retry="false")]
    told(server.endpoint, "text")
    assert len(server.asked) == 1


# ── where it is ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["text", "picture"])
def test_a_version_goes_with_the_request_and_the_key_as_azure_wants_it(server, kind):
    server.answers = [http("{}", "418 Teapot")]
    for address, changes in (
        (f"{server.endpoint}?api-version=2024-10-21", {}),
        (server.endpoint, {"api_version": "2024-10-21"}),
    ):
        server.heads.clear()
        told(address, kind, **changes)
        head = server.heads[0].lower()
        assert "?api-version=2024-10-21 http/1.1" in head
        assert f"api-key: {CANARY}" in head
        assert "authorization" not in head


def test_a_version_is_no_part_of_the_models_name(server):
    plain, versioned = talker(server.endpoint), talker(f"{server.endpoint}?api-version=2024-10-21")
    assert plain.model_id == versioned.model_id


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("https://me.openai.azure.com/openai/deployments/d", "?api-version=2024-10-21"),
        ("https://x.com/v1?api-version=2024-10-21&key=secret", "only ?api-version"),
        ("https://x.com/v1?api-version=", "only ?api-version"),
        ("https://x.com/v1?api-version=a%20b%0d%0aX:y", "no version"),
        ("https://x.com/v1?Api-Version=1", "only ?api-version"),
        ("https://key:secret/v1", "not an address"),
        ("https://a..b/v1", "not an address"),
        (f"https://{'a' * 80}.com/v1", "not an address"),
        ("https://x.com\\@evil.com/v1", "no address"),
        ("https://x.com/v1\r\nHost: evil", "address"),
    ],
)
def test_an_address_that_is_none_is_refused_in_one_sentence(address, said):
    with pytest.raises(ConfigError, match=r"endpoint|version") as caught:
        service_at(address)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_azures_newer_address_needs_no_version():
    assert service_at("https://me.openai.azure.com/openai/v1/").host == "me.openai.azure.com"


@pytest.mark.parametrize("key", ["sk-a\r\nX-Evil: 1", "sk a", "sk-ä", "sk-\x00"])
def test_a_key_that_would_write_a_header_is_refused_without_being_told(key):
    with pytest.raises(ConfigError, match="LCMIS_API_KEY") as caught:
        service_at("http://localhost/v1", SecretStr(key))
    assert key not in str(caught.value)


def test_a_line_break_behind_a_key_does_no_harm():
    assert service_at("http://localhost/v1", SecretStr(f"{CANARY}\n")).key == CANARY


def test_nothing_that_stands_in_the_environment_goes_along(server, monkeypatch):
    lines = "Authorization: Bearer sk-of-somebody\nX-Team: of-somebody\nCookie: of-somebody"
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", lines)
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-of-somebody")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "of-somebody")
    server.answers = [http("", "418 Teapot")]
    for kind, changes in (("text", {}), ("picture", {}), ("text", {"key": None})):
        told(server.endpoint, kind, **changes)
    for head in server.heads:
        names = {line.partition(":")[0].lower() for line in head.split("\r\n")[1:]}
        assert names <= {*endpoint.KEPT_HEADERS, "authorization"}
        assert "somebody" not in head
    assert sum(CANARY in head for head in server.heads) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("kind", ["text", "json", "picture"])
def test_a_redirect_takes_neither_key_nor_prompt_to_another_host(server, status, kind):
    other = Server([chat(GOOD)])
    try:
        server.answers = [http("", f"{status} Moved", Location=f"{other.endpoint}/images")]
        assert "redirect" in told(server.endpoint, kind)
        assert other.asked == []
    finally:
        other.stop()


# ── proxies ──────────────────────────────────────────────────────────────────────────────────────


def test_a_proxy_is_gone_through_where_it_is_named(server):
    server.answers = [chat("hello")]
    proxy = server.endpoint.removesuffix("/v1").replace("://", "://me:pass@")
    model = talker("http://service.invalid/v1", proxy=SecretStr(proxy))
    assert model.complete(ASK) == "hello"
    head = server.heads[0]
    assert head.startswith("POST http://service.invalid/v1/chat/completions HTTP/1.1")
    assert f"Proxy-Authorization: Basic {base64.b64encode(b'me:pass').decode()}" in head
    assert "pass" not in repr(model)


def test_a_secure_service_is_reached_through_a_tunnel_that_hears_nothing_of_the_key():
    asked = []

    def tunnel(connection):
        head = b""
        while b"\r\n\r\n" not in head and (more := connection.recv(65536)):
            head += more
        asked.append(head)
        connection.sendall(b"HTTP/1.1 502 No\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    tunnel(connection)

        threading.Thread(target=serve, daemon=True).start()
        proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
        one = painter("https://service.invalid/v1", proxy=SecretStr(proxy), price=1.0)
        said = drawn(one)
        listener.shutdown(socket.SHUT_RDWR)
    assert is_one_clean_sentence(str(said))
    assert one.spent == 0
    assert asked
    assert all(head.startswith(b"CONNECT service.invalid:443") for head in asked)
    assert CANARY.encode() not in b"".join(asked)


def test_this_machine_is_reached_without_the_proxy(server):
    server.answers = [chat("hello")]
    model = talker(server.endpoint, proxy=SecretStr("http://127.0.0.1:9"))
    assert model.complete(ASK) == "hello"


@pytest.mark.parametrize(
    "proxy",
    ["socks5://me:secret@x:1", "secret", "http://x:secret", "http://x/secret", "http://[::1"],
)
def test_a_proxy_that_is_none_is_refused_without_repeating_it(proxy):
    with pytest.raises(ConfigError, match="LCMIS_PROXY") as caught:
        service_at("http://service.invalid/v1", proxy=SecretStr(proxy))
    assert "secret" not in str(caught.value)
