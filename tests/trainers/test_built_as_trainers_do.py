"""PlanLR as sd-scripts and OneTrainer make and step it, from the commands and tables of docs/trainers.md.

Neither is a package that could be installed here, so the calls follow their sources, which that page names.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.optim.lr_scheduler import LambdaLR, LRScheduler, SequentialLR  # noqa: E402
from trainers_page import TEXT, commands, run_code, tables  # noqa: E402

from lib_lrsched import plan  # noqa: E402

OWN_RATE = 1.0


def optimizer(*names: str) -> torch.optim.Optimizer:
    groups = [{"params": [torch.nn.Parameter(torch.ones(1))], **({"name": name} if name else {})} for name in names or ("",)]
    return torch.optim.AdamW(groups, lr=OWN_RATE)


def trained(scheduler: LRScheduler, updates: int) -> list[list[float]]:
    """The rates of the groups at each update."""
    held = []
    for _ in range(updates):
        held.append([group["lr"] for group in scheduler.optimizer.param_groups])
        for group in scheduler.optimizer.param_groups:
            group["params"][0].grad = torch.ones(1)
        scheduler.optimizer.step()
        scheduler.step()
    return held


def planned(*texts: str, total: int) -> list[list[float]]:
    return [list(rates) for rates in zip(*(plan(text, total_steps=total).values(range(total)).tolist() for text in texts))]


# sd-scripts -----------------------------------------------------------------------------------


def by_sd_scripts(words: list[str], optimizer: torch.optim.Optimizer) -> LRScheduler:
    """The scheduler of a command: each argument is a name and a Python literal, with one `=` between."""
    kind = words[words.index("--lr_scheduler_type") + 1]
    given = {}
    for word in words[words.index("--lr_scheduler_args") + 1:]:
        name, value = word.split("=")
        given[name] = ast.literal_eval(value)
    module, _, name = kind.rpartition(".")
    return getattr(importlib.import_module(module), name)(optimizer, **given)


def test_the_commands_for_sd_scripts_give_the_plans_rates(tmp_path, monkeypatch):
    restarts = "restarts(0.005, 1e-5, cycles=4)"
    (tmp_path / "schedule.txt").write_text(restarts)
    monkeypatch.chdir(tmp_path)
    made = [by_sd_scripts(words, optimizer()) for words in commands("sd-scripts")]
    assert [scheduler.plan.text for scheduler in made] == [TEXT, restarts, restarts]
    for scheduler in made:
        assert trained(scheduler, 150) == planned(scheduler.plan.text, total=2000)[:150]


def test_a_list_of_files_for_sd_scripts_has_a_schedule_for_each_group(tmp_path, monkeypatch):
    (tmp_path / "text.txt").write_text("5e-5")
    (tmp_path / "unet.txt").write_text("cosine(1e-4, 0)")
    monkeypatch.chdir(tmp_path)
    words = ["--lr_scheduler_type", "lib_lrsched.PlanLR", "--lr_scheduler_args", "path=['text.txt','unet.txt']", "total_steps=8"]
    assert trained(by_sd_scripts(words, optimizer("", "")), 8) == planned("5e-5", "cosine(1e-4, 0)", total=8)


# OneTrainer -----------------------------------------------------------------------------------

ACCUMULATION = 2


def by_onetrainer(row: dict[str, str], optimizer: torch.optim.Optimizer, total: int, *, batches: int = 0,
                  warmup: int = 0) -> LRScheduler:
    """The scheduler of a table, in a run that has seen so many batches."""
    last = batches // ACCUMULATION - 1
    for group in optimizer.param_groups:
        group["initial_lr"] = OWN_RATE
    given = {key: total if value == "%TOTAL_STEPS%" else ast.literal_eval(value) for key, value in row.items()}
    scheduler: LRScheduler = importlib.import_module("lib_lrsched").PlanLR(optimizer=optimizer, last_epoch=last, **given)
    if not warmup:
        return scheduler
    rise = LambdaLR(optimizer, lambda k: min(1.0, k / warmup), last_epoch=last)
    return SequentialLR(optimizer, [rise, scheduler], [warmup], last_epoch=last)


def test_the_first_table_for_onetrainer_gives_the_plans_rates_from_the_start_and_resumed():
    row = tables("OneTrainer")[0]
    expected = planned(TEXT, total=60)
    assert trained(by_onetrainer(row, optimizer(), 60), 60) == expected
    assert trained(by_onetrainer(row, optimizer(), 60, batches=50), 35) == expected[25:]


def test_the_second_table_for_onetrainer_has_a_schedule_for_each_named_group():
    row = tables("OneTrainer")[1]
    texts = ast.literal_eval(row["plan_or_text"])
    scheduler = by_onetrainer(row, optimizer("unet_lora", "text_encoder_lora"), 80)
    assert trained(scheduler, 80) == planned(texts["unet_lora"], texts["text_encoder_lora"], total=80)


def test_after_onetrainers_own_warm_up_the_plan_begins_at_its_start():
    held = trained(by_onetrainer(tables("OneTrainer")[0], optimizer(), 60, warmup=4), 10)
    assert held == [[0.0], [0.25], [0.5], [0.75], *planned(TEXT, total=60)[:6]]


# diffusers ------------------------------------------------------------------------------------


def test_the_line_for_the_script_of_diffusers_makes_the_scheduler():
    scheduler = run_code("diffusers' scripts and accelerate", {
        "optimizer": optimizer(), "args": SimpleNamespace(max_train_steps=40)})["lr_scheduler"]
    assert trained(scheduler, 40) == planned(TEXT, total=40)


# A plateau where no loss is passed --------------------------------------------------------------

Maker = Callable[[Any], LRScheduler]


@pytest.mark.parametrize("make", [
    lambda made: by_sd_scripts(["--lr_scheduler_type", "lib_lrsched.PlanLR", "--lr_scheduler_args",
                                "plan_or_text='plateau(0.005)'", "total_steps=9"], made),
    lambda made: by_onetrainer({"plan_or_text": "'plateau(0.005)'", "total_steps": "%TOTAL_STEPS%"}, made, 9),
], ids=["sd-scripts", "OneTrainer"])
def test_error_a_plateau_where_the_trainer_passes_no_loss(make: Maker):
    with pytest.raises(ValueError, match="this plan has a plateau, which looks at the loss of every update"):
        trained(make(optimizer()), 1)
