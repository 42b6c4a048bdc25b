"""The small store, judged by services too: one tells odds, the replies of the other are counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lcmis.check import questions_of
from lcmis.check.remote import RemoteChecker
from lcmis.check.wording import WORDINGS
from lcmis.plugins.settings import CheckerSettings, RemoteSettings
from lcmis.store import Store
from lcmis.text.prompts import wordings_hash
from lcmis.types import Score
from lcmis.workers.orders import ask
from worlds import small_store
from worlds.chat_server import chat_server, completion, odds, question_in, words
from worlds.small_store import BROAD, COKE, HOSTILE, make_spec

LOCAL = f"vqa:local@5555555eeee+{wordings_hash(*WORDINGS)}"
THOUGHT = "The vessel has a handle and is small, so it may be a cup."
SEEDS = range(6)
PICTURE = make_spec(COKE, BROAD, 0)


def _by_odds(body: dict[str, Any]) -> Any:
    letters = "letter" in question_in(body)[1]
    told = {"Yes": 0.81, "No": 0.12, "A": 0.05, "I": 0.001}
    if letters:
        told = {"C": 0.8, "A": 0.1, "B": 0.06, "D": 0.03, "The": 0.001}
    return completion(odds(told), model="vlm-2026-08", system_fingerprint="fp_7")


def _by_count(body: dict[str, Any]) -> Any:
    text = question_in(body)[1]
    if "tea cup of" in text:
        return completion(words(None, refusal=f"I will not judge this. {HOSTILE}"))
    said = ["A", "A", "A", "B", "?"] if "letter" in text else ["No", "No", "Yes", "No.", "Hm"]
    return completion(*(words(one, reasoning_content=THOUGHT) for one in said))


def fill(folder: Path) -> Path:
    """Make the store; three checkers more have seen the first pictures of one pair."""
    small_store.fill(folder)
    with (
        chat_server(_by_odds) as sure,
        chat_server(_by_count) as counted,
        Store(folder) as store,
    ):
        asked = [
            (make_spec(COKE, BROAD, seed).key, question)
            for seed in SEEDS
            for question in questions_of(COKE)
        ]
        for server, name, samples in ((sure, "org/odds", 0), (counted, "org/thinks", 5)):
            remote = RemoteSettings(
                server.address, samples=samples, thinking_tokens=100 * bool(samples)
            )
            checker = RemoteChecker(CheckerSettings("openai", name, remote=remote))
            # the port of a server that was there for a moment is in no picture of a page
            checker.checker_id = checker.checker_id.replace(
                checker.checker_id.partition("/")[0], "openai:judges.example"
            )
            checker.kept = store
            images = {key: store.image(store.render(key)[1].sha256) for key, _ in asked}
            said, _ = ask(checker, asked, images)
            store.add_scores(
                [
                    Score(one.spec_key, one.checker, one.question.key, a)
                    for one in said
                    for a in one.answers
                ],
                {one.question for one in said},
            )
        said = [one for one in store.scores(PICTURE.key) if "org/odds" in one[1].checker]
        store.add_scores(
            [Score(score.render, LOCAL, score.question, score.answer) for _, score in said],
            {question for question, _ in said},
        )
    return folder
