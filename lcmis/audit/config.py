"""audit.toml, flags and environment → one frozen AuditSettings."""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pydantic
from pydantic import SecretStr

from lcmis.errors import ConfigError
from lcmis.plugins.settings import (
    ApartSettings,
    AuditSettings,
    CheckerSettings,
    HostedSettings,
    ModelSettings,
    RemoteSettings,
    TextModelSettings,
    WorkersSettings,
    checker_named,
)
from lcmis.types import FIRST_REPAIR_SEED

STORE_VARIABLE = "LCMIS_STORE"
"""The environment variable that names the store where no flag and no file does."""
PICTURES_VARIABLE = "LCMIS_PICTURES"
"""The environment variable that names the folder of the pictures of a database URL, where no flag
and no file does."""
LABELS_VARIABLE = "LCMIS_LABELS"
"""How the command line tells the dashboard that nobody may label: ``off``."""

ENDPOINT_VARIABLE = "LCMIS_ENDPOINT"
"""The environment variable that names a service's address where nothing else does."""
KEY_VARIABLE = "LCMIS_API_KEY"
"""The environment variable that holds the key of a service, a text or an image model's."""
PROXY_VARIABLE = "LCMIS_PROXY"
"""The environment variable that names the proxy through which services are reached, if any."""
SECRETS = {"key": KEY_VARIABLE, "proxy": PROXY_VARIABLE}
"""Settings of services that come from the environment alone."""

USUAL = {
    "models": ("teacup-narrow", "teacup-broad"),
    "checkers": ("teacup-judge", "teacup-clip"),
    "pairs": ("teacup",),
}
"""What is audited where neither a flag nor a file names anything: what comes with lcmis."""

DEEPEST = 16
"""Dots in the name of a setting; reading far more would take minutes."""
LONGEST_SHOWN = 200
"""Letters of a value that cannot be."""
MOST_WORKERS = 10_000
"""Of one run; a slip of the finger beyond that would begin to hire them."""

HOSTED = "hosted:"
"""The name of a model behind an API begins so."""
REMOTE = "openai"
"""The kind of a checker behind an API."""


def load_config(path: Path | None = None, **overrides: Any) -> AuditSettings:
    """Read a file, lay the overrides that are not None over it, and check everything.

    Raises:
        ConfigError: the file cannot be read, a field is unknown or has a value it cannot have.
    """
    table = read_toml(path) if path else {}
    where = str(path) if path else "the settings"
    if isinstance(table.get("text_model"), str):
        table["text_model"] = kind_and_name(table["text_model"])
    if os.environ.get(STORE_VARIABLE):
        table.setdefault("store", os.environ[STORE_VARIABLE])
    for name, value in overrides.items():
        if value is not None:
            if isinstance(value, dict):
                _refuse_unless_table(table.get(name, {}), f"{where}, [{name}]")
                value = {**table.get(name, {}), **value}
            table[name] = value
    if "://" in str(table.get("store", "")) and os.environ.get(PICTURES_VARIABLE):
        table.setdefault("pictures", os.environ[PICTURES_VARIABLE])
    table = USUAL | table
    for name, spell_out in (("models", model_settings), ("checkers", checker_settings)):
        if isinstance(table[name], list | tuple):
            table[name] = [spell_out(e) if isinstance(e, str) else e for e in table[name]]
    _refuse_misfits(table, AuditSettings, where)
    if table.get("text_model") is not None:
        table["text_model"] = {**_environment(), **table["text_model"]}
    try:
        config = pydantic.TypeAdapter(AuditSettings).validate_python(table)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"{where}: {place} is {_shown(first['input'])}, but {_lower(first['msg'])}"
        ) from error
    _refuse_impossible(config, where)
    models = tuple(_reachable(entry) for entry in config.models)
    checkers = tuple(reachable_checker(entry) for entry in config.checkers)
    return dataclasses.replace(config, models=models, checkers=checkers)


def _reachable(model: ModelSettings) -> ModelSettings:
    """A model behind an API with its key, and its address where nobody said one."""
    if not model.name.startswith(HOSTED):
        return model
    hosted, said = model.hosted or HostedSettings(), _environment()
    usual = said.pop("endpoint", "")
    endpoint = hosted.endpoint or ("" if hosted.endpoints else usual)
    return dataclasses.replace(
        model, hosted=dataclasses.replace(hosted, **{**said, "endpoint": endpoint})
    )


