"""Encoders and denoisers: their gradients, held against the libraries' own ways and differences."""

import dataclasses
import json
import shutil

import diffusers
import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from worlds import tiny_pipelines
from worlds.tiny_checkers import tiny_clip
from worlds.zoo import clip_families
from worlds.zoo.parts import vae as zoo_vae

from lcmis.check.clip import ClipChecker
from lcmis.check.encoder import ClipEncoder
from lcmis.errors import ConfigError, InversionError
from lcmis.plugins import registry
from lcmis.plugins.optional import encoder_of, gradients_of, manners_of
from lcmis.plugins.settings import CheckerSettings, ModelSettings
from lcmis.render.diffusion import DiffusersModel
from lcmis.testing import DenoiserContract, EncoderContract, contract_pictures
from lcmis.text.vocabulary import Vocabulary
from lcmis.types import Stage, StageManner


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """With open_clip's own tokenizer and its pooling at the largest token."""
    folder = tiny_clip(tmp_path_factory.mktemp("clip") / "tiny")
    return ClipChecker(CheckerSettings("clip", str(folder), device="cpu")).encoder()


@pytest.fixture(scope="module")
def world_clip():
    """With a tokenizer of transformers' and pooling at a named end."""
    return registry.load("checkers", "teacup-clip")(CheckerSettings("teacup-clip")).encoder()


class TestOpenClipEncoder(EncoderContract):
    @pytest.fixture
    def encoder(self, clip):
        return clip


class TestOpenClipEncoderOfATextTower(EncoderContract):
    @pytest.fixture
    def encoder(self, world_clip):
        return world_clip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_pipelines.save("sd", tmp_path_factory.mktemp("sd"))


def model(folder, **settings):
    return DiffusersModel(ModelSettings(str(folder), device="cpu", height=32, width=48, **settings))


@pytest.fixture(scope="module")
def denoiser(folder):
    return model(folder).denoiser()


class TestStableDiffusionDenoiser(DenoiserContract):
    @pytest.fixture
    def denoiser(self, denoiser):
        return denoiser


@pytest.fixture(scope="module")
def xl_folder(tmp_path_factory):
    return tiny_pipelines.save("sdxl", tmp_path_factory.mktemp("sdxl"))


@pytest.fixture(scope="module")
def xl(xl_folder):
    return model(xl_folder).denoiser()


class TestStableDiffusionXLDenoiser(DenoiserContract):
    @pytest.fixture
    def denoiser(self, xl):
        return xl


def test_two_encoders_and_their_summary_are_read_as_the_pipeline_reads_them(xl_folder, xl):
    pipeline = diffusers.StableDiffusionXLPipeline.from_pretrained(xl_folder, local_files_only=True)
    for prompt in ("", "a cup", "a tea cup of iced coke"):
        text, _, summary, _ = pipeline.encode_prompt(
            prompt, device="cpu", do_classifier_free_guidance=False
        )
        ours = xl.read(prompt, padded=True)
        width = text.shape[-1]
        assert torch.allclose(ours[..., :width], text, atol=1e-5)
        assert torch.allclose(ours[:, 0, width:], summary, atol=1e-5)
        assert torch.allclose(ours[:, -1, width:], summary, atol=1e-5)


def test_the_loss_of_sdxl_is_that_of_its_u_net_told_summary_and_sizes(xl_folder, xl):
    pipeline = diffusers.StableDiffusionXLPipeline.from_pretrained(xl_folder, local_files_only=True)
    latents = xl.latents(contract_pictures()[0])
    ours = xl.loss(
        latents, xl.read("a cup", padded=True), torch.Generator().manual_seed(3), samples=3
    )
    dice = torch.Generator().manual_seed(3)
    times = torch.randint(0, 1000, (3,), generator=dice)
    noise = torch.randn(3, *latents.shape[1:], generator=dice)
    text, _, summary, _ = pipeline.encode_prompt(
        "a cup", device="cpu", do_classifier_free_guidance=False
    )
    sizes = pipeline._get_add_time_ids((32, 48), (0, 0), (32, 48), torch.float32, 32)
    kept = signal_kept(times)
    with torch.no_grad():
        predicted = pipeline.unet(
            kept.sqrt() * latents + (1 - kept).sqrt() * noise,
            times,
            text.expand(3, -1, -1),
            added_cond_kwargs={
                "text_embeds": summary.expand(3, -1),
                "time_ids": sizes.expand(3, -1),
            },
        ).sample
    assert ours.item() == pytest.approx((predicted - noise).square().mean().item(), rel=1e-4)


