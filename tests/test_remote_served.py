"""A judge behind a real server that knows no probabilities: ``transformers serve``, a tiny VLM."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.stats import binomtest
from transformers import AutoProcessor, GenerationConfig
from worlds import tiny_checkers

from lcmis.check import questions_of
from lcmis.check.remote import RemoteChecker
from lcmis.check.vqa import VqaChecker
from lcmis.errors import ServiceClosed
from lcmis.plugins.settings import CheckerSettings, RemoteSettings
from lcmis.testing.given import contract_pair, contract_pictures

pytest.importorskip("fastapi", reason="transformers serve needs fastapi")
pytest.importorskip("uvicorn", reason="transformers serve needs uvicorn")

REPLIES = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It says an answer at once, by chance, and then stops."""
    folder = tiny_checkers.tiny_llava(tmp_path_factory.mktemp("served") / "llava")
    weights = load_file(folder / "model.safetensors")
    (head,) = (name for name in weights if name.endswith("lm_head.weight"))
    tokenizer = AutoProcessor.from_pretrained(folder).tokenizer
    ends = tokenizer.convert_tokens_to_ids(list(tiny_checkers.ANSWERS))
    junk = torch.ones(len(weights[head]), dtype=torch.bool)
    junk[ends] = False
    weights[head][junk] = 0
    weights[head] *= 3
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = GenerationConfig(
        do_sample=True, eos_token_id=ends, pad_token_id=tokenizer.pad_token_id, top_k=0
    )
    config.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def address(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = tmp_path_factory.mktemp("hub")
    (home / "hub").mkdir()
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(folder)]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            while True:
                assert server.poll() is None, "the server ended before it answered"
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=60)
                    break
                except OSError:
                    continue
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()


def test_a_server_without_probabilities_is_told_from_one_with_and_its_replies_are_counted(
    folder: Path, address: str
) -> None:
    asked = questions_of(contract_pair())[:2]
    pictures = contract_pictures()[:2]
    blind = RemoteChecker(CheckerSettings("openai", str(folder), remote=RemoteSettings(address)))
    with pytest.raises(ServiceClosed, match="set samples = 9"):
        blind.score(pictures, asked)
    remote = RemoteSettings(address, samples=REPLIES, max_tokens=8)
    there = RemoteChecker(CheckerSettings("openai", str(folder), remote=remote))
    here = VqaChecker(CheckerSettings("vqa", str(folder), device="cpu"))
    for ours, theirs in zip(here.score(pictures, asked), there.score(pictures, asked), strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert one.value is not None
            assert other.value is not None
            given = round(other.mass * REPLIES)
            seen = binomtest(round(other.value * given), given, one.value)
            assert seen.pvalue > 1e-4, (one, other)
            assert binomtest(given, REPLIES, min(1.0, one.mass)).pvalue > 1e-4
