"""Makes schema-NNNN.db, one for each released schema: `python tests/assets/make_store.py`.

Run it once, when a schema is released, and never again for that schema: what it made must open for
ever. The values below belong to all of them; a test reads them back.
"""

from __future__ import annotations

import dataclasses
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from PIL import Image

from lcmis.store import Drawn, Store, picture_hash, schema
from lcmis.types import (
    FIRST_REPAIR_SEED,
    NONE_OF_THESE,
    About,
    Adapter,
    Answer,
    Box,
    Candidate,
    Concept,
    ConceptPair,
    Exchange,
    Failure,
    Intruder,
    Label,
    Nomination,
    Note,
    NoteKind,
    Question,
    QuestionKind,
    Render,
    RenderSpec,
    Run,
    Score,
    Seen,
    Shift,
    Side,
    Stage,
    Trial,
)

CHECKER = "vqa:judge@1"
PAIR = ConceptPair(
    Concept("tea cup", "a small white porcelain vessel", ("teacup",)),
    Concept("iced coke"),
    "a tea cup of iced coke",
    ("A porcelain tea cup filled with iced coke",),
    (Intruder(Concept("glass"), Side.A, "a glass of iced coke"),),
    "drink and wrong vessel",
    "catalogue",
    "CC0-1.0",
)
PICTURE = Image.new("RGB", (8, 8), "red")
DRAWN = RenderSpec("model@1", (Stage(PAIR.prompt),), 7, 20, 7.5, "Euler", 8, 8, "cpu-float32-b16")
STAGED = RenderSpec(
    "model@1",
    (Stage("a tea cup", 0.25), Stage(PAIR.prompt)),
    2**63 - 1,
    20,
    7.5,
    "Euler",
    8,
    8,
    "cpu-float32-b16",
    (Adapter("style@2", 0.5),),
    "blurry",
)
RENDERS = (
    Render(DRAWN.key, picture_hash(PICTURE), 0.5, "cpu"),
    Render(STAGED.key, "", 0.25, "cpu", "withheld by the safety filter"),
)
PRESENT = Question(QuestionKind.A_PRESENT, "tea cup", (), (PAIR.prompt, "a glass of iced coke"))
INTRUDER = Question(QuestionKind.INTRUDER_A, PAIR.prompt, ("glass", "tea cup", NONE_OF_THESE))
SCORES = (
    Score(DRAWN.key, CHECKER, PRESENT.key, Answer(None, reason="too little mass", mass=0.125)),
    Score(DRAWN.key, CHECKER, INTRUDER.key, Answer(0.75, "glass", mass=0.9)),
    Score(DRAWN.key, CHECKER, INTRUDER.key, Answer(0.25, "tea cup", mass=0.9)),
    Score(DRAWN.key, CHECKER, INTRUDER.key, Answer(0.0, NONE_OF_THESE, mass=0.9)),
)
FOUND = Question(  # as detectors are asked from the fourth schema on
    QuestionKind.A_PRESENT, "tea cup", (), (PAIR.prompt, "a glass of iced coke"), (("teacup",),)
)
BOXED = Score(
    DRAWN.key, "detect:owl@1", FOUND.key, Answer(0.25, box=Box(0.125, 0.25, 0.5, 1.0, "teacup"))
)
LABEL = Label(DRAWN.key, PRESENT.key, "no", "ann", "2026-01-02T03:04:05Z")
POINTED_OUT = dataclasses.replace(LABEL, rater="bob", unasked=True)
NOTE = Note(
    About.PICTURE,
    DRAWN.key,
    NoteKind.COMMENT,
    "the handle is there,\nhalf of it",
    "ann",
    "2026-01-02T03:04:05Z",
)
FAILURE = Failure("k1:lost", "render", "out of memory at 8x8", "2026-01-02T03:04:05Z")
CANDIDATE = Candidate((Stage("a tea cup", 0.25), Stage(PAIR.prompt)), "glass")
TRIAL = Trial(
    PAIR.key,
    "model@1",
    "moce",
    "clip:guide@1",
    CANDIDATE,
    (Seen(FIRST_REPAIR_SEED, 0.75, 0.1), Seen(FIRST_REPAIR_SEED + 1, None, None)),
)
NOMINATION = Nomination(
    PAIR.key, "model@1", "moce", "clip:guide@1", CANDIDATE, 120, 2, "the budget is spent"
)
EXCHANGE = Exchange(
    "k1:request",
    "chat:writer@localhost",
    (("system", "be brief"), ("user", "which first?")),
    '{"first": "tea cup"}',
    "",
    ("0" * 64,),
    '{"type": "object"}',
    1.5,
    "2026-01-02T03:04:05Z",
)
NAMED = Nomination(  # as searches of the third schema leave it
    PAIR.key,
    "model@1",
    "portfolio",
    "clip:guide@1",
    CANDIDATE,
    120,
    2,
    "found",
    60.0,
    40,
    ("text model chat:writer@localhost", "guard clip:guard@1"),
    f"{DRAWN.key} by model@1",
)
RUN = Run("run-1", "2026-01-02T03:04:05Z", "audit", "{}", '{"lcmis":"0.1.0"}', "abc", "cpu")
SHIFT = Shift(
    "run-1",
    "worker 1",
    "node-a",
    "NVIDIA H100",
    "model@1",
    "2026-01-02T03:05:05Z",
    60.0,
    58.5,
    240,
    480,
    1,
    "/logs/worker-1.log",
)
WITH_IDS = dataclasses.replace(RUN, run_id="run-2", models=("model@1",), checkers=(CHECKER,))


def fill(store: Store) -> None:
    """One of everything."""
    store.add_run(RUN)
    store.add_pairs([PAIR])
    store.add_renders(
        [
            Drawn(PAIR.key, DRAWN, RENDERS[0], PICTURE),
            Drawn(PAIR.key, STAGED, RENDERS[1], None),
        ]
    )
    store.add_scores(SCORES, [PRESENT, INTRUDER])
    store.add_labels([LABEL])
    store.add_failure(FAILURE)
    store.add_trial(TRIAL)
    store.add_nomination(NOMINATION)
    store.add_run(WITH_IDS)
    store.add_nomination(NAMED)
    store.add_exchange(EXCHANGE)
    store.add_scores([BOXED], [FOUND])
    store.add_notes([NOTE])
    store.add_labels([POINTED_OUT])
    store.add_many(shifts=[SHIFT])


def main() -> None:
    """Write the newest schema's database beside this file."""
    target = Path(__file__).with_name(f"schema-{schema.head()}.db")
    with tempfile.TemporaryDirectory() as folder:
        with Store(folder, create=True) as store:
            fill(store)
        with closing(sqlite3.connect(Path(folder, "facts.db"))) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
            connection.execute("PRAGMA page_size=512")  # mostly empty tables: keep it small
            connection.execute("VACUUM")
        target.write_bytes(Path(folder, "facts.db").read_bytes())
    print(f"{target}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
