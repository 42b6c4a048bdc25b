"""ARPO: phrases that a picture bears out, a guard that has the last word, replies of every kind."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence

import pytest
import torch
from PIL import Image
from worlds.toys import COLOURS

from lcmis.errors import (
    InversionError,
    ItemError,
    LcmisError,
    OutOfBudget,
    ProposalError,
    TextModelError,
)
from lcmis.invert.methods.arpo import Arpo, ascend, variants
from lcmis.invert.methods.fit import Fit
from lcmis.plugins import registry
from lcmis.plugins.protocols import Tools
from lcmis.plugins.settings import CheckerSettings, ModelSettings, TextModelSettings
from lcmis.teacup import shipped
from lcmis.teacup.phrasebook import Phrasebook
from lcmis.teacup.world import FAMILIES, render
from lcmis.text import asking
from lcmis.text.asking import Changes
from lcmis.types import Stage

NAMES = list(COLOURS)


def halves(left: str, right: str) -> Image.Image:
    picture = Image.new("RGB", (16, 8), COLOURS[left])
    picture.paste(COLOURS[right], (8, 0, 16, 8))
    return picture


def colours_of(picture: Image.Image) -> list[str]:
    by_value = {value: name for name, value in COLOURS.items()}
    return [by_value[picture.getpixel((x, 4))] for x in (4, 12)]


class ToyEncoder:
    """One axis for each colour, and one for all other words: similarities can be told by hand."""

    encoder_id = "toy@1"
    device = "cpu"

    def __init__(self, context_length: int = 20) -> None:
        self.context_length = context_length

    def see(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        return self._unit([colours_of(picture) for picture in pictures])

    def read(self, texts: Sequence[str]) -> torch.Tensor:
        return self._unit([text.replace(",", "").split() for text in texts])

    def num_tokens(self, text: str) -> int:
        return len(text.split()) + 2

    def _unit(self, said: list[list[str]]) -> torch.Tensor:
        rows = [[float(words.count(name)) for name in NAMES] for words in said]
        others = [[0.5 * sum(word not in NAMES for word in words)] for words in said]
        found = torch.tensor([a + b for a, b in zip(rows, others, strict=True)])
        return torch.nn.functional.normalize(found, dim=-1)


class Painter:
    """Paints the first two colours that a prompt names; keeps what it was asked."""

    def __init__(self, *, confused_from: int = 99, budget: int = 99) -> None:
        self.prompts: list[str] = []
        self._confused_from = confused_from
        self._budget = budget

    def __call__(self, prompt: str, number: int) -> Image.Image | None:
        if len(self.prompts) == self._budget:
            raise OutOfBudget("the pictures are spent")
        self.prompts.append(prompt)
        named = [word for word in prompt.replace(",", "").split() if word in NAMES]
        if len(named) >= self._confused_from:
            return halves("void", "void")
        left, right = [*named, "void", "void"][:2]
        return halves(left, right)


class Teller:
    """A text model that says one thing after the other when it is asked for changes."""

    model_id = "teller@1"

    def __init__(self, *replies: object, caption: str = "rubine", sees_images: bool = True) -> None:
        self.sees_images = sees_images
        self.asked: list[tuple[str, int]] = []
        self._replies = list(replies)
        self._caption = caption

    def complete(self, messages, images=(), schema=None) -> str:
        self.asked.append((messages[-1]["content"], len(images)))
        if schema is None:
            return self._caption
        if "same" not in schema["properties"]:
            seen = " ".join(colours_of(images[0]))
            return json.dumps({**dict.fromkeys(schema["properties"], "none"), "subject": seen})
        reply = self._replies.pop(0) if self._replies else {"same": True}
        if isinstance(reply, dict):
            return json.dumps({"same": False, "add": [], "replace": [], "drop": []} | reply)
        return str(reply)


def broken_off(prompts: Iterator[str]) -> tuple[list[str], LcmisError]:
    """What a search yields until it breaks off, and why it does."""
    found = []
    try:
        for prompt in prompts:
            found.append(prompt)
    except LcmisError as error:
        return found, error
    raise AssertionError(f"it came to its end with {found}")


def tools(model=None, *, paint=None, guard=None, encoder=None) -> Tools:
    return Tools(paint or Painter(), encoder or ToyEncoder(), guard, text_model=model)


BOTH = pytest.mark.parametrize("gradients", ["enhanced", "vanilla"])


# ── the search ───────────────────────────────────────────────────────────────────────────────────


@BOTH
def test_it_finds_what_the_caption_left_out(gradients):
    model = Teller({"add": ["lime", "azure"]})
    found = list(Arpo(gradients).invert(halves("rubine", "azure"), tools(model)))
    assert found == ["rubine", "rubine, azure"]


@BOTH
def test_it_replaces_and_drops_what_the_model_names(gradients):
    model = Teller({"replace": [{"phrase": "lime", "by": "rubine"}], "drop": ["of amber"]})
    model._caption = "lime of amber"
    found = list(Arpo(gradients).invert(halves("rubine", "rubine"), tools(model)))
    assert found[-1] == "rubine"


def test_the_guard_has_the_last_word_and_the_guide_has_it_without_one():
    reference = halves("rubine", "azure")
    told = {"add": ["azure"]}
    confused = Painter(confused_from=2)
    guarded = tools(Teller(told), paint=confused, guard=ToyEncoder())
    assert list(Arpo().invert(reference, guarded)) == ["rubine, azure", "rubine"]
    alone = tools(Teller(told), paint=Painter(confused_from=2))
    assert list(Arpo().invert(reference, alone)) == ["rubine", "rubine, azure"]


def test_no_prompt_is_longer_than_the_encoder_reads():
    model = Teller({"add": ["azure", "azure azure"]}, caption="rubine one two three")
    small = tools(model, encoder=ToyEncoder(context_length=5))
    found = list(Arpo().invert(halves("rubine", "azure"), small))
    assert found[0] == "rubine one two"
    assert all(ToyEncoder().num_tokens(prompt) <= 5 for prompt in found)


def test_it_ends_where_the_model_sees_no_difference():
    paint = Painter()
    assert list(Arpo().invert(halves("rubine", "void"), tools(Teller(), paint=paint))) == ["rubine"]
    assert len(paint.prompts) == 1


def test_it_ends_after_two_rounds_without_gain_and_paints_nothing_twice():
    useless, paint = [{"add": ["lime"]}] * 5, Painter()
    model = Teller(*useless)
    assert list(Arpo("vanilla").invert(halves("rubine", "void"), tools(model, paint=paint)))
    assert [pictures for _, pictures in model.asked] == [1, 2, 2]  # caption, two rounds
    assert len(paint.prompts) == 1


def test_it_ends_after_so_many_rounds():
    paint = Painter()
    model = Teller(*[{"add": ["azure"]}, {"add": ["rubine"]}, {"add": ["azure"]}] * 3)
    list(Arpo(rounds=1).invert(halves("rubine", "azure"), tools(model, paint=paint)))
    assert paint.prompts == ["rubine", "rubine, azure"]


def test_descriptions_are_made_one_picture_at_a_time_and_phrases_come_back_as_helped_or_not():
    model = Teller({"add": ["azure", "lime"]}, {"add": ["amber"]})
    list(Arpo().invert(halves("rubine", "azure"), tools(model)))
    pictures = [count for _, count in model.asked]
    assert pictures == [1, 1, 1, 0, 1, 0, 0]  # the goal is described once, each painting once
    second = [text for text, count in model.asked if count == 0][1]
    assert "helped before:\nazure\n" in second
    assert "again:\nlime\n" in second


def test_the_greedy_choice_takes_the_best_single_change_until_none_is_better():
    fit = Fit(ToyEncoder(), halves("rubine", "azure"))
    assert fit.of("rubine") == pytest.approx(0.5**0.5)
    assert fit.of("rubine, azure") == pytest.approx(1)
    assert fit.of("rubine, lime") == pytest.approx(0.5)
    assert ascend("rubine, lime", Changes(add=("azure", "amber")), fit) == "rubine, azure"


def test_the_moves_are_one_phrase_more_one_less_or_one_for_another():
    changes = Changes(
        add=("tea", "cups"), replace=(("cups", "jugs"), ("a cat", "mugs")), drop=("on ice", "a cat")
    )
    assert variants("cups, coke on ice", changes) == [
        "cups, coke on ice, tea",
        "cups, tea",
        "cups",
        "jugs, coke on ice",
        "cups, coke",
    ]


# ── what may go wrong ────────────────────────────────────────────────────────────────────────────

HOSTILE = "<img src=x onerror=alert(1)>"
BAD = {
    "prose": "I would add a little more contrast, and perhaps a cat.",
    "broken JSON": '{"same": false, "add": ["azure"',
    "another shape": json.dumps({"add": "azure"}),
    "nested past all bounds": "[" * 100_000,
    "markup alone": {
        "add": [HOSTILE, "[red]azure[/red]", "(azure:1.4) {x}", "see http://x.example"]
    },
    "invisible letters": {"add": ["az\u202eure", "\u200b", "..."]},
    "an endless phrase": {"add": ["azure " * 100]},
    "an empty list": {"add": []},
    "empty phrases": {"add": ["", "  "]},
}


@BOTH
@pytest.mark.parametrize("kind", BAD)
def test_a_reply_that_cannot_be_used_is_an_item_that_failed_and_the_caption_stands(gradients, kind):
    search = Arpo(gradients).invert(halves("rubine", "azure"), tools(Teller(BAD[kind])))
    found, error = broken_off(search)
    assert found == ["rubine"]
    assert isinstance(error, ProposalError)
    assert "teller@1" in str(error)


def test_plain_phrases_beside_markup_are_used():
    model = Teller({"add": [HOSTILE, "azure"]})
    assert list(Arpo().invert(halves("rubine", "azure"), tools(model)))[-1] == "rubine, azure"


@pytest.mark.parametrize("caption", ["", "  ", HOSTILE, "x" * 501])
def test_a_caption_that_is_none_is_an_item_that_failed(caption):
    with pytest.raises(ProposalError, match="caption"):
        list(Arpo().invert(halves("rubine", "azure"), tools(Teller(caption=caption))))


def test_a_model_that_sees_no_pictures_is_told_so_before_it_is_asked():
    model = Teller(sees_images=False)
    with pytest.raises(TextModelError, match="sees_images = true"):
        list(Arpo().invert(halves("rubine", "azure"), tools(model)))
    assert model.asked == []


def test_a_model_that_refuses_ends_the_search_and_the_best_so_far_stands():
    class Refusing(Teller):
        def complete(self, messages, images=(), schema=None) -> str:
            if len(self.asked) == 5:
                raise TextModelError("it would rather not say")
            return super().complete(messages, images, schema)

    model = Refusing({"add": ["azure"]})
    found, error = broken_off(Arpo().invert(halves("rubine", "azure"), tools(model)))
    assert found == ["rubine", "rubine, azure"]
    assert isinstance(error, TextModelError)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (Tools(Painter(), ToyEncoder()), "text model"),
        (Tools(Painter(), None, text_model=Teller()), "guide of kind clip"),
        (Tools(lambda prompt, number: None, ToyEncoder(), text_model=Teller()), "no picture"),
    ],
)
def test_a_tool_that_is_not_there_is_named(given, sentence):
    with pytest.raises(InversionError, match=sentence):
        list(Arpo().invert(halves("rubine", "azure"), given))


def test_where_the_budget_ends_the_best_so_far_still_comes_last():
    given = tools(Teller({"add": ["azure"]}), paint=Painter(budget=1))
    found, error = broken_off(Arpo().invert(halves("rubine", "azure"), given))
    assert found == ["rubine"]
    assert isinstance(error, OutOfBudget)


# ── in the miniature world ───────────────────────────────────────────────────────────────────────


def test_inverters_are_registered_under_their_ids():
    for name in ("caption", "arpo", "arpo-vanilla"):
        assert registry.load("inverters", name)().inverter_id == name
    assert registry.load("repairers", "arpo")().repairer_id == "arpo"


def test_the_phrasebook_names_what_differs_between_two_pictures():
    goal, _, _ = render("drinks", "tea cup", "iced coke", random.Random(3))
    painted, _, _ = render("drinks", "glass", "iced coke", random.Random(3))
    model = registry.load("text_models", "phrasebook")(TextModelSettings("phrasebook"))
    prompt = "a tea cup of iced coke"
    said = asking.changes(model, goal, painted, prompt, 12)
    look = "a small wide white porcelain cup with a handle on a saucer"
    assert ("a tea cup", look) in said.replace
    assert look in said.add
    assert not any("coke" in phrase for phrase in said.add)
    seen = [asking.describe(model, picture, ("subject", "mood")) for picture in (goal, painted)]
    assert seen == [{"subject": prompt}, {"subject": "a glass of iced coke"}]
    assert asking.changes(model, goal, goal, prompt, 12) == Changes()


def test_the_phrasebook_does_not_offer_again_what_did_not_help():
    goal = {"subject": "a tea cup of iced coke", "background": "pink background"}
    goal["composition"] = "on a red table"
    painted = goal | {"background": "blue background"}
    said = asking.differences(Phrasebook(), goal, painted, "a tea cup of iced coke", 5)
    assert said == Changes(add=("pink background",))
    with pytest.raises(TextModelError, match="own descriptions"):
        asking.differences(Phrasebook(), {"subject": "a cat"}, painted, "x", 5)


def test_arpo_recovers_a_prompt_that_asks_for_what_a_drawn_picture_shows():
    reference, _, _ = render("drinks", "mug", "hot tea", random.Random(5))
    broad = shipped.broad(ModelSettings("teacup-broad", device="cpu", batch_size=1))

    def paint(prompt: str, number: int) -> Image.Image | None:
        (picture,) = broad.generate([broad.spec((Stage(prompt),), number)])
        return picture if isinstance(picture, Image.Image) else None

    guide = shipped.clip(CheckerSettings("teacup-clip", device="cpu")).encoder()
    given = Tools(paint, guide, text_model=Phrasebook())
    found = list(Arpo("vanilla", rounds=2).invert(reference, given))
    assert "mug" in found[0]
    assert len(found) == len(set(found))
    similarities = (guide.read(found) @ guide.see([reference])[0]).tolist()
    assert similarities == sorted(similarities)


def test_every_failure_of_an_inversion_is_one_that_the_harness_records():
    assert all(issubclass(kind, ItemError) for kind in (ProposalError, TextModelError))
    assert issubclass(InversionError, ItemError)


def test_the_held_out_encoder_sees_which_painting_shows_the_pair():
    encoder = registry.load("checkers", "teacup-guard")(CheckerSettings("", device="cpu")).encoder()
    right = 0
    for number in range(20):
        dice = random.Random(number)
        family, (a, b) = dice.choice(list(FAMILIES.values())), dice.sample(range(6), 2)
        asked, usual = ((family.first[row].name, family.second[b].name) for row in (a, b))
        pictures = [render(family.name, *pair, dice)[0] for pair in (asked, asked, usual)]
        reference, shown, displaced = encoder.see(pictures)
        right += bool(reference @ shown > reference @ displaced)
    assert right >= 18
