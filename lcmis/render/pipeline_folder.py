"""A diffusers folder, read and judged safe before anything is loaded."""

from __future__ import annotations

import difflib
import importlib.util
import json
import re
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from lcmis.errors import ConfigError, UnknownNameError
from lcmis.machine.tokenizers import refuse_unread_words
from lcmis.machine.weights import weight_files
from lcmis.render.forms.kinds import refuse_other_folders, refuse_other_kinds
from lcmis.render.forms.quantised import refuse_unreadable
from lcmis.render.forms.schedulers import refuse_packages
from lcmis.render.forms.variants import by_variant, chosen_variant, refuse_incomplete

PICKLES = (".bin", ".ckpt", ".pt", ".pth")
"""Weights that run code when opened."""


class PipelineFolder:
    """The configuration files of a diffusers pipeline.

    Args:
        path: where they lie.
        name: of the model, as sentences call it.
        variant: that was asked for.
        files: paths of all its files, where most of them are still on the hub.
        refines: whether it may go on with a picture that another model has begun.

    Raises:
        ConfigError: no pipeline, one that makes something else than pictures of prompts, that
            brings code of its own, lacks a part, or is quantised by a package that is not here.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        variant: str = "",
        files: Collection[str] = (),
        *,
        refines: bool = False,
    ) -> None:
        self.path = path
        self.name = name
        self._variant = variant
        self._files = files
        refuse_other_folders(path, name, self._names())
        self.index = self._read(path / "model_index.json")
        self.class_name = self._class_name()
        self._refuse_code()
        if not refines:
            refuse_other_kinds(name, self.class_name)
        refuse_packages(f"{name} is a {self.class_name}", self.class_name)
        for component in self.components():
            if not (path / component).is_dir():
                raise ConfigError(
                    f"{name} lacks the folder {component!r} that its model_index.json names: "
                    f"copy the model again, whole"
                )
            refuse_unread_words(f"{name}/{component}", self._names(component))

    def components(self) -> dict[str, tuple[str, str]]:
        """Component to the library and class that it is loaded with."""
        return {
            name: (entry[0], entry[1])
            for name, entry in self.index.items()
            if isinstance(entry, list) and len(entry) == 2 and entry[0] is not None
        }

    def left_out(self) -> dict[str, None]:
        """Components that the model does without, such as SD3's T5; diffusers has to be told."""
        return {name: None for name, entry in self.index.items() if entry == [None, None]}

    def has(self, component: str) -> bool:
        """Whether the pipeline has this part."""
        return component in self.components()

    def config(self, component: str) -> dict[str, Any]:
        """A component's configuration.

        Raises:
            ConfigError: it is missing or no JSON.
        """
        stem = "scheduler_config.json" if component == "scheduler" else "config.json"
        return self._read(self.path / component / stem)

    def settings(self, component: str) -> dict[str, Any]:
        """The configuration of a component that is no network, such as a scheduler or a guider.

        Raises:
            ConfigError: it is missing or no JSON.
        """
        return self._read(self.path / component / f"{component}_config.json")

    def vae_scale_factor(self) -> int:
        """Pixels per latent pixel along one side."""
        return int(2 ** (len(self.config("vae")["block_out_channels"]) - 1))

    def refuse_pickles(self, but: Collection[str] = ()) -> None:
        """Every component that has weights must have them as safetensors, whole.

        Args:
            but: components whose weights come from elsewhere.

        Raises:
            ConfigError: there are only pickles, which can run code when opened, or none at all, or
                not the variant that was asked for.
        """
        components = [one for one in self.weighted_components() if one not in but]
        for component in components:
            names = self._names(component)
            if by_variant(names):
                self.variant_of(component)
                if not self._files:  # what comes from the hub is counted when it comes
                    refuse_incomplete(self.path / component, f"{self.name}/{component}")
                continue
            pickled = next((one for one in names if Path(one).suffix in PICKLES), None)
            if pickled is None:
                raise ConfigError(
                    f"{self.name} has no weights for {component}: copy the model again, whole"
                )
            raise ConfigError(
                f"{self.name} has the weights of {component} only as {pickled}, a pickle that "
                f"can run code when opened: convert the model to safetensors, or take one that is"
            )
        if self._variant and all(self.variant_of(one) != self._variant for one in components):
            raise ConfigError(
                f"{self.name} has no weights in the variant {self._variant!r}: leave variant out"
            )

    def weighted_components(self) -> list[str]:
        """The components that are neural networks."""
        return [name for name in self.components() if (self.path / name / "config.json").is_file()]

    def refuse_unreadable(self, device: str, but: Collection[str] = ()) -> None:
        """Quantised components need the package that reads them, and some need a GPU.

        Raises:
            ConfigError: it is not there.
        """
        for component in self.weighted_components():
            if component not in but:
                where, library = f"{self.name}/{component}", self.components()[component][0]
                refuse_unreadable(where, library, self.config(component), device)

    def variant_of(self, component: str) -> str:
        """Which of a component's weights are loaded, e.g. ``"fp16"``; empty for the plain ones.

        Raises:
            ConfigError: there are several, and nobody said which.
        """
        return chosen_variant(self._names(component), self._variant, f"{self.name}/{component}")

    def weight_files(self, but: Collection[str] = ()) -> list[str]:
        """Paths of the files, within the model, from which its networks are loaded.

        Args:
            but: components whose weights come from elsewhere.
        """
        return [
            f"{component}/{name}"
            for component in self.weighted_components()
            if component not in but
            for name in weight_files(self._names(component), self.variant_of(component) or None)
        ]

    def _names(self, component: str = "") -> list[str]:
        """Files in a component's folder, or in the model's own, fetched or not."""
        start = f"{component}/" if component else ""
        if not self._files:
            return sorted(one.name for one in (self.path / component).glob("*") if one.is_file())
        inside = (one.removeprefix(start) for one in self._files if one.startswith(start))
        return sorted(one for one in inside if "/" not in one)

    def _read(self, path: Path) -> dict[str, Any]:
        return read_json(path, f"{self.name}/{path.relative_to(self.path).as_posix()}")

    def _class_name(self) -> str:
        name = self.index.get("_class_name")
        if not isinstance(name, str) or name not in _diffusers_names("Pipeline"):
            raise ConfigError(
                f"{self.name} wants the pipeline {_spelled(name)}, which the installed diffusers "
                f"does not have; code that comes with a model is never run: upgrade diffusers or "
                f"take another model"
            )
        return name

    def _refuse_code(self) -> None:
        ours = {"diffusers", "transformers", *_pipeline_modules()}
        for component, (library, class_name) in self.components().items():
            brought = f"{library}.py" in self._names(component)
            if brought or library not in ours:
                raise ConfigError(
                    f"{self.name} wants its {component} from {library}.{class_name}, code that "
                    f"does not come with diffusers or transformers; code that comes with a model "
                    f"is never run: take another model"
                )


