"""Words of one's own through denoisers: every vector is read as the pipeline reads it."""

import diffusers
import pytest
import torch
from safetensors.torch import save_file
from worlds import tiny_pipelines

from lcmis.errors import RenderError
from lcmis.invert.masks import word_masks
from lcmis.plugins.settings import ModelSettings
from lcmis.render.diffusion import DiffusersModel
from lcmis.testing import contract_pictures
from lcmis.types import Embedding

WORDS = {"<cat-toy>": 3, "<one>": 1, "bluish": 2}
"""To how many vectors each has."""
PROMPTS = {
    "a <cat-toy>": 1,
    "a <cat-toy> on a bluish cup of <one>": 4,
    "<one> <cat-toy>, <cat-toy>bluish": 3,
    "a cup": 2,
    "": 0,
}
"""To how many words have a map of their own."""
BOTH = {"clip_l": "text_encoder", "clip_g": "text_encoder_2"}


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def painter(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    path = tiny_pipelines.save(request.param, folder / request.param)
    dice = torch.Generator().manual_seed(1)
    embeddings = []
    for token, count in WORDS.items():
        names = ("emb_params",) if request.param == "sd" else tuple(BOTH)
        file = folder / f"{len(embeddings)}.safetensors"
        save_file({name: 3 * torch.randn(count, 32, generator=dice) for name in names}, file)
        embeddings.append(Embedding(str(file), token))
    return DiffusersModel(
        ModelSettings(str(path), device="cpu", height=32, width=48, embeddings=tuple(embeddings))
    )


@pytest.fixture(scope="module")
def denoiser(painter):
    return painter.denoiser()


@torch.no_grad()
def told(pipeline, prompt):
    """By the pipeline itself, as one tensor."""
    found = pipeline.encode_prompt(
        prompt, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
    )
    if isinstance(pipeline, diffusers.StableDiffusionPipeline):
        return found[0]
    return torch.cat([found[0], found[2][:, None].expand(-1, found[0].shape[1], -1)], dim=-1)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_every_vector_is_read_as_the_pipeline_reads_it(prompt, painter, denoiser):
    theirs = told(painter._pipeline, prompt)
    assert torch.allclose(denoiser.read(prompt, padded=True), theirs, atol=1e-5)
    short = denoiser.read(prompt)
    assert torch.allclose(short[..., :32], theirs[:, : short.shape[1], :32], atol=1e-5)


def places(prompt, tokenizer):
    """Word to the places of its tokens, counted by hand: a start, then the words one by one."""
    found, start = {}, 1
    for said in prompt.replace(",", " , ").replace(">b", "> b").split():
        count = WORDS.get(said) or len(tokenizer(said).input_ids) - 2
        found.setdefault(said.strip("<>"), []).extend(range(start, start + count))
        start += count
    found.pop(",", None)
    return found


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_map_of_a_word_is_the_mean_over_its_vectors(prompt, painter, denoiser):
    picture = contract_pictures()[0]
    maps = denoiser.attention(picture, prompt)
    noisy, steps = denoiser._noised(picture)
    text = told(painter._pipeline, prompt).expand(len(steps), -1, -1)
    layers = []
    for scores in denoiser._looks(noisy, steps, text):
        side = round((scores.shape[1] / (16 * 24)) ** 0.5 * 16)
        tokens = scores.mean(0).T.unflatten(1, (side, -1))
        layers.append(torch.nn.functional.interpolate(tokens[None], (16, 24), mode="bilinear")[0])
    mean = torch.stack(layers).mean(0)
    expected = places(prompt, painter._pipeline.tokenizer)
    assert list(maps) == list(expected)
    assert len(maps) >= PROMPTS[prompt]
    for word, rows in expected.items():
        one = mean[rows].mean(0)
        assert torch.allclose(maps[word], one / one.sum(), atol=1e-7)


def test_a_word_has_a_mask(denoiser):
    masks = word_masks(denoiser, contract_pictures()[0], "a cup of <cat-toy>", "attention")
    assert [mask.word for mask in masks] == ["cup", "cat-toy"]


def test_every_vector_counts_as_a_token(denoiser):
    fits = "o " * 72
    assert denoiser.read(f"{fits}<cat-toy>").shape[1] == 77
    with pytest.raises(RenderError, match=r"has 78 tokens and .* reads 77"):
        denoiser.read(f"{fits}o <cat-toy>")
    with pytest.raises(RenderError, match=r"has 78 tokens and .* reads 77"):
        denoiser.attention(contract_pictures()[0], f"{fits}o <cat-toy>")


def test_what_is_searched_with_is_read_back_as_it_was_told(painter, denoiser):
    """A word of several vectors is none of them: told one, its spelling would be read as all."""
    tokenizer = painter._pipeline.tokenizer
    spelled = [denoiser.text_of([row]) for row in range(len(denoiser.vocabulary()))]
    assert "<cat-toy>" not in spelled
    assert "bluish" not in spelled
    for word in ("<one>", "<cat-toy>_1", "<cat-toy>_2", "bluish_1"):
        row = spelled.index(word)
        vector = denoiser.vocabulary()[[row]][None]
        as_told = denoiser.read_embeddings(vector, padded=True)
        assert torch.allclose(as_told, told(painter._pipeline, word), atol=1e-5)
        assert denoiser._words.ids[row] == tokenizer.convert_tokens_to_ids(word)


def test_words_that_tear_each_other_apart_are_refused_where_letters_are_looked_for(denoiser):
    """diffusers replaces a token wherever its letters stand, and so in another word too."""
    picture = contract_pictures()[0]
    with pytest.raises(RenderError, match="cannot be found again: spell its words"):
        denoiser.attention(picture, "<cat-toy> <cat-toy>_1")
