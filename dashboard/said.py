"""What was said of one picture, as the lightbox asks for it; and a word of one's own, kept."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import boxes
import labelling
import looks
import opinions
import shots
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route

from lcmis import findings
from lcmis.errors import ConfigError, StoreError, UnknownNameError, UserError
from lcmis.findings import labels, notes, words
from lcmis.findings.boxes import by_detector, frames
from lcmis.findings.labels import NO, UNSURE, WITHDRAWN, YES
from lcmis.machine import letters
from lcmis.store import Evidence, Store
from lcmis.types import (
    NONE_OF_THESE,
    About,
    ConceptPair,
    Label,
    NoteKind,
    Question,
    QuestionKind,
    Render,
    RenderSpec,
    Score,
    Verdict,
)

if TYPE_CHECKING:
    from starlette.requests import Request

ANSWERS = {YES: "Yes", NO: "No", UNSURE: "Cannot tell", NONE_OF_THESE: "None of these"}
COMMENTS = 50
"""The newest that are shown."""
LONGEST_BODY = 100_000
"""Bytes; the longest comment in the widest letters is a sixth of it."""
PATIENCE_SECONDS = 10.0
"""A word waits so long for an audit that is writing."""


@dataclass(frozen=True)
class Places:
    """Where the facts lie."""

    store: str
    folder: str
    beside: tuple[str, ...]
    may_write: bool

    def opened(self, key: str) -> tuple[Store, bool]:
        """The store that has this picture, and whether it is the dashboard's own.

        Raises:
            UnknownNameError: none has it.
        """
        for place in (self.store, *self.beside):
            with contextlib.suppress(StoreError):
                store = _opened(place, self.folder if place == self.store else "")
                if store.renders_of([key]):
                    return store, place == self.store
        raise UnknownNameError(f"no picture in the store has the key {key!r}")

    def writable(self) -> Store:
        """A connection of its own, to be closed at once."""
        return Store(
            self.store,
            pictures=Path(self.folder) if self.folder else None,
            wait_seconds=PATIENCE_SECONDS,
        )


@functools.cache
def _opened(place: str, folder: str) -> Store:
    return Store(place, pictures=Path(folder) if folder else None, read_only=True)


@dataclass(frozen=True)
class JudgedBy:
    """By whom, from what score on, and as a picture of which pair it is judged."""

    checker: str
    threshold: float
    pair: str

    @classmethod
    def of(cls, query: Mapping[str, str]) -> JudgedBy:
        """As the page's address says.

        Raises:
            ConfigError: the threshold is no number.
        """
        try:
            threshold = float(query.get("threshold", "0.5"))
        except ValueError as error:
            raise ConfigError("the threshold in this address is no number") from error
        return cls(query.get("checker", ""), threshold, query.get("pair", ""))


def routes(
    store: str, folder: str = "", beside: Sequence[str] = (), *, may_write: bool = True
) -> list[Route]:
    """The addresses under which a picture's record is read, and a word on it is kept."""
    places = Places(store, folder, tuple(beside), may_write)

    async def read(request: Request) -> JSONResponse:
        return await _answered(
            lambda: said(places, request.path_params["key"], JudgedBy.of(request.query_params))
        )

    async def write(request: Request) -> JSONResponse:
        if request.headers.get("content-type", "").split(";")[0] != "application/json":
            return _refused("A word comes as JSON.", 415)
        if not may_write:
            return _refused(
                "This dashboard was started with --no-labels: words can be read, not left.", 403
            )
        body = await request.body()
        key, judge = request.path_params.get("key"), JudgedBy.of(request.query_params)

        def kept() -> dict[str, Any]:
            if key is None:
                return {"kept": keep_answers(places, _read(body))}
            keep(places, key, _read(body))
            return said(places, key, judge)

        return await _answered(kept)

    return [
        Route("/said/{key}", read, methods=["GET"]),
        Route("/word/{key}", write, methods=["POST"]),
        Route("/answers", write, methods=["POST"]),
    ]


async def _answered(answer: Callable[[], dict[str, Any]]) -> JSONResponse:
    try:
        found = await run_in_threadpool(answer)
    except UserError as error:
        sentence = str(error)
        status = 404 if isinstance(error, UnknownNameError) else 400
        return _refused(f"{sentence[:1].upper()}{sentence[1:]}.", status)
    return JSONResponse(found, headers={"cache-control": "no-store"})


