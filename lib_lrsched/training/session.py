"""One training in one thread: the host's loop as its hooks see it, told to the run and to the callbacks.

The seams of host/hooks.py call, in this order:

    session.construct(text, step, frame)      -> the schedulers that the loop gets; exceptions reach the user
    session.check_data(data), data_made(...)  the host has made its data set              -> callbacks.on_data
    session.begin()                           the loop starts; from here on nothing is raised into it
    session.attach(optimizer)                 at the first apply()                        -> callbacks.on_start
    for each update:
        session.before_clip()                 in the optimizer's step pre-hook            -> callbacks.before_clip
        session.before_step()                                                             -> callbacks.before_step
        session.after_step()                  in its post-hook                            -> callbacks.after_step
        session.updated(steps_done, values)   write_loss                                  -> callbacks.on_update
    session.file_saving.save(...)             the host writes what is trained             -> callbacks.before_save, on_save
    session.loop_ended(...)                   however it ended                            -> callbacks.on_end
    session.forget()                          the host has saved for the last time        -> callbacks.on_forget

What each callback does is in callbacks/, when it is called in callback.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lib_lrsched.optimizer import step_hook
from lib_lrsched.optimizer.codec import is_finite
from lib_lrsched.preview import not_measured
from lib_lrsched.snapshot.snapshot import Snapshot
from lib_lrsched.storage.resume import Resumption
from lib_lrsched.storage.run_state import Known

from . import _data_faults
from ._interrupts import Held
from ._option_callbacks import that_change_updates
from ._run_start import drop_foreign_state, find_start
from .callback import Callback, Callbacks, InPlace, Outcome, PreviewImage, Save, Update
from .callbacks.file_saving import FileSaving
from .callbacks.folder_watch import FolderWatch
from .callbacks.freezing import Freezing
from .callbacks.guard import Guard
from .callbacks.history import RecordHistory
from .callbacks.preview_images import RecordImages
from .callbacks.progress import Progress
from .callbacks.putting_back import PutBack
from .callbacks.rate_and_clip import RateAndClip
from .callbacks.snapshots import Snapshots, When
from .callbacks.strength import Strength
from .callbacks.timesteps import TimestepLosses
from .callbacks.validation import Validation
from .callbacks.weight_average import WeightAverage
from .host import Checks, Host, InputError
from .loss_seam import Batch, LossSeam
from .options import Options
from .reporter import Reporter
from .run import TrainingRun
from .schedulers import ClipScheduler, RateScheduler
from .settings import TRAINING_SPEED
from .trainee import trainee_of

STOPS = (KeyboardInterrupt, SystemExit)
"""Raised into the loop by somebody who wants it to end; nothing has failed."""

WHY = "not_exact"
"""In a snapshot's part "extra": why what resumes from it is not exactly what would have come without the break."""


