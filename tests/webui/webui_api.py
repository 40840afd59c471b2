"""What the tests ask of a running WebUI over HTTP: make and train embeddings and hypernetworks, read the runs."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch
from PIL import Image
from webui_server import WebUI

TIMEOUT_S = 300
IMAGES = 4
SIDE = 64
OF_KIND = {
    "embedding": {
        "template_filename": "subject_filewords.txt", "save_embedding_every": 0, "save_image_with_stored_embedding": False,
    },
    "hypernetwork": {"template_filename": "hypernetwork.txt", "save_hypernetwork_every": 0},
}
TRAINING = {
    "id_task": "", "batch_size": 1, "gradient_step": 1, "training_width": SIDE, "training_height": SIDE, "varsize": False,
    "clip_grad_mode": "disabled", "clip_grad_value": "0.1", "shuffle_tags": False, "tag_drop_out": 0,
    "latent_sampling_method": "once", "use_weight": False, "create_image_every": 0, "preview_from_txt2img": False,
    "preview_prompt": "", "preview_negative_prompt": "", "preview_steps": 4, "preview_sampler_name": "Euler a",
    "preview_cfg_scale": 7, "preview_seed": -1, "preview_width": SIDE, "preview_height": SIDE,
}


@dataclass(frozen=True)
class Api:
    """The endpoints of one WebUI, and the folders that its trainings read and write."""

    webui: WebUI
    images: Path
    logs: Path

    def get(self, path: str, **query: Any) -> Any:
        answer = httpx.get(f"{self.webui.url}{path}", params=query, timeout=TIMEOUT_S, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: dict[str, Any]) -> Any:
        answer = httpx.post(f"{self.webui.url}{path}", json=body, timeout=TIMEOUT_S, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def create(self, kind: str, name: str) -> None:
        """A new embedding of two vectors, or a new hypernetwork that is as small as can be."""
        body: dict[str, Any] = {"name": name, "overwrite_old": True}
        if kind == "embedding":
            body |= {"num_vectors_per_token": 2, "init_text": "*"}
        else:
            body |= {"enable_sizes": ["768"], "layer_structure": [1, 1], "activation_func": "linear", "weight_init": "Normal",
                     "add_layer_norm": False, "use_dropout": False, "dropout_structure": None}
        said = self.post(f"/sdapi/v1/create/{kind}", body)["info"]
        assert "error" not in said, said

    def train(self, kind: str, name: str, rate: Any, steps: int, **changes: Any) -> str:
        """Trains to the end and returns what the WebUI says."""
        body = {**TRAINING, **OF_KIND[kind], f"{kind}_name": name, "learn_rate": rate, "steps": steps,
                "data_root": str(self.images), "log_directory": str(self.logs), **changes}
        return str(self.post(f"/sdapi/v1/train/{kind}", body)["info"])

    def interrupt(self) -> None:
        self.post("/sdapi/v1/interrupt", {})

    def runs(self, name: str) -> list[dict[str, Any]]:
        """The runs of a name that our extension knows, newest first."""
        return [run for run in self.get("/lrsched/v1/runs")["runs"] if run["name"] == name]

    def points(self, name: str) -> dict[str, list[Any]]:
        """The numbers of the newest run of that name."""
        return dict(self.get(f"/lrsched/v1/runs/{self.runs(name)[0]['id']}")["points"])

    def trained(self, kind: str, name: str) -> Path:
        """The file that the WebUI saves in the end."""
        folder = self.webui.data / ("embeddings" if kind == "embedding" else "models/hypernetworks")
        return folder / f"{name}.pt"

    def logged(self, name: str) -> list[dict[str, str]]:
        """The lines of the WebUI's own loss file."""
        (path,) = self.logs.glob(f"*/{name}/*_loss.csv")
        with path.open(newline="") as file:
            return list(csv.DictReader(file))


def draw_images(folder: Path) -> Path:
    """A few images of noise with captions."""
    noise = np.random.default_rng(5)
    folder.mkdir()
    for number in range(IMAGES):
        pixels = noise.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"a round thing, number {number}")
    return folder


def tensors(saved: Any) -> list[torch.Tensor]:
    """All tensors in what the WebUI has saved, in their order."""
    if isinstance(saved, torch.Tensor):
        return [saved]
    inside = saved.values() if isinstance(saved, dict) else saved if isinstance(saved, (list, tuple)) else ()
    return [tensor for one in inside for tensor in tensors(one)]
