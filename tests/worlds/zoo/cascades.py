"""Families of several denoisers, or of none: a picture is made in stages that differ."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKLQwenImage21,
    BriaFibo2Pipeline,
    BriaFibo2Transformer2DModel,
    DDIMScheduler,
    DDPMScheduler,
    DDPMWuerstchenScheduler,
    KandinskyCombinedPipeline,
    KandinskyV22CombinedPipeline,
    PriorTransformer,
    QwenImage21Pipeline,
    QwenImage21Transformer2DModel,
    StableCascadeCombinedPipeline,
    StableCascadeUNet,
    StableUnCLIPPipeline,
    UnCLIPScheduler,
    WuerstchenCombinedPipeline,
)
from diffusers.pipelines.deprecated.wuerstchen import (
    PaellaVQModel,
    WuerstchenDiffNeXt,
    WuerstchenPrior,
)
from diffusers.pipelines.kandinsky.text_encoder import MCLIPConfig, MultilingualCLIP
from diffusers.pipelines.stable_diffusion import StableUnCLIPImageNormalizer
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    Qwen3VLForConditionalGeneration,
    XLMRobertaTokenizer,
)

from worlds.tiny_parts import TEXT_WIDTH, clip, clip_tokenizer, projected_clip, unet
from worlds.zoo.parts import flow, flux2_vae, movq, qwen3_vl_config, qwen3_vl_processor, vae


def _paella() -> PaellaVQModel:
    return PaellaVQModel(bottleneck_blocks=1, num_vq_embeddings=8, embed_dim=16)


def stable_cascade() -> StableCascadeCombinedPipeline:
    """Stable Cascade: a prior imagines, a decoder draws, and both are told of the prompt."""
    words = clip_tokenizer()
    prior = StableCascadeUNet(
        in_channels=16,
        out_channels=16,
        conditioning_dim=32,
        block_out_channels=(32, 32),
        num_attention_heads=(2, 2),
        down_num_layers_per_block=(1, 1),
        up_num_layers_per_block=(1, 1),
        clip_image_in_channels=TEXT_WIDTH,
        clip_text_in_channels=TEXT_WIDTH,
        clip_text_pooled_in_channels=TEXT_WIDTH,
        switch_level=(False,),
        dropout=(0.0, 0.0),
    )
    decoder = StableCascadeUNet(
        in_channels=4,
        out_channels=4,
        conditioning_dim=32,
        block_out_channels=(16, 32),
        num_attention_heads=(-1, 2),
        down_num_layers_per_block=(1, 1),
        up_num_layers_per_block=(1, 1),
        down_blocks_repeat_mappers=(1, 1),
        up_blocks_repeat_mappers=(1, 1),
        block_types_per_layer=(
            ("SDCascadeResBlock", "SDCascadeTimestepBlock"),
            ("SDCascadeResBlock", "SDCascadeTimestepBlock", "SDCascadeAttnBlock"),
        ),
        clip_text_pooled_in_channels=TEXT_WIDTH,
        effnet_in_channels=16,
        patch_size=2,
        dropout=(0.0, 0.0),
    )
    pipeline = StableCascadeCombinedPipeline(
        tokenizer=words,
        text_encoder=projected_clip(words),
        decoder=decoder,
        scheduler=DDPMWuerstchenScheduler(),
        vqgan=_paella(),
        prior_prior=prior,
        prior_text_encoder=projected_clip(words),
        prior_tokenizer=words,
        prior_scheduler=DDPMWuerstchenScheduler(),
    )
    return _as_published(pipeline, "vqgan")


def wuerstchen() -> WuerstchenCombinedPipeline:
    """Würstchen, before it was Stable Cascade."""
    words = clip_tokenizer()
    pipeline = WuerstchenCombinedPipeline(
        tokenizer=words,
        text_encoder=clip(words),
        decoder=WuerstchenDiffNeXt(
            c_cond=TEXT_WIDTH,
            c_hidden=[16, 32],
            nhead=[-1, 2],
            blocks=[1, 1],
            level_config=["CT", "CTA"],
            clip_embd=TEXT_WIDTH,
            inject_effnet=[False, True],
        ),
        scheduler=DDPMWuerstchenScheduler(),
        vqgan=_paella(),
        prior_tokenizer=words,
        prior_text_encoder=clip(words),
        prior_prior=WuerstchenPrior(
            c_in=16, c=32, c_cond=TEXT_WIDTH, c_r=16, depth=1, nhead=2, dropout=0.0
        ),
        prior_scheduler=DDPMWuerstchenScheduler(),
    )
    return _as_published(pipeline, "vqgan", "decoder", "prior_prior")


def _as_published(pipeline: Any, *parts: str) -> Any:
    """Name the home of these parts as they were called when models were published."""
    for part in parts:
        kind = type(getattr(pipeline, part)).__name__
        pipeline.register_to_config(**{part: ("wuerstchen", kind)})
    return pipeline


def _kandinsky_unet(**overrides: Any) -> Any:
    return unet(
        out_channels=8,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        encoder_hid_dim=TEXT_WIDTH,
        attention_head_dim=4,
        resnet_time_scale_shift="scale_shift",
        **overrides,
    )


def _kandinsky_prior() -> dict[str, Any]:
    words = clip_tokenizer()
    prior = PriorTransformer(
        num_attention_heads=2, attention_head_dim=8, embedding_dim=TEXT_WIDTH, num_layers=1
    )
    with torch.no_grad():  # made as zero, it would forget what the prior imagined
        prior.clip_std.fill_(1.0)
    return {
        "prior_prior": prior,
        "prior_image_encoder": CLIPVisionModelWithProjection(
            CLIPVisionConfig(
                hidden_size=TEXT_WIDTH,
                intermediate_size=64,
                projection_dim=TEXT_WIDTH,
                num_hidden_layers=1,
                num_attention_heads=2,
                image_size=32,
                patch_size=16,
            )
        ),
        "prior_text_encoder": projected_clip(words),
        "prior_tokenizer": words,
        "prior_scheduler": UnCLIPScheduler(
            variance_type="fixed_small_log",
            prediction_type="sample",
            clip_sample_range=10.0,
        ),
        "prior_image_processor": CLIPImageProcessor(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
        ),
    }


def stable_unclip() -> StableUnCLIPPipeline:
    """A prior imagines a picture's summary; a Stable Diffusion draws by it and by the words."""
    words = clip_tokenizer()
    prior = _kandinsky_prior()
    return StableUnCLIPPipeline(
        prior_tokenizer=words,
        prior_text_encoder=prior["prior_text_encoder"],
        prior=prior["prior_prior"],
        prior_scheduler=prior["prior_scheduler"],
        image_normalizer=StableUnCLIPImageNormalizer(embedding_dim=TEXT_WIDTH),
        image_noising_scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        tokenizer=words,
        text_encoder=clip(words),
        unet=unet(
            class_embed_type="projection", projection_class_embeddings_input_dim=2 * TEXT_WIDTH
        ),
        scheduler=DDIMScheduler(beta_start=0.00085, beta_end=0.012, clip_sample=False),
        vae=vae(),
    )


