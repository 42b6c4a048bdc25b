"""Model folders, found on this disk or on the hub, and named by their content or commit."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lcmis.errors import ConfigError
from lcmis.machine.files import is_there
from lcmis.machine.hub.asking import Unreachable
from lcmis.machine.hub.fetching import Fetch, fetch, to_fetch
from lcmis.machine.hub.listing import Listing, list_model
from lcmis.machine.hub.names import hub_name, looks_like_hub_name, name_and_file
from lcmis.machine.weights import is_index, weight_files

if TYPE_CHECKING:
    import torch

CONFIGURATION = ("*.json", "*.txt", "*.model", "*.jinja")
"""File names that make up a model besides its weights."""
WEIGHTS = ("*.safetensors",)
PICKLES = (".bin", ".ckpt", ".pt", ".pth")
"""Weights that run code when opened."""
PIPELINE = "model_index.json"
"""The file that names the parts of a diffusers pipeline."""


@dataclass(frozen=True, slots=True)
class Located:
    """A folder on this disk and the name under which it is known for ever."""

    path: Path
    """From the hub, only its configuration lies there before :func:`fetch_weights`."""
    name: str
    revision: str
    """Commit hash on the hub, or twelve hex digits of the content."""
    hub_name: str = ""
    """Empty for a folder of the user's own."""
    listing: Listing | None = field(default=None, compare=False, repr=False)
    """All that the model has on the hub; None for a folder of the user's own."""

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}"

    def names(self, folder: str = "") -> list[str]:
        """Names of the files directly in a folder of the model, fetched or not."""
        if self.listing is None:
            place = self.path / folder
            return (
                sorted(one.name for one in place.iterdir() if one.is_file())
                if (place.is_dir())
                else []
            )
        start = f"{folder}/" if folder else ""
        inside = [path.removeprefix(start) for path in self.files if path.startswith(start)]
        return sorted(path for path in inside if "/" not in path)

    @property
    def files(self) -> Collection[str]:
        """Paths of all files of a hub model, fetched or not; none for a folder of the user's."""
        return () if self.listing is None else self.listing.files.keys()


def locate(name: str, revision: str | None) -> Located:
    """Find a folder by path, else by its name on the hub; from there only configuration comes.

    Of a pipeline that is the configuration of the parts that its index names.

    Args:
        name: a folder or file, or ``owner/name``.
        revision: branch, tag or commit; a folder of the user's own has none but its content.

    Raises:
        UnknownNameError: neither a folder nor on the hub, or not under this revision.
        ConfigError: the hub cannot be reached, or the revision of a local folder is asked for.
    """
    path = Path(name).expanduser()
    if not is_there(path):
        try:
            listing = list_model(hub_name(name), revision)
        except Unreachable as error:
            raise Unreachable(f"there is no folder {name!r}, and {error}") from None
        return Located(_fetch_configuration(listing), name, listing.commit, name, listing)
    if revision is not None:
        raise ConfigError(
            f"{name} is a folder on this disk and has no revision {revision!r}: leave the revision "
            f"out" + _shadows(name)
        )
    resolved = path.resolve()
    if looks_like_hub_name(name) and path.is_dir() and not _is_a_models(path):
        raise ConfigError(f"the folder {name} on this disk holds no model" + _shadows(name))
    return Located(resolved, safe_name(resolved.name), folder_revision(resolved))


def _shadows(name: str) -> str:
    if not looks_like_hub_name(name):
        return ""
    return (
        "; it stands before whatever the hub has under this name: to have that, move the folder or "
        "start lcmis in another one"
    )


def _is_a_models(path: Path) -> bool:
    """Whether any file of it could be of a model."""
    return any(next(path.rglob(pattern), None) for pattern in (*CONFIGURATION, "*.safetensors"))


def locate_unfetched(name: str, revision: str | None) -> Located:
    """A model on the hub, of which nothing is fetched, not even its configuration.

    Raises:
        UnknownNameError: not on the hub, or not under this revision.
        ConfigError: the hub cannot be reached, or refuses.
    """
    listing = list_model(hub_name(name), revision)
    return Located(listing.folder, name, listing.commit, name, listing)


def locate_spelled(name: str) -> Located:
    """As :func:`locate`, for ``name`` or ``name@revision``."""
    return locate(*_spelled(name))


