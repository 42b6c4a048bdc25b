"""Names to plugins, imported on demand; other packages join by entry points."""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lcmis.errors import ConfigError, UnknownNameError

OURS = "lcmis"
"""The package that built-in plugins come with."""

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "models": "lcmis.plugins.protocols:ImageModel",
        "checkers": "lcmis.plugins.protocols:Checker",
        "text_models": "lcmis.plugins.protocols:TextModel",
        "repairers": "lcmis.plugins.protocols:Repairer",
        "inverters": "lcmis.plugins.protocols:Inverter",
        "writers": "lcmis.plugins.protocols:Writer",
        "language_models": "lcmis.plugins.protocols:LanguageModel",
        "importers": "lcmis.propose.formats.sets:Format",
        "exporters": "lcmis.export.formats:Exporter",
        "publishers": "lcmis.export.publish:Publisher",
    }
)
"""Every kind that another package may add to by an entry point in the group ``lcmis.<kind>``, and
the type that says what a plugin of this kind offers. A plugin of the first seven kinds is called
with its settings; one of the last three is the object itself."""

BUILT_IN: dict[str, dict[str, str]] = {
    "models": {
        "teacup-narrow": "lcmis.teacup.shipped:narrow",
        "teacup-broad": "lcmis.teacup.shipped:broad",
        "teacup-partners": "lcmis.teacup.shipped:partners",
        "teacup-layout": "lcmis.teacup.shipped:layout",
        "teacup-mixture": "lcmis.teacup.shipped:mixture",
        "folder": "lcmis.render.folder:FolderModel",
        "hosted": "lcmis.render.hosted:HostedModel",
        "diffusers": "lcmis.render.diffusion:DiffusersModel",
    },
    "checkers": {
        "clip": "lcmis.check.clip:ClipChecker",
        "vqa": "lcmis.check.vqa:VqaChecker",
        "vqascore": "lcmis.check.vqascore:VqaScoreChecker",
        "openai": "lcmis.check.remote:RemoteChecker",
        "detect": "lcmis.check.detector:DetectorChecker",
        "panel": "lcmis.check.panel:PanelChecker",
        "compared": "lcmis.check.compared:ComparedChecker",
        "clipscore": "lcmis.check.likeness:ClipScoreChecker",
        "hps": "lcmis.check.preference:PreferenceChecker",
        "pickscore": "lcmis.check.preference:PickScoreChecker",
        "imagereward": "lcmis.check.reward:ImageRewardChecker",
        "teacup-clip": "lcmis.teacup.shipped:clip",
        "teacup-guard": "lcmis.teacup.shipped:guard",
        "teacup-judge": "lcmis.teacup.shipped:judge",
    },
    "text_models": {
        "openai": "lcmis.text.chat:ChatModel",
        "local": "lcmis.text.local:LocalModel",
        "teacup-lm": "lcmis.teacup.shipped:lm",
        "phrasebook": "lcmis.teacup.phrasebook:Phrasebook",
    },
    "repairers": {
        "portfolio": "lcmis.repair.methods.portfolio:Portfolio",
        "moce": "lcmis.repair.methods.moce:Moce",
        "moce-bisect": "lcmis.repair.methods.moce:bisect",
        "moce-replicate": "lcmis.repair.methods.moce:replicate",
        "rewrite": "lcmis.repair.methods.rewrite:Rewrite",
        "ordered": "lcmis.repair.methods.ordered:Ordered",
        "alternating": "lcmis.repair.methods.alternating:Alternating",
        "composable": "lcmis.repair.methods.composable:Composable",
        "attend-and-excite": "lcmis.repair.methods.exciting:AttendAndExcite",
        "base-refiner": "lcmis.repair.methods.refining:BaseRefiner",
        "best-of-n": "lcmis.repair.methods.best_of_n:BestOfN",
        "npc": "lcmis.repair.methods.negatives:Negatives",
        "opt2i": "lcmis.repair.methods.opt2i:Opt2i",
        "protegi": "lcmis.repair.methods.protegi:Protegi",
        "craft": "lcmis.repair.methods.craft:Craft",
        "raise": "lcmis.repair.methods.raising:Raising",
        "proxies": "lcmis.repair.methods.proxies:Proxies",
        "bigpe": "lcmis.repair.methods.bigpe:Bigpe",
        "bigpe-epsilon": "lcmis.repair.methods.bigpe:by_epsilon",
        "bigpe-greedy": "lcmis.repair.methods.bigpe:by_greed",
        "pez": "lcmis.repair.methods.inversion:pez",
        "pez-denoiser": "lcmis.repair.methods.inversion:pez_through_denoiser",
        "arpo": "lcmis.repair.methods.inversion:arpo",
        "ph2p": "lcmis.repair.methods.inversion:ph2p",
        "interrogator": "lcmis.repair.methods.inversion:interrogator",
        "editor": "lcmis.repair.methods.inversion:editor",
    },
    "inverters": {
        "caption": "lcmis.invert.methods.caption:Caption",
        "arpo": "lcmis.invert.methods.arpo:Arpo",
        "arpo-vanilla": "lcmis.invert.methods.arpo:vanilla",
        "pez": "lcmis.invert.methods.pez:Pez",
        "pez-denoiser": "lcmis.invert.methods.pez:through_denoiser",
        "ph2p": "lcmis.invert.methods.ph2p:Ph2p",
        "interrogator": "lcmis.invert.methods.interrogator:Interrogator",
        "editor": "lcmis.invert.methods.editor:Editor",
    },
    "writers": {
        "e2t": "lcmis.invert.e2t.writer:EmbeddingToText",
        "teacup-writer": "lcmis.teacup.shipped:narrow_writer",
        "teacup-writer-broad": "lcmis.teacup.shipped:broad_writer",
    },
    "language_models": {
        "causal": "lcmis.text.fluency:CausalLanguageModel",
    },
    "importers": {  # in the order in which a file is recognised: what says most comes first
        "whole-pairs": "lcmis.propose.formats.sets:CARRIED",
        "pairs": "lcmis.propose.formats.sets:PAIRS",
        "lc-mis": "lcmis.propose.formats.sets:LC_MIS",
        "geneval": "lcmis.propose.formats.sets:GENEVAL",
        "geneval2": "lcmis.propose.formats.sets:GENEVAL_2",
        "tifa": "lcmis.propose.formats.sets:TIFA",
        "tifa-text": "lcmis.propose.formats.sets:TIFA_TEXT",
        "dsg": "lcmis.propose.formats.sets:DSG",
        "genai-bench": "lcmis.propose.formats.sets:GENAI_BENCH",
        "conceptmix": "lcmis.propose.formats.sets:CONCEPTMIX",
        "evalscope": "lcmis.propose.formats.sets:EVALSCOPE",
        "prompts": "lcmis.propose.formats.sets:PROMPTS",
        "t2i-compbench": "lcmis.propose.formats.sets:T2I_COMPBENCH",
        "text": "lcmis.propose.formats.sets:TEXT",
    },
    "exporters": {
        "csv": "lcmis.export.formats:CSV",
        "jsonl": "lcmis.export.formats:JSONL",
        "parquet": "lcmis.export.formats:PARQUET",
        "diffusers": "lcmis.export.formats:DIFFUSERS",
        "a1111": "lcmis.export.formats:A1111",
        "comfyui": "lcmis.export.formats:COMFYUI",
    },
    "publishers": {
        "geneval": "lcmis.export.publish:GENEVAL",
        "t2i-compbench": "lcmis.export.publish:T2I_COMPBENCH",
        "evalscope": "lcmis.export.publish:EVALSCOPE",
        "imagefolder": "lcmis.export.publish:IMAGEFOLDER",
        "parquet": "lcmis.export.publish:PARQUET",
        "inspect": "lcmis.export.publish:INSPECT",
        "site": "lcmis.export.destinations:SITE",
        "mlflow": "lcmis.export.destinations:MLFLOW",
        "wandb": "lcmis.export.destinations:WANDB",
        "hub": "lcmis.export.destinations:HUB",
    },
    "known_cases": {
        "clip": "lcmis.audit.doctor:shapes",
        "vqa": "lcmis.audit.doctor:shapes",
        "vqascore": "lcmis.audit.doctor:shapes",
        "openai": "lcmis.audit.doctor:shapes",
        "teacup-clip": "lcmis.teacup.shipped:known_cases",
        "teacup-guard": "lcmis.teacup.shipped:known_cases",
        "teacup-judge": "lcmis.teacup.shipped:known_cases",
    },
}
"""Kind → name → ``module:object``."""


