"""Pictures and scores as other tools lay them out: GenEval, T2I-CompBench, EvalScope, datasets,
Inspect.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lcmis.errors import ConfigError
from lcmis.findings import PairFinding, find_pairs
from lcmis.findings.notes import NOTHING, Noted, noted
from lcmis.machine.hub import safe_name
from lcmis.plugins import registry
from lcmis.store import Evidence, Store
from lcmis.types import About, ConceptPair, Verdict


@dataclass(frozen=True, slots=True)
class PublishedPicture:
    """One picture of a pair, as it goes to another tool."""

    pair: ConceptPair
    evidence: Evidence
    verdict: str
    checker: str
    """Whose scores the verdict follows from."""
    sha256: str
    """Of the pixels; the store finds the file by it."""
    noted: Noted = NOTHING
    """What people left on it."""


def _sayable(_pair: ConceptPair) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Publisher:
    """Lays out audited pictures and their scores as another tool reads them."""

    write: Callable[[Store, Sequence[Sequence[PublishedPicture]], Path, Path], None]
    """Writes the pictures, pair by pair, into a folder that is empty; the store opens them. Told
    last where that folder will lie in the end."""
    fault: Callable[[ConceptPair], str] = _sayable
    """Why a pair cannot be said in this layout, behind the prompt itself; empty if it can."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What a person wants to take elsewhere, and where to."""

    store: Store
    checker: str
    """Whose scores decide."""
    place: str
    model: str | None = None
    """Only models whose name contains this."""
    threshold: float = 0.5


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of it."""

    place: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Destination:
    """Takes a whole store elsewhere: as a site, to a tracker, to a hub."""

    send: Callable[[Outgoing], list[Sent]]
    """Whole or not at all, as far as the other side allows it."""


@dataclass(frozen=True, slots=True)
class Published:
    """What was written for one model."""

    model: str
    folder: Path
    num_prompts: int
    num_pictures: int
    left_out: tuple[str, ...]
    """One sentence for each prompt that the format cannot say."""


def publish(
    store: Store,
    checker: str,
    form: str,
    folder: Path,
    *,
    model: str | None = None,
    threshold: float = 0.5,
) -> list[Published]:
    """Write the plainly prompted pictures of a store for another tool, all or nothing.

    Args:
        store: with the facts.
        checker: whose scores go with the pictures.
        form: a registered publisher.
        folder: it must not exist; with several models it has a folder for each.
        model: only models whose name contains this.
        threshold: score from which a concept counts as present, for the verdicts.

    Raises:
        UserError: no such format, nothing to publish, or the folder exists or cannot be written.
    """
    publisher: Publisher = registry.load("publishers", form)
    refuse_existing(folder)
    found: dict[str, list[PairFinding]] = {}
    for finding in find_pairs(store, checker, threshold=threshold):
        if model is None or model in finding.model:
            found.setdefault(finding.model, []).append(finding)
    if not found:
        known = ", ".join(store.models()) or "none: run lcmis audit"
        raise ConfigError(
            f"there are no pictures{f' of {model!r}' if model else ''}: models {known}"
        )
    with whole_folder(folder) as draft:
        published = [
            _publish_one(store, checker, publisher, findings, draft, folder, alone=len(found) == 1)
            for findings in found.values()
        ]
        if not any(one.num_pictures for one in published):
            said = next((one.left_out[0] for one in published if one.left_out), "no picture")
            raise ConfigError(
                f"there is nothing that can be published as {form}: {said}; name another format"
            )
    return published


def refuse_existing(folder: Path) -> None:
    """Nothing is mixed with what is there.

    Raises:
        ConfigError: the folder exists.
    """
    if folder.exists():
        raise ConfigError(f"{folder} exists: name a folder that does not, so that nothing mixes")


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder beside ``folder`` to write into; it takes that name when all is written, or goes.

    Raises:
        ConfigError: it exists or cannot be written.
    """
    refuse_existing(folder)
    try:
        draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            yield draft
            draft.chmod(0o755)
            draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written ({error.strerror}): name another") from error


