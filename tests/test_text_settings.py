"""How a text model is named: flags, a file's table, the environment; and what is kept of it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import ClassVar

import pytest
from PIL import Image
from pydantic import SecretStr
from test_llm import ASK, CANARY, GOOD, PROMPTS, Server, chat, http
from worlds.toy_inversion import register
from worlds.toys import audited, pair

from lcmis.audit.config import load_config, text_model_settings
from lcmis.errors import ConfigError, ProposalError, ServiceClosed
from lcmis.plugins import registry
from lcmis.plugins.protocols import TellsAttempts
from lcmis.plugins.settings import TextModelSettings
from lcmis.repair.search import Repair, RepairSettings
from lcmis.store import Store
from lcmis.text.chat import ChatModel, request_of
from lcmis.text.recorded import Correspondence

PAIR = pair("rubine", "azure")


class Spy:
    """Remembers how it was to be opened, and opens not."""

    seen: ClassVar[list[TextModelSettings]] = []

    def __init__(self, settings):
        self.seen.append(settings)
        raise ConfigError("spied")


@pytest.fixture(autouse=True)
def _spy(monkeypatch):
    monkeypatch.setitem(sys.modules, "test_text_settings", sys.modules[__name__])
    monkeypatch.setitem(registry.BUILT_IN["text_models"], "spy", "test_text_settings:Spy")
    monkeypatch.setattr(Spy, "seen", [])
    for variable in ("LCMIS_ENDPOINT", "LCMIS_API_KEY", "LCMIS_PROXY", "LCMIS_STORE"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    Image.new("RGB", (32, 32), "teal").save(path)
    return path


TABLE = """
[text_model]
kind = "spy"
name = "a model"
endpoint = "http://localhost:7/v1"
sees_images = true
max_tokens = 900
temperature = 0.5
deadline_seconds = 33.0
api_version = "2024-10-21"
"""
FLAGS = ("--text-model", "spy:other", "--vision", "--max-tokens", "70", "--temperature", "0")


@pytest.fixture
def run(lcmis, tmp_path, picture):
    """A command that asks a text model, as far as it opens it: what it would have opened."""

    def go(command, *flags, file=""):
        (tmp_path / "audit.toml").write_text(file, "utf-8")
        Store(tmp_path / "store", create=True).close()
        where = [picture] if command == "invert" else [tmp_path / "audit.toml"]
        store = [] if command == "invert" else ["--store", tmp_path / "store"]
        code, _, err = lcmis(command, *where, *store, *flags)
        assert code == 2, err
        return Spy.seen[-1] if "spied" in err else err

    return go


@pytest.mark.parametrize("command", ["repair", "propose", "evolve", "invert"])
def test_every_command_that_asks_a_text_model_takes_all_its_settings_as_flags(run, command):
    asked = run(command, *FLAGS, "--deadline", "7.5", "--endpoint", "http://localhost:9/v1")
    assert asked == TextModelSettings(
        "spy", "other", "http://localhost:9/v1", None, True, 70, 0.0, 7.5
    )


@pytest.mark.parametrize("command", ["repair", "propose", "evolve"])
def test_a_file_says_everything_the_flags_do_and_flags_go_before_it(run, command, monkeypatch):
    monkeypatch.setenv("LCMIS_API_KEY", CANARY)
    monkeypatch.setenv("LCMIS_ENDPOINT", "http://localhost:1/v1")
    said = run(command, file=TABLE)
    assert said == TextModelSettings(
        "spy", "a model", "http://localhost:7/v1", SecretStr(CANARY), True, 900, 0.5, 33.0,
        api_version="2024-10-21",
    )  # fmt: skip
    assert CANARY not in repr(said)
    both = run(command, "--no-vision", "--max-tokens", "5", "--text-model", "spy:b", file=TABLE)
    assert both == replace(said, name="b", sees_images=False, max_tokens=5)


def test_the_environment_says_where_and_by_what_key_where_nothing_else_does(run, monkeypatch):
    monkeypatch.setenv("LCMIS_API_KEY", CANARY)
    monkeypatch.setenv("LCMIS_PROXY", "http://me:secret@proxy:3128")
    monkeypatch.setenv("LCMIS_ENDPOINT", "http://localhost:1/v1")
    for said in (run("repair", file='text_model = "spy:a"'), run("repair", *FLAGS[:2])):
        assert said.endpoint == "http://localhost:1/v1"
        assert said.proxy.get_secret_value() == "http://me:secret@proxy:3128"
        assert "secret" not in repr(said)


@pytest.mark.parametrize("command", ["repair", "invert"])
@pytest.mark.parametrize("flag", [("--vision",), ("--temperature", "1"), ("--deadline", "3")])
def test_flags_for_a_text_model_that_nobody_names_are_refused(lcmis, picture, command, flag):
    where = [picture, "-m", "some/model", "--guard", "teacup-guard"] if command == "invert" else []
    code, _, err = lcmis(command, *where, *flag)
    assert code == 2
    assert "--text-model" in err
    assert len(err.strip().splitlines()) == 1


def test_an_instruction_is_not_evolved_by_nobody(lcmis):
    code, _, err = lcmis("evolve")
    assert code == 2
    assert "--text-model" in err


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ('kind = "spy"\nkey = "sk-x"', "set LCMIS_API_KEY instead"),
        ('kind = "spy"\nproxy = "http://x"', "set LCMIS_PROXY instead"),
        ('kind = "spy"\ntemprature = 1', "did you mean 'temperature'"),
        ('name = "x"', "text_model.kind"),
        ('kind = "spy"\nmax_tokens = "many"', "text_model.max_tokens is 'many'"),
        ('kind = "spy"\nsees_images = "sometimes"', "text_model.sees_images"),
    ],
)
def test_a_wrong_table_is_one_sentence_without_a_secret(tmp_path, table, sentence):
    path = tmp_path / "audit.toml"
    path.write_text(f"[text_model]\n{table}\n", "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert sentence in str(caught.value)
    assert "sk-x" not in str(caught.value)
    path.write_text("text_model = 3", "utf-8")
    with pytest.raises(ConfigError, match="must be a table"):
        load_config(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"deadline_seconds": float("inf")}, "deadline_seconds"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_asked(changes, said):
    with pytest.raises(ConfigError, match=said):
        ChatModel(replace(TextModelSettings("openai", "m", "http://localhost:9/v1"), **changes))


# ── what is kept ─────────────────────────────────────────────────────────────────────────────────


def test_a_run_keeps_what_was_asked_and_no_secret(tmp_path, toys, monkeypatch, lcmis):
    monkeypatch.setenv("LCMIS_API_KEY", CANARY)
    monkeypatch.setenv("LCMIS_PROXY", "http://me:secret@proxy:3128")
    config = audited(tmp_path, [PAIR], "deaf")
    monkeypatch.setitem(registry.BUILT_IN["text_models"], "toy", "worlds.toys:ToyWriter")
    code, _, err = lcmis(
        "repair", "-m", "toy", "--scheduler", "deaf", "-c", "toy", "-c", "toy:guide",
        "-p", *config.pairs, "--store", config.store, "--text-model", "toy",
        "--temperature", "0.25", "--level", "1", "--budget", "8",
    )  # fmt: skip
    assert code == 0, err
    with Store(config.store, read_only=True) as store:
        said = json.loads(store.runs()[-1].config)["text_model"]
        assert (said["kind"], said["temperature"], said["key"], said["proxy"]) == (
            "toy", 0.25, None, None,
        )  # fmt: skip
        assert "secret" not in str(store.runs())
        assert CANARY not in str(store.runs())


def test_what_decides_a_reply_is_part_of_its_name_and_what_does_not_is_none():
    plain = TextModelSettings("openai", "m")
    name = request_of("m", plain, ASK).key
    for changes in ({"temperature": 0.5}, {"max_tokens": 9}):
        assert request_of("m", replace(plain, **changes), ASK).key != name
    for changes in (
        {"deadline_seconds": 9.0},
        {"sees_images": True},
        {"key": SecretStr("k")},
        {"proxy": SecretStr("p")},
        {"api_version": "1"},
    ):
        assert request_of("m", replace(plain, **changes), ASK).key == name


def test_a_search_with_other_replies_is_another_search(tmp_path, toys, monkeypatch):
    monkeypatch.setitem(registry.BUILT_IN["text_models"], "toy", "worlds.toys:ToyWriter")
    config = audited(tmp_path, [PAIR], "deaf")

    def given(**changes):
        asked = TextModelSettings("toy", **changes)
        with Store(config.store) as store:
            repair = Repair(config, store, RepairSettings("rewrite", level=1, text_model=asked))
            return repair._given(repair.models[0].model_id)

    usual = ("text model toy:writer@1", "scheduler deaf")
    assert given() == usual
    assert given(temperature=0.5) == (*usual, "temperature 0.5")
    assert given(max_tokens=100) == (*usual, "max_tokens 100")
    assert given(deadline_seconds=5.0) == given()


@pytest.fixture
def server():
    one = Server()
    yield one
    one.stop()


def test_every_attempt_at_a_json_question_is_kept_as_it_was_said(server, tmp_path):
    said = ["prose", f"<think>{GOOD}</think>", '{"prompts": []}', f"```json\n{GOOD}\n```"]
    server.answers = [http('{"error": "?"}', "400 Bad"), *map(chat, said[1:])]
    chosen = TextModelSettings("openai", "m", server.endpoint, SecretStr(CANARY))
    model = ChatModel(chosen)
    assert isinstance(model, TellsAttempts)
    with Store(tmp_path / "store", create=True) as store:
        asked = Correspondence(model, chosen, store)
        reply = asked.complete(ASK, schema=PROMPTS)
        kept = [one for _, one in store.exchanges()]
        assert [one.reply for one in kept] == ["", *said[1:], reply]
        assert kept[0].reason.startswith("status 400")
        assert len({one.request for one in kept}) == 5
        assert len(kept[3].messages) == 3
        again = Correspondence(ChatModel(chosen), chosen, store)
        server.stop()
        assert again.complete(ASK, schema=PROMPTS) == reply
        assert len(store.exchanges()) == 5


def test_a_reply_that_cannot_be_used_is_kept_beside_the_reason(server, tmp_path):
    server.answers = [chat(f"<think>{GOOD}")]
    chosen = TextModelSettings("openai", "m", server.endpoint)
    with Store(tmp_path / "store", create=True) as store:
        asked = Correspondence(ChatModel(chosen), chosen, store)
        for schema in (PROMPTS, None):
            with pytest.raises(ProposalError, match="thought in it has no end"):
                asked.complete(ASK, schema=schema)
        kept = [one for _, one in store.exchanges()]
    assert {one.reply for one in kept if not one.reason} == {f"<think>{GOOD}"}
    assert sum("no end" in one.reason for one in kept) == 2


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http('{"error": {"code": "insufficient_quota"}}', "429 Too Many"), "look at your plan"),
        (http('{"error": {"message": "Add credits"}}', "402 Pay"), "look at your plan"),
        (http('{"error": {"code": "billing_hard_limit_reached"}}', "400 Bad"), "look at your plan"),
        (http(f'{{"error": "no {CANARY}"}}', "401 No"), "set LCMIS_API_KEY"),
        (http('{"error": {"message": "Invalid API key"}}', "400 No"), "set LCMIS_API_KEY"),
        (http("", "404 Not Found"), "knows no such model or address"),
    ],
)
def test_what_no_question_escapes_ends_the_run_at_the_first_and_is_kept(
    server, tmp_path, answer, said
):
    server.answers = [answer]
    chosen = TextModelSettings("openai", "m", server.endpoint, SecretStr(CANARY))
    with Store(tmp_path / "store", create=True) as store:
        asked = Correspondence(ChatModel(chosen), chosen, store)
        with pytest.raises(ServiceClosed, match=said) as caught:
            asked.complete(ASK)
        assert CANARY not in str(caught.value)
        assert all(one.reason for _, one in store.exchanges())
        assert CANARY not in str(store.exchanges())
    assert len(server.asked) == 1


def test_a_moderated_question_fails_alone_and_is_not_asked_less_strongly(server):
    body = {"error": {"code": "content_filter", "message": "The prompt triggered the policy"}}
    server.answers = [http(json.dumps(body), "400 Bad"), chat(GOOD)]
    model = ChatModel(TextModelSettings("openai", "m", server.endpoint))
    with pytest.raises(Exception, match="triggered the policy") as caught:
        model.complete(ASK, schema=PROMPTS)
    assert type(caught.value).__name__ == "TextModelError"
    assert len(server.asked) == 1


def test_a_model_that_sees_pictures_is_reached_from_the_command_line(
    server, lcmis, toys, picture, monkeypatch
):
    register(monkeypatch)
    server.answers = [chat("<think>a glass?</think>a teal square")]
    code, out, err = lcmis(
        "invert", picture, "-m", "toy", "--guide", "eyes:guide", "--guard", "eyes:guard",
        "--method", "caption", "--text-model", "openai:m", "--vision",
        "--endpoint", server.endpoint, "--max-tokens", "99", "--temperature", "0.5",
        "--seeds", "1", "--pictures", "1", "--json",
    )  # fmt: skip
    assert code == 0, err
    assert "a teal square" in out
    assert "a glass" not in out
    (asked,) = server.asked
    assert (asked["max_tokens"], asked["temperature"]) == (99, 0.5)
    assert asked["messages"][0]["content"][0]["type"] == "image_url"


def test_without_a_file_no_text_model_is_asked():
    assert load_config().text_model is None
    assert text_model_settings("local:x").name == "x"
