"""The standalone server in a process of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
# Trains at the speed "fast", since tests wait for it, with a pause after each update: others train until they are interrupted.
START = """
import sys
import time
from pathlib import Path
from lib_lrsched.practice import app, host, textual_inversion
from lib_lrsched.training.settings import Settings
from lib_lrsched.web import scripts
host.practice_host.__defaults__ = (lambda: Settings(training_speed="fast"),)
def write_loss(*of_an_update, write=textual_inversion.write_loss):
    write(*of_an_update)
    time.sleep(0.01)
textual_inversion.write_loss = write_loss
if len(sys.argv) > 3:
    scripts.FOLDER = Path(sys.argv[3])
app.serve(Path(sys.argv[1]), port=int(sys.argv[2]))
"""
START_S = 120


@contextlib.contextmanager
def serving(folder: Path, port: int, scripts: Path | None = None) -> Iterator[str]:
    """A standalone server while the block runs; with ``scripts`` instead of the repository's own."""
    environment = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", START, str(folder), str(port), *([] if scripts is None else [str(scripts)])]
    log = folder.parent / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=output, stderr=output)
        try:
            _wait_until_it_listens(process, port, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(START_S * 5):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            pass
        else:
            return
        try:
            process.wait(timeout=0.2)  # also the pause between two looks
        except subprocess.TimeoutExpired:
            continue
        break
    pytest.fail(f"the server did not start:\n{log.read_text()[-4000:]}")
