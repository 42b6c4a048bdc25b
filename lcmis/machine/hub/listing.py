"""What a model on the hub consists of at one commit: every file with its size and its digest."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lcmis.errors import UnknownNameError, UserError
from lcmis.machine.hub.asking import TRIES, Unreachable, Watch, ask, refuse_endpoint
from lcmis.machine.hub.names import COMMIT, is_short_commit

FEW_TRIES = 2
"""Where the cache would do as well."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file, as a listing has it."""

    size: int
    """In bytes; -1 where it is not known."""
    digest: str
    """SHA-256 in 64 hex digits, or Git's SHA-1 of a small file in 40; empty where not known."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a model at one commit, which never change."""

    name: str
    commit: str
    files: Mapping[str, HubFile]
    """By path within the model."""
    is_whole: bool
    """Whether the hub said so; else it is what lies in the cache on this machine."""

    def __str__(self) -> str:
        return f"{self.name}@{self.commit}"

    @property
    def folder(self) -> Path:
        """Where the cache has these files."""
        return _repository(self.name) / "snapshots" / self.commit


def list_model(name: str, revision: str | None = None) -> Listing:
    """Look a model up; a commit that was looked up before is not asked for again.

    Raises:
        UnknownNameError: not on the hub, or not under this revision; the sentence names near ones.
        ConfigError: the hub cannot be reached, or refuses, and nothing lies in its cache.
    """
    from huggingface_hub import constants

    refuse_endpoint()
    pinned = revision if revision and COMMIT.fullmatch(revision) else None
    kept = _kept(name, pinned or _last_commit(name, revision))
    if kept is not None and kept.is_whole and pinned:
        return kept
    asked = f"{name!r}" + (f" at revision {revision!r}" if revision else "")
    if constants.is_offline_mode():
        if kept is None:
            raise Unreachable(
                f"{asked} is not in the hub's cache on this machine while the hub cannot be "
                f"reached: check the name, or unset HF_HUB_OFFLINE and fetch it with "
                f"`hf download {name}`"
            )
        return kept
    watch = Watch(tries=TRIES if kept is None else FEW_TRIES)
    try:
        return _asked(name, revision, asked, watch)
    except UserError as error:
        if kept is not None and not _is_about_revision(error):
            watch.say(f"{error}; {kept} is taken from the cache on this machine")
            return kept
        if isinstance(error, Unreachable):
            raise Unreachable(
                f"{error} ({asked} is not in the hub's cache on this machine)"
            ) from None
        if revision and _is_about_revision(error):
            raise UnknownNameError(_other_revision(name, revision)) from None
        raise


def _asked(name: str, revision: str | None, asked: str, watch: Watch) -> Listing:
    from huggingface_hub import HfApi

    api = HfApi()
    commit = str(ask(asked, lambda: api.resolve_revision(name, revision=revision), watch).resolved)
    kept = _kept(name, commit)
    if kept is not None and kept.is_whole:
        return kept
    again = Watch(tries=watch.tries)
    info = ask(asked, lambda: api.model_info(name, revision=commit, files_metadata=True), again)
    files = {
        one.rfilename: HubFile(
            -1 if one.size is None else one.size,
            one.lfs.sha256 if one.lfs else one.blob_id or "",
        )
        for one in info.siblings or ()
    }
    listing = Listing(name, commit, files, is_whole=True)
    _keep(listing)
    return listing


# ── revisions ────────────────────────────────────────────────────────────────────────────────────


def _is_about_revision(error: UserError) -> bool:
    return isinstance(error, UnknownNameError) and "no such revision" in str(error)


def _other_revision(name: str, revision: str) -> str:
    """What to write instead of a revision that the hub does not know."""
    from huggingface_hub import HfApi

    api, refs, commits = HfApi(), [], []
    with contextlib.suppress(UserError):  # the sentence does without
        told = ask(name, lambda: api.list_repo_refs(name), Watch(tries=1))
        refs = [*told.branches, *told.tags]
        commits = [ref.target_commit for ref in refs]
    if is_short_commit(revision):
        with contextlib.suppress(UserError):
            log = ask(name, lambda: api.list_repo_commits(name), Watch(tries=1))
            commits += [one.commit_id for one in log]
        whole = {commit for commit in commits if commit.startswith(revision.lower())}
        write = f"write {name}@{whole.pop()}" if len(whole) == 1 else "write all of them"
        return f"the hub knows a commit by its 40 digits, not by {revision!r}: {write}"
    named = ", ".join(dict.fromkeys(ref.name for ref in refs)) or "main"
    return f"{name} has no revision {revision!r} on the hub: it has {named}, and commits"


def _last_commit(name: str, revision: str | None) -> str:
    """That a branch or tag had when it was fetched last; empty for one that never was."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RevisionResolutionError

    try:
        found = HfApi().resolve_revision(name, revision=revision, local_files_only=True)
    except (RevisionResolutionError, OSError):
        return ""
    return str(found.resolved)


# ── what was said before ─────────────────────────────────────────────────────────────────────────


def remembered(name: str, kind: str) -> Path | None:
    """A folder of ours beside the hub's cache, for what needs asking or counting but once."""
    from huggingface_hub import cached_assets_path

    with contextlib.suppress(OSError, ValueError):
        return Path(cached_assets_path("lcmis", kind, name.replace("/", "--")))
    return None  # a cache that cannot be written remembers nothing


def _repository(name: str) -> Path:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = str(repo_folder_name(repo_id=name, repo_type="model"))
    return Path(constants.HF_HUB_CACHE).expanduser() / folder


def _kept(name: str, commit: str) -> Listing | None:
    """As the hub said it before; else what lies in its cache, whoever fetched it."""
    if not commit:
        return None
    folder = remembered(name, "listings")
    if folder is not None:
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            said = json.loads((folder / f"{commit}.json").read_text("utf-8"))
            files = {path: _read_file(entry) for path, entry in said.items()}
            return Listing(name, commit, files, is_whole=True)
    snapshot = _repository(name) / "snapshots" / commit
    found = {
        path.relative_to(snapshot).as_posix(): HubFile(path.stat().st_size, _digest_of(path))
        for path in sorted(snapshot.rglob("*"))
        if path.is_file()
    }
    return Listing(name, commit, found, is_whole=False) if found else None


def _read_file(entry: Any) -> HubFile:
    size, digest = entry
    return HubFile(int(size), str(digest))


def _digest_of(path: Path) -> str:
    """The cache names a file by its digest and links to it."""
    name = path.resolve().name
    is_digest = len(name) in (40, 64) and set(name) <= set("0123456789abcdef")
    return name if path.is_symlink() and is_digest else ""


def _keep(listing: Listing) -> None:
    folder = remembered(listing.name, "listings")
    if folder is not None:
        said = {path: (file.size, file.digest) for path, file in listing.files.items()}
        with contextlib.suppress(OSError):
            draft = folder / f".{listing.commit}.tmp"
            draft.write_text(json.dumps(said), "utf-8")
            draft.replace(folder / f"{listing.commit}.json")
