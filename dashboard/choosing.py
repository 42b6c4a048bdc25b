"""Which pictures of the store a grid shows, and in which order: whole columns at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import opinions
import pandas as pd

from lcmis.findings.labels import Disagreement
from lcmis.findings.notes import Noted
from lcmis.types import About, ConceptPair, Side, Verdict

ANY = "any"
CHECKERS = (ANY, "agree", "disagree")
LABELS = {
    ANY: "any",
    "labelled": "labelled",
    "unlabelled": "not labelled",
    "right": "right, say people",
    "wrong": "wrong, say people",
    "mistaken": "the checker is wrong",
    "disputed": "people disagree",
}
KINDS = {
    "audit": "of the audit",
    "repair": "of repairs",
    "control": "controls",
    "all": "every picture",
}
ORDERS = {
    "pairs": "pair by pair",
    "worst": "lowest score first",
    "best": "highest score first",
    "near": "nearest to the threshold first",
    "worth": "what a label is worth",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a grid was asked for; whatever is empty lets all pass."""

    text: str = ""
    models: tuple[str, ...] = ()
    verdicts: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    intruders: tuple[str, ...] = ()
    checkers: str = ANY
    low: float = 0.0
    high: float = 1.0
    """Of the score of the concept that is shown less."""
    labels: str = ANY
    tags: tuple[str, ...] = ()
    starred: bool = False
    commented: bool = False
    said: str = ""
    """Words in a comment."""
    order: str = "pairs"

    @property
    def of_people(self) -> bool:
        """Whether it hangs on what people said."""
        return bool(self.labels != ANY or self.tags or self.starred or self.commented or self.said)


@dataclass(frozen=True)
class People:
    """What people said of pictures."""

    right: Mapping[tuple[str, str], bool | None]
    """(Picture, pair) → whether both concepts are there, of every picture with a label; None
    where they cannot tell."""
    seen: Mapping[tuple[str, str], tuple[bool | None, bool | None]]
    """The same, concept by concept."""
    disputed: frozenset[str]
    """Pictures on which raters differ, while nobody settled it."""
    noted: Mapping[tuple[About, str], Noted] = field(default_factory=dict)


def disputed(found: Sequence[Disagreement]) -> frozenset[str]:
    """Pictures of disagreements that nobody settled."""
    return frozenset(one.render for one in found if not one.settled)


def worse(pictures: pd.DataFrame) -> npt.NDArray[np.float64]:
    """The score of the concept that is shown less; NaN unless both are known."""
    found: npt.NDArray[np.float64] = np.minimum(
        pictures["a"].to_numpy(float), pictures["b"].to_numpy(float)
    )
    return found


def chosen(
    pictures: pd.DataFrame,
    wanted: Wanted,
    pairs: Mapping[str, ConceptPair],
    people: People,
    *,
    threshold: float,
    agreed: Collection[str] = (),
    differing: Collection[str] = (),
    worth: Mapping[tuple[str, str], int] | None = None,
) -> npt.NDArray[np.int64]:
    """Places of the rows that pass every filter, in the order that was asked for.

    Args:
        pictures: As :func:`opinions.judged` gives them.
        wanted: The filters.
        pairs: By their keys.
        people: What people said.
        threshold: Score from which a concept counts as present.
        agreed: Pictures that several checkers judged alike.
        differing: Those that some checker sees differently.
        worth: (Picture, pair) → its place in the order of what a label is worth.
    """
    keep = np.ones(len(pictures), dtype=bool)
    keep &= _of_pairs(pictures, wanted, pairs)
    if wanted.models:
        keep &= pictures["model"].isin(wanted.models).to_numpy()
    if wanted.verdicts:
        keep &= pictures["verdict"].isin(wanted.verdicts).to_numpy()
    if wanted.intruders:
        instead = opinions.painted_instead(pictures, pairs)
        rows = instead.loc[instead["painted"].isin(wanted.intruders), "row"].to_numpy(np.int64)
        keep &= np.isin(np.arange(len(pictures)), rows)
    if wanted.checkers != ANY:
        keys = differing if wanted.checkers == "disagree" else agreed
        keep &= pictures["spec_key"].isin(list(keys)).to_numpy()
    score = worse(pictures)
    if (wanted.low, wanted.high) != (0.0, 1.0):
        keep &= (score >= wanted.low) & (score <= wanted.high)  # what has no score passes none
    if wanted.of_people:
        places = np.flatnonzero(keep)
        keep[places] &= _said_by_people(pictures.iloc[places], wanted, people, threshold)
    found = np.flatnonzero(keep)
    match wanted.order:
        case "worst":
            found = found[np.argsort(score[found], kind="stable")]  # NaN comes last
        case "best":
            found = found[np.argsort(-score[found], kind="stable")]
        case "near":
            found = found[np.argsort(np.abs(score[found] - threshold), kind="stable")]
        case "worth":
            found = _by_worth(pictures, found, worth or {})
    return found.astype(np.int64)


