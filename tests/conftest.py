"""Settings and fixtures that every test shares.

Property tests draw the same examples on every machine. Tests marked `long` run with LRSCHED_LONG=1 only (`make test-long`).
With `-n 3` three processes (pytest-xdist) share the files: two cores are busy while a browser waits.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:  # torch is optional
    from practice_rig import Ground

MEMORY, ROOM_BYTES = Path("/dev/shm"), 4 << 30

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # several processes with a thread for each core keep each other waiting

settings.register_profile("steady", derandomize=True, deadline=None, database=None, max_examples=100,
                          suppress_health_check=[HealthCheck.too_slow])  # how fast a shared machine draws says nothing of the code
settings.load_profile("steady")


def _check_only(fd: Any) -> None:
    """Raises OSError for a closed file, as fsync does."""
    os.fstat(fd)


if os.environ.get("LRSCHED_LONG") != "1":
    # An fsync takes milliseconds, is called tens of thousands of times, and matters only in a power failure.
    os.fsync = _check_only
    # tmp_path is in memory if there is room: a test run leaves 30,000 files, which a later one deletes.
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM_BYTES:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

# The garbage collector took a fifth of the CPU time: it went through everything that collecting the tests makes, again and again.
gc.disable()
OBJECTS_BETWEEN = (20_000, 20, 50)


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts background commands so, and what they start inherits it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("LRSCHED_LONG") == "1":
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="make test-long"))


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.set_threshold(*OBJECTS_BETWEEN)
    gc.enable()


RUNS_GROUP = {
    "test_compare_scripts.py", "test_compare_ui.py", "test_options_ui.py", "test_reach_ui.py", "test_resume_ui.py",
    "test_run_files_ui.py", "test_run_view_ui.py", "test_runs.py", "test_send_ui.py", "test_trials_ui.py",
}  # fmt: skip
"""Files of tests/browser that share a process, a server and its runs; the other files are a second group, which takes as long."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file stays in one process, with what its fixtures made; tests/browser makes two groups, each of which shares a server."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            if not file.startswith("tests/browser/"):
                return file
            return "tests/browser, runs" if file.removeprefix("tests/browser/") in RUNS_GROUP else "tests/browser"

    config.option.loadscopereorder = False  # the browser first: it takes longest
    return ByFile(config, log)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """The practice host with a small network and five captioned images; hooks come with its install()."""
    pytest.importorskip("torch")
    from practice_rig import practice_ground, small_model

    with practice_ground(tmp_path, small_model()) as ground:
        yield ground
