"""The picture and the words before the question go through a model once, for all its questions."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

LOGITS = {"output_logits": True, "return_dict_in_generate": True}


class NotShared(Exception):
    """Why the beginning cannot be shared, in words that end a sentence."""


@dataclass(frozen=True, slots=True)
class Beginnings:
    """What the questions of each row have in common, counted in tokens."""

    starts: list[list[int]]
    """``[question][row]``: the first column that is no padding."""
    lengths: list[int]
    """``[row]``: of the common beginning."""
    rests: list[list[int]]
    """``[question][row]``: of what follows it, at least 1."""


def beginnings_of(asked: Sequence[Mapping[str, Any]], picture_tokens: frozenset[int]) -> Beginnings:
    """Where the questions of each row part, by token ids and never by their text.

    Args:
        asked: for each question its encoded rows, padded on the left; row i is always about
            picture i.
        picture_tokens: ids that stand for a picture.

    Raises:
        NotShared: the picture, or a part of it, stands behind the first word that differs.
    """
    starts, tokens = [], []
    for rows in asked:
        starts.append(rows["attention_mask"].argmax(dim=1).tolist())
        ids = rows["input_ids"].tolist()
        tokens.append([row[start:] for row, start in zip(ids, starts[-1], strict=True)])
    lengths = [_common([question[row] for question in tokens]) for row in range(len(tokens[0]))]
    for row, length in enumerate(lengths):
        if any(not picture_tokens.isdisjoint(question[row][length:]) for question in tokens):
            raise NotShared("its question does not stand wholly behind the picture")
        if length == 0:
            raise NotShared("its questions have no beginning in common")
    rests = [[len(ids) - length for ids, length in zip(q, lengths, strict=True)] for q in tokens]
    return Beginnings(starts, lengths, rests)


def shared_logits(
    model: Any,
    asked: Sequence[Mapping[str, Any]],
    picture_tokens: frozenset[int],
    place: Callable[[torch.Tensor], torch.Tensor],
    **how: Any,
) -> list[torch.Tensor]:
    """Logits of each reply's first token, with the beginnings read once.

    The beginnings of all rows are read together, padded on the left. Each question then goes on
    from a copy of what was kept of them: keys and values, windows, recurrent states, whatever the
    model keeps. Its rows are padded on the right, where no token before can see the padding.

    Args:
        model: of transformers, decoder only.
        asked: for each question its encoded rows, on the CPU, padded on the left.
        picture_tokens: ids that stand for a picture.
        place: puts a tensor where the model wants it.
        how: for ``generate``.

    Returns:
        For each question ``(rows, vocabulary)``.

    Raises:
        NotShared: this model, or this way of asking it, has no beginning to share.
    """
    if getattr(model.config, "is_encoder_decoder", False):
        raise NotShared("its encoder reads picture and question together")
    parts = beginnings_of(asked, picture_tokens)
    aligned = _by_token(asked[0])
    width = max(parts.lengths)
    begun = {
        name: _columns(rows, parts.starts[0], parts.lengths, width, pad_left=True)
        for name, rows in aligned.items()
    }
    pictures = {name: value for name, value in asked[0].items() if name not in aligned}
    first = {name: place_all(value, place) for name, value in {**pictures, **begun}.items()}
    kept = model.generate(**first, **how, **LOGITS, use_cache=True).past_key_values
    if not hasattr(kept, "layers") or kept.get_seq_length() != width:
        raise NotShared("it keeps nothing of what it has read that could be used again")
    can_keep = "logits_to_keep" in inspect.signature(model.forward).parameters
    found = []
    for number, rows in enumerate(asked):
        rests = parts.rests[number]
        after = [
            start + length
            for start, length in zip(parts.starts[number], parts.lengths, strict=True)
        ]
        goes_on = {
            name: torch.cat(
                [begun[name], _columns(values, after, rests, max(rests), pad_left=False)], dim=1
            )
            for name, values in _by_token(rows).items()
        }
        goes_on["attention_mask"][:, width:] = 1  # padding on the right is seen by itself only
        if len(set(rests)) > 1 and not can_keep:
            raise NotShared("its class cannot be asked for the words at several places")
        ends = torch.tensor([[rest - 1] for rest in rests])
        where = {"logits_to_keep": place(ends)} if can_keep else {}
        said = model.generate(
            **{name: place_all(value, place) for name, value in goes_on.items()},
            **where,
            **how,
            **LOGITS,
            past_key_values=_again(kept) if number < len(asked) - 1 else kept,
            use_cache=True,
        )
        found.append(said.logits[0].float())
    return found


def place_all(value: Any, place: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Tensors placed, also those in lists; the rest as it is."""
    if isinstance(value, torch.Tensor):
        return place(value)
    if isinstance(value, list):
        return [place_all(one, place) for one in value]
    return value


def _common(several: Sequence[Sequence[int]]) -> int:
    """Of the longest common beginning; each keeps a token of its own."""
    shortest = min(len(one) for one in several) - 1
    for place, here in enumerate(zip(*several, strict=False)):
        if place == shortest or len(set(here)) > 1:
            return place
    return max(shortest, 0)


def _by_token(rows: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Those of the encoded tensors that have a column for every token."""
    shape = rows["input_ids"].shape
    return {
        name: value
        for name, value in rows.items()
        if isinstance(value, torch.Tensor)
        and value.shape[:2] == shape
        and not name.startswith(("pixel", "image"))
    }


def _columns(
    rows: torch.Tensor, starts: Sequence[int], lengths: Sequence[int], width: int, pad_left: bool
) -> torch.Tensor:
    """Of each row some columns, padded with zeros to one width."""
    cut = rows.new_zeros(len(rows), width, *rows.shape[2:])
    for row, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        at = width - length if pad_left else 0
        cut[row, at : at + length] = rows[row, start : start + length]
    return cut


def _again(kept: Any) -> Any:
    """A copy to go on from. Keys and values are replaced when they grow, so that they need no copy
    of their own; recurrent states are written over.
    """
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    other = copy.copy(kept)
    other.layers = [
        copy.copy(layer)
        if type(layer) in (DynamicLayer, DynamicSlidingWindowLayer)
        else copy.deepcopy(layer)
        for layer in kept.layers
    ]
    return other
