"""Errors and the lines that show where."""

from __future__ import annotations

import pickle

import pytest

from lib_lrsched.errors import CONTEXT_CHARS, RequestError, RunStateError, ScheduleError, caret_lines


def lines(source: str, span: tuple[int, int]) -> list[str]:
    return caret_lines(source, span).split("\n")


def test_an_error_prints_message_source_line_and_carets() -> None:
    error = ScheduleError("boundaries must rise", "1e-3:500, 1e-4:100", (15, 18))
    assert str(error) == "boundaries must rise\n    1e-3:500, 1e-4:100\n                   ^^^"
    assert error.message == "boundaries must rise"
    assert error.source == "1e-3:500, 1e-4:100"
    assert error.args == ("boundaries must rise",)


def test_an_error_is_a_value_error() -> None:
    assert issubclass(ScheduleError, ValueError)
    assert issubclass(RequestError, ValueError)
    assert not issubclass(RunStateError, ValueError)


def test_an_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(ScheduleError("no", "abc", (1, 2))))
    assert (type(error), error.message, error.source, error.span) == (ScheduleError, "no", "abc", (1, 2))
    assert str(error) == "no\n    abc\n     ^"


@pytest.mark.parametrize(
    ("span", "kept"),
    [((0, 3), (0, 3)), ((-5, 2), (0, 2)), ((1, 99), (1, 3)), ((9, 12), (3, 3)), ((2, 1), (2, 2)), ((3, 3), (3, 3))],
)
def test_a_span_outside_the_source_is_cut_to_it(span: tuple[int, int], kept: tuple[int, int]) -> None:
    assert ScheduleError("no", "abc", span).span == kept


@pytest.mark.parametrize(
    ("source", "start", "line", "column"),
    [
        ("abc", 0, 1, 1),
        ("abc", 2, 1, 3),
        ("a\nbc", 2, 2, 1),
        ("a\nbc", 3, 2, 2),
        ("a\nbc", 1, 1, 2),
        ("a\n\nb", 3, 3, 1),
        ("", 0, 1, 1),
    ],
)
def test_line_and_column_count_from_one(source: str, start: int, line: int, column: int) -> None:
    error = ScheduleError("no", source, (start, start + 1))
    assert (error.line, error.column) == (line, column)


def test_only_the_line_of_the_span_is_shown() -> None:
    assert lines("1e-3:5,\nfoo(1):9,\n1e-4", (8, 11)) == ["    foo(1):9,", "    ^^^"]


def test_carets_stop_at_the_end_of_the_line() -> None:
    assert lines("ab\ncd", (1, 5)) == ["    ab", "     ^"]


def test_an_empty_span_has_one_caret() -> None:
    assert lines("abc", (3, 3)) == ["    abc", "       ^"]
    assert lines("", (0, 0)) == ["    ", "    ^"]


def test_tabs_and_unprintable_characters_take_one_column() -> None:
    assert lines("1\t\x1b\xa0x", (4, 5)) == ["    1   x", "        ^"]


def test_a_carriage_return_does_not_reach_the_terminal() -> None:
    assert lines("1\r\n2", (0, 1)) == ["    1 ", "    ^"]


def test_letters_beyond_ascii_stay_readable() -> None:
    assert lines("ü(1)", (0, 1)) == ["    ü(1)", "    ^"]


def test_a_line_of_the_context_length_is_shown_whole() -> None:
    source = "x" * CONTEXT_CHARS
    assert lines(source, (99, 100)) == ["    " + source, " " * 103 + "^"]


@pytest.mark.parametrize("start", [0, 10, 49, 50, 51, 200, 950, 990, 999])
def test_a_long_line_is_shown_as_a_window_whose_carets_point_right(start: int) -> None:
    source = "".join(chr(ord("a") + i % 26) for i in range(1000))
    shown, carets = lines(source, (start, start + 1))
    assert len(shown) <= 4 + 3 + CONTEXT_CHARS
    assert shown[carets.index("^")] == source[start]
    assert carets.count("^") == 1
    body = shown[4:]
    assert body.startswith("...") == (start > 50)
    assert body.removeprefix("...") in source


def test_carets_of_a_span_longer_than_the_window_stop_with_it() -> None:
    shown, carets = lines("x" * 1000, (300, 900))
    assert shown == "    ..." + "x" * 100
    assert carets == " " * 57 + "^" * 50


def test_a_window_lies_within_its_line() -> None:
    source = "ab\n" + "x" * 300 + "\ncd"
    shown, carets = lines(source, (3, 5))
    assert shown == "    " + "x" * 100
    assert carets == "    ^^"
    shown, carets = lines(source, (300, 303))
    assert shown == "    ..." + "x" * 100
    assert carets == " " * 104 + "^" * 3


def test_a_run_state_error_names_its_file() -> None:
    assert str(RunStateError("step is missing")) == "step is missing"
    error = RunStateError("step is missing", "run.json")
    assert (str(error), error.message, error.path) == ("run.json: step is missing", "step is missing", "run.json")


def test_a_request_error_keeps_its_message() -> None:
    error = RequestError("kind is rate or clip")
    assert (str(error), error.message) == ("kind is rate or clip", "kind is rate or clip")
