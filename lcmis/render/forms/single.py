"""One file of weights, as model-sharing sites hand them out: which parts of a pipeline it holds."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from lcmis.errors import ConfigError
from lcmis.machine.weights import tensor_shapes
from lcmis.render.forms.kinds import WANTED
from lcmis.render.forms.quantised import refuse_absent

if TYPE_CHECKING:
    import torch

    from lcmis.machine.hub import Located
    from lcmis.render.pipeline_folder import PipelineFolder

PICKLED = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
DENOISERS = ("unet", "transformer")
DENOISER_PREFIX = "model.diffusion_model."
"""In front of the denoiser's tensors, where a file holds more than that."""
OTHER_PREFIXES = (
    "cond_stage_model.",
    "conditioner.",
    "first_stage_model.",
    "model_ema.",
    "text_encoders.",
    "vae.",
)
PREFIXES = {
    "vae": ("first_stage_model.", "vae."),
    "text_encoder": (
        "cond_stage_model.transformer.",
        "cond_stage_model.model.",
        "conditioner.embedders.0.transformer.",
        "text_encoders.clip_l.transformer.",
    ),
    "text_encoder_2": ("conditioner.embedders.1.model.", "text_encoders.clip_g.transformer."),
}
"""Component to what its tensors may begin with, in the layouts of the models' own authors."""
VAE_STARTS = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")
T5_PREFIX = "text_encoders.t5xxl.transformer."

MADE_FOR = (
    ("control_model.", "is a ControlNet, not a model: lcmis audits models by prompts alone"),
    ("controlnet", "is a ControlNet, not a model: lcmis audits models by prompts alone"),
    ("motion_modules", "makes films: " + WANTED),
)
ARCHITECTURES = ("llama", "qwen2", "qwen3", "gemma", "mistral", "t5", "t5encoder", "clip", "bert")
"""What a GGUF file calls itself when it is a language model."""


