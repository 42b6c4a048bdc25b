"""EDITOR: on a pipeline, an encoder and a writer that are small and real."""

import dataclasses
from functools import partial

import pytest
import torch
from PIL import Image
from worlds import tiny_pipelines
from worlds.tiny_checkers import tiny_clip

from lcmis.check.clip import ClipChecker
from lcmis.errors import InversionError, OutOfBudget
from lcmis.invert.e2t.network import save
from lcmis.invert.e2t.reading import FrozenReader
from lcmis.invert.e2t.training import Lesson, shuffled, teach
from lcmis.invert.e2t.writer import EmbeddingToText
from lcmis.invert.methods.editor import Editor, _pooled
from lcmis.plugins import registry
from lcmis.plugins.protocols import Tools
from lcmis.plugins.settings import CheckerSettings, ModelSettings
from lcmis.render.diffusion import DiffusersModel

TEXTS = [f"{colour} {thing}" for colour in ("red", "blue", "green") for thing in ("cat", "cup")]
QUICK = Editor(iterations=6, every=2, half_cycle=2, samples=2, beams=3, most=3, paintings=2)
REFERENCE = Image.effect_mandelbrot((64, 64), (-2, -1.5, 1, 1.5), 20).convert("RGB")


@dataclasses.dataclass
class Captioner:
    """Always says the same."""

    says: str
    model_id: str = "captioner"
    sees_images: bool = True

    def complete(self, messages, images=(), schema=None):
        assert len(images) == 1
        return self.says


class Painter:
    """Paints a text in a colour of its own, the same again for the same place."""

    def __init__(self, most=10**6):
        self.asked = []
        self.most = most

    def __call__(self, text, place):
        self.asked.append((text, place))
        if len(self.asked) > self.most:
            raise OutOfBudget("spent")
        colour = tuple(sum(map(ord, text)) * (7, 31, 57)[i] % 256 for i in range(3))
        return Image.new("RGB", (64, 64), colour)


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    pipeline = tiny_pipelines.save("sd", tmp_path_factory.mktemp("pipeline"))
    folder = tmp_path_factory.mktemp("writer")
    lesson = Lesson(steps=40, batch_size=6, width=32, layers=1, vocabulary=400)
    reader = FrozenReader(str(pipeline))
    save(*teach(reader, shuffled(TEXTS, 0), lesson, lambda step, loss: None), folder)
    clip = tiny_clip(tmp_path_factory.mktemp("encoder") / "clip")
    return Tools(
        paint=Painter(),
        encoder=ClipChecker(CheckerSettings("clip", str(clip), device="cpu")).encoder(),
        denoiser=DiffusersModel(ModelSettings(str(pipeline), device="cpu")).denoiser(),
        writer=EmbeddingToText(str(folder)),
    )


def told(tools, **changes):
    return dataclasses.replace(tools, **({"paint": Painter()} | changes))


def likeness(tools, text):
    seen = tools.encoder.see([REFERENCE])[0]
    painted = tools.encoder.see([Painter()(text, 0)])
    return float((painted @ seen).mean())


def test_prompts_come_from_the_worst_to_the_best_and_each_once(tools):
    found = list(QUICK.invert(REFERENCE, told(tools)))
    assert found
    assert len(set(found)) == len(found) <= QUICK.most
    by_likeness = [likeness(tools, text) for text in found]
    assert by_likeness == sorted(by_likeness)


def test_a_caption_comes_first_and_only_what_beats_it_comes_after(tools):
    painter = Painter()
    asked = told(tools, paint=painter, text_model=Captioner("a small red cat"))
    first, *others = QUICK.invert(REFERENCE, asked)
    assert first == "a small red cat"
    assert all(likeness(tools, text) > likeness(tools, first) for text in others)
    assert {place for _, place in painter.asked} == {0, 1}  # all on the same two seeds
    assert len(painter.asked) <= 2 * (QUICK.most + 1)


def test_a_text_model_that_sees_nothing_is_not_asked(tools):
    blind = Captioner("", sees_images=False)
    assert list(QUICK.invert(REFERENCE, told(tools, text_model=blind))) == list(
        QUICK.invert(REFERENCE, told(tools))
    )


def test_the_same_seed_finds_the_same_prompts(tools):
    once, again = (list(QUICK.invert(REFERENCE, told(tools, seed=3))) for _ in range(2))
    assert once == again


def test_what_was_found_before_the_budget_ended_stands(tools):
    asked = told(tools, paint=Painter(most=3), text_model=Captioner("a small red cat"))
    prompts = QUICK.invert(REFERENCE, asked)
    assert next(prompts) == "a small red cat"
    with pytest.raises(OutOfBudget):
        next(prompts)


