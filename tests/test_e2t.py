"""Embeddings back to text: the network, its folder, its training, and the shipped writers."""

import dataclasses
import json
import unicodedata
from functools import cache
from itertools import islice

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel
from worlds import tiny_pipelines

from lcmis.errors import ConfigError, InversionError, UnknownNameError
from lcmis.invert.e2t.network import load, make_tokenizer, save, save_corrector
from lcmis.invert.e2t.reading import FrozenReader
from lcmis.invert.e2t.training import (
    Lesson,
    disturbed,
    lines_of,
    shuffled,
    teach,
    teach_correction,
)
from lcmis.invert.e2t.writer import EmbeddingToText
from lcmis.machine.hub import weights_fingerprint
from lcmis.machine.paths import shipped
from lcmis.plugins import registry
from lcmis.plugins.settings import ModelSettings
from lcmis.render.diffusion import DiffusersModel
from lcmis.teacup import train
from lcmis.teacup.train_inverter import concepts_in, measure, world_captions

TEXTS = ["a red cup, on a table", "two blue cats", "the old house", "a dog with a hat"]
SMALL = Lesson(steps=120, batch_size=8, noise=0.0, width=32, layers=1, vocabulary=400)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    return tiny_pipelines.save("sd", tmp_path_factory.mktemp("pipeline"))


@pytest.fixture(scope="module")
def reader(pipeline):
    return FrozenReader(str(pipeline))


@pytest.fixture(scope="module")
def folder(reader, tmp_path_factory):
    folder = tmp_path_factory.mktemp("writers") / "tiny-writer"
    save(*teach(reader, shuffled(TEXTS, 0), SMALL, lambda step, loss: None), folder)
    return folder


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


def test_a_reader_pools_what_the_denoiser_of_the_same_pipeline_pools(pipeline, reader):
    denoiser = DiffusersModel(ModelSettings(str(pipeline), device="cpu")).denoiser()
    expected = torch.cat([denoiser.pooled(denoiser.read(text)) for text in TEXTS])
    torch.testing.assert_close(reader.read(TEXTS), expected)
    assert reader.encodes_like == denoiser.encodes_like


def test_a_fingerprint_survives_another_precision_and_other_names_and_nothing_else():
    tensors = {"a": torch.randn(3, 4).half().float(), "b": torch.randn(5).half().float()}
    fingerprint = weights_fingerprint(tensors)
    assert weights_fingerprint({name: one.half() for name, one in tensors.items()}) == fingerprint
    assert weights_fingerprint({f"x.{name}": one for name, one in tensors.items()}) == fingerprint
    assert weights_fingerprint(tensors | {"position_ids": torch.arange(9)}) == fingerprint
    assert weights_fingerprint(tensors | {"b": tensors["b"] + 1}) != fingerprint
    assert weights_fingerprint({"a": tensors["a"].T, "b": tensors["b"]}) != fingerprint


def test_a_text_encoder_alone_can_be_read_as_well(pipeline, reader, tmp_path):
    CLIPTextModel.from_pretrained(pipeline / "text_encoder").save_pretrained(tmp_path)
    tiny_pipelines.clip_tokenizer().save_pretrained(tmp_path)
    alone = FrozenReader(str(tmp_path))
    assert alone.encodes_like == reader.encodes_like
    torch.testing.assert_close(alone.read(TEXTS), reader.read(TEXTS))


def test_what_is_no_text_encoder_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="holds no CLIP text encoder"):
        FrozenReader(str(tmp_path))


def test_a_text_encoder_that_lacks_a_tensor_is_refused(pipeline, tmp_path):
    model = CLIPTextModel.from_pretrained(pipeline / "text_encoder")
    model.save_pretrained(tmp_path)
    tiny_pipelines.clip_tokenizer().save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    name = sorted(tensors)[0]
    save_file(
        {key: one for key, one in tensors.items() if key != name}, tmp_path / "model.safetensors"
    )
    with pytest.raises(ConfigError, match="lack the tensor"):
        FrozenReader(str(tmp_path))