def test_sdxl_recomputes_its_layers_and_the_gradients_stay_the_same(xl):
    latents = xl.latents(contract_pictures()[1])
    found = []
    for recomputes in (True, False):
        unet = xl._pipeline.unet
        change = "enable" if recomputes else "disable"
        getattr(unet, f"{change}_gradient_checkpointing")()
        words = xl.vocabulary()[[3, 4]][None].requires_grad_()
        loss = xl.loss(
            latents, xl.read_embeddings(words, padded=True), torch.Generator().manual_seed(1)
        )
        found.append(torch.autograd.grad(loss, words)[0])
    xl._pipeline.unet.enable_gradient_checkpointing()
    assert torch.allclose(*found, atol=1e-7)
    assert found[0][..., :32].abs().sum() > 0
    assert found[0][..., 32:].abs().sum() > 0


# ── encoders ─────────────────────────────────────────────────────────────────────────────────────


def rows_of(vocabulary, tokens):
    places = {token: row for row, token in enumerate(vocabulary.ids)}
    return [places[token] for token in tokens if token in places]


@pytest.mark.parametrize("name", ["clip", "world_clip"])
@pytest.mark.parametrize("text", ["cup", "a tea cup of iced coke", "toadstools, terracotta"])
def test_vectors_of_a_text_are_read_as_open_clip_reads_the_text(name, text, request):
    encoder = request.getfixturevalue(name)
    loaded = encoder._clip
    tokens = loaded.tokenizer([text])
    with torch.no_grad():
        theirs = loaded.model.encode_text(tokens, normalize=True)
    rows = rows_of(encoder._words, tokens[0, : encoder.num_tokens(text)].tolist())
    assert len(rows) == encoder.num_tokens(text) - 2
    ours = encoder.read_embeddings(encoder.vocabulary()[rows][None])
    assert torch.allclose(ours, theirs, atol=1e-6)
    assert encoder.text_of(rows).replace(" ,", ",") == text


def test_special_tokens_and_broken_letters_are_no_words(clip):
    spelled = [clip.text_of([row]) for row in range(len(clip.vocabulary()))]
    assert len(spelled) > 48_000
    assert not any("_of_text>" in text or "\N{REPLACEMENT CHARACTER}" in text for text in spelled)
    assert all(text.isprintable() and text.strip() for text in spelled)
    tokenizer = clip._clip.tokenizer
    assert not set(clip._words.ids) & {tokenizer.sot_token_id, tokenizer.eot_token_id}


def test_more_words_than_the_encoder_reads_are_refused(clip):
    full = clip.context_length - 2
    assert clip.read_embeddings(clip.vocabulary()[:full][None]).shape[0] == 1
    with pytest.raises(ValueError, match=f"reads 1 to {full}"):
        clip.read_embeddings(clip.vocabulary()[: full + 1][None])


def test_weights_are_frozen_and_the_checker_is_shared(tmp_path):
    checker = ClipChecker(CheckerSettings("clip", str(tiny_clip(tmp_path / "c")), device="cpu"))
    encoder = encoder_of(checker)
    assert checker._clip is None, "making an encoder loads nothing"
    encoder.see(contract_pictures()[:1])
    assert checker._clip is encoder._clip
    assert not any(weight.requires_grad for weight in encoder._clip.model.parameters())
    assert encoder.encoder_id == checker.checker_id


def test_a_picture_that_is_none_is_an_inversion_error(clip):
    with pytest.raises(InversionError, match="no picture"):
        clip.see([None])


def test_a_tower_without_a_table_of_words_says_so(clip):
    @dataclasses.dataclass
    class Other:
        model: torch.nn.Module
        tokenizer: object
        context_length: int = 8

    other = Other(torch.nn.Module(), clip._clip.tokenizer)
    with pytest.raises(InversionError, match="no table of word vectors"):
        ClipEncoder("clip:other@1", "cpu", 8, lambda: other).vocabulary()


def test_a_tokenizer_that_ends_every_text_elsewhere_is_refused():
    def encode(text):  # a class token at the very end, behind the padding
        words = [ord(letter) - 90 for letter in text]
        return [1, *words, 2, *[0] * (8 - len(words)), 3]

    with pytest.raises(InversionError, match="between a start and an end"):
        Vocabulary.of(30, {0, 1, 2, 3}, encode, lambda ids: "".join(chr(90 + i) for i in ids))


# ── denoisers ────────────────────────────────────────────────────────────────────────────────────


def test_padded_embeddings_are_what_the_pipeline_draws_by(folder, denoiser):
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
    for prompt in ("a tea cup of iced coke", "", "cup " * 30):
        theirs, _ = pipeline.encode_prompt(prompt, "cpu", 1, False)
        assert torch.allclose(denoiser.read(prompt, padded=True), theirs, atol=1e-5)


