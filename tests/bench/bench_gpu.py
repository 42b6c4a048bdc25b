"""What one GPU draws through our engine: random models of real sizes, beside plain diffusers.

python tests/bench/bench_gpu.py --into results            # Stable Diffusion XL, FLUX.1-dev, a judge
python tests/bench/bench_gpu.py --into results --tiny     # the same code on small models, any CPU

No weights are fetched: speed, memory and equality of bits need the shapes alone. Every part has a
deadline, and what is known by then is written to gpu.json after each.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parents[2])]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from diffusers import (  # noqa: E402
    AutoencoderKL,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402
from transformers import (  # noqa: E402
    AutoModelForImageTextToText,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    T5Config,
    T5EncoderModel,
)
from worlds.tiny_parts import clip_tokenizer, t5_tokenizer  # noqa: E402
from worlds.tiny_vlms import FAMILIES, Family, config_for, narrow_answers, patches  # noqa: E402
from worlds.tiny_vlms import tokenizer_for as vlm_tokenizer  # noqa: E402

from lcmis.errors import RenderError  # noqa: E402
from lcmis.plugins import registry  # noqa: E402
from lcmis.plugins.settings import ModelSettings  # noqa: E402
from lcmis.render.diffusion import DiffusersModel  # noqa: E402
from lcmis.render.execution import Execution  # noqa: E402
from lcmis.render.loading import place  # noqa: E402
from lcmis.types import Concept, ConceptPair, Intruder, RenderSpec, Side, Stage  # noqa: E402

PROMPTS = (
    "a tea cup of iced coke",
    "a horse that rides an astronaut on the moon",
    "a clock whose hands show ten past two",
    "a glass full of red wine to the brim",
)
SPEC_PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "B200": 2250e12}
"""Dense bfloat16 operations a second that data sheets promise."""


# ── models of real shapes, and of small ones ─────────────────────────────────────────────────────


def _clip(tokenizer: Any, kind: Any, tiny: bool, **sizes: int) -> Any:
    small = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "projection_dim": 32,
        "vocab_size": len(tokenizer),
    }
    ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id")}
    return kind(
        CLIPTextConfig(
            **(small if tiny else {"vocab_size": 49408, **sizes}),
            max_position_embeddings=77,
            hidden_act="quick_gelu" if sizes["hidden_size"] == 768 else "gelu",
            pad_token_id=tokenizer.pad_token_id,
            **ids,
        )
    )


def _vae(tiny: bool, channels: int, **more: Any) -> AutoencoderKL:
    widths = (32, 64) if tiny else (128, 256, 512, 512)
    return AutoencoderKL(
        block_out_channels=widths,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        layers_per_block=1 if tiny else 2,
        latent_channels=channels,
        sample_size=64 if tiny else 1024,
        **more,
    )


CLIP_L = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
}
CLIP_G = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
}


def sdxl(tiny: bool) -> StableDiffusionXLPipeline:
    """Stable Diffusion XL base, as its configuration files have it."""
    tokenizer, sizes = clip_tokenizer(), (32, 64) if tiny else (320, 640, 1280)
    unet = UNet2DConditionModel(
        sample_size=32 if tiny else 128,
        block_out_channels=sizes,
        layers_per_block=1 if tiny else 2,
        down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * (len(sizes) - 1)),
        up_block_types=(*["CrossAttnUpBlock2D"] * (len(sizes) - 1), "UpBlock2D"),
        transformer_layers_per_block=1 if tiny else (1, 2, 10),
        attention_head_dim=(2, 4) if tiny else (5, 10, 20),
        cross_attention_dim=64 if tiny else 2048,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8 if tiny else 256,
        projection_class_embeddings_input_dim=32 + 6 * 8 if tiny else 1280 + 6 * 256,
    )
    return StableDiffusionXLPipeline(
        vae=_vae(tiny, 4, scaling_factor=0.13025, force_upcast=True),
        text_encoder=_clip(tokenizer, CLIPTextModel, tiny, **CLIP_L),
        text_encoder_2=_clip(tokenizer, CLIPTextModelWithProjection, tiny, **CLIP_G),
        tokenizer=tokenizer,
        tokenizer_2=clip_tokenizer(),
        unet=unet,
        scheduler=None,
    )


def sdxl_scheduler() -> EulerDiscreteScheduler:
    return EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        steps_offset=1,
        timestep_spacing="leading",
    )


def flux(tiny: bool) -> FluxPipeline:
    """FLUX.1-dev, as its configuration files have it."""
    tokenizer, t5 = clip_tokenizer(), t5_tokenizer()
    transformer = FluxTransformer2DModel(
        in_channels=16 if tiny else 64,
        num_layers=1 if tiny else 19,
        num_single_layers=2 if tiny else 38,
        attention_head_dim=16 if tiny else 128,
        num_attention_heads=2 if tiny else 24,
        joint_attention_dim=32 if tiny else 4096,
        pooled_projection_dim=32 if tiny else 768,
        guidance_embeds=True,
        axes_dims_rope=(4, 4, 8) if tiny else (16, 56, 56),
    )
    encoder = T5Config(
        vocab_size=len(t5) if tiny else 32128,
        d_model=32 if tiny else 4096,
        d_kv=8 if tiny else 64,
        d_ff=64 if tiny else 10240,
        num_layers=2 if tiny else 24,
        num_heads=4 if tiny else 64,
        feed_forward_proj="gated-gelu",
    )
    return FluxPipeline(
        vae=_vae(
            tiny,
            4 if tiny else 16,
            use_quant_conv=False,
            use_post_quant_conv=False,
            scaling_factor=0.3611,
            shift_factor=0.1159,
        ),
        text_encoder=_clip(tokenizer, CLIPTextModel, tiny, **CLIP_L),
        text_encoder_2=T5EncoderModel(encoder),
        tokenizer=tokenizer,
        tokenizer_2=t5,
        transformer=transformer,
        scheduler=None,
    )


def flux_scheduler() -> FlowMatchEulerDiscreteScheduler:
    return FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)


def judge(folder: Path, tiny: bool, device: str, dtype: torch.dtype) -> Path:
    """A random model of Qwen2.5-VL-3B's shape, saved whole, so that our class loads it as any."""
    small = FAMILIES["qwen2_5_vl"]
    family = Family(
        {
            "hidden_size": 2048,
            "intermediate_size": 11008,
            "num_hidden_layers": 36,
            "num_attention_heads": 16,
            "num_key_value_heads": 2,
            "max_position_embeddings": 8192,
            "rope_parameters": {
                "rope_type": "default",
                "mrope_section": [16, 24, 24],
                "rope_theta": 1e6,
            },
        },
        {
            "depth": 32,
            "hidden_size": 1280,
            "intermediate_size": 3420,
            "num_heads": 16,
            "out_hidden_size": 2048,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "fullatt_block_indexes": [7, 15, 23, 31],
            "window_size": 112,
        },
        processor=patches(
            "Qwen2_5_VLProcessor",
            "Qwen2VLVideoProcessor",
            size={"shortest_edge": 56 * 56, "longest_edge": 1280 * 28 * 28},
        ),
        picture="<boi><image><eoi>",
    )
    family = small if tiny else family
    tokenizer = vlm_tokenizer(family)
    with torch.device(device):
        model = AutoModelForImageTextToText.from_config(
            config_for("qwen2_5_vl", family, tokenizer), dtype=dtype
        )
    narrow_answers(model, tokenizer)
    model.save_pretrained(folder)
    assert family.processor is not None
    family.processor(tokenizer).save_pretrained(folder)
    return folder


