"""What a training was started with, as one frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lib_lrsched.storage.run_state import Scalar


@dataclass(frozen=True)
class Request:
    """What a training was started with, as the host's train functions got it."""

    kind: str
    name: str
    rate_text: str
    total_steps: int
    batch: int = 1
    accumulate: int = 1
    clip_mode: str = "disabled"
    clip_text: str = ""
    data_root: str = ""
    images: int | None = None
    settings: Mapping[str, Scalar] = field(default_factory=dict)
