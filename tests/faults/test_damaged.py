"""Picture files that are not what the store wrote: each face says so, and none dies or hangs."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image
from worlds import pages, small_store
from worlds.small_store import BROAD, COKE

from lcmis.store import Store

SPEC = small_store.make_spec(COKE, BROAD, 0)


def bomb(path: Path) -> None:
    """A PNG of 60,000 times 60,000 pixels in a few bytes."""
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(head)) + b"IHDR" + head
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", zlib.crc32(b"IHDR" + head)) + b"\0" * 64
    )


def large(path: Path) -> None:
    Image.new("RGB", (4000, 4000)).save(path, "WEBP", lossless=True)


def moving(path: Path) -> None:
    frames = [Image.new("RGB", (64, 48), (shade, 0, 0)) for shade in (0, 99, 200)]
    frames[0].save(path, "WEBP", save_all=True, append_images=frames[1:])


HARM = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:40]),
    "text": lambda path: path.write_text("<svg onload=alert(1)>"),
    "another kind": lambda path: Image.new("RGB", (64, 48)).save(path, "PNG"),
    "another picture": lambda path: Image.new("RGB", (64, 48)).save(path, "WEBP", lossless=True),
    "another size": large,
    "a bomb": bomb,
    "moving": moving,
    "gone": lambda path: None,
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "a link to a secret": lambda path: path.symlink_to("/etc/passwd"),
    "a link to itself": lambda path: path.symlink_to(path.name),
}


def harmed(folder: Path, kind: str) -> Path:
    """A small store, one picture of which came to harm."""
    small_store.fill(folder)
    with Store(folder, read_only=True) as store:
        (_, render) = store.renders_of([SPEC.key])[SPEC.key]
        path = store.image_path(render.sha256)
    if kind != "cut":
        path.unlink()
    HARM[kind](path)
    return folder


@pytest.mark.parametrize("kind", HARM)
def test_every_command_that_reads_pictures_says_so_or_does_without(
    kind, lcmis, tmp_path, monkeypatch
):
    folder = harmed(tmp_path / "audit", kind)
    monkeypatch.chdir(tmp_path)
    for words in (
        ("show", SPEC.key),
        ("report", "--out", "report.html"),
        ("publish", "imagefolder", "published"),
        ("publish", "parquet", "theirs"),
        ("db", "check"),
    ):
        code, out, errors = lcmis(*words, "--store", folder)
        assert code in (0, 1, 2), words
        assert "Traceback" not in out + errors
        assert len(errors.splitlines()) <= 1, (words, errors)
    assert code == 1, "db check finds it"
    assert "root:" not in (tmp_path / "report.html").read_text("utf-8")


@pytest.mark.parametrize("kind", ["cut", "a bomb", "a pipe"])
def test_its_pages_are_drawn(kind, tmp_path):
    folder = harmed(tmp_path / "audit", kind)
    assert pages.opened(folder, "pair", pair=COKE.key).title
    assert pages.opened(folder, "picture", picture=SPEC.key).title
