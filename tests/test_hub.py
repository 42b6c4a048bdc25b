"""Models from the hub: what is fetched, what is checked, and each thing that goes wrong is told."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import close_session
from safetensors.torch import load_file, save_file
from worlds import tiny_checkers, tiny_pipelines
from worlds.hub_server import PORTAL, SIGNATURE, Fault, Hub, Model

from lcmis.errors import ConfigError, UnknownNameError, UserError
from lcmis.machine.hub import asking, fetch_weights, fetching, locate, locate_file
from lcmis.machine.weights import weight_files
from lcmis.plugins.opening import open_checker, open_model
from lcmis.plugins.optional import fetches_of, load
from lcmis.plugins.settings import CheckerSettings, ModelSettings
from lcmis.store import Store

TOKEN = "hf_canary_f00d"
TINY, SD, JUDGE, LORAS = "acme/tiny", "acme/sd", "acme/judge", "acme/loras"
TAGGED = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
"""Where open_clip's table says that ViT-B-32/laion2b_s34b_b79k lies."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Models as people publish them: with all that nobody needs beside what is loaded."""
    root = tmp_path_factory.mktemp("hub")
    hub = Hub(root)
    for snapshot in ("first", "second"):
        write(root / TINY / snapshot, "config.json", b'{"model_type": "tiny"}')
        write(root / TINY / snapshot, "model.safetensors", snapshot.encode() * 30_000)
        write(root / TINY / snapshot, "README.md", b"words")
    hub.models[TINY] = Model(refs={"main": "first", "v1": "first"}, tags=("v1",))
    first, second = root / SD / "first", root / SD / "second"
    tiny_pipelines.save("sd", first)
    for stray in (
        "v1-5-pruned.safetensors",
        "v1-5-pruned.ckpt",
        "lora/pytorch_lora_weights.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        "unet/diffusion_pytorch_model.bin",
        "safety_checker/config.json",
        "safety_checker/model.safetensors",
        "workflow.json",
    ):
        write(first, stray, b"nobody needs it" * 1000)
    shutil.copytree(first, second)
    unet = second / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({key: value * 1.5 for key, value in load_file(unet).items()}, unet)
    hub.models[SD] = Model()
    tiny_checkers.tiny_clip(root / JUDGE / "first")
    hub.models[JUDGE] = Model()
    for file in ("cats", "dogs"):
        write(root / LORAS / "first", f"{file}.safetensors", file.encode())
    hub.models[LORAS] = Model(refs={"main": "first", "v1": "first"}, tags=("v1",))
    for snapshot in ("first", "second"):
        write(root / TAGGED / snapshot, "open_clip_model.safetensors", snapshot.encode())
    hub.models[TAGGED] = Model()
    with hub.running():
        yield hub


def write(folder: Path, name: str, content: bytes) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


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