def _refused(sentence: str, status: int) -> JSONResponse:
    logging.getLogger("lcmis.dashboard").info("refused: %s", letters.visible(sentence))
    shown = {"sentence": letters.visible(sentence)}
    return JSONResponse(shown, status, headers={"cache-control": "no-store"})


def _read(body: bytes) -> dict[str, Any]:
    if len(body) > LONGEST_BODY:
        raise ConfigError("this word is too long: write a shorter one")
    try:
        found = json.loads(body)
    except ValueError as error:
        raise ConfigError(f"what came is no JSON ({error}): load the page again") from error
    if not isinstance(found, dict):
        raise ConfigError("what came is no word: load the page again")
    return found


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


def said(places: Places, key: str, judge: JudgedBy) -> dict[str, Any]:
    """All that is known of one picture, in the types of JSON; texts are harmless.

    Raises:
        UnknownNameError: no store has this picture.
    """
    store, own = places.opened(key)
    spec, render = store.render(key)
    scores = store.scores(key)
    pair = _pair(store, key, judge.pair)
    items = [] if pair is None else store.evidence(judge.checker, pair=pair.key)
    mine = next((item for item in items if item.spec_key == key), None)
    verdict = _verdict(mine, pair, judge.threshold)
    name = words.short_name(spec.model)
    return {
        "key": key,
        "sha256": render.sha256,
        "fault": _fault(store, render),
        "prompt": _shown(spec.prompt),
        "alt": _shown(f"{spec.prompt}, {name}, seed {spec.seed}: {verdict}"),
        "model": _shown(name),
        "seed": str(spec.seed),
        "size": f"{spec.width} × {spec.height}",
        "verdict": _shown(verdict),
        "how": "" if mine is None or pair is None or mine.refused else _shown(_how(mine, pair)),
        "may_write": places.may_write and own,
        "questions": _questions(store, key, pair, scores, judge),
        "answers": [_answer(question, score, pair) for question, score in scores],
        "boxes": _boxes(scores, judge),
        "same_seed": _same_seed(store, spec, items),
        "links": _links(key, pair, judge),
        **_words(store, key),
    }


def _shown(text: str) -> str:
    return letters.visible(text)


def _fault(store: Store, render: Render) -> str:
    if render.refusal:
        return _shown(f"Refused by the model: {render.refusal}")
    return shots.fault(store, render, pixels=False)


def _pair(store: Store, key: str, wanted: str) -> ConceptPair | None:
    """The pair that the page is about, if the picture is one of its; else its first."""
    keys = store.pairs_of(key)
    if not keys:
        return None
    return store.pair(wanted if wanted in keys else keys[0])


def _verdict(item: Evidence | None, pair: ConceptPair | None, threshold: float) -> str:
    if item is None or pair is None or not opinions.is_audited(item.model):
        return ""
    if not item.scored and not item.refused:
        return words.verdict(Verdict.UNSCORED, pair)
    return words.verdict(findings.verdict_of(item, threshold), pair)


def _how(item: Evidence, pair: ConceptPair) -> str:
    return f"{pair.a.name} {words.score(item.a)}, {pair.b.name} {words.score(item.b)}"


def _questions(
    store: Store,
    key: str,
    pair: ConceptPair | None,
    scores: Sequence[tuple[Question, Score]],
    judge: JudgedBy,
) -> list[dict[str, Any]]:
    """What a person can say of it, what the checker said, and what people have."""
    if pair is None:
        return []
    found = labels.readings(store.labels(render=key))
    asked = labelling.questions_of(pair, [question for question, _ in scores])
    denied = {one.question for one in found if one.answers[-1] == NO}
    told = []
    for kind, question in asked.items():
        presence = _presence_of(kind)
        if presence is not None and presence in asked and asked[presence].key not in denied:
            continue  # what stands in its place is asked only of what is missing
        first = next(
            (
                score.answer
                for one, score in scores
                if score.checker == judge.checker and one.key == question.key
            ),
            None,
        )
        says = "" if first is None or first.value is None else words.score(first.value)
        thinks = None
        if says and first is not None and first.value is not None and presence is None:
            thinks = YES if first.value >= judge.threshold else NO
            says = f"{words.short_name(judge.checker)} says {thinks}, {says}"
        elif says and first is not None:
            says = f"{words.short_name(judge.checker)} says {first.option}, {says}"
        told.append(
            {
                "key": question.key,
                "words": _shown(f"{looks.question_words(kind, pair)}?"),
                "checker": _shown(says),
                "answers": [_offered(answer, thinks) for answer in labels.allowed(question)],
                "labels": [
                    {
                        "rater": _shown(one.rater),
                        "answer": one.answers[-1],
                        "words": _shown(ANSWERS.get(one.answers[-1], one.answers[-1])),
                    }
                    for one in found
                    if one.question == question.key
                ],
            }
        )
    return told


