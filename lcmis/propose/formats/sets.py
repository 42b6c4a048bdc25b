"""What other people's sets say: which fields each has, and which two concepts they ask for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from lcmis.errors import ConfigError
from lcmis.plugins import registry
from lcmis.propose.catalogue import names_both, pair_of_record
from lcmis.propose.formats.phrases import NoPairError, listed, read_off, two_of
from lcmis.propose.formats.rows import WHOLE, Container
from lcmis.text.words import one_line, places, singulars, without_article
from lcmis.types import Concept, ConceptPair

Fields = Mapping[str, Any]
"""One row, as its file names things."""


class UnreadableError(ValueError):
    """A row that is not what its format says: why, in words that group like cases."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Format:
    """One way in which people write sets of prompts: the fields of a row, and the two concepts that
    a prompt asks for.
    """

    name: str
    """For ``--format``, and in the registry."""
    title: str
    """As messages call it."""
    has: tuple[str, ...]
    """Fields by which a row is known to be of this format."""
    concepts: Callable[[str, Sequence[Fields]], tuple[Concept, Concept]]
    """The two concepts of a prompt and its rows; raises :class:`NoPairError` with the reason."""
    prompt: str = "prompt"
    """The field that holds the prompt."""
    group: str = ""
    """The field that several rows of one prompt share; empty where a row is a prompt."""
    pattern: str = ""
    """The field that says of what kind a prompt is."""
    container: Container | None = None
    """Where rows lie in one kind of file only."""
    licence: str = ""
    """Of the published set, as far as it is known: a file of this format may be another's."""

    def fits(self, fields: Fields) -> bool:
        """Whether a row has the fields of this format."""
        return all(name in fields for name in self.has)

    def prompt_of(self, fields: Fields) -> str:
        """What a row asks for, on one line.

        Raises:
            UnreadableError: it asks for nothing, or a field of the format is not there.
        """
        for name in () if WHOLE in fields else self.has:
            if name not in fields:
                raise UnreadableError(f"the field {name!r} is missing")
        whole = fields.get(WHOLE, {})
        if not isinstance(whole, Mapping):
            raise UnreadableError(f"the field {WHOLE!r} holds no pair", repr(whole)[:40])
        text = whole.get("prompt") if whole else fields.get(self.prompt)
        if text is None:
            raise UnreadableError(f"the field {self.prompt!r} is missing or empty")
        if not isinstance(text, str):
            raise UnreadableError(f"the field {self.prompt!r} is no text")
        if self is T2I_COMPBENCH:
            text = text.partition("\t")[0]  # as its own generator cuts it
        text = listed(text) if self is TEXT and not whole else text.strip()
        if not text:
            raise UnreadableError("an empty prompt")
        if len(text) > LONGEST_PROMPT:
            raise UnreadableError(f"a prompt of more than {LONGEST_PROMPT:,} letters")
        if not text.isprintable():
            odd = next(letter for letter in text if not letter.isprintable())
            raise UnreadableError("a letter that cannot be printed", f"U+{ord(odd):04X}")
        return text


LONGEST_PROMPT = 2_000
"""Letters: more than any text encoder reads."""


# ── concepts that the rows name ──────────────────────────────────────────────────────────────────


def _first_and_second(prompt: str, rows: Sequence[Fields]) -> tuple[Concept, Concept]:
    (fields,) = rows
    concepts = tuple(
        Concept(
            without_article(_text(fields, f"{place}_prompt")),
            _description(fields, f"{place}_describe"),
        )
        for place in ("first", "second")
    )
    a, b = concepts
    if a.name.casefold() == b.name.casefold():
        raise NoPairError("asks for one thing only", a.name)
    if not names_both(prompt, a, b):
        raise NoPairError("the prompt does not name both, word for word", f"{a.name}, {b.name}")
    return a, b


def _description(fields: Fields, name: str) -> str:
    text = one_line(str(fields.get(name) or ""))
    if not text.isprintable():
        raise NoPairError(f"{name!r} holds a letter that cannot be printed", repr(text)[:40])
    return text


def _included(prompt: str, rows: Sequence[Fields]) -> tuple[Concept, Concept]:
    """GenEval's objects, with the colour where one is asked for."""
    (fields,) = rows
    if fields.get("tag") == "counting":
        raise NoPairError("asks for one thing only", prompt)
    things = []
    for item in _items(fields, "include"):
        if not isinstance(item, Mapping):
            raise NoPairError("'include' holds something that is no object", repr(item)[:40])
        things.append(" ".join(_text(item, name) for name in ("color", "class") if item.get(name)))
    return two_of(things, prompt)


