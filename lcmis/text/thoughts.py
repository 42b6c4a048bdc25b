"""What a reply says once its thoughts are taken away, in whatever marks models put them."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Every run in these patterns has a bound: a reply of blanks or brackets must not take long.
_NAME = (
    r"(?:[a-z]{1,12}[:_-])?"
    r"(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflect(?:ion)?|analysis|scratch[_-]?pad|"
    r"deliberat(?:e|ion)|monologue|chain[_-]?of[_-]?thoughts?|cot|思考)"
    r"(?:[_-](?:process|content|block|text))?"
)
_IN_SQUARES = r"(?:think(?:ing)?|thoughts?|reasoning)"
"""In square brackets, which are common in prose, only what nobody writes there."""
_MORE = r"(?:[ \t][^<>\[\]{}◁▷\n]{0,80})?"
"""Attributes of a tag."""
_LEFT, _RIGHT = r"(?:[<＜⟨〈◁]|&lt;)\s{0,3}[|｜]?\s{0,3}", r"\s{0,3}[|｜]?\s{0,3}(?:[>＞⟩〉▷]|&gt;)"
_HERE = r"(?:^|\n)\W{0,8}here(?:'s|’s|\ is)\ my\ "
_MARK = re.compile(
    rf"""
    (?P<close>
        {_LEFT}/\s{{0,3}}{_NAME}{_RIGHT}
      | \[\s{{0,3}}/\s{{0,3}}{_IN_SQUARES}\s{{0,3}}\]
      | <\|?end[ _-]?(?:of[ _-])?{_NAME}\|?>
      | <channel\|>
      | <unused95>
      | </details>
      | \x00end
      | {_HERE}(?:final\ )?(?:response|answer)\b:?
    )
  | (?P<open>
        {_LEFT}{_NAME}{_MORE}/?{_RIGHT}
      | \[\s{{0,3}}{_IN_SQUARES}\s{{0,3}}\]
      | <\|?(?:begin|start)[ _-]?(?:of[ _-])?{_NAME}\|?>
      | <\|channel>\s{{0,3}}(?:thought|analysis|thinking)\b
      | <unused94>\s{{0,3}}thought\b
      | <details{_MORE}>
      | \x00begin
      | {_HERE}(?:thought\ process|thinking|reasoning)\b:?
    )
    """,
    re.IGNORECASE | re.VERBOSE,
)
_KIND = re.compile(
    r"here|channel|unused|details|\x00|think|thought|reason|reflect|analysis|scratch|deliberat|"
    r"monologue|chain|cot|思考"
)
FENCE_BEGINS, FENCE_ENDS = "\x00begin", "\x00end"
"""What no reply holds, which is cleaned before."""
_FENCE = re.compile(rf"```[ \t]{{0,3}}{_NAME}\b", re.IGNORECASE)
_CHANNEL = re.compile(
    r"<\|channel\|>\s{0,3}(\w{1,20})[^<]{0,80}(?:<\|[a-z]{1,20}\|>[^<]{0,80})??<\|message\|>"
)
"""Of the harmony format, in which gpt-oss writes."""
_CHANNEL_ENDS = re.compile(r"<\|(?:end|return|start|channel|call)\|>")
_BARE_CHANNELS = re.compile(r"\s{0,9}analysis.*assistant\s{0,3}final", re.DOTALL)
"""The same where the marks themselves were lost on the way."""
_ANSWER = r"(?:(?:final[_-]?)?(?:answer|response|output|solution|result)|box)"
_ANSWER_BEGINS = re.compile(
    rf"<{_ANSWER}>|<\|(?:begin|start)[ _]?(?:of[ _])?{_ANSWER}\|>", re.IGNORECASE
)
_ANSWER_ENDS = re.compile(rf"</{_ANSWER}>|<\|end[ _]?(?:of[ _])?{_ANSWER}\|>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a reply says."""

    text: str = ""
    """Without its thoughts; empty if there is a problem."""
    problem: str = ""
    """One sentence for the model, or for a person."""


def answer_of(reply: str) -> Answer:
    """What a reply says after its thoughts; where that cannot be told, a problem, never a guess.

    All that stands before the end of the last thought counts as thought: models open them without
    a mark, begin them anew, and show in them what they will not say in the end. A thought that
    never ends may hold anything.
    """
    text = _last_channel(reply)
    text = _with_marks_for_fences(text)
    if FENCE_ENDS in text and text.rpartition(FENCE_ENDS)[2].count("```") % 2:
        return Answer(problem="fences stand within a thought, so nobody can tell where it ends")
    marks = list(_MARK.finditer(text))
    unended: set[str] = set()
    for mark in marks:
        (unended.add if mark["open"] else unended.discard)(_kind(mark[0]))
    if unended:
        return Answer(problem="a thought in it has no end, so nobody can tell what it answers")
    if marks:
        text = text[marks[-1].end() :]
    text = _unwrapped(text)
    if not text.strip() and reply.strip():
        return Answer(problem="there is only a thought in it, and no answer after it")
    return Answer(text if text == reply else text.strip())


def _with_marks_for_fences(text: str) -> str:
    """A text with marks of our own for fenced thoughts, which end, as in Markdown, with a fence
    that names nothing.
    """
    lines, is_inside = [], False
    for line in text.split("\n"):
        if is_inside and line.strip() == "```":
            lines.append(FENCE_ENDS)
            is_inside = False
        elif not is_inside and (begins := _FENCE.search(line)):
            lines.append(line[: begins.start()] + FENCE_BEGINS)
            is_inside = True
        else:
            lines.append(line)
    return "\n".join(lines)


def _kind(mark: str) -> str:
    """What a thought's end has in common with its beginning."""
    found = _KIND.search(mark.casefold())
    return found[0] if found else ""


def _last_channel(reply: str) -> str:
    """What is said in the last channel if that is the final one; empty if it is another."""
    if channels := list(_CHANNEL.finditer(reply)):
        said = reply[channels[-1].end() :] if channels[-1][1] == "final" else ""
        ends = _CHANNEL_ENDS.search(said)
        return said[: ends.start()] if ends else said
    bare = _BARE_CHANNELS.match(reply)
    return reply[bare.end() :] if bare else reply


def _unwrapped(text: str) -> str:
    """What stands between the marks of an answer, if there is one answer with marks."""
    begins, ends = list(_ANSWER_BEGINS.finditer(text)), list(_ANSWER_ENDS.finditer(text))
    if len(begins) == len(ends) == 1 and begins[0].end() <= ends[0].start():
        return text[begins[0].end() : ends[0].start()]
    return text
