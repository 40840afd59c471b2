"""The practice host's data set: captions, caps, batches and their random draws."""
from __future__ import annotations

from typing import Any

import pytest
import torch
from host_steps import train
from PIL import Image
from practice_rig import SIDE, both_kinds, draw_images

from lib_lrsched.practice import dataset, loop, service, shared

WIDTH = 64  # of a token vector and of the context


def _data_set(host: Any, **chosen: Any) -> dataset.PersonalizedBase:
    template = host.root / "template.txt"
    template.write_text("a [name] and [filewords]\n")
    defaults = {
        "data_root": str(host.data), "width": SIDE, "height": SIDE, "repeats": 1, "placeholder_token": "mine", "model": host.model,
        "cond_model": host.model.cond_stage_model, "device": shared.device, "template_file": str(template),
    }  # fmt: skip
    return dataset.PersonalizedBase(**{**defaults, **chosen})


@pytest.mark.parametrize(
    ("asked", "got"), [((1, 1), (1, 1)), ((2, 2), (2, 2)), ((2, 9), (2, 2)), ((99, 99), (5, 1)), ((3, 2), (3, 1))]
)
def test_batch_and_accumulation_are_capped(host, asked, got):
    ds = _data_set(host, batch_size=asked[0], gradient_step=asked[1])
    assert (ds.batch_size, ds.gradient_step) == got


@pytest.mark.parametrize(("batch", "accumulate", "counts"), [(1, 2, (2, 4)), (2, 2, (1, 2)), (1, 5, (1, 5))])
def test_epochs_leave_out_the_micro_batches_that_fill_no_update(host, batch, accumulate, counts):
    epochs = loop.Epochs.of(_data_set(host, batch_size=batch, gradient_step=accumulate))
    assert (epochs.steps, epochs.micro_steps) == counts


def test_files_that_do_not_decode_are_skipped(host):
    (host.data / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (host.data / "notes.md").write_text("no image")
    (host.data / "folder.png").mkdir()
    assert len(_data_set(host)) == 5
    assert len(service.decodable_images(host.data)) == 5


def test_error_no_image_in_the_folder(host):
    for path in host.data.glob("*.png"):
        path.unlink()
    (host.data / "notes.txt").write_text("no image")
    with pytest.raises(AssertionError) as caught:
        _data_set(host)
    assert str(caught.value) == "No images have been found in the dataset."


def test_captions_come_from_the_file_beside_or_from_the_name(host):
    (host.data / "000 red thing.txt").write_text("blue, star")
    assert sorted(entry.cond_text for entry in _data_set(host).dataset) == ["a mine and blue, star"] + ["a mine and red thing"] * 4


def test_the_word_pattern_picks_words_from_the_name(host):
    shared.opts.dataset_filename_word_regex = r"[a-z]+"
    shared.opts.dataset_filename_join_string = "+"
    assert {entry.filename_text for entry in _data_set(host).dataset} == {"red+thing"}


def test_tags_are_dropped_anew_for_each_batch(host):
    (host.data / "000 red thing.txt").write_text("a,b,c,d,e,f")
    ds = _data_set(host, tag_drop_out=0.5)
    first = next(i for i, entry in enumerate(ds.dataset) if entry.filename_text.startswith("a,"))
    assert len({ds[first].cond_text for _ in range(10)}) > 1


def test_shuffled_tags_are_all_there(host):
    text = _data_set(host, shuffle_tags=True).create_text("a,b,c")
    assert sorted(text.removeprefix("a mine and ").split(",")) == ["a", "b", "c"]


def test_batches_hold_images_of_one_size(host):
    draw_images(host.data, 4, side=16, prefix="large ", captions=False)
    ds = _data_set(host, varsize=True, batch_size=2)
    batches = list(loop.data_loader(ds))
    assert len(batches) == 5  # one more than the length says, as in the host: the loop never gets to it
    assert loop.Epochs.of(ds).micro_steps == 4
    assert sorted(len(group) for group in ds.groups) == [4, 5]
    assert {batch.latent_sample.shape[1:] for batch in batches} == {(12, 4, 4), (12, 8, 8)}


def test_the_groups_are_shuffled_in_place(host):
    ds = _data_set(host)
    before = list(ds.groups[0])
    for _ in range(3):
        list(loop.data_loader(ds))
    assert ds.groups[0] != before
    assert sorted(ds.groups[0]) == before


def test_contexts_are_encoded_once_for_hypernetworks_and_left_out_for_embeddings(host):
    assert _data_set(host).dataset[0].cond is None
    cond = _data_set(host, include_cond=True).dataset[0].cond
    assert cond.shape[1:] == (WIDTH,)
    assert not cond.requires_grad
    assert _data_set(host, include_cond=True, shuffle_tags=True).dataset[0].cond is None


def test_alpha_weighs_the_loss_with_mean_one(host):
    image = Image.new("RGBA", (SIDE, SIDE), (255, 0, 0, 0))
    image.putpixel((0, 0), (255, 0, 0, 255))
    image.putpixel((5, 5), (255, 0, 0, 128))
    for path in host.data.iterdir():
        path.unlink()
    image.save(host.data / "one.png")
    weight = _data_set(host, use_weight=True).dataset[0].weight
    assert weight.shape == (12, SIDE // 2, SIDE // 2)
    assert weight.min() == 0
    assert weight.mean().item() == pytest.approx(1.0)


def test_images_without_alpha_weigh_one_everywhere(host):
    batch = next(iter(loop.data_loader(_data_set(host, use_weight=True, batch_size=3))))
    assert torch.equal(batch.weight, torch.ones(3, 12, SIDE // 2, SIDE // 2))


@both_kinds
def test_weighted_runs_use_the_weighted_loss(host, monkeypatch, kind):
    called = []
    weighted = host.model.weighted_forward
    monkeypatch.setattr(host.model, "weighted_forward", lambda x, c, w: (called.append(w.shape), weighted(x, c, w))[1])
    train(kind, 1, use_weight=True, batch=2)
    assert called == [(2, 12, SIDE // 2, SIDE // 2)]


def test_a_loader_draws_once_from_torch_for_each_epoch(host):
    ds = _data_set(host)
    torch.manual_seed(3)
    expected = torch.Generator().manual_seed(3)
    list(loop.data_loader(ds))
    torch.empty((), dtype=torch.int64).random_(generator=expected)
    assert torch.equal(torch.get_rng_state(), expected.get_state())


def test_latents_drawn_at_random_differ_from_epoch_to_epoch(host):
    ds = _data_set(host, latent_sampling_method="random", batch_size=5)
    first, second = ([batch.latent_sample.sum().item() for batch in loop.data_loader(ds)] for _ in range(2))
    assert first != second


def test_deterministic_latents_draw_nothing(host):
    torch.manual_seed(3)
    state = torch.get_rng_state()
    _data_set(host, latent_sampling_method="deterministic")
    assert torch.equal(torch.get_rng_state(), state)
