"""Small facts, and stores of both kinds to put them into."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from lcmis.store import Drawn, Store, picture_hash
from lcmis.types import (
    NONE_OF_THESE,
    Answer,
    Concept,
    ConceptPair,
    Intruder,
    Question,
    QuestionKind,
    Render,
    RenderSpec,
    Score,
    Side,
    Stage,
)

if TYPE_CHECKING:
    import psycopg

ROOT = Path(__file__).parents[2]


ASSETS = Path(__file__).parents[1] / "assets"


CHECKER = "vqa:judge@1"
LOCKED = "anna"
PASSWORD = "canary-5f1e"


def make_pair(a: str = "tea cup", b: str = "iced coke", prompt: str = "") -> ConceptPair:
    prompt = prompt or f"a {a} of {b}"
    return ConceptPair(
        Concept(a),
        Concept(b),
        prompt,
        intruders=(
            Intruder(Concept("glass"), Side.A, f"a glass of {b}"),
            Intruder(Concept("mug"), Side.A, f"a mug of {b}"),
            Intruder(Concept("hot tea"), Side.B, f"a {a} of hot tea"),
        ),
    )


def make_spec(pair: ConceptPair, seed: int = 0, model: str = "m@1", *stages: Stage) -> RenderSpec:
    stages = stages or (Stage(pair.prompt),)
    return RenderSpec(model, stages, seed, 20, 7.5, "Euler", 6, 9, "cpu-float32-b16")


def make_picture(seed: int) -> Image.Image:
    return Image.frombytes("RGB", (9, 6), random.Random(seed).randbytes(9 * 6 * 3))


def make_drawn(pair: ConceptPair, spec: RenderSpec, *, refusal: str = "") -> Drawn:
    if refusal:
        return Drawn(pair.key, spec, Render(spec.key, "", 0.5, "cpu", refusal), None)
    image = make_picture(spec.seed)
    return Drawn(pair.key, spec, Render(spec.key, picture_hash(image), 0.5, "cpu"), image)


def questions_of(pair: ConceptPair) -> dict[QuestionKind, Question]:
    def contrast(side: Side) -> tuple[str, ...]:
        return (pair.prompt, *(one.prompt for one in pair.intruders_of(side)))

    def options(side: Side) -> tuple[str, ...]:
        names = (one.concept.name for one in pair.intruders_of(side))
        return (pair.concept(side).name, *names, NONE_OF_THESE)

    asked = (
        Question(QuestionKind.A_PRESENT, pair.a.name, contrast=contrast(Side.A)),
        Question(QuestionKind.B_PRESENT, pair.b.name, contrast=contrast(Side.B)),
        Question(QuestionKind.RELATION, pair.prompt),
        Question(QuestionKind.INTRUDER_A, pair.a.name, options(Side.A), contrast(Side.A)),
        Question(QuestionKind.INTRUDER_B, pair.b.name, options(Side.B), contrast(Side.B)),
    )
    return {question.kind: question for question in asked}


def answer_all(
    spec: RenderSpec, pair: ConceptPair, dice: random.Random, checker: str = CHECKER
) -> tuple[list[Score], list[Question]]:
    questions = list(questions_of(pair).values())
    scores = [
        Score(spec.key, checker, question.key, Answer(round(dice.random(), 3), option))
        for question in questions
        for option in question.options or ("",)
    ]
    return scores, questions


class Server:
    """A throw-away PostgreSQL on this machine, which may crash and come back."""

    def __init__(self, initdb: str, folder: str) -> None:
        as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if as_user:
            shutil.chown(folder, "postgres")
        self._folder, data = folder, f"{folder}/data"
        self._pg_ctl = [*as_user, str(Path(initdb).with_name("pg_ctl")), "-D", data]
        self._run(*as_user, initdb, "-A", "trust", "-U", "lcmis", "--no-sync", "-D", data)
        _lock_out(Path(data) / "pg_hba.conf")
        self.start()

    @property
    def url(self) -> str:
        """It lacks a schema's name."""
        socket = f"host={self._folder}"
        return f"postgresql://lcmis@/postgres?{socket}&options=-csearch_path%3D{{}}"

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories={self._folder} -c fsync=off"
        log = f"{self._folder}/log"
        self._run(*self._pg_ctl, "-w", "-l", log, "-o", options, "start")

    def crash(self) -> None:
        """Every connection breaks, nothing is tidied up."""
        self._run(*self._pg_ctl, "-m", "immediate", "stop")

    def _run(self, *words: str) -> None:
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, cwd=self._folder)


@contextmanager
def served_postgresql() -> Iterator[Server]:
    """A server, or the test is skipped."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = shutil.which("initdb") or (str(found[-1]) if found else None)
    if initdb is None:
        pytest.skip("no PostgreSQL server on this machine")
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder:  # a socket path is short
        server = Server(initdb, folder)
        try:
            yield server
        finally:
            server.crash()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """A throw-away server; a URL that lacks a schema's name."""
    with served_postgresql() as server:
        yield server.url


def _lock_out(rules: Path) -> None:
    """One user has to say a password, all others are trusted."""
    rules.write_text(f"local all {LOCKED} scram-sha-256\n{rules.read_text()}")


@pytest.fixture
def locked(postgresql: str, tmp_path: Path) -> tuple[str, str]:
    """The folder of a server's socket, and a fresh database there that asks :data:`LOCKED` for
    :data:`PASSWORD`.
    """
    from psycopg import sql

    name = f"t{uuid.uuid5(uuid.NAMESPACE_OID, str(tmp_path)).hex}"
    owner, word = sql.Identifier(LOCKED), sql.Literal(PASSWORD)
    with connected(postgresql) as server:
        if not server.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [LOCKED]).fetchone():
            server.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(owner, word))
        made = sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), owner)
        server.execute(made)
    return socket_of(postgresql), name


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str | Path]:
    """What to open a store with, on each database that we promise."""
    if request.param == "sqlite":
        return {"path_or_url": tmp_path / "audit"}
    url: str = request.getfixturevalue("postgresql")
    return {"path_or_url": in_schema(url, tmp_path), "pictures": tmp_path / "pictures"}


def in_schema(url: str, folder: Path) -> str:
    """The URL of a new schema of a server, named after a folder."""
    name = f"t{uuid.uuid5(uuid.NAMESPACE_OID, str(folder)).hex}"
    with connected(url) as server:
        server.execute(f"CREATE SCHEMA {name}")  # a database each would take a second to delete
    return url.format(name)


def connected(url: str) -> psycopg.Connection:
    """With a throw-away server, whatever its schema."""
    import psycopg

    return psycopg.connect(f"host={socket_of(url)} user=lcmis dbname=postgres", autocommit=True)


def socket_of(url: str) -> str:
    """The folder of its socket."""
    return url.partition("host=")[2].partition("&")[0]


@pytest.fixture
def store(place: dict[str, str | Path]) -> Iterator[Store]:
    with Store(**place, create=True) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An SQLite store with a pair and a picture in it."""
    with Store(tmp_path / "audit", create=True) as store:
        pair = make_pair()
        store.add_pairs([pair])
        store.add_renders([make_drawn(pair, make_spec(pair))])
    return tmp_path / "audit"


@pytest.fixture
def audited(store: Store) -> tuple[Store, ConceptPair, RenderSpec]:
    pair = make_pair()
    spec = make_spec(pair)
    store.add_pairs([pair])
    store.add_renders([make_drawn(pair, spec)])
    return store, pair, spec
