"""A console that cannot print: nothing is raised, and what it can show is shown."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from lib_lrsched import console


class Closed(io.StringIO):
    """As a pipe whose reader is gone; it takes what it has no reason to refuse yet."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")

    def flush(self) -> None:
        raise BrokenPipeError(32, "Broken pipe")


def closed_file() -> Any:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [None, Closed(), closed_file(), object()], ids=["pythonw", "pipe", "file", "stranger"])
@pytest.mark.parametrize("with_tqdm", [True, False])
def test_a_console_that_takes_nothing_raises_nothing(monkeypatch, stream, with_tqdm):
    if with_tqdm:
        pytest.importorskip("tqdm")
    else:
        monkeypatch.delitem(sys.modules, "tqdm", raising=False)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    console.line("a line")
    console.line("a line", console.stderr())
    console.stdout().flush()
    assert not console.stdout().isatty()
    console.close_quietly()


@pytest.mark.parametrize("with_tqdm", [True, False])
def test_characters_that_the_console_lacks_are_written_as_escapes(monkeypatch, with_tqdm):
    if with_tqdm:
        pytest.importorskip("tqdm")
    else:
        monkeypatch.delitem(sys.modules, "tqdm", raising=False)
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="cp1252", newline="\n"))
    console.line("embedding: C:/絵/日本.pt, é")
    console.line("half a character: \udcff")
    sys.stdout.flush()
    assert raw.getvalue() == b"embedding: C:/\\u7d75/\\u65e5\\u672c.pt, \xe9\nhalf a character: \\udcff\n"


@pytest.mark.parametrize("stream", [None, Closed(), closed_file()], ids=["pythonw", "pipe", "file"])
def test_a_bar_on_such_a_console_counts_on(monkeypatch, stream):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    with console.bar(total=3, mininterval=0) as bar:
        for _ in range(3):
            bar.update()
            bar.set_description("loss 0.1")
            console.line("between")
    assert list(console.bar(range(3), mininterval=0)) == [0, 1, 2]


def test_a_line_comes_once_where_only_the_bars_stream_is_closed(monkeypatch):
    tqdm = pytest.importorskip("tqdm")
    good = io.StringIO()
    monkeypatch.setattr(sys, "stdout", good)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with tqdm.tqdm(total=3, file=sys.stderr, mininterval=0) as bar:
        monkeypatch.setattr(sys.stderr, "write", Closed().write)
        console.line("a line")
        bar.disable = True
    assert good.getvalue() == "a line\n"
