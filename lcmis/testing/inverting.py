"""The contracts of what an inversion is made of: encoders, denoisers, inverters, writers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from lcmis.errors import InversionError, RenderError
from lcmis.plugins.protocols import Tools
from lcmis.testing.given import BATCH_TOLERANCE, contract_pictures

if TYPE_CHECKING:
    import torch

    from lcmis.plugins.protocols import Denoiser, Encoder, Inverter, Writer


class EncoderContract:
    """What every encoder must pass: subclass, and say how yours is made."""

    def make(self) -> Encoder:
        """Yours."""
        raise NotImplementedError("say how your encoder is made: write make() in your test class")

    @pytest.fixture
    def encoder(self) -> Encoder:
        """What is tried; take this over instead where one object shall serve all tests."""
        return self.make()

    def test_it_has_an_id_and_a_length(self, encoder: Encoder) -> None:
        """It is called as its checker is."""
        assert re.fullmatch(r"[\w-]+:[^@]+@[\w.+-]+", encoder.encoder_id)
        assert encoder.context_length >= encoder.num_tokens("cup") >= 1

    def test_pictures_and_texts_are_directions_of_one_space(self, encoder: Encoder) -> None:
        """Float32, length one, no gradient."""
        import torch

        seen, read = encoder.see(contract_pictures()), encoder.read(["a tea cup", "iced coke", ""])
        assert seen.shape[1:] == read.shape[1:]
        assert (len(seen), len(read)) == (len(contract_pictures()), 3)
        for features in (seen, read):
            assert features.dtype == torch.float32
            assert not features.requires_grad
            assert torch.allclose(features.norm(dim=-1).cpu(), torch.ones(len(features)), atol=1e-5)

    def test_a_text_that_is_too_long_is_cut(self, encoder: Encoder) -> None:
        """As its own tokenizer cuts it, without an error."""
        endless = "cup " * 2 * encoder.context_length
        assert encoder.num_tokens(endless) > encoder.context_length
        assert encoder.read([endless]).isfinite().all()

    def test_a_word_told_as_a_vector_is_the_word(self, encoder: Encoder) -> None:
        """Wherever a text is one token, that token's vector reads as the text does."""
        import torch

        table = encoder.vocabulary()
        assert table.dtype == torch.float32
        length = encoder.num_tokens("") + 1
        texts = [(row, encoder.text_of([row])) for row in range(len(table) - 50, len(table))]
        single = [(row, text) for row, text in texts if encoder.num_tokens(text) == length]
        told = encoder.read_embeddings(table[[row for row, _ in single]][:, None])
        same = (told - encoder.read([text for _, text in single])).abs().amax(dim=-1) < 1e-4
        assert same.any(), "no vector of a word reads as the word"

    def test_gradients_reach_the_vectors_and_are_right(self, encoder: Encoder) -> None:
        """Along the gradient a small step changes the similarity as the gradient says."""
        goal = encoder.see(contract_pictures()[:1])[0]
        told = encoder.vocabulary()[[0, 1, 2, 3]].reshape(2, 2, -1).clone().requires_grad_()
        (encoder.read_embeddings(told) @ goal).sum().backward()
        assert told.grad is not None
        _assert_slope(told.detach(), told.grad, lambda at: encoder.read_embeddings(at) @ goal)

    def test_a_batch_changes_nothing(self, encoder: Encoder) -> None:
        """Neither of pictures, nor of texts, nor of vectors."""
        import torch

        told = encoder.vocabulary()[[0, 1, 2, 3]].reshape(2, 2, -1)
        pictures, texts = contract_pictures(), ["a tea cup", "iced coke"]
        for together, alone in (
            (encoder.see(pictures), [encoder.see([one]) for one in pictures]),
            (encoder.read(texts), [encoder.read([one]) for one in texts]),
            (encoder.read_embeddings(told), [encoder.read_embeddings(one[None]) for one in told]),
        ):
            assert torch.allclose(together, torch.cat(alone), atol=BATCH_TOLERANCE)


