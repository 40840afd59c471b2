"""Learning-rate schedules for textual inversion, hypernetworks and any other PyTorch training.

    from lib_lrsched import plan
    p = plan("warmup(0.005):100, cosine(0.005, 1e-5)", total_steps=2000)
    p.value(99)

Importing this needs numpy alone and has no effect beyond it. In a PyTorch trainer, ``from lib_lrsched import PlanLR``, which
loads torch.
"""

from typing import TYPE_CHECKING, Any

from lib_lrsched.errors import RunStateError, ScheduleError
from lib_lrsched.schedule.lints import Lint
from lib_lrsched.schedule.other_names import read as parse
from lib_lrsched.schedule.plan import Plan, plan

__version__ = "0.1.0"
__all__ = ["Lint", "Plan", "RunStateError", "ScheduleError", "__version__", "parse", "plan"]

if TYPE_CHECKING:
    from lib_lrsched.optimizer.plan_lr import PlanLR as PlanLR
else:

    def __getattr__(name: str) -> Any:
        if name != "PlanLR":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from lib_lrsched.optimizer.plan_lr import PlanLR

        return PlanLR