def reachable_checker(checker: CheckerSettings) -> CheckerSettings:
    """A checker behind an API with its key, and its address where nobody said one; others as they
    are.

    Raises:
        ConfigError: the environment variable that shall hold its key holds none.
    """
    if checker.kind != REMOTE:
        return checker
    remote, said = checker.remote or RemoteSettings(), _environment()
    endpoint = remote.endpoint or said.pop("endpoint", "")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,100}", remote.key_variable):
        raise ConfigError(  # and does not say again what may be the key itself
            f"{checker.kind}:{checker.name}: key_variable is no name of an environment variable: "
            f"write the name, such as {KEY_VARIABLE}, and put the key into the environment"
        )
    if remote.key_variable != KEY_VARIABLE:
        key = os.environ.get(remote.key_variable, "")
        if not key:
            raise ConfigError(
                f"{checker.kind}:{checker.name} has its key in {remote.key_variable}, and the "
                f"environment holds none there: set it, or leave key_variable out"
            )
        said["key"] = SecretStr(key)
    return dataclasses.replace(
        checker, remote=dataclasses.replace(remote, **{**said, "endpoint": endpoint})
    )


def _environment() -> dict[str, Any]:
    """What the environment says of services, as fields of their settings."""
    said = {name: os.environ.get(variable) for name, variable in SECRETS.items()}
    found: dict[str, Any] = {name: SecretStr(text) if text else None for name, text in said.items()}
    endpoint = os.environ.get(ENDPOINT_VARIABLE)
    return {**found, "endpoint": endpoint} if endpoint else found


def model_settings(text: str) -> ModelSettings:
    """Read the short form ``name`` or ``name@revision``."""
    name, at, revision = text.rpartition("@")
    return ModelSettings(name, revision=revision) if at else ModelSettings(text)


def text_model_settings(text: str, endpoint: str | None = None) -> TextModelSettings:
    """Read the short form ``kind`` or ``kind:name``; the key comes from the environment."""
    said = {**_environment(), **({"endpoint": endpoint} if endpoint else {})}
    return TextModelSettings(**kind_and_name(text), **said)


def kind_and_name(text: str) -> dict[str, Any]:
    """What a text model's short form says, as fields of its settings."""
    kind, _, name = text.partition(":")
    return {"kind": kind, "name": name}


def checker_settings(text: str) -> CheckerSettings:
    """Read the short form ``kind``, ``kind:name`` or ``kind:name@revision``."""
    return reachable_checker(checker_named(text))


def read_toml(path: Path) -> dict[str, Any]:
    """What a file of settings says.

    Raises:
        ConfigError: there is none, or it is no TOML.
    """
    try:
        text = path.read_text("utf-8")
        if any(line.partition("=")[0].count(".") > DEEPEST for line in text.splitlines()):
            raise ConfigError(f"{path} has a name with more than {DEEPEST} dots: no setting has")
        table = tomllib.loads(text)
        if _has_long_number(table):
            raise ConfigError(f"{path} has a whole number of more than 64 bits: TOML has none")
        return table
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist: name an audit.toml, or leave it out") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as text: {error}; save it as UTF-8") from error
    except RecursionError as error:
        raise ConfigError(f"{path} has lists within lists within lists: no setting has") from error
    except ValueError as error:  # of a number of thousands of digits no TOMLDecodeError
        raise ConfigError(f"{path} is no valid TOML: {error}; mend that line") from error


def _has_long_number(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_long_number, value.values()))
    if isinstance(value, list):
        return any(map(_has_long_number, value))
    return isinstance(value, int) and not -(2**63) <= value < 2**63


def _refuse_misfits(table: Any, kind: type, file: str, inside: str = "", heading: str = "") -> None:
    """Check what pydantic would mend without a word or not survive: names that are none, what is no
    table or no list of them, what is no number, and secrets.

    Args:
        table: of settings; what is settings already is not looked at.
        kind: of settings that it shall become.
        file: where it stands.
        inside: the table's name there, e.g. ``models.hosted``; empty for the whole file.
        heading: the same in brackets.
    """
    if isinstance(table, kind):
        return
    where = f"{file}, {heading}" if heading else file
    _refuse_unknown(table, kind, where)
    for name, parts in _hints(kind).items():
        if name not in table:
            continue
        value, dotted = table[name], f"{inside}.{name}" if inside else name
        inner: Any = next(filter(dataclasses.is_dataclass, parts), None)
        if SecretStr in parts:
            raise ConfigError(
                f"{where}: a {name} does not belong in a file: take it out, and set "
                f"{SECRETS[name]} instead"
            )
        if inner is not None and tuple in parts:
            if not isinstance(value, list | tuple):
                raise ConfigError(f"{file}: {dotted} is {_shown(value)}, but it is a list")
            for entry in value:
                _refuse_misfits(entry, inner, file, dotted, f"[[{dotted}]]")
        elif inner is not None and value is not None:
            _refuse_misfits(value, inner, file, dotted, f"[{dotted}]")
        elif {int, float} & parts and value is not None:
            _refuse_no_number(value, f"{file}: {dotted}", is_whole=float not in parts)


