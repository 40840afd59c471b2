"""Makes the practice host ready: its folders, its model and what it lists. Nothing is loaded or made before `setup`."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from lib_lrsched.practice import sd_hijack, shared, train_inputs
from lib_lrsched.practice.model import PracticeModel, load_model
from lib_lrsched.storage.atomic_files import write_whole

PACKAGED_TEMPLATES = Path(__file__).with_name("templates")

_model_once: PracticeModel | None = None
_model_lock = threading.Lock()


def setup(root: Path | str, model: Any = None) -> None:
    """Makes the folders below root, loads the model and lists embeddings, hypernetworks and templates.

    The model is loaded once per process; another one, in eval mode, may be given instead. A later call changes
    over to another root. Raises FileNotFoundError where the model's weights are missing.
    """
    _make_folders(Path(root))
    shared.sd_model = _model() if model is None else model
    shared.set_loaded_hypernetworks([])
    sd_hijack.model_hijack.attach(shared.sd_model, shared.cmd_opts.embeddings_dir)
    shared.reload_hypernetworks()
    train_inputs.list_textual_inversion_templates()


def _make_folders(root: Path) -> None:
    shared.cmd_opts.embeddings_dir = str(root / "embeddings")
    shared.cmd_opts.hypernetwork_dir = str(root / "hypernetworks")
    shared.cmd_opts.textual_inversion_dir = str(root / "textual_inversion")
    shared.cmd_opts.textual_inversion_templates_dir = str(root / "textual_inversion_templates")
    for folder in (shared.cmd_opts.embeddings_dir, shared.cmd_opts.hypernetwork_dir, shared.cmd_opts.textual_inversion_dir):
        Path(folder).mkdir(parents=True, exist_ok=True)
    _copy_templates(Path(shared.cmd_opts.textual_inversion_templates_dir))


def _copy_templates(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for packaged in PACKAGED_TEMPLATES.glob("*.txt"):
        target = folder / packaged.name
        # One that the user has changed stays. An empty one is what a full disk or a kill leaves of a copy.
        if not target.exists() or target.stat().st_size == 0:
            write_whole(target, packaged.read_bytes())


def _model() -> PracticeModel:
    global _model_once  # loaded at the first need, then kept
    with _model_lock:
        if _model_once is None:
            _model_once = load_model(shared.device)
        return _model_once
