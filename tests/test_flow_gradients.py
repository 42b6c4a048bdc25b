"""Gradients through Stable Diffusion 3 and FLUX.1, held against the pipelines' own ways."""

import json
import shutil

import diffusers
import pytest
import torch
from worlds import tiny_pipelines

from lcmis.errors import ConfigError, InversionError, RenderError
from lcmis.plugins.optional import denoiser_of
from lcmis.plugins.settings import ModelSettings
from lcmis.render.diffusion import DiffusersModel
from lcmis.testing import DenoiserContract, contract_pictures

KINDS = {"sd3-words": "StableDiffusion3Pipeline", "flux-words": "FluxPipeline"}
PROMPTS = ("", "a tea cup of iced coke", "a wombat in the house")


def model(folder, **settings):
    return DiffusersModel(ModelSettings(str(folder), device="cpu", height=32, width=48, **settings))


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory):
    return tiny_pipelines.save(request.param, tmp_path_factory.mktemp("flow") / request.param)


@pytest.fixture(scope="module")
def pipeline(folder):
    kind = getattr(diffusers, KINDS[folder.name])
    return kind.from_pretrained(folder, local_files_only=True)


@pytest.fixture(scope="module")
def denoiser(folder):
    return model(folder).denoiser()


class TestFlowDenoisers(DenoiserContract):
    @pytest.fixture
    def denoiser(self, denoiser):
        return denoiser


@torch.no_grad()
def told(pipeline, prompt):
    """What the pipeline itself tells its transformer of a prompt: the sequence and the summary."""
    if isinstance(pipeline, diffusers.FluxPipeline):
        return pipeline.encode_prompt(prompt, device="cpu")[:2]
    found = pipeline.encode_prompt(
        prompt, None, None, device="cpu", do_classifier_free_guidance=False
    )
    return found[0], found[2]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_all_encoders_are_read_as_the_pipeline_reads_them(prompt, pipeline, denoiser):
    ours = denoiser._heard(denoiser.read(prompt, padded=True))
    sequence, summary = told(pipeline, prompt)
    assert torch.allclose(ours.sequence, sequence, atol=1e-5)
    assert torch.allclose(ours.summary, summary, atol=1e-5)


def test_vectors_of_a_text_are_read_as_the_text(denoiser):
    spelled = [denoiser.text_of([row]) for row in range(len(denoiser.vocabulary()))]
    rows = [spelled.index(word) for word in ("a", "red", "house", "on", "the", "house")]
    text = denoiser.text_of(rows)
    assert text == "a red house on the house"
    vectors = denoiser.vocabulary()[rows][None]
    for padded in (True, False):
        as_told, as_read = (
            denoiser.read_embeddings(vectors, padded=padded),
            denoiser.read(text, padded=padded),
        )
        apart = (as_told - as_read).abs().max()
        assert apart < 1e-3 * as_read.abs().max()  # T5's many states add up their rounding


def test_words_are_those_that_every_tokenizer_reads_as_one_token(denoiser):
    spelled = [denoiser.text_of([row]) for row in range(len(denoiser.vocabulary()))]
    assert {"a", "the", "red", "house"} <= set(spelled)
    assert "glass" not in spelled  # CLIP's first thousand merges spell it in two
    assert len(set(spelled)) == len(spelled)