CACHE = "first-block:0.12"
SCHEDULERS = {sdxl: sdxl_scheduler, flux: flux_scheduler}


def built(make: Callable[[bool], Any], tiny: bool, device: str, dtype: torch.dtype) -> Any:
    """A pipeline whose weights were drawn where they are used; schedulers count on the CPU."""
    before = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            pipeline = make(tiny)
    finally:
        torch.set_default_dtype(before)
    pipeline.register_modules(scheduler=SCHEDULERS[make]())
    pipeline.to(device, dtype)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def described(pipeline: Any, folder: Path) -> Path:
    """A pipeline's folder without its weights: all that our engine reads before it loads."""
    pipeline.save_config(folder)
    for name, part in pipeline.components.items():
        if isinstance(part, torch.nn.Module):
            is_ours = hasattr(part, "save_config")
            (part.save_config if is_ours else part.config.save_pretrained)(folder / name)
            stem = "diffusion_pytorch_model" if is_ours else "model"
            save_file({"none": torch.zeros(1)}, folder / name / f"{stem}.safetensors")
        elif hasattr(part, "save_pretrained"):
            part.save_pretrained(folder / name)
    return folder


LOADED: dict[str, Any] = {}
"""Folder to the pipeline in memory that it describes."""


class Random(DiffusersModel):
    """Our engine over a pipeline that is in memory already."""

    def _load_pipeline(self, dtype: str, offload: str, execution: Execution) -> Any:
        pipeline = LOADED[self.source]
        as_built(pipeline)
        execution.lay(pipeline, self.model_id, (self._template.height, self._template.width))
        place(pipeline, self._device, offload)
        return pipeline