def test_the_way_starts_at_the_text_and_makes_the_picture_more_expected(tools):
    denoiser = tools.denoiser
    seen = []

    @dataclasses.dataclass
    class Watched:
        """The denoiser itself, with a note of what it pools."""

        def pooled(self, embeddings):
            seen.append(embeddings)
            return denoiser.pooled(embeddings)

        def __getattr__(self, name):
            return getattr(denoiser, name)

    editor = dataclasses.replace(QUICK, iterations=9, every=3, low_rate=0.3, high_rate=0.5)
    pooled = list(editor._snapshots(Watched(), REFERENCE, "red cat", seed=0))
    assert len(pooled) == 4
    assert torch.equal(pooled[0], denoiser.pooled(denoiser.read("red cat")))
    seen = seen[-4:]  # before them, the space of texts is measured
    for moved in seen:
        assert torch.equal(moved[:, :1], denoiser.read("red cat")[:, :1])  # the start token stays
        assert not moved.requires_grad
    latents = denoiser.latents(REFERENCE)
    before, after = (
        float(denoiser.loss(latents, one, torch.Generator().manual_seed(9), samples=8))
        for one in (seen[0], seen[-1])
    )
    assert after < before


class Corrector:
    """Writes nonsense, and each time it looks again is one word nearer to what was meant."""

    writer_id, corrects = "corrector@1", True

    def __init__(self, denoiser, meant):
        self.encodes_like = denoiser.encodes_like
        self.meant = meant.split()
        self.looked = 0

    def write(self, embeddings, count=1):
        return [["xyz"] for _ in embeddings]

    def correct(self, embeddings, reached, texts, count=1):
        self.looked += 1
        assert len(embeddings) == len(reached) == len(texts)
        known = max((text.split() for text in texts), key=self._right)
        nearer = self.meant[: self._right(known) + 1]
        return [[" ".join(nearer), "cup " * 200] for _ in texts]

    def _right(self, words):
        return len(words) if words == self.meant[: len(words)] else 0


def test_texts_are_looked_at_again_until_their_vector_is_the_one_that_was_wanted(tools):
    meant = "a red cat"
    writer = Corrector(tools.denoiser, meant)
    read = partial(_pooled, tools.denoiser)
    wanted = read(meant)
    best, *others = Editor(beams=2)._corrected(wanted, ["xyz"], read, writer)
    assert best == meant
    assert len(others) <= 1
    assert writer.looked <= 6  # it ends when nothing new is nearer
    once = Corrector(tools.denoiser, meant)
    kept = Editor(beams=2, corrections=0)._corrected(wanted, ["xyz"], read, once)
    assert kept == ["xyz"]


def test_a_writer_that_corrects_is_asked_to_by_every_snapshot(tools):
    writer = Corrector(tools.denoiser, "a red cat")
    found = list(QUICK.invert(REFERENCE, told(tools, writer=writer)))
    assert found
    assert writer.looked >= 4
    assert set(found) <= {"xyz", "a", "a red", "a red cat"}


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("denoiser", "offers none: take a Stable Diffusion 1 or 2 model"),
        ("writer", "needs a writer"),
        ("encoder", "chooses among texts by an encoder"),
    ],
)
def test_a_missing_tool_is_named(tools, missing, sentence):
    with pytest.raises(InversionError, match=sentence):
        list(QUICK.invert(REFERENCE, told(tools, **{missing: None})))


def test_a_model_without_gradients_says_why_it_has_none(tools):
    without = told(tools, denoiser=None, no_gradients="its VAE is another: give a FLUX.1 model")
    with pytest.raises(InversionError, match="image model, but its VAE is another: give a FLUX"):
        list(QUICK.invert(REFERENCE, without))


def test_a_writer_of_another_text_encoder_is_refused(tools, tmp_path):
    for file in tools.writer._located.path.iterdir():
        content = file.read_bytes().replace(tools.writer.encodes_like.encode(), b"0" * 16)
        (tmp_path / file.name).write_bytes(content)
    with pytest.raises(InversionError, match="embeddings of another text encoder"):
        list(QUICK.invert(REFERENCE, told(tools, writer=EmbeddingToText(str(tmp_path)))))


def test_it_is_registered_as_an_inverter_and_as_a_repairer():
    assert registry.load("inverters", "editor")().inverter_id == "editor"
    assert registry.load("repairers", "editor")().repairer_id == "editor"