def _asked_about(prompt: str, rows: Sequence[Fields]) -> tuple[Concept, Concept]:
    """GenEval 2: what its questions count or look for, as the prompt has it.

    They ask for ``backpacks`` where the prompt has one, and after its colour or material in a
    question of its own: the name is ``green backpack`` again.
    """
    (fields,) = rows
    asked = [
        " ".join(item[0].split())
        for item in _items(fields, "vqa_list")
        if isinstance(item, list) and item and isinstance(item[0], str)
    ]
    counted = [match["things"] for one in asked if (match := COUNTED.fullmatch(one))]
    names = []
    for things in dict.fromkeys(counted):
        forms = (things, *singulars(things))
        thing = next((form for form in forms if places(prompt, form)), things)
        about = re.compile(
            rf"(?:is|are) the (?:{'|'.join(map(re.escape, forms))}) (.+?)\s*\?", re.I
        )
        said = [match[1] for one in asked if (match := about.fullmatch(one))]
        names.append(_with_what_is_said(prompt, thing, said))
    return two_of(names, prompt)


def _with_what_is_said(prompt: str, thing: str, said: Sequence[str]) -> str:
    """A thing with those of its attributes that stand right before it in the prompt."""
    left = list(said)
    while one := next((one for one in left if one and places(prompt, f"{one} {thing}")), ""):
        thing = f"{one} {thing}"
        left.remove(one)
    return thing


COUNTED = re.compile(
    r"(?:how many|is there an?|are there(?: any)?) (?P<things>.+?)"
    r"(?: are there)?(?: are)?(?: in the (?:image|picture))?\s*\?",
    re.IGNORECASE,
)


def _elements(prompt: str, rows: Sequence[Fields]) -> tuple[Concept, Concept]:
    """TIFA: the elements that are things, with those that say how they look."""
    named = [(str(one.get("element_type")).casefold(), _text(one, "element")) for one in rows]
    looks = list(dict.fromkeys(name for kind, name in named if kind in LOOKS))
    things = dict.fromkeys(name for kind, name in named if kind in THINGS)
    return two_of([_with_what_is_said(prompt, thing, looks) for thing in things], prompt)


THINGS = {"object", "animal/human", "animal", "human", "food", "location"}
LOOKS = {"color", "colour", "shape", "size", "texture", "material", "attribute"}


def _entities(prompt: str, rows: Sequence[Fields]) -> tuple[Concept, Concept]:
    """DSG: the whole entities among its tuples, with the attributes that it gives to each."""
    tuples = [_text(fields, "tuple") for fields in rows]
    found = {match["thing"]: None for one in tuples if (match := ENTITY.search(one))}
    looks = [match for one in tuples if (match := ATTRIBUTE.search(one))]
    return two_of(
        [
            _with_what_is_said(prompt, thing, [one["look"] for one in looks if one["of"] == thing])
            for thing in found
        ],
        prompt,
    )


ENTITY = re.compile(r"entity - (?!part\b)[^(]*\((?P<thing>[^()]+)\)", re.IGNORECASE)
ATTRIBUTE = re.compile(r"attribute - [^(]*\((?P<of>[^(),]+), *(?P<look>[^()]+)\)", re.IGNORECASE)


def _objects(prompt: str, rows: Sequence[Fields]) -> tuple[Concept, Concept]:
    """ConceptMix: the names that stand where the categories say ``object``, with their looks."""
    (fields,) = rows
    categories, skills = _items(fields, "categories"), _items(fields, "skills")
    if len(categories) != len(skills):
        raise NoPairError("'categories' and 'skills' differ in length")
    named: dict[bool, list[str]] = {True: [], False: []}
    for category, skill in zip(categories, skills, strict=True):
        if category != "object" and category not in LOOKS:
            continue
        names = [skill] if isinstance(skill, str) else skill
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise NoPairError("'skills' holds something that is no name")
        named[category == "object"] += names
    looks = named[False]
    return two_of([_with_what_is_said(prompt, thing, looks) for thing in named[True]], prompt)


def _off_the_prompt(prompt: str, rows: Sequence[Fields]) -> tuple[Concept, Concept]:
    return read_off(prompt)


def _no_plural(prompt: str, rows: Sequence[Fields]) -> tuple[Concept, Concept]:
    if re.fullmatch(r"[\w ]+ - [\w ]+", prompt):
        raise NoPairError("a word and its plural, no prompt", prompt)
    return read_off(prompt)


