"""Warnings about texts that can be planned and are probably not what was meant."""

from __future__ import annotations

import pytest

from lib_lrsched import Lint, plan
from lib_lrsched.schedule.lints import WITH_MOMENTUM, WITHOUT_MOMENTUM

_ADD = "leave out the last end, or add a segment"
_NEVER = "this never runs: the segment before it has no end (the WebUI ignores it silently)"
_EMPTY = "nothing stands before this comma"


_STOPS = "the schedule stops the run at step"


def _last(rate: str) -> str:
    return f"a last segment `{rate}` continues at that rate"


def _length(number: int) -> str:
    return f"a length? After the comma, {number} is a rate; how long a segment is stands after its brackets"


def marked(text: str, carets: str) -> str:
    """The part of the text that the carets point at, by position."""
    assert set(carets) <= {" ", "^"}
    return text[len(carets) - carets.count("^") : len(carets)]


def lints(text: str, total_steps: int = 100) -> tuple[Lint, ...]:
    return plan(text, total_steps=total_steps).warnings


@pytest.mark.parametrize(
    "text",
    [
        "0.005",
        "0.005:50, 1e-3",
        "0.005:50, 1e-3:100",
        "0.005:50, 1e-3:500",
        "0.005:50, 1e-3:-1",
        "warmup(0.005):10, cosine(0.005, 0)",
        "1e-3:50, 1e-2",
        "0:50, 0",
        "0.5:50, 0",
        "0.005,",
        "repeat(10, 1:10)",
        "repeat(50, 1:10)",
        "repeat(20, 1:10):100",
        "onecycle(1)",
        "linear(0, 1)",
        "exp(1e-9, 1):50, 1",
        "0.005:100, 1e-3 # never reached"[:9],
    ],
)
def test_a_sound_text_has_no_warning(text: str) -> None:
    assert lints(text) == ()


WARNED = [
    # text, carets, message, corrected text
    ("1:50", "  ^^", f"{_STOPS} 50 of 100; {_last('1')}", "1:50, 1"),
    ("1:20, 0.5 : 50 # slow", "            ^^", f"{_STOPS} 50 of 100; {_last('0.5')}", "1:20, 0.5 : 50, 0.5 # slow"),
    ("cosine(1, 0):+30%", "             ^^^^", f"{_STOPS} 30 of 100; {_ADD}", None),
    ("decay(1, 0.9):50", "              ^^", f"{_STOPS} 50 of 100; {_last('0.00515378')}", "decay(1, 0.9):50, 0.00515378"),
    ("repeat(2, 1:10)", "^^^^^^^^^^^^^^^", f"{_STOPS} 20 of 100; {_last('1')}", "repeat(2, 1:10), 1"),
    ("repeat(2, 1:10):15", "                ^^", f"{_STOPS} 15 of 100; {_last('1')}", "repeat(2, 1:10):15, 1"),
    ("1, 0.5", "   ^^^", _NEVER, "1:50%, 0.5"),
    ("1:-1 , 0.5:+5, 0.25 # end", "       ^^^^^^^^^^^^", _NEVER, None),
    ("1e-3,5e-4,1e-4", "     ^^^^^^^^^", _NEVER, "1e-3:33%,5e-4:67%,1e-4"),
    ("1, 0.5:40, 0.25:50", "   ^^^^^^^^^^^^^^^", _NEVER, "1:20, 0.5:40, 0.25:50"),
    ("1, 0.5:40%", "   ^^^^^^^", _NEVER, None),
    ("warmup(1), cosine(0) # slow", "           ^^^^^^^^^", _NEVER, "warmup(1):5%, cosine(0) # slow"),
    ("1:20, 0.5, 0.25", "           ^^^^", _NEVER, "1:20, 0.5:60, 0.25"),
    ("1:100, 0.5", "       ^^^", "this starts at step 100, after the end of the run at 100", None),
    ("1:150, 0.5:200, 0.25 ", "       ^^^^^^^^^^^^^", "this starts at step 150, after the end of the run at 100", None),
    ("warmup(0.01, 20), cosine(0)", "             ^^", _length(20), "warmup(0.01):20, cosine(0)"),
    ("5:20, warmup(5, 20):50, 5", "                ^^", _length(20), None),
    (",1", "^", _EMPTY, "1"),
    ("1:20,,0.5", "     ^", _EMPTY, "1:20,0.5"),
    ("1:20, # one\n , 0.5", "             ^", _EMPTY, "1:20, # one\n  0.5"),
    ("1:20, 0.5,,", "          ^", _EMPTY, "1:20, 0.5,"),
    ("1e-3:50, 0.0101", "         ^^^^^^", "the rate jumps from 0.001 to 0.0101 at step 50", None),
    ("0:50, linear(1e-9, 0)", "      ^^^^^^^^^^^^^^^", "the rate jumps from 0 to 1e-09 at step 50", None),
    ("1:20, cosine(1, 0):50, 0.5", "                       ^^^", "the rate jumps from 0.00273905 to 0.5 at step 50", None),
]


