"""Rounds that are audited: what is asked, filed, measured, stopped, edited and asked again."""

import dataclasses
import hashlib
import itertools
import json
import random
import sys
from typing import ClassVar

import pytest
from PIL import Image
from pydantic import SecretStr
from test_llm import CANARY, Server, chat, http
from worlds.threads import Threads, make_one_sick
from worlds.toys import ToyChecker, ToyModel

from lcmis.audit.proposals import Propose, ProposeSettings
from lcmis.cli.terminal.proposals import print_proposals
from lcmis.errors import ConfigError, TextModelError, TooManyFailures
from lcmis.plugins import registry
from lcmis.plugins.settings import (
    AuditSettings,
    CheckerSettings,
    ModelSettings,
    StoppingSettings,
    TextModelSettings,
    WorkersSettings,
)
from lcmis.propose.catalogue import names_both, read_kinds, read_pairs, to_toml
from lcmis.store import Store
from lcmis.text.chat import AsksForJson
from lcmis.text.endpoint import Outcome, clean
from lcmis.types import NONE_OF_THESE, Answer, Concept, ConceptPair, QuestionKind


def colour(name):
    return tuple(hashlib.sha256(name.encode()).digest()[:3])


class Painter(ToyModel):
    """Paints both halves, but nothing where the left thing is dark."""

    def _paint(self, spec):
        a, _, b = spec.prompt.partition(" beside ")
        picture = Image.new("RGB", (16, 8), (1, 2, 3) if a.startswith("dark") else colour(a))
        picture.paste(colour(b), (8, 0, 16, 8))
        picture.putpixel((0, 0), (spec.seed % 256, 0, 0))
        return picture


class Reader(ToyChecker):
    """Knows every name's colour."""

    def _answer(self, image, question):
        left = question.kind in (QuestionKind.A_PRESENT, QuestionKind.INTRUDER_A)
        seen = image.getpixel((4 if left else 12, 4))
        if question.kind.is_choice:
            right = next((o for o in question.options if colour(o) == seen), NONE_OF_THESE)
            return tuple(Answer(float(o == right), o) for o in question.options)
        return (Answer(0.9 if colour(question.text) == seen else 0.1),)


class Scribe:
    """Imitates what it is shown: dark things if those were painted wrong, else half of each."""

    model_id = "scribe@1"
    sees_images = False
    asked: ClassVar[list[str]] = []
    stop_at: ClassVar[int | None] = None
    """Ctrl-C comes at this question."""

    def __init__(self, settings):
        self.settings = settings

    def complete(self, messages, images=(), schema=None):
        if self.stop_at is not None and len(self.asked) >= self.stop_at:
            raise KeyboardInterrupt
        text = messages[-1]["content"]
        self.asked.append(text)
        return json.dumps(self.answer(text, set(schema["properties"])))

    def answer(self, text, wanted):
        dice = random.Random(text)
        if wanted == {"first", "second"}:
            return {side: [self.thing(dice) for _ in range(3)] for side in sorted(wanted)}
        if wanted != {"pairs"}:
            return {part: self.thing(dice) for part in sorted(wanted)}
        if text.startswith("Pairs"):
            named = [line[2:].split(" / ") for line in text.splitlines() if line[:2] == "- "]
            return {"pairs": [self.detail(a, b) for a, b in named]}
        wrong, _, right = text.partition("painted right")
        known_dark = "- dark" in wrong and "- dark" not in right
        return {
            "pairs": [
                {
                    "a": f"{'dark' if known_dark or i % 2 else 'light'} {self.thing(dice)}",
                    "b": self.thing(dice),
                }
                for i in range(6)
            ]
        }

    def thing(self, dice):
        return "".join(dice.choices("bcdfghjklm", k=6))

    def detail(self, a, b):
        return {
            "a": a,
            "b": b,
            "a_looks": "long and grey",
            "b_looks": "round and blue",
            "instead_of_a": [{"name": "void", "looks": "nothing"}],
            "instead_of_b": [],
            "sentences": [f"{a} beside {b}", f"a picture of {a} beside {b}"],
        }


def seed_pair(a, b, pattern="halves"):
    return ConceptPair(
        Concept(a), Concept(b), f"{a} beside {b}", pattern=pattern, source="a person", licence="CC0"
    )


SEEDS = (seed_pair("dark tower", "river"), seed_pair("light barn", "meadow"))


