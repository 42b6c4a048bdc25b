"""The harness of repairs: tools, references, budgets, and what a text model may do wrong."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass

import pytest
from PIL import Image
from worlds import toys
from worlds.toys import COLOURS, ToyModel, pair, repair

from lcmis.errors import ConfigError, InversionError, TextModelError
from lcmis.plugins import registry
from lcmis.plugins.settings import CheckerSettings, TextModelSettings
from lcmis.repair.evaluate import SEARCH_SEEDS
from lcmis.repair.methods.inversion import ByInversion
from lcmis.store import Store
from lcmis.types import Side

PAIRS = (pair("rubine", "azure"), pair("lime", "amber"))

pytestmark = pytest.mark.usefixtures("toys")


@dataclass(frozen=True)
class Reader:
    """Says the colours of both halves by their looks, and may paint what it said."""

    paints: int = 0
    only: str = ""
    """Colour at the left without which nothing is painted."""
    needs_gradients: bool = False
    inverter_id = "reader"

    def invert(self, reference, tools):
        if self.needs_gradients and tools.denoiser is None:
            raise InversionError(f"reader follows gradients, but {tools.no_gradients}")
        names = {colour: name for name, colour in COLOURS.items()}
        left, right = (names.get(reference.getpixel((x, 4)), "void") for x in (4, 12))
        prompt = f"the look of {left[::-1]} beside the look of {right[::-1]}"
        for place in range(self.paints if self.only in ("", left) else 0):
            assert tools.paint(prompt, place) is not None
        yield prompt


@dataclass(frozen=True)
class Tabler:
    """Says what is first in the user's table, whatever it sees."""

    inverter_id = "tabler"
    reads_table = True

    def invert(self, reference, tools):
        yield tools.phrases.subject[0] if tools.phrases else "nothing of mine"


def tabler():
    return ByInversion(Tabler())


def reader():
    return ByInversion(Reader())


def painter():
    return ByInversion(Reader(paints=3))


def half_painter():
    return ByInversion(Reader(paints=3, only="rubine"))


def differentiator():
    return ByInversion(Reader(needs_gradients=True))


class Says:
    """A text model that says what it is called, whatever is asked; it may be ``silent``."""

    sees_images = False

    def __init__(self, settings):
        self.model_id = "says:it@1"
        self.settings = settings

    def complete(self, messages, images=(), schema=None):
        if self.settings.name == "silent":
            raise TextModelError("says:it@1 gave no reply: no whole reply in 120 s")
        return self.settings.name


@pytest.fixture(autouse=True)
def plugs(monkeypatch):
    for method in ("reader", "painter", "half_painter", "differentiator", "tabler"):
        monkeypatch.setitem(registry.BUILT_IN["repairers"], method, f"test_repairing:{method}")
    monkeypatch.setitem(registry.BUILT_IN["text_models"], "says", "test_repairing:Says")
    monkeypatch.setitem(registry.BUILT_IN["text_models"], "toy", "worlds.toys:ToyWriter")


@pytest.fixture
def audited(tmp_path):
    """A configuration whose models, by behaviour, are audited; the last one is repaired."""

    def make(*behaviours):
        return [toys.audited(tmp_path, PAIRS, behaviour) for behaviour in behaviours][-1]

    return make


def failures(config):
    with Store(config.store, read_only=True) as store:
        return {(one.stage, one.sentence) for one in store.failures()}


# ── references ───────────────────────────────────────────────────────────────────────────────────


def test_a_picture_that_another_model_draws_right_is_the_reference(audited):
    config = audited("right", "deaf")
    result = repair(config, method="reader")
    assert result.num_repaired == len(PAIRS)
    for item in result.pairs:
        chosen = item.certificate.nomination
        assert chosen.reference.endswith("by toy@right")
        with Store(config.store, read_only=True) as store:
            spec, _ = store.render(chosen.reference.split()[0])
        assert (spec.model, spec.prompt) == ("toy@right", item.finding.pair.prompt)


def test_the_users_own_picture_goes_before_all_others(audited, tmp_path):
    config = audited("right", "deaf")
    mine = Image.new("RGB", (16, 8), COLOURS["rubine"])
    mine.paste(COLOURS["azure"], (8, 0, 16, 8))
    mine.save(tmp_path / "mine.png")
    result = repair(config, method="reader", reference=str(tmp_path / "mine.png"))
    for item in result.pairs:
        chosen = item.certificate.nomination
        assert chosen.reference.startswith("mine.png sha256:")
        assert chosen.given == (f"reference {chosen.reference}", "scheduler deaf")
        assert item.certificate.passed == (item.finding.pair == PAIRS[0])


def test_a_reference_that_is_no_picture_is_one_sentence_before_anything_is_drawn(audited, tmp_path):
    config = audited("deaf")
    (tmp_path / "mine.png").write_text("no picture")
    for path in (tmp_path / "mine.png", tmp_path / "none.png"):
        with pytest.raises(ConfigError, match=path.name):
            repair(config, method="reader", reference=str(path))
    assert ToyModel.drawn == []