def test_a_file_is_read_for_its_digest_but_once(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    digested = []
    once = fetching._digest
    monkeypatch.setattr(
        fetching, "_digest", lambda file, *how: digested.append(file.name) or once(file, *how)
    )
    for _ in range(3):
        fetch_weights(locate(TINY, None))
    assert sorted(digested) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("origin", ["hub", "storage"])
def test_other_bytes_from_the_hub_are_thrown_away(hub: Hub, origin: str) -> None:
    hub.faults = [Fault(f"GET {origin} .*(json|safetensors)$", corrupt=True, times=1)]
    with pytest.raises(ConfigError, match=r"is not what the hub lists .* thrown away"):
        fetch_weights(locate(TINY, None))
    assert (fetch_weights(locate(TINY, None)) / "model.safetensors").is_file()


# ── what goes wrong ──────────────────────────────────────────────────────────────────────────────

LISTED = r"GET hub /api/models/acme/tiny"
ASKED = r"HEAD hub /acme/tiny/resolve/.*safetensors"
SENT = r"GET storage .*safetensors"
EVERYTHING = "."
DISABLED = {"X-Error-Message": "Access to this resource is disabled."}


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
        (Fault(LISTED, status=302, headers={"Location": "ftp://login"}), "an address that is none"),
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
            Fault(LISTED, status=403, headers=DISABLED),
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


def test_what_is_told_while_we_wait(hub: Hub, capfd) -> None:
    hub.faults = [Fault(LISTED, hang=True, times=2)]
    everything()
    said = capfd.readouterr().err
    assert f"lcmis: waiting for {asking.host()} …" in said
    assert f"lcmis: {asking.host()} does not answer; trying again in 0 s (1 of 4)" in said


@pytest.mark.parametrize(
    "fault",
    [
        Fault(LISTED, status=429, headers={"Retry-After": "0.01"}, times=4),
        Fault(ASKED, status=503, times=4),
        Fault(SENT, status=500, times=4),
        Fault(LISTED, cut_after=0, times=4),
        Fault(SENT, cut_after=70_000, times=1),
    ],
    ids=lambda fault: f"{fault.match[:12]}-{fault.status}",
)
def test_what_passes_is_waited_for(hub: Hub, fault: Fault) -> None:
    hub.faults = [fault]
    assert (everything() / "model.safetensors").read_bytes() == b"first" * 30_000


def test_the_hub_says_how_long_to_wait_and_we_do(
    hub: Hub, capfd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "FIRST_PAUSE", 0.4)
    hub.faults = [
        Fault(LISTED, status=503, headers={"Retry-After": "0.04"}, times=1),
        Fault(LISTED, status=429, headers={"RateLimit": '"api";r=0;t=59'}, times=1),
        Fault(LISTED, status=429, headers={"RateLimit": '"api";r=0;t=61'}, times=1),
    ]
    monkeypatch.setattr(asking, "LONGEST_WAIT", 59.0)
    with pytest.raises(ConfigError, match="asks to be left alone for 59 seconds"):
        locate(TINY, None)
    assert "trying again in 0 s (1 of 4)" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("model", "token", "sentence"),
    [
        (Model(gated=True), "hf_other", "is gated: accept its terms on its page and log in"),
        (Model(gated=True), None, "is gated: accept its terms on its page and log in"),
        (
            Model(private=True),
            "hf_other",
            "a model on the hub is called .* log in if it is private",
        ),
        (Model(disabled=True), "hf_other", "disabled by the hub"),
        (Model(), "hf_invalid", "does not accept the token .* log in with .* or unset HF_TOKEN"),
        (Model(), "hf_canärie", "holds letters that no token has"),
    ],
    ids=lambda value: str(value)[-30:],
)
def test_what_the_hub_keeps_to_itself_is_told(
    hub: Hub,
    model: Model,
    token: str | None,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd,
) -> None:
    hub.models[TINY] = model
    if token is None:
        monkeypatch.delenv("HF_TOKEN")
    else:
        monkeypatch.setenv("HF_TOKEN", token)
    ended = told(everything, caplog, capfd, hub)
    assert re.search(sentence, ended)
    assert token is None or token not in ended


def test_who_is_allowed_has_it(hub: Hub) -> None:
    hub.models[TINY] = Model(gated=True, private=True, allowed=(TOKEN,))
    assert (everything() / "model.safetensors").is_file()