def locate_file(name: str) -> tuple[Located, str]:
    """Find the one safetensors file of an adapter or a word, without fetching it.

    Args:
        name: a file or folder on this disk; ``owner/name`` on the hub, or ``owner/name/FILE`` for
            one of several; behind any of the latter ``@revision``.

    Returns:
        Where it is, named with its file where that was, and the file's path within; empty for a
        file of the user's own.

    Raises:
        UnknownNameError: neither on this disk nor on the hub.
        ConfigError: no such file, several of them, or only a pickle; the sentence names them.
    """
    spelled, revision = _spelled(name)
    path = Path(spelled).expanduser()
    if path.exists():
        located, bare, file = locate(spelled, revision), spelled, ""
        names = [path.name] if path.is_file() else located.names()
    else:
        bare, file = name_and_file(spelled)
        listing = list_model(hub_name(bare), revision)
        located = Located(listing.folder, spelled, listing.commit, bare, listing)
        names = sorted(listing.files)
    safe = [one for one in names if one.endswith(".safetensors")]
    found = [file] if file in safe else [one for one in safe if not file and "/" not in one]
    if len(found) == 1:
        return located, "" if path.is_file() else found[0]
    pickled = [one for one in names if one.endswith(PICKLES) and one == (file or one)]
    if pickled and not found:
        raise ConfigError(
            f"{name} must be one safetensors file, and it is a pickle ({pickled[0]}), which can "
            f"run code when opened: convert it, or take another one"
        )
    if not safe:
        raise ConfigError(f"{name} must be one safetensors file, or hold one, and has none")
    told = ", ".join(safe[:6]) + (", …" if len(safe) > 6 else "")
    example = f"{bare}/{safe[0]}" + (f"@{revision}" if revision else "")
    raise ConfigError(
        f"{name} must be one safetensors file, and of {len(safe)} it is not said which, or a wrong "
        f"one ({told}): name the file itself, such as {example}"
    )


def _spelled(name: str) -> tuple[str, str | None]:
    """What stands before an ``@`` and behind it; a path that exists has no revision."""
    owner, at, revision = name.rpartition("@")
    return (owner, revision) if at and not Path(name).expanduser().exists() else (name, None)


def fetch_files(located: Located, paths: Collection[str]) -> Path:
    """The folder with these files in it, downloaded where it comes from the hub.

    The shards that an index among them names are fetched too.

    Raises:
        ConfigError: the hub cannot be reached, does not have a file, or the disk cannot be written.
    """
    if located.listing is None:
        return located.path
    known = located.listing.files
    lacking = [path for path in paths if path not in known]
    if lacking:
        raise ConfigError(
            f"{located} has no {lacking[0]} on the hub: take another revision, or another model"
        )
    folder = fetch(located.listing, paths)
    shards = [shard for path in paths if is_index(path) for shard in _shards(folder, path)]
    lacking = [path for path in shards if path not in known]
    if lacking:
        raise ConfigError(
            f"{located} is not whole on the hub: its index names {lacking[0]}, which is not there"
        )
    more = [path for path in shards if path not in paths]
    return fetch(located.listing, more) if more else folder


def fetch_weights(located: Located, paths: Collection[str] | None = None) -> Path:
    """The folder with its weights too, downloaded where it comes from the hub.

    Args:
        located: a model.
        paths: files that are loaded, within the model; those in its own folder by default.

    Raises:
        ConfigError: the hub cannot be reached.
    """
    return fetch_files(located, weights_of(located) if paths is None else paths)


def needed(located: Located, paths: Collection[str] | None = None) -> tuple[Fetch, ...]:
    """How much :func:`fetch_weights` needs, and how much of it is here; nothing of a folder."""
    if located.listing is None:
        return ()
    return (to_fetch(located.listing, weights_of(located) if paths is None else paths),)


def weights_of(located: Located) -> tuple[str, ...]:
    """The files of a model's own folder from which its weights are loaded."""
    return weight_files(located.names())


def refuse_file(located: Located) -> None:
    """For what needs its configuration beside its weights.

    Raises:
        ConfigError: it is a single file.
    """
    if located.path.is_file():
        raise ConfigError(
            f"{located.path} is one file, and its configuration is needed too: give the folder in "
            f"which both lie, or owner/name on the hub"
        )