def test_without_any_other_each_concept_is_drawn_alone_and_one_pasted_into_the_other(audited):
    config = audited("deaf")
    result = repair(config, method="reader", budget=30)
    for item in result.pairs:
        one = item.certificate.nomination
        b_key, a_key = one.reference.replace(" by toy@deaf", "").split(" pasted into ")
        with Store(config.store, read_only=True) as store:
            drawn = [store.render(key)[0] for key in (a_key, b_key)]
        assert [spec.prompt for spec in drawn] == [
            item.finding.pair.concept(side).name for side in Side
        ]
        assert all(spec.seed in SEARCH_SEEDS for spec in drawn)


def test_a_reference_that_cannot_be_had_is_a_recorded_failure_and_the_repair_goes_on(audited):
    config = audited("deaf")
    result = repair(config, method="reader", reference="other")
    assert [item.certificate for item in result.pairs] == [None, None]
    assert {sentence for _, sentence in failures(config)} == {
        "reference: no other model has drawn this pair right in this store: audit one"
    }
    repair(config, method="reader", budget=3)
    assert any("too few to draw each concept alone" in said for _, said in failures(config))


# ── phrases of one's own ─────────────────────────────────────────────────────────────────────────


def test_a_table_of_phrases_decides_what_is_tried_and_another_one_searches_again(audited, tmp_path):
    config = audited("deaf")
    found = []
    for phrase in ("the look of enibur", "the look of eruza", ""):
        table = tmp_path / f"{phrase or 'none'}.toml"
        table.write_text(f'subject = ["{phrase}"]\nmedium = ["photo"]\nflavour = ["lime"]\n')
        result = repair(config, method="tabler", table=str(table) if phrase else "")
        (prompt,) = {one.certificate.nomination.candidate.stages[0].prompt for one in result.pairs}
        found.append(prompt)
    assert found == ["the look of enibur", "the look of eruza", "nothing of mine"]


def test_a_table_that_nobody_reads_or_that_is_none_is_refused_before_anything_is_drawn(
    audited, tmp_path
):
    config = audited("deaf")
    table = tmp_path / "own.toml"
    for method, said in (
        ("reader", "--table has no effect on reader"),
        ("tabler", "cannot be read"),
    ):
        with pytest.raises(ConfigError, match=said):
            repair(config, method=method, table=str(table))
    assert ToyModel.drawn == []


# ── tools and budgets ────────────────────────────────────────────────────────────────────────────


def test_a_method_that_needs_what_a_model_has_not_is_a_recorded_failure(audited):
    config = audited("right", "deaf")
    result = repair(config, method="differentiator")
    assert result.num_repaired == 0
    assert failures(config) == {
        (
            "repair",
            "reader: reader follows gradients, but toy@deaf gives no gradients: give a Stable "
            "Diffusion 1, 2, XL or 3 or a FLUX.1 model",
        )
    }


def test_a_method_that_needs_gradients_says_why_a_model_has_none(audited, monkeypatch):
    def denoiser(self):
        raise InversionError("its VAE is another: give a FLUX.1 model")

    monkeypatch.setattr(ToyModel, "denoiser", denoiser, raising=False)
    config = audited("right", "deaf")
    assert repair(config, method="differentiator").num_repaired == 0
    assert failures(config) == {
        (
            "repair",
            "reader: reader follows gradients, but its VAE is another: give a FLUX.1 model",
        )
    }


def test_what_an_inversion_paints_is_kept_and_paid_for(audited):
    config = audited("right", "deaf")
    free, paid = (repair(config, method=method) for method in ("reader", "painter"))
    for before, after in zip(free.pairs, paid.pairs, strict=True):
        drawn = after.certificate.nomination.pictures
        assert drawn == before.certificate.nomination.pictures, "trials use the same pictures"
    with Store(config.store, read_only=True) as store:
        assert store.missing([]) == []
    short = repair(config, method="painter", budget=2)
    assert [item.certificate for item in short.pairs] == [None, None]


class Strict(ToyModel):
    """Can be had in another shape, and draws nothing that was specified in another than its own."""

    def in_batches_of(self, batch_size):
        other = copy.copy(self)
        other.batch_size = batch_size
        return other

    def generate(self, specs):
        assert {spec.profile for spec in specs} == {f"cpu-toy-b{self.batch_size}"}
        return super().generate(specs)


def test_what_one_search_paints_is_drawn_beside_the_trials_of_another(audited, monkeypatch):
    config = audited("right", "deaf")
    monkeypatch.setitem(registry.BUILT_IN["models"], "toy", "test_repairing:Strict")
    result = repair(config, method="half_painter")
    assert result.num_repaired == len(PAIRS)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"calls": -1}, "--calls is -1"),
        ({"certificate": 2000}, "at most 1024"),
        ({"guard": CheckerSettings("toy")}, "judges or guides"),
        ({"guard": CheckerSettings("toy", "third")}, "offers no encoder"),
    ],
)
def test_a_setting_that_cannot_be_is_one_sentence(audited, settings, said):
    with pytest.raises(ConfigError, match=said):
        repair(audited("deaf"), **settings)


