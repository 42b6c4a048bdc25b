"""Parts that families share: image decoders, text encoders and schedulers of the real classes."""

from __future__ import annotations

from typing import Any

from diffusers import (
    AutoencoderDC,
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    VQModel,
)
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLConfig,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from worlds.tiny_parts import TEXT_WIDTH
from worlds.zoo.tokenizers import CHAT, qwen


def vae(levels: int = 2, channels: int = 4, width: int = 16, **overrides: Any) -> AutoencoderKL:
    """Halves a picture ``levels - 1`` times."""
    return AutoencoderKL(
        block_out_channels=[width] * levels,
        down_block_types=["DownEncoderBlock2D"] * levels,
        up_block_types=["UpDecoderBlock2D"] * levels,
        latent_channels=channels,
        norm_num_groups=4,
        sample_size=32,
        **overrides,
    )


def shifted_vae(levels: int = 2, channels: int = 4) -> AutoencoderKL:
    """As models trained by flow matching have it."""
    return vae(levels, channels, use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.06)


def flux2_vae() -> AutoencoderKLFlux2:
    """Halves a picture once; its latents are folded two by two, normed by remembered statistics."""
    return AutoencoderKLFlux2(
        block_out_channels=(16, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=32,
    )


def video_vae() -> AutoencoderKLQwenImage:
    """A decoder of films that draws films of one picture; halves it twice."""
    return AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 2, 2],
        num_res_blocks=1,
        temperal_downsample=[False, True],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )


def deep_compression() -> AutoencoderDC:
    """Sana's; halves a picture once."""
    return AutoencoderDC(
        latent_channels=4,
        attention_head_dim=2,
        encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"),
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        encoder_qkv_multiscales=((), (5,)),
        decoder_qkv_multiscales=((), (5,)),
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        decoder_norm_types="rms_norm",
        decoder_act_fns="silu",
    )


def movq() -> VQModel:
    """Kandinsky's decoder; halves a picture three times."""
    return VQModel(
        block_out_channels=[32, 32, 32, 32],
        down_block_types=[*["DownEncoderBlock2D"] * 3, "AttnDownEncoderBlock2D"],
        up_block_types=["AttnUpDecoderBlock2D", *["UpDecoderBlock2D"] * 3],
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=8,
        norm_type="spatial",
        num_vq_embeddings=12,
        vq_embed_dim=4,
    )


def flow(**overrides: Any) -> FlowMatchEulerDiscreteScheduler:
    """Euler steps along a flow."""
    return FlowMatchEulerDiscreteScheduler(**overrides)


def language_config(vocabulary: int) -> dict[str, Any]:
    """Two layers of any decoder-only language model."""
    return {
        "vocab_size": vocabulary,
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": 2 * TEXT_WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 4096,
        "bos_token_id": None,
        "eos_token_id": 0,
        "pad_token_id": 0,
    }


_MROPE = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10_000.0}


def _marks(tokenizer: Any) -> dict[str, int]:
    """Which tokens stand for pictures and films."""
    return {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{word}|>")
        for name, word in (
            ("image", "image_pad"),
            ("video", "video_pad"),
            ("vision_start", "vision_start"),
            ("vision_end", "vision_end"),
        )
    }


def qwen25_vl(tokenizer: Any) -> Qwen2_5_VLForConditionalGeneration:
    """The Qwen 2.5 that also sees."""
    eye = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2}
    return Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            text_config=language_config(len(tokenizer)) | {"rope_parameters": _MROPE},
            vision_config={**eye, "out_hidden_size": TEXT_WIDTH},
            **_marks(tokenizer),
        )
    )


def qwen3_vl_config(tokenizer: Any, layers: int = 2) -> Qwen3VLConfig:
    """Of the Qwen 3 that also sees."""
    eye = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2}
    return Qwen3VLConfig(
        text_config=language_config(len(tokenizer))
        | {"rope_parameters": _MROPE, "num_hidden_layers": layers},
        vision_config={
            **eye,
            "out_hidden_size": TEXT_WIDTH,
            "deepstack_visual_indexes": [0],
            "patch_size": 14,
        },
        **_marks(tokenizer),
    )


def qwen2_vl_processor() -> Qwen2VLProcessor:
    """Qwen's tokenizer, with eyes."""
    return Qwen2VLProcessor(
        image_processor=Qwen2VLImageProcessor(min_pixels=784, max_pixels=12544),
        tokenizer=qwen(),
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=CHAT,
    )


def qwen3_vl_processor() -> Qwen3VLProcessor:
    """The same, as Qwen 3 has it."""
    return Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(min_pixels=784, max_pixels=12544),
        tokenizer=qwen(),
        video_processor=Qwen3VLVideoProcessor(),
        chat_template=CHAT,
    )