@pytest.fixture(autouse=True)
def world(monkeypatch):
    monkeypatch.setitem(sys.modules, "test_proposing", sys.modules[__name__])
    monkeypatch.setitem(registry.BUILT_IN["models"], "toy", "test_proposing:Painter")
    monkeypatch.setitem(registry.BUILT_IN["checkers"], "toy", "test_proposing:Reader")
    monkeypatch.setitem(registry.BUILT_IN["text_models"], "scribe", "test_proposing:Scribe")
    monkeypatch.setitem(registry.BUILT_IN["text_models"], "vandal", "test_proposing:Vandal")
    for toy in (ToyModel, Painter):
        monkeypatch.setattr(toy, "drawn", [])
        monkeypatch.setattr(toy, "interrupt_at", None)
    monkeypatch.setattr(Scribe, "asked", [])
    monkeypatch.setattr(Scribe, "stop_at", None)


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "seeds.toml"
    file.write_text(to_toml(SEEDS), "utf-8")
    return AuditSettings(
        models=(ModelSettings("toy"),),
        checkers=(CheckerSettings("toy"),),
        pairs=(str(file),),
        store=str(tmp_path / "audit"),
        stopping=StoppingSettings(block=2, cap=4),
    )


@pytest.fixture
def propose(config, tmp_path):
    def run(kind="scribe", into="found.toml", config=config, **changes):
        spoken = {"deadline_seconds": 5.0} if kind == "openai" else {}
        for name in ("endpoint", "key", "deadline_seconds"):
            if name in changes:
                spoken[name] = changes.pop(name)
        text_model = TextModelSettings(kind, "m" if kind == "openai" else "", **spoken)
        chosen = ProposeSettings(
            text_model, **{"rounds": 2, "count": 6, "into": tmp_path / into, **changes}
        )
        with Store(config.store, create=True) as store:
            return Propose(config, store, chosen).run("a test")

    return run


def exchanges(config):
    with Store(config.store, read_only=True) as store:
        return [one for _, one in store.exchanges(limit=100_000)]


# ── the loop ─────────────────────────────────────────────────────────────────────────────────────


def test_what_was_measured_wrong_is_imitated_and_the_yield_grows(propose, tmp_path):
    result = propose(rounds=3)
    first, second, third = result.rounds
    assert (result.baseline.value, result.baseline.total) == (0.5, 2)
    assert first.severe.value == 1  # the kind's only wrong seed is dark, and so are they
    assert {one.number for one in (first.round, second.round, third.round)} == {1, 2, 3}
    for one in result.rounds:
        assert len(one.measured) == len(one.round.proposals) > 0
        for proposal, measured in one.measured:
            is_dark = proposal.pair.a.name.startswith("dark")
            assert measured.wrong_share == is_dark
    kept = read_pairs(tmp_path / "found.toml")
    assert len(kept) == result.num_pairs
    assert all(names_both(pair.prompt, pair.a, pair.b) for pair in kept)
    assert {pair.source.split(", ")[1] for pair in kept} == {"scribe@1"}


def test_who_is_left_out_of_the_audits_is_named_once(propose, config, monkeypatch, capsys):
    make_one_sick(monkeypatch, Threads())
    found = propose(config=dataclasses.replace(config, workers=WorkersSettings(2, gpus=0)))
    (sentence,) = found.notes
    assert "worker 2 on no node yet is left out: it died 6 times" in sentence
    print_proposals(found)
    assert " ".join(capsys.readouterr().out.split()).count(sentence) == 1


def test_nothing_is_drawn_without_an_audit(propose, tmp_path):
    result = propose(audits=False)
    assert not ToyModel.drawn
    assert [one.severe.total for one in result.rounds] == [0, 0]
    assert [one.foreseen for one in result.rounds] == [None, None]
    assert len(read_pairs(tmp_path / "found.toml")) == result.num_pairs > 0


def test_the_same_run_into_another_file_asks_and_draws_nothing_again(propose, tmp_path):
    once = propose()
    asked, drawn = len(Scribe.asked), len(ToyModel.drawn)
    again = propose(into="again.toml")
    assert (len(Scribe.asked), len(ToyModel.drawn)) == (asked, drawn)
    assert [one.round for one in again.rounds] == [one.round for one in once.rounds]
    assert (tmp_path / "again.toml").read_bytes() == (tmp_path / "found.toml").read_bytes()


