"""Thoughts are no answers: whatever marks them, wherever a tempting JSON stands."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcmis.text.chat import read_json
from lcmis.text.thoughts import answer_of

PROMPTS = {
    "type": "object",
    "properties": {"prompts": {"type": "array", "items": {"type": "string"}, "minItems": 1}},
    "required": ["prompts"],
    "additionalProperties": False,
}
DECOY, TRUE = '{"prompts": ["a glass"]}', '{"prompts": ["dark cola"]}'
MARKS = {
    "think": ("<think>", "</think>"),
    "loud": ("<THINK>", "</THINK>"),
    "thinking": ("<thinking>", "</thinking>"),
    "with attributes": ('<thinking budget="9">', "</thinking>"),
    "spaced": ("< think >", "< / think >"),
    "thought": ("<thought>", "</thought>"),
    "reasoning": ("<reasoning>", "</reasoning>"),
    "reflection": ("<reflection>", "</reflection>"),
    "analysis": ("<analysis>", "</analysis>"),
    "scratchpad": ("<scratchpad>", "</scratchpad>"),
    "inner monologue": ("<inner_monologue>", "</inner_monologue>"),
    "prefixed": ("<seed:think>", "</seed:think>"),
    "underscored": ("<longcat_think>", "</longcat_think>"),
    "process": ("<thought_process>", "</thought_process>"),
    "piped": ("<|think|>", "<|/think|>"),
    "begin and end": ("<|begin_of_thought|>", "<|end_of_thought|>"),
    "start and end": ("<|START_THINKING|>", "<|END_THINKING|>"),
    "square": ("[THINK]", "[/THINK]"),
    "triangles": ("◁think▷", "◁/think▷"),
    "escaped": ("&lt;think&gt;", "&lt;/think&gt;"),
    "channels": (
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>",
    ),
    "constrained channels": (
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>",
    ),
    "channels without marks": ("analysis", "assistantfinal"),
    "one-sided channels": ("<|channel>thought\n", "<channel|>"),
    "unused tokens": ("<unused94>thought\n", "<unused95>"),
    "details": ("<details><summary>Thoughts</summary>", "</details>"),
    "a fence": ("```thinking\n", "\n```\n"),
    "a sentence": ("\nHere is my thought process:\n", "\nHere is my response:\n"),
    "Chinese": ("<思考>", "</思考>"),
}
MUSING = [
    "they want",
    "no, wait…",
    "as in the example",
    "[maybe] {so}",
    "{'prompts': ['a glass']}",
    '{"prompts": ["a gl',
    '{"prompts": []}',
    "```json",
    "",
    "</thought>",
    "<answer>",
    DECOY,
    f"[{DECOY}]",
    f"```json\n{DECOY}\n```",
]
AROUND = ["", " ", "\n\n", "Here you are: ", "So I answer [1]:\n", "Of course! "]


def prompts(reply):
    read = read_json(reply, PROMPTS)
    assert bool(read.text) != bool(read.problem)
    return json.loads(read.text)["prompts"] if read.text else None


@pytest.mark.parametrize("marks", MARKS.values(), ids=MARKS)
def test_the_answer_after_a_thought_is_taken_and_nothing_in_it(marks):
    opens, closes = marks
    musing = f"they want {DECOY}, no…"
    assert prompts(f"{opens}{musing}{closes}{TRUE}") == ["dark cola"]
    assert prompts(f"{opens}{musing}{closes}\n```json\n{TRUE}\n```\nEnjoy!") == ["dark cola"]
    assert prompts(f"{opens}{musing}{closes}") is None
    assert prompts(f"{opens}{musing}") is None or opens == "analysis"
    if closes.strip() not in ("```", "assistantfinal"):
        assert prompts(f"{musing}{closes}{TRUE}") == ["dark cola"]
        assert prompts(f"{TRUE}{opens}{musing}{closes}") is None
        assert prompts(f"{TRUE}{opens}{musing}") is None


@pytest.mark.parametrize("marks", MARKS.values(), ids=MARKS)
def test_plain_text_loses_its_thought_too(marks):
    opens, closes = marks
    assert answer_of(f"{opens}a glass, or{closes}\na tea cup of cola").text == "a tea cup of cola"
    assert answer_of(f"{opens}a glass, or{closes} ").problem


@given(
    marks=st.sampled_from(list(MARKS.values())),
    thoughts=st.lists(st.sampled_from(MUSING), max_size=4),
    before=st.sampled_from(AROUND),
    after=st.sampled_from(AROUND),
    opened=st.booleans(),
    closed=st.booleans(),
    answered=st.booleans(),
    twice=st.booleans(),
)
@settings(max_examples=1000)
def test_no_thought_becomes_an_answer_wherever_it_stands(
    marks, thoughts, before, after, opened, closed, answered, twice
):
    opens, closes = marks
    thought = " ".join(thoughts)
    block = f"{opens if opened else ''}{thought}{closes if closed else ''}"
    reply = f"{block * (1 + twice)}{before}{TRUE if answered else ''}{after}"
    if not (opened or closed):
        return  # an attempt that nothing marks as one: what comes last counts
    said = prompts(reply)
    if opens in ("analysis", "```thinking\n") and not (opened and closed):
        return  # a word of prose, or any fence: no mark by itself
    if "thought" in opens and "</thought>" in thoughts:
        return  # that is where it ends
    assert said in (None, ["dark cola"])
    if answered and closed and ("```" not in closes or (opened and "```" not in thought)):
        assert said == ["dark cola"]


@pytest.mark.parametrize(
    "reply",
    [
        f"As in the example {DECOY}, I would say: {TRUE}",
        f"Not {DECOY} but\n```json\n{TRUE}\n```",
        f"{DECOY}\n{TRUE}",
        f"First try: {{'prompts': ['a glass']}}. Better: {TRUE}",
        f"{TRUE} I hope this helps [1].",
        f'{TRUE}\n{{"note": "I left the glass out"}}',
        f"{TRUE} (with {{the glass}} left out)",
        f"[{TRUE}]",
        f"<answer>{TRUE}</answer>",
        f"<think>{DECOY}</think><answer>{TRUE}</answer>",
    ],
)
def test_the_last_whole_json_that_fits_is_the_answer(reply):
    assert prompts(reply) == ["dark cola"]


@pytest.mark.parametrize(
    "reply",
    [
        f"As in the example {DECOY}, I would say: {TRUE[:-6]}",
        f'{DECOY} no, rather {{"prompts": "dark cola"}}',
        f"[{DECOY}, {TRUE}]",
        "{'prompts': ['a glass']} or {'prompts': ['dark cola']}",
        f"<think>in another's words, </thought> {DECOY}",
        '{"prompts": ["a glass"], "prompts": ["dark cola"]}',
        '{"prompts": ["a glass", "a dark co',
        f'{{"prompts": ["x", {DECOY}',
        f'{{"prompts": ["a gl\n\n{TRUE}',
        f"{{'prompts': ['a glass', {TRUE}",
        f"```thinking\n```json\n{DECOY}\n```\nno, {DECOY}\n```\n",
        f'{{"thought": {DECOY}, "prompts": ["dark cola"',
        f"{DECOY}<think>",
    ],
)
def test_what_can_be_read_in_two_ways_is_read_in_none(reply):
    assert prompts(reply) is None


def test_a_number_that_may_have_been_cut_off_is_not_taken():
    schema = {
        "type": "object",
        "properties": {"step": {"type": "integer"}},
        "required": ["step"],
        "additionalProperties": False,
    }
    assert read_json('{"step": 2', schema).problem
    assert json.loads(read_json("{'step': 2}", schema).text) == {"step": 2}


HOSTILE = ["<", "< ", "\n", "```think\n", "<answer>", "<|channel|>", "here is my ", '{"a":', "[{"]


@pytest.mark.parametrize("piece", [*HOSTILE, "{", "}{", '{"', "{'a': ", "<think>", "</think>{"])
def test_no_reply_takes_long(piece):
    """Every pattern has bounds: work that grows with the square would take minutes here."""
    reply = piece * (2**16 // len(piece))
    read = read_json(reply, PROMPTS)
    assert read.problem
    answer_of(reply)
