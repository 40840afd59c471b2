"""Runs the WebUI's own LearnRateScheduler over many texts and writes what it did to host_rates.json.

    python tests/golden/make_host_rates.py --webui PATH/TO/stable-diffusion-webui

Nothing of the host is kept here: its file is loaded from the checkout by path. Nothing of lib_lrsched is
used either: which texts must behave differently, and how, follows from the text and from what the host
does, by the small rules below. README.md beside this file says what the fields of a case mean.
"""
from __future__ import annotations

import argparse
import importlib.util
import json
import math
import random
import re
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
HOST_FILE = "modules/textual_inversion/learn_schedule.py"
Outcome = dict[str, Any]
REFUSED: Outcome = {"error": True}
PAST: Outcome = {"error": True, "past": True}
LONGEST_NUMBER = 40
Request = tuple[str, str, int, int]  # group, text, max steps, initial step

# What this language allows and the host's does not: its name, a pattern, and the same in the host's words.
FREEDOMS = [
    ("comment", r"#[^\n]*", ""),
    ("free blank space", r"[\x1c-\x1f]", " "),
    ("free blank space", r"(:\s*\+)\s+(?=\w)", r"\1"),
]
SPOILT = ["x:5", "1e-3:5:9", "-1e-3:7", "1e-3:0", "1e-3:+3", "1e-3:4", "1e-3:1.5"]


class Item(NamedTuple):
    """One item as the host would read it; None where Python's float() or int() refuses the part."""

    parts: list[str]
    rate: float | None
    end: int | None

    @property
    def relative(self) -> bool:
        return len(self.parts) == 2 and self.parts[1].strip().startswith("+")

    @property
    def open(self) -> bool:
        return len(self.parts) != 2 or self.end == -1

    @property
    def garbage(self) -> bool:
        return self.rate is None or (len(self.parts) == 2 and self.end is None)


