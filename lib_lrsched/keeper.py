"""The bundles of one training: taken between two updates, large ones written by a thread of their own, gone on with.

    order_of     the loop's batches pass through `batches`: where the run stands in its data
    data_made    the data set is the stored run's again
    attach       optimizer and GradScaler get their state back, before the first update
    boundary     after each update: where the generators stand; from time to time a bundle
    close        the loop is over, in whatever way: the bundle of its last update

It knows no schedule and no host module; hooks and session bring it what it keeps.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import data_state, optim, randomness
from .batches import Batches, Hooks, Place, place_from_parts, place_to_parts
from .bundle import Bundle, Facts, Folder
from .codec import cloned, copied, is_finite
from .errors import RunStateError
from .goods import Goods
from .writer import Writer

SMALL_BYTES = 4 << 20
SMALL_EVERY = 25
LARGE_EVERY = 500
"""What is trained and no larger than SMALL_BYTES is copied to memory every so many updates, for the guard; larger things
when they are saved, or this often where nothing is saved."""


@dataclass(frozen=True)
class When:
    """How often a bundle is written; 0 for never."""

    updates: int = 50
    minutes: float = 5.0

    @property
    def is_on(self) -> bool:
        return self.updates > 0 or self.minutes > 0


class Keeper:
    """See the module.

    Args:
        when: how often to save.
        facts: of a bundle taken now; asked for at every bundle.
        extra: parts of the run that others keep (watch, guard, extra), likewise.
        bundle: what to go on with, or None.
        say: tells the user.
    """

    def __init__(self, when: When, facts: Callable[[], Facts], extra: Callable[[], Mapping[str, Any]],
                 bundle: Bundle | None, say: Callable[[str], None]) -> None:
        self.bundle = bundle
        self.is_exact = bundle is not None
        self._goods = Goods()
        self.messages: list[str] = []
        self._when, self._facts, self._extra, self._say = when, facts, extra, say
        self._trained: Callable[[], list[Tensor]] = list
        self._optimizer: Any = None
        self._scaler: Any = None
        self._batches: Batches | None = None
        self._data: tuple[Any, dict[str, Any]] | None = None
        self._data_digest = ""
        self._is_same_data = True
        self._has_data = False
        self._folder: Folder | None = None
        self._sync: Callable[[], None] = lambda: None
        self._writer = Writer(self._write)
        self._draws: randomness.Draws | None = None
        self._place: Place | None = None
        self._step = self._saved_step = self._good_step = 0
        self._saved_s = time.monotonic()
        self._disturbed = False
        self._is_small = True

    @property
    def good(self) -> Bundle | None:
        """The newest state in memory that nothing speaks against."""
        return self._goods.newest

    @property
    def is_needed(self) -> bool:
        """Whether anything is to be kept or put back."""
        return self._when.is_on or self.bundle is not None

    @property
    def is_writing(self) -> bool:
        """Whether a bundle is on its way to the disk."""
        return self._writer.is_busy

    # Before the loop --------------------------------------------------------------------------

    def order_of(self, inner: Any, data: Any) -> Batches:
        """What takes the place of the host's batch sampler."""
        rest = None
        if self.bundle is not None and self._is_same_data and self.bundle.parts["order"] is not None:
            try:
                rest = place_from_parts(self.bundle.parts["order"], data, len(inner))
            except ValueError as error:
                self.not_exact(f"the order of the pictures starts anew: {error}")
        hooks = Hooks(self._put_draws, self._undo_disturbance, randomness.draw_base_seed)
        self._batches = Batches(inner, data, hooks, rest)
        return self._batches

    def data_made(self, data: Any, arguments: Mapping[str, Any], file: Path | None, encode: data_state.Encode | None) -> None:
        """The host has made its data set; ``file`` is the stored run's, which it is compared with."""
        described = data_state.describe(data, arguments)
        if self.bundle is not None and file is not None:
            try:
                differences = data_state.take_up(file, data, described, encode, self.bundle.facts.data)
                for difference in (*differences.data, *differences.around):
                    self.not_exact(difference)
                self._is_same_data = not differences.data
            except RunStateError as error:
                self._is_same_data = False
                self.not_exact(f"prompts and latents are drawn anew: {error}")
            described = data_state.with_prompts(described, data)  # what was put back is part of what is written
        self._data = (data, described)
        self._data_digest = data_state.digest(described)

    def not_exact(self, message: str) -> None:
        """What was saved is taken up, and the run is not what it would have been: why."""
        self.is_exact = False
        self.messages.append(message)

    def begin(self, step: int, folder: Folder | None, trained: Callable[[], list[Tensor]], sync: Callable[[], None]) -> None:
        """The loop starts at ``step``. ``trained`` gives the tensors; ``sync`` brings the history to the disk.

        ``folder`` is None where there is none to be had: then nothing is written, and what is kept in memory is kept all the same.
        """
        self._folder, self._trained, self._sync = folder, trained, sync
        self._step = self._saved_step = self._good_step = step
        self._is_small = sum(t.numel() * t.element_size() for t in trained()) <= SMALL_BYTES
        self._has_data = self.is_exact and folder is not None and _is_there(_data_file(folder))

    def attach(self, optimizer: Any, scaler: Any) -> None:
        """Optimizer and GradScaler of the loop are known; the stored state goes into them."""
        self._optimizer, self._scaler = optimizer, scaler
        if self.bundle is not None:
            parts = self.bundle.parts
            if type(optimizer).__name__ != self.bundle.facts.optimizer:
                before = self.bundle.facts.optimizer
                self.not_exact(f"the optimizer is {type(optimizer).__name__}, was {before}: its state starts anew")
            else:
                self._load(parts)
        self._goods.begin(self._bundle(self._held()))

    # In the loop --------------------------------------------------------------------------------

    def boundary(self, step: int, *, disturbed: bool, is_good: bool | None) -> None:
        """An update was made, ``step`` in all; the next batch is not fetched yet.

        Args:
            disturbed: a preview follows before the next batch, and may draw from the generators.
            is_good: nothing speaks against the weights as they are; None where nothing speaks for them either, and what
                is on trial stays there.
        """
        self._draws, self._step, self._disturbed = randomness.take(), step, disturbed
        self._place = None if self._batches is None else self._batches.place()
        if is_good is not None:
            self._goods.settle(is_good=is_good)
        if not is_good:
            return
        when = self._when
        if (when.updates and step - self._saved_step >= when.updates) or (
            when.minutes and time.monotonic() - self._saved_s >= 60.0 * when.minutes
        ):
            self._save()
        elif step - self._good_step >= (SMALL_EVERY if self._is_small else LARGE_EVERY) and (self._is_small or not when.is_on):
            self._offer(self._bundle(self._held()))

    def _offer(self, bundle: Bundle) -> None:
        self._good_step = bundle.facts.step
        self._goods.offer(bundle, is_looked_at=self._is_small)

    def roll_back(self) -> int:
        """Puts the last good state back into what is trained, its optimizer and its GradScaler; gives its step."""
        good = self._goods.back()
        with torch.no_grad():
            for tensor, kept in zip(self._trained(), good.trained, strict=True):
                tensor.copy_(kept)
        self._load(good.parts)
        return good.facts.step

    def save_now(self) -> None:
        """A bundle out of turn: something has happened that a kill must not undo."""
        if self._when.is_on and self._draws is not None:
            self._save()

    def keep_last(self) -> None:
        """The loop is over, and what is trained is what it was after its last update: writes the bundle of that, and waits."""
        if self._draws is not None and self._step != self._saved_step and self._when.is_on and self._optimizer is not None:
            self._save()
        self._writer.close()

    def close(self) -> None:
        """Waits for what is being written, and lets go of the loop's things."""
        self._writer.close()
        self._optimizer = self._scaler = self._batches = None
        self.say_troubles()

    def forget(self) -> None:
        """The host has saved for the last time: lets go of what was trained, and of its copies."""
        self._trained, self._goods, self.bundle, self._data = list, Goods(), None, None

    def say_troubles(self) -> None:
        """What went wrong in the thread that writes, told by the one that trains."""
        for trouble in self._writer.take_troubles():
            self._say(trouble)

    # ----------------------------------------------------------------------------------------------

    def _save(self) -> None:
        self._saved_step, self._saved_s = self._step, time.monotonic()
        snapshot = self._snapshot()
        self._offer(snapshot)
        # What takes milliseconds is on the disk before the next update; a thread is for what would hold the training up.
        (self._writer.write_now if self._is_small else self._writer.submit)(snapshot)
        self.say_troubles()

    def _snapshot(self) -> Bundle:
        """A copy of everything on the CPU: beside a large thing's _moved() all in this file that waits for the device."""
        place = self._place
        return self._bundle({
            **self._moved(),
            "random": randomness.to_parts(self._draws or randomness.take()),
            "order": None if place is None or not place.taken else place_to_parts(place),
            **self._extra(),
        })

    def _held(self) -> dict[str, Any]:
        """A copy of what an update changes, all that the guard needs; of what is small where it is, without a wait."""
        if not self._is_small:
            return self._moved()
        scaler = {} if self._scaler is None else optim.scaler_state(self._scaler)
        return {"trained": cloned(self._trained()), "optimizer": cloned(self._optimizer.state_dict()), "scaler": scaler}

    def _moved(self) -> dict[str, Any]:
        """The same on the CPU."""
        return {
            "trained": copied(self._trained()),
            "optimizer": copied(self._optimizer.state_dict()),
            "scaler": copied(self._scaler.state_dict()) if self._scaler is not None else {},
        }

    def _bundle(self, parts: dict[str, Any]) -> Bundle:
        name = type(self._optimizer).__name__
        return Bundle(replace(self._facts(), step=self._step, optimizer=name, data=self._data_digest), parts)

    def _write(self, bundle: Bundle) -> None:
        """In the writer's thread, where there is one."""
        if not is_finite([bundle.parts["trained"], bundle.parts["optimizer"]]):
            raise ValueError(f"what is trained is not finite after update {bundle.facts.step}: it is not saved")
        facts = replace(bundle.facts, digest=optim.digest(bundle.trained))
        self._sync()
        if self._folder is None:
            raise FileNotFoundError(errno.ENOENT, "there is no folder for it")
        file = _data_file(self._folder)
        # With the first bundle: until then an older one stands, which needs its own. And again where somebody deleted it.
        if self._data is not None and not (self._has_data and _is_there(file)):
            data_state.save(file, *self._data)
            self._has_data = True
        self._folder.add(replace(bundle, facts=facts))

    def _load(self, parts: Mapping[str, Any]) -> None:
        try:
            optim.load_state(self._optimizer, parts["optimizer"])
            enabled = self._scaler is not None and self._scaler.is_enabled()
            if enabled and parts["scaler"]:
                optim.load_scaler(self._scaler, parts["scaler"])
            elif enabled or parts["scaler"]:
                self.not_exact("GradScaler was " + ("off, and is on" if enabled else "on, and is off"))
        except (ValueError, KeyError, TypeError, RuntimeError, IndexError) as error:
            self.not_exact(f"the optimizer's saved state does not fit and starts anew: {error}")

    def _put_draws(self) -> None:
        """The first batch is about to be drawn: the generators stand where they stood."""
        if self.bundle is None:
            return
        try:
            draws = randomness.from_parts(self.bundle.parts["random"])
            randomness.put(draws)
            there = torch.cuda.device_count() if torch.cuda.is_available() else 0
            if len(draws.cuda) > there:
                self.not_exact(f"random numbers of {len(draws.cuda)} CUDA devices were saved, and {there} are here")
        except (ValueError, TypeError, KeyError, RuntimeError, OverflowError) as error:
            self.not_exact(f"the random numbers are others: {error}")

    def _undo_disturbance(self) -> None:
        if self._disturbed and self._draws is not None:
            randomness.put(self._draws)
        self._disturbed = False


def _is_there(file: Path) -> bool:
    """Path.exists() raises where a folder may not be looked into."""
    return os.path.exists(file)  # noqa: PTH110


def _data_file(folder: Folder) -> Path:
    return folder.path.with_name("data.safetensors")
