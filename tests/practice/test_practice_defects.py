"""The defects that the practice host keeps from the host, so that the hooks mend them there too."""
from __future__ import annotations

from typing import Any

import pytest
import torch
from host_steps import ADAMW, csv_rows, dated, made, names, train
from practice_rig import both_kinds, weights

from lib_lrsched.practice import (
    dataset,
    files,
    hypernetwork,
    loop,
    sd_hijack,
    sd_hijack_checkpoint,
    service,
    shared,
    textual_inversion,
)
from lib_lrsched.practice.learn_schedule import LearnRateScheduler

WIDTH = 64  # of a token vector and of the context


def test_the_rate_is_written_only_where_a_phase_begins():
    rates = []
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
    scheduler = LearnRateScheduler("0.1:2, 0.2", 4, verbose=False)
    for step in range(4):
        scheduler.apply(optimizer, step)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == [0.5, 0.5, 0.2, 0.2]


def _record_rates(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The rate of every update of an embedding run."""
    rates: list[float] = []

    class Recording(ADAMW):
        def step(self, *args, **kwargs):
            rates.append(self.param_groups[0]["lr"])
            return super().step(*args, **kwargs)

    monkeypatch.setattr(torch.optim, "AdamW", Recording)
    monkeypatch.setitem(hypernetwork.optimizer_dict, "AdamW", Recording)
    return rates


@both_kinds
def test_a_resumed_run_trains_at_the_saved_rate_while_the_csv_shows_the_new_one(host, monkeypatch, kind):
    shared.opts.save_optimizer_state = True
    train(kind, 2, lr="0.01")
    sd_hijack.model_hijack.embedding_db.load_textual_inversion_embeddings(force_reload=True)
    rates = _record_rates(monkeypatch)
    train(kind, 4, lr="0.0001")
    assert rates == [0.01, 0.01]
    assert [row["learn_rate"] for row in csv_rows(host)] == ["0.01", "0.01", "0.0001", "0.0001"]


def test_a_resumed_run_without_saved_state_trains_at_the_new_rate(host, monkeypatch):
    train("embedding", 2, lr="0.01")
    rates = _record_rates(monkeypatch)
    train("embedding", 4, lr="0.0001")
    assert rates == [0.0001, 0.0001]


def test_gradients_are_clipped_while_they_are_scaled(host, monkeypatch):
    shared.opts.practice_grad_scaler = True
    seen = []
    clip = torch.nn.utils.clip_grad_value_

    def looking(parameters, limit):
        before = parameters.grad.abs().max().item()
        clip(parameters, limit)
        seen.append((before, parameters.grad.abs().max().item()))

    monkeypatch.setattr(torch.nn.utils, "clip_grad_value_", looking)
    train("embedding", 1, clip_mode="value", clip="0.5")
    ((scaled, clipped),) = seen
    assert scaled > 1.0
    assert clipped == pytest.approx(0.5)


def test_a_grad_scaler_that_is_on_gives_nearly_the_same_embedding(host):
    vecs = []
    for enabled in (False, True):
        shared.opts.practice_grad_scaler = enabled
        service.create("embedding", "mine", overwrite=True)
        vecs.append(train("embedding", 1, seed=3).vec.detach())
    torch.testing.assert_close(vecs[0], vecs[1])


def test_the_step_counts_an_update_that_the_grad_scaler_skipped(host, monkeypatch):
    shared.opts.practice_grad_scaler = True
    monkeypatch.setattr(loop, "model_loss", lambda batch, context, use_weight: (context.sum() * float("inf")))
    before = weights(made("embedding"))
    trained = train("embedding", 1)
    assert trained.step == 1
    assert torch.equal(before[0], trained.vec)


def test_the_copy_named_4_holds_3_updates(host):
    train("embedding", 4, copies_every=2)
    assert names(dated(host) / "embeddings") == ["mine-2.pt", "mine-4.pt"]
    assert files.load_pt(dated(host) / "embeddings" / "mine-4.pt")["step"] == 3


def test_a_phase_that_ends_at_max_steps_with_another_after_it_gives_one_update_too_many(host):
    assert train("embedding", 3, lr="0.01:3, 0.001").step == 4


def test_a_schedule_that_ends_early_ends_the_run(host):
    assert train("embedding", 9, lr="0.01:2").step == 2


@both_kinds
def test_error_no_dated_folder_with_both_intervals_at_zero(host, kind):
    with pytest.raises(FileNotFoundError, match="settings-"):
        train(kind, 1, copies_every=0)


@both_kinds
def test_both_intervals_at_zero_train_when_the_settings_are_not_saved(host, kind):
    shared.opts.save_training_settings_to_txt = False
    shared.opts.training_write_csv_every = 0
    assert train(kind, 2, copies_every=0).step == 2
    assert not host.log.exists() or names(host.log) == []


def test_error_in_an_embedding_run_is_printed_and_skips_the_final_save_but_keeps_the_step(host, monkeypatch, capsys):
    monkeypatch.setattr(textual_inversion, "write_loss", _failing)
    trained = train("embedding", 5)
    printed = capsys.readouterr().err
    assert printed.startswith("*** Error training embedding\nTraceback")
    assert "RuntimeError: the disk is full" in printed
    assert trained.step == 1
    assert files.load_pt(host.root / "embeddings" / "mine.pt")["step"] == 0
    assert not sd_hijack_checkpoint.is_active()


def test_error_in_a_hypernetwork_run_is_printed_and_what_there_is_gets_saved(host, monkeypatch, capsys):
    monkeypatch.setattr(textual_inversion, "write_loss", _failing)
    train("hypernetwork", 5)
    assert capsys.readouterr().err.startswith("*** Error training hypernetwork\nTraceback")
    assert files.load_pt(host.root / "hypernetworks" / "mine.pt")["step"] == 1
    assert not sd_hijack_checkpoint.is_active()


def _failing(*_: Any) -> None:
    raise RuntimeError("the disk is full")


def test_error_a_safetensors_embedding_without_step_fails_at_the_first_update(host, capsys):
    from safetensors.torch import save_file

    save_file({"emb_params": torch.zeros(1, WIDTH)}, host.root / "embeddings" / "mine.safetensors")
    service.embeddings()
    trained = train("embedding", 5)
    assert trained.step is None
    assert "TypeError" in capsys.readouterr().err


def test_the_unets_weights_gather_gradients_that_nobody_clears(host):
    train("embedding", 1)
    first = host.model.model.diffusion_model.conv_out.weight.grad.clone()
    train("embedding", 2)
    assert not torch.equal(first, host.model.model.diffusion_model.conv_out.weight.grad)


def test_one_batch_too_many_is_fetched_when_micro_batches_are_left_over(host, monkeypatch):
    fetched = []
    batch_class = dataset.Batch
    monkeypatch.setattr(dataset, "Batch", lambda entries: (fetched.append(len(entries)), batch_class(entries))[1])
    train("embedding", 2, accumulate=2)
    assert len(fetched) == 6  # 2 x 2 micro-batches of the epoch, the fifth image, and the one that ends the run


def test_an_embedding_keeps_the_name_of_its_last_copy_until_it_is_saved_for_good(host, monkeypatch, capsys):
    write_loss = textual_inversion.write_loss
    monkeypatch.setattr(textual_inversion, "write_loss", lambda *a: _failing() if a[2] == 2 else write_loss(*a))
    assert train("embedding", 5, copies_every=2).name == "mine-2"
    assert "the disk is full" in capsys.readouterr().err
