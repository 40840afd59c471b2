"""The host's own files: replaced whole, with a backup, true numbers, never a NaN over something good."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

torch = pytest.importorskip("torch")

import practice_rig  # noqa: E402  # torch is optional, see importorskip
from practice_rig import NAME, both_kinds, same_bits, weights  # noqa: E402
from training_steps import FULL, folder_of, main_file  # noqa: E402

from lib_lrsched.practice import files as pt_files  # noqa: E402
from lib_lrsched.practice import hypernetwork, images, previews, sd_hijack, shared, textual_inversion  # noqa: E402
from lib_lrsched.snapshot import snapshot  # noqa: E402
from lib_lrsched.storage import model_files  # noqa: E402


def copies(ground: Any, kind: str) -> dict[str, int]:
    """The periodic copies by name, with the updates that they hold."""
    (folder,) = ground.log.glob(f"*/{NAME}/{kind}s")
    return {path.name: pt_files.load_pt(str(path))["step"] for path in sorted(folder.glob("*.pt"))}


def said(ground: Any) -> list[str]:
    return [message for _, message in ground.events()]


# Whole files ------------------------------------------------------------------------------


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    target = tmp_path / "a.pt"
    target.write_bytes(b"old")

    def save(name: str) -> None:
        Path(name).write_bytes(b"half of the n")
        assert target.read_bytes() == b"old"
        raise FULL

    with pytest.raises(OSError, match="No space"):
        model_files.save_whole(str(target), save, backup=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.pt": b"old"}


def test_the_last_one_is_kept_with_its_optimizer(tmp_path):
    target = tmp_path / "a.pt"
    for version in (b"1", b"2", b"3"):

        def save(name: str, version: bytes = version) -> None:
            Path(name).write_bytes(version)
            Path(f"{name}.optim").write_bytes(b"o" + version)

        model_files.save_whole(str(target), save, backup=True)
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found == {"a.pt": b"3", "a.pt.optim": b"o3", "a.pt.bak": b"2", "a.pt.optim.bak": b"o2"}


def test_an_optimizer_state_of_other_weights_does_not_stay_beside_them(tmp_path):
    """The host pairs the two by a checksum of 16 bits, which most small updates leave as it was."""
    target = tmp_path / "a.pt"
    (tmp_path / "a.pt.optim").write_bytes(b"of older weights")
    model_files.save_whole(str(target), lambda name: Path(name).write_bytes(b"new"), backup=True)
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found == {"a.pt": b"new", "a.pt.optim.bak": b"of older weights"}


@both_kinds
def test_training_again_keeps_the_last_file(ground, kind):
    ground.install()
    first = weights(ground.train(kind, "0.01", 3))
    ground.train(kind, "0.01", 6)
    kept = pt_files.load_pt(f"{main_file(kind)}.bak")
    assert kept["step"] == 3
    if kind == "embedding":
        assert same_bits([kept["string_to_param"]["*"].detach()], first)


@both_kinds
def test_the_host_lists_no_backup(ground, kind):
    ground.install()
    ground.train(kind, "0.01", 3)
    ground.train(kind, "0.01", 6)
    sd_hijack.model_hijack.embedding_db.load_textual_inversion_embeddings(force_reload=True)
    shared.reload_hypernetworks()
    found = sd_hijack.model_hijack.embedding_db.word_embeddings if kind == "embedding" else shared.hypernetworks
    assert list(found) == [NAME]


def test_the_optimizer_state_of_a_hypernetwork_is_one_that_the_host_accepts(ground):
    """The host writes the hash of the file that it loaded, and later rejects its own state."""
    shared.opts.save_optimizer_state = True
    ground.install()
    ground.train("hypernetwork", "0.01", 3)
    loaded = hypernetwork.Hypernetwork()
    loaded.load(str(main_file("hypernetwork")))
    assert loaded.optimizer_state_dict is not None
    assert loaded.optimizer_state_dict["state"][0]["step"] == 3


def test_an_optimizer_state_of_other_weights_is_not_taken_up(ground, capsys):
    """Rates so small that the host's checksum of 16 bits stays what it was: it would take the state for this file's."""
    shared.opts.save_optimizer_state = True
    ground.install(autosave_every=0, autosave_minutes=0.0)
    ground.train("embedding", "1e-7", 3)
    kept = main_file("embedding").read_bytes()
    checksum = sd_hijack.model_hijack.embedding_db.word_embeddings[NAME].checksum()
    ground.train("embedding", "1e-7", 6)
    main_file("embedding").write_bytes(kept)
    sd_hijack.model_hijack.embedding_db.load_textual_inversion_embeddings(force_reload=True)
    older = sd_hijack.model_hijack.embedding_db.word_embeddings[NAME]
    assert (older.checksum(), older.step) == (checksum, 3)
    steps = []
    original = torch.optim.AdamW.step

    def step(self: Any, *args: Any) -> Any:
        answer = original(self, *args)
        steps.append([int(state["step"]) for state in self.state.values()])
        return answer

    torch.optim.AdamW.step = step
    try:
        ground.train("embedding", "1e-7", 5)
    finally:
        torch.optim.AdamW.step = original
    assert steps[0] == [1]
    assert f"the optimizer's state in {NAME}.pt.optim belongs to other weights: it starts over" in said(ground)


# Copies -----------------------------------------------------------------------------------


@both_kinds
def test_a_copy_holds_the_updates_that_its_name_says(ground, kind):
    ground.install()
    ground.train(kind, "0.01", 9, copies_every=3)
    assert copies(ground, kind) == {f"{NAME}-3.pt": 3, f"{NAME}-6.pt": 6, f"{NAME}-9.pt": 9}


@both_kinds
def test_a_copy_whose_last_update_never_came_gets_its_true_number(ground, kind, monkeypatch):
    ground.install()
    original = textual_inversion.write_loss

    def write_loss(log_directory: Any, filename: Any, step: int, epoch_len: int, values: Any) -> Any:
        shared.state.interrupted = shared.state.interrupted or step == 5
        return original(log_directory, filename, step, epoch_len, values)

    with monkeypatch.context() as patch:
        patch.setattr(textual_inversion, "write_loss", write_loss)
        assert ground.train(kind, "0.01", 9, copies_every=3).step == 5
    assert copies(ground, kind) == {f"{NAME}-3.pt": 3, f"{NAME}-5.pt": 5}
    assert f"the last copy holds 5 updates and is named {NAME}-5.pt" in said(ground)


@both_kinds
def test_copies_carry_the_optimizers_state_of_the_same_update(ground, kind):
    shared.opts.save_optimizer_state = True
    ground.install()
    ground.train(kind, "0.01", 4, copies_every=4)
    (path,) = ground.log.glob(f"*/{NAME}/{kind}s/*.optim")
    assert pt_files.load_pt(str(path))["optimizer_state_dict"]["state"][0]["step"] == 4


@both_kinds
def test_a_full_disk_stops_copies_and_not_the_training(ground, kind, monkeypatch):
    ground.install()
    original = pt_files.save_pt

    def full(data: Any, filename: str) -> Any:
        if Path(filename).parent != folder_of(kind):
            Path(filename).write_bytes(b"half")
            raise FULL
        return original(data, filename)

    monkeypatch.setattr(pt_files, "save_pt", full)
    trained = ground.train(kind, "0.01", 9, copies_every=3)
    assert (trained.step, ground.run().state) == (9, "finished")
    assert copies(ground, kind) == {}
    about = [message for message in said(ground) if "cannot be saved, training continues" in message]
    assert about[0] == f"the copy {NAME}-3.pt cannot be saved, training continues: [Errno 28] No space left on device"
    assert pt_files.load_pt(str(main_file(kind)))["step"] == 9


@both_kinds
def test_a_full_disk_stops_the_loss_file_and_not_the_training(ground, kind, monkeypatch):
    """As a fault of the host's own write_loss, which ours stands in front of."""
    shared.opts.training_write_csv_every = 1

    def full(*_: Any) -> None:
        raise FULL

    monkeypatch.setattr(textual_inversion, "write_loss", full)
    ground.install()
    assert ground.train(kind, "0.01", 5).step == 5
    about = [message for message in said(ground) if "training continues" in message]
    assert len(about) == 1
    assert "_loss.csv, training continues: [Errno 28] No space left on device" in about[0]


