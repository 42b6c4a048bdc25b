"""Other people's prompt sets: recognised by content, every line read or named with a reason."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lcmis.errors import ConfigError, UnknownNameError
from lcmis.propose.formats import Line, open_set, pairs_in
from lcmis.propose.formats.outcomes import Outcome
from lcmis.propose.formats.phrases import NoPairError, read_off
from lcmis.propose.formats.rows import LONGEST_LINE, Container, container_of

# ── small sets in the peers' own ways of writing, with prompts of ours ───────────────────────────

LC_MIS = {
    "prompt0": {
        "prompt": "A tea cup of iced coke.",
        "first_prompt": "tea cup",
        "first_describe": "Small, handle-equipped ceramic vessel.",
        "second_prompt": "iced coke",
        "second_describe": "A dark brown liquid containing ice cubes.",
        "level": 5,
    },
    "prompt1": {
        "prompt": "A mug of tea.",
        "first_prompt": "wine glass",
        "first_describe": "",
        "second_prompt": "tea",
        "second_describe": "",
    },
}
GENEVAL = [
    {
        "tag": "two_object",
        "include": [{"class": "bench", "count": 1}, {"class": "sports ball", "count": 1}],
        "prompt": "a photo of a bench and a sports ball",
    },
    {
        "tag": "counting",
        "include": [{"class": "cup", "count": 3}],
        "exclude": [{"class": "cup", "count": 4}],
        "prompt": "a photo of three cups",
    },
    {
        "tag": "color_attr",
        "include": [
            {"class": "wine glass", "count": 1, "color": "purple"},
            {"class": "apple", "count": 1, "color": "black"},
        ],
        "prompt": "a photo of a purple wine glass and a black apple",
    },
    {
        "tag": "position",
        "include": [
            {"class": "teddy bear", "count": 1},
            {"class": "dog", "count": 1, "position": ["right of", 0]},
        ],
        "prompt": "a photo of a dog right of a teddy bear",
    },
    {
        "tag": "single_object",
        "include": [{"class": "bench", "count": 1}],
        "prompt": "a photo of a bench",
    },
]
GENEVAL2 = [
    {
        "prompt": "four white bicycles in front of three plastic cows",
        "atom_count": 7,
        "vqa_list": [
            ["How many bicycles are in the image?", "four"],
            ["Are the bicycles white?", "Yes"],
            ["Are there any bicycles in the image?", "Yes"],
            ["Are the bicycles in front of the cows?", "Yes"],
            ["Are there any cows in the image?", "Yes"],
        ],
        "skills": ["count", "attribute", "object", "position", "object"],
    }
]


def tifa(identity: str, caption: str, *elements: tuple[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "id": identity,
            "caption": caption,
            "question": f"is there {element}?",
            "choices": ["yes", "no"],
            "answer": "yes",
            "element_type": kind,
            "element": element,
        }
        for kind, element in elements
    ]


TIFA = [
    *tifa(
        "made_1",
        "A cook holds a blue kettle.",
        ("animal/human", "cook"),
        ("object", "kettle"),
        ("object", "kettle"),
        ("color", "blue"),
        ("activity", "holds"),
    ),
    *tifa(
        "made_2",
        "Two owls on a wet roof at night.",
        ("animal/human", "owls"),
        ("location", "roof"),
        ("other", "night"),
        ("counting", "two"),
    ),
    *tifa("made_3", "A quiet lamp.", ("object", "lamp")),
]
DSG = """item_id,text,keywords,proposition_id,dependency,category_broad,category_detailed,tuple,\
question_natural_language
m1,"A red kite over a barn, at dusk",,1,0,entity,whole,entity - whole (kite),Is there a kite?
m1,"A red kite over a barn, at dusk",,2,0,entity,whole,entity - whole (barn),Is there a barn?
m1,"A red kite over a barn, at dusk",,3,1,attribute,color,"attribute - color (kite, red)",Red?
m1,"A red kite over a barn, at dusk",,4,"1,2",relation,,"relation - spatial (kite, barn)",Over?
m2,A stool,,1,0,entity,whole,entity - whole (stool),Is there a stool?
"""
GENAI = {
    "00000": {
        "id": "00000",
        "prompt": "A tortoise on a skateboard",
        "prompt in Chinese": "",
        "models": {"SOME_MODEL": [5, 4, 4]},
    }
}
CONCEPTMIX = [
    {
        "index": 0,
        "sentence": "A tiny spoon lies beside a furry clock.",
        "categories": ["object", "object", "texture"],
        "skills": ["spoon", "clock", "furry"],
        "question": ["Is there a spoon?", "Is there a clock?", "Is it furry?"],
    }
]
EVALSCOPE = [
    {"id": 1, "prompt": "a walrus and a harp", "image_path": "1.png", "category": "animals"},
    {"id": 2, "prompt": "a walrus", "image_path": "2.png"},
]


def lines_of(rows: list[Any]) -> str:
    return "\n".join(json.dumps(row) for row in rows)


def read(folder: Path, name: str, content: str | bytes, **said: Any) -> list[Line]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(open_set(path, **said).lines())


def names(lines: list[Line]) -> list[tuple[str, str]]:
    return [(line.pair.a.name, line.pair.b.name) for line in lines if line.pair]


@pytest.mark.parametrize(
    ("content", "form", "title", "expected"),
    [
        (json.dumps(LC_MIS, indent=2), "lc-mis", "LC-Mis", [("tea cup", "iced coke")]),
        (json.dumps(LC_MIS), "lc-mis", "LC-Mis", [("tea cup", "iced coke")]),
        (json.dumps(list(LC_MIS.values())), "lc-mis", "LC-Mis", [("tea cup", "iced coke")]),
        (
            lines_of(GENEVAL),
            "geneval",
            "GenEval",
            [("bench", "sports ball"), ("purple wine glass", "black apple"), ("teddy bear", "dog")],
        ),
        (lines_of(GENEVAL[:1]), "geneval", "GenEval", [("bench", "sports ball")]),
        (lines_of(GENEVAL2), "geneval2", "GenEval 2", [("white bicycles", "cows")]),
        (
            json.dumps(TIFA, indent=4),
            "tifa",
            "TIFA questions",
            [("cook", "blue kettle"), ("owls", "roof")],
        ),
        (DSG, "dsg", "DSG", [("red kite", "barn")]),
        (json.dumps(GENAI), "genai-bench", "GenAI-Bench", [("tortoise", "skateboard")]),
        (json.dumps(CONCEPTMIX), "conceptmix", "ConceptMix", [("spoon", "furry clock")]),
        (lines_of(EVALSCOPE), "evalscope", "EvalScope", [("walrus", "harp")]),
        ("Prompt\tCategory\na fork and a wig\tArts\n", "prompts", "", [("fork", "wig")]),
        ("id,caption\n1,a fork and a wig\n", "tifa-text", "TIFA text inputs", [("fork", "wig")]),
        ("caption\na fork and a wig\n", "prompts", "", [("fork", "wig")]),
        ("a,b,prompt\nfork,wig,a fork in a wig\n", "pairs", "", [("fork", "wig")]),
    ],
)
def test_a_set_is_known_by_its_content_and_not_by_its_name(
    tmp_path: Path, content: str, form: str, title: str, expected: list[tuple[str, str]]
) -> None:
    path = tmp_path / "whatever.dat"
    path.write_text(content)
    found = open_set(path)
    assert found.format.name == form
    assert title in found.format.title
    assert names(list(found.lines())) == expected


def test_lc_mis_keeps_descriptions_and_the_order_of_its_concepts(tmp_path: Path) -> None:
    good, bad = read(tmp_path, "prompt.json", json.dumps(LC_MIS, indent=2))
    assert good.pair is not None
    assert good.pair.a.description == "Small, handle-equipped ceramic vessel."
    assert good.pair.b.name == "iced coke"
    assert (good.number, bad.number) == (2, 10)
    assert bad.outcome is Outcome.NO_PAIR
    assert bad.reason == "the prompt does not name both, word for word"


def test_compbench_text_is_read_whatever_its_line_ends(tmp_path: Path) -> None:
    text = b"a green bench and a blue bowl\r\na red car\rcat - cats\na fox and a drum\tleft"
    found = read(tmp_path, "color_val.txt", text)
    assert [line.outcome for line in found] == ["pair", "no pair", "no pair", "pair"]
    assert [line.number for line in found] == [1, 2, 3, 4]
    assert found[0].pair is not None
    assert found[0].pair.pattern == "color"
    assert found[2].reason == "a word and its plural, no prompt"
    assert found[3].prompt == "a fox and a drum"


def test_licence_and_source_are_kept_and_unknown_stays_unknown(tmp_path: Path) -> None:
    (line, *_) = read(tmp_path, "m.jsonl", lines_of(GENEVAL))
    assert line.pair is not None
    assert line.pair.licence == "MIT, if this is the published set"
    assert line.pair.source == "GenEval, m.jsonl"
    (line, *_) = read(tmp_path, "m.jsonl", lines_of(GENEVAL), licence="CC0", source="me")
    assert line.pair is not None
    assert (line.pair.licence, line.pair.source) == ("CC0", "me")
    (line,) = read(tmp_path, "p.txt", "a fork and a wig")
    assert line.pair is not None
    assert line.pair.licence == ""


def test_rows_of_one_prompt_are_one_pair_and_parts_of_it(tmp_path: Path) -> None:
    found = read(tmp_path, "dsg.csv", DSG)
    assert Counter(line.outcome for line in found) == {"pair": 1, "part": 3, "no pair": 1}
    assert len(found) == 5
    assert {line.number for line in found} == {2, 3, 4, 5, 6}


# ── two concepts off a prompt ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("prompt", "a", "b"),
    [
        ("a green bench and a blue bowl", "green bench", "blue bowl"),
        ("A tea cup of iced coke.", "tea cup", "iced coke"),
        ("a photo of a dog right of a teddy bear", "dog", "teddy bear"),
        ("an oil painting of a cat on the left of a dog", "cat", "dog"),
        ("two books and three cats", "books", "cats"),
        ("The leather jacket and fluffy blanket", "leather jacket", "fluffy blanket"),
        ("a man riding a horse", "man", "horse"),
        ("A cat is sitting on the sofa", "cat", "sofa"),
        ("a pair of shoes next to a box", "pair of shoes", "box"),
        ("a tall building near a tree", "tall building", "tree"),
        ("a rabbit hidden by a box", "rabbit", "box"),
        ("a top hat and a left shoe", "top hat", "left shoe"),
        ("a woman with her dog", "woman", "dog"),
    ],
)
def test_two_concepts_are_read_off_a_prompt_that_joins_two_things(
    prompt: str, a: str, b: str
) -> None:
    assert tuple(concept.name for concept in read_off(prompt)) == (a, b)


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("a dog", "one thing only"),
        ("a dog and a dog", "one thing only"),
        ("a dog and a cat in a park", "more than two things"),
        ("a black and white cat", "an adjective where a thing"),
        ("the dog is brown", "how one thing is"),
        ("a table without a chair", "a negation"),
        ("a red apple, a green pear", "a mark divides it"),
        ("a bowl of", "ends where a second thing"),
        ("on a gray day a surfer walks", "a sentence"),
        ("something that nobody could ever call by only one name", "a sentence"),
        ("and", "a sentence"),
    ],
)
def test_a_prompt_of_another_form_says_why_it_is_no_pair(prompt: str, reason: str) -> None:
    with pytest.raises(NoPairError, match=reason):
        read_off(prompt)


NOUNS = st.sampled_from(["drum", "fox", "tea cup", "harp", "fishing rod", "walrus", "paper boat"])


@given(
    a=NOUNS,
    b=NOUNS,
    joint=st.sampled_from(["and", "in", "next to", "on top of", "holding", "to the left of"]),
    lead=st.sampled_from(["", "a photo of ", "an image of "]),
    end=st.sampled_from(["", "."]),
)
def test_what_was_joined_is_read_off_again(a: str, b: str, joint: str, lead: str, end: str) -> None:
    prompt = f"{lead}a {a} {joint} the {b}{end}"
    if a == b:
        with pytest.raises(NoPairError):
            read_off(prompt)
    else:
        assert tuple(concept.name for concept in read_off(prompt)) == (a, b)


@given(st.text(alphabet=" abgin'.,-and of the a is", max_size=60))
def test_whatever_a_prompt_says_it_names_both_concepts_or_gives_a_reason(prompt: str) -> None:
    try:
        a, b = read_off(prompt)
    except NoPairError:
        pass
    else:
        assert a.name.casefold() in prompt.casefold()
        assert b.name.casefold() in prompt.casefold()
        assert a.name.casefold() != b.name.casefold()


# ── bad input ────────────────────────────────────────────────────────────────────────────────────

GOOD_LINES = [json.dumps(row) for row in GENEVAL]
BAD_LINES = ["{", "[1]", "", "null", '{"prompt": 3, "include": []}', '{"tag": "x"}', "[" * 3000]


@given(
    lines=st.lists(st.sampled_from(GOOD_LINES + BAD_LINES), max_size=12),
    ends=st.lists(st.sampled_from(["\n", "\r\n", "\r"]), min_size=12, max_size=12),
    mark=st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_read_and_refused_are_all_lines_of_json_lines(
    tmp_path: Path, lines: list[str], ends: list[str], mark: bool
) -> None:
    lines = [GOOD_LINES[0], *lines]
    text = "".join(line + end for line, end in zip(lines, ["\n", *ends], strict=False))
    found = read(tmp_path, "m.jsonl", ("\ufeff" * mark) + text, form="geneval")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")
    assert [line.number for line in found] == list(range(1, len(lines) + 1))
    refused = [line for line in found if line.outcome is Outcome.REFUSED]
    assert all(line.reason and line.pair is None for line in refused)
    assert len(refused) == sum(line in BAD_LINES for line in lines)


@given(st.lists(st.text(alphabet=st.characters(codec="utf-8"), max_size=30), max_size=10))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_read_and_refused_are_all_lines_of_a_text(tmp_path: Path, prompts: list[str]) -> None:
    text = "\n".join(["a fork and a wig", *prompts])
    expected = text.encode().replace(b"\r\n", b"\n").replace(b"\r", b"\n").removesuffix(b"\n")
    found = read(tmp_path, "p.txt", text, form="text")
    assert len(found) == expected.count(b"\n") + 1
    assert all(bool(line.reason) == (line.pair is None) for line in found)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["a fork and a wig", "a fork, a wig", 'a "fork" and a wig', "x\ny", ""]
            ),
            st.text(alphabet='ab",\n', max_size=5),
        ),
        max_size=8,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_read_and_refused_are_all_lines_of_a_table(
    tmp_path: Path, cells: list[tuple[str, str]]
) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows([("prompt", "note"), ("a b", "c"), *cells])
    text = file.getvalue()
    found = read(tmp_path, "p.csv", text, form="prompts")
    assert [line.number for line in found] == list(range(2, text.count("\n") + 1))


def test_a_forgotten_quote_costs_its_own_line_only(tmp_path: Path) -> None:
    rows = ["prompt,note", '"a fork and a wig,x', *(f"a fork and a wig number{n},x" for n in "abc")]
    found = read(tmp_path, "p.csv", "\n".join(rows))
    assert [line.outcome for line in found] == ["refused", "pair", "pair", "pair"]
    assert "not closed" in found[0].reason


def test_latin_1_is_said_and_not_guessed(tmp_path: Path) -> None:
    text = "a café and a wig\na fork and a wig".encode("latin-1")
    bad, good = read(tmp_path, "p.txt", text)
    assert (bad.outcome, good.outcome) == ("refused", "pair")
    assert "name the file's --encoding" in bad.reason
    assert bad.detail == "byte 6 is 0xe9"
    first, _ = read(tmp_path, "p.txt", text, encoding="latin-1")
    assert first.prompt == "a café and a wig"


def test_a_line_of_ten_megabytes_is_named_and_passed_over(tmp_path: Path) -> None:
    text = b"a fork and a wig\n" + b"x" * 10_000_000 + b"\na fox and a drum\n"
    first, long, last = read(tmp_path, "p.txt", text)
    assert (first.outcome, long.outcome, last.outcome) == ("pair", "refused", "pair")
    assert long.reason == f"longer than {LONGEST_LINE:,} bytes"
    assert last.number == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"a fork\0and a wig", "holds NUL bytes"),
        ("a fork and a wi\u202eg", "cannot be printed"),
        ("a fork and a wig " * 200, "more than 2,000 letters"),
        ("   ", "an empty line"),
    ],
)
def test_an_odd_line_has_its_reason(tmp_path: Path, text: str | bytes, reason: str) -> None:
    body = text if isinstance(text, bytes) else text.encode()
    _, line = read(tmp_path, "p.txt", b"a fox and a drum\n" + body)
    assert line.outcome is Outcome.REFUSED
    assert reason in line.reason


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'[{"prompt": "a"},\n {"prompt": }]', "line 2, column 13: not JSON .*nothing of the file"),
        (b'[{"prompt": "a fork"}', "not JSON"),
        (b'[{"prompt": "a fork"}] x', "not JSON"),
        (b"[" * 100_000, "not JSON that can be read"),
        (b'[{"prompt": "caf\xe9"}]', r"line 1: not utf-8 \(a byte 0xe9\)"),
        (b'{"name": {"x": 1}}', "no column is known to hold prompts, of x: .*--format .*lc-mis"),
        (b"\xff\xfea\0", "UTF-16"),
        (b"\n\n", "no line of text"),
        (b"", "no line of text"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "in no known format"),
        (b"name,size\nx,3\n", "in no known format: there are .*conceptmix .*--format"),
        (b"prompt,prompt\na,b\n", "two columns bear one name"),
    ],
)
def test_a_file_that_cannot_be_a_set_is_one_sentence(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "some.file"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        list(open_set(path).lines())
    assert "\n" not in str(caught.value)


def test_a_format_that_does_not_exist_is_said_with_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"'genevall': there are .*pairs, .*mean 'geneval'"):
        open_set(tmp_path / "p.txt", "genevall")


def test_a_named_format_refuses_each_line_that_is_another(tmp_path: Path) -> None:
    (line,) = read(tmp_path, "p.jsonl", '{"prompt": "a fork and a wig"}', form="geneval")
    assert (line.outcome, line.reason) == ("refused", "the field 'include' is missing")


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_a_file_holds_it_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(content)
    try:
        for line in open_set(path).lines():
            assert (line.outcome is Outcome.PAIR) == (line.pair is not None)
    except ConfigError as error:
        assert "\n" not in str(error)  # noqa: PT017 - any file but these is read


@pytest.mark.parametrize(
    ("content", "container"),
    [
        (lines_of(GENEVAL), Container.LINES),
        (lines_of(GENEVAL[:1]), Container.LINES),
        ("{broken\n" + lines_of(GENEVAL), Container.LINES),
        (json.dumps(LC_MIS), Container.JSON),
        (json.dumps(LC_MIS, indent=1), Container.JSON),
        (DSG, Container.TABLE),
        ("a prompt, and another", Container.TEXT),
    ],
)
def test_rows_are_found_however_they_lie(
    tmp_path: Path, content: str, container: Container
) -> None:
    path = tmp_path / "x"
    path.write_text(content)
    assert container_of(path) is container


# ── for an audit ─────────────────────────────────────────────────────────────────────────────────


def test_an_audit_reads_other_peoples_sets_and_our_own(tmp_path: Path) -> None:
    path = tmp_path / "evaluation_metadata.jsonl"
    path.write_text(lines_of(GENEVAL))
    pairs, read = pairs_in(path)
    assert [pair.prompt for pair in pairs] == [GENEVAL[place]["prompt"] for place in (0, 2, 3)]
    assert (read.format, read.num_lines, read.count(Outcome.PAIR)) == ("GenEval", len(GENEVAL), 3)
    assert sum(reason.count for reason in read.reasons) == len(GENEVAL) - 3
    own = tmp_path / "own.csv"
    own.write_text("a,b,prompt\nfork,wig,a fork in a wig\n")
    pairs, read = pairs_in(own)
    assert [pair.a.name for pair in pairs] == ["fork"]
    assert read is None


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("m.jsonl", lines_of(GENEVAL) + "\n{", "line 6: not JSON .*mend it, or .*lcmis import"),
        ("p.txt", "a fork\n", "no prompt asks for two concepts: .*lcmis import p.txt"),
        ("p.csv", "a,b,promt\nfork,wig,a fork\n", "'promt' is not a field; .*mean 'prompt'"),
        ("p.md", "a fork and a wig", "in no known format"),
    ],
)
def test_an_audit_refuses_a_set_of_which_a_line_cannot_be_read(
    tmp_path: Path, name: str, content: str, said: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ConfigError, match=said):
        pairs_in(path)