class DenoiserContract:
    """What every denoiser must pass: subclass, and say how yours is made."""

    def make(self) -> Denoiser:
        """Yours."""
        raise NotImplementedError("say how your denoiser is made: write make() in your test class")

    @pytest.fixture
    def denoiser(self) -> Denoiser:
        """What is tried; take this over instead where one object shall serve all tests."""
        return self.make()

    def test_a_prompt_is_read_from_start_to_end(self, denoiser: Denoiser) -> None:
        """With padding it begins the same and is as long as any other."""
        import torch

        short, long = "a cup", "a tea cup of iced coke"
        read = denoiser.read(short)
        assert (read.ndim, len(read), read.dtype) == (3, 1, torch.float32)
        assert not read.requires_grad
        assert read.shape[1] < denoiser.read(long).shape[1]
        padded = denoiser.read(short, padded=True)
        assert padded.shape == denoiser.read(long, padded=True).shape
        assert torch.allclose(padded[:, : read.shape[1]], read, atol=1e-4)
        assert denoiser.pooled(read).shape == (1, read.shape[2])

    def test_a_prompt_that_is_too_long_is_refused(self, denoiser: Denoiser) -> None:
        """It is not cut: the model would not draw it either."""
        try:
            denoiser.read("a tea cup of iced coke " * 100)
        except RenderError:
            return
        raise AssertionError("it read a prompt of more than 500 words")

    def test_vectors_of_words_are_read_like_words(self, denoiser: Denoiser) -> None:
        """As many places as words, and start and end around them; several texts at once."""
        import torch

        told = denoiser.vocabulary()[[0, 1, 2, 3]].reshape(2, 2, -1)
        read = denoiser.read_embeddings(told)
        assert read.shape[:2] == (2, 4)
        assert torch.allclose(denoiser.read_embeddings(told[1:]), read[1:], atol=1e-4)
        assert denoiser.read_embeddings(told, padded=True).shape[1] > 4

    def test_gradients_of_the_loss_reach_the_vectors_and_are_right(
        self, denoiser: Denoiser
    ) -> None:
        """All the way through the text encoder."""
        latents = denoiser.latents(contract_pictures()[0])
        told = denoiser.vocabulary()[[0, 1]][None].clone().requires_grad_()

        def loss(at: torch.Tensor) -> torch.Tensor:
            contextual = denoiser.read_embeddings(at, padded=True)
            return denoiser.loss(latents, contextual, _dice(), samples=2)

        loss(told).backward()
        assert told.grad is not None
        _assert_slope(told.detach(), told.grad, loss)

    def test_several_texts_face_the_same_noise(self, denoiser: Denoiser) -> None:
        """So that their losses can be compared; a seed gives the same loss again."""
        import torch

        latents = denoiser.latents(contract_pictures()[1])
        texts = [denoiser.read(text, padded=True) for text in ("a tea cup", "iced coke")]
        together = denoiser.loss(latents, torch.cat(texts), _dice())
        alone = [denoiser.loss(latents, text, _dice()) for text in texts]
        assert together.shape == (2,)
        assert torch.allclose(together, torch.stack(alone), rtol=1e-3)
        assert torch.equal(alone[0], denoiser.loss(latents, texts[0], _dice()))

    def test_every_word_of_a_prompt_has_a_map(self, denoiser: Denoiser) -> None:
        """Of the latents' shape, summing to one; looking leaves the model as it was."""
        picture, prompt = contract_pictures()[2], "a tea cup, a saucer"
        latents = denoiser.latents(picture)
        before = denoiser.loss(latents, denoiser.read(prompt), _dice())
        maps = denoiser.attention(picture, prompt)
        assert list(maps) == ["a", "tea", "cup", "saucer"]
        for one in maps.values():
            assert one.shape == latents.shape[2:]
            assert abs(float(one.sum()) - 1) < 1e-4
            assert one.min() >= 0
        assert before == denoiser.loss(latents, denoiser.read(prompt), _dice())

    def test_a_prompt_has_influence_where_another_would_change_the_picture(
        self, denoiser: Denoiser
    ) -> None:
        """Of the latents' shape, summing to one; the same prompt changes nothing."""
        picture, prompt = contract_pictures()[2], "a tea cup, a saucer"
        changed, same = denoiser.influence(picture, prompt, ["a saucer", prompt])
        assert changed.shape == denoiser.latents(picture).shape[2:]
        assert abs(float(changed.sum()) - 1) < 1e-4
        assert changed.min() >= 0
        assert not same.any()
        assert denoiser.influence(picture, prompt, []) == []