def as_built(pipeline: Any) -> None:
    """Take back whatever was laid on a pipeline."""
    for part in pipeline.components.values():
        if not isinstance(part, torch.nn.Module):
            continue
        part.to(memory_format=torch.contiguous_format)
        for module in part.modules():
            module._compiled_call_impl = None
            vars(module).pop("forward", None)
            processor = getattr(module, "processor", None)
            if getattr(processor, "_attention_backend", None) is not None:
                processor._attention_backend = None


# ── measuring ────────────────────────────────────────────────────────────────────────────────────


class Bench:
    """Parts with deadlines, and what they found, written after each."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.tiny, self.device = asked.tiny, asked.device
        self.dtype = torch.bfloat16 if self.device != "cpu" else torch.float32
        self.size = 64 if self.tiny else 1024
        self.into = Path(asked.into)
        self.into.mkdir(parents=True, exist_ok=True)
        self.found: dict[str, Any] = {}
        self._only = asked.only.split(",") if asked.only else []
        self._started = time.monotonic()
        self._seconds = asked.seconds
        memory = Path("/dev/shm")  # a disk in memory, where there is one
        fast = memory if self.device != "cpu" and memory.is_dir() else None
        self.folder = Path(tempfile.mkdtemp(dir=fast))

    @property
    def left(self) -> float:
        return self._seconds - (time.monotonic() - self._started)

    @property
    def on_gpu(self) -> bool:
        return self.device.startswith("cuda")

    def part(self, name: str, least: float, work: Callable[[dict[str, Any]], None]) -> None:
        """Run one part if so many seconds are left; what it raises is written beside the rest."""
        if self._only and name not in self._only:
            return
        into = self.found.setdefault(name, {})
        if self.left < least:
            into["left out"] = f"{self.left:.0f} s were left, and it takes {least:.0f}"
            self.write()
            return
        started = time.monotonic()
        try:
            work(into)
        except Exception as error:  # noqa: BLE001 - one part that fails must not cost the others
            into["failed"] = f"{type(error).__name__}: {error}"
            into["where"] = traceback.format_exc()[-3000:]
        into["part_seconds"] = round(time.monotonic() - started, 1)
        print(
            f"[{time.monotonic() - self._started:6.1f} s] {name}: {json.dumps(into)[:900]}",
            flush=True,
        )
        self.write()

    def write(self) -> None:
        (self.into / "gpu.json").write_text(json.dumps(self.found, indent=1) + "\n")

    def sync(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()

    def seconds(self, work: Callable[[], Any]) -> float:
        self.sync()
        started = time.perf_counter()
        work()
        self.sync()
        return time.perf_counter() - started

    def forget_peak(self) -> None:
        gc.collect()
        if self.on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def peak_gib(self) -> float:
        return round(torch.cuda.max_memory_allocated() / 2**30, 2) if self.on_gpu else 0.0

    def settings(self, name: str, **more: Any) -> ModelSettings:
        dtype = str(self.dtype).removeprefix("torch.")
        usual = {"height": self.size, "width": self.size, "device": self.device, "dtype": dtype}
        return ModelSettings(name, **{**usual, **more})


def specs_of(model: Random, count: int, *, seed: int = 0) -> list[RenderSpec]:
    return [
        model.spec((Stage(PROMPTS[i % len(PROMPTS)]),), seed + i // len(PROMPTS))
        for i in range(count)
    ]


def drawn(model: Random, specs: list[RenderSpec]) -> np.ndarray:
    pictures = model.generate(specs)
    failed = [one for one in pictures if isinstance(one, RenderError)]
    if failed:
        raise ValueError(str(failed[0]))
    return np.stack([np.asarray(one) for one in pictures])


def away(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """How far pictures lie apart: of 255, and how many are the same."""
    gap = np.abs(one.astype(int) - other.astype(int))
    same = sum(bool((a == b).all()) for a, b in zip(one, other, strict=True))
    return {
        "max": int(gap.max()),
        "mean": round(float(gap.mean()), 4),
        "equal": same,
        "of": len(one),
    }


def told(model: Random, batch: int) -> tuple[Any, Any]:
    """Arguments of one call of the denoiser, and its pipeline."""
    heard: list[Any] = []
    pipeline = model._pipeline
    denoiser = model._running.denoiser
    assert denoiser is not None

    def hear(module: Any, args: Any, kwargs: Any) -> None:
        heard.append((args, kwargs))

    hook = denoiser.register_forward_pre_hook(hear, with_kwargs=True)
    try:
        model.generate(specs_of(model, batch))
    finally:
        hook.remove()
    return heard[0], pipeline


def forward_seconds(bench: Bench, model: Random, batch: int, repeats: int = 3) -> float:
    """Of one call of the denoiser, guidance's rows included; the first call, which may compile, is
    none of them.
    """
    (args, kwargs), _ = told(model, batch)
    denoiser = model._running.denoiser
    assert denoiser is not None
    with torch.inference_mode():
        denoiser(*args, **kwargs)
        return bench.seconds(lambda: [denoiser(*args, **kwargs) for _ in range(repeats)]) / repeats


@contextmanager
def busy_share(found: dict[str, Any]) -> Iterator[None]:
    """Of the time inside, in which the GPU had a kernel running, as its driver samples it."""
    seen: list[int] = []
    over = threading.Event()

    def look() -> None:
        try:
            import pynvml

            pynvml.nvmlInit()
            card = pynvml.nvmlDeviceGetHandleByIndex(0)
        except Exception:  # noqa: BLE001 - no such library, or no such card
            return
        while not over.wait(0.2):
            seen.append(pynvml.nvmlDeviceGetUtilizationRates(card).gpu)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        found["busy_share"] = round(sum(seen) / len(seen) / 100, 3) if seen else None
        found["samples_below_half"] = sum(one < 50 for one in seen)


# ── parts ────────────────────────────────────────────────────────────────────────────────────────


def machine(bench: Bench, into: dict[str, Any]) -> None:
    import diffusers
    import transformers

    into["versions"] = {
        "python": sys.version.split()[0],
        **{one.__name__: one.__version__ for one in (torch, diffusers, transformers)},
    }
    into["device"] = torch.cuda.get_device_name() if bench.on_gpu else "cpu"
    side = 8192 if bench.on_gpu else 512
    one, other = (torch.randn(side, side, device=bench.device, dtype=bench.dtype) for _ in "ab")
    one @ other
    seconds = bench.seconds(lambda: [one @ other for _ in range(10)]) / 10
    into["matmul_tflops"] = round(2 * side**3 / seconds / 1e12, 4)


def whole(bench: Bench, into: dict[str, Any], folder: str, batch: int, rows: int) -> float:
    """Operations of a picture's step and of its VAE; gives those of one call for one picture."""
    model = Random(bench.settings(folder, batch_size=1, num_inference_steps=1))
    (args, kwargs), pipeline = told(model, 1)
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            model._running.denoiser(*args, **kwargs)  # type: ignore[misc]
        factor = 2 ** (len(pipeline.vae.config.block_out_channels) - 1)
        latents = torch.randn(
            batch,
            pipeline.vae.config.latent_channels,
            bench.size // factor,
            bench.size // factor,
            device=bench.device,
            dtype=pipeline.vae.dtype,
        )
        with FlopCounterMode(display=False) as decoding:
            pipeline.vae.decode(latents[:1])
        pipeline.vae.decode(latents)
        into["vae_seconds_a_batch"] = round(bench.seconds(lambda: pipeline.vae.decode(latents)), 4)
    forward = counter.get_total_flops()
    into["tflop_a_forward"] = round(forward / rows / 1e12, 4)
    into["tflop_vae"] = round(decoding.get_total_flops() / 1e12, 3)
    parameters = sum(p.numel() for p in model._running.denoiser.parameters())  # type: ignore[union-attr]
    into["parameters_denoiser"] = parameters
    return float(forward)


