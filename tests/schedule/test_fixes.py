"""Mistakes whose message says what was meant, and the corrected text that an error offers."""

from __future__ import annotations

import pickle
import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_lrsched.errors import ScheduleError
from lib_lrsched.preview.curve import CurveRequest, preview
from lib_lrsched.schedule.plan import plan

STEPS = 100


def refused(text: str) -> ScheduleError:
    with pytest.raises(ScheduleError) as caught:
        plan(text, total_steps=STEPS, steps_per_epoch=20)
    if caught.value.fix is not None:
        plan(caught.value.fix, total_steps=STEPS, steps_per_epoch=20)
    return caught.value


def place(error: ScheduleError) -> str:
    return error.source[slice(*error.span)]


# Characters -----------------------------------------------------------------------------------

CHARACTERS = [
    ("1e\u22123", "\u2212", "expected `-`, got MINUS SIGN (U+2212), which looks like it", "1e-3"),
    ("1e\u20133:10, 1e\u20134", "\u2013", "expected `-`, got EN DASH (U+2013), which looks like it (and one more such character)",
     "1e-3:10, 1e-4"),
    ("0.005\uff1a50\uff0c1e-3", "\uff1a",
     "expected `:`, got FULLWIDTH COLON (U+FF1A), which looks like it (and one more such character)", "0.005:50,1e-3"),
    ("cosine\uff080.005\u30010\uff09", "\uff08",
     "expected `(`, got FULLWIDTH LEFT PARENTHESIS (U+FF08), which looks like it (and 2 more such characters)", "cosine(0.005,0)"),
    ("\ufeff0.005", "\ufeff", "there is BYTE ORDER MARK (U+FEFF) here, which is invisible: delete it", "0.005"),
    ("0.005\u200b:10, 1", "\u200b", "there is ZERO WIDTH SPACE (U+200B) here, which is invisible: delete it", "0.005:10, 1"),
    ("1\x00", "\x00", "there is U+0000 here, which is invisible: delete it", "1"),
    ("1\u0435-3", "\u0435", "expected `e`, got CYRILLIC SMALL LETTER IE (U+0435), which looks like it", "1e-3"),
    ("0.005:10; 1e-3", ";", "expected `,`, got SEMICOLON (U+003B)", "0.005:10, 1e-3"),
    ("\u201c0.005\u201d", "\u201c",
     "a schedule is written without quotes, got LEFT DOUBLE QUOTATION MARK (U+201C) (and one more such character)", "0.005"),
    ("1 \u2192 2", "\u2192", "RIGHTWARDS ARROW (U+2192) is not allowed in a schedule", None),
    ("1\ud800", "\ud800", "U+D800 is not allowed in a schedule", None),
]


@pytest.mark.parametrize(("text", "char", "message", "fix"), CHARACTERS, ids=[ascii(row[0]) for row in CHARACTERS])
def test_error_a_character_that_looks_right_is_named(text: str, char: str, message: str, fix: str | None) -> None:
    error = refused(text)
    assert (error.message, place(error), error.fix) == (message, char, fix)


@pytest.mark.parametrize("text", [
    '0.005  # 1e\u22123, \ufeff "or so"', "0.005\u00a0:\u300050, 1", "\uff11:\u0665, 2", "1e-3:1_0, 1",
])
def test_what_was_read_before_is_still_read(text: str) -> None:
    """Comments may say anything, and float() and int() read blank space and digits of any script."""
    assert plan(text, total_steps=STEPS).stop == STEPS


# Order and decimal commas ---------------------------------------------------------------------


def test_error_a_rate_behind_its_end() -> None:
    error = refused("100:0.005, 200:1e-3, 1e-4")
    assert error.message == "the wrong way round: a rate stands before its end; did you mean `0.005:100`?"
    assert place(error) == "100:0.005"
    assert error.fix == "0.005:100, 1e-3:200, 1e-4"
    assert refused("1e-3:10, 50:0.005, 1").fix == "1e-3:10, 0.005:50, 1", "what is right stays"
    assert refused("0.5:0.005").message == "steps are counted in whole numbers, got 0.005"


