"""The practice host in a folder of the test's own, the hooks on it, and a spy on the optimizer.

The fixtures `ground` and `host` in conftest.py are made of it. A small network has random weights and takes a few
milliseconds per update: the tests look at rates, gradients and counts, never at what an image shows.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim import optimizer as torch_optimizer

from lib_lrsched.host import hooks
from lib_lrsched.host.webui import Host
from lib_lrsched.practice import (
    dataset,
    hypernetwork,
    images,
    initialize,
    saving_settings,
    sd_hijack,
    sd_hijack_checkpoint,
    service,
    shared,
    textual_inversion,
)
from lib_lrsched.practice.host import practice_host
from lib_lrsched.practice.hypernetwork_layers import Hypernetwork
from lib_lrsched.practice.model import LATENT_CHANNELS, DiffusionWrapper, PracticeModel
from lib_lrsched.practice.text import TextEncoder
from lib_lrsched.practice.unet import CrossAttention
from lib_lrsched.storage.run_state import RunState
from lib_lrsched.training.options import OPTIONS
from lib_lrsched.training.settings import Settings

SIDE = 8  # pixels of an image
NAME = "mine"

if not torch.cuda.is_available():
    # Without a GPU torch.manual_seed stores each call, with its whole stack, for one that may be found later.
    torch.cuda.manual_seed_all = torch.xpu.manual_seed_all = torch.mtia.manual_seed_all = lambda seed: None

GLOBALS: tuple[tuple[Any, str], ...] = (
    (textual_inversion, "validate_train_inputs"),
    (textual_inversion, "LearnRateScheduler"),
    (hypernetwork, "LearnRateScheduler"),
    (hypernetwork, "Hypernetwork"),
    (dataset, "PersonalizedBase"),
    (dataset, "GroupedBatchSampler"),
    (textual_inversion, "write_loss"),
    (textual_inversion, "save_embedding"),
    (textual_inversion, "insert_image_data_embed"),
    (textual_inversion, "tensorboard_add"),
    (textual_inversion, "tensorboard_setup"),
    (textual_inversion, "save_settings_to_file"),
    (saving_settings, "save_settings_to_file"),
    (hypernetwork, "save_hypernetwork"),
    (sd_hijack_checkpoint, "add"),
    (sd_hijack_checkpoint, "remove"),
    (images, "save_image"),
)
"""The seams that the hooks replace."""

UNTOUCHED: tuple[tuple[Any, str], ...] = (
    (torch.optim, "AdamW"),
    (torch.nn.utils, "clip_grad_value_"),
    (torch.nn.utils, "clip_grad_norm_"),
    (torch.amp, "GradScaler"),
    (textual_inversion, "train_embedding"),
    (hypernetwork, "train_hypernetwork"),
    (dataset, "PersonalizedDataLoader"),
)
"""Globals that belong to everybody, or that the WebUI's API has bound by name: never replaced."""

both_kinds = pytest.mark.parametrize("kind", service.KINDS)


