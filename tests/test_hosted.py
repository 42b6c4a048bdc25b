"""Image models behind an API, asked over a real socket."""

import base64
import io
import json
from dataclasses import replace

import pytest
from PIL import Image
from pydantic import SecretStr
from test_llm import CANARY, Server, http

from lcmis.audit.config import load_config
from lcmis.audit.run import Audit
from lcmis.errors import ConfigError, Refusal, RenderError
from lcmis.findings import past_models
from lcmis.plugins.settings import (
    AuditSettings,
    CheckerSettings,
    HostedSettings,
    ModelSettings,
    StoppingSettings,
)
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
        }
    ]


def test_what_the_service_says_beside_it_is_kept_under_the_pictures_key_without_marks(server):
    one = model(server)
    (spec,) = specs(one)
    one.generate([spec])
    (remark,) = one.remarks()
    assert remark.request == spec.key
    assert json.loads(remark.reply)["revised_prompt"] == "a <b>tidy</b> cup"
    assert png() not in remark.reply
    assert one.remarks() == []


@pytest.mark.parametrize("code", ["moderation_blocked", "content_policy_violation"])
def test_a_refusal_is_told_from_a_failure(server, code):
    server.answers = [refusal(code)]
    one = model(server)
    (drawn,) = one.generate(specs(one))
    assert isinstance(drawn, Refusal)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http("{", "200 OK"), "no JSON"),
        (http('{"data": []}'), "without a picture"),
        (http('{"data": [{"url": "http://evil.example/x.png"}]}'), "not fetched"),
        (http(json.dumps({"data": [{"b64_json": "!!!"}]})), "no picture"),
        (http(json.dumps({"data": [{"b64_json": base64.b64encode(b"x").decode()}]})), "no picture"),
        (http(json.dumps({"data": [{"b64_json": png()[:60]}]})), "no picture"),
        (http(json.dumps({"data": [{"b64_json": png(0, (8200, 8200), "1")}]})), "claims 8200x8200"),
        (http('{"error": {"message": "odd size"}}', "400 Bad Request"), "odd size"),
        (http("busy", "503 Service Unavailable"), "after 3 tries"),
        (b"", "no connection"),
    ],
)
def test_what_is_no_picture_is_a_failure_with_its_reason(server, answer, said):
    server.answers = [answer]
    one = model(server)
    (drawn,) = one.generate(specs(one))
    assert isinstance(drawn, RenderError)
    assert not isinstance(drawn, Refusal)
    assert said in str(drawn)


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
