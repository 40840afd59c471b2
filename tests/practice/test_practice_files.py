"""The practice host's files, the check of its inputs, and the service for front ends."""
from __future__ import annotations

import contextlib
import errno
import inspect
import os
import pickle
import random
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from host_steps import dated, train
from practice_rig import both_kinds

from lib_lrsched.practice import (
    files,
    hypernetwork,
    initialize,
    new_files,
    sd_hijack,
    service,
    shared,
    textual_inversion,
    train_inputs,
)
from lib_lrsched.practice.hypernetwork_layers import Hypernetwork, HypernetworkModule
from lib_lrsched.practice.learn_schedule import LearnRateScheduler
from lib_lrsched.storage import atomic_files

WIDTH = 64  # of a token vector and of the context
ALLOWED_BY_1_7 = re.compile(r"^([^/]+)/((data/\d+)|version|(data\.pkl))$")  # the members that modules/safe.py lets pass


# Files


def test_saved_files_have_only_members_that_every_webui_accepts(host):
    shared.opts.save_optimizer_state = True
    for kind in service.KINDS:
        train(kind, 2, copies_every=2)
    saved = [path for path in host.root.rglob("*") if path.suffix in (".pt", ".optim")]
    assert len(saved) == 8  # a copy and the final file of each kind, each with its .optim
    for path in saved:
        assert all(ALLOWED_BY_1_7.match(name) for name in files.member_names(path))
        assert torch.load(path, weights_only=True)


def test_an_embedding_file_has_the_hosts_fields(host):
    trained = train("embedding", 1)
    saved = files.load_pt(host.root / "embeddings" / "mine.pt")
    assert list(saved) == ["string_to_token", "string_to_param", "name", "step", "sd_checkpoint", "sd_checkpoint_name"]
    assert saved["string_to_token"] == {"*": 265}
    assert torch.equal(saved["string_to_param"]["*"], trained.vec)
    assert (saved["name"], saved["step"], saved["sd_checkpoint_name"]) == ("mine", 1, "practice")


def test_the_optimizer_state_lies_beside_with_the_checksum(host):
    shared.opts.save_optimizer_state = True
    trained = train("embedding", 1)
    saved = files.load_pt(host.root / "embeddings" / "mine.pt.optim")
    assert saved["hash"] == trained.checksum()
    assert saved["optimizer_state_dict"]["param_groups"][0]["lr"] == 0.01


def test_the_checksum_is_the_hosts():
    # (1 * 997) * 281 ^ (-2 * 997), the last 16 bits; hundredths, cut towards zero.
    assert sd_hijack.Embedding(torch.tensor([[0.0199, -0.02]]), "x").checksum() == f"{(997 * 281 ^ -2 * 997) & 0xFFFF:04x}"


def test_a_copy_of_a_hypernetwork_rejects_its_own_optimizer_state_and_the_final_file_accepts_it(host):
    shared.opts.save_optimizer_state = True
    train("hypernetwork", 2, copies_every=2)
    copied, final = Hypernetwork(), Hypernetwork()
    copied.load(str(dated(host) / "hypernetworks" / "mine-2.pt"))
    final.load(str(host.root / "hypernetworks" / "mine.pt"))
    assert (dated(host) / "hypernetworks" / "mine-2.pt.optim").exists()
    assert copied.optimizer_state_dict is None
    assert final.optimizer_state_dict is not None


def test_a_hypernetwork_is_the_same_after_saving_and_loading(host):
    path = service.create("hypernetwork", "mine", layer_structure="1, 2, 1", activation="relu", layer_norm=True, dropout=True)
    one, two = Hypernetwork(), Hypernetwork()
    one.load(str(path))
    one.save(str(host.root / "again.pt"))
    two.load(str(host.root / "again.pt"))
    assert list(two.layers) == [WIDTH]
    assert all(torch.equal(a, b) for a, b in zip(one.weights(), two.weights(), strict=True))
    assert (two.layer_structure, two.activation_func, two.dropout_structure) == ([1.0, 2.0, 1.0], "relu", [0.0, 0.3, 0.0])


def test_a_fresh_hypernetwork_hardly_changes_its_input():
    torch.manual_seed(0)
    module = HypernetworkModule(WIDTH, layer_structure=[1, 2, 1], activation_func="linear").eval()
    x = torch.randn(2, 5, WIDTH)
    assert (module(x) - x).abs().max() < 0.1


def test_error_layer_structure_must_start_with_one():
    with pytest.raises(AssertionError) as caught:
        HypernetworkModule(8, layer_structure=[2, 1])
    assert str(caught.value) == "a layer structure starts with 1, not 2"


def test_error_unknown_weight_init():
    with pytest.raises(KeyError) as caught:
        HypernetworkModule(8, layer_structure=[1, 1], weight_init="Zeros")
    known = "['KaimingNormal', 'KaimingUniform', 'Normal', 'XavierNormal', 'XavierUniform']"
    assert caught.value.args == (f"no weight initialisation 'Zeros' for a hypernetwork; take one of {known}",)


