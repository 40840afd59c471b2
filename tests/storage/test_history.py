"""History: what is recorded can be read back, from memory by other threads and from the file after any end."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import math
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_lrsched.errors import RunStateError
from lib_lrsched.schedule.running_average import SMOOTHING
from lib_lrsched.storage import atomic_files, history_blocks, history_lines
from lib_lrsched.storage._metrics import Metrics, Overview, thinned
from lib_lrsched.storage.history import History, HistoryRow, read_losses
from lib_lrsched.storage.history_lines import last_step
from lib_lrsched.storage.history_row import COLUMNS, Layout

HEADER = b'{"lrsched_history": 1, "columns": ["step", "planned", "actual", "loss", "grad_norm", "time_s"]}\n'
"""Of files before progress was measured."""

OWN_HEADER = json.dumps({"lrsched_history": 1, "columns": list(COLUMNS)}).encode() + b"\n"


def record(step: int, loss: float = 0.1, *, rate: float = 0.005, grad_norm: float | None = 1.5) -> HistoryRow:
    return HistoryRow(step, rate, rate, loss, grad_norm, 1_000.0 + step)


def filled(history: History, steps: range, loss: float = 0.1) -> History:
    for step in steps:
        history.record(record(step, loss))
    return history


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "history.jsonl"


def test_points_hold_what_was_recorded():
    history = History(None)
    history.record(HistoryRow(0, 0.005, 0.004, 0.25, None, 7.5))
    history.record(HistoryRow(1, 0.005, 0.005, 0.5, 2.0, 8.5, 0.625, 0.125, 0.25, 0.75, 0.5, 0.0625, 2.0))
    smooth = (SMOOTHING * 0.02 * 0.25 + 0.02 * 0.5) / (1 - SMOOTHING**2)
    assert history.since(0) == {
        "step": [0, 1],
        "planned": [0.005, 0.005],
        "actual": [0.004, 0.005],
        "loss": [0.25, 0.5],
        "smooth": [0.25, pytest.approx(smooth, rel=1e-12)],
        "grad_norm": [None, 2.0],
        "time_s": [7.5, 8.5],
        "baseline_loss": [None, 0.625],
        "progress": [None, 0.125],
        "clip_share": [None, 0.25],
        "vector_norm": [None, 0.75],
        "vector_distance": [None, 0.5],
        "vector_mean_abs": [None, 0.0625],
        "band": [None, 2.0],
        **{f"{what}_band_{band}": [None, None] for what in ("loss", "progress", "validation") for band in range(4)},
        "validation": [None, None],
        "validation_ema": [None, None],
        "rate_factor": [None, None],
    }
    assert history.last_step == 1


def test_an_empty_history_has_no_points():
    history = History(None)
    assert history.since(0)["step"] == []
    assert history.last_step is None
    assert history.pace() is None


def test_since_beyond_the_end_is_empty():
    assert filled(History(None), range(10)).since(10)["step"] == []
    assert filled(History(None), range(10)).since(9)["step"] == [9]


def test_what_is_not_finite_becomes_null_and_is_left_out_of_the_average():
    history = History(None)
    for step, loss in enumerate([0.5, math.nan, math.inf, -math.inf, 0.5]):
        history.record(record(step, loss, grad_norm=math.inf))
    points = history.since(0)
    assert points["loss"] == [0.5, None, None, None, 0.5]
    assert points["smooth"] == pytest.approx([0.5] * 5)
    assert points["grad_norm"] == [None] * 5
    json.dumps(points, allow_nan=False)


def test_the_average_of_nothing_finite_is_null():
    history = History(None)
    history.record(record(0, math.nan))
    assert history.since(0)["smooth"] == [None]


def test_the_ring_is_exact_and_the_overview_keeps_the_extremes():
    history = History(None, recent=100, overview=64)
    rng = np.random.default_rng(5)
    losses = rng.random(5_000)
    losses[[17, 2_345]] = 9.0, -3.0
    for step, loss in enumerate(losses):
        history.record(record(step, float(loss)))
    points = history.since(0)
    assert points["step"] == sorted(set(points["step"]))
    assert points["step"][-100:] == list(range(4_900, 5_000))
    assert len(points["step"]) <= 2 * 100 + 64
    assert {17, 2_345} <= set(points["step"])
    assert all(losses[step] == loss for step, loss in zip(points["step"], points["loss"], strict=True))
    assert history.since(4_950)["step"] == list(range(4_950, 5_000))
    assert min(history.since(1_000)["step"]) >= 1_000


def test_a_loss_that_is_no_number_stays_in_the_overview():
    history = History(None, recent=10, overview=8)
    for step in range(1_000):
        history.record(record(step, math.nan if step == 100 else 0.1))
    points = history.since(0)
    assert points["loss"][points["step"].index(100)] is None


@settings(max_examples=60, deadline=None)
@given(
    losses=st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=400),
    limit=st.integers(4, 60),
)
def test_thinning_keeps_ends_and_extremes_within_the_limit(losses: list[float], limit: int):
    rows = np.zeros((len(losses), 8))
    rows[:, 0], rows[:, 3] = np.arange(len(losses)), losses
    steps = thinned(rows, limit)[:, 0]
    assert len(steps) <= limit
    assert np.all(np.diff(steps) > 0)
    assert steps[0] == 0
    assert steps[-1] == len(losses) - 1
    finite = [loss for loss in losses if math.isfinite(loss)]
    if finite:
        assert min(finite) in thinned(rows, limit)[:, 3]
    if len(finite) == len(losses):
        assert max(finite) in thinned(rows, limit)[:, 3]


@settings(max_examples=60, deadline=None)
@given(
    jumps=st.lists(st.integers(1, 10_000), min_size=1, max_size=300),
    losses=st.lists(st.floats(-1e6, 1e6), min_size=300, max_size=300),
    capacity=st.integers(2, 40),
)
def test_the_overview_never_loses_an_extreme_and_never_outgrows_its_capacity(
    jumps: list[int], losses: list[float], capacity: int
):
    overview = Overview(capacity)
    steps = np.cumsum(jumps).tolist()
    for step, loss in zip(steps, losses, strict=False):
        overview.add((float(step), 0.0, 0.0, loss, *[0.0] * (len(COLUMNS) - 2)))
    rows = overview.rows(0, math.inf)
    used = losses[: len(steps)]
    assert len(rows) <= capacity
    assert rows[:, 3].min() == min(used)
    assert rows[:, 3].max() == max(used)


def test_limit_bounds_what_is_sent():
    points = filled(History(None), range(9_000)).since(0, 100)
    assert len(points["step"]) <= 100
    assert points["step"][0] == 0
    assert points["step"][-1] == 8_999


def test_error_limit_too_small():
    with pytest.raises(ValueError) as caught:
        History(None).since(0, 3)
    assert str(caught.value) == "expected a limit of 4 or more, got 3"


def test_error_no_room():
    with pytest.raises(ValueError) as caught:
        Metrics(0, 10)
    assert str(caught.value) == "expected recent >= 1 and overview >= 2, got recent=0, overview=10"


def test_going_back_cuts_off_what_lay_after_it():
    history = filled(History(None), range(120), loss=0.5)
    untouched = filled(History(None), range(100), loss=0.5)
    for one in (history, untouched):
        one.record(record(100, 0.9))
    assert history.since(0) == untouched.since(0)
    assert history.last_step == 100


def test_going_back_beyond_the_ring_uses_the_overview():
    history = filled(History(None, recent=10, overview=8), range(1_000), loss=0.5)
    history.record(record(3, 0.5))
    points = history.since(0)
    assert points["step"][-1] == 3
    assert points["step"] == sorted(points["step"])
    assert points["smooth"][-1] == pytest.approx(0.5)


def test_pace_is_that_of_the_leg():
    history = History(None)
    for step in range(50):
        history.record(HistoryRow(step, 1e-3, 1e-3, 0.1, None, 100.0 + 0.5 * step))
    for step in range(50, 60):
        history.record(HistoryRow(step, 1e-3, 1e-3, 0.1, None, 9_000.0 + 2.0 * step))
    assert history.pace(50) == pytest.approx(2.0)
    assert history.pace(59) is None


def test_pace_is_not_known_when_the_clock_was_set_back():
    history = History(None)
    history.record(HistoryRow(0, 1e-3, 1e-3, 0.1, None, 100.0))
    history.record(HistoryRow(1, 1e-3, 1e-3, 0.1, None, 50.0))
    assert history.pace() is None


def test_nothing_is_written_before_the_first_record(path: Path):
    History(path).close()
    assert not path.parent.exists()


def test_the_file_is_lines_of_json(path: Path):
    history = History(path, clock=Clock())
    history.event(0, "leg", "0.005")
    history.record(HistoryRow(0, 0.005, 0.005, math.nan, None, 3.5))
    history.close()
    nulls = b", null" * (len(COLUMNS) - 6)
    assert path.read_bytes() == OWN_HEADER + (
        b'{"step": 0, "time_s": 1000.0, "event": "leg", "message": "0.005"}\n[0, 0.005, 0.005, null, null, 3.5' + nulls + b"]\n"
    )


def test_records_reach_the_file_within_a_second_of_records(path: Path):
    clock = Clock()
    history = History(path, clock=clock)
    clock.now_s += 0.5
    history.record(record(0))
    assert not path.exists()
    clock.now_s += 0.6
    history.record(record(1))
    assert len(path.read_bytes().splitlines()) == 3


def test_a_clock_set_back_does_not_hold_the_lines(path: Path):
    clock = Clock()
    history = History(path, clock=clock)
    clock.now_s -= 3_600
    history.record(record(0))
    assert len(path.read_bytes().splitlines()) == 2


def test_events_are_written_at_once(path: Path):
    history = History(path, clock=Clock())
    history.record(record(0))
    history.event(1, "note", "a word \N{SNOWMAN}")
    assert len(path.read_bytes().splitlines()) == 3
    assert History.open(path, append=False).events()[0]["message"] == "a word \N{SNOWMAN}"


def test_events_given_out_are_copies():
    history = History(None)
    history.event(0, "leg")
    history.events()[0]["event"] = "spoiled"
    assert history.events()[0]["event"] == "leg"


def test_open_gives_back_the_same_points_and_goes_on(path: Path):
    written = filled(History(path), range(50))
    written.event(50, "interrupted", "by hand")
    written.close()
    read = History.open(path)
    assert read.since(0) == written.since(0)
    assert read.events() == written.events()
    read.record(record(50, 0.7))
    read.close()
    assert History.open(path).since(49)["loss"] == [0.1, 0.7]
    assert path.read_bytes().count(b"lrsched_history") == 1


def in_blocks(path: Path, monkeypatch: pytest.MonkeyPatch, size_bytes: int, recent: int) -> History:
    """Read as a long file is: in many small blocks, of which only the last lie near the end."""
    monkeypatch.setattr(history_blocks, "BLOCK_BYTES", size_bytes)
    monkeypatch.setattr(history_blocks, "FEW", 1)
    return History.open(path, append=False, recent=recent)


def one_by_one(path: Path, monkeypatch: pytest.MonkeyPatch, recent: int) -> History:
    monkeypatch.setattr(history_blocks, "FEW", 10**9)
    return History.open(path, append=False, recent=recent)


LOSSES = [0.1, -0.3, 1.5e-300, 5e-324, -2.2250738585072014e-308, 12345678.125, 1e22, 0.1 + 0.2, 3.0, -0.0,
          math.nan, math.inf]  # fmt: skip


@pytest.mark.parametrize("size_bytes", [300, 5_000, 1 << 20])
@pytest.mark.long
def test_a_long_file_is_read_as_its_lines_are(path: Path, monkeypatch: pytest.MonkeyPatch, size_bytes: int):
    rng = np.random.default_rng(4)
    history = History(path, recent=10**6)
    step = 0
    for number in range(3_000):
        loss = LOSSES[number % len(LOSSES)] if number % 7 == 0 else float(rng.random())
        norm = None if number % 5 == 0 else float(rng.random())
        history.record(HistoryRow(step, float(rng.random()), 3, loss, norm, 1e9 + number))
        step = max(0, step - 40) if number % 401 == 400 else step + 1 + (number % 3 == 0)
        if number % 501 == 500:
            history.event(step, "note", "a , [b] \n c")
    history.close()
    whole, lines = in_blocks(path, monkeypatch, size_bytes, 100), one_by_one(path, monkeypatch, 100)
    assert whole.events() == lines.events()
    assert whole.last_step == lines.last_step
    assert whole.pace() == lines.pace()
    newest = int(lines.last_step or 0) - 40
    for name, values in lines.since(newest).items():
        assert whole.since(newest)[name] == (pytest.approx(values, rel=1e-9) if name == "smooth" else values)  # type: ignore[literal-required]
    seen, expected = whole._metrics._overview, lines._metrics._overview
    assert (seen.stride, len(seen._buckets)) == (expected.stride, len(expected._buckets))
    for mine, its in zip(seen._buckets, expected._buckets, strict=True):
        np.testing.assert_array_equal(np.array(mine[1:])[:, :6], np.array(its[1:])[:, :6])


@pytest.mark.parametrize("seed", range(6))
def test_records_among_events_are_read_as_their_lines_are(path: Path, monkeypatch: pytest.MonkeyPatch, seed: int):
    """Many events, each alone or in a row, before and behind the records; now and then the run goes back or a line is foreign."""
    rng = np.random.default_rng(seed)
    history = History(path, recent=10**6)
    step = 0
    for _ in range(2_000):
        if rng.random() < 0.3:
            history.event(step, "skipped", "[1, 2, 3, 4, 5, 6], {")
        else:
            history.record(record(step, float(rng.random())))
            step = max(0, step - 30) if rng.random() < 0.01 else step + 1
    history.close()
    if seed > 3:
        others = len(COLUMNS) - 1
        foreign = b"[%d%s]\n" % (step, b",1" * others) + b" [%d%s]\n" % (step + 1, b", 1" * others) * 2
        path.write_bytes(path.read_bytes() + foreign)
    losses = read_losses(path, 10**9)
    whole = in_blocks(path, monkeypatch, 4_000, 10**6)
    assert read_losses(path, 10**9) == losses
    lines = one_by_one(path, monkeypatch, 10**6)
    assert (whole.events(), whole.last_step) == (lines.events(), lines.last_step)
    for name, values in lines.since(0, 10**6).items():
        assert whole.since(0, 10**6)[name] == (pytest.approx(values, rel=1e-9) if name == "smooth" else values)  # type: ignore[literal-required]


def test_a_run_that_goes_back_at_each_step_is_read_at_once(path: Path, monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(1)
    steps = [*rng.integers(40, size=3_000).tolist(), *range(35, 90)]
    path.parent.mkdir()
    lines = [b"[%d, 1, 1, %s, 1, %d]\n" % (step, repr(float(rng.random())).encode(), n) for n, step in enumerate(steps)]
    path.write_bytes(HEADER + b"".join(lines))
    expected = one_by_one(path, monkeypatch, 10**6).since(0)
    with monkeypatch.context() as patches:
        patches.setattr(history_lines, "as_row", lambda _: pytest.fail("a line was read by itself"))
        seen = in_blocks(path, monkeypatch, 40_000, 10**6).since(0)
    assert seen == expected | {"smooth": pytest.approx(expected["smooth"], rel=1e-9)}
    path.write_bytes(HEADER + b"".join(lines[:1_000]) + b"[5, 1, 1, 1, --1, 1]\n" + b"".join(lines[1_000:]))
    monkeypatch.setattr(history_blocks, "FEW", 1)
    with pytest.raises(RunStateError, match="line 1002: "):
        History.open(path, append=False, every_value=True)


def test_records_among_many_events_are_read_at_once(path: Path, monkeypatch: pytest.MonkeyPatch):
    event = b'{"step": 0, "time_s": 1.0, "event": "skipped", "message": ""}\n'
    path.parent.mkdir()
    path.write_bytes(HEADER + b"".join(event * (step % 3 == 0) + b"[%d, 1, 1, 1, 1, 1]\n" % step for step in range(3_000)))
    one_by_one: list[bytes] = []
    monkeypatch.setattr(history_lines, "as_row", one_by_one.append)
    assert len(History.open(path, append=False).events()) == 1_000
    assert one_by_one == []


@pytest.mark.parametrize("few", [1, 10**9])
@pytest.mark.parametrize("is_live", [True, False])
def test_a_stretch_has_what_lasts_wherever_it_lies(path: Path, monkeypatch: pytest.MonkeyPatch, few: int, is_live: bool):
    """With a run that went back, in memory and in its file, and events between."""
    monkeypatch.setattr(history_blocks, "FEW", few)
    monkeypatch.setattr(history_blocks, "BLOCK_BYTES", 3_000)
    short, exact = History(path, recent=10, overview=8), History(None, recent=10**6)
    for start, stop in ((0, 200), (120, 160), (150, 300), (90, 95), (95, 400)):
        for history in (short, exact):
            for step in range(start, stop):
                history.record(record(step, 0.1 + (step * 7 + start) % 13, grad_norm=None if step % 5 else float(step)))
            history.event(stop, "note", "a break")
    short.flush()
    seen = short if is_live else History.open(path, append=False, recent=10)
    for since, until in ((0, 400), (0, 50), (85, 100), (140, 170), (380, 400), (398, 399), (0, 1), (399, 10**6), (500, 600)):
        expected = exact.since(since, until=until)
        found = seen.since(since, until=until)
        # In memory the average goes on from the nearest row that is held of before it went back.
        assert found.pop("smooth") == pytest.approx(expected.pop("smooth"), rel=1e-3 if is_live else 1e-9)  # type: ignore[misc]
        assert found == expected, (since, until)
        smooth = seen.since(since, until=until, smoothing=0.5)["smooth"]
        assert smooth == pytest.approx(exact.since(since, until=until, smoothing=0.5)["smooth"], rel=1e-9)
    assert len(seen.since(0, 50, until=400)["step"]) <= 50


def test_a_file_that_is_gone_leaves_what_is_in_memory(path: Path):
    history = filled(History(path, recent=10, overview=8), range(200))
    history.flush()
    path.unlink()
    assert history.since(0, until=100)["step"] == [step for step in history.since(0)["step"] if step < 100]
    assert len(history.since(0, smoothing=0.5)["smooth"]) == len(history.since(0)["step"])


def test_hundreds_of_copies_do_not_push_other_events_out_of_memory():
    history = History(None)
    history.event(0, "leg", "first")
    for step in range(1, 2_001):
        history.event(step, "copy", f"cat-{step}.pt")
    history.event(2_001, "finished")
    events = [(one["step"], one["event"]) for one in history.events()]
    assert [events[0], events[1], events[-1]] == [(0, "leg"), (1_001, "copy"), (2_001, "finished")]


def test_the_overview_of_a_long_file_is_that_of_its_lines(path: Path, monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(5)
    history = History(path)
    for step in range(20_000):
        history.record(record(step, float(rng.random()) if step != 7_777 else math.nan))
    history.close()
    whole, lines = in_blocks(path, monkeypatch, 50_000, 100), one_by_one(path, monkeypatch, 100)
    seen, expected = whole._metrics._overview, lines._metrics._overview
    assert (seen.stride, len(seen._buckets)) == (expected.stride, len(expected._buckets))
    mine, its = seen.rows(0, math.inf), expected.rows(0, math.inf)
    np.testing.assert_array_equal(mine[:, :6], its[:, :6])
    np.testing.assert_allclose(mine[:, 6:], its[:, 6:], rtol=1e-9)
    assert whole.since(19_990)["loss"] == lines.since(19_990)["loss"]


@pytest.mark.long
def test_a_long_file_is_read_in_blocks_and_not_line_by_line(path: Path, monkeypatch: pytest.MonkeyPatch):
    history = History(path)
    for step in range(60_000):
        history.record(record(step, 0.1 + step % 97 / 1000, rate=0.005 / (1 + step)))
    history.close()
    one_by_one, original = [], History._take_each

    def take_each(self: History, data: bytes, *more: Any) -> None:
        one_by_one.append(data.count(b"\n"))
        original(self, data, *more)

    monkeypatch.setattr(History, "_take_each", take_each)
    History.open(path, append=False, recent=1_000)
    assert sum(one_by_one) < 5_000
    one_by_one.clear()
    monkeypatch.setattr(history_blocks, "FEW", 10**9)
    History.open(path, append=False, recent=1_000)
    assert sum(one_by_one) >= 60_000


@pytest.mark.parametrize("line", [
    b"[5, 1, 1.2.3, 1, 1, 1]\n", b"[5, 1, 1, --1, 1, 1]\n", b"[5.5, 1, 1, 1, 1, 1]\n", b"[5, 1, 1, nul, 1, 1]\n", b"[5, 1, 1]\n",
    b"[5, 1, 1, 1, 1, 1, 1]\n", b"[5, 1, 1, 1, 1, 1\n", b"[[5, 1, 1, 1, 1, 1]]\n", b"garbage\n", b"[5, 1, 1, NaN, 1, 1]\n", b"\n",
])  # fmt: skip
def test_error_a_damaged_line_of_a_long_file_is_named(path: Path, monkeypatch: pytest.MonkeyPatch, line: bytes):
    path.parent.mkdir()
    path.write_bytes(HEADER + b"".join(b"[%d, 1, 1, 1, 1, 1]\n" % step for step in range(100)) + line)
    with pytest.raises(RunStateError, match="line 102: "):
        in_blocks(path, monkeypatch, 1_000, 20)


@pytest.mark.parametrize("line", [b"[500,1,1,1,1,1]\n", b"[ 500, 1, 1, 1, 1, 1 ]\n", b"[500, 1E0, 1, 1, 1, 1]\n",
                                  b"[500, 1, 1, 1, 1, 1]\r\n", b"[500, 1.%s, 1, 1, 1, 1]\n" % (b"0" * 60)])
def test_a_line_that_another_program_wrote_is_read_in_a_long_file_too(path: Path, monkeypatch: pytest.MonkeyPatch, line: bytes):
    path.parent.mkdir()
    path.write_bytes(HEADER + b"".join(b"[%d, 1, 1, 1, 1, 1]\n" % step for step in range(100)) + line)
    assert in_blocks(path, monkeypatch, 1_000, 20).since(99)["step"] == [99, 500]


# Files with other columns than ours: of an earlier version, of a later one ---------------------

OTHER_FILES = {
    "fewer": (["step", "planned", "actual", "loss"], lambda row: row[:4]),
    "more": ([*COLUMNS, "lr_scale"], lambda row: [*row, 0.5]),
    "more, with texts": ([*COLUMNS, "note", "parts"], lambda row: [*row, "a, [b]", [1, {"c": None}]]),
    "between": (["x", *COLUMNS[:3], "y", *COLUMNS[3:]], lambda row: [7, *row[:3], None, *row[3:]]),
    "another order": (list(reversed(COLUMNS)), lambda row: row[::-1]),
    "without a loss": (["step", "time_s"], lambda row: [row[0], row[5]]),
    "the step alone": (["step"], lambda row: row[:1]),
}
other_files = pytest.mark.parametrize(("columns", "values"), OTHER_FILES.values(), ids=OTHER_FILES.keys())


def other_file(path: Path, columns: list[str], values: Callable[[list[Any]], list[Any]], steps: int = 400) -> None:
    """A file of another version, with an event in its middle."""
    rows = [[n, 0.5 / (1 + n), 0.25, 0.1 + n % 7 / 100, None if n % 3 else 1.5, 1_000.5 + n, None if n % 8 else 0.2, n / 1_000]
            for n in range(steps)]
    rows = [row + [1.0 / column for column in range(len(row), len(COLUMNS))] for row in rows]
    entries = [{"lrsched_history": 1, "columns": columns, "made_by": "another version"}, *map(values, rows)]
    entries.insert(steps // 2, {"step": 3, "time_s": 1.0, "event": "note", "message": "x", "more": 1})
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


@other_files
@pytest.mark.parametrize("few", [1, 10**9], ids=["blocks", "lines"])
def test_a_file_with_other_columns_is_read_by_their_names(path: Path, monkeypatch, few: int, columns, values):
    other_file(path, list(COLUMNS), lambda row: row)
    expected = History.open(path, append=False).since(0)
    other_file(path, columns, values)
    monkeypatch.setattr(history_blocks, "FEW", few)
    monkeypatch.setattr(history_blocks, "BLOCK_BYTES", 5_000)
    history = History.open(path, append=False)
    points = history.since(0)
    assert list(points) == list(expected)
    for name, column in points.items():
        lacks = ("loss" if name == "smooth" else name) not in columns
        known = pytest.approx(expected[name], rel=1e-9) if name == "smooth" else expected[name]
        assert column == ([None] * 400 if lacks else known)
    assert (history.last_step, len(history.events())) == (399, 1)
    assert last_step(path) == 399
    assert [step for step, _ in read_losses(path, 300)] == list(range(300))
    if "loss" in columns:
        assert [loss for _, loss in read_losses(path, 300)] == expected["loss"][:300]


def test_the_blocks_of_a_file_with_other_columns_are_read_at_once(path: Path, monkeypatch):
    """Else a long file of a later version would take its time."""
    monkeypatch.setattr(history_blocks, "FEW", 1)
    for name in ("fewer", "more", "between", "another order", "without a loss", "the step alone"):
        columns, values = OTHER_FILES[name]
        other_file(path, columns, values)
        first, _, rest = path.read_bytes().partition(b"\n")
        lines = history_blocks.read_lines(rest, Layout.of(json.loads(first)["columns"]))
        assert lines.rows is not None
        assert (len(lines.rows), [place for place, _ in lines.events], lines.total) == (400, [199], 401)


@other_files
def test_what_is_appended_to_a_file_with_other_columns_has_its_columns(path: Path, columns, values):
    other_file(path, columns, values)
    before = path.read_bytes()
    history = History.open(path)
    history.record(HistoryRow(400, 0.5, 0.25, 0.75, 2.0, 9.0))
    history.close()
    added = path.read_bytes().removeprefix(before)
    assert json.loads(added) == [dict(zip(COLUMNS, (400, 0.5, 0.25, 0.75, 2.0, 9.0))).get(name) for name in columns]
    again = History.open(path, append=False)
    assert again.last_step == 400
    assert again.since(400)["loss"] == [0.75 if "loss" in columns else None]


def test_error_a_wrong_value_in_a_column_that_is_not_ours_is_found_where_every_value_is_read(path: Path, monkeypatch):
    monkeypatch.setattr(history_blocks, "FEW", 1)
    other_file(path, ["step", "loss", "x"], lambda row: [row[0], row[3], 1.25])
    path.write_bytes(path.read_bytes().replace(b"1.25]", b"1.2.5]", 1))
    with pytest.raises(RunStateError, match="line 2: expected JSON"):
        History.open(path, append=False, every_value=True)


def test_open_of_no_file_is_an_empty_history(path: Path):
    assert History.open(path).last_step is None
    assert not path.parent.exists()


def test_a_history_on_an_existing_file_adds_to_it(path: Path):
    filled(History(path), range(3)).close()
    path.write_bytes(path.read_bytes() + b"[3, 0.0")
    filled(History(path), range(3, 5)).close()
    assert History.open(path).since(0)["step"] == [0, 1, 2, 3, 4]


def test_a_later_line_for_a_step_wins(path: Path):
    filled(History(path), range(10), loss=0.1).close()
    filled(History(path), range(6, 8), loss=0.9).close()
    points = History.open(path).since(0)
    assert points["step"] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert points["loss"] == [0.1] * 6 + [0.9] * 2


@pytest.mark.parametrize("torn", [b"[3, 0.005", b'{"step": 3, "ev', b"\0\0\0\0", b"[3, 0.1, 0.1, 0.1, null, 1.0]"])
def test_a_torn_last_line_is_left_out_and_said(path: Path, torn: bytes):
    filled(History(path), range(3)).close()
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    history = History.open(path, clock=Clock())
    message = "the last line of the history was incomplete; it is left out"
    note = {"step": 2, "time_s": 1000.0, "event": "note", "message": message}
    assert history.events() == [note]
    history.record(record(3))
    history.close()
    assert path.read_bytes().startswith(whole + b'{"step": 2')
    again = History.open(path)
    assert again.since(0)["step"] == [0, 1, 2, 3]
    assert again.events() == [note]


def test_reading_alone_never_touches_the_file(path: Path):
    filled(History(path), range(3)).close()
    path.write_bytes(path.read_bytes() + b"[3, 0.0")
    before = path.read_bytes()
    history = History.open(path, append=False)
    history.record(record(3))
    history.close()
    assert path.read_bytes() == before


def test_a_torn_header_is_an_empty_history(path: Path):
    path.parent.mkdir()
    path.write_bytes(HEADER[:20])
    history = History.open(path)
    filled(history, range(2)).close()
    assert path.read_bytes().startswith(OWN_HEADER)
    assert History.open(path).since(0)["step"] == [0, 1]


GOOD = b"[0, 0.005, 0.005, 0.1, null, 1.0]\n"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (HEADER + GOOD + b"garbage\n" + GOOD, "line 3: expected JSON, got b'garbage\\n'"),
        (HEADER + b"\n" + GOOD, "line 2: expected JSON, got b'\\n'"),
        (HEADER + b"[0, 1, NaN, 1, 1, 1]\n", "line 2: expected JSON, got NaN"),
        (HEADER + b"[0, 1]\n", "line 2: expected 6 values in a row, got 2"),
        (HEADER + b"[-1, 1, 1, 1, 1, 1]\n", "line 2: expected a step, a whole number from 0, got -1"),
        (HEADER + b"[true, 1, 1, 1, 1, 1]\n", "line 2: expected a step, a whole number from 0, got True"),
        (HEADER + b"[1e3, 1, 1, 1, 1, 1]\n", "line 2: expected a step, a whole number from 0, got 1000.0"),
        (HEADER + b'[0, 1, "x", 1, 1, 1]\n', "line 2: expected a number or null for actual, got 'x'"),
        (HEADER + b"3\n", "line 2: expected a row or an event, got 3"),
        (HEADER + b'{"step": 1}\n', "line 2: expected an event with step, time_s, event and message"),
        (
            HEADER + b'{"step": 1, "time_s": null, "event": "note", "message": ""}\n',
            "line 2: expected an event with step, time_s, event and message",
        ),
        (GOOD, 'line 1: expected a header {"lrsched_history": 1, ...}'),
        (
            b'{"lrsched_history": 2, "columns": []}\n',
            "line 1: expected version 1 of a history, got 2; update the extension to read it",
        ),
        (b'{"lrsched_history": true, "columns": []}\n',
         "line 1: expected version 1 of a history, got True; update the extension to read it"),
        (b'{"lrsched_history": 1}\n', "line 1: expected a list of columns, got None"),
        (b'{"lrsched_history": 1, "columns": ["step", 3]}\n', "line 1: expected a list of columns, got ['step', 3]"),
        (b'{"lrsched_history": 1, "columns": ["loss"]}\n', "line 1: expected the column step and no column twice, got loss"),
        (b'{"lrsched_history": 1, "columns": ["step", "loss", "loss"]}\n',
         "line 1: expected the column step and no column twice, got step, loss, loss"),
        (b'{"lrsched_history": 1, "columns": ["step", "x"]}\n[0, 1, 2]\n', "line 2: expected 2 values in a row, got 3"),
    ],
)
def test_error_damaged_line(path: Path, lines: bytes, message: str):
    path.parent.mkdir()
    path.write_bytes(lines)
    with pytest.raises(RunStateError) as caught:
        History.open(path)
    assert str(caught.value) == f"{path}: {message}"
    assert path.read_bytes() == lines


@pytest.mark.parametrize("line", [b"\xff\xfe\n", b"[" * 100_000 + b"\n", b"[0, 1" + b"0" * 5_000 + b", 1, 1, 1, 1]\n"])
def test_error_damage_of_any_kind_is_a_run_state_error(path: Path, line: bytes):
    path.parent.mkdir()
    path.write_bytes(HEADER + line)
    with pytest.raises(RunStateError, match="line 2: "):
        History.open(path)


@settings(max_examples=80, deadline=None)
@given(data=st.binary(max_size=80), cut=st.integers(0, 200))
def test_error_no_file_raises_anything_else(tmp_path_factory: pytest.TempPathFactory, data: bytes, cut: int):
    path = tmp_path_factory.mktemp("any") / "history.jsonl"
    path.write_bytes((HEADER + GOOD + data + GOOD)[:cut])
    with contextlib.suppress(RunStateError):
        History.open(path, append=False)


def test_error_unreadable_file(tmp_path: Path):
    with pytest.raises(RunStateError) as caught:
        History.open(tmp_path)
    assert str(caught.value) == f"{tmp_path}: cannot be read: Is a directory"


class FullDisk:
    """Stands for the disk: takes half of a write and then refuses, until it is freed."""

    def __init__(self) -> None:
        self.full = False

    def write_all(self, fd: int, data: bytes) -> None:
        if self.full:
            os.write(fd, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        os.write(fd, data)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> FullDisk:
    disk = FullDisk()
    monkeypatch.setattr(atomic_files, "write_all", disk.write_all)
    return disk


def test_a_full_disk_is_remembered_and_the_lines_follow_when_there_is_room(path: Path, disk: FullDisk):
    history = filled(History(path, clock=Clock()), range(3))
    history.flush()
    disk.full = True
    filled(history, range(3, 6)).flush()
    history.event(6, "note", "while it was full")
    assert history.trouble == f"the history cannot be written to {path}: No space left on device"
    assert history.since(0)["step"] == [0, 1, 2, 3, 4, 5]
    assert History.open(path, append=False).since(0)["step"] == [0, 1, 2]
    disk.full = False
    filled(history, range(6, 8)).close()
    assert History.open(path).since(0) == history.since(0)
    assert History.open(path).events() == history.events()
    assert history.trouble.endswith("No space left on device")


def test_a_disk_full_from_the_first_line_on_leaves_no_torn_header(path: Path, disk: FullDisk):
    disk.full = True
    history = filled(History(path), range(3))
    history.flush()
    assert path.read_bytes() == b""
    disk.full = False
    history.close()
    assert History.open(path).since(0)["step"] == [0, 1, 2]


def test_what_waits_for_a_full_disk_is_bounded_and_the_newest_is_kept(path: Path, disk: FullDisk):
    disk.full = True
    history = History(path, recent=10, clock=Clock())
    for step in range(100):
        history.record(record(step))
        history.flush()
    disk.full = False
    history.close()
    assert History.open(path).since(0)["step"] == list(range(90, 100))


def test_the_first_trouble_is_the_one_remembered(path: Path, disk: FullDisk, monkeypatch: pytest.MonkeyPatch):
    disk.full = True
    history = filled(History(path), range(1))
    history.flush()

    def refuse(fd: int, data: bytes) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(atomic_files, "write_all", refuse)
    history.flush()
    assert "No space left" in history.trouble


def test_a_path_that_cannot_be_made_is_trouble_and_no_exception(tmp_path: Path):
    (tmp_path / "file").write_text("")
    history = filled(History(tmp_path / "file" / "history.jsonl"), range(3))
    history.close()
    assert history.trouble == f"the history cannot be written to {tmp_path / 'file' / 'history.jsonl'}: File exists"
    assert history.since(0)["step"] == [0, 1, 2]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_device_that_is_always_full_is_trouble_and_no_exception():
    history = filled(History(Path("/dev/full")), range(3))
    history.flush()
    history.flush()
    assert history.trouble == "the history cannot be written to /dev/full: No space left on device"


def test_closing_twice_does_no_harm(path: Path):
    history = filled(History(path), range(3))
    history.close()
    history.close()
    assert history.since(0)["step"] == [0, 1, 2]


def test_readers_see_whole_snapshots_while_the_writer_records(path: Path):
    history = History(path, recent=50, overview=32)
    done = threading.Event()
    wrong: list[str] = []

    def read() -> None:
        while not done.is_set():
            points = history.since(0, 40)
            steps = points["step"]
            if any(loss != step / 1_000 for step, loss in zip(steps, points["loss"], strict=True)):
                wrong.append("a loss of another step")
            if any(later <= step for step, later in itertools.pairwise(steps)):
                wrong.append("steps out of order")
            history.events()

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for step in range(3_000):
        history.record(record(step, step / 1_000))
        if step % 500 == 0:
            history.event(step, "note", "still here")
    done.set()
    for reader in readers:
        reader.join()
    history.close()
    assert wrong == []
    assert len(path.read_bytes().splitlines()) == 1 + 3_000 + 6


def test_a_reader_of_the_growing_file_sees_whole_records(path: Path):
    history = History(path, clock=Clock())
    for step in range(0, 300, 3):
        filled(history, range(step, step + 3)).flush()
        assert History.open(path, append=False).last_step == step + 2
