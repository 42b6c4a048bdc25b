"""A model hub on the loopback address: as much of the Hugging Face protocol as downloads need.

``root`` holds one folder a model, ``root/OWNER/NAME/SNAPSHOT/…``: a snapshot is what the hub has at
one commit. What is said of a model is in :attr:`Hub.models`. Large files are redirected to a second
origin under a signed address, as the real hub does; that origin must see no token.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = (".safetensors", ".bin", ".ckpt", ".pt")
SIGNATURE = "Signature=s3cret"
PORTAL = "<html><body>Welcome to the hotel: please log in</body></html>"
BEHIND = "main"
"""The branch of a revision that nobody named."""


@dataclass
class Model:
    """What is said of one model."""

    refs: dict[str, str] = field(default_factory=lambda: {BEHIND: "first"})
    """Branches and tags, to snapshots."""
    tags: tuple[str, ...] = ()
    """Which of them are tags."""
    gated: bool = False
    private: bool = False
    allowed: tuple[str, ...] = ()
    """Tokens that may have it."""
    disabled: bool = False
    xet: bool = False
    """Whether its large files are said to lie in Xet storage, which this server does not speak."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Files of zeros that need no disk."""


@dataclass
class Fault:
    """What goes wrong with requests whose ``METHOD origin /path`` matches."""

    match: str
    status: int = 0
    """Answer with this instead."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    """Instead of the file, with status 200 or with an error."""
    times: int = -1
    """How often; -1 is for ever."""
    cut_after: int = -1
    """Close the connection after so many bytes of the body; 0 is before any answer."""
    hang: bool = False
    """Take the request, and never answer; or only the first ``cut_after`` bytes of the body."""
    corrupt: bool = False
    """Send bytes that are as many and others."""
    breath: float = 0.0
    """Seconds between two pieces of 64 kB."""


@dataclass(frozen=True)
class Asked:
    """One request and what became of it."""

    method: str
    path: str
    status: int
    token: str
    origin: str

    @property
    def file(self) -> str:
        """The path within the model, of a request for one."""
        if self.origin == "storage":
            return self.path.split("/", 4)[4]
        return self.path.partition("/resolve/")[2].partition("/")[2]


class Hub:
    """Two servers on 127.0.0.1: the hub, and the storage that it redirects to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.models: dict[str, Model] = {}
        self.faults: list[Fault] = []
        self.log: list[Asked] = []
        self.over = threading.Event()
        self._lock = threading.Lock()
        self._digests: dict[Path, tuple[str, str]] = {}
        self._servers = [
            _Server(("127.0.0.1", 0), type("Bound", (_Handler,), {"hub": self, "origin": origin}))
            for origin in ("hub", "storage")
        ]
        self.address, self.storage = (
            f"http://127.0.0.1:{server.server_port}" for server in self._servers
        )

    @contextmanager
    def running(self) -> Iterator[Hub]:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield self
        finally:
            self.over.set()
            for server in self._servers:
                server.shutdown()
                server.server_close()

    def reset(self) -> None:
        """Nothing goes wrong any more, and nothing was asked."""
        self.faults, self.log = [], []

    def commit(self, name: str, snapshot: str = "first") -> str:
        return hashlib.sha1(f"{name}/{snapshot}".encode()).hexdigest()

    def fetched(self) -> list[str]:
        """Paths of files whose content was asked for, each as often as that was."""
        sent = [one for one in self.log if one.method == "GET" and one.status in (200, 206)]
        return [one.file for one in sent if one.file]

    def fault(self, line: str) -> Fault:
        """The first one that matches, counted down."""
        with self._lock:
            for fault in self.faults:
                if fault.times and re.search(fault.match, line):
                    fault.times -= fault.times > 0
                    return fault
        return Fault("")

    def snapshots(self, name: str) -> list[str]:
        return [path.name for path in (self.root / name).iterdir() if path.is_dir()]

    def snapshot(self, name: str, revision: str) -> str | None:
        """Of a branch, a tag or a whole commit hash; the real hub knows no short ones either."""
        refs = self.models[name].refs
        if revision in refs:
            return refs[revision]
        return next(
            (one for one in self.snapshots(name) if self.commit(name, one) == revision), None
        )

    def files(self, name: str, snapshot: str) -> dict[str, tuple[int, str, str]]:
        """Path to size, Git's hash and SHA-256."""
        folder, found = self.root / name / snapshot, {}
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                found[path.relative_to(folder).as_posix()] = (
                    path.stat().st_size,
                    *self._digest(path),
                )
        for path, size in self.models[name].sizes.items():
            content = bytes(size)
            found[path] = (size, "0" * 40, hashlib.sha256(content).hexdigest())
        return found

    def _digest(self, path: Path) -> tuple[str, str]:
        real = path.resolve()
        if real not in self._digests:
            content = real.read_bytes()
            git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            self._digests[real] = git, hashlib.sha256(content).hexdigest()
        return self._digests[real]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """The other side has gone: nothing on the terminal."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub
    origin: str

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        fault = self._fault = self.hub.fault(f"{self.command} {self.origin} {path}")
        if fault.hang and fault.cut_after < 0:
            self._note(path, 0)
            self.hub.over.wait()
            self.close_connection = True
        elif fault.cut_after == 0 and not fault.hang:
            self._note(path, 0)
            self.close_connection = True
        elif fault.status:
            self._note(path, fault.status)
            self._send(fault.status, fault.headers, fault.body.encode())
        elif self.origin == "storage":
            self._note(path, 200)
            owner, name, snapshot, file = path.lstrip("/").split("/", 3)
            self._file(f"{owner}/{name}", snapshot, file, {})
        else:
            self._hub(path)

    def _note(self, path: str, status: int) -> None:
        token = self.headers.get("Authorization", "")
        self.hub.log.append(Asked(self.command, path, status, token, self.origin))

    # ── what is asked ────────────────────────────────────────────────────────────────────────────

    def _hub(self, path: str) -> None:
        api = re.fullmatch(
            r"/api/models/([^/]+/[^/]+)(?:/(revision|refs|commits)(?:/(.+))?)?", path
        )
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        found = api or file
        if found is None:
            return self._refuse(path, 404, "", "Sorry, we can't find the page.")
        name = found[1]
        said = self.hub.models.get(name)
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token == "hf_invalid":
            return self._refuse(path, 401, "", "Invalid credentials in Authorization header")
        allowed = said is not None and token in said.allowed
        if said is None or (said.private and not allowed):
            return self._refuse(path, 401, "RepoNotFound", "Repository not found")
        if said.disabled:
            return self._refuse(path, 403, "", "Access to this resource is disabled.")
        revision = file[2] if file else (api[3] or BEHIND)
        snapshot = self.hub.snapshot(name, revision)
        if snapshot is None:
            return self._refuse(path, 404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if api:
            return self._json(path, self._said(name, api[2], snapshot))
        if said.gated and not allowed:
            sentence = f"Access to model {name} is restricted. Visit https://huggingface.co/{name}"
            return self._refuse(path, 403 if token else 401, "GatedRepo", sentence)
        return self._resolve(path, name, snapshot, file[3])

    def _said(self, name: str, kind: str | None, snapshot: str) -> Any:
        model = self.hub.models[name]
        if kind == "commits":
            every = reversed(self.hub.snapshots(name))
            return [
                {"id": self.hub.commit(name, one), "title": one, "message": "", "authors": [],
                 "date": "2026-01-01T00:00:00.000Z"}
                for one in every
            ]  # fmt: skip
        if kind == "refs":
            refs = {
                ref: {"name": ref, "ref": ref, "targetCommit": self.hub.commit(name, to)}
                for ref, to in model.refs.items()
            }
            return {
                "branches": [one for ref, one in refs.items() if ref not in model.tags],
                "tags": [one for ref, one in refs.items() if ref in model.tags],
                "converts": [],
            }
        with_sizes = "blobs" in parse_qs(urlsplit(self.path).query)
        siblings = []
        for path, (size, git, sha) in self.hub.files(name, snapshot).items():
            entry: dict[str, Any] = {"rfilename": path}
            if with_sizes:
                entry |= {"size": size, "blobId": git}
                if path.endswith(LARGE):
                    entry["lfs"] = {"sha256": sha, "size": size, "pointerSize": 134}
            siblings.append(entry)
        return {
            "_id": "0",
            "id": name,
            "modelId": name,
            "sha": self.hub.commit(name, snapshot),
            "private": model.private,
            "gated": "auto" if model.gated else False,
            "tags": [],
            "siblings": siblings,
        }

    def _resolve(self, path: str, name: str, snapshot: str, file: str) -> None:
        commit = {"X-Repo-Commit": self.hub.commit(name, snapshot)}
        entry = self.hub.files(name, snapshot).get(file)
        if entry is None:
            return self._refuse(path, 404, "EntryNotFound", "Entry not found", commit)
        size, git, sha = entry
        if not file.endswith(LARGE):
            self._note(path, 200)
            return self._file(name, snapshot, file, commit | {"ETag": f'"{git}"'})
        self._note(path, 302)
        xet = {
            "X-Xet-Hash": sha,
            "X-Xet-Refresh-Route": f"{self.hub.address}/api/models/{name}/xet-read-token/main",
        }
        return self._send(
            302,
            commit
            | (xet if self.hub.models[name].xet else {})
            | {
                "X-Linked-Size": str(size),
                "X-Linked-ETag": f'"{sha}"',
                "Location": f"{self.hub.storage}/{name}/{snapshot}/{file}?{SIGNATURE}",
            },
        )

    # ── what is answered ─────────────────────────────────────────────────────────────────────────

    def _file(self, name: str, snapshot: str, path: str, headers: Mapping[str, str]) -> None:
        if self._fault.body:
            return self._send(200, headers, self._fault.body.encode())
        place = self.hub.root / name / snapshot / path
        content = (
            place.read_bytes() if place.is_file() else bytes(self.hub.models[name].sizes[path])
        )
        if self._fault.corrupt:
            content = bytes(byte ^ 1 for byte in content)
        status, shown = 200, dict(headers)
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked:
            start = int(asked[1])
            shown["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            status, content = 206, content[start:]
        self.send_response(status)
        for key, value in {**shown, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self._stream(content)
        return None

    def _stream(self, content: bytes) -> None:
        end = len(content) if self._fault.cut_after < 0 else self._fault.cut_after
        for start in range(0, end, 1 << 16):
            self.wfile.write(content[start : min(end, start + (1 << 16))])
            if self._fault.breath and self.hub.over.wait(self._fault.breath):
                break
        if self._fault.hang:
            self.wfile.flush()
            self.hub.over.wait()
        self.close_connection = self.close_connection or end < len(content)

    def _json(self, path: str, content: Any) -> None:
        self._note(path, 200)
        self._send(200, {"Content-Type": "application/json"}, json.dumps(content).encode())

    def _refuse(
        self, path: str, status: int, code: str, said: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self._note(path, status)
        shown = {"X-Error-Message": said, **({"X-Error-Code": code} if code else {})}
        self._send(status, shown | dict(headers or {}), json.dumps({"error": said}).encode())

    def _send(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
