"""The wheel carries all a checkout has: migrations, catalogue, wordings, weights, dashboard."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


def shipped_files() -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "lcmis", "dashboard", "migrations", "data"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    inside = {"dashboard": "_dashboard", "migrations": "_migrations", "data": "_data"}
    files = set()
    for name in listed.stdout.split():
        top, _, rest = name.partition("/")
        files.add(f"lcmis/{inside[top]}/{rest}" if top in inside else name)
    return files


def test_every_tracked_file_is_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        carried = set(archive.namelist())
    assert shipped_files() - carried == set()


def test_the_wheel_brings_no_top_level_name_but_its_own(wheel):
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"lcmis"}


def test_an_audit_runs_from_the_installed_wheel(wheel, tmp_path):
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site]
    subprocess.run([*install, wheel], check=True, capture_output=True)
    env = {**os.environ, "PYTHONPATH": str(site)}
    asked = [sys.executable, "-c", "import lcmis; print(lcmis.__file__)"]
    where = subprocess.run(asked, env=env, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert where.stdout.startswith(str(site))
    words = ["-m", "lcmis", "audit", "-m", "teacup-broad", "--limit", "1", "--batch", "4"]
    done = subprocess.run(
        [sys.executable, *words, "--cap", "4", "--rule", "fixed"],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "audit" / "facts.db").exists()
    assert "teacup-broad" in done.stdout
