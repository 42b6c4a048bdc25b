"""Image models behind an API, through the openai client: no seed, no stages, and a price."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lcmis.errors import ConfigError, Refusal, RenderError
from lcmis.machine.pictures import BROKEN, TooLargeError, opened
from lcmis.plugins.settings import HostedSettings, ModelSettings
from lcmis.render.unfollowed import unfollowed
from lcmis.text.endpoint import Outcome, clean, client, finish, host_of, persist, redacted, send
from lcmis.types import Exchange, RenderSpec, Stage

if TYPE_CHECKING:
    import openai
    from PIL.Image import Image

MAX_BODY_BYTES = 2**26
"""An answer with one picture in it; more is cut off and refused."""
AT_ONCE = 4
SIZE = 1024
REFUSED = ("moderation_blocked", "content_policy", "content_filter", "safety system")
"""What services say in an answer with status 400 when they will not draw."""
NEVER_PASSES = {
    401: "does not accept the key: set LCMIS_API_KEY",
    403: "does not allow this with the key given: check what LCMIS_API_KEY may do",
    404: "knows no such model or address: check the model's name and LCMIS_ENDPOINT",
}
"""Statuses that no later picture will escape."""


class HostedModel:
    """Asks a service for pictures: any endpoint with OpenAI's images API, by model id.

    Such a service takes no seed: the i-th picture of a prompt is known by seed i and drawn once,
    and cannot be drawn again. The prompt may be rewritten there; what the service says beside a
    picture (revised prompt, size, quality, request id) is kept as an exchange under the picture's
    key. Refusals are told from failures. No picture is asked for beyond the spending limit.

    Raises:
        ConfigError: no model or endpoint is named, or a setting that a service cannot follow.
    """

    supports_stages = False
    supports_seeds = False

    def __init__(self, settings: ModelSettings) -> None:
        hosted = settings.hosted or HostedSettings()
        if not hosted.endpoint:
            raise ConfigError(
                f"hosted:{settings.name} needs an address: set LCMIS_ENDPOINT, such as "
                f"https://api.openai.com/v1"
            )
        _refuse_drawing_settings(settings)
        _refuse_impossible(settings.name, hosted)
        self.model_id = f"hosted:{settings.name}@{host_of(hosted.endpoint)}"
        self.batch_size = settings.batch_size or AT_ONCE
        self.price = hosted.price
        self.spent = 0.0
        """Money that the pictures asked for cost, refused ones included; 0 without a price."""
        self._name = settings.name
        self._hosted = hosted
        self._key = hosted.key.get_secret_value() if hosted.key else ""
        self._size = settings.height or SIZE, settings.width or SIZE
        self._next_at = 0.0
        self._remarks: list[Exchange] = []

    def spec(self, stages: tuple[Stage, ...], seed: int) -> RenderSpec:
        """The specification under which the ``seed``-th picture of a prompt is known.

        Raises:
            RenderError: more than one stage, or an empty prompt.
        """
        if len(stages) != 1:
            raise RenderError(f"{self.model_id} is a service: its prompt cannot be switched")
        if not stages[0].prompt.strip():
            raise RenderError(f"{self.model_id} was given an empty prompt")
        height, width = self._size
        return RenderSpec(
            model=self.model_id,
            stages=stages,
            seed=seed,
            num_inference_steps=1,
            guidance_scale=0.0,
            scheduler=f"quality={self._hosted.quality}" if self._hosted.quality else "service",
            height=height,
            width=width,
            profile="service",
            device="service",
        )

    def generate(self, specs: Sequence[RenderSpec]) -> list[Image | RenderError]:
        """Ask for every picture, some at once, no faster than allowed.

        Raises:
            ConfigError: the key, the model or the address is wrong, or the next picture would cost
                more than is left to spend; what was drawn before is kept.
        """
        drawn: list[Image | RenderError] = []
        for start in range(0, len(specs), self.batch_size):
            drawn += finish(self._draw(specs[start : start + self.batch_size]))
        return drawn

    def remarks(self) -> list[Exchange]:
        """What the service said since the last call, a line for each picture asked for."""
        said, self._remarks = self._remarks, []
        return said

    async def _draw(self, specs: Sequence[RenderSpec]) -> list[Image | RenderError]:
        limit = self._hosted.spend_limit
        if self.price is not None and limit is not None:
            cost = self.price * len(specs)
            if self.spent + cost > limit + 1e-9:
                raise ConfigError(
                    f"{self.model_id}: the next {len(specs)} pictures cost {cost:.2f} and "
                    f"{self.spent:.2f} of {limit:.2f} are spent; all pictures are kept: raise "
                    f"spend_limit and run the same command again"
                )
        async with client(self._hosted.endpoint, self._key, MAX_BODY_BYTES) as asked:
            return await asyncio.gather(*(self._draw_one(asked, spec) for spec in specs))

    async def _draw_one(self, asked: openai.AsyncOpenAI, spec: RenderSpec) -> Image | RenderError:
        arguments: dict[str, Any] = {
            "model": self._name,
            "prompt": spec.prompt,
            "n": 1,
            "size": f"{spec.width}x{spec.height}",
        }
        if self._hosted.quality:
            arguments["quality"] = self._hosted.quality
        started, at = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
        seconds = self._hosted.deadline_seconds
        deadline = started + seconds

        async def attempt() -> Outcome:
            await self._pace()
            answer = asked.images.with_raw_response.generate
            return await send(lambda: answer(**arguments), _opened, deadline, seconds)

        outcome, tries = await persist(attempt, deadline)
        reason = redacted(outcome.reason, self._key)
        said = _Said.read(outcome.reply) if not reason else _Said()
        named = f"{outcome.code} {reason}".casefold()
        refused = outcome.status == 400 and any(word in named for word in REFUSED)
        if self.price is not None and (not reason or refused):
            self.spent += self.price
        self._remarks.append(
            Exchange(
                request=spec.key,
                model=self.model_id,
                messages=(("user", spec.prompt),),
                reply=said.beside,
                reason=reason,
                schema=json.dumps({"size": arguments["size"], "quality": self._hosted.quality}),
                seconds=round(time.monotonic() - started, 3),
                at=at,
            )
        )
        if refused:
            return Refusal(f"{self.model_id} would not draw {spec.prompt!r}: {reason}")
        if outcome.status in NEVER_PASSES:
            raise ConfigError(f"{self.model_id} {NEVER_PASSES[outcome.status]} ({reason})")
        if reason:
            return RenderError(f"{self.model_id} gave no picture after {tries} tries: {reason}")
        return _picture(said.encoded, self.model_id)

    async def _pace(self) -> None:
        """Wait for this request's turn."""
        if self._hosted.requests_per_minute is None:
            return
        now = time.monotonic()
        turn = max(now, self._next_at)
        self._next_at = turn + 60 / self._hosted.requests_per_minute
        await asyncio.sleep(turn - now)