@pytest.mark.parametrize(
    "endpoint", ["localhost:8000", "huggingface.co", "", "ftp://hub", "http://"]
)
def test_an_endpoint_that_is_no_address_is_refused(
    hub: Hub, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    with pytest.raises(ConfigError, match=r"HF_ENDPOINT is .* which is no address: write https://"):
        locate(TINY, None)


def test_no_hub_at_that_address_is_told(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"no folder .* 127\.0\.0\.1:9 cannot be reached"):
        locate(TINY, None)


def test_a_proxy_that_is_none_is_told(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://user:canary@127.0.0.1:9")
    close_session()
    with pytest.raises(ConfigError, match="cannot be reached") as ended:
        locate(TINY, None)
    assert "canary" not in str(ended.value)


# ── the disk ─────────────────────────────────────────────────────────────────────────────────────


def test_a_disk_without_room_is_told_before_anything_is_fetched(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    located = locate(TINY, None)
    hub.reset()
    usage = shutil.disk_usage("/")._replace(free=149_999)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ConfigError, match=r"needs 150 kB more, and .* has room for 150 kB: make"):
        fetch_weights(located)
    assert hub.log == []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=150_000))
    fetch_weights(located)


def test_a_disk_that_fills_up_meanwhile_is_told(hub: Hub, tmp_path: Path) -> None:
    """A limit on the size of files does to a process what a full disk does."""
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        "from lcmis.machine.hub import *; fetch_weights(locate('acme/tiny', None))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=told_of(hub, tmp_path), capture_output=True, text=True
    )
    assert re.search(
        r"ConfigError: there is no room for acme/tiny@\w+ in the hub's cache", done.stderr
    )
    assert SIGNATURE not in done.stderr
    assert list((tmp_path / "cache").rglob("*.incomplete")) == []


def told_of(hub: Hub, tmp_path: Path) -> dict[str, str]:
    """The environment of a process that asks our hub."""
    return {
        **os.environ,
        "HF_ENDPOINT": hub.address,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_ASSETS_CACHE": str(tmp_path / "assets"),
        "HF_TOKEN": TOKEN,
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }


def test_a_cache_that_cannot_be_written_is_told_and_one_that_has_all_does(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything()
    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", "/dev/null/assets")
    everything()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", "/dev/null/cache")
    with pytest.raises(
        ConfigError, match="cannot be written into the hub's cache, /dev/null/cache"
    ):
        everything()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM, errno.EDQUOT])
def test_what_a_disk_says_is_one_sentence(number: int) -> None:
    error = OSError(number, os.strerror(number), "/cache/blobs/0123")
    with pytest.raises(ConfigError, match="set HF_HOME to a folder") as ended:
        asking.refuse(TINY, error)
    assert "0123" not in str(ended.value)


# ── the cache instead ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "fault",
    [Fault(EVERYTHING, status=503), Fault(EVERYTHING, cut_after=0), Fault(EVERYTHING, status=403)],
    ids=str,
)
def test_what_was_fetched_once_does_where_the_hub_does_not_answer(
    hub: Hub, fault: Fault, capfd
) -> None:
    before = everything()
    hub.faults = [fault]
    assert everything() == before
    assert f"{TINY}@{hub.commit(TINY)} is taken from the cache" in capfd.readouterr().err


