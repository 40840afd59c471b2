"""Runs side by side: axes, what differs, and nothing that tells of folders or people."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from test_run_list import saved, state

from lib_lrsched.preview._paths import without_paths
from lib_lrsched.preview.comparison import AXES, Axis, ComparedRun, comparison, settings_of
from lib_lrsched.preview.comparison_files import charts, curves_csv, runs_csv
from lib_lrsched.preview.run_list import RunList
from lib_lrsched.preview.svg_chart import Series, line_chart
from lib_lrsched.storage.history import History
from lib_lrsched.storage.labels import Label
from lib_lrsched.storage.store import Leg, Store

SECRETS = ("/home/anna", "C:\\Users", "anna")


def compared(tmp_path: Path, *runs: dict[str, Any], over: str = "step", labels: Any = ()) -> dict[str, Any]:
    """Runs a, b, ... with these changes of their states, side by side."""
    store = Store(tmp_path)
    listed, found = RunList(store), []
    for run_id, changes in zip("abc", runs, strict=False):
        made = saved(store, run_id, **changes)
        for label in labels:
            store.labels.save(run_id, label)
        found.append(ComparedRun(made, listed.entry(made), History.open(store.history_path(run_id), append=False)))
    return comparison(found, over, {"ema": "Average of the weights: decay"})  # type: ignore[arg-type]


def row(found: dict[str, Any], field: str) -> tuple[list[Any], bool]:
    (one,) = (one for one in found["settings"] if one["field"] == field)
    return one["values"], one["differs"]


def test_the_settings_say_what_differs(tmp_path: Path):
    found = compared(tmp_path, {"batch": 2, "settings": {"steps": 200, "shuffle_tags": True, "odd": 1}, "options": {"ema": 0.0}},
                     {"batch": 2, "settings": {"steps": 300, "shuffle_tags": False}, "options": {"ema": 0.9}})
    assert row(found, "batch") == ([2, 2], False)
    assert row(found, "shuffle_tags") == ([True, False], True)
    assert row(found, "odd") == ([1, None], True)
    assert row(found, "ema") == ([0.0, 0.9], True)
    assert next(one["label"] for one in found["settings"] if one["field"] == "ema") == "Average of the weights: decay"
    assert "steps" not in [one["field"] for one in found["settings"]], "max steps is the state's own"


def test_a_run_that_changed_its_schedule_shows_both():
    legs = (Leg(0, 0.0, 200, "0.005", 12, 1, 1), Leg(80, 0.0, 200, "0.005", 12, 1, 1), Leg(100, 0.0, 200, "0.001", 12, 1, 1))
    assert settings_of(state(legs=legs))["rate_text"] == "0.005; from step 100: 0.001"


@pytest.mark.parametrize("over", AXES)
def test_each_axis(tmp_path: Path, over: str):
    found = compared(tmp_path, {"batch": 2, "accumulate": 3, "legs": (Leg(0, 1_000.0, 200, "1", 12, 6, 1),)}, over=over)
    (run,) = found["runs"]
    per_update = {"step": 1.0, "images": 6.0, "time": 0.5}[over]
    assert [x for x, _ in run["curve"]] == pytest.approx([made * per_update for made in range(1, 201)])
    assert run["validation"][0][0] == pytest.approx(50 * per_update)
    assert run["best"] == pytest.approx([200 * per_update, 0.2])


def test_the_time_between_legs_does_not_count_and_each_has_its_own_batch():
    legs = (Leg(0, 100.0, 9, "1", None, 1, 1), Leg(2, 900.0, 9, "1", None, 4, 1))
    axis = Axis(state(legs=legs), np.array([0.0, 1.0, 2.0, 3.0]), np.array([101.0, 102.0, 903.0, 904.0]))
    made = np.array([1.0, 2.0, 3.0, 4.0])
    assert axis.at("time", made).tolist() == [1.0, 2.0, 5.0, 6.0]
    assert axis.at("images", made).tolist() == [1.0, 2.0, 6.0, 10.0]


def test_no_path_and_no_name_of_a_person_is_passed_on(tmp_path: Path):
    told = {
        "message": "the log directory '/home/anna lee/sd/log' is gone: see /home/anna/x.txt",
        "settings": {"data_root": "/home/anna/cats", "log_directory": "C:\\Users\\anna\\log", "template_filename": "style.txt",
                     "other": "saved to ~anna/here"},
    }  # fmt: skip
    label = Label("cats of /home/anna", "in C:/Users/anna")
    found = compared(tmp_path, told, {"settings": {"data_root": "/home/bert/cats"}}, labels=[label])
    assert row(found, "data_root") == (["cats (1)", "cats (2)"], True)
    assert row(found, "template_filename") == (["style.txt", None], True)
    assert found["outcomes"][0]["values"][0] == "finished: 200 updates; the log directory 'log' is gone: see x.txt"
    for text in (str(found), runs_csv(found), curves_csv(found), str(charts(found))):
        assert not [secret for secret in SECRETS if secret in text]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/home/anna/sd/run.json: no space", "run.json: no space"),
        ("a C:\\Users\\anna\\x.pt b", "a x.pt b"),
        ("~anna/cats", "cats"),
        ("\\\\server\\anna\\x", "x"),
        ("file:///home/anna/y.png!", "y.png!"),
        ("1/2 and w/o, see https://example.org/a/b", "1/2 and w/o, see https://example.org/a/b"),
        ("0.005:10, cosine(1e-3, 1e-5):50%", "0.005:10, cosine(1e-3, 1e-5):50%"),
        ("", ""),
    ],
)
def test_paths_in_a_text(text: str, said: str):
    assert without_paths(text) == said


def test_a_path_with_blanks_is_found_where_it_is_known():
    assert without_paths("in C:/Users/anna lee/sd now", ["C:/Users/anna lee"]) == "in sd now"
    assert without_paths("in /home/anna", ["/home/anna"]) == "in ~"
    assert without_paths("a / b", ["/"]) == "a / b"


def test_a_table_has_a_line_for_each_run_and_no_formula(tmp_path: Path):
    found = compared(tmp_path, {"name": "-cat"}, {}, labels=[Label('=HYPERLINK("x")', "two\nlines")])
    rows = list(csv.DictReader(io.StringIO(runs_csv(found), newline="")))
    assert [one["id"] for one in rows] == ["a", "b"]
    assert (rows[0]["title"], rows[0]["note"], rows[0]["name"]) == ("'=HYPERLINK(\"x\")", "two\nlines", "'-cat")
    assert float(rows[1]["progress_best"]) == pytest.approx(0.4, abs=0.01)
    points = list(csv.DictReader(io.StringIO(curves_csv(found), newline="")))
    assert [(one["step"], float(one["value"])) for one in points if one["id"] == "b" and one["curve"] == "validation"] == [
        (f"{step}.0", pytest.approx(0.2 * step / 200)) for step in (50, 100, 150, 200)]


def test_a_chart_is_whole_xml_with_what_is_in_a_name_escaped():
    evil = '</title><script>x</script>"&'
    text = line_chart([Series(evil, [(0, 0.1), (10, float("nan")), (20, 0.3)]), Series("one", [(5, 0.2)], 9)], evil, "x", str, str)
    root = ET.fromstring(text)
    assert [one.text for one in root.iter("title")] == [evil, "one"]
    assert root.attrib["aria-label"] == evil
    assert "<script" not in text
    line = next(root.iter("polyline"))
    xs = [float(point.split(",")[0]) for point in line.attrib["points"].split()]
    assert xs == [64.0, 944.0], "the first at the left edge, the last at the right, none for what is not a number"


def test_a_chart_of_nothing_is_left_out():
    assert line_chart([Series("a", [])], "t", "x", str, str) == ""
