"""Families whose prompts are read by a language model."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AdaptiveProjectedMixGuidance,
    AutoencoderKLHunyuanImage,
    AutoencoderTiny,
    BriaFiboPipeline,
    BriaFiboTransformer2DModel,
    CogView4Pipeline,
    CogView4Transformer2DModel,
    DreamLiteMobilePipeline,
    DreamLitePipeline,
    DreamLiteUNetModel,
    ErnieImagePipeline,
    ErnieImageTransformer2DModel,
    EulerDiscreteScheduler,
    Flux2KleinKVPipeline,
    Flux2KleinPipeline,
    Flux2Pipeline,
    Flux2Transformer2DModel,
    HiDreamImagePipeline,
    HiDreamImageTransformer2DModel,
    HunyuanImagePipeline,
    HunyuanImageTransformer2DModel,
    Ideogram4Pipeline,
    Ideogram4Transformer2DModel,
    Kandinsky5T2IPipeline,
    Kandinsky5Transformer3DModel,
    KolorsPAGPipeline,
    KolorsPipeline,
    Krea2Pipeline,
    Krea2Transformer2DModel,
    LongCatImagePipeline,
    LongCatImageTransformer2DModel,
    Lumina2Pipeline,
    Lumina2Transformer2DModel,
    LuminaNextDiT2DModel,
    LuminaPipeline,
    NucleusMoEImagePipeline,
    NucleusMoEImageTransformer2DModel,
    OmniGenPipeline,
    OmniGenTransformer2DModel,
    OvisImagePipeline,
    OvisImageTransformer2DModel,
    PRXPipeline,
    PRXPixelPipeline,
    PRXTransformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    SanaPAGPipeline,
    SanaPipeline,
    SanaSprintPipeline,
    SanaTransformer2DModel,
    SCMScheduler,
    ZImageOmniPipeline,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from diffusers.pipelines.kolors import ChatGLMModel, ChatGLMTokenizer
from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig
from transformers import (
    ByT5Tokenizer,
    Gemma2Config,
    Gemma2Model,
    GemmaConfig,
    GemmaModel,
    GlmConfig,
    GlmModel,
    LlamaConfig,
    LlamaForCausalLM,
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    Mistral3Model,
    PixtralImageProcessor,
    PixtralProcessor,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
    Qwen3VLForConditionalGeneration,
    Qwen3VLModel,
    Siglip2ImageProcessor,
    Siglip2VisionConfig,
    Siglip2VisionModel,
    SmolLM3Config,
    SmolLM3ForCausalLM,
    T5GemmaConfig,
    T5GemmaModuleConfig,
)
from transformers.models.t5gemma.modeling_t5gemma import T5GemmaEncoder

from worlds.tiny_parts import (
    TEXT_WIDTH,
    clip,
    clip_tokenizer,
    projected_clip,
    t5,
    t5_tokenizer,
    unet,
)
from worlds.zoo.flow_families import wan_vae
from worlds.zoo.parts import (
    deep_compression,
    flow,
    flux2_vae,
    language_config,
    qwen2_vl_processor,
    qwen3_vl_config,
    qwen3_vl_processor,
    qwen25_vl,
    shifted_vae,
    vae,
    video_vae,
)
from worlds.zoo.tokenizers import (
    MISTRAL_CHAT,
    byte_level,
    gemma,
    llama,
    qwen,
    sentence_pieces,
)


def _qwen3(tokenizer: Any, layers: int = 2) -> Qwen3Config:
    return Qwen3Config(**language_config(len(tokenizer)) | {"num_hidden_layers": layers})


# ── Qwen ─────────────────────────────────────────────────────────────────────────────────────────


def qwen_image() -> QwenImagePipeline:
    """Qwen-Image: guided by two runs, and only beside a negative prompt."""
    tokenizer = qwen()
    return QwenImagePipeline(
        vae=video_vae(),
        text_encoder=qwen25_vl(tokenizer),
        tokenizer=tokenizer,
        transformer=QwenImageTransformer2DModel(
            patch_size=2,
            in_channels=16,
            out_channels=4,
            num_layers=2,
            attention_head_dim=16,
            num_attention_heads=3,
            joint_attention_dim=TEXT_WIDTH,
            axes_dims_rope=(8, 4, 4),
        ),
        scheduler=flow(),
    )


def _z_image_transformer(**told: Any) -> ZImageTransformer2DModel:
    return ZImageTransformer2DModel(
        all_patch_size=(2,),
        all_f_patch_size=(1,),
        in_channels=16,
        dim=32,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        qk_norm=True,
        cap_feat_dim=TEXT_WIDTH,
        axes_dims=[8, 4, 4],
        axes_lens=[1024, 32, 32],
        **told,
    )


def z_image() -> ZImagePipeline:
    """Z-Image: one list of prompts, each of its own length."""
    tokenizer = qwen()
    return ZImagePipeline(
        vae=shifted_vae(channels=16),
        text_encoder=Qwen3Model(_qwen3(tokenizer)),
        tokenizer=tokenizer,
        transformer=_z_image_transformer(),
        scheduler=flow(),
    )


def z_image_omni() -> ZImageOmniPipeline:
    """Z-Image that could be shown pictures too, and here is shown none."""
    tokenizer = qwen()
    return ZImageOmniPipeline(
        vae=shifted_vae(channels=16),
        text_encoder=Qwen3Model(_qwen3(tokenizer)),
        tokenizer=tokenizer,
        transformer=_z_image_transformer(siglip_feat_dim=16),
        scheduler=flow(),
        siglip=Siglip2VisionModel(
            Siglip2VisionConfig(
                hidden_size=16,
                intermediate_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                num_patches=16,
                patch_size=8,
            )
        ),
        siglip_processor=Siglip2ImageProcessor(patch_size=8, max_num_patches=16),
    )


def _flux2_transformer(told: int, guided: bool) -> Flux2Transformer2DModel:
    return Flux2Transformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=told,
        timestep_guidance_channels=16,
        axes_dims_rope=[4, 4, 4, 4],
        guidance_embeds=guided,
    )


def _flux2_klein(kind: Any, **told: Any) -> Any:
    tokenizer = qwen()
    return kind(
        vae=flux2_vae(),
        # the pipeline takes what layers 9, 18 and 27 say
        text_encoder=Qwen3ForCausalLM(_qwen3(tokenizer, layers=28)),
        tokenizer=tokenizer,
        transformer=_flux2_transformer(3 * TEXT_WIDTH, guided=False),
        scheduler=flow(),
        **told,
    )


def flux2_klein() -> Flux2KleinPipeline:
    """FLUX.2 klein, base: guided by two runs."""
    return _flux2_klein(Flux2KleinPipeline)


def flux2_klein_distilled() -> Flux2KleinPipeline:
    """FLUX.2 klein, distilled: no guidance."""
    return _flux2_klein(Flux2KleinPipeline, is_distilled=True)


def flux2_klein_kv() -> Flux2KleinKVPipeline:
    """FLUX.2 klein that remembers pictures it is shown: a distilled one."""
    return _flux2_klein(Flux2KleinKVPipeline)


def ovis_image() -> OvisImagePipeline:
    """Ovis-Image."""
    tokenizer = qwen()
    return OvisImagePipeline(
        vae=shifted_vae(),
        text_encoder=Qwen3Model(_qwen3(tokenizer)),
        tokenizer=tokenizer,
        transformer=OvisImageTransformer2DModel(
            patch_size=1,
            in_channels=16,
            out_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=TEXT_WIDTH,
            axes_dims_rope=(4, 4, 8),
        ),
        scheduler=flow(),
    )


def krea2() -> Krea2Pipeline:
    """Krea 2: told what several layers say."""
    tokenizer = qwen()
    return Krea2Pipeline(
        vae=video_vae(),
        text_encoder=Qwen3VLModel(qwen3_vl_config(tokenizer)),
        tokenizer=tokenizer,
        transformer=Krea2Transformer2DModel(
            in_channels=16,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=32,
            timestep_embed_dim=8,
            text_hidden_dim=TEXT_WIDTH,
            num_text_layers=3,
            text_num_attention_heads=2,
            text_num_key_value_heads=1,
            text_intermediate_size=16,
            num_layerwise_text_blocks=1,
            num_refiner_text_blocks=1,
            axes_dims_rope=(4, 2, 2),
        ),
        scheduler=flow(use_dynamic_shifting=True),
        text_encoder_select_layers=(0, 1, 2),
    )


def hunyuan_image() -> HunyuanImagePipeline:
    """HunyuanImage 2.1: guidance is a part of the pipeline, not a number of the call."""
    tokenizer, letters = qwen(), ByT5Tokenizer()
    return HunyuanImagePipeline(
        vae=AutoencoderKLHunyuanImage(
            in_channels=3,
            out_channels=3,
            latent_channels=4,
            block_out_channels=(32, 32),
            layers_per_block=1,
            scaling_factor=0.5,
            spatial_compression_ratio=2,
            sample_size=32,
        ),
        text_encoder=qwen25_vl(tokenizer),
        tokenizer=tokenizer,
        text_encoder_2=t5(letters),
        tokenizer_2=letters,
        transformer=HunyuanImageTransformer2DModel(
            in_channels=4,
            out_channels=4,
            num_attention_heads=4,
            attention_head_dim=8,
            num_layers=1,
            num_single_layers=1,
            num_refiner_layers=1,
            patch_size=(1, 1),
            text_embed_dim=TEXT_WIDTH,
            text_embed_2_dim=TEXT_WIDTH,
            rope_axes_dim=(4, 4),
        ),
        scheduler=flow(shift=7.0),
        guider=AdaptiveProjectedMixGuidance(adaptive_projected_guidance_start_step=2),
        ocr_guider=AdaptiveProjectedMixGuidance(adaptive_projected_guidance_start_step=3),
    )


def kandinsky5() -> Kandinsky5T2IPipeline:
    """Kandinsky 5: a Qwen that sees and a CLIP read the prompt; pictures leave as `image`."""
    processor, words = qwen2_vl_processor(), clip_tokenizer()
    return Kandinsky5T2IPipeline(
        vae=vae(  # its pictures have a million pixels
            levels=4,
            channels=16,
            width=4,
            layers_per_block=1,
            mid_block_add_attention=False,
            use_quant_conv=False,
            use_post_quant_conv=False,
        ),
        text_encoder=qwen25_vl(processor.tokenizer),
        tokenizer=processor,
        text_encoder_2=clip(words),
        tokenizer_2=words,
        transformer=Kandinsky5Transformer3DModel(
            in_visual_dim=16,
            out_visual_dim=16,
            in_text_dim=TEXT_WIDTH,
            in_text_dim2=TEXT_WIDTH,
            time_dim=16,
            patch_size=(1, 2, 2),
            model_dim=8,
            ff_dim=16,
            num_text_blocks=1,
            num_visual_blocks=1,
            axes_dims=(2, 2, 4),
            visual_cond=False,
            attention_type="regular",
        ),
        scheduler=flow(shift=7.0),
    )


def nucleus_moe() -> NucleusMoEImagePipeline:
    """NucleusMoE-Image."""
    processor = qwen3_vl_processor()
    return NucleusMoEImagePipeline(
        vae=video_vae(),
        text_encoder=Qwen3VLForConditionalGeneration(
            qwen3_vl_config(processor.tokenizer, layers=8)
        ),
        processor=processor,
        transformer=NucleusMoEImageTransformer2DModel(
            patch_size=2,
            in_channels=16,
            out_channels=4,
            num_layers=2,
            attention_head_dim=16,
            num_attention_heads=4,
            joint_attention_dim=TEXT_WIDTH,
            axes_dims_rope=(8, 4, 4),
            moe_enabled=False,
            capacity_factors=[8.0, 8.0],
        ),
        scheduler=flow(),
    )


def _dream_lite(kind: Any) -> Any:
    processor = qwen3_vl_processor()
    return kind(
        text_encoder=Qwen3VLForConditionalGeneration(qwen3_vl_config(processor.tokenizer)),
        tokenizer=processor.tokenizer,
        processor=processor,
        vae=AutoencoderTiny(
            encoder_block_out_channels=(16, 16),
            decoder_block_out_channels=(16, 16),
            num_encoder_blocks=(1, 1),
            num_decoder_blocks=(1, 1),
            latent_channels=4,
        ),
        unet=DreamLiteUNetModel(
            sample_size=8,
            in_channels=4,
            out_channels=4,
            down_block_types=(
                "DreamLiteCrossAttnNoSelfAttnDownBlock2D",
                "DreamLiteCrossAttnDownBlock2D",
            ),
            up_block_types=("DreamLiteCrossAttnUpBlock2D", "DreamLiteUpBlock2D"),
            block_out_channels=(32, 64),
            cross_attention_dim=TEXT_WIDTH,
            attention_head_dim=8,
            layers_per_block=1,
            norm_num_groups=8,
            transformer_layers_per_block=1,
        ),
        scheduler=flow(),
    )


def dream_lite() -> DreamLitePipeline:
    """DreamLite."""
    return _dream_lite(DreamLitePipeline)


def dream_lite_mobile() -> DreamLiteMobilePipeline:
    """DreamLite for phones: distilled, without guidance."""
    return _dream_lite(DreamLiteMobilePipeline)


def long_cat() -> LongCatImagePipeline:
    """LongCat-Image."""
    processor = qwen2_vl_processor()
    return LongCatImagePipeline(
        vae=shifted_vae(channels=16),
        text_encoder=qwen25_vl(processor.tokenizer),
        tokenizer=processor.tokenizer,
        text_processor=processor,
        transformer=LongCatImageTransformer2DModel(
            patch_size=1,
            in_channels=64,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=TEXT_WIDTH,
            pooled_projection_dim=TEXT_WIDTH,
            axes_dims_rope=[4, 4, 8],
        ),
        scheduler=flow(use_dynamic_shifting=True),
    )


def ideogram4() -> Ideogram4Pipeline:
    """Ideogram 4: a second denoiser, told of nothing, is guided away from."""
    tokenizer = qwen()

    def transformer() -> Ideogram4Transformer2DModel:
        return Ideogram4Transformer2DModel(
            in_channels=16,
            num_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            intermediate_size=32,
            adaln_dim=16,
            llm_features_dim=13 * TEXT_WIDTH,
            mrope_section=(4, 2, 2),
        )

    return Ideogram4Pipeline(
        scheduler=flow(),
        vae=flux2_vae(),
        text_encoder=Qwen3VLModel(qwen3_vl_config(tokenizer, layers=36)),
        tokenizer=tokenizer,
        transformer=transformer(),
        unconditional_transformer=transformer(),
    )


def prx_pixel() -> PRXPixelPipeline:
    """PRX that draws in pixels."""
    tokenizer = qwen()
    return PRXPixelPipeline(
        transformer=PRXTransformer2DModel(
            patch_size=2,
            in_channels=3,
            context_in_dim=TEXT_WIDTH,
            hidden_size=16,
            mlp_ratio=2.0,
            num_heads=2,
            depth=2,
            axes_dim=[4, 4],
            bottleneck_size=8,
            resolution_embeds=True,
        ),
        scheduler=flow(),
        text_encoder=Qwen3Model(_qwen3(tokenizer)),
        tokenizer=tokenizer,
    )


# ── Gemma ────────────────────────────────────────────────────────────────────────────────────────


def _gemma2(tokenizer: Any) -> Gemma2Model:
    return Gemma2Model(
        Gemma2Config(**language_config(len(tokenizer)), query_pre_attn_scalar=8, sliding_window=64)
    )


def _sana(kind: Any, scheduler: Any = None, **transformer: Any) -> Any:
    tokenizer = gemma()
    return kind(
        vae=deep_compression(),
        text_encoder=_gemma2(tokenizer),
        tokenizer=tokenizer,
        transformer=SanaTransformer2DModel(
            patch_size=1,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            num_attention_heads=2,
            attention_head_dim=4,
            num_cross_attention_heads=2,
            cross_attention_head_dim=4,
            cross_attention_dim=8,
            caption_channels=TEXT_WIDTH,
            sample_size=32,
            **transformer,
        ),
        scheduler=scheduler or flow(shift=7.0),
    )


def sana() -> SanaPipeline:
    """Sana: a long instruction goes before every prompt."""
    return _sana(SanaPipeline)


def sana_pag() -> SanaPAGPipeline:
    """Sana with perturbed attention."""
    return _sana(SanaPAGPipeline)


def sana_sprint() -> SanaSprintPipeline:
    """SanaSprint: one to four steps, guidance is an input of the denoiser."""
    return _sana(
        SanaSprintPipeline, SCMScheduler(), qk_norm="rms_norm_across_heads", guidance_embeds=True
    )


def lumina() -> LuminaPipeline:
    """Lumina-Next: what the denoiser is told of the size changes with the step."""
    tokenizer = gemma()
    return LuminaPipeline(
        transformer=LuminaNextDiT2DModel(
            sample_size=16,
            patch_size=2,
            in_channels=4,
            hidden_size=32,
            num_layers=2,
            num_attention_heads=2,
            num_kv_heads=2,
            multiple_of=16,
            learn_sigma=True,
            qk_norm=True,
            cross_attention_dim=TEXT_WIDTH,
            scaling_factor=1.0,
        ),
        vae=vae(levels=4),
        text_encoder=GemmaModel(GemmaConfig(**language_config(len(tokenizer)))),
        tokenizer=tokenizer,
        scheduler=flow(),
    )


def lumina2() -> Lumina2Pipeline:
    """Lumina-Image 2: a system prompt goes before every prompt."""
    tokenizer = gemma()
    return Lumina2Pipeline(
        transformer=Lumina2Transformer2DModel(
            sample_size=16,
            patch_size=2,
            in_channels=4,
            hidden_size=32,
            num_layers=2,
            num_refiner_layers=1,
            num_attention_heads=2,
            num_kv_heads=2,
            multiple_of=16,
            norm_eps=1e-5,
            scaling_factor=1.0,
            axes_dim_rope=[8, 4, 4],
            axes_lens=[512, 64, 64],
            cap_feat_dim=TEXT_WIDTH,
        ),
        vae=shifted_vae(levels=4),
        text_encoder=_gemma2(tokenizer),
        tokenizer=tokenizer,
        scheduler=flow(),
    )


def prx() -> PRXPipeline:
    """PRX, read by the encoder of a T5Gemma."""
    tokenizer = gemma(model_max_length=256)
    module = T5GemmaModuleConfig(
        **language_config(len(tokenizer))
        | {"num_hidden_layers": 1, "layer_types": ["full_attention"], "query_pre_attn_scalar": 8},
        dropout_rate=0.0,
    )
    encoder = T5GemmaEncoder(module)
    encoder.config = T5GemmaConfig(encoder=module, is_encoder_decoder=False)  # as it is published
    pipeline = PRXPipeline(
        transformer=PRXTransformer2DModel(
            patch_size=1,
            in_channels=4,
            context_in_dim=TEXT_WIDTH,
            hidden_size=16,
            mlp_ratio=2.0,
            num_heads=2,
            depth=2,
            axes_dim=[4, 4],
        ),
        vae=shifted_vae(),
        text_encoder=encoder,
        tokenizer=tokenizer,
        scheduler=flow(),
    )
    pipeline.register_to_config(text_encoder=("prx", "T5GemmaEncoder"))
    return pipeline


# ── Llama, Mistral, GLM ──────────────────────────────────────────────────────────────────────────


def hidream() -> HiDreamImagePipeline:
    """HiDream: two CLIP encoders, a T5 and a Llama."""
    words, letters, tokenizer = clip_tokenizer(), t5_tokenizer(), llama()
    words.model_max_length = 77
    return HiDreamImagePipeline(
        vae=shifted_vae(levels=1),
        text_encoder=projected_clip(words, max_position_embeddings=248),
        tokenizer=words,
        text_encoder_2=projected_clip(words, max_position_embeddings=248),
        tokenizer_2=clip_tokenizer(),
        text_encoder_3=t5(letters),
        tokenizer_3=letters,
        text_encoder_4=LlamaForCausalLM(LlamaConfig(**language_config(len(tokenizer)))),
        tokenizer_4=tokenizer,
        transformer=HiDreamImageTransformer2DModel(
            patch_size=4,
            in_channels=4,
            out_channels=4,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            caption_channels=[TEXT_WIDTH, TEXT_WIDTH],
            text_emb_dim=2 * TEXT_WIDTH,
            num_routed_experts=4,
            num_activated_experts=2,
            axes_dims_rope=(4, 2, 2),
            max_resolution=(128, 128),
            llama_layers=(0, 1),
        ),
        scheduler=flow(),
    )


def omnigen() -> OmniGenPipeline:
    """OmniGen: the denoiser reads the words itself."""
    tokenizer = llama()
    return OmniGenPipeline(
        transformer=OmniGenTransformer2DModel(
            hidden_size=16,
            num_attention_heads=4,
            num_key_value_heads=4,
            intermediate_size=32,
            num_layers=2,
            in_channels=4,
            time_step_dim=4,
            vocab_size=len(tokenizer),
            pad_token_id=0,
            rope_scaling={"long_factor": [1, 2], "short_factor": [1, 2]},
        ),
        vae=vae(levels=4),
        tokenizer=tokenizer,
        scheduler=flow(invert_sigmas=True, num_train_timesteps=1),
    )


def _mistral() -> PreTrainedTokenizerFast:
    return byte_level(
        "<unk>",
        "<s>",
        "</s>",
        "<pad>",
        "[INST]",
        "[/INST]",
        "[SYSTEM_PROMPT]",
        "[/SYSTEM_PROMPT]",
        "[IMG]",
        "[IMG_BREAK]",
        "[IMG_END]",
        pad="<pad>",
        eos="</s>",
        begin="<s>",
        template=MISTRAL_CHAT,
    )


def _mistral3(tokenizer: PreTrainedTokenizerFast, layers: int) -> Mistral3Config:
    return Mistral3Config(
        text_config={
            "model_type": "mistral",
            **language_config(len(tokenizer)),
            "num_hidden_layers": layers,
            "sliding_window": None,
        },
        vision_config={
            "model_type": "pixtral",
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 16,
            "image_size": 28,
            "patch_size": 14,
        },
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
    )


def flux2_dev() -> Flux2Pipeline:
    """FLUX.2 dev: told what three layers of a Mistral say; guidance is an input."""
    tokenizer = _mistral()
    return Flux2Pipeline(
        vae=flux2_vae(),
        # the pipeline takes what layers 10, 20 and 30 say
        text_encoder=Mistral3ForConditionalGeneration(_mistral3(tokenizer, layers=30)),
        tokenizer=PixtralProcessor(
            image_processor=PixtralImageProcessor(),
            tokenizer=tokenizer,
            chat_template=MISTRAL_CHAT,
        ),
        transformer=_flux2_transformer(3 * TEXT_WIDTH, guided=True),
        scheduler=flow(),
    )


def ernie_image() -> ErnieImagePipeline:
    """ERNIE-Image, without its prompt enhancer."""
    tokenizer = _mistral()
    return ErnieImagePipeline(
        transformer=ErnieImageTransformer2DModel(
            hidden_size=32,
            num_attention_heads=2,
            num_layers=2,
            ffn_hidden_size=32,
            in_channels=16,
            out_channels=16,
            patch_size=1,
            text_in_dim=TEXT_WIDTH,
            rope_axes_dim=(8, 4, 4),
        ),
        vae=flux2_vae(),
        text_encoder=Mistral3Model(_mistral3(tokenizer, layers=2)),
        tokenizer=tokenizer,
        scheduler=flow(),
    )


def bria_fibo() -> BriaFiboPipeline:
    """Bria FIBO, read by a SmolLM 3; its prompts are JSON."""
    tokenizer = byte_level("<pad>", pad="<pad>")
    return BriaFiboPipeline(
        transformer=BriaFiboTransformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=2 * TEXT_WIDTH,
            text_encoder_dim=TEXT_WIDTH,
            pooled_projection_dim=None,
            axes_dims_rope=[0, 4, 4],
        ),
        vae=wan_vae(),
        # an empty prompt is the one token 128000
        text_encoder=SmolLM3ForCausalLM(SmolLM3Config(**language_config(128_001))),
        tokenizer=tokenizer,
        scheduler=flow(),
    )


def cogview4() -> CogView4Pipeline:
    """CogView4, read by a GLM."""
    tokenizer = byte_level(
        "<|endoftext|>", "[gMASK]", "<sop>", pad="<|endoftext|>", begin="[gMASK]"
    )
    tokenizer.padding_side = "left"
    return CogView4Pipeline(
        tokenizer=tokenizer,
        text_encoder=GlmModel(GlmConfig(**language_config(len(tokenizer)))),
        vae=vae(levels=4),
        transformer=CogView4Transformer2DModel(
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=4,
            text_embed_dim=TEXT_WIDTH,
            time_embed_dim=8,
            condition_dim=4,
            rope_axes_dim=(64, 64),
        ),
        scheduler=flow(
            base_shift=0.25,
            max_shift=0.75,
            base_image_seq_len=256,
            use_dynamic_shifting=True,
            time_shift_type="linear",
        ),
    )


def _kolors(kind: Any) -> Any:
    folder = tempfile.TemporaryDirectory()
    tokenizer = ChatGLMTokenizer(str(sentence_pieces(Path(folder.name) / "tokenizer.model")))
    tokenizer.folder = folder  # its file is copied when it is saved
    encoder = ChatGLMModel(
        ChatGLMConfig(
            num_layers=2,
            padded_vocab_size=tokenizer.vocab_size,
            hidden_size=TEXT_WIDTH,
            ffn_hidden_size=64,
            kv_channels=8,
            num_attention_heads=4,
            seq_length=512,
            add_qkv_bias=True,
            multi_query_attention=True,
            multi_query_group_num=2,
            original_rope=True,
        )
    )
    for parameter in encoder.parameters():  # it leaves them as memory was
        torch.nn.init.normal_(parameter, mean=float(parameter.ndim == 1), std=0.1)
    return kind(
        vae=vae(),
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=unet(
            attention_head_dim=(2, 4),
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=TEXT_WIDTH + 6 * 8,
        ),
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.014, beta_schedule="scaled_linear", steps_offset=1
        ),
    )


def kolors() -> KolorsPipeline:
    """Kolors: the shape of SDXL, read by a ChatGLM."""
    return _kolors(KolorsPipeline)


def kolors_pag() -> KolorsPAGPipeline:
    """Kolors with perturbed attention."""
    return _kolors(KolorsPAGPipeline)