def abba(
    bench: Bench, into: dict[str, Any], folder: str, batch: int, steps: int, loop: int
) -> None:
    """Ours and plain diffusers on the same weights, turn by turn."""
    model = Random(bench.settings(folder, batch_size=batch, num_inference_steps=steps))
    specs = specs_of(model, batch)
    pipeline = model._pipeline
    guidance = specs[0].guidance_scale
    kept: dict[str, np.ndarray] = {}

    def ours() -> None:
        kept["ours"] = drawn(model, specs)

    def plainly(some: list[RenderSpec]) -> list[Any]:
        generators = [torch.Generator("cpu").manual_seed(spec.seed) for spec in some]
        images = pipeline(
            [spec.prompt for spec in some],
            num_inference_steps=steps,
            guidance_scale=guidance,
            height=bench.size,
            width=bench.size,
            generator=generators,
        ).images
        return list(images)

    def batched() -> None:
        kept["plain"] = np.stack([np.asarray(one) for one in plainly(specs)])

    def looped() -> None:
        for spec in specs[:loop]:
            plainly([spec])

    sides = {"ours": ours, "plain, in batches": batched, "plain, one by one": looped}
    counts = {"ours": batch, "plain, in batches": batch, "plain, one by one": loop}
    warm = Random(bench.settings(folder, batch_size=batch, num_inference_steps=1))
    drawn(warm, specs_of(warm, batch))
    plainly(specs[:1])
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in (list(sides), list(reversed(sides))):
        for name in turn:
            bench.forget_peak()
            times[name].append(round(counts[name] / bench.seconds(sides[name]), 4))
            into[f"peak_gib, {name}"] = bench.peak_gib()
    into["steps"], into["batch"], into["guidance"] = steps, batch, guidance
    into["pictures_per_second"] = times
    into["ours against plain in batches"] = round(
        sum(times["ours"]) / sum(times["plain, in batches"]), 3
    )
    into["ours against plain one by one"] = round(
        sum(times["ours"]) / sum(times["plain, one by one"]), 3
    )
    into["pixels, ours against plain in batches"] = away(kept["ours"], kept["plain"])


