"""Image models behind an API, asked over a real socket."""

import base64
import contextlib
import io
import itertools
import json
from dataclasses import replace

import pytest
from PIL import Image
from pydantic import SecretStr
from test_llm import CANARY, Server, http
from worlds.toys import COLOURS, pair

from lcmis.audit.config import load_config
from lcmis.audit.run import Audit
from lcmis.errors import ConfigError, Refusal, RenderError, ServiceClosed
from lcmis.findings import past_models
from lcmis.plugins.settings import (
    AuditSettings,
    CheckerSettings,
    HostedSettings,
    ModelSettings,
    StoppingSettings,
)
from lcmis.propose.catalogue import to_toml
from lcmis.render import draw
from lcmis.render.hosted import HostedModel
from lcmis.store import Store
from lcmis.text import endpoint
from lcmis.types import Stage


def png(colour="rebeccapurple", size=(32, 32), mode="RGB"):
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def picture(**beside):
    item = {"b64_json": png(), "revised_prompt": "a <b>tidy</b> cup\u202e", **beside}
    return http(json.dumps({"created": 7, "data": [item], "usage": {"total_tokens": 9}}))


def refusal(code="moderation_blocked"):
    return http(json.dumps({"error": {"message": "no", "code": code}}), "400 Bad Request")


@pytest.fixture
def server():
    one = Server([picture()])
    yield one
    one.stop()


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(endpoint, "FIRST_WAIT_SECONDS", 0.01)


def model(server, **more):
    hosted = HostedSettings(server.endpoint, SecretStr(CANARY), deadline_seconds=20.0)
    own = {name: more.pop(name) for name in list(more) if hasattr(hosted, name)}
    settings = ModelSettings("painter-9", height=32, width=32, hosted=replace(hosted, **own))
    return HostedModel(replace(settings, **more))


def specs(one, count=1, prompt="a tea cup of coke"):
    return [one.spec((Stage(prompt),), seed) for seed in range(count)]


def test_a_picture_is_asked_for_by_model_prompt_size_and_quality(server):
    one = model(server, quality="low")
    (drawn,) = one.generate(specs(one))
    assert drawn.getpixel((0, 0)) == (102, 51, 153)
    assert server.asked == [
        {
            "model": "painter-9",
            "prompt": "a tea cup of coke",
            "n": 1,
            "size": "32x32",
            "quality": "low",
            "response_format": "b64_json",
        }
    ]


def test_a_picture_that_is_clear_in_part_stands_on_white(server):
    server.answers[:] = [picture(b64_json=png((255, 0, 0, 0), mode="RGBA"))]
    one = model(server)
    (drawn,) = one.generate(specs(one))
    assert drawn.getpixel((0, 0)) == (255, 255, 255)


def test_what_the_service_says_beside_it_is_kept_under_the_pictures_key_without_marks(server):
    one = model(server)
    (spec,) = specs(one)
    one.generate([spec])
    (remark,) = one.remarks()
    assert remark.request == spec.key
    assert json.loads(remark.reply)["revised_prompt"] == "a <b>tidy</b> cup"
    assert png() not in remark.reply
    assert one.remarks() == []