def audited_pictures(
    store: Store, checker: str, *, model: str | None = None, threshold: float = 0.5
) -> list[PublishedPicture]:
    """The plainly prompted pictures of every pair and model, by model and prompt."""
    found = find_pairs(store, checker, threshold=threshold)
    wanted = [one for one in found if model is None or model in one.model]
    left = noted(store.notes(About.PICTURE))
    return [
        shown
        for one in sorted(wanted, key=lambda one: (one.model, one.pair.prompt))
        for shown in _shown(store, checker, one, left)
    ]


def _publish_one(
    store: Store,
    checker: str,
    publisher: Publisher,
    findings: Sequence[PairFinding],
    draft: Path,
    folder: Path,
    *,
    alone: bool,
) -> Published:
    name = findings[0].model
    inside = Path() if alone else Path(safe_name(name))
    (draft / inside).mkdir(exist_ok=True)
    left = noted(store.notes(About.PICTURE))
    by_pair = [
        _shown(store, checker, item, left)
        for item in sorted(findings, key=lambda item: item.pair.prompt)
    ]
    taken: list[list[PublishedPicture]] = []
    left_out: list[str] = []
    for shown in by_pair:
        fault = publisher.fault(shown[0].pair) if shown else ""
        if fault:
            left_out.append(f"{shown[0].pair.prompt!r} {fault}")
        elif shown:
            taken.append(shown)
    publisher.write(store, taken, draft / inside, folder.absolute() / inside)
    return Published(name, folder / inside, len(taken), sum(map(len, taken)), tuple(left_out))


def _shown(
    store: Store, checker: str, finding: PairFinding, left: Mapping[tuple[About, str], Noted]
) -> list[PublishedPicture]:
    """The pictures of a finding, in the order of their seeds; a refusal is none."""
    pictures = zip(finding.evidence, finding.judgement.verdicts, strict=True)
    drawn = store.renders_of(item.spec_key for item in finding.evidence)
    return [
        PublishedPicture(
            finding.pair,
            item,
            verdict.value,
            checker,
            drawn[item.spec_key][1].sha256,
            left.get((About.PICTURE, item.spec_key), NOTHING),
        )
        for item, verdict in pictures
        if not item.refused
    ]