COMMAS = [
    ("0,005", "0,005", "0.005"), ("0,005:50, 0,001", "0,005", "0.005:50, 0.001"),
    ("0.005:50, 0,5e-3", "0,5e-3", "0.005:50, 0.5e-3"),
    ("warmup(0,005):10, 1e-3", "0,005", "warmup(0.005):10, 1e-3"), ("cosine(0,005, 0,00001)", "0,005", "cosine(0.005, 0.00001)"),
    ("repeat(2, cosine(0,005, 1e-5):9)", "0,005", "repeat(2, cosine(0.005, 1e-5):9)"),
]


@pytest.mark.parametrize(("text", "where", "fix"), COMMAS, ids=[row[0] for row in COMMAS])
def test_error_a_decimal_comma(text: str, where: str, fix: str) -> None:
    """The host trains at 0, and never says so."""
    error = refused(text)
    written = where.replace(",", ".")
    assert error.message == f"a comma separates segments and values: this is 0, and then another number; did you mean `{written}`?"
    assert (place(error), error.fix) == (where, fix)


def test_a_decimal_comma_that_the_host_trains_with_is_a_warning() -> None:
    made = plan("1,5e-3", total_steps=STEPS)
    assert made.value(0) == 1.0
    (warning,) = made.warnings
    assert warning.message == "a decimal comma? It ends the segment: this trains at 1 and the rest never runs"
    assert (warning.span, warning.fix) == ((0, 6), "1.5e-3")


SIGNED = [("+0,005", "did you mean `+0.005`?", "+0.005"), ("-0,005", "a rate is 0 or more", None)]


@pytest.mark.parametrize(("text", "hint", "fix"), SIGNED, ids=[row[0] for row in SIGNED])
def test_error_a_decimal_comma_behind_a_sign(text: str, hint: str, fix: str | None) -> None:
    error = refused(text)
    assert error.message == f"a comma separates segments and values: this is {text[:2]}, and then another number; {hint}"
    assert (place(error), error.fix) == (text, fix)


INSIDE = [
    # text, the number in the message, the corrected text
    ("0.005:12,5%, 1e-3", "12.5%", "0.005:12.5%, 1e-3"), ("0.005:1,5ep, 1e-3", "1.5ep", "0.005:1.5ep, 1e-3"),
    ("0.005:12,5%, 1e-3:37,5%, 1e-4", "12.5%", "0.005:12.5%, 1e-3:37.5%, 1e-4"),
    ("cosine(1,5e-3, 0)", "1.5e-3", "cosine(1.5e-3, 0)"), ("poly(1e-3,0,power=1,5)", "1.5", "poly(1e-3,0,power=1.5)"),
    ("decay(1e-3, gamma=0,99)", "0.99", "decay(1e-3, gamma=0.99)"), ("repeat(2,5, 1e-3:10)", "2.5", "repeat(2.5, 1e-3:10)"),
    ("100:0,005", "0.005", "0.005:100"),
    ("step(1e-3, every=1,000)", "1000", "step(1e-3, every=1000)"), ("repeat(2, 1e-3:1,000)", "1000", "repeat(2, 1e-3:1000)"),
]


@pytest.mark.parametrize(("text", "number", "fix"), INSIDE, ids=[row[0] for row in INSIDE])
def test_error_names_a_comma_inside_a_number_that_makes_the_text_wrong(text: str, number: str, fix: str) -> None:
    error = refused(text)
    kind = "decimal comma" if "." in number else "thousands separator"
    assert error.message.endswith(f"; a {kind} ends a value here, did you mean `{number}`?")
    assert error.fix == fix


@pytest.mark.parametrize("text", ["cosine(1,5,3)", "1e-3:500,0:100", "1e-3:5, 0.5%", "cosine(1, 5, 0)"])
def test_error_names_no_comma_where_nobody_knows_which_one_or_a_point_does_not_mend_it(text: str) -> None:
    error = refused(text)
    assert ("decimal" in error.message, error.fix) == (False, None)


def test_a_guess_about_commas_costs_nothing_in_a_very_long_text() -> None:
    error = refused("cosine(1,5e-3,0):+5, " * 1_500)
    assert (error.message, error.fix) == ("cosine takes 2 values", None)


