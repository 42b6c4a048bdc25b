"""What a pipeline makes of a prompt: its encodings, once each, and what its denoiser is told."""

from __future__ import annotations

import copy
import inspect
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    import torch

Value = TypeVar("Value")
ENCODED_BYTES = 2**29
"""Of the device's memory for encodings of prompts; one of FLUX takes 4 MiB, of FLUX.2 16 MiB."""
TOLD_BYTES = 2**28
"""Of the device's memory for what a denoiser was told, a batch at a time."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """How a pipeline draws unless the user says otherwise; None where nobody has said it."""

    num_inference_steps: int | None
    guidance_scale: float | None
    height: int | None
    width: int | None
    multiple: int
    """Height and width must be multiples of this."""
    negative_prompt: str = ""
    """What is steered away from where the user names nothing."""


class Kept(Generic[Value]):
    """Values by key, while memory lasts; the longest unused goes first."""

    def __init__(self, most_bytes: int, size: Callable[[Value], int]) -> None:
        self.num_bytes = 0
        """Held now."""
        self._most_bytes = most_bytes
        self._size = size
        self._values: OrderedDict[Hashable, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """What is kept under a key, made now where it is new."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        value = self._values[key] = make()
        self.num_bytes += self._size(value)
        while self.num_bytes > self._most_bytes and len(self._values) > 1:
            _, gone = self._values.popitem(last=False)
            self.num_bytes -= self._size(gone)
        return value


# ── what the text encoders make of prompts ───────────────────────────────────────────────────────


class PromptsDiffer(Exception):
    """Prompts whose encodings cannot stand in one batch, such as those of different length."""