@pytest.mark.parametrize(("text", "carets", "message", "fix"), WARNED, ids=[row[0] for row in WARNED])
def test_a_warning_says_where_and_how_to_mend(text: str, carets: str, message: str, fix: str | None) -> None:
    (found,) = lints(text)
    assert found.message == message
    assert text[slice(*found.span)] == marked(text, carets)
    assert found.span[1] == len(carets)
    assert found.fix == fix


@pytest.mark.parametrize("row", [row for row in WARNED if row[3] is not None], ids=lambda row: row[0])
def test_the_corrected_text_is_planned_without_that_warning(row: tuple[str, str, str, str]) -> None:
    text, _, message, fix = row
    made, mended = plan(text, total_steps=100), plan(fix, total_steps=100)
    assert message not in [warning.message for warning in mended.warnings]
    if message == _EMPTY or message.startswith(_STOPS):
        assert mended.values(range(made.stop)).tolist() == made.values(range(made.stop)).tolist()
    assert mended.stop == 100 or message == _NEVER


def test_warnings_come_in_the_order_of_the_text() -> None:
    made = lints(", 1e-3:20, 1:40, 0.5:200, 0.1, 0.2")
    assert [warning.message for warning in made] == [
        _EMPTY,
        "the rate jumps from 0.001 to 1 at step 20",
        "this starts at step 200, after the end of the run at 100",
        _NEVER,
    ]


@pytest.mark.parametrize("text", ["1:150, 0.5, 0.25:50", "1:150, 0.5, 0.25:50, 0.1", "1:150, 0.5:-1, repeat(1, 1:5):50"])
def test_where_nothing_keeps_the_whole_text_there_is_no_corrected_one(text: str) -> None:
    assert {warning.fix for warning in plan(text, total_steps=100).warnings} == {None}


@pytest.mark.parametrize(
    "text",
    [
        "decay(0.1, gamma=2):50",
        "step(0.1, every=1, gamma=2):50",
        "restarts(1, t_0=1, peak_decay=2):50",
        "restarts(1, t_0=2, warmup=2%):50",
    ],
)
def test_a_corrected_text_is_only_offered_where_it_can_be_planned(text: str) -> None:
    (found,) = lints(text, 5_000)
    assert found.message.startswith("the schedule stops the run at step 50 of 5000")
    assert found.fix is None or plan(found.fix, total_steps=5_000)


def test_a_jump_counts_from_more_than_ten_times() -> None:
    assert lints("0.1:50, 1") == ()
    assert [w.message for w in lints("0.1:50, 1.01")] == ["the rate jumps from 0.1 to 1.01 at step 50"]


def test_a_jump_after_the_end_of_the_run_is_none() -> None:
    assert [w.message for w in lints("1e-3:100, 1")] == ["this starts at step 100, after the end of the run at 100"]


def test_a_fall_from_the_greatest_rates_is_no_jump() -> None:
    assert lints("1e308:50, 1") == ()
    assert lints("1e308:50, 1.5e308") == ()
    assert [w.message for w in lints("1e307:50, 1.5e308")] == ["the rate jumps from 1e+307 to 1.5e+308 at step 50"]


def test_many_empty_places_cost_memory_in_proportion() -> None:
    text = "1" + "," * 2_000 + "1e-3"
    found = lints(text)
    assert found
    assert sum(len(warning.fix or "") for warning in found) < 50 * len(text)