USELESS = {
    "no JSON": (http("{", "200 OK"), "no JSON"),
    "a page": (http("<html>Log in</html>"), "no JSON"),
    "nothing": (http("{}"), "without a picture"),
    "an address": (http('{"data": [{"url": "http://evil.example/x.png"}]}'), "not fetched"),
    "no base64": (http(json.dumps({"data": [{"b64_json": "!!!"}]})), "no picture"),
    "no picture": (
        http(json.dumps({"data": [{"b64_json": base64.b64encode(b"x").decode()}]})),
        "no picture",
    ),
    "half a picture": (http(json.dumps({"data": [{"b64_json": png()[:60]}]})), "no picture"),
    "a huge picture": (
        http(json.dumps({"data": [{"b64_json": png(0, (8200, 8200), "1")}]})),
        "claims 8200x8200",
    ),
    "an odd size": (http('{"error": {"message": "odd size"}}', "400 Bad Request"), "odd size"),
    "no such model": (
        http('{"detail": [{"loc": ["body", "model"], "msg": "Unknown"}]}', "422 Unprocessable"),
        "Unknown",
    ),
    "a flood": (http(b" " * (2**26 + 1)), "more than"),
    "packed": (http("x", Content_Encoding="gzip"), "packed"),
    "many values": (http("[" + "[]," * 150_000 + "1]"), "no JSON"),
}
"""Answers that are no picture for any prompt."""
UNCLEAR = {
    "empty data": (http('{"data": []}'), "without a picture", 1),
    "an odd reason": (http('{"error": "We would rather not."}', "400 Bad"), "rather not", 1),
    "an error with 200": (http('{"error": {"message": "it broke"}}'), "it broke", 1),
    "busy": (http("busy", "503 Service Unavailable"), "after 3 tries: status 503: busy", 3),
    "closed at once": (b"", "no connection", 3),
}
"""Answers that another prompt, or another day, may not get; and how often one is asked for."""


@pytest.mark.parametrize("name", [*USELESS, *UNCLEAR])
def test_what_is_no_picture_is_a_failure_with_its_reason(server, name):
    answer, said = {**USELESS, **UNCLEAR}[name][:2]
    server.answers = [picture(), answer]
    one = model(server)
    _, drawn = one.generate(specs(one, 2))
    assert isinstance(drawn, RenderError)
    assert not isinstance(drawn, Refusal)
    assert said in str(drawn)
    assert one.remarks()[-1].reason


@pytest.mark.parametrize("name", USELESS)
def test_the_first_answer_that_shows_that_no_picture_can_come_is_the_last_one(server, name):
    answer, said = USELESS[name]
    server.answers = [answer]
    one = model(server, price=1.0, spend_limit=100.0)
    with pytest.raises(ServiceClosed, match=said) as caught:
        draw(one, specs(one, 4))
    assert "run the same command again" in str(caught.value)
    assert len(server.asked) == 1
    with pytest.raises(ServiceClosed, match=said):
        draw(one, specs(one, 4))
    assert len(server.asked) == one.spent == 1


@pytest.mark.parametrize("name", UNCLEAR)
def test_what_may_be_the_prompts_fault_is_tried_with_one_other_prompt(server, name):
    answer, said, tries = UNCLEAR[name]
    server.answers = [answer]
    one = model(server, price=1.0)
    wanted = [*specs(one, 1), *specs(one, 1, "a mug of milk"), *specs(one, 1, "a third thing")]
    with pytest.raises(ServiceClosed, match=said) as caught:
        one.generate(wanted)
    first, second, third = caught.value.drawn
    assert isinstance(first, RenderError)
    assert isinstance(second, RenderError)
    assert third is None
    assert len(server.asked) == one.spent == 2 * tries


def test_a_service_that_has_drawn_once_is_asked_for_many_at_once_and_goes_on_after_failures(server):
    server.answers = [picture(), http("{}"), picture()]
    one = model(server)
    drawn = one.generate(specs(one, 4))
    assert [isinstance(item, RenderError) for item in drawn].count(True) == 1
    assert isinstance(drawn[0], Image.Image)


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────

