"""Configurations that other programs save, read and planned, against the rates that these programs compute from them."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from lib_lrsched import plan
from lib_lrsched.formats.imports import ImportFormatError, import_text

STEPS = 300
RECOMMENDED = "warmup(0.005):5%, cosine(0.005, 1e-5)"


def rates_of(text: str, steps: int = STEPS) -> list[float]:
    made = plan(text, total_steps=steps)
    return made.values(np.arange(made.stop)).tolist()


def refusal(given: Any, kind: str, **options: Any) -> str:
    with pytest.raises(ImportFormatError) as caught:
        import_text(given if isinstance(given, str) else json.dumps(given), kind, **options)
    return caught.value.message


# OneTrainer -------------------------------------------------------------------------------------


def onetrainer_rates(config: dict[str, Any], batches: int) -> list[float]:
    """What its LambdaLR gives, update by update."""
    each = config.get("gradient_accumulation_steps", 1)
    total = int(batches * config.get("epochs", 100) / each)
    warm = config.get("learning_rate_warmup_steps", 200.0)
    warm = int(warm / each) if warm > 1 else int(warm * total)
    count, low, cycles = total - warm, config.get("learning_rate_min_factor", 0.0), config.get("learning_rate_cycles", 1.0)

    def height(k: int) -> float:
        t, last = k / count, min(k, count - 1) / count
        return {
            "CONSTANT": 1.0, "LINEAR": max(0.0, (count - k) / count), "COSINE": 0.5 * (1 + math.cos(math.pi * t)),
            "COSINE_WITH_RESTARTS": 0.5 * (1 + math.cos(last * 2 * math.pi * cycles)),
            "COSINE_WITH_HARD_RESTARTS": 0.5 * (1 + math.cos(last * cycles % 1.0 * math.pi)),
            "REX": (1 - t) / (0.1 + 0.9 * (1 - t)),
        }[config.get("learning_rate_scheduler", "CONSTANT")]  # fmt: skip

    is_constant = config.get("learning_rate_scheduler", "CONSTANT") == "CONSTANT"
    factor = [k / warm if k < warm else 1.0 if is_constant else low + (1 - low) * height(k - warm) for k in range(total)]
    return [config.get("learning_rate", 3e-6) * one for one in factor]


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"learning_rate_warmup_steps": 0}, "0.005"),
        ({}, "linear(0, 0.005):200, 0.005"),
        ({"learning_rate_scheduler": "LINEAR", "learning_rate_warmup_steps": 30}, "linear(0, 0.005):30, linear(0.005, 0):300"),
        ({"learning_rate_scheduler": "COSINE", "learning_rate_warmup_steps": 0.1, "learning_rate_min_factor": 0.1},
         "linear(0, 0.005):30, cosine(0.005, 0.0005):300"),
        ({"learning_rate_scheduler": "COSINE", "learning_rate_warmup_steps": 60, "gradient_accumulation_steps": 2},
         "linear(0, 0.005):30, cosine(0.005, 0):150"),
        ({"learning_rate_scheduler": "REX", "learning_rate_warmup_steps": 0, "learning_rate_min_factor": 0.2},
         "rex(0.005, 0.001):300"),
        ({"learning_rate_scheduler": "COSINE_WITH_HARD_RESTARTS", "learning_rate_cycles": 4, "learning_rate_warmup_steps": 20},
         "linear(0, 0.005):20, restarts(0.005, 0, cycles=4):300"),
        ({"learning_rate_scheduler": "COSINE_WITH_RESTARTS", "learning_rate_cycles": 2.5, "learning_rate_warmup_steps": 0},
         "repeat(3, cosine(0.005, 0):60, cosine(0, 0.005):60)"),
        ({"learning_rate_scheduler": "COSINE_WITH_RESTARTS", "learning_rate_cycles": 0.5, "learning_rate_warmup_steps": 0},
         "cosine(0.005, 0):300"),
        ({"learning_rate_warmup_steps": 1}, "linear(0, 0.005):300"),
    ],
)  # fmt: skip
def test_onetrainers_schedulers_are_read_with_its_own_rates(config: dict[str, Any], text: str):
    config = {"learning_rate": 0.005, "epochs": 10, **config}
    found = import_text(json.dumps(config), "onetrainer", steps_per_epoch=30)
    assert found.text == text
    wanted = onetrainer_rates(config, 30)
    assert found.total_steps == len(wanted)
    assert rates_of(found.text, len(wanted)) == pytest.approx(wanted, rel=1e-9, abs=1e-15)


def test_onetrainers_defaults_and_what_else_has_a_hand_in_the_rate_are_said():
    given = {"training_method": "LORA", "unet": {"learning_rate": 1e-4}, "text_encoder": {"learning_rate": None}, "batch_size": 4,
             "embedding_learning_rate": 0.001, "learning_rate_scaler": "BATCH", "optimizer": {"optimizer": "PRODIGY"}}
    found = import_text(json.dumps(given), "onetrainer")
    assert found[:2] == ("linear(0, 6e-6):200, 6e-6", None)
    assert found.note == (
        "without learning_rate OneTrainer takes 3e-6; without learning_rate_warmup_steps OneTrainer takes 200; "
        "its 100 epochs do not give max steps: set max steps, or give the steps per epoch; the rate is multiplied as "
        "learning_rate_scaler BATCH says; "
        "PRODIGY adapts its own step size: these rates are multipliers, usually around 1, and too high for other optimizers; "
        "embedding_learning_rate 0.001, unet.learning_rate 0.0001: for a part of the model, which has no "
        "equivalent here"
    )
    free = {"learning_rate": 1, "learning_rate_scheduler": "COSINE", "optimizer": {"optimizer": "SCHEDULE_FREE_ADAMW"}}
    assert import_text(json.dumps(free), "onetrainer").text == "1"


def test_onetrainers_own_class_may_be_ours_or_torchs():
    rows = [{"key": "plan_or_text", "value": repr(RECOMMENDED)}, {"key": "total_steps", "value": "%TOTAL_STEPS%"}]
    given = {"learning_rate": 1, "learning_rate_scheduler": "CUSTOM", "learning_rate_warmup_steps": 0, "epochs": 10,
             "custom_learning_rate_scheduler": "lib_lrsched.PlanLR", "scheduler_params": rows}
    assert import_text(json.dumps(given), "onetrainer", steps_per_epoch=30)[:2] == (RECOMMENDED, 300)
    given |= {"custom_learning_rate_scheduler": "torch.optim.lr_scheduler.StepLR",
              "scheduler_params": [{"key": "step_size", "value": "100"}, {"key": "gamma", "value": "0.5"}]}
    assert import_text(json.dumps(given), "onetrainer").text == "step(1, every=100, factor=0.5)"


SCHEDULERS = "CONSTANT, LINEAR, COSINE, COSINE_WITH_RESTARTS, COSINE_WITH_HARD_RESTARTS, REX, CUSTOM"
BASE = {"learning_rate": 0.005, "learning_rate_warmup_steps": 0}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("[", "not valid JSON: Expecting value: line 1 column 2 (char 1)"),
        ("[1]", "expected a JSON object with OneTrainer's settings"),
        ({}, "expected OneTrainer's settings, such as learning_rate and learning_rate_scheduler"),
        ({"learning_rate": "fast"}, "learning_rate: expected a number, got 'fast'"),
        ({"learning_rate": -1}, "learning_rate: expected a finite number, 0 or more, got -1"),
        ({"learning_rate": [1]}, "learning_rate: expected a finite number, 0 or more, got a list"),
        ({**BASE, "epochs": 0}, "epochs: expected a whole number from 1, got 0"),
        ({**BASE, "learning_rate_foo": 0}, "learning_rate_foo has no equivalent here"),
        ({**BASE, "learning_rate_scheduler": 3}, "learning_rate_scheduler: expected a word, got 3"),
        ({**BASE, "learning_rate_scheduler": "ADAFACTOR"},
         f"learning_rate_scheduler: ADAFACTOR has no equivalent here; these can be read: {SCHEDULERS}"),
        ({**BASE, "learning_rate_warmup_steps": 0.5},
         "learning_rate_warmup_steps: 0.5 is a part of all steps; give the steps per epoch"),
        ({**BASE, "learning_rate_scheduler": "COSINE_WITH_HARD_RESTARTS"},
         "epochs: how many steps that is depends on the data set, and so does this schedule; give the steps per epoch"),
        ({**BASE, "learning_rate_scheduler": "CUSTOM"},
         "custom_learning_rate_scheduler: expected a class such as torch.optim.lr_scheduler.StepLR, got None"),
        ({**BASE, "learning_rate_scheduler": "CUSTOM", "custom_learning_rate_scheduler": "a.B", "scheduler_params": [{"key": 1}]},
         "scheduler_params: expected a list of objects with key and value, both texts, got an object"),
        ({**BASE, "learning_rate_scheduler": "CUSTOM", "custom_learning_rate_scheduler": "a.B",
          "scheduler_params": [{"key": "x", "value": "y z"}]},
         "scheduler_params: x: expected a Python value, such as 100 or 'a text', got 'y z'"),
        ({"lr_scheduler": "cosine", "learning_rate": 1},
         "these are settings of kohya_ss, as lr_scheduler shows: read them as kohya"),
    ],
)  # fmt: skip
def test_error_of_onetrainers_configuration_names_the_key(given: Any, message: str):
    assert refusal(given, "onetrainer") == message


@pytest.mark.parametrize(
    ("cycles", "batches", "message"),
    [
        (1.5, 100, "learning_rate_cycles: expected a whole number of cycles from 1 to 100, got 1.5"),
        (49, 490, "learning_rate_cycles: OneTrainer rounds the restart at step 10 to the end of a cycle, where the rate is lowest"),
    ],
)
def test_error_of_onetrainers_restarts(cycles: float, batches: int, message: str):
    given = {**BASE, "epochs": 1, "learning_rate_scheduler": "COSINE_WITH_HARD_RESTARTS", "learning_rate_cycles": cycles}
    assert refusal(given, "onetrainer", steps_per_epoch=batches) == message
    assert refusal({**BASE}, "onetrainer", base=1.0).endswith("leave out the base rate")


# kohya_ss ---------------------------------------------------------------------------------------

GUI = {"learning_rate": 0.005, "lr_scheduler": "cosine", "lr_warmup": 10, "lr_warmup_steps": 0, "max_train_steps": 2000,
       "max_train_epochs": 0, "epoch": 1, "optimizer": "AdamW8bit", "optimizer_args": "", "lr_scheduler_args": "",
       "lr_scheduler_type": "", "lr_scheduler_num_cycles": 1, "lr_scheduler_power": 1}  # fmt: skip


@pytest.mark.parametrize(
    ("more", "as_arguments"),
    [
        ({}, "--lr_scheduler=cosine --lr_warmup_steps=200 --max_train_steps=2000"),
        ({"lr_warmup": "10", "max_train_steps": "2000", "lr_scheduler_power": "", "max_train_epochs": "", "lr_warmup_steps": ""},
         "--lr_scheduler=cosine --lr_warmup_steps=200 --max_train_steps=2000"),
        ({"lr_warmup_steps": 50}, "--lr_scheduler=cosine --lr_warmup_steps=50 --max_train_steps=2000"),
        ({"lr_warmup": 0, "lr_scheduler": "cosine_with_restarts", "lr_scheduler_num_cycles": "5"},
         "--lr_scheduler=cosine_with_restarts --lr_scheduler_num_cycles=5 --max_train_steps=2000"),
        ({"lr_warmup": 0, "lr_scheduler": "polynomial", "lr_scheduler_power": 2.0, "lr_scheduler_args": 'lr_end="1e-6"'},
         "--lr_scheduler=polynomial --lr_scheduler_power=2 --lr_scheduler_args lr_end=1e-6 --max_train_steps=2000"),
        ({"additional_parameters": "--lr_scheduler=linear --lr_warmup_steps=7"},
         "--lr_scheduler=linear --lr_warmup_steps=7 --max_train_steps=2000"),
        ({"lr_warmup": 0, "lr_scheduler_type": "StepLR", "lr_scheduler_args": "step_size=500 gamma=0.5"},
         "--lr_scheduler_type=StepLR --lr_scheduler_args step_size=500 gamma=0.5 --max_train_steps=2000"),
        ({"dataset_config": "set.toml", "max_train_steps": 1995, "lr_warmup": 10},
         "--lr_scheduler=cosine --lr_warmup_steps=200 --max_train_steps=1995"),
        ({"lr_warmup": 100, "lr_scheduler": "constant_with_warmup"},
         "--lr_scheduler=constant_with_warmup --lr_warmup_steps=2000 --max_train_steps=2000"),
    ],
)  # fmt: skip
def test_what_kohya_ss_saves_is_what_it_starts_sd_scripts_with(more: dict[str, Any], as_arguments: str):
    wanted = import_text(f"--learning_rate=0.005 {as_arguments}", "kohya")
    assert import_text(json.dumps({**GUI, **more}, indent=2), "kohya") == wanted


def test_kohya_ss_counts_its_own_images():
    given = {**GUI, "max_train_steps": 0, "epoch": 10}
    assert import_text(json.dumps(given), "kohya", steps_per_epoch=30) == (
        "linear(0, 0.005):30, cosine(0.005, 0):300", 300, "10 epochs of 30 steps, as kohya_ss counts its own data set",
    )  # fmt: skip
    assert refusal(given, "kohya") == (
        "max_train_steps: it is not set, so that kohya_ss counts the steps of 10 epochs (epoch) in its data set; give the steps "
        "per epoch, or max_train_steps"
    )


def test_other_rates_of_kohya_ss_are_named_with_their_values():
    given = {**GUI, "unet_lr": 0.005, "text_encoder_lr": "5e-5", "t5xxl_lr": 0, "learning_rate_te": 1e-4}
    found = import_text(json.dumps(given), "kohya")
    assert found.note == "text_encoder_lr 5e-5, learning_rate_te 0.0001: for a part of the model, which has no equivalent here"


def test_the_toml_of_kohya_ss_is_read_too():
    pytest.importorskip("tomllib")
    text = '[basic]\nlearning_rate = 0.005\nlr_scheduler = "cosine"\nlr_warmup = 10\nmax_train_steps = 2000\noptimizer_args = ""\n'
    assert import_text(text, "kohya") == import_text(json.dumps(GUI), "kohya")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"lr_warmup": "lots"}, "lr_warmup: expected a finite number, 0 or more, got 'lots'"),
        ({"learning_rate": [1]}, "learning_rate: expected a text or a number, got a list"),
        ({"max_train_steps": 1.5}, "max_train_steps: expected a whole number, got 1.5"),
        ({"lr_scheduler": {}}, "lr_scheduler: expected a text or a number, got an object"),
        ({"lr_foo": 3}, "lr_foo has no equivalent here"),
        ({"additional_parameters": '"'}, "additional_parameters: not a valid command line: No closing quotation"),
        ({"learning_rate": 0, "unet_lr": 1e-4},
         "learning_rate: it is 0, and unet_lr is what is trained with: paste it as learning_rate"),
    ],
)  # fmt: skip
def test_error_of_what_kohya_ss_saves_names_the_key(more: dict[str, Any], message: str):
    assert refusal({**GUI, **more}, "kohya") == message


def test_error_the_settings_of_another_program():
    another = {"learning_rate": 1, "learning_rate_scheduler": "COSINE"}
    said = "these are settings of OneTrainer, as learning_rate_scheduler shows: read them as onetrainer"
    assert refusal(another, "kohya") == refusal(another, "deepspeed") == said
    said = "these are settings of DeepSpeed, as scheduler shows: read them as deepspeed"
    assert refusal({"scheduler": {}}, "kohya") == refusal({"scheduler": {}}, "onetrainer") == said


def test_a_schedule_that_sd_scripts_has_of_us_comes_back():
    given = f"--max_train_steps 2000 --lr_scheduler_type lib_lrsched.PlanLR --lr_scheduler_args \"plan_or_text='{RECOMMENDED}'\""
    assert import_text(given, "kohya") == (RECOMMENDED, 2000, "")
    assert "what stands in its file" in refusal(given.replace("plan_or_text", "path"), "kohya")


@pytest.mark.parametrize("kind", ["kohya", "onetrainer"])
@pytest.mark.parametrize("junk", ["{" * 5000, '{"a":' * 5000 + "1" + "}" * 5000, "{}", '{"learning_rate": ' + "9" * 5000 + "}",
                                  '{"learning_rate": NaN}', '{"learning_rate": 1e999}', '{"epochs": 1e300}'])
def test_error_nonsense_is_refused_in_words(kind: str, junk: str):
    assert 0 < len(refusal(junk, kind)) < 300