def read_json(path: Path, shown: str) -> dict[str, Any]:
    """A configuration file.

    Raises:
        ConfigError: it is missing or no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{shown} does not exist: give a diffusers folder, with a model_index.json and a "
            f"folder for each component"
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{shown} cannot be read as JSON ({error}): copy it again") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{shown} is no JSON object: copy it again")
    return content


def scheduler_class(name: str, *, flow: bool | None) -> str:
    """Check the name of a scheduler without loading it.

    Args:
        name: a diffusers class.
        flow: whether the model was trained by flow matching; None where that is not known.

    Raises:
        UnknownNameError: diffusers has no such scheduler.
        ConfigError: it integrates another kind of model, or needs a package that is not here.
    """
    known = _diffusers_names("Scheduler")
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        advice = ", ".join(near) or "EulerDiscreteScheduler, DDIMScheduler"
        raise UnknownNameError(f"diffusers has no scheduler {name!r}; try {advice}")
    refuse_packages(f"the scheduler {name} is in diffusers", name)
    if flow is not None and flow != name.startswith("FlowMatch"):
        kind = "a FlowMatch…Scheduler" if flow else "one that is no FlowMatch…Scheduler"
        raise ConfigError(f"the scheduler {name} cannot drive this model: set {kind}")
    return name


def _spelled(name: Any) -> str:
    return ".".join(map(str, name)) if isinstance(name, list) else str(name)


@cache
def _diffusers_names(suffix: str) -> tuple[str, ...]:
    """Class names that diffusers exports, read from its source: importing it costs seconds."""
    source = _diffusers_root() / "__init__.py"
    return tuple(sorted(set(re.findall(rf'"(\w+{suffix})"', source.read_text(encoding="utf-8")))))


@cache
def _pipeline_modules() -> frozenset[str]:
    root = _diffusers_root() / "pipelines"
    folders: Iterable[Path] = [*root.iterdir(), *(root / "deprecated").iterdir()]
    return frozenset(folder.name for folder in folders if folder.is_dir())


def _diffusers_root() -> Path:
    found = importlib.util.find_spec("diffusers")
    if found is None or found.origin is None:
        raise ConfigError("diffusers is not installed: install lcmis again, whole")
    return Path(found.origin).parent