@cache
def _installed(kind: str) -> EntryPoints:
    """Of all packages; to look through them takes long, and they stay as they are."""
    return entry_points(group=f"lcmis.{kind}")


def names(kind: str) -> dict[str, str]:
    """All registered names of one kind of plugin, with where they live, ours first; nothing is
    imported.

    Raises:
        ConfigError: two packages register one name.
    """
    return {name: where for name, (where, _) in _registered(kind).items()}


def _registered(kind: str) -> dict[str, tuple[str, str]]:
    """Name → where it lives and the package that brings it."""
    found = {name: (where, OURS) for name, where in BUILT_IN[kind].items()}
    for entry in _installed(kind):
        where, package = found.get(entry.name, (entry.value, ""))
        brings = entry.dist.name if entry.dist else entry.value.partition(".")[0]
        if where != entry.value:
            raise ConfigError(
                f"two {spoken(kind)}s are called {entry.name!r} ({where} of {package} and "
                f"{entry.value} of {brings}): uninstall one of the packages or rename its entry "
                f"point"
            )
        found[entry.name] = (where, package or brings)
    return found


def spoken(kind: str) -> str:
    """One plugin of a kind, as a sentence says it: ``text_models`` → ``text model``."""
    return kind.removesuffix("s").replace("_", " ")


