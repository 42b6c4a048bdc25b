"""Repaired prompts as records: CSV, JSON lines and Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lcmis.types import Certificate, LevelRange, Rate

if TYPE_CHECKING:
    import pyarrow

from lcmis.export.repaired import RepairedPrompt


def record(one: RepairedPrompt) -> dict[str, Any]:
    """Everything about one repair, in the types of JSON; the same names in every format."""
    certificate, nomination = one.certificate, one.certificate.nomination
    return {
        "pair": one.pair.key,
        "a": one.pair.a.name,
        "b": one.pair.b.name,
        "original_prompt": one.pair.prompt,
        "concept_pair": one.pair.as_json(),
        "repaired": one.standing.proved,
        "passes_alone": certificate.passed,
        "prompt": one.stages[-1].said,
        "stages": [
            {
                "prompt": stage.prompt,
                "denoising_end": float(stage.denoising_end),
                "weight": float(stage.weight),
                "beside": [{"prompt": p.prompt, "weight": float(p.weight)} for p in stage.beside],
                "excited": list(stage.excited),
                "refiner": stage.refiner,
            }
            for stage in one.stages
        ],
        "negative_prompt": one.negative_prompt,
        "model": one.model,
        "source": one.location,
        "revision": one.revision,
        "adapters": [{"name": a.name, "weight": float(a.weight)} for a in one.adapters],
        "embeddings": [{"name": word.name, "token": word.token} for word in one.embeddings],
        "vae": one.vae,
        "base": one.base,
        "variant": one.variant,
        "num_inference_steps": one.num_inference_steps,
        "guidance_scale": float(one.guidance_scale),
        "scheduler": one.scheduler,
        "height": one.height,
        "width": one.width,
        "dtype": one.dtype,
        "repairer": nomination.repairer,
        "guide": nomination.guide,
        "given": list(nomination.given),
        "reference": nomination.reference,
        "judge": certificate.judge,
        "threshold": float(one.threshold),
        "seeds": list(certificate.seeds),
        "unjudged": certificate.unjudged,
        "scores": [{"seed": seen.seed, "a": seen.a, "b": seen.b} for seen in one.seen],
        **_figures(certificate),
        "alpha": float(certificate.alpha),
        "certificates": one.standing.among,
        "expected_gain": float(one.standing.expected.gain),
        "expected_right": float(one.standing.expected.after),
        "collateral": list(certificate.collateral),
        "certificate": one.summary(),
        "helps_on": list(one.helps_on),
        "harms_on": [other.model for other in one.elsewhere if other.harms],
        "elsewhere": [
            {
                "model": other.model,
                "judge": other.judge,
                "seeds": list(other.seeds),
                "unjudged": other.unjudged,
                **_figures(other),
                "collateral": list(other.collateral),
            }
            for other in one.elsewhere
        ],
        **one.noted.as_record(),
    }


def _figures(certificate: Certificate) -> dict[str, Any]:
    return {
        **_rate("before", certificate.before, certificate.levels_before),
        **_rate("after", certificate.after, certificate.levels_after),
        "wins": certificate.wins,
        "losses": certificate.losses,
        "p": float(certificate.p),
        "anytime_p": float(certificate.anytime_p),
    }


def _rate(when: str, rate: Rate, levels: LevelRange) -> dict[str, Any]:
    return {
        f"{when}_right": float(rate.value),
        f"{when}_low": float(rate.low),
        f"{when}_high": float(rate.high),
        f"{when}_total": rate.total,
        f"{when}_level": str(levels),
    }


def as_csv(repaired: Sequence[RepairedPrompt]) -> bytes:
    """One line a repair, lists as JSON.

    No cell begins like a formula: those that would get an apostrophe in front.
    """
    rows = [record(one) for one in repaired]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow([_cell(value) for value in row.values()])
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        value = json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value.strip()[:1] in ("=", "+", "-", "@", "＝", "＋", "－", "＠"):
        return f"'{value}"
    return value


def as_jsonl(repaired: Sequence[RepairedPrompt]) -> bytes:
    """One line a repair, each an object."""
    lines = [json.dumps(record(one), ensure_ascii=False, allow_nan=False) for one in repaired]
    return "".join(f"{line}\n" for line in lines).encode()


def as_parquet(repaired: Sequence[RepairedPrompt]) -> bytes:
    """One row a repair, lists as lists."""
    import pyarrow.parquet

    buffer = io.BytesIO()
    pyarrow.parquet.write_table(repairs_table(repaired), buffer)
    return buffer.getvalue()


def repairs_table(repaired: Sequence[RepairedPrompt]) -> pyarrow.Table:
    """The same as a table of Arrow."""
    import pyarrow

    return pyarrow.Table.from_pylist([record(one) for one in repaired], schema=_schema())


def _schema() -> pyarrow.Schema:
    """Spelled out, so that a column has its type also where all of its lists are empty."""
    import pyarrow as pa

    text, whole, real = pa.string(), pa.int64(), pa.float64()
    stages = pa.list_(
        pa.struct(
            {
                "prompt": text,
                "denoising_end": real,
                "weight": real,
                "beside": pa.list_(pa.struct({"prompt": text, "weight": real})),
                "excited": pa.list_(text),
                "refiner": text,
            }
        )
    )
    adapters = pa.list_(pa.struct({"name": text, "weight": real}))
    embeddings = pa.list_(pa.struct({"name": text, "token": text}))
    scores = pa.list_(pa.struct({"seed": whole, "a": real, "b": real}))
    rate = {"right": real, "low": real, "high": real, "total": whole, "level": text}
    figures = {
        **{f"{when}_{name}": kind for when in ("before", "after") for name, kind in rate.items()},
        "wins": whole,
        "losses": whole,
        "p": real,
        "anytime_p": real,
    }
    elsewhere = pa.struct(
        {
            **dict.fromkeys(("model", "judge"), text),
            "seeds": pa.list_(whole),
            "unjudged": whole,
            **figures,
            "collateral": pa.list_(text),
        }
    )
    return pa.schema(
        {
            **dict.fromkeys(("pair", "a", "b", "original_prompt", "concept_pair"), text),
            **dict.fromkeys(("repaired", "passes_alone"), pa.bool_()),
            "prompt": text,
            "stages": stages,
            **dict.fromkeys(("negative_prompt", "model", "source", "revision"), text),
            "adapters": adapters,
            "embeddings": embeddings,
            **dict.fromkeys(("vae", "base", "variant"), text),
            "num_inference_steps": whole,
            "guidance_scale": real,
            "scheduler": text,
            "height": whole,
            "width": whole,
            **dict.fromkeys(("dtype", "repairer", "guide"), text),
            "given": pa.list_(text),
            **dict.fromkeys(("reference", "judge"), text),
            "threshold": real,
            "seeds": pa.list_(whole),
            "unjudged": whole,
            "scores": scores,
            **figures,
            "alpha": real,
            "certificates": whole,
            **dict.fromkeys(("expected_gain", "expected_right"), real),
            "collateral": pa.list_(text),
            "certificate": text,
            **dict.fromkeys(("helps_on", "harms_on"), pa.list_(text)),
            "elsewhere": pa.list_(elsewhere),
            **dict.fromkeys(("tags", "stars", "comments"), pa.list_(text)),
        }
    )