def plain_loss(pipeline, latents, prompt, dice, samples, times):
    """Flow matching written out once more, with the pipeline's own packing."""
    first, last = (round(share * 1000) for share in times)
    steps = torch.randint(first, last, (samples,), generator=dice)
    noise = torch.randn(samples, *latents.shape[1:], generator=dice)
    share = (steps + 1) / 1000
    shift = pipeline.scheduler.config.shift
    share = (shift * share / (1 + (shift - 1) * share)).view(-1, 1, 1, 1)
    noisy = share * noise + (1 - share) * latents
    sequence, summary = (one.expand(samples, *one.shape[1:]) for one in told(pipeline, prompt))
    with torch.no_grad():
        if isinstance(pipeline, diffusers.StableDiffusion3Pipeline):
            velocity = pipeline.transformer(
                noisy, sequence, summary, share.flatten() * 1000, return_dict=False
            )[0]
        else:
            shape = (samples, *latents.shape[1:])
            ids = pipeline._prepare_latent_image_ids(
                samples, shape[2] // 2, shape[3] // 2, "cpu", torch.float32
            )
            packed = pipeline.transformer(
                hidden_states=pipeline._pack_latents(noisy, *shape),
                timestep=share.flatten(),
                guidance=torch.ones(samples),
                pooled_projections=summary,
                encoder_hidden_states=sequence,
                txt_ids=torch.zeros(sequence.shape[1], 3),
                img_ids=ids,
            ).sample
            velocity = pipeline._unpack_latents(packed, 32, 48, pipeline.vae_scale_factor)
    return (velocity - (noise - latents)).square().mean().item()


@pytest.mark.parametrize("times", [(0.0, 1.0), (0.5, 0.9)])
def test_the_loss_is_that_of_flow_matching(times, pipeline, denoiser):
    latents = denoiser.latents(contract_pictures()[0])
    expected = plain_loss(
        pipeline, latents, "a cup", torch.Generator().manual_seed(3), samples=3, times=times
    )
    ours = denoiser.loss(
        latents,
        denoiser.read("a cup", padded=True),
        torch.Generator().manual_seed(3),
        samples=3,
        times=times,
    )
    assert ours.item() == pytest.approx(expected, rel=1e-4)


def test_gradients_reach_every_encoder_and_agree_with_differences(denoiser):
    """Along itself, for each encoder's vectors, by a symmetric difference in doubles."""
    pipeline = denoiser._pipeline
    parts = [pipeline.transformer, *(one.encoder for one in denoiser._readers)]
    latents = denoiser.latents(contract_pictures()[1]).double()
    vectors = denoiser.vocabulary()[[1, 2, 3]][None].double()
    try:
        for part in parts:
            part.double()

        def loss(at):
            return denoiser.loss(
                latents,
                denoiser.read_embeddings(at, padded=True),
                torch.Generator().manual_seed(5),
                samples=2,
            )

        at = vectors.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(at), at)
        begin = 0
        for one in denoiser._readers:
            width = one.table.embedding_dim
            direction = torch.zeros_like(vectors)
            part = gradient[..., begin : begin + width]
            direction[..., begin : begin + width] = part / part.norm()
            begin += width
            with torch.no_grad():
                step = 1e-5 * direction
                measured = (loss(vectors + step) - loss(vectors - step)) / 2e-5
            assert float(part.norm()) > 0
            assert float(measured) == pytest.approx(float(part.norm()), rel=1e-3)
    finally:
        for part in parts:
            part.float()


def saved_bytes(denoiser):
    """What one loss keeps for its gradients, and the gradients."""
    kept = 0

    def keep(tensor):
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    latents = denoiser.latents(contract_pictures()[0])
    contextual = denoiser.read("a tea cup", padded=True).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = denoiser.loss(latents, contextual, torch.Generator().manual_seed(1))
    return kept, torch.autograd.grad(loss, contextual)[0]


def test_layers_that_are_recomputed_keep_less_and_give_the_same_gradients(folder, denoiser):
    less, same = saved_bytes(denoiser)
    more, gradients = saved_bytes(model(folder, gradient_checkpointing=False).denoiser())
    assert less < 0.5 * more
    assert torch.allclose(same, gradients, atol=1e-7)