def test_weights_that_are_not_here_are_told_off_line(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    locate(TINY, None)
    offline(monkeypatch)
    with pytest.raises(
        ConfigError, match=r"model\.safetensors of acme/tiny@\w+ is not in the hub's"
    ):
        everything()
    with pytest.raises(ConfigError, match="'acme/other' is not in the hub's cache"):
        locate("acme/other", None)


# ── revisions ────────────────────────────────────────────────────────────────────────────────────


def test_a_branch_moves_and_a_commit_stays(hub: Hub) -> None:
    first = locate(TINY, "main")
    fetch_weights(first)
    hub.models[TINY] = Model(refs={"main": "second", "v1": "first"}, tags=("v1",))
    second = locate(TINY, "main")
    assert second.revision == hub.commit(TINY, "second")
    assert (fetch_weights(second) / "model.safetensors").read_bytes() == b"second" * 30_000
    for revision in ("v1", first.revision):
        assert locate(TINY, revision) == first
    assert (fetch_weights(first) / "model.safetensors").read_bytes() == b"first" * 30_000


def test_a_commit_that_no_branch_has_any_more_is_still_fetched(hub: Hub) -> None:
    hub.models[TINY] = Model(refs={"main": "second"})
    old = locate(TINY, hub.commit(TINY, "first"))
    assert (fetch_weights(old) / "model.safetensors").read_bytes() == b"first" * 30_000


def test_a_revision_that_is_none_is_told_what_there_is(hub: Hub) -> None:
    with pytest.raises(
        UnknownNameError, match=r"no revision 'v9' on the hub: it has main, v1, and"
    ):
        locate(TINY, "v9")
    short = hub.commit(TINY, "second")[:7]
    with pytest.raises(
        UnknownNameError, match=f"by its 40 digits, not by '{short}': write"
    ) as ended:
        locate(TINY, short)
    assert f"{TINY}@{hub.commit(TINY, 'second')}" in str(ended.value)
    with pytest.raises(UnknownNameError, match="not by '0000000': write all of them"):
        locate(TINY, "0000000")


# ── names ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("https://huggingface.co/acme/tiny", "is named, not addressed: write acme/tiny$"),
        ("https://huggingface.co/acme/tiny/tree/main", "write acme/tiny$"),
        ("http://hf.co/acme/tiny/tree/v1/unet", "write acme/tiny@v1$"),
        ("huggingface.co/acme/tiny/", "write acme/tiny$"),
        ("hf://acme/tiny@v1", "write acme/tiny@v1$"),
        (
            "https://huggingface.co/acme/loras/blob/v1/cats.safetensors?download=true",
            r"write acme/loras/cats\.safetensors@v1$",
        ),
        ("https://huggingface.co/datasets/acme/tiny", "no model's, but one of datasets"),
        ("https://huggingface.co/", "the address of the hub itself: write the model as owner/name"),
        (
            "https://civitai.com/models/4384?token=canary",
            r"civitai\.com is no hub that lcmis fetches",
        ),
        ("civitai.com/models/4384", r"civitai\.com is no hub that lcmis fetches"),
        (
            "civitai:4384@128713",
            "a name at Civitai, and lcmis fetches from Hugging Face's hub alone",
        ),
        ("urn:air:sdxl:checkpoint:civitai:4384", "a name at Civitai"),
        ("modelscope:acme/tiny", "a name at ModelScope"),
        ("ollama:llava", "a name at Ollama"),
        ("clip:acme/tiny", "has no colon: if you mean acme/tiny, write acme/tiny$"),
        (
            "acme/tiny/",
            "there is no folder 'acme/tiny/'; for the model on the hub write acme/tiny$",
        ),
        ("acme/tiny/unet", "is called owner/name: write acme/tiny, or give the path"),
        ("acme/tiny/x.safetensors", r"fetch the file with `hf download acme/tiny x\.safetensors`"),
        ("./x.safetensors", "there is no file './x.safetensors'"),
        ("model.gguf", "there is no file 'model.gguf'"),
        ("./acme/tiny", "there is no folder './acme/tiny', and it cannot be a name"),
        ("acme tiny", "cannot be a name on the hub either"),
        ("", "cannot be a name on the hub either"),
    ],
)
def test_what_is_typed_instead_of_a_name_is_told_what_to_write(
    hub: Hub, typed: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=sentence) as ended:
        locate(typed or " ", None)
    assert hub.log == []
    assert "canary" not in str(ended.value)