def test_vectors_of_a_text_are_read_as_the_text(denoiser):
    prompt = "a tea cup of iced coke"
    rows = rows_of(denoiser._words, denoiser._tokens(prompt))
    told = denoiser.vocabulary()[rows][None]
    assert torch.allclose(denoiser.read_embeddings(told), denoiser.read(prompt), atol=1e-5)
    padded = denoiser.read_embeddings(told, padded=True)
    assert torch.allclose(padded, denoiser.read(prompt, padded=True), atol=1e-5)


def signal_kept(times):
    """Of the schedule that Stable Diffusion was trained with, as a share of the variance."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return (1 - betas).cumprod(0)[times].float().view(-1, 1, 1, 1)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_the_loss_is_the_one_of_training(prediction, tmp_path):
    folder = tiny_pipelines.save("sd", tmp_path)
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"prediction_type": prediction}))
    denoiser = model(folder).denoiser()
    latents, text = denoiser.latents(contract_pictures()[0]), denoiser.read("a cup", padded=True)
    ours = denoiser.loss(latents, text, torch.Generator().manual_seed(3), times=(0.5, 0.9))

    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
    dice = torch.Generator().manual_seed(3)
    times = torch.randint(500, 900, (4,), generator=dice)
    noise = torch.randn(4, *latents.shape[1:], generator=dice)
    kept = signal_kept(times)
    noisy = kept.sqrt() * latents + (1 - kept).sqrt() * noise
    wanted = {
        "epsilon": noise,
        "v_prediction": kept.sqrt() * noise - (1 - kept).sqrt() * latents,
        "sample": latents.expand(4, -1, -1, -1),
    }[prediction]
    with torch.no_grad():
        predicted = pipeline.unet(noisy, times, text.expand(4, -1, -1)).sample
    assert ours.item() == pytest.approx((predicted - wanted).square().mean().item(), rel=1e-4)


def test_a_prediction_that_is_none_of_training_has_no_loss(folder):
    denoiser = model(folder).denoiser()
    denoiser._pipeline.scheduler.register_to_config(prediction_type="trigflow")
    latents, text = denoiser.latents(contract_pictures()[0]), denoiser.read("a cup", padded=True)
    with pytest.raises(InversionError, match="predicts 'trigflow', of which no loss is known"):
        denoiser.loss(latents, text, torch.Generator())


def with_scheduler(folder, kind=None, **changes):
    """A saved pipeline with other entries in its scheduler's configuration; None leaves one out."""
    path = folder / "scheduler" / "scheduler_config.json"
    config = json.loads(path.read_text()) | changes
    if kind:
        index = json.loads((folder / "model_index.json").read_text())
        (folder / "model_index.json").write_text(
            json.dumps({**index, "scheduler": ["diffusers", kind]})
        )
        config["_class_name"] = kind
    kept = {name: value for name, value in config.items() if value is not None}
    path.write_text(json.dumps(kept))
    return folder


@pytest.mark.parametrize(
    ("family", "kind", "changes", "reason"),
    [
        ("sd", None, {"prediction_type": "flow_prediction"}, "DPM.* is for flow matching"),
        ("sd", None, {"use_flow_sigmas": True}, "DPM.* is for flow matching"),
        ("sdxl", "FlowMatchEulerDiscreteScheduler", {}, "FlowMatch.* is for flow matching"),
        (
            "sd",
            None,
            {"prediction_type": "trigflow"},
            "U-Net predicts 'trigflow', which is none of",
        ),
        (
            "sd",
            "EulerDiscreteScheduler",
            {"prediction_type": "v_prediction", "timestep_type": "continuous"},
            "logarithms of the noise",
        ),
        ("sd", "EDMEulerScheduler", {"sigma_data": 0.5}, r"EDMEuler.* the noise of EDM"),
        ("sd", None, {"beta_end": None}, "names no betas"),
        ("sd3-words", "DPMSolverMultistepScheduler", {"use_flow_sigmas": True}, "is no FlowMatch"),
        ("flux-words", "EulerDiscreteScheduler", {}, "is no FlowMatch"),
    ],
)
def test_a_model_whose_training_its_scheduler_does_not_tell_has_no_gradients(
    family, kind, changes, reason, tmp_path
):
    path = with_scheduler(tiny_pipelines.save(family, tmp_path / family), kind, **changes)
    with pytest.raises(InversionError, match=f"the prompt of {family}@.*, for its .*{reason}.*: g"):
        model(path).denoiser()
    with pytest.raises(ConfigError, match=f"has no effect on .*{reason}.*: leave it out"):
        model(path, gradient_checkpointing=True)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("EulerDiscreteScheduler", {"timestep_type": "continuous"}),  # by steps all the same
        ("DDIMScheduler", {"prediction_type": None}),
        ("EulerAncestralDiscreteScheduler", {"rescale_betas_zero_snr": True}),
        (None, {"trained_betas": [0.001] * 1000, "beta_start": None, "beta_end": None}),
    ],
)
def test_whatever_scheduler_names_betas_tells_how_a_model_was_trained(kind, changes, tmp_path):
    path = with_scheduler(tiny_pipelines.save("sd", tmp_path / "sd"), kind, **changes)
    denoiser = model(path).denoiser()
    latents, text = denoiser.latents(contract_pictures()[0]), denoiser.read("a cup", padded=True)
    assert denoiser.loss(latents, text, torch.Generator().manual_seed(0)) > 0
    own = getattr(diffusers, kind or "DPMSolverMultistepScheduler").from_pretrained(
        path, subfolder="scheduler"
    )
    assert torch.allclose(denoiser._schedule.alphas_cumprod, own.alphas_cumprod, atol=1e-6)


