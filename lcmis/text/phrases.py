"""Tables of phrases that a prompt can be put together of."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from lcmis.errors import ConfigError
from lcmis.machine.paths import shipped
from lcmis.plugins.optional import reads_table
from lcmis.plugins.protocols import Inverter, PhraseTable, Repairer

COLUMNS = tuple(field.name for field in fields(PhraseTable))


def shipped_table() -> PhraseTable:
    """Ours."""
    return read_table(shipped("data") / "phrases.toml")


def own_table(path: str, methods: Mapping[str, Inverter | Repairer]) -> PhraseTable | None:
    """The user's own, for methods by name of which one at least must read it; None without a path.

    Raises:
        ConfigError: none of them reads one, or the file is no table.
    """
    if not path:
        return None
    if not any(map(reads_table, methods.values())):
        raise ConfigError(
            f"--table has no effect on {', '.join(methods)}: leave it out, or add "
            f"--method interrogator"
        )
    return read_table(Path(path))


def read_table(path: Path) -> PhraseTable:
    """A TOML file with a list of phrases under each of :data:`COLUMNS`; repeated ones count once.

    Raises:
        ConfigError: no such file, no TOML, or another form.
    """
    form = "write " + ", ".join(f'{column} = ["…", "…"]' for column in COLUMNS)
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"the table of phrases {path} cannot be read ({error}): name a TOML file"
        ) from error
    unknown = sorted(said.keys() - set(COLUMNS))
    if unknown:
        raise ConfigError(f"the table of phrases {path} has no column {unknown[0]!r}: {form}")
    columns: dict[str, tuple[str, ...]] = {}
    for column in COLUMNS:
        phrases = said.get(column)
        if not isinstance(phrases, list) or not phrases or not all(map(_is_phrase, phrases)):
            raise ConfigError(
                f"{column} of the table of phrases {path} is no list of phrases: {form}"
            )
        columns[column] = tuple(dict.fromkeys(" ".join(one.split()) for one in phrases))
    return PhraseTable(**columns)


def _is_phrase(said: object) -> bool:
    return isinstance(said, str) and bool(said.strip())
