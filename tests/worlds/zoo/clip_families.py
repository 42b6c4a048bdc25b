"""Families whose prompts are read by CLIP: Stable Diffusion and its children."""

from __future__ import annotations

from typing import Any

from diffusers import (
    DDIMScheduler,
    EDMDPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    LDMTextToImagePipeline,
    StableDiffusionPAGPipeline,
    StableDiffusionPanoramaPipeline,
    StableDiffusionPipeline,
    StableDiffusionSAGPipeline,
    StableDiffusionXLPAGPipeline,
    StableDiffusionXLPipeline,
)
from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import (
    LDMBertConfig,
    LDMBertModel,
)

from worlds.tiny_parts import TEXT_WIDTH, clip, clip_tokenizer, multistep, projected_clip, unet
from worlds.zoo.parts import vae
from worlds.zoo.tokenizers import bert


def _stable_diffusion(kind: Any = StableDiffusionPipeline, **parts: Any) -> Any:
    tokenizer = clip_tokenizer()
    given = {
        "vae": vae(),
        "text_encoder": clip(tokenizer),
        "tokenizer": tokenizer,
        "unet": unet(),
        "scheduler": multistep(),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }
    return kind(**given | parts)


def stable_diffusion() -> StableDiffusionPipeline:
    """Stable Diffusion 1: the denoiser says what is noise."""
    return _stable_diffusion()


def stable_diffusion_2() -> StableDiffusionPipeline:
    """Stable Diffusion 2: the denoiser says velocities."""
    return _stable_diffusion(
        unet=unet(use_linear_projection=True, attention_head_dim=(2, 4)),
        scheduler=multistep(prediction_type="v_prediction"),
    )


def latent_consistency() -> LatentConsistencyModelPipeline:
    """LCM: few steps, and guidance is an input of the denoiser."""
    return _stable_diffusion(
        LatentConsistencyModelPipeline,
        unet=unet(time_cond_proj_dim=16),
        scheduler=LCMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False
        ),
    )


def latent_diffusion() -> LDMTextToImagePipeline:
    """Latent diffusion, before it was Stable: words by a BERT of its own."""
    tokenizer = bert()
    return LDMTextToImagePipeline(
        vqvae=vae(4),
        bert=LDMBertModel(
            LDMBertConfig(
                vocab_size=len(tokenizer),
                encoder_layers=2,
                encoder_ffn_dim=64,
                encoder_attention_heads=4,
                head_dim=8,
                d_model=TEXT_WIDTH,
            )
        ),
        tokenizer=tokenizer,
        unet=unet(sample_size=8),
        scheduler=DDIMScheduler(beta_start=0.00085, beta_end=0.012, clip_sample=False),
    )


def stable_diffusion_pag() -> StableDiffusionPAGPipeline:
    """Stable Diffusion with perturbed attention."""
    return _stable_diffusion(StableDiffusionPAGPipeline)


def stable_diffusion_sag() -> StableDiffusionSAGPipeline:
    """Stable Diffusion guided by its own attention."""
    return _stable_diffusion(StableDiffusionSAGPipeline)


def panorama() -> StableDiffusionPanoramaPipeline:
    """Stable Diffusion over windows of a wide picture."""
    return _stable_diffusion(
        StableDiffusionPanoramaPipeline,
        scheduler=DDIMScheduler(beta_start=0.00085, beta_end=0.012, clip_sample=False),
    )


def _stable_diffusion_xl(kind: Any = StableDiffusionXLPipeline, **parts: Any) -> Any:
    tokenizer = clip_tokenizer()
    given = {
        "vae": vae(),
        "text_encoder": clip(tokenizer),
        "text_encoder_2": projected_clip(tokenizer),
        "tokenizer": tokenizer,
        "tokenizer_2": clip_tokenizer(),
        "unet": unet(
            cross_attention_dim=64,
            attention_head_dim=(2, 4),
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=32 + 6 * 8,
        ),
        "scheduler": multistep(),
    }
    return kind(**given | parts)


def stable_diffusion_xl() -> StableDiffusionXLPipeline:
    """Stable Diffusion XL: two CLIP encoders, a summary and picture sizes."""
    return _stable_diffusion_xl()


def stable_diffusion_xl_turbo() -> StableDiffusionXLPipeline:
    """SDXL-Turbo: the same parts, few noisy steps, no guidance."""
    return _stable_diffusion_xl(
        scheduler=EulerAncestralDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            timestep_spacing="trailing",
        )
    )


def playground() -> StableDiffusionXLPipeline:
    """Playground 2.5: the parts of SDXL under the EDM noise."""
    return _stable_diffusion_xl(
        vae=vae(latents_mean=[0.1, -0.2, 0.3, 0.0], latents_std=[0.9, 1.1, 1.0, 1.2]),
        scheduler=EDMDPMSolverMultistepScheduler(sigma_data=0.5),
    )


def stable_diffusion_xl_pag() -> StableDiffusionXLPAGPipeline:
    """SDXL with perturbed attention."""
    return _stable_diffusion_xl(StableDiffusionXLPAGPipeline)
