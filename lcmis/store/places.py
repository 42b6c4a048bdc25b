"""Where a store's pictures lie, and how a folder remembers it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from lcmis.errors import StoreError
from lcmis.machine.files import replacing
from lcmis.store.images import PictureFiles, PictureFolder

BESIDE = "pictures"
"""The folder beside the facts, where nothing else was said."""
ELSEWHERE = "pictures.address"
"""The file beside the facts that says where else the pictures lie."""


def pictures_at(place: str | Path) -> PictureFiles:
    """The pictures in a folder, or at an address (anything with ``://``).

    Raises:
        StoreError: the address is of a kind that is unknown or not installed.
    """
    text = str(place)
    if "://" not in text:
        return PictureFolder(Path(text))
    if text.startswith("file://"):
        return PictureFolder(Path(unquote(urlsplit(text).path)))
    from lcmis.store.buckets import PictureBucket

    return PictureBucket(text)


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
    """
    file = folder / ELSEWHERE
    if pictures.address == pictures_at(folder / BESIDE).address:
        if anew:
            file.unlink(missing_ok=True)
    elif anew or not file.exists():
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