class Session:
    """From the check of the inputs to the end of the loop, and the host's final save after it.

    It knows five callbacks by name, because they answer what an event cannot ask. ``rate_and_clip`` gives the host its schedulers
    and counts updates; ``snapshots`` has what the run resumes from, and the moment to go back to where the loop broke off;
    ``file_saving`` makes the host's saves; ``guard`` and ``history`` know why a training failed or learned nothing.

    Args:
        checks: what the host's side looks at.
        snapshot: what to resume from, or None.
        warnings: found when the inputs were checked; said when the loop starts.
        host_callbacks: of the host's own; they come right after the freezing.
    """

    def __init__(self, host: Host, run: TrainingRun, checks: Checks, snapshot: Snapshot | None = None,
                 warnings: Sequence[str] = (), host_callbacks: Sequence[Callback] = ()) -> None:
        self.host = host
        self.run = run
        self.reporter = Reporter(host, run)
        self.trainee = trainee_of(host, run.request.kind, run.request.name)
        self.initial_step = 0
        self.optimizer: Any = None
        self.scaler: Any = None
        self.start: list[torch.Tensor] | None = None
        self.why_not_exact = self._ruin = self._finished = ""
        self.pid = os.getpid()  # a forked child has its parent's sessions in memory, and they are not its own
        self.newest_progress: float | None = None  # of the last update; None where that was not measured
        self.tensorboard_writer: Any = None  # the host's, where it uses one
        self.is_restored = self.has_begun = self.has_ended = self.is_frozen = False
        self.other_weights: dict[str, InPlace] = {}
        self.held = Held()
        self._checks = checks
        self._warnings = list(warnings)
        self._reported = -1
        self._stopped = ""
        self._compares = True
        self._seam: LossSeam | None = None
        self._host_callbacks = host_callbacks
        self._make_callbacks(snapshot)

    def _make_callbacks(self, snapshot: Snapshot | None) -> None:
        settings, options, is_rehearsal = self.host.settings(), self.run.options, self.run.is_rehearsal
        if is_rehearsal:  # everything is put back: there is nothing to average, and no best state
            options = replace(options, ema=0.0, validate_every=0)
        self.rate_and_clip = RateAndClip(self)
        self.history = RecordHistory(self)
        self.guard = Guard(self)
        when = When(0, 0.0) if is_rehearsal else When(settings.autosave_every, settings.autosave_minutes)
        self.snapshots = Snapshots(self, when, snapshot)
        self.file_saving = FileSaving(self, self._checks)
        average = [WeightAverage(self, options.ema)] if options.ema > 0 else []
        validation = [Validation(self, self._checks, options)] if options.validate_every else []
        put_back = [PutBack(self)] if is_rehearsal else []
        self.callbacks = Callbacks(
            [Freezing(), *self._host_callbacks, self.rate_and_clip, *that_change_updates(self, options),
             *average, Progress(self, options.progress_every), TimestepLosses(self), Strength(self),
             *validation, self.history, self.guard, self.snapshots, self.file_saving, FolderWatch(),
             RecordImages(self), *put_back],
            self.reporter, self.give_up,
        )  # fmt: skip

    # Before the loop: exceptions reach the user -------------------------------------------------

    def adopt(self, resumed: Resumption, snapshot: Snapshot | None, options: Options) -> None:
        """What the run resumes from, and its options, was only found once the host had loaded it."""
        planned = self.run.planned
        if resumed.state is None:
            planned.resumed = replace(planned.resumed, messages=resumed.messages, heir_of=resumed.heir_of)
            return
        planned.adopt(resumed)
        self.run.options = options
        self._make_callbacks(snapshot)

    def warn(self, message: str) -> None:
        """To be said when the loop begins."""
        self._warnings.append(message)

    def restore(self, host_object: Any) -> bool:
        """Put the snapshot's weights and step into the host's object, if there is a snapshot; whether it was done.

        Raises:
            RunStateError: they are of another design.
        """
        snapshot = self.snapshots.snapshot
        if snapshot is None or self.has_begun:
            return False
        self.is_restored = True
        self.trainee.put_back(snapshot, host_object)
        return True

    def construct(self, text: Any, initial_step: int, frame: Mapping[str, Any]) -> RateScheduler | ClipScheduler | None:
        """What stands in for the host's scheduler: the rate at first, then the clip; None for a stranger's.

        Args:
            frame: the locals of the host's train function.

        Raises:
            ScheduleError: nothing is left to train.
            InputError: the log folder cannot be made, or what is trained does not fit.
        """
        run, own = self.run, self.rate_and_clip
        if self.has_begun:
            return None
        if own.scheduler is None and text == run.request.rate_text:
            run.planned.resume_at(initial_step)
            self.initial_step = initial_step
            self.snapshots.preview_every = int(frame.get("create_image_every") or 0)
            self.trainee.take(frame)
            self._checks.before_start(run, self.trainee.host_object, initial_step)
            _make_log_folder(frame.get("log_directory"))
            return own.construct_rate(initial_step)
        if own.clip is None and run.planned.clip_plan is not None and text == run.request.clip_text:
            return own.construct_clip(initial_step)
        return None

    def check_data(self, data: Any) -> None:
        """The host has made its data set: what would train to NaN is mended and said, or refused.

        Raises:
            InputError: the VAE made something of an image that is not finite.
        """
        trouble = _data_faults.no_numbers(data)
        if trouble:
            raise InputError(trouble)
        mended = _data_faults.even_weights(data)
        if mended:
            self.warn(mended)

    def data_made(self, data: Any, arguments: Mapping[str, Any]) -> None:
        """The host has made its data set: it becomes the stored run's again, where there is one."""
        state = self.run.planned.resumed.state
        model: Any = arguments.get("cond_model")

        def encode(text: str) -> Any:
            with self.host.autocast(), torch.no_grad():
                return model([text]).detach().to("cpu").squeeze(0)

        self.callbacks.call("on_data", data, arguments, encode)
        if not self.snapshots.is_needed:
            return
        file = None if state is None else self.run.data_path(state.id)
        made_of = {**arguments, **self.host.model_facts(), **self._checks.surroundings(self.trainee.kind)}
        self.snapshots.data_made(data, made_of, file, encode if arguments.get("include_cond") else None)

    # In the loop: nothing is raised ---------------------------------------------------------------

    def begin(self) -> None:
        """The loop starts."""
        self.has_begun = True
        run, protect = self.run, self.reporter.protect
        run.begin(self.initial_step, self._known())
        if self.trainee.host_object is not None:  # also where the disk refused the run's files: the guard needs what is in memory
            protect(lambda: self.snapshots.begin(self.initial_step))
        self.reporter.say(self.run.described(self.initial_step))
        if run.is_rehearsal:
            self.reporter.tell("the whole text is a range test: what is trained is put back at its end, and nothing of it is saved")
        for message in (protect(self._cautions) or []):
            self.reporter.tell(message)
        if run.request.clip_mode != "disabled":
            by = f"gradient clipping by {run.request.clip_mode}"
            run.note(f"{by}, exact: on true, unscaled gradients" if run.exact_clip
                     else f"{by}, the WebUI's own: on scaled gradients")
        self.reporter.say_troubles()

    def attach(self, optimizer: Any) -> None:
        """The optimizer of the loop is known: the first update is about to be made."""
        self.rate_and_clip.attach(optimizer)
        self.optimizer, self.scaler = optimizer, self._checks.scaler()
        self.run.learned("optimizer", type(optimizer).__name__)
        self.reporter.protect(lambda: self._drop_foreign_state(optimizer))
        self.reporter.protect(self._load_states)
        self.start = self.reporter.protect(lambda: find_start(self.run, self.trainee, self.reporter))
        self.callbacks.call("on_start", self)
        self.reporter.protect(self._look_at_batches)
        self.reporter.protect(self._say_how_it_resumes)

    def _look_at_batches(self) -> None:
        """From here on callbacks see each batch on its way through the model."""
        model = self.host.shared.sd_model
        if self._seam is None and hasattr(model, "p_losses"):
            self._seam = LossSeam(model, lambda batch: self.callbacks.call("before_forward", batch),
                                  lambda batch: self.callbacks.call("after_forward", batch))

    def before_clip(self) -> None:
        """The optimizer is about to step: gradients are there, unscaled, and nobody has looked at them."""
        self.callbacks.call("before_clip")

    def before_step(self) -> None:
        """Gradients have been measured and clipped."""
        if not self.callbacks.are_told("before_step"):
            return
        hook = self.rate_and_clip.hook
        assert hook is not None, "an optimizer steps that is not attached"
        self.callbacks.call("before_step", Update(-1, float("nan"), hook.rate or 0.0, None, was_skipped=False))

    def after_step(self) -> None:
        """The optimizer has stepped; its update has not ended."""
        self.callbacks.call("after_step")

    def updated(self, steps_done: int, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """One update was made; ``steps_done`` is the host's count after it. Returns what the host shall log."""
        self._reported = steps_done
        update = self.rate_and_clip.take(steps_done - 1, float(values["loss"]))
        self.callbacks.call("on_update", update)
        self.newest_progress = progress = None if update.baseline_loss is None else update.progress
        return {**values, "learn_rate": update.rate, "progress": "" if progress is None else f"{progress:.7f}"}

    @property
    def updates_made(self) -> int:
        """The optimizer's own count of its updates in this training."""
        hook = self.rate_and_clip.hook
        return 0 if hook is None else hook.made

    def baseline_loss(self, batch: Batch) -> torch.Tensor | None:
        """See Training; after the batch has passed."""
        if batch.baseline is not None or batch.noise is None or not self.can_compare:
            return batch.baseline
        try:
            batch.baseline = self.trainee.baseline_loss(batch, self.host.shared.sd_model, self.start or [])
        except torch.cuda.OutOfMemoryError:
            self._compare_no_more("the GPU has no memory left for it")
        except Exception as error:  # noqa: BLE001 whatever it is, the guard works without it
            self.reporter.failed(error)
            self._compare_no_more("the extra forward pass failed; the traceback is on the console")
        return batch.baseline

    def sample_losses(self, latents: torch.Tensor, cond: Any, timesteps: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """See Training."""
        assert self._seam is not None, "the model has no p_losses"
        return self._seam.losses(latents, cond, timesteps, noise)

    def _compare_no_more(self, why: str) -> None:
        self._compares = False
        self.reporter.tell(not_measured.no_longer(why))

    @property
    def can_compare(self) -> bool:
        """Whether what the run started from is known, and comparing with it has not failed."""
        return self._compares and (self.start is not None or not self.trainee.needs_baseline)

    def not_exact(self, why: str) -> None:
        """The run resumes from what was saved, and is not what it would have been; said when all of it is known."""
        if self.snapshots.snapshot is None:
            self.reporter.tell(why)
        else:
            self.snapshots.not_exact(why)

    def stop(self) -> None:
        """End the host's loop before its next update."""
        self.rate_and_clip.stop()

    def roll_back(self) -> int:
        """Restore the last good state in memory; gives its step."""
        good = self.snapshots.roll_back()
        self.callbacks.call("on_rollback", good.parts)
        return good.facts.step

    def saving(self, save: Save) -> None:
        """The host's own file is on the disk, and takes its place next."""
        self.callbacks.call("before_save", save)

    def saved(self, save: Save) -> None:
        """The host has written what is trained."""
        self.callbacks.call("on_save", save)

    def image_saved(self, image: PreviewImage) -> None:
        """The host has saved a preview image."""
        self.callbacks.call("on_image", image)

    def state_dict(self) -> dict[str, Any]:
        """What the run, the callbacks and the trainee add to a snapshot."""
        why = self.why_not_exact or self.callbacks.failed
        extra = {**self.trainee.design(), **({WHY: why} if why else {})}
        return {"watch": self.run.watch, **self.callbacks.state_dict(), "extra": extra}

    # The end ------------------------------------------------------------------------------------

    def loop_ended(self, others: Iterable[Session] = (), broken_by: BaseException | None = None) -> None:
        """The loop is over, in whatever way; the hook goes off the optimizer.

        Args:
            others: still train.
            broken_by: what is being raised through the host's loop, if anything is; it swallows what is an Exception.
        """
        self.has_ended = True
        if self._seam is not None:
            self.reporter.protect(self._seam.undo)
        ended = self.reporter.protect(lambda: self._finish(others, broken_by))
        outcome = ended or Outcome("failed", "the end of the training could not be recorded; the traceback is on the console")
        self.callbacks.call("on_end", outcome)
        self.run.end(*outcome)
        self.reporter.say_troubles()
        self.optimizer = self.scaler = self.rate_and_clip.scheduler = self.trainee.host_object = None
        if self.trainee.is_saved_in_loop:
            self.forget()

    def _finish(self, others: Iterable[Session], broken_by: BaseException | None) -> Outcome:
        protect, trainee = self.reporter.protect, self.trainee
        protect(self.history.flush)
        if self.rate_and_clip.hook is not None:
            protect(self.settle)
            protect(self.write_last)
            protect(self.snapshots.close)
            self.rate_and_clip.let_go()
        known = self._known()
        if known is not None and known.step > 0 and trainee.is_saved_in_loop:
            # After an exception the host keeps the newer weights in memory and continues from them.
            self.run.saved(known, is_main=False)
        trainee.let_go(is_shared=any(other.trainee.host_object is trainee.host_object for other in others))
        return Outcome(*self._outcome(broken_by))

    def forget(self) -> None:
        """The host has saved for the last time: lets go of what was trained, and of its copies."""
        self.callbacks.call("on_forget")

    def write_last(self) -> None:
        """Write the snapshot of the last update, if what is in memory is that of one moment."""
        hook, snapshots, host_object = self.rate_and_clip.hook, self.snapshots, self.trainee.host_object
        if hook is None or host_object is None:
            return
        here = (host_object.step or 0, hook.made)
        if hook.is_whole and not snapshots.is_torn and here == (snapshots.moment.step, snapshots.moment.made):
            snapshots.keep_last()

    def settle(self) -> None:
        """The loop is over: what is in memory becomes that of one moment, wherever it broke off.

        Usually it is: a loop that ends in a forward pass has changed nothing since its last update but the generators and the
        place in the data, and of these the moment has its own. Else an update that the optimizer made is taken in, and one
        that it did not bring to its end is undone. A second call finds nothing to do.
        """
        hook, host_object, snapshots = self.rate_and_clip.hook, self.trainee.host_object, self.snapshots
        if hook is None or host_object is None:
            return
        is_counted, is_new = (host_object.step or 0) != snapshots.moment.step, hook.made != snapshots.moment.made
        if not hook.is_whole or snapshots.is_torn:
            self._take_back(host_object, "the optimizer was stopped in the middle of an update")
        elif is_new and not is_counted and snapshots.is_scaled:  # GradScaler may or may not have drawn its conclusions
            self._take_back(host_object, "the loop ended before an update was counted")
        elif is_new or is_counted:
            self._take_in(host_object)
        self._replace_ruins(host_object)

    def _replace_ruins(self, host_object: Any) -> None:
        """Weights that are not finite give way to the last good ones."""
        good = self.snapshots.good
        if self.run.is_rehearsal or good is None or is_finite([tensor.detach() for tensor in self.trainee.tensors()]):
            return
        if is_finite(good.parts["trained"]):  # else it is not saved, see callbacks/file_saving.py
            self._put_back(host_object, good)
            message = f"the result contains NaN or infinity: the last good state, after update {host_object.step}, is saved instead"
            self.reporter.tell(message)
            self._ruin = "" if self.guard.has_diverged else message  # a range test is meant to get there

    def _put_back(self, host_object: Any, good: Snapshot | None) -> None:
        hook = self.rate_and_clip.hook
        assert hook is not None, "there is nothing to put back"
        back = self.snapshots.break_off(hook.made, good)
        host_object.step = back.facts.step
        hook.put_back()
        self.callbacks.call("on_rollback", back.parts)
        self.run.counted(host_object.step)

    def _take_back(self, host_object: Any, why: str) -> None:
        self._put_back(host_object, None)
        self.reporter.tell(f"{why}: restored the state after update {host_object.step}")

    def _take_in(self, host_object: Any) -> None:
        """An update was made, and the host did not come to report it: all is known of it but its loss."""
        hook, moment = self.rate_and_clip.hook, self.snapshots.moment
        assert hook is not None, "there is nothing to take in"
        if (host_object.step or 0) == moment.step:
            host_object.step = moment.step + 1
        rate, norm, clipped = hook.take()
        number = None if norm is None else float(norm)
        self.run.unreported(host_object.step - 1, step_hook.read_rate(hook.optimizer) if rate is None else rate, number,
                            clip_share=None if number is None or clipped is None else clipped.share(number))
        if host_object.step == moment.step + 1 and self._reported != host_object.step:
            why = f"training ended after update {host_object.step - 1}, before its loss was reported: "
            why += "the guard and any plateau did not see it"
        else:  # nobody looked at the generators at the right time
            why = f"update {host_object.step - 1} was not recorded completely: "
            why += "random numbers and data position may differ"
        self.why_not_exact = why
        self.snapshots.boundary(host_object.step, made=hook.made, disturbed=False, is_good=None)
        self.reporter.tell(why)

    # ----------------------------------------------------------------------------------------------

    def finish(self, why: str) -> None:
        """End it before its next update, as one that has made all of them."""
        self._finished = why
        self.stop()

    def give_up(self, why: str) -> None:
        """End it as failed: a part has failed without which the training is another one."""
        self._stopped = self._stopped or why
        self.stop()

    def _outcome(self, broken_by: BaseException | None) -> tuple[str, str]:
        saving = self.file_saving
        failure = self.guard.stopped or self._ruin or self._stopped
        if failure:
            return "failed", failure
        is_stopped = isinstance(broken_by, STOPS)
        if self._lacks_its_save and (saving.trouble or not is_stopped):
            return "failed", saving.not_saved()
        learned = self._nothing_learned()
        if self._finished and broken_by is None:
            return "finished", self._finished
        if self._is_complete(broken_by):
            return "finished", learned
        if self.host.shared.state.interrupted or is_stopped:
            return "interrupted", learned
        if saving.was_rescued:
            saved = "" if self.run.is_rehearsal else ", and what was trained is saved"
            return "failed", self._without_gradient(f"the loop ended with an exception{saved}; the traceback is on the console")
        return "failed", self._without_gradient("the loop ended with an exception; its traceback is on the console")

    def _without_gradient(self, message: str) -> str:
        why = "" if self.history.has_had_gradient else self.trainee.why_no_backward()
        return f"{message}. {why}" if why else message

    def _nothing_learned(self) -> str:
        """Why what was trained is what it was before; empty where it is not."""
        why = self._checks.nothing_learned(self.run)
        return f"nothing was learned: {why}" if why else self.history.why_nothing_learned()

    @property
    def _lacks_its_save(self) -> bool:
        """Whether the host's final save should have come by the end of the loop and has not."""
        return self.trainee.is_saved_in_loop and not self.file_saving.has_final

    def _is_complete(self, broken_by: BaseException | None) -> bool:
        """Whether the loop made all its updates, and nothing was raised after the last.

        The scheduler has not always been asked once more: where an epoch is one update, the host's passes are used up with the
        last one. Then the host's own final save says so, or that the loop asked for another batch after it.
        """
        made = max(self.snapshots.moment.step, self._reported)  # a state from before its end may be back
        if not self.run.planned.is_over(made):
            return False
        if broken_by is not None:
            return isinstance(broken_by, STOPS) and not self._lacks_its_save
        if self.file_saving.was_rescued:
            return False
        scheduler = self.rate_and_clip.scheduler
        is_told = scheduler is not None and scheduler.finished
        return is_told or self.file_saving.has_final or self.snapshots.is_past

    def _cautions(self) -> list[str]:
        return [*self._warnings, *self._checks.cautions(self.run), *self.run.planned.stretches(self.initial_step)]

    def _known(self) -> Known | None:
        """What is trained as it is now, by digest and file time."""
        if self.trainee.host_object is None:
            return None
        state = self.run.planned.resumed.state
        is_ahead = self.snapshots.snapshot is not None and state is not None
        return self.trainee.known(is_ahead_of=state.main_digest if is_ahead and state is not None else None)

    def _load_states(self) -> None:
        """The snapshot's parts go to the callbacks that keep them."""
        snapshot = self.snapshots.snapshot
        if snapshot is None:
            return
        for callback in self.callbacks.active:
            if self.run.is_rehearsal and callback.starts_over_in_rehearsal:
                continue
            try:
                callback.load_state_dict(snapshot.parts)
            except ValueError as error:  # each says for itself what it does instead
                self.snapshots.messages.append(str(error))
            except Exception as error:  # noqa: BLE001 the others have theirs to load
                self.reporter.failed(error)
                self.snapshots.not_exact(f"what was saved of {type(callback).__name__} could not be loaded and starts over")

    def _drop_foreign_state(self, optimizer: Any) -> None:
        if self.snapshots.snapshot is not None:
            return
        said = drop_foreign_state(self.host, self.run, self.trainee, optimizer)
        if said:
            self.reporter.tell(said)

    def _say_how_it_resumes(self) -> None:
        """After the state was put back: what the run resumes with, and what it could not."""
        snapshots, run, planned = self.snapshots, self.run, self.run.planned
        if snapshots.snapshot is None:
            return
        model: Any = getattr(self.host.shared.sd_model, "model", None)
        if getattr(model, "conditioning_key", None) in ("hybrid", "concat"):
            snapshots.not_exact("the inpainting image is encoded again with different random numbers")
        why = snapshots.snapshot.parts["extra"].get(WHY)
        if isinstance(why, str):
            snapshots.not_exact(why)
        for message in snapshots.messages:
            self.reporter.tell(message)
        back = "weights, optimizer, random numbers and data position are restored"
        speed = self.host.settings().training_speed
        # Whether there is room is another question each time, and on CUDA the fast attention adds up in any order.
        if snapshots.is_exact and (speed == "auto" or (speed == "fast" and any(t.is_cuda for t in self.trainee.tensors()))):
            run.note(f"{back}; results may differ in the last digits, because {TRAINING_SPEED} is {speed}")
        elif snapshots.is_exact:
            is_as_planned = planned.continues and planned.has_same_clip and planned.has_same_past(self.initial_step)
            run.note(f"resumed exactly: {back}" if is_as_planned else back)
        else:
            self.reporter.tell("weights and step are restored, but the run is not exact (see above)")


def _make_log_folder(folder: Any) -> None:
    """The host makes its dated folder only for copies and images, and fails to save its settings into it otherwise."""
    if not isinstance(folder, str) or not folder:
        return
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the log directory {folder!r} cannot be created: {error.strerror or error}") from error
