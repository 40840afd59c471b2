"""``python -m lib_lrsched eval``: what it prints, and how it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lib_lrsched.cli.main import main
from lib_lrsched.formats.registry import EXPORTERS, IMPORTERS

ROOT = Path(__file__).resolve().parents[2]


def evaluate(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    try:
        code = main(["eval", *arguments])
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_eval_prints_every_value(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = evaluate(capsys, "0.5:2, linear(0.5, 0)", "--steps", "6")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"stop": 6, "values": [0.5, 0.5, 0.5, 0.375, 0.25, 0.125], "warnings": []}


def test_eval_prints_the_values_asked_for_in_that_order(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = evaluate(capsys, "0.5:2, linear(0.5, 0)", "--steps", "6", "--at", "5,0, 3,3")
    assert (code, json.loads(out)["values"]) == (0, [0.125, 0.5, 0.375, 0.375])


def test_eval_stops_with_the_plan_and_warns(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = evaluate(capsys, "0.5:3", "--steps", "6", "--json")
    message = "the schedule stops the run at step 3 of 6; a last segment `0.5` continues at that rate"
    assert code == 0
    warning = {"message": message, "span": [4, 5], "fix": "0.5:3, 0.5"}
    assert json.loads(out) == {"stop": 3, "values": [0.5] * 3, "warnings": [warning]}


def test_eval_warns_of_an_optimizer_without_momentum(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = evaluate(capsys, "onecycle(1)", "--steps", "6", "--optimizer", "Rprop")
    message = "this drives momentum, and Rprop has neither betas nor momentum: only the rate will follow"
    fix = "onecycle(1, cycle_momentum=no)"
    assert (code, json.loads(out)["warnings"]) == (0, [{"message": message, "span": [0, 11], "fix": fix}])


def test_eval_counts_epochs_and_images(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = evaluate(capsys, "1:1ep, 0.5:+8img, 0.25", "--steps", "6", "--steps-per-epoch", "2", "--images-per-step", "4")
    assert (code, json.loads(out)["values"]) == (0, [1, 1, 0.5, 0.5, 0.25, 0.25])


def test_a_value_printed_is_the_value_planned(capsys: pytest.CaptureFixture[str]) -> None:
    from lib_lrsched import plan

    _, out, _ = evaluate(capsys, "cosine(0.005, 1e-5)", "--steps", "100")
    assert json.loads(out)["values"] == plan("cosine(0.005, 1e-5)", total_steps=100).values(range(100)).tolist()


def test_error_text_is_shown_with_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = evaluate(capsys, "1e-3:500, 1e-4:100", "--steps", "1000")
    assert (code, out) == (2, "")
    expected = (
        "boundaries must rise: this one is at 100, the one before it at 500\n    1e-3:500, 1e-4:100\n                   ^^^\n"
    )
    assert err == expected


def test_error_with_a_fix_prints_the_whole_text_mended(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = evaluate(capsys, "cosin(1,\n 0)\t", "--steps", "10")
    assert (code, out) == (2, "")
    assert err.splitlines()[-2:] == ["corrected: cosine(1,", " 0) "]


def test_error_text_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = evaluate(capsys, "cosin(1, 0)", "--steps", "10", "--json")
    assert (code, err) == (2, "")
    assert json.loads(out) == {
        "error": {"message": "no shape `cosin`; did you mean `cosine`?", "span": [0, 5], "fix": "cosine(1, 0)"}}


@pytest.mark.parametrize("step", ["6", "-1", "99999999999999999999999"])
def test_error_step_outside_the_plan(capsys: pytest.CaptureFixture[str], step: str) -> None:
    message = f"--at: step {step} is outside [0, 6)"
    assert evaluate(capsys, "0.5", "--steps", "6", f"--at={step}") == (2, "", message + "\n")
    code, out, _ = evaluate(capsys, "0.5", "--steps", "6", f"--at={step}", "--json")
    assert (code, json.loads(out)) == (2, {"error": {"message": message, "span": None, "fix": None}})


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("0.5",), "the following arguments are required: --steps"),
        (("--steps", "5"), "the following arguments are required: TEXT"),
        (("0.5", "--steps", "0"), "argument --steps: expected a whole number from 1, got '0'"),
        (("0.5", "--steps", "1e3"), "argument --steps: expected a whole number from 1, got '1e3'"),
        (
            ("0.5", "--steps", "5", "--steps-per-epoch", "-2"),
            "argument --steps-per-epoch: expected a whole number from 1, got '-2'",
        ),
        (
            ("0.5", "--steps", "5", "--images-per-step", "x"),
            "argument --images-per-step: expected a whole number from 1, got 'x'",
        ),
        (("0.5", "--steps", "5", "--at", "1,x"), "argument --at: expected steps such as 0,99, got '1,x'"),
        (("0.5", "--steps", "5", "--at", ""), "argument --at: expected steps such as 0,99, got ''"),
    ],
)
def test_error_argument_out_of_form(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], complaint: str) -> None:
    code, out, err = evaluate(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.endswith(f"error: {complaint}\n")


@pytest.mark.parametrize("option", ["--steps", "--steps-per-epoch", "--images-per-step"])
def test_error_number_beyond_any_run(capsys: pytest.CaptureFixture[str], option: str) -> None:
    number = "9" * 20
    code, out, err = evaluate(capsys, "0.5", *(() if option == "--steps" else ("--steps", "5")), option, number)
    assert (code, out) == (2, "")
    assert number in err
    assert option in err


@pytest.mark.parametrize("text", ["-1e-3", "-1"])
def test_error_negative_rate_reaches_the_language(capsys: pytest.CaptureFixture[str], text: str) -> None:
    code, _, err = evaluate(capsys, text, "--steps", "5")
    assert (code, err) == (2, f"a rate is a finite number, 0 or more, got {text}\n    {text}\n    {'^' * len(text)}\n")


def test_error_without_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2
    assert "the following arguments are required: COMMAND" in capsys.readouterr().err


def test_a_reader_that_stops_reading_ends_the_command_quietly() -> None:
    command = [sys.executable, "-m", "lib_lrsched", "eval", "0.5", "--steps", "300000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 0)


@pytest.mark.parametrize("is_both", [False, True])
def test_no_command_complains_of_a_reader_that_is_gone(is_both: bool) -> None:
    """Buffered, as Python writes into a pipe: what is held back meets the closed pipe at the very end."""
    commands = {
        ("--help",): 0, ("train", "--help"): 0, ("nothing",): 2, ("eval", "0.5:2, foo(1)", "--steps", "4", "--json"): 2,
        ("export", "cosine(1, 0)", "--steps", "9", "--to", "a1111", "--json"): 0, ("import", "--from", "a1111", "1"): 0,
    }  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    running = []
    for words in commands:
        read, write = os.pipe()
        os.close(read)
        error = subprocess.STDOUT if is_both else subprocess.PIPE
        command = [sys.executable, "-m", "lib_lrsched", *words]
        running.append(subprocess.Popen(command, stdout=write, stderr=error, cwd=ROOT, env=environment))
        os.close(write)
    for process, (words, code) in zip(running, commands.items(), strict=True):
        said = process.communicate(timeout=60)[1] or b""
        assert process.returncode == code, words
        assert b"Broken pipe" not in said, words
        assert b"Traceback" not in said, words


def test_error_a_library_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from lib_lrsched.cli import train as command

    def train(_: object) -> int:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(command, "run", train)
    assert main(["train", "--kind", "embedding", "--name", "mine", "--lr", "1", "--steps", "2"]) == 1
    assert capsys.readouterr().err.startswith("this command needs torch, which is not installed: ")


def test_error_an_options_value_that_argparse_drops(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(capsys, "0.5", "--steps", "3", "--optimizer=--")[0] == 2


def test_the_module_runs_as_a_command() -> None:
    command = [sys.executable, "-m", "lib_lrsched", "eval", "0.5:2, foo(1)", "--steps", "4"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "no shape `foo`\n    0.5:2, foo(1)\n           ^^^\n")
    done = subprocess.run([*command[:4], "1:2, 0.5", "--steps", "3"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, '{"stop": 3, "values": [1.0, 1.0, 0.5], "warnings": []}\n', "")


@pytest.mark.parametrize(("command", "flag", "formats"), [("export", "--to", EXPORTERS), ("import", "--from", IMPORTERS)])
def test_the_help_names_every_format(
    command: str, flag: str, formats: Mapping[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    said = " ".join(capsys.readouterr().out.partition("\noptions:\n")[2].split())
    *most, last = formats
    assert f" {flag} FORMAT {', '.join(most)} or {last} --" in said
