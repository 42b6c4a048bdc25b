"""Which pictures look alike: features in a file, their map, the command, and the page of both."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from streamlit.testing.v1 import AppTest
from worlds import pages, small_store
from worlds.small_store import BROAD, COKE, make_spec

from lcmis import cli
from lcmis.audit.embedding import add_features
from lcmis.errors import ConfigError, StoreError
from lcmis.findings.features import (
    Features,
    feature_file,
    feature_files,
    nearest,
    principal_components,
    read_features,
)
from lcmis.store import Drawn, Store, picture_hash
from lcmis.types import Render

PICTURES = 8
"""Different ones in the small store: one for each seed, whatever the pair and the model."""


class Colours:
    """Sees the mean colour of a picture, and counts those that it looked at."""

    encoder_id = "toy:mean/colour@1"
    device = "cpu"

    def __init__(self, stops_after: int = 1000) -> None:
        self.seen, self.stops_after = 0, stops_after

    def see(self, pictures):
        if self.seen >= self.stops_after:
            raise KeyboardInterrupt
        self.seen += len(pictures)
        means = np.array([np.asarray(one).mean(axis=(0, 1)) for one in pictures])
        return torch.nn.functional.normalize(torch.tensor(means, dtype=torch.float32), dim=1)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_store.fill(tmp_path_factory.mktemp("small") / "audit")


@pytest.fixture
def folder(small: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small, tmp_path / "audit"))


@pytest.fixture(scope="module")
def seen(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose pictures were looked at."""
    folder = Path(shutil.copytree(small, tmp_path_factory.mktemp("seen") / "audit"))
    with Store(folder, read_only=True) as store:
        add_features(store, Colours())
    return folder


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["lcmis", *words])
    try:
        cli.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


# ── the file ─────────────────────────────────────────────────────────────────────────────────────


def test_every_picture_is_looked_at_once_whatever_it_was_drawn_for(folder: Path) -> None:
    eyes = Colours()
    with Store(folder, read_only=True) as store:
        done = add_features(store, eyes)
        again = add_features(store, eyes)
        found = read_features(feature_file(store, eyes.encoder_id))
        shown = {sha for sha in store.hashes().values() if sha}
    assert (done.added, done.known, done.damaged) == (PICTURES, 0, 0)
    assert (again.added, again.known) == (0, PICTURES)
    assert eyes.seen == PICTURES
    assert found.encoder == eyes.encoder_id
    assert set(found.names) == shown
    assert done.file.parent == folder


def test_only_new_pictures_are_looked_at_and_the_old_ones_stay(seen: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(seen, tmp_path / "audit"))
    picture = small_store.make_picture(40)
    spec = make_spec(COKE, BROAD, 40)
    with Store(folder) as store:
        before = read_features(feature_files(store)[0])
        render = Render(spec.key, picture_hash(picture), 0.1, "cpu")
        store.add_renders([Drawn(COKE.key, spec, render, picture)])
        eyes = Colours()
        add_features(store, eyes)
        after = read_features(feature_files(store)[0])
    assert eyes.seen == 1
    assert after.names == (*before.names, picture_hash(picture))
    assert (after.vectors[:PICTURES] == before.vectors).all()


def test_what_was_seen_before_an_interrupt_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lcmis.audit.embedding.AT_ONCE", 3)
    with Store(folder, read_only=True) as store:
        with pytest.raises(KeyboardInterrupt):
            add_features(store, Colours(stops_after=6))
        assert len(read_features(feature_files(store)[0]).names) == 6
        assert add_features(store, Colours()).added == PICTURES - 6


def test_a_damaged_picture_has_no_features_and_is_counted(folder: Path) -> None:
    with Store(folder, read_only=True) as store:
        gone, broken, *_ = sorted({sha for sha in store.hashes().values() if sha})
        store.image_path(gone).unlink()
        store.image_path(broken).write_bytes(b"no picture")
        told: list[tuple[int, int]] = []
        done = add_features(store, Colours(), lambda *now: told.append(now))
        assert not {gone, broken} & set(read_features(done.file).names)
    assert (done.added, done.damaged) == (PICTURES - 2, 2)
    assert told[-1] == (PICTURES, PICTURES)


def test_each_encoder_has_a_file_of_its_own_whatever_letters_it_bears(folder: Path) -> None:
    with Store(folder, read_only=True) as store:
        one, other = feature_file(store, "clip:a/b@1"), feature_file(store, "clip:a b@1")
    assert one != other
    assert one.parent == other.parent == folder


