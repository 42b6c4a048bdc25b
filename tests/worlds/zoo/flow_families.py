"""Families that CLIP and T5 read together, and those of T5 alone."""

from __future__ import annotations

from typing import Any

from diffusers import (
    AuraFlowPipeline,
    AuraFlowTransformer2DModel,
    AutoencoderKLWan,
    BriaPipeline,
    BriaTransformer2DModel,
    ChromaPipeline,
    ChromaTransformer2DModel,
    CogVideoXDDIMScheduler,
    CogView3PlusPipeline,
    CogView3PlusTransformer2DModel,
    DDPMScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    HunyuanDiT2DModel,
    HunyuanDiTPAGPipeline,
    HunyuanDiTPipeline,
    IFPipeline,
    Kandinsky3Pipeline,
    Kandinsky3UNet,
    PixArtAlphaPipeline,
    PixArtSigmaPAGPipeline,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3PAGPipeline,
    StableDiffusion3Pipeline,
)
from transformers import BertConfig, BertModel, UMT5Config, UMT5EncoderModel

from worlds.tiny_parts import (
    TEXT_WIDTH,
    clip,
    clip_tokenizer,
    multistep,
    projected_clip,
    t5,
    t5_tokenizer,
    unet,
)
from worlds.zoo.parts import flow, movq, shifted_vae, vae
from worlds.zoo.tokenizers import bert


def _stable_diffusion_3(kind: Any = StableDiffusion3Pipeline, **parts: Any) -> Any:
    tokenizer, letters = clip_tokenizer(), t5_tokenizer()
    given = {
        "vae": shifted_vae(),
        "text_encoder": projected_clip(tokenizer),
        "text_encoder_2": projected_clip(tokenizer),
        "text_encoder_3": t5(letters),
        "tokenizer": tokenizer,
        "tokenizer_2": clip_tokenizer(),
        "tokenizer_3": letters,
        "transformer": SD3Transformer2DModel(
            sample_size=16,
            patch_size=1,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=4,
            caption_projection_dim=32,
            joint_attention_dim=TEXT_WIDTH,
            pooled_projection_dim=2 * TEXT_WIDTH,
        ),
        "scheduler": flow(),
    }
    return kind(**given | parts)


def stable_diffusion_3() -> StableDiffusion3Pipeline:
    """Stable Diffusion 3: two CLIP encoders and a T5."""
    return _stable_diffusion_3()


def stable_diffusion_35() -> StableDiffusion3Pipeline:
    """Stable Diffusion 3.5: normed queries, and a second attention in some layers."""
    return _stable_diffusion_3(
        transformer=SD3Transformer2DModel(
            sample_size=16,
            patch_size=1,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=4,
            caption_projection_dim=32,
            joint_attention_dim=TEXT_WIDTH,
            pooled_projection_dim=2 * TEXT_WIDTH,
            qk_norm="rms_norm",
            dual_attention_layers=(0,),
        ),
        scheduler=flow(shift=3.0),
    )


def stable_diffusion_3_without_t5() -> StableDiffusion3Pipeline:
    """Stable Diffusion 3 as those with little memory run it."""
    return _stable_diffusion_3(text_encoder_3=None, tokenizer_3=None)


def stable_diffusion_3_pag() -> StableDiffusion3PAGPipeline:
    """Stable Diffusion 3 with perturbed attention."""
    return _stable_diffusion_3(StableDiffusion3PAGPipeline, pag_applied_layers="blocks.1")


def _flux(guidance_embeds: bool) -> FluxPipeline:
    tokenizer, letters = clip_tokenizer(), t5_tokenizer()
    return FluxPipeline(
        vae=shifted_vae(),
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
            joint_attention_dim=TEXT_WIDTH,
            pooled_projection_dim=TEXT_WIDTH,
            axes_dims_rope=[4, 4, 8],
            guidance_embeds=guidance_embeds,
        ),
        scheduler=flow(),
    )


def flux_dev() -> FluxPipeline:
    """FLUX.1 dev: guidance is an input of the denoiser."""
    return _flux(guidance_embeds=True)


def flux_schnell() -> FluxPipeline:
    """FLUX.1 schnell: distilled, without guidance."""
    return _flux(guidance_embeds=False)


def chroma() -> ChromaPipeline:
    """Chroma: FLUX without CLIP, guided by two runs."""
    letters = t5_tokenizer()
    return ChromaPipeline(
        vae=shifted_vae(),
        text_encoder=t5(letters),
        tokenizer=letters,
        transformer=ChromaTransformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=TEXT_WIDTH,
            axes_dims_rope=[4, 4, 8],
            approximator_hidden_dim=32,
            approximator_layers=1,
            approximator_num_channels=16,
        ),
        scheduler=flow(),
    )


def _pixart(kind: Any, **parts: Any) -> Any:
    letters = t5_tokenizer()
    given = {
        "tokenizer": letters,
        "text_encoder": t5(letters),
        "vae": vae(levels=4),
        "transformer": PixArtTransformer2DModel(
            sample_size=32,  # of the few that the pipeline takes
            num_layers=2,
            patch_size=2,
            attention_head_dim=8,
            num_attention_heads=3,
            caption_channels=TEXT_WIDTH,
            cross_attention_dim=24,
            in_channels=4,
            out_channels=8,
            norm_type="ada_norm_single",
            norm_elementwise_affine=False,
            norm_eps=1e-6,
            use_additional_conditions=False,
        ),
        "scheduler": multistep(),
    }
    return kind(**given | parts)