def test_an_embedding_may_be_safetensors(host):
    from safetensors.torch import save_file

    save_file({"emb_params": torch.ones(2, WIDTH)}, host.root / "embeddings" / "soft.safetensors")
    assert service.embeddings() == ["soft"]
    embedding = sd_hijack.model_hijack.embedding_db.word_embeddings["soft"]
    assert (embedding.vectors, embedding.shape, embedding.step) == (2, WIDTH, None)


def test_an_embedding_of_another_width_is_skipped(host):
    sd_hijack.Embedding(torch.zeros(1, 5), "wide").save(str(host.root / "embeddings" / "wide.pt"))
    assert service.embeddings() == []
    assert list(sd_hijack.model_hijack.embedding_db.skipped_embeddings) == ["wide"]


def test_error_a_file_with_code_in_it_is_not_loaded(host, capsys):
    torch.save({"string_to_param": {"*": SimpleNamespace()}}, host.root / "embeddings" / "bad.pt")
    assert service.embeddings() == []
    assert "*** Error loading embedding bad.pt" in capsys.readouterr().err


def test_error_a_damaged_file_says_so(tmp_path):
    (tmp_path / "x.pt").write_bytes(b"not a zip file")
    with pytest.raises(ValueError, match="cannot be read") as caught:
        files.load_pt(tmp_path / "x.pt")
    assert str(caught.value) == (
        f"{tmp_path}/x.pt cannot be read: expected a .pt file with tensors, numbers and text only; "
        "it is damaged or holds code, put an intact copy in its place"
    )


def damaged_in_many_ways(sound: bytes, number: int) -> Iterator[bytes]:
    """Cut off, overwritten, a flipped bit, noise, the letters of pickles, and sound files of something else."""
    draw = random.Random(number)
    for _ in range(number // 8):
        at = draw.randrange(len(sound) - 60)
        yield sound[:at]
        yield sound[:at] + bytes(60) + sound[at + 60 :]
        yield sound[:at] + bytes([sound[at] ^ 1 << draw.randrange(8)]) + sound[at + 1 :]
        yield draw.randbytes(draw.randrange(1, 60))
        yield bytes(draw.choices(b"abc(.\x80\x02]}qcXK\n", k=draw.randrange(1, 40)))
        yield bytes(draw.randrange(2000))
        yield pickle.dumps(draw.choice([None, 1, [1], {"a": 1}, {"string_to_param": 3}, b"x"]), protocol=2)
        yield pickle.dumps({1: 2}, protocol=draw.randrange(6))[: draw.randrange(9)]


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_error_however_a_file_is_damaged_the_others_are_known(host, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(shared.opts, "practice_say", said.append)
    service.create("embedding", "sound")
    file = service.create("embedding", "mine")
    database = sd_hijack.model_hijack.embedding_db
    for data in [b"abc", *damaged_in_many_ways(file.read_bytes(), 200)]:
        file.write_bytes(data)
        said.clear()
        database.load_textual_inversion_embeddings(force_reload=True)
        assert "sound" in database.word_embeddings
        is_known = "mine" in database.word_embeddings
        assert is_known or not data or len(said) == 1
        with contextlib.nullcontext() if is_known else pytest.raises(ValueError, match=f"{file} cannot be read as an embedding"):
            new_files.check_readable("embedding", file)


def test_a_change_in_the_folder_reloads_every_embedding_as_a_new_object(host):
    service.create("embedding", "mine")
    database = sd_hijack.model_hijack.embedding_db
    before = database.word_embeddings["mine"]
    database.load_textual_inversion_embeddings()
    assert database.word_embeddings["mine"] is before
    database.load_textual_inversion_embeddings(force_reload=True)
    assert database.word_embeddings["mine"] is not before


def test_an_embedding_starts_as_its_words_or_as_zeros(host):
    encoder = host.model.cond_stage_model
    service.create("embedding", "red", vectors=3, init_text="red circle")
    service.create("embedding", "none", vectors=2, init_text="")
    known = sd_hijack.model_hijack.embedding_db.word_embeddings
    assert torch.equal(known["red"].vec, encoder.encode_init_text("red circle", 3))
    assert torch.equal(known["none"].vec, torch.zeros(2, WIDTH))


def test_error_the_name_is_taken(host):
    path = service.create("embedding", "mine")
    with pytest.raises(AssertionError) as caught:
        service.create("embedding", "mine")
    assert str(caught.value) == f"file {path} is there already; choose another name"


# The check of the inputs


INPUTS = {
    "model_name": "mine", "learn_rate": "0.01", "batch_size": 1, "gradient_step": 1, "data_root": "", "template_file": None,
    "template_filename": "subject.txt", "steps": 1, "save_model_every": 0, "create_image_every": 0, "log_directory": "",
}  # fmt: skip


def test_good_inputs_pass(host):
    textual_inversion.validate_train_inputs(**_inputs(host))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"model_name": ""}, "choose the embedding to train"),
        ({"learn_rate": ""}, "the learning rate is missing, or 0"),
        ({"batch_size": 1.5}, "the batch size: expected a whole number, got 1.5"),
        ({"gradient_step": 0}, "gradient accumulation: expected 1 or more, got 0"),
        ({"data_root": ""}, "the data set's folder is missing"),
        ({"data_root": "/no/such/folder"}, "there is no data set folder /no/such/folder"),
        ({"template_filename": ""}, "choose a prompt template"),
        ({"template_file": None}, "there is no prompt template subject.txt"),
        ({"steps": 0}, "max steps: expected 1 or more, got 0"),
        ({"save_model_every": -1}, "saving the embedding every so many steps: expected 0 or more, got -1"),
        ({"create_image_every": "5"}, "an image every so many steps: expected a whole number, got '5'"),
        ({"create_image_every": 5}, "the log folder is missing"),
    ],
)
def test_error_inputs(host, wrong, message):
    with pytest.raises(AssertionError) as caught:
        textual_inversion.validate_train_inputs(**{**_inputs(host), **wrong})
    assert str(caught.value) == message


