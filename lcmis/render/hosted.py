"""Image models behind an API, through the openai client: no seed, no stages, and a price."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lcmis.errors import ConfigError, Refusal, RenderError, ServiceClosed
from lcmis.machine.pictures import BROKEN, TooLargeError, flat, opened
from lcmis.plugins.settings import HostedSettings, ModelSettings
from lcmis.render.unfollowed import unfollowed
from lcmis.text.complaints import Meant, complaint_in, parsed
from lcmis.text.endpoint import Outcome, client, cut, finish, mended, persist, send, service_at
from lcmis.types import Exchange, RenderSpec, Stage

if TYPE_CHECKING:
    import openai
    from PIL.Image import Image

MAX_BODY_BYTES = 2**26
"""An answer with one picture in it; more is cut off and refused."""
AT_ONCE = 4
SIZE = 1024
FORMS = ("b64_json", "base64", None)
"""Ways to ask for the picture itself; None says nothing of it. To be refused costs nothing, and a
picture that comes as an address is paid for, so asking goes first."""
ONLY_BASE64 = re.compile(r"(chat)?gpt-image", re.IGNORECASE)
"""Models that give nothing else and refuse to be asked for it."""
DOUBTS = 2
"""Pictures that may fail for reasons that are not clear before the first one has come."""
BESIDE = ("revised_prompt", "size", "quality", "background", "created", "id")


class HostedModel:
    """Asks a service for pictures: any endpoint with OpenAI's images API, by model id.

    Such a service takes no seed: the i-th picture of a prompt is known by seed i and drawn once,
    and cannot be drawn again. The prompt may be rewritten there; what the service says beside a
    picture (revised prompt, size, quality, request id) is kept as an exchange under the picture's
    key. Refusals are told from failures. Pictures are asked for one by one until one has come, so
    that a service that can give none is not asked, and paid, many times. No picture is asked for
    beyond the spending limit, and whatever may have been billed counts.

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
        self._service = service_at(hosted.endpoint, hosted.key, hosted.proxy, hosted.api_version)
        self.model_id = f"hosted:{settings.name}@{self._service.host}"
        self.batch_size = settings.batch_size or AT_ONCE
        self.price = hosted.price
        self.spent = 0.0
        """Money that may have been billed: every request that a service took up, whatever came of
        it; 0 without a price."""
        self._name = settings.name
        self._hosted = hosted
        self._size = settings.height or SIZE, settings.width or SIZE
        self._next_at = 0.0
        self._remarks: list[Exchange] = []
        gives_it = ONLY_BASE64.match(settings.name) is not None
        self._forms = [None, *FORMS[:-1]] if gives_it else list(FORMS)
        """Ways to ask that are not known to be of no use; the first one is taken."""
        self._is_proved = False
        """Whether a picture has come."""
        self._doubts: set[str] = set()
        self._closed = ""
        """Why nothing more is asked."""

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
            ServiceClosed: the key, the account, the model or the address is wrong, no picture can
                come, or the next one would cost more than is left to spend; it holds what was
                drawn before.
        """
        drawn: list[Image | RenderError | None] = []
        for start in range(0, len(specs), self.batch_size):
            drawn += finish(self._draw(specs[start : start + self.batch_size]))
            if self._closed:
                raise ServiceClosed(self._closed, [*drawn, *[None] * (len(specs) - len(drawn))])
        return [one for one in drawn if one is not None]

    def remarks(self) -> list[Exchange]:
        """What the service said since the last call, a line for each picture asked for."""
        said, self._remarks = self._remarks, []
        return said

    async def _draw(self, specs: Sequence[RenderSpec]) -> list[Image | RenderError | None]:
        """Pictures in order; None for what was not drawn since nothing more can be."""
        drawn: list[Image | RenderError | None] = []
        async with client(self._service, MAX_BODY_BYTES) as asked:
            for spec in specs:
                if self._is_proved:
                    break
                drawn.append(await self._draw_one(asked, spec))
            rest = specs[len(drawn) :]
            return drawn + await asyncio.gather(*(self._draw_one(asked, spec) for spec in rest))

    async def _draw_one(
        self, asked: openai.AsyncOpenAI, spec: RenderSpec
    ) -> Image | RenderError | None:
        started, at = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
        deadline = started + self._hosted.deadline_seconds
        answers: list[tuple[Outcome, _Found]] = []

        async def attempt() -> Outcome:
            await self._pace()
            if self._closed or not self._afford():
                return NOT_ASKED
            answers.append(await self._ask(asked, spec, deadline))
            return answers[-1][0]

        while not self._closed:
            form = self._forms[0]
            await persist(attempt, deadline)
            if not (answers and self._drops(form, *answers[-1])):
                break
        if not answers:
            return None
        outcome, found = answers[-1]
        drawn = self._judged(spec, outcome, found, len(answers))
        self._remarks.append(
            Exchange(
                request=spec.key,
                model=self.model_id,
                messages=(("user", spec.prompt),),
                reply=found.beside,
                reason=outcome.reason or (str(drawn) if isinstance(drawn, RenderError) else ""),
                schema=json.dumps(
                    {"size": f"{spec.width}x{spec.height}", "quality": self._hosted.quality}
                ),
                seconds=round(time.monotonic() - started, 3),
                at=at,
            )
        )
        return drawn

    async def _ask(
        self, asked: openai.AsyncOpenAI, spec: RenderSpec, deadline: float
    ) -> tuple[Outcome, _Found]:
        """One request; where it cannot be billed, its price is put back."""
        arguments: dict[str, Any] = {
            "model": self._name,
            "prompt": spec.prompt,
            "n": 1,
            "size": f"{spec.width}x{spec.height}",
        }
        if self._hosted.quality:
            arguments["quality"] = self._hosted.quality
        if self._forms[0]:
            arguments["response_format"] = self._forms[0]
        answer, found = asked.images.with_raw_response.generate, _Found()
        outcome = await send(
            lambda: answer(**arguments),
            lambda body: found.read(body, mended(self._service.key)),
            deadline,
            self._hosted.deadline_seconds,
            self._service.key,
            spec.prompt,
        )
        if _refuses_form(outcome):
            outcome = replace(outcome, is_passing=False, may_cost=False)
        if self.price is not None:
            self.spent += self.price * (max(1, found.num_pictures) - 1 - (not outcome.may_cost))
        return outcome, found

    def _afford(self) -> bool:
        """Set the price of one picture aside; where it is not there, nothing more is asked."""
        price, limit = self.price, self._hosted.spend_limit
        if price is None:
            return True
        if limit is not None and self.spent + price > limit + 1e-9:
            self._closed = (
                f"{self.model_id}: the next picture costs {price:.2f}, and of {limit:.2f} that may "
                f"be spent {self.spent:.2f} may have been billed; all pictures are kept: raise "
                f"spend_limit and run the same command again"
            )
            return False
        self.spent += price
        return True

    def _drops(self, form: str | None, outcome: Outcome, found: _Found) -> bool:
        """Whether another way to ask for the picture itself is to be tried."""
        refuses = _refuses_form(outcome)
        if self._is_proved or form not in self._forms or not (refuses or found.is_address):
            return False
        useless = {form}
        if found.is_address and form is not None:
            useless = set(FORMS)  # it does not heed what it is asked
        elif form == "b64_json" and not re.search(r"\bbase64\b", outcome.complaint.words):
            useless.add("base64")
        left = [other for other in self._forms if other not in useless]
        self._forms = left or self._forms
        return bool(left)

    def _judged(
        self, spec: RenderSpec, outcome: Outcome, found: _Found, tries: int
    ) -> Image | RenderError | None:
        """What came of a picture; where it shows that none can come, nothing more is asked."""
        if outcome.meant is Meant.WITHHELD:
            return Refusal(f"{self.model_id} would not draw {spec.prompt!r}: {outcome.reason}")
        if outcome.ends_all:
            self._closed = f"{self.model_id} {outcome.ends_all} ({outcome.reason})"
            return None
        if not outcome.reason:
            drawn = found.picture(self.model_id, spec.prompt)
            if not isinstance(drawn, RenderError):
                self._is_proved = True
            if not isinstance(drawn, RenderError) or isinstance(drawn, Refusal):
                return drawn
            reason = str(drawn).removeprefix(f"{self.model_id} ")
        else:
            reason = f"gave no picture after {tries} tries: {outcome.reason}"
            drawn = RenderError(f"{self.model_id} {reason}")
        if not self._is_proved and self._is_hopeless(spec, outcome, found):
            self._closed = (
                f"{self.model_id} {reason.rstrip('.')}; no picture has come from it yet, so no "
                f"more is asked for: look at the model's name, LCMIS_ENDPOINT and the settings "
                f"under [models.hosted], and run the same command again"
            )
        return drawn

    def _is_hopeless(self, spec: RenderSpec, outcome: Outcome, found: _Found) -> bool:
        """Whether an answer before the first picture shows that none can come."""
        said = outcome.complaint
        if outcome.status == 200 and not (found.is_empty or said.is_error):
            return True
        of_prompt = outcome.status == 200 or 400 <= outcome.status < 500
        of_request = said.names(*OF_REQUEST, asked=spec.prompt)
        if of_prompt and of_request and not said.names("prompt", asked=spec.prompt):
            return True
        self._doubts.add(spec.prompt if of_prompt else spec.key)
        return len(self._doubts) >= DOUBTS

    async def _pace(self) -> None:
        """Wait for this request's turn."""
        if self._hosted.requests_per_minute is None:
            return
        now = time.monotonic()
        turn = max(now, self._next_at)
        self._next_at = turn + 60 / self._hosted.requests_per_minute
        await asyncio.sleep(turn - now)