# ── spelling ─────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=50, deadline=None)
@given(text=st.text(max_size=40))
@example(text="a cat</S> <pad>")
def test_any_text_in_lower_case_comes_back_from_the_tokenizer(text):
    tokenizer = small_tokenizer()
    clean = " ".join(unicodedata.normalize("NFC", text).lower().split())
    # lower case may need composing again, which is for the normalizer to say
    once = tokenizer.decode(tokenizer(clean).input_ids, skip_special_tokens=True)
    again = tokenizer.decode(tokenizer(once).input_ids, skip_special_tokens=True)
    assert again.split() == once.split()
    if clean.isascii() and clean.isprintable():
        assert once.strip() == clean


@cache  # hypothesis asks often
def small_tokenizer():
    return make_tokenizer(TEXTS, 400)


def test_a_taught_writer_writes_the_texts_it_was_taught(reader, folder):
    writer = EmbeddingToText(str(folder))
    written = writer.write(reader.read(TEXTS))
    assert [texts[0] for texts in written] == TEXTS


def test_beams_come_likeliest_first_and_each_once(reader, folder):
    drafts = EmbeddingToText(str(folder)).drafts(reader.read(TEXTS[:2]), 4)
    for found in drafts:
        scores = [draft.score for draft in found]
        assert scores == sorted(scores, reverse=True)
        assert max(scores) <= 0
        assert len({draft.text for draft in found}) == len(found) <= 4


def test_an_embedding_reads_the_same_alone_and_among_others(reader, folder):
    writer = EmbeddingToText(str(folder))
    together = writer.write(reader.read(TEXTS), 3)
    alone = [writer.write(reader.read([text]), 3)[0] for text in TEXTS]
    assert [texts[0] for texts in together] == [texts[0] for texts in alone]


def test_vectors_of_another_size_are_refused_with_the_text_encoder_that_is_meant(folder):
    writer = EmbeddingToText(str(folder))
    with pytest.raises(InversionError, match="reads vectors of 32 numbers from"):
        writer.write(torch.zeros(1, 7))


def test_noise_is_in_deviations_of_an_embedding_and_repeatable():
    embeddings = 3 * torch.randn(2000, 16, generator=torch.Generator().manual_seed(1))
    shares = torch.tensor([[0.0], [0.5]]).repeat(1000, 1)
    moved = disturbed(embeddings, shares, torch.Generator().manual_seed(0)) - embeddings
    assert not moved[::2].any()
    assert float((moved[1::2] / embeddings[1::2].std(1, keepdim=True)).std()) == pytest.approx(
        0.5, rel=0.02
    )
    again = disturbed(embeddings, shares, torch.Generator().manual_seed(0))
    assert torch.equal(moved, again - embeddings)


def test_whitened_embeddings_have_unit_variance_in_every_direction_that_counts(folder):
    network, _ = load(folder, "tiny")
    dice = torch.Generator().manual_seed(0)
    embeddings = torch.randn(500, 32, generator=dice) @ torch.randn(32, 32, generator=dice) + 5
    network.whiten(embeddings)
    white = (embeddings - network.middle) @ network.stretch
    assert white.mean(0).abs().max() < 1e-3
    covariance = torch.cov(white.T)
    torch.testing.assert_close(
        covariance, covariance.diag().diag(), atol=1e-2, rtol=0
    )  # no direction tells of another
    assert covariance.diag().max() <= 1.001


# ── the folder ───────────────────────────────────────────────────────────────────────────────────


def test_a_folder_holds_half_precision_and_loads_in_float32(folder):
    stored = load_file(folder / "model.safetensors")
    assert {one.dtype for one in stored.values()} == {torch.float16}
    network, _ = load(folder, "tiny")
    assert {one.dtype for one in network.parameters()} == {torch.float32}
    assert not network.training