def test_many_jumps_are_all_named() -> None:
    text = ", ".join(f"{(1e-3, 1)[i % 2]}:{i + 1}" for i in range(100))
    assert [w.span for w in lints(text)] == [
        (i, i + 1) for i in range(len(text)) if text.startswith("1:", i) and (i == 0 or text[i - 1] == " ")
    ]


# The optimizer -------------------------------------------------------------------------------

_NO_MOMENTUM = "this drives momentum, and Adagrad has neither betas nor momentum: only the rate will follow"

DRIVING = [
    # text, carets, the text without momentum
    ("onecycle(1)", "^^^^^^^^^^^", "onecycle(1, cycle_momentum=no)"),
    ("onecycle(1, cycle_momentum = yes) # up", "^" * 33, "onecycle(1, cycle_momentum = no) # up"),
    (
        "0.5:20, cyclic(0, 1, 5, 5, triangular, 1, linear, yes):+40, onecycle(1)",
        " " * 8 + "^" * 46,
        "0.5:20, cyclic(0, 1, 5, 5, triangular, 1, linear, no):+40, onecycle(1, cycle_momentum=no)",
    ),
    (
        "1:10, repeat(9, 1:5, repeat(1, cyclic(0, 1, 5 # steps\n):10), cyclic(0, 1, 5, cycle_momentum=no):9)",
        " " * 31 + "^" * 24,
        "1:10, repeat(9, 1:5, repeat(1, cyclic(0, 1, 5, cycle_momentum=no # steps\n):10), cyclic(0, 1, 5, cycle_momentum=no):9)",
    ),
]


@pytest.mark.parametrize(("text", "carets", "fix"), DRIVING, ids=[row[0] for row in DRIVING])
def test_an_optimizer_without_momentum_is_told_for_a_plan_that_drives_it(text: str, carets: str, fix: str) -> None:
    made = plan(text, total_steps=100)
    (found,) = made.warnings_for("Adagrad")
    assert (found.message, text[slice(*found.span)], found.fix) == (_NO_MOMENTUM, marked(text, carets), fix)
    mended = plan(fix, total_steps=100)
    assert mended.warnings_for("Adagrad") == ()
    assert mended.momenta([]) is None
    assert mended.values(range(100)).tolist() == made.values(range(100)).tolist()


@pytest.mark.parametrize("text", ["cosine(1, 0)", "1:50, onecycle(1, cycle_momentum=no)", "1:150, onecycle(1)"])
def test_a_plan_that_leaves_momentum_alone_suits_every_optimizer(text: str) -> None:
    made = plan(text, total_steps=100)
    assert made.warnings_for("Adagrad") == made.warnings


def test_an_optimizer_with_momentum_or_of_no_known_name_has_no_warning() -> None:
    made = plan("onecycle(1)", total_steps=100)
    assert [made.warnings_for(name) for name in ("AdamW", "SGD", "RMSprop", None)] == [()] * 4


def test_whether_another_optimizer_has_momentum_is_said_to_be_unknown() -> None:
    (found,) = plan("onecycle(1)", total_steps=100).warnings_for("Lion")
    assert found.message == "this drives momentum, and whether Lion has betas or momentum is not known here"
    assert (found.span, found.fix) == ((0, 11), None)


def test_a_missing_momentum_takes_its_place_among_the_other_warnings() -> None:
    found = plan("onecycle(1):+20, 1e-3:+20, 1:50", total_steps=100).warnings_for("Adagrad")
    assert [warning.span[0] for warning in found] == sorted(warning.span[0] for warning in found)
    assert [warning.message for warning in found] == [
        _NO_MOMENTUM,
        "the rate jumps from 4e-06 to 0.001 at step 20",
        "the rate jumps from 0.001 to 1 at step 40",
        f"{_STOPS} 50 of 100; {_last('1')}",
    ]


def test_the_known_optimizers_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch")
    for name, optimizer in vars(torch.optim).items():
        if not isinstance(optimizer, type) or optimizer is torch.optim.Optimizer:
            continue
        (group,) = optimizer([torch.nn.Parameter(torch.ones(2, 2))], lr=0.1).param_groups
        assert name in (WITH_MOMENTUM if "betas" in group or "momentum" in group else WITHOUT_MOMENTUM)
