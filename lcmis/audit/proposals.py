"""Pairs that a text model proposes, audited round by round: what was measured guides the next."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lcmis import findings, judge
from lcmis.audit.pairs import chosen_pairs
from lcmis.audit.run import Audit, Cost, Watch
from lcmis.errors import ConfigError
from lcmis.machine.files import replacing
from lcmis.plugins.opening import open_checker, open_model, open_text_model
from lcmis.plugins.optional import encoder_of
from lcmis.plugins.protocols import Encoder
from lcmis.plugins.settings import AuditSettings, TextModelSettings
from lcmis.propose.catalogue import read_kinds, read_pairs, to_toml
from lcmis.propose.rounds import LICENCE, Embed, Kind, Measured, Proposal, Round, Rounds
from lcmis.store import Store
from lcmis.text.recorded import Correspondence
from lcmis.types import ConceptPair, Rate
from lcmis.workers.studio import Studio

SEVERE = 4
"""Level from which a proposed pair counts as a find."""


@dataclass(frozen=True, slots=True)
class ProposeSettings:
    """How many pairs are asked for, and where they go."""

    text_model: TextModelSettings
    rounds: int = 3
    count: int = 24
    """Pairs of one round, about."""
    into: Path = Path("proposed.toml")
    """A file of pairs; what it holds already is known, and a person may edit it between rounds."""
    audits: bool = True
    """Whether each round is drawn and checked before the next; without, nothing guides."""
    audits_first: bool = True
    """Whether it begins with the pairs of the configuration, and draws them first where they are
    not decided yet; otherwise it begins with those of the store, and draws none of them.
    """


@dataclass(frozen=True, slots=True)
class RoundResult:
    """One round, and what the audit said of its pairs."""

    round: Round
    measured: tuple[tuple[Proposal, Measured], ...]
    """Over all audited models together; pairs that were not drawn are left out."""
    severe: Rate
    """The round's yield: pairs of level 4 or 5 among those measured."""
    foreseen: float | None
    """Rank correlation (Kendall's tau b) of expected with observed shares of wrong pictures; None
    where either does not vary."""


@dataclass(frozen=True, slots=True)
class ProposeResult:
    """What all rounds brought."""

    text_model: str
    into: str
    rounds: tuple[RoundResult, ...]
    baseline: Rate
    """The same share among the pairs that were known and measured before."""
    seconds: float
    notes: tuple[str, ...] = ()
    """What its audits had to note: of models, of services, and of workers that were left out."""

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """Why proposals became no pairs, commonest first."""
        dropped = [one.reason for result in self.rounds for one in result.round.dropped]
        return Counter(dropped).most_common()

    @property
    def num_pairs(self) -> int:
        """Proposed and taken."""
        return sum(len(one.round.proposals) for one in self.rounds)


