"""Image models behind an API, through the openai client: a price, no stages, and often no seed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lcmis.errors import ConfigError, Refusal, RenderError, ServiceClosed
from lcmis.plugins.protocols import Arrival, Arrivals
from lcmis.plugins.settings import HostedSettings, ModelSettings
from lcmis.render.answers import Found
from lcmis.render.flight import Flight
from lcmis.render.known import KnownModel, as_run, known_as
from lcmis.render.seeded import fault, likeness
from lcmis.render.unfollowed import unfollowed
from lcmis.text.complaints import Meant, parsed
from lcmis.text.endpoint import (
    Outcome,
    Service,
    client,
    cut,
    mended,
    persist,
    send,
    service_at,
)
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
LIST_SECONDS = 10.0
"""For the list of models that an engine serves; many have none."""
TESTS = 3
"""How often it is looked whether a service heeds seeds, where pictures do not come."""
OF_ENGINES = ("num_inference_steps", "guidance_scale", "negative_prompt")
"""Settings that only a service follows that draws from seeds."""


class HostedModel:
    """Asks a service for pictures: any endpoint with OpenAI's images API, by model id.

    Most such services take no seed: the i-th picture of a prompt is known by seed i and drawn once,
    and cannot be drawn again. Engines that serve open models do (``seeded``): they are told seed,
    steps, guidance and negative prompt, all of which are in the spec, and must show with the first
    picture that the same seed gives it again and another seed does not.

    The prompt may be rewritten there; what the service says beside a picture (revised prompt, size,
    quality, request id) is kept as an exchange under the picture's key. Refusals are told from
    failures. Pictures are asked for one by one until one has come, so that a service that can give
    none is not asked, and paid, many times; then ``in_flight`` at once at each address, and where
    one of several addresses fails, the others do its work. No picture is asked for beyond the
    spending limit, and whatever may have been billed counts.

    Raises:
        ConfigError: no model or endpoint is named, or a setting that a service cannot follow.
    """

    supports_stages = False

    def __init__(self, settings: ModelSettings) -> None:
        hosted = settings.hosted or HostedSettings()
        named = tuple(filter(None, dict.fromkeys((hosted.endpoint, *hosted.endpoints))))
        if not named:
            raise ConfigError(
                f"hosted:{settings.name} needs an address: set LCMIS_ENDPOINT, such as "
                f"https://api.openai.com/v1"
            )
        _refuse_impossible(settings.name, hosted)
        _refuse_drawing_settings(settings, hosted)
        self._addresses = [
            _Address(service_at(endpoint, hosted.key, hosted.proxy, hosted.api_version))
            for endpoint in named
        ]
        self.model_id = f"hosted:{settings.name}@{self._addresses[0].service.host}"
        self._in_flight = hosted.in_flight or settings.batch_size or AT_ONCE
        self.batch_size = self._in_flight * len(self._addresses)
        self.supports_seeds = hosted.seeded
        self.price = hosted.price
        self.spent = 0.0
        """Money that may have been billed: every request that a service took up, whatever came of
        it; 0 without a price."""
        self._name = settings.name
        self._hosted = hosted
        known = known_as(settings.name) if hosted.seeded else None
        taken = _taken(settings, known)
        self._template = _template(self.model_id, replace(settings, **taken), hosted)
        self._guidance = hosted.guidance or (
            known.guidance if known and known.guidance == "true_cfg_scale" else "guidance_scale"
        )
        self._notes = dict.fromkeys([as_run(known, taken)] if known and taken else [])
        self._next_at = 0.0
        self._remarks: deque[Exchange] = deque()
        gives_it = ONLY_BASE64.match(settings.name) is not None
        self._forms = [None, *FORMS[:-1]] if gives_it else list(FORMS)
        """Ways to ask that are not known to be of no use; the first one is taken."""
        self._is_proved = False
        """Whether a picture has come."""
        self._heeds_seeds = False
        """Whether it was seen to draw from the seed."""
        self._tests = 0
        """How often that could not be seen."""
        self._seen: dict[str, str] = {}
        """Of pictures that came from seeds, digest to key."""
        self._doubts: set[str] = set()
        self._closed = ""
        """Why nothing more is asked."""

    @property
    def takes_negative_prompts(self) -> bool:
        """Whether it is guided, by a service that is told what to keep away from."""
        return self._hosted.seeded and self._template.guidance_scale > 1

    @property
    def notes(self) -> tuple[str, ...]:
        """What was seen of seeds and addresses, a sentence each."""
        return tuple(self._notes)

    def spec(self, stages: tuple[Stage, ...], seed: int) -> RenderSpec:
        """The specification under which the ``seed``-th picture of a prompt is known.

        Raises:
            RenderError: more than one stage, or an empty prompt.
        """
        if len(stages) != 1:
            raise RenderError(f"{self.model_id} is a service: its prompt cannot be switched")
        if not stages[0].prompt.strip():
            raise RenderError(f"{self.model_id} was given an empty prompt")
        return replace(self._template, stages=stages, seed=seed)

    def generate(self, specs: Sequence[RenderSpec]) -> list[Image | RenderError]:
        """Ask for every picture, some at once, no faster than allowed.

        Raises:
            ServiceClosed: the key, the account, the model or the address is wrong, no picture can
                come, or the next one would cost more than is left to spend; it holds what was
                drawn before.
        """
        places: dict[str, list[int]] = {}
        for place, spec in enumerate(specs):
            places.setdefault(spec.key, []).append(place)
        drawn: list[Image | RenderError | None] = [None] * len(specs)
        flight = self.flight(specs)
        try:
            for landed in flight:
                for one in landed:
                    drawn[places[one.spec.key].pop(0)] = one.drawn
        except ServiceClosed as error:
            raise ServiceClosed(str(error), drawn) from None
        finally:
            flight.stop()
        return [one for one in drawn if one is not None]

    def flight(self, specs: Sequence[RenderSpec]) -> Arrivals:
        """Ask for pictures in the background; each is handed over as it comes."""
        return Flight[Arrival](lambda hand: self._fly(specs, hand))

    def remarks(self) -> list[Exchange]:
        """What the service said since the last call, a line for each picture asked for."""
        return [self._remarks.popleft() for _ in range(len(self._remarks))]

    # ── many ─────────────────────────────────────────────────────────────────────────────────

    async def _fly(self, specs: Sequence[RenderSpec], hand: Callable[[Arrival], None]) -> None:
        todo = deque(specs)
        async with contextlib.AsyncExitStack() as open_clients:
            for address in self._addresses:
                address.asked = await open_clients.enter_async_context(
                    client(address.service, MAX_BODY_BYTES)
                )
            if todo and not self._may_fan_out and self._hosted.seeded:
                await asyncio.gather(*map(self._refuse_other_models, self._working()))
            while todo and not self._closed and not self._may_fan_out:
                await self._begin(todo, hand)
            while todo and not self._closed:
                await asyncio.gather(
                    *(
                        self._work(address, todo, hand)
                        for address in self._working()
                        for _ in range(self._in_flight)
                    )
                )
        if self._closed and specs:
            raise ServiceClosed(self._closed)

    @property
    def _may_fan_out(self) -> bool:
        return self._is_proved and (self._heeds_seeds or not self._hosted.seeded)

    def _working(self) -> list[_Address]:
        return [address for address in self._addresses if not address.fault]

    def _others(self, address: _Address) -> list[_Address]:
        return [one for one in self._working() if one is not address]

    async def _refuse_other_models(self, address: _Address) -> None:
        """An engine serves one model or a few, and many of them heed no name in a request: where
        an address lists what it serves, ours must be among that.
        """
        listed: list[str] = []

        def read(body: bytes) -> Outcome:
            with contextlib.suppress(ValueError):
                said = parsed(body)
                data = said.get("data") if isinstance(said, dict) else None
                for item in data if isinstance(data, list) else []:
                    if isinstance(item, dict) and isinstance(item.get("id"), str):
                        listed.append(cut(mended(address.service.key)(item["id"]), 200))
            return Outcome(status=200)

        assert address.asked is not None
        await send(
            address.asked.models.with_raw_response.list,
            read,
            time.monotonic() + LIST_SECONDS,
            LIST_SECONDS,
            address.service.key,
        )
        if listed and not any(_is_same_name(one, self._name) for one in listed):
            self._leave(
                address,
                f"is asked at an address that serves {', '.join(listed[:3])}",
                "name the model as the engine does, or look at the address",
            )

    async def _begin(self, todo: deque[RenderSpec], hand: Callable[[Arrival], None]) -> None:
        """One picture at the first address that works; where it comes, all must heed its seed."""
        address, spec = self._working()[0], todo.popleft()
        arrival = await self._arrive(address, spec)
        if arrival is None:
            todo.appendleft(spec)
            return
        if not self._hosted.seeded or isinstance(arrival.drawn, RenderError):
            hand(arrival)
            return
        beside = next(
            (one for one in todo if one.seed != spec.seed and replace(one, seed=spec.seed) == spec),
            None,
        )
        other = beside or replace(spec, seed=spec.seed ^ 1)
        again = await self._arrive(address, spec, is_test=True)
        changed = again and await self._arrive(address, other, is_test=beside is None)
        if (
            again is None
            or changed is None
            or isinstance(again.drawn, RenderError)
            or isinstance(changed.drawn, RenderError)
        ):
            todo.appendleft(spec)  # its picture counts once its seed is seen to be heeded
            self._tests += 1
            if self._tests >= TESTS and not address.fault:
                self._leave(
                    address, "did not give the pictures that show whether it heeds seeds", ""
                )
            return
        if wrong := fault(arrival.drawn, again.drawn, changed.drawn):
            todo.appendleft(spec)
            self._leave(
                address,
                f"{wrong}, so that it does not draw from what it is told",
                "take seeded = true out, or look at dialect and at the engine's settings",
            )
            return
        self._heeds_seeds = True
        self._notes[f"{self.model_id}: {likeness(arrival.drawn, again.drawn)}"] = None
        hand(arrival)
        if beside is not None:
            todo.remove(beside)
            hand(changed)
        await asyncio.gather(
            *(
                self._compare(one, arrival.drawn, changed.drawn, spec)
                for one in self._others(address)
            )
        )

    async def _compare(
        self, address: _Address, first: Image, other: Image, spec: RenderSpec
    ) -> None:
        """A further address must give the same picture from the same seed."""
        arrival = await self._arrive(address, spec, is_test=True)
        if arrival is None:
            return
        if isinstance(arrival.drawn, RenderError):
            reason = str(arrival.drawn).removeprefix(f"{self.model_id} ")
            self._leave(address, f"{reason}, and the first address did", "")
        elif wrong := fault(first, arrival.drawn, other):
            self._leave(address, f"{wrong} than the first address", "")

    async def _work(
        self, address: _Address, todo: deque[RenderSpec], hand: Callable[[Arrival], None]
    ) -> None:
        """Draw what is left, one picture after another, as long as the address works."""
        while todo and not self._closed and not address.fault:
            spec = todo.popleft()
            arrival = await self._arrive(address, spec)
            if arrival is None:
                todo.appendleft(spec)
                continue
            hand(arrival)

    def _leave(self, address: _Address, why: str, advice: str) -> None:
        """Ask an address no more; where it is the last one, nothing more is asked."""
        is_news, address.fault = not address.fault, address.fault or why
        if self._working() and is_news:
            self._notes[
                f"{self.model_id}: the address {address.service.host} {why}; the others do its work"
            ] = None
        if self._working():
            return
        self._closed = self._closed or f"{self.model_id} {why}" + (f": {advice}" if advice else "")

    # ── one ──────────────────────────────────────────────────────────────────────────────────

    async def _arrive(
        self, address: _Address, spec: RenderSpec, *, is_test: bool = False
    ) -> Arrival | None:
        """What came of a picture at an address; None where nothing more is asked, or where the
        address fails and others are there.
        """
        started = time.monotonic()
        drawn = await self._draw_one(address, spec, is_test)
        return None if drawn is None else Arrival(spec, drawn, time.monotonic() - started)

    async def _draw_one(
        self, address: _Address, spec: RenderSpec, is_test: bool
    ) -> Image | RenderError | None:
        started, at = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
        deadline = started + self._hosted.deadline_seconds
        answers: list[tuple[Outcome, Found]] = []

        async def attempt() -> Outcome:
            await self._pace()
            if self._closed or not self._afford():
                return NOT_ASKED
            answers.append(await self._ask(address, spec, deadline))
            return answers[-1][0]

        while not self._closed:
            form = self._forms[0]
            await persist(attempt, deadline)
            if not (answers and self._drops(form, *answers[-1])):
                break
        if not answers:
            return None
        outcome, found = answers[-1]
        drawn = self._judged(address, spec, outcome, found, len(answers), is_test)
        told = json.dumps(
            {"size": f"{spec.width}x{spec.height}", "quality": self._hosted.quality}
            | ({"address": address.service.host} if len(self._addresses) > 1 else {})
            | ({"a test of its seeds": True} if is_test else {})
        )
        self._remarks.append(
            Exchange(
                request=spec.key,
                model=self.model_id,
                messages=(("user", spec.prompt),),
                reply=found.beside,
                reason=outcome.reason or (str(drawn) if isinstance(drawn, RenderError) else ""),
                schema=told,
                seconds=round(time.monotonic() - started, 3),
                at=at,
            )
        )
        return drawn

    async def _ask(
        self, address: _Address, spec: RenderSpec, deadline: float
    ) -> tuple[Outcome, Found]:
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
        if self._hosted.seeded:
            arguments["extra_body"] = self._told(spec)
        assert address.asked is not None
        answer, found = address.asked.images.with_raw_response.generate, Found()
        outcome = await send(
            lambda: answer(**arguments),
            lambda body: found.read(body, mended(address.service.key)),
            deadline,
            self._hosted.deadline_seconds,
            address.service.key,
            spec.prompt,
        )
        if _refuses_form(outcome):
            outcome = replace(outcome, is_passing=False, may_cost=False)
        if self.price is not None:
            self.spent += self.price * (max(1, found.num_pictures) - 1 - (not outcome.may_cost))
        return outcome, found

    def _told(self, spec: RenderSpec) -> dict[str, Any]:
        """What an engine draws from beside the prompt, where it looks for that."""
        told: dict[str, Any] = {
            "seed": spec.seed,
            "num_inference_steps": spec.num_inference_steps,
            self._guidance: spec.guidance_scale,
        }
        if spec.negative_prompt:
            told["negative_prompt"] = spec.negative_prompt
        return {"nvext": told} if self._hosted.dialect == "nvext" else told

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

    def _drops(self, form: str | None, outcome: Outcome, found: Found) -> bool:
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
        self,
        address: _Address,
        spec: RenderSpec,
        outcome: Outcome,
        found: Found,
        tries: int,
        is_test: bool,
    ) -> Image | RenderError | None:
        """What came of a picture; where it shows that none can come, no more is asked there."""
        if outcome.meant is Meant.WITHHELD:
            return Refusal(f"{self.model_id} would not draw {spec.prompt!r}: {outcome.reason}")
        if outcome.ends_all:
            self._leave(address, f"{outcome.ends_all} ({outcome.reason})", "")
            return None
        if not outcome.reason:
            drawn = self._picture(spec, found, is_test)
            if not isinstance(drawn, RenderError):
                self._is_proved = True
            if not isinstance(drawn, RenderError) or isinstance(drawn, Refusal):
                return drawn
            reason = str(drawn).removeprefix(f"{self.model_id} ")
        else:
            reason = f"gave no picture after {tries} tries: {outcome.reason}"
            drawn = RenderError(f"{self.model_id} {reason}")
        if self._others(address) and self._is_of_address(spec, outcome):
            self._leave(address, reason.rstrip("."), "")
            return None
        if not self._may_fan_out and self._is_hopeless(spec, outcome, found):
            no_picture = "" if self._is_proved else "no picture has come from it yet, so "
            self._leave(
                address,
                f"{reason.rstrip('.')}; {no_picture}no more is asked for",
                "look at the model's name, LCMIS_ENDPOINT and the settings under [models.hosted], "
                "and run the same command again",
            )
        return drawn

    def _is_of_address(self, spec: RenderSpec, outcome: Outcome) -> bool:
        """Whether another address may well draw what one did not: the prompt is not the reason."""
        of_prompt = 400 <= outcome.status < 500 and not outcome.is_passing
        return not of_prompt or outcome.complaint.names(*OF_REQUEST, asked=spec.prompt)

    def _picture(self, spec: RenderSpec, found: Found, is_test: bool) -> Image | RenderError:
        """The picture; one that was drawn from a seed must be just what was asked for."""
        drawn = found.picture(self.model_id, spec.prompt)
        if isinstance(drawn, RenderError) or not self._hosted.seeded:
            return drawn
        if found.num_pictures != 1:
            return RenderError(
                f"{self.model_id} sent {found.num_pictures} pictures where one was asked for, and "
                f"which of them is of this seed is not known"
            )
        if drawn.size != (spec.width, spec.height):
            return RenderError(
                f"{self.model_id} sent a picture of {drawn.width}x{drawn.height} where "
                f"{spec.width}x{spec.height} was asked for: set height and width to what it draws"
            )
        if found.model and not _is_same_name(found.model, self._name):
            return RenderError(
                f"{self.model_id} says that {found.model!r} drew it: name the model as the engine "
                f"does"
            )
        before = self._seen.setdefault(found.digest, spec.key)
        if before != spec.key and self._heeds_seeds and not is_test:
            return RenderError(
                f"{self.model_id} sent the very picture that it had sent as {before}: it does not "
                f"draw from what it is told"
            )
        return drawn

    def _is_hopeless(self, spec: RenderSpec, outcome: Outcome, found: Found) -> bool:
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
    "num_inference_steps",
    "guidance_scale",
    "true_cfg_scale",
)
"""What a service speaks of when the same request fails with every prompt."""


def _refuses_form(outcome: Outcome) -> bool:
    """Whether a service does not take the way in which the picture was asked for."""
    return outcome.status in (200, 400, 422, 500) and outcome.complaint.names("response_format")


@dataclass(slots=True)
class _Address:
    """One place where a model can be asked."""

    service: Service
    asked: openai.AsyncOpenAI | None = field(default=None, repr=False)
    """Its client, while pictures are asked for."""
    fault: str = ""
    """Why it is asked no more."""


def _is_same_name(one: str, other: str) -> bool:
    """Whether two names are of one model: engines put a folder or an owner before it, or none."""
    ends = [name.casefold().rstrip("/").rpartition("/")[2] for name in (one, other)]
    return ends[0] == ends[1]


def _taken(settings: ModelSettings, known: KnownModel | None) -> dict[str, Any]:
    """Numbers of a known model that the user leaves open, by setting."""
    if known is None:
        return {}
    taken = {
        name: getattr(known, name)
        for name in ("num_inference_steps", "guidance_scale")
        if getattr(settings, name) is None and getattr(known, name) is not None
    }
    if settings.height is None and settings.width is None and known.height is not None:
        taken |= {"width": known.width, "height": known.height}
    scale = taken.get("guidance_scale", settings.guidance_scale)
    if settings.negative_prompt is None and known.negative_prompt and (scale or 0) > 1:
        taken["negative_prompt"] = known.negative_prompt
    return taken


def _template(model_id: str, settings: ModelSettings, hosted: HostedSettings) -> RenderSpec:
    """The specification of all pictures, but for prompt and seed.

    Raises:
        ConfigError: an engine that draws from seeds is not told what from, and nobody knows.
    """
    spec = RenderSpec(
        model=model_id,
        stages=(Stage("any"),),
        seed=0,
        num_inference_steps=1,
        guidance_scale=0.0,
        scheduler=f"quality={hosted.quality}" if hosted.quality else "service",
        height=settings.height or SIZE,
        width=settings.width or SIZE,
        profile="service",
        device="service",
    )
    if not hosted.seeded:
        return spec
    steps, scale = settings.num_inference_steps, settings.guidance_scale
    if steps is None or scale is None:
        told = {"num_inference_steps": steps, "guidance_scale": scale}
        missing = [name for name, value in told.items() if value is None]
        raise ConfigError(
            f"hosted:{settings.name}: seeded pictures are known by all that they are drawn from, "
            f"and lcmis does not know how this model is run: set {' and '.join(missing)}"
        )
    try:
        return replace(
            spec,
            num_inference_steps=steps,
            guidance_scale=scale,
            negative_prompt=settings.negative_prompt or "",
            profile="seeded service",
        )
    except ValueError as error:
        raise ConfigError(f"hosted:{settings.name} cannot be run so: {error}") from error


def _refuse_drawing_settings(settings: ModelSettings, hosted: HostedSettings) -> None:
    followed = OF_ENGINES if hosted.seeded else ()
    if setting := unfollowed(settings, "dtype", "offload", but=followed):
        engine = (
            "; one that draws from seeds is told so by seeded = true"
            if setting in OF_ENGINES
            else ""
        )
        raise ConfigError(
            f"hosted:{settings.name} is a service, which {setting} cannot reach: leave it out"
            f"{engine}"
        )


def _refuse_impossible(name: str, hosted: HostedSettings) -> None:
    above_zero = {
        "price": hosted.price,
        "spend_limit": hosted.spend_limit,
        "requests_per_minute": hosted.requests_per_minute,
        "deadline_seconds": hosted.deadline_seconds,
        "in_flight": hosted.in_flight,
    }
    if not name.strip():
        raise ConfigError("a hosted model needs a name: write hosted:MODEL, as the service has it")
    for setting, value in above_zero.items():
        if value is not None and not 0 < value < float("inf"):
            raise ConfigError(f"hosted:{name}: {setting} is {value}, but it is above 0")
    if not hosted.seeded and (hosted.dialect != "plain" or hosted.guidance):
        raise ConfigError(
            f"hosted:{name}: dialect and guidance say how an engine is told what it draws from, "
            f"which is not told to this one: set seeded = true, or leave them out"
        )
    if hosted.spend_limit is not None and hosted.price is None:
        raise ConfigError(
            f"hosted:{name}: spend_limit can only hold if the price of a picture is known: "
            f"set price too"
        )