def test_the_same_command_adds_further_rounds(propose, tmp_path):
    propose(rounds=1)
    kept = read_pairs(tmp_path / "found.toml")
    result = propose(rounds=1)
    assert [one.round.number for one in result.rounds] == [2]
    assert set(kept) < set(read_pairs(tmp_path / "found.toml"))


def test_a_person_edits_the_file_between_rounds(propose, tmp_path, config):
    propose(rounds=1)
    file = tmp_path / "found.toml"
    gone, *left = read_pairs(file)
    own = dataclasses.replace(seed_pair("dark ladder", "cellar"), licence=gone.licence)
    file.write_text(to_toml([*left, own], read_kinds(file)), "utf-8")
    propose(rounds=1)
    kept = read_pairs(file)
    assert gone.key not in {pair.key for pair in kept}
    assert own in kept
    assert set(left) < set(kept)
    with Store(config.store, read_only=True) as store:
        assert own in store.pairs()
    assert any("dark ladder / cellar" in text for text in Scribe.asked)


def test_an_edit_that_is_no_pair_file_is_one_sentence(propose, tmp_path):
    propose(rounds=1)
    (tmp_path / "found.toml").write_text("[[pairs]\n", "utf-8")
    with pytest.raises(ConfigError, match=r"found\.toml"):
        propose(rounds=1)
    assert (tmp_path / "found.toml").read_text("utf-8") == "[[pairs]\n"


# ── stopped ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("question", [1, 3])
def test_stopped_while_asking_it_goes_on_and_asks_nothing_twice(
    propose, tmp_path, monkeypatch, question
):
    whole = propose(into="whole.toml", config=elsewhere(tmp_path, propose))
    asked = list(Scribe.asked)
    Scribe.asked.clear()
    monkeypatch.setattr(Scribe, "stop_at", question)
    with pytest.raises(KeyboardInterrupt):
        propose()
    kept = read_pairs(tmp_path / "found.toml") if (tmp_path / "found.toml").exists() else ()
    rounds_done = len({pair.source.split(", ")[2] for pair in kept})
    monkeypatch.setattr(Scribe, "stop_at", None)
    propose(rounds=2 - rounds_done)
    assert Scribe.asked == asked
    assert len(read_pairs(tmp_path / "found.toml")) == whole.num_pairs


@pytest.mark.parametrize("pictures", [0, 5])
def test_stopped_while_drawing_it_goes_on_where_it_was(propose, tmp_path, monkeypatch, pictures):
    whole = propose(into="whole.toml", config=elsewhere(tmp_path, propose))
    asked, drawn = list(Scribe.asked), sorted(ToyModel.drawn)
    Scribe.asked.clear()
    ToyModel.drawn.clear()
    monkeypatch.setattr(Painter, "interrupt_at", pictures)
    with pytest.raises(KeyboardInterrupt):
        propose()
    monkeypatch.setattr(Painter, "interrupt_at", None)
    kept = read_pairs(tmp_path / "found.toml") if (tmp_path / "found.toml").exists() else ()
    propose(rounds=2 - len({pair.source.split(", ")[2] for pair in kept}))
    assert Scribe.asked == asked
    assert sorted(ToyModel.drawn) == drawn
    assert len(read_pairs(tmp_path / "found.toml")) == whole.num_pairs


def elsewhere(tmp_path, propose):
    """The same settings with a store of their own."""
    file = tmp_path / "seeds.toml"
    return AuditSettings(
        models=(ModelSettings("toy"),),
        checkers=(CheckerSettings("toy"),),
        pairs=(str(file),),
        store=str(tmp_path / "whole"),
        stopping=StoppingSettings(block=2, cap=4),
    )


# ── what text models do ──────────────────────────────────────────────────────────────────────────


