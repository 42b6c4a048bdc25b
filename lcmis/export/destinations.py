"""Where a whole store goes: a site of plain files, MLflow, Weights & Biases, a hub."""

from __future__ import annotations

import hashlib
import importlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lcmis import __version__, findings
from lcmis.errors import ConfigError
from lcmis.export.publish import (
    Destination,
    Outgoing,
    PublishedPicture,
    Sent,
    audited_pictures,
    record,
    whole_folder,
)
from lcmis.export.report import gather, html
from lcmis.export.site import write_site
from lcmis.findings import ModelFinding, PairFinding, words
from lcmis.findings.words import megabytes, several
from lcmis.judge import Decision
from lcmis.machine.hub import safe_name
from lcmis.machine.secrets import withheld
from lcmis.types import Verdict

WORST = 50
"""Failing pairs whose pictures go to a tracker."""
OF_EACH = 4
"""Pictures of each."""


@dataclass(frozen=True, slots=True)
class Logged:
    """One model as a tracker keeps it."""

    model: str
    name: str
    settings: dict[str, str]
    metrics: dict[str, float]
    pairs: list[dict[str, Any]]
    pictures: tuple[tuple[PairFinding, PublishedPicture], ...]
    """The first of each of the worst pairs."""

    @property
    def content(self) -> str:
        """Named by what is logged: the same audit logged again is known again."""
        said = json.dumps([self.model, self.settings, self.metrics, self.pairs], sort_keys=True)
        return hashlib.blake2b(said.encode(), digest_size=8).hexdigest()


def logged(asked: Outgoing) -> list[Logged]:
    """What a tracker is told, a value a model.

    Raises:
        ConfigError: there is no such model.
    """
    store = asked.store
    audit = findings.last_audit(store.runs())
    rule = findings.rule_of(audit) if audit else None
    by_model: dict[str, list[PairFinding]] = {}
    found = findings.find_pairs(store, asked.checker, rule=rule, threshold=asked.threshold)
    for one in found:
        if asked.model is None or asked.model in one.model:
            by_model.setdefault(one.model, []).append(one)
    if not by_model:
        known = ", ".join(store.models()) or "none: run lcmis audit"
        raise ConfigError(
            f"there are no pictures{f' of {asked.model!r}' if asked.model else ''}: models {known}"
        )
    names = words.short_names(list(by_model))
    shown: dict[tuple[str, str], list[PublishedPicture]] = {}
    for picture in audited_pictures(
        store, asked.checker, model=asked.model, threshold=asked.threshold
    ):
        shown.setdefault((picture.evidence.model, picture.pair.key), []).append(picture)
    told = []
    for summed in findings.find_models(
        store, by_model, [asked.checker], rule=rule, threshold=asked.threshold
    ):
        model, pairs = summed.model, summed.pairs
        worst = [one for one in pairs if one.judgement.failing is Decision.FAILS][:WORST]
        told.append(
            Logged(
                model=model,
                name=names[model],
                settings={
                    "model": model,
                    "checker": asked.checker,
                    "threshold": f"{asked.threshold:g}",
                    "rule": words.rule(rule),
                    "lcmis": __version__,
                },
                metrics=_metrics(summed),
                pairs=[_pair(one) for one in pairs],
                pictures=tuple(
                    (one, picture)
                    for one in worst
                    for picture in shown.get((model, one.pair.key), ())[:OF_EACH]
                ),
            )
        )
    return told


def _metrics(found: ModelFinding) -> dict[str, float]:
    rate = found.aligned
    shares = {"right": rate.value, "right_low": rate.low, "right_high": rate.high}
    counts = {
        "pairs_pass": len(found.decided(Decision.PASSES)),
        "pairs_fail": len(found.decided(Decision.FAILS)),
        "pairs_open": len(found.decided(Decision.UNDECIDED) + found.decided(Decision.CONTINUE)),
        "pairs_fail_controlled": found.num_surely_failing,
        "pictures": found.pictures,
        "not_judged": found.count(Verdict.UNSCORED),
        "refused": found.count(Verdict.REFUSED),
    }
    return {**(shares if rate.total else {}), **{name: float(n) for name, n in counts.items()}}


def _pair(one: PairFinding) -> dict[str, Any]:
    rate = one.judgement.aligned
    return {
        "prompt": one.pair.prompt,
        "right": one.judgement.count(Verdict.ALIGNED),
        "judged": rate.total,
        "rate": rate.value if rate.total else None,
        "missing": words.missing(one),
        "painted_instead": one.painted_instead,
        "verdict": words.decision(one.judgement.failing),
        "pair": one.pair.key,
    }