def test_half_precision_is_followed_without_a_second_copy(folder, denoiser):
    half = model(folder, dtype="bfloat16")
    other = half.denoiser()
    latents = other.latents(contract_pictures()[0])
    text = other.read("a cup", padded=True)
    assert latents.dtype == text.dtype == torch.float32
    losses = [
        one.loss(latents, text, torch.Generator().manual_seed(2)).item()
        for one in (other, denoiser)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert other._pipeline is half._pipeline


def test_a_prompt_longer_than_t5_reads_is_refused_where_the_pipeline_would_cut_it(folder, denoiser):
    reads = {"sd3-words": 256, "flux-words": 512}[folder.name]
    fits = "cup " * (reads - 1)
    assert denoiser.read(fits).shape[1] == reads
    with pytest.raises(RenderError, match=f"has {reads + 1} tokens and .* reads {reads}"):
        denoiser.read(fits + "cup")


class Joint:
    """While inside, how each joint attention of a transformer looks from the picture at the text,
    in doubles: (noise, heads, places, tokens). Works on what its blocks are told.
    """

    def __init__(self, transformer):
        self.seen = []
        self.blocks = [
            part for name, part in transformer.named_modules() if name.split(".")[-1] == "attn"
        ]

    def __enter__(self):
        self.hooks = [
            block.register_forward_pre_hook(self.look, with_kwargs=True) for block in self.blocks
        ]
        return self

    def __exit__(self, *_):
        for hook in self.hooks:
            hook.remove()

    @torch.no_grad()
    def look(self, block, _, told):
        def heads(values):
            return values.unflatten(-1, (block.heads, -1)).transpose(1, 2)

        picture, text = told["hidden_states"], told["encoder_hidden_states"]
        query = block.norm_q(heads(block.to_q(picture))).double()
        own = block.norm_k(heads(block.to_k(picture))).double()
        words = block.norm_added_k(heads(block.add_k_proj(text))).double()
        scores = query @ torch.cat([words, own], dim=2).mT / query.shape[-1] ** 0.5
        self.seen.append(scores.softmax(-1)[..., : text.shape[1]])


@pytest.mark.parametrize(("height", "width"), [(32, 48), (36, 148), (96, 96), (64, 160)])
def test_sd3s_maps_are_those_of_its_joint_attention_however_large_the_picture(
    height, width, tmp_path
):
    """Where the picture has fewer places than the text has tokens, as many, and more; the first
    block also looks at the picture alone.
    """
    path = tiny_pipelines.save("sd3-words", tmp_path / "sd3")
    settings = ModelSettings(str(path), device="cpu", height=height, width=width)
    denoiser = DiffusersModel(settings).denoiser()
    picture, prompt = contract_pictures()[0], "a tea cup"
    maps = denoiser.attention(picture, prompt)

    transformer = diffusers.SD3Transformer2DModel.from_pretrained(path / "transformer")
    latents = denoiser.latents(picture)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    share = (torch.tensor([300.0, 500.0, 700.0]) + 1) / 1000
    share = (3 * share / (1 + 2 * share)).view(-1, 1, 1, 1)
    pipeline = diffusers.StableDiffusion3Pipeline.from_pretrained(path, transformer=transformer)
    sequence, summary = (one.expand(3, *one.shape[1:]) for one in told(pipeline, prompt))
    with Joint(transformer) as joint, torch.no_grad():
        transformer(share * noise + (1 - share) * latents, sequence, summary, share.flatten() * 1e3)
    shape, tokens = (height // 2, width // 2), sequence.shape[1]
    places = (height // 4, width // 4)
    assert [one.shape[2:] for one in joint.seen] == [(places[0] * places[1], tokens)] * 2
    layers = [
        torch.nn.functional.interpolate(
            scores.mean((0, 1)).T.unflatten(1, places)[None], shape, mode="bilinear"
        )[0]
        for scores in joint.seen
    ]
    mean = torch.stack(layers).mean(0)
    assert list(maps) == prompt.split()
    for word, found in maps.items():
        assert found.shape == shape
        assert found.sum().item() == pytest.approx(1, abs=1e-5)
        start = prompt.index(word)
        rows = denoiser._places(prompt, start, start + len(word))
        expected = mean[rows].mean(0)
        assert torch.allclose(found.double(), expected / expected.sum(), atol=1e-7)


@pytest.mark.parametrize("size", [88, 96])  # 484 and 576 places, and 512 tokens
def test_flux_looks_at_words_however_large_the_picture(size, tmp_path):
    path = tiny_pipelines.save("flux-words", tmp_path / "flux")
    denoiser = DiffusersModel(ModelSettings(str(path), height=size, width=size)).denoiser()
    noisy, steps = denoiser._noised(contract_pictures()[0])
    text = denoiser.read("a tea cup", padded=True).expand(3, -1, -1)
    looks = denoiser._looks(noisy, steps, text)
    assert [one.shape[1:] for one in looks] == [((size // 4) ** 2, 512)] * 2
    maps = denoiser.attention(contract_pictures()[0], "a tea cup")
    assert all(one.shape == (size // 2, size // 2) for one in maps.values())
    assert all(one.sum().item() == pytest.approx(1, abs=1e-5) for one in maps.values())


def test_without_t5_its_place_is_empty_as_the_pipeline_leaves_it(tmp_path):
    path = tiny_pipelines.save("sd3-words-without-t5", tmp_path / "sd3")
    kind = diffusers.StableDiffusion3Pipeline
    absent = {"text_encoder_3": None, "tokenizer_3": None}
    pipeline = kind.from_pretrained(path, local_files_only=True, **absent)
    denoiser = model(path).denoiser()
    ours = denoiser._heard(denoiser.read("a tea cup", padded=True))
    sequence, summary = told(pipeline, "a tea cup")
    assert torch.allclose(ours.sequence, sequence, atol=1e-5)
    assert torch.allclose(ours.summary, summary, atol=1e-5)
    latents = denoiser.latents(contract_pictures()[0])
    words = denoiser.vocabulary()[[4, 5]][None].requires_grad_()
    loss = denoiser.loss(
        latents, denoiser.read_embeddings(words, padded=True), torch.Generator().manual_seed(0)
    )
    (gradient,) = torch.autograd.grad(loss, words)
    assert gradient.abs().sum() > 0


def test_encoders_without_a_word_in_common_are_refused_in_one_sentence(tmp_path):
    letters = model(tiny_pipelines.save("flux", tmp_path / "flux")).denoiser()
    with pytest.raises(InversionError, match="between a start and an end"):
        letters.vocabulary()


def test_a_pipeline_that_gradients_do_not_go_through_says_which_do(tmp_path):
    path = tiny_pipelines.save("pixart", tmp_path / "pixart")
    with pytest.raises(InversionError, match=r"1, 2, XL or 3 or a FLUX.1 model"):
        denoiser_of(DiffusersModel(ModelSettings(str(path), device="cpu")))
    with pytest.raises(ConfigError, match="gradient_checkpointing has no effect"):
        DiffusersModel(ModelSettings(str(path), device="cpu", gradient_checkpointing=True))


@pytest.mark.parametrize(
    ("family", "encoder", "entry"),
    [
        ("sd3-words", "text_encoder_3", ["transformers", "UMT5EncoderModel"]),
        ("sd3-words", "text_encoder_2", [None, None]),
        ("flux-words", "text_encoder_3", ["transformers", "CLIPTextModel"]),
    ],
)
def test_a_pipeline_with_other_text_encoders_than_those_known_is_not_taken_apart(
    family, encoder, entry, tmp_path
):
    path = tiny_pipelines.save(family, tmp_path / family)
    index = json.loads((path / "model_index.json").read_text())
    (path / "model_index.json").write_text(json.dumps({**index, encoder: entry}))
    shutil.copytree(path / "text_encoder", path / encoder, dirs_exist_ok=True)
    with pytest.raises(InversionError, match="gradients do not reach the prompt"):
        model(path).denoiser()
