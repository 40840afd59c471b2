"""One training in one thread: what the hooks know of the host's loop, told to a TrainingRun."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lib_lrsched.host.checkpointing import Checkpointing
from lib_lrsched.host.images import left_out
from lib_lrsched.host.input_checks import (
    InputError,
    caller_locals,
    cautions,
    check_design,
    check_is_left,
    check_numbers,
    nothing_learned,
)
from lib_lrsched.host.webui import Host
from lib_lrsched.optimizer import step_hook
from lib_lrsched.optimizer.codec import is_finite
from lib_lrsched.snapshot import find
from lib_lrsched.snapshot.snapshot import Bundle

from .file_saving import Saves
from .fingerprint import facts_of
from .folders import Folders
from .freezing import Freeze
from .guard import Rescuer
from .interrupts import Held
from .no_gradient import Stillness, of_twins, twins_of, why_not
from .restoring import TakingUp
from .run import TrainingRun
from .schedulers import ClipScheduler, RateScheduler
from .snapshots import Keeper, When

STOPS = (KeyboardInterrupt, SystemExit)
"""Raised into the loop by somebody who wants it to end; nothing has failed."""

LOOK_EVERY = 50
"""Updates between two looks at the folders that a training needs."""


class Session(TakingUp):
    """From the check of the inputs to the end of the loop, and the host's final save after it."""

    def __init__(self, host: Host, run: TrainingRun, bundle: Bundle | None = None, warnings: list[str] | None = None) -> None:
        super().__init__(host, run)
        settings = host.settings()
        when = When(settings.autosave_every, settings.autosave_minutes)
        self.keeper = Keeper(when, lambda: facts_of(run), self._extra_parts, bundle, self.tell_state_trouble)
        self.saves = Saves(host, self)
        self._rescuer = Rescuer(run, self.keeper, settings, self._stop, self.say)
        self._preview_every = 0
        self.pid = os.getpid()  # a forked child has its parent's sessions in memory, and they are not its own
        self.is_restored = False
        self.has_begun = False
        self.has_ended = False
        self._scheduler: RateScheduler | None = None
        self._clip: ClipScheduler | None = None
        self._gauge: step_hook.Gauge | None = None
        self._trained: Any = None
        self._initial_step = 0
        self._freeze: Freeze | None = None
        self._checkpointing: Checkpointing | None = None
        self._warnings = warnings
        self._waiting: tuple[int, float, float, Any] | None = None
        self._skipped = 0
        self._reported = -1
        self.why_not_exact = self._ruin = ""
        self.held = Held()
        self._log_folder = ""
        self._folders = Folders({})
        self._stillness = Stillness()

    # Before the loop: exceptions reach the user -------------------------------------------------

    def construct(self, text: Any, initial_step: int, frame: Mapping[str, Any]) -> RateScheduler | ClipScheduler | None:
        """What stands in for the host's scheduler: the rate at first, then the clip; None for a stranger's.

        Raises:
            ScheduleError: nothing is left to train.
            InputError: the log folder cannot be made, or a hypernetwork would not touch the model.
        """
        if self.has_begun:
            return None
        if self._scheduler is None and text == self.run.asked.rate_text:
            self.run.go_on_from(initial_step)
            check_is_left(self.run, initial_step)
            self._initial_step = initial_step
            self._preview_every = int(frame.get("create_image_every") or 0)
            self._trained = frame.get("embedding") if self.run.asked.kind == "embedding" else frame.get("hypernetwork")
            check_design(self._host, self.run.asked.kind, self.run.asked.name, self._trained)
            check_numbers(self.run.asked.kind, self.run.asked.name, self._trained)
            self._make_log_folder(frame.get("log_directory"))
            self._log_folder = str(frame.get("log_directory") or "")
            self._scheduler = RateScheduler(self.run, initial_step, self.attach, self.say)
            return self._scheduler
        if self._clip is None and self.run.clip_plan is not None and text == self.run.asked.clip_text:
            self._clip = ClipScheduler(self.run, initial_step)
            return self._clip
        return None

    def data_read(self, data: Any) -> None:
        """The host has read its data set: what it left out is told when the loop starts."""
        said = left_out(getattr(data, "image_paths", ()), (entry.filename for entry in data.dataset))
        if said:
            self._warnings = [*(self._warnings or []), said]

    def _make_log_folder(self, folder: Any) -> None:
        """The host makes its dated folder only for copies and pictures, and fails to save its settings into it otherwise."""
        if not isinstance(folder, str) or not folder:
            return
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"the log directory {folder!r} cannot be made: {error.strerror or error}") from error

    # In the loop: nothing is raised ---------------------------------------------------------------

    def begin(self) -> None:
        """The loop starts."""
        self.has_begun = True
        if self._host.settings().freeze:
            self.guard(self._freeze_model)
        run = self.run
        run.begin(self._initial_step, self._known())
        if self._trained is not None:  # also where the disk refused the run's files: the guard goes back to what is in memory
            self.guard(self._begin_keeping)
        self.say(self._describe())
        self.guard(self._begin_checkpointing)
        for message in (self.guard(self._cautions) or []):
            self.tell(message)
        if run.asked.clip_mode != "disabled":
            by = f"gradient clipping by {run.asked.clip_mode}"
            run.note(f"{by}, exact: on true, unscaled gradients" if run.exact_clip
                     else f"{by}, the host's own: on gradients as they are scaled")
        result = self._host.folder_of(run.asked.kind)
        self._folders = Folders({"data": run.asked.data_root, "log": self._log_folder, "result": result})
        self.say_troubles()

    def _begin_checkpointing(self) -> None:
        if self._freeze is not None:  # without checkpointing the gradients of a model that is not frozen take their memory too
            self._checkpointing = Checkpointing(self._host, self.guard, self.tell)

    def _cautions(self) -> list[str]:
        if self._warnings is None:
            return []
        return [*cautions(self._warnings, self.run), *self.run.stretches(self._initial_step)]

    def _stop(self) -> None:
        if self._scheduler is not None:
            self._scheduler.stopped = True

    def _freeze_model(self) -> None:
        thing = self._trained
        if thing is None:
            return
        self._freeze = Freeze(self._host.shared.sd_model, find.trained_tensors(self.run.asked.kind, thing))

    def attach(self, optimizer: Any) -> None:
        """The optimizer of the loop is known."""
        if self._gauge is not None:
            self._gauge.remove()
        self._gauge = step_hook.Gauge(optimizer, self._limit, self.guard)
        self.run.learned("optimizer", type(optimizer).__name__)
        scaler = caller_locals("scaler").get("scaler")
        self.guard(lambda: self._drop_foreign_state(optimizer))
        self.guard(lambda: self.keeper.attach(optimizer, scaler))
        self.guard(self._say_how_it_goes_on)

    def updated(self, steps_done: int, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """One update was made; ``steps_done`` is the host's count after it. Returns what the host shall log."""
        assert self._gauge is not None, "an update was made without apply()"
        self._reported = steps_done
        late = self._record_waiting()
        rate, norm = self._gauge.take()
        was_skipped = rate is None
        if rate is None:
            rate = step_hook.read_rate(self._gauge.optimizer)
            self._skipped += 1
            if self._skipped == 1:
                self.run.note(f"update {steps_done - 1} was skipped by GradScaler: its gradients overflowed", "skipped")
        step, loss = steps_done - 1, float(values["loss"])
        self._waiting = (step, rate, loss, norm)
        self.run.look(step, loss)
        if norm is None or not norm.is_pinned():
            late = self._record_waiting()
        is_good = self._rescuer.look(step, loss, late, was_skipped=was_skipped)
        disturbed = self._preview_every > 0 and (steps_done + 1) % self._preview_every == 0
        self.keeper.boundary(steps_done, made=self._gauge.made, disturbed=disturbed, is_good=is_good)
        if self._rescuer.acted:
            self.keeper.save_now()  # a kill must not undo it
        self.saves.after_update(steps_done)
        if steps_done % LOOK_EVERY == 0:
            self.look_around()
        return {**values, "learn_rate": rate}

    def look_around(self) -> None:
        """Says what has gone wrong outside the loop: with the run's files, or with a folder that has vanished."""
        for message in self._folders.gone():
            self.tell(message)
        self.say_troubles()

    def let_go(self) -> None:
        """The model is as it was before the loop; a second call does nothing."""
        if self._checkpointing is not None:
            self.guard(self._checkpointing.undo)
        if self._freeze is not None:
            self._freeze.undo()

    def loop_ended(self, others: Iterable[Session] = (), broken_by: BaseException | None = None) -> None:
        """The loop is over, in whatever way; the gauge goes off the optimizer.

        Args:
            others: still train.
            broken_by: what is being raised through the host's loop, if anything is; it swallows what is an Exception.
        """
        self.has_ended = True
        self.let_go()
        self._record_waiting()
        if self._gauge is not None:
            self.guard(self.mend)
            self.guard(self.keep_last)
            self.guard(self.keeper.close)
            self._gauge.remove()
            self._gauge = None
        self.guard(self.saves.loop_ended)
        known = self._known()
        if known is not None and known.step > 0 and self.run.asked.kind == "embedding":
            # After an exception the host keeps the advanced embedding in memory and goes on from it.
            self.run.saved(known, is_main=False)
        if self.run.asked.kind == "embedding" and self._trained is not None and not any(o.trains(self._trained) for o in others):
            # The host leaves it on; a later hypernetwork training whose prompts name this embedding then fails at its second epoch.
            self._trained.vec.requires_grad_(False)
            # What was accumulated for an update that did not come would be added to the next training's first.
            self._trained.vec.grad = None
        if self._skipped > 1:
            self.run.note(f"{self._skipped} updates were skipped by GradScaler: their gradients overflowed", "skipped")
        self.look_around()
        outcome, message = self._outcome(broken_by)
        self.run.end(outcome, message)
        self.say_troubles()
        self._scheduler = self._trained = None  # they hold the optimizer and the weights
        if self.run.asked.kind == "embedding":  # a hypernetwork is saved for the last time after this
            self.keeper.forget()

    def keep_last(self) -> None:
        """Write the bundle of the last update, if what is in memory is that of one moment."""
        gauge, keeper = self._gauge, self.keeper
        if gauge is None or self._trained is None:
            return
        here = (self._trained.step or 0, gauge.made)
        if gauge.is_whole and not keeper.is_torn and here == (keeper.moment.step, keeper.moment.made):
            keeper.keep_last()

    def mend(self) -> None:
        """The loop is over: what is in memory becomes that of one moment, wherever it broke off.

        Usually it is: a loop that ends in a forward pass has changed nothing since its last update but the generators and the
        place in the data, and of these the moment has its own. Else an update that the optimizer made is taken in, and one
        that it did not bring to its end is undone. A second call finds nothing to do.
        """
        gauge, thing, keeper = self._gauge, self._trained, self.keeper
        if gauge is None or thing is None:
            return
        is_counted, is_new = (thing.step or 0) != keeper.moment.step, gauge.made != keeper.moment.made
        if not gauge.is_whole or keeper.is_torn:
            self._take_back(thing, "the optimizer broke off in the middle of an update")
        elif is_new and not is_counted and keeper.is_scaled:  # GradScaler may or may not have drawn its conclusions
            self._take_back(thing, "the loop broke off before an update was counted")
        elif is_new or is_counted:
            self._take_in(thing)
        good = keeper.good
        if good is None or is_finite([tensor.detach() for tensor in find.trained_tensors(self.run.asked.kind, thing)]):
            return
        if is_finite(good.parts["trained"]):  # else it is not saved, see saves.py
            self._put_back(thing, good)
            message = f"what was trained is not finite: the last good state, after update {thing.step}, is saved instead"
            self.tell(message)
            self._ruin = "" if self._rescuer.has_diverged else message  # a range test is meant to get there

    def _put_back(self, thing: Any, good: Bundle | None) -> None:
        assert self._gauge is not None, "there is nothing to put back"
        thing.step = self.keeper.break_off(self._gauge.made, good)
        self._gauge.put_back()
        self.run.counted(thing.step)

    def _take_back(self, thing: Any, why: str) -> None:
        self._put_back(thing, None)
        self.tell(f"{why}: back to the state after update {thing.step}")

    def _take_in(self, thing: Any) -> None:
        """An update was made, and the host did not come to report it: all is known of it but its loss."""
        gauge, moment = self._gauge, self.keeper.moment
        assert gauge is not None, "there is nothing to take in"
        if (thing.step or 0) == moment.step:
            thing.step = moment.step + 1
        rate, norm = gauge.take()
        self.run.unreported(thing.step - 1, step_hook.read_rate(gauge.optimizer) if rate is None else rate,
                            None if norm is None else float(norm))
        if thing.step == moment.step + 1 and self._reported != thing.step:
            why = f"the loop broke off after update {thing.step - 1} and before its loss was reported: "
            why += "the guard and a plateau have not seen it"
        else:  # nobody looked at the generators at the right time
            why = f"what had to be noted after update {thing.step - 1} was not: "
            why += "random numbers and place in the data may be others"
        self.why_not_exact = why
        self.keeper.boundary(thing.step, made=gauge.made, disturbed=False, is_good=None)
        self.tell(why)

    @property
    def optimizer(self) -> Any:
        """The optimizer of the loop, while it goes on."""
        return None if self._gauge is None else self._gauge.optimizer

    def _record_waiting(self) -> float | None:
        """Records the update whose gradient norm was still on its way; gives that norm."""
        if self._waiting is None:
            return None
        step, rate, loss, norm = self._waiting
        self._waiting = None
        number = None if norm is None else float(norm)
        self.run.record(step, rate, loss, number)
        if number is not None and self._stillness.look(number):
            self.tell(f"nothing has been learned so far: no update had a gradient. {self._why_no_gradient()}")
        return number

    def _outcome(self, broken_by: BaseException | None) -> tuple[str, str]:
        if self._rescuer.stopped or self._ruin:
            return "failed", self._rescuer.stopped or self._ruin
        is_stopped = isinstance(broken_by, STOPS)
        if self._lacks_its_save and (self.saves.trouble or not is_stopped):
            return "failed", self.not_saved()
        learned = self._nothing_learned()
        if self._is_complete(broken_by):
            return "finished", learned
        if self._host.shared.state.interrupted or is_stopped:
            return "interrupted", learned
        if self.saves.was_rescued:
            saved = "the loop ended with an exception, and what was trained is saved; the traceback is on the console"
            return "failed", self._without_gradient(saved)
        return "failed", self._without_gradient("the loop ended with an exception; its traceback is on the console")

    def _why_no_gradient(self) -> str:
        return why_not(self.run.asked.kind, self.run.asked.name, self._embedding_names())

    def _embedding_names(self) -> list[str]:
        return list(getattr(self._host.embedding_db(), "word_embeddings", None) or ())

    def _without_gradient(self, message: str) -> str:
        """Where nothing else of the model needs a gradient either, torch refuses the first backward pass."""
        asked = self.run.asked
        twins = twins_of(asked.name, self._embedding_names()) if asked.kind == "embedding" else []
        return f"{message}. {of_twins(asked.name, twins)}" if twins and not self._stillness.has_moved else message

    def _nothing_learned(self) -> str:
        """Why what was trained is what it was before; empty where it is not."""
        why = nothing_learned(self.run)
        return f"nothing was learned: {why}" if why else self._stillness.message(self._why_no_gradient())

    @property
    def _lacks_its_save(self) -> bool:
        """Whether the host's final save should have come by the end of the loop and has not; a hypernetwork's comes later."""
        return self.run.asked.kind == "embedding" and not self.saves.has_final

    def _is_complete(self, broken_by: BaseException | None) -> bool:
        """Whether the loop made all its updates, and nothing was raised after the last.

        The scheduler has not always been asked once more: where an epoch is one update, the host's passes are used up with the
        last one. Then the host's own final save says so, or that the loop asked for another batch after it.
        """
        if not self.run.is_over(max(self.keeper.moment.step, self._reported)):  # a state from before its end may be back
            return False
        if broken_by is not None:
            return isinstance(broken_by, STOPS) and not self._lacks_its_save
        if self.saves.was_rescued:
            return False
        is_told = self._scheduler is not None and self._scheduler.finished
        return is_told or self.saves.has_final or self.keeper.is_past

    def not_saved(self) -> str:
        """What became of a training whose result is not on the disk, and what to do."""
        if not self.saves.trouble:
            return "the loop ended with an exception, and nothing could be saved; its traceback is on the console"
        mend = f"{self.saves.mend}, then train it again with the same max steps: it is saved, or resumed from where it was"
        return f"{self.saves.trouble}. {mend[0].upper()}{mend[1:]}"

    def _limit(self) -> tuple[str, float] | None:
        run = self.run
        if run.clip_plan is None or not run.exact_clip or self._scheduler is None:
            return None
        threshold = run.clip_at(self._scheduler.step_number)
        return None if threshold is None else (run.asked.clip_mode, threshold)

    def _describe(self) -> str:
        run = self.run
        first, last = run.rate_at(self._initial_step), run.plan.value(run.plan.stop - 1) * run.multiplier
        text = f"Training with the schedule `{run.asked.rate_text}`: "
        text += f"from step {self._initial_step} at {first:g} to {run.stop} at {last:g}"
        if run.asked.clip_mode != "disabled":
            text += f"; clipping by {run.asked.clip_mode}, {'exact' if run.exact_clip else 'the host’s own'}"
        return text
