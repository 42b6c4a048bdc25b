"""Picture files at an fsspec address, such as a bucket of S3 or Google Cloud Storage."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from lcmis.errors import StoreError
from lcmis.machine.drafts import draft_name
from lcmis.machine.secrets import withheld
from lcmis.store.images import DRAFTS, PictureFolder, encoded, name_of, recognised

WHOLE = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "memory")
"""Protocols that show a file when all of it has come; others get a draft first."""
READ = ("http", "https")
"""Protocols from which pictures are only read."""
KINDS = (*WHOLE, "sftp", "ssh", "ftp", "smb", "hdfs", "webhdfs", *READ, "file", "local")
"""Protocols of places that keep files. What else fsspec knows lies within another file, is a view
of another place, a repository's history or a process's own."""
HOSTLESS = ("hdfs", "memory", "file", "local")
"""Protocols whose address may begin with a slash; of the others a host or a bucket is missing."""
PACKAGES = {
    "s3": "lcmis[bucket]",
    "s3a": "lcmis[bucket]",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "sftp": "paramiko",
    "ssh": "paramiko",
    "smb": "smbprotocol",
    "hdfs": "pyarrow",
}
CACHED_FILES = 4096
"""Copies kept on this disk for whoever needs a file: at 1 MB a picture some 4 GB."""


class PictureBucket:
    """Lossless WebP files under two-letter folders, as :class:`PictureFolder` has them.

    Keys and endpoints are found where the protocol's own package looks for them: of ``s3://`` in
    ``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, ``~/.aws`` and so on. It may be sent to another
    process: it connects anew there.

    Raises:
        StoreError: the address names no such place, it cannot be reached, or the package of its
            protocol is not installed.
    """

    is_local = False

    def __init__(self, address: str) -> None:
        self._kind, _, rest = address.partition("://")
        self.address = f"{self._kind}://{rest.rstrip('/')}"
        if self._kind not in KINDS:
            raise self._nowhere(f"{self._kind}:// is no place that lcmis keeps pictures at")
        if not rest.strip("/") or (rest.startswith("/") and self._kind not in HOSTLESS):
            raise self._nowhere("it names no bucket and no host")
        _ = self._files

    def _nowhere(self, why: str) -> StoreError:
        return StoreError(
            f"pictures cannot lie at {self} ({why}): name a folder, s3://BUCKET/PREFIX, "
            f"gs://BUCKET/PREFIX, az://CONTAINER/PREFIX, sftp://HOST/FOLDER, or another address of "
            f"{', '.join(sorted(set(KINDS) - {'memory', 'file', 'local'}))}"
        )

    def __reduce__(self) -> tuple[type[PictureBucket], tuple[str]]:
        return PictureBucket, (self.address,)

    @cached_property
    def _files(self) -> tuple[Any, str]:
        import fsspec

        # fsspec's files over SSH take no such option, and keep no listings.
        fresh = {} if self._kind in ("sftp", "ssh") else {"use_listings_cache": False}
        try:
            with self._sentences("reached"):
                found, root = fsspec.core.url_to_fs(self.address, **fresh)
        except ImportError as error:
            package = PACKAGES.get(self._kind, f"an fsspec package for {self._kind}://")
            raise StoreError(
                f'pictures at {self} need a package that is not installed: pip install "{package}"'
            ) from error
        except ValueError as error:
            raise self._nowhere(withheld(str(error))) from error
        return found, root.rstrip("/")

    def __str__(self) -> str:
        return withheld(self.address)

    def place(self, sha256: str) -> str:
        """The address of the picture of this hash, whether it is there or not.

        Raises:
            StoreError: this is no hash.
        """
        return f"{self}/{name_of(sha256)}"

    def write(self, images: Mapping[str, Image.Image]) -> dict[str, int]:
        """As :meth:`PictureFolder.write`; what is missing goes there side by side.

        Raises:
            StoreError: the bucket is not there, may not be written or cannot be reached, or a
                picture is too large for WebP.
        """
        return self.write_files({sha256: encoded(image) for sha256, image in images.items()})

    def write_files(self, files: Mapping[str, bytes]) -> dict[str, int]:
        """Keep WebP files under the hashes of their pixels, and return their sizes in bytes."""
        with self._sentences("written"):
            store, root = self._files
            sizes = {}
            for sha256 in files:
                with contextlib.suppress(FileNotFoundError):
                    sizes[sha256] = int(store.info(f"{root}/{name_of(sha256)}")["size"])
            new = {sha256: content for sha256, content in files.items() if sha256 not in sizes}
            if new:
                self._refuse_reading()
            if store.protocol in WHOLE or set(store.protocol) & set(WHOLE):
                store.pipe({f"{root}/{name_of(one)}": content for one, content in new.items()})
            else:
                for sha256, content in new.items():
                    draft = f"{root}/{DRAFTS}/{draft_name(sha256)}"
                    store.makedirs(f"{root}/{DRAFTS}", exist_ok=True)
                    store.makedirs(f"{root}/{sha256[:2]}", exist_ok=True)
                    store.pipe_file(draft, content)
                    store.mv(draft, f"{root}/{name_of(sha256)}")
        return sizes | {sha256: len(content) for sha256, content in new.items()}

    def read(self, sha256: str) -> Image.Image:
        """The picture of this hash, its pixels verified.

        Raises:
            StoreError: the file is missing, cannot be read or reached, or holds other pixels.
        """
        return recognised(io.BytesIO(self._content(sha256)), sha256, self.place(sha256))

    def read_file(self, sha256: str) -> bytes:
        """The WebP file of the picture of this hash, its pixels verified.

        Raises:
            StoreError: as :meth:`read`.
        """
        content = self._content(sha256)
        recognised(io.BytesIO(content), sha256, self.place(sha256))
        return content

    def _content(self, sha256: str) -> bytes:
        place = self.place(sha256)
        with self._sentences("read"):
            store, root = self._files
            try:
                return bytes(store.cat_file(f"{root}/{name_of(sha256)}"))
            except FileNotFoundError as error:
                raise StoreError(
                    f"the picture {place} is missing: restore the file from a copy of the store, "
                    f"or check the name of the bucket"
                ) from error

    def path(self, sha256: str) -> Path:
        """A copy of the file on this disk, kept in the user's cache for whoever shows it.

        Raises:
            StoreError: the file is missing, or cannot be read or reached.
        """
        found = self._cache.path(sha256)
        if not found.is_file():
            content = self._content(sha256)
            self._cache.write_files({sha256: content})
            self._trim()
        return found

    @cached_property
    def _cache(self) -> PictureFolder:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        named = hashlib.blake2b(self.address.encode(), digest_size=8).hexdigest()
        return PictureFolder(root / "lcmis" / "pictures" / named)

    def _trim(self) -> None:
        """The oldest copies go where there are too many; looked at once in a few hundred."""
        self._copies = getattr(self, "_copies", 0) + 1
        if self._copies % (CACHED_FILES // 16):
            return
        files = [(path.stat().st_mtime_ns, path) for path in self._cache.root.rglob("*.webp")]
        for _, path in sorted(files)[: max(0, len(files) - CACHED_FILES)]:
            path.unlink(missing_ok=True)

    def files(self) -> Iterator[str]:
        """The addresses of every file there, in order; drafts are no files yet.

        Raises:
            StoreError: they may not be listed, or it cannot be reached.
        """
        with self._sentences("listed"):
            store, root = self._files
            found = store.find(root)
        for path in sorted(found):
            name = path.removeprefix(f"{root}/")
            if not name.startswith(f"{DRAFTS}/"):
                yield f"{self}/{name}"

    def leave(self, name: str) -> None:
        """A mark that other machines should see, if this is where they look, too.

        Raises:
            StoreError: it cannot be written.
        """
        self._refuse_reading()
        with self._sentences("written"):
            store, root = self._files
            store.pipe_file(f"{root}/{DRAFTS}/{name}", b"")

    def sees(self, name: str) -> bool:
        """Whether a mark is there, of this process or of another machine's."""
        with self._sentences("read"):
            store, root = self._files
            return bool(store.exists(f"{root}/{DRAFTS}/{name}"))

    def take_away(self, name: str) -> None:
        """A mark that has done its work."""
        with self._sentences("written"), contextlib.suppress(FileNotFoundError):
            store, root = self._files
            store.rm_file(f"{root}/{DRAFTS}/{name}")

    def _refuse_reading(self) -> None:
        if self._kind in READ:
            raise StoreError(
                f"pictures at {self} can only be read: bring the store to a folder or a bucket "
                f"with `lcmis db move`, and write there"
            )

    @contextlib.contextmanager
    def _sentences(self, done: str) -> Iterator[None]:
        """What a service says, as one sentence that says what to do."""
        try:
            yield
        except PermissionError as error:
            raise StoreError(
                f"{self} may not be {done} with these rights: check the keys and what they allow "
                f"there; all that is kept stays"
            ) from error
        except FileNotFoundError as error:
            raise StoreError(
                f"there is no bucket at {self}: make it, or check its name and the endpoint"
            ) from error
        except _troubles() as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise StoreError(
                f"{self} cannot be {done} ({withheld(first)}): check the network, the endpoint and "
                f"the keys, and run the command again"
            ) from error


def _troubles() -> tuple[type[BaseException], ...]:
    """What the packages behind fsspec raise that is no OSError, of those that are loaded."""
    known = (
        ("botocore.exceptions", "BotoCoreError"),
        ("botocore.exceptions", "ClientError"),
        ("aiohttp", "ClientError"),
        ("gcsfs.retry", "HttpError"),
        ("google.auth.exceptions", "GoogleAuthError"),
        ("azure.core.exceptions", "AzureError"),
        ("ftplib", "Error"),
        ("paramiko.ssh_exception", "SSHException"),
        ("smbprotocol.exceptions", "SMBException"),
    )
    loaded = [getattr(sys.modules[module], name) for module, name in known if module in sys.modules]
    return (OSError, TimeoutError, EOFError, *loaded)