WAYS: dict[str, dict[str, Any]] = {
    "eager": {},
    "channels_last": {"channels_last": True},
    "regional": {"compiled": "regional"},
    "channels_last, regional": {"channels_last": True, "compiled": "regional"},
    "channels_last, whole": {"channels_last": True, "compiled": "whole"},
    "whole": {"compiled": "whole"},
    "whole, vae compiled": {"compiled": "whole", "vae_decoding": "compiled"},
    "channels_last, whole, vae compiled": {
        "channels_last": True,
        "compiled": "whole",
        "vae_decoding": "compiled",
    },
    "cudnn attention": {"attention_backend": "_native_cudnn"},
}


def shapes(
    bench: Bench,
    into: dict[str, Any],
    folder: str,
    way: str,
    batches: tuple[int, ...],
    forward_flops: float,
    seconds_each: float,
) -> None:
    """Calls of the denoiser a second, batch by batch, while time lasts."""
    peak = bench.found["machine"]["matmul_tflops"] * 1e12
    rows = into.setdefault(way, {})
    for batch in batches:
        if bench.left < seconds_each:
            rows[str(batch)] = "no time left"
            continue
        bench.forget_peak()
        model = Random(bench.settings(folder, batch_size=batch, num_inference_steps=1, **WAYS[way]))
        started = time.monotonic()
        seconds = forward_seconds(bench, model, batch)
        achieved = forward_flops * batch / seconds
        rows[str(batch)] = {
            "pictures' steps per second": round(batch / seconds, 3),
            "tflops": round(achieved / 1e12, 1),
            "share of measured matmul": round(achieved / peak, 3),
            "peak_gib": bench.peak_gib(),
            "first_and_timing_seconds": round(time.monotonic() - started, 1),
        }
        bench.write()


def end_to_end(
    bench: Bench,
    into: dict[str, Any],
    folder: str,
    ways: tuple[str, ...],
    batch: int,
    steps: int,
    seconds_each: dict[str, float],
) -> None:
    """Whole pictures through our engine under several ways, against the first way."""
    reference: np.ndarray | None = None
    for way in ways:
        if bench.left < seconds_each.get(way, 20):
            into[way] = "no time left"
            continue
        more = {} if way == "eager" else WAYS[way]
        warm = Random(bench.settings(folder, batch_size=batch, num_inference_steps=2, **more))
        compiling = bench.seconds(lambda m=warm: drawn(m, specs_of(m, batch)))  # type: ignore[misc]
        model = Random(bench.settings(folder, batch_size=batch, num_inference_steps=steps, **more))
        model.__dict__["_pipeline"] = warm._pipeline  # so that what was compiled stays so
        specs, kept, times = specs_of(model, batch), [], []
        bench.forget_peak()
        for _ in range(2 if "compiled" in more else 1):
            started = time.perf_counter()  # pictures on the CPU are the end of it
            kept.append(drawn(model, specs))
            times.append(time.perf_counter() - started)
        reference = kept[0] if reference is None else reference
        into[way] = {
            "profile": specs[0].profile,
            "pictures_per_second": [round(batch / one, 4) for one in times],
            "first_call_seconds": round(compiling, 1),
            "peak_gib": bench.peak_gib(),
            "twice": away(kept[0], kept[-1]),
            f"against {ways[0]}": away(kept[0], reference),
        }
        bench.write()


