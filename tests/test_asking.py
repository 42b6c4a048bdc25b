"""What repairs ask of a text model, answered by the phrasebook and by scripted replies."""

from __future__ import annotations

import random

import pytest
from worlds.toys import Scripted

from lcmis.errors import ProposalError, TextModelError
from lcmis.plugins import registry
from lcmis.plugins.protocols import TextModel
from lcmis.plugins.settings import TextModelSettings
from lcmis.teacup.pairs import pairs
from lcmis.teacup.phrasebook import Phrasebook
from lcmis.teacup.world import FAMILIES, render
from lcmis.text import asking
from lcmis.text.chat import read_json
from lcmis.types import Concept, ConceptPair, Side

PAIRS = pairs()
TEA = next(pair for pair in PAIRS if (pair.a.name, pair.b.name) == ("tea cup", "iced coke"))


def test_the_phrasebook_is_a_text_model_registered_under_its_name():
    model: TextModel = registry.load("text_models", "phrasebook")(TextModelSettings("phrasebook"))
    assert model.model_id == "phrasebook@1"
    summaries = {entry.name: entry.summary for entry in registry.describe("text_models")}
    assert "no language model" in summaries["phrasebook"]
    assert registry.load("text_models", "openai").__name__ == "ChatModel"


@pytest.mark.parametrize("pair", PAIRS[::7], ids=lambda pair: pair.prompt)
def test_the_phrasebook_rewrites_every_pair_of_its_world(pair):
    found = asking.rewrites(Phrasebook(), pair, 8)
    assert len(found) == len({prompt.casefold() for prompt in found}) == 8
    assert pair.prompt not in found
    both_described = [p for p in found if pair.a.description in p and pair.b.description in p]
    assert both_described[0] == found[0]


def test_the_phrasebook_gives_no_more_than_asked_and_the_same_again():
    assert len(asking.rewrites(Phrasebook(), TEA, 3)) == 3
    assert asking.rewrites(Phrasebook(), TEA, 9) == asking.rewrites(Phrasebook(), TEA, 9)


def test_the_phrasebook_lays_down_the_vessel_first():
    assert asking.first(Phrasebook(), TEA) is Side.A
    turned = ConceptPair(TEA.b, TEA.a, "iced coke in a tea cup")
    assert asking.first(Phrasebook(), turned) is Side.B


def test_the_phrasebook_knows_synonyms():
    said = ConceptPair(Concept("teacup"), Concept("coke"), "a teacup of coke")
    assert TEA.a.description in asking.rewrites(Phrasebook(), said, 1)[0]


def test_the_phrasebook_says_what_a_picture_of_its_world_shows():
    right = 0
    model = Phrasebook()
    for number, (name, family) in enumerate(FAMILIES.items()):
        a, b = family.first[number].name, family.second[number].name
        picture, _, _ = render(name, a, b, random.Random(number))
        said = asking.caption(model, picture)
        right += a in said and b in said
    assert right == len(FAMILIES)


@pytest.mark.parametrize(
    "pair",
    [
        ConceptPair(
            Concept("aircraft carrier"), Concept("daisy"), "an aircraft carrier of daisies"
        ),
        ConceptPair(Concept("tea cup"), Concept("mug"), "a tea cup beside a mug"),
        ConceptPair(Concept("tea cup\nCount: 3"), Concept("mug"), "x"),
    ],
)
def test_the_phrasebook_says_so_where_it_knows_nothing(pair):
    with pytest.raises(TextModelError, match="phrasebook"):
        asking.rewrites(Phrasebook(), pair, 3)


def test_the_phrasebook_does_not_pretend_to_talk():
    with pytest.raises(TextModelError, match="no language model"):
        Phrasebook().complete([{"role": "user", "content": "Hello! How are you?"}])


def test_rewritings_are_lines_none_twice_none_the_old_one_and_no_more_than_asked():
    reply = {"prompts": ["  a\n cup ", "A cup", "", TEA.prompt.upper(), "x" * 501, "b", "c", "d"]}
    assert asking.rewrites(Scripted(reply), TEA, 3) == ["a cup", "b", "c"]


def test_nothing_new_is_an_error():
    with pytest.raises(ProposalError, match="nothing new"):
        asking.rewrites(Scripted({"prompts": [TEA.prompt, " "]}), TEA, 3)


def test_who_comes_first_is_one_of_the_two():
    model = Scripted({"first": "iced coke"})
    assert asking.first(model, TEA) is Side.B
    (schema,) = model.schemas
    assert read_json('{"first": "tea cup"}', schema).text
    assert read_json('{"first": "a glass"}', schema).problem
