"""Text to tree: what has a form, where its parts lie, and what is refused."""

from __future__ import annotations

import time

import pytest

from lib_lrsched import ScheduleError, parse
from lib_lrsched.language.parser import MAX_DEPTH, MAX_NUMBER_CHARS
from lib_lrsched.language.tokenizer import MAX_SOURCE_CHARS
from lib_lrsched.language.tree import Arg, Call, Item, Quantity, Word, unparse


def full_text(text: str, message: str, carets: str) -> str:
    return f"{message}\n    {text}\n    {carets}"


def refusal(text: str) -> str:
    with pytest.raises(ScheduleError) as caught:
        parse(text)
    assert caught.value.source == text
    return str(caught.value)


# What is read ---------------------------------------------------------------------------------


def test_a_number_is_an_item_without_an_end() -> None:
    (item,) = parse(" 5e-3 ").items
    assert item == Item(Quantity("5e-3", "", False, (1, 5)), None, (1, 5))


def test_an_end_belongs_to_the_number_before_it() -> None:
    first, second = parse("0.005:100, 1e-3").items
    assert first == Item(Quantity("0.005", "", False, (0, 5)), Quantity("100", "", False, (6, 9)), (0, 9))
    assert second == Item(Quantity("1e-3", "", False, (11, 15)), None, (11, 15))


def test_a_shape_keeps_name_arguments_and_spans() -> None:
    (item,) = parse("warmup(0.005, curve=log):+50").items
    value = Arg(None, Quantity("0.005", "", False, (7, 12)), (7, 12))
    curve = Arg("curve", Word("log", (20, 23)), (14, 23))
    assert item.value == Call("warmup", (value, curve), (0, 24), (0, 6))
    assert item.end == Quantity("50", "", True, (25, 28))
    assert item.span == (0, 28)


def test_an_argument_may_be_an_item() -> None:
    (item,) = parse("repeat(2, cosine(1, 0):50%)").items
    assert isinstance(item.value, Call)
    inner = item.value.args[1].value
    assert isinstance(inner, Item)
    assert (unparse(inner), inner.span) == ("cosine(1, 0):50%", (10, 26))


@pytest.mark.parametrize(
    ("end", "text", "unit", "relative"),
    [
        ("100", "100", "", False),
        ("+100", "100", "", True),
        ("+ 100", "100", "", True),
        ("-1", "-1", "", False),
        ("20%", "20", "%", False),
        ("20 %", "20", "%", False),
        ("+.5%", ".5", "%", True),
        ("3ep", "3", "ep", False),
        ("3 ep", "3", "ep", False),
        ("+ 1.5ep", "1.5", "ep", True),
        ("500img", "500", "img", False),
        ("1_000", "1_000", "", False),
        ("1e3", "1e3", "", False),
        ("٣", "٣", "", False),
    ],
)
def test_an_end_is_a_number_with_a_unit(end: str, text: str, unit: str, relative: bool) -> None:
    (item,) = parse(f"1:{end}").items
    assert item.end == Quantity(text, unit, relative, (2, 2 + len(end)))


@pytest.mark.parametrize(
    "number", ["1", "1.", ".5", "1e-3", "1E+2", "+3", "-1", "1_0.0_1", "nan", "inf", "Infinity", "٣", "0" * MAX_NUMBER_CHARS]
)
def test_a_rate_is_read_as_python_reads_it(number: str) -> None:
    (item,) = parse(number).items
    assert item.value == Quantity(number, "", False, (0, len(number)))


def test_blank_space_and_newlines_are_free() -> None:
    tree = parse("\n 0.005\t:\n100\u00a0,\r\n cosine ( 1e-3 ,\n b = 0 ) ")
    assert unparse(tree) == "0.005:100, cosine(1e-3, b=0)"


def test_comments_run_to_the_end_of_their_line() -> None:
    tree = parse("0.005 # rate, with : and (\n :100 # end\n, 1e-3 # last")
    assert unparse(tree) == "0.005:100, 1e-3"


def test_a_comment_needs_no_blank_before_it() -> None:
    assert unparse(parse("1e-3:10#x\n,1e-4#y")) == "1e-3:10, 1e-4"


@pytest.mark.parametrize(
    ("text", "empty"),
    [
        ("1", ()),
        ("1,", ()),
        ("1, ", ()),
        (",1", ((0, 1),)),
        ("1,,2", ((2, 3),)),
        ("1 , # c\n , 2", ((9, 10),)),
        (",,1", ((0, 1), (1, 2))),
        ("1,,", ((2, 3),)),
    ],
)
def test_commas_with_nothing_before_them_are_kept_for_the_lint(text: str, empty: tuple[tuple[int, int], ...]) -> None:
    assert parse(text).empty == empty


@pytest.mark.parametrize(
    "text",
    [
        "0.005",
        "0.005:100",
        "0.005:100, 1e-3:+50, 1e-4:20%, 1e-5:-1",
        "warmup(0.005, curve=log):+3ep",
        "linear(1, 2)",
        "repeat(1.5, 1e-3:5, cosine(1, b=0):+7img, repeat(2, 1:2)):40",
        "f()",
        "f(+3, x=+4%, y=-1, z=word, f(g(1)))",
    ],
)
def test_unparse_gives_back_a_text_in_normal_form(text: str) -> None:
    assert unparse(parse(text)) == text