@both_kinds
def test_a_full_disk_stops_the_snapshots_and_not_the_training(ground, kind, monkeypatch):
    ground.install(autosave_every=2)

    def full(*_: Any, **__: Any) -> None:
        raise FULL

    monkeypatch.setattr(snapshot, "save_file", full)
    assert ground.train(kind, "0.01", 9).step == 9
    about = [message for message in said(ground) if "the snapshot cannot be saved" in message]
    assert about == ["the snapshot cannot be saved; training continues: No space left on device"]
    assert not list(ground.state_dir.glob("runs/*/bundles/*"))


@both_kinds
def test_a_full_disk_stops_the_previews_and_not_the_training(ground, kind, monkeypatch):
    """As a fault of the host's own save_image, which ours stands in front of."""
    tried = []

    def full(_image: Any, _path: Any, *_: Any, forced_filename: str, **__: Any) -> None:
        tried.append(forced_filename)
        raise FULL

    monkeypatch.setattr(images, "save_image", full)
    ground.install()
    assert ground.train(kind, "0.01", 9, previews_every=3).step == 9
    assert ground.run().state == "finished"
    assert tried == [f"{NAME}-{step}" for step in (3, 6, 9)]
    about = [message for message in said(ground) if "preview" in message]
    assert about == ["preview images cannot be saved, training continues: No space left on device"]


def test_a_full_disk_stops_images_with_the_embedding_in_them_and_not_the_training(ground, monkeypatch):
    """The host saves those with the image's own method."""
    save, tried = Image.Image.save, []

    def full(self: Any, where: Any, *given: Any, **how: Any) -> Any:
        if "embeddings" not in str(where):
            return save(self, where, *given, **how)
        tried.append(where)
        raise FULL

    monkeypatch.setattr(Image.Image, "save", full)
    ground.install()
    trained = ground.train("embedding", "0.01", 9, previews_every=3, copies_every=3, image_with_embedding=True, preview_steps=1)
    assert trained.step == 9
    assert len(tried) == 3
    about = [message for message in said(ground) if "images with" in message]
    assert about == ["images with the embedding in them cannot be saved, training continues: No space left on device"]