class InverterContract:
    """What every inverter must pass: subclass, and say how yours is made and what it needs."""

    def make(self) -> Inverter:
        """Yours."""
        raise NotImplementedError("say how your inverter is made: write make() in your test class")

    @pytest.fixture
    def inverter(self) -> Inverter:
        """What is tried; take this over instead where one object shall serve all tests."""
        return self.make()

    def equip(self) -> Tools:
        """All that the method needs."""
        raise NotImplementedError("say what your inverter needs: write equip() in your test class")

    @pytest.fixture
    def tools(self) -> Tools:
        """As :meth:`equip` makes them; take this over where they come from other fixtures."""
        return self.equip()

    def test_its_id_is_a_name(self, inverter: Inverter) -> None:
        """Searches are found again by it."""
        assert inverter.inverter_id.strip()

    def test_it_yields_different_prompts(self, inverter: Inverter, tools: Tools) -> None:
        """At least one, none of them empty."""
        prompts = list(inverter.invert(contract_pictures()[0], tools))
        assert prompts
        assert all(prompt.strip() for prompt in prompts)
        assert len(set(prompts)) == len(prompts)

    def test_the_same_seed_goes_the_same_way(self, inverter: Inverter, tools: Tools) -> None:
        """All chance comes from the tools' seed."""
        first, again = (list(inverter.invert(contract_pictures()[0], tools)) for _ in range(2))
        assert first == again

    def test_without_its_tools_it_says_what_is_missing(self, inverter: Inverter) -> None:
        """In a sentence, before it does anything."""

        def paint(prompt: str, place: int) -> None:
            raise AssertionError("it painted before it looked for its tools")

        said = ""
        try:
            list(inverter.invert(contract_pictures()[0], Tools(paint)))
        except InversionError as error:
            said = str(error)
        assert len(said.split()) > 4, "it does not mind having no tools, or does not say so"


class WriterContract:
    """What every writer must pass: subclass, and say how yours is made and what it reads."""

    def make(self) -> Writer:
        """Yours."""
        raise NotImplementedError("say how your writer is made: write make() in your test class")

    @pytest.fixture
    def writer(self) -> Writer:
        """What is tried; take this over instead where one object shall serve all tests."""
        return self.make()

    def read(self) -> torch.Tensor:
        """Pooled embeddings of some texts by the encoder that it reads, (n, dim), n at least 2."""
        raise NotImplementedError("say what it reads: write read() in your test class")

    @pytest.fixture
    def embeddings(self) -> torch.Tensor:
        """As :meth:`read` makes them."""
        return self.read()

    def test_its_ids_name_kind_model_and_encoder(self, writer: Writer) -> None:
        """What it wrote is kept under the one; by the other an inversion knows what it reads."""
        assert re.fullmatch(r"[\w-]+:[^@]+@[\w.+-]+", writer.writer_id)
        assert writer.encodes_like.strip()

    def test_it_writes_up_to_so_many_texts_for_each_in_order(
        self, writer: Writer, embeddings: torch.Tensor
    ) -> None:
        """At least one, none twice, the likeliest first: it stays when more are asked for."""
        likeliest, several = writer.write(embeddings), writer.write(embeddings, 3)
        assert len(likeliest) == len(several) == len(embeddings)
        for one, more in zip(likeliest, several, strict=True):
            assert len(one) == 1
            assert 1 <= len(more) <= 3
            assert len(set(more)) == len(more)
        backwards = writer.write(embeddings.flip(0))[::-1]
        assert backwards == likeliest

    def test_nothing_in_nothing_out(self, writer: Writer, embeddings: torch.Tensor) -> None:
        """No embeddings are no texts, not an error."""
        assert writer.write(embeddings[:0]) == []


def _dice() -> torch.Generator:
    import torch

    return torch.Generator().manual_seed(5)


def _assert_slope(
    at: torch.Tensor, gradient: torch.Tensor, value: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    """The gradient against a symmetric difference along itself, to 3 %."""
    slope = gradient.norm()
    assert slope.isfinite()
    assert slope > 0, "no gradient reaches the vectors"
    step = 0.0005 * at.norm() * gradient / slope
    with_step, without = (value(at + sign * step).sum().detach() for sign in (1, -1))
    measured = (with_step - without) / (2 * step.norm())
    assert abs(measured - slope) <= 0.03 * slope, (float(measured), float(slope))
