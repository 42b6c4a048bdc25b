"""A profile says on what it was drawn: kinds of GPUs never share a key; CPUs keep theirs."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lcmis.machine.device import accelerator_name, has_bfloat16
from lcmis.plugins.settings import ModelSettings
from lcmis.render import accelerators
from lcmis.render.diffusion import DiffusersModel
from lcmis.types import Stage

ROOT = Path(__file__).parents[1]
DRIVER = """
#include <stdio.h>
static const char *names[] = {NAMES};
static const unsigned parted[] = {PARTED};
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = sizeof(names) / sizeof(*names); return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned at, void **handle) {
    *handle = (void *)(unsigned long)(at + 1); return 0;
}
int nvmlDeviceGetName(void *handle, char *name, unsigned length) {
    snprintf(name, length, "%s", names[(unsigned long)handle - 1]); return 0;
}
int nvmlDeviceGetMigMode(void *handle, unsigned *now, unsigned *later) {
    if (parted[(unsigned long)handle - 1] == 2) return 3;  /* not supported */
    *now = *later = parted[(unsigned long)handle - 1]; return 0;
}
"""
ASK = """
from lcmis.machine.device import accelerator_name, choose_device
print(choose_device("auto"), accelerator_name("cuda"))
"""


@pytest.mark.parametrize(
    ("gpus", "told"),
    [
        ([("NVIDIA H100 80GB HBM3", 0)] * 2, "NVIDIA H100 80GB HBM3"),
        ([("Tesla T4", 2)], "Tesla T4"),
        ([("NVIDIA H100 80GB HBM3", 0), ("NVIDIA L4", 0)], "None"),
        ([("NVIDIA H100 80GB HBM3", 1)], "None"),
        ([("NVIDIA H100 80GB HBM3", 0), ("NVIDIA H100 80GB HBM3", 1)], "None"),
    ],
)
def test_the_driver_says_what_a_gpu_is_called_where_all_are_alike(tmp_path, gpus, told):
    """By a driver's library of our own: only where it leaves a doubt is torch woken."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("no C compiler for a driver's library")
    names = ", ".join(f'"{name}"' for name, _ in gpus)
    parted = ", ".join(str(number) for _, number in gpus)
    source = DRIVER.replace("NAMES", names, 1).replace("PARTED", parted, 1)
    (tmp_path / "driver.c").write_text(source)
    library = tmp_path / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, tmp_path / "driver.c"], check=True)
    asked = subprocess.run(
        [sys.executable, "-c", ASK],
        env=os.environ | {"LD_LIBRARY_PATH": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert asked.stdout.split(maxsplit=1) == ["cuda", f"{told}\n"]


def test_a_profile_names_the_accelerator_and_a_cpu_has_none(monkeypatch):
    assert accelerator_name("cpu") == ""
    assert accelerators.profile_of("cpu", "float32-b16") == "cpu-float32-b16"
    monkeypatch.setattr(accelerators, "accelerator", lambda device: f"GPU of {device}")
    assert accelerators.profile_of("cuda:1", "bfloat16-b4") == "cuda-bfloat16-b4 on GPU of cuda:1"


def test_keys_of_pictures_drawn_on_a_cpu_are_what_they_were():
    """Pinned before profiles named anything."""
    model = DiffusersModel(
        ModelSettings(str(ROOT / "data/teacup/teacup-narrow"), device="cpu", dtype="float32")
    )
    spec = model.spec((Stage("a tea cup of iced coke"),), 7)
    assert spec.profile == "cpu-float32-b16"
    assert spec.key == "k1:22dd7a630a223414d6d15f26e0356702"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a processor can do")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="torch tells it of x86 alone")
def test_a_processor_that_computes_bfloat16_is_known_as_torch_knows_it():
    fused, tiles = torch.cpu._is_avx512_bf16_supported(), torch.cpu._is_amx_tile_supported()
    assert has_bfloat16() == (fused or tiles)
