"""The pairs of an audit: catalogues and files, in order, each pair once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lcmis.errors import ConfigError
from lcmis.machine.files import is_there
from lcmis.plugins.settings import AuditSettings
from lcmis.propose.catalogue import catalogue, catalogues, select
from lcmis.propose.formats import pairs_in
from lcmis.propose.formats.outcomes import SetRead
from lcmis.types import ConceptPair


@dataclass(frozen=True, slots=True)
class Chosen:
    """The pairs of a configuration: catalogues and files, in order, each pair once."""

    pairs: tuple[ConceptPair, ...]
    sets: tuple[SetRead, ...] = ()
    """Other people's sets among its files: not every line of theirs is a pair."""


def chosen_pairs(config: AuditSettings) -> Chosen:
    """The pairs that a configuration asks for.

    Raises:
        ConfigError: a file or catalogue cannot be read, or nothing is left after the patterns.
    """
    found: dict[str, ConceptPair] = {}
    sets = []
    for name in config.pairs:
        if name in catalogues():
            pairs = catalogue(name)
        elif is_there(Path(name)) and Path(name).is_file():
            pairs, read = pairs_in(Path(name), config.column)
            sets += [read] if read else []
        else:
            raise ConfigError(
                f"there are no pairs called {name!r}: name a file, or one of the shipped "
                f"catalogues {', '.join(catalogues())}"
            )
        found.update((pair.key, pair) for pair in pairs)
    if config.column and not sets:
        raise ConfigError(
            f"column is {config.column!r}, but none of the files of pairs has columns of other "
            f"people's: leave it out"
        )
    words = [word.casefold() for word in config.patterns]
    wanted = tuple(
        pair
        for pair in found.values()
        if not words or any(word in pair.pattern.casefold() for word in words)
    )
    if not wanted:
        there = sorted({pair.pattern for pair in found.values()})
        raise ConfigError(
            f"no pair has a pattern with {' or '.join(map(repr, config.patterns))} in it: "
            f"there are {', '.join(there)}"
        )
    chosen = select(wanted, limit=config.limit)
    return Chosen(_shard(chosen, config.shard) if config.shard else chosen, tuple(sets))


def _shard(pairs: tuple[ConceptPair, ...], shard: str) -> tuple[ConceptPair, ...]:
    """Every n-th pair from the i-th on, so that each part has its share of every pattern.

    Raises:
        ConfigError: it is no part, or an empty one.
    """
    part, _, parts = shard.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise ConfigError(f"shard is {shard!r}, but it is i/n, such as 1/8, with i from 1 to n")
    if int(parts) > len(pairs):
        raise ConfigError(
            f"shard is {shard}, and there are only {len(pairs)} pairs: cut them into fewer parts"
        )
    return pairs[int(part) - 1 :: int(parts)]
