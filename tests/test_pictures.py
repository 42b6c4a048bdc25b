"""A picture file is the same picture on every road into the tool."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import SecretStr
from test_llm import CANARY, Server, http

from lcmis.check.pictures import open_picture, readable
from lcmis.errors import ConfigError, RenderError, ServiceClosed
from lcmis.machine.pictures import UnscaledError, flat
from lcmis.plugins.opening import open_model
from lcmis.plugins.settings import HostedSettings, ModelSettings
from lcmis.propose.importing.pictures import import_pictures
from lcmis.render.hosted import HostedModel
from lcmis.repair import references
from lcmis.types import Stage

PROMPT = "a tea cup and a spoon"
RAMP = np.linspace(0, 65535, 64).round().astype(np.uint16).reshape(8, 8)


def sixteen_bit_png(rows: np.ndarray, colour_type: int, clear: bytes = b"") -> bytes:
    """A PNG of 16 bits a channel, spelled out: Pillow writes none in colour."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    height, width = rows.shape[:2]
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
        + (chunk(b"tRNS", clear) if clear else b"")
        + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
    )


def encoded(picture: Image.Image, form: str, **how) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **how)
    return buffer.getvalue()


def sideways() -> bytes:
    picture = Image.new("RGB", (12, 8), "red")
    picture.paste("blue", (0, 0, 6, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # its top is on the right
    return encoded(picture, "PNG", exif=exif)


def palette() -> bytes:
    picture = Image.new("P", (8, 8), 0)
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.paste(1, (4, 0, 8, 8))
    return encoded(picture, "PNG", transparency=0)


def grey(value: float) -> tuple[int, int, int]:
    return (round(value),) * 3


WIDE = np.zeros((8, 8, 3), np.uint16)
WIDE[:, 4:] = (65535, 32896, 0)
FILES: dict[str, tuple[bytes, dict[tuple[int, int], tuple[int, int, int]]]] = {
    # bytes of the file, and colours of some of its pixels
    "half clear.png": (
        encoded(Image.new("RGBA", (8, 8), (200, 0, 0, 102)), "PNG"),
        {(3, 3): (233, 153, 153)},
    ),
    "half clear.webp": (
        encoded(Image.new("RGBA", (8, 8), (200, 0, 0, 102)), "WEBP", lossless=True, exact=True),
        {(3, 3): (233, 153, 153)},
    ),
    "grey and clear.png": (encoded(Image.new("LA", (8, 8), (0, 0)), "PNG"), {(1, 1): grey(255)}),
    "palette.png": (palette(), {(1, 1): grey(255), (6, 6): (0, 0, 255)}),
    "frames.gif": (
        encoded(
            Image.new("P", (8, 8), 3), "GIF", save_all=True, append_images=[Image.new("P", (8, 8))]
        ),
        {},
    ),
    "sixteen bits.png": (
        encoded(Image.fromarray(RAMP), "PNG"),
        {(0, 0): grey(0), (7, 7): grey(255), (0, 4): grey(RAMP[4, 0] / 257)},
    ),
    "sixteen bits.tiff": (
        encoded(Image.fromarray(RAMP), "TIFF"),
        {(0, 0): grey(0), (7, 7): grey(255), (0, 4): grey(RAMP[4, 0] / 257)},
    ),
    "sixteen bits.pgm": (
        encoded(Image.fromarray(RAMP), "PPM"),
        {(0, 0): grey(0), (7, 7): grey(255), (0, 4): grey(RAMP[4, 0] / 257)},
    ),
    "sixteen bits, one grey clear.png": (
        sixteen_bit_png(RAMP, 0, clear=struct.pack(">H", 0)),
        {(0, 0): grey(255), (7, 7): grey(255), (1, 0): grey(RAMP[0, 1] / 257)},
    ),
    "sixteen bits in colour.png": (
        sixteen_bit_png(WIDE, 2),
        {(0, 0): grey(0), (7, 7): (255, 128, 0)},
    ),
    "sixteen bits, one colour clear.png": (
        sixteen_bit_png(WIDE, 2, clear=struct.pack(">HHH", 65535, 32896, 0)),
        {(0, 0): grey(0), (7, 7): grey(255)},
    ),
    "one bit.png": (encoded(Image.new("1", (8, 8), 1), "PNG"), {(2, 2): grey(255)}),
    "ink.jpg": (
        encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95),
        {(4, 4): (255, 0, 0)},
    ),
    "ink.tiff": (encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 255)), "TIFF"), {(4, 4): grey(0)}),
    "sideways.png": (sideways(), {(3, 1): (0, 0, 255), (3, 11): (255, 0, 0)}),
}
FLOATS = {
    "floats.tiff": encoded(Image.new("F", (8, 8), 0.5), "TIFF"),
    "below zero.tiff": encoded(Image.fromarray(np.full((8, 8), -5, np.int32)), "TIFF"),
    "beyond sixteen bits.tiff": encoded(Image.fromarray(np.full((8, 8), 70000, np.int32)), "TIFF"),
}


