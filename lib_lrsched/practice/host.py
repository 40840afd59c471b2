"""The practice host as the hooks see it: the same seams as the WebUI's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lib_lrsched.host.webui import Host
from lib_lrsched.practice import dataset, hypernetwork, images, sd_hijack, sd_hijack_checkpoint, shared, textual_inversion
from lib_lrsched.practice.trainer import PracticeTrainer
from lib_lrsched.practice.unet import CrossAttention
from lib_lrsched.training.settings import Settings

FAST_ATTENTION = CrossAttention.forward
"""What its layers compute anyway."""


def practice_host(root: str | Path, settings: Callable[[], Settings] = Settings) -> Host:
    """The practice host over a folder; run state goes to ``root/lrsched``."""
    return Host(
        name="practice",
        ti=textual_inversion,
        hn=hypernetwork,
        dataset=dataset,
        checkpoint=sd_hijack_checkpoint,
        shared=shared,
        images=images,
        embedding=lambda name: sd_hijack.model_hijack.embedding_db.word_embeddings.get(name),
        hypernetwork_file=lambda name: shared.hypernetworks.get(name),
        embeddings_dir=lambda: str(shared.cmd_opts.embeddings_dir),
        hypernetworks_dir=lambda: str(shared.cmd_opts.hypernetwork_dir),
        reload_embeddings=lambda: sd_hijack.model_hijack.embedding_db.load_textual_inversion_embeddings(force_reload=True),
        reload_hypernetworks=lambda: shared.reload_hypernetworks(),
        model_facts=lambda: {"checkpoint": shared.select_checkpoint().shorthash},
        embedding_db=lambda: sd_hijack.model_hijack.embedding_db,
        fast_attention=FAST_ATTENTION,
        data_dir=Path(root) / "lrsched",
        settings=settings,
        trainer=PracticeTrainer(),
    )
