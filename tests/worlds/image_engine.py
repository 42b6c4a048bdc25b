"""A small server of the images API as engines for open models speak it, honest or not."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from PIL import Image

Draw = Callable[[dict[str, Any]], Image.Image]
"""From what was asked: prompt, negative_prompt, seed, num_inference_steps, scale, width, height."""


def stripes(asked: dict[str, Any]) -> Image.Image:
    """A picture that is another one whenever anything asked is other; costs nothing."""
    told = json.dumps(asked, sort_keys=True).encode()
    pixels = b"".join(
        hashlib.blake2b(told + bytes([row]), digest_size=48).digest() for row in range(16)
    )
    small = Image.frombytes("RGB", (16, 16), pixels)
    return small.resize((asked["width"], asked["height"]), Image.Resampling.NEAREST)


def pipeline_of(folder: Path) -> Draw:
    """A real, tiny pipeline of diffusers, as an engine runs one."""
    import torch
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(folder, use_safetensors=True)
    pipeline.set_progress_bar_config(disable=True)
    one_at_a_time = threading.Lock()

    def draw(asked: dict[str, Any]) -> Image.Image:
        with one_at_a_time:
            drawn = pipeline(
                asked["prompt"],
                negative_prompt=asked["negative_prompt"],
                num_inference_steps=asked["num_inference_steps"],
                guidance_scale=asked["scale"],
                width=asked["width"],
                height=asked["height"],
                generator=torch.Generator("cpu").manual_seed(asked["seed"]),
            )
        return drawn.images[0]

    return draw


@dataclass
class Engine:
    """What the server does, and what it saw."""

    draw: Draw = stripes
    model: str = "org/painter"
    dialect: str = "plain"
    """Where it looks for the seed and what goes with it."""
    scale: str = "guidance_scale"
    """What it calls the guidance; what it does not know it ignores, as real ones do."""
    format: str = "PNG"
    faults: set[str] = field(default_factory=set)
    """Of: constant, random, drifting, size, count, model, ids, slow, cut, down, error, black,
    stale, locked; with ``after`` they begin later."""
    after: int = 0
    """So many pictures come first."""
    names_its_model: bool = False
    lists: list[str] | None = None
    """What it says that it serves, where it says so at all."""
    refuses: str = ""
    """A prompt that its filter holds back."""
    pause: float = 0.0
    """Seconds that a picture takes."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    most_under_way: int = 0
    gate: threading.Event | None = None
    """Where set, no picture after ``after`` is sent before it is."""
    endpoint: str = ""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way = 0
        self._sent: list[str] = []
        self._drifted = itertools.count()

    def answer(self, body: dict[str, Any]) -> tuple[int, bytes | None]:
        """Status and body of an answer; None for one that is cut."""
        with self._lock:
            self.asked.append(body)
            number = len(self.asked)
            self._under_way += 1
            self.most_under_way = max(self.most_under_way, self._under_way)
        try:
            return self._answer(body, self.faults if number > self.after else set(), number)
        finally:
            with self._lock:
                self._under_way -= 1

    def _answer(
        self, body: dict[str, Any], faults: set[str], number: int
    ) -> tuple[int, bytes | None]:
        if self.gate is not None and number > self.after:
            self.gate.wait(20)
        time.sleep(5.0 if "slow" in faults else self.pause)
        if "cut" in faults:
            return 200, None
        if "down" in faults:
            return 503, b'{"detail": "Diffusion engine not initialized."}'
        if "locked" in faults:
            return 401, b'{"error": {"message": "no such key"}}'
        if "error" in faults:
            return 200, b'{"error": {"message": "CUDA error: device-side assert triggered"}}'
        if wrong := self._misfit(body):
            return wrong
        picture = self._picture(body, faults)
        buffer = io.BytesIO()
        picture.save(buffer, self.format)
        encoded = base64.b64encode(buffer.getvalue()).decode()
        with self._lock:
            self._sent.append(encoded)
            if "stale" in faults:
                encoded = self._sent[0]
        item = {"b64_json": encoded, "url": None, "revised_prompt": None}
        told = {
            "id": "same" if "ids" in faults else f"req-{number}",
            "created": 1701234567,
            "data": [item] * (3 if "count" in faults else 1),
        }
        if "model" in faults:
            told["model"] = "org/another"
        elif self.names_its_model:
            told["model"] = self.model
        return 200, json.dumps(told).encode()

    def _misfit(self, body: dict[str, Any]) -> tuple[int, bytes] | None:
        """As vLLM-Omni checks it: another model's name, a number out of range, odd sizes."""
        if body.get("model") not in (None, self.model):
            said = f"Model mismatch: request specifies '{body['model']}'"
            return 400, json.dumps({"detail": said}).encode()
        if body["prompt"] == self.refuses:
            return 400, b'{"error": {"code": "moderation_blocked"}}'
        steps = self._extra(body).get("num_inference_steps")
        if steps is not None and not 1 <= steps <= 200:
            said = {"loc": ["body", "num_inference_steps"], "msg": "Input should be at most 200"}
            return 422, json.dumps({"detail": [said]}).encode()
        if "x" not in str(body.get("size")):
            return 422, json.dumps({"detail": [{"loc": ["body", "size"], "msg": "odd"}]}).encode()
        return None

    def _extra(self, body: dict[str, Any]) -> dict[str, Any]:
        return body.get("nvext", {}) if self.dialect == "nvext" else body

    def _picture(self, body: dict[str, Any], faults: set[str]) -> Image.Image:
        extra = self._extra(body)
        width, height = map(int, body["size"].split("x"))
        asked = {
            "prompt": body["prompt"],
            "negative_prompt": extra.get("negative_prompt"),
            "seed": extra.get("seed", random.getrandbits(32)),
            "num_inference_steps": extra.get("num_inference_steps", 2),
            "scale": extra.get(self.scale, 1.0),
            "width": width,
            "height": height,
        }
        if "constant" in faults:
            asked["seed"] = 7
        if "random" in faults:
            asked["seed"] = random.getrandbits(32)
        if "size" in faults:
            asked |= {"width": width // 2, "height": height // 2}
        picture = self.draw(asked)
        if "drifting" in faults:  # by one of 255 in one pixel, as servers that batch do
            shift = next(self._drifted) % picture.width  # never twice the same one after another
            red, green, blue = picture.getpixel((shift, 0))  # type: ignore[misc]
            picture.putpixel((shift, 0), ((red + 1) % 256, green, blue))
        return Image.new("RGB", picture.size) if "black" in faults else picture


@contextmanager
def served(engine: Engine) -> Iterator[Engine]:
    """The engine behind an address of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            listed = [{"id": name, "object": "model"} for name in engine.lists or ()]
            told = json.dumps({"object": "list", "data": listed}).encode()
            there = self.path == "/v1/models" and engine.lists is not None
            self._send(200 if there else 404, told if there else b'{"detail": "Not Found"}')

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = (
                engine.answer(body)
                if self.path == "/v1/images/generations"
                else (404, b'{"detail": "Not Found"}')
            )
            self._send(status, answer)

        def _send(self, status: int, answer: bytes | None) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer or b"x" * 900)))
            self.end_headers()
            self.wfile.write(answer if answer is not None else b'{"data": [')
            self.close_connection = True

        def handle(self) -> None:
            with suppress(OSError):  # the client has gone, which is what is tested
                super().handle()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    ).start()
    engine.endpoint = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield engine
    finally:
        if engine.gate is not None:
            engine.gate.set()
        server.shutdown()
        server.server_close()