def test_opening_a_writer_names_its_content_and_its_text_encoder(reader, folder):
    writer = registry.load("writers", "e2t")(str(folder))
    assert writer.writer_id.startswith("e2t:tiny-writer@")
    assert writer.encodes_like == reader.encodes_like


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda folder: (folder / "writer.json").unlink(), "is no writer"),
        (lambda folder: (folder / "writer.json").write_text('{"a": 1}'), "cannot be used"),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no model.safetensors"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"no"), "cannot be loaded"),
        (lambda folder: _drop_a_tensor(folder / "model.safetensors"), "cannot be loaded"),
    ],
)
def test_a_broken_folder_is_refused_in_one_sentence(folder, tmp_path, harm, sentence):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    harm(tmp_path)
    with pytest.raises(ConfigError, match=sentence):
        EmbeddingToText(str(tmp_path)).write(torch.zeros(1, 32))


def test_no_folder_and_nothing_on_the_hub_is_an_unknown_name():
    with pytest.raises((UnknownNameError, ConfigError), match="there is no folder"):
        EmbeddingToText("no such/writer at all")


def _drop_a_tensor(file):
    tensors = load_file(file)
    tensors.pop(sorted(tensors)[0])
    save_file(tensors, file)


# ── training ─────────────────────────────────────────────────────────────────────────────────────


def test_training_is_the_same_for_a_seed(reader):
    losses = []
    for _ in range(2):
        kept = []
        lesson = Lesson(steps=3, batch_size=4, width=32, layers=1, vocabulary=400)
        teach(reader, shuffled(TEXTS, 0), lesson, lambda step, loss, kept=kept: kept.append(loss))
        losses.append(kept)
    assert losses[0] == losses[1]


def test_a_writer_can_be_the_start_for_another_text_encoder(reader, folder):
    network, tokenizer = teach(
        reader, shuffled(TEXTS, 0), Lesson(1, 4), lambda step, loss: None, load(folder, "tiny")
    )
    assert network.t5.config.d_model == 32  # the start's, not the lesson's
    assert len(tokenizer) == len(load(folder, "tiny")[1])


def test_a_corpus_is_lines_and_an_empty_one_is_refused(tmp_path):
    file = tmp_path / "corpus.txt"
    file.write_text("  a cat \n\na dog\n")
    assert lines_of(file) == ["a cat", "a dog"]
    assert sorted(islice(shuffled(["x", "y"], 0), 4)) == ["x", "x", "y", "y"]
    file.write_text("\n\n")
    with pytest.raises(ConfigError, match="is empty"):
        lines_of(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        lines_of(tmp_path / "none.txt")


def test_the_command_trains_for_any_text_encoder_on_any_corpus(pipeline, tmp_path):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(f"{text} {i}" for i in range(30) for text in TEXTS))
    out = tmp_path / "mine"
    asked = ["inverter", "--out", str(out), "--encoder", str(pipeline), "--corpus", str(corpus)]
    model, options = train.parse([*asked, "--samples", "64", "--tiny", "--device", "cpu"])
    train.trainer(model)(options)
    card = json.loads((out / "card.json").read_text())
    assert card["training"]["data"] == "corpus.txt"
    assert card["measured"]["as read"]["word for word"]["total"] == 2  # one line in fifty
    assert EmbeddingToText(str(out)).encodes_like == FrozenReader(str(pipeline)).encodes_like
    both = tmp_path / "both"
    asked = ["corrector", "--start", str(out), "--out", str(both), *asked[3:]]
    model, options = train.parse([*asked, "--samples", "64", "--tiny", "--device", "cpu"])
    train.trainer(model)(options)
    card = json.loads((both / "card.json").read_text())
    assert (card["training"]["start"], card["training"]["data"]) == ("mine", "corpus.txt")
    assert card["measured"]["corrected once, word for word"]["total"] == 2
    assert EmbeddingToText(str(both)).corrects
    with pytest.raises(ConfigError, match="name its folder with --start"):
        train.trainer(model)(dataclasses.replace(options, start=None))


