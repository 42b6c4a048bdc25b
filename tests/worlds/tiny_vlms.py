"""Vision-language models of every family that can be built small: random, but whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import CONFIG_MAPPING, AutoModelForImageTextToText, PreTrainedTokenizerFast

from worlds.tiny_checkers import ANSWERS, CHARACTERS, refill

NAMED = {  # what processors ask of a tokenizer, and how this one spells it
    "image_token": "<image>",
    "video_token": "<video>",
    "audio_token": "<audio>",
    "boi_token": "<boi>",
    "eoi_token": "<eoi>",
    "boa_token": "<boa>",
    "eoa_token": "<eoa>",
    "eof_token": "<eof>",
    "img_line_break_token": "<break>",
    "image_break_token": "<break>",
    "image_end_token": "<eoi>",
    "image_start_token": "<boi>",
    "start_image_token": "<boi>",
    "end_image_token": "<eoi>",
    "context_image_token": "<image>",
    "image_wrapper_token": "<wrapped>",
    "image_thumbnail_token": "<thumbnail>",
    "image_boundary_token": "<fake_token_around_image>",
    "fake_image_token": "<fake_token_around_image>",
    "global_image_token": "<global-img>",
    "end_of_utterance_token": "<end_of_utterance>",
    "vision_start_token": "<boi>",
    "vision_end_token": "<eoi>",
    "image_id_start_token": "<id>",
    "image_id_end_token": "</id>",
    "slice_start_token": "<slice>",
    "slice_end_token": "</slice>",
    "video_start_token": "<bov>",
    "video_end_token": "<eov>",
    "sep_token": "<sep>",
}
OVIS = tuple(f"<IMG_{x}>" for x in ("ATOM", "START", "END", "GRID", "COL", "ROW"))
LLAMA = (
    *("<|image|>", "<|patch|>", "<|image_start|>", "<|image_end|>"),
    *("<|tile_x_separator|>", "<|tile_y_separator|>"),
)
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", *dict.fromkeys(NAMED.values()), *OVIS, *LLAMA)
IDS = {  # what configurations call the same tokens
    "image_token_id": "<image>",
    "image_token_index": "<image>",
    "video_token_id": "<video>",
    "video_token_index": "<video>",
    "audio_token_id": "<audio>",
    "audio_token_index": "<audio>",
    "vision_start_token_id": "<boi>",
    "vision_end_token_id": "<eoi>",
    "image_start_token_id": "<boi>",
    "image_end_token_id": "<eoi>",
    "boi_token_id": "<boi>",
    "boi_token_index": "<boi>",
    "eoi_token_id": "<eoi>",
    "eoi_token_index": "<eoi>",
    "bos_token_id": "<s>",
    "eos_token_id": "</s>",
    "pad_token_id": "<pad>",
    "decoder_start_token_id": "<pad>",
}
SMALL = {  # sizes of a configuration, whoever's it is
    "hidden_size": 32,
    "d_model": 32,
    "embed_dim": 32,
    "intermediate_size": 48,
    "moe_intermediate_size": 48,
    "shared_expert_intermediate_size": 48,
    "mlp_dim": 48,
    "ffn_dim": 48,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "num_hidden_layers": 2,
    "num_layers": 2,
    "depth": 2,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "num_attention_heads": 2,
    "attention_heads": 2,
    "num_heads": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "out_hidden_size": 32,
    "projection_dim": 32,
    "max_position_embeddings": 2048,
}
DROPPED = ("attention_dropout", "hidden_dropout", "dropout", "layer_types", "mlp_layer_types")


@dataclass(frozen=True)
class Family:
    """How one model type is made small."""

    text: dict[str, Any] = field(default_factory=dict)
    """Of its text model, beside :data:`SMALL`."""
    vision: dict[str, Any] = field(default_factory=dict)
    """Of its vision model."""
    top: dict[str, Any] = field(default_factory=dict)
    processor: Callable[[PreTrainedTokenizerFast], Any] | None = None
    picture: str = "<image>"
    """What its chat template writes for a picture."""
    template: bool = True
    shares: bool = True
    """Whether questions can go on from one reading of the picture."""
    kind: str = ""
    """Its model type, where it is not the name."""
    named: bool = True
    """Whether its tokenizer says which tokens stand for pictures."""


def make(
    name: str,
    folder: Path,
    seed: int = 0,
    family: Family | None = None,
    words: Sequence[str] = (),
    spread: float = 0.3,
) -> Path:
    """A tiny model of this type with its processor, as transformers saves them.

    Args:
        name: of the family.
        folder: where to.
        seed: of its weights.
        family: one of other sizes.
        words: tokens of their own, beside letters.
        spread: of its weights; less the larger it is.
    """
    family = family or FAMILIES[name]
    tokenizer = tokenizer_for(family, words)
    config = config_for(name, family, tokenizer)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(config)
    refill(model, torch.Generator().manual_seed(seed), spread)
    narrow_answers(model, tokenizer)
    model.save_pretrained(folder)
    assert family.processor is not None
    family.processor(tokenizer).save_pretrained(folder)
    return folder


def narrow_answers(model: Any, tokenizer: PreTrainedTokenizerFast) -> None:
    """Nothing is answered but yes, no or a letter; and not too surely."""
    head = model.get_output_embeddings()
    if head is None:
        return
    wanted = tokenizer.convert_tokens_to_ids([*ANSWERS, *"ABCDEFGH"])
    with torch.no_grad():
        others = torch.ones(len(head.weight), dtype=torch.bool)
        others[wanted] = False
        head.weight[others] = 0


def tokenizer_for(family: Family, words: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """Letters, and some words and the spellings of yes and no as whole tokens."""
    longest_first = sorted({*words, *ANSWERS}, key=len, reverse=True)
    entries = dict.fromkeys([*SPECIAL, *ANSWERS, *CHARACTERS, *words])
    tokenizer = Tokenizer(
        models.WordLevel({entry: i for i, entry in enumerate(entries)}, unk_token="<unk>")
    )
    spelled = Regex("|".join([*map(re.escape, longest_first), r"[\s\S]"]))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(spelled, behavior="isolated")
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens={
            **(NAMED if family.named else {}),
            **{f"own_{place}": token for place, token in enumerate((*OVIS, *LLAMA))},
        },
    )
    if family.template:
        fast.chat_template = (
            "{% for m in messages %}{{ m['role'] }}: {% for part in m['content'] %}"
            "{% if part['type'] == 'image' %}" + family.picture + "{% else %}{{ part['text'] }}"
            "{% endif %}{% endfor %}\n{% endfor %}"
            "{% if add_generation_prompt %}assistant: {% endif %}"
        )
    return fast


def config_for(name: str, family: Family, tokenizer: PreTrainedTokenizerFast) -> Any:
    """The type's own defaults, made small."""
    kind = CONFIG_MAPPING[family.kind or name]
    small = shrunk(kind().to_dict(), tokenizer)
    for part, own in (("text_config", family.text), ("vision_config", family.vision)):
        if isinstance(small.get(part), dict):
            small[part] = own if "model_type" in own else {**small[part], **own}
    small.update(family.top)
    return kind(**{key: value for key, value in small.items() if key != "model_type"})


