"""A hub on the loopback address that takes data sets: as much of its protocol as uploads need."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class DataHub:
    """Data sets as folders below ``root``; ``token`` may write, and nobody else."""

    def __init__(self, root: Path, token: str) -> None:
        self.root, self.token = root, token
        self.private: dict[str, bool] = {}
        self.commits: list[str] = []
        handler = type("Bound", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator[DataHub]:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: DataHub

    def do_GET(self) -> None:
        _, kind, place = self._place()
        if kind != "tree":
            return self._say({"error": "not found"}, 404)
        files = [path for path in place.rglob("*") if path.is_file()]
        return self._say(
            [
                {
                    "type": "file",
                    "path": str(path.relative_to(place)),
                    "size": path.stat().st_size,
                    "oid": "0" * 40,
                }
                for path in files
            ]
        )

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            return self._say(
                {"error": f"Invalid credentials: {self.headers['Authorization']}"}, 401
            )
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = "/".join(filter(None, (asked.get("organization"), asked["name"])))
            (self.hub.root / name).mkdir(parents=True, exist_ok=True)
            self.hub.private[name] = asked.get("private") or asked.get("visibility") == "private"
            return self._say({"url": f"{self.hub.address}/datasets/{name}", "id": name})
        if self.path == "/api/validate-yaml":
            return self._say({"errors": [], "warnings": []})
        name, kind, place = self._place()
        if kind == "preupload":
            files = json.loads(body)["files"]
            told = {"uploadMode": "regular", "shouldIgnore": False}
            return self._say({"files": [{"path": one["path"], **told} for one in files]})
        assert kind == "commit", self.path
        for line in map(json.loads, body.splitlines()):
            self._keep(line["key"], line["value"], place)
        return self._say(
            {
                "success": True,
                "commitOid": "1" * 40,
                "commitUrl": f"{self.hub.address}/datasets/{name}/commit/{'1' * 40}",
                "hookOutput": "",
            }
        )

    def _keep(self, key: str, value: dict[str, Any], place: Path) -> None:
        if key == "header":
            self.hub.commits.append(value["summary"])
            return
        path = place / value["path"]
        assert path.resolve().is_relative_to(place.resolve())
        if key == "deletedFile":
            path.unlink()
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(value["content"]))

    def _place(self) -> tuple[str, str, Path]:
        """``/api/datasets/OWNER/NAME/KIND/main`` → the name, the kind, and where its files lie."""
        parts = self.path.partition("?")[0].split("/")
        if parts[:3] != ["", "api", "datasets"] or len(parts) < 6:
            return "", "", self.hub.root
        name = "/".join(parts[3:5])
        return name, parts[5], self.hub.root / name

    def _say(self, value: Any, status: int = 200) -> None:
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