def test_runs_remember_their_models_and_checkers_by_id(audited):
    config = audited("deaf")
    repair(config, method="rewrite")
    with Store(config.store, read_only=True) as store:
        for run in store.runs():
            assert (run.models, run.checkers) == (("toy@deaf",), ("toy:reader@1", "toy:guide@1"))


# ── text models ──────────────────────────────────────────────────────────────────────────────────

HOSTILE = "<script>alert(1)</script> <lora:evil:1> \u202egnp.exe"
REPLIES = {
    "silence": "silent",
    "a refusal": "I cannot help with that.",
    "prose": "Of course! Here are some prompts: a cup, a mug.",
    "broken JSON": '{"prompts": ["a cup',
    "an empty list": '{"prompts": []}',
    "another shape": '{"prompts": "a cup", "first": 3}',
    "nested deep": "[" * 5000,
    "what no database keeps": '{"prompts": "\x00\ud800"}',
    "nothing": "",
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
@pytest.mark.parametrize("method", ["portfolio", "proxies", "bigpe", "opt2i", "craft"])
def test_a_text_model_that_says_nothing_of_use_is_a_failure_and_the_repair_goes_on(
    audited, method, reply
):
    config = audited("shy")
    result = repair(config, method=method, text_model=TextModelSettings("says", reply), budget=60)
    # what was not answered is asked again, what was said stays; who proposes nothing begins again
    goes_on = reply == "silent" or method == "proxies"
    counts = (len(PAIRS), 0) if goes_on else (0, len(PAIRS))
    assert (result.failures, result.done_without) == counts
    assert all(said.strip() for _, said in failures(config))
    if method == "portfolio":
        assert result.num_repaired == len(PAIRS)


def test_hostile_markup_in_a_reply_is_no_prompt(audited):
    config = audited("deaf")
    reply = json.dumps({"prompts": [HOSTILE, "plain words", "e\u0301t\u0301 \u200d \u202e", "{a}"]})
    repair(config, method="rewrite", text_model=TextModelSettings("says", reply), budget=40)
    with Store(config.store, read_only=True) as store:
        tried = {stage.prompt for one in store.trials() for stage in one.stages}
    assert "plain words" in tried
    assert not any(mark in prompt for prompt in tried for mark in ("<script", "\u202e", "{a}"))


def test_a_text_model_is_asked_nothing_twice(audited, monkeypatch):
    config = audited("deaf")
    first = repair(config, method="rewrite", text_model=TextModelSettings("toy"))
    with Store(config.store, read_only=True) as store:
        kept = [one for _, one in store.exchanges()]
    assert len(kept) == 2 * len(PAIRS)
    assert all(one.model == "toy:writer@1" and one.reply and not one.reason for one in kept)
    monkeypatch.setitem(registry.BUILT_IN["text_models"], "toy", "test_repairing:Gone")
    again = repair(config, method="rewrite", text_model=TextModelSettings("toy"), budget=100)
    assert again.failures == 0
    assert again.num_repaired == first.num_repaired == len(PAIRS)


class Gone:
    """The same text model, of which nothing is left but what it said."""

    model_id = "toy:writer@1"
    sees_images = False

    def __init__(self, settings):
        pass

    def complete(self, messages, images=(), schema=None):
        raise AssertionError("it was asked")


def test_what_failed_is_kept_with_its_reason_and_asked_again(audited):
    config = audited("shy")
    for budget in (40, 50):
        texts = TextModelSettings("says", "silent")
        repair(config, method="rewrite", text_model=texts, budget=budget)
    with Store(config.store, read_only=True) as store:
        kept = [one for _, one in store.exchanges()]
    assert len(kept) == 2 * 2 * len(PAIRS), "each search asks what comes first, and for prompts"
    assert {(one.reply, one.reason) for one in kept} == {
        ("", "says:it@1 gave no reply: no whole reply in 120 s")
    }


@pytest.mark.parametrize("calls", [0, 1, 3])
def test_a_search_makes_no_more_calls_than_it_may_and_goes_on_without(audited, calls):
    config = audited("shy")
    result = repair(config, text_model=TextModelSettings("says", "no JSON"), calls=calls)
    with Store(config.store, read_only=True) as store:
        assert len(store.exchanges()) <= calls * len(PAIRS)
    assert result.num_repaired == len(PAIRS)
    assert {item.certificate.nomination.calls for item in result.pairs} == {calls}


def test_another_text_model_is_another_search(audited):
    config = audited("no a")
    repair(config, method="rewrite", budget=20)
    repair(config, method="rewrite", budget=20, text_model=TextModelSettings("toy"))
    with Store(config.store, read_only=True) as store:
        given = [one.given for one in store.nominations(PAIRS[0].key)]
    assert given == [("scheduler no a",), ("text model toy:writer@1", "scheduler no a")]
