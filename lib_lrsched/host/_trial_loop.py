"""One micro-batch of the host's training loops, as their own code computes it, for the candidates of a trial.

    TI: modules/textual_inversion/textual_inversion.py, train_embedding     HN: modules/hypernetworks/hypernetwork.py
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .kinds import kind_of
from .webui import Host

if TYPE_CHECKING:
    from torch import Tensor


class HostLoop:
    """See training/trial.py, Loop.

    Args:
        frame: the locals of the host's train function, which is in its loop.
    """

    def __init__(self, host: Host, kind: str, frame: Mapping[str, Any]) -> None:
        self.optimizer = frame["optimizer"]
        self.scaler = frame.get("scaler")
        self._data, self._loader = frame["ds"], frame["dl"]
        self.accumulate = int(self._data.gradient_step)
        self._host = host
        self._is_weighted = bool(frame.get("use_weight"))
        self._context = self._encoded if kind_of(kind).encodes_anew(frame) else self._ready
        # HN moves the text encoder to the CPU where the option asks for it; TI leaves it.
        self._is_unloaded = "cond_stage_model" in kind_of(kind).unloaded and bool(frame.get("unload"))

    def batches(self) -> Iterator[Any]:
        batches = len(self._data) // self._data.batch_size
        trained = batches - batches % self.accumulate
        while True:
            for number, batch in enumerate(self._loader):
                if number == trained:
                    break
                yield batch

    def loss(self, batch: Any) -> Tensor:
        model, device = self._host.shared.sd_model, self._host.shared.device
        with self._host.autocast():
            latents = batch.latent_sample.to(device)
            context = self._context(batch)
            if self._is_weighted:
                return model.weighted_forward(latents, context, batch.weight.to(device))[0]  # type: ignore[no-any-return]
            return model.forward(latents, context)[0]  # type: ignore[no-any-return]

    def _encoded(self, batch: Any) -> Any:
        encoder, device = self._host.shared.sd_model.cond_stage_model, self._host.shared.device
        if not self._is_unloaded:
            return encoder(batch.cond_text)
        encoder.to(device)
        context = encoder(batch.cond_text).to(device)
        encoder.to("cpu")
        return context

    def _ready(self, batch: Any) -> Any:
        return self._host.hn.stack_conds(batch.cond).to(self._host.shared.device)
