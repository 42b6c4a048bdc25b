"""A small server of the chat protocol on loopback: it answers as a function says, many at once."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

Said = bytes | dict[str, Any] | tuple[int, dict[str, Any]]
"""A body, JSON with status 200, or a status and JSON."""


@dataclass
class ChatServer:
    """Serves ``/v1/chat/completions``; what was asked is kept."""

    answer: Callable[[dict[str, Any]], Said]
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    address: str = ""
    most_at_once: int = 0
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reply(self, body: dict[str, Any], key: str) -> Said:
        with self._lock:
            self.asked.append(body)
            self.keys.append(key)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            return self.answer(body)
        finally:
            with self._lock:
                self._now -= 1


@contextlib.contextmanager
def chat_server(answer: Callable[[dict[str, Any]], Said]) -> Iterator[ChatServer]:
    """A server that is there until the block ends."""
    server = ChatServer(answer)

    class Asked(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = json.loads(self.rfile.read(length))
            said = server.reply(body, self.headers.get("Authorization", ""))
            status, value = said if isinstance(said, tuple) else (200, said)
            raw = value if isinstance(value, bytes) else json.dumps(value).encode()
            if raw.startswith(b"HTTP/1.1 "):  # a whole answer, sound or not
                self.wfile.write(raw)
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *said: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Asked)
    http.daemon_threads = True
    server.address = f"http://127.0.0.1:{http.server_port}/v1"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def question_in(body: dict[str, Any]) -> tuple[Image.Image, str]:
    """The picture and the text that a request shows."""
    (message,) = body["messages"]
    shown, text = message["content"]
    head, _, data = shown["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data))), text["text"]


def completion(*choices: dict[str, Any], **beside: Any) -> dict[str, Any]:
    """The body of an answer."""
    usage = {"prompt_tokens": 100, "completion_tokens": len(choices)}
    return {
        "id": "c1",
        "object": "chat.completion",
        "model": "served",
        "choices": [{"index": i, **choice} for i, choice in enumerate(choices)],
        "usage": usage,
    } | beside


def words(content: Any, finish: str = "stop", **message: Any) -> dict[str, Any]:
    """A choice that says something."""
    said = {"role": "assistant", "content": content, **message}
    return {"finish_reason": finish, "message": said}


def odds(likely: dict[str, float] | list[Any], content: Any = None) -> dict[str, Any]:
    """A choice that tells the probabilities of its first word; given as such, or as it is."""
    if isinstance(likely, dict):
        ranked = sorted(likely.items(), key=lambda one: -one[1])
        told = [{"token": w, "logprob": math.log(p) if p else -9999.0} for w, p in ranked]
    else:
        told = likely
    first = told[0]["token"] if told and isinstance(told[0], dict) and "token" in told[0] else ""
    place = {"token": first, "logprob": 0.0, "top_logprobs": told}
    choice = words(first if content is None else content, "length")
    return choice | {"logprobs": {"content": [place]}}
