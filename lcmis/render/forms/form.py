"""A model as it was named: where its parts come from, and what is laid over them."""

from __future__ import annotations

import importlib.util
import math
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcmis.errors import ConfigError
from lcmis.machine.device import choose_device
from lcmis.machine.hub import (
    Located,
    fetch_weights,
    locate,
    locate_file,
    locate_spelled,
    needed,
)
from lcmis.machine.hub.fetching import Fetch
from lcmis.machine.weights import weight_files
from lcmis.render.forms.single import SingleFile
from lcmis.render.forms.variants import by_variant, chosen_variant
from lcmis.render.forms.words import find_word
from lcmis.render.pipeline_folder import PipelineFolder, read_json
from lcmis.types import Adapter

if TYPE_CHECKING:
    from lcmis.plugins.settings import ModelSettings


class Form:
    """A model as it was named, found and judged by its configuration and the heads of its files.

    Args:
        settings: what was named.
        refines: whether it may be one that goes on with another model's picture; such a one is
            named ``name@revision`` in one setting.

    Raises:
        ConfigError: it is none that draws pictures of prompts, incomplete, pickled, needs code or a
            package that is not here, or what is laid over it was not made for it; the sentence says
            what to do.
        UnknownNameError: no such name.
    """

    def __init__(self, settings: ModelSettings, *, refines: bool = False) -> None:
        self._located = (
            locate_spelled(settings.name) if refines else locate(settings.name, settings.revision)
        )
        self.model_id = str(self._located)
        self._file: SingleFile | None = None
        self._base: Located | None = None
        if self._located.path.is_file():
            self._file = SingleFile(self._located)
            if settings.base is None:
                raise ConfigError(self._file.base_wanted())
            if settings.variant:
                raise ConfigError(
                    f"{self.model_id} is one file and has no variants: leave variant out"
                )
            self._base = locate_spelled(settings.base)
            if self._base.path.is_file():
                raise ConfigError(
                    f"base = {settings.base!r} is a file, which does not say how a model is built: "
                    f"name a hub model or a diffusers folder"
                )
            self.model_id += f"+base:{self._base}"
        elif settings.base is not None:
            raise ConfigError(
                f"{self.model_id} says itself how it is built, so base = {settings.base!r} would "
                f"change nothing: leave base out"
            )
        self.variant = settings.variant or ""
        if self.variant:
            self.model_id += f"+variant:{self.variant}"
        home = self._home
        self.folder = PipelineFolder(
            home.path, str(home), self.variant, home.files, refines=refines
        )
        self._vae = None if settings.vae is None else _find_vae(settings.vae, self.folder)
        if self._vae:
            self.model_id += f"+vae:{self._vae}"
        self.folder.refuse_unreadable(choose_device(settings.device), but=self._elsewhere)
        self.folder.refuse_pickles(but=self._elsewhere)

        self.adapters = tuple(_located_adapter(adapter) for adapter in settings.adapters)
        self.words = tuple(find_word(word, self.folder) for word in settings.embeddings)
        for _, _, adapter in self.adapters:  # a variant is a model of its own
            self.model_id += f"+{adapter.name}:{adapter.weight:g}"
        for word in self.words:
            self.model_id += f"+{word.embedding.name}={word.embedding.token}"

    @property
    def source(self) -> str:
        """Whence diffusers loads it: the hub name, or the folder or file on this disk."""
        return self._located.hub_name or str(self._located.path)

    @property
    def recorded(self) -> dict[str, Any]:
        """What a spec must say of it beside the model's name, as fields of the spec."""
        return {
            "adapters": tuple(adapter for _, _, adapter in self.adapters),
            "embeddings": tuple(word.embedding for word in self.words),
            "vae": str(self._vae or ""),
            "base": str(self._base or ""),
            "variant": self.variant,
        }

    @property
    def file(self) -> SingleFile | None:
        """Where most of its weights lie, if they lie in one file."""
        return self._file

    @property
    def vae(self) -> Located | None:
        """Where another VAE lies."""
        return self._vae

    def whole_folder(self) -> PipelineFolder:
        """Its folder with all weights that are read from there, fetched where it is on the hub.

        Raises:
            ConfigError: the hub cannot be reached, or does not have all of them.
        """
        fetch_weights(self._home, self.folder.weight_files(but=self._elsewhere))
        return self.folder

    def fetches(self) -> tuple[Fetch, ...]:
        """How much of it comes from the hub, and how much of that is here; nothing of folders."""
        found = [*needed(self._home, self.folder.weight_files(but=self._elsewhere))]
        if self._vae:
            found += needed(self._vae, vae_files(self._vae, self.variant))
        for located, file, _ in self.adapters:
            found += needed(located, [file])
        return tuple(found)

    @property
    def _home(self) -> Located:
        """What says how the model is built."""
        return self._base or self._located

    @cached_property
    def _elsewhere(self) -> frozenset[str]:
        """Components whose weights do not come from its folder, or are not loaded at all."""
        found = {"vae"} if self._vae else set()
        if self._file:
            found |= {"safety_checker"}  # single files have none, and their users miss none
            found |= {
                component
                for component, (_, kind) in self.folder.components().items()
                if self._file.holds(component, kind)
            }
        return frozenset(found)


