"""Picture files, named by the hash of their pixels, written whole or not at all."""

from __future__ import annotations

import errno
import io
import os
import re
from typing import IO, TYPE_CHECKING, Protocol, TypeVar

from PIL import Image

from lcmis.errors import StoreError
from lcmis.machine.drafts import draft_name, sweep
from lcmis.machine.pictures import picture_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

Content = TypeVar("Content")

_NAME = re.compile(r"[0-9a-f]{64}")
DRAFTS = ".drafts"
"""Where files are written before they get their name, within the folder and so on its disk."""
_OLD_DRAFT = re.compile(r"\.[0-9a-f]{64}-[0-9a-f]{8}\.tmp")
"""Drafts as they lay beside the pictures before they had a folder."""


def is_hash(text: str) -> bool:
    """Whether a picture may be called so."""
    return _NAME.fullmatch(text) is not None


def name_of(sha256: str) -> str:
    """Under which the picture of this hash is kept: ``ab/ab12….webp``.

    Raises:
        StoreError: this is no hash.
    """
    if not is_hash(sha256):
        raise StoreError(f"{sha256[:80]!r} names no picture: a name is 64 hexadecimal digits")
    return f"{sha256[:2]}/{sha256}.webp"


def encode(image: Image.Image, file: IO[bytes]) -> None:
    """Write a picture as lossless WebP, with the least effort: the pixels are the same, the file
    some per cent larger, and it takes a sixth of the time.

    Raises:
        StoreError: it is too large for WebP.
        OSError: the disk is full or broken.
    """
    try:
        image.save(file, format="WEBP", lossless=True, method=0, quality=0)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise StoreError(
            f"a picture of {image.width}x{image.height} cannot be kept as WebP ({error}): "
            "ask for at most 16383 pixels a side"
        ) from error


def encoded(image: Image.Image) -> bytes:
    """The file of a picture.

    Raises:
        StoreError: it is too large for WebP.
    """
    file = io.BytesIO()
    encode(image, file)
    return file.getvalue()


def recognised(file: Path | IO[bytes], sha256: str, place: str | Path) -> Image.Image:
    """The picture in a file, its pixels verified.

    Raises:
        FileNotFoundError: there is no such file.
        StoreError: it cannot be read, or holds other pixels.
    """
    try:
        with Image.open(file, formats=["WEBP"]) as opened:
            image = opened.convert("RGB")
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise StoreError(
            f"the picture {place} cannot be read ({error}): restore it from a copy of the store"
        ) from error
    if picture_hash(image) != sha256:
        raise StoreError(
            f"the picture {place} has changed since it was drawn: "
            "restore it from a copy of the store"
        )
    return image


class PictureFiles(Protocol):
    """Where pictures lie: a folder, or a bucket; each says what its methods do."""

    is_local: bool
    """Whether :meth:`path` is where the file lies, and no copy of it."""

    @property
    def address(self) -> str: ...  # noqa: D102
    def place(self, sha256: str) -> str: ...  # noqa: D102
    def path(self, sha256: str) -> Path: ...  # noqa: D102
    def write(self, images: Mapping[str, Image.Image]) -> dict[str, int]: ...  # noqa: D102
    def write_files(self, files: Mapping[str, bytes]) -> dict[str, int]: ...  # noqa: D102
    def read(self, sha256: str) -> Image.Image: ...  # noqa: D102
    def read_file(self, sha256: str) -> bytes: ...  # noqa: D102
    def files(self) -> Iterator[str]: ...  # noqa: D102
    def leave(self, name: str) -> None: ...  # noqa: D102
    def sees(self, name: str) -> bool: ...  # noqa: D102
    def take_away(self, name: str) -> None: ...  # noqa: D102


