"""The pure parts of the list of runs and of the comparison."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

RUN = {"title": "", "name": "cat", "kind": "embedding", "state": "finished", "note": "", "rate_text": "0.005",
       "created_s": 1.7637e9, "updated_s": 1.7637e9}  # fmt: skip


def searched(call: Any, run: dict[str, Any], text: str = "", kind: str = "", state: str = "") -> bool:
    then = "() => module.found([args[0]], args[1], module.searchedText).length > 0"
    wanted = {"text": text, "kind": kind, "state": state}
    return bool(call("runs/run_search.js", "found.name.toString", RUN | run, wanted, then=then))


@pytest.mark.parametrize(
    ("run", "wanted", "is_found"),
    [
        ({}, {"text": ""}, True),
        ({}, {"text": "  CAT  0.005 "}, True),
        ({}, {"text": "cat dog"}, False),
        ({"title": "Žofie"}, {"text": "zofie cat"}, True),
        ({"note": "line one\nline two"}, {"text": "two embed"}, True),
        ({}, {"text": "2025-11-2"}, True),
        ({}, {"text": "2024-"}, False),
        ({}, {"kind": "hypernetwork"}, False),
        ({"state": "pending"}, {"state": "running"}, True),
        ({"state": "crashed"}, {"text": "cat", "state": "running"}, False),
    ],
)
def test_a_run_is_found_by_all_words_of_what_is_known_of_it(call, run, wanted, is_found):
    assert searched(call, run, **wanted) is is_found


def test_orders_put_what_is_not_known_last_and_keep_equal_runs_as_they_are(call):
    known = [("b10", "", None), ("b9", "", 0.1), ("x", "A", -0.5), ("b9", "", 0.1)]
    runs = [
        {"id": i, "name": name, "title": title, "progress_end": share, "seconds": 1, "size_bytes": None}
        for i, (name, title, share) in enumerate(known)
    ]
    order = lambda key: [run["id"] for run in call("runs/run_search.js", "ordered", runs, key)]  # noqa: E731
    assert order("newest") == order("size") == order("time") == order("anything") == [0, 1, 2, 3]
    assert order("progress") == [1, 3, 2, 0]
    assert order("name") == [2, 1, 3, 0]


@pytest.mark.parametrize(
    ("end", "best", "words"),
    [(0.38, 0.41, "38 %, best 41 %"), (0.384, 0.381, "38 %"), (None, None, "–"), (-0.5, 0.02, "−50 %, best 2 %")],
)
def test_progress_in_a_row_of_the_list(call, end, best, words):
    assert call("runs/run_rows.js", "progressWords", {"progress_end": end, "progress_best": best}) == words


def compared(*changes: dict[str, Any]) -> list[dict[str, Any]]:
    """Runs of a comparison."""
    base = {"kind": "embedding", "name": "cat", "title": "", "note": "", "state": "finished", "curve": [[1, 0.1]],
            "loss": [[1, 0.1]], "validation": [], "outcome": {"created_s": 1.7637e9, "step": 100}}  # fmt: skip
    return [base | {"id": str(i)} | change for i, change in enumerate(changes)]


def test_runs_of_one_name_are_told_apart(call):
    names = call("compare/compare_words.js", "namesOf", compared({}, {"title": "second"}, {}, {"name": "dog"}))
    assert names[1::2] == ["second", "dog"]
    assert names[0] == names[2]
    assert names[0].startswith("cat, ")


@pytest.mark.parametrize(
    ("field", "values", "changes", "best"),
    [
        ("progress_end", [0.1, 0.3, None], [{}] * 3, [1]),
        ("progress_end", [0.1, None, None], [{}] * 3, []),
        ("progress_end", [0.2, 0.2, 0.2], [{}] * 3, []),
        ("progress_end", [0.1, 0.3, 0.2], [{}, {"kind": "hypernetwork"}, {}], [2]),
        ("seconds", [9, 5, 7], [{}] * 3, [1]),
        ("seconds", [9, 5, 7], [{}, {"state": "failed"}, {}], []),
        ("seconds", [9, 5, 7], [{}, {"outcome": {"step": 60}}, {}], []),
        ("size_bytes", [9, 5, 7], [{}] * 3, []),
    ],
)
def test_the_best_of_a_column(call, field, values, changes, best):
    assert call("compare/compare_words.js", "bestOf", {"field": field, "values": values}, compared(*changes)) == best


def test_rows_are_sorted_with_what_is_not_known_last(call):
    order = lambda *args: call("compare/compare_words.js", "rowOrder", *args)  # noqa: E731
    assert order([0.1, None, 0.3, 0], True) == [3, 0, 2, 1]
    assert order([0.1, None, 0.3, 0], False) == [2, 0, 3, 1]
    assert order(["b", "a10", "a9"], True) == [2, 1, 0]


def notes(call: Any, runs: list[dict[str, Any]], *, curve: str = "curve", settings: Any = (), troubles: Any = ()) -> list[str]:
    answer = {"runs": runs, "settings": list(settings)}
    return list(call("compare/compare_words.js", "notesOf", answer, curve, {"why": "why not"}, list(troubles)))


def test_what_limits_a_comparison_is_said(call):
    assert notes(call, compared({}, {})) == []
    assert "Tick another run" in notes(call, compared({}))[0]
    (kinds,) = notes(call, compared({}, {"kind": "hypernetwork"}))
    assert "within a kind only" in kinds
    assert notes(call, compared({}, {"name": "dog", "curve": []})) == ["Without a line: dog (why not)."]
    (images,) = notes(call, compared({}, {}), settings=[{"field": "data_root", "differs": True}])
    assert "not all of these were trained on the same images" in images.lower()
    assert notes(call, compared({}, {}), troubles=[["cat", "history.jsonl: damaged"]]) == ["cat: history.jsonl: damaged"]
    assert "tell runs apart better" in notes(call, compared({}, {}), curve="loss")[0]


@pytest.mark.parametrize(
    ("over", "last", "divisor", "unit"),
    [
        ("step", 1e6, 1, "update"), ("images", 9, 1, "image"),
        ("time", 90, 1, "second"), ("time", 900, 60, "minute"), ("time", 1e5, 3600, "hour"),
    ],
)
def test_the_axis_of_a_comparison(call, over, last, divisor, unit):
    then = "() => { const {divisor, unit} = module.axisOf(args[0]); return [divisor, unit]; }"
    answer = {"over": over, "runs": compared({"curve": [[0, 0], [last, 0.1]]})}
    assert call("compare/compare_lines.js", "axisOf.name.toString", answer, then=then) == [divisor, unit]


def test_a_run_that_diverges_does_not_flatten_the_others_and_one_in_front_lies_on_top(call):
    then = """() => {
        const {options, data} = module.chartOf(args[0], "curve", 1);
        return [options.lowest, data.series.map(({place, weight}) => [place, weight]), data.xHigh];
    }"""
    answer = {"over": "step", "runs": compared({"curve": [[1, 0], [50, 0.3]]}, {"curve": [[1, -9], [80, -90]]}, {"curve": []})}
    found = call("compare/compare_lines.js", "chartOf.name.toString", answer, then=then)
    assert found == [-0.3, [[1, "thick"], [0, "faded"]], 80]


def test_twenty_runs_have_looks_of_their_own(call):
    looks = [call("compare/run_looks.js", "runLook", place) for place in range(20)]
    assert len(set(looks)) == 20
    assert looks[:7] == ["c0-d0", "c1-d0", "c2-d0", "c3-d0", "c4-d0", "c5-d0", "c0-d1"]


@pytest.mark.parametrize(("step", "index"), [(0, 0), (30, 0), (31, 1), (60, 1), (999, 2)])
def test_the_image_that_is_nearest_to_a_step(call, step, index):
    images = [{"index": 0, "step": 20}, {"index": 1, "step": 40}, {"index": 2, "step": 90}, {"index": 3, "step": 90}]
    assert call("compare/nearest_image.js", "nearestImage", images, step)["index"] == index
    assert call("compare/nearest_image.js", "nearestImage", [], step) is None
    assert call("compare/nearest_image.js", "stepsOf", [images, [{"step": 5}]]) == [5, 20, 40, 90]