WORDS = "Your request was rejected as a result of our safety system."
REFUSALS = {
    "OpenAI": ("400 Bad", {"error": {"message": WORDS, "code": "moderation_blocked"}}, WORDS[:50]),
    "an older OpenAI": ("400 Bad", {"error": {"code": "content_policy_violation"}}, "content_poli"),
    "Azure": (
        "400 Bad",
        {
            "error": {
                "code": "contentFilter",
                "message": "Your task failed as a result of our safety system.",
                "inner_error": {
                    "code": "ResponsibleAIPolicyViolation",
                    "content_filter_results": {"violence": {"filtered": True, "severity": "high"}},
                },
            }
        },
        "violence filtered",
    ),
    "Azure with 200": (
        "200 OK",
        {
            "created": 1,
            "data": [{"content_filter_results": {"hate": {"filtered": True}}, "b64_json": None}],
        },
        "hate filtered",
    ),
    "a gateway": (
        "403 Forbidden",
        {"error": {"code": 403, "message": "Input was flagged", "metadata": {"reasons": ["x"]}}},
        "Input was flagged",
    ),
    "FastAPI": (
        "422 Unprocessable Entity",
        {
            "detail": [
                {
                    "loc": ["body", "prompt"],
                    "msg": "The content was flagged by a content checker.",
                    "type": "content_policy_violation",
                    "input": "a tea cup of coke",
                }
            ]
        },
        "content checker",
    ),
    "a bare list": (
        "422 Unprocessable Entity",
        [{"msg": "It was flagged", "type": "content_policy_violation"}],
        "It was flagged",
    ),
    "an error that is a sentence": (
        "400 Bad",
        {"error": "The prompt was blocked by our content filters"},
        "content filters",
    ),
    "a sentence alone": ("400 Bad", "NSFW content detected", "NSFW content"),
    "errors in a list": (
        "403 Forbidden",
        {"id": "7", "name": "content_moderation", "errors": ["Your prompt is not allowed"]},
        "not allowed",
    ),
    "a reason for hiding it": (
        "200 OK",
        {"data": [], "raiFilteredReason": "Images violated the usage guidelines"},
        "usage guidelines",
    ),
    "a finish reason": ("200 OK", {"data": [{"finish_reason": "CONTENT_FILTERED"}]}, "filtered"),
    "a flag": ("200 OK", {"data": [{"url": ""}], "has_nsfw_concepts": [True]}, "nsfw"),
    "an error with 200": ("200 OK", {"error": {"code": "moderation_blocked"}}, "moderation_bl"),
    "a Chinese service": (
        "400 Bad",
        {"error": {"code": "1301", "message": "可能包含敏感内容"}},
        "敏感",
    ),
    "one word": (
        "400 Bad",
        {"error": {"code": "OutputImageSensitiveContentDetected"}},
        "sensitive",
    ),
    "a threat": (
        "400 Bad",
        {"error": "This violates our content policy. Your account may be suspended."},
        "content policy",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_moderated_prompt_is_a_refusal_of_that_prompt_with_the_services_words(server, name):
    status, body, said = REFUSALS[name]
    server.answers = [http(json.dumps(body), status), picture()]
    one = model(server, price=1.0)
    refused, drawn = one.generate([*specs(one, 1), *specs(one, 1, "a mug of milk")])
    assert isinstance(refused, Refusal)
    assert said in str(refused)
    assert "would not draw 'a tea cup of coke'" in str(refused)
    assert isinstance(drawn, Image.Image)
    assert len(server.asked) == one.spent == 2


@pytest.mark.parametrize(
    "said",
    [
        "a prompt with content_filter in it",
        "a nsfw sign, flagged by moderation, in a tea cup",
    ],
)
def test_a_prompt_that_is_said_again_in_an_error_is_no_refusal(server, said):
    body = {"error": {"message": f"cannot encode {said}", "prompt": said}}
    server.answers = [picture(), http(json.dumps(body), "400 Bad")]
    one = model(server)
    _, drawn = one.generate([*specs(one, 1), *specs(one, 1, said)])
    assert not isinstance(drawn, Refusal)


def test_an_empty_picture_with_a_filters_flag_is_a_refusal_and_without_it_a_picture(server):
    black = {"b64_json": png("black")}
    for flags, kind in (({"nsfw": True}, Refusal), ({"nsfw": False}, Image.Image)):
        server.answers = [http(json.dumps({"data": [{**black, **flags}]}))]
        one = model(server)
        (drawn,) = one.generate(specs(one))
        assert isinstance(drawn, kind)


# ── money ────────────────────────────────────────────────────────────────────────────────────────

SPENT = {
    "quota": ("429 Too Many Requests", {"error": {"code": "insufficient_quota", "message": "x"}}),
    "quota by type": ("429 Too Many Requests", {"error": {"type": "insufficient_quota"}}),
    "quota in words": (
        "429 Too Many Requests",
        {"error": {"message": "You exceeded your current quota, check your plan and billing."}},
    ),
    "402": ("402 Payment Required", {"error": {"message": "Add credits"}}),
    "the billing limit": ("400 Bad", {"error": {"code": "billing_hard_limit_reached"}}),
    "a low balance": ("400 Bad", {"error": {"message": "Your credit balance is too low"}}),
    "an account": ("403 Forbidden", {"error": {"code": "account_deactivated"}}),
    "an account in words": ("403 Forbidden", "Your account has been suspended."),
    "an error with 200": ("200 OK", {"error": {"code": 402, "message": "no more credits"}}),
    "a Chinese service": ("403 Forbidden", {"code": "AccountOverdueError", "message": "欠费"}),
    "a short balance": ("403 Forbidden", {"reason": "NOT_ENOUGH_BALANCE"}),
}


@pytest.mark.parametrize("name", SPENT)
def test_a_service_without_money_ends_the_run_at_the_first_answer(server, name):
    status, body = SPENT[name]
    server.answers = [picture(), http(json.dumps(body), status)]
    one = model(server, price=1.0, batch_size=1)
    with pytest.raises(ServiceClosed, match="look at your plan there") as caught:
        one.generate(specs(one, 9))
    assert isinstance(caught.value.drawn[0], Image.Image)
    assert caught.value.drawn[1:] == (None,) * 8
    assert len(server.asked) == 2
    assert one.spent == 1


def test_a_limit_of_a_minute_that_speaks_of_billing_is_waited_for(server):
    body = {
        "error": {
            "message": "You exceeded your current quota, please check your plan and billing.",
            "details": [{"retryDelay": "0s"}, {"retryDelay": "0.01s"}],
        }
    }
    server.answers = [http(json.dumps(body), "429 Too Many Requests"), picture()]
    one = model(server)
    (drawn,) = one.generate(specs(one))
    assert isinstance(drawn, Image.Image)


@pytest.mark.parametrize(
    ("answer", "billed"),
    [
        (http('{"data": [{"url": "http://x"}]}'), 1),
        (http('{"data": []}'), 1),
        (http('{"data": [{"b64_json": "AAAA"}]}'), 1),
        (http("{"), 1),
        (http('{"error": "?"}', "422 Unprocessable"), 1),
        (http("", "500 Broken"), 3),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{", 3),
        (5.0, 1),
        (http('{"error": {"code": "moderation_blocked"}}', "400 Bad"), 1),
        (http("", "429 Too Many Requests"), 0),
        (http("", "307 Moved", Location="http://x"), 0),
    ],
    ids=[
        "an address", "empty", "no picture", "no JSON", "422", "500", "cut", "late", "refused",
        "429", "redirect",
    ],
)  # fmt: skip
def test_whatever_may_have_been_billed_counts(server, answer, billed):
    server.answers = [picture(), answer]
    slow = {"deadline_seconds": 0.5} if isinstance(answer, float) else {}
    one = model(server, price=1.0, spend_limit=50.0, **slow)
    one.generate(specs(one, 1))
    one.generate(specs(one, 1, "a mug of milk"))
    assert one.spent == 1 + billed


def test_a_service_that_is_not_there_is_not_paid(server):
    one = model(server, price=1.0)
    server.stop()
    one.generate(specs(one))
    assert one.spent == 0


def test_four_pictures_where_one_was_asked_for_are_paid_for(server):
    server.answers = [http(json.dumps({"data": [{"b64_json": png()}] * 4}))]
    one = model(server, price=1.0)
    one.generate(specs(one))
    assert one.spent == 4


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
@pytest.mark.parametrize("useless", [*USELESS, *UNCLEAR, "late"])
def test_no_more_requests_than_the_limit_pays_for_reach_a_service_of_no_use(server, useless, limit):
    answer = 5.0 if useless == "late" else {**USELESS, **UNCLEAR}[useless][0]
    for answers in ([answer], [picture(), answer]):
        server.answers, before = answers, len(server.asked)
        one = model(server, price=1.0, spend_limit=float(limit), deadline_seconds=0.6)
        with contextlib.suppress(ServiceClosed):
            for place in range(9):
                one.generate(specs(one, 4, f"prompt {place}"))
        with pytest.raises(ServiceClosed):
            one.generate(specs(one))
        assert len(server.asked) - before <= limit
        assert one.spent <= limit


def test_a_batch_is_drawn_as_far_as_the_money_goes_and_what_was_drawn_is_kept(server):
    one = model(server, price=0.04, spend_limit=0.1)
    with pytest.raises(ServiceClosed, match="raise spend_limit") as caught:
        draw(one, specs(one, 4))
    assert [isinstance(item, Image.Image) for item in caught.value.drawn] == [
        True,
        True,
        False,
        False,
    ]
    assert len(server.asked) == 2


def hosted_audit(server, folder, prompts=9, **changes):
    pairs = [pair(*names) for names in itertools.combinations(list(COLOURS)[:4], 2)][:prompts]
    (folder / "pairs.toml").write_text(to_toml(pairs), "utf-8")
    reached = replace(HostedSettings(server.endpoint, SecretStr(CANARY), price=1.0), **changes)
    return AuditSettings(
        models=(ModelSettings("hosted:painter-9", height=32, width=32, hosted=reached),),
        checkers=(CheckerSettings("toy", "flatterer"),),
        pairs=(str(folder / "pairs.toml"),),
        stopping=StoppingSettings(cap=4),
    )


@pytest.mark.parametrize("name", [*USELESS, "429 without money"])
def test_an_audit_of_a_service_of_no_use_asks_once(server, tmp_path, toys, name):
    status, body = SPENT["quota"]
    server.answers = [USELESS[name][0] if name in USELESS else http(json.dumps(body), status)]
    config = hosted_audit(server, tmp_path, spend_limit=3.0)
    with (
        Store(tmp_path / "audit", create=True) as store,
        pytest.raises(ServiceClosed, match="hosted:painter-9"),
    ):
        Audit(config, store).run()
    assert len(server.asked) == 1


def test_what_was_drawn_before_the_money_ran_out_is_kept_and_more_money_goes_on(
    server, tmp_path, toys
):
    server.answers = [refusal(), picture()]
    with Store(tmp_path / "audit", create=True) as store:
        with pytest.raises(ServiceClosed, match="raise spend_limit"):
            Audit(hosted_audit(server, tmp_path, 2, spend_limit=3.0), store).run()
        assert len(server.asked) == len(store.renders()) == len(store.exchanges()) == 3
        result = Audit(hosted_audit(server, tmp_path, 2, spend_limit=9.0), store).run()
        assert (result.drawn, result.spent) == (5, 5.0)
        assert len(server.asked) == 8
        assert store.failures() == []


def test_a_failure_in_the_batch_in_which_it_ends_is_recorded_beside_what_was_drawn(
    server, tmp_path, toys
):
    server.answers = [picture(), picture(), http('{"data": []}'), picture()]
    config = hosted_audit(server, tmp_path, 2, spend_limit=3.0)
    with Store(tmp_path / "audit", create=True) as store:
        with pytest.raises(ServiceClosed):
            Audit(config, store).run()
        assert (len(store.renders()), len(store.failures())) == (2, 1)
        again = Audit(hosted_audit(server, tmp_path, 2), store).run()
        assert (again.drawn, store.failures()) == (6, [])


# ── how the picture itself is asked for ──────────────────────────────────────────────────────────

NO_FORMAT = http(
    '{"error": {"message": "Unknown parameter: \'response_format\'.", "param": "response_format",'
    ' "code": "unknown_parameter"}}',
    "400 Bad Request",
)
ADDRESS = http('{"data": [{"url": "http://evil.example/x.png"}]}')


def asked_with(server):
    return [one.get("response_format") for one in server.asked]


@pytest.mark.parametrize(
    "refusal",
    [
        NO_FORMAT,
        http('{"detail": [{"loc": ["body", "response_format"], "msg": "x"}]}', "422 No"),
        http('{"error": "unexpected keyword argument response_format"}', "500 Broken"),
        http('{"error": {"message": "response_format is not supported"}}'),
    ],
    ids=["OpenAI", "FastAPI", "Python", "with 200"],
)
def test_who_refuses_the_format_is_asked_once_more_without_it_and_that_is_remembered(
    server, refusal
):
    server.answers = [refusal, picture()]
    one = model(server, price=1.0)
    assert len(draw(one, specs(one, 3))) == 3
    assert asked_with(server) == ["b64_json", None, None, None]
    assert one.spent == 3


def test_who_gives_an_address_unless_told_is_told_and_that_is_remembered(server):
    server.answers = [ADDRESS, picture()]
    one = HostedModel(
        ModelSettings("gpt-image-9", height=32, width=32, hosted=HostedSettings(server.endpoint))
    )
    assert len(draw(one, specs(one, 3))) == 3
    assert asked_with(server) == [None, "b64_json", "b64_json", "b64_json"]


def test_who_calls_it_base64_is_told_so(server):
    server.answers = [
        http("{\"error\": \"response_format must be one of 'url', 'base64'\"}", "400 Bad"),
        picture(),
    ]
    one = model(server)
    assert len(draw(one, specs(one, 2))) == 2
    assert asked_with(server) == ["b64_json", "base64", "base64"]


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ([ADDRESS], ["b64_json"]),
        ([NO_FORMAT, ADDRESS], ["b64_json", None]),
        ([NO_FORMAT], ["b64_json", None]),
    ],
    ids=["heeds nothing", "knows only addresses", "refuses all"],
)
def test_who_cannot_send_the_picture_itself_is_left(server, answers, asked):
    server.answers = answers
    one = model(server, price=1.0)
    with pytest.raises(ServiceClosed, match="no picture has come"):
        draw(one, specs(one, 4))
    assert asked_with(server) == asked
    assert one.spent <= 1


@pytest.mark.parametrize(
    "dress",
    [
        lambda text: f"data:image/png;base64,{text}",
        lambda text: f"DATA:image/png;charset=x;BASE64,{text}",
        lambda text: "\r\n".join(text[at : at + 76] for at in range(0, len(text), 76)),
        lambda text: f"  {text}\n",
        lambda text: text.rstrip("="),
        lambda text: text.replace("+", "-").replace("/", "_"),
        lambda text: f"{text}==",
    ],
    ids=["prefix", "loud prefix", "lines", "blanks", "no padding", "for addresses", "padding"],
)
@pytest.mark.parametrize("size", [(32, 32), (31, 7), (5, 3)])
def test_base64_is_read_in_whatever_dress_it_comes(server, dress, size):
    plain = png("rebeccapurple", size)
    server.answers = [http(json.dumps({"data": [{"b64_json": dress(plain)}]}))]
    one = model(server)
    (drawn,) = one.generate(specs(one))
    assert drawn.size == size


# ── the rest ─────────────────────────────────────────────────────────────────────────────────────


def test_a_busy_service_is_asked_again(server):
    server.answers = [http("", "429 Too Many Requests", Retry_After="0"), picture()]
    one = model(server)
    (drawn,) = one.generate(specs(one))
    assert isinstance(drawn, Image.Image)
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("status", "said"),
    [("401 Unauthorized", "key"), ("403 Forbidden", "key"), ("404 Not Found", "no such model")],
)
def test_a_wrong_key_or_model_ends_the_run_in_one_sentence_without_the_key(server, status, said):
    body = json.dumps({"error": {"message": f"you said {CANARY}"}})
    server.answers = [http(body, status)]
    one = model(server)
    with pytest.raises(ConfigError, match=said) as caught:
        one.generate(specs(one))
    assert CANARY not in str(caught.value)
    assert all(CANARY not in str(remark) for remark in one.remarks())