class PictureFolder:
    """Lossless WebP files under two-letter folders: ``ab/ab12….webp``."""

    is_local = True

    def __init__(self, root: Path) -> None:
        self.root = root
        self._swept = False

    @property
    def address(self) -> str:
        """Where it is, for other processes."""
        return str(self.root.absolute())

    def __str__(self) -> str:
        return str(self.root)

    def place(self, sha256: str) -> str:
        """As :meth:`path`, for people."""
        return str(self.path(sha256))

    def path(self, sha256: str) -> Path:
        """Where the picture of this hash lies, whether it is there or not.

        Raises:
            StoreError: this is no hash.
        """
        return self.root / name_of(sha256)

    def write(self, images: Mapping[str, Image.Image]) -> dict[str, int]:
        """Keep every picture under its hash, and return the sizes of the files in bytes.

        When this returns, the files survive a power cut; a picture that is there stays as it is.

        Raises:
            StoreError: the disk is full or read-only, or a picture is too large for WebP.
        """
        return self._write(images, encode)

    def write_files(self, files: Mapping[str, bytes]) -> dict[str, int]:
        """Keep WebP files under the hashes of their pixels, as :meth:`write`."""
        return self._write(files, lambda content, file: file.write(content))

    def _write(
        self, contents: Mapping[str, Content], fill: Callable[[Content, IO[bytes]], object]
    ) -> dict[str, int]:
        sizes: dict[str, int] = {}
        touched: dict[Path, Path] = {}
        try:
            self._sweep()
        except OSError as error:
            raise StoreError(_sentence(error, self.root)) from error
        for sha256, content in contents.items():
            path = self.path(sha256)
            try:
                if not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    self._write_whole(path, content, fill)
                    touched[path.parent] = path
                sizes[sha256] = path.stat().st_size
            except OSError as error:
                raise StoreError(_sentence(error, path)) from error
        for folder, path in touched.items():
            try:
                _sync(folder)
            except OSError as error:
                raise StoreError(_sentence(error, path)) from error
        return sizes

    def read(self, sha256: str) -> Image.Image:
        """The picture of this hash, its pixels verified.

        Raises:
            StoreError: the file is missing, cannot be read, or holds other pixels.
        """
        path = self.path(sha256)
        try:
            if not path.is_file() and path.exists():  # one would wait for ever at a pipe
                raise OSError("it is no file")
            return recognised(path, sha256, path)
        except FileNotFoundError as error:
            raise StoreError(
                f"the picture {path} is missing: restore the file from a copy of the store"
            ) from error
        except OSError as error:
            raise StoreError(
                f"the picture {path} cannot be read ({error}): restore it from a copy of the store"
            ) from error

    def read_file(self, sha256: str) -> bytes:
        """The WebP file of the picture of this hash, its pixels verified.

        Raises:
            StoreError: as :meth:`read`.
        """
        self.read(sha256)
        return self.path(sha256).read_bytes()

    def files(self) -> Iterator[str]:
        """Every file in the folder, ours or not, in order; drafts are no files yet."""
        return _files_in(self.root, self.root / DRAFTS)

    def leave(self, name: str) -> None:
        """A mark that other machines should see, if this is where they look, too.

        Raises:
            StoreError: it cannot be written.
        """
        self._sweep()
        mark = self.root / DRAFTS / name
        try:
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
        except OSError as error:
            raise StoreError(_sentence(error, mark)) from error

    def sees(self, name: str) -> bool:
        """Whether a mark is there, of this process or of another machine's."""
        return (self.root / DRAFTS / name).exists()

    def take_away(self, name: str) -> None:
        """A mark that has done its work, and what those left who died since it was put there."""
        (self.root / DRAFTS / name).unlink(missing_ok=True)
        self._swept = False
        self._sweep()

    def _write_whole(
        self, path: Path, content: Content, fill: Callable[[Content, IO[bytes]], object]
    ) -> None:
        drafts = self.root / DRAFTS
        drafts.mkdir(exist_ok=True)
        draft = drafts / draft_name(path.stem)
        try:
            with draft.open("xb") as file:
                fill(content, file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except (OSError, StoreError):
            draft.unlink(missing_ok=True)
            raise

    def _sweep(self) -> None:
        """Take away what processes of this machine left half-written when they were killed."""
        if self._swept:
            return
        self._swept = True
        sweep((self.root / DRAFTS).glob("*"))


def _files_in(folder: Path, drafts: Path) -> Iterator[str]:
    """Every file in a folder and those within it, in order, without a question a file; those that
    drafts lie in are passed over.
    """
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError:
        return
    before = str(folder / DRAFTS).removesuffix(DRAFTS)  # spelled as Path does, also of "."
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files_in(folder / entry.name, drafts)
        elif not (
            folder == drafts
            or _OLD_DRAFT.fullmatch(entry.name)
            or (entry.is_symlink() and (folder / entry.name).is_dir())
        ):
            yield before + entry.name


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network disks keep folders without being told
            raise
    finally:
        os.close(handle)


def _sentence(error: OSError, path: Path) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return (
                f"no room to write {path}: free some space on this disk and run the command again"
            )
        case errno.EROFS | errno.EACCES | errno.EPERM:
            return f"no permission to write {path}: check who owns the folder and its disk"
        case _:
            return f"{path} cannot be written ({error.strerror}): check the disk and try again"