def _save(store: Store, shown: PublishedPicture, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    store.image(shown.sha256).save(path)


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")


# ── the formats ──────────────────────────────────────────────────────────────────────────────────


GENEVAL_CLASSES = frozenset(
    [
        "person",
        "bicycle",
        "car",
        "motorcycle",
        "airplane",
        "bus",
        "train",
        "truck",
        "boat",
        "traffic light",
        "fire hydrant",
        "stop sign",
        "parking meter",
        "bench",
        "bird",
        "cat",
        "dog",
        "horse",
        "sheep",
        "cow",
        "elephant",
        "bear",
        "zebra",
        "giraffe",
        "backpack",
        "umbrella",
        "handbag",
        "tie",
        "suitcase",
        "frisbee",
        "skis",
        "snowboard",
        "sports ball",
        "kite",
        "baseball bat",
        "baseball glove",
        "skateboard",
        "surfboard",
        "tennis racket",
        "bottle",
        "wine glass",
        "cup",
        "fork",
        "knife",
        "spoon",
        "bowl",
        "banana",
        "apple",
        "sandwich",
        "orange",
        "broccoli",
        "carrot",
        "hot dog",
        "pizza",
        "donut",
        "cake",
        "chair",
        "couch",
        "potted plant",
        "bed",
        "dining table",
        "toilet",
        "tv",
        "laptop",
        "computer mouse",
        "tv remote",
        "computer keyboard",
        "cell phone",
        "microwave",
        "oven",
        "toaster",
        "sink",
        "refrigerator",
        "book",
        "clock",
        "vase",
        "scissors",
        "teddy bear",
        "hair drier",
        "toothbrush",
    ]
)
"""What its detector knows: the 80 kinds of things of COCO, as GenEval spells them."""
GENEVAL_COLOURS = frozenset(
    ["red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white"]
)
"""What its classifier tells apart."""
_POSITION = re.compile(
    r"(?:a photo of )?(?:an?|the) (?P<what>.+?) (?P<where>left of|right of|above|below) "
    r"(?:an?|the) (?P<target>.+?)\.?",
    re.IGNORECASE,
)


def _geneval(
    store: Store, pairs: Sequence[Sequence[PublishedPicture]], folder: Path, _: Path
) -> None:
    """``00000/metadata.jsonl`` and ``00000/samples/00000.png``, as its generator lays them out.

    By the code of GenEval's ``evaluate_images.py`` as of 2025: each of ``include`` asks for a class
    by its exact name, with a ``color`` and a ``position`` of their own; the thing at a position
    stands behind its target. A class that it does not know is never found there, and two things of
    one class are told by no colour, so such pairs are left out.
    """
    for index, shown in enumerate(pairs):
        place = folder / f"{index:05}"
        place.mkdir()
        pair = shown[0].pair
        _write_lines(place / "metadata.jsonl", [_geneval_asks(pair)])
        for number, one in enumerate(shown):
            _save(store, one, place / "samples" / f"{number:05}.png")


def _geneval_asks(pair: ConceptPair) -> dict[str, Any]:
    names = (pair.a.name, pair.b.name)
    things = {name.casefold(): _geneval_thing(name) for name in names}
    include = [{"class": kind, "count": 1} for _, kind in things.values()]
    for asked, (colour, _) in zip(include, things.values(), strict=True):
        if colour:
            asked["color"] = colour
    tag = "color_attr" if any("color" in asked for asked in include) else "two_object"
    said = _POSITION.fullmatch(pair.prompt)
    if said and {said["what"].casefold(), said["target"].casefold()} == set(things):
        tag = "position"
        if said["what"].casefold() == names[0].casefold():
            include.reverse()
        include[1]["position"] = [said["where"].casefold(), 0]
    if pair.pattern in GENEVAL_TAGS:
        tag = pair.pattern
    asked = {"tag": tag, "include": include, "prompt": pair.prompt}
    return asked | {"concept_pair": pair.as_json()}


GENEVAL_TAGS = frozenset({"two_object", "position", "colors", "color_attr"})
"""What GenEval calls kinds of prompts that may name two things; it counts right ones by them."""


def _geneval_thing(name: str) -> tuple[str, str]:
    """``(colour, class)`` as GenEval knows them, either empty where it does not."""
    whole = " ".join(name.casefold().split())
    colour, _, rest = whole.partition(" ")
    if whole in GENEVAL_CLASSES:
        return "", whole
    if colour in GENEVAL_COLOURS and rest in GENEVAL_CLASSES:
        return colour, rest
    return "", ""


def _no_geneval(pair: ConceptPair) -> str:
    """Why GenEval cannot look for a pair."""
    kinds = [_geneval_thing(concept.name)[1] for concept in (pair.a, pair.b)]
    unknown = [
        concept.name for concept, kind in zip((pair.a, pair.b), kinds, strict=True) if not kind
    ]
    if unknown:
        named = " and ".join(map(repr, unknown))
        return f"asks for {named}, which is not one of GenEval's 80 classes with one of its colours"
    if kinds[0] == kinds[1]:
        return f"asks for {kinds[0]!r} twice, of which GenEval looks at the clearest one only"
    return ""


def _compbench(
    store: Store, pairs: Sequence[Sequence[PublishedPicture]], folder: Path, _: Path
) -> None:
    """``samples/<prompt>_<6 digits>.png``, numbered over all, and the prompts as a text file.

    By the code of T2I-CompBench's ``BLIP_vqa.py`` and ``2D_spatial_eval.py`` as of 2025: the prompt
    ends at the first ``_``, the number stands between the last ``_`` and the first ``.`` behind it.
    """
    pictures = [one for shown in pairs for one in shown]
    for number, one in enumerate(pictures):
        _save(store, one, folder / "samples" / f"{one.pair.prompt}_{number:06}.png")
    text = "".join(f"{shown[0].pair.prompt}\n" for shown in pairs)
    (folder / "prompts.txt").write_text(text, encoding="utf-8")
    whole = "".join(f"{shown[0].pair.as_json()}\n" for shown in pairs)
    (folder / "lcmis_pairs.jsonl").write_text(whole, encoding="utf-8")


def _evalscope(
    store: Store, pairs: Sequence[Sequence[PublishedPicture]], folder: Path, final: Path
) -> None:
    """``evalscope.jsonl`` with the fields that EvalScope reads, and the pictures.

    By the code of EvalScope 1.x: its metrics open ``image_path`` as it stands, from wherever they
    run, so paths are absolute: after the folder was moved, publish again.
    """
    rows = []
    for number, one in enumerate(one for shown in pairs for one in shown):
        file = f"images/{number:06}.png"
        _save(store, one, folder / file)
        row = {"id": number, "prompt": one.pair.prompt, "image_path": str(final / file)}
        row |= {"concept_pair": one.pair.as_json()}
        rows.append(row | ({"category": one.pair.pattern} if one.pair.pattern else {}))
    _write_lines(folder / "evalscope.jsonl", rows)


def _imagefolder(
    store: Store, pairs: Sequence[Sequence[PublishedPicture]], folder: Path, _: Path
) -> None:
    """``metadata.jsonl`` with a ``file_name`` a picture, as Hugging Face datasets reads it."""
    rows = []
    for number, one in enumerate(one for shown in pairs for one in shown):
        file = f"images/{number:06}.png"
        _save(store, one, folder / file)
        rows.append({"file_name": file} | record(one))
    _write_lines(folder / "metadata.jsonl", rows)


def _parquet(
    store: Store, pairs: Sequence[Sequence[PublishedPicture]], folder: Path, _: Path
) -> None:
    """``pictures.parquet``: one row a picture and checker, every checker of the store."""
    import pyarrow as pa
    import pyarrow.parquet

    models = {shown[0].evidence.model for shown in pairs}
    said = {
        checker: {
            (item.pair_key, item.spec_key): item
            for model in models
            for item in store.evidence(checker, model=model)
        }
        for checker in store.checkers()
    }
    rows = [
        {"checker": checker}
        | record(one)
        | _values(of_checker[one.pair.key, one.evidence.spec_key])
        for shown in pairs
        for checker, of_checker in said.items()
        for one in shown
    ]
    text, whole, real = pa.string(), pa.int64(), pa.float64()
    types = {"seed": whole, "a_score": real, "b_score": real, "relation_score": real}
    types |= dict.fromkeys(("tags", "stars", "comments"), pa.list_(text))
    names = rows[0] if rows else {}
    schema = pa.schema({name: types.get(name, text) for name in names})
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows, schema=schema), buffer)
    (folder / "pictures.parquet").write_bytes(buffer.getvalue())


