"""Tiny pipelines written as one file, in the layout of the models' own authors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

Tensors = dict[str, torch.Tensor]
BLOCKS = 2
"""Of the tiny pipelines' networks, each with one layer."""


def weights(folder: Path, component: str) -> Tensors:
    (file,) = (folder / component).glob("*.safetensors")
    return load_file(file)


def _renamed(key: str, names: Mapping[str, str]) -> str:
    for old, new in names.items():
        key = key.replace(old, new)
    return key


_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_UNET = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def unet(tensors: Tensors) -> Tensors:
    """Input blocks are numbered through, output blocks too; a block's parts are numbers."""
    places = dict(_UNET)
    for block in range(BLOCKS):
        down, up = 1 + 2 * block, 2 * block
        places[f"down_blocks.{block}.resnets.0"] = f"input_blocks.{down}.0"
        places[f"down_blocks.{block}.attentions.0"] = f"input_blocks.{down}.1"
        places[f"down_blocks.{block}.downsamplers.0.conv"] = f"input_blocks.{down + 1}.0.op"
        has_attention = any(key.startswith(f"up_blocks.{block}.attentions") for key in tensors)
        for layer in range(2):
            places[f"up_blocks.{block}.resnets.{layer}"] = f"output_blocks.{up + layer}.0"
            places[f"up_blocks.{block}.attentions.{layer}"] = f"output_blocks.{up + layer}.1"
        last = f"output_blocks.{up + 1}.{1 + has_attention}"
        places[f"up_blocks.{block}.upsamplers.0"] = last
    places |= {
        "mid_block.resnets.0": "middle_block.0",
        "mid_block.attentions.0": "middle_block.1",
        "mid_block.resnets.1": "middle_block.2",
    }
    found = {}
    for key, tensor in tensors.items():
        place = next(one for one in places if key.startswith(f"{one}."))
        rest = key.removeprefix(place)
        rest = _renamed(rest, _RESNET) if "resnets" in place else rest
        found[f"model.diffusion_model.{places[place]}{rest}"] = tensor
    return found


def vae(tensors: Tensors) -> Tensors:
    """Up blocks are numbered from the picture; attention is made of 1×1 convolutions."""
    found = {}
    for key, tensor in tensors.items():
        for block in range(BLOCKS):
            down, up = f"encoder.down.{block}", f"decoder.up.{BLOCKS - 1 - block}"
            key = _renamed(
                key,
                {
                    f"encoder.down_blocks.{block}.resnets": f"{down}.block",
                    f"encoder.down_blocks.{block}.downsamplers.0": f"{down}.downsample",
                    f"decoder.up_blocks.{block}.resnets": f"{up}.block",
                    f"decoder.up_blocks.{block}.upsamplers.0": f"{up}.upsample",
                },
            )
        if "attentions" in key:
            names = {"group_norm": "norm", "to_out.0": "proj_out"}
            key = _renamed(key, names | {f"to_{one}": one for one in "qkv"})
            tensor = tensor[:, :, None, None] if tensor.ndim == 2 else tensor
        names = {
            "mid_block.resnets.0": "mid.block_1",
            "mid_block.resnets.1": "mid.block_2",
            "mid_block.attentions.0": "mid.attn_1",
            "conv_norm_out": "norm_out",
            "conv_shortcut": "nin_shortcut",
        }
        found[f"first_stage_model.{_renamed(key, names)}"] = tensor.contiguous()
    return found


OUTSIDE = ("text_model.", "text_projection.")
"""Names that say already where they stand: some classes of transformers leave out the rest."""


def clip(prefix: str) -> Callable[[Tensors], Tensors]:
    """As transformers names them, behind a prefix."""
    return lambda tensors: {
        f"{prefix}{'' if key.startswith(OUTSIDE) else 'text_model.'}{key}": tensor
        for key, tensor in tensors.items()
    }


