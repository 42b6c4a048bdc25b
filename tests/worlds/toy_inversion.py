"""Inverters and encoders of the world of two coloured halves, with known answers."""

from __future__ import annotations

import struct
import zlib

import torch
from PIL import Image

from lcmis.errors import CheckError, InversionError
from lcmis.plugins import registry
from worlds.toys import COLOURS, understood

INVERTERS = ("Knows", "Errs", "Fails", "Paints", "Asks", "Rambles", "Reads")
BAD_PICTURES = ("missing.png", "", "text.png", "empty.jpg", "half.png", "huge.png")
"""Names in the folder of :func:`damaged`; the empty one is the folder."""


def register(monkeypatch):
    """All of them answer to their names, as if another package had brought them."""
    named = {("inverters", name.lower()): f"worlds.toy_inversion:{name}" for name in INVERTERS} | {
        ("checkers", "eyes"): "worlds.toy_inversion:ToyEyes",
        ("text_models", "toy"): "worlds.toys:ToyWriter",
        ("language_models", "letters"): "worlds.toy_inversion:LetterCount",
    }
    for (group, name), place in named.items():
        monkeypatch.setitem(registry.BUILT_IN[group], name, place)


def halves(a, b):
    picture = Image.new("RGB", (16, 8), COLOURS[a])
    picture.paste(COLOURS[b], (8, 0, 16, 8))
    return picture


REFERENCE = halves("rubine", "azure")


def damaged(folder):
    folder.mkdir(exist_ok=True)
    (folder / "text.png").write_text("no picture")
    (folder / "empty.jpg").write_bytes(b"")
    Image.effect_noise((64, 64), 90).save(folder / "whole.png")
    whole = (folder / "whole.png").read_bytes()
    (folder / "half.png").write_bytes(whole[: len(whole) // 2])
    header = b"IHDR" + struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)
    bomb = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    (folder / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bomb + whole[33:])
    return folder


class ToyEncoder:
    """Sees the colours of both halves, and reads them in a text; angles between are cosines."""

    context_length = 77
    device = "cpu"

    def __init__(self, name):
        self.encoder_id = f"toy:{name}@1"

    def see(self, pictures):
        halves = [
            (picture.convert("RGB").resize((16, 8)).getpixel(at) for at in ((4, 4), (12, 4)))
            for picture in pictures
        ]
        return _unit([[value for half in both for value in half] for both in halves])

    def read(self, texts):
        said = [text.partition(" beside ") for text in texts]
        return _unit([[*COLOURS[understood(a)], *COLOURS[understood(b)]] for a, _, b in said])

    def num_tokens(self, text):
        return len(text.split()) + 2


class ToyEyes:
    """A checker that offers an encoder."""

    def __init__(self, settings):
        self.settings = settings
        self.checker_id = f"toy-eyes:{settings.name}@1"

    def encoder(self):
        return ToyEncoder(self.settings.name)


class Knows:
    """Says one colour after the other until it has both."""

    inverter_id = "knows"

    def invert(self, reference, tools):
        guesses = ["void beside void", "rubine beside void", "rubine beside azure"]
        yield from guesses


class Errs:
    """Gets one half right."""

    inverter_id = "errs"

    def invert(self, reference, tools):
        yield "lime beside azure"


class Fails:
    """Needs what nobody has."""

    inverter_id = "fails"

    def invert(self, reference, tools):
        raise InversionError("it needs a denoiser and there is none: take another model")
        yield


class Paints:
    """Paints every colour beside every other, twice each, for as long as it may."""

    inverter_id = "paints"

    def invert(self, reference, tools):
        for a in COLOURS:
            for b in COLOURS:
                prompt = f"{a} beside {b}"
                tools.paint(prompt, 0)
                tools.paint(prompt, 0)
                yield prompt


class Asks:
    """Asks its text model twice."""

    inverter_id = "asks"

    def invert(self, reference, tools):
        for _ in range(2):
            tools.text_model.complete([{"role": "user", "content": "rubine or azure?"}])
        yield "rubine beside azure"


class Rambles:
    """Says more than the model reads."""

    inverter_id = "rambles"

    def invert(self, reference, tools):
        yield "rubine beside azure" + ", really" * 9


class Reads:
    """Inverts what the toy model paints, exactly."""

    inverter_id = "reads"

    def invert(self, reference, tools):
        names = {colour: name for name, colour in COLOURS.items()}
        halves = [reference.getpixel(at) for at in ((4, 4), (12, 4))]
        yield " beside ".join(names[colour] for colour in halves)


class LetterCount:
    """A language model whose perplexity is the number of letters; silent on what is too long."""

    language_model_id = "letters@1"

    def perplexity(self, text):
        if len(text) > 60:
            raise CheckError("too long")
        return float(len(text))


def _unit(rows):
    vectors = torch.tensor(rows, dtype=torch.float32) + 1
    return vectors / vectors.norm(dim=-1, keepdim=True)
