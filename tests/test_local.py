"""Text models on this machine: what is read, refused, repeated and kept within bounds."""

import importlib.util
import json
import os
import random
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from lcmis.errors import ConfigError, ItemError, TextModelError, UnknownNameError
from lcmis.machine.paths import shipped
from lcmis.plugins import registry
from lcmis.plugins.settings import TextModelSettings
from lcmis.propose.catalogue import names_both
from lcmis.propose.rounds import Kind, Measured, Rounds
from lcmis.teacup.lm_text import TEMPLATES, converse
from lcmis.teacup.pairs import pairs
from lcmis.teacup.train import main as train
from lcmis.teacup.train_lm import encode
from lcmis.teacup.world import FAMILIES
from lcmis.text.chat import read_json
from lcmis.text.local import LocalModel

FOLDER = shipped("data") / "teacup" / "teacup-lm"
ASK = [
    {"role": "user", "content": "Pairs of things that are asked for in one picture:\n- mug / milk"}
]
WORDS = {
    "type": "object",
    "properties": {"words": {"type": "array", "items": {"type": "string"}}},
    "required": ["words"],
    "additionalProperties": False,
}
NAMES = {one.name for family in FAMILIES.values() for one in (*family.first, *family.second)}


@pytest.fixture(scope="module")
def babbler(tmp_path_factory):
    """A folder with a model that was never trained: it says anything, and seldom stops."""
    folder = tmp_path_factory.mktemp("models") / "babbler"
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=256,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=[tokenizer.eos_token_id, *range(300, 340)],
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    model.generation_config.do_sample = True
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def copied(babbler, tmp_path):
    """The same folder, for a test to spoil."""
    folder = tmp_path / "copied"
    folder.mkdir()
    for file in babbler.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def local(folder, record=None, **settings):
    return LocalModel(TextModelSettings("local", str(folder), **settings), record)


def said(model, messages=ASK):
    try:
        return model.complete(messages)
    except TextModelError as error:
        return str(error)


# ── any model ────────────────────────────────────────────────────────────────────────────────────


def test_it_is_a_text_model_named_by_its_content(babbler):
    model = local(babbler)
    assert model.model_id.startswith("local:babbler@")
    assert not model.sees_images


def test_one_question_is_answered_alike_whatever_chance_was_before(babbler):
    kept = []
    first = local(babbler, kept.append)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one = said(first)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    assert said(local(babbler)) == one
    other = [{"role": "user", "content": "something else"}]
    said(first, other)
    assert kept[0].reply != kept[1].reply
    assert [exchange.schema for exchange in kept] == ["", ""]
    assert kept[0].model == first.model_id


def test_a_temperature_of_nought_takes_the_likeliest_token(babbler):
    model = local(babbler, temperature=0, max_tokens=4)
    assert said(model) == said(local(babbler, temperature=0, max_tokens=4))


def test_a_reply_that_does_not_end_is_no_reply(babbler):
    with pytest.raises(TextModelError, match="cut off: raise max_tokens"):
        local(babbler, max_tokens=1).complete(ASK)


def test_the_deadline_is_kept(babbler):
    model = local(babbler, deadline_seconds=1e-6)
    with pytest.raises(TextModelError, match="no whole reply within 1e-06 seconds"):
        model.complete(ASK)


def test_a_question_that_is_too_long_is_counted_out(babbler):
    with pytest.raises(TextModelError, match=r"question has \d+ tokens, and it reads 255 at most"):
        local(babbler).complete([{"role": "user", "content": "x yz " * 400}])


def test_it_climbs_from_the_plain_question_to_one_with_the_schema(babbler):
    kept = []
    with pytest.raises(ItemError):
        local(babbler, kept.append).complete(ASK, schema=WORDS)
    with_schema = ["additionalProperties" in exchange.messages[0][1] for exchange in kept]
    assert not with_schema[0]
    assert with_schema == sorted(with_schema)


def test_pictures_are_refused(babbler):
    with pytest.raises(TextModelError, match="sees none"):
        local(babbler).complete(ASK, images=[Image.new("RGB", (2, 2))])


def test_a_template_that_takes_no_such_message_is_a_reason(copied):
    (copied / "chat_template.jinja").write_text("{{ raise_exception('only poems') }}", "utf-8")
    with pytest.raises(TextModelError, match="only poems"):
        local(copied).complete(ASK)


@pytest.mark.parametrize(
    ("gone", "sentence"),
    [
        ("chat_template.jinja", "has no chat template"),
        ("model.safetensors", "has no safetensors"),
        ("config.json", r"has no config\.json"),
    ],
)
def test_a_folder_that_cannot_answer_is_refused_before_it_is_loaded(copied, gone, sentence):
    (copied / gone).unlink()
    with pytest.raises(ConfigError, match=sentence):
        local(copied)


def test_pickled_weights_are_never_read(copied):
    (copied / "model.safetensors").unlink()
    (copied / "pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n.")
    with pytest.raises(ConfigError, match="safetensors"):
        local(copied)


