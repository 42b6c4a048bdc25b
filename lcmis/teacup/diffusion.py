"""Latent diffusion in miniature: the models, what they learn from, and the loss.

Source: Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", CVPR 2022;
velocity prediction after Salimans and Ho, "Progressive Distillation for Fast Sampling of Diffusion
Models", ICLR 2022, appendix D; cosine schedule after Nichol and Dhariwal, "Improved Denoising
Diffusion Probabilistic Models", ICML 2021, equation 17.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from lcmis.teacup.examples import Examples
from lcmis.teacup.train_vae import encode

MAX_TOKENS = 40
"""Length that every caption is padded to."""
NUM_TIMESTEPS = 1000
BOS, EOS = "<|startoftext|>", "<|endoftext|>"


@dataclass(frozen=True)
class Models:
    """What is trained together: the words and the pictures they lead to."""

    unet: UNet2DConditionModel
    text_encoder: CLIPTextModel

    def velocity(self, noisy: Tensor, timesteps: Tensor, ids: Tensor) -> Tensor:
        """Predict the velocity of (batch, 8, 16, 16) noisy latents under (batch, 40) token ids."""
        words = self.text_encoder(ids).last_hidden_state
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        predicted: Tensor = self.unet(noisy, timesteps, words).sample
        return predicted.float()

    def to(self, device: str) -> Models:
        """Move both to a device, in channels-last order."""
        self.unet.to(device).to(memory_format=torch.channels_last)
        self.text_encoder.to(device)
        return self


def build_models(tokenizer: CLIPTokenizer, seed: int, *, tiny: bool = False) -> Models:
    """Untrained models: 11 M parameters paint, 1.9 M read; ``tiny`` ones are for tests."""
    width = 16 if tiny else 192
    channels = (8, 16, 16) if tiny else (64, 128, 192)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=width,
                intermediate_size=4 * width,
                projection_dim=width,
                num_hidden_layers=1 if tiny else 4,
                num_attention_heads=2 if tiny else 6,
                max_position_embeddings=MAX_TOKENS,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
                hidden_act="gelu",
            )
        )
        unet = UNet2DConditionModel(
            sample_size=16,
            in_channels=8,
            out_channels=8,
            block_out_channels=channels,
            layers_per_block=1,
            cross_attention_dim=width,
            attention_head_dim=(1, 2, 2) if tiny else (2, 4, 6),
            norm_num_groups=8 if tiny else 16,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        )
    return Models(unet, text_encoder)


def build_tokenizer(captions: Iterable[str]) -> CLIPTokenizer:
    """Learn a byte-pair vocabulary of the world's words, cut the way CLIP's is."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=EOS))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = Regex(r"<\|startoftext\|>|<\|endoftext\|>|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1000,
        special_tokens=[BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    with tempfile.TemporaryDirectory() as folder:
        vocabulary, merges = (Path(path) for path in tokenizer.model.save(folder))
        pieces = json.loads(vocabulary.read_text())
        pairs = [tuple(line.split()) for line in merges.read_text().splitlines()[1:]]
    return CLIPTokenizer(vocab=pieces, merges=pairs, model_max_length=MAX_TOKENS)


def token_ids(tokenizer: CLIPTokenizer, captions: Sequence[str]) -> Tensor:
    """(captions, 40) token ids, padded; longer captions are cut."""
    padded = tokenizer(list(captions), padding="max_length", truncation=True, max_length=MAX_TOKENS)
    return torch.tensor(padded.input_ids)


@dataclass(frozen=True)
class LatentSet:
    """Pictures as scaled latents, with the token ids of their captions."""

    latents: Tensor
    """(count, 8, 16, 16)."""
    ids: Tensor
    """(count, captions, 40)."""

    @classmethod
    def of(
        cls, examples: Examples, vae: AutoencoderKL, tokenizer: CLIPTokenizer, device: str
    ) -> LatentSet:
        """Encode once what training will see many times."""
        latents = encode(vae, examples, device) * vae.config.scaling_factor
        texts = [text for captions in examples.captions for text in captions]
        ids = token_ids(tokenizer, texts).view(len(examples), -1, MAX_TOKENS)
        return cls(latents, ids)

    def pick(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """So many random latents, each with one of its captions."""
        index = torch.randint(len(self.latents), (count,), generator=generator)
        which = torch.randint(self.ids.shape[1], (count,), generator=generator)
        return self.latents[index], self.ids[index, which]


@dataclass(frozen=True)
class Noised:
    """A batch on its way from picture to noise."""

    noisy: Tensor
    """(batch, 8, 16, 16)."""
    timesteps: Tensor
    """(batch,) from 0, nearly clean, to 999, pure noise."""
    velocity: Tensor
    """(batch, 8, 16, 16), what a denoiser is to predict: alpha · noise - sigma · latent."""


def add_noise(
    latents: Tensor,
    generator: torch.Generator,
    device: str,
    *,
    lowest: int = 0,
    skewed: float = 0,
    end: int = NUM_TIMESTEPS,
) -> Noised:
    """Add noise of random strength.

    Args:
        latents: (batch, 8, 16, 16).
        generator: on the CPU, so that a seed means the same on every device.
        device: where the batch goes.
        lowest: for the skewed part, the smallest timestep.
        skewed: share of the batch, in [0, 1], whose timesteps start at ``lowest``: concepts are
            decided while there is much noise.
        end: all timesteps are below it.
    """
    uniform = torch.rand(len(latents), generator=generator)
    late = torch.rand(len(latents), generator=generator) < skewed
    start = torch.where(late, float(lowest), 0.0)
    timesteps = (start + uniform * (end - start)).long()
    noise = torch.randn(latents.shape, generator=generator)
    alpha = _alphas()[timesteps].view(-1, 1, 1, 1)
    noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
    velocity = alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
    return Noised(noisy.to(device), timesteps.to(device), velocity.to(device))


@cache
def _alphas() -> Tensor:
    alphas: Tensor = DDPMScheduler(beta_schedule="squaredcos_cap_v2").alphas_cumprod
    return alphas


def drop_captions(ids: Tensor, empty: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Empty a share of the captions, in [0, 1], so that guidance has something to lean on.

    Source: Ho and Salimans, "Classifier-Free Diffusion Guidance", 2022, algorithm 1.
    """
    dropped = torch.rand(len(ids), 1, generator=generator) < share
    return torch.where(dropped, empty, ids)


def pipeline_of(
    trained: Models, vae: AutoencoderKL, tokenizer: CLIPTokenizer
) -> StableDiffusionPipeline:
    """All parts together, sampled by DPM-Solver++."""
    scheduler = DPMSolverMultistepScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        steps_offset=1,
    )
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=trained.text_encoder,
        tokenizer=tokenizer,
        unet=trained.unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def load_pipeline(folder: Path, device: str) -> StableDiffusionPipeline:
    """Load a pipeline folder in single precision."""
    pipeline = StableDiffusionPipeline.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def save_pipeline(pipeline: StableDiffusionPipeline, folder: Path) -> None:
    """Write a pipeline folder in half precision, in files below 20 MiB; the pipeline stays as is.

    Half precision is for the disk alone: the text encoder's configuration says float32, since
    transformers would otherwise load it in another precision than diffusers loads the rest.
    """
    pipeline.to(torch.float16).save_pretrained(
        folder, safe_serialization=True, max_shard_size="14MB"
    )
    pipeline.to(torch.float32)
    for path in folder.glob("*/config.json"):
        config = json.loads(path.read_text())
        config.pop("_name_or_path", None)  # where it was loaded from: nobody else has that folder
        if path.parent.name == "text_encoder":
            config["dtype"] = "float32"
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