def open_clip(prefix: str) -> Callable[[Tensors], Tensors]:
    """Query, key and value in one tensor; the projection stands the other way round."""

    def write(tensors: Tensors) -> Tensors:
        found = {}
        tensors = {key.removeprefix("text_model."): one for key, one in tensors.items()}
        for key, tensor in tensors.items():
            key, _, kind = key.rpartition(".")
            if key.endswith(("k_proj", "v_proj")):
                continue
            if key.endswith("q_proj"):
                parts = [tensors[f"{key[:-6]}{one}_proj.{kind}"] for one in "qkv"]
                tensor, key, kind = torch.cat(parts), key[:-7], f"in_proj_{kind}"
            if key == "text_projection":
                found[f"{prefix}text_projection"] = tensor.T.contiguous()
                continue
            name = _renamed(
                f"{key}.{kind}",
                {
                    "encoder.layers": "transformer.resblocks",
                    "self_attn": "attn",
                    "layer_norm1": "ln_1",
                    "layer_norm2": "ln_2",
                    "mlp.fc1": "mlp.c_fc",
                    "mlp.fc2": "mlp.c_proj",
                    "final_layer_norm": "ln_final",
                    "embeddings.token_embedding": "token_embedding",
                    "embeddings.position_embedding.weight": "positional_embedding",
                },
            )
            found[f"{prefix}{name}"] = tensor
        return found

    return write


def t5(tensors: Tensors) -> Tensors:
    """As transformers names them; what is tied is stored once."""
    return {
        f"text_encoders.t5xxl.transformer.{key}": tensor
        for key, tensor in tensors.items()
        if key != "encoder.embed_tokens.weight"
    }


def _swapped(tensor: torch.Tensor) -> torch.Tensor:
    """Scale before shift, or the other way round."""
    return torch.cat(tensor.chunk(2)[::-1])


def _together(tensors: Tensors, *keys: str) -> Tensors:
    """Query, key, value and what else stands in one tensor there, weights and biases."""
    return {
        kind: torch.cat([tensors[f"{key}.{kind}"] for key in keys]) for kind in ("weight", "bias")
    }


_FLUX = {
    "time_text_embed.timestep_embedder.linear_1": "time_in.in_layer",
    "time_text_embed.timestep_embedder.linear_2": "time_in.out_layer",
    "time_text_embed.text_embedder.linear_1": "vector_in.in_layer",
    "time_text_embed.text_embedder.linear_2": "vector_in.out_layer",
    "time_text_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
    "time_text_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
    "context_embedder": "txt_in",
    "x_embedder": "img_in",
    "proj_out": "final_layer.linear",
    "norm_out.linear": "final_layer.adaLN_modulation.1",
}
_FLUX_DOUBLE = {
    "norm1.linear": "img_mod.lin",
    "norm1_context.linear": "txt_mod.lin",
    "ff.net.0.proj": "img_mlp.0",
    "ff.net.2": "img_mlp.2",
    "ff_context.net.0.proj": "txt_mlp.0",
    "ff_context.net.2": "txt_mlp.2",
    "attn.to_out.0": "img_attn.proj",
    "attn.to_add_out": "txt_attn.proj",
    "attn.norm_q": "img_attn.norm.query_norm",
    "attn.norm_k": "img_attn.norm.key_norm",
    "attn.norm_added_q": "txt_attn.norm.query_norm",
    "attn.norm_added_k": "txt_attn.norm.key_norm",
}
_FLUX_SINGLE = {
    "norm.linear": "modulation.lin",
    "proj_out": "linear2",
    "attn.norm_q": "norm.query_norm",
    "attn.norm_k": "norm.key_norm",
}
_SD3 = {
    "pos_embed.proj": "x_embedder.proj",
    "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
    "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
    "context_embedder": "context_embedder",
    "proj_out": "final_layer.linear",
    "norm_out.linear": "final_layer.adaLN_modulation.1",
}
_SD3_BLOCK = {
    "attn.to_out.0": "x_block.attn.proj",
    "attn.to_add_out": "context_block.attn.proj",
    "norm1.linear": "x_block.adaLN_modulation.1",
    "norm1_context.linear": "context_block.adaLN_modulation.1",
    "ff.net.0.proj": "x_block.mlp.fc1",
    "ff.net.2": "x_block.mlp.fc2",
    "ff_context.net.0.proj": "context_block.mlp.fc1",
    "ff_context.net.2": "context_block.mlp.fc2",
}
_TOLD, _SEEN = ("add_q_proj", "add_k_proj", "add_v_proj"), ("to_q", "to_k", "to_v")


def _plain(tensors: Tensors, start: str, names: Mapping[str, str]) -> Tensors:
    """What has another name and is the same; a norm's weight is called its scale there."""
    found = {}
    for key, tensor in tensors.items():
        module, _, kind = key.removeprefix(start).rpartition(".")
        if key.startswith(start) and module in names:
            found[f"{names[module]}.{'scale' if '_norm' in names[module] else kind}"] = tensor
    return found


