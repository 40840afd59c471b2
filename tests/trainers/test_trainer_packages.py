"""PlanLR in real trainers, with the code of docs/trainers.md: accumulated gradients, and resumed from a checkpoint.

The long ones: `make test-long` runs them with the versions of the day, see `make trainers`.
"""

from __future__ import annotations

from pathlib import Path
from types import MethodType
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from trainers_page import TEXT, run_code  # noqa: E402

from lib_lrsched import PlanLR, plan  # noqa: E402

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore")]  # what other packages warn of is theirs

UPDATES, ACCUMULATION, SAVED_AT = 40, 2, 15
EXPECTED = plan(TEXT, total_steps=UPDATES).values(range(UPDATES)).tolist()


def data() -> list[dict[str, Tensor]]:
    draw = torch.Generator().manual_seed(5)
    inputs = torch.randn(UPDATES * ACCUMULATION, 3, generator=draw)
    return [{"x": x, "labels": x.sum(0, keepdim=True)} for x in inputs]


# transformers ---------------------------------------------------------------------------------


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(3, 1)

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"loss": nn.functional.mse_loss(self.line(x), labels)}


def test_the_trainer_of_transformers_has_the_plans_rates_and_resumes(tmp_path: Path):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed: make trainers")
    pytest.importorskip("accelerate", "1.0", reason="accelerate 1.0 is not installed: make trainers")
    trainer = run_code("Trainer of transformers", {})["PlannedTrainer"]
    held: list[float] = []

    class Watch(transformers.TrainerCallback):
        def on_pre_optimizer_step(self, *_: Any, optimizer: Any, **__: Any) -> None:
            assert len({group["lr"] for group in optimizer.param_groups}) == 1
            held.append(optimizer.param_groups[0]["lr"])

    def train(resume: str | None) -> None:
        arguments = transformers.TrainingArguments(
            output_dir=str(tmp_path), max_steps=UPDATES, per_device_train_batch_size=1, gradient_accumulation_steps=ACCUMULATION,
            save_steps=SAVED_AT, report_to=[], use_cpu=True, disable_tqdm=True, logging_strategy="no",
        )
        trainer(model=Line(), args=arguments, train_dataset=data(), callbacks=[Watch()]).train(resume_from_checkpoint=resume)

    train(None)
    assert held == EXPECTED
    held.clear()
    train(str(tmp_path / f"checkpoint-{SAVED_AT}"))
    assert held == EXPECTED[SAVED_AT:]


# Lightning ------------------------------------------------------------------------------------


@pytest.fixture
def lightning() -> Any:
    return pytest.importorskip("lightning", reason="Lightning is not installed: make trainers")


def fit(lightning: Any, folder: Path, configure: Any, checkpoint: Path | None = None, *, updates: int = UPDATES) -> list[float]:
    """Train with accumulated gradients, keep a checkpoint of update SAVED_AT, and return the rate of each update."""
    held: list[float] = []

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.line = nn.Linear(3, 1)
            self.configure_optimizers = MethodType(configure, self)

        def training_step(self, batch: dict[str, Tensor], _: int) -> Tensor:
            loss = nn.functional.mse_loss(self.line(batch["x"]), batch["labels"])
            self.log("loss", loss, sync_dist=True)
            return loss

    class Watch(lightning.Callback):
        def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
            held.append(optimizer.param_groups[0]["lr"])

    saving = lightning.pytorch.callbacks.ModelCheckpoint(dirpath=folder, filename="{step}", every_n_train_steps=SAVED_AT,
                                                         save_top_k=-1)
    trainer = lightning.Trainer(
        max_steps=updates, accumulate_grad_batches=ACCUMULATION, accelerator="cpu", devices=1, logger=False,
        callbacks=[saving, Watch()], enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
    )
    trainer.fit(Module(), torch.utils.data.DataLoader(data(), batch_size=1), ckpt_path=checkpoint)
    return held


def test_lightning_has_the_plans_rates_and_resumes(lightning: Any, tmp_path: Path):
    configure = run_code("Lightning", {})["configure_optimizers"]
    assert fit(lightning, tmp_path, configure) == EXPECTED
    assert fit(lightning, tmp_path, configure, tmp_path / f"step={SAVED_AT}.ckpt") == EXPECTED[SAVED_AT:]


def test_lightning_passes_the_loss_to_a_plateau(lightning: Any, tmp_path: Path):
    given = {"interval": "step", "reduce_on_plateau": True, "monitor": "loss"}
    seen: list[float] = []

    class Plateau(PlanLR):
        def step(self, metrics: Any = None, **rest: Any) -> None:
            seen.extend([] if metrics is None else [float(metrics)])
            super().step(metrics, **rest)

    def configure(module: Any) -> dict[str, Any]:
        optimizer = torch.optim.AdamW(module.parameters())
        return {"optimizer": optimizer, "lr_scheduler": {
            "scheduler": Plateau(optimizer, "plateau(0.1, factor=0.5, patience=0, threshold=0.9)", total_steps=UPDATES), **given}}

    held = fit(lightning, tmp_path, configure, updates=8)
    assert len(seen) == len(held) == 8
    assert len(set(seen)) == 8
    assert held[-1] < held[0] == 0.1
