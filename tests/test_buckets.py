"""Pictures in a bucket are those of a folder: same bytes, same verdicts, one sentence a trouble."""

from __future__ import annotations

import functools
import http.server
import os
import pickle
import threading

import pytest
from worlds import buckets
from worlds.facts import make_drawn, make_pair, make_picture, make_spec
from worlds.toys import pair

from lcmis.audit.config import load_config
from lcmis.audit.run import Audit
from lcmis.errors import ConfigError, StoreError
from lcmis.plugins.settings import AuditSettings, CheckerSettings, ModelSettings
from lcmis.propose.catalogue import to_toml
from lcmis.store import Store, picture_hash
from lcmis.store.buckets import PictureBucket
from lcmis.store.places import pictures_at

s3 = buckets.s3
bucket = buckets.bucket

PAIR = make_pair()
PAIRS = (pair("rubine", "azure"), pair("lime", "amber"))


@pytest.fixture(params=["s3", "memory", "folder"])
def place(request, tmp_path):
    """One of each kind of place."""
    match request.param:
        case "s3":
            return f"s3://{request.getfixturevalue('bucket')}/some/prefix"
        case "memory":
            return f"memory://{tmp_path.name}"
        case _:
            return str(tmp_path / "pictures")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def config_of(folder, pictures):
    (folder / "pairs.toml").write_text(to_toml(PAIRS), "utf-8")
    return AuditSettings(
        models=(ModelSettings("toy", scheduler="coin"),),
        checkers=(CheckerSettings("toy"),),
        pairs=(str(folder / "pairs.toml"),),
        store=str(folder / "audit"),
        pictures=pictures,
    )


def run(config):
    with Store(config.store, pictures=config.pictures, create=True) as store:
        Audit(config, store).run("a test")
        assert list(store.verify()) == []
        return {(item.spec.key, item.render.sha256) for item in store.renders(limit=1000)}


# ── one contract for all places ──────────────────────────────────────────────────────────────────


def test_a_picture_comes_back_bit_for_bit_and_is_written_once(place):
    images = {picture_hash(one): one for one in map(make_picture, range(5))}
    pictures = pictures_at(place)
    sizes = pictures.write(images)
    assert set(sizes) == set(images)
    assert pictures.write(images) == sizes
    for sha256, image in images.items():
        assert pictures.read(sha256).tobytes() == image.tobytes()
        assert len(pictures.read_file(sha256)) == sizes[sha256]
        assert pictures.path(sha256).read_bytes() == pictures.read_file(sha256)
    assert list(pictures.files()) == sorted(map(pictures.place, images))


def test_a_picture_that_is_missing_or_another_is_named(place):
    image, other = make_picture(0), make_picture(1)
    sha256 = picture_hash(image)
    pictures = pictures_at(place)
    for read in (pictures.read, pictures.read_file):
        with pytest.raises(StoreError, match="is missing: restore"):
            read(sha256)
    pictures.write({sha256: other})
    with pytest.raises(StoreError, match="has changed since it was drawn"):
        pictures.read(sha256)
    with pytest.raises(StoreError, match="names no picture"):
        pictures.read("../../../etc/passwd")


def test_a_mark_is_seen_where_the_place_is_the_same(place):
    pictures = pictures_at(place)
    assert not pictures.sees("one")
    pictures.leave("one")
    assert pickle.loads(pickle.dumps(pictures)).sees("one")
    assert list(pictures.files()) == []
    pictures.take_away("one")
    assert not pictures.sees("one")


# ── whole ways ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("toys")
def test_an_audit_with_its_pictures_in_a_bucket_is_the_audit_with_a_folder(bucket, s3, tmp_path):
    for name in ("near", "far"):
        (tmp_path / name).mkdir()
    near = run(config_of(tmp_path / "near", None))
    far = run(config_of(tmp_path / "far", f"s3://{bucket}/pictures"))
    assert near == far
    assert sorted(s3.names(bucket)) == sorted(
        {f"pictures/{sha256[:2]}/{sha256}.webp" for _, sha256 in far}
    )
    assert not (tmp_path / "far" / "audit" / "pictures").exists()


@pytest.mark.usefixtures("toys")
def test_a_folder_remembers_that_its_pictures_are_elsewhere(bucket, tmp_path, lcmis):
    config = config_of(tmp_path, f"s3://{bucket}/pictures")
    drawn = run(config)
    code, out, err = lcmis("db", "check", "--store", config.store)
    assert (code, err) == (0, "")
    code, out, err = lcmis("report", "--store", config.store, "--out", tmp_path / "report.html")
    assert (code, err) == (0, "")
    assert "data:image/webp" in (tmp_path / "report.html").read_text()
    key, sha256 = sorted(drawn)[0]
    code, out, _ = lcmis("show", key, "--store", config.store, "--json")
    assert f"s3://{bucket}/pictures/{sha256[:2]}/{sha256}.webp" in out
    code, _, err = lcmis("db", "check", "--store", config.store, "--pictures", tmp_path / "other")
    assert code == 2
    assert "leave --pictures out, or move them" in err