@cache
def _hints(kind: type) -> dict[str, set[Any]]:
    """What each field of settings may be: ``tuple[Adapter, ...]`` is a tuple and an Adapter."""
    return {name: set(_parts(hint)) for name, hint in get_type_hints(kind).items()}


def _parts(hint: Any) -> Iterator[Any]:
    yield get_origin(hint) or hint
    if get_origin(hint) is not Literal:
        for one in get_args(hint):
            yield from _parts(one)


def _refuse_no_number(value: Any, place: str, *, is_whole: bool) -> None:
    """Text and true would be read as numbers, and what is not finite fits no bound."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        wanted = "a valid integer" if is_whole else "a valid number"
        raise ConfigError(f"{place} is {_shown(value)}, but it should be {wanted}")
    if not -sys.float_info.max <= value <= sys.float_info.max:
        raise ConfigError(f"{place} is {_shown(value)}, but it should be finite")


def _shown(value: Any) -> str:
    """Enough of a wrong value to find it."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def _refuse_unless_table(table: Any, where: str) -> None:
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where} must be a table of settings, not {_shown(table)}")


def _refuse_unknown(table: Any, kind: type, where: str) -> None:
    _refuse_unless_table(table, where)
    known = [entry.name for entry in dataclasses.fields(kind)]
    for name in table:
        if name not in known:
            near = difflib.get_close_matches(str(name)[:60], known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise ConfigError(f"{where} has no setting {str(name)[:60]!r}: {hint}")


def _refuse_impossible(config: AuditSettings, where: str) -> None:
    stopping = config.stopping
    shares = {
        "threshold": config.threshold,
        "stopping.threshold": stopping.threshold,
        "stopping.delta": stopping.delta,
        "stopping.alpha": stopping.alpha,
        "stopping.beta": stopping.beta,
    }
    _refuse_impossible_workers(config.workers, where)
    if not 0 <= config.max_failure_share <= 1:
        raise ConfigError(
            f"{where}: max_failure_share is {config.max_failure_share:g}, but it is from 0 to 1"
        )
    for name, value in shares.items():
        if not 0 < value < 1:
            raise ConfigError(f"{where}: {name} is {value}, but it lies between 0 and 1")
    low, high = stopping.threshold - stopping.delta, stopping.threshold + stopping.delta
    if stopping.rule == "sprt" and not 0 < low < high < 1:
        raise ConfigError(
            f"{where}: stopping.threshold ± stopping.delta is {low:g} to {high:g}, "
            f"which must stay between 0 and 1: choose a smaller delta"
        )
    counts = {
        "stopping.block": stopping.block,
        "stopping.cap": stopping.cap,
        "max_failures": config.max_failures,
        "limit": 1 if config.limit is None else config.limit,
    }
    for name, count in counts.items():
        if count < 1:
            raise ConfigError(f"{where}: {name} is {count}, but it is at least 1")
    if stopping.cap < stopping.block:
        raise ConfigError(
            f"{where}: stopping.cap is {stopping.cap}, less than one block of {stopping.block}"
        )
    if not 0 <= config.first_seed <= FIRST_REPAIR_SEED - stopping.cap:
        raise ConfigError(
            f"{where}: first_seed is {config.first_seed}, but an audit's seeds lie in "
            f"[0, {FIRST_REPAIR_SEED}), and repairs have those above: choose a smaller one"
        )
    for name, entries in (
        ("models", config.models),
        ("checkers", config.checkers),
        ("pairs", config.pairs),
    ):
        if not entries:
            raise ConfigError(f"{where}: {name} is empty: name at least one")
    for name, place in (("store", config.store), ("pictures", config.pictures)):
        if place is not None and not place.strip():
            raise ConfigError(f"{where}: {name} is empty: name a place, or leave it out")


def _refuse_impossible_workers(workers: WorkersSettings, where: str) -> None:
    groups: list[tuple[str, WorkersSettings | ApartSettings]] = [
        ("workers", workers),
        *(("workers.apart", one) for one in workers.apart),
    ]
    for name, one in groups:
        least = 0 if isinstance(one, WorkersSettings) else 1
        if not least <= one.count <= MOST_WORKERS:
            raise ConfigError(
                f"{where}: {name}.count is {one.count}, but it is from {least} to {MOST_WORKERS:,}"
            )
        if not 0 <= one.memory < math.inf:
            raise ConfigError(
                f"{where}: {name}.memory is {one.memory:g}, but it is finite and at least 0"
            )
        gpus = one.gpus or 0.0
        if not 0 <= gpus < math.inf or (gpus > 1 and gpus != int(gpus)):
            raise ConfigError(
                f"{where}: {name}.gpus is {gpus:g}: write a fraction of one, such as 0.5, or a "
                f"whole number of them"
            )


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
