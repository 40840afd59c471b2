"""A training takes up what a saved state holds, and keeps its own: which tensors, which data, and what to say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from lib_lrsched.host import attention
from lib_lrsched.host.checkpointing import NAME
from lib_lrsched.host.input_checks import InputError
from lib_lrsched.optimizer import step_hook
from lib_lrsched.snapshot import find
from lib_lrsched.snapshot.snapshot import Bundle, Folder
from lib_lrsched.storage.resume import Resumption

from . import data_faults
from .fingerprint import Identity, hypernetwork_design
from .guard import Rescuer

WHY = "not_exact"
"""In a bundle's part "extra": why what goes on with it is not exactly what would have come without the break."""


class TakingUp(Identity):
    """Of one training; before its loop starts, but for the last two."""

    is_restored: bool
    why_not_exact: str
    _rescuer: Rescuer
    _warnings: list[str] | None
    _initial_step: int

    def adopt(self, resumed: Resumption, bundle: Bundle | None) -> None:
        """What the run goes on with was only found once the thing was loaded."""
        if resumed.state is None:
            self.run.resumed = replace(self.run.resumed, messages=resumed.messages)
            return
        self.run.adopt(resumed)
        self.keeper.bundle, self.keeper.is_exact = bundle, bundle is not None
        self._rescuer.take_up()

    def warn(self, message: str) -> None:
        """To be said when the loop begins."""
        self._warnings = [*(self._warnings or []), message]

    def restore(self, thing: Any) -> bool:
        """Put the bundle's weights and step into the host's object, if there is a bundle; whether it was done.

        Raises:
            RunStateError: they are of another design.
        """
        bundle = self.keeper.bundle
        if bundle is None or self.has_begun:
            return False
        self.is_restored = True
        find.restore(find.trained_tensors(self.run.asked.kind, thing), bundle)
        thing.step = bundle.facts.step
        if self.run.asked.kind == "hypernetwork":
            thing.optimizer_name, thing.optimizer_state_dict = bundle.facts.optimizer, None
        return True

    def check_data(self, data: Any) -> None:
        """The host has made its data set: what would train to NaN is mended and said, or refused.

        Raises:
            InputError: the VAE made something of an image that is not finite.
        """
        trouble = data_faults.no_numbers(data)
        if trouble:
            raise InputError(trouble)
        mended = data_faults.even_weights(data)
        if mended:
            self.warn(mended)

    def data_made(self, data: Any, arguments: Mapping[str, Any]) -> None:
        """The host has made its data set: it becomes the stored run's again, where there is one."""
        if not self.keeper.is_needed:
            return
        state = self.run.resumed.state
        model: Any = arguments.get("cond_model")

        def encode(text: str) -> Any:
            with self._host.autocast(), torch.no_grad():
                return model([text]).detach().to("cpu").squeeze(0)

        file = None if state is None else self.run.data_path(state.id)
        made_of = {**arguments, **self._host.model_facts(), **self._surroundings()}
        self.keeper.data_made(data, made_of, file, encode if arguments.get("include_cond") else None)

    def _surroundings(self) -> dict[str, str]:
        """What else an update's bits depend on, as plain values."""
        shared = self._host.shared
        loaded = [] if self.run.asked.kind == "hypernetwork" else getattr(shared, "loaded_hypernetworks", None) or []
        applied = [f"{getattr(one, 'name', '?')} {step_hook.digest(one.weights())[:16]}" for one in loaded]
        return {
            "free_memory": self._host.settings().free_memory, "hypernetworks": ", ".join(applied) or "none",
            "attention": attention.name_in_force(shared.sd_model), "torch": str(torch.__version__),
            "device": step_hook.device_name(torch.device(shared.device)),
        }

    def _begin_keeping(self) -> None:
        run, keeper = self.run, self.keeper
        folder = Folder(run.bundles_path, run.id, run.stored_state, run.state().floor) if run.id else None
        thing, kind = self._trained, run.asked.kind
        keeper.begin(self._initial_step, folder, lambda: find.trained_tensors(kind, thing), run.history.sync)

    def _say_how_it_goes_on(self) -> None:
        """After the state was put back: what the run goes on with, and what it could not."""
        keeper, run = self.keeper, self.run
        if keeper.bundle is None:
            return
        model: Any = getattr(self._host.shared.sd_model, "model", None)
        if getattr(model, "conditioning_key", None) in ("hybrid", "concat"):
            keeper.not_exact("the picture that an inpainting model wants beside the prompt is encoded anew, by other draws")
        why = keeper.bundle.parts["extra"].get(WHY)
        if isinstance(why, str):
            keeper.not_exact(why)
        for message in keeper.messages:
            self.tell(message)
        state = run.resumed.state
        clipped = state is not None and (state.clip_mode, state.clip_text) == (run.asked.clip_mode, run.asked.clip_text)
        back = "weights, optimizer, random numbers and place in the data are back"
        if keeper.is_exact and self._host.settings().free_memory == "auto":
            run.note(f"{back}; the last digits may be others, for {NAME} is on auto and decides anew")
        elif keeper.is_exact:
            is_as_planned = run.goes_on and clipped and run.keeps_its_past(self._initial_step)
            run.note(f"exactly as if there had been no break: {back}" if is_as_planned else back)
        else:
            self.tell("weights and step are back; because of what is named above the run is not exactly what it would have been")

    def _extra_parts(self) -> Mapping[str, Any]:
        extra = {} if self.run.asked.kind == "embedding" else hypernetwork_design(self._trained)
        if self.why_not_exact:
            extra = {**extra, WHY: self.why_not_exact}
        return {"watch": self.run.watch, "guard": self._rescuer.to_parts(), "extra": extra}
