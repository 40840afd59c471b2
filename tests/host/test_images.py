"""How many images of a folder count: those that decode, as the data set of the host takes them."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

image = pytest.importorskip("PIL.Image")

from lib_lrsched.host import images  # noqa: E402  # pillow is optional
from lib_lrsched.host.images import _turn, count_images, count_in_time, read_image  # noqa: E402  # pillow is optional


def draw(path: Path, side: int = 8, mode: str = "RGB") -> Path:
    image.new(mode, (side, side)).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("1.png", "2.jpg", "3.webp", "4.bmp", "5.gif"):
        draw(tmp_path / name)
    return tmp_path


def test_every_file_that_decodes_counts(folder):
    assert count_images(folder) == 5
    assert count_images(str(folder)) == 5


@pytest.mark.parametrize("mode", ["RGBA", "L", "P", "1", "LA", "I;16", "CMYK"])
def test_an_image_of_any_mode_counts(tmp_path, mode):
    draw(tmp_path / ("1.tif" if mode == "CMYK" else "1.png"), mode=mode)
    assert count_images(tmp_path) == 1


@pytest.mark.parametrize("name", ["1.txt", "1.TXT", "1.caption", "notes.txt"])
def test_captions_beside_the_images_do_not_count(folder, name):
    (folder / name).write_text("a red thing")
    assert count_images(folder) == 5


def test_what_does_not_decode_does_not_count(folder):
    whole = (folder / "1.png").read_bytes()
    (folder / "broken.png").write_bytes(b"no image")
    (folder / "cut off.png").write_bytes(whole[: len(whole) - 30])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "Thumbs.db").write_bytes(b"\x00" * 100)
    assert count_images(folder) == 5


def test_an_image_counts_whatever_its_name(folder):
    (folder / "2.jpg").rename(folder / "no suffix")
    (folder / "3.webp").rename(folder / "3.png")
    assert count_images(folder) == 5


def test_folders_in_the_folder_do_not_count_nor_does_what_is_in_them(folder):
    (folder / "deeper.png").mkdir()
    draw(folder / "deeper.png" / "6.png")
    assert count_images(folder) == 5


def test_a_link_counts_as_what_it_leads_to(folder, tmp_path_factory):
    elsewhere = draw(tmp_path_factory.mktemp("elsewhere") / "6.png")
    (folder / "6.png").symlink_to(elsewhere)
    (folder / "7.png").symlink_to(folder / "nowhere.png")
    assert count_images(folder) == 6


def test_an_empty_folder_has_none(tmp_path):
    assert count_images(tmp_path) == 0


def test_counting_stops_when_it_is_enough(folder):
    read: list[str] = []

    def reader(path: str) -> Any:
        read.append(path)
        return read_image(path)

    assert count_images(folder, reader, enough=2) == 2
    assert len(read) == 2


def test_an_answer_is_remembered_until_the_file_changes(folder):
    read: list[str] = []

    def reader(path: str) -> Any:
        read.append(path)
        return read_image(path)

    assert [count_images(folder, reader) for _ in range(3)] == [5, 5, 5]
    assert len(read) == 5
    (folder / "1.png").write_bytes(b"broken now")
    assert count_images(folder, reader) == 4
    assert len(read) == 6
    draw(folder / "1.png")
    os.utime(folder / "1.png", ns=(1, 1))
    assert count_images(folder, reader) == 5


def test_the_hosts_own_reader_decides(folder):
    def picky(path: str) -> Any:
        if path.endswith(".gif"):
            raise RuntimeError("any exception makes the host skip a file")
        return read_image(path)

    assert count_images(folder, picky) == 4


def test_several_threads_count_alike(folder):
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(count_images(folder))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert counts == [5] * 6


def test_error_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        count_images(tmp_path / "nowhere")


def test_error_a_file_for_a_folder(folder):
    with pytest.raises(NotADirectoryError):
        count_images(folder / "1.png")


def test_the_practice_hosts_data_set_has_as_many(folder, monkeypatch):
    pytest.importorskip("torch")
    import practice_rig

    from lib_lrsched.practice import dataset, shared

    (folder / "1.txt").write_text("a red thing")
    (folder / "broken.png").write_bytes(b"no image")
    (folder / "deeper").mkdir()
    monkeypatch.setattr(shared.opts, "practice_quiet", True)
    monkeypatch.setattr(shared.state, "interrupted", False)
    template = folder.parent / "template.txt"
    template.write_text("a picture of [name]\n")
    model = practice_rig.small_model()
    made = dataset.PersonalizedBase(data_root=str(folder), width=8, height=8, repeats=1, model=model, template_file=str(template))
    assert count_images(folder) == len(made) == 5


def test_who_asks_while_another_counts_decodes_nothing_again(folder):
    """Else every keystroke in the Train tab would decode the data set once more, all at the same time."""
    started, go_on = threading.Event(), threading.Event()
    read: list[str] = []

    def slow(path: str) -> Any:
        read.append(path)
        started.set()
        assert go_on.wait(10)
        return read_image(path)

    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(count_images(folder, slow))) for _ in range(8)]
    threads[0].start()
    assert started.wait(10)
    for thread in threads[1:]:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert counts == [5] * 8
    assert sorted(read) == sorted(str(path) for path in folder.iterdir())


def test_a_count_that_takes_too_long_goes_on_when_it_is_asked_for_again(folder, monkeypatch):
    read: list[str] = []
    now_s = 0.0

    def slow(path: str) -> Any:
        nonlocal now_s
        now_s += 1.0
        read.append(path)
        return read_image(path)

    monkeypatch.setattr(images, "time", SimpleNamespace(monotonic=lambda: now_s))
    answers = [count_in_time(folder, slow, 1.5) for _ in range(4)]
    assert answers[0] is None
    assert answers[-1] == 5
    assert len(read) == 5, "nothing was decoded twice"


def test_who_only_wants_to_know_whether_there_is_one_does_not_wait_for_a_count(folder):
    with _turn(folder):
        assert count_images(folder, enough=1) == 1
        assert count_in_time(folder, None, 0.01) is None