def _needs(module: str, package: str) -> Any:
    """A library that only this destination needs.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"{module} is not installed: pip install 'lcmis[{package}]', then try again"
        ) from error


# ── a site ───────────────────────────────────────────────────────────────────────────────────────


def _site(asked: Outgoing) -> list[Sent]:
    folder = Path(asked.place)
    with whole_folder(folder) as draft:
        made = write_site(
            asked.store,
            draft,
            checker=asked.checker,
            threshold=asked.threshold,
            model=asked.model,
        )
    lost = f"; {several(made.missing, 'picture')} missing or damaged" if made.missing else ""
    return [
        Sent(
            str(folder),
            f"{folder / 'index.html'}: {several(made.num_pages, 'page')}, "
            f"{several(made.num_pictures, 'picture')}, {megabytes(made.num_bytes)}{lost}",
        )
    ]


# ── MLflow ───────────────────────────────────────────────────────────────────────────────────────


def _mlflow(asked: Outgoing) -> list[Sent]:
    """A run a model in one experiment, where MLFLOW_TRACKING_URI says; what is there stays."""
    mlflow = _needs("mlflow", "mlflow")
    told = logged(asked)
    try:
        client = mlflow.MlflowClient()
        known = client.get_experiment_by_name(asked.place)
        experiment = known.experiment_id if known else client.create_experiment(asked.place)
        return [_mlflow_run(client, experiment, asked, one) for one in told]
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise ConfigError(
            f"MLflow takes nothing: {_first_line(error)}; look at MLFLOW_TRACKING_URI"
        ) from error


def _mlflow_run(client: Any, experiment: str, asked: Outgoing, one: Logged) -> Sent:
    there = client.search_runs(
        [experiment], f"tags.`lcmis.content` = '{one.content}' and status = 'FINISHED'"
    )
    if there:
        return Sent(asked.place, f"{one.name} is in {asked.place} already: {there[0].info.run_id}")
    run = client.create_run(experiment, run_name=one.name, tags={"lcmis.content": one.content})
    number, ended = run.info.run_id, "FAILED"
    try:
        for name, text in one.settings.items():
            client.log_param(number, name, text[:500])
        for name, value in one.metrics.items():
            client.log_metric(number, name, value)
        with tempfile.TemporaryDirectory() as folder:
            _lay_out(asked, one, Path(folder))
            client.log_artifacts(number, folder)
        ended = "FINISHED"
    finally:
        client.set_terminated(number, ended)
    return Sent(
        asked.place,
        f"{one.name}: run {number} in {asked.place}, {several(len(one.pairs), 'pair')} and "
        f"{several(len(one.pictures), 'picture')}",
    )


def _lay_out(asked: Outgoing, one: Logged, folder: Path) -> None:
    """The report, the table of pairs and the pictures of the worst, as files."""
    report = gather(asked.store, asked.checker, asked.threshold)
    (folder / "report.html").write_text(html(report), encoding="utf-8")
    columns = {name: [row[name] for row in one.pairs] for name in one.pairs[0]}
    table = {"columns": list(columns), "data": [list(row.values()) for row in one.pairs]}
    (folder / "pairs.json").write_text(json.dumps(table, ensure_ascii=False), encoding="utf-8")
    for found, picture in one.pictures:
        place = folder / "pictures" / words.short_key(found.pair.key)
        place.mkdir(parents=True, exist_ok=True)
        name = f"{picture.evidence.seed}-{picture.verdict}.webp"
        (place / name).write_bytes(asked.store.image_file(picture.sha256))


# ── Weights & Biases ─────────────────────────────────────────────────────────────────────────────


def _wandb(asked: Outgoing) -> list[Sent]:
    """A run a model in one project; WANDB_MODE=offline keeps it on this disk."""
    wandb = _needs("wandb", "wandb")
    told = logged(asked)
    try:
        return [_wandb_run(wandb, asked, one) for one in told]
    except (wandb.errors.Error, OSError) as error:
        raise ConfigError(
            f"Weights & Biases takes nothing: {_first_line(error)}; log in with `wandb login`, or "
            f"set WANDB_MODE=offline"
        ) from error


def _wandb_run(wandb: Any, asked: Outgoing, one: Logged) -> Sent:
    run = wandb.init(
        project=asked.place,
        name=one.name,
        id=one.content,
        resume="allow",
        job_type="audit",
        config=one.settings,
        settings=wandb.Settings(console="off", silent=True, disable_git=True, save_code=False),
    )
    columns = list(one.pairs[0])
    pairs = wandb.Table(columns=columns, data=[list(row.values()) for row in one.pairs])
    pictures = [
        wandb.Image(
            asked.store.image(shown.sha256),
            caption=f"{found.pair.prompt}; seed {shown.evidence.seed}: {shown.verdict}",
        )
        for found, shown in one.pictures
    ]
    run.log({**one.metrics, "pairs": pairs, **({"worst": pictures} if pictures else {})})
    folder = Path(run.dir).parent
    run.finish()
    where = f"offline, in {folder}" if run.offline else "online"
    return Sent(
        asked.place,
        f"{one.name}: run {one.content} of {asked.place}, {where}; "
        f"{several(len(one.pairs), 'pair')} and {several(len(one.pictures), 'picture')}",
    )


# ── a data set on a hub ──────────────────────────────────────────────────────────────────────────


def _hub(asked: Outgoing) -> list[Sent]:
    """Pictures with a line of scores each, as the library datasets reads them; private at first."""
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    pictures = audited_pictures(
        asked.store, asked.checker, model=asked.model, threshold=asked.threshold
    )
    if not pictures:
        raise ConfigError("there is no picture to push: run lcmis audit, or name another --model")
    with tempfile.TemporaryDirectory() as folder:
        rows = list(_rows(asked, pictures, Path(folder)))
        (Path(folder) / "metadata.jsonl").write_text("".join(rows), encoding="utf-8")
        (Path(folder) / "README.md").write_text(_card(asked, pictures), encoding="utf-8")
        try:
            api = HfApi()
            api.create_repo(asked.place, repo_type="dataset", private=True, exist_ok=True)
            api.upload_folder(
                repo_id=asked.place,
                repo_type="dataset",
                folder_path=folder,
                commit_message=f"{several(len(pictures), 'picture')} audited by lcmis",
                delete_patterns="images/*",
            )
        except (
            HfHubHTTPError,
            HFValidationError,
            LocalTokenNotFoundError,
            httpx2.HTTPError,
            OSError,
        ) as error:
            raise ConfigError(
                f"the hub takes nothing as {asked.place}: {_first_line(error)}; log in with "
                f"`hf auth login`, or look at HF_TOKEN and HF_ENDPOINT"
            ) from error
    return [Sent(asked.place, f"{asked.place}: {several(len(pictures), 'picture')} pushed")]


def _rows(asked: Outgoing, pictures: list[PublishedPicture], folder: Path) -> Iterator[str]:
    """A line a picture, after its file is there."""
    for number, one in enumerate(pictures):
        file = f"images/{safe_name(one.evidence.model)}/{number:06}.webp"
        place = folder / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(asked.store.image_file(one.sha256))
        line = {"file_name": file, "checker": one.checker} | record(one)
        yield json.dumps(line, ensure_ascii=False) + "\n"


def _card(asked: Outgoing, pictures: list[PublishedPicture]) -> str:
    """A card in which nothing that anybody wrote is markup: names and counts alone."""
    models = dict.fromkeys(one.evidence.model for one in pictures)
    listed = "".join(f"- `{_plain(name)}`\n" for name in models)
    return (
        "---\npretty_name: An audit by lcmis\ntask_categories:\n- text-to-image\n"
        "configs:\n- config_name: default\n  drop_labels: true\n---\n\n"
        f"{several(len(pictures), 'picture')} of text-to-image models with what a checker saw in "
        f"each.\n\n{listed}\nVerdicts follow from the scores of `{_plain(asked.checker)}` at a "
        f"threshold of {asked.threshold:g}. Each line of metadata.jsonl has the prompt, the two "
        "concepts, the seed, the scores and the licence of the pair.\n"
    )


def _plain(name: str) -> str:
    return "".join(one for one in name if one.isalnum() or one in "-_./:@+ ")


def _first_line(error: Exception) -> str:
    said = withheld(str(error)).strip().splitlines() or [type(error).__name__]
    return said[0].rstrip(".")


SITE = Destination(_site)
"""Pages that open from the disk and from any static host, with every picture and a search."""
MLFLOW = Destination(_mlflow)
"""A run a model: rates, the table of pairs, the report, and pictures of the worst."""
WANDB = Destination(_wandb)
"""A run a model of Weights & Biases: rates, the table of pairs, and pictures of the worst."""
HUB = Destination(_hub)
"""Pictures with their scores as a private data set on the Hugging Face hub."""
