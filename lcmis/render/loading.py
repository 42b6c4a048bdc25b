"""Weights into memory: safetensors only, every tensor accounted for, never a model's own code."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any

import diffusers
import torch
import transformers
from safetensors import SafetensorError

from lcmis.errors import ConfigError
from lcmis.machine.hub import Located, fetch_weights
from lcmis.machine.weights import refuse_missing, refuse_unusable, silent
from lcmis.render.pipeline_folder import PipelineFolder, adapter_file
from lcmis.types import Adapter


def load_pipeline(
    folder: PipelineFolder,
    *,
    device: str,
    dtype: str,
    offload: str,
    scheduler: str,
    adapters: Sequence[tuple[Located, Adapter]],
) -> Any:
    """Load a diffusers pipeline, silent and ready to be called.

    Raises:
        ConfigError: a tensor is missing, a file is damaged, or the device is not there.
    """
    refuse_unusable(device)
    with silent():
        networks = {
            component: _load_network(folder, component, getattr(torch, dtype))
            for component in folder.weighted_components()
        }
        pipeline = getattr(diffusers, folder.class_name).from_pretrained(
            folder.path,
            **networks,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            local_files_only=True,
        )
        for located, adapter in adapters:
            _lay_over(pipeline, located, adapter)
    if adapters:
        pipeline.set_adapters(
            [_adapter_name(adapter) for _, adapter in adapters],
            [adapter.weight for _, adapter in adapters],
        )
    if scheduler != type(pipeline.scheduler).__name__:
        pipeline.scheduler = getattr(diffusers, scheduler).from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    if offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    elif offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=device)
    else:
        pipeline.to(device)
    return pipeline


def _load_network(folder: PipelineFolder, component: str, dtype: torch.dtype) -> torch.nn.Module:
    """Load one component, whole."""
    library, class_name = folder.components()[component]
    network_class = class_of(library, class_name)
    try:
        network, report = network_class.from_pretrained(
            folder.path / component,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            variant=folder.variant(),
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:  # damaged, or misshapen
        raise ConfigError(
            f"the weights of {folder.name}/{component} cannot be read ({error}): copy them again"
        ) from error
    refuse_missing(f"{folder.name}/{component}", report["missing_keys"])
    return network


def class_of(library: str, class_name: str) -> Any:
    """The class of a component, by the two names that ``model_index.json`` has for it."""
    if library == "diffusers":
        return getattr(diffusers, class_name)
    if library == "transformers":
        return getattr(transformers, class_name)
    return getattr(_pipeline_module(library), class_name)


def _pipeline_module(library: str) -> Any:
    """A part of diffusers by the name that published models call it; it has moved some of them, and
    no longer finds those itself.
    """
    name = f"diffusers.pipelines.{library}"
    if importlib.util.find_spec(name) is None and library not in vars(diffusers.pipelines):
        moved = importlib.import_module(f"diffusers.pipelines.deprecated.{library}")
        setattr(diffusers.pipelines, library, moved)
    return getattr(diffusers.pipelines, library)


def _lay_over(pipeline: Any, located: Located, adapter: Adapter) -> None:
    file = adapter_file(fetch_weights(located), adapter.name)
    name = _adapter_name(adapter)
    sentence = f"the adapter {adapter.name} cannot be laid over this model"
    try:
        pipeline.load_lora_weights(
            file.parent, weight_name=file.name, adapter_name=name, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise ConfigError(f"{sentence} ({error}): take one that was made for it") from error
    if not any(name in names for names in pipeline.get_list_adapters().values()):
        raise ConfigError(f"{sentence}: none of its weights fits; take one that was made for it")


def _adapter_name(adapter: Adapter) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in adapter.name)
