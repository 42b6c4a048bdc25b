"""What recovered prompts are good for: joined, edited, and bred over generations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from lcmis.errors import ConfigError, ItemError
from lcmis.invert.masks import MaskBy, WordMask, word_masks
from lcmis.invert.run import Inversion, Inverted, JudgedPrompt, Mean, similarities
from lcmis.text import edits

if TYPE_CHECKING:
    from PIL.Image import Image

    from lcmis.plugins.protocols import Encoder

PAINTED_CHILDREN = 4
"""Of one generation; those whose words the guide finds nearest to both parents."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is to be made of the recovered prompts, besides showing them."""

    join: Image | None = None
    """Ask for what this picture shows as well."""
    replace: tuple[tuple[str, str], ...] = ()
    """Words by other words."""
    delete: tuple[str, ...] = ()
    evolve: Image | None = None
    """Breed with the prompt of this picture."""
    generations: int = 3
    mask: MaskBy | None = None
    """Show where the picture shows what each word of the best prompt says, found in this way."""


@dataclass(frozen=True, slots=True)
class Made:
    """A prompt made of recovered ones, and what it paints."""

    how: str
    """``"join"``, ``"replace tea by coffee"``, ``"generation 2"``, …"""
    prompts: tuple[str, ...]
    """Those it was made of."""
    judged: JudgedPrompt | None
    """Beside the picture, or both pictures, that it comes from; None where it cannot be made."""
    failure: str = ""
    """Why it cannot be made."""


@dataclass(frozen=True, slots=True)
class InversionResult:
    """All that is known of one picture after its inversion."""

    inverted: tuple[Inverted, ...]
    """One a method, the best first."""
    plain: Mean | None
    """How similar pictures of the prompt ``a picture`` are: what any prompt has to beat."""
    made: tuple[Made, ...]
    masks: tuple[WordMask, ...]
    """Of the words of the best prompt; empty unless wished for."""
    model: str
    guard: str
    guide: str
    """Empty without one."""
    language_model: str
    """Empty without one."""
    notes: tuple[str, ...]
    """What could not be had, a sentence each."""
    seconds: float
    picture: Image = field(repr=False, compare=False, metadata={"shown": False})


def examine(inversion: Inversion, picture: Image, wishes: Wishes | None = None) -> InversionResult:
    """Invert a picture and fulfil what is wished for.

    Raises:
        ConfigError: a wish that cannot be fulfilled with these tools, before anything is loaded.
    """
    wishes = wishes or Wishes()
    refuse_unfulfillable(inversion, wishes)
    started = time.monotonic()
    found = inversion.invert(picture)
    plain = inversion.plain(picture)
    made = tuple(_made(inversion, picture, found, wishes))
    masks: tuple[WordMask, ...] = ()
    notes = [inversion.no_gradients] if inversion.no_gradients else []
    if wishes.mask and inversion.denoiser and best_prompt(found):
        try:
            masks = word_masks(inversion.denoiser, picture, best_prompt(found), wishes.mask)
        except ItemError as error:
            notes.append(str(error))
    return InversionResult(
        inverted=found,
        plain=plain,
        made=made,
        masks=masks,
        model=inversion.model.model_id,
        guard=inversion.guard.encoder_id,
        guide=inversion.guide.encoder_id if inversion.guide else "",
        language_model=inversion.language_model.language_model_id
        if inversion.language_model
        else "",
        notes=tuple(notes),
        seconds=time.monotonic() - started,
        picture=picture,
    )


def refuse_unfulfillable(inversion: Inversion, wishes: Wishes) -> None:
    """Say at once what these tools cannot do.

    Raises:
        ConfigError: a wish that cannot be fulfilled.
    """
    if wishes.mask and inversion.denoiser is None:
        raise ConfigError(
            f"--mask looks into the model, but {inversion.no_gradients} with --model, or leave "
            f"--mask out"
        )
    if wishes.evolve is not None:
        _guide(inversion)
    if wishes.generations < 1:
        raise ConfigError(f"--generations is {wishes.generations}, but it is at least 1")


