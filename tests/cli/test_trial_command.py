"""``python -m lib_lrsched trial``: what it prints, its exit codes, and that it leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from ended import Ended  # noqa: E402  # torch is optional
from practice_rig import both_kinds, small_model  # noqa: E402  # torch is optional

from lib_lrsched.cli.main import main  # noqa: E402
from lib_lrsched.practice import initialize, shared  # noqa: E402
from lib_lrsched.training import trial as trials  # noqa: E402


@pytest.fixture
def command(ground: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command in this process, on the small model."""
    monkeypatch.setattr(initialize, "_model", small_model)

    def run(*argv: str, kind: str = "embedding", lr: str = "0.01", out: Path | None = None) -> Ended:
        try:
            code = main(["trial", "--kind", kind, "--name", "mine", "--lr", lr, "--steps", "100", "--data", str(ground.data),
                         "--out", str(out or ground.root), "--updates", "9", *argv])
        except SystemExit as stopped:  # argparse
            code = int(stopped.code or 0)
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return Ended(code, printed.out, printed.err)

    return run


@both_kinds
def test_json_has_the_candidates_the_suggestion_and_why(ground, command, kind):
    files = ground.listing()
    ended = command("--grid", "0.1,1,1e9", "--seed", "3", "--json", kind=kind)
    assert ended.code == 0
    found = json.loads(ended.out)
    assert list(found) == ["candidates", "suggested", "why"]
    assert [one["factor"] for one in found["candidates"]] == [0.1, 1.0, 1e9]
    for one in found["candidates"]:
        assert list(one) == ["text", "factor", "progress", "low", "high", "stopped_at"]
        numbers = [one[name] for name in ("progress", "low", "high")]
        assert (numbers == [None] * 3) is (one["stopped_at"] is not None)
    assert found["candidates"][0]["text"] == "0.001"
    assert found["candidates"][2]["stopped_at"] is not None
    assert ground.listing() == files


def test_one_update_is_json_too_and_suggests_nothing(command):
    found = json.loads(command("--updates", "1", "--grid", "1,2", "--json").out, parse_constant=pytest.fail)
    assert found["suggested"] is None
    assert "1 update is too few" in found["why"]
    assert "1 update is too few" in command("--updates", "1", "--grid", "1,2").out


def test_a_new_name_in_a_folder_that_is_not_there_leaves_no_folder(ground, command):
    out = ground.root / "not there"
    assert command("--json", "--grid", "0.1,1", out=out).code == 0
    assert not out.exists()


def test_what_is_there_is_not_changed(ground, command):
    ground.create("embedding")
    files = ground.listing()
    assert command("--grid", "0.1,1", "--batch", "2", "--accumulate", "2").code == 0
    assert ground.listing() == files


def test_a_table_and_the_suggestion_for_the_eye(command):
    ended = command("--grid", "0.1,1e9", "--seed", "3")
    assert ended.code == 0
    assert "diverged at update" in ended.out
    assert ended.out.splitlines()[-1].startswith(("suggested: ", "no suggestion"))


def test_texts_of_a_file_are_compared(ground, command, tmp_path_factory):
    file = tmp_path_factory.mktemp("texts") / "texts.txt"
    file.write_text("0.01\n\nwarmup(0.02):10%, cosine(0.02, 0)\n1e-6\n", encoding="utf-8")
    found = json.loads(command("--texts", str(file), "--json").out)
    assert [one["text"] for one in found["candidates"]] == ["0.01", "warmup(0.02):10%, cosine(0.02, 0)", "1e-6"]
    assert [one["factor"] for one in found["candidates"]] == [None] * 3
    assert "compressed from 100 to 9 updates" in found["why"]


@pytest.mark.parametrize(
    ("argv", "lr", "words"),
    [
        (("--grid", "1"), "0.01", "2 to 50 different factors"),
        (("--grid", "1,nan"), "0.01", "2 to 50 different factors"),
        (("--grid", "1,-2"), "0.01", "2 to 50 different factors"),
        (("--updates", "0"), "0.01", "a whole number from 1"),
        (("--texts", "nowhere.txt"), "0.01", "cannot be read"),
        (("--grid", "1,2"), "0", "nothing to scale"),
        (("--grid", "1,2"), "cosine(", "cosine"),
        (("--grid", "1,2"), "range_test(1e-5, 0.1)", "search for the rate itself"),
    ],
)
def test_error_wrong_input_is_said_and_changes_nothing(ground, command, argv, lr, words):
    files = ground.listing()
    ended = command(*argv, lr=lr)
    assert ended.code == 2
    assert words in ended.err
    assert ground.listing() == files


def test_error_nothing_left_to_train(ground, command):
    ground.install()
    ground.train("embedding", "0.01", 100)
    ended = command("--json")
    assert ended.code == 2
    assert "nothing is left to train" in json.loads(ended.out)["error"]["message"]


def test_error_a_failure_is_said_in_a_sentence(ground, command, monkeypatch):
    def failing(*_: Any) -> None:
        raise RuntimeError("no memory left")

    monkeypatch.setattr(trials, "run", failing)
    ended = command("--grid", "1,2")
    assert ended.code == 1
    assert "the trial failed: RuntimeError: no memory left" in ended.err


def test_an_interrupt_is_130_and_changes_nothing(ground, command, monkeypatch):
    files = ground.listing()
    run = trials.run

    def interrupted(*args: Any) -> None:
        shared.state.interrupt()
        run(*args)

    monkeypatch.setattr(trials, "run", interrupted)
    ended = command("--grid", "1,2", "--json")
    assert (ended.code, ended.out) == (130, "")
    assert "nothing was changed" in ended.err
    assert ground.listing() == files