@dataclass(frozen=True)
class SingleFile:
    """A ``.safetensors`` checkpoint or a ``.gguf`` denoiser, of which only the head is read.

    Raises:
        ConfigError: a pickle, damaged, or no model that draws; the sentence says what it is.
    """

    located: Located
    is_vae: bool = False
    """Whether it is wanted as a VAE alone."""

    def __post_init__(self) -> None:
        name, suffix = str(self.located), self.located.path.suffix.lower()
        if suffix in PICKLED:
            raise ConfigError(
                f"{name} is a pickle, which can run code when opened: take the same model as "
                f".safetensors"
            )
        if suffix not in (".safetensors", ".gguf"):
            raise ConfigError(
                f"{name} is no file of weights that lcmis knows: name a folder, a hub name, or a "
                f".safetensors or .gguf file"
            )
        if self.is_gguf:
            refuse_absent("gguf", f"{name} is a GGUF file")
        if not self.is_vae:
            self._refuse_other_kinds()
        elif not any(".conv_in." in key for key in self.shapes):
            raise ConfigError(f"{name} is no VAE: name a folder, a hub name or a file of one")

    @property
    def is_gguf(self) -> bool:
        """Whether its numbers are quantised in llama.cpp's way."""
        return self.located.path.suffix.lower() == ".gguf"

    @cached_property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Tensor to shape."""
        if not self.is_gguf:
            return tensor_shapes(self.located.path, str(self.located))
        return {
            tensor.name: tuple(int(size) for size in reversed(tensor.shape))
            for tensor in self._gguf().tensors
        }

    @property
    def _is_whole(self) -> bool:
        """Whether it names the denoiser, and so may hold more than that."""
        return any(key.startswith(DENOISER_PREFIX) for key in self.shapes)

    def holds(self, component: str, class_name: str) -> bool:
        """Whether this part of a pipeline is in the file."""
        return component in DENOISERS or self._prefix(component, class_name) is not None

    def base_wanted(self) -> str:
        """The sentence for who named this file without a base."""
        guess = self._usual_base()
        built = f" {guess}" if guess else " MODEL"
        told = f"; by its tensors, it was made from {guess}" if guess else ""
        return (
            f"{self.located} is one file of weights, which does not say how its model is built: "
            f"name the hub model or diffusers folder that does, --base{built}{told}"
        )

    def scheduler_settings(self) -> dict[str, Any]:
        """What the file itself says of its training: markers that hold no numbers."""
        said: dict[str, Any] = {}
        if "v_pred" in self.shapes:
            said["prediction_type"] = "v_prediction"
        if "ztsnr" in self.shapes:
            said["rescale_betas_zero_snr"] = True
        return said

    def load(
        self, component: str, kind: Any, base: PipelineFolder, dtype: torch.dtype
    ) -> torch.nn.Module:
        """One component of a class of diffusers or transformers, built as its base says.

        Raises:
            ConfigError: tensors are missing, misshapen or left over.
        """
        from safetensors import SafetensorError

        where = f"{self.located}/{component}"
        wrong = f"name the base that it was made from; {base.name} is another one"
        try:
            if component in DENOISERS or component == "vae":
                network = self._diffusers_network(component, kind, base, dtype)
            else:
                network = self._text_encoder(component, kind, base, dtype)
        except (
            AttributeError,  # what converters raise where a tensor is not what they expect
            IndexError,
            KeyError,
            OSError,
            RuntimeError,
            TypeError,
            ValueError,
            SafetensorError,
        ) as error:
            raise ConfigError(f"{where} cannot be built ({_first_line(error)}): {wrong}") from error
        lacking = {key for key, one in network.named_parameters() if one.is_meta}
        self._refuse_missing(component, lacking, base)
        loaded: torch.nn.Module = network
        return loaded

    def _refuse_missing(self, component: str, lacking: Set[str], base: PipelineFolder) -> None:
        """Loaders leave empty what a file lacks.

        Raises:
            ConfigError: there are such tensors.
        """
        if lacking:
            others = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
            raise ConfigError(
                f"{self.located}/{component} lacks the tensor {min(lacking)}{others} that "
                f"{base.name} is built with: copy the file again, or name the base that it was "
                f"made from"
            )

    def _diffusers_network(
        self, component: str, kind: Any, base: PipelineFolder, dtype: torch.dtype
    ) -> Any:
        from accelerate import init_empty_weights
        from diffusers import GGUFQuantizationConfig
        from diffusers.loaders.single_file_model import (
            SINGLE_FILE_LOADABLE_CLASSES,
            _get_single_file_loadable_mapping_class,
        )

        where = f"{self.located}/{component}"
        mapped = _get_single_file_loadable_mapping_class(kind)
        if mapped is None:
            raise ConfigError(
                f"diffusers cannot read a {kind.__name__} out of one file: take the model as a "
                f"diffusers folder"
            )
        config = kind.load_config(base.path / component, local_files_only=True)
        with init_empty_weights():
            places = kind.from_config(config).state_dict()
        own = self._tensors(component)
        if mapped == "UNet2DConditionModel" and component in DENOISERS and not self._is_whole:
            own = {f"{DENOISER_PREFIX}{key}": one for key, one in own.items()}
        elements = sum(one.numel() for one in own.values())
        if 2 * len(set(places) & set(own)) > len(own):  # in diffusers' own names already
            converted = own
        else:
            convert = SINGLE_FILE_LOADABLE_CLASSES[mapped]["checkpoint_mapping_fn"]
            converted = convert(config=config, checkpoint=dict(own))
        self._refuse_missing(component, set(places) - set(converted), base)
        if component in DENOISERS:
            used = sum(one.numel() for key, one in converted.items() if key in places)
            if used < elements:
                raise ConfigError(
                    f"{where} holds {elements - used:,} numbers for which {base.name} has no place "
                    f"and that would be left out: name the base that it was made from"
                )
        quantised = {"quantization_config": GGUFQuantizationConfig(compute_dtype=dtype)}
        return kind.from_single_file(
            {key: converted[key] for key in places},
            config=str(base.path),
            subfolder=component,
            dtype=dtype,
            local_files_only=True,
            **(quantised if self.is_gguf else {}),
        )

    def _text_encoder(
        self, component: str, kind: Any, base: PipelineFolder, dtype: torch.dtype
    ) -> Any:
        from diffusers.loaders.single_file_utils import (
            create_diffusers_clip_model_from_ldm,
            create_diffusers_t5_model_from_checkpoint,
        )

        is_t5 = kind.__name__ == "T5EncoderModel"
        create = (
            create_diffusers_t5_model_from_checkpoint
            if is_t5
            else create_diffusers_clip_model_from_ldm
        )
        tensors = self._tensors(component, kind.__name__)
        network = create(
            kind,
            checkpoint=dict(tensors),
            config=str(base.path),
            subfolder=component,
            torch_dtype=dtype,
            local_files_only=True,
        )
        network.tie_weights()
        # diffusers takes the identity for SD3's CLIP-L, come what may
        own = tensors.get(f"{self._prefix(component, kind.__name__)}text_projection.weight")
        if own is not None and hasattr(network, "text_projection"):
            network.text_projection.weight.data.copy_(own)
        return network.to(dtype)

    def _tensors(self, component: str, class_name: str = "") -> dict[str, Any]:
        """The part's tensors under the file's own names."""
        prefix = self._prefix(component, class_name)
        if component in DENOISERS:
            names = [
                key
                for key in self.shapes
                if key.startswith(DENOISER_PREFIX)
                or not (self._is_whole or key.startswith(OTHER_PREFIXES))
            ]
            names = [key for key in names if self.shapes[key] not in ((), (0,))]  # markers
        elif component == "vae" and prefix is None:
            names = [key for key in self.shapes if key.startswith(VAE_STARTS)]
        else:
            names = [key for key in self.shapes if prefix and key.startswith(prefix)]
        if self.is_gguf:
            from diffusers.models.model_loading_utils import load_gguf_checkpoint

            read = load_gguf_checkpoint(str(self.located.path))
            return {key: read[key] for key in names}
        from safetensors import safe_open

        with safe_open(self.located.path, framework="pt") as opened:
            return {key: opened.get_tensor(key) for key in names}

    def _prefix(self, component: str, class_name: str) -> str | None:
        prefixes = (T5_PREFIX,) if class_name == "T5EncoderModel" else PREFIXES.get(component, ())
        return next(
            (one for one in prefixes if any(key.startswith(one) for key in self.shapes)), None
        )

    def _gguf(self) -> Any:
        import gguf

        try:
            return gguf.GGUFReader(self.located.path)
        except (OSError, ValueError, IndexError, KeyError) as error:
            raise ConfigError(
                f"{self.located} cannot be read as GGUF ({_first_line(error)}): copy it again"
            ) from error

    def _refuse_other_kinds(self) -> None:
        name, plain = str(self.located), self.located.name
        if self.is_gguf:
            field = self._gguf().get_field("general.architecture")
            said = str(field.contents()) if field else ""
            if said.lower() in ARCHITECTURES:
                raise ConfigError(f"{name} is a language model ({said}): {WANTED}; name such a one")
        keys = list(self.shapes)
        if any("lora_" in key or ".lora." in key or "hada_w1" in key for key in keys):
            raise ConfigError(
                f"{name} is an adapter, not a model: name the model that it was made for with -m, "
                f"and lay it over with --adapter {plain}"
            )
        if keys and (len(keys) == 1 or set(keys) <= {"clip_l", "clip_g"}):
            raise ConfigError(
                f"{name} is a word (textual inversion), not a model: name the model that it was "
                f"made for with -m, and teach it the word with --embedding {plain}"
            )
        for word, what in MADE_FOR:
            if any(word in key for key in keys):
                raise ConfigError(f"{name} {what}")
        rest = [key for key in keys if not key.startswith(OTHER_PREFIXES)]
        if all(key.startswith(VAE_STARTS) for key in rest):
            raise ConfigError(
                f"{name} holds no denoiser: it is no model that draws; another VAE goes into --vae"
            )

    def _usual_base(self) -> str:
        """The model on the hub that diffusers takes such a file for; empty where that is a guess.

        diffusers takes whatever it does not know for Stable Diffusion 1.
        """
        if importlib.util.find_spec("diffusers") is None:  # pragma: no cover
            return ""
        from diffusers.loaders import single_file_utils as known

        heads = {key: SimpleNamespace(shape=shape) for key, shape in self.shapes.items()}
        try:
            kind = known.infer_diffusers_model_type(heads)
        except (AttributeError, IndexError, KeyError, UnboundLocalError, ValueError):
            return ""
        if kind == "v1" and known.CHECKPOINT_KEY_NAMES["v1"] not in heads:
            return ""
        return str(known.DIFFUSERS_DEFAULT_PIPELINE_PATHS[kind]["pretrained_model_name_or_path"])


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
