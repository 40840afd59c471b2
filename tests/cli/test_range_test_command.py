"""``train`` with a range test: its chart of bars, the suggestion, and that what was trained is what it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from ended import Ended  # noqa: E402  # torch is optional
from practice_rig import both_kinds, interrupt_at, small_model  # noqa: E402  # torch is optional

from lib_lrsched.cli.main import main  # noqa: E402
from lib_lrsched.cli.train import _range_lines  # noqa: E402
from lib_lrsched.practice import initialize, run_image  # noqa: E402

SEARCH = "range_test(1e-5, 0.3)"


@pytest.fixture
def train(ground: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command in this process, on the small model; no chart is drawn, and no samples may be."""
    monkeypatch.setattr(initialize, "_model", small_model)
    monkeypatch.setattr(run_image, "draw_run", lambda *_: Path(_[-1]))
    monkeypatch.setattr(run_image, "draw_samples", lambda *_: pytest.fail("there is nothing new to see"))

    def run(kind: str, *argv: str, lr: str = SEARCH) -> Ended:
        code = main(["train", "--kind", kind, "--name", "mine", "--lr", lr, "--steps", "40", "--data", str(ground.data),
                     "--out", str(ground.root), "--seed", "1", *argv])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return Ended(code, printed.out, printed.err)

    return run


@both_kinds
def test_json_has_points_suggestion_and_why_and_the_step_is_that_of_the_start(train, kind):
    ended = train(kind, "--json")
    assert ended.code == 0
    found = json.loads(ended.out, parse_constant=pytest.fail)
    assert list(found["range_test"]) == ["points", "suggested", "why"]
    rates = [rate for rate, _ in found["range_test"]["points"]]
    assert rates == sorted(rates)
    assert 1e-5 < rates[0] < rates[-1] < 0.3
    assert (found["put_back"], found["step"], found["first_step"], len(found["rates"])) == (True, 0, 0, 40)
    assert "samples" not in found["files"]
    assert any("mine is what it was before the range test, at step 0" in message for message in found["messages"])


def test_an_interrupted_one_says_that_nothing_has_changed(train, ground, monkeypatch):
    interrupt_at(monkeypatch, 30)
    ended = train("embedding")
    assert ended.code == 130
    assert "interrupted: mine is what it was before, at step 0" in ended.err
    assert "resumes it" not in ended.err


def test_the_chart_ends_where_it_is_far_worse_than_nothing():
    points = [[10.0 ** (k / 10 - 4), k / 100] for k in range(40)] + [[1.0, -2.0], [1.2, -9.0]]
    lines = list(_range_lines({"points": points, "suggested": 0.012, "why": "so it is"}))
    assert lines[0] == "rate       loss gone"
    assert lines[-3:] == ["1           -200.0 %", "so it is", "suggested rate: 0.012"]
    assert len(lines) == 16 + 3
    bars = [line.count("#") for line in lines]
    assert max(bars) == 40
    assert bars[1:16] == sorted(bars[1:16])


def test_without_points_there_are_words_alone():
    assert list(_range_lines({"points": [], "suggested": None, "why": "1 measured update is too few"})) == [
        "1 measured update is too few", "no rate is suggested"]