def flux(tensors: Tensors) -> Tensors:
    """As Black Forest Labs hand it out: no prefix, attention in one tensor, shift before scale."""
    found = _plain(tensors, "", _FLUX)
    for kind in ("weight", "bias"):
        place = f"final_layer.adaLN_modulation.1.{kind}"
        found[place] = _swapped(found[place])
    for block in _blocks(tensors, "transformer_blocks."):
        start, to = f"transformer_blocks.{block}.", f"double_blocks.{block}."
        found |= {f"{to}{key}": one for key, one in _plain(tensors, start, _FLUX_DOUBLE).items()}
        for name, parts in (("img", _SEEN), ("txt", _TOLD)):
            merged = _together(tensors, *(f"{start}attn.{part}" for part in parts))
            found |= {f"{to}{name}_attn.qkv.{kind}": one for kind, one in merged.items()}
    for block in _blocks(tensors, "single_transformer_blocks."):
        start, to = f"single_transformer_blocks.{block}.", f"single_blocks.{block}."
        found |= {f"{to}{key}": one for key, one in _plain(tensors, start, _FLUX_SINGLE).items()}
        parts = [*(f"{start}attn.{part}" for part in _SEEN), f"{start}proj_mlp"]
        merged = _together(tensors, *parts)
        found |= {f"{to}linear1.{kind}": one for kind, one in merged.items()}
    return found


def sd3(tensors: Tensors) -> Tensors:
    """As Stability AI hand it out; the last block tells the words nothing more."""
    found = _plain(tensors, "", _SD3) | {"pos_embed": tensors["pos_embed.pos_embed"]}
    blocks = _blocks(tensors, "transformer_blocks.")
    for block in blocks:
        start, to = f"transformer_blocks.{block}.", f"joint_blocks.{block}."
        found |= {f"{to}{key}": one for key, one in _plain(tensors, start, _SD3_BLOCK).items()}
        for name, parts in (("x", _SEEN), ("context", _TOLD)):
            merged = _together(tensors, *(f"{start}attn.{part}" for part in parts))
            found |= {f"{to}{name}_block.attn.qkv.{kind}": one for kind, one in merged.items()}
    last = f"joint_blocks.{blocks[-1]}.context_block.adaLN_modulation.1"
    for kind in ("weight", "bias"):
        for place in (f"final_layer.adaLN_modulation.1.{kind}", f"{last}.{kind}"):
            found[place] = _swapped(found[place])
    return {f"model.diffusion_model.{key}": one for key, one in found.items()}


def _blocks(tensors: Tensors, start: str) -> list[int]:
    numbers = {key.removeprefix(start).split(".")[0] for key in tensors if key.startswith(start)}
    return sorted(map(int, numbers))


TRANSFORMERS: Mapping[str, Callable[[Tensors], Tensors]] = {"flux": flux, "sd3": sd3}
"""Families whose published file holds the transformer alone, or is taken so."""


def transformer(family: str, folder: Path, file: Path) -> Path:
    """The transformer of a tiny pipeline under its authors' names, in one file."""
    named = TRANSFORMERS[family](weights(folder, "transformer"))
    save_file({key: one.contiguous() for key, one in named.items()}, file)
    return file


LAYOUTS: Mapping[str, Mapping[str, Callable[[Tensors], Tensors]]] = {
    "sd": {"unet": unet, "vae": vae, "text_encoder": clip("cond_stage_model.transformer.")},
    "sdxl": {
        "unet": unet,
        "vae": vae,
        "text_encoder": clip("conditioner.embedders.0.transformer."),
        "text_encoder_2": open_clip("conditioner.embedders.1.model."),
    },
}


def original(family: str, folder: Path) -> Tensors:
    """A saved tiny pipeline's tensors under their authors' names."""
    found: Tensors = {}
    for component, write in LAYOUTS[family].items():
        found |= write(weights(folder, component))
    return found


def checkpoint(
    family: str, folder: Path, file: Path, *, without: str = "", **more: torch.Tensor
) -> Path:
    """All of a pipeline in one file, but what begins with ``without``."""
    tensors = original(family, folder)
    kept = {key: one for key, one in tensors.items() if not (without and key.startswith(without))}
    save_file(kept | more, file)
    return file