def test_a_folder_that_stands_before_a_name_is_told(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(TINY).mkdir(parents=True)
    with pytest.raises(ConfigError, match="holds no model; it stands before whatever the hub has"):
        locate(TINY, None)
    with pytest.raises(ConfigError, match=r"has no revision 'v1': .* it stands before whatever"):
        locate(TINY, "v1")
    (Path(TINY) / "model.safetensors").write_bytes(b"mine")
    assert locate(TINY, None).hub_name == ""
    assert hub.log == []


# ── one file of several ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("typed", ["acme/loras/cats.safetensors", "acme/loras/cats.safetensors@v1"])
def test_one_file_of_several_is_named_and_pinned(hub: Hub, typed: str) -> None:
    located, file = locate_file(typed)
    assert str(located) == f"acme/loras/cats.safetensors@{hub.commit(LORAS)}"
    assert hub.fetched() == []
    assert (fetch_weights(located, [file]) / file).read_bytes() == b"cats"
    assert hub.fetched() == ["cats.safetensors"]
    again, _ = locate_file(str(located))
    assert str(again) == str(located)


def test_which_of_several_files_is_asked(hub: Hub, tmp_path: Path) -> None:
    for typed in (LORAS, f"{LORAS}/mice.safetensors"):
        with pytest.raises(
            ConfigError,
            match=r"cats\.safetensors, dogs\.safetensors\): name the file itself, such as "
            r"acme/loras/cats\.safetensors",
        ):
            locate_file(typed)
    with pytest.raises(UnknownNameError, match="no revision 'v2'"):
        locate_file(f"{LORAS}/cats.safetensors@v2")
    for name in ("a", "b"):
        write(tmp_path, f"{name}.safetensors", b"mine")
    with pytest.raises(ConfigError, match=f"such as {tmp_path}/a.safetensors"):
        locate_file(str(tmp_path))
    with pytest.raises(ConfigError, match="has no revision 'v1'"):
        locate_file(f"{tmp_path}/a.safetensors@v1")


def test_an_exported_script_loads_an_adapter_at_its_commit() -> None:
    from lcmis.export import script

    source = next(
        text.replace("{{", "{").replace("}}", "}")
        for text in vars(script).values()
        if isinstance(text, str) and "def pinned" in text
    )
    known: dict[str, Callable[[str], object]] = {}
    exec(source[source.index("def pinned") : source.index("def load(")], known)
    commit = "0123456789abcdef0123456789abcdef01234567"
    assert known["pinned"](f"acme/loras@{commit}") == ("acme/loras", {"revision": commit})
    assert known["pinned"](f"acme/loras/old/cats.safetensors@{commit}") == (
        "acme/loras",
        {"revision": commit, "weight_name": "old/cats.safetensors"},
    )
    assert known["pinned"](f"loras@{commit}") == ("loras", {"revision": commit})
    assert known["pinned"]("my-lora@0123456789ab") == ("my-lora", {})


# ── only what is loaded ──────────────────────────────────────────────────────────────────────────

INDEX = "model.safetensors.index.json"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
OLD = "diffusion_pytorch_model-00001-of-00001.fp16.safetensors"
NEW = "diffusion_pytorch_model.fp16-00001-of-00001.safetensors"


@pytest.mark.parametrize(
    ("names", "variant", "chosen"),
    [
        (["model.safetensors", "model.fp16.safetensors"], None, ["model.safetensors"]),
        (["model.safetensors", "model.fp16.safetensors"], "fp16", ["model.fp16.safetensors"]),
        (["model.safetensors"], "fp16", []),
        (["model.bin", "lora.safetensors", "model.ema.safetensors"], None, []),
        (
            [*SHARDS, INDEX],
            None,
            [INDEX, *SHARDS],
        ),
        (
            [*SHARDS, INDEX, "model.safetensors"],
            None,
            ["model.safetensors"],
        ),
        (
            [OLD, "diffusion_pytorch_model.safetensors.index.fp16.json"],
            "fp16",
            ["diffusion_pytorch_model.safetensors.index.fp16.json", OLD],
        ),
        (
            [NEW, "diffusion_pytorch_model.safetensors.index.fp16.json", "model.safetensors"],
            "fp16",
            ["diffusion_pytorch_model.safetensors.index.fp16.json", NEW],
        ),
    ],
)
def test_a_network_is_loaded_from_these_files(
    names: list[str], variant: str | None, chosen: list[str]
) -> None:
    assert list(weight_files(names, variant)) == chosen


def test_of_a_pipeline_only_what_its_index_names_is_fetched(hub: Hub) -> None:
    model = open_model(ModelSettings(SD, width=32, height=32, num_inference_steps=1))
    weights = {
        "text_encoder/model.safetensors",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
    }
    configuration = set(hub.fetched())
    assert {Path(path).suffix for path in configuration} == {".json"}
    assert {path.partition("/")[0] for path in configuration} == {
        *("model_index.json", "scheduler", "text_encoder", "tokenizer", "unet", "vae")
    }
    (told,) = fetches_of(model)
    files = {path: (hub.root / SD / "first" / path).stat().st_size for path in weights}
    assert (told.size, told.cached) == (sum(files.values()), 0)
    load(model)
    assert set(hub.fetched()) - configuration == weights
    assert len(hub.fetched()) == len(set(hub.fetched()))
    (told,) = fetches_of(model)
    assert told.missing == 0


def test_shards_that_an_index_names_are_fetched_whatever_they_are_called(
    hub: Hub, tmp_path: Path
) -> None:
    folder = hub.root / "acme/shards/first"
    index = {"weight_map": {"a": "part-a.safetensors", "b": "part-b.safetensors"}}
    write(folder, INDEX, json.dumps(index).encode())
    write(folder, "config.json", b"{}")
    write(folder, "part-a.safetensors", b"a")
    hub.models["acme/shards"] = Model()
    with pytest.raises(ConfigError, match=r"not whole on the hub: its index names part-b"):
        fetch_weights(locate("acme/shards", None))
    write(hub.root / "acme/shards/second", INDEX, json.dumps(index | {"metadata": {}}).encode())
    for name in ("part-a.safetensors", "part-b.safetensors", "consolidated.safetensors"):
        write(hub.root / "acme/shards/second", name, name.encode())
    hub.models["acme/shards"] = Model(refs={"main": "second"})
    hub.reset()
    fetch_weights(locate("acme/shards", None))
    assert set(hub.fetched()) == {
        *(INDEX, "part-a.safetensors", "part-b.safetensors"),
    }


# ── checkers ─────────────────────────────────────────────────────────────────────────────────────


def test_an_open_clip_tag_is_pinned_to_a_commit(hub: Hub) -> None:
    tag = "ViT-B-32/laion2b_s34b_b79k"
    first = hub.commit(TAGGED)
    checker = open_checker(CheckerSettings("clip", tag))
    assert checker.checker_id == f"clip:{tag}@{first}"
    assert hub.fetched() == []
    assert [told.size for told in fetches_of(checker)] == [5]
    hub.models[TAGGED] = Model(refs={"main": "second"})
    assert open_checker(CheckerSettings("clip", tag)).checker_id != checker.checker_id
    pinned = open_checker(CheckerSettings("clip", tag, revision=first))
    assert pinned.checker_id == checker.checker_id
    assert Path(pinned._built_in.choices()["pretrained"]).read_bytes() == b"first"


def test_a_tag_whose_words_could_change_names_the_model_that_holds_its_own(hub: Hub) -> None:
    siglip = "timm/ViT-B-16-SigLIP"
    for name in ("open_clip_model.safetensors", "open_clip_config.json"):
        write(hub.root / siglip / "first", name, b"{}")
    hub.models[siglip] = Model()
    with pytest.raises(ConfigError, match=f"tokenizer of {siglip}.*write clip:hf-hub:{siglip}"):
        open_checker(CheckerSettings("clip", "ViT-B-16-SigLIP/webli"))


def test_a_tag_prepares_pictures_as_open_clip_does(tmp_path: Path, monkeypatch) -> None:
    import open_clip
    from open_clip import pretrained

    from lcmis.check import tags

    folder = tiny_checkers.tiny_clip(tmp_path / "saved")
    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    (tmp_path / "tiny-arch.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path)
    weights = str(folder / "open_clip_model.safetensors")
    said = tags._every_tag()["ViT-B-16-SigLIP"]["webli"] | {"file": weights}
    monkeypatch.setitem(pretrained._PRETRAINED, "tiny-arch", {"webli": said})
    located = locate(str(folder), None)
    tagged = tags.Tagged("tiny-arch", "webli", located, "open_clip_model.safetensors", said)
    theirs, ours = (
        open_clip.create_model_and_transforms("tiny-arch", require_pretrained=True, **choices)
        for choices in ({"pretrained": "webli"}, tagged.choices())
    )
    assert repr(ours[2]) == repr(theirs[2])
    assert repr(ours[2]) != repr(open_clip.create_model_and_transforms("tiny-arch")[2])
    for key, value in theirs[0].state_dict().items():
        assert value.equal(ours[0].state_dict()[key])


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ("pickled", "only as open_clip_pytorch_model.bin, a pickle"),
        ("torn", "cannot be loaded"),
        ("others", "cannot be loaded"),
    ],
)
def test_a_checker_that_cannot_be_used_costs_no_picture(
    hub: Hub, lcmis, tmp_path: Path, broken: str, sentence: str
) -> None:
    folder = hub.root / "acme" / broken / "first"
    shutil.copytree(hub.root / JUDGE / "first", folder)
    weights = folder / "open_clip_model.safetensors"
    if broken == "pickled":
        weights.rename(folder / "open_clip_pytorch_model.bin")
    elif broken == "torn":
        weights.write_bytes(weights.read_bytes()[:-1000])
    else:
        save_file({"a": next(iter(load_file(weights).values()))}, weights)
    hub.models[f"acme/{broken}"] = Model()
    words = ["-m", SD, "-p", "teacup", "--limit", "1", "--size", "32x32", "--steps", "1"]
    checkers = ["-c", f"clip:hf-hub:{JUDGE}", "-c", f"clip:hf-hub:acme/{broken}"]
    code, _, err = lcmis("audit", *words, *checkers, "--store", tmp_path / "store")
    assert code == 2
    assert sentence in err
    if (tmp_path / "store").exists():
        with Store(tmp_path / "store", read_only=True) as store:
            assert store.renders() == []
    assert "unet/diffusion_pytorch_model.safetensors" not in hub.fetched() or broken != "pickled"