def test_playground_draws_and_has_no_gradients_and_every_method_says_why(tmp_path):
    torch.manual_seed(0)
    clip_families.playground().save_pretrained(tmp_path)
    painter = model(tmp_path, num_inference_steps=2, batch_size=1)
    (picture,) = painter.generate([painter.spec((Stage("a cup"),), 0)])
    assert picture.size == (48, 32)
    denoiser, reason = gradients_of(painter)
    assert denoiser is None
    assert "its EDMDPMSolverMultistepScheduler has the noise of EDM (sigma_data)" in reason
    assert reason.endswith(": give a Stable Diffusion 1, 2, XL or 3 or a FLUX.1 model")


def with_vae(folder, vae):
    shutil.rmtree(folder / "vae")
    vae.save_pretrained(folder / "vae")
    index = json.loads((folder / "model_index.json").read_text())
    index["vae"] = ["diffusers", type(vae).__name__]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


@pytest.mark.parametrize(
    "vae",
    [
        lambda: diffusers.AutoencoderTiny(
            encoder_block_out_channels=(32, 32),
            decoder_block_out_channels=(32, 32),
            num_encoder_blocks=(1, 1),
            num_decoder_blocks=(1, 1),
            upsampling_scaling_factor=2,
        ),
        lambda: diffusers.AsymmetricAutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2,
            down_block_out_channels=(32, 32),
            up_block_types=("UpDecoderBlock2D",) * 2,
            up_block_out_channels=(32, 32),
        ),
    ],
)
def test_another_vae_than_the_one_of_training_has_no_gradients(vae, tmp_path):
    path = with_vae(tiny_pipelines.save("sd", tmp_path / "sd"), vae())
    painter = model(path)
    with pytest.raises(
        InversionError, match=r"its VAE is A\w+, and .* only .* AutoencoderKL: give"
    ):
        painter.denoiser()
    assert StageManner.EXCITED in manners_of(painter), "attention does not ask for the VAE"


def test_a_unet_that_is_told_the_guidance_has_no_gradients(tmp_path):
    """Told none it would draw, and lose, otherwise than the pipeline has it draw."""
    path = tiny_pipelines.save("sd", tmp_path / "sd")
    config = diffusers.UNet2DConditionModel.load_config(path / "unet")
    unet = diffusers.UNet2DConditionModel.from_config({**config, "time_cond_proj_dim": 8})
    unet.save_pretrained(path / "unet")
    painter = model(path, num_inference_steps=4, guidance_scale=1.0)
    with pytest.raises(InversionError, match=r"its U-Net is told the guidance scale, .*: give"):
        painter.denoiser()


def statistical(channels=4):
    """A VAE that norms its latents, and is sure of what it sees."""
    vae = zoo_vae(latents_mean=[0.1, -0.2, 0.3, 0.0], latents_std=[0.9, 1.1, 1.0, 1.2])
    with torch.no_grad():
        vae.quant_conv.weight[channels:] = 0
        vae.quant_conv.bias[channels:] = -100
    return vae


def test_sdxl_norms_latents_as_its_pipeline_for_pictures_does(tmp_path):
    path = with_vae(tiny_pipelines.save("sdxl", tmp_path / "sdxl"), statistical())
    pipeline = diffusers.StableDiffusionXLImg2ImgPipeline.from_pretrained(path)
    picture = contract_pictures()[0].resize((48, 32))
    pixels = pipeline.image_processor.preprocess(picture, 32, 48)
    theirs = pipeline.prepare_latents(
        pixels, None, 1, 1, torch.float32, "cpu", torch.Generator(), add_noise=False
    )
    ours = model(path).denoiser().latents(picture)
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert (ours - pipeline.vae.encode(pixels).latent_dist.mode() * 0.18215).abs().max() > 0.02