class Encodings:
    """A pipeline's own ``encode_prompt``, run once a prompt: each alone, and joined for a batch.

    So a prompt's encoding does not depend on its neighbours. A pipeline whose encodings of several
    prompts are more than those of each behind one another (some pack all of a batch into one row)
    is found out by encoding two, and then encodes the whole batch at once.

    Args:
        pipeline: as it was loaded.
        usual_negative: what it takes for no negative prompt.
    """

    def __init__(self, pipeline: Any, usual_negative: str | None) -> None:
        self._pipeline = pipeline
        self._usual_negative = usual_negative
        self._own: Any = getattr(pipeline, "encode_prompt", None)
        self._joins: bool | None = None
        self._kept: Kept[Any] = Kept(ENCODED_BYTES, num_bytes)

    @contextmanager
    def remembered(self) -> Iterator[None]:
        """While inside, the pipeline encodes no prompt a second time."""
        if self._own is None:
            yield
            return
        before = vars(self._pipeline).get("encode_prompt")
        self._pipeline.encode_prompt = self._encode
        try:
            yield
        finally:
            del self._pipeline.encode_prompt
            if before is not None:
                self._pipeline.encode_prompt = before

    def _encode(self, *args: Any, **kwargs: Any) -> Any:
        call = inspect.signature(self._own).bind(*args, **kwargs).arguments
        more = call.pop("kwargs", {})
        texts = {
            name: value
            for name, value in call.items()
            if name.startswith(("prompt", "negative_prompt")) and _are_texts(value)
        }
        rest = {name: value for name, value in call.items() if name not in texts} | more
        if "prompt" not in texts or not _are_plain(rest.values()):
            return self._own(*args, **kwargs)
        rows = [
            tuple((name, self._text(name, value[row])) for name, value in texts.items())
            for row in range(len(texts["prompt"]))
        ]
        if len(rows) == 1 or self._can_join(rows[0], rest):
            return _joined([self._encoded((row,), rest) for row in rows])
        if len(set(rows)) > 1:
            raise PromptsDiffer
        return self._encoded(tuple(rows), rest)

    def _can_join(self, row: Any, rest: Mapping[str, Any]) -> bool:
        """Whether two of one prompt have the form of that prompt's encoding twice."""
        if self._joins is None:
            one = self._encoded((row,), rest)
            two = self._own(**self._told((row, row), rest))
            try:
                self._joins = shapes(_joined([one, one])) == shapes(two)
            except PromptsDiffer:
                self._joins = False
        return self._joins

    def _encoded(self, rows: tuple[Any, ...], rest: Mapping[str, Any]) -> Any:
        named = ((name, str(value)) for name, value in rest.items() if name != "batch_size")
        key = (rows, tuple(sorted(named)))
        return self._kept.get(key, lambda: self._encode_anew(rows, rest))

    def _encode_anew(self, rows: tuple[Any, ...], rest: Mapping[str, Any]) -> Any:
        from lcmis.render.resting import rest_again

        encoded = self._own(**self._told(rows, rest))
        rest_again(self._pipeline)
        return encoded

    def _told(
        self, rows: Sequence[tuple[tuple[str, str | None], ...]], rest: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The texts of several rows, name by name, None where no row has any; and the rest."""
        columns = {name: [dict(row)[name] for row in rows] for name, _ in rows[0]}
        counted = {"batch_size": len(rows)} if "batch_size" in rest else {}
        texts = {
            name: None if all(text is None for text in column) else column
            for name, column in columns.items()
        }
        return {**rest, **counted, **texts}

    def _text(self, name: str, text: str) -> str | None:
        is_usual = name.startswith("negative_prompt") and not text
        return self._usual_negative if is_usual else text


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)


def _are_plain(values: Any) -> bool:
    """Whether they can name a call: numbers, words, devices, and no tensors or pictures."""
    import torch

    plain = (int, float, str, torch.device, torch.dtype)
    return all(
        value is None
        or isinstance(value, plain)
        or (isinstance(value, list | tuple) and _are_plain(value))
        for value in values
    )


def _joined(parts: Sequence[Any]) -> Any:
    """Encodings of one prompt each as those of a batch.

    Raises:
        PromptsDiffer: they have other shapes, or differ in what belongs to no row.
    """
    import torch

    first = parts[0]
    if all(same(part, first) for part in parts) and not _has_rows(first):
        return first
    if isinstance(first, torch.Tensor):
        shapes = {part.shape for part in parts if isinstance(part, torch.Tensor)}
        if len(shapes) != 1 or len(first) != 1:
            raise PromptsDiffer
        return torch.cat(list(parts))
    if isinstance(first, Mapping):
        return {name: _joined([part[name] for part in parts]) for name in first}
    if isinstance(first, tuple):
        return tuple(_joined(column) for column in zip(*parts, strict=True))
    if isinstance(first, list):
        if len(first) == 1:  # one entry a prompt, each of its own length
            return [part[0] for part in parts]
        return [_joined(column) for column in zip(*parts, strict=True)]
    raise PromptsDiffer


def _has_rows(value: Any) -> bool:
    import torch

    if isinstance(value, torch.Tensor):
        return value.ndim > 0 and len(value) == 1
    if isinstance(value, list) and len(value) == 1:
        return True
    return isinstance(value, list | tuple | Mapping) and any(
        _has_rows(part) for part in (value.values() if isinstance(value, Mapping) else value)
    )


# ── what the denoiser is told ────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, eq=False)
class CallArguments:
    """The arguments of one call of a denoiser."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


REMOVED = object()
"""Stands for an argument that the other call does not have."""

Change = tuple[tuple[Any, ...], Any]
"""Where in ``(args, kwargs)`` another value stands, and that value."""


def changes(ruling: CallArguments, native: CallArguments) -> list[Change]:
    """What one call is told otherwise than another: all that depends on the prompt, if nothing but
    the prompt differed.
    """
    return [
        *_changes(ruling.args, native.args, (0,)),
        *_changes(ruling.kwargs, native.kwargs, (1,)),
    ]


def _changes(ruling: Any, native: Any, path: tuple[Any, ...]) -> Iterator[Change]:
    if (
        isinstance(ruling, dict)
        and isinstance(native, dict)
        and (len(path) == 1 or ruling.keys() == native.keys())
    ):
        for name in dict.fromkeys((*ruling, *native)):
            if name not in native or name not in ruling:
                yield (*path, name), ruling.get(name, REMOVED)
            else:
                yield from _changes(ruling[name], native[name], (*path, name))
    elif _are_alike(ruling, native):
        for place, (one, other) in enumerate(zip(ruling, native, strict=True)):
            yield from _changes(one, other, (*path, place))
    elif not same(ruling, native):
        yield path, ruling


def _are_alike(one: Any, other: Any) -> bool:
    return type(one) is type(other) and isinstance(one, list | tuple) and len(one) == len(other)


def changed(told: CallArguments, by: Sequence[Change]) -> CallArguments:
    """A call with some of its arguments replaced; the call itself stays as it was."""
    both: Any = [told.args, told.kwargs]
    for path, value in by:
        both = _put(both, path, value)
    return CallArguments(*both)


def _put(container: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    first, rest = path[0], path[1:]
    if isinstance(container, tuple):
        items = list(container)
        items[first] = _put(items[first], rest, value)
        return tuple(items)
    other = copy.copy(container)
    if not rest and value is REMOVED:
        other.pop(first, None)
    else:
        inner = other.get(first) if isinstance(other, dict) else other[first]
        other[first] = _put(inner, rest, value)
    return other


def same(one: Any, other: Any) -> bool:
    """Whether two arguments are equal bit for bit, tensors and containers alike."""
    import torch

    if one is other:
        return True
    if isinstance(one, torch.Tensor):
        if not isinstance(other, torch.Tensor) or one.shape != other.shape:
            return False
        if one.dtype != other.dtype:
            return False
        return bool(((one == other) | ((one != one) & (other != other))).all())  # NaN is NaN here
    if isinstance(one, Mapping):
        return (
            isinstance(other, Mapping)
            and one.keys() == other.keys()
            and all(same(one[name], other[name]) for name in one)
        )
    if isinstance(one, list | tuple):
        return (
            isinstance(other, list | tuple)
            and len(one) == len(other)
            and all(map(same, one, other))
        )
    return type(one) is type(other) and bool(one == other)


def num_bytes(value: Any) -> int:
    """Of all tensors in it."""
    return sum(tensor.nbytes for tensor in tensors(value))


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """All tensors in a value, however deep."""
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, CallArguments):
        yield from tensors(value.args)
        yield from tensors(value.kwargs)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors(part)


def shapes(value: Any) -> Any:
    """The form of an encoding, without its numbers."""
    import torch

    if isinstance(value, torch.Tensor):
        return tuple(value.shape)
    if isinstance(value, Mapping):
        return {name: shapes(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [shapes(part) for part in value]
    return value


def tokens_within(
    tokenizer: Any, prompt: str, start: int, end: int, *, most: int | None = None
) -> list[int]:
    """Places, in a prompt's tokens, of all that stand for some of its letters.

    Args:
        tokenizer: tells which letters a token stands for.
        prompt: as it is drawn.
        start: of the letters.
        end: of the letters.
        most: tokens after which the prompt is cut; it is read whole by default.
    """
    told = {} if most is None else {"truncation": True, "max_length": most}
    offsets = tokenizer(prompt, return_offsets_mapping=True, **told).offset_mapping
    return [place for place, (a, b) in enumerate(offsets) if a < end and b > start]