def test_no_picture_is_asked_for_beyond_the_limit(server):
    one = model(server, price=0.04, spend_limit=0.1, batch_size=1)
    assert len(draw(one, specs(one, 2))) == 2
    with pytest.raises(ConfigError, match="raise spend_limit"):
        draw(one, specs(one, 1))
    assert len(server.asked) == 2
    assert one.spent == pytest.approx(0.08)


def test_requests_keep_their_distance(server):
    one = model(server, requests_per_minute=1200, batch_size=4)
    one.generate(specs(one, 4))
    assert one._next_at > 0
    assert len(server.asked) == 4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"endpoint": ""}, "LCMIS_ENDPOINT"),
        ({"endpoint": "ftp://x"}, "address"),
        ({"num_inference_steps": 9}, "num_inference_steps cannot reach"),
        ({"price": 0.0}, "price is 0"),
        ({"spend_limit": 5.0}, "set price too"),
        ({"requests_per_minute": -1.0}, "requests_per_minute"),
        ({"name": " "}, "needs a name"),
    ],
)
def test_settings_that_a_service_cannot_follow_are_refused(server, changes, said):
    with pytest.raises(ConfigError, match=said):
        model(server, **changes)


def test_a_service_cannot_switch_prompts(server):
    with pytest.raises(RenderError, match="cannot be switched"):
        model(server).spec((Stage("a", 0.5), Stage("b")), 0)