def test_code_in_the_folder_is_never_run(copied, tmp_path):
    ran = tmp_path / "ran"
    (copied / "evil.py").write_text(f"open({str(ran)!r}, 'w')\n", "utf-8")
    settings = json.loads((copied / "config.json").read_text("utf-8"))
    settings |= {
        "model_type": "evil",
        "auto_map": {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"},
    }
    (copied / "config.json").write_text(json.dumps(settings), "utf-8")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        local(copied).complete(ASK)
    assert not ran.exists()


def test_weights_that_are_missing_are_named(copied):
    settings = json.loads((copied / "config.json").read_text("utf-8"))
    (copied / "config.json").write_text(json.dumps(settings | {"num_hidden_layers": 2}), "utf-8")
    with pytest.raises(ConfigError, match=r"layers\.1"):
        local(copied).complete(ASK)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"deadline_seconds": 0}, "above zero"),
        ({"max_tokens": 0}, "above zero"),
        ({"temperature": -1.0}, "from 0 up"),
        ({"sees_images": True}, "sees no pictures"),
    ],
)
def test_settings_that_cannot_be_are_refused(babbler, settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        local(babbler, **settings)


def test_a_model_that_is_not_there_is_refused():
    with pytest.raises(UnknownNameError, match="no/such/folder"):
        local("/no/such/folder")


# ── the shipped one ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def lm():
    kept = []
    folder_settings = TextModelSettings("teacup-lm")
    model = registry.load("text_models", "teacup-lm")(folder_settings)
    model._record = kept.append
    return model, kept


def test_it_is_small_and_has_a_card():
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 5_000_000
    card = json.loads((FOLDER / "card.json").read_text("utf-8"))
    assert card["measured"]["replies that are JSON of the asked shape"]["value"] >= 0.95
    assert card["measured"]["pairs that are new to the session"]["value"] >= 0.6


def test_what_it_was_taught_is_what_we_ask(lm):
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    dice = random.Random(11)
    heard = set()
    for _ in range(150):
        conversation = converse(dice)
        tokens, start = encode(conversation, tokenizer)
        heard.add(conversation.template)
        assert tokenizer.decode(tokens[start:-1]) == conversation.answer
        assert len(tokens) < 600  # a template that was reworded since has many more
        assert json.loads(conversation.answer)
    assert heard == set(TEMPLATES)


def test_what_it_was_taught_repeats_nothing_that_it_was_shown():
    dice = random.Random(12)
    asked = [one for one in (converse(dice) for _ in range(400)) if one.template == "expand"]
    for one in asked:
        shown = {line[2:] for line in one.question.splitlines() if line.startswith("- ")}
        answered = [f"{pair['a']} / {pair['b']}" for pair in json.loads(one.answer)["pairs"]]
        assert len(set(answered)) == len(answered)
        assert len(answered) == 1 or not shown & set(answered)


def test_two_rounds_bring_whole_new_pairs_of_the_worlds_own_concepts(lm):
    model, kept = lm
    seeds = [pair for pair in pairs() if pair.pattern.startswith("drink")][:32:4]
    kinds = [Kind(name) for name in dict.fromkeys(one.pattern for one in seeds)]
    found = []
    for number in (1, 2):
        asked = Rounds(model, [*seeds, *found], kinds, "lm", count=6, kinds_at_once=2)
        wrong = [Measured(pair, 0, 4) for pair in seeds]
        found += [one.pair for one in asked.round(number, wrong).proposals]
    assert len(found) >= 4
    assert sum({pair.a.name, pair.b.name} <= NAMES for pair in found) >= 0.9 * len(found)
    assert all(names_both(pair.prompt, pair.a, pair.b) for pair in found)
    sound = [not read_json(one.reply, json.loads(one.schema)).problem for one in kept]
    assert sum(sound) >= 0.8 * len(sound)  # the card's figure is of many more


def test_a_tiny_one_is_trained_and_can_be_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(
        sys, "argv",
        ["train", "lm", "--out", str(tmp_path / "lm"), "--tiny", "--samples", "8",
         "--batch-size", "4", "--measure-seeds", "0"],
    )  # fmt: skip
    train()
    card = json.loads((tmp_path / "lm" / "card.json").read_text("utf-8"))
    assert card["training"]["steps"] == 2
    assert said(local(tmp_path / "lm", max_tokens=8))


# ── behind a real server ─────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(
    importlib.util.find_spec("fastapi") is None,
    reason="transformers serve needs the extra transformers[serving]",
)
def test_transformers_serve_answers_our_questions(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    home = tmp_path / "hub"
    home.mkdir()
    command = [
        str(Path(sys.executable).with_name("transformers")), "serve", str(FOLDER),
        "--host", "127.0.0.1", "--port", str(port), "--device", "cpu",
    ]  # fmt: skip
    server = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(home)},
    )
    endpoint = f"http://127.0.0.1:{port}/v1"
    try:
        told = []
        while not told or (told[-1] and "running on" not in told[-1]):
            told.append(server.stderr.readline())
        assert told[-1], "".join(told)  # it ended before it listened
        threading.Thread(target=server.stderr.read, daemon=True).start()
        settings = TextModelSettings("openai", str(FOLDER), endpoint)
        model = registry.load("text_models", "openai")(settings)
        seeds = [pair for pair in pairs() if pair.pattern.startswith("drink")][:32:8]
        asked = Rounds(model, seeds, [Kind(seeds[-1].pattern)], "lm", count=3)
        found = asked.round(1, [Measured(seeds[-1], 0, 4)])
    finally:
        server.terminate()
        server.wait(120)
    assert found.proposals or found.dropped, found.failures