NOT_ASKED = Outcome(reason="nothing more is asked")
OF_REQUEST = (
    "model",
    "size",
    "quality",
    "response_format",
    "parameter",
    "argument",
    "unsupported",
    "not supported",
    "not permitted",
    "deprecated",
)
"""What a service speaks of when the same request fails with every prompt."""


def _refuses_form(outcome: Outcome) -> bool:
    """Whether a service does not take the way in which the picture was asked for."""
    return outcome.status in (200, 400, 422, 500) and outcome.complaint.names("response_format")


@dataclass(slots=True)
class _Found:
    """What an answer holds."""

    encoded: str = ""
    beside: str = ""
    """JSON: all but the picture."""
    num_pictures: int = 0
    is_address: bool = False
    """Whether it names where the picture lies instead."""
    is_empty: bool = False
    """Whether it is an answer as it should be, but for the picture."""
    is_flagged: bool = False
    """Whether a filter says that it struck."""

    def read(self, body: bytes, mend: Callable[[str], str]) -> Outcome:
        """Take an answer with status 200 apart."""
        try:
            answer = parsed(body)
        except ValueError:
            return Outcome(reason="an answer that is no JSON", status=200)
        data = answer.get("data") if isinstance(answer, dict) else None
        pictures = data if isinstance(data, list) else []
        picture = pictures[0] if pictures and isinstance(pictures[0], dict) else {}
        encoded = picture.get("b64_json")
        self.num_pictures = len(pictures)
        if not isinstance(encoded, str) or not encoded:
            self.is_address = bool(picture.get("url"))
            self.is_empty = isinstance(data, list) and not self.is_address
            named = " (it names an address, which is not fetched)" if self.is_address else ""
            what = "base64 of a picture" if picture else "a picture"
            return Outcome(reason=f"an answer without {what}{named}", status=200)
        del picture["b64_json"]
        beside = {
            name: cut(mend(str(value)), 4000)
            for source in (answer, picture)
            for name, value in source.items()
            if name in BESIDE or (name == "usage" and isinstance(value, dict))
        }
        self.encoded, self.beside = encoded, json.dumps(beside, ensure_ascii=False)
        self.is_flagged = bool(complaint_in(answer).flags)
        return Outcome(status=200)

    def picture(self, model_id: str, prompt: str) -> Image | RenderError:
        """The picture; a filter may have struck it out and sent one colour instead."""
        try:
            picture = flat(opened(io.BytesIO(decoded(self.encoded))))
        except TooLargeError as error:
            return RenderError(f"{model_id} sent a picture that {error}")
        except BROKEN as error:
            return RenderError(f"{model_id} sent something that is no picture ({error})")
        extrema: Any = picture.getextrema() if self.is_flagged else ()
        if extrema and all(low == high for low, high in extrema):
            return Refusal(f"{model_id} would not draw {prompt!r}: it sent an empty picture")
        return picture


def decoded(encoded: str) -> bytes:
    """Base64 in whatever dress it comes: as a data address, in lines, without padding, in the
    alphabet for addresses.

    Raises:
        ValueError: it is something else.
    """
    if encoded[:5].casefold() == "data:":
        head, _, encoded = encoded.partition(",")
        if not head.casefold().rstrip().endswith(";base64"):
            raise ValueError("a data address without base64")
    plain = "".join(encoded.split()).rstrip("=").translate(str.maketrans("-_", "+/"))
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


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
