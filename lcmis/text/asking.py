"""What repairs ask of a text model, and how its answers are read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lcmis.errors import ProposalError, TextModelError
from lcmis.machine.letters import acts
from lcmis.plugins.protocols import TextModel
from lcmis.text.prompts import wording
from lcmis.text.prompts.shapes import TEXT, Schema, several, whole
from lcmis.text.words import one_line, places
from lcmis.types import ConceptPair, Side, Stage

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PROMPT_LETTERS = 500
"""A longer rewriting is passed over: text encoders read far less."""
MAX_PHRASE_LETTERS = 120
"""A longer phrase is passed over: it is no single thing that can be seen."""
_MARKUP = re.compile(r"[<>{}\[\]|\\`]|://")
"""What stands in code, links and weighted prompts, and never in plain words."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a text model would change in a prompt, each phrase one line of plain words: a textual
    gradient.
    """

    add: tuple[str, ...] = ()
    replace: tuple[tuple[str, str], ...] = ()
    """A phrase of the prompt, and what to say instead."""
    drop: tuple[str, ...] = ()
    """Phrases of the prompt."""

    def __bool__(self) -> bool:
        """Whether there is anything to change."""
        return bool(self.add or self.replace or self.drop)


def rewrites(model: TextModel, pair: ConceptPair, count: int, intruder: str = "") -> list[str]:
    """Up to ``count`` other prompts for a pair's picture, each one line and none twice.

    Args:
        model: any text model.
        pair: its prompt is what is rewritten.
        count: how many to ask for, from 1 up; what comes beyond is passed over.
        intruder: what is painted instead, if that is known.

    Raises:
        TextModelError: no reply.
        ProposalError: the reply cannot be used, or holds no prompt but the one rewritten.
    """
    asked = wording("rewrite").format(
        **_named(pair),
        intruder=one_line(intruder) or "not known",
        count=count,
    )
    schema = whole(prompts=several(minItems=1))
    found = _unknown(_answer(model, asked, schema)["prompts"], [pair.prompt])
    if not found:
        raise ProposalError(f"{model.model_id} rewrote {pair.prompt!r} into nothing new")
    return found[:count]


def first(model: TextModel, pair: ConceptPair) -> Side:
    """Which concept is better laid down alone, before the other joins it.

    Raises:
        TextModelError: no reply.
        ProposalError: the reply names neither concept.
    """
    asked = wording("first").format(**_named(pair))
    schema = whole(first={"type": "string", "enum": [pair.a.name, pair.b.name]})
    return Side.A if _answer(model, asked, schema)["first"] == pair.a.name else Side.B


def caption(model: TextModel, picture: Image) -> str:
    """What a picture shows, in one line.

    Raises:
        TextModelError: no reply, or a model that sees no pictures.
        ProposalError: the reply is no caption: it is empty, endless or holds markup.
    """
    said = one_line(_reply(model, wording("caption"), [picture]))
    if len(said) > MAX_PROMPT_LETTERS or not _is_plain(said):
        raise ProposalError(
            f"{model.model_id} was asked for a caption and its reply is none: {said[:80]!r}"
        )
    return said


def describe(model: TextModel, picture: Image, aspects: Sequence[str]) -> dict[str, str]:
    """What a picture shows under each of some headings, one line each; what says nothing is left
    out.

    Raises:
        TextModelError: no reply, or a model that sees no pictures.
        ProposalError: the reply cannot be used, or says nothing under any heading.
    """
    asked = wording("describe").format(aspects="\n".join(aspects))
    schema = whole(**dict.fromkeys(aspects, TEXT))
    answer = _answer(model, asked, schema, [picture])
    said = {aspect: one_line(answer[aspect]) for aspect in aspects}
    found = {
        aspect: text
        for aspect, text in said.items()
        if _is_phrase(text) and text.casefold().rstrip(".") != "none"
    }
    if not found:
        raise ProposalError(f"{model.model_id} described a picture and said nothing that is plain")
    return found


def changes(model: TextModel, goal: Image, painted: Image, prompt: str, count: int) -> Changes:
    """What to change in a prompt, so that it paints what a picture shows; nothing where the model
    says that the two pictures are the same.

    Args:
        model: sees both pictures at once.
        goal: what the prompt is to paint.
        painted: what it does paint.
        prompt: one line.
        count: how many changes to ask for, from 1 up; what comes beyond is passed over.

    Raises:
        TextModelError: no reply, or a model that sees no pictures.
        ProposalError: the reply cannot be used, or sees a difference and names none.

    Source: Ren et al., arXiv 2503.19937, figure 4a (vanilla textual gradients); wording ours.
    """
    asked = wording("changes").format(prompt=one_line(prompt), count=count)
    return _changes(model, asked, count, [goal, painted])


def differences(
    model: TextModel,
    goal: Mapping[str, str],
    painted: Mapping[str, str],
    prompt: str,
    count: int,
    *,
    accepted: Iterable[str] = (),
    rejected: Iterable[str] = (),
) -> Changes:
    """As :func:`changes`, by a model that reads two descriptions and what became of its phrases.

    Raises:
        TextModelError: no reply.
        ProposalError: the reply cannot be used, or sees a difference and names none.

    Source: Ren et al., arXiv 2503.19937, figure 4b (enhanced textual gradients); wording ours.
    """
    asked = wording("differences").format(
        prompt=one_line(prompt),
        goal=_lines(f"{aspect}: {text}" for aspect, text in goal.items()),
        painted=_lines(f"{aspect}: {text}" for aspect, text in painted.items()),
        accepted=_lines(accepted),
        rejected=_lines(rejected),
        count=count,
    )
    return _changes(model, asked, count, [])


def _changes(model: TextModel, asked: str, count: int, pictures: Sequence[Image]) -> Changes:
    phrases = several()
    swap = whole(phrase=TEXT, by=TEXT)
    schema = whole(
        same={"type": "boolean"},
        add=phrases,
        replace=several(swap),
        drop=phrases,
    )
    answer = _answer(model, asked, schema, pictures)
    if answer["same"]:
        return Changes()
    swaps = [(one_line(one["phrase"]), one_line(one["by"])) for one in answer["replace"]]
    found = Changes(
        add=_phrases(answer["add"])[:count],
        replace=tuple(dict.fromkeys(one for one in swaps if all(map(_is_phrase, one))))[:count],
        drop=_phrases(answer["drop"])[:count],
    )
    if not found:
        raise ProposalError(
            f"{model.model_id} sees that two pictures differ and names nothing plain to change"
        )
    return found


def _phrases(said: Iterable[str]) -> tuple[str, ...]:
    """Each once, without what is no phrase."""
    return tuple(dict.fromkeys(line for line in map(one_line, said) if _is_phrase(line)))


# ── instructions and stages ──────────────────────────────────────────────────────────────────────

MAX_INSTRUCTION_LETTERS = 1000
"""A longer instruction is passed over: it is asked to be short."""
MAX_STAGES = 4


@dataclass(frozen=True, slots=True)
class WritingShown:
    """What a writer made of one subject, beside the best that is known for it."""

    subject: ConceptPair
    prompt: str
    gain: float
    """Of the score, over the plain prompt."""
    best: str
    best_gain: float


def refine(model: TextModel, instruction: str, pair: ConceptPair) -> str:
    """A pair's prompt, rewritten as an instruction says; it may come back as it was.

    Raises:
        TextModelError: no reply.
        ProposalError: the reply cannot be used, or the prompt is empty or far too long.
    """
    asked = wording("refine").format(
        instruction=one_line(instruction),
        **_named(pair),
    )
    said = _answer(model, asked, whole(prompt=TEXT))["prompt"]
    return _sound(model, one_line(said), MAX_PROMPT_LETTERS, "prompt")


def critique(
    model: TextModel, instruction: str, shown: Sequence[WritingShown], count: int
) -> list[str]:
    """Up to ``count`` improvements that an instruction wants, inferred from what came of it.

    Raises:
        TextModelError: no reply.
        ProposalError: the reply cannot be used, or holds no improvement.
    """
    asked = wording("critique").format(
        instruction=one_line(instruction), subjects=_lines(map(_as_json, shown)), count=count
    )
    pair = whole(inference=TEXT, improvement=TEXT)
    schema = whole(pairs=several(pair, minItems=1))
    pairs = _answer(model, asked, schema)["pairs"]
    return _sound_ones(model, (pair["improvement"] for pair in pairs), count, "improvement")


def amend(model: TextModel, instruction: str, improvement: str) -> str:
    """An instruction with an improvement.

    Raises:
        TextModelError: no reply.
        ProposalError: the reply cannot be used, or the instruction is empty or far too long.
    """
    asked = wording("amend").format(
        instruction=one_line(instruction), improvement=one_line(improvement)
    )
    said = _answer(model, asked, whole(instruction=TEXT))["instruction"]
    return _sound(model, one_line(said), MAX_INSTRUCTION_LETTERS, "instruction")


def vary(model: TextModel, instruction: str, known: Sequence[str], count: int) -> list[str]:
    """Up to ``count`` instructions unlike those that are known.

    Raises:
        TextModelError: no reply.
        ProposalError: the reply cannot be used, or holds nothing new.
    """
    asked = wording("vary").format(
        instruction=one_line(instruction), known=_lines(map(one_line, known)), count=count
    )
    schema = whole(instructions=several(minItems=1))
    tried = {one_line(text).casefold() for text in (instruction, *known)}
    said = map(one_line, _answer(model, asked, schema)["instructions"])
    return _sound_ones(
        model, (text for text in said if text.casefold() not in tried), count, "new instruction"
    )


def stages(model: TextModel, pair: ConceptPair, num_steps: int) -> tuple[Stage, ...]:
    """A pair's prompt as one to four stages with prompts of their own, the last one the pair's.

    Source: Park et al., R2F, arXiv 2410.22376 (frequent concepts stand in for rare ones until a
    step); SAP, arXiv 2506.01929 (up to three proxy prompts with their switch steps).

    Args:
        model: any text model.
        pair: what is to be painted.
        num_steps: denoising steps of the whole picture.

    Raises:
        TextModelError: no reply.
        ProposalError: the reply cannot be used: no stages or too many, steps that do not rise to
            the last one, an empty prompt, or another prompt than the pair's at the end.
    """
    asked = wording("stages").format(
        **_named(pair),
        count=num_steps,
    )
    stage = whole(prompt=TEXT, last_step={"type": "integer"})
    schema = whole(stages=several(stage, minItems=1, maxItems=MAX_STAGES))
    said = _answer(model, asked, schema)["stages"]
    ends = [int(one["last_step"]) for one in said]
    if not 1 <= len(said) <= MAX_STAGES:
        raise ProposalError(f"{model.model_id} gave {len(said)} stages, not 1 to {MAX_STAGES}")
    if ends != sorted(set(ends)) or ends[0] < 1 or ends[-1] != num_steps:
        raise ProposalError(
            f"{model.model_id} gave stages to the steps {str(ends)[:80]}, which do not rise to "
            f"{num_steps}"
        )
    prompts = [_sound(model, one_line(one["prompt"]), MAX_PROMPT_LETTERS, "prompt") for one in said]
    if prompts[-1].casefold() != one_line(pair.prompt).casefold():
        raise ProposalError(
            f"{model.model_id} ends its stages with {prompts[-1]!r} and not with the prompt"
        )
    return tuple(
        Stage(prompt, 1.0 if end == num_steps else end / num_steps)
        for prompt, end in zip([*prompts[:-1], pair.prompt], ends, strict=True)
    )


# ── prompts that were tried ──────────────────────────────────────────────────────────────────────

MAX_LEVEL = 5
"""Of visual detail, as R2F counts it."""


def improve(
    model: TextModel, pair: ConceptPair, tried: Iterable[tuple[str, float]], count: int
) -> list[str]:
    """Up to ``count`` prompts unlike those that were tried, which are shown with their scores.

    Args:
        model: any text model.
        pair: what is to be painted.
        tried: prompts with scores in [0, 1], the best last.
        count: how many to ask for, from 1 up; what comes beyond is passed over.

    Raises:
        TextModelError: no reply.
        ProposalError: the reply cannot be used, or holds no new prompt.

    Source: Mañas et al., "Improving Text-to-Image Consistency via Automatic Prompt Optimization"
    (OPT2I), arXiv 2403.17804 (a history of prompts with scores, in rising order); wording ours.
    """
    shown = [(one_line(prompt), score) for prompt, score in tried]
    asked = wording("improve").format(
        **_named(pair),
        tried=_lines(
            json.dumps({"prompt": prompt, "score": round(100 * score)}, ensure_ascii=False)
            for prompt, score in shown
        ),
        count=count,
    )
    return _new_prompts(model, asked, [pair.prompt, *(prompt for prompt, _ in shown)], count)


def mend(
    model: TextModel,
    pair: ConceptPair,
    prompt: str,
    unmet: Sequence[Side],
    count: int,
    intruder: str = "",
) -> list[str]:
    """Up to ``count`` prompts, each with one change to a prompt of which something is not seen.

    Raises:
        TextModelError: no reply.
        ProposalError: the reply cannot be used, or changes nothing.

    Source: CRAFT, flymy-ai, technical report, 2026 (questions that a picture fails, and edits aimed
    at them); Pryzant et al., ProTeGi, EMNLP 2023 (faults in words, edits against them); wording
    ours.
    """
    names = {side: one_line(pair.concept(side).name) for side in Side}
    asked = wording("mend").format(
        **_named(pair),
        written=one_line(prompt),
        unmet=", ".join(names[side] for side in unmet) or "the two together",
        met=", ".join(name for side, name in names.items() if side not in unmet) or "nothing",
        intruder=one_line(intruder) or "not known",
        count=count,
    )
    return _new_prompts(model, asked, [prompt], count)


def avoid(
    model: TextModel, pair: ConceptPair, seen: Iterable[str], count: int, intruder: str = ""
) -> list[str]:
    """Up to ``count`` things that a picture should not show, none of which a pair asks for.

    Args:
        model: any text model.
        pair: what is to be painted.
        seen: captions of what was painted; may be none.
        count: how many to ask for, from 1 up; what comes beyond is passed over.
        intruder: what is painted instead, if that is known.

    Raises:
        TextModelError: no reply.
        ProposalError: the reply cannot be used, or holds nothing that may be left out.

    Source: the idea of NPC, a verifier, a captioner and a proposer of negative prompts; wording
    ours.
    """
    asked = wording("avoid").format(
        **_named(pair),
        intruder=one_line(intruder) or "not known",
        seen=_lines(map(one_line, seen)),
        count=count,
    )
    said = _phrases(_answer(model, asked, whole(avoid=several(minItems=1)))["avoid"])
    wanted = [one.name for one in (pair.a, pair.b)]
    found = [one for one in said if not any(places(one, name) for name in wanted)]
    if not found:
        raise ProposalError(f"{model.model_id} named nothing that a picture may be without")
    return found[:count]


def frequent(model: TextModel, pair: ConceptPair) -> tuple[str, int]:
    """A prompt for something common that looks alike, and the level of the detail that differs.

    Raises:
        TextModelError: no reply.
        ProposalError: the reply cannot be used, or repeats the pair's prompt.

    Source: Park et al., R2F, arXiv 2410.22376 (a frequent concept and a level of visual detail from
    1 to 5 for each rare one); wording ours.
    """
    asked = wording("frequent").format(**_named(pair))
    schema = whole(prompt=TEXT, level={"type": "integer", "minimum": 1, "maximum": MAX_LEVEL})
    answer = _answer(model, asked, schema)
    prompt = _sound(model, one_line(answer["prompt"]), MAX_PROMPT_LETTERS, "prompt")
    if prompt.casefold() == one_line(pair.prompt).casefold():
        raise ProposalError(f"{model.model_id} gave the pair's own prompt as the common one")
    return prompt, int(answer["level"])


def _new_prompts(model: TextModel, asked: str, known: Iterable[str], count: int) -> list[str]:
    """Prompts of a reply that were not known, each one line and none twice."""
    found = _unknown(_answer(model, asked, whole(prompts=several(minItems=1)))["prompts"], known)
    if not found:
        raise ProposalError(f"{model.model_id} gave no new prompt")
    return found[:count]


def _named(pair: ConceptPair) -> dict[str, str]:
    """A pair, for the fields of a template."""
    return {
        "prompt": one_line(pair.prompt),
        "a": one_line(pair.a.name),
        "b": one_line(pair.b.name),
    }


def _as_json(shown: WritingShown) -> str:
    """One line, whatever stands in it."""
    return json.dumps(
        {
            "prompt": shown.subject.prompt,
            "first": shown.subject.a.name,
            "second": shown.subject.b.name,
            "written": shown.prompt,
            "gain": round(shown.gain, 3),
            "best": shown.best,
            "best gain": round(shown.best_gain, 3),
        },
        ensure_ascii=False,
    )


def _sound(model: TextModel, line: str, most: int, what: str) -> str:
    if not 0 < len(line) <= most:
        raise ProposalError(
            f"{model.model_id} gave a {what} of {len(line)} letters, which is not 1 to {most}"
        )
    if found := _MARKUP.search(line):
        raise ProposalError(
            f"{model.model_id} gave a {what} with {found[0]!r} in it, which is no plain words"
        )
    return line


def _sound_ones(model: TextModel, said: Iterable[str], count: int, what: str) -> list[str]:
    """Those that can be used, each once."""
    lines = dict.fromkeys(map(one_line, said))
    found = [
        line
        for line in lines
        if 0 < len(line) <= MAX_INSTRUCTION_LETTERS and not _MARKUP.search(line)
    ]
    if not found:
        raise ProposalError(f"{model.model_id} gave no {what}")
    return found[:count]


def _unknown(said: Iterable[str], known: Iterable[str]) -> list[str]:
    """Prompts that are not known, each one line and none twice, that a person can read as they
    are: with no markup that no known one has, and nothing that changes how others look.
    """
    before = [one_line(prompt) for prompt in known]
    tried = {prompt.casefold() for prompt in before}
    own = {mark for prompt in before for mark in _MARKUP.findall(prompt)}
    found: dict[str, str] = {}
    for line in map(one_line, said):
        is_short = 0 < len(line) <= MAX_PROMPT_LETTERS
        is_plain = not any(map(acts, line)) and own.issuperset(_MARKUP.findall(line))
        if is_short and is_plain and line.casefold() not in tried:
            found.setdefault(line.casefold(), line)
    return list(found.values())


def _is_phrase(line: str) -> bool:
    return len(line) <= MAX_PHRASE_LETTERS and _is_plain(line)


def _is_plain(line: str) -> bool:
    """Whether it holds words, no markup, and nothing that a reader would not see."""
    has_words = any(letter.isalnum() for letter in line)
    return has_words and line.isprintable() and not _MARKUP.search(line)


def _lines(items: Iterable[str]) -> str:
    return "\n".join(items) or "none"


def _answer(model: TextModel, text: str, schema: Schema, pictures: Sequence[Image] = ()) -> Any:
    """What a reply says as JSON of this shape.

    Raises:
        TextModelError: no reply, or pictures for a model that sees none.
        ProposalError: the reply is something else.
    """
    import jsonschema

    reply = _reply(model, text, pictures, schema)
    try:
        value = json.loads(reply)
        jsonschema.validate(value, schema)
    except (ValueError, RecursionError) as error:
        raise ProposalError(f"{model.model_id} was asked for JSON and gave none") from error
    except jsonschema.ValidationError as error:
        raise ProposalError(
            f"{model.model_id} gave JSON of another shape: {error.message[:200]}"
        ) from error
    return value


def _reply(
    model: TextModel,
    text: str,
    pictures: Sequence[Image] = (),
    schema: Schema | None = None,
) -> str:
    if pictures and not model.sees_images:
        raise TextModelError(
            f"{model.model_id} sees no pictures: name a text model that does, and say so with "
            f"--vision, or sees_images = true"
        )
    return model.complete([{"role": "user", "content": text}], images=pictures, schema=schema)
