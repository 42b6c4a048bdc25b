"""PH2P: its L-BFGS against torch's own, its bank, and what it says of a picture."""

import pytest
import torch
from PIL import Image

from lcmis.errors import InversionError, OutOfBudget, RenderError
from lcmis.invert.methods.bank import Bank
from lcmis.invert.methods.lbfgs import descend
from lcmis.invert.methods.ph2p import Ph2p, descended, nearest
from lcmis.plugins import registry
from lcmis.plugins.protocols import Tools
from lcmis.testing import InverterContract

QUICK = Ph2p(num_words=3, restarts=4, steps=6, iterations=4, most=3)
PICTURE = Image.new("RGB", (8, 8))


class ToyDenoiser:
    """Expects its picture under some words: the nearer a text's mean is, the less it errs."""

    denoiser_id, device, encodes_like = "toy", "cpu", "toy"
    reads = 5

    def __init__(self):
        dice = torch.Generator().manual_seed(2)
        self._table = torch.randn(30, 4, generator=dice)
        self.goal = self._table[[3, 7, 11]].mean(0)
        self.asked = []

    def vocabulary(self):
        return self._table

    def text_of(self, rows):
        return " ".join(f"w{row}" for row in rows)

    def read(self, prompt, *, padded=False):
        rows = [int(word[1:]) for word in prompt.split()]
        if len(rows) > self.reads:
            raise RenderError("too long")
        return self._table[rows][None]

    def read_embeddings(self, embeddings, *, padded=False):
        return embeddings

    def latents(self, picture):
        return torch.zeros(1, 1, 1, 4)

    def loss(self, latents, embeddings, generator, *, samples=4, times=(0.0, 1.0)):
        self.asked.append((len(embeddings), samples, times))
        noise = torch.randn(samples, 4, generator=generator) * 0.3
        wrong = (embeddings.mean(1)[:, None] - self.goal - noise).square()
        losses = (wrong + 0.1 * wrong.square()).mean((1, 2))
        return losses[0] if len(embeddings) == 1 else losses


class BagEncoder:
    """Sees always the same, and reads the words of a text alike."""

    encoder_id, device, context_length = "bag:toy@1", "cpu", 77

    def see(self, pictures):
        greys = [float(picture.getpixel((0, 0))[0]) for picture in pictures]
        return torch.nn.functional.normalize(torch.tensor([[grey, 255 - grey] for grey in greys]))

    def read(self, texts):
        return torch.ones(len(texts), 2) / 2**0.5


def no_paint(prompt, place):
    raise AssertionError("nothing is painted without an encoder to look at it")


class TestPh2p(InverterContract):
    def make(self):
        return QUICK

    def equip(self):
        return Tools(no_paint, denoiser=ToyDenoiser())


# ── L-BFGS ───────────────────────────────────────────────────────────────────────────────────────


def bent(at):
    """A valley with a bend, (n, dim) to (n,); Rosenbrock, Computer Journal 1960, made milder."""
    return ((1 - at[:, :-1]) ** 2 + 5 * (at[:, 1:] - at[:, :-1] ** 2) ** 2).sum(1)


def slopes_of(losses):
    def slopes(at):
        near = at.detach().requires_grad_()
        found = losses(near)
        (gradient,) = torch.autograd.grad(found.sum(), near)
        return found.detach(), gradient

    return slopes


def by_torch(losses, start, rate, iterations):
    """One row, by torch's own L-BFGS."""
    at = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([at], lr=rate, max_iter=iterations, max_eval=9 * iterations)

    def closure():
        optimizer.zero_grad()
        loss = losses(at[None]).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return at.detach()


@pytest.mark.parametrize("iterations", [1, 2, 3, 7, 20, 60])
@pytest.mark.parametrize("rate", [0.1, 0.8])
def test_each_row_goes_where_torchs_own_l_bfgs_takes_it_alone(iterations, rate):
    dice = torch.Generator().manual_seed(0)
    start = torch.randn(5, 4, generator=dice, dtype=torch.float64)
    start[2] = 1.0  # is there already, and stays
    ours = descend(slopes_of(bent), start, rate=rate, iterations=iterations)
    theirs = torch.stack([by_torch(bent, row, rate, iterations) for row in start])
    assert torch.equal(ours[2], start[2])
    assert torch.allclose(ours, theirs, rtol=1e-6, atol=1e-9)


def test_a_row_that_goes_astray_takes_no_other_with_it():
    def losses(at):
        return bent(at) * torch.tensor([float("nan"), 1.0], dtype=at.dtype)

    start = torch.tensor([[0.3, 1.0], [0.5, 0.2]], dtype=torch.float64)
    ours = descend(slopes_of(losses), start, rate=0.8, iterations=10)
    assert torch.allclose(ours[1], by_torch(bent, start[1], 0.8, 10), atol=1e-9)


def test_words_are_moved_as_torch_moves_them_on_the_same_page_of_the_bank():
    denoiser = ToyDenoiser()
    bank = Bank(denoiser, denoiser.latents(PICTURE), seed=4, samples=3)
    start = denoiser.vocabulary()[torch.tensor([[0, 1], [8, 9]])].double()
    ours = descended(bank, start, 0.8, 6, page=5)
    for row, found in zip(start, ours, strict=True):
        theirs = by_torch(
            lambda at, row=row: bank.losses(at.view(1, *row.shape), page=5), row.flatten(), 0.8, 6
        )
        assert torch.allclose(found.flatten(), theirs, atol=1e-9)


