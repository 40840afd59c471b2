"""Whether the process that wrote a file is still there: by its start within two seconds, and marks of 0.1.0 as they were meant."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from lib_lrsched.storage import process

DAY_S = 86_400.0


@pytest.fixture
def other() -> Iterator[int]:
    """The number of another process that lives."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield child.pid
    child.communicate(b"\n", timeout=60)


def shifted(mark: str, by_s: float) -> str:
    return f"{float(mark) + by_s:.2f}"


def old_mark(pid: int) -> str:
    """As version 0.1.0 made it."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[19]}"


@pytest.mark.parametrize(("clock_moved_s", "is_alive"), [(0, True), (1.9, True), (-1.9, True), (2.1, False), (-DAY_S, False)])
def test_a_start_within_two_seconds_is_the_same_process(other: int, clock_moved_s: float, is_alive: bool):
    assert process.alive(other, shifted(process.mark(other), clock_moved_s), time.time()) == is_alive


@pytest.mark.parametrize(("clock_moved_s", "is_own"), [(0, True), (1.9, True), (2.1, False)])
def test_this_process_knows_itself_though_the_clock_moved(clock_moved_s: float, is_own: bool):
    pid, mark = process.own()
    assert process.is_own(pid, shifted(mark, clock_moved_s)) == is_own
    assert process.alive(pid, shifted(mark, clock_moved_s), time.time()) == is_own


def test_the_mark_is_read_by_the_system_anew_for_another_process(other: int):
    assert process.mark(other) == f"{psutil.Process(other).create_time():.2f}"
    assert process.mark(os.getpid()) == process.own()[1]


def test_a_process_that_ended_is_gone_before_its_parent_asks():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mark = process.mark(child.pid)
    assert child.stdin is not None
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, and still there for its parent
    assert process.mark(child.pid) == ""
    assert not process.alive(child.pid, mark, time.time())
    child.wait(timeout=60)
    assert not process.alive(child.pid, mark, time.time())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="0.1.0 wrote such marks on Linux alone")
class TestMarkOf010:
    """A run that 0.1.0 stored as running, looked at by this version."""

    def test_its_live_writer_is_alive(self, other: int):
        assert process.alive(other, old_mark(other), time.time())

    def test_another_process_with_its_number_is_not_it(self, other: int):
        boot, ticks = old_mark(other).split("/")
        for away_s in (-5, 5):
            assert not process.alive(other, f"{boot}/{int(ticks) + away_s * os.sysconf('SC_CLK_TCK')}", time.time())

    def test_a_process_that_started_at_the_same_time_after_another_boot_is_not_it(self, other: int):
        assert not process.alive(other, old_mark(other), psutil.boot_time() - DAY_S)

    def test_this_process_never_wrote_one(self):
        assert not process.alive(os.getpid(), old_mark(os.getpid()), time.time())

    @pytest.mark.parametrize("mark", ["another-boot/123", "another-boot/", "a/b"])
    def test_a_mark_that_fits_nothing_is_of_no_live_process(self, other: int, mark: str):
        assert not process.alive(other, mark, time.time())

    def test_a_process_that_is_gone_is_not_alive(self):
        assert not process.alive(2**22 + 1, "b8de2c82-14ec-4eaf-934f-dded4993e11d/20694", time.time())


def test_a_mark_of_a_later_version_leaves_it_to_the_number(other: int):
    assert process.alive(other, "started:17", time.time())
    assert not process.alive(2**22 + 1, "started:17", time.time())


@pytest.mark.skipif(os.name == "nt", reason="without psutil Windows is not asked")
def test_without_psutil_the_number_alone_decides(other: int, monkeypatch: pytest.MonkeyPatch):
    mark, old = process.mark(other), "another-boot/123"
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert process.mark(other) == ""
    for one in (mark, old, ""):
        assert process.alive(other, one, time.time())
        assert not process.alive(2**22 + 1, one, time.time())
    assert not process.alive(2**62, mark, time.time())


@pytest.mark.parametrize("pid", [0, -1, 2**62])
def test_a_number_that_no_process_can_have_is_of_none(pid: int):
    assert not process.alive(pid, "", time.time())