def _inspect(
    store: Store, pairs: Sequence[Sequence[PublishedPicture]], folder: Path, _: Path
) -> None:
    """``lcmis.eval``, a log that Inspect's viewer and readers open: a sample a pair, an epoch a
    picture, the pictures inside.

    Its accuracy is that of the pictures it holds; where pairs were stopped early, that is not the
    fair rate of the model, and the log says so.

    Each log has an ``eval_id`` of its own, made of what is in it: Inspect's data frames drop
    the second of two logs with one.

    Source: inspect_ai's own ``read_eval_log`` and the files that its ``write_eval_log`` leaves.
    """
    runs = store.runs()
    created = runs[-1].started_at if runs else datetime.now(UTC).isoformat()
    model = pairs[0][0].evidence.model if pairs else "none"
    shown = [(one.evidence.spec_key, one.checker, one.verdict) for each in pairs for one in each]
    content = hashlib.blake2b(json.dumps([model, created, shown]).encode(), digest_size=11)
    start = {
        "version": 2,
        "eval": {
            "eval_id": content.hexdigest(),
            "run_id": content.hexdigest(),
            "task_id": content.hexdigest(),
            "created": created,
            "task": "lcmis",
            "dataset": {"name": "lcmis", "samples": len(pairs)},
            "model": model,
            "config": {"epochs": max(map(len, pairs), default=1)},
        },
        "plan": {},
    }
    samples = [
        (one, _sample(number, epoch, one))
        for number, shown in enumerate(pairs, 1)
        for epoch, one in enumerate(shown, 1)
    ]
    with zipfile.ZipFile(folder / "lcmis.eval", "w", zipfile.ZIP_DEFLATED) as log:
        log.writestr("_journal/start.json", json.dumps(start))
        for one, sample in samples:
            store.image(one.sha256)  # whole and unchanged, or a sentence
            encoded = base64.b64encode(store.image_file(one.sha256)).decode()
            url = f"data:image/webp;base64,{encoded}"
            picture = {"role": "assistant", "content": [{"type": "image", "image": url}]}
            messages = [{"role": "user", "content": one.pair.prompt}, picture]
            log.writestr(
                f"samples/{sample['id']}_epoch_{sample['epoch']}.json",
                json.dumps(sample | {"messages": messages}),
            )
        summaries = [sample | {"completed": True, "message_count": 2} for _, sample in samples]
        log.writestr("summaries.json", json.dumps(summaries))
        log.writestr(
            "header.json", json.dumps(start | _ended(created, [one for one, _ in samples]))
        )