def test_a_copy_for_the_browser_is_fetched_once(bucket, s3, tmp_path):
    image = make_picture(0)
    sha256 = picture_hash(image)
    pictures = pictures_at(f"s3://{bucket}")
    pictures.write({sha256: image})
    content = pictures.path(sha256).read_bytes()
    s3.client().delete_object(Bucket=bucket, Key=f"{sha256[:2]}/{sha256}.webp")
    assert pictures_at(f"s3://{bucket}").path(sha256).read_bytes() == content
    assert (tmp_path / "cache") in pictures.path(sha256).parents


# ── what goes wrong, in one sentence ─────────────────────────────────────────────────────────────


def test_a_bucket_that_is_not_there_is_a_sentence(bucket):
    pictures = pictures_at(f"s3://{bucket}-not/p")
    with pytest.raises(StoreError, match=r"there is no bucket at s3://.*: make it, or check"):
        pictures.write({picture_hash(make_picture(0)): make_picture(0)})
    with pytest.raises(StoreError, match="check the name of the bucket"):
        pictures.read(picture_hash(make_picture(0)))


@pytest.mark.usefixtures("toys")
def test_a_bucket_without_rights_is_a_sentence_and_nothing_is_lost(
    bucket, s3, tmp_path, monkeypatch, lcmis
):
    config = config_of(tmp_path, f"s3://{bucket}/pictures")
    with Store(config.store, pictures=config.pictures, create=True) as store:
        store.add_pairs([PAIR])
        store.add_renders([make_drawn(PAIR, make_spec(PAIR, 0))])
        s3.ask_for_rights(asked=True)
        pictures_at(config.pictures)
        with pytest.raises(StoreError) as caught:
            store.add_renders([make_drawn(PAIR, make_spec(PAIR, 1))])
        said = str(caught.value)
        assert "may not be written with these rights: check the keys" in said
        assert "\n" not in said
        assert not any(secret in said for secret in buckets.KEYS.values())
        assert store.growth().renders == 1
        s3.ask_for_rights(asked=False)
        store.add_renders([make_drawn(PAIR, make_spec(PAIR, 1))])
        assert list(store.verify()) == []