class Vandal(AsksForJson):
    """Replies as the worst endpoints give them, through the same ladder as any other model."""

    model_id = "vandal@1"
    sees_images = False
    replies: ClassVar[list[str]] = []

    def __init__(self, settings):
        super().__init__(settings)
        self.dice = random.Random(7)
        self.scribe = Scribe(settings)

    def _ask(self, request, deadline):
        reply, reason = self.dice.choice(WAYS)(self, request)
        Vandal.replies.append(reply or reason)
        return Outcome(clean(reply), reason, 200 if reply else 500)

    def fair(self, request):
        wanted = set(json.loads(request.schema)["properties"])
        return json.dumps(self.scribe.answer(request.messages[0][1], wanted))

    def spoil(self, value):
        if isinstance(value, dict):
            return {name: self.spoil(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.spoil(item) for item in value]
        return self.dice.choice(SPOILED) if self.dice.random() < 0.3 else value


SPOILED = (
    "<script>alert(1)</script>",
    "[bold red]x[/]",
    "![x](http://evil.example/x.png)",
    "\x1b[2J\x00",
    "\u202egnp",
    "'; DROP TABLE pairs; --",
    '"""\n[[pairs]]\n',
    "{a} {0} %s",
    "a" * 5000,
    "",
    "茶碗",
    "dark tower",
)
WAYS = (
    lambda v, r: (v.fair(r), ""),
    lambda v, r: (v.fair(r), ""),
    lambda v, r: (json.dumps(v.spoil(json.loads(v.fair(r)))), ""),
    lambda v, r: (json.dumps(v.spoil(json.loads(v.fair(r)))), ""),
    lambda v, r: (v.fair(r)[: v.dice.randint(0, 200)] + " ", ""),
    lambda v, r: (f"Sure! Here you are:\n```json\n{v.fair(r)}\n```\nEnjoy.", ""),
    lambda v, r: ("I cannot help with that, but let me tell you a story.", ""),
    lambda v, r: ("[" * 300, ""),
    lambda v, r: ('{"pairs": null}', ""),
    lambda v, r: ('{"pairs": [{"a": 1, "b": NaN}]}', ""),
    lambda v, r: ("", "it refused: <b>no</b>"),
    lambda v, r: ("", "no whole reply in 5 s"),
)


def test_a_thousand_hostile_or_broken_replies_crash_nothing_and_lose_nothing(
    propose, tmp_path, config, monkeypatch
):
    monkeypatch.setattr(Vandal, "replies", [])
    file = tmp_path / "found.toml"
    patient = dataclasses.replace(config, max_failures=10**6)
    results, said = [], set()
    for count in itertools.count(96, 6):  # other numbers, other questions: none is known
        if len(Vandal.replies) >= 1000:
            break
        before = read_pairs(file) if file.exists() else ()
        try:
            ran = propose("vandal", config=patient, audits=False, rounds=1, count=count)
        except ConfigError as error:
            said.add(str(error).partition(":")[0])
            continue
        results += ran.rounds
        kept = read_pairs(file) if file.exists() else ()
        assert set(before) <= set(kept)
        assert {pair.key for pair in set(kept) - set(before)} == {
            one.pair.key for one in results[-1].round.proposals
        }
    assert len(read_pairs(file)) > 20
    assert all("came to nothing" in one for one in said)
    for pair in read_pairs(file):
        assert names_both(pair.prompt, pair.a, pair.b)
        assert not set("<>[]{}\x1b\u202e") & set(f"{pair.a.name}{pair.b.name}{pair.prompt}")
    recorded = exchanges(config)
    assert all(one.reply or one.reason for one in recorded)
    assert sum(bool(one.reply) for one in recorded) > 100
    assert sum(len(one.round.dropped) for one in results) > 20


FAULTS = {
    "busy for a moment": [http('{"error": {"message": "slow down"}}', "429 Too Many Requests")],
    "an error of its own": [http('{"error": {"message": "oops"}}', "503 Service Unavailable")],
    "a stream that is cut": [b'HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"choices": [{'],
    "a refusal": [chat(None, refusal="I will not")],
    "prose": [chat("Once upon a time there was a tea cup.")],
    "broken JSON": [chat('{"pairs": [{"a": "dark lamp", "b": ')],
    "hostile markup": [chat('{"pairs": [{"a": "<img src=x>", "b": "[red]x[/]"}]}')],
    "another schema": [chat('{"things": ["lamp"]}')],
    "an empty message": [chat("")],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_server_with_a_fault_costs_its_question_and_no_more(
    propose, tmp_path, fault, monkeypatch
):
    monkeypatch.setattr("lcmis.text.endpoint.FIRST_WAIT_SECONDS", 0.01)
    expanded = chat(json.dumps({"pairs": [{"a": "dark lamp", "b": "stairs"}]}))
    detail = json.dumps({"pairs": [Scribe(None).detail("dark lamp", "stairs")]})
    server, told = Server([*FAULTS[fault], expanded, chat(detail)]), ""
    try:
        result = propose("openai", endpoint=server.endpoint, rounds=1)
        found = [one.pair.prompt for one in result.rounds[0].round.proposals]
        assert found in ([], ["dark lamp beside stairs"])
        assert found or result.rounds[0].round.dropped
    except ConfigError as error:
        told = str(error)
    finally:
        server.stop()
    assert not told or ("came to nothing" in told and not (tmp_path / "found.toml").exists())
    # and the next run asks again what failed
    server = Server([expanded, chat(detail)])
    try:
        propose("openai", endpoint=server.endpoint, rounds=1)
    finally:
        server.stop()
    assert "dark lamp beside stairs" in {p.prompt for p in read_pairs(tmp_path / "found.toml")}


def test_a_server_that_hangs_is_left_at_the_deadline(propose):
    server = Server([60.0])
    try:
        with pytest.raises(ConfigError, match=r"no whole reply in 0\.3 s"):
            propose("openai", endpoint=server.endpoint, rounds=1, deadline_seconds=0.3)
    finally:
        server.stop()


def test_a_wrong_key_is_one_sentence_and_is_kept_nowhere(propose, tmp_path, config, capsys):
    server = Server([http(json.dumps({"error": {"message": f"bad key {CANARY}"}}), "401 No")])
    try:
        with pytest.raises(ConfigError, match="the key is not accepted") as told:
            propose("openai", endpoint=server.endpoint, key=SecretStr(CANARY), rounds=1)
    finally:
        server.stop()
    assert CANARY not in str(told.value)
    assert "LCMIS_API_KEY" in str(told.value)
    assert CANARY not in "".join(capsys.readouterr())
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or CANARY.encode() not in path.read_bytes(), path
    assert not (tmp_path / "found.toml").exists()


def test_too_many_failures_end_it_after_the_pairs_are_kept(propose, tmp_path, config, monkeypatch):
    class Tired(Scribe):
        def complete(self, messages, images=(), schema=None):
            if len(self.asked) >= 3:
                raise TextModelError("it is tired")
            return super().complete(messages, images, schema)

    monkeypatch.setattr("test_proposing.Scribe", Tired)
    strict = dataclasses.replace(config, max_failures=1)
    with pytest.raises(TooManyFailures, match="it is tired"):
        propose(config=strict, rounds=2)
    assert read_pairs(tmp_path / "found.toml")


# ── the command ──────────────────────────────────────────────────────────────────────────────────


def command(lcmis, config, tmp_path, *more):
    return lcmis(
        "propose", "-m", "toy", "-c", "toy", "-p", *config.pairs, "--store", config.store,
        "--into", tmp_path / "found.toml", *more,
    )  # fmt: skip


def test_the_command_prints_a_line_a_round_and_what_fails_worst(lcmis, config, tmp_path):
    code, out, err = command(
        lcmis, config, tmp_path, "--text-model", "scribe", "--rounds", "2", "--count", "6"
    )
    assert code == 0, err
    assert "at level 4–5" in out
    assert "What fails worst" in out
    assert "found.toml" in out
    assert "round 1: asking scribe@1" in err


def test_the_command_prints_json(lcmis, config, tmp_path):
    asked = ("--text-model", "scribe", "--rounds", "1", "--json")
    code, out, _ = command(lcmis, config, tmp_path, *asked)
    assert code == 0
    said = json.loads(out)
    assert said["text_model"] == "scribe@1"
    assert said["rounds"][0]["severe"]["total"] > 0


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--text-model", "nobody"], "no text model is called 'nobody'"),
        (["--text-model", "local:/no/such/folder"], "/no/such/folder"),
        (["--text-model", "local"], "needs a name"),
        (["--text-model", "openai"], "needs a name"),
        (["--text-model", "openai:m", "--endpoint", "ftp://x"], "ftp://x"),
        (["--text-model", "scribe", "--rounds", "0"], "--rounds is 0"),
        (["--text-model", "scribe", "--count", "-1"], "--count is -1"),
        (["--text-model", "scribe", "--into", "pairs.json"], "pairs.json"),
        (["--text-model", "scribe", "-p", "no-such-pairs"], "no-such-pairs"),
    ],
)
def test_bad_input_is_one_sentence(lcmis, config, tmp_path, flags, sentence):
    code, out, err = command(lcmis, config, tmp_path, *flags)
    assert code == 2
    assert sentence in err
    assert len(err.strip().splitlines()) == 1
    assert not out
    assert not ToyModel.drawn
    assert not Scribe.asked
