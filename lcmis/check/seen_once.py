"""A picture asked several questions is prepared once, and goes through the vision tower once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from PIL import Image


def prepare_once(processor: Any) -> None:
    """Make a processor remember the tensors of the pictures that it was given last.

    The same pictures come again with every question; the tensors are shared, the dictionary around
    them is not, since processors take entries out of it.
    """
    inner = getattr(processor, "image_processor", None)
    if inner is None:
        return
    prepare = inner.preprocess
    last: list[tuple[Any, Any]] = []

    def remembered(images: Any, *args: Any, **kwargs: Any) -> Any:
        asked = (_pixels(images), repr(args), repr(sorted(kwargs.items())))
        for before, prepared in last:
            if before == asked:
                return type(prepared)(dict(prepared))
        prepared = prepare(images, *args, **kwargs)
        last[:] = [(asked, type(prepared)(dict(prepared)))]
        return prepared

    inner.preprocess = remembered


@contextmanager
def features_once(model: Any) -> Iterator[None]:
    """While inside, what sees pictures and does not read words is asked once for equal pictures.

    That is every part beside the language model: vision tower, projector, resampler. Equal input
    gives the output of the first time; a part that also reads the question has other input each
    time, and works each time.
    """
    with ExitStack() as undo:
        for part in _eyes(model):
            own = vars(part).get("forward")  # set where a library has wrapped it
            part.forward = _remembering(part.forward)
            undo.callback(_restore, part, own)
        yield


def _restore(part: Any, own: Callable[..., Any] | None) -> None:
    if own is None:
        del part.forward  # the class's own shows again
    else:
        part.forward = own


def _remembering(inner: Callable[..., Any]) -> Callable[..., Any]:
    seen: list[tuple[Any, Any]] = []

    def remembered(*args: Any, **kwargs: Any) -> Any:
        for before, output in seen:
            if _equal(before, (args, kwargs)):
                return output
        output = inner(*args, **kwargs)
        seen.append(((args, kwargs), output))
        return output

    return remembered


def _eyes(model: Any) -> list[Any]:
    """The outermost modules that neither hold the table of words nor belong to the decoder."""
    words, head = model.get_input_embeddings(), model.get_output_embeddings()
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else None
    found, rooms = [], [model]
    while rooms:
        for child in rooms.pop().children():
            if child is words or child is head or child is decoder:
                continue
            if any(module is words or module is head for module in child.modules()):
                rooms.append(child)
            else:
                found.append(child)
    return found


def _pixels(images: Any) -> Any:
    if isinstance(images, list | tuple):
        return [_pixels(image) for image in images]
    if isinstance(images, Image.Image):
        return (images.size, images.mode, images.tobytes())
    return images


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one is other or (
            one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)
        )
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    return one is other or (isinstance(one, bool | int | float | str) and one == other)
