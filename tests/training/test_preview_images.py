"""The preview images of a run: recorded with the updates that were made, and a list that cannot be written ends nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import practice_rig  # noqa: E402  # torch is optional, see importorskip
from practice_rig import both_kinds, same_bits, weights  # noqa: E402
from training_steps import FULL  # noqa: E402

from lib_lrsched.practice import images  # noqa: E402
from lib_lrsched.storage import run_images  # noqa: E402

EVERY = {"previews_every": 3, "preview_steps": 1}


def recorded(ground: Any) -> list[tuple[int, str, bool]]:
    found = run_images.recorded(ground.runtime.store.images_path(ground.run().id))
    assert found.unreadable == 0
    assert all(image.is_there for image in found.images.values())
    return [(image.step, Path(image.path).name, image.holds_embedding) for image in found.images.values()]


@both_kinds
def test_each_image_is_recorded_with_the_updates_that_were_made(ground, kind):
    ground.install()
    ground.train(kind, "0.01", 7, **EVERY)
    assert recorded(ground) == [(2, "mine-3.png", False), (5, "mine-6.png", False)], "the host counts one more"
    (first, _) = run_images.recorded(ground.runtime.store.images_path(ground.run().id)).images.values()
    assert (first.width, first.height) == (practice_rig.SIDE, practice_rig.SIDE)
    assert "red thing" in first.prompt or "mine" in first.prompt


def test_the_copy_with_the_embedding_in_it_is_told_apart(ground):
    ground.install()
    ground.train("embedding", "0.01", 4, image_with_embedding=True, copies_every=2, **EVERY)
    assert recorded(ground) == [(2, "mine-3.png", False), (2, "mine-3.png", True)]


def test_a_resumed_run_continues_its_list(ground):
    ground.install()
    ground.train("embedding", "0.01", 4, **EVERY)
    ground.train("embedding", "0.01", 7, **EVERY)
    assert [step for step, _, _ in recorded(ground)] == [2, 5]


def test_an_image_of_something_else_in_the_training_thread_is_not_recorded(ground, monkeypatch):
    ground.install()
    save = images.save_image

    def also_others(image: Any, path: Any, basename: str, **named: Any) -> Any:
        Path(path, "before.png").write_bytes(b"x")
        return save(image, path, basename, **named)

    monkeypatch.setattr(images, "save_image", also_others)
    ground.train("embedding", "0.01", 4, **EVERY)
    assert [name for _, name, _ in recorded(ground)] == ["mine-3.png"]


def test_a_list_that_cannot_be_written_is_said_once_and_changes_nothing(ground, monkeypatch):
    ground.install()
    expected = weights(ground.train("embedding", "0.01", 7, name="other", **EVERY))

    def full(*_: Any) -> None:
        raise FULL

    monkeypatch.setattr(run_images.ImageLog, "add", full)
    trained = ground.train("embedding", "0.01", 7, **EVERY)
    assert same_bits(weights(trained), expected)
    (run,) = (run for run in ground.runs() if run.name == "mine")
    said = [message for _, message in ground.events(run) if "recorded" in message]
    assert said == ["the preview images of this run cannot be recorded, training continues: No space left on device"]
    assert run.state == "finished"


# The list -----------------------------------------------------------------------------------------


def image_file(folder: Path, step: int, content: bytes = b"image") -> run_images.RunImage:
    path = folder / f"mine-{step}.png"
    path.write_bytes(content)
    return run_images.saved_image(path, step=step, prompt="p", size=(8, 8), holds_embedding=False, time_s=1.0)


def test_a_file_that_was_written_over_is_no_image_of_the_run(tmp_path):
    old = image_file(tmp_path, 3)
    assert old.is_there
    assert old.data() == b"image"
    image_file(tmp_path, 3, b"other")
    assert not old.is_there
    assert old.data() is None
    (tmp_path / "mine-3.png").write_bytes(b"image")
    assert old.is_there, "copied back, with another time"
    (tmp_path / "mine-3.png").unlink()
    assert not old.is_there


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs os.mkfifo")
def test_a_pipe_in_the_place_of_an_image_is_not_opened(tmp_path):
    image = image_file(tmp_path, 3, b"")
    (tmp_path / "mine-3.png").unlink()
    os.mkfifo(tmp_path / "mine-3.png")
    assert not image.is_there
    assert image.data() is None


def test_a_run_that_went_back_has_the_images_of_what_stands_under_the_numbers_that_they_had(tmp_path):
    log = run_images.ImageLog(tmp_path / "images.jsonl")
    for step in (2, 5, 8, 4, 7):
        log.add(image_file(tmp_path, step))
    log.close()
    found = run_images.recorded(tmp_path / "images.jsonl").images
    assert {index: image.step for index, image in found.items()} == {0: 2, 3: 4, 4: 7}


def test_a_damaged_line_hides_no_other_and_is_counted(tmp_path):
    log = run_images.ImageLog(tmp_path / "images.jsonl")
    for step in (2, 5, 8):
        log.add(image_file(tmp_path, step))
    log.close()
    path = tmp_path / "images.jsonl"
    lines = path.read_bytes().split(b"\n")
    lines[2] = b'{"step": "5"'
    path.write_bytes(b"\n".join(lines) + b'{"step": 11, "cut off')
    found = run_images.recorded(path)
    assert ([image.step for image in found.images.values()], list(found.images), found.unreadable) == ([2, 8], [0, 2], 1)


def test_error_a_list_of_another_version(tmp_path):
    path = tmp_path / "images.jsonl"
    path.write_text(json.dumps({"lrsched_images": 2}) + "\n")
    with pytest.raises(run_images.RunStateError, match="version 2 of a list of images; update the extension to read it"):
        run_images.recorded(path)