def test_key_and_address_come_from_the_environment_and_never_from_a_file(monkeypatch, tmp_path):
    monkeypatch.setenv("LCMIS_API_KEY", CANARY)
    monkeypatch.setenv("LCMIS_ENDPOINT", "http://localhost:9/v1")
    path = tmp_path / "audit.toml"
    path.write_text('[[models]]\nname = "hosted:m"\n[models.hosted]\nprice = 0.5\n')
    (entry,) = load_config(path).models
    assert entry.hosted.endpoint == "http://localhost:9/v1"
    assert entry.hosted.key.get_secret_value() == CANARY
    path.write_text(path.read_text() + 'key = "sk"\n')
    with pytest.raises(ConfigError, match="does not belong in a file"):
        load_config(path)


def test_a_hosted_model_is_audited_like_any_other(server, tmp_path, toys):
    server.answers = [refusal(), picture()]
    hosted = HostedSettings(server.endpoint, SecretStr(CANARY), price=0.25)
    config = AuditSettings(
        models=(ModelSettings("hosted:painter-9", height=32, width=32, hosted=hosted),),
        checkers=(CheckerSettings("toy", "flatterer"),),
        pairs=("teacup",),
        limit=2,
        stopping=StoppingSettings(cap=4),
    )
    with Store(tmp_path / "audit", create=True) as store:
        result = Audit(config, store).run()
        again = Audit(config, store).run()
        (kept,) = past_models(store)
        remarks = store.exchanges()
        assert CANARY not in str(store.runs())
    assert result.drawn == 8
    assert result.spent == pytest.approx(2.0)
    assert (again.drawn, again.spent) == (0, 0)
    assert result.models[0].pairs
    assert len(remarks) == 8
    assert kept.hosted == replace(hosted, key=None)
    assert CANARY.encode() not in b"".join(
        path.read_bytes() for path in (tmp_path / "audit").rglob("*") if path.is_file()
    )
