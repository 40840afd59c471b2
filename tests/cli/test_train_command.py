"""``python -m lib_lrsched train``: what it replaces and when, its exit codes and sentences, and that nonsense is a plain error."""

from __future__ import annotations

import errno
import io
import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from ended import Ended  # noqa: E402  # torch is optional
from practice_rig import both_kinds, draw_images, fail_at, interrupt_at, small_model  # noqa: E402

from lib_lrsched.cli.main import main  # noqa: E402
from lib_lrsched.practice import (  # noqa: E402
    dataset,
    files,
    initialize,
    new_files,
    run_image,
    shared,
)
from lib_lrsched.schedule.plan import plan  # noqa: E402
from lib_lrsched.storage.store import Store  # noqa: E402


@pytest.fixture
def command(ground: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command in this process, on the small model and without drawing."""
    monkeypatch.setattr(initialize, "_model", small_model)
    for name in ("draw_run", "draw_samples"):
        monkeypatch.setattr(run_image, name, lambda *_: Path(_[-1]))

    def run(*argv: str) -> Ended:
        try:
            code = main(argv)
        except SystemExit as stopped:  # argparse
            code = int(stopped.code or 0)
        printed = capsys.readouterr()
        assert code in (0, 1, 2, 130)
        assert "Traceback" not in printed.err
        return Ended(code, printed.out, printed.err)

    return run


@pytest.fixture
def train(ground: Any, command: Any) -> Any:
    def run(kind: str, steps: int, *argv: str, name: str = "mine", lr: str = "0.005") -> Ended:
        return command("train", "--kind", kind, "--name", name, "--lr", lr, "--steps", str(steps), "--out", str(ground.root),
                       "--data", str(ground.data), "--seed", "1", *argv)

    return run


def stored(ground: Any) -> dict[str, bytes]:
    """Every file of the user's in the host's folders, backups among them."""
    return {path: data for path, data in ground.listing().items() if path.startswith(("embeddings", "hypernetworks"))}


def step_of(ground: Any, kind: str, file: str = "mine.pt") -> int:
    return int(files.load_pt(ground.root / f"{kind}s" / file)["step"])


# What is replaced, and when --------------------------------------------------------------------


@both_kinds
@pytest.mark.parametrize(("name", "plain"), [("mine!", "mine"), ("mi/ne", "mine"), ("mi[ne]", "mine"), ("mine\n", "mine")])
def test_error_a_name_that_the_host_would_change(ground, train, kind, name, plain):
    train(kind, 3)
    before = stored(ground)
    ended = train(kind, 9, name=name)
    assert ended.code == 2
    assert f"{name!r} would be saved as {plain!r}" in ended.err
    assert train(kind, 9, "--fresh", name=name).code == 2
    assert stored(ground) == before


@both_kinds
def test_error_the_page_creates_nothing_under_another_name(ground, kind):
    pytest.importorskip("gradio")
    from lib_lrsched.practice import train_panel

    before = ground.listing()
    for name in ("mi/ne", "!!!"):
        _, said, error = train_panel.create(kind, name, 1 if kind == "embedding" else "1, 2, 1")
        assert (said, "a name has" in error or " would be saved as " in error) == ("", True)
    assert ground.listing() == before


@both_kinds
@pytest.mark.parametrize("name", ["", "!!!", " ", ".", ".."])
def test_error_a_name_without_letters(ground, train, kind, name):
    before = stored(ground)
    assert train(kind, 9, name=name).code == 2
    assert stored(ground) == before


@both_kinds
def test_error_nothing_is_replaced_before_every_check_is_passed(ground, train, kind, monkeypatch):
    train(kind, 3)
    before = stored(ground)
    assert train(kind, 9, "--fresh", lr="cosin(0.005)").code == 2
    assert train(kind, 9, "--fresh", "--data", str(ground.root / "none")).code == 2
    assert train(kind, 9, "--fresh", "--clip", "nan").code == 2
    assert train(kind, 9, "--fresh", lr="0.005:1ep, 1e-3:1").code == 2
    with monkeypatch.context() as patch:  # the data set is read last of all
        patch.setattr(dataset, "_decode", lambda *_: None)
        assert train(kind, 9, "--fresh").code == 2
    assert stored(ground) == before


@both_kinds
def test_an_interruption_while_the_images_are_read_replaces_nothing(ground, train, kind, monkeypatch):
    train(kind, 3)
    before = stored(ground)
    caption = dataset.caption
    with monkeypatch.context() as patch:
        patch.setattr(dataset, "caption", lambda path: shared.state.interrupt() or caption(path))
        ended = train(kind, 9, "--fresh")
    assert (ended.code, ended.err.splitlines()[-1]) == (130, "interrupted")
    assert stored(ground) == before


@both_kinds
def test_a_fresh_start_keeps_what_was_trained_as_backup_to_its_end(ground, train, kind, monkeypatch):
    train(kind, 3)
    trained = (ground.root / f"{kind}s" / "mine.pt").read_bytes()
    backup = ground.root / f"{kind}s" / "mine.pt.bak"
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2)
        assert train(kind, 9, "--fresh").code == 130
    assert (step_of(ground, kind), backup.read_bytes()) == (3, trained)
    ended = train(kind, 9)  # resumes the fresh one
    assert (ended.code, step_of(ground, kind)) == (0, 9)


@both_kinds
def test_a_fresh_start_that_is_cut_off_and_resumed_keeps_the_backup(ground, train, kind, monkeypatch):
    train(kind, 3)
    trained = (ground.root / f"{kind}s" / "mine.pt").read_bytes()
    backup = ground.root / f"{kind}s" / "mine.pt.bak"
    assert train(kind, 5, "--fresh").code == 0
    assert (step_of(ground, kind), backup.read_bytes()) == (5, trained)
    with monkeypatch.context() as patch:  # twice in a row, and the first one dies before its first update
        patch.setattr(shared, "start", lambda: [action() for action in shared.at_start] and sys.exit(1))
        now = (ground.root / f"{kind}s" / "mine.pt").read_bytes()
        assert train(kind, 5, "--fresh").code == 1
    assert (step_of(ground, kind), backup.read_bytes()) == (0, now)
    assert train(kind, 5, "--fresh").code == 0
    assert (step_of(ground, kind), backup.read_bytes()) == (5, now)


@both_kinds
def test_a_fresh_hypernetwork_or_embedding_is_what_a_new_one_is(ground, train, kind):
    def digest() -> str:
        runs = Store(ground.root / "lrsched").runs()
        return str(runs[0].main_digest)

    train(kind, 4)
    first = digest()
    train(kind, 7)
    assert digest() != first
    train(kind, 4, "--fresh")
    assert digest() == first


@both_kinds
def test_error_a_damaged_file_is_no_absent_one(ground, train, kind):
    train(kind, 3)
    file = ground.root / f"{kind}s" / "mine.pt"
    file.write_bytes(file.read_bytes()[:-200])
    before = stored(ground)
    ended = train(kind, 9)
    assert ended.code == 2
    assert f"{file} cannot be read as" in ended.err
    assert "put mine.pt.bak in its place, or move it away" in ended.err
    assert stored(ground) == before
    assert train(kind, 5, "--fresh").code == 0
    assert step_of(ground, kind) == 5
    assert file.with_name("mine.pt.damaged-1").read_bytes() == before[f"{kind}s/mine.pt"]


@both_kinds
def test_error_a_file_of_nonsense_is_refused_by_its_name_and_keeps_no_other_from_training(ground, train, kind):
    file = ground.root / f"{kind}s" / "mine.pt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"abc")
    ended = train(kind, 2)
    assert (ended.code, f"{file} cannot be read as" in ended.err) == (2, True)
    assert train(kind, 2, name="other").code == 0
    assert train(kind, 2, "--fresh").code == 0
    assert file.with_name("mine.pt.damaged-1").read_bytes() == b"abc"


def test_error_a_fresh_start_beside_a_file_elsewhere(ground, train):
    train("embedding", 3)
    below = ground.root / "embeddings" / "below"
    below.mkdir()
    (ground.root / "embeddings" / "mine.pt").rename(below / "mine.pt")
    assert train("embedding", 3, "--fresh").code == 2
    assert "move that file away" in train("embedding", 3, "--fresh").err


@both_kinds
def test_error_a_file_in_a_subfolder_beside_one_of_its_name(ground, train, kind):
    below = ground.root / f"{kind}s" / "sub"
    train(kind, 3)
    below.mkdir()
    loaded, target = below / "mine.pt", ground.root / f"{kind}s" / "mine.pt"
    target.rename(loaded)
    assert train(kind, 5).code == 0, "nothing is in its way the first time"
    assert (step_of(ground, kind), step_of(ground, kind, "sub/mine.pt")) == (5, 3)
    before = stored(ground)
    ended = train(kind, 7)
    assert (ended.code, ended.err.splitlines()[-1]) == (2, (
        f"'mine' is loaded from {loaded}, and its training would be saved to {target}, which is there too: "
        "move the one that is not to be trained out of the folder"))
    assert stored(ground) == before
    loaded.rename(ground.root / "mine.pt")
    assert (train(kind, 7).code, step_of(ground, kind)) == (0, 7)


@both_kinds
def test_error_a_path_for_a_name(ground, train, kind):
    train(kind, 3)
    below = ground.root / f"{kind}s" / "sub"
    below.mkdir()
    (ground.root / f"{kind}s" / "mine.pt").rename(below / "mine.pt")
    ended = train(kind, 5, name="sub/mine")
    said = "a name is the file's name without its folder: for 'sub/mine' take 'mine'"
    assert (ended.code, ended.err.splitlines()[-1]) == (2, said)


@pytest.mark.parametrize(("name", "said"), [
    ("\ud800", "a name has letters or digits in it; got '\\ud800'"),
    ("mine\ud800", "'mine\\ud800' would be saved as 'mine': take 'mine', or another name of letters, digits, and ._- "),
])
def test_error_a_name_with_half_a_character(train, name, said):
    ended = train("embedding", 3, name=name)
    assert (ended.code, ended.err.splitlines()[-1]) == (2, said)


# Exit codes, and what is said --------------------------------------------------------------------


@both_kinds
def test_nothing_left_to_train_is_said_and_no_failure(ground, train, kind):
    train(kind, 4)
    said = "nothing left to train: mine has 4 updates, --steps is 4; raise --steps or use --fresh"
    ended = train(kind, 4)
    assert (ended.code, ended.err.splitlines()[-1]) == (0, said)
    assert f"{kind}: {ground.root}/{kind}s/mine.pt" in ended.out
    as_json = train(kind, 4, "--json")
    answer = json.loads(as_json.out)
    assert (as_json.code, answer["message"], answer["rates"]) == (0, said, [0.005] * 4)


@both_kinds
def test_nothing_left_of_the_schedule_is_said_and_no_failure(ground, train, kind):
    train(kind, 9, lr="0.005:4")
    ended = train(kind, 9, "--json", lr="0.005:4")
    assert ended.code == 0
    assert json.loads(ended.out)["message"].startswith("nothing is left to train: the schedule ends at step 4 and 4 updates are")


def test_nothing_left_of_a_file_without_a_stored_run(ground, train):
    import shutil

    train("embedding", 4)
    shutil.rmtree(ground.root / "lrsched")
    answer = json.loads(train("embedding", 4, "--json").out)
    assert (answer["step"], answer["rates"], list(answer["files"])) == (4, [], ["embedding"])


@pytest.mark.parametrize("option", ["--lr", "--clip"])
def test_error_of_a_schedule_has_its_fix_in_both_forms(train, option):
    ended = train("embedding", 4, option, "cosin(0.005, 1e-5)")
    assert (ended.code, ended.err.splitlines()[-1]) == (2, "corrected: cosine(0.005, 1e-5)")
    error = json.loads(train("embedding", 4, option, "cosin(0.005, 1e-5)", "--json").out)["error"]
    assert (error["span"], error["fix"]) == ([0, 5], "cosine(0.005, 1e-5)")


@both_kinds
def test_a_failed_training_is_said_with_its_files(ground, command, kind, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        fail_at(patch, 2, RuntimeError("no more"))
        code = main(["train", "--kind", kind, "--name", "mine", "--lr", "0.005", "--steps", "6", "--out", str(ground.root),
                     "--data", str(ground.data)])
    printed = capsys.readouterr()
    assert code == 1
    assert printed.err.splitlines()[-1].startswith("the training failed: ")
    assert f"{kind}: {ground.root}/{kind}s/mine.pt" in printed.out


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@both_kinds
def test_a_result_for_which_there_is_no_room_is_said_in_the_runs_words_with_its_files(ground, train, kind, monkeypatch):
    train(kind, 3)
    with monkeypatch.context() as patch:
        patch.setattr(files, "save_pt", full)
        ended = train(kind, 6)
    assert ended.code == 1
    assert ended.err.splitlines()[-1] == (
        "the training failed: mine.pt cannot be saved: No space left on device. Make room, then train again with the same max "
        "steps: the result is saved, or the run resumes from its snapshot")
    assert f"{kind}: {ground.root}/{kind}s/mine.pt" in ended.out
    assert (train(kind, 6).code, step_of(ground, kind)) == (0, 6)


@both_kinds
@pytest.mark.parametrize(("module", "name"), [(initialize, "write_whole"), (new_files, "save_whole")])
def test_a_disk_that_is_full_before_the_start_is_a_failure_and_no_wrong_input(ground, train, kind, module, name, monkeypatch):
    for template in (ground.root / "textual_inversion_templates").glob("*"):
        template.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(module, name, full)
        ended = train(kind, 3)
    said = f"a file below {ground.root} cannot be written: No space left on device; make room, then run the same command again"
    assert (ended.code, ended.err.splitlines()[-1]) == (1, said)
    assert train(kind, 3).code == 0


def test_a_disk_that_is_full_before_the_page_is_served_is_one_sentence(ground, command, monkeypatch):
    (ground.root / "textual_inversion_templates" / "subject.txt").unlink()
    monkeypatch.setattr(initialize, "write_whole", full)
    ended = command("serve", "--out", str(ground.root))
    assert (ended.code, ended.err.count("\n"), "No space left on device; make room" in ended.err) == (1, 1, True)


def test_the_page_is_served_at_the_newest_run_of_a_name(ground, command, train, monkeypatch):
    served: list[object] = []
    monkeypatch.setattr("lib_lrsched.practice.app.serve", lambda *_, run, **__: served.append(run))
    assert command("serve", "--out", str(ground.root), "--run", "mine")[::2] == (
        2, f"--run: there is no run 'mine' in {ground.root}; there are no runs at all\n")
    for name, options in (("mine", ()), ("mine", ("--fresh",)), ("other", ())):
        assert train("embedding", 1, *options, name=name).code == 0
    mine = [run.id for run in Store(ground.root / "lrsched").runs() if run.name == "mine"]
    assert len(mine) == 2
    for asked in ("mine", mine[1]):
        assert command("serve", "--out", str(ground.root), "--run", asked).code == 0
    assert command("serve", "--out", str(ground.root)).code == 0
    assert served == [*mine, None]
    assert command("serve", "--out", str(ground.root), "--run", "its").err.endswith("; there are other, mine\n")


def test_samples_say_what_they_are(ground, train, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(run_image, "draw_samples", lambda _, text, path: said.append(text) or path)
    train("embedding", 2)
    train("hypernetwork", 3, name="net")
    assert said == ['"a picture of mine", the embedding mine after 2 updates, seed 0',
                    '"a picture", the hypernetwork net after 3 updates, seed 0']


@both_kinds
def test_interrupted_is_130_and_one_line_and_resumed_exactly(ground, train, kind, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2)
        ended = train(kind, 6, "--json", lr="cosine(0.005, 1e-5)")
    answer = json.loads(ended.out)
    assert (ended.code, answer["state"], answer["step"]) == (130, "interrupted", 3)
    assert ended.err.splitlines()[-1] == "interrupted: mine has 3 of 6 updates; the same command resumes it"
    ended = train(kind, 6, "--json", lr="cosine(0.005, 1e-5)")
    rates = plan("cosine(0.005, 1e-5)", total_steps=6).values(range(3, 6)).tolist()
    assert (ended.code, json.loads(ended.out)["rates"]) == (0, rates)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_training_between_two_updates(ground, train, monkeypatch, number):
    handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    forward, calls = type(small_model()).forward, []

    def signalled(self: Any, *args: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            signal.raise_signal(number)
        return forward(self, *args)

    monkeypatch.setattr(type(small_model()), "forward", signalled)
    ended = train("embedding", 6)
    assert ended.code == 130
    assert ended.err.splitlines()[-1] == "interrupted: mine has 2 of 6 updates; the same command resumes it"
    assert step_of(ground, "embedding") == 2
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_a_second_signal_ends_the_command_at_once(ground, train, monkeypatch):
    forward = type(small_model()).forward

    def signalled(self: Any, *args: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        return forward(self, *args)

    monkeypatch.setattr(type(small_model()), "forward", signalled)
    ended = train("embedding", 6)
    assert (ended.code, ended.err.splitlines()[-1]) == (130, "interrupted")


def test_a_signal_before_the_training_ends_the_command(ground, train, monkeypatch):
    monkeypatch.setattr(initialize, "setup", lambda _: signal.raise_signal(signal.SIGTERM))
    ended = train("embedding", 6)
    assert (ended.code, ended.out, ended.err) == (130, "", "interrupted\n")


@both_kinds
def test_images_that_cannot_be_read_are_named_in_the_log_and_by_the_command(ground, train, kind):
    draw_images(ground.data, 6)
    for i in range(4):
        (ground.data / f"{i:03d} red thing.png").write_bytes(b"no image")
    (ground.data / "notes.txt").write_text("no image, and none is expected")
    said = "4 of 6 image files cannot be read and are left out: 000 red thing.png, 001 red thing.png, 002 red thing.png and 1 more"
    ended = train(kind, 2, "--json")
    assert (ended.code, said in ended.err, said in json.loads(ended.out)["messages"]) == (0, True, True)
    (history,) = (ground.root / "lrsched" / "runs").glob("*/history.jsonl")
    assert said in history.read_text()


def test_images_that_can_be_read_are_not_spoken_of(ground, train):
    assert json.loads(train("embedding", 2, "--json").out)["messages"] == [
        "Training with the schedule `0.005`: from step 0 at 0.005 to 2 at 0.005"
    ]


# More max steps ------------------------------------------------------------------------------------


@both_kinds
def test_a_schedule_that_stretches_is_told_with_both_rates_before_and_at_the_start(ground, train, kind):
    text = "cosine(0.005, 1e-5)"
    train(kind, 10, lr=text)
    before, now = plan(text, total_steps=10).value(9), plan(text, total_steps=20).value(10)
    ended = train(kind, 20, lr=text)
    said = (f"the rate was {before:g} at step 9 and is now {now:g} at step 10: max steps was 10 and is now 20, and the schedule "
            "stretches with that. Options: write absolute ends, `cosine(0.005, 1e-5):10, 0.000132`; restart the schedule over the "
            "remaining steps, or write a new one from here")
    assert (ended.code, ended.err.count(said)) == (0, 1)
    assert f"{said}\nchoose a restart with --go-on restart, or a new schedule with --go-on new\n" in ended.err
    assert ended.err.index(said) < ended.err.index("Training with")
    (history,) = (ground.root / "lrsched" / "runs").glob("*/history.jsonl")
    log = [json.loads(line) for line in history.read_text().splitlines()[1:]]
    messages = [one["message"] for one in log if isinstance(one, dict)]
    assert said in messages
    assert not any("resumed exactly" in message for message in messages)


@pytest.mark.parametrize(
    ("text", "choice"), [("cosine(0.005, 1e-5):10, 0.000132", "continue"), ("cosine(0.005, 1e-5)", "restart"), ("1e-4", "new")]
)
def test_the_ways_out_are_ways_out(train, text, choice):
    train("embedding", 10, lr="cosine(0.005, 1e-5)")
    ended = train("embedding", 20, "--go-on", choice, lr=text)
    assert (ended.code, "stretches" in ended.err) == (0, False)


def test_a_schedule_that_keeps_its_rates_is_as_if_there_had_been_no_break(ground, train):
    train("embedding", 10, lr="0.005:4, 1e-3")
    assert "stretches" not in train("embedding", 20, lr="0.005:4, 1e-3").err
    (history,) = (ground.root / "lrsched" / "runs").glob("*/history.jsonl")
    assert "resumed exactly: " in history.read_text()


def test_a_clip_threshold_that_stretches_is_told_too(ground, train):
    train("embedding", 10, "--clip", "linear(1, 0.1)")
    ended = train("embedding", 20, "--clip", "linear(1, 0.1)")
    assert "the clip threshold was 0.19 at step 9 and is now 0.55 at step 10" in ended.err


# Consoles --------------------------------------------------------------------------------------------


@both_kinds
def test_a_console_that_cannot_print_ends_no_training(ground, kind, monkeypatch):
    folder = ground.root / "絵"
    draw_images(folder, 3)
    (folder / "壊れた.png").write_bytes(b"no image")
    ground.install()
    shared.opts.practice_quiet = False
    for stream in (io.TextIOWrapper(io.BytesIO(), encoding="cp1252"), None):
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        ground.train(kind, "0.005", 3 if stream else 6, data=folder, log=ground.root / "記録")
    assert [(run.state, run.step) for run in ground.runs()] == [("finished", 6)]


def test_paths_are_shown_without_loss_on_a_console_of_other_letters(ground, command, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="cp1252"))
    ended = command("train", "--kind", "hypernetwork", "--name", "日本", "--lr", "0.005", "--steps", "2", "--out", str(ground.root),
                    "--data", str(ground.data))
    assert ended.code == 0
    assert f"hypernetwork: {ground.root}/hypernetworks/\\u65e5\\u672c.pt\n" in raw.getvalue().decode("cp1252")


def test_a_title_may_hold_any_character(tmp_path):
    points = {name: [1.0] for name in ("step", "planned", "actual", "loss", "smooth", "progress")}
    assert run_image.draw_run(points, "日本: 0.005 # $x_{ \udcff", "nothing was learned", tmp_path / "run.png").exists()


def test_samples_are_drawn_pixel_by_pixel_under_any_words(tmp_path):
    from PIL import Image

    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    images = [Image.new("RGB", (8, 8), colour) for colour in colours]
    with Image.open(run_image.draw_samples(images, "日本 $x_{ \udcff", tmp_path / "samples.png", scale=4)) as drawn:
        pixels = drawn.convert("RGB")
        assert [pixels.getpixel((8 + 16 + 40 * number, 46)) for number in range(3)] == colours
        assert pixels.getpixel((4, 46)) == (255, 255, 255)


def test_a_run_without_progress_is_drawn_without_its_chart(tmp_path):
    from PIL import Image

    points = {name: [1.0] for name in ("step", "planned", "actual", "loss", "smooth")}
    heights = []
    for share in (None, 0.1):
        with Image.open(run_image.draw_run(points | {"progress": [share]}, "", "", tmp_path / "run.png")) as drawn:
            heights.append(drawn.height)
    assert heights[0] < heights[1]


# Nonsense ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", ["9" * 20, "-9" + "9" * 20, "9" * 5000, "x", "", "1.5"])
def test_error_a_seed_that_torch_does_not_take(train, seed):
    ended = train("embedding", 2, f"--seed={seed}")
    assert ended.code == 2
    assert "argument --seed: expected a whole number from -2**63 to 2**64 - 1, got" in ended.err


@pytest.mark.parametrize("seed", [-(2**63), -1, 2**64 - 1])
def test_every_seed_that_torch_takes_is_taken(train, seed):
    assert train("hypernetwork", 1, f"--seed={seed}").code == 0


def test_error_out_is_a_file_or_has_one_where_a_folder_belongs(ground, command, monkeypatch):
    (ground.root / "file").write_text("")
    arguments = ("train", "--kind", "embedding", "--name", "x", "--lr", "1", "--steps", "2", "--out")
    assert command(*arguments, str(ground.root / "file"))[::2] == (
        2, f"--out: {ground.root}/file cannot be used as a folder: File exists\n")
    assert command(*arguments, str(ground.root / "file" / "below")).code == 2
    assert command("serve", "--out", str(ground.root / "file")).code == 2
    (ground.root / "lrsched").write_text("")
    assert f"--out: {ground.root}/lrsched is a file" in command(*arguments, str(ground.root)).err
    monkeypatch.setattr("os.access", lambda *_: False)
    assert "is not writable" in command(*arguments, str(ground.root / "data")).err


@both_kinds
def test_the_longest_name_is_saved_and_resumed_and_a_longer_one_refused(ground, train, kind):
    longest = "n" * 233
    assert [train(kind, steps, name=longest).code for steps in (1, 2)] == [0, 0]
    ended = train(kind, 2, name=longest + "n")
    assert (ended.code, "a name has at most 233 bytes here" in ended.err) == (2, True)


NONSENSE = ["", " ", "-1", "0", "1", "nan", "1e999", "9" * 30, "a/b", "mine!", "日本", "\udcff", "\x1b[31m", "a\0b", "cosine(1,0)",
            "0.5:1ep", "repeat(3, 1:2)", ":", "(" * 2000, "[]", "{}", "/nowhere", "..", "x" * 300, "%", "1,2", "--", "-h", "@file"]
OPTIONS = {
    "eval": ["--steps", "--steps-per-epoch", "--images-per-step", "--at", "--optimizer", "--json"],
    "export": ["--steps", "--steps-per-epoch", "--images-per-step", "--to", "--error", "--base", "--json"],
    "import": ["--from", "--base", "--json"],
    "train": ["--kind", "--name", "--lr", "--steps", "--data", "--clip", "--clip-mode", "--batch", "--accumulate", "--seed",
              "--out", "--fresh", "--go-on", "--autosave-every", "--json"],
    "serve": ["--out", "--port", "--run", "--nonsense"],
}
SOUND = {
    "--steps": "3", "--to": "pytorch", "--from": "a1111", "--kind": "embedding", "--name": "mine", "--lr": "0.005",
    "--clip-mode": "norm", "--go-on": "new", "--batch": "2", "--accumulate": "1", "--base": "0.1", "--error": "2%", "--at": "0,1",
}


def commands(rng: random.Random, count: int) -> list[list[str]]:
    """Mostly sound commands with a few nonsensical values in them."""
    made = []
    for _ in range(count):
        name = rng.choice(list(OPTIONS))
        argv = [name] + ([rng.choice(["0.005", *NONSENSE])] if name in ("eval", "export", "import") else [])
        for option in OPTIONS[name]:
            if option in ("--json", "--fresh"):
                argv += [option] if rng.random() < 0.4 else []
            elif option in SOUND and rng.random() < 0.8:
                argv += [option, SOUND[option]]
            elif rng.random() < 0.3:
                argv += [option, rng.choice(NONSENSE)] if rng.random() < 0.5 else [f"{option}={rng.choice(NONSENSE)}"]
        made.append(argv)
    return made


@pytest.mark.parametrize(("number", "count"), [(1, 150), pytest.param(2, 3_000, marks=pytest.mark.long)])
def test_no_command_line_ends_with_a_traceback(ground, command, monkeypatch, number, count):
    from lib_lrsched.practice import app

    monkeypatch.setattr(app, "serve", lambda *_, **__: None)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), encoding="utf-8"))
    monkeypatch.chdir(ground.root)
    codes = {command(*argv).code for argv in commands(random.Random(number), count)}
    assert codes >= {0, 2}


def test_error_standard_input_in_another_encoding(command, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"0.005 \xe9"), encoding="utf-8"))
    ended = command("import", "-", "--from", "a1111")
    assert (ended.code, ended.err) == (
        2, "standard input is not utf-8 from byte 6 on: convert it, or give the schedule as TEXT\n")


# The average of the weights ----------------------------------------------------------------------


def test_the_average_is_named_among_the_files_and_reported_beside_validation(ground, train):
    report = json.loads(train("embedding", 4, "--ema", "0.9", "--validate-every", "2", "--json").out)
    assert report["files"]["average"] == str(ground.root / "embeddings" / "mine-ema.pt")
    assert step_of(ground, "embedding", "mine-ema.pt") == 4
    assert [step for step, _ in report["validation_ema"]] == [2, 4]
    assert "average" not in json.loads(train("embedding", 6, "--ema", "off", "--json").out)["files"]


@pytest.mark.parametrize(("flag", "value", "said"), [
    ("--ema", "1", "expected a number above 0 and below 1, or off, got '1'"),
    ("--rate-by-timestep", "1:200", "rate_by_timestep: expected a factor for each timestep from 0 to 999, but the text ends"),
    ("--loss-by-timestep", "0", "loss_by_timestep: the factor is 0 at every timestep: nothing would be trained"),
])  # fmt: skip
def test_error_an_option_that_cannot_be_is_a_sentence_before_the_start(ground, train, flag, value, said):
    ended = train("embedding", 4, flag, value)
    assert (ended.code, said in ended.err) == (2, True), ended.err
    assert not any(stored(ground).values()), "folders are there, and no file"