def from_folder(path: Path) -> Image.Image | RenderError:
    """As a folder's manifest hands it out, at the size that its specification says."""
    fields = {"file": path.name, "prompt": PROMPT}
    (path.parent / "manifest.jsonl").write_text(json.dumps(fields) + "\n")
    model = open_model(ModelSettings(f"folder:{path.parent}"))
    spec = model.spec((Stage(PROMPT),), 0)
    (drawn,) = model.generate([spec])
    if isinstance(drawn, Image.Image):
        assert (spec.height, spec.width) == (drawn.height, drawn.width)
    return drawn


def imported(path: Path) -> Image.Image:
    """As an import takes it in."""
    manifest = path.parent / "manifest.jsonl"
    manifest.write_text(json.dumps({"file": path.name, "prompt": PROMPT}) + "\n")
    found = import_pictures(path.parent, path.parent / "pairs.jsonl", manifest)
    model = open_model(ModelSettings(f"folder:{found.folders[0].manifest}"))
    (drawn,) = model.generate([model.spec((Stage(PROMPT),), 0)])
    return drawn


def from_a_service(path: Path) -> Image.Image | RenderError:
    """As a service sends it."""
    item = {"b64_json": base64.b64encode(path.read_bytes()).decode()}
    server = Server([http(json.dumps({"created": 7, "data": [item]}))])
    try:
        hosted = HostedSettings(server.endpoint, SecretStr(CANARY), deadline_seconds=20.0)
        model = HostedModel(ModelSettings("painter", height=32, width=32, hosted=hosted))
        (drawn,) = model.generate([model.spec((Stage(PROMPT),), 0)])
    finally:
        server.stop()
    return drawn


def looked_at(path: Path) -> Image.Image | str:
    """As a checker looks at what a plugin hands it."""
    with Image.open(path) as picture:
        return readable(picture)


ROADS = {
    "named by the user": open_picture,
    "a reference": lambda path: references.read(path).picture,
    "a folder": from_folder,
    "imported": imported,
    "a service": from_a_service,
    "looked at": looked_at,
}


@pytest.mark.parametrize("name", FILES)
def test_a_picture_file_is_the_same_picture_on_every_road(name, tmp_path):
    content, colours = FILES[name]
    found = {}
    for road, take in ROADS.items():
        place = tmp_path / road
        place.mkdir()
        (place / name).write_bytes(content)
        found[road] = take(place / name)
        assert isinstance(found[road], Image.Image), (road, found[road])
        assert found[road].mode == "RGB"
    (first, *others) = found.values()
    assert all(one.size == first.size and one.tobytes() == first.tobytes() for one in others)
    for place, colour in colours.items():
        assert np.abs(np.subtract(first.getpixel(place), colour)).max() <= 1, place


@pytest.mark.parametrize("name", FLOATS)
def test_numbers_without_a_scale_are_refused_on_every_road_in_one_sentence(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(FLOATS[name])
    with pytest.raises(ConfigError, match=r"holds numbers without a scale: save it as PNG"):
        open_picture(path)
    drawn = from_folder(path)
    assert isinstance(drawn, RenderError)
    assert "holds numbers without a scale" in str(drawn)
    with pytest.raises(ServiceClosed, match="holds numbers without a scale"):
        from_a_service(path)  # no picture has come from it yet
    assert "holds numbers without a scale" in str(looked_at(path))
    with pytest.raises(ConfigError, match=r"1 holds numbers without a scale"):
        imported(path)
    with Image.open(path) as picture, pytest.raises(UnscaledError):
        flat(picture)


def test_flattening_leaves_the_picture_it_was_given_as_it_was():
    picture = Image.new("RGBA", (4, 4), (200, 0, 0, 0))
    before = picture.tobytes()
    assert flat(picture).getpixel((1, 1)) == (255, 255, 255)
    assert (picture.mode, picture.tobytes()) == ("RGBA", before)