@dataclass(frozen=True, slots=True)
class _Said:
    """What came with a picture."""

    encoded: str = ""
    beside: str = ""
    """JSON: all but the picture."""

    @classmethod
    def read(cls, reply: str) -> _Said:
        answer = json.loads(reply)
        picture = answer["data"][0]
        beside = {
            name: clean(str(value))[:4000]
            for source in (answer, picture)
            for name, value in source.items()
            if name in ("revised_prompt", "size", "quality", "background", "created", "id")
            or (name == "usage" and isinstance(value, dict))
        }
        return cls(picture["b64_json"], json.dumps(beside, ensure_ascii=False))


def _opened(body: bytes) -> Outcome:
    """The body of an answer with status 200, if there is one picture in it."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return Outcome(reason="an answer that is no JSON", status=200)
    data = answer.get("data") if isinstance(answer, dict) else None
    picture = data[0] if isinstance(data, list) and data else None
    if not isinstance(picture, dict):
        return Outcome(reason="an answer without a picture in it", status=200)
    if not isinstance(picture.get("b64_json"), str) or not picture["b64_json"]:
        named = " (it names an address, which is not fetched)" if picture.get("url") else ""
        return Outcome(reason=f"an answer without base64 of a picture{named}", status=200)
    return Outcome(reply=body.decode("utf-8", "replace"), status=200)


def _picture(encoded: str, model_id: str) -> Image | RenderError:
    try:
        return opened(io.BytesIO(base64.b64decode(encoded, validate=True))).convert("RGB")
    except TooLargeError as error:
        return RenderError(f"{model_id} sent a picture that {error}")
    except BROKEN as error:
        return RenderError(f"{model_id} sent something that is no picture ({error})")


def _refuse_drawing_settings(settings: ModelSettings) -> None:
    if setting := unfollowed(settings, "dtype", "offload"):
        raise ConfigError(
            f"hosted:{settings.name} is a service, which {setting} cannot reach: leave it out"
        )


def _refuse_impossible(name: str, hosted: HostedSettings) -> None:
    above_zero = {
        "price": hosted.price,
        "spend_limit": hosted.spend_limit,
        "requests_per_minute": hosted.requests_per_minute,
        "deadline_seconds": hosted.deadline_seconds,
    }
    if not name.strip():
        raise ConfigError("a hosted model needs a name: write hosted:MODEL, as the service has it")
    for setting, value in above_zero.items():
        if value is not None and not 0 < value < float("inf"):
            raise ConfigError(f"hosted:{name}: {setting} is {value}, but it is above 0")
    if hosted.spend_limit is not None and hosted.price is None:
        raise ConfigError(
            f"hosted:{name}: spend_limit can only hold if the price of a picture is known: "
            f"set price too"
        )
