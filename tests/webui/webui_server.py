"""A WebUI in a process of its own, over a data folder of its own, with this extension and the spy in it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from webui_checkout import REPOSITORY, ROOT, version, webui_python
from webui_spy import Spy

EXTENSION = "lr-schedule"
HOST_SIDE = Path(__file__).with_name("host_side")
START_S = 240
PAUSE_S = 0.2
STARTED = "Startup time:"
ARGUMENTS = (
    "--skip-prepare-environment", "--skip-install", "--skip-python-version-check", "--skip-torch-cuda-test", "--skip-version-check",
    "--no-download-sd-model", "--do-not-download-clip", "--use-cpu", "all", "--no-half", "--precision", "full", "--no-hashing",
    "--disable-nan-check", "--api",
    # The files are the lane's own; the check refuses what newer versions of torch write into theirs.
    "--disable-safe-unpickle",
)
CONFIG = {
    "training_write_csv_every": 1, "save_optimizer_state": True, "live_previews_enable": False, "auto_launch_browser": "Disable",
}


@dataclass(frozen=True)
class WebUI:
    """A running WebUI."""

    url: str
    data: Path
    log: Path
    spy: Spy
    process: subprocess.Popen[bytes]

    def said(self) -> str:
        """What is on its console so far."""
        return self.log.read_text(encoding="utf8", errors="replace")

    def starts(self) -> int:
        """How often its page was made: once at the start, and once by every "Reload UI"."""
        return self.said().count(STARTED)

    def wait_until_said(self, text: str, count: int) -> None:
        """Until the console has the text `count` times."""
        deadline_s = time.monotonic() + START_S
        while self.said().count(text) < count:
            if self.process.poll() is not None or time.monotonic() > deadline_s:
                pytest.fail(f"the WebUI did not say {text!r}:\n{self.said()[-6000:]}")
            time.sleep(PAUSE_S)

    def wait_for_start(self, count: int) -> None:
        """Until the page was made `count` times and the model is there.

        The console is watched, not the port: a request that comes before the WebUI has added its middleware breaks its start.
        """
        self.wait_until_said(STARTED, count)
        self.wait_until_said("Model loaded in", 1)


@contextmanager
def started(folder: Path, checkpoint: Path, *arguments: str, disabled: tuple[str, ...] = ()) -> Iterator[WebUI]:
    """A WebUI with `arguments` beside the usual ones, until the block is left; in a folder that has one, that one again."""
    data, spy = folder / "data", folder / "spy"
    spy.mkdir(parents=True, exist_ok=True)
    if not data.exists():
        fill(data, checkpoint, disabled)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [webui_python(), "launch.py", *ARGUMENTS, "--port", str(port), "--data-dir", data, *arguments]
    with (folder / "console.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment(spy), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    webui = WebUI(f"http://127.0.0.1:{port}", data, folder / "console.log", Spy(spy / "updates.jsonl"), process)
    try:
        webui.wait_for_start(1)
        yield webui
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def fill(data: Path, checkpoint: Path, disabled: tuple[str, ...]) -> None:
    """The data folder: settings, model, both extensions."""
    for name in ("embeddings", "models", "extensions"):
        (data / name).mkdir(parents=True)
    (data / "config.json").write_text(json.dumps({**CONFIG, "disabled_extensions": [*disabled]}))
    (data / "models" / "Stable-diffusion").symlink_to(checkpoint)
    (data / "extensions" / EXTENSION).symlink_to(REPOSITORY)
    (data / "extensions" / "lane-spy").symlink_to(HOST_SIDE / "spy")


def environment(spy: Path) -> dict[str, str]:
    """Ours, without what would change the start; offline."""
    ours = {name: value for name, value in os.environ.items() if name not in ("COMMANDLINE_ARGS", "PYTHONPATH")}
    return ours | {
        "LANE_SPY": str(spy), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "SD_WEBUI_RESTARTING": "1",  # opens no browser
        "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1",
        "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1",
    }


def make_checkpoint(cache: Path) -> Path:
    """The folder with the random checkpoint, made in `cache` where it is not there yet."""
    script = HOST_SIDE / "make_checkpoint.py"
    digest = hashlib.sha256(script.read_bytes()).hexdigest()[:12]
    made = cache / f"checkpoint-{version()}-{digest}"
    if (made / "done").is_file():
        return made
    shutil.rmtree(made, ignore_errors=True)
    with tempfile.TemporaryFile() as log:
        done = subprocess.run([webui_python(), script, made], cwd=ROOT, env=environment(cache), stdout=log, stderr=log, check=False)
        log.seek(0)
        assert done.returncode == 0, f"the checkpoint could not be made:\n{log.read().decode()[-4000:]}"
    (made / "done").touch()
    return made