def load_scheduler(webui: Path) -> type:
    """The class of a checkout. The file needs tqdm and nothing else of the WebUI."""
    spec = importlib.util.spec_from_file_location("host_learn_schedule", webui / HOST_FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.LearnRateScheduler


def drive(scheduler_class: type, text: str, max_steps: int, initial_step: int) -> Outcome:
    """One training run as both of the host's loops make it.

    Returns {"runs": [[first step, rate as repr], ...], "stop": k}. A run begins where the scheduler writes
    to the optimizer; `stop` is the step at which `finished` came up, the first without an update. A
    constructor that raises gives {"error": True}.
    """
    try:
        scheduler = scheduler_class(text, max_steps, initial_step, verbose=False)
    except Exception:  # the host raises plain Exception
        return REFUSED
    optimizer = SimpleNamespace(param_groups=[{"lr": None}, {"lr": None}])
    runs = [[initial_step, repr(scheduler.learn_rate)]]
    for k in range(initial_step, max_steps + 4):
        scheduler.apply(optimizer, k)
        if scheduler.finished:
            return {"runs": runs, "stop": k}
        written = {repr(group.pop("lr", None)) for group in optimizer.param_groups} - {"None"}
        runs += [[k, rate] for rate in written]
        assert runs[-1][1] == repr(scheduler.learn_rate), f"rate and optimizer disagree at {k} of {text!r}"
    raise AssertionError(f"{text!r} with {max_steps} steps has not finished 3 steps after its end")


def host_outcome(scheduler_class: type, text: str, max_steps: int, initial_step: int) -> Outcome:
    """drive(), and PAST where the constructor raises only because every phase ends at or before initial_step.

    A fresh run looks at every rate and end that a resumed run looks at, and at more; so a text that trains
    from step 0 has nothing wrong with it that would make the resumed run fail.
    """
    outcome = drive(scheduler_class, text, max_steps, initial_step)
    if outcome == REFUSED and initial_step and drive(scheduler_class, text, max_steps, 0) != REFUSED:
        return PAST
    return outcome


def converted(kind: type, text: str) -> Any:
    """kind(text), or None where that raises."""
    try:
        return kind(text)
    except ValueError:
        return None


def read_items(text: str) -> list[Item]:
    """Split as the host splits; empty items left out."""
    items = []
    for piece in filter(str.strip, text.split(",")):
        parts = piece.split(":")
        end = converted(int, parts[1]) if len(parts) == 2 else None
        items.append(Item(parts, converted(float, parts[0]), end))
    return items


def refusal(items: list[Item], max_steps: int) -> str | None:
    """Why a text that the host accepts is refused by this project, as documented; None when it is not."""
    stops = (n for n, item in enumerate(items) if item.open or (item.end or 0) > max_steps)
    last_read = next(stops, len(items))
    for n, item in enumerate(items):
        if len(item.parts) > 2:
            return "a:b:c"
        if item.garbage:
            return "garbage before the resume point" if n <= last_read else "garbage after the stop"
        if not math.isfinite(item.rate) or item.rate < 0:
            return "non-finite or negative rate"
        if item.end is not None and (item.end == 0 or item.end < -1):
            return "end of 0 or below -1"
        if any(len(part.strip()) > LONGEST_NUMBER for part in item.parts):
            return "number over 40 characters"
        if has_decimal_comma(item, items[n + 1] if n + 1 < len(items) else None):
            return "decimal comma"
    return None


def has_decimal_comma(item: Item, following: Item | None) -> bool:
    """Whether an item and the one behind it are one number, as in 0,005: the host trains at 0."""
    if following is None or len(item.parts) > 1 or item.rate != 0 or not item.parts[0].lstrip().lstrip("+-").isdigit():
        return False
    return following.parts[0][:1].isdigit() and "." not in following.parts[0]


def absolute_ends(items: list[Item]) -> list[int]:
    """The ends before the first open-ended item; `+n` is counted from the end before it."""
    ends: list[int] = []
    for item in items:
        if item.open:
            break
        ends.append(item.end + (ends[-1] if item.relative and ends else 0))
    return ends


def rewritten(items: list[Item], ends: list[int]) -> str:
    """The text with absolute ends only, up to the first open-ended item: nobody runs what follows that."""
    pieces = [f"{item.rate!r}:{end}" for item, end in zip(items, ends, strict=False)]
    pieces += [repr(item.rate) for item in items[len(ends):len(ends) + 1]]
    return ", ".join(pieces)


def cut(outcome: Outcome, max_steps: int) -> Outcome:
    """The outcome without the updates at and after max_steps."""
    if "runs" not in outcome:
        return outcome
    kept = [run for run in outcome["runs"] if run[0] < max_steps]
    return {"runs": kept, "stop": min(outcome["stop"], max_steps)}


def documented(scheduler_class: type, text: str, max_steps: int, initial_step: int) -> tuple[str, Outcome]:
    """(what makes the difference, if there is one; what this project does)."""
    for name, pattern, plain in FREEDOMS:
        if re.search(pattern, text):
            as_host = re.sub(pattern, plain, text)
            return name, documented(scheduler_class, as_host, max_steps, initial_step)[1]
    host = host_outcome(scheduler_class, text, max_steps, initial_step)
    items = read_items(text)
    if host == REFUSED:
        return "none: bad text", host
    if reason := refusal(items, max_steps):
        return reason, REFUSED
    ends = absolute_ends(items)
    if any(a >= b for a, b in pairwise(ends)):
        return "ends do not rise", REFUSED
    absolute = host_outcome(scheduler_class, rewritten(items, ends), max_steps, initial_step)
    return ("one update too many" if absolute == host else "relative end"), cut(absolute, max_steps)


def case(scheduler_class: type, group: str, text: str, max_steps: int, initial_step: int) -> Outcome:
    """One line of the golden file."""
    host = host_outcome(scheduler_class, text, max_steps, initial_step)
    record = {"group": group, "text": text, "max_steps": max_steps, "initial_step": initial_step, **host}
    difference, ours = documented(scheduler_class, text, max_steps, initial_step)
    return record if ours == host else {**record, "differs": difference, "ours": ours}


def chosen() -> list[Request]:
    """The hand-chosen texts, each with every initial step of its group."""
    groups = json.loads((HERE / "host_texts.json").read_text(encoding="ascii"))
    return [
        (group["group"], text, group["max_steps"], first)
        for group in groups for text in group["texts"] for first in group["initial_steps"]
    ]


def random_rate(rng: random.Random) -> str:
    """A rate between 1e-7 and 1 in one of several spellings."""
    rate = 10 ** rng.uniform(-7, 0)
    forms = [repr(rate), f"{rate:.2e}", f"{rate:.1E}", f"{rate:.6f}", f" {rate:.3e}", f"{rate:.9f}\n"]
    return rng.choice(forms)


def random_case(rng: random.Random) -> Request:
    """Rising ends in mixed spellings; one case in four has one item spoilt."""
    max_steps = rng.choice([rng.randint(2, 60), rng.randint(60, 700)])
    ends = sorted(rng.sample(range(1, max_steps + max_steps // 3 + 2), k=min(rng.randint(1, 6), max_steps)))
    pieces = [random_rate(rng) + ":" + rng.choice(["", " ", "\n"]) + spelt(rng, end) for end in ends]
    last, unread = random_rate(rng), random_rate(rng)
    pieces += rng.choice([[], [last], [last + ":-1"], [last, unread]])
    near = rng.choice(ends) + rng.choice([-1, 0, 1])
    initial_step = min(max(0, rng.choice([0, near, rng.randrange(max_steps)])), max_steps - 1)
    spoil = rng.random() < 0.25
    if spoil:
        pieces[rng.randrange(len(pieces))] = rng.choice(SPOILT)
    text = rng.choice([",", ", ", " ,", ",\n"]).join(pieces) + rng.choice(["", "", ","])
    return "random, spoilt" if spoil else "random", text, max_steps, initial_step


def spelt(rng: random.Random, number: int) -> str:
    """A whole number in one of the spellings that int() reads."""
    return rng.choice([str(number), str(number), f"0{number}", f"{number} ", f"{number:_}"])


def make(webui: Path) -> str:
    """The text of host_rates.json: one case per line."""
    scheduler_class = load_scheduler(webui)
    rng = random.Random(20240817)
    asked = chosen() + [random_case(rng) for _ in range(260)]
    once = {one[1:]: one for one in reversed(asked)}
    cases = [case(scheduler_class, *one) for one in reversed(once.values())]
    lines = [json.dumps(one, ensure_ascii=True, separators=(", ", ": ")) for one in cases]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def main() -> None:
    """Write the golden file anew."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--webui", type=Path, required=True, help="a checkout of the WebUI, v1.7 to v1.10.1")
    parser.add_argument("--out", type=Path, default=HERE / "host_rates.json")
    arguments = parser.parse_args()
    arguments.out.write_text(make(arguments.webui), encoding="ascii", newline="\n")


if __name__ == "__main__":
    main()