def test_shapes_nest_up_to_the_limit() -> None:
    text = "f(" * MAX_DEPTH + "1" + ")" * MAX_DEPTH
    assert unparse(parse(text)) == text


def test_a_text_of_the_greatest_length_is_read() -> None:
    text = "1, 2 #" + "x" * (MAX_SOURCE_CHARS - 6)
    assert len(parse(text).items) == 2


# What is refused ------------------------------------------------------------------------------

_SHAPE = "a shape has brackets, as in `cosine(1e-3, 1e-5)`"
_END = "expected an end after the colon, such as 100, 20% or 3ep; got"

REFUSED = [
    # items
    ("1e-3:10:20", "one end per segment; did you mean `1e-3:10, ...:20`?", "       ^^^"),
    ("1e-3:10:", "one end per segment; did you mean `1e-3:10, ...:20`?", "       ^"),
    ("1e-3:10 : 20ep", "one end per segment; did you mean `1e-3:10, ...:20ep`?", "        ^^^^^^"),
    ("f(1):+5:20, 1", "one end per segment; did you mean `f(1):+5, ...:20`?", "       ^^^"),
    ("repeat(2, 1:5:6)", "one end per segment; did you mean `1:5, ...:6`?", "             ^^"),
    ("1e-3:10:,", "one end per segment; did you mean `1e-3:10, ...:20`?", "       ^"),
    ("repeat(2, 1:5:)", "one end per segment; did you mean `1:5, ...:20`?", "             ^"),
    ("1e-3 5", "expected a comma or the end of the text, got `5`", "     ^"),
    ("1e-3:5 5", "expected a comma or the end of the text, got `5`", "       ^"),
    ("1e-3)", "expected a comma or the end of the text, got `)`", "    ^"),
    ("f(1))", "expected a comma or the end of the text, got `)`", "    ^"),
    ("1e-3 = 4", "expected a comma or the end of the text, got `=`", "     ^"),
    ("1:20%%", "expected a comma or the end of the text, got `%`", "     ^"),
    ("1:3ep%", "expected a comma or the end of the text, got `%`", "     ^"),
    ("1 " + "x" * 30, "expected a comma or the end of the text, got `xxxxxxxxxxxxxxxxxxxx...`", "  " + "^" * 30),
    # values
    ("= 5", "expected a rate or a shape, got `=`", "^"),
    (":5", "expected a rate or a shape, got `:`", "^"),
    ("1, :5", "expected a rate or a shape, got `:`", "   ^"),
    ("(1)", "expected a rate or a shape, got `(`", "^"),
    ("%", "expected a rate or a shape, got `%`", "^"),
    ("cosine", f"expected a rate or a shape, got `cosine`; {_SHAPE}", "^^^^^^"),
    ("inverse_sqrt:5", f"expected a rate or a shape, got `inverse_sqrt`; {_SHAPE}", "^^^^^^^^^^^^"),
    ("x" * 21, f"expected a rate or a shape, got `{'x' * 20}...`; {_SHAPE}", "^" * 21),
    ("mode=3", f"expected a rate or a shape, got `mode`; {_SHAPE}", "^^^^"),
    ("a-b", "expected a rate such as 0.005 or 1e-3, got `a-b`", "^^^"),
    ("1e", "expected a rate such as 0.005 or 1e-3, got `1e`", "^^"),
    ("1;2", "expected `,`, got SEMICOLON (U+003B)", " ^"),
    ("+ 1", "expected a rate such as 0.005 or 1e-3, got `+`", "^"),
    ("0x10", "expected a rate such as 0.005 or 1e-3, got `0x10`", "^^^^"),
    ("1e-3%", "a rate has no unit; a time such as 20% goes after a colon", "^^^^^"),
    ("1e-3 %:5", "a rate has no unit; a time such as 20% goes after a colon", "^^^^^^"),
    ("repeat(2, yes:5)", f"expected a rate or a shape, got `yes`; {_SHAPE}", "          ^^^"),
    # ends
    ("1e-3:", f"{_END} the end of the text", "    ^"),
    ("1e-3: ", f"{_END} the end of the text", "    ^"),
    ("1e-3:,5", f"{_END} `,`", "     ^"),
    ("1e-3::5", f"{_END} `:`", "     ^"),
    ("1e-3:(5)", f"{_END} `(`", "     ^"),
    ("repeat(2, 1:)", f"{_END} `)`", "            ^"),
    ("1:5x", "expected a number, got `5x`", "  ^^"),
    ("1:ep", "expected a number, got `ep`", "  ^^"),
    ("1:3epoch", "expected a time such as 100, 20% or 3ep, got `3epoch`; did you mean `3ep`?", "  ^^^^^^"),
    ("1:3 apples", "expected a comma or the end of the text, got `apples`", "    ^^^^^^"),
    ("1:+ +5", "expected a number, got `+5`", "  ^^^^"),
    ("1:+-5", "expected a number, got `-5`", "  ^^^"),
    ("1:--5", "expected a number, got `--5`", "  ^^^"),
    ("1:" + "y" * 21 + " %", f"expected a number, got `{'y' * 20}...`", "  " + "^" * 23),
    ("1:+", "expected a number, got `+`", "  ^"),
    ("1:+ , 2", "expected a number, got `+`", "  ^"),
    # arguments
    ("f(1", "this bracket is never closed", " ^"),
    ("f (1, g(2)", "this bracket is never closed", "  ^"),
    ("f(1 2)", "expected a comma or a closing bracket, got `2`", "    ^"),
    ("f(x=y=3)", "expected a comma or a closing bracket, got `=`", "     ^"),
    ("f(20%%)", "expected a comma or a closing bracket, got `%`", "     ^"),
    ("f(", "expected a value, got the end of the text", "  ^"),
    ("f(1,", "expected a value, got the end of the text", "    ^"),
    ("f(x=", "expected a value, got the end of the text", "    ^"),
    ("f(,1)", "expected a value, got `,`", "  ^"),
    ("f(1,)", "expected a value, got `)`", "    ^"),
    ("f(x=)", "expected a value, got `)`", "    ^"),
    ("f(:5)", "expected a value, got `:`", "  ^"),
    ("f(=5)", "expected a value, got `=`", "  ^"),
    ("f(_a)", "expected a number, got `_a`", "  ^^"),
    ("f(1..2)", "expected a number, got `1..2`", "  ^^^^"),
    # the whole text
    ("", "a schedule has at least one segment, such as 0.005 or 0.005:100", "^"),
    ("  ", "a schedule has at least one segment, such as 0.005 or 0.005:100", "^^"),
    (",,", "a schedule has at least one segment, such as 0.005 or 0.005:100", "^^"),
    ("# 0.005", "a schedule has at least one segment, such as 0.005 or 0.005:100", "^^^^^^^"),
    # limits
    ("1" * 41, "a number has at most 40 characters, this one has 41", "^" * 41),
    ("1:" + "1" * 41, "a number has at most 40 characters, this one has 41", "  " + "^" * 41),
    ("1:+" + "1" * 41 + "ep", "a number has at most 40 characters, this one has 41", "  " + "^" * 44),
    ("f(" + "1" * 41 + ")", "a number has at most 40 characters, this one has 41", "  " + "^" * 41),
]