def test_the_nearest_word_is_the_one_at_the_least_distance_and_not_angle():
    table = torch.tensor([[10.0, 0.0], [0.0, 1.0]])
    assert nearest(torch.tensor([[[1.0, 0.5], [6.0, 0.0]]]), table).tolist() == [[1, 0]]


# ── the bank ─────────────────────────────────────────────────────────────────────────────────────


def test_all_texts_of_a_page_face_the_same_pairs_however_they_are_batched():
    denoiser = ToyDenoiser()
    vectors = denoiser.vocabulary()[torch.arange(21).view(7, 3)]
    wide, narrow = (Bank(denoiser, denoiser.latents(PICTURE), seed=1, rows=rows) for rows in (8, 2))
    together, gradients = wide.slopes(vectors, page=2)
    in_parts, same = narrow.slopes(vectors, page=2)
    alone = torch.stack([wide.losses(one[None], page=2)[0] for one in vectors])
    assert torch.allclose(together, in_parts)
    assert torch.allclose(together, alone)
    assert torch.allclose(gradients, same)
    assert not torch.allclose(together, wide.losses(vectors, page=3))
    assert torch.equal(wide.losses(vectors, page=3), wide.losses(vectors, page=3 + wide.pages))
    assert max(rows for rows, *_ in denoiser.asked[1:5]) == 2


def test_a_text_is_compared_by_the_mean_of_pages():
    denoiser = ToyDenoiser()
    bank = Bank(denoiser, denoiser.latents(PICTURE), seed=1)
    pages = [float(bank.losses(denoiser.read("w1 w2"), page)[0]) for page in (0, 3)]
    assert bank.fault("w1 w2", (0, 3)) == pytest.approx(sum(pages) / 2)


# ── the search ───────────────────────────────────────────────────────────────────────────────────


def test_the_last_prompt_has_the_least_loss_of_all_and_less_than_any_start():
    denoiser = ToyDenoiser()
    prompts = list(QUICK.invert(PICTURE, Tools(no_paint, denoiser=denoiser, seed=3)))
    bank = Bank(denoiser, denoiser.latents(PICTURE), 3, samples=3, times=QUICK.times)
    faults = [bank.fault(prompt, range(4)) for prompt in prompts]
    assert faults[-1] == min(faults)
    assert faults[-QUICK.most :] == sorted(faults[-QUICK.most :], reverse=True)
    dice = torch.Generator().manual_seed(3)
    starts = torch.randint(30, (4, 3), generator=dice).tolist()
    assert faults[-1] < min(bank.fault(denoiser.text_of(rows), range(4)) for rows in starts)


def test_times_are_late_and_restarts_are_rows_of_one_batch():
    denoiser = ToyDenoiser()
    list(QUICK.invert(PICTURE, Tools(no_paint, denoiser=denoiser)))
    assert denoiser.asked[0] == (4, 3, (0.5, 0.9))
    assert {times for *_, times in denoiser.asked} == {(0.5, 0.9)}


def test_with_an_encoder_the_prompt_whose_paintings_are_nearest_is_the_last():
    greys = {}

    def paint(prompt, place):
        greys[prompt] = sum(int(word[1:]) for word in prompt.split()) % 256
        return Image.new("RGB", (8, 8), (greys[prompt],) * 3)

    tools = Tools(paint, encoder=BagEncoder(), denoiser=ToyDenoiser())
    prompts = list(QUICK.invert(PICTURE, tools))
    painted = [greys[prompt] for prompt in prompts[-3:]]
    assert painted == sorted(painted, reverse=True)  # the reference is black
    assert len(greys) == QUICK.most


def test_what_was_found_before_the_pictures_were_spent_is_said():
    left = [None] * QUICK.paintings

    def paint(prompt, place):
        if not left:
            raise OutOfBudget("spent")
        left.pop()
        return Image.new("RGB", (8, 8))

    tools = Tools(paint, encoder=BagEncoder(), denoiser=ToyDenoiser())
    without = list(QUICK.invert(PICTURE, Tools(no_paint, denoiser=ToyDenoiser())))
    found = []
    with pytest.raises(OutOfBudget):
        found.extend(QUICK.invert(PICTURE, tools))
    assert sorted(found) == sorted(without)
    assert found[-1] == without[-1]  # the only one that was painted


def test_a_text_that_is_too_long_as_it_is_read_is_left_out():
    denoiser = ToyDenoiser()
    denoiser.reads = 2
    assert list(QUICK.invert(PICTURE, Tools(no_paint, denoiser=denoiser))) == []


def test_without_gradients_it_says_which_models_have_them():
    with pytest.raises(InversionError, match=r"1, 2, XL or 3 or a FLUX.1 model"):
        next(QUICK.invert(PICTURE, Tools(no_paint)))
    with pytest.raises(InversionError, match=r"image model, but its VAE is another$"):
        next(QUICK.invert(PICTURE, Tools(no_paint, no_gradients="its VAE is another")))


def test_it_is_registered_as_an_inverter_and_as_a_repairer():
    assert registry.load("inverters", "ph2p")().inverter_id == "ph2p"
    assert registry.load("repairers", "ph2p")().repairer_id == "ph2p"