class SmallNetwork(nn.Module):
    """One attention on the context, with the hypernetworks in it: [B, 12, h, w], [B], [B, T, D] -> [B, 12, h, w]."""

    def __init__(self, context_width: int) -> None:
        super().__init__()
        self.attn = CrossAttention(LATENT_CHANNELS, context_width, heads=2)

    def forward(self, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        mixed = tokens + self.attn(tokens, context)
        return mixed.transpose(1, 2).reshape(x.shape) * (1 + t.view(-1, 1, 1, 1) / 1000)


@functools.cache
def small_model() -> PracticeModel:
    """A practice model whose parts are as small as they can be."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = PracticeModel()
        model.cond_stage_model = TextEncoder(width=16, blocks=1, heads=2)
        model.model = DiffusionWrapper(SmallNetwork(model.cond_stage_model.context_width))
    model.hypernetworks = []
    return model.eval()


@dataclass
class Ground:
    """The practice host in a folder of the test's own; the hooks come with install()."""

    root: Path
    model: PracticeModel
    settings: Settings = field(default_factory=Settings)
    runtime: Any = None

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def log(self) -> Path:
        return self.root / "textual_inversion"

    @property
    def state_dir(self) -> Path:
        return self.root / "lrsched"

    def host(self) -> Host:
        return practice_host(self.root, lambda: self.settings)

    def install(self, **settings: Any) -> Any:
        """Settings as they are given from now on; those that are options of a run are of new runs."""
        options = {name: settings.pop(name) for name in OPTIONS if name in settings}
        self.settings = replace(self.settings, **settings, run=replace(self.settings.run, **options))
        self.runtime = hooks.install(self.host())
        return self.runtime

    def choose(self, kind: str, *, name: str = NAME, **options: Any) -> None:
        """Options of the next training of a name, which come before those of the run that it resumes."""
        self.runtime.next_training.choose_options(kind, name, options)

    def create(self, kind: str, name: str = NAME, **design: Any) -> None:
        torch.manual_seed(5)
        service.create(kind, name, **design)

    def train(self, kind: str, lr: Any, steps: Any, *, name: str = NAME, **choices: Any) -> Any:
        """One run on a thing that is made first if there is none; returns what was trained."""
        known = sd_hijack.model_hijack.embedding_db.word_embeddings if kind == "embedding" else shared.hypernetworks
        if name not in known:
            self.create(kind, name)
        chosen = {"data": self.data, "width": SIDE, "height": SIDE, "seed": 3, **choices}
        return service.train(kind, name, lr, steps, **chosen).trained

    def call(self, kind: str, lr: Any = "0.005", steps: Any = 5, *, name: Any = NAME, **inputs: Any) -> Any:
        """The host's own train function, any input of which may be replaced: so the WebUI's API calls it."""
        chosen = service.Choices(data=self.data, width=SIDE, height=SIDE)
        arguments = {**service.arguments(kind, name, lr, steps, chosen), **inputs}
        shared.state.begin("test")
        return TRAINERS[kind](**arguments)

    def runs(self) -> list[RunState]:
        return self.runtime.store.runs()

    def run(self) -> RunState:
        (only,) = self.runs()
        return only

    def lines(self, run: RunState | None = None) -> list[Any]:
        """The history file of a run without its header: records are lists, events objects."""
        path = self.runtime.store.history_path((run or self.run()).id)
        return [json.loads(line) for line in path.read_text().splitlines()][1:]

    def records(self, run: RunState | None = None) -> list[Record]:
        return [Record(*line[:12], tuple(line[12:])) for line in self.lines(run) if isinstance(line, list)]

    def events(self, run: RunState | None = None) -> list[tuple[str, str]]:
        return [(line["event"], line["message"]) for line in self.lines(run) if isinstance(line, dict)]

    def listing(self) -> dict[str, bytes]:
        """Every file and folder below the root; a file with its bytes, a folder with none."""
        paths = sorted(self.root.rglob("*"))
        return {str(path.relative_to(self.root)): b"" if path.is_dir() else path.read_bytes() for path in paths}


TRAINERS: dict[str, Callable[..., Any]] = {
    "embedding": textual_inversion.train_embedding,
    "hypernetwork": hypernetwork.train_hypernetwork,
}


class Record(NamedTuple):
    """The first columns of a line of the history file, which most tests look at, and the rest."""

    step: int
    planned: float | None
    actual: float | None
    loss: float | None
    grad_norm: float | None
    time_s: float
    baseline_loss: float | None
    progress: float | None
    clip_share: float | None
    vector_norm: float | None
    vector_distance: float | None
    vector_mean_abs: float | None
    rest: tuple[float | None, ...]


@contextlib.contextmanager
def practice_ground(root: Path, model: PracticeModel, *, captions: bool = True) -> Iterator[Ground]:
    """The practice host with five images below its folder, quiet; nothing of it is left behind."""
    threads, before = torch.get_num_threads(), copy.copy(vars(shared.opts))
    globals_before = there()
    torch.set_num_threads(1)
    shared.opts.practice_quiet = True
    initialize.setup(root, model)
    shared.state.begin("test")
    draw_images(root / "data", 5, captions=captions)
    yield Ground(root, model)
    hooks.uninstall()
    shared.state.end()
    shared.state.interrupted = False  # which the next test may read before its training begins
    vars(shared.opts).update(before)
    model.zero_grad()
    torch.set_num_threads(threads)
    for (module, name), value in globals_before.items():
        setattr(module, name, value)


def there() -> dict[tuple[Any, str], Any]:
    """What is now behind every global that the hooks replace, or must not."""
    return {(module, name): getattr(module, name) for module, name in GLOBALS + UNTOUCHED}


def draw_images(folder: Path, count: int, side: int = SIDE, *, prefix: str = "", captions: bool = True) -> None:
    folder.mkdir(exist_ok=True)
    for i in range(count):
        path = folder / f"{prefix}{i:03d} red thing.png"
        Image.new("RGB", (side, side), (40 * i % 256, 90, 200)).save(path)
        if captions:
            path.with_suffix(".txt").write_text("a red thing")


def weights(trained: Any) -> list[Tensor]:
    """Copies of what was trained."""
    found = trained.weights() if isinstance(trained, Hypernetwork) else [trained.vec]
    return [weight.detach().clone() for weight in found]


def same_bits(left: list[Tensor], right: list[Tensor]) -> bool:
    return len(left) == len(right) and all(map(torch.equal, left, right))


def random_states() -> tuple[Any, bytes]:
    return random.getstate(), torch.get_rng_state().numpy().tobytes()


class Seen(NamedTuple):
    """One update of an optimizer: its rates, and its gradients just before the hooks' own step hook and just after."""

    rates: list[float]
    betas: list[Any]
    before: list[Tensor]
    used: list[Tensor]
    had_state: bool


class OptimizerSpy:
    """Sees every update of every optimizer while it lasts; torch's own global hooks, so nothing is replaced."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.at_step: Callable[[int], None] = lambda count: None
        self._before: list[Tensor] = []
        self._had_state = False

    def __enter__(self) -> OptimizerSpy:
        self._hooks = [
            torch_optimizer.register_optimizer_step_pre_hook(self._pre),
            torch_optimizer.register_optimizer_step_post_hook(self._post),
        ]
        return self

    def __exit__(self, *exception: object) -> None:
        for hook in self._hooks:
            hook.remove()

    @property
    def rates(self) -> list[float]:
        """The rate of the first param group, update by update."""
        return [seen.rates[0] for seen in self.seen]

    def _pre(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        self.at_step(len(self.seen))
        self._before = _gradients(optimizer)
        self._had_state = bool(optimizer.state)

    def _post(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        groups = optimizer.param_groups
        rates, betas = [group["lr"] for group in groups], [group.get("betas") for group in groups]
        self.seen.append(Seen(rates, betas, self._before, _gradients(optimizer), self._had_state))


def _gradients(optimizer: Any) -> list[Tensor]:
    return [p.grad.clone() for group in optimizer.param_groups for p in group["params"] if p.grad is not None]


def norm_of(grads: list[Tensor]) -> float:
    """Their common 2-norm in float64."""
    return float(torch.cat([grad.double().reshape(-1) for grad in grads]).norm())


def fail_at(monkeypatch: pytest.MonkeyPatch, update: int, error: BaseException) -> None:
    """Make the practice model's forward raise once, in the update of this 0-based number (no accumulation)."""
    count = SimpleNamespace(calls=0)
    model = small_model()
    forward = type(model).forward

    def failing(self: Any, *args: Any) -> Any:
        count.calls += 1
        if count.calls == update + 1:
            raise error
        return forward(self, *args)

    monkeypatch.setattr(type(model), "forward", failing)


def interrupt_at(monkeypatch: pytest.MonkeyPatch, update: int) -> None:
    """Press "Interrupt" while the update of this 0-based number is made (no accumulation)."""
    count = SimpleNamespace(calls=0)
    model = small_model()
    forward = type(model).forward

    def interrupting(self: Any, *args: Any) -> Any:
        count.calls += 1
        if count.calls == update + 1:
            shared.state.interrupt()
        return forward(self, *args)

    monkeypatch.setattr(type(model), "forward", interrupting)
