"""An extension of the test lane: what every optimizer in the WebUI's process really gets, as JSON lines.

It looks inside the step of torch's own optimizer classes, after whatever hooks an optimizer carries, and knows nothing of the
extension under test. Where the folder has a file "seed", a training starts from that seed.
"""

import functools
import json
import os
import random
from pathlib import Path

import torch
from modules import shared
from modules.textual_inversion import textual_inversion

FOLDER = Path(os.environ["LANE_SPY"])


def report(entry):
    with (FOLDER / "updates.jsonl").open("a") as file:
        file.write(json.dumps(entry) + "\n")


def attention():
    """The name of the function that computes it in the UNet now."""
    layer = next(module for module in shared.sd_model.model.diffusion_model.modules() if hasattr(module, "to_k"))
    return vars(layer).get("forward", type(layer).forward).__name__


def watch(step):
    """Without functools.wraps: torch looks for marks on a class's step and would leave out the hooks."""

    def watched(self, *args, **kwargs):
        gradients = [p.grad.detach().double() for group in self.param_groups for p in group["params"] if p.grad is not None]
        report({
            "kind": "update", "optimizer": type(self).__name__, "tensors": len(gradients),
            "lr": [float(group["lr"]) for group in self.param_groups],
            "betas": [[float(beta) for beta in group.get("betas", [])] for group in self.param_groups],
            "momentum": [float(group.get("momentum", 0)) for group in self.param_groups],
            "abs_max": max((float(g.abs().max()) for g in gradients), default=0.0),
            "norm": float(sum((g * g).sum() for g in gradients)) ** 0.5, "attention": attention(),
        })
        return step(self, *args, **kwargs)

    return watched


def seeded(validate):
    @functools.wraps(validate)
    def validate_train_inputs(*args, **kwargs):
        report({"kind": "training", "name": args[0]})
        seed = FOLDER / "seed"
        if seed.is_file():
            random.seed(int(seed.read_text()))
            torch.manual_seed(int(seed.read_text()))
        return validate(*args, **kwargs)

    return validate_train_inputs


def install():
    classes = [one for one in vars(torch.optim).values() if isinstance(one, type) and issubclass(one, torch.optim.Optimizer)]
    steps = {one: one.step for one in classes if one is not torch.optim.Optimizer}  # read before any is replaced: AdamW is an Adam
    for one, step in steps.items():
        one.step = watch(step)
    textual_inversion.validate_train_inputs = seeded(textual_inversion.validate_train_inputs)
    if torch.utils.data.Sampler.__init__ is object.__init__:
        # Not the spy's business, but its earliest place: the host's data loader hands over its data set, which newer torch refuses.
        torch.utils.data.Sampler.__init__ = lambda self, data_source=None: None
    torch.optim.lane_spy = True


if not hasattr(torch.optim, "lane_spy"):  # "Reload UI" runs this file again
    install()