def test_a_file_that_is_said_to_lie_in_xet_storage_comes_plainly_where_that_is_not_spoken(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("hf_xet")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    hub.models[TINY].xet = True
    folder = fetch_weights(locate(TINY, None))
    assert (folder / "model.safetensors").read_bytes() == b"first" * 30_000
    assert [one for one in hub.log if "/xet-read-token/" in one.path]  # it was tried


@pytest.mark.parametrize("kind", ["vqa", "detect", "imagereward"])
def test_a_single_file_is_no_checker(kind: str, tmp_path: Path) -> None:
    write(tmp_path, "model.safetensors", b"mine")
    with pytest.raises(ConfigError, match="is one file, and its configuration is needed too"):
        open_checker(CheckerSettings(kind, str(tmp_path / "model.safetensors")))


# ── a branch that has moved ──────────────────────────────────────────────────────────────────────


def test_a_picture_is_drawn_again_after_its_branch_has_moved_and_show_says_so(
    hub: Hub, lcmis, tmp_path: Path
) -> None:
    store = ["--store", tmp_path / "store"]
    how = ["-p", "teacup", "--limit", "1", "--size", "32x32", "--steps", "2", "--batch", "2"]
    asked = ["-m", SD, *how, "-c", f"clip:hf-hub:{JUDGE}", "--rule", "fixed", "--cap", "4", *store]
    code, out, _ = lcmis("plan", *asked)
    assert code == 0
    size = sum(told.size for told in fetches_of(open_model(ModelSettings(SD))))
    assert f"acme/sd is fetched from the hub first: {fetching.in_words(size)}." in out
    assert f"{JUDGE} is fetched from the hub first" in out
    assert lcmis("audit", *asked)[0] == 0
    assert "fetched from the hub" not in lcmis("plan", *asked)[1]
    with Store(tmp_path / "store", read_only=True) as facts:
        key = facts.renders(model=f"{SD}@{hub.commit(SD)}")[0].spec.key
    assert "models here" not in lcmis("show", *store)[1]

    hub.models[SD] = Model(refs={"main": "second"})
    hub.reset()
    code, out, _ = lcmis("replay", key, *store)
    assert (code, "the same picture, bit for bit" in out) == (0, True)
    assert [one.path for one in hub.log if "acme/sd" in one.path] == []
    assert lcmis("audit", *asked)[0] == 0
    shown = " ".join(lcmis("show", *store)[1].split())
    (both,) = re.findall(r"acme/sd is 2 models here: it has changed .* disk \((.*?)\)", shown)
    assert set(both.split(", ")) == {hub.commit(SD, one)[:7] for one in ("first", "second")}


# ── what is shown ─────────────────────────────────────────────────────────────────────────────────


def test_a_terminal_shows_one_bar_with_time_left(hub: Hub, tmp_path: Path) -> None:
    write(hub.root / "acme/big/first", "config.json", b"{}")
    hub.models["acme/big"] = Model(sizes={"model.safetensors": 3_200_000})
    hub.faults = [Fault(SENT, breath=0.03)]
    code = (
        "from lcmis.cli.terminal import lines\nfrom lcmis.machine.hub import *\n"
        "with lines() as move:\n"  # a bar of the run's own is there already
        "    move('acme/big@1', 0, 8, 'drawing')\n"
        "    fetch_weights(locate('acme/big', None))"
    )
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**told_of(hub, tmp_path), "TERM": "xterm", "COLUMNS": "80"},
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # so ends a terminal
        while piece := os.read(ours, 1 << 16):
            shown += piece
    os.close(ours)
    assert process.wait() == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert re.search(r"fetching acme/big \S+ [\d.]+/3.2 MB [\d.]+ MB/s \d\d:\d\d", plain)