def _located_adapter(adapter: Adapter) -> tuple[Located, str, Adapter]:
    """Where it is, its file within, and its name with the revision."""
    if importlib.util.find_spec("peft") is None:
        raise ConfigError("adapters need the package peft: `pip install peft`")
    if not math.isfinite(adapter.weight):
        raise ConfigError(
            f"the weight of the adapter {adapter.name} is {adapter.weight:g}, but it is finite: "
            f"1 lays it over the model whole"
        )
    located, file = locate_file(adapter.name)
    return located, file, Adapter(str(located), adapter.weight)


def _find_vae(name: str, folder: PipelineFolder) -> Located:
    """Another VAE, held against the model's own.

    Raises:
        ConfigError: it is none, or of another shape.
        UnknownNameError: no such name.
    """
    if not folder.has("vae"):
        raise ConfigError(
            f"{folder.name} is a {folder.class_name}, which has no VAE: leave vae out"
        )
    located = locate_spelled(name)
    if located.path.is_file():
        SingleFile(located, is_vae=True)
        return located
    home = vae_folder(located.path)
    own, other = folder.config("vae"), read_json(home / "config.json", f"{name}/config.json")
    if own.get("_class_name") != other.get("_class_name"):
        raise ConfigError(
            f"{name} is a {other.get('_class_name')}, and {folder.name} has a "
            f"{own.get('_class_name')}: take a VAE that was made for it"
        )
    for field in ("latent_channels", "down_block_types"):
        if own.get(field) != other.get(field):
            raise ConfigError(
                f"the VAE {name} makes other latents than that of {folder.name} ({field} is "
                f"{other.get(field)}, not {own.get(field)}): take one that was made for it"
            )
    if not by_variant(located.names(home.relative_to(located.path).as_posix().strip("."))):
        raise ConfigError(f"the VAE {name} has no weights as safetensors: copy it again, whole")
    return located


def vae_folder(path: Path) -> Path:
    """A VAE's own folder, or that inside a whole pipeline."""
    return path / "vae" if (path / "vae" / "config.json").is_file() else path


def vae_files(vae: Located, variant: str) -> list[str]:
    """Paths of the files from which another VAE is loaded; none of a single file."""
    if vae.path.is_file():
        return []
    start = vae_folder(vae.path).relative_to(vae.path).as_posix().strip(".")
    names = vae.names(start)
    chosen = weight_files(names, chosen_variant(names, variant, str(vae)) or None)
    return [f"{start}/{name}" if start else name for name in chosen]
