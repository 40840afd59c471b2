"""Bad input: a clear message before anything heavy starts, readable in the host's error box, and nothing written."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import practice_rig  # noqa: E402  # torch is optional, see importorskip
from practice_rig import NAME, both_kinds, draw_images, there  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from lib_lrsched import ScheduleError  # noqa: E402
from lib_lrsched.host.input_checks import InputError  # noqa: E402
from lib_lrsched.practice import dataset, loop, sd_hijack, sd_hijack_checkpoint, shared  # noqa: E402


@pytest.fixture
def heavy(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What of the heavy part of a training was reached: reading the data set, the loop."""
    reached: list[str] = []
    original, add = dataset.PersonalizedBase, sd_hijack_checkpoint.add
    monkeypatch.setattr(dataset, "PersonalizedBase", lambda *a, **k: reached.append("data set") or original(*a, **k))
    monkeypatch.setattr(sd_hijack_checkpoint, "add", lambda: reached.append("loop") or add())
    return reached


def refused(ground: Any, heavy: list[str], kind: str, *args: Any, **inputs: Any) -> BaseException:
    """The exception with which the training is refused; asserts that nothing heavy began and nothing was written."""
    if NAME not in (sd_hijack.model_hijack.embedding_db.word_embeddings if kind == "embedding" else shared.hypernetworks):
        ground.create(kind)
    ground.install()
    before, random_before = ground.listing(), practice_rig.random_states()
    with pytest.raises((ValueError, AssertionError, TypeError, KeyError, AttributeError, OSError)) as caught:
        ground.call(kind, *args, **inputs)
    assert heavy == []
    assert ground.listing() == before
    if kind == "embedding":  # a hypernetwork is loaded before its scheduler is made, and loading draws
        assert practice_rig.random_states() == random_before
    assert ground.runtime.trainings.active() == {}
    return caught.value


def lines(*parts: str) -> str:
    return "\n".join(parts)


# Texts ------------------------------------------------------------------------------------

TEXTS = [
    (
        "1e-3:500, 1e-4:100",
        lines(
            "boundaries must rise: this one is at 100, the one before it at 500",
            "    1e-3:500, 1e-4:100",
            "                   ^^^",
        ),
    ),
    ("nan", lines("a rate is a finite number, 0 or more, got nan", "    nan", "    ^^^")),
    (
        "cosin(1e-3, 0)",
        lines("no shape `cosin`; did you mean `cosine`?", "    cosin(1e-3, 0)", "    ^^^^^"),
    ),
    (
        "abc",
        lines(
            "expected a rate or a shape, got `abc`; a shape has brackets, as in `cosine(1e-3, 1e-5)`",
            "    abc",
            "    ^^^",
        ),
    ),
]


@both_kinds
@pytest.mark.parametrize(("text", "message"), TEXTS, ids=[text for text, _ in TEXTS])
def test_error_a_wrong_rate_text_points_at_the_place(ground, heavy, kind, text, message):
    error = refused(ground, heavy, kind, text)
    assert type(error) is ScheduleError
    assert str(error) == message


@both_kinds
@pytest.mark.parametrize("mode", ["value", "norm"])
@pytest.mark.parametrize(("text", "message"), TEXTS, ids=[text for text, _ in TEXTS])
def test_error_a_wrong_clip_text_points_at_the_place(ground, heavy, kind, mode, text, message):
    error = refused(ground, heavy, kind, clip_grad_mode=mode, clip_grad_value=text)
    assert type(error) is ScheduleError
    assert str(error) == message


def test_error_the_caret_stands_under_its_place_on_the_line_of_several(ground, heavy):
    error = refused(ground, heavy, "embedding", "1e-3:5, # warm\n\tcosine(1e-3, 1e-4, 3),\n1e-5")
    message, line, caret = str(error).split("\n")
    assert "\t" not in line
    assert line.strip() == "cosine(1e-3, 1e-4, 3),"
    assert line[caret.index("^") : caret.rindex("^") + 1] == "3"
    assert message


def test_error_the_caret_text_survives_the_hosts_error_box(ground, heavy):
    """The WebUI puts html.escape(f"{type(e).__name__}: {e}") into a box whose white space our style sheet keeps."""
    error = refused(ground, heavy, "embedding", "0.01:4, <b>")
    shown = html.unescape(html.escape(f"{type(error).__name__}: {error}"))
    line, caret = shown.split("\n")[1:]
    assert line[caret.index("^") : caret.rindex("^") + 1] == "<b>"
    assert shown.isprintable() or "\n" in shown


@both_kinds
def test_error_epochs_that_come_to_no_step(ground, heavy, kind):
    error = refused(ground, heavy, kind, "0.01:0.01ep, 0.001")
    assert type(error) is ScheduleError
    assert str(error).startswith("0.01ep comes to 0 steps")


@both_kinds
def test_error_a_schedule_that_is_over_before_the_run_goes_on(ground, heavy, kind):
    ground.install()
    ground.train(kind, "0.01", 4)
    heavy.clear()
    error = refused(ground, heavy, kind, "0.01:2, 0.001:4", 9)
    assert type(error) is ScheduleError
    assert str(error) == lines(
        "nothing is left to train: the schedule ends at step 4 and 4 updates are made; leave out the last end, or add a segment",
        "    0.01:2, 0.001:4",
        "            ^^^^^^^",
    )