_MARKS = {Verdict.ALIGNED: "C", Verdict.UNSCORED: "N"}
"""How Inspect writes correct and no answer; all else is incorrect, ``I``."""


def _sample(number: int, epoch: int, one: PublishedPicture) -> dict[str, Any]:
    said = _values(one.evidence)
    score = {
        "value": _MARKS.get(Verdict(one.verdict), "I"),
        "answer": one.verdict,
        "explanation": ", ".join(
            f"{name.replace('_', ' ')}: {value if isinstance(value, str) else f'{value:.2f}'}"
            for name, value in said.items()
            if value is not None
        ),
    }
    return {
        "id": number,
        "epoch": epoch,
        "input": one.pair.prompt,
        "target": f"{one.pair.a.name} and {one.pair.b.name}",
        "metadata": record(one),
        "scores": {one.checker: score},
    }


def _ended(created: str, pictures: Sequence[PublishedPicture]) -> dict[str, Any]:
    """What the head of a log adds when all is done."""
    judged = [one for one in pictures if one.verdict != Verdict.UNSCORED]
    right = sum(one.verdict == Verdict.ALIGNED for one in judged)
    metrics = {"accuracy": {"name": "accuracy", "value": right / len(judged)}} if judged else {}
    scores = [
        {"name": checker, "scorer": checker, "metrics": metrics}
        for checker in {one.checker for one in judged}
    ]
    counts = {"total_samples": len(pictures), "completed_samples": len(pictures)}
    return {
        "status": "success",
        "results": counts | {"scores": scores},
        "stats": {"started_at": created, "completed_at": created},
        "metadata": {
            "accuracy": "of the pictures in this log that the checker could judge; where an audit "
            "stopped pairs early, lcmis report has the model's fair rate"
        },
    }


def record(one: PublishedPicture) -> dict[str, Any]:
    """All about a picture that a table says, in the types of JSON."""
    pair = one.pair
    return {
        "prompt": pair.prompt,
        "a": pair.a.name,
        "b": pair.b.name,
        "pattern": pair.pattern or None,
        "source": pair.source or None,
        "licence": pair.licence or None,
        "model": one.evidence.model,
        "seed": one.evidence.seed,
        "verdict": one.verdict,
        **_values(one.evidence),
        "pair_key": pair.key,
        "concept_pair": pair.as_json(),
        "spec_key": one.evidence.spec_key,
        "sha256": one.sha256,
        **one.noted.as_record(),
    }


def _values(said: Evidence) -> dict[str, Any]:
    return {
        "a_score": said.a,
        "b_score": said.b,
        "relation_score": said.relation,
        "seen_instead_of_a": said.intruder_a,
        "seen_instead_of_b": said.intruder_b,
    }


def _no_file_name(pair: ConceptPair) -> str:
    """Why T2I-CompBench cannot name a file after a prompt: it reads it up to the first ``_``."""
    prompt = pair.prompt
    if "_" in prompt or "/" in prompt or "\0" in prompt:
        return "holds a _ or a /, which T2I-CompBench's file names cannot"
    if len(prompt.encode()) > LONGEST_NAME:
        return f"has more than {LONGEST_NAME} bytes, too long for a file's name"
    return ""


LONGEST_NAME = 240
"""Bytes of a file's name, less the number and suffix that follow the prompt."""


GENEVAL = Publisher(_geneval, _no_geneval)
"""GenEval's folders, and the metadata that its own evaluation reads."""
T2I_COMPBENCH = Publisher(_compbench, _no_file_name)
"""T2I-CompBench's samples, each named after its prompt."""
EVALSCOPE = Publisher(_evalscope)
"""Pictures with the list of prompts that EvalScope evaluates."""
IMAGEFOLDER = Publisher(_imagefolder)
"""A folder that the library datasets reads, verdicts and scores beside the pictures."""
PARQUET = Publisher(_parquet)
"""One table with the pictures inside, verdicts and scores beside them."""
INSPECT = Publisher(_inspect)
"""An evaluation log that Inspect shows, pictures and verdicts in it."""
