"""Where a store's pictures lie, and how a folder remembers it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from lcmis.errors import StoreError
from lcmis.machine.files import replacing
from lcmis.store.documents import refuse_broken
from lcmis.store.images import PictureFiles, PictureFolder

BESIDE = "pictures"
"""The folder beside the facts, where nothing else was said."""
ELSEWHERE = "pictures.address"
"""The file beside the facts that says where else the pictures lie."""


def pictures_at(place: str | Path) -> PictureFiles:
    """The pictures in a folder, or at an address (anything with ``://``).

    Raises:
        StoreError: nothing is named, or a place that keeps no files, cannot be reached or needs
            what is not installed.
    """
    text = str(place)
    if not text.strip():
        raise StoreError("no place of pictures is named: name a folder, or s3://BUCKET/PREFIX")
    if "://" not in text:
        return PictureFolder(Path(text))
    if text.startswith("file://"):
        address = urlsplit(text)
        if address.netloc not in ("", "localhost") or not address.path:
            raise StoreError(f"{text} names no folder of this machine: name it as it is, /a/folder")
        return PictureFolder(Path(unquote(address.path)))
    from lcmis.store.buckets import PictureBucket

    return PictureBucket(text)


def refuse_passing(place: str) -> None:
    """Stop before pictures go where they end with this process.

    Raises:
        StoreError: they would.
    """
    if place.startswith("memory://"):
        raise StoreError(
            f"pictures at {place} end with this process: name a folder, or s3://BUCKET/PREFIX"
        )


def said_place(folder: Path | None, said: str | Path | None) -> str | Path:
    """Where the pictures lie of a store in a folder, or of one that is a database, of which it must
    be said.

    Raises:
        StoreError: the folder remembers another place than is said now.
    """
    if folder is None:
        assert said is not None
        return said
    remembered = _remembered(folder)
    if said is None:
        return remembered or folder / BESIDE
    now = pictures_at(said).address
    if now != (remembered or pictures_at(folder / BESIDE).address) and (
        remembered or (folder / BESIDE).is_dir()
    ):
        raise StoreError(
            f"the pictures of {folder} lie at {remembered or folder / BESIDE}, not at {said}: "
            f"leave --pictures out, or move them with `lcmis db move`"
        )
    return said


def remember_place(folder: Path, pictures: PictureFiles, *, anew: bool = False) -> None:
    """Write down where the pictures of a store in a folder lie, if that is not beside it.

    Raises:
        ConfigError: the folder cannot be written.
        StoreError: they lie where nobody will find them again.
    """
    refuse_passing(pictures.address)
    file = folder / ELSEWHERE
    if pictures.address == pictures_at(folder / BESIDE).address:
        if anew:
            file.unlink(missing_ok=True)
    elif anew or not file.exists():
        refuse_broken(pictures.address, "the place of the pictures")
        with replacing(file) as draft:
            draft.write_text(pictures.address + "\n", encoding="utf-8")


def _remembered(folder: Path) -> str | None:
    try:
        return (folder / ELSEWHERE).read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(
            f"{folder / ELSEWHERE} cannot be read ({error}): it says where the pictures lie"
        ) from error
