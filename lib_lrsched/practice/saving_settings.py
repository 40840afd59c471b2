"""Writes the settings of a run beside its log, as the host's `modules/textual_inversion/saving_settings.py`."""
from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RUN = "batch_size gradient_step steps initial_step learn_rate clip_grad_mode clip_grad_value latent_sampling_method"
DATA = "data_root num_of_dataset_images template_file training_width training_height log_directory create_image_every"
MODEL = "model_name model_hash"
EMBEDDING = "embedding_name num_vectors_per_token save_embedding_every save_image_with_stored_embedding"
HYPERNETWORK = (
    "hypernetwork_name layer_structure activation_func weight_init add_layer_norm use_dropout save_hypernetwork_every"
)
PREVIEW = "preview_prompt preview_negative_prompt preview_steps preview_cfg_scale preview_seed preview_width preview_height"

SAVED = frozenset(" ".join((RUN, DATA, MODEL, EMBEDDING, HYPERNETWORK)).split())
SAVED_WITH_PREVIEWS = SAVED | frozenset(PREVIEW.split())


def save_settings_to_file(log_directory: str, all_params: Mapping[str, Any]) -> None:
    """Writes those of the parameters that describe a run to `settings-<now>.json`.

    Raises FileNotFoundError where the folder is missing: as in the host, nothing here makes it.
    """
    now = dt.datetime.now().astimezone()
    wanted = SAVED_WITH_PREVIEWS if all_params.get("preview_from_txt2img") else SAVED
    settings = {name: value for name, value in all_params.items() if name in wanted}
    contents = {"datetime": f"{now:%Y-%m-%d %H:%M:%S}", **settings}
    path = Path(log_directory) / f"settings-{now:%Y-%m-%d-%H-%M-%S}.json"
    path.write_text(json.dumps(contents, indent=4))
