"""Where the training loops are: the WebUI's modules, found lazily, or those of the practice host.

A Host is what hooks.py works on. This file imports ``modules.*`` inside functions only, and says in words
why there is nothing to hook where there is nothing.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from lib_lrsched.training.host import Trainer
from lib_lrsched.training.settings import Settings

from ._webui_trainer import WebUITrainer
from .door import Door, is_this_machine
from .kinds import kind_of


@dataclass(frozen=True)
class Host:
    """The seams of one host, and the few things to ask it.

    Attributes:
        ti, hn, dataset, checkpoint: the modules whose globals are the seams; see docs/architecture.md.
        shared: has ``state.interrupted``, ``opts``, ``cmd_opts``, ``hypernetworks``.
        images: the module whose ``save_image`` writes the preview images, or None.
        embedding: the loaded embedding object of a name, or None.
        hypernetwork_file: the file of a hypernetwork's name, or None.
        embeddings_dir, hypernetworks_dir: where the host's final save goes.
        data_dir: folder for run state when the user set none.
        settings: the settings as they are now.
        read_image: decodes a file as the data set does, or raises.
        reload_embeddings, reload_hypernetworks: look at their folder again.
        model_facts: what there is to know of the loaded model, as plain values: checkpoint, vae, clip_skip, precision.
        autocast: the context in which the host's data set encodes prompts.
        embedding_db: the embeddings: ``word_embeddings``, ``skipped_embeddings``, ``expected_shape``; None where there is none.
        loaded_model: the model that is loaded, or None; asking loads none. By default ``shared.sd_model``.
        fast_attention: the host's forward of an attention layer, (layer, x, context=None, mask=None), with torch's
            scaled_dot_product_attention; None where it has none.
        replaced_unet: the name of a network that stands in for the model's own, such as a TensorRT engine; empty for none.
        trainer: how the page trains, for trials that are asked for; None where that is not known.
        why: empty, or why training cannot be hooked.
    """

    name: str
    ti: ModuleType
    hn: ModuleType
    dataset: ModuleType
    checkpoint: ModuleType
    shared: Any
    images: ModuleType | None
    embedding: Callable[[str], Any]
    hypernetwork_file: Callable[[str], str | None]
    embeddings_dir: Callable[[], str]
    hypernetworks_dir: Callable[[], str]
    reload_embeddings: Callable[[], None]
    reload_hypernetworks: Callable[[], None]
    data_dir: Path
    settings: Callable[[], Settings] = Settings
    read_image: Callable[[str], Any] | None = None
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
    model_facts: Callable[[], dict[str, Any]] = dict
    embedding_db: Callable[[], Any] = lambda: None
    loaded_model: Callable[[], Any] | None = None
    replaced_unet: Callable[[], str] = str
    fast_attention: Callable[..., Any] | None = None
    trainer: Trainer | None = None

    def folder_of(self, kind: str) -> str:
        """Where the host's final save of a kind goes."""
        return kind_of(kind).folder(self)


@dataclass(frozen=True)
class NoTraining:
    """A host without training loops that could be hooked; ``why`` says so in a sentence."""

    name: str
    why: str
    data_dir: Path
    settings: Callable[[], Settings] = Settings


NEEDED = {
    "modules.textual_inversion.textual_inversion": (
        "validate_train_inputs", "LearnRateScheduler", "write_loss", "save_embedding", "train_embedding",
    ),
    "modules.hypernetworks.hypernetwork": ("Hypernetwork", "LearnRateScheduler", "save_hypernetwork", "train_hypernetwork"),
    "modules.textual_inversion.dataset": ("PersonalizedBase", "GroupedBatchSampler"),
    "modules.sd_hijack_checkpoint": ("add", "remove"),
    # Called around every training by the page and by the API; reForge has commented them out.
    "modules.sd_hijack": ("undo_optimizations", "apply_optimizations", "model_hijack"),
}


