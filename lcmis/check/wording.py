"""How models that answer in words are asked, and what their probabilities of words say."""

from __future__ import annotations

from collections.abc import Sequence

from lcmis.check.pictures import abstain, options_of
from lcmis.text.prompts import wording, wordings_hash
from lcmis.types import Answer, Question, QuestionKind

MASS_FLOOR = 0.05
"""Below this probability of any allowed answer the model did not answer the question at all, and
the ratio of what is left says nothing."""
ROUNDING = 1e-4
"""By which the probabilities of all words may pass one together."""
WORDINGS = ("presence", "choice")
"""Names of the texts that are sent; an id holds their hash, for other words give other scores."""
LETTERS = "ABCDEFGH"
YES = ("yes", "Yes", "YES")
NO = ("no", "No", "NO")


def can_word(question: Question) -> bool:
    """Whether it can be worded: a choice needs two to eight options; a likeness is no answer."""
    if question.kind.is_choice:
        return 2 <= len(question.options) <= len(LETTERS)
    return question.kind is not QuestionKind.LIKENESS and bool(question.text.strip())


def worded(question: Question) -> str:
    """A question as a model is asked it."""
    if not question.kind.is_choice:
        return wording("presence").replace("{text}", question.text)
    lines = [
        f"{letter}. {option}" for letter, option in zip(LETTERS, question.options, strict=False)
    ]
    return wording("choice").replace("{options}", "\n".join(lines))


def asked_in_words(checker_id: str, question: Question) -> tuple[tuple[str, str], ...]:
    """The messages beside a picture, ``(role, text)``, of a checker that is asked in these words;
    nothing of one that was asked in others.
    """
    is_same = wordings_hash(*WORDINGS) in checker_id
    return (("user", worded(question)),) if is_same and can_word(question) else ()


def spellings_of(question: Question) -> tuple[tuple[str, ...], ...]:
    """For each answer that may be given, how it is spelled: yes and no, or a letter an option."""
    if question.kind.is_choice:
        return tuple((letter,) for letter in LETTERS[: len(question.options)])
    return (YES, NO)


def shares(question: Question, masses: Sequence[float]) -> tuple[Answer, ...]:
    """What a model says by the probabilities of all that may be answered.

    Args:
        question: what was asked.
        masses: of each answer over all its spellings, in the order of :func:`spellings_of`, each
            in [0, 1] unless something went wrong.
    """
    options = options_of(question)
    total = sum(masses)
    if not all(0 <= mass <= 1 + ROUNDING for mass in masses) or not 0 <= total <= 1 + ROUNDING:
        return abstain(options, "a probability is not a finite number")
    if total < MASS_FLOOR:
        reason = f"only {total:.3f} of the probability is on the answers allowed"
        return abstain(options, reason, total)
    return tuple(
        Answer(min(mass / total, 1.0), option, mass=min(total, 1.0))
        for option, mass in zip(options, masses, strict=False)
    )