def _text(fields: Fields, name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value.strip() or not value.strip().isprintable():
        raise NoPairError(f"{name!r} is no name", repr(value)[:40])
    return value.strip()


def _items(fields: Fields, name: str) -> list[Any]:
    value = fields.get(name)
    if not isinstance(value, list):
        raise NoPairError(f"{name!r} is no list", repr(value)[:40])
    return value


# ── the formats ──────────────────────────────────────────────────────────────────────────────────

PAIRS = Format(
    "pairs", "pairs in lcmis's own columns a, b and prompt", ("a", "b", "prompt"), _off_the_prompt
)
"""Pairs in lcmis's own columns: a, b, prompt and whatever else a pair may have."""
LC_MIS = Format("lc-mis", "LC-Mis", ("prompt", "first_prompt", "second_prompt"), _first_and_second)
"""LC-Mis: prompts with the two concepts and how each looks."""
GENEVAL = Format(
    "geneval", "GenEval", ("prompt", "include"), _included, pattern="tag", licence="MIT"
)
"""GenEval: prompts with the objects that a detector looks for."""
GENEVAL_2 = Format(
    "geneval2", "GenEval 2", ("prompt", "vqa_list"), _asked_about, licence="CC BY-NC 4.0"
)
"""GenEval 2: prompts with questions about what they count or show."""
TIFA = Format(
    "tifa",
    "TIFA questions",
    ("id", "caption", "element_type", "element"),
    _elements,
    prompt="caption",
    group="id",
    licence="Apache-2.0",
)
"""TIFA: a row a question, several of one caption."""
TIFA_TEXT = Format(
    "tifa-text",
    "TIFA text inputs",
    ("id", "caption"),
    _off_the_prompt,
    prompt="caption",
    licence="Apache-2.0",
)
"""TIFA: its captions alone."""
DSG = Format(
    "dsg",
    "DSG",
    ("item_id", "text", "tuple"),
    _entities,
    prompt="text",
    group="item_id",
    licence="Apache-2.0",
)
"""Davidsonian Scene Graph: a row a tuple, several of one text."""
GENAI_BENCH = Format(
    "genai-bench",
    "GenAI-Bench",
    ("id", "prompt", "models"),
    _off_the_prompt,
    licence="Apache-2.0",
)
"""GenAI-Bench: prompts with ratings of several models."""
CONCEPTMIX = Format(
    "conceptmix",
    "ConceptMix",
    ("sentence", "categories", "skills"),
    _objects,
    prompt="sentence",
    licence="MIT",
)
"""ConceptMix: sentences with the categories they mix."""
EVALSCOPE = Format(
    "evalscope", "EvalScope", ("prompt", "image_path"), _off_the_prompt, pattern="category"
)
"""EvalScope: prompts with the pictures that answer them."""
CARRIED = Format(
    "whole-pairs", "lcmis's own files, which carry whole pairs", (WHOLE,), _off_the_prompt
)
"""Files of lcmis itself, whatever their layout: the whole pair goes along."""


def column_of_prompts(name: str) -> Format:
    """Rows of which one column holds the prompts, and the others say nothing that is read."""
    return Format(
        "prompts", "a column of prompts", (name,), _off_the_prompt, name, pattern="category"
    )


PROMPTS = column_of_prompts("prompt")
"""A table or JSON with a column of prompts."""
T2I_COMPBENCH = Format(
    "t2i-compbench",
    "T2I-CompBench",
    (),
    _no_plural,
    container=Container.TEXT,
    licence="MIT",
)
"""T2I-CompBench: text files, a prompt a line, named after their category."""
TEXT = Format("text", "a prompt a line", (), _off_the_prompt, container=Container.TEXT)
"""Text, a prompt a line."""


@cache
def formats() -> tuple[Format, ...]:
    """Every registered format, in the order in which files are recognised.

    Those of other packages come behind ours that need two fields and more, and before ours that
    need fewer: they take no file from a published set, and are not taken for a column of prompts.

    Raises:
        ConfigError: a package registers a format under a name that the format does not have.
    """
    ours: list[Format] = []
    others: list[Format] = []
    for name in registry.names("importers"):
        found = registry.load("importers", name)
        several = found if isinstance(found, tuple) else (found,)
        if wrong := [one.name for one in several if one.name != name]:
            raise ConfigError(
                f"the importer {name!r} calls itself {wrong[0]!r}: its author must write one name "
                f"in both places; uninstall its package until then"
            )
        (ours if name in registry.BUILT_IN["importers"] else others).extend(several)
    telling = [one for one in ours if one is CARRIED or len(one.has) > 1]
    return (*telling, *others, *(one for one in ours if one not in telling))


def own_pair(fields: Fields, name: str) -> ConceptPair:
    """A row in lcmis's own columns.

    Raises:
        UnreadableError: what is wrong with it.
    """
    try:
        return pair_of_record(fields, "", name)
    except ConfigError as error:
        raise UnreadableError(str(error).removeprefix(": ")) from error
