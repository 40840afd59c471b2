"""The snapshots of one training: taken between two updates, large ones written by a thread of their own, resumed from.

    order_of     the loop's batches pass through `data_order`: where the run stands in its data
    data_made    the data set is the stored run's again
    on_start     optimizer and GradScaler get their state back, before the first update
    on_update    where the generators stand; from time to time a snapshot
    keep_last    the loop is over, in whatever way: the snapshot of its last update

What is written is one moment: the newest Moment, with the weights and the optimizer that belong to it.
Session sees to it that they do when the loop broke off between two moments.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from lib_lrsched.errors import RunStateError
from lib_lrsched.optimizer import step_hook
from lib_lrsched.optimizer.codec import cloned, copied, is_finite
from lib_lrsched.schedule.plan import PLANNER_VERSION
from lib_lrsched.snapshot import data_set, generators
from lib_lrsched.snapshot.data_order import Batches, Hooks, Place, load_place_state_dict, place_state_dict
from lib_lrsched.snapshot.good_states import GoodStates
from lib_lrsched.snapshot.snapshot import Facts, Folder, Snapshot, optional_parts, peek
from lib_lrsched.snapshot.writer import Writer
from lib_lrsched.storage.atomic_files import second_name
from lib_lrsched.training.callback import PERSISTENT, Callback, Training, Update
from lib_lrsched.training.options import changing_training
from lib_lrsched.training.run import TrainingRun

SMALL_BYTES = 4 << 20
SMALL_EVERY = 25
LARGE_EVERY = 500
"""What is trained and no larger than SMALL_BYTES is copied to memory every so many updates, for the guard; larger things
when they are saved, or this often where nothing is saved."""

RETRY_MOST = 64
"""A save that failed is tried again after 1 update, then after 2, 4 and so on, and at last after so many."""


@dataclass(frozen=True)
class When:
    """How often a snapshot is written; 0 for never."""

    updates: int = 50
    minutes: float = 5.0

    @property
    def is_on(self) -> bool:
        return self.updates > 0 or self.minutes > 0


class Moment(NamedTuple):
    """Between two updates: where everything stands that keeps changing before the next one ends.

    ``made`` is the optimizer's own count of updates; ``draws`` is None before the first update of this training. The numbers of
    GradScaler are here, for they change before the next update is counted.
    """

    step: int = 0
    made: int = 0
    draws: generators.Draws | None = None
    place: Place | None = None
    scaler: Mapping[str, Any] = {}


def facts_of(run: TrainingRun, step: int, optimizer: str, data: str) -> Facts:
    """What a snapshot of this run says of it, but for the digest of what is trained."""
    request, planned = run.request, run.planned
    return Facts(
        run=run.id, kind=request.kind, name=request.name, step=step, digest="", rate_text=request.rate_text,
        clip_text=request.clip_text, total_steps=request.total_steps, origin=planned.origin, multiplier=float(planned.multiplier),
        planner=PLANNER_VERSION, optimizer=optimizer, time_s=time.time(), torch=str(torch.__version__), data=data,
    )  # fmt: skip


class Snapshots(Callback):
    """See the module.

    Args:
        when: how often to save.
        snapshot: what to resume from, or None.
    """

    on_failure = PERSISTENT

    def __init__(self, session: Training, when: When, snapshot: Snapshot | None) -> None:
        self.snapshot = snapshot
        self.is_exact = snapshot is not None
        self._session = session
        self._good_states = GoodStates()
        self.messages: list[str] = []
        self._when = when
        self._optimizer: Any = None
        self._scaler: Any = None
        self._batches: Batches | None = None
        self._data: tuple[Any, dict[str, Any]] | None = None
        self._data_digest = ""
        self._is_same_data = True
        self._has_data = False
        self._captions_are_drawn = True
        self._python_moves = True  # the host's loop draws from Python's generator before its next update
        self._folder: Folder | None = None
        self._writer = Writer(self._write)
        self.moment = Moment()
        self.is_torn = False  # a state is being put back, and is not there as a whole yet
        self.is_past = False  # the loop has asked for a batch since its last update: what follows an update went well
        self.preview_every = 0
        self._back_at: Snapshot | None = None
        self._good_step = 0
        self._tried_step = self._written_step = self._retry_step = 0
        self._best_step = self._best_written = 0  # the update after which the best state is to be kept, and after which it is
        self._retry_after = 1
        self._saved_s = time.monotonic()
        self._disturbed = False
        self._is_small = True

    @property
    def good(self) -> Snapshot | None:
        """The newest state in memory that nothing speaks against."""
        return self._good_states.newest

    @property
    def is_scaled(self) -> bool:
        """Whether a GradScaler is on."""
        return self._scaler is not None and bool(self._scaler.is_enabled())

    @property
    def is_needed(self) -> bool:
        """Whether anything is to be kept or put back."""
        return self._when.is_on or self.snapshot is not None

    @property
    def is_writing(self) -> bool:
        """Whether a snapshot is on its way to the disk."""
        return self._writer.is_busy

    # Before the loop --------------------------------------------------------------------------

    def order_of(self, inner: Any, data: Any) -> Batches:
        """What takes the place of the host's batch sampler."""
        rest = None
        if self.snapshot is not None and self._is_same_data and self.snapshot.parts["order"] is not None:
            try:
                rest = load_place_state_dict(self.snapshot.parts["order"], data, len(inner))
            except ValueError as error:
                self.not_exact(f"the order of the images starts over: {error}")
        hooks = Hooks(self._put_draws, self._undo_disturbance, generators.draw_base_seed)
        self._batches = Batches(inner, data, hooks, rest)
        return self._batches

    def data_made(self, data: Any, arguments: Mapping[str, Any], file: Path | None, encode: data_set.Encode | None) -> None:
        """The host has made its data set; ``file`` is the stored run's, which it is compared with."""
        options = changing_training(self._session.run.options, self._session.trainee.kind)
        described = data_set.describe(data, arguments, options)
        self._captions_are_drawn = bool(arguments.get("shuffle_tags", True) or arguments.get("tag_drop_out", True))
        if self.snapshot is not None and file is not None:
            try:
                made = data_set.Made(data, described, [*options], encode)
                differences = data_set.restore_into(file, made, self.snapshot.facts.data)
                for difference in (*differences.data, *differences.around):
                    self.not_exact(difference)
                self._is_same_data = not differences.data
            except RunStateError as error:
                self._is_same_data = False
                self.not_exact(f"prompts and latents are drawn again: {error}")
            described = data_set.with_prompts(described, data)  # what was put back is part of what is written
        self._data = (data, described)
        self._data_digest = data_set.digest(described)

    def not_exact(self, message: str) -> None:
        """The run resumes from what was saved, and is not what it would have been: why."""
        self.is_exact = False
        self.messages.append(message)

    def begin(self, step: int) -> None:
        """The loop starts at ``step``. Where the run has no folder nothing is written, and memory holds what the guard needs."""
        run = self._session.run
        self._folder = Folder(run.snapshots_path, run.id, run.stored_state, run.state().floor) if run.id else None
        self.moment = Moment(step)
        self._tried_step = self._written_step = self._good_step = step
        self._is_small = sum(t.numel() * t.element_size() for t in self._session.trainee.tensors()) <= SMALL_BYTES
        self._has_data = self.is_exact and self._folder is not None and _is_there(_data_file(self._folder))
        if self.snapshot is not None and self._folder is not None:
            resumed, folder = self.snapshot, self._folder
            self._session.reporter.protect(lambda: keep_best(folder, resumed, run.best_path))

    def on_start(self, session: Training) -> None:
        """Optimizer and GradScaler of the loop are known; the stored state goes into them."""
        self._optimizer, self._scaler = session.optimizer, session.scaler
        if self.snapshot is not None:
            if type(self._optimizer).__name__ != self.snapshot.facts.optimizer:
                before = self.snapshot.facts.optimizer
                self.not_exact(f"the optimizer is {type(self._optimizer).__name__}, was {before}: its state starts over")
            else:
                self._load(self.snapshot.parts)
        self._good_states.begin(self._taken(self._held()))

    # In the loop --------------------------------------------------------------------------------

    def on_update(self, update: Update) -> None:
        """An update was made; the next batch is not fetched yet. A preview that follows may draw from the generators."""
        done = update.step + 1
        if update.is_best and update.is_good is not False:  # else the weights are those of an earlier update by now
            self._best_step = done
        disturbed = self.preview_every > 0 and (done + 1) % self.preview_every == 0
        self.boundary(done, made=self._session.updates_made, disturbed=disturbed, is_good=update.is_good)
        if update.must_save:
            self.save_now()

    def boundary(self, step: int, *, made: int, disturbed: bool, is_good: bool | None) -> None:
        """An update was made, ``step`` in all; the next batch is not fetched yet.

        Args:
            made: the optimizer's own count of its updates in this training.
            disturbed: a preview follows before the next batch, and may draw from the generators.
            is_good: nothing speaks against the weights as they are; None where nothing speaks for them either, and what
                is on trial stays there.
        """
        place = None if self._batches is None else self._batches.place()
        scaler = step_hook.scaler_state(self._scaler) if self.is_scaled else {}
        draws = generators.take(None if self._python_moves else self.moment.draws)
        self.moment = Moment(step, made, draws, place, scaler)
        self._python_moves = disturbed or self._captions_are_drawn or self._batches is None or self._batches.is_epoch_over
        self._disturbed, self.is_past = disturbed, self._batches is None
        if is_good is not None:
            self._good_states.settle(is_good=is_good)
        if not is_good:
            return
        if self._is_due():
            self._save()
        elif step - self._good_step >= (SMALL_EVERY if self._is_small else LARGE_EVERY) and (
            self._is_small or not self._when.is_on
        ):
            self._offer(self._taken(self._held()))

    def _is_due(self) -> bool:
        when, step = self._when, self.moment.step
        if self._best_step != self._best_written and self._writer.is_busy:
            return False  # what waits would be given up for it
        if self._has_failed():
            return step >= self._retry_step
        return (when.updates > 0 and step - self._tried_step >= when.updates) or (
            when.minutes > 0 and time.monotonic() - self._saved_s >= 60.0 * when.minutes
        )

    def _has_failed(self) -> bool:
        """Whether what was last to be saved is not on the disk, nor on its way there."""
        return self._written_step != self._tried_step and not self._writer.is_busy

    def _offer(self, snapshot: Snapshot) -> None:
        self._good_step = snapshot.facts.step
        self._good_states.offer(snapshot, is_looked_at=self._is_small)

    def roll_back(self) -> Snapshot:
        """Puts the last good state back into what is trained, its optimizer and its GradScaler; gives it."""
        good = self._good_states.back()
        self._put_back(good)
        return good

    def break_off(self, made: int, good: Snapshot | None = None) -> Snapshot:
        """The loop ended between two moments: back to the newest one that is in memory, or to this one; gives it."""
        snapshot = self._good_states.newest_whole if good is None else good
        self._put_back(snapshot)
        self._back_at = snapshot
        self.moment = Moment(snapshot.facts.step, made)
        return snapshot

    def _put_back(self, snapshot: Snapshot) -> None:
        self.is_torn = True
        with torch.no_grad():
            for tensor, kept in zip(self._session.trainee.tensors(), snapshot.trained, strict=True):
                tensor.copy_(kept)
        self._load(snapshot.parts)
        self.is_torn = False

    def save_now(self) -> None:
        """A snapshot out of turn: something has happened that a kill must not undo."""
        if self._when.is_on and self.moment.draws is not None and self._tried_step != self.moment.step:
            self._writer.wait()  # what waits is not to be given up for it
            self._save()

    def keep_last(self) -> None:
        """The loop is over, and what is trained is what it was at the newest moment: writes the snapshot of that, and waits."""
        self._writer.close()
        if self._written_step != self.moment.step and self._when.is_on and self._optimizer is not None:
            last = self._last()
            if last is not None:
                self._writer.write_now(last)

    def _last(self) -> Snapshot | None:
        """The snapshot of the newest moment; None where the training has not got as far as its first."""
        back = self._back_at
        if back is None:
            return None if self.moment.draws is None else self._snapshot()
        if back.parts["random"] is None:
            return None
        return Snapshot(back.facts, copied(_as_written(back.parts)))

    def close(self) -> None:
        """Waits for what is being written, and lets go of the loop's things."""
        self._writer.close()
        self._optimizer = self._scaler = self._batches = None
        self.say_troubles()

    def on_forget(self) -> None:
        self._good_states, self.snapshot, self._back_at = GoodStates(), None, None
        self._data = None

    def say_troubles(self) -> None:
        """What went wrong in the thread that writes, told by the one that trains."""
        for trouble in self._writer.take_troubles():
            self._session.reporter.tell_state_trouble(trouble)

    # ----------------------------------------------------------------------------------------------

    def _save(self) -> None:
        step = self.moment.step
        self._retry_after = min(2 * self._retry_after, RETRY_MOST) if self._has_failed() else 1
        self._tried_step, self._retry_step, self._saved_s = step, step + self._retry_after, time.monotonic()
        self.moment = self.moment._replace(draws=generators.take())  # with what others in this process have drawn from Python's
        snapshot = self._snapshot()
        self._offer(snapshot)
        # What takes milliseconds is on the disk before the next update; a thread is for what would hold the training up.
        (self._writer.write_now if self._is_small else self._writer.submit)(snapshot)
        self.say_troubles()

    def _snapshot(self) -> Snapshot:
        """A copy of everything on the CPU: beside a large model's _held() all in this file that waits for the device."""
        return self._taken(_as_written({**self._moved(), **self._around(copied)}))

    def _held(self) -> dict[str, Any]:
        """The same for the guard, and to go back to; of what is small where it is, without a wait. See _as_written()."""
        if not self._is_small:
            return {**self._moved(), **self._around(copied)}
        trained, optimizer = cloned(self._session.trainee.tensors()), cloned(self._optimizer.state_dict())
        state = {"trained": trained, "optimizer": optimizer, "scaler": self._scaling()}
        return {**state, **self._around(cloned)}

    def _moved(self) -> dict[str, Any]:
        """What an update changes, on the CPU."""
        return {
            "trained": copied(self._session.trainee.tensors()),
            "optimizer": copied(self._optimizer.state_dict()),
            "scaler": step_hook.plain_scaler(self._scaling()),
        }

    def _scaling(self) -> dict[str, Any]:
        """GradScaler's numbers at this moment; before the first update those that it has."""
        if self._scaler is None or not self.is_scaled:
            return {}
        return dict(self.moment.scaler) or step_hook.scaler_state(self._scaler)

    def _around(self, copy: Callable[[Any], Any]) -> dict[str, Any]:
        """The rest of this moment: generators, place in the data, and what others keep, whose tensors change with every update."""
        parts = {name: copy(part) for name, part in self._session.state_dict().items()}
        return {**optional_parts(), **parts, "random": self.moment.draws, "order": self.moment.place}

    def _taken(self, parts: dict[str, Any]) -> Snapshot:
        name = type(self._optimizer).__name__
        return Snapshot(facts_of(self._session.run, self.moment.step, name, self._data_digest), parts)

    def _write(self, snapshot: Snapshot) -> None:
        """In the writer's thread, where there is one."""
        if not is_finite([snapshot.parts["trained"], snapshot.parts["optimizer"]]):
            raise ValueError(f"what is trained contains NaN or infinity after update {snapshot.facts.step}")
        facts = replace(snapshot.facts, digest=step_hook.digest(snapshot.trained))
        self._session.run.history.sync()
        if self._folder is None:
            raise FileNotFoundError(errno.ENOENT, "there is no folder for it")
        file = _data_file(self._folder)
        # With the first snapshot: until then an older one stands, which needs its own. And again where somebody deleted it.
        if self._data is not None and not (self._has_data and _is_there(file)):
            data_set.save(file, *self._data)
            self._has_data = True
        path = self._folder.add(replace(snapshot, facts=facts))
        if facts.step == self._best_step:
            second_name(path, self._session.run.best_path)
            self._best_written = facts.step
        self._written_step = facts.step  # last: what breaks off before this is tried again

    def _load(self, parts: Mapping[str, Any]) -> None:
        try:
            step_hook.load_state(self._optimizer, parts["optimizer"])
            enabled = self._scaler is not None and self._scaler.is_enabled()
            if enabled and parts["scaler"]:
                step_hook.load_scaler(self._scaler, parts["scaler"])
            elif enabled or parts["scaler"]:
                self.not_exact("GradScaler was " + ("off and is now on" if enabled else "on and is now off"))
        except (ValueError, KeyError, TypeError, RuntimeError, IndexError) as error:
            self.not_exact(f"the optimizer's saved state does not fit and starts over: {error}")

    def _put_draws(self) -> None:
        """The first batch is about to be drawn: the generators stand where they stood."""
        if self.snapshot is None:
            return
        try:
            draws = generators.load_state_dict(self.snapshot.parts["random"])
            generators.put(draws)
            there = torch.cuda.device_count() if torch.cuda.is_available() else 0
            if len(draws.cuda) > there:
                self.not_exact(f"the snapshot has random states for {len(draws.cuda)} CUDA devices; {there} are present")
        except (ValueError, TypeError, KeyError, RuntimeError, OverflowError) as error:
            self.not_exact(f"the random numbers differ: {error}")

    def _undo_disturbance(self) -> None:
        if self._disturbed and self.moment.draws is not None:
            generators.put(self.moment.draws)
        self._disturbed, self.is_past = False, True


def _as_written(parts: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a snapshot in memory as they go to the disk: as plain values."""
    draws, place = parts["random"], parts["order"]
    return {
        **parts,
        "scaler": step_hook.plain_scaler(parts["scaler"]),
        "random": generators.state_dict(draws) if isinstance(draws, generators.Draws) else draws,
        "order": (place_state_dict(place) if place.taken else None) if isinstance(place, Place) else place,
    }


def keep_best(folder: Folder, resumed: Snapshot, best: Path) -> None:
    """A kill between a snapshot and its second name: what is resumed from is the best state, and is kept as such now."""
    part, step = resumed.parts.get("validation"), resumed.facts.step
    if not isinstance(part, dict) or part.get("step") != step:
        return
    try:
        if peek(best).facts.step == step:
            return
    except RunStateError:
        pass  # there is none
    newest = next((path for _, path in folder.numbered() if peek(path).facts.step == step), None)
    if newest is not None:
        second_name(newest, best)


def _is_there(file: Path) -> bool:
    """Path.exists() raises where a folder may not be looked into."""
    return os.path.exists(file)  # noqa: PTH110


def _data_file(folder: Folder) -> Path:
    return folder.path.with_name("data.safetensors")