# ── Ctrl-C ───────────────────────────────────────────────────────────────────────────────────────


def stopped(words: list[str], reached: str, hub: Hub, tmp_path: Path) -> tuple[int, str]:
    """Exit code and errors of a process that is interrupted once it has asked for something.

    Left to itself, the library would wait for ten minutes.
    """
    process = subprocess.Popen(
        [sys.executable, *words],
        env={**told_of(hub, tmp_path), "HF_HUB_DOWNLOAD_TIMEOUT": "600"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not any(re.search(reached, f"{one.method} {one.path}") for one in hub.log):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    return process.returncode, err


def test_ctrl_c_ends_a_question_at_once_that_is_never_answered(hub: Hub, tmp_path: Path) -> None:
    hub.faults = [Fault("HEAD hub .*json", hang=True)]
    words = ["-m", "lcmis", "plan", "-m", SD, "-p", "teacup", "-c", f"clip:hf-hub:{JUDGE}"]
    code, err = stopped(words, "HEAD .*json", hub, tmp_path)
    assert (code, err) == (130, "lcmis: stopped; run the same command again to go on\n")


def test_ctrl_c_ends_a_file_at_once_that_never_ends(hub: Hub, tmp_path: Path) -> None:
    hub.faults = [Fault(SENT, hang=True, cut_after=60_000)]
    code = "from lcmis.machine.hub import *; fetch_weights(locate('acme/tiny', None))"
    ended, err = stopped(["-c", code], "GET .*safetensors", hub, tmp_path)
    assert ended == -signal.SIGINT
    assert "KeyboardInterrupt" in err
    assert SIGNATURE not in err
    assert list((tmp_path / "cache").rglob("*.incomplete")) == []