def searched(
    bench: Bench, into: dict[str, Any], folder: str, batch: int, steps: int, *ways: dict[str, Any]
) -> None:
    """Pictures that are only searched with, beside the model's own by the same engine in turn."""
    for way in ways:
        model = Random(bench.settings(folder, batch_size=batch, num_inference_steps=steps, **way))
        specs = specs_of(model, batch)
        sketches = [model.sketch(spec) for spec in specs]
        first = bench.seconds(lambda m=model, s=sketches: drawn(m, s))  # type: ignore[misc]
        drawn(model, specs)
        bench.forget_peak()
        kept: dict[str, np.ndarray] = {}
        times: dict[str, list[float]] = {"own": [], "sketch": []}
        for name in ("own", "sketch", "sketch", "own"):
            started = time.perf_counter()
            kept[name] = drawn(model, specs if name == "own" else sketches)
            times[name].append(time.perf_counter() - started)
        into[", ".join(f"{name} = {value}" for name, value in way.items())] = {
            "profile": sketches[0].profile,
            "pictures_per_second": {
                name: [round(batch / one, 4) for one in some] for name, some in times.items()
            },
            "first_call_seconds": round(first, 1),
            "peak_gib": bench.peak_gib(),
            "against its own": away(kept["sketch"], kept["own"]),
            "alone": away(kept["sketch"][:1], drawn(model, sketches[:1])),
        }
        bench.write()


def bits(bench: Bench, into: dict[str, Any], folder: str, batch: int, steps: int, way: str) -> None:
    """One picture alone, among others, in another order, twice: the same bits or not."""
    model = Random(bench.settings(folder, batch_size=batch, num_inference_steps=steps, **WAYS[way]))
    specs = specs_of(model, batch)
    together, again = drawn(model, specs), drawn(model, specs)
    backward = drawn(model, specs[::-1])[::-1]
    alone = np.concatenate([drawn(model, [spec]) for spec in specs[:2]])
    into[way] = {
        "profile": specs[0].profile,
        "steps": steps,
        "twice": away(together, again),
        "another order": away(together, backward),
        "alone": away(together[:2], alone),
    }
    other = Random(bench.settings(folder, batch_size=1, num_inference_steps=steps, **WAYS[way]))
    if way == "eager":
        into[way]["batches of 1 against this batch"] = away(
            together[:2], drawn(other, specs_of(other, 2))
        )


def engine(bench: Bench, into: dict[str, Any], folder: str, batch: int, steps: int) -> None:
    """Stages, negative prompts, lengths and memory, one batch each."""
    model = Random(bench.settings(folder, batch_size=batch, num_inference_steps=steps))
    first, last = Stage(PROMPTS[0], 0.5), Stage(PROMPTS[1])
    plain = [model.spec((Stage(stage.prompt),), 0) for stage in (first, last)]
    both = model.spec((first, last), 0)
    third = model.spec((Stage(PROMPTS[0], 0.25), last), 0)
    seconds = bench.seconds(lambda: into.update(_drawn_bits(model, [*plain, both, third])))
    into["supports_stages"] = model.supports_stages
    into["stages_batch_seconds"] = round(seconds, 2)
    into["work"] = {name: getattr(model.work, name) for name in ("alone", "run", "skipped")}
    if model.takes_negative_prompts:
        steered = Random(
            bench.settings(folder, batch_size=batch, num_inference_steps=steps, negative_prompt="a")
        )
        one = drawn(steered, specs_of(steered, 1))
        into["a negative prompt acts"] = away(one, drawn(model, specs_of(model, 1)))
    into["words of one letter read"] = longest = _longest(model)
    into["so many are drawn"] = bool(
        len(drawn(model, [model.spec((Stage("a" + " a" * (longest - 1)),), 0)]))
    )
    try:
        model.spec((Stage("a" + " a" * longest),), 0)
        into["one word more"] = "accepted: wrong"
    except RenderError as error:
        into["one word more"] = str(error)