def refuse_no_safetensors(located: Located) -> None:
    """Judge a model by its files' names, before any of its weights is fetched or opened.

    Raises:
        ConfigError: there are only pickles, which can run code when opened, or no weights at all.
    """
    if weights_of(located):
        return
    others = [name for name in located.names() if name.endswith(".safetensors")]
    if not others:
        refuse_pickles(located)
    if others:
        raise ConfigError(
            f"{located.name} has no model.safetensors, only {others[0]}, which is not where its "
            f"weights are looked for: take a model that transformers saved"
        )
    raise ConfigError(f"{located.name} has no safetensors: copy the model again, whole")


def refuse_pickles(located: Located) -> None:
    """For a model that has no weights that are safe to open.

    Raises:
        ConfigError: it has pickles, which can run code when opened.
    """
    pickled = [
        name
        for name in located.names()
        if name.endswith(PICKLES) and name != "training_args.bin"  # a note of who trained it
    ]
    if pickled:
        where = str(located.path / pickled[0])
        if located.hub_name:
            where = f"$(hf download {located.hub_name} {pickled[0]})"
        raise ConfigError(
            f"{located.name} has its weights only as {pickled[0]}, a pickle that can run code when "
            f"opened: `lcmis convert {where} --into FOLDER` reads it safely and writes "
            f"safetensors, or take a model that has them"
        )


def _fetch_configuration(listing: Listing) -> Path:
    if PIPELINE not in listing.files:
        return fetch(listing, [path for path in _small(listing) if "/" not in path])
    fetch(listing, [PIPELINE])
    parts = _parts(listing.folder / PIPELINE)
    wanted = [path for path in _small(listing) if path.rpartition("/")[0] in parts]
    return fetch(listing, [PIPELINE, *wanted])


def _small(listing: Listing) -> Iterable[str]:
    """Files that are no weights; which index of weights is needed is not known yet."""
    for path in listing.files:
        name = path.rpartition("/")[2]
        if any(fnmatch.fnmatch(name, kind) for kind in CONFIGURATION) and not is_index(name):
            yield path


def _parts(index: Path) -> Collection[str]:
    """The parts that a pipeline's index names; what is wrong with it is told by who reads it."""
    try:
        said = json.loads(index.read_text("utf-8"))
    except ValueError:
        return ()
    named = said.items() if isinstance(said, dict) else ()
    return {name for name, entry in named if isinstance(entry, list) and entry and entry[0]}


def _shards(folder: Path, index: str) -> Collection[str]:
    """Paths of the files over which an index says that weights are spread."""
    try:
        spread = json.loads((folder / index).read_text("utf-8"))["weight_map"].values()
    except (ValueError, KeyError, AttributeError, TypeError):
        return ()  # who loads it says what is wrong
    start = index.rpartition("/")[0]
    return {f"{start}/{shard}" if start else str(shard) for shard in spread}


def folder_revision(path: Path) -> str:
    """Twelve hex digits over the names and contents of a folder's weights and configuration.

    A single file is named as if it were alone in a folder.
    """
    patterns = (*CONFIGURATION, *WEIGHTS)
    files = sorted({file for pattern in patterns for file in path.rglob(pattern)})
    if path.is_file():
        files, path = [path], path.parent
    total = hashlib.blake2b(digest_size=6)
    with ThreadPoolExecutor() as pool:  # hashing releases the lock, and weights are large
        for file, digest in zip(files, pool.map(file_digest, files), strict=True):
            total.update(file.relative_to(path).as_posix().encode() + b"\0" + digest)
    return total.hexdigest()


def file_digest(file: Path) -> bytes:
    """Sixteen bytes that name a file's content."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.blake2b(digest_size=16)).digest()


def safe_name(name: str) -> str:
    """Without what could be read as a path, a revision or white space."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "model"


def weights_fingerprint(tensors: Mapping[str, torch.Tensor]) -> str:
    """Sixteen hex digits that name weights in memory by their numbers in half precision.

    So a file in float32 and the same in float16 are one, and names, which libraries change, do not
    matter; numbers that are not floating-point are left out.
    """
    digests = sorted(
        hashlib.blake2b(
            repr(tuple(tensor.shape)).encode() + tensor.detach().cpu().half().numpy().tobytes(),
            digest_size=16,
        ).digest()
        for tensor in tensors.values()
        if tensor.is_floating_point()
    )
    return hashlib.blake2b(b"".join(digests), digest_size=8).hexdigest()