def test_a_server_that_is_out_of_reach_is_a_sentence(bucket, monkeypatch):
    import fsspec

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    with pytest.raises(StoreError, match="check the network, the endpoint and the keys"):
        pictures_at(f"s3://{bucket}/elsewhere").read(picture_hash(make_picture(0)))


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("gs://bucket/p", r'pip install "gcsfs"'),
        ("nonsense://bucket", "name a folder, s3://BUCKET/PREFIX"),
    ],
)
def test_an_address_that_nobody_can_read_is_a_sentence(address, said):
    if address.startswith("gs"):
        pytest.importorskip("fsspec")
        try:
            import gcsfs  # noqa: F401
        except ImportError:
            pass
        else:
            pytest.skip("gcsfs is installed")
    with pytest.raises(StoreError, match=said):
        pictures_at(address)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("", "no place of pictures is named"),
        ("s3://", "it names no bucket and no host"),
        ("s3:///", "it names no bucket and no host"),
        ("ftp:///x", "it names no bucket and no host"),
        ("memory://", "it names no bucket and no host"),
        ("file://", "names no folder of this machine"),
        ("file://pictures", "names no folder of this machine"),
        ("://x", "is no place that lcmis keeps pictures at"),
        ("zip:///tmp/x.zip", "zip:// is no place"),
        ("tar://x", "tar:// is no place"),
        ("data://x", "data:// is no place"),
        ("dir:///tmp", "dir:// is no place"),
        ("reference://x", "reference:// is no place"),
        ("generic://x", "generic:// is no place"),
        ("github://a:b@main/", "github:// is no place"),
        ("hf://datasets/x/y", "hf:// is no place"),
        ("simplecache::s3://b/x", "is no place"),
        ("ftp://host:port/x", "Port could not be cast"),
        ("ftp://127.0.0.1:1/x", "cannot be reached .*: check the network"),
        ("sftp://127.0.0.1:1/x", "cannot be reached .*: check the network|pip install .paramiko"),
    ],
)
def test_an_address_of_nothing_that_keeps_files_is_a_sentence(tmp_path, monkeypatch, address, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=said) as caught:
        pictures_at(address)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_place_on_the_web_is_read_and_never_written(tmp_path):
    image, other = make_picture(0), make_picture(1)
    sha256 = picture_hash(image)
    pictures_at(tmp_path).write({sha256: image})
    handler = functools.partial(Silent, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            pictures = pictures_at(f"http://127.0.0.1:{server.server_port}")
            assert pictures.read(sha256).tobytes() == image.tobytes()
            assert pictures.write({sha256: image}).keys() == {sha256}
            with pytest.raises(StoreError, match="can only be read: bring the store to a folder"):
                pictures.write({picture_hash(other): other})
            with pytest.raises(StoreError, match="can only be read: bring the store to a folder"):
                pictures.leave("mark")
        finally:
            server.shutdown()
            thread.join()


class Silent(http.server.SimpleHTTPRequestHandler):
    """Shows a folder, and says nothing of it."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def test_what_ends_with_this_process_is_no_place_for_a_stores_pictures(tmp_path, lcmis):
    with pytest.raises(StoreError, match="end with this process: name a folder"):
        Store(tmp_path / "audit", pictures="memory://gone", create=True)
    with Store(tmp_path / "kept", create=True) as store:
        store.add_pairs([PAIR])
    moved = ("db", "move", "--store", tmp_path / "kept")
    for words in (
        (*moved, "--to-pictures", "memory://gone"),
        (*moved, "--to", tmp_path / "new", "--to-pictures", "memory://gone"),
        ("db", "check", "--store", tmp_path / "kept", "--pictures", "memory://gone"),
    ):
        code, out, err = lcmis(*words)
        assert (code, out) == (2, "")
        assert "memory://gone end with this process" in err
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "kept" / "pictures.address").exists()


@pytest.mark.parametrize("empty", ["", " "])
@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("db", "move", "--to-pictures"), "--to-pictures"),
        (("db", "move", "--to"), "--to"),
        (("db", "move", "--to", "new", "--to-pictures"), "--to-pictures"),
        (("db", "merge"), "OTHERS"),
        (("db", "merge", "audit", "--other-pictures"), "--other-pictures"),
        (("db", "check", "--store"), "--store"),
        (("db", "check", "--pictures"), "--pictures"),
        (("db", "upgrade", "--store"), "--store"),
        (("report", "--out"), "--out"),
        (("report", "--markdown"), "--markdown"),
        (("audit", "--store"), "--store"),
        (("audit",), "CONFIG"),
        (("init",), "FILE"),
        (("export", "json"), "FILE"),
        (("label", "--export"), "--export"),
        (("dashboard", "--beside"), "--beside"),
    ],
)
def test_a_place_without_a_name_is_refused_before_anything_is_done(
    tmp_path, monkeypatch, lcmis, words, named, empty
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delattr(os, "execve")  # or these tests would become a dashboard
    with Store("audit", create=True) as store:
        store.add_pairs([PAIR])
    before = sorted(tmp_path.rglob("*"))
    code, out, err = lcmis(*words, empty)
    assert (code, out) == (2, "")
    assert err.startswith(f"lcmis: {named} is empty: name a place, or leave it out")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_of_settings_names_its_places_too(tmp_path):
    for name in ("store", "pictures"):
        (tmp_path / "audit.toml").write_text(f'models = ["teacup"]\n{name} = ""\n')
        with pytest.raises(ConfigError, match=f"{name} is empty: name a place, or leave it out"):
            load_config(tmp_path / "audit.toml")
    with pytest.raises(StoreError, match="no store is named: name a folder"):
        Store("", create=True)
    with pytest.raises(StoreError, match="half a character"):
        Store(tmp_path / "audit", pictures=f"{tmp_path}/\udcff", create=True)


def test_an_address_of_this_disk_is_a_folder(tmp_path):
    pictures = pictures_at(f"file://{tmp_path}/a%20b")
    pictures.write({picture_hash(make_picture(0)): make_picture(0)})
    assert (tmp_path / "a b").is_dir()
    assert not isinstance(pictures, PictureBucket)


def test_copies_on_this_disk_are_bounded(bucket, monkeypatch):
    from lcmis.store import buckets as room

    monkeypatch.setattr(room, "CACHED_FILES", 16)
    pictures = pictures_at(f"s3://{bucket}")
    images = {picture_hash(one): one for one in map(make_picture, range(24))}
    pictures.write(images)
    paths = [pictures.path(sha256) for sha256 in images]
    assert paths[-1].is_file()
    assert sum(path.is_file() for path in paths) <= 17