def test_features_of_a_database_lie_beside_its_folder_of_pictures(tmp_path: Path) -> None:
    url, pictures = f"sqlite:///{tmp_path}/other/facts.db", tmp_path / "shelf" / "pictures"
    (tmp_path / "other").mkdir()
    with Store(url, pictures=pictures, create=True) as store:
        assert feature_file(store, "x").parent == tmp_path / "shelf"
    pytest.importorskip("fsspec")
    with (
        Store(url, pictures="memory://shelf", read_only=True) as store,
        pytest.raises(StoreError, match="into a folder with `lcmis db move`"),
    ):
        feature_file(store, "x")


def test_an_encoder_that_sees_nothing_is_refused(folder: Path) -> None:
    eyes = Colours()
    eyes.see = lambda pictures: torch.full((len(pictures), 3), torch.nan)  # type: ignore[method-assign]
    with Store(folder, read_only=True) as store:
        with pytest.raises(ConfigError, match="sees no direction in a picture"):
            add_features(store, eyes)
        assert not feature_files(store)


UNIT = np.eye(3, dtype=np.float16)[:2]
HASHES = np.zeros((2, 32), np.uint8)


@pytest.mark.parametrize(
    ("tables", "metadata"),
    [
        ({"sha256": HASHES, "features": UNIT}, {}),
        ({"sha256": HASHES[:1], "features": UNIT}, {"encoder": "x"}),
        ({"sha256": HASHES, "features": UNIT.astype(np.float32)}, {"encoder": "x"}),
        ({"sha256": HASHES, "features": UNIT * np.float16(np.nan)}, {"encoder": "x"}),
        ({"sha256": HASHES, "features": UNIT * np.float16(2)}, {"encoder": "x"}),
        ({"features": UNIT}, {"encoder": "x"}),
    ],
    ids=["nobody's", "fewer names", "wider", "not finite", "too long", "nameless"],
)
def test_a_file_that_holds_no_features_is_refused_in_a_sentence(
    tables: dict[str, np.ndarray], metadata: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "features-x.safetensors"
    save_file(tables, file, metadata)
    with pytest.raises(StoreError, match="delete it, and run `lcmis embed` again"):
        read_features(file)


def test_a_file_that_was_cut_is_refused_in_a_sentence(seen: Path, tmp_path: Path) -> None:
    with Store(seen, read_only=True) as store:
        (file,) = feature_files(store)
    cut = tmp_path / file.name
    cut.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(StoreError, match="cannot be read as features"):
        read_features(cut)


# ── near, and the map ────────────────────────────────────────────────────────────────────────────


def test_nearness_is_the_cosine_and_equal_ones_keep_their_order() -> None:
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8], [-1, 0], [0.6, 0.8]], np.float16)
    likeness = Features("x", tuple("abcde"), vectors).likeness("a")
    assert likeness == pytest.approx([1, 0, 0.6, -1, 0.6], abs=1e-3)
    assert nearest(likeness, 4).tolist() == [0, 2, 4, 1]


def test_the_map_is_the_plane_of_most_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(7).normal(size=(60, 5)) * [0.1, 3, 0.2, 1, 0.1]
    vectors = noise.astype(np.float16)
    layout = principal_components(vectors)
    away = vectors.astype(np.float64) - vectors.astype(np.float64).mean(axis=0)
    left, lengths, _ = np.linalg.svd(away, full_matrices=False)
    assert layout.share == pytest.approx((lengths[:2] ** 2).sum() / (lengths**2).sum(), abs=1e-6)
    for axis in (0, 1):
        expected = left[:, axis] * lengths[axis]
        assert np.abs(layout.places[:, axis]) == pytest.approx(np.abs(expected), abs=1e-4)
    # Along the first axis the second number rules, and a larger one lies further to the right.
    assert np.corrcoef(layout.places[:, 0], vectors[:, 1].astype(float))[0, 1] > 0.99
    monkeypatch.setattr("lcmis.findings.features.ROWS", 7)
    assert principal_components(vectors).places == pytest.approx(layout.places, abs=1e-4)


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (4, 3), (2, 1)])
def test_pictures_that_nothing_tells_apart_lie_on_one_point(shape: tuple[int, int]) -> None:
    layout = principal_components(np.full(shape, 0.577, np.float16))
    assert layout.places == pytest.approx(np.zeros((shape[0], 2)), abs=1e-6)
    assert layout.share == 0


# ── the command ──────────────────────────────────────────────────────────────────────────────────


