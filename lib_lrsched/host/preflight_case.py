"""One training that is asked for, what is found wrong with it, and how it is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from lib_lrsched.training.options import Options

from .webui import Host

ERROR, WARNING = "error", "warning"


class Finding(NamedTuple):
    """``severity`` is error or warning; ``subject`` is a word for what it is about."""

    severity: str
    subject: str
    message: str


@dataclass(frozen=True)
class Case:
    """One training that is asked for.

    Attributes:
        kind: embedding or hypernetwork.
        inputs: by the names of the host's train functions; any may be missing, or a text where a number is meant.
        starts: the training is about to begin: the model may be asked for, and worked with.
        step: updates that are made and saved; 0 where that is not known.
        options: of the run, in force.
    """

    host: Host
    kind: str
    name: str
    inputs: Mapping[str, Any]
    starts: bool = False
    step: int = 0
    options: Options = Options()  # noqa: RUF009 a frozen value

    @property
    def model(self) -> Any:
        loaded = self.host.loaded_model
        return self.host.shared.sd_model if self.starts or loaded is None else loaded()

    def flag(self, name: str) -> bool:
        """Whether the WebUI was started with an argument."""
        return bool(getattr(self.host.shared.cmd_opts, name, False))

    def text(self, name: str) -> str:
        value = self.inputs.get(name)
        return value.strip() if isinstance(value, str) else ""

    def path(self, name: str) -> str:
        """As it was typed: the host takes a blank at the end as part of the name."""
        value = self.inputs.get(name)
        return value if isinstance(value, str) else ""

    def whole(self, name: str) -> int:
        """A whole number of 1 or more, else 0."""
        value = self.inputs.get(name)
        try:
            return max(int(value), 0)  # type: ignore[arg-type]  # what is not a number raises
        except (TypeError, ValueError, OverflowError):
            return 0


def look(case: Case, checks: tuple[Callable[[Case], Iterator[Finding]], ...]) -> list[Finding]:
    """All findings; a check that fails says nothing: it met something that it does not know."""
    found: list[Finding] = []
    for check in checks:
        try:
            found.extend(check(case))
        except Exception:  # noqa: BLE001, S112, PERF203 a look ahead must not be what stops a training
            continue
    return found
