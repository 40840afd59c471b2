"""A batch's way through the host's diffusion model, as callbacks see it.

The host's model draws timesteps in `forward` and hands them to `p_losses(x_start, cond, t, noise=None)`, which draws the noise,
asks `apply_model` for a prediction and `get_loss` for its error (ldm/models/diffusion/ddpm.py). For the length of a training
`p_losses` is wrapped on the model's instance; the prompts are seen as they reach the text encoder.

Two trainings in two threads share one model: each sees its own batches only. Passes without gradient, such as previews and
those of `Batch.loss_with`, go through untouched.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lib_lrsched.schedule.by_timestep import TIMESTEPS


@dataclass(eq=False)
class Batch:
    """One micro-batch of a training, before and after it has passed through the model.

    Attributes:
        latents: float [B, C, h, w].
        cond: what conditions the prediction: contexts [B, T, D], or an inpainting model's dict with the lists c_concat and
            c_crossattn.
        timesteps: int64 [B]. A callback may put others here before the pass.
        prompts: the texts [B] that the loop had encoded just before; empty where it had none encoded.
        keeps_noise: set by a callback before the pass that looks at it again after it.
        noise: float, the shape of the latents, where it is kept; else None. The model draws the same numbers where it is not.
            What a callback puts here before the pass is used.
        loss_weights: float [B] on the model's device: what each sample's loss is multiplied by in what is trained on. A callback
            may put them here before the pass, together with keeps_sample_losses. What is measured is without them.
        loss: of the pass, a float scalar on the model's device, without a graph and without weights; None before it.
        sample_losses: float [B], each sample's own, without a graph; None where it was not asked for or is not known.
        baseline, baseline_samples: as ``loss`` and ``sample_losses``, of what the run started from; None where not compared.
        samples: the same numbers as plain values, see callbacks/timesteps.py.
        is_alone: no other training draws from the same generators at this time.
        again: for ``loss_with``: the loss with another cond and this noise, while the batch is on its way.
    """

    latents: Tensor
    cond: Any
    timesteps: Tensor
    prompts: Sequence[str]
    keeps_noise: bool = False
    keeps_sample_losses: bool = False
    noise: Tensor | None = None
    loss_weights: Tensor | None = None
    loss: Tensor | None = None
    sample_losses: Tensor | None = None
    baseline: Tensor | None = None
    baseline_samples: Tensor | None = None
    samples: Sequence[Any] = ()
    is_alone: bool = True
    again: Callable[[Any, Tensor], Tensor] | None = field(default=None, repr=False)

    def loss_with(self, context: Callable[[], Tensor] | None = None) -> Tensor:
        """The loss of the same latents, timesteps and noise, with what conditions them replaced; no gradient, no generator moves.

        Args:
            context: gives float [B, T, D], and may draw as well; None leaves the context as it was.
        """
        assert self.again is not None, "it is over"
        assert self.noise is not None, "its noise was not kept"
        with torch.no_grad(), self.undrawn():  # dropout would draw
            cond = self.cond
            if context is not None:
                other = context()
                cond = {**cond, "c_crossattn": [other]} if isinstance(cond, Mapping) else other
            return self.again(cond, self.noise).detach()

    def undrawn(self) -> AbstractContextManager[None]:
        """Puts the generators back at its end. Beside another training that would have it draw the same numbers twice."""
        devices = [self.latents.device] if self.latents.is_cuda else []
        return torch.random.fork_rng(devices=devices, enabled=self.is_alone)


class LossSeam:
    """Shows one training's batches to its callbacks, until ``undo``.

    Args:
        model: the host's loaded model.
        before, after: called in the thread that makes this, with each batch on its way; they do not raise.

    Raises:
        AttributeError: the model has no `p_losses`, or no text encoder where the host's has it.
    """

    def __init__(self, model: nn.Module, before: Callable[[Batch], None], after: Callable[[Batch], None]) -> None:
        self._before, self._after = before, after
        self._prompts: Sequence[str] = ()
        self._thread = threading.get_ident()
        with _lock:
            wrapped = _wrapped.get(id(model))
            if wrapped is None:
                wrapped = _wrapped[id(model)] = _Wrapped(model)
            wrapped.seams[self._thread] = self
        self._wrapped: _Wrapped | None = wrapped

    def undo(self) -> None:
        """Shows nothing more; the last one on a model puts back what was there. A second call does nothing."""
        wrapped, self._wrapped = self._wrapped, None
        if wrapped is None:
            return
        with _lock:
            if wrapped.seams.get(self._thread) is self:
                del wrapped.seams[self._thread]
            if not wrapped.seams:
                _wrapped.pop(id(wrapped.model), None)
                wrapped.undo()

    def encoded(self, prompts: Sequence[str]) -> None:
        """The loop has these texts encoded."""
        self._prompts = prompts

    def losses(self, latents: Tensor, cond: Any, timesteps: Tensor, noise: Tensor) -> Tensor:
        """Each sample's loss, float [B], of a batch that is not trained on; no gradient, no generator moves.

        Args:
            latents, noise: float [B, C, h, w].
            cond: as the model's ``p_losses`` takes it.
            timesteps: int64 [B].
        """
        wrapped = self._wrapped
        assert wrapped is not None, "it is over"
        batch = Batch(latents, cond, timesteps, (), keeps_sample_losses=True, is_alone=len(wrapped.seams) == 1)
        with torch.no_grad(), batch.undrawn(), wrapped.collecting(batch):
            loss = wrapped.original(latents, cond, timesteps, noise=noise)[0]
        return loss.detach().float().expand(len(timesteps)) if batch.sample_losses is None else batch.sample_losses.float()

    def pass_through(self, wrapped: _Wrapped, x: Tensor, cond: Any, t: Tensor) -> Any:
        """One batch; answers as `p_losses`."""
        batch = Batch(x, cond, t, self._prompts, is_alone=len(wrapped.seams) == 1)
        self._prompts = ()
        self._before(batch)
        if batch.keeps_noise and batch.noise is None:
            batch.noise = torch.randn_like(x)  # as p_losses draws it: the same numbers
        given = {} if batch.noise is None else {"noise": batch.noise}
        with wrapped.collecting(batch):
            answer = wrapped.original(x, cond, batch.timesteps, **given)
        is_weighted = batch.loss_weights is not None and batch.sample_losses is not None
        batch.loss = batch.sample_losses.mean() if is_weighted else answer[0].detach()  # type: ignore[union-attr]

        def again(other: Any, noise: Tensor) -> Tensor:
            second = replace(batch, sample_losses=None, loss_weights=None)
            with wrapped.collecting(second):
                loss = wrapped.original(x, other, batch.timesteps, noise=noise)[0]
            batch.baseline_samples = second.sample_losses
            return loss  # type: ignore[no-any-return]

        batch.again = again
        self._after(batch)
        batch.again = None
        return answer


def check_seen(model: Any) -> None:
    """For those who change what the model is trained on.

    Raises:
        RuntimeError: its batches cannot be seen.
    """
    for name in ("p_losses", "get_loss"):
        if not hasattr(model, name):
            raise RuntimeError(f"expected a model of Stable Diffusion, got a {type(model).__name__} without {name}")


def timesteps_of(model: Any) -> int:
    """The number of its timesteps."""
    return int(getattr(model, "num_timesteps", TIMESTEPS))


_lock = threading.RLock()
_wrapped: dict[int, _Wrapped] = {}


class _Wrapped:
    """One model with our `p_losses` in the place of its own."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.seams: dict[int, LossSeam] = {}
        self.original: Callable[..., Any] = self.model.p_losses
        self._hook = self.model.cond_stage_model.register_forward_pre_hook(self._encode)
        self._own = vars(model).get("p_losses")
        self._ours = self._p_losses  # one object, to be known again by
        self.model.p_losses = self._ours
        self._collecting: dict[int, Batch] = {}
        self._get_loss: Any = None
        self._had_get_loss = False

    def undo(self) -> None:
        self._hook.remove()
        if vars(self.model).get("p_losses") is not self._ours:
            return  # another extension has wrapped it since, and calls ours: it passes everything through
        if self._own is None:
            del self.model.p_losses
        else:
            self.model.p_losses = self._own

    def _encode(self, _encoder: nn.Module, args: tuple[Any, ...]) -> None:
        seam = self.seams.get(threading.get_ident())
        if seam is not None and torch.is_grad_enabled() and args and not isinstance(args[0], (str, Tensor)):
            seam.encoded(args[0])

    def _p_losses(self, x_start: Tensor, cond: Any, t: Tensor, *args: Any, **kwargs: Any) -> Any:
        seam = self.seams.get(threading.get_ident())
        if seam is None or args or kwargs or not torch.is_grad_enabled():
            return self.original(x_start, cond, t, *args, **kwargs)
        return seam.pass_through(self, x_start, cond, t)

    @contextmanager
    def collecting(self, batch: Batch) -> Iterator[None]:
        """While a batch passes, `get_loss` shows what it answers for it; the passes of others at the same time keep it there."""
        if not batch.keeps_sample_losses or not hasattr(self.model, "get_loss"):
            yield
            return
        with _lock:
            if not self._collecting:
                # weighted_forward has put one of its own there for its call.
                self._had_get_loss, self._get_loss = "get_loss" in vars(self.model), self.model.get_loss
                self.model.get_loss = self._collect
            self._collecting[threading.get_ident()] = batch
        try:
            yield
        finally:
            with _lock:
                del self._collecting[threading.get_ident()]
                if not self._collecting:
                    if self._had_get_loss:
                        self.model.get_loss = self._get_loss
                    else:
                        del self.model.get_loss
                    self._get_loss = None

    def _collect(self, *args: Any, **kwargs: Any) -> Any:
        # Another thread's weighted_forward may have found this one there, and puts it back after we have taken it away.
        original = self._get_loss or partial(type(self.model).get_loss, self.model)
        answer = original(*args, **kwargs)
        batch = self._collecting.get(threading.get_ident())
        if batch is None or not isinstance(answer, Tensor) or answer.shape != batch.latents.shape:
            return answer
        if batch.sample_losses is None:
            batch.sample_losses = answer.detach().flatten(1).mean(1)
        weights = batch.loss_weights
        return answer if weights is None else answer * weights.view(-1, *[1] * (answer.dim() - 1))