def offloads(
    bench: Bench, into: dict[str, Any], folder: str, batch: int, ways: tuple[str, ...]
) -> None:
    """Memory and time of a batch by what rests in main memory; leaves the pipeline unfit."""
    for offload in ways:
        if bench.left < 30:
            into[offload] = "no time left"
            break
        bench.forget_peak()
        model = Random(
            bench.settings(folder, batch_size=batch, num_inference_steps=2, offload=offload)
        )
        specs = specs_of(model, batch)
        first = drawn(model, specs)
        bench.forget_peak()
        started = time.perf_counter()
        again = drawn(model, specs)
        seconds = time.perf_counter() - started
        into[offload] = {
            "peak_gib": bench.peak_gib(),
            "seconds of 2 steps": round(seconds, 2),
            "twice": away(first, again),
        }
        bench.write()
        _without_hooks(LOADED[folder])


def _without_hooks(pipeline: Any) -> None:
    from accelerate.hooks import remove_hook_from_module

    pipeline.remove_all_hooks()
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            remove_hook_from_module(part, recurse=True)


def _drawn_bits(model: Random, specs: list[RenderSpec]) -> dict[str, Any]:
    pictures = drawn(model, specs)
    first, last, both, third = pictures
    return {
        "staged against its first prompt": away(both[None], first[None]),
        "staged against its last prompt": away(both[None], last[None]),
        "switched earlier": away(both[None], third[None]),
    }


def _longest(model: Random) -> int:
    """How many times a one-token word fits into a prompt."""
    low, high = 1, 600
    while low < high:
        middle = (low + high + 1) // 2
        try:
            model.spec((Stage("a" + " a" * (middle - 1)),), 0)
            low = middle
        except RenderError:
            high = middle - 1
    return low


def open_random(settings: ModelSettings) -> Random:
    """As a plugin: ``random:FOLDER``."""
    return Random(settings)