def test_statistics_of_latents_are_heeded_by_sdxl_alone(tmp_path):
    path = with_vae(tiny_pipelines.save("sd", tmp_path / "sd"), statistical())
    pipeline = diffusers.StableDiffusionImg2ImgPipeline.from_pretrained(path)
    picture = contract_pictures()[0].resize((48, 32))
    pixels = pipeline.image_processor.preprocess(picture, 32, 48)
    pipeline.scheduler = Noiseless()
    theirs = pipeline.prepare_latents(pixels, None, 1, 1, torch.float32, "cpu", torch.Generator())
    assert torch.allclose(model(path).denoiser().latents(picture), theirs, atol=1e-5)


class Noiseless(diffusers.DDIMScheduler):
    """Lets a pipeline show what it would add noise to."""

    def add_noise(self, original_samples, noise, timesteps):
        return original_samples


def test_a_picture_is_cut_to_the_shape_that_the_model_draws(denoiser):
    square, wide = contract_pictures()[0], contract_pictures()[0].resize((96, 64))
    assert denoiser.latents(square).shape == denoiser.latents(wide).shape == (1, 4, 16, 24)
    assert not torch.equal(denoiser.latents(square), denoiser.latents(wide))


def test_embeddings_without_padding_are_padded_by_their_last_vector(denoiser):
    latents, short = denoiser.latents(contract_pictures()[0]), denoiser.read("a cup")
    long = torch.cat([short, short[:, -1:].expand(-1, 77 - short.shape[1], -1)], dim=1)
    one, other = (
        denoiser.loss(latents, text, torch.Generator().manual_seed(0)) for text in (short, long)
    )
    assert one == other


def test_a_model_that_draws_in_half_precision_is_differentiated_in_single(folder, denoiser):
    half = model(folder, dtype="bfloat16", num_inference_steps=2, batch_size=1)
    other = half.denoiser()
    assert torch.equal(other.read("a cup"), denoiser.read("a cup"))
    (picture,) = half.generate([half.spec((Stage("a cup"),), 0)])
    assert picture.size == (48, 32)
    assert half._pipeline.unet.dtype == torch.bfloat16


class Recording:
    """Attends as diffusers does, and writes down what each cross-attention looks at."""

    def __init__(self):
        self.seen = []

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, **others):
        if encoder_hidden_states is not None:
            query, key = (
                part.unflatten(-1, (attn.heads, -1)).transpose(1, 2).double()
                for part in (attn.to_q(hidden_states), attn.to_k(encoder_hidden_states))
            )
            self.seen.append((query @ key.mT / query.shape[-1] ** 0.5).softmax(-1))
        return AttnProcessor2_0()(attn, hidden_states, encoder_hidden_states, **others)


def test_the_map_of_a_word_is_the_mean_of_the_u_nets_own_cross_attention(folder, denoiser):
    """Over heads, layers, amounts of noise, and the tokens of the word wherever it stands."""
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
    picture, prompt = contract_pictures()[0], "a cup of a hat"
    latents = denoiser.latents(picture)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    times, recording = torch.tensor([300, 500, 700]), Recording()
    kept = signal_kept(times)
    text, _ = pipeline.encode_prompt(prompt, "cpu", 1, False)
    pipeline.unet.set_attn_processor(recording)
    with torch.no_grad():
        noisy = kept.sqrt() * latents + (1 - kept).sqrt() * noise
        pipeline.unet(noisy, times, text.expand(3, -1, -1))
    layers = []
    for scores in recording.seen:  # (noise, heads, places, tokens)
        side = round((scores.shape[2] / (16 * 24)) ** 0.5 * 16)
        maps = scores.mean((0, 1)).T.unflatten(1, (side, -1))
        layers.append(torch.nn.functional.interpolate(maps[None], (16, 24), mode="bilinear")[0])
    tokens = torch.stack(layers).mean(0)

    places, start = {}, 1
    for word in prompt.split():
        count = len(pipeline.tokenizer(word).input_ids) - 2
        places.setdefault(word, []).extend(range(start, start + count))
        start += count
    maps = denoiser.attention(picture, prompt)
    assert list(maps) == ["a", "cup", "of", "hat"]
    for word, rows in places.items():
        expected = tokens[rows].mean(0)
        assert torch.allclose(maps[word].double(), expected / expected.sum(), atol=1e-6)