def test_error_a_schedule_that_is_over_writes_no_folder_of_copies_either(ground, heavy):
    """The step of a hypernetwork is known only when the host has loaded it, after it made its folders."""
    ground.install()
    ground.train("hypernetwork", "0.01", 4)
    heavy.clear()
    refused(ground, heavy, "hypernetwork", "0.01:4", 9, save_hypernetwork_every=2, create_image_every=3)


# Numbers for texts ------------------------------------------------------------------------


@both_kinds
@pytest.mark.parametrize("number", [0.005, 1])
def test_error_a_number_instead_of_the_rate_text(ground, heavy, kind, number):
    error = refused(ground, heavy, kind, number)
    assert type(error) is InputError
    assert str(error) == f'the learning rate is a text such as "0.005", got {number}, a number: put it in quotes'


@both_kinds
@pytest.mark.parametrize("given", [["0.005"], {"rate": 1}])
def test_error_something_else_instead_of_the_rate_text(ground, heavy, kind, given):
    error = refused(ground, heavy, kind, given)
    assert type(error) is InputError
    assert str(error) == (
        f'the learning rate is a text such as "0.005", got {given!r}, of type {type(given).__name__}: put it in quotes'
    )


@both_kinds
@pytest.mark.parametrize("number", [0.5, 0, 3])
def test_error_a_number_instead_of_the_clip_text(ground, heavy, kind, number):
    error = refused(ground, heavy, kind, clip_grad_mode="norm", clip_grad_value=number)
    assert type(error) is InputError
    assert str(error) == f'the gradient clip value is a text such as "0.1", got {number}, a number: put it in quotes'


@both_kinds
@pytest.mark.parametrize("given", [None, ""])
def test_error_no_clip_text_while_clipping_is_on(ground, heavy, kind, given):
    error = refused(ground, heavy, kind, clip_grad_mode="value", clip_grad_value=given)
    if given is None:
        assert str(error) == 'the gradient clip value is a text such as "0.1", got None, of type NoneType: put it in quotes'
    else:
        assert str(error).split("\n")[0] == "a schedule has at least one segment, such as 0.005 or 0.005:100"


@both_kinds
def test_error_a_number_instead_of_the_log_folder(ground, heavy, kind):
    """Through the API anything comes as anything; the message names the field, not a function of Python's."""
    error = refused(ground, heavy, kind, log_directory=5)
    assert type(error) is InputError
    assert str(error).startswith("the log directory is a text")


@both_kinds
@pytest.mark.parametrize("steps", ["100", 10.0, None])
def test_error_max_steps_that_are_no_whole_number(ground, heavy, kind, steps):
    error = refused(ground, heavy, kind, "0.01", steps)
    assert type(error) is AssertionError  # the host's own check, which comes first
    assert "max steps" in str(error)


# Folders and images ---------------------------------------------------------------------


@both_kinds
def test_error_a_missing_data_folder(ground, heavy, kind):
    missing = ground.root / "nowhere"
    error = refused(ground, heavy, kind, data_root=str(missing))
    assert str(error) == f"there is no data set folder {missing}"  # the host's own


@both_kinds
def test_error_an_empty_data_folder(ground, heavy, kind):
    (ground.root / "empty").mkdir()
    error = refused(ground, heavy, kind, data_root=str(ground.root / "empty"))
    assert str(error) == f"the data set folder {ground.root / 'empty'} is empty"  # the host's own


@both_kinds
@pytest.mark.parametrize("text", ["0.01", "0.01:2ep, 0.001"])
def test_error_a_folder_with_captions_and_broken_files_only(ground, heavy, kind, text):
    folder = ground.root / "captions"
    folder.mkdir()
    (folder / "1.txt").write_text("a red thing")
    (folder / "2.png").write_bytes(b"\x89PNG\r\n\x1a\nthat is all")
    (folder / "3.jpg").write_bytes(b"")
    (folder / "deeper").mkdir()
    draw_images(folder / "deeper", 1)
    error = refused(ground, heavy, kind, text, data_root=str(folder))
    assert type(error) is InputError
    assert str(error) == f"no file in {str(folder)!r} can be read as an image; captions (.txt) beside images do not count"


@both_kinds
def test_an_image_that_does_not_decode_is_left_out_and_counts_for_nothing(ground, heavy, kind):
    (ground.data / "000 first.png").write_bytes(b"broken")
    ground.install()
    ground.train(kind, "0.01:1ep, 0.001", 8)
    assert (ground.run().pictures, ground.run().steps_per_epoch) == (5, 5)


@both_kinds
def test_a_log_folder_that_does_not_exist_is_made(ground, kind):
    log = ground.root / "a" / "b"
    ground.install()
    ground.train(kind, "0.01", 2, log=log)
    assert list(log.rglob("settings-*.json"))