def _made(
    inversion: Inversion, picture: Image, found: Sequence[Inverted], wishes: Wishes
) -> Iterator[Made]:
    for old, new in wishes.replace:
        how = f"replace {old} by {new}"
        yield edited(inversion, picture, found, how, old, partial(edits.replace, old=old, new=new))
    for words in wishes.delete:
        how = f"delete {words}"
        yield edited(inversion, picture, found, how, words, partial(edits.delete, words=words))
    best = best_prompt(found)
    if wishes.join is not None:
        other = best_prompt(inversion.invert(wishes.join))
        yield joined(inversion, (picture, wishes.join), (best, other))
    if wishes.evolve is not None:
        other = best_prompt(inversion.invert(wishes.evolve))
        pictures = (picture, wishes.evolve)
        method = found[0].method
        yield from evolved(inversion, method, pictures, (best, other), wishes.generations)


def best_prompt(found: Sequence[Inverted]) -> str:
    """The prompt that stands first; empty where no method found one."""
    return next((one.prompt for one in found if one.prompt), "")


def edited(
    inversion: Inversion,
    picture: Image,
    found: Sequence[Inverted],
    how: str,
    words: str,
    edit: Callable[[str], str],
) -> Made:
    """The best prompt that says these words, edited, painted and judged."""
    prompts = [one.prompt for one in found if edits.says(one.prompt, words)]
    if not prompts:
        said = best_prompt(found)
        reason = f"the best prompt is {said!r}" if said else "none was found"
        return Made(how, (), None, f"no prompt says {words!r}; {reason}")
    try:
        changed = edit(prompts[0])
    except ValueError as error:
        return Made(how, (prompts[0],), None, str(error))
    return Made(how, (prompts[0],), inversion.judge(changed, [picture]))


def joined(inversion: Inversion, pictures: Sequence[Image], prompts: Sequence[str]) -> Made:
    """One prompt that asks for what both pictures show."""
    if not all(prompts):
        return Made("join", tuple(prompts), None, "no prompt was found for one of the pictures")
    return Made("join", tuple(prompts), inversion.judge(edits.join(*prompts), pictures))


def evolved(
    inversion: Inversion,
    method: str,
    pictures: Sequence[Image],
    prompts: Sequence[str],
    generations: int,
) -> Iterator[Made]:
    """Breed the prompts of two pictures: merge, paint, choose a child, invert its picture, merge
    that with both parents again.

    The guide chooses, by the less similar of the two pictures; the guard only reports.

    Raises:
        ConfigError: there is no guide.

    Source: Li et al., EDITOR, arXiv 2506.03067 (evolutionary generation; the recipe is known in
    one line only). Ours: how prompts are merged, that the guide chooses among four painted
    children, and that the last child stays in the race.
    """
    guide = _guide(inversion)
    if not all(prompts):
        yield Made("evolve", tuple(prompts), None, "no prompt was found for one of the pictures")
        return
    parents, children = tuple(prompts), list(edits.merges(*prompts))
    for generation in range(1, generations + 1):
        child, picture = _fittest(inversion, guide, pictures, children, generation - 1)
        how = f"generation {generation}"
        if picture is None:
            yield Made(how, parents, None, "no child could be painted")
            return
        yield Made(how, parents, inversion.judge(child, pictures))
        if generation == generations:
            return
        seen = inversion.search(method, picture).prompt or child
        parents = (seen, *prompts)
        children = [child, *_each_once(child, seen, prompts)]


def _guide(inversion: Inversion) -> Encoder:
    if inversion.guide is None:
        raise ConfigError("--evolve needs an encoder that chooses children: name it with --guide")
    return inversion.guide


def _each_once(child: str, seen: str, prompts: Sequence[str]) -> Iterable[str]:
    merged = [one for prompt in prompts for one in edits.merges(seen, prompt)]
    return [one for one in dict.fromkeys([seen, *merged]) if one != child]


def _fittest(
    inversion: Inversion,
    guide: Encoder,
    pictures: Sequence[Image],
    children: Sequence[str],
    place: int,
) -> tuple[str, Image | None]:
    by_words = _least(similarities(guide, pictures, children))
    ranked = sorted(zip(by_words, children, strict=True), reverse=True)
    painted = [
        (child, picture)
        for _, child in ranked[:PAINTED_CHILDREN]
        if (picture := inversion.paint_once(child, place)) is not None
    ]
    if not painted:
        return "", None
    seen = guide.see([picture for _, picture in painted])
    by_looks = _least((guide.see(pictures) @ seen.T).tolist())
    return painted[by_looks.index(max(by_looks))]


def _least(rows: Sequence[Sequence[float]]) -> list[float]:
    """Of every column."""
    return [min(column) for column in zip(*rows, strict=True)]