def find_webui(settings: Callable[[], Settings] = Settings) -> Host | NoTraining:
    """The WebUI in whose process this runs."""
    from modules import paths_internal, shared

    data_dir = Path(paths_internal.data_path) / "lrsched"
    found, why = _modules()
    if why:
        return NoTraining(_name(), why, data_dir, settings)
    from modules import devices, images, sd_hijack

    return Host(
        name=_name(), ti=found[0], hn=found[1], dataset=found[2], checkpoint=found[3], shared=shared,
        images=images if hasattr(images, "save_image") else None,
        embedding=lambda name: sd_hijack.model_hijack.embedding_db.word_embeddings.get(name),
        hypernetwork_file=lambda name: shared.hypernetworks.get(name),
        embeddings_dir=lambda: str(shared.cmd_opts.embeddings_dir),
        hypernetworks_dir=lambda: str(shared.cmd_opts.hypernetwork_dir),
        reload_embeddings=lambda: sd_hijack.model_hijack.embedding_db.load_textual_inversion_embeddings(force_reload=True),
        reload_hypernetworks=lambda: shared.reload_hypernetworks(),
        data_dir=data_dir, settings=settings, read_image=getattr(images, "read", None),
        autocast=devices.autocast, model_facts=_model_facts,
        embedding_db=lambda: sd_hijack.model_hijack.embedding_db, loaded_model=_loaded_model,
        replaced_unet=_replaced_unet, fast_attention=fast_attention(), trainer=WebUITrainer(),
    )


def find_door(*, has_page: bool) -> Door:
    """Who may ask, as the WebUI's command line says.

    Args:
        has_page: False under --nowebui, where there is the API alone and --api-auth is asked for. The page asks for
            --gradio-auth, which our endpoints find in the app.
    """
    from modules import shared

    given = vars(shared.cmd_opts).get
    name = given("server_name") or os.environ.get("GRADIO_SERVER_NAME") or ("127.0.0.1" if has_page else "")
    is_public = any(map(given, ("listen", "share", "ngrok", "subpath")))  # a prefix is for a proxy before the WebUI
    return Door(
        local_only=not is_public and is_this_machine(name),
        origins=frozenset((given("cors_allow_origins") or "").split(",")) - {""},
        origin_regex=given("cors_allow_origins_regex") or "",
        credentials={} if has_page else _credentials(given("api_auth")),
    )


def _credentials(api_auth: str | None) -> dict[str, str]:
    """As modules.api.api reads them: "user:password", several with commas between them."""
    return dict(entry.split(":", 1) for entry in (api_auth or "").split(",") if ":" in entry)


def _loaded_model() -> Any:
    """``shared.sd_model`` would load one."""
    from modules import sd_models

    return getattr(getattr(sd_models, "model_data", None), "sd_model", None)


def _replaced_unet() -> str:
    try:
        from modules import sd_unet
    except ImportError:
        return ""
    unet = getattr(sd_unet, "current_unet", None)
    return "" if unet is None else str(getattr(getattr(unet, "option", None), "label", None) or type(unet).__name__)


def fast_attention() -> Callable[..., Any] | None:
    """See Host."""
    try:
        from modules import sd_hijack_optimizations
    except ImportError:
        return None
    return getattr(sd_hijack_optimizations, "scaled_dot_product_attention_forward", None)


def _model_facts() -> dict[str, Any]:
    """Each of these may be called otherwise in another version: then it is not compared."""
    from modules import devices, sd_vae, shared

    info = getattr(shared.sd_model, "sd_checkpoint_info", None)
    vae = getattr(sd_vae, "loaded_vae_file", None)
    return {
        "checkpoint": getattr(info, "shorthash", None) or getattr(info, "name", None), "vae": None if vae is None else str(vae),
        "clip_skip": getattr(shared.opts, "CLIP_stop_at_last_layers", None), "precision": str(getattr(devices, "dtype_unet", None)),
    }


def _modules() -> tuple[list[ModuleType], str]:
    found = []
    for name, attributes in NEEDED.items():
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            return [], f"this WebUI has no training to hook ({error}); schedules can be planned and logs read here"
        missing = [attribute for attribute in attributes if not hasattr(module, attribute)]
        if missing:
            gone = f"{name} has no {' and no '.join(missing)} here"
            return [], f"{gone}, which training needs: nothing is hooked; schedules can be planned and logs read"
        found.append(module)
    return found, ""


def _name() -> str:
    try:
        from modules import launch_utils

        return f"WebUI {launch_utils.git_tag()}"
    except (ImportError, AttributeError):
        return "WebUI"