THOUSANDS = [
    ("0.005:1,000", "1", "000", "0.005:1000"), ("0.005:1,000, 1e-3", "1", "000", "0.005:1000, 1e-3"),
    ("1e-3:2,500, 1e-4:5,000", "2", "500", "1e-3:2500, 1e-4:5000"), ("1e-3:1,000,000", "1", "000", "1e-3:1000000"),
    ("0.005:1,000, 1,5e-3", "1", "000", "0.005:1000, 1.5e-3"), ("0.005:+1,000, 1e-3", "1", "000", "0.005:+1000, 1e-3"),
]


@pytest.mark.parametrize(("text", "end", "rate", "fix"), THOUSANDS, ids=[row[0] for row in THOUSANDS])
def test_a_thousands_separator_is_a_warning(text: str, end: str, rate: str, fix: str) -> None:
    warning = plan(text, total_steps=STEPS).warnings[0]
    assert warning.message == f"a thousands separator? It ends the segment: the end is {end}, and then the rate is {rate}"
    assert warning.fix == fix
    assert plan(fix, total_steps=STEPS).value(50) in (0.005, 1e-3)


@pytest.mark.parametrize(("text", "fix"), [("0, 005", "0.005"), ("1.000,5", None), ("0.0,5", None), ("1e-3,005", None)])
def test_no_fix_throws_away_digits_behind_a_comma(text: str, fix: str | None) -> None:
    (warning,) = plan(text, total_steps=STEPS).warnings
    assert warning.fix == fix


@pytest.mark.parametrize("text", ["0, 0.005", "0,0.005", "linear(0,1)", "cosine(0,5)", "0:5,005", "1e-3,005", "restarts(1,0,10)"])
def test_other_commas_are_left_alone(text: str) -> None:
    assert not any("decimal" in warning.message for warning in plan(text, total_steps=STEPS).warnings)


# Names of other programs ----------------------------------------------------------------------

RESTARTS = "it has `peak`, `floor`, `first_cycle`, `growth`, `peak_decay`, `warmup`, `cycles`"
ITS_END = "it takes as long as its segment, whose end stands after the brackets, as in cosine(0.005, 1e-5):1000"
WARMUP = "a warm-up is a segment of its own before this one, as in warmup(0.005):100"
NAMES = [
    ("polynomial(1, 0)", "no shape `polynomial`; did you mean `poly`?", "poly(1, 0)"),
    ("cosine_with_restarts(1, num_cycles=4)", "no shape `cosine_with_restarts`; did you mean `restarts`?", "restarts(1, cycles=4)"),
    ("CosineAnnealingLR(1, eta_min=0)", "no shape `CosineAnnealingLR`; did you mean `cosine`?", "cosine(1, to=0)"),
    ("ReduceLROnPlateau(1)", "no shape `ReduceLROnPlateau`; did you mean `plateau`?", "plateau(1)"),
    ("constant_with_warmup(1, 50)", "no shape `constant_with_warmup`; did you mean `warmup(v):N, v`?", None),
    ("constant_with_warmup", "expected a rate or a shape, got `constant_with_warmup`; did you mean `warmup(v):N, v`?", None),
    ("cosine(1, eta_min=0.1)",
     "cosine has no `eta_min`; did you mean `to`, the second value?; it has `from`, `to`", "cosine(1, to=0.1)"),
    ("cosine(lr=1, eta_min=0)",
     "cosine has no `lr`; did you mean `from`, the first value?; it has `from`, `to`", "cosine(from=1, to=0)"),
    ("restarts(1, T_0=9, T_mult=2)",
     f"restarts has no `T_0`; did you mean `first_cycle`?; {RESTARTS}", "restarts(1, first_cycle=9, growth=2)"),
    ("restarts(1, num_cycles=2)", f"restarts has no `num_cycles`; did you mean `cycles`?; {RESTARTS}", "restarts(1, cycles=2)"),
    ("step(1, step_size=9)",
     "step has no `step_size`; did you mean `every`?; it has `from`, `every`, `factor`", "step(1, every=9)"),
    ("cosine(1, 0, T_max=50)", f"cosine has no `T_max`: {ITS_END}", "cosine(1, 0):50"),
    ("cosine(1, 0, T_max=50):60", f"cosine has no `T_max`: {ITS_END}", None),
    ("cosine(1, 0, warmup_steps=5)", f"cosine has no `warmup_steps`; {WARMUP}", None),
    ("inverse_sqrt(1e-3, warmup=100)", f"inverse_sqrt has no `warmup`; {WARMUP}", None),
    ("cosine(1, 0, cycles=4)", "cosine has no `cycles`; did you mean `restarts(peak, floor, cycles=4)`?", None),
]