def test_error_an_image_outside_a_training_cannot_be_saved(ground, monkeypatch):
    def full(*_: Any, **__: Any) -> None:
        raise FULL

    monkeypatch.setattr(images, "save_image", full)
    ground.install()
    ground.train("embedding", "0.01", 2)
    with pytest.raises(OSError, match="No space left"):
        images.save_image(Image.new("RGB", (2, 2)), ".", "", forced_filename="x")


@both_kinds
def test_a_disk_that_is_full_at_the_end_loses_nothing_that_was_saved_or_is_in_memory(ground, kind, monkeypatch):
    ground.install(autosave_every=3)
    ground.create(kind, NAME)
    before = main_file(kind).read_bytes()
    save_pt, save_file = pt_files.save_pt, snapshot.save_file
    written = []

    def full_pt(*_: Any) -> None:
        raise FULL

    def full_after_three(*given: Any, **options: Any) -> Any:
        written.append(1)
        if len(written) > 3:  # the data set, and the states after 3 and 6 updates
            raise FULL
        return save_file(*given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(pt_files, "save_pt", full_pt)
        patch.setattr(snapshot, "save_file", full_after_three)
        if kind == "embedding":
            ended = weights(ground.train(kind, "0.01", 11))
        else:
            with pytest.raises(OSError, match="No space left"):
                ground.train(kind, "0.01", 11)
    assert main_file(kind).read_bytes() == before
    (run,) = ground.runs()
    mend = "Make room, then train again with the same max steps: the result is saved, or the run resumes from its snapshot"
    assert (run.state, run.message) == ("failed", f"{NAME}.pt cannot be saved: No space left on device. {mend}")
    pt_files.save_pt = save_pt
    ground.train(kind, "0.01", 11)
    assert pt_files.load_pt(str(main_file(kind)))["step"] == 11
    (run,) = ground.runs()
    assert (run.state, run.step, run.message) == ("finished", 11, "")
    if kind == "embedding":
        assert same_bits(weights(sd_hijack.model_hijack.embedding_db.word_embeddings[NAME]), ended)
        sd_hijack.model_hijack.embedding_db.load_textual_inversion_embeddings(force_reload=True)
        assert same_bits(weights(sd_hijack.model_hijack.embedding_db.word_embeddings[NAME]), ended)
    else:
        assert [leg.start_step for leg in run.legs] == [0, 6], "from the newest state that could be saved"


# The final save ---------------------------------------------------------------------------


@both_kinds
def test_the_final_save_comes_also_where_the_loop_raised(ground, kind, monkeypatch, capsys):
    ground.install()

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no image today")

    with monkeypatch.context() as patch:
        patch.setattr(previews, "draw", broken)
        trained = ground.train(kind, "0.01", 9, previews_every=6, preview_steps=1)
    assert trained.step == 5
    assert pt_files.load_pt(str(main_file(kind)))["step"] == 5
    assert ground.run().state == "failed"
    if kind == "embedding":
        assert ground.run().message.startswith("the loop ended with an exception, and what was trained is saved")
    expected = ground.train(kind, "0.01", 9)
    assert expected.step == 9


@both_kinds
def test_weights_that_are_not_finite_never_take_the_place_of_good_ones(ground, kind, monkeypatch):
    """Without the guard: the last good state in memory is what is saved."""
    ground.install(guard=False, autosave_every=2)
    ground.train(kind, "0.01", 4)
    poison(monkeypatch, after=3)
    trained = ground.train(kind, "0.01", 12)
    assert all(torch.isfinite(weight).all() for weight in weights(trained))
    assert trained.step == 6
    assert pt_files.load_pt(str(main_file(kind)))["step"] == 6
    message = "the result contains NaN or infinity: the last good state, after update 6, is saved instead"
    assert message in said(ground)
    run = ground.run()
    assert (run.state, run.step, run.message) == ("failed", 6, message)
    _, kept, _ = snapshot.Folder(ground.runtime.store.snapshots_path(run.id), run.id).newest()
    assert kept is not None
    assert kept.facts.step == 6
    assert same_bits(kept.trained, weights(trained)), "the run resumes with what the file holds"


@both_kinds
def test_no_copy_of_weights_that_are_not_finite(ground, kind, monkeypatch):
    ground.install(guard=False)
    poison(monkeypatch, after=4)
    ground.train(kind, "0.01", 9, copies_every=3)
    assert list(copies(ground, kind)) == [f"{NAME}-3.pt"]


def poison(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """From then on every loss is NaN, and so are the gradients and soon the weights."""
    model = type(practice_rig.small_model())
    forward, calls = model.forward, []

    def poisoned(self: Any, *args: Any) -> Any:
        calls.append(self)
        loss, named = forward(self, *args)
        return (loss * float("nan") if len(calls) > after else loss), named

    monkeypatch.setattr(model, "forward", poisoned)