def _offered(answer: str, thinks: str | None) -> dict[str, str | bool]:
    """One answer to press; ``thinks`` is what the checker takes for true."""
    wrong = thinks is not None and answer in (YES, NO) and answer != thinks
    told = ANSWERS.get(answer, answer)
    return {
        "value": answer,
        "words": _shown(f"{told}: the checker is wrong" if wrong else told),
        "wrong": wrong,
    }


def _presence_of(kind: QuestionKind) -> QuestionKind | None:
    return {
        QuestionKind.INTRUDER_A: QuestionKind.A_PRESENT,
        QuestionKind.INTRUDER_B: QuestionKind.B_PRESENT,
    }.get(kind)


def _answer(question: Question, score: Score, pair: ConceptPair | None) -> dict[str, str]:
    asked = looks.question_words(question.kind, pair, question.text) if pair else question.kind
    given = score.answer
    return {
        "checker": _shown(words.short_name(score.checker)),
        "question": _shown(asked),
        "answer": _shown(given.option or ("" if question.kind.is_choice else "yes")),
        "score": words.score(given.value) if given.value is not None else _shown(given.reason),
    }


def _boxes(
    scores: Sequence[tuple[Question, Score]], judge: JudgedBy
) -> list[dict[str, str | float | bool]]:
    """What a detector framed: the chosen checker's where it is one, else the first detector's."""
    by_checker = by_detector(scores)
    mine = by_checker.get(judge.checker) or next(iter(by_checker.values()), [])
    return [
        {
            "left": frame.box.left,
            "top": frame.box.top,
            "right": frame.box.right,
            "bottom": frame.box.bottom,
            "label": letters.visible(frame.label, longest=boxes.LONGEST),
            "colour": boxes.COLOURS[frame.kind],
            "sure": frame.is_sure,
        }
        for frame in frames(mine, judge.threshold)
    ]


def _same_seed(store: Store, spec: RenderSpec, items: Sequence[Evidence]) -> list[dict[str, str]]:
    """Every model's picture of this pair and seed, drawn in as many stages or as few."""
    staged = len(spec.stages) > 1
    keys = [
        item.spec_key
        for item in items
        if item.seed == spec.seed and item.staged == staged and opinions.is_audited(item.model)
    ]
    drawn = store.renders_of(keys)
    return [
        {"key": key, "sha256": drawn[key][1].sha256, "model": _shown(drawn[key][0].model)}
        for key in keys
    ]


def _links(key: str, pair: ConceptPair | None, judge: JudgedBy) -> list[dict[str, str]]:
    controls = {"checker": judge.checker, "threshold": f"{judge.threshold:g}"}
    kept = {name: value for name, value in controls.items() if value}
    of_pair = {"pair": pair.key} if pair else {}
    links = [("Its record", "picture", {**kept, **of_pair, "picture": key})]
    if pair:
        links.append(("Its pair", "pair", {**kept, **of_pair}))
    return [
        {"words": name, "address": f"/{page}?{urlencode(query)}"} for name, page, query in links
    ]


def _words(store: Store, key: str) -> dict[str, Any]:
    standing = notes.standing(store.notes(About.PICTURE, key))
    tags: dict[str, list[str]] = {}
    for note in standing:
        if note.kind is NoteKind.TAG:
            tags.setdefault(note.text, []).append(note.key)
    comments = [note for note in standing if note.kind is NoteKind.COMMENT]
    stars = sorted({note.rater for note in standing if note.kind is NoteKind.STAR})
    return {
        "stars": [_shown(rater) for rater in stars],
        "tags": [{"text": _shown(text), "keys": keys} for text, keys in sorted(tags.items())],
        "known_tags": [_shown(tag) for tag in store.tags()],
        "num_comments": len(comments),
        "comments": [
            {
                "key": note.key,
                "text": letters.harmless(note.text),
                "rater": _shown(note.rater),
                "at": words.moment(note.at),
            }
            for note in comments[-COMMENTS:]
        ],
        "marks": marks(len(stars), sorted(tags), len(comments)),
    }


