"""accelerate and DeepSpeed in two processes under torchrun: the plan's rate at every update, also after a kill."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

pytest.importorskip("torch")

import many_processes_worker as worker
from trainers_page import TEXT

from lib_lrsched import plan

pytestmark = pytest.mark.long

KILLED_AFTER = 24


def needs(kind: str) -> None:
    """accelerate 0.33, that of the WebUI's time, cannot read what it saves with the torch of today."""
    try:
        major = int(version(kind).split(".")[0])
    except PackageNotFoundError:
        major = -1
    if major < (1 if kind == "accelerate" else 0):
        pytest.skip(f"{kind}, of today's versions, is not installed: make trainers")


def run(kind: str, folder: Path, *more: str) -> tuple[int, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    paths = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "DS_ACCELERATOR": "cpu",
                                "ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_addr=127.0.0.1",
               f"--master_port={port}", worker.__file__, kind, str(folder), *more]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    return done.returncode, done.stdout + done.stderr


def rates(folder: Path, rank: int) -> list[tuple[int, float]]:
    lines = (folder / f"rates-{rank}.txt").read_text().splitlines()
    return [(int(step), float(rate)) for step, rate in map(str.split, lines)]


@pytest.mark.parametrize("kind", ["accelerate", "deepspeed"])
def test_two_processes_have_the_plans_rate_at_every_update_and_resume_after_a_kill(kind: str, tmp_path: Path):
    needs(kind)
    expected = list(enumerate(plan(TEXT, total_steps=worker.UPDATES).values(range(worker.UPDATES)).tolist()))
    code, said = run(kind, tmp_path, str(KILLED_AFTER))
    assert code != 0, said
    assert rates(tmp_path, 1) == expected[: KILLED_AFTER + 1], said  # the one that is killed
    before = len(rates(tmp_path, 0))
    assert rates(tmp_path, 0) == expected[:before]
    code, said = run(kind, tmp_path)
    assert code == 0, said
    assert rates(tmp_path, 1)[KILLED_AFTER + 1:] == expected[worker.SAVE_EVERY * 2:]
    assert rates(tmp_path, 0)[before:] == expected[worker.SAVE_EVERY * 2:]
    weights = pytest.approx(worker.alone(TEXT)["weights"], rel=1e-4)
    assert [json.loads((tmp_path / f"weights-{rank}.json").read_text()) for rank in (0, 1)] == [weights, weights]