@dataclass(frozen=True, slots=True)
class Entry:
    """One registered plugin."""

    kind: str
    name: str
    summary: str
    """The first sentence of its docstring."""
    package: str
    """Which package brings it; ``lcmis`` for what is built in."""
    where: str
    """``module:object``."""


def describe(kind: str) -> list[Entry]:
    """Every plugin of one kind with its summary, read from source without importing anything.

    Raises:
        ConfigError: two packages register one name.
    """
    return [
        Entry(kind, name, summary(where), package, where)
        for name, (where, package) in sorted(_registered(kind).items())
    ]


def summary(where: str) -> str:
    """The first paragraph of the docstring of ``module:object``, read without importing anything;
    empty where there is none.
    """
    module, _, attribute = where.partition(":")
    found = _spec(module)
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        return ""
    body = ast.parse(Path(found.origin).read_text("utf-8")).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == attribute:
            return _first_paragraph(ast.get_docstring(node) or "")
        if attribute in _assigned(node):
            said = after.value if isinstance(after, ast.Expr) else None
            return _first_paragraph(str(said.value) if isinstance(said, ast.Constant) else "")
        if isinstance(node, ast.ImportFrom):  # a package that shows what its modules hold
            for alias in node.names:
                if attribute in (alias.asname, None if alias.asname else alias.name):
                    return summary(f"{_absolute(node, found)}:{alias.name}")
    return ""


def _spec(module: str) -> ModuleSpec | None:
    """Where a module lies; unlike importlib's own search this imports no package on the way."""
    top, *inner = module.split(".")
    found = importlib.util.find_spec(top)
    name = top
    for part in inner:
        if found is None or found.submodule_search_locations is None:
            return None
        name += f".{part}"
        found = PathFinder.find_spec(name, found.submodule_search_locations)
    return found


def _absolute(node: ast.ImportFrom, within: ModuleSpec) -> str:
    if not node.level:
        return node.module or ""
    package = within.name if within.submodule_search_locations else within.parent or ""
    base = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def _assigned(node: ast.stmt) -> set[str]:
    targets = node.targets if isinstance(node, ast.Assign) else []
    targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _first_paragraph(docstring: str) -> str:
    return " ".join(docstring.strip().partition("\n\n")[0].split())


def load(kind: str, name: str) -> Any:
    """Import the plugin registered under a name.

    Raises:
        UnknownNameError: nothing bears this name; the sentence lists the nearest ones.
        ConfigError: another package registers what it does not have.
    """
    known = _registered(kind)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3) or sorted(known)
        raise UnknownNameError(f"no {spoken(kind)} is called {name!r}; try {', '.join(near)}")
    where, package = known[name]
    module, _, attribute = where.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        if package == OURS:
            raise  # a fault of ours shows itself whole
        raise ConfigError(
            f"the {spoken(kind)} {name!r} of {package} cannot be imported from {where} ({error}): "
            f"update or uninstall {package}"
        ) from error