def shrunk(config: dict[str, Any], tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    small = {}
    for key, value in config.items():
        if key in DROPPED:
            continue
        if isinstance(value, dict) and key.endswith(("config", "qformer")):
            small[key] = shrunk(value, tokenizer)
        elif key in SMALL and value is not None:
            small[key] = SMALL[key]
        elif key == "vocab_size":
            small[key] = len(tokenizer)
        elif key in IDS:
            small[key] = tokenizer.convert_tokens_to_ids(IDS[key])
        else:
            small[key] = value
    return small


def of(name: str) -> Any:
    """A class of transformers."""
    return getattr(transformers, name)


def patches(kind: str, video: str, **sizes: Any) -> Callable[[PreTrainedTokenizerFast], Any]:
    """A processor of Qwen's kind: pictures of any size, as patches in one long row."""
    small = {"size": {"shortest_edge": 28 * 28, "longest_edge": 112 * 112}, **sizes}
    pictures = small.pop("pictures", "Qwen2VLImageProcessor")

    def built(tokenizer: PreTrainedTokenizerFast) -> Any:
        return of(kind)(
            image_processor=of(pictures)(**small),
            tokenizer=tokenizer,
            video_processor=of(video)(**({"draw_on_frames": False} if "Ernie" in video else {})),
            chat_template=tokenizer.chat_template,
        )

    return built


def built(kind: str, pictures: str, seen: dict[str, Any], video: str = "", **own: Any) -> Any:
    """A processor of one picture processor, with what else it wants to know."""

    def processor(tokenizer: PreTrainedTokenizerFast) -> Any:
        parts = {"image_processor": of(pictures)(**seen), "tokenizer": tokenizer, **own}
        if video:
            parts["video_processor"] = of(video)()
        if tokenizer.chat_template:
            parts["chat_template"] = tokenizer.chat_template
        return of(kind)(**parts)

    return processor


def square(side: int) -> dict[str, Any]:
    return {"size": {"height": side, "width": side}}


MROPE = {"rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4}}
HALF_MROPE = {
    "rope_parameters": {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 1e4}
}
QWEN_TOWER = {"patch_size": 14, "spatial_merge_size": 2}
WRAPPED = "<boi><image><eoi>"

LINEAR = {
    **{f"linear_{x}_head_dim": 8 for x in ("key", "value")},
    **{f"linear_num_{x}_heads": 2 for x in ("key", "value")},
    "layer_types": ["linear_attention", "full_attention"],
    "rope_parameters": {
        "rope_type": "default",
        "mrope_section": [2, 1, 1],
        "rope_theta": 1e4,
        "partial_rotary_factor": 0.5,
    },
}
QFORMER = {
    "hidden_size": 32,
    "encoder_hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def with_readers(tokenizer: PreTrainedTokenizerFast) -> Any:
    """InstructBLIP's processor: its Q-Former reads the question too, by a tokenizer of its own."""
    return of("InstructBlipProcessor")(
        image_processor=of("BlipImageProcessor")(**square(28)),
        tokenizer=tokenizer,
        qformer_tokenizer=tokenizer,
        num_query_tokens=4,
    )


def with_ears(tokenizer: PreTrainedTokenizerFast) -> Any:
    """Gemma 4's processor, which also hears and sees moving pictures."""
    return of("Gemma4Processor")(
        feature_extractor=of("Gemma4AudioFeatureExtractor")(),
        image_processor=of("Gemma4ImageProcessor")(
            patch_size=4, pooling_kernel_size=2, max_soft_tokens=70
        ),
        tokenizer=tokenizer,
        video_processor=of("Gemma4VideoProcessor")(),
        chat_template=tokenizer.chat_template,
    )


FAMILIES: dict[str, Family] = {
    "qwen2_vl": Family(
        MROPE,
        {**QWEN_TOWER, "mlp_ratio": 2},
        processor=patches("Qwen2VLProcessor", "Qwen2VLVideoProcessor"),
        picture=WRAPPED,
    ),
    "qwen2_5_vl": Family(
        MROPE,
        {**QWEN_TOWER, "fullatt_block_indexes": [1], "window_size": 56},
        processor=patches("Qwen2_5_VLProcessor", "Qwen2VLVideoProcessor"),
        picture=WRAPPED,
    ),
    "qwen3_vl": Family(
        MROPE,
        {**QWEN_TOWER, "deepstack_visual_indexes": [0, 1], "num_position_embeddings": 64},
        processor=patches("Qwen3VLProcessor", "Qwen3VLVideoProcessor", patch_size=14),
        picture=WRAPPED,
    ),
    "qwen3_vl_moe": Family(
        MROPE,
        {**QWEN_TOWER, "deepstack_visual_indexes": [0, 1], "num_position_embeddings": 64},
        processor=patches("Qwen3VLProcessor", "Qwen3VLVideoProcessor", patch_size=14),
        picture=WRAPPED,
    ),
    "qwen3_5": Family(
        {
            **{f"linear_{x}_head_dim": 8 for x in ("key", "value")},
            **{f"linear_num_{x}_heads": 2 for x in ("key", "value")},
            "layer_types": ["linear_attention", "full_attention"],
            "rope_parameters": {
                "rope_type": "default",
                "mrope_section": [2, 1, 1],
                "rope_theta": 1e4,
                "partial_rotary_factor": 0.5,
            },
        },
        {**QWEN_TOWER, "num_position_embeddings": 64},
        processor=patches("Qwen3VLProcessor", "Qwen3VLVideoProcessor", patch_size=14),
        picture=WRAPPED,
    ),
    "internvl": Family(
        {},
        {"image_size": [28, 28], "patch_size": [7, 7]},
        {"image_seq_length": 4},
        built(
            "InternVLProcessor",
            "GotOcr2ImageProcessor",
            {**square(28), "crop_to_patches": False},
            "InternVLVideoProcessor",
            image_seq_length=4,
        ),
    ),
    "gemma3": Family(
        {
            "sliding_window": 16,
            "layer_types": ["sliding_attention", "full_attention"],
            "query_pre_attn_scalar": 16,
        },
        {"image_size": 32, "patch_size": 8, "vision_use_head": False},
        {"mm_tokens_per_image": 4},
        built("Gemma3Processor", "Gemma3ImageProcessor", square(32), image_seq_length=4),
        "<boi>",
    ),
    "paligemma": Family(
        {},
        {"image_size": 32, "patch_size": 8},
        {},
        built("PaliGemmaProcessor", "SiglipImageProcessor", {**square(32), "image_seq_length": 16}),
        template=False,
        shares=False,
    ),
    "mistral3": Family(
        {},
        {"image_size": 64, "patch_size": 8},
        {"spatial_merge_size": 2},
        built(
            "PixtralProcessor",
            "PixtralImageProcessor",
            {"size": {"longest_edge": 64}, "patch_size": 8},
            patch_size=8,
            spatial_merge_size=2,
            image_token="<image>",
            image_break_token="<break>",
            image_end_token="<eoi>",
        ),
    ),
    "llava": Family(
        {},
        {"image_size": 32, "patch_size": 8},
        {"image_seq_length": 16},
        built(
            "LlavaProcessor",
            "CLIPImageProcessor",
            {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}},
            patch_size=8,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
        ),
    ),
    "vipllava": Family(
        {},
        {"image_size": 32, "patch_size": 8},
        {"image_seq_length": 16, "vision_feature_layers": [-2, -1]},
        built(
            "LlavaProcessor",
            "CLIPImageProcessor",
            {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}},
            patch_size=8,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
        ),
    ),
    "llava_next": Family(
        {},
        {"image_size": 32, "patch_size": 8},
        {"image_grid_pinpoints": [[32, 64], [64, 32]], "image_seq_length": 16},
        built(
            "LlavaNextProcessor",
            "LlavaNextImageProcessor",
            {
                "size": {"shortest_edge": 32},
                "crop_size": {"height": 32, "width": 32},
                "image_grid_pinpoints": [[32, 64], [64, 32]],
            },
            patch_size=8,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
        ),
    ),
    "llava_onevision": Family(
        {},
        {"image_size": 32, "patch_size": 8},
        {"image_grid_pinpoints": [[32, 64], [64, 32]], "image_seq_length": 16},
        built(
            "LlavaOnevisionProcessor",
            "LlavaOnevisionImageProcessor",
            {**square(32), "image_grid_pinpoints": [[32, 64], [64, 32]]},
            "LlavaOnevisionVideoProcessor",
            num_image_tokens=16,
            vision_feature_select_strategy="full",
        ),
    ),
    "mllama": Family(
        {"cross_attention_layers": [1]},
        {
            "image_size": 28,
            "patch_size": 14,
            "num_global_layers": 1,
            "intermediate_layers_indices": [0, 1],
            "vision_output_dim": 96,
        },
        {},
        built("MllamaProcessor", "MllamaImageProcessor", {**square(28), "max_image_tiles": 4}),
    ),
    "idefics2": Family(
        {},
        {"image_size": 32, "patch_size": 8},
        {
            "perceiver_config": {
                "hidden_size": 32,
                "resampler_n_latents": 4,
                "resampler_depth": 1,
                "resampler_n_heads": 2,
                "resampler_head_dim": 16,
                "num_key_value_heads": 2,
            }
        },
        built(
            "Idefics2Processor",
            "Idefics2ImageProcessor",
            {"size": {"shortest_edge": 24, "longest_edge": 32}, "do_image_splitting": False},
            image_seq_len=4,
        ),
    ),
    "idefics3": Family(
        {},
        {"image_size": 32, "patch_size": 8},
        {"scale_factor": 2},
        built(
            "Idefics3Processor",
            "Idefics3ImageProcessor",
            {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}},
            image_seq_len=4,
        ),
    ),
    "smolvlm": Family(
        {},
        {"image_size": 32, "patch_size": 8},
        {"scale_factor": 2},
        built(
            "SmolVLMProcessor",
            "SmolVLMImageProcessor",
            {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}},
            "SmolVLMVideoProcessor",
            image_seq_len=4,
        ),
    ),
    "aya_vision": Family(
        {},
        {"image_size": 32, "patch_size": 8},
        {"downsample_factor": 2},
        built(
            "AyaVisionProcessor",
            "GotOcr2ImageProcessor",
            {**square(32), "crop_to_patches": True, "max_patches": 4},
            patch_size=8,
            img_size=32,
            downsample_factor=2,
            image_token="<wrapped>",
            img_patch_token="<image>",
            start_of_img_token="<boi>",
            end_of_img_token="<eoi>",
            img_line_break_token="<break>",
        ),
        "<wrapped>",
    ),
    "glm4v": Family(
        {**MROPE, "num_key_value_heads": 2},
        {**QWEN_TOWER, "image_size": 56},
        processor=patches(
            "Glm4vProcessor",
            "Glm4vVideoProcessor",
            pictures="Glm4vImageProcessor",
        ),
        picture=WRAPPED,
    ),
    "glm46v": Family(
        {**MROPE, "num_key_value_heads": 2},
        {**QWEN_TOWER, "image_size": 56},
        processor=patches(
            "Glm46VProcessor",
            "Glm46VVideoProcessor",
            pictures="Glm46VImageProcessor",
        ),
        picture=WRAPPED,
    ),
    "qwen3_5_moe": Family(
        LINEAR,
        {**QWEN_TOWER, "num_position_embeddings": 64},
        processor=patches("Qwen3VLProcessor", "Qwen3VLVideoProcessor", patch_size=14),
        picture=WRAPPED,
    ),
    "exaone4_5": Family(
        {"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"]},
        {**QWEN_TOWER, "fullatt_block_indexes": [1], "window_size": 56},
        processor=patches("Exaone4_5_Processor", "Qwen2VLVideoProcessor"),
        picture=WRAPPED,
    ),
    "hyperclovax_vision_v2": Family(
        {},
        {**QWEN_TOWER, "fullatt_block_indexes": [1], "window_size": 56},
        processor=patches("HyperCLOVAXVisionV2Processor", "Qwen2VLVideoProcessor"),
        picture=WRAPPED,
    ),
    "video_llama_3": Family(
        {},
        {"patch_size": 14},
        processor=patches(
            "VideoLlama3Processor",
            "VideoLlama3VideoProcessor",
            pictures="VideoLlama3ImageProcessor",
        ),
    ),
    "glm4v_moe": Family(
        {
            **HALF_MROPE,
            "num_key_value_heads": 2,
            "first_k_dense_replace": 1,
            "n_group": 1,
            "topk_group": 1,
        },
        {**QWEN_TOWER, "image_size": 56},
        processor=patches("Glm4vProcessor", "Glm4vVideoProcessor", pictures="Glm4vImageProcessor"),
        picture=WRAPPED,
    ),
    "glm_ocr": Family(
        {**HALF_MROPE, "num_key_value_heads": 2},
        {**QWEN_TOWER, "image_size": 56},
        processor=patches(
            "Glm46VProcessor", "Glm46VVideoProcessor", pictures="Glm46VImageProcessor"
        ),
        picture=WRAPPED,
    ),
    "ernie4_5_vl_moe": Family(
        {
            "moe_intermediate_size": [48, 48],
            "moe_k": 2,
            "moe_num_experts": 4,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e4,
                "mrope_section": [3, 3, 2],
            },
            "mlp_layer_types": ["dense", "sparse"],
        },
        {**QWEN_TOWER},
        processor=patches(
            "Ernie4_5_VLMoeProcessor",
            "Ernie4_5_VLMoeVideoProcessor",
            pictures="Ernie4_5_VLMoeImageProcessor",
        ),
        picture=WRAPPED,
    ),
    "cohere2_vision": Family(
        {"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"]},
        {"image_size": 32, "patch_size": 8, "vision_use_head": False},
        {"downsample_factor": 2, "alignment_intermediate_size": 48},
        built(
            "Cohere2VisionProcessor",
            "Cohere2VisionImageProcessor",
            {**square(32), "patch_size": 2, "downsample_factor": 1, "max_patches": 4},
        ),
    ),
    "deepseek_vl": Family(
        {},
        {"image_size": 32, "patch_size": 8, "vision_use_head": False},
        {},
        built("DeepseekVLProcessor", "DeepseekVLImageProcessor", square(32), num_image_tokens=16),
    ),
    "janus": Family(
        {},
        {"image_size": 32, "patch_size": 8, "num_image_tokens": 16, "mlp_ratio": 2.0},
        {
            "vq_config": {
                "embed_dim": 8,
                "num_embeddings": 16,
                "latent_channels": 32,
                "base_channels": 32,
                "channel_multiplier": [1],
                "num_res_blocks": 1,
                "num_patches": 4,
                "projection_dim": 32,
                "image_token_embed_dim": 32,
            }
        },
        built("JanusProcessor", "JanusImageProcessor", square(32), num_image_tokens=16),
    ),
    "ovis2": Family(
        {},
        {
            "image_size": 28,
            "patch_size": 7,
            "vocab_size": 64,
            "hidden_stride": 2,
        },
        {
            "hidden_size": 32,
            "image_token_id": SPECIAL.index(OVIS[0]),
            "visual_indicator_token_ids": [SPECIAL.index(token) for token in OVIS[1:]],
        },
        built(
            "Ovis2Processor",
            "Ovis2ImageProcessor",
            {**square(28), "crop_to_patches": False},
            image_seq_length=4,
        ),
    ),
    "lfm2_vl": Family(
        {
            "layer_types": ["conv", "full_attention"],
            "full_attn_idxs": [1],
            "block_multiple_of": 16,
        },
        {"patch_size": 8, "num_patches": 64, "vision_use_head": False},
        {"projector_hidden_size": 32},
        built(
            "Lfm2VlProcessor",
            "Lfm2VlImageProcessor",
            {
                "encoder_patch_size": 8,
                "tile_size": 32,
                "max_image_tokens": 16,
                "min_image_tokens": 4,
                "do_image_splitting": False,
            },
        ),
    ),
    "lighton_ocr": Family(
        {},
        {"image_size": 64, "patch_size": 8},
        {"spatial_merge_size": 2},
        built(
            "LightOnOcrProcessor",
            "PixtralImageProcessor",
            {"size": {"longest_edge": 64}, "patch_size": 8},
            patch_size=8,
            spatial_merge_size=2,
        ),
    ),
    "llama4": Family(
        {
            "intermediate_size_mlp": 48,
            "num_local_experts": 4,
            "num_experts_per_tok": 1,
            "moe_layers": [1],
            "no_rope_layers": [1, 0],
            "layer_types": ["chunked_attention", "full_attention"],
            "attention_chunk_size": 64,
        },
        {
            "image_size": 32,
            "patch_size": 8,
            "intermediate_size": 128,
            "vision_output_dim": 32,
            "projector_input_dim": 32,
            "projector_output_dim": 32,
        },
        {"image_token_index": SPECIAL.index("<|patch|>")},
        built(
            "Llama4Processor",
            "Llama4ImageProcessor",
            {**square(32), "max_patches": 4},
            patch_size=8,
        ),
        "<|image|>",
    ),
    "minicpmv4_6": Family(
        LINEAR,
        {"image_size": 56, "patch_size": 14, "insert_layer_id": 0},
        {"image_size": 56, "patch_size": 14, "insert_layer_id": 0},
        built(
            "MiniCPMV4_6Processor",
            "MiniCPMV4_6ImageProcessor",
            {"scale_resolution": 56, "patch_size": 14, "slice_mode": False},
            "MiniCPMV4_6VideoProcessor",
        ),
    ),
    "video_llava": Family(
        {},
        {"image_size": 32, "patch_size": 8},
        {"image_seq_length": 16},
        built(
            "VideoLlavaProcessor",
            "VideoLlavaImageProcessor",
            {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}},
            "VideoLlavaVideoProcessor",
            patch_size=8,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
        ),
    ),
    "blip-2": Family(
        {"word_embed_proj_dim": 32},
        {"image_size": 28},
        {
            "qformer_config": QFORMER,
            "num_query_tokens": 4,
            "image_token_index": SPECIAL.index("<image>"),
        },
        built("Blip2Processor", "BlipImageProcessor", square(28), num_query_tokens=4),
        template=False,
        named=False,
        shares=False,
    ),
    "instructblip": Family(
        {"word_embed_proj_dim": 32},
        {"image_size": 28},
        {
            "qformer_config": {**QFORMER, "vocab_size": 150},
            "num_query_tokens": 4,
            "image_token_index": SPECIAL.index("<image>"),
        },
        with_readers,
        template=False,
        named=False,
        shares=False,
    ),
    "deepseek_vl_hybrid": Family(
        {},
        {"image_size": 32, "patch_size": 8, "vision_use_head": False},
        {
            "high_res_vision_config": {
                "hidden_size": 32,
                "output_channels": 16,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "image_size": 64,
                "patch_size": 16,
                "global_attn_indexes": [1],
                "num_pos_feats": 16,
                "mlp_dim": 48,
                "window_size": 2,
            }
        },
        built(
            "DeepseekVLHybridProcessor",
            "DeepseekVLHybridImageProcessor",
            {**square(32), "high_res_size": {"height": 64, "width": 64}},
            num_image_tokens=16,
        ),
    ),
    "lfm3_vl": Family(
        {"layer_types": ["conv", "full_attention"]},
        QWEN_TOWER,
        processor=patches("Lfm3VlProcessor", "Qwen2VLVideoProcessor"),
        picture=WRAPPED,
    ),
    "instructblip-t5": Family(
        {
            "model_type": "t5",
            "vocab_size": len({*SPECIAL, *ANSWERS, *CHARACTERS}),
            "d_kv": 16,
            "d_model": 32,
            "d_ff": 48,
            "num_layers": 2,
            "num_heads": 2,
            "decoder_start_token_id": 0,
            "pad_token_id": 0,
            "eos_token_id": 2,
        },
        {"image_size": 28},
        {
            "qformer_config": {**QFORMER, "vocab_size": 150},
            "num_query_tokens": 4,
            "image_token_index": SPECIAL.index("<image>"),
            "use_decoder_only_language_model": False,
        },
        with_readers,
        kind="instructblip",
        template=False,
        named=False,
        shares=False,
    ),
    "gemma4": Family(
        {
            "layer_types": ["sliding_attention", "full_attention"],
            "sliding_window": 16,
            "hidden_size_per_layer_input": 8,
            "vocab_size_per_layer_input": len({*SPECIAL, *ANSWERS, *CHARACTERS}),
            "per_layer_config": {"01": {"head_dim": 16}},
        },
        top={
            "vision_config": {
                "hidden_size": 32,
                "intermediate_size": 48,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "head_dim": 16,
                "patch_size": 4,
                "pooling_kernel_size": 2,
                "position_embedding_size": 256,
            },
            "audio_config": None,
        },
        processor=with_ears,
    ),
}
