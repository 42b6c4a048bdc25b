"""A pickle of weights read in a process of its own, behind a fence, and written as safetensors.

Run as a script by :mod:`lcmis.machine.pickles`, never imported by it. It imports nothing of lcmis:
Python starts it isolated, and what a pickle could reach is the less.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000
"""Linux's names for a process that has users and a network of its own."""
CLOSED = ("ctypes", "ftplib", "http", "os", "pty", "shutil", "smtplib", "socket", "subprocess")
"""Whatever the interpreter reports under these names is refused, but for :data:`HARMLESS`."""
HARMLESS = ("os.listdir", "os.scandir")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
ROOM = 1 << 30
"""Bytes of memory beyond what the file itself may need."""
MOST_TIMES = 4
"""So many times as large as its file a set of tensors may be: weights may be tied, not blown up."""
DEEPEST = 4
"""Mappings within mappings that weights are looked for in."""


class FencedError(Exception):
    """What was read tried to reach something outside."""


class PartError(Exception):
    """There is no such set of weights, or more than one."""


def leave_network() -> None:
    """Where Linux allows it, this process has no network from here on; before any thread runs."""
    if sys.platform == "linux":
        ctypes.CDLL(None).unshare(NEW_USER | NEW_NETWORK)


def limit(size: int, seconds: int) -> None:
    """Bound memory, time, and the length of files, for a pickle of this size."""
    import resource

    bounds = {
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_FSIZE: MOST_TIMES * size + ROOM,
        resource.RLIMIT_CORE: 0,
    }
    pages = Path("/proc/self/statm")
    if pages.exists():
        held = int(pages.read_text().split()[0]) * resource.getpagesize()
        bounds[resource.RLIMIT_AS] = held + 2 * MOST_TIMES * size + ROOM
    for what, most in bounds.items():
        hard = resource.getrlimit(what)[1]
        resource.setrlimit(what, (most if hard < 0 else min(most, hard), hard))


def fence(file: str, draft: str) -> None:
    """From here on Python opens ``file`` to read, ``draft`` to write, its own modules, no more.

    There is no way back for this process.
    """
    own = tuple({sys.prefix, sys.base_prefix, sys.exec_prefix, str(Path(os.__file__).parent)})

    def judge(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = args
            if isinstance(path, int):
                return
            name = os.fsdecode(path)
            if flags & WRITING:
                allowed = name == draft
            else:
                allowed = name in (file, draft) or name.startswith(own)
            if not allowed:
                raise FencedError(f"it would open {name}")
        elif event.partition(".")[0] in CLOSED and event not in HARMLESS:
            raise FencedError(f"it would call {event}")

    sys.addaudithook(judge)


def mappings(content: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every mapping from names to tensors in what was read, outermost first, with its own name."""
    import torch

    if not isinstance(content, Mapping) or depth > DEEPEST:
        return
    tensors = {str(key): value for key, value in content.items() if isinstance(value, torch.Tensor)}
    if tensors:
        yield path, tensors
        return
    for key, value in content.items():
        yield from mappings(value, f"{path}.{key}" if path else str(key), depth + 1)


def chosen(content: Any, part: str) -> tuple[str, dict[str, Any]]:
    """The one set of weights in a file, or the one that was asked for.

    Raises:
        PartError: there is no such set, or more than one.
        ValueError: there is none at all.
    """
    found = dict(mappings(content))
    if not found:
        raise ValueError("it holds no weights by their names")
    if part and part not in found:
        raise PartError(f"has no part {part!r}: name one of {', '.join(found)}")
    if part:
        return part, found[part]
    if len(found) > 1:
        raise PartError(
            f"holds several sets of weights: name one of {', '.join(found)} with --part"
        )
    return next(iter(found.items()))


def alone(tensors: Mapping[str, Any], most: int) -> dict[str, Any]:
    """Each tensor with memory of its own, as safetensors wants it; tied ones are written twice.

    Raises:
        ValueError: a tensor is of a kind that safetensors does not hold, or all are too large.
    """
    import torch

    found: dict[str, Any] = {}
    taken: set[int] = set()
    total = 0
    for name, tensor in tensors.items():
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_complex():
            raise ValueError(f"its tensor {name} is of a kind that safetensors does not hold")
        total += tensor.numel() * tensor.element_size()
        if total > most:
            raise ValueError(f"its tensors claim more numbers than the file can hold, at {name}")
        memory = tensor.untyped_storage().data_ptr()
        tensor = tensor.detach()
        found[name] = tensor.clone() if memory in taken else tensor
        found[name] = found[name].contiguous()
        taken.add(memory)
    return found


def why(error: BaseException) -> str:
    """What was wrong, without torch's advice to trust the file."""
    said = " ".join(str(error).split())
    if found := re.search(r"GLOBAL ([\w.]+)", said):
        return f"it asks for {found[1]}, which makes no tensor"
    if isinstance(error, MemoryError) or "allocate memory" in said:
        return "it asks for more memory than weights of its size need"
    if isinstance(error, FencedError | ValueError) and said:
        return said[:200]
    if "TorchScript" in said:
        return "it is a TorchScript archive, which is a program"
    return "it is damaged, or torch did not write it"


def say(result: dict[str, Any]) -> None:
    """One line for who started this."""
    sys.stdout.write(json.dumps(result) + "\n")


def main(file: str, draft: str, part: str, seconds: str) -> int:
    """Read, write, and print what was written as JSON; 3 where it is refused, with the reason."""
    import pickle

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    torch.set_num_threads(1)
    size = os.stat(file).st_size  # noqa: PTH116 (pathlib would be one more thing behind the fence)
    save_file({"warm": torch.zeros(1)}, draft)  # all that is imported late is imported now
    limit(size, int(seconds))
    fence(file, draft)
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
        name, tensors = chosen(content, part)
        whole = alone(tensors, MOST_TIMES * size)
        save_file(whole, draft, metadata={"format": "pt"})
    except PartError as error:
        say({"asked": str(error)})
        return 3
    except (
        FencedError,
        SafetensorError,
        pickle.UnpicklingError,
        ArithmeticError,
        AssertionError,
        AttributeError,
        EOFError,
        ImportError,
        LookupError,
        MemoryError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        say({"refused": why(error)})
        return 3
    shapes = {key: list(tensor.shape) for key, tensor in whole.items()}
    kinds = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in whole.values()})
    say({"part": name, "shapes": shapes, "dtypes": kinds})
    return 0


if __name__ == "__main__":
    leave_network()
    sys.exit(main(*sys.argv[1:]))
