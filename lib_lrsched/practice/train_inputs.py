"""The prompt templates, and the check of a run's inputs before anything heavy begins.

The host keeps both in `modules/textual_inversion/textual_inversion.py`; our module of that name has them by name.
"""
from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from lib_lrsched.practice import shared


class TextualInversionTemplate(NamedTuple):
    """A file of prompt lines with [name] and [filewords] in them."""

    name: str
    path: str


textual_inversion_templates: dict[str, TextualInversionTemplate] = {}


def list_textual_inversion_templates() -> dict[str, TextualInversionTemplate]:
    """Lists the files in the templates folder anew."""
    textual_inversion_templates.clear()
    for path in Path(shared.cmd_opts.textual_inversion_templates_dir).rglob("*"):
        if path.is_file():
            textual_inversion_templates[path.name] = TextualInversionTemplate(path.name, str(path))
    return textual_inversion_templates


def validate_train_inputs(  # the host's parameters
    model_name: str,
    learn_rate: str,
    batch_size: int,
    gradient_step: int,
    data_root: str,
    template_file: TextualInversionTemplate | None,
    template_filename: str,
    steps: int,
    save_model_every: int,
    create_image_every: int,
    log_directory: str,
    name: str = "embedding",
) -> None:
    """Raises AssertionError for inputs with which no run can begin."""
    assert model_name, f"choose the {name} to train"
    assert learn_rate, "the learning rate is missing, or 0"
    _assert_count(batch_size, "the batch size", at_least=1)
    _assert_count(gradient_step, "gradient accumulation", at_least=1)
    assert data_root, "the data set's folder is missing"
    assert Path(data_root).is_dir(), f"there is no data set folder {data_root}"
    assert any(Path(data_root).iterdir()), f"the data set folder {data_root} is empty"
    assert template_filename, "choose a prompt template"
    assert template_file, f"there is no prompt template {template_filename}"
    assert Path(template_file.path).is_file(), f"the prompt template {template_file.path} is gone"
    _assert_count(steps, "max steps", at_least=1)
    _assert_count(save_model_every, f"saving the {name} every so many steps", at_least=0)
    _assert_count(create_image_every, "an image every so many steps", at_least=0)
    if save_model_every or create_image_every:
        assert log_directory, "the log folder is missing"


def _assert_count(value: Any, what: str, *, at_least: int) -> None:
    assert isinstance(value, int), f"{what}: expected a whole number, got {value!r}"
    assert value >= at_least, f"{what}: expected {at_least} or more, got {value}"