def test_the_command_lets_a_checkers_encoder_look(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("embed", "--store", str(folder), "-c", "teacup-clip", "--device", "cpu")
    assert run(monkeypatch, *asked) == 0
    out = capsys.readouterr().out
    assert "8 pictures looked at, 0 were known" in out
    assert f"lcmis dashboard --store {folder}" in out
    assert run(monkeypatch, *asked, "--json") == 0
    assert '"known": 8' in capsys.readouterr().out
    with Store(folder, read_only=True) as store:
        found = read_features(feature_files(store)[0])
    assert "teacup-clip" in found.encoder
    assert found.vectors.shape[0] == PICTURES


def test_the_command_says_whom_to_name_where_none_embeds(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "embed", "--store", str(folder), "-c", "teacup-judge") == 2
    told = capsys.readouterr().err
    assert "teacup-judge embeds no pictures: name one that does with --checker" in told


# ── the page ─────────────────────────────────────────────────────────────────────────────────────


def opened(folder: Path, **query: str) -> AppTest:
    return pages.opened(folder, "similar", **query)


def cards(app: AppTest) -> list[str]:
    html = " ".join(one.value for one in app.get("html") if "lcmis-grid" in one.value)
    return html.split("<li>")[1:]


def test_the_page_names_the_command_where_nothing_was_seen(folder: Path) -> None:
    assert "run `lcmis embed` on this store" in pages.said(opened(folder))


def test_the_page_maps_what_was_seen_and_shows_no_list_before_a_choice(seen: Path) -> None:
    app = opened(seen)
    assert "The two principal components of the features: the plane shows" in pages.said(app)
    assert len(app.get("vega_lite_chart")) == 1
    assert not cards(app)
    assert "not seen by this encoder yet" not in pages.said(app)


def test_the_nearest_of_a_picture_stand_beneath_and_open_in_the_lightbox(seen: Path) -> None:
    key = make_spec(COKE, BROAD, 2).key
    first, *others = cards(opened(seen, picture=key))
    assert f'data-picture="{key}"' in first
    assert f'data-picture="{key}"' not in "".join(others)
    likeness = [float(one.split("<span>")[-1].split(",")[0]) for one in others]
    assert likeness == sorted(likeness, reverse=True)
    assert likeness[0] == 1  # the same seed of another pair is the same picture in this store
    assert len(others) == 22  # of 28 pictures of the audit, five refused, and itself


def test_pictures_that_came_since_are_told_with_the_command(seen: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(seen, tmp_path / "audit"))
    picture, spec = small_store.make_picture(40), make_spec(COKE, BROAD, 40)
    with Store(folder) as store:
        render = Render(spec.key, picture_hash(picture), 0.1, "cpu")
        store.add_renders([Drawn(COKE.key, spec, render, picture)])
    app = opened(folder, picture=spec.key)
    assert "1 picture of" in pages.said(app)
    assert "`lcmis embed` adds what is missing" in pages.said(app)
    assert "is not on the map: click another" in pages.said(app)


def test_a_damaged_file_is_a_sentence_on_the_page(seen: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(seen, tmp_path / "audit"))
    with Store(folder, read_only=True) as store:
        feature_files(store)[0].write_bytes(b"no features")
    assert "delete it, and run `lcmis embed` again" in pages.said(opened(folder))


def test_the_grid_and_a_picture_lead_to_the_page(seen: Path) -> None:
    for app in (
        pages.opened(seen, "grid"),
        pages.opened(seen, "picture", picture=make_spec(COKE, BROAD, 0).key),
    ):
        assert any("similar" in one.proto.page for one in app.get("page_link"))


# ── in a browser ─────────────────────────────────────────────────────────────────────────────────


def test_a_click_on_a_point_brings_its_nearest_and_one_of_them_opens(seen: Path) -> None:
    with (
        pages.served(seen) as url,
        pages.started() as browser,
        pages.visited(browser, url) as page,
    ):
        page.goto(f"/similar?picture={make_spec(COKE, BROAD, 2).key}")
        pages.settled(page, "Nearest")
        points = page.locator("[data-testid=stVegaLiteChart] svg path[aria-roledescription=circle]")
        before = page.locator(".lcmis-card").first.get_attribute("data-picture")
        points.first.click(force=True)
        page.wait_for_function(
            "before => ![before, undefined].includes("
            "document.querySelector('.lcmis-card')?.dataset.picture)",
            arg=before,
        )
        pages.settled(page, "Nearest")
        assert before is not None
        assert before not in page.url
        page.locator(".lcmis-card").nth(1).press("Enter")
        page.get_by_role("dialog").wait_for()
