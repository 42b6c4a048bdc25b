"""Models from the hub: what is fetched, what is checked, and each thing that goes wrong is told."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import close_session
from worlds.hub_server import PORTAL, SIGNATURE, Fault, Hub, Model

from lcmis.errors import ConfigError, UnknownNameError, UserError
from lcmis.machine.hub import (
    asking,
    fetch_weights,
    fetching,
    listing,
    locate,
    locate_file,
    locate_spelled,
    needed,
    weights_of,
)

TOKEN = "hf_canary_f00d"
TINY = "acme/tiny"
"""A model of two kinds of file that no test changes."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    root = tmp_path_factory.mktemp("hub")
    hub = Hub(root)
    for snapshot in ("first", "second"):
        folder = root / TINY / snapshot
        folder.mkdir(parents=True)
        (folder / "config.json").write_text('{"model_type": "tiny"}')
        (folder / "model.safetensors").write_bytes(snapshot.encode() * 30_000)
        (folder / "README.md").write_text("words")
    hub.models[TINY] = Model(refs={"main": "first", "v1": "first"}, tags=("v1",))
    with hub.running():
        yield hub


@pytest.fixture
def hub(served: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The library of this process asks our hub, and has an empty cache."""
    monkeypatch.setattr(constants, "ENDPOINT", served.address)
    template = served.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path / "assets"))
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.3)
    monkeypatch.setattr(asking, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(asking, "TOLD_AFTER", 0.1)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    close_session()
    served.reset()
    kept = {name: Model(**vars(model)) for name, model in served.models.items()}
    yield served
    served.models = kept
    close_session()


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


# ── what is fetched ──────────────────────────────────────────────────────────────────────────────


def test_a_model_is_named_by_its_commit_and_only_its_configuration_comes(hub: Hub) -> None:
    located = locate(TINY, None)
    assert str(located) == f"{TINY}@{hub.commit(TINY)}"
    assert hub.fetched() == ["config.json"]
    assert located.names() == ["README.md", "config.json", "model.safetensors"]
    folder = fetch_weights(located)
    assert (folder / "model.safetensors").read_bytes() == b"first" * 30_000
    assert hub.fetched() == ["config.json", "model.safetensors"]


def test_no_token_reaches_the_second_origin(hub: Hub) -> None:
    fetch_weights(locate(TINY, None))
    shown = {one.origin: one.token for one in hub.log}
    assert TOKEN in shown["hub"]
    assert shown["storage"] == ""


def test_what_is_here_is_not_asked_for_again_and_a_commit_not_at_all(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = locate(TINY, None)
    fetch_weights(first)
    hub.reset()
    fetch_weights(locate(TINY, None))
    assert [one.path for one in hub.log] == [f"/api/models/{TINY}"]
    hub.reset()
    fetch_weights(locate(TINY, first.revision))
    assert hub.log == []
    offline(monkeypatch)
    assert locate(TINY, None) == first


def test_the_cache_of_another_program_does(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """No listing was kept of it, and digests are read off the names of its files."""
    fetch_weights(locate(TINY, None))
    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", constants.HF_ASSETS_CACHE + "-new")
    offline(monkeypatch)
    located = locate(TINY, None)
    assert located.revision == hub.commit(TINY)
    assert (fetch_weights(located) / "model.safetensors").is_file()
    other = located.path / "model.safetensors"
    other.resolve().write_bytes(b"fIrst" * 30_000)
    with pytest.raises(ConfigError, match="its content has changed on this disk: delete it"):
        fetch_weights(located)


# ── what is checked ──────────────────────────────────────────────────────────────────────────────


def spoilt(file: Path) -> None:
    """As many bytes, others, and the time of the last change put back."""
    before = file.stat()
    file.resolve().write_bytes(b"fIrst" * 30_000)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_other_content_of_the_right_length_is_noticed_in_the_cache(hub: Hub) -> None:
    located = locate(TINY, None)
    file = fetch_weights(located) / "model.safetensors"
    spoilt(file)
    with pytest.raises(ConfigError, match=r"is not the model\.safetensors that the hub lists"):
        fetch_weights(located)
    file.resolve().unlink()
    assert (fetch_weights(located) / "model.safetensors").read_bytes() == b"first" * 30_000


def test_a_file_is_read_for_its_digest_but_once(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    digested = []
    once = fetching._digest
    monkeypatch.setattr(
        fetching, "_digest", lambda file, wanted: digested.append(file.name) or once(file, wanted)
    )
    for _ in range(3):
        fetch_weights(locate(TINY, None))
    assert sorted(digested) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("origin", ["hub", "storage"])
def test_other_bytes_from_the_hub_are_thrown_away(hub: Hub, origin: str) -> None:
    hub.faults = [Fault(f"GET {origin} .*(json|safetensors)$", corrupt=True, times=1)]
    with pytest.raises(ConfigError, match="is not what the hub lists .* thrown away"):
        fetch_weights(locate(TINY, None))
    assert (fetch_weights(locate(TINY, None)) / "model.safetensors").is_file()


# ── what goes wrong ──────────────────────────────────────────────────────────────────────────────

LISTED = r"GET hub /api/models/acme/tiny"
ASKED = r"HEAD hub /acme/tiny/resolve/.*safetensors"
SENT = r"GET storage .*safetensors"
EVERYTHING = "."


def told(call: Callable[[], object], caplog: pytest.LogCaptureFixture, capfd, hub: Hub) -> str:
    """The sentence in which it ends; nothing that is nobody's business is in it, or beside it."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(UserError) as ended:
        call()
    sentence = str(ended.value)
    every = sentence + caplog.text + "".join(capfd.readouterr())
    for secret in (TOKEN, SIGNATURE, hub.storage.partition("//")[2], "Traceback", "httpx"):
        assert secret not in every
    assert "\n" not in sentence
    assert len(sentence) < 500
    return sentence


def everything() -> Path:
    return fetch_weights(locate(TINY, None))


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Fault(EVERYTHING, cut_after=0), "broke the connection off, 5 times over"),
        (Fault(LISTED, hang=True), "does not answer, 5 times over"),
        (Fault(ASKED, hang=True), "does not answer, 5 times over"),
        (Fault(SENT, hang=True), "does not answer, 5 times over"),
        (Fault(EVERYTHING, status=200, body=PORTAL), "is no hub: does this network want a login"),
        (Fault(ASKED, status=200, body=PORTAL), "is no hub: does this network want a login"),
        (Fault(SENT, status=200, body=PORTAL), "not as long as it should be"),
        (
            Fault(EVERYTHING, status=302, headers={"Location": "http://127.0.0.1:9/login"}),
            "cannot be reached, 5 times over",
        ),
        (Fault(LISTED, status=302, headers={"Location": "login:here"}), "an address that is none"),
        (Fault(LISTED, status=200, body="{}"), "is no hub"),
        (Fault(LISTED, status=200, body="[]"), "is no hub"),
        (Fault(LISTED, status=404, body="nothing here"), "is HF_ENDPOINT a hub's address?"),
        (Fault(LISTED, status=503), r"out of order \(it answers 503\), 5 times over"),
        (Fault(ASKED, status=500), r"out of order \(it answers 500\), 5 times over"),
        (Fault(SENT, status=502), r"out of order \(it answers 502\), 5 times over"),
        (Fault(LISTED, status=429), r"too many requests from here \(429\).* log in with"),
        (
            Fault(LISTED, status=429, headers={"Retry-After": "300"}),
            r"\(429\) and asks to be left alone for 300 seconds",
        ),
        (
            Fault(ASKED, status=503, headers={"Retry-After": "3600"}),
            "asks to be left alone for 3600 seconds",
        ),
        (
            Fault(LISTED, status=403, headers={"X-Error-Message": "Access to this resource is disabled."}),
            "disabled by the hub, which hands it to nobody",
        ),
        (Fault(ASKED, status=403), r"forbids acme/tiny@\w+ to this account \(it answers 403\)"),
        (Fault(SENT, status=403, body="<Code>AccessDenied</Code>"), "forbids"),
        (Fault(LISTED, status=418), r"would not hand out 'acme/tiny' \(it answers 418\)"),
        (Fault(ASKED, status=404, headers={"X-Error-Code": "EntryNotFound"}), "does not have"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.match[:12]}-{value.status}",
)  # fmt: skip
def test_whatever_the_hub_does_is_one_sentence(
    hub: Hub, fault: Fault, sentence: str, caplog: pytest.LogCaptureFixture, capfd
) -> None:
    hub.faults = [fault]
    assert re.search(sentence, told(everything, caplog, capfd, hub))