def marks(stars: int, tags: Sequence[str], comments: int) -> str:
    """What people left on something, in as few letters as stand beneath a picture."""
    told = ["★" * min(stars, 3)] if stars else []
    if comments:
        told.append(f"{words.several(comments, 'comment')}")
    told += [f"#{tag}" for tag in tags]
    return _shown(" ".join(told))


# ── writing ──────────────────────────────────────────────────────────────────────────────────────


def keep(places: Places, key: str, word: Mapping[str, Any]) -> None:
    """Keep one word on a picture: a label, a star, a tag or a comment; or take some back.

    Raises:
        ConfigError: it is no word that can be kept.
        UnknownNameError: it is about nothing that this store has.
        StoreError: it cannot be written; the sentence says why.
    """
    rater, what = _text(word, "rater"), _text(word, "what")
    with places.writable() as store:
        match what:
            case "label":
                _label(store, key, _text(word, "question"), _text(word, "answer"), rater)
            case "star" | "tag" | "comment":
                text = "" if what == "star" else _text(word, "text")
                one = notes.written(About.PICTURE, key, NoteKind(what), text, rater)
                store.add_notes([one])
            case "unstar":
                _withdraw(
                    store,
                    key,
                    rater,
                    lambda note: (
                        note.kind is NoteKind.STAR and note.rater == labels.rater_name(rater)
                    ),
                )
            case "withdraw":
                wanted = word.get("note")
                keys = set(map(str, wanted)) if isinstance(wanted, list) else set()
                _withdraw(store, key, rater, lambda note: note.key in keys)
            case _:
                raise ConfigError(f"nothing can be done about {what!r}: load the page again")


def keep_answers(places: Places, word: Mapping[str, Any]) -> int:
    """Keep one rater's answers to one question about many pictures, all or none.

    A picture that he has answered meanwhile, in another window, keeps that answer.

    Returns:
        How many were kept.

    Raises:
        ConfigError: they are no answers to this question.
        UnknownNameError: a picture or the question is not in the store.
        StoreError: they cannot be written; the sentence says why.
    """
    rater, question = labels.rater_name(_text(word, "rater")), _text(word, "question")
    given = word.get("answers")
    if not isinstance(given, dict) or not given:
        raise ConfigError("there are no answers in it: load the page again")
    with places.writable() as store:
        allowed = labels.allowed(store.question(question))
        for answer in given.values():
            if answer not in allowed:
                raise ConfigError(
                    f"the answer is {answer!r}, but it is one of {', '.join(allowed)}"
                )
        done = {
            one.render
            for key in given
            for one in labels.readings(store.labels(render=str(key)))
            if (one.rater, one.question) == (rater, question) and not one.unasked
        }
        new = [
            Label(str(key), question, str(answer), rater, labels.now())
            for key, answer in given.items()
            if key not in done
        ]
        store.add_labels(new)
    return len(new)


def _text(word: Mapping[str, Any], name: str) -> str:
    found = word.get(name)
    if not isinstance(found, str):
        raise ConfigError(f"there is no {name} in it: load the page again")
    return found


def _label(store: Store, key: str, question: str, answer: str, rater: str) -> None:
    asked = store.question(question)
    allowed = (*labels.allowed(asked), WITHDRAWN)
    if answer not in allowed:
        raise ConfigError(f"the answer is {answer!r}, but it is one of {', '.join(allowed)}")
    given = Label(key, question, answer, labels.rater_name(rater), "", unasked=True)
    store.add_labels(labels.instead_of(store.labels(render=key), given))


def _withdraw(store: Store, key: str, rater: str, meant: Callable[[Any], bool]) -> None:
    every = store.notes(About.PICTURE, key)
    back = {
        one.withdraws: one
        for note in notes.standing(every)
        if meant(note)
        for one in notes.takes_back(every, note, rater)
    }
    store.add_notes(list(back.values()))