def _inputs(host: Any) -> dict[str, Any]:
    template = train_inputs.textual_inversion_templates["subject.txt"]
    return {**INPUTS, "data_root": str(host.data), "template_file": template}


def test_error_schedule_text():
    with pytest.raises(ValueError, match="Invalid") as caught:
        LearnRateScheduler("0.1:2", 10, 5)
    assert str(caught.value) == (
        "Invalid learning rate schedule: expected one rate, or rates with the steps where they end, "
        'such as "0.005:100, 1e-4:1000, 1e-5"; at least one has to end after the step the run starts from'
    )


def test_a_float_instead_of_a_text_is_an_attribute_error():
    with pytest.raises(AttributeError):
        LearnRateScheduler(0.005, 10)


# The service


def test_error_unknown_kind(host):
    with pytest.raises(ValueError, match="expected one of") as caught:
        service.train("lora", "mine", "0.1", 1)
    assert str(caught.value) == "expected one of embedding, hypernetwork, got 'lora'"


def test_error_sample_of_an_unknown_name(host):
    service.create("embedding", "mine")
    with pytest.raises(KeyError) as caught:
        service.sample_concept("yours")
    assert caught.value.args == ("no embedding and no hypernetwork 'yours'; there are ['mine']",)


@both_kinds
def test_samples_leave_the_generators_alone(host, kind):
    service.create(kind, "mine")
    states = random.getstate(), torch.get_rng_state()
    images = service.sample_concept("mine", n=2, seed=3)
    assert [image.size for image in images] == [(32, 32)] * 2
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])


def test_the_service_hands_every_parameter_to_the_host(host):
    for kind, function in (("embedding", textual_inversion.train_embedding), ("hypernetwork", hypernetwork.train_hypernetwork)):
        given = service.arguments(kind, "mine", "0.1", 5, service.Choices())
        assert set(given) == set(inspect.signature(function).parameters)


def test_one_thread_puts_the_number_back():
    before = torch.get_num_threads()
    with service.one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_setup_copies_templates_but_keeps_changed_ones(host):
    changed = host.root / "textual_inversion_templates" / "subject.txt"
    changed.write_text("my own [name]\n")
    initialize.setup(host.root, host.model)
    assert changed.read_text() == "my own [name]\n"
    assert "hypernetwork.txt" in train_inputs.textual_inversion_templates


def test_a_template_is_there_whole_or_not_at_all_and_an_empty_one_is_made_again(host, monkeypatch):
    template = host.root / "textual_inversion_templates" / "subject.txt"
    whole = template.read_bytes()
    template.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(atomic_files, "sync_file", lambda _: full_disk())
        with pytest.raises(OSError, match="No space left"):
            initialize.setup(host.root, host.model)
    assert not template.exists()
    template.write_bytes(b"")  # as a copy left it that a full disk broke off
    initialize.setup(host.root, host.model)
    assert template.read_bytes() == whole


def full_disk() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_error_a_failed_save_leaves_the_embedding_as_it_was(host):
    service.create("embedding", "mine")
    embedding = sd_hijack.model_hijack.embedding_db.word_embeddings["mine"]
    optimizer = torch.optim.SGD([embedding.vec], lr=0.1)
    with pytest.raises(FileNotFoundError):
        textual_inversion.save_embedding(embedding, optimizer, shared.select_checkpoint(), "other", str(host.root / "no" / "x.pt"))
    assert (embedding.name, embedding.sd_checkpoint) == ("mine", None)
