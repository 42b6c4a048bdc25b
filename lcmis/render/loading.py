"""Weights into memory: safetensors only, every tensor accounted for, never a model's own code."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors import SafetensorError

from lcmis.errors import ConfigError
from lcmis.machine.hub import Located, fetch_weights
from lcmis.machine.weights import refuse_missing, refuse_unusable, silent
from lcmis.render.execution import Execution
from lcmis.render.forms.form import Form, vae_files, vae_folder
from lcmis.render.forms.single import SingleFile
from lcmis.render.forms.variants import chosen_variant
from lcmis.render.forms.words import teach
from lcmis.render.pipeline_folder import PipelineFolder
from lcmis.render.resting import encoders, lay_to_rest
from lcmis.types import Adapter


def load_pipeline(
    form: Form,
    *,
    device: str,
    dtype: str,
    offload: str,
    scheduler: str,
    execution: Execution,
    size: tuple[int, int],
) -> Any:
    """Load a diffusers pipeline, silent and ready to be called.

    Raises:
        ConfigError: a tensor is missing, a file is damaged, the device is not there, or a setting
            has nothing to act on.
    """
    refuse_unusable(device)
    folder, numbers = form.whole_folder(), getattr(torch, dtype)
    with silent():
        networks = {
            component: _network(form, folder, component, numbers)
            for component in folder.weighted_components()
        }
        pipeline = getattr(diffusers, folder.class_name).from_pretrained(
            folder.path,
            **folder.left_out(),
            **networks,
            dtype=numbers,
            use_safetensors=True,
            local_files_only=True,
        )
        for located, file, adapter in form.adapters:
            _lay_over(pipeline, located, file, adapter)
        teach(pipeline, form.words)
    if form.adapters:
        pipeline.set_adapters(
            [_adapter_name(adapter) for _, _, adapter in form.adapters],
            [adapter.weight for _, _, adapter in form.adapters],
        )
    said = form.file.scheduler_settings() if form.file else {}
    if said or scheduler != type(pipeline.scheduler).__name__:
        kind = getattr(diffusers, scheduler)
        pipeline.scheduler = kind.from_config(pipeline.scheduler.config, **said)
    pipeline.set_progress_bar_config(disable=True)
    execution.lay(pipeline, folder.name, size)
    place(pipeline, device, offload)
    return pipeline


def place(pipeline: Any, device: str, offload: str) -> None:
    """Put a pipeline's weights where they are to be between uses."""
    if offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    elif offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=device)
    elif offload == "group":
        pipeline.enable_group_offload(
            torch.device(device), offload_type="leaf_level", use_stream=True
        )
    elif offload == "encoders":
        resting = encoders(pipeline)
        for name, part in pipeline.components.items():
            if isinstance(part, torch.nn.Module) and name not in resting:
                part.to(device)
        for part in resting.values():
            lay_to_rest(part, device)
    else:
        pipeline.to(device)


def _network(
    form: Form, folder: PipelineFolder, component: str, dtype: torch.dtype
) -> torch.nn.Module | None:
    """One component, from wherever the form says that its weights lie; None where it has none."""
    library, class_name = folder.components()[component]
    kind = class_of(library, class_name)
    if form.file and component == "safety_checker":
        return None
    if component == "vae" and form.vae:
        if form.vae.path.is_file():
            return SingleFile(form.vae, is_vae=True).load(component, kind, folder, dtype)
        path = vae_folder(fetch_weights(form.vae, vae_files(form.vae, form.variant)))
        names = [file.name for file in path.glob("*.safetensors")]
        variant = chosen_variant(names, form.variant, str(form.vae))
        return _read_network(kind, path, str(form.vae), variant, dtype)
    if form.file and form.file.holds(component, class_name):
        return form.file.load(component, kind, folder, dtype)
    where = f"{folder.name}/{component}"
    return _read_network(kind, folder.path / component, where, folder.variant_of(component), dtype)


def _read_network(
    kind: Any, path: Path, where: str, variant: str, dtype: torch.dtype
) -> torch.nn.Module:
    """One component out of a folder of its own, whole."""
    try:
        network, report = kind.from_pretrained(
            path,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            variant=variant or None,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:  # damaged, or misshapen
        raise ConfigError(
            f"the weights of {where} cannot be read ({error}): copy them again"
        ) from error
    refuse_missing(where, report["missing_keys"])
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


def _lay_over(pipeline: Any, located: Located, path: str, adapter: Adapter) -> None:
    file = fetch_weights(located, [path]) / path
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