# ── the miniature world's ────────────────────────────────────────────────────────────────────────


def test_concepts_are_found_by_their_longest_phrase():
    assert concepts_in("a wine glass of iced coke") == {"wine glass", "iced coke"}
    assert concepts_in("a tall clear cup with a narrow neck and milk") == {"bottle", "milk"}
    assert concepts_in("a table") == set()


@pytest.mark.parametrize("name", ["narrow", "broad"])
def test_the_shipped_writers_read_their_text_encoders(name):
    reader = FrozenReader(str(shipped("data") / "teacup" / f"teacup-{name}"))
    registered = "teacup-writer" + ("-broad" if name == "broad" else "")
    writer = registry.load("writers", registered)()
    assert writer.encodes_like == reader.encodes_like
    found = measure(reader, writer, list(islice(world_captions(7), 40)))
    measured = json.loads((writer._located.path / "card.json").read_text())["measured"]
    (here, there) = (one["as read"]["the same concepts"] for one in (found, measured))
    assert here["low"] <= there["value"] <= here["high"]  # as good as its card says


# ── the corrector ────────────────────────────────────────────────────────────────────────────────


HASTY = dataclasses.replace(SMALL, steps=30, max_length=16)


@pytest.fixture(scope="module")
def corrected(reader, tmp_path_factory):
    """A writer that was taught too little, and a corrector that was taught what it gets wrong."""
    folder = tmp_path_factory.mktemp("corrected") / "writer"
    start = teach(reader, shuffled(TEXTS, 0), HASTY, lambda step, loss: None)
    save(*start, folder)
    lesson = dataclasses.replace(HASTY, steps=90)
    network = teach_correction(reader, start, shuffled(TEXTS, 1), lesson, lambda step, loss: None)
    save_corrector(network, folder)
    return EmbeddingToText(str(folder))


def firsts(found):
    return [texts[0] if texts else "" for texts in found]


def test_a_corrector_brings_back_texts_that_its_writer_missed(reader, corrected):
    wanted = reader.read(TEXTS)
    first = firsts(corrected.write(wanted))
    again = firsts(corrected.correct(wanted, reader.read(first), first))
    right = [sum(a == b for a, b in zip(TEXTS, found, strict=True)) for found in (first, again)]
    assert right[1] > right[0]


def test_texts_are_corrected_in_a_batch_as_alone(reader, corrected):
    wanted, first = reader.read(TEXTS), ["a cat", "two", "a red cup, on a table", ""]
    reached = reader.read(first)
    together = corrected.correct(wanted, reached, first, 2)
    alone = [
        corrected.correct(wanted[[n]], reached[[n]], [first[n]], 2)[0] for n in range(len(first))
    ]
    assert together == alone
    assert corrected.correct(wanted[:0], reached[:0], []) == []


def test_a_writer_without_a_corrector_says_how_one_is_trained(reader, folder):
    writer = EmbeddingToText(str(folder))
    assert not writer.corrects
    with pytest.raises(InversionError, match="says how one is trained"):
        writer.correct(reader.read(["a"]), reader.read(["a"]), ["a"])


def test_a_damaged_corrector_is_refused_in_one_sentence(reader, corrected, tmp_path):
    for file in corrected._located.path.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "corrector.safetensors").write_bytes(b"nothing")
    writer = EmbeddingToText(str(tmp_path))
    with pytest.raises(ConfigError, match=r"the corrector of .* cannot be loaded"):
        writer.correct(reader.read(["a"]), reader.read(["a"]), ["a"])


def test_a_corrector_is_trained_for_its_writers_own_text_encoder(reader, folder):
    network, tokenizer = load(folder, "tiny")
    network.shape = dataclasses.replace(network.shape, encodes_like="0" * 16)
    with pytest.raises(ConfigError, match="name its own text encoder"):
        teach_correction(reader, (network, tokenizer), shuffled(TEXTS, 0), HASTY, print)