@pytest.mark.parametrize(("text", "message", "fix"), NAMES, ids=[row[0] for row in NAMES])
def test_error_names_of_other_programs_get_a_hint_that_fits(text: str, message: str, fix: str | None) -> None:
    error = refused(text)
    assert (error.message, error.fix) == (message, fix)


TIMES = [
    ("0.005:100 steps, 1", "100 steps", "100", "0.005:100, 1"), ("0.005:3epochs, 1", "3epochs", "3ep", "0.005:3ep, 1"),
    ("0.005:1k", "1k", "1000", "0.005:1000"), ("0.005:1.5K steps", "1.5K steps", "1500", "0.005:1500"),
    ("0.005:+50 Images, 1", "+50 Images", "+50img", "0.005:+50img, 1"), ("0.005:5 percent, 1", "5 percent", "5%", "0.005:5%, 1"),
    ("0.005:2EP, 1", "2EP", "2ep", "0.005:2ep, 1"), ("step(1e-3, every=1k)", "1k", "1000", "step(1e-3, every=1000)"),
]


@pytest.mark.parametrize(("text", "where", "meant", "fix"), TIMES, ids=[row[0] for row in TIMES])
def test_error_units_of_other_programs_get_the_time_that_they_are_here(text: str, where: str, meant: str, fix: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        plan(text, total_steps=STEPS, steps_per_epoch=20, images_per_step=1)
    error = caught.value
    assert error.message == f"expected a time such as 100, 20% or 3ep, got `{where}`; did you mean `{meant}`?"
    assert (place(error), error.fix) == (where, fix)


@pytest.mark.parametrize(("text", "message", "fix"), [
    ("lr=0.005", "write the rate without a name, as in `0.005`", "0.005"),
    ("Learning_Rate = cosine(1, 0):50, 1", "write the rate without a name, as in `cosine`", "cosine(1, 0):50, 1"),
    ("cosine(1, 0", "this bracket is never closed", "cosine(1, 0)"),
    ("1:5 2", "expected a comma or the end of the text, got `2`", "1:5, 2"),
    ("cosine(T_MAX=50, 1, 0)", f"cosine has no `T_MAX`: {ITS_END}", "cosine(1, 0):50"),
])
def test_error_what_other_programs_write_and_what_is_missing(text: str, message: str, fix: str) -> None:
    error = refused(text)
    assert (error.message, error.fix) == (message, fix)


# What is offered ------------------------------------------------------------------------------


def test_several_mistakes_are_mended_in_one_text() -> None:
    error = refused("polynomial(lr=1e\u22123\uff0c eta_min=0, T_max=50), 1e-5")
    assert error.fix == "poly(from=1e-3, to=0):50, 1e-5"


@pytest.mark.parametrize("text", ["cosin(1, 2, 3)", "100:0.005, 50:0.001", "1e\u22123:0"])
def test_a_corrected_text_that_is_wrong_too_is_not_offered(text: str) -> None:
    assert refused(text).fix is None


def test_an_error_keeps_its_corrected_text() -> None:
    assert pickle.loads(pickle.dumps(refused("0,005"))).fix == "0.005"


def test_a_preview_has_the_corrected_text_of_an_error() -> None:
    first, second = preview(CurveRequest(texts=["0,005", "foo(1)"], total_steps=STEPS, images=4))["results"]
    assert (first["error"]["fix"], second["error"]["fix"]) == ("0.005", None)


# Numbers are kept -----------------------------------------------------------------------------

SOUND = [
    "0.005", "0.005:100, 1e-3", "warmup(0.005):20, cosine(0.005, 1e-5)", "0.005:25, 1.5e-4:50, 1e-5",
    "linear(0.005, 1e-5):75%, 1e-5", "warmup(0.005):5%, restarts(0.005, 1e-5, t_0=25)", "repeat(3, 0.005:10, 1e-3:10), 1e-4",
    "step(0.005, every=25, gamma=0.5)",
    "onecycle(0.005)", "0.005:3ep, exp(0.004, 1e-6):40, 1e-6", "plateau(0.005, patience=50)", "poly(5e-3, 1e-4, power=2):60, 1e-4",
]
DAMAGES = {
    "decimal commas": lambda text, _: re.sub(r"(\d)\.(\d)", r"\1,\2", text),
    "an end lost": lambda text, draw: _cut(text, draw, r":[\d.]+(%|ep)?"),
    "a comma lost": lambda text, draw: _cut(text, draw, r","),
    "a comma doubled": lambda text, draw: _replaced_one(text, draw, r",", ",,"),
    "semicolons": lambda text, _: text.replace(",", ";"),
    "a minus of the web": lambda text, _: text.replace("-", "\u2212"),
    "a bracket lost": lambda text, draw: _cut(text, draw, r"\)"),
    "the length as a value": lambda text, draw: _replaced_one(text, draw, r"\):(\w+%?)", r", \1)"),
    "a letter lost": lambda text, draw: _cut(text, draw, r"(?<=[a-z])[a-z](?=[a-z]*\()"),
    "capitals": lambda text, _: text.upper(),
    "turned round": lambda text, draw: _replaced_one(text, draw, r"([\d.e-]+):(\d+)", r"\2:\1"),
    "thousands": lambda text, draw: _replaced_one(text, draw, r":(\d)", r":1,00\1"),
    "units written out": lambda text, draw: _replaced_one(text, draw, r":(\d+)(?![\d%e])", r":\1 steps").replace("ep", " epochs"),
    "a name in front": lambda text, _: "lr=" + text,
    "the middle cut out": lambda text, draw: text[: draw(st.integers(0, len(text)))] + text[draw(st.integers(0, len(text))) :],
}


def _cut(text: str, draw: Any, pattern: str) -> str:
    return _replaced_one(text, draw, pattern, "")


def _replaced_one(text: str, draw: Any, pattern: str, new: str) -> str:
    found = list(re.finditer(pattern, text))
    if not found:
        return text
    one = draw(st.sampled_from(found))
    return text[: one.start()] + one.expand(new) + text[one.end() :]


def numbers(text: str) -> Counter[str]:
    """The digits of numbers, whatever parts them: names and comments left out."""
    return Counter(re.sub(r"[A-Za-z_]\w*\s*=|[A-Za-z_]\w*\(|#.*|\D", "", text))


@given(st.data())
def test_a_fix_keeps_every_number_of_a_damaged_text_or_there_is_none(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(SOUND))
    for name in data.draw(st.lists(st.sampled_from(sorted(DAMAGES)), min_size=1, max_size=2)):
        text = DAMAGES[name](text, data.draw)
    try:
        fixes = [warning.fix for warning in plan(text, total_steps=STEPS, steps_per_epoch=20).warnings]
    except ScheduleError as error:
        fixes = [error.fix]
    for fix in fixes:
        assert fix is None or not numbers(text) - numbers(fix), (text, fix)


@pytest.mark.parametrize(("text", "fix"), [
    ("warmup(0.005, 100), cosine(1e-5)", "warmup(0.005):100, cosine(1e-5)"), ("0,005", "0.005"),
    ("warmup(0.005, 5%), cosine(1e-5)", "warmup(0.005):5%, cosine(1e-5)"),
])
def test_what_a_fix_once_threw_away_it_keeps(text: str, fix: str) -> None:
    try:
        fixes = [warning.fix for warning in plan(text, total_steps=2000).warnings]
    except ScheduleError as error:
        fixes = [error.fix]
    assert fixes == [fix]
