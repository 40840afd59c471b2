"""The host's schedule language, compared with what the host itself did: tests/golden/host_rates.json.

Three parties against one file: plan(), the practice host's scheduler, and, where there is a checkout of the
WebUI, the WebUI's own file once more. tests/golden/README.md says what the fields of a case mean.
"""
from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lib_lrsched import ScheduleError, plan

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
CASES: list[dict[str, Any]] = json.loads((GOLDEN / "host_rates.json").read_text(encoding="ascii"))
DIFFERENCES = {
    "a:b:c", "comment", "decimal comma", "end of 0 or below -1", "ends do not rise", "free blank space",
    "garbage after the stop", "garbage before the resume point", "non-finite or negative rate", "number over 40 characters",
    "one update too many", "relative end",
}

_spec = importlib.util.spec_from_file_location("make_host_rates", GOLDEN / "make_host_rates.py")
make_host_rates = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make_host_rates)


def _name(case: dict[str, Any]) -> str:
    return f"{case['group']}-{ascii(case['text'])[1:-1][:60]}-{case['initial_step']} of {case['max_steps']}"


def _groups(cases: Iterable[dict[str, Any]]) -> Any:
    """A test for each group: one for each case takes longer to report than to run."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for case in cases:
        groups.setdefault(case["group"], []).append(case)
    return pytest.mark.parametrize("cases", groups.values(), ids=groups)


def _assert_each(cases: Iterable[dict[str, Any]], check: Callable[[dict[str, Any]], None]) -> None:
    """Checks all cases and names each that fails."""
    failed = {}
    for case in cases:
        try:
            check(case)
        except (Exception, pytest.fail.Exception) as error:
            failed[_name(case)] = str(error)
    assert failed == {}


AGREEING = [case for case in CASES if "differs" not in case]
DIFFERING = [case for case in CASES if "differs" in case]


def _rates(runs: list[list[Any]], stop: int) -> np.ndarray:
    """The rate of each update of [first step, stop), float64."""
    starts = [first for first, _ in runs] + [stop]
    return np.repeat([float(rate) for _, rate in runs], np.diff(starts))


def _assert_plan_gives(case: dict[str, Any], outcome: dict[str, Any]) -> None:
    """plan() against an outcome: rates to the bit and the stop, nothing left to train, or refused."""
    first, total_steps = case["initial_step"], case["max_steps"]
    if "runs" not in outcome and "past" not in outcome:
        with pytest.raises(ScheduleError) as caught:
            plan(case["text"], total_steps=total_steps)
        assert caught.value.source == case["text"]
        return
    planned = plan(case["text"], total_steps=total_steps)
    if "past" in outcome:
        assert planned.stop <= first
        return
    assert planned.stop == outcome["stop"]
    expected = _rates(outcome["runs"], outcome["stop"])
    assert planned.values(np.arange(first, planned.stop)).tobytes() == expected.tobytes()
    for k in {first, planned.stop - 1} | {start for start, _ in outcome["runs"]}:
        assert repr(planned.value(k)) == repr(float(expected[k - first]))


@_groups(AGREEING)
def test_plan_agrees_with_the_host_to_the_bit(cases: list[dict[str, Any]]) -> None:
    _assert_each(cases, lambda case: _assert_plan_gives(case, case))


@_groups(DIFFERING)
def test_plan_differs_from_the_host_only_as_documented(cases: list[dict[str, Any]]) -> None:
    _assert_each(cases, lambda case: _assert_plan_gives(case, case["ours"]))


@_groups(CASES)
def test_the_practice_host_reads_schedules_as_the_host_does(cases: list[dict[str, Any]]) -> None:
    pytest.importorskip("torch", reason="the practice host needs torch")
    from lib_lrsched.practice.learn_schedule import LearnRateScheduler

    def check(case: dict[str, Any]) -> None:
        asked = case["text"], case["max_steps"], case["initial_step"]
        if "error" in case:
            with pytest.raises(ValueError, match="Invalid learning rate schedule"):
                LearnRateScheduler(*asked, verbose=False)
        else:
            driven = make_host_rates.drive(LearnRateScheduler, *asked)
            assert driven == {"runs": case["runs"], "stop": case["stop"]}

    _assert_each(cases, check)


def test_error_every_case_that_fails_is_named() -> None:
    wrong = [case | {"stop": case["stop"] + 1} for case in AGREEING if "runs" in case][:2]
    with pytest.raises(AssertionError) as caught:
        _assert_each([*wrong, AGREEING[0]], lambda case: _assert_plan_gives(case, case))
    assert all(_name(case) in str(caught.value) for case in wrong)


def test_the_file_holds_enough_cases_of_every_kind() -> None:
    assert len(CASES) >= 400
    assert len(AGREEING) >= 300
    assert sum("runs" in case for case in AGREEING) >= 200
    assert sum("past" in case for case in AGREEING) >= 10
    assert {case["differs"] for case in DIFFERING} == DIFFERENCES
    assert len({(case["text"], case["max_steps"], case["initial_step"]) for case in CASES}) == len(CASES)


def test_every_difference_has_its_line_in_the_readme() -> None:
    readme = (GOLDEN / "README.md").read_text(encoding="utf-8")
    assert [name for name in sorted(DIFFERENCES) if f"`{name}`" not in readme] == []


def test_a_checkout_of_the_host_reproduces_the_file() -> None:
    assert make_host_rates.make(_checkout()) == (GOLDEN / "host_rates.json").read_text(encoding="ascii")


def _checkout() -> Path:
    """The WebUI to ask: WEBUI_ROOT, the one that this extension lies in, or ~/host/webui."""
    named = os.environ.get("WEBUI_ROOT")
    repository = GOLDEN.parents[1]
    for root in [Path(named)] if named else [repository.parents[1], Path.home() / "host" / "webui"]:
        if (root / make_host_rates.HOST_FILE).is_file():
            return root
    pytest.skip(
        f"no {make_host_rates.HOST_FILE} under WEBUI_ROOT={named}" if named
        else "no WebUI checkout; set WEBUI_ROOT to one (v1.7 to v1.10.1)"
    )
