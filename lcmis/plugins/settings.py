"""How a user names models, checkers and text models, and wants an audit run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import SecretStr

from lcmis.types import Adapter, Embedding

if TYPE_CHECKING:
    from collections.abc import Iterable


USUAL_STORE = "audit"
"""The folder of facts where nobody names another."""


@dataclass(frozen=True, slots=True)
class HostedSettings:
    """How a service that draws is reached, and what it may cost."""

    endpoint: str = ""
    """The base address; LCMIS_ENDPOINT where a file says nothing."""
    key: SecretStr | None = None
    """From LCMIS_API_KEY only; never printed, stored or recorded."""
    quality: str | None = None
    """As the service calls it."""
    price: float | None = None
    """Of one picture, in the currency of your bill."""
    spend_limit: float | None = None
    """That one run may spend, in the same currency; needs the price. Whatever may have been billed
    counts, answers that are of no use included."""
    requests_per_minute: float | None = None
    """No faster than the service allows."""
    deadline_seconds: float = 180.0
    """For one picture, all retries included."""
    proxy: SecretStr | None = None
    """Through which it is reached: from LCMIS_PROXY only, since a password may stand in it."""
    api_version: str | None = None
    """As Azure wants it; ``?api-version=…`` behind the endpoint says the same."""
    endpoints: tuple[str, ...] = ()
    """Further addresses of the same model, which share its work; the first of all names it."""
    in_flight: int | None = None
    """Requests under way at each address at once; 4 where nothing is said."""
    seeded: bool = False
    """Whether it draws from a seed, with the steps, guidance and negative prompt that it is told,
    as vLLM-Omni, SGLang-Diffusion and Dynamo do; looked at before its pictures count."""
    dialect: Literal["plain", "nvext"] = "plain"
    """Where those stand in a request: beside the prompt, or in ``nvext`` as Dynamo wants them."""
    guidance: Literal["guidance_scale", "true_cfg_scale"] | None = None
    """What the engine calls the scale; guidance_scale, but for models known to want the other."""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """How a user names an image model and wants it run; None leaves a choice to the model."""

    name: str
    """A registered name, a hub name, a folder or a file of weights."""
    revision: str | None = None
    """A branch, tag or commit of the hub; its main branch otherwise."""
    adapters: tuple[Adapter, ...] = ()
    """LoRA weights laid over the model, in order."""
    device: str = "auto"
    """``auto`` takes an accelerator if there is one; ``cuda`` where there is none is an error."""
    dtype: str = "auto"
    """``float32``, ``float16``, ``bfloat16``; ``auto`` is float32 on a CPU, else bfloat16."""
    offload: str = "none"
    """``none``, ``encoders``, ``model``, ``group`` or ``sequential``: what rests in main memory
    between uses."""
    channels_last: bool | None = None
    """Whether convolutions compute with the channels innermost."""
    compiled: str = "none"
    """``none``, ``regional`` (the denoiser's repeated blocks) or ``whole`` (all of it)."""
    vae_decoding: str | None = None
    """``whole``, ``compiled``, ``sliced`` (a picture at a time) or ``tiled`` (parts of one)."""
    attention_backend: str | None = None
    """What computes attention, as diffusers calls it, e.g. ``_native_cudnn``."""
    cache: str | None = None
    """What draws the pictures by which repairs search, faster and not quite as the model does:
    ``first-block:0.12``, ``taylor-seer:5``, …; audits and certificates are drawn without it."""
    search_dtype: str | None = None
    """``float8``: numbers in which the denoiser's layers compute pictures by which repairs search;
    audits and certificates are drawn without it."""
    gradient_checkpointing: bool | None = None
    """Whether inversions compute the denoiser's layers again as gradients come back: slower by a
    third, and far less memory; only for models that gradients go through."""
    threads: int | None = None
    """Cores that compute one batch, on a CPU; as many batches are drawn side by side as there are
    cores for. All cores where nothing is said."""
    num_inference_steps: int | None = None
    """Denoising steps of one picture."""
    guidance_scale: float | None = None
    """How strongly the prompt is followed."""
    scheduler: str | None = None
    """A diffusers scheduler class, e.g. ``EulerDiscreteScheduler``."""
    height: int | None = None
    """In pixels."""
    width: int | None = None
    """In pixels."""
    negative_prompt: str | None = None
    """What every picture is steered away from; ``""`` is nothing, also for a model whose authors
    use one."""
    batch_size: int | None = None
    """Pictures drawn at once."""
    base: str | None = None
    """Of a single file of weights: the folder or hub name that says how its model is built."""
    vae: str | None = None
    """Another VAE than the model's own: a folder, a hub name or a file."""
    variant: str | None = None
    """Which weights of a folder that holds several are loaded, e.g. ``fp16``."""
    embeddings: tuple[Embedding, ...] = ()
    """Words of one's own (textual inversions) that prompts may use."""
    refiner: str | None = None
    """Of Stable Diffusion XL: the model that repairs may let draw the last steps, a hub name or a
    folder. It draws nothing else."""
    hosted: HostedSettings | None = None
    """Only for models behind an API."""

    def of_the_picture(self) -> dict[str, str]:
        """What is asked of the pictures themselves, by name, where the model is not left to choose;
        how they are computed is none of it.
        """
        asked = {name: getattr(self, name) for name in _OF_THE_PICTURE}
        if self.hosted is not None:
            asked["quality"] = self.hosted.quality
        return {
            name: ", ".join(map(str, said)) if isinstance(said, tuple) else str(said)
            for name, said in asked.items()
            if said not in (None, ())
        }

    def is_given(self, given: Iterable[str]) -> bool:
        """Whether what a search was given, ``"name value"`` each, names of what is asked of the
        pictures just what is asked here.
        """
        asked = {one for one in given if one.partition(" ")[0] in (*_OF_THE_PICTURE, "quality")}
        return asked == {f"{name} {said}" for name, said in self.of_the_picture().items()}


_OF_THE_PICTURE = (
    "num_inference_steps",
    "guidance_scale",
    "scheduler",
    "height",
    "width",
    "negative_prompt",
    "adapters",
    "embeddings",
    "base",
    "vae",
    "variant",
)


@dataclass(frozen=True, slots=True)
class RemoteSettings:
    """How a checker behind an address is asked, and what it may cost."""

    endpoint: str = ""
    """The base address; LCMIS_ENDPOINT where a file says nothing."""
    key: SecretStr | None = None
    """From the environment only; never printed, stored or recorded."""
    key_variable: str = "LCMIS_API_KEY"
    """The environment variable that holds its key, where it is not the same as that of others."""
    samples: int = 0
    """Replies to each question, drawn by chance and counted; 0 reads the probabilities of the first
    word, which only some services tell."""
    top_logprobs: int = 20
    """How many of the likeliest words a service is asked to tell; only without samples."""
    thinking_tokens: int = 0
    """How long a thought before each reply may be, of a model that thinks; needs samples."""
    think: bool | None = None
    """Tells the server's chat template whether to think, as vLLM and SGLang take it; else nothing
    is said of it."""
    reasoning_effort: str = ""
    """As the service calls it: ``low``, ``medium``, …"""
    max_tokens: int = 256
    """How long one sampled reply may be, its thought not counted."""
    detail: str = ""
    """How closely a picture is looked at, as the service calls it: ``low``, ``high``, …"""
    in_flight: int = 8
    """Requests at once."""
    price_read: float | None = None
    """Of a million tokens that it reads, in the currency of your bill."""
    price_written: float | None = None
    """Of a million tokens that it writes, thoughts included."""
    spend_limit: float | None = None
    """That one run may spend on this checker, in the same currency; needs both prices. Whatever may
    have been billed counts, answers that are of no use included."""
    requests_per_minute: float | None = None
    """No faster than the service allows."""
    deadline_seconds: float = 120.0
    """For one answer, all retries included."""
    proxy: SecretStr | None = None
    """Through which it is reached: from LCMIS_PROXY only, since a password may stand in it."""
    api_version: str | None = None
    """As Azure wants it; ``?api-version=…`` behind the endpoint says the same."""


@dataclass(frozen=True, slots=True)
class CheckerSettings:
    """How a user names a checker and wants it run."""

    kind: str
    """A registered kind: ``clip``, ``vqa``, …"""
    name: str = ""
    """What that kind calls a model: ``ViT-B-32/laion2b_s34b_b79k``, a hub name, a folder; empty
    where the kind is one model."""
    revision: str | None = None
    """A branch, tag or commit of the hub; its main branch otherwise."""
    device: str = "auto"
    """As for models."""
    dtype: str = "auto"
    """As for models."""
    batch_size: int | None = None
    """Pictures looked at at once."""
    device_map: str | None = None
    """Only ``vqa``: ``auto``, ``balanced``, … spread one model over all GPUs; else it is on one."""
    offload: str = "none"
    """Only ``vqa``: ``none``, ``model`` or ``sequential``, as for models."""
    remote: RemoteSettings | None = None
    """Only for checkers behind an API."""
    none_below: float | None = None
    """Only for detectors and comparisons; in (0, 1). A detector: where no option of a choice has a
    box with such a score, it is none of these; the model's own by default. A comparison: the weight
    of neither."""


def checker_named(text: str) -> CheckerSettings:
    """Read the short form ``kind``, ``kind:name`` or ``kind:name@revision``."""
    kind, _, rest = text.partition(":")
    name, at, revision = rest.rpartition("@")
    if at and name:  # some services' names begin with one
        return CheckerSettings(kind, name, revision=revision)
    return CheckerSettings(kind, rest)


@dataclass(frozen=True, slots=True)
class TextModelSettings:
    """How a user names a text model and wants it run."""

    kind: str
    """A registered kind: ``openai`` is any endpoint that speaks the chat protocol."""
    name: str = ""
    """What the endpoint calls the model; empty where the kind is one model."""
    endpoint: str = "https://api.openai.com/v1"
    """The base address, without a user name, password, query or fragment."""
    key: SecretStr | None = None
    """Never printed, stored or recorded; None for an endpoint that asks for none."""
    sees_images: bool = False
    """Whether pictures may be shown to it."""
    max_tokens: int = 4096
    """How long one reply may be."""
    temperature: float | None = None
    """None leaves it to the endpoint."""
    deadline_seconds: float = 120.0
    """For one answer, all retries and second questions included."""
    proxy: SecretStr | None = None
    """Through which it is reached: from LCMIS_PROXY only, since a password may stand in it."""
    api_version: str | None = None
    """As Azure wants it; ``?api-version=…`` behind the endpoint says the same."""


@dataclass(frozen=True, slots=True)
class StoppingSettings:
    """When a pair has been drawn often enough; probabilities and rates in (0, 1)."""

    rule: Literal["sprt", "curtailed", "fixed"] = "sprt"
    """A sequential test, as many as still matter, or always ``cap``."""
    threshold: float = 0.5
    """A pair fails when more than this share of its pictures is wrong."""
    delta: float = 0.18
    """Half the width of the zone around the threshold in which ``sprt`` may go either way."""
    alpha: float = 0.05
    """Chance that a pair at the lower edge of that zone is called failing."""
    beta: float = 0.05
    """Chance that a pair at its upper edge is called sound."""
    block: int = 4
    """Pictures drawn between two looks."""
    cap: int = 20
    """Pictures of one pair at the most."""


@dataclass(frozen=True, slots=True)
class ApartSettings:
    """A model or a checker with workers and devices of its own."""

    name: str
    """As a model is named, or KIND:NAME of a checker."""
    count: int = 1
    """Workers that hold it."""
    gpus: float | None = None
    """Of each; a fraction shares a GPU with others. One where there are any."""
    memory: float = 0.0
    """Main memory that each may count on, in GiB; 0 says nothing."""


@dataclass(frozen=True, slots=True)
class WorkersSettings:
    """Who draws and checks, and on what."""

    count: int = 0
    """Processes that each draw and check; 0 is this one alone, or one a GPU of a cluster."""
    ray: str = ""
    """The address of a Ray cluster, or ``auto`` for the one that this machine is part of; else
    workers run on this machine."""
    gpus: float | None = None
    """Of each; a fraction lets small models share a GPU. One where there are any."""
    memory: float = 0.0
    """Main memory that each may count on, in GiB; 0 says nothing."""
    apart: tuple[ApartSettings, ...] = ()
    """Models and checkers that have workers of their own, such as a large judge."""

    @property
    def are_elsewhere(self) -> bool:
        """Whether there are any but this process."""
        return bool(self.count or self.ray or self.apart)


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Everything an audit needs to know, in one value; a run keeps it."""

    models: tuple[ModelSettings, ...]
    """What is audited."""
    checkers: tuple[CheckerSettings, ...]
    """The first one decides; the others are second opinions, shown where they disagree."""
    pairs: tuple[str, ...]
    """Names of shipped catalogues, and pair files."""
    column: str = ""
    """Of the files of pairs, the one that holds the prompts; found where it is not named."""
    patterns: tuple[str, ...] = ()
    """Only pairs whose pattern contains one of these words; empty is all."""
    limit: int | None = None
    """At most so many pairs, spread evenly over the patterns."""
    store: str = USUAL_STORE
    """A folder, or a database URL together with ``pictures``."""
    pictures: str | None = None
    """Where the pictures lie, if not beside the facts: a folder, or an address such as
    ``s3://bucket/prefix``."""
    threshold: float = 0.5
    """A concept counts as present from this score on."""
    stopping: StoppingSettings = StoppingSettings()
    """When a pair has been drawn often enough."""
    first_seed: int = 0
    """Picture i of every pair is drawn from seed ``first_seed + i``."""
    max_failures: int = 20
    """So many failed items stop the audit, if they are also ``max_failure_share`` of all that was
    tried: something other than them is wrong. What failed in an earlier run is no news."""
    max_failure_share: float = 0.05
    """In [0, 1]; 0 stops at the number alone."""
    shard: str = ""
    """``i/n``: only the i-th of n parts of the pairs, for who has a queue system and no Ray; each
    part is drawn into a store of its own or into the same database."""
    workers: WorkersSettings = WorkersSettings()
    """Who draws and checks: this process, or workers on every device."""
    text_model: TextModelSettings | None = None
    """Asked by commands that repair, propose and evolve; an audit asks none."""