def audit(bench: Bench, into: dict[str, Any], folder: str, batch: int, steps: int) -> None:
    """An audit as users run it, with a judge beside the painter: how long the GPU stands still."""
    import dataclasses

    from lcmis.audit.run import Audit
    from lcmis.plugins.settings import AuditSettings, CheckerSettings, StoppingSettings
    from lcmis.store import Store

    device = bench.device
    sees = judge(bench.folder / "judge", bench.tiny, device, bench.dtype)
    registry.BUILT_IN["models"]["random"] = "__main__:open_random"
    dtype = str(bench.dtype).removeprefix("torch.")
    pairs = [
        ConceptPair(
            Concept(f"cup {i}"),
            Concept(f"drink {i}"),
            f"a cup {i} of drink {i}",
            intruders=(Intruder(Concept(f"glass {i}"), Side.A, f"a glass {i} of drink {i}"),),
        )
        for i in range(4)
    ]
    config = AuditSettings(
        models=(
            bench.settings(
                folder, batch_size=batch, num_inference_steps=steps, channels_last=bench.on_gpu
            ),
        ),
        checkers=(CheckerSettings("vqa", str(sees), device=device, dtype=dtype),),
        pairs=("teacup",),
        stopping=StoppingSettings(rule="fixed", cap=4),
        store=str(bench.folder / "store"),
    )
    named = dataclasses.replace(config.models[0], name=f"random:{folder}")
    config = dataclasses.replace(config, models=(named,))
    with Store(bench.folder / "store", create=True) as store:
        run = Audit(config, store, pairs=pairs)
        started = time.monotonic()
        for plugin in (*run.models, *run.checkers):
            plugin.load()  # type: ignore[attr-defined]
        drawn(run.models[0], specs_of(run.models[0], 1, seed=99))  # type: ignore[arg-type]
        into["load_seconds"] = round(time.monotonic() - started, 1)
        bench.forget_peak()
        with busy_share(into):
            started = time.monotonic()
            result = run.run()
            seconds = time.monotonic() - started
        listed = [item.render.seconds for item in store.renders(limit=1000) if item.render.seconds]
    into["pictures"], into["seconds"] = result.drawn, round(seconds, 2)
    into["pictures_per_second"] = round(result.drawn / seconds, 4)
    into["drawing_seconds"] = round(sum(listed), 2)
    into["share of drawing"] = round(sum(listed) / seconds, 3)
    into["failures"] = result.failures
    into["peak_gib"] = bench.peak_gib()
    into["judge looks"] = getattr(run.checkers[0], "way", "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", default="gpu-results")
    parser.add_argument(
        "--seconds", type=float, default=400.0, help="after which parts are left out"
    )
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--only", default="", help="parts, by commas")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    bench = Bench(parser.parse_args())
    if bench.device == "cpu":
        torch.set_num_threads(1)
    steps, few = (30, 6) if not bench.tiny else (4, 2)
    flux_steps = 8 if not bench.tiny else 2
    batch = 4
    bench.part("machine", 0, lambda into: machine(bench, into))

    flops: dict[str, float] = {}

    def opened(name: str, make: Callable[[bool], Any], into: dict[str, Any], rows: int) -> None:
        bench.forget_peak()
        started = time.monotonic()
        folder = str(bench.folder / name)
        LOADED[folder] = built(make, bench.tiny, bench.device, bench.dtype)
        described(LOADED[folder], Path(folder))
        into["build_seconds"] = round(time.monotonic() - started, 1)
        into["weights_gib"] = bench.peak_gib()
        flops[name] = whole(bench, into, folder, batch, rows)

    xl, dev = str(bench.folder / "sdxl"), str(bench.folder / "flux")
    peak = bench.found["machine"].get("matmul_tflops", 0)

    bench.part("sdxl", 30, lambda into: opened("sdxl", sdxl, into, 2))
    bench.part("sdxl beside plain diffusers", 60, lambda i: abba(bench, i, xl, batch, steps, 1))
    bench.part("sdxl bits", 20, lambda i: bits(bench, i, xl, batch, few, "eager"))
    every = (1, 2, 4, 8) if not bench.tiny else (1, 2)

    def ways(name: str, least: float, *some: tuple[str, tuple[int, ...], float]) -> None:
        def work(into: dict[str, Any]) -> None:
            for way, batches, seconds in some:
                if bench.on_gpu or way != "cudnn attention":
                    folder, forward = str(bench.folder / name), flops[name]
                    shapes(bench, into, folder, way, batches, forward, seconds)

        bench.part(f"{name} shapes", least, work)

    ways("sdxl", 20, ("eager", every, 5), ("channels_last", every, 5), ("cudnn attention", (4,), 5))
    bench.part("flux", 40, lambda into: opened("flux", flux, into, 1))
    bench.part("flux beside plain diffusers", 40, lambda i: abba(bench, i, dev, 2, flux_steps, 1))
    ways("flux", 20, ("eager", every[:3], 8))
    bench.part("audit with a judge", 60, lambda i: audit(bench, i, xl, batch, steps))
    bench.part("sdxl engine", 25, lambda i: engine(bench, i, xl, batch, few))
    compiled = "channels_last, whole, vae compiled"
    bench.part(
        "sdxl pictures",
        30,
        lambda i: end_to_end(
            bench, i, xl, ("eager", "channels_last", compiled), batch, steps, {compiled: 70}
        ),
    )
    ways("flux", 30, ("eager", (1,), 8), ("regional", (4, 1), 15))
    bench.part("flux engine", 20, lambda i: engine(bench, i, dev, batch, 4))
    bench.part("flux bits", 15, lambda i: bits(bench, i, dev, 2, 3, "eager"))
    ways("sdxl", 30, ("channels_last, regional", (4, 1, 8, 2), 25))
    eight = {"search_dtype": "float8"}
    blocks = {"compiled": "regional"} if bench.on_gpu else {}
    bench.part(
        "flux to search with",
        60,
        lambda i: searched(bench, i, dev, 2, flux_steps, {**eight, **blocks}, {"cache": CACHE}),
    )
    bench.part(
        "sdxl to search with", 60, lambda i: searched(bench, i, xl, batch, steps, eight | blocks)
    )
    if bench.on_gpu:
        bench.part(
            "sdxl memory",
            30,
            lambda i: offloads(bench, i, xl, batch, ("none", "encoders", "model", "group")),
        )
    print(f"bfloat16 matmul {peak} TFLOP/s; all in {bench.into / 'gpu.json'}")


if __name__ == "__main__":
    main()