def kandinsky21() -> KandinskyCombinedPipeline:
    """Kandinsky 2.1: a prior imagines a picture's summary, and a decoder reads the words too."""
    letters = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    tokenizer = XLMRobertaTokenizer(
        vocab=letters + [(chr(code), -3.0) for code in range(33, 127)], model_max_length=77
    )
    return KandinskyCombinedPipeline(
        text_encoder=MultilingualCLIP(
            MCLIPConfig(
                numDims=TEXT_WIDTH,
                transformerDimensions=TEXT_WIDTH,
                hidden_size=TEXT_WIDTH,
                intermediate_size=64,
                num_attention_heads=4,
                num_hidden_layers=2,
                vocab_size=len(tokenizer),
                max_position_embeddings=128,
            )
        ),
        tokenizer=tokenizer,
        unet=_kandinsky_unet(
            addition_embed_type="text_image", encoder_hid_dim_type="text_image_proj"
        ),
        scheduler=DDIMScheduler(beta_end=0.012, clip_sample=False, set_alpha_to_one=False),
        movq=movq(),
        **_kandinsky_prior(),
    )


def kandinsky22() -> KandinskyV22CombinedPipeline:
    """Kandinsky 2.2: the decoder reads nothing but the summary that the prior imagined."""
    return KandinskyV22CombinedPipeline(
        unet=_kandinsky_unet(addition_embed_type="image", encoder_hid_dim_type="image_proj"),
        scheduler=DDPMScheduler(beta_end=0.012, clip_sample=False),
        movq=movq(),
        **_kandinsky_prior(),
    )


def qwen_image_21() -> QwenImage21Pipeline:
    """Qwen-Image 2.1: a Qwen 3 reads prompts of any length; four colour channels."""
    processor = qwen3_vl_processor()
    return QwenImage21Pipeline(
        scheduler=flow(use_dynamic_shifting=True),
        vae=AutoencoderKLQwenImage21(
            base_dim=8,
            decoder_base_dim=8,
            z_dim=4,
            dim_mult=[1, 1, 1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[False, True, True, True],
            latents_mean=[0.0] * 4,
            latents_std=[1.0] * 4,
        ),
        text_encoder=Qwen3VLForConditionalGeneration(qwen3_vl_config(processor.tokenizer)),
        processor=processor,
        transformer=QwenImage21Transformer2DModel(
            patch_size=1,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            context_in_dim=TEXT_WIDTH,
            axes_dims_rope=(8, 4, 4),
        ),
    )


def bria_fibo2() -> BriaFibo2Pipeline:
    """Bria FIBO 2: eighteen layers of a Qwen 3 that sees; a prompt is a caption in JSON."""
    processor = qwen3_vl_processor()
    return BriaFibo2Pipeline(
        transformer=BriaFibo2Transformer2DModel(
            in_channels=4,
            patch_size=2,
            dim=32,
            n_layers=6,
            n_refiner_layers=1,
            n_heads=2,
            cap_feat_dim=3 * TEXT_WIDTH,
            injection_layer_ids=(1, 2, 3, 4, 5),
            perceiver_num_layers=1,
            min_num_gist_tokens=4,
            max_num_gist_tokens=8,
            gist_step=2,
            gist_min_text_len=8,
            gist_max_text_len=64,
            axes_dims=(8, 4, 4),
            axes_lens=(2048, 64, 64),
        ),
        scheduler=flow(),
        vae=flux2_vae(),
        text_encoder=Qwen3VLForConditionalGeneration(
            qwen3_vl_config(processor.tokenizer, layers=36)
        ),
        processor=processor,
    )
