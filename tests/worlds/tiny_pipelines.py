"""Real diffusers pipelines, small enough to be built, saved and run in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    T5Tokenizer,
)

from worlds.tiny_parts import (
    clip,
    clip_tokenizer,
    multistep,
    projected_clip,
    t5,
    t5_tokenizer,
    unet,
    worded_t5_tokenizer,
)


def _vae(**overrides: Any) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=[32, 64],
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        latent_channels=4,
        sample_size=32,
        **overrides,
    )


def stable_diffusion() -> StableDiffusionPipeline:
    """Stable Diffusion 1: one CLIP encoder."""
    tokenizer = clip_tokenizer()
    return StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=clip(tokenizer),
        tokenizer=tokenizer,
        unet=unet(cross_attention_dim=32, attention_head_dim=8),
        scheduler=multistep(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _unet_xl(cross_attention_dim: int, numbers: int) -> UNet2DConditionModel:
    """That is told sizes and other numbers beside the summary."""
    return unet(
        cross_attention_dim=cross_attention_dim,
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=32 + numbers * 8,
    )


def stable_diffusion_xl() -> StableDiffusionXLPipeline:
    """Stable Diffusion XL: two CLIP encoders, a pooled vector and picture sizes."""
    tokenizer = clip_tokenizer()
    return StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=clip(tokenizer),
        text_encoder_2=projected_clip(tokenizer),
        tokenizer=tokenizer,
        tokenizer_2=clip_tokenizer(),
        unet=_unet_xl(cross_attention_dim=64, numbers=6),
        scheduler=multistep(),
    )


def stable_diffusion_xl_refiner() -> StableDiffusionXLImg2ImgPipeline:
    """The refiner of Stable Diffusion XL: the second of its encoders, and an aesthetic score."""
    return StableDiffusionXLImg2ImgPipeline(
        vae=_vae(),
        text_encoder=None,
        text_encoder_2=projected_clip(clip_tokenizer()),
        tokenizer=None,
        tokenizer_2=clip_tokenizer(),
        unet=_unet_xl(cross_attention_dim=32, numbers=5),
        scheduler=multistep(),
        requires_aesthetics_score=True,
    )


def _stable_diffusion_3(letters: T5Tokenizer | None, **changes: Any) -> StableDiffusion3Pipeline:
    tokenizer = clip_tokenizer()
    given: dict[str, Any] = {
        "patch_size": 1,
        "num_layers": 1,
        "joint_attention_dim": 32,
        "shift": 1.0,
        **changes,
    }
    scheduler = FlowMatchEulerDiscreteScheduler(shift=given.pop("shift"))
    return StableDiffusion3Pipeline(
        vae=_vae(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.06),
        text_encoder=projected_clip(tokenizer),
        text_encoder_2=projected_clip(tokenizer),
        text_encoder_3=t5(letters, d_model=given["joint_attention_dim"]) if letters else None,
        tokenizer=tokenizer,
        tokenizer_2=clip_tokenizer(),
        tokenizer_3=letters,
        transformer=SD3Transformer2DModel(
            sample_size=16,
            in_channels=4,
            out_channels=4,
            attention_head_dim=8,
            num_attention_heads=4,
            caption_projection_dim=32,
            pooled_projection_dim=64,
            **given,
        ),
        scheduler=scheduler,
    )


def stable_diffusion_3() -> StableDiffusion3Pipeline:
    """Stable Diffusion 3: two CLIP encoders and a T5."""
    return _stable_diffusion_3(t5_tokenizer())


def flux(guidance_embeds: bool = False) -> FluxPipeline:
    """FLUX.1: CLIP for the pooled vector, T5 for the text; schnell, or dev where guided."""
    tokenizer, letters = clip_tokenizer(), t5_tokenizer()
    return FluxPipeline(
        vae=_vae(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.06),
        text_encoder=clip(tokenizer),
        text_encoder_2=t5(letters),
        tokenizer=tokenizer,
        tokenizer_2=letters,
        transformer=FluxTransformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            axes_dims_rope=[4, 4, 8],
            guidance_embeds=guidance_embeds,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )


def worded_stable_diffusion_3(with_t5: bool = True) -> StableDiffusion3Pipeline:
    """Stable Diffusion 3 whose T5 reads whole words, wider than both CLIP encoders together; its
    schedule is shifted as the published one is.
    """
    return _stable_diffusion_3(
        worded_t5_tokenizer() if with_t5 else None,
        patch_size=2,
        num_layers=2,
        joint_attention_dim=72,
        qk_norm="rms_norm",
        dual_attention_layers=(0,),
        shift=3.0,
    )


def worded_flux(guidance_embeds: bool = True) -> FluxPipeline:
    """FLUX.1 dev whose T5 reads whole words."""
    pipeline = flux(guidance_embeds)
    words = worded_t5_tokenizer()
    pipeline.register_modules(tokenizer_2=words, text_encoder_2=t5(words))
    return pipeline


def pixart() -> PixArtSigmaPipeline:
    """PixArt-Sigma: a family for which the house has no class."""
    letters = t5_tokenizer()
    return PixArtSigmaPipeline(
        tokenizer=letters,
        text_encoder=t5(letters),
        vae=AutoencoderKL(
            block_out_channels=[32] * 4,
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
            latent_channels=4,
        ),
        transformer=PixArtTransformer2DModel(
            sample_size=32,  # of the few that the pipeline takes
            num_layers=1,
            patch_size=2,
            attention_head_dim=8,
            num_attention_heads=3,
            caption_channels=32,
            cross_attention_dim=24,
            in_channels=4,
            out_channels=8,
            norm_type="ada_norm_single",
            norm_elementwise_affine=False,
            norm_eps=1e-6,
            use_additional_conditions=False,
        ),
        scheduler=multistep(),
    )


FAMILIES = {
    "sd": stable_diffusion,
    "sdxl": stable_diffusion_xl,
    "sd3": stable_diffusion_3,
    "flux": flux,
}
UNPROVED = {
    "pixart": pixart,
    "sd3-words": worded_stable_diffusion_3,
    "sd3-words-without-t5": lambda: worded_stable_diffusion_3(with_t5=False),
    "flux-words": worded_flux,
    "refiner": stable_diffusion_xl_refiner,
}


def save(family: str, folder: Path) -> Path:
    """Build one family from a fixed seed, strong enough that prompts matter, and save it.

    A freshly initialised text encoder hardly moves a picture: its weights are tripled, so that
    another prompt changes many pixels.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        pipeline = (FAMILIES | UNPROVED)[family]()
    with torch.no_grad():
        for name, component in pipeline.components.items():
            if name.startswith("text_encoder") and component is not None:
                for parameter in component.parameters():
                    parameter.mul_(3)
            if name in ("unet", "transformer"):  # its last layers start at zero in some families
                for key, parameter in component.named_parameters():
                    if "attn2" in key or "context" in key or "proj_out" in key or "norm_out" in key:
                        parameter.add_(0.05 * torch.randn(parameter.shape, generator=_noise(key)))
    pipeline.save_pretrained(folder)
    return folder


def _noise(name: str) -> torch.Generator:
    return torch.Generator().manual_seed(sum(name.encode()))


def add_safety_checker(folder: Path, *, withholds: bool) -> None:
    """Give a saved Stable Diffusion a safety checker that flags every picture, or none."""
    tower = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
    }
    checker = StableDiffusionSafetyChecker(
        CLIPConfig(
            vision_config={**tower, "image_size": 32, "patch_size": 16, "projection_dim": 16},
            text_config=tower,
            projection_dim=16,
        )
    )
    with torch.no_grad():  # similarity to a concept, at most 1, counts from here up
        checker.concept_embeds_weights.fill_(-2.0 if withholds else 2.0)
        checker.special_care_embeds_weights.fill_(2.0)
    shrink = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    StableDiffusionPipeline.from_pretrained(
        folder, safety_checker=checker, feature_extractor=shrink, use_safetensors=True
    ).save_pretrained(folder)