@pytest.mark.parametrize(("text", "message", "carets"), REFUSED, ids=[repr(row[0])[:40] for row in REFUSED])
def test_error_text_without_a_form(text: str, message: str, carets: str) -> None:
    assert refusal(text) == full_text(text, message, carets)


def test_error_shapes_nested_too_deep() -> None:
    text = "f(" * (MAX_DEPTH + 1) + "1"
    assert refusal(text) == full_text(text, "shapes can be nested at most 16 deep", " " * 32 + "^")


def test_error_depth_is_refused_before_the_stack_ends() -> None:
    assert refusal("f(" * 100_000).startswith("shapes can be nested at most 16 deep\n")


def test_error_text_too_long() -> None:
    text = "1," * (MAX_SOURCE_CHARS // 2) + "1"
    message = "a schedule has at most 400000 characters, this one has 400001"
    assert refusal(text) == f"{message}\n    {text[:100]}\n    ^"


@pytest.mark.parametrize(
    ("given", "name"),
    [(None, "NoneType None"), (0.005, "float 0.005"), (b"1", "bytes b'1'"), ([], "list []")],
)
def test_error_not_a_text(given: object, name: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        parse(given)  # type: ignore[arg-type]
    source = str(given)
    expected = f"a schedule is a text such as 0.005:100, 1e-3, got {name}"
    assert str(caught.value) == full_text(source, expected, "^" * len(source))


def test_error_on_a_later_line_shows_that_line() -> None:
    assert refusal("1e-3:5,  # slow\n  1e-4:, 3\n# end") == f"{_END} `,`\n      1e-4:, 3\n           ^"


def test_error_in_a_comment_is_none() -> None:
    assert len(parse("1e-3 # ):,=%(").items) == 1


@pytest.mark.parametrize("text", ["f(1,\n 2):10:20", "1:+\n5:6", "a\x1b[31m", "1:\x1b[31m5", "f(1):5:\x00"])
def test_error_message_is_one_line_of_printable_characters(text: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        parse(text)
    assert caught.value.message.isprintable()


def test_error_message_quotes_a_long_item_in_part() -> None:
    with pytest.raises(ScheduleError) as caught:
        parse(f"f({', '.join(['1'] * 1000)}):5:6")
    assert len(caught.value.message) < 150


def test_a_great_text_costs_time_in_proportion() -> None:
    def cost(count: int) -> float:
        text = ", ".join(f"cosine({i}, 0):{i}" for i in range(1, count))
        start = time.process_time()
        parse(text)
        return time.process_time() - start

    cost(100)
    small, great = min(cost(1_000) for _ in range(3)), min(cost(8_000) for _ in range(3))
    assert great < 30 * small