class Propose:
    """Rounds of proposals, each audited before the next.

    Every round is written to the file before it is drawn: stopped anywhere, the same command goes
    on, and a person may take pairs out of the file or put others in.

    Raises:
        UserError: whatever is wrong with the settings, before anything is asked.
    """

    def __init__(
        self,
        config: AuditSettings,
        store: Store,
        settings: ProposeSettings,
        watch: Watch | None = None,
        tell: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        for name, count in (("--rounds", settings.rounds), ("--count", settings.count)):
            if count < 1:
                raise ConfigError(f"{name} is {count}, but it is at least 1")
        if settings.into.suffix != ".toml":
            raise ConfigError(f"--into is {settings.into}, but pairs are kept in a .toml file")
        self.config = config
        self.store = store
        self.settings = settings
        self.watch = watch
        self.tell = tell
        self.command = ""
        stored = () if settings.audits_first else tuple(filter(_is_given, store.pairs()))
        self.seeds = stored or chosen_pairs(config).pairs
        self.model = Correspondence(
            open_text_model(settings.text_model), settings.text_model, store
        )
        self.studio = Studio(store, config.max_failures, share=config.max_failure_share)
        self.checker = open_checker(config.checkers[0])
        self.models = [open_model(entry).model_id for entry in config.models]
        self.rule = findings.stopping_rule(config.stopping)
        self._exhausted: tuple[str, ...] = ()
        self._notes: dict[str, None] = {}

    @property
    def first_pairs(self) -> list[ConceptPair]:
        """Those that are audited before anything is asked."""
        seeds = self.seeds if self.settings.audits_first else ()
        return list(dict.fromkeys([*seeds, *self._kept()]))

    def cost(self) -> Cost:
        """What auditing those would draw; the rounds come on top."""
        first = self.first_pairs
        if not (first and self.settings.audits):
            return Cost(0, 0, 0, 0, None)
        return Audit(self.config, self.store, pairs=first).cost()

    def run(self, command: str = "") -> ProposeResult:
        """Audit what there is; then ask, write, audit; again and again.

        Raises:
            ConfigError: the text model gave nothing to a whole round of questions.
            TooManyFailures: as in an audit.
        """
        started = time.monotonic()
        self.command = command
        kept = self._kept()
        self._audit(self.first_pairs)
        baseline = self._severe(self.measured(self.seeds))
        results = []
        first = 1 + max((_round_of(pair) for pair in kept), default=0)
        for number in range(first, first + self.settings.rounds):
            results.append(self._round(number))
        return ProposeResult(
            text_model=self.model.model_id,
            into=str(self.settings.into),
            rounds=tuple(results),
            baseline=baseline,
            seconds=time.monotonic() - started,
            notes=tuple(self._notes),
        )

    def _round(self, number: int) -> RoundResult:
        kept = self._kept()
        # what a later round proposed once is no reason not to propose it: so the round that was
        # cut off, or is done again into another file, goes the same way
        before = [pair for pair in self.store.pairs() if _round_of(pair) < number]
        known = list(dict.fromkeys([*self.seeds, *kept, *before]))
        kinds = self._kinds([*self.seeds, *kept])
        self.tell(f"round {number}: asking {self.model.model_id}")
        rounds = Rounds(
            self.model,
            known,
            kinds,
            source=f"lcmis propose, {self.model.model_id}",
            count=self.settings.count,
            embed=self._embed(),
            exhausted=self._exhausted,
        )
        asked = rounds.round(number, self.measured([*self.seeds, *kept]))
        self._exhausted = asked.exhausted
        pairs = [proposal.pair for proposal in asked.proposals]
        self._write([*kept, *pairs], [*kinds, *asked.kinds])
        for count, sentence in enumerate(asked.failures, start=1):
            self.studio.fail(f"round {number}, question {count} that failed", "ask", sentence)
        if asked.failures and asked.is_empty:
            raise ConfigError(
                f"round {number} came to nothing: {asked.failures[-1].rstrip('.')}; look at "
                f"--text-model, --endpoint and LCMIS_API_KEY"
            )
        self.tell(f"round {number}: {len(pairs)} new pairs")
        self._audit(pairs)
        by_key = {one.pair.key: one for one in self.measured(pairs)}
        measured = tuple(
            (proposal, by_key[proposal.pair.key])
            for proposal in asked.proposals
            if proposal.pair.key in by_key
        )
        return RoundResult(
            round=asked,
            measured=measured,
            severe=self._severe([one for _, one in measured]),
            foreseen=judge.rank_correlation(
                [proposal.expected for proposal, _ in measured],
                [one.wrong_share for _, one in measured],
            ),
        )

    # ── the file ─────────────────────────────────────────────────────────────────────────────

    def _kept(self) -> tuple[ConceptPair, ...]:
        """What the file holds, as a person may have left it."""
        return read_pairs(self.settings.into) if self.settings.into.exists() else ()

    def _kinds(self, pairs: Sequence[ConceptPair]) -> list[Kind]:
        said = read_kinds(self.settings.into) if self.settings.into.exists() else {}
        names = dict.fromkeys([*(pair.pattern for pair in pairs if pair.pattern), *said])
        return [Kind(name, **said.get(name, {})) for name in names]

    def _write(self, pairs: Sequence[ConceptPair], kinds: Sequence[Kind]) -> None:
        """All at once or not at all."""
        if not pairs:
            return
        said = {
            kind.name: {
                "explanation": kind.explanation,
                "first": kind.first,
                "second": kind.second,
            }
            for kind in kinds
        }
        licence = pairs[0].licence or LICENCE
        pairs = [dataclasses.replace(pair, licence=licence) for pair in pairs]
        self.settings.into.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.settings.into) as draft:
            draft.write_text(to_toml(pairs, said), encoding="utf-8")

    # ── measuring ────────────────────────────────────────────────────────────────────────────

    def _audit(self, pairs: Sequence[ConceptPair]) -> None:
        if pairs and self.settings.audits:
            result = Audit(self.config, self.store, self.watch, pairs=pairs).run(self.command)
            self._notes |= dict.fromkeys(result.notes)

    def measured(self, pairs: Sequence[ConceptPair]) -> list[Measured]:
        """Those that were drawn, over all models of the configuration."""
        right: Counter[str] = Counter()
        total: Counter[str] = Counter()
        for model in self.models:
            for finding in findings.find_pairs(
                self.store,
                self.checker.checker_id,
                rule=self.rule,
                threshold=self.config.threshold,
                model=model,
            ):
                correct, seen = judge.counts(finding.judgement.verdicts)
                right[finding.pair.key] += correct
                total[finding.pair.key] += seen
        keyed = [(pair, pair.key) for pair in pairs] if total else []
        return [Measured(pair, right[key], total[key]) for pair, key in keyed if total[key]]

    @staticmethod
    def _severe(measured: Sequence[Measured]) -> Rate:
        levels = [judge.level(one.right, one.total) for one in measured]
        return judge.rate(sum(level >= SEVERE for level in levels), len(levels))

    def _embed(self) -> Embed | None:
        """The text side of the first checker that has one: pairs of one meaning are told apart."""
        for settings in self.config.checkers:
            encoder = encoder_of(open_checker(settings))
            if encoder is not None:
                return partial(_embedded, encoder)
        return None


def _embedded(encoder: Encoder, texts: Sequence[str]) -> Sequence[Sequence[float]]:
    rows: list[list[float]] = encoder.read(texts).tolist()
    return rows


def _is_given(pair: ConceptPair) -> bool:
    return not _round_of(pair)


def _round_of(pair: ConceptPair) -> int:
    """The round that a pair of the file came from; 0 if a person put it there."""
    before, _, number = pair.source.partition(", round ")
    digits = number.partition(",")[0]
    return int(digits) if before and digits.isdecimal() else 0
