"""How a class of pipelines is run: read from its signature and configuration, not written here."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from lcmis.errors import ConfigError
from lcmis.render.conditioning import Defaults
from lcmis.render.pipeline_folder import PipelineFolder
from lcmis.render.signature import Signature, signature_of

GUIDANCE = (
    "guidance_scale",
    "true_cfg_scale",
    "distilled_guidance_scale",
    "prior_guidance_scale",
    "decoder_guidance_scale",
)
"""What pipelines call the strength of guidance, the first of two numbers first. A second one stays
at the pipeline's own default."""
DENOISERS = ("transformer", "unet")
"""The component that is called once or more per step."""
OTHER_TASKS = re.compile(
    "Img2Img|Inpaint|ControlNet|Adapter|Upscale|SuperRes|Edit|Pix2Pix|Depth2|Layered|Refiner|Audio"
)
"""In the name of a pipeline whose picture is made of more than words."""


@dataclass(frozen=True, slots=True)
class Own:
    """What cannot be read of one class of pipelines, each with its reason."""

    num_inference_steps: int | None = None
    """Fewer than the signature says, where as many are known to do."""
    guidance_scale: float | None = None
    mixes: bool = False
    """Its prompts all have one length, so that different ones may share a batch: proved by
    ``tests/test_render.py`` against each prompt drawn alone."""
    unstaged: str = ""
    """Why its prompt cannot be switched between steps; empty where that is tried."""
    alone: str = ""
    """Why it draws one picture at a time; empty where it draws several."""
    is_unguided: bool = False
    """Takes a guidance scale for the sake of its relatives, and heeds none."""
    takes_one_text: bool = False
    """Draws one prompt, a text and no list, as many times as it is told."""
    unsteered: str = ""
    """Why it heeds no negative prompt, though it takes one; empty where it does."""
    size_entry: str = ""
    """What ``model_index.json`` calls the usual height and width in pixels."""
    told: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the call that must not stay as they are."""


TWO_NETWORKS = (
    "two networks are told of the prompt, one after the other, and the first decides the picture"
)
TWICE_THE_SEEDS = "its prior wants a seed of its own for each, and its decoder none"
TWO_TIMES = "diffusers tells its guided denoiser two timesteps, however many pictures there are"

OWN: Mapping[str, Own] = {
    # thirty steps of its multistep schedulers do what fifty did of those it was published with
    "StableDiffusionPipeline": Own(num_inference_steps=30, mixes=True),
    "StableDiffusionXLPipeline": Own(num_inference_steps=30, mixes=True),
    "StableDiffusion3Pipeline": Own(mixes=True),
    "FluxPipeline": Own(mixes=True),
    # its usual guidance is a schedule for 48 steps; a number would be refused beside it
    "Ideogram4Pipeline": Own(guidance_scale=7.0, told={"guidance_schedule": None}),
    # its usual second time is for two steps, and refused for any other number
    "SanaSprintPipeline": Own(told={"intermediate_timesteps": None}),
    "StableCascadeCombinedPipeline": Own(unstaged=TWO_NETWORKS),
    "WuerstchenCombinedPipeline": Own(
        unstaged=TWO_NETWORKS,
        alone="it tells its second network every prompt as often as there are pictures",
    ),
    # else a language model puts other words in the place of those asked for
    "LongCatImagePipeline": Own(told={"enable_prompt_rewrite": False}),
    "DreamLitePipeline": Own(takes_one_text=True),
    "DreamLiteMobilePipeline": Own(takes_one_text=True, is_unguided=True),
    "StableDiffusionSAGPipeline": Own(
        unstaged="its guidance looks into the denoiser while that draws"
    ),
    # what it keeps of the prompt from its first step on could not be switched
    "QwenImage21Pipeline": Own(told={"use_kv_cache": False}),
    "KandinskyCombinedPipeline": Own(unsteered=TWICE_THE_SEEDS),
    "KandinskyV22CombinedPipeline": Own(unsteered=TWICE_THE_SEEDS),
    "PRXPipeline": Own(alone=TWO_TIMES, size_entry="default_sample_size"),
    "PRXPixelPipeline": Own(alone=TWO_TIMES, size_entry="default_sample_size"),
    # it interleaves the halves of guided pictures and does not interleave their prompts
    "StableDiffusionPanoramaPipeline": Own(alone="it gives a picture its neighbour's prompt"),
}
"""By pipeline class. All other classes are run by what their signature and configuration say."""


CLIP, PROJECTED, T5 = "CLIPTextModel", "CLIPTextModelWithProjection", "T5EncoderModel"
DIFFERENTIABLE: Mapping[str, Sequence[Mapping[str, str]]] = {
    "StableDiffusionPipeline": [{"text_encoder": CLIP}],
    "StableDiffusionXLPipeline": [{"text_encoder": CLIP, "text_encoder_2": PROJECTED}],
    "StableDiffusion3Pipeline": [
        {"text_encoder": PROJECTED, "text_encoder_2": PROJECTED, "text_encoder_3": T5},
        {"text_encoder": PROJECTED, "text_encoder_2": PROJECTED},
    ],
    "FluxPipeline": [{"text_encoder": CLIP, "text_encoder_2": T5}],
}
"""Pipeline class to the text encoders, all of them, with which gradients go through it."""
PREDICTIONS = ("epsilon", "v_prediction", "sample")
"""What U-Nets are known to predict, as schedulers call it."""


class PipelineKind:
    """One class of pipelines, as far as configuration files and its source tell.

    Raises:
        ConfigError: it is no text-to-image pipeline.
    """

    def __init__(self, folder: PipelineFolder) -> None:
        self.folder = folder
        self.own = OWN.get(folder.class_name, Own())
        self.signature: Signature = signature_of(folder.class_name)
        self._refuse_other_tasks()

    def defaults(self) -> Defaults:
        """The numbers of the pipeline's authors, from its signature and configuration."""
        height, width = self._size()
        steps = self.own.num_inference_steps or self.signature.default("num_inference_steps")
        return Defaults(
            num_inference_steps=4 if self._is_schnell else steps,
            guidance_scale=self._usual_guidance(),
            height=height,
            width=width,
            multiple=self.multiple,
            negative_prompt=" " if self.guidance == "true_cfg_scale" else "",
        )

    # ── guidance ─────────────────────────────────────────────────────────────────────────────

    @cached_property
    def guidance(self) -> str:
        """The parameter that takes the guidance scale, or ``"guider"`` where a component of that
        name holds it; empty where the model takes none.
        """
        if self._is_embedded is True and "guidance_scale" in self.signature:
            return "guidance_scale"
        if self._is_embedded is False:  # it could read a scale, and this one was made without
            if "true_cfg_scale" in self.signature:
                usual = self.signature.default("true_cfg_scale")
                is_only_one = "guidance_scale" not in self.signature
                return "true_cfg_scale" if is_only_one or usual != 1 else ""
            if "distilled_guidance_scale" in self.signature:
                return "guider" if self.folder.has("guider") else ""
        if self.folder.index.get("is_distilled") is True or self.own.is_unguided:
            return ""
        plain = [name for name in GUIDANCE if name in self.signature]
        if "true_cfg_scale" in plain and self.signature.default("guidance_scale") is None:
            return "true_cfg_scale"
        return plain[0] if plain else ""

    @property
    def _is_embedded(self) -> bool | None:
        """Whether the denoiser reads the scale as an input; None where its kind never says."""
        embedded = self._denoiser_config().get("guidance_embeds")
        return embedded if isinstance(embedded, bool) else None

    def _usual_guidance(self) -> float | None:
        if self.own.guidance_scale is not None:
            return self.own.guidance_scale
        if not self.guidance:
            return 0.0
        if self.guidance == "guider":
            said = self.folder.settings("guider").get("guidance_scale")
        else:
            said = self.signature.default(self.guidance)
        return float(said) if isinstance(said, int | float) else None

    @property
    def takes_negative_prompts(self) -> bool:
        """Whether there is a place for one that acts."""
        if "negative_prompt" not in self.signature or not self.guidance or self.own.unsteered:
            return False
        inert = "true_cfg_scale" in self.signature and self.guidance != "true_cfg_scale"
        return not inert and self.folder.index.get("is_distilled") is not True

    def refusal(self, guidance_scale: float, negative_prompt: str) -> str:
        """Why this family cannot be guided so; empty if it can, as far as can be read."""
        if negative_prompt and not self.takes_negative_prompts:
            reason = f" that could be followed ({self.own.unsteered})" if self.own.unsteered else ""
            return f"this {self.folder.class_name} has no negative prompt{reason}: leave it out"
        if guidance_scale and not self.guidance:
            return (
                f"this {self.folder.class_name} was distilled without guidance, so guidance_scale "
                f"= {guidance_scale:g} would change nothing: set it to 0 or leave it out"
            )
        if negative_prompt and guidance_scale <= 1:
            return (
                f"a negative prompt has no effect at guidance_scale = {guidance_scale:g}: "
                f"set it above 1, or leave the negative prompt out"
            )
        if self.guidance == "true_cfg_scale" and guidance_scale > 1 and not negative_prompt:
            return (
                f"guidance_scale = {guidance_scale:g} would change nothing without a negative "
                f'prompt, since this pipeline has no other: set negative_prompt = " "'
            )
        return ""

    @property
    def _is_schnell(self) -> bool:
        """FLUX distilled to four steps without guidance; its pipeline only knows of the other."""
        return self.folder.class_name == "FluxPipeline" and self._is_embedded is False

    # ── size ─────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def multiple(self) -> int:
        """Of which height and width must be multiples, as far as can be read."""
        factor = self._vae_scale_factor
        return math.lcm(self.signature.multiple(self._known(factor)), factor or 1)

    def _known(self, factor: int | None) -> dict[str, int]:
        """Numbers of the configuration by the names under which a pipeline's source asks them."""
        known = dict.fromkeys(("vae_scale_factor", "vae_scale_factor_spatial"), factor)
        known |= {name: self._denoiser_config().get(name) for name in ("patch_size", "sample_size")}
        return {name: value for name, value in known.items() if isinstance(value, int)}

    def _size(self) -> tuple[int | None, int | None]:
        height, width = (self.signature.default(name) for name in ("height", "width"))
        if isinstance(height, int) and isinstance(width, int):
            return height, width
        if isinstance(usual := self.folder.index.get(self.own.size_entry), int):
            return usual, usual
        factor = self._vae_scale_factor
        size = (
            self.signature.constants.get("default_sample_size")
            or self._denoiser_config().get("sample_size")
            or self.signature.fallbacks.get("default_sample_size")
        )
        if factor is None or not isinstance(size, int | list):
            usual = self.signature.usual_height(self._known(factor))
            return usual, usual
        latent = (size, size) if isinstance(size, int) else (size[0], size[1])
        return latent[0] * factor, latent[1] * factor

    @cached_property
    def _vae_scale_factor(self) -> int | None:
        """Pixels per latent pixel along one side; None where no configuration says so."""
        name = next((n for n in ("vae", "movq", "vqvae") if self.folder.has(n)), None)
        if name is None:
            return self.signature.fallbacks.get("vae_scale_factor")
        config = self.folder.config(name)
        for said in ("spatial_compression_ratio", "scale_factor_spatial"):
            if isinstance(config.get(said), int):
                return int(config[said])
        for said, more in (
            ("block_out_channels", 1),
            ("encoder_block_out_channels", 1),
            ("temperal_downsample", 0),
        ):
            if isinstance(config.get(said), Sequence):
                return int(2 ** (len(config[said]) - more))
        return None

    # ── the rest ─────────────────────────────────────────────────────────────────────────────

    @property
    def denoiser(self) -> str:
        """The component that is called once or more per step; empty where it is none of ours."""
        return next((name for name in DENOISERS if self.folder.has(name)), "")

    @property
    def denoiser_class(self) -> str:
        """Of that component; empty where it is none of ours."""
        return self.folder.components()[self.denoiser][1] if self.denoiser else ""

    @property
    def unstaged(self) -> str:
        """Why the prompt cannot be switched between steps; empty where that can be tried."""
        if not self.denoiser:
            return "none of its parts is known to be the one that is told of the prompt"
        return self.own.unstaged

    @property
    def flow(self) -> bool | None:
        """Whether it is trained by flow matching, and needs such a scheduler; None where its own
        scheduler is neither.
        """
        config = self.folder.config("scheduler")
        if str(config.get("_class_name", "")).startswith("FlowMatch"):
            return True
        if config.get("use_flow_sigmas") or config.get("prediction_type") == "flow_prediction":
            return None
        return False

    @cached_property
    def undifferentiable(self) -> str:
        """Why no class of ours (:mod:`lcmis.render.differentiable`) can take it apart, to end a
        sentence; empty where one can.
        """
        parts = self.folder.components()
        if self.folder.class_name not in DIFFERENTIABLE:
            return f"it is a {self.folder.class_name}"
        if not self.has_known_encoders:
            read = ", ".join(_encoders(parts).values())
            return f"its prompts are read by other text encoders than are known here ({read})"
        _, vae = parts.get("vae", ("", "None"))
        if vae != "AutoencoderKL":
            return f"its VAE is {vae}, and what pictures are to it is only known of AutoencoderKL"
        return self._unknown_training

    @property
    def has_known_encoders(self) -> bool:
        """Whether prompts are read by the text encoders that its class was published with."""
        known = DIFFERENTIABLE.get(self.folder.class_name, ())
        return _encoders(self.folder.components()) in known

    @property
    def _unknown_training(self) -> str:
        """Why its scheduler does not say how it was trained; empty where it does."""
        config = self.folder.config("scheduler")
        kind = f"its {config.get('_class_name')}"
        if self.denoiser == "transformer":
            return "" if self.flow else f"{kind} is no FlowMatch…Scheduler, as it was trained with"
        if self.folder.config(self.denoiser).get("time_cond_proj_dim"):
            return "its U-Net is told the guidance scale, as one distilled from another learned it"
        if "sigma_data" in config:
            return f"{kind} has the noise of EDM (sigma_data), and no betas say what it learned"
        if self.flow is not False:
            return f"{kind} is for flow matching, and a U-Net is known here by its betas"
        if (predicts := config.get("prediction_type", PREDICTIONS[0])) not in PREDICTIONS:
            return f"its U-Net predicts {predicts!r}, which is none of {', '.join(PREDICTIONS)}"
        if config.get("timestep_type") == "continuous" and predicts == "v_prediction":
            return f"{kind} tells its U-Net logarithms of the noise (timestep_type) and no steps"
        if config.get("trained_betas") is None and not {"beta_start", "beta_end"} <= config.keys():
            return f"{kind} names no betas, by which a U-Net was trained"
        return ""

    @cached_property
    def max_sequence_length(self) -> int | None:
        """Tokens of a prompt that the pipeline is told to read; None where it takes no such number.

        FLUX schnell was trained on half of what dev reads, and its pipeline does not know.
        """
        usual = self.signature.default("max_sequence_length")
        if self._is_schnell:
            return 256
        return int(usual) if isinstance(usual, int) else None

    def token_limits(self) -> Mapping[str, int]:
        """Tokenizer component to how many tokens of a prompt are read, special ones counted.

        Of pipelines that give their tokenizers the prompt alone, and only of those: what others put
        around it is heard by :class:`lcmis.render.lengths.Lengths`, which costs an import of torch.
        Where T5 reads the whole prompt, the CLIP encoders beside it see no more than their 77 by
        design, and only give its summary.
        """
        if not self.own.mixes:
            return {}
        if self.folder.class_name == "StableDiffusion3Pipeline" and self.folder.has(
            "text_encoder_3"
        ):
            return {"tokenizer_3": self.max_sequence_length or 256}
        if self.folder.class_name == "FluxPipeline":
            return {"tokenizer_2": self.max_sequence_length or 512}
        tokenizers = [name for name in self.folder.components() if name.startswith("tokenizer")]
        return {name: self._positions(name) for name in tokenizers}

    def _positions(self, tokenizer: str) -> int:
        encoder = tokenizer.replace("tokenizer", "text_encoder")
        return int(self.folder.config(encoder)["max_position_embeddings"])

    def arguments(
        self, guidance_scale: float, steps: int, height: int, width: int
    ) -> dict[str, Any]:
        """What the pipeline is called with beside prompts and seeds."""
        told = {
            "num_inference_steps": steps,
            "height": height,
            "width": width,
            "output_type": "np",
            "use_resolution_binning": False,  # else it draws another size, and stretches that
            "max_sequence_length": self.max_sequence_length,
            **self.own.told,
        }
        if self.guidance and self.guidance != "guider":
            told[self.guidance] = guidance_scale
        if self.folder.class_name == "SanaSprintPipeline" and steps == 2:
            del told["intermediate_timesteps"]
        return {
            name: value
            for name, value in told.items()
            if name in self.signature and not (name == "max_sequence_length" and value is None)
        }

    def _denoiser_config(self) -> dict[str, Any]:
        return self.folder.config(self.denoiser) if self.denoiser else {}

    def _refuse_other_tasks(self) -> None:
        name, signature = self.folder.class_name, self.signature
        lacking = signature.missing("prompt")
        if (
            "prompt" not in signature
            or "num_frames" in signature
            or lacking
            or OTHER_TASKS.search(name)
        ):
            wants = f" (it also wants {lacking[0]})" if lacking else ""
            raise ConfigError(
                f"{self.folder.name} is a {name}, which does not draw one picture from words "
                f"alone{wants}: take a text-to-image model"
            )
        for needed in ("num_inference_steps", "generator", "output_type"):
            if needed not in signature:
                raise ConfigError(
                    f"{self.folder.name} is a {name}, which cannot be told its {needed}: take "
                    f"another model"
                )


def _encoders(components: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Text encoder to its class."""
    return {name: kind for name, (_, kind) in components.items() if name.startswith("text_encoder")}