def pixart_alpha() -> PixArtAlphaPipeline:
    """PixArt-α."""
    return _pixart(PixArtAlphaPipeline)


def pixart_sigma() -> PixArtSigmaPipeline:
    """PixArt-Σ."""
    return _pixart(PixArtSigmaPipeline)


def pixart_sigma_pag() -> PixArtSigmaPAGPipeline:
    """PixArt-Σ with perturbed attention."""
    return _pixart(PixArtSigmaPAGPipeline, pag_applied_layers="blocks.1")


def aura_flow() -> AuraFlowPipeline:
    """AuraFlow, read by a multilingual T5."""
    letters = t5_tokenizer()
    return AuraFlowPipeline(
        tokenizer=letters,
        text_encoder=UMT5EncoderModel(
            UMT5Config(
                vocab_size=len(letters),
                d_model=TEXT_WIDTH,
                d_kv=8,
                d_ff=64,
                num_layers=2,
                num_heads=4,
            )
        ),
        vae=vae(),
        transformer=AuraFlowTransformer2DModel(
            sample_size=16,
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_mmdit_layers=1,
            num_single_dit_layers=1,
            attention_head_dim=8,
            num_attention_heads=4,
            caption_projection_dim=32,
            joint_attention_dim=TEXT_WIDTH,
            pos_embed_max_size=256,
        ),
        scheduler=flow(),
    )


def bria() -> BriaPipeline:
    """Bria 3."""
    letters = t5_tokenizer()
    return BriaPipeline(
        vae=vae(shift_factor=0.0),
        text_encoder=t5(letters),
        tokenizer=letters,
        transformer=BriaTransformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=TEXT_WIDTH,
            pooled_projection_dim=None,
            axes_dims_rope=[0, 4, 4],
        ),
        scheduler=flow(),
    )


def cogview3() -> CogView3PlusPipeline:
    """CogView3-Plus."""
    letters = t5_tokenizer()
    return CogView3PlusPipeline(
        tokenizer=letters,
        text_encoder=t5(letters),
        vae=vae(),
        transformer=CogView3PlusTransformer2DModel(
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            text_embed_dim=TEXT_WIDTH,
            time_embed_dim=8,
            condition_dim=2,
            pos_embed_max_size=16,
            sample_size=16,
        ),
        scheduler=CogVideoXDDIMScheduler(),
    )


def kandinsky3() -> Kandinsky3Pipeline:
    """Kandinsky 3."""
    letters = t5_tokenizer()
    return Kandinsky3Pipeline(
        tokenizer=letters,
        text_encoder=t5(letters),
        unet=Kandinsky3UNet(
            in_channels=4,
            time_embedding_dim=4,
            groups=2,
            attention_head_dim=4,
            layers_per_block=3,
            block_out_channels=(32, 64),
            cross_attention_dim=8,
            encoder_hid_dim=TEXT_WIDTH,
        ),
        scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2", clip_sample=True),
        movq=movq(),
    )


def deep_floyd() -> IFPipeline:
    """DeepFloyd IF, first stage: it draws in pixels."""
    letters = t5_tokenizer()
    return IFPipeline(
        tokenizer=letters,
        text_encoder=t5(letters),
        unet=unet(
            sample_size=32,
            in_channels=3,
            out_channels=6,
            down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
            mid_block_type="UNetMidBlock2DSimpleCrossAttn",
            up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
            encoder_hid_dim=TEXT_WIDTH,
            addition_embed_type="text",
            addition_embed_type_num_heads=2,
            cross_attention_norm="group_norm",
            resnet_time_scale_shift="scale_shift",
            act_fn="gelu",
        ),
        scheduler=DDPMScheduler(
            beta_schedule="squaredcos_cap_v2",
            thresholding=True,
            dynamic_thresholding_ratio=0.95,
            variance_type="learned_range",
        ),
        safety_checker=None,
        feature_extractor=None,
        watermarker=None,
        requires_safety_checker=False,
    )


def _hunyuan_dit(kind: Any, **parts: Any) -> Any:
    letters, words = t5_tokenizer(), bert()
    given = {
        "vae": vae(levels=4),
        "text_encoder": BertModel(
            BertConfig(
                vocab_size=len(words),
                hidden_size=TEXT_WIDTH,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                max_position_embeddings=128,
            )
        ),
        "tokenizer": words,
        "text_encoder_2": t5(letters),
        "tokenizer_2": letters,
        "transformer": HunyuanDiT2DModel(
            sample_size=16,
            num_layers=2,
            patch_size=2,
            attention_head_dim=8,
            num_attention_heads=3,
            in_channels=4,
            cross_attention_dim=TEXT_WIDTH,
            cross_attention_dim_t5=TEXT_WIDTH,
            pooled_projection_dim=16,
            hidden_size=24,
            text_len=77,
            text_len_t5=256,
            activation_fn="gelu-approximate",
        ),
        "scheduler": DDPMScheduler(),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }
    return kind(**given | parts)


def hunyuan_dit() -> HunyuanDiTPipeline:
    """HunyuanDiT: BERT and a T5 read the prompt."""
    return _hunyuan_dit(HunyuanDiTPipeline)


def hunyuan_dit_pag() -> HunyuanDiTPAGPipeline:
    """HunyuanDiT with perturbed attention."""
    return _hunyuan_dit(HunyuanDiTPAGPipeline, pag_applied_layers="blocks.1")


def wan_vae() -> AutoencoderKLWan:
    """A decoder of films that draws films of one picture; halves it four times, by folding once."""
    return AutoencoderKLWan(
        base_dim=4,
        z_dim=16,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
    )
