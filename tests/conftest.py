"""What every test shares: one thread, no hub, and models that are built once."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Two cores fight over tiny models: one thread is up to 75 times faster."""
    import torch

    torch.set_num_threads(1)