@both_kinds
def test_error_a_log_folder_that_cannot_be_made(ground, heavy, kind):
    (ground.root / "file").write_text("no folder")
    wanted = ground.root / "file" / "log"
    error = refused(ground, heavy, kind, log_directory=str(wanted))
    assert type(error) is InputError
    why = f"{ground.root / 'file'} is not a folder"
    assert str(error) == f"the log directory {str(wanted)!r} does not exist and cannot be created: {why}"


@both_kinds
def test_error_a_log_folder_that_is_not_writable(ground, heavy, kind, monkeypatch):
    monkeypatch.setattr("lib_lrsched.host.preflight.os.access", lambda path, mode: Path(path) != ground.log)
    wanted = str(ground.log / "new")
    error = refused(ground, heavy, kind, log_directory=wanted)
    assert type(error) is InputError
    assert str(error) == f"the log directory {wanted!r} does not exist and cannot be created: {ground.log} is not writable"


@both_kinds
def test_error_a_file_where_the_dated_folder_goes(ground, heavy, kind):
    day = Path(loop.dated_folder(str(ground.log), NAME)).parent
    day.write_text("no folder")
    error = refused(ground, heavy, kind)
    assert type(error) is InputError
    assert str(error) == f"the log directory {str(day / NAME)!r} cannot be created: Not a directory"


def test_no_log_folder_is_the_hosts_business(ground, monkeypatch):
    """Without copies and images the host takes an empty field: it then writes below the current folder."""
    monkeypatch.chdir(ground.root)
    ground.create("embedding")
    ground.install()
    assert ground.call("embedding", log_directory="")[0].step == 5


# Names ------------------------------------------------------------------------------------


def test_error_an_embedding_without_a_step(ground, heavy):
    folder = Path(shared.cmd_opts.embeddings_dir)
    save_file({"emb_params": torch.zeros(1, 16)}, folder / "made-elsewhere.safetensors")
    sd_hijack.model_hijack.embedding_db.load_textual_inversion_embeddings(force_reload=True)
    error = refused(ground, heavy, "embedding", name="made-elsewhere")
    assert type(error) is InputError
    assert str(error) == (
        "the embedding 'made-elsewhere' has no step count, so training cannot continue from it (a file made elsewhere, often "
        ".safetensors); create a new embedding with 'made-elsewhere' as its initialization text and train that one"
    )


@both_kinds
@pytest.mark.parametrize("name", ["nobody", 5])
def test_error_a_name_that_is_not_there(ground, heavy, kind, name):
    error = refused(ground, heavy, kind, name=name)
    assert type(error) is InputError
    assert str(error) == f"there is no {kind} {name!r}: create it first, or refresh the list"


@both_kinds
def test_error_no_name_is_the_hosts_own_message(ground, heavy, kind):
    assert str(refused(ground, heavy, kind, name="")) == f"choose the {kind} to train"


@both_kinds
@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("batch_size", 0, "the batch size: expected 1 or more, got 0"),
        ("gradient_step", 0, "gradient accumulation: expected 1 or more, got 0"),
        ("template_filename", "nothing.txt", "there is no prompt template nothing.txt"),
        ("learn_rate", "", "the learning rate is missing, or 0"),
    ],
)
def test_error_what_the_host_checks_is_told_by_the_host(ground, heavy, kind, field, value, message):
    error = refused(ground, heavy, kind, **({"lr": value} if field == "learn_rate" else {field: value}))
    assert type(error) is AssertionError
    assert str(error) == message


# Afterwards -------------------------------------------------------------------------------


@both_kinds
def test_after_a_refusal_the_next_training_runs_as_if_there_had_been_none(ground, heavy, kind):
    refused(ground, heavy, kind, "nonsense")
    refused(ground, heavy, kind, clip_grad_mode="norm", clip_grad_value="nonsense")
    seams = there()
    assert ground.train(kind, "0.01", 3).step == 3
    assert (ground.run().state, len(ground.records())) == ("finished", 3)
    assert there() == seams


@both_kinds
def test_a_refusal_leaves_nothing_pending_for_a_training_with_the_hooks_switched_off(ground, heavy, kind):
    shared.opts.save_training_settings_to_txt = False
    refused(ground, heavy, kind, "nonsense")
    ground.install(enabled=False)
    assert ground.train(kind, "0.01", 3).step == 3
    assert ground.runs() == []


@both_kinds
def test_error_an_empty_data_set_found_too_late_leaves_the_run_pending_and_unsaved(ground, kind):
    """The images go between the check and the data set; the host's own assertion reaches the user, no run is kept."""
    ground.create(kind)
    ground.install()
    original = dataset.PersonalizedBase

    def late(*args: Any, **settings: Any) -> Any:
        for path in ground.data.glob("*.png"):
            path.unlink()
        return original(*args, **settings)

    dataset.PersonalizedBase = late
    with pytest.raises(AssertionError, match="No images have been found in the dataset"):
        ground.call(kind)
    dataset.PersonalizedBase = original
    assert ground.runs() == []
    assert not ground.state_dir.exists()
    draw_images(ground.data, 5)
    assert ground.train(kind, "0.01", 3).step == 3
    assert ground.run().state == "finished"
