"""The table search: greedy, by an encoder, from a table that may be the user's own."""

import itertools

import pytest
import torch
from PIL import Image

from lcmis.errors import ConfigError, InversionError
from lcmis.invert.methods.interrogator import Interrogator
from lcmis.plugins import registry
from lcmis.plugins.protocols import PhraseTable, Tools
from lcmis.testing import InverterContract
from lcmis.text.phrases import COLUMNS, read_table, shipped_table

PICTURE = Image.new("RGB", (8, 8))
WORDS = ("cup", "boot", "photo", "sketch", "red", "blue", "steaming", "old", "by a window")
SHOWN = {"cup": 3.0, "photo": 1.5, "red": 2.0, "steaming": 1.2, "blue": -0.5}
TABLE = PhraseTable(
    subject=("a boot", "a cup"),
    medium=("a sketch", "a photo"),
    flavour=("blue", "steaming", "red", "old", "by a window"),
)


class WordEncoder:
    """Each word is a direction; a picture shows some of them more than others."""

    encoder_id, device = "words:toy@1", "cpu"

    def __init__(self, context_length=77):
        self.context_length = context_length
        self.read_texts = []

    def see(self, pictures):
        shown = torch.tensor([SHOWN.get(word, 0.0) for word in WORDS])
        return torch.nn.functional.normalize(shown[None], dim=-1).expand(len(pictures), -1)

    def read(self, texts):
        self.read_texts += texts
        said = torch.tensor([[float(word in text) for word in WORDS] for text in texts])
        return torch.nn.functional.normalize(said + 1e-6, dim=-1)

    def num_tokens(self, text):
        return len(text.split()) + 2


class Captioner:
    """Always says the same."""

    model_id = "captioner"

    def __init__(self, says, sees_images=True):
        self.says, self.sees_images = says, sees_images

    def complete(self, messages, images=(), schema=None):
        return self.says


def no_paint(prompt, place):
    raise AssertionError("it paints nothing")


def tools(**given):
    return Tools(no_paint, **({"encoder": WordEncoder(), "phrases": TABLE} | given))


class TestInterrogator(InverterContract):
    def make(self):
        return Interrogator()

    def equip(self):
        return tools(text_model=Captioner("an old boot"))


def test_the_chain_takes_the_best_phrase_each_time_and_ends_when_none_helps():
    prompts = list(Interrogator().invert(PICTURE, tools()))
    assert prompts == [
        "a cup",
        "a cup, a photo",
        "a cup, a photo, red",
        "a cup, a photo, red, steaming",
    ]


def test_no_other_subset_of_the_table_fits_better_than_what_the_chain_ends_with():
    """Here greed finds the best of all: every subset is tried."""
    encoder = WordEncoder()
    seen = encoder.see([PICTURE])[0]
    *_, last = Interrogator().invert(PICTURE, tools())
    media = ((), *((one,) for one in TABLE.medium))
    flavours = [some for count in range(6) for some in itertools.combinations(TABLE.flavour, count)]
    every = [
        ", ".join((subject, *medium, *some))
        for subject in TABLE.subject
        for medium in media
        for some in flavours
    ]
    assert float(encoder.read([last])[0] @ seen) >= float((encoder.read(every) @ seen).max())


@pytest.mark.parametrize(
    ("says", "last"),
    [
        ("a steaming red cup", "a steaming red cup, a photo"),  # with the caption it fits as well
        ("an old boot", "a cup, a photo, red, steaming"),
    ],
)
def test_the_better_of_the_captions_chain_and_the_subjects_is_the_last(says, last):
    *others, best = Interrogator().invert(PICTURE, tools(text_model=Captioner(says)))
    assert best in (last, "a cup, a photo, red, steaming")
    assert says in [*others, best]
    assert len(set(others)) == len(others)


def test_a_text_model_that_sees_nothing_is_not_asked():
    blind = Captioner("an old boot", sees_images=False)
    assert list(Interrogator().invert(PICTURE, tools(text_model=blind))) == list(
        Interrogator().invert(PICTURE, tools())
    )


def test_a_prompt_that_the_encoder_would_cut_is_never_made():
    short = WordEncoder(context_length=7)  # five words
    *_, last = Interrogator().invert(PICTURE, tools(encoder=short))
    assert last == "a cup, a photo, red"[: len(last)]
    assert short.num_tokens(last) <= 7


def test_so_many_flavours_are_added_at_most_and_so_many_tried():
    *_, last = Interrogator(most=1).invert(PICTURE, tools())
    assert last == "a cup, a photo, red"
    encoder = WordEncoder()
    list(Interrogator(shortlist=1).invert(PICTURE, tools(encoder=encoder)))
    assert not any(", steaming" in text for text in encoder.read_texts)


def test_without_an_encoder_it_says_so():
    with pytest.raises(InversionError, match="let an open_clip model guide"):
        next(Interrogator().invert(PICTURE, Tools(no_paint)))


def test_it_is_registered_as_an_inverter_and_as_a_repairer():
    assert registry.load("inverters", "interrogator")().inverter_id == "interrogator"
    assert registry.load("repairers", "interrogator")().repairer_id == "interrogator"


# ── tables ───────────────────────────────────────────────────────────────────────────────────────


def test_the_shipped_table_has_every_column_and_no_phrase_twice():
    table = shipped_table()
    for column in COLUMNS:
        phrases = getattr(table, column)
        assert len(phrases) > 30
        assert len(set(phrases)) == len(phrases)
        assert not any("," in phrase for phrase in phrases)  # commas part them in a prompt


def test_a_table_of_ones_own_is_read_and_its_phrases_count_once(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text('subject = ["a cup", " a  cup"]\nmedium = ["a photo"]\nflavour = ["red"]\n')
    assert read_table(path) == PhraseTable(("a cup",), ("a photo",), ("red",))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "cannot be read"),
        ("subject = [", "cannot be read"),
        ('subject = ["a"]\nmedium = ["b"]', "flavour of the table .* is no list of phrases"),
        ('subject = "a"\nmedium = ["b"]\nflavour = ["c"]', "subject of the table"),
        ('subject = []\nmedium = ["b"]\nflavour = ["c"]', "subject of the table"),
        ('subject = ["a"]\nmedium = [" "]\nflavour = ["c"]', "medium of the table"),
        ('subject = ["a"]\nmedium = [1]\nflavour = ["c"]', "medium of the table"),
        ('artist = ["x"]\nsubject = ["a"]', "has no column 'artist': write subject ="),
    ],
)
def test_a_table_of_another_form_is_refused_in_a_sentence(text, sentence, tmp_path):
    path = tmp_path / "own.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        read_table(path)