def _of_pairs(
    pictures: pd.DataFrame, wanted: Wanted, pairs: Mapping[str, ConceptPair]
) -> npt.NDArray[np.bool_]:
    """Of a hundred thousand pictures each pair is looked at once."""
    words = wanted.text.casefold().split()
    passes = []
    for key in pictures["pair_key"].cat.categories:
        pair = pairs.get(key)
        told = "" if pair is None else f"{pair.prompt}\n{pair.pattern}\n{key}".casefold()
        fits = all(word in told for word in words)
        passes.append(
            fits and (not wanted.patterns or (pair is not None and pair.pattern in wanted.patterns))
        )
    found: npt.NDArray[np.bool_] = np.array([*passes, False])[pictures["pair_key"].cat.codes]
    return found


def _said_by_people(
    pictures: pd.DataFrame, wanted: Wanted, people: People, threshold: float
) -> npt.NDArray[np.bool_]:
    keys = pictures["spec_key"].to_numpy(object)
    keep = np.ones(len(pictures), dtype=bool)
    if wanted.labels == "disputed":
        keep &= pictures["spec_key"].isin(list(people.disputed)).to_numpy()
    elif wanted.labels != ANY:
        labelled = {place[0] for place in people.right}
        has = pictures["spec_key"].isin(list(labelled)).to_numpy()
        keep &= ~has if wanted.labels == "unlabelled" else has
        if wanted.labels in ("right", "wrong", "mistaken"):
            for row in np.flatnonzero(keep):
                keep[row] = _is(wanted.labels, pictures.iloc[row], people, threshold)
    if wanted.tags or wanted.starred or wanted.commented or wanted.said:
        said = wanted.said.casefold().split()
        fit = {
            subject
            for (about, subject), noted in people.noted.items()
            if about is About.PICTURE and _fits(noted, wanted, said)
        }
        keep &= np.fromiter((key in fit for key in keys), dtype=bool, count=len(keys))
    return keep


def _is(what: str, picture: pd.Series, people: People, threshold: float) -> bool:
    place = (picture["spec_key"], picture["pair_key"])
    if what != "mistaken":
        return people.right.get(place) is (what == "right")
    return any(
        truth is not None and not np.isnan(value) and truth != (value >= threshold)
        for truth, value in zip(
            people.seen.get(place, (None, None)), (picture["a"], picture["b"]), strict=True
        )
    )


def _fits(noted: Noted, wanted: Wanted, said: Sequence[str]) -> bool:
    text = "\n".join(note.text for note in noted.comments).casefold()
    return (
        set(wanted.tags) <= set(noted.tags)
        and (not wanted.starred or bool(noted.stars))
        and (not wanted.commented or bool(noted.comments))
        and all(word in text for word in said)
    )


def _by_worth(
    pictures: pd.DataFrame,
    found: npt.NDArray[np.int64],
    worth: Mapping[tuple[str, str], int],
) -> npt.NDArray[np.int64]:
    keys = pictures["spec_key"].to_numpy(object)[found]
    pair_keys = pictures["pair_key"].astype(object).to_numpy()[found]
    last = len(worth)
    places = np.fromiter(
        (worth.get(place, last) for place in zip(keys, pair_keys, strict=True)),
        dtype=np.int64,
        count=len(found),
    )
    ordered: npt.NDArray[np.int64] = found[np.argsort(places, kind="stable")]
    return ordered


def intruders(pictures: pd.DataFrame, pairs: Mapping[str, ConceptPair]) -> list[str]:
    """Names of what is painted instead anywhere, the commonest first."""
    counts = opinions.painted_instead(pictures, pairs)["painted"].value_counts()
    return [str(name) for name in counts.index[counts.to_numpy() > 0]]


def start(keys: Sequence[str] | npt.NDArray[np.object_], first: str) -> int:
    """Where the page begins that begins with this picture; 0 where it is not among them."""
    if not first:
        return 0
    places = np.flatnonzero(np.asarray(keys, dtype=object) == first)
    return int(places[0]) if len(places) else 0


def lacking(verdict: Verdict) -> list[Side]:
    """The concepts that a picture of this verdict lacks."""
    both = {Verdict.A_MISSING: [Side.A], Verdict.B_MISSING: [Side.B]}
    return list(Side) if verdict is Verdict.BOTH_MISSING else both.get(verdict, [])
