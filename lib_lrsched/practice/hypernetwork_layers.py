"""Hypernetworks as objects: the small networks, their start values, loading and saving in the host's format.

The host has the same, and the training, in `modules/hypernetworks/hypernetwork.py`.
"""
from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import init

from lib_lrsched.practice import files, shared

Nonlinearity = Literal["leaky_relu", "relu"]

LAST_LAYER_DROPOUT = 0.3
OLD_NAMES = {"linear1": "linear.0", "linear2": "linear.1"}  # of files older than layer structures


def _activations() -> dict[str, Callable[[], nn.Module]]:
    named = {"linear": nn.Identity, "swish": nn.Hardswish}
    every: list[tuple[str, Any]] = inspect.getmembers(nn.modules.activation, inspect.isclass)
    own = {name.lower(): cls for name, cls in every if cls.__module__ == nn.modules.activation.__name__}
    return {**named, **own}


class HypernetworkModule(nn.Module):
    """x -> x + multiplier * network(x), for x of shape [..., dim]; the multiplier counts in eval mode only.

    layer_structure has each layer's width as a multiple of dim, from 1 to 1. The start values come from weight_init,
    or from state_dict. Raises AssertionError, RuntimeError or KeyError, as the host, for what it does not know.
    """

    activation_dict = _activations()

    def __init__(  # the host's parameters
        self,
        dim: int,
        state_dict: dict[str, Tensor] | None = None,
        layer_structure: Sequence[float] | None = None,
        activation_func: str | None = None,
        weight_init: str | None = "Normal",
        add_layer_norm: bool = False,
        activate_output: bool = False,
        dropout_structure: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.multiplier = 1.0
        widths = _checked_widths(dim, layer_structure)
        layers: list[nn.Module] = []
        for i, (width_in, width_out) in enumerate(itertools.pairwise(widths)):
            layers.append(nn.Linear(width_in, width_out))
            if i < len(widths) - 2 or activate_output:
                layers.extend(self._activation(activation_func))
            if add_layer_norm:
                layers.append(nn.LayerNorm(width_out))
            layers.extend(_dropout(dropout_structure, i + 1))
        self.linear = nn.Sequential(*layers)
        if state_dict is None:
            self._start(weight_init, activation_func)
        else:
            self.load_state_dict(_with_new_names(state_dict))
        self.to(shared.device)

    def forward(self, x: Tensor) -> Tensor:
        """The shape of x."""
        return x + self.linear(x) * (1 if self.training else self.multiplier)

    def _activation(self, name: str | None) -> Iterator[nn.Module]:
        if name is None or name == "linear":
            return
        if name not in self.activation_dict:
            raise RuntimeError(
                f"no activation function {name!r} for a hypernetwork; take one of {sorted(self.activation_dict)}"
            )
        yield self.activation_dict[name]()

    def _start(self, weight_init: str | None, activation_func: str | None) -> None:
        # "leakyrelu" as one word is what the host compares with.
        nonlinearity: Nonlinearity = "leaky_relu" if activation_func == "leakyrelu" else "relu"
        for layer in self.linear:
            if isinstance(layer, nn.LayerNorm):
                _start_normal(layer)
            elif isinstance(layer, nn.Linear):
                _start_linear(layer, weight_init, nonlinearity)


def _checked_widths(dim: int, layer_structure: Sequence[float] | None) -> list[int]:
    assert layer_structure is not None, "a layer structure such as [1, 2, 1] is needed"
    assert layer_structure[0] == 1, f"a layer structure starts with 1, not {layer_structure[0]}"
    assert layer_structure[-1] == 1, f"a layer structure ends with 1, not {layer_structure[-1]}"
    return [int(dim * multiple) for multiple in layer_structure]


def _dropout(structure: Sequence[float] | None, i: int) -> Iterator[nn.Module]:
    if structure is None or not structure[i] > 0:
        return
    assert structure[i] < 1, f"a dropout probability is 0 or more and below 1, not {structure[i]}"
    yield nn.Dropout(p=structure[i])


def _start_normal(layer: nn.Linear | nn.LayerNorm) -> None:
    init.normal_(layer.weight, std=0.01)
    init.normal_(layer.bias, std=0.0)  # zeros, but with the host's draws


def _start_linear(layer: nn.Linear, name: str | None, nonlinearity: Nonlinearity) -> None:
    starts: dict[str, Callable[[], object]] = {
        "Normal": lambda: _start_normal(layer),
        "XavierUniform": lambda: init.xavier_uniform_(layer.weight),
        "XavierNormal": lambda: init.xavier_normal_(layer.weight),
        "KaimingUniform": lambda: init.kaiming_uniform_(layer.weight, nonlinearity=nonlinearity),
        "KaimingNormal": lambda: init.kaiming_normal_(layer.weight, nonlinearity=nonlinearity),
    }
    if name not in starts:
        raise KeyError(f"no weight initialisation {name!r} for a hypernetwork; take one of {sorted(starts)}")
    starts[str(name)]()
    init.zeros_(layer.bias)


def _with_new_names(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    named = {}
    for key, value in state_dict.items():
        layer, _, kind = key.rpartition(".")
        named[f"{OLD_NAMES.get(layer, layer)}.{kind}"] = value
    return named


def parse_dropout_structure(
    layer_structure: Sequence[float] | None, use_dropout: bool, last_layer_dropout: bool
) -> list[float]:
    """Dropout per layer for files that only say whether there is any: 0.3 between the first and the last two."""
    length = 3 if layer_structure is None else len(layer_structure)
    if not use_dropout:
        return [0] * length
    return [0, *[0.3] * (length - 3), LAST_LAYER_DROPOUT if last_layer_dropout else 0, 0]


class Hypernetwork:
    """`layers`: context width -> (module for k, module for v); with the step it was trained to."""

    def __init__(  # the host's parameters
        self,
        name: str | None = None,
        enable_sizes: Sequence[int] | None = None,
        layer_structure: Sequence[float] | None = None,
        activation_func: str | None = None,
        weight_init: str | None = None,
        add_layer_norm: bool = False,
        use_dropout: bool = False,
        activate_output: bool = False,
        **kwargs: Any,
    ) -> None:
        self.filename: str | None = None
        self.name = name
        self.step = 0
        self.sd_checkpoint: str | None = None
        self.sd_checkpoint_name: str | None = None
        self.layer_structure, self.activation_func = layer_structure, activation_func
        self.weight_init, self.add_layer_norm = weight_init, add_layer_norm
        self.use_dropout, self.activate_output = use_dropout, activate_output
        self.last_layer_dropout = kwargs.get("last_layer_dropout", True)
        self.dropout_structure = self._dropout_or_default(kwargs.get("dropout_structure"))
        self.optimizer_name: str | None = None
        self.optimizer_state_dict: dict[str, Any] | None = None
        self.optional_info: str | None = None
        self.layers = {size: (self._module(size), self._module(size)) for size in enable_sizes or []}
        self.eval()

    def weights(self) -> list[nn.Parameter]:
        """All parameters, those for k before those for v, width by width."""
        return [parameter for module in self._modules() for parameter in module.parameters()]

    def train(self, mode: bool = True) -> None:
        """Training mode with gradients, or neither."""
        for module in self._modules():
            module.train(mode).requires_grad_(mode)

    def eval(self) -> None:
        """Eval mode, no gradients."""
        self.train(mode=False)

    def to(self, device: torch.device | str) -> Hypernetwork:
        """Moves it; returns itself."""
        for module in self._modules():
            module.to(device)
        return self

    def set_multiplier(self, multiplier: float) -> Hypernetwork:
        """How strongly it works in eval mode; returns itself."""
        for module in self._modules():
            module.multiplier = multiplier
        return self

    def shorthash(self) -> str:
        """The first ten digits of the SHA-256 of the file it was loaded from."""
        assert self.filename is not None, "only a hypernetwork that was loaded has a hash"
        return files.sha256(self.filename)[:10]

    def save(self, filename: str) -> None:
        """Writes the .pt and, where the option asks for it and there is one, the optimizer's state beside it.

        The state carries the hash of the file that was loaded: only where that is the file written now will a
        later load accept it. The host does the same.
        """
        files.save_pt(self._contents(), filename)
        if shared.opts.save_optimizer_state and self.optimizer_state_dict:
            state = {"hash": self.shorthash(), "optimizer_state_dict": self.optimizer_state_dict}
            named = {} if self.optimizer_name is None else {"optimizer_name": self.optimizer_name}
            files.save_pt({**named, **state}, f"{filename}.optim")

    def load(self, filename: str) -> None:
        """Reads a .pt, and the .optim beside it if its hash is that of the .pt. Raises ValueError as files.load_pt."""
        data = files.load_pt(filename)
        self.filename = filename
        self._take_settings(data)
        self._take_optimizer(f"{filename}.optim")
        for size in filter(lambda key: isinstance(key, int), data):
            for_k, for_v = data[size]
            self.layers[size] = (self._module(size, for_k), self._module(size, for_v))
        fallback = Path(filename).stem if self.name is None else self.name
        self.name = data.get("name", fallback)
        self.step = data.get("step", 0)
        self.sd_checkpoint = data.get("sd_checkpoint")
        self.sd_checkpoint_name = data.get("sd_checkpoint_name")
        self.eval()

    def _modules(self) -> Iterator[HypernetworkModule]:
        for pair in self.layers.values():
            yield from pair

    def _module(self, size: int, state_dict: dict[str, Tensor] | None = None) -> HypernetworkModule:
        return HypernetworkModule(
            size,
            state_dict,
            self.layer_structure,
            self.activation_func,
            self.weight_init,
            self.add_layer_norm,
            self.activate_output,
            self.dropout_structure,
        )

    def _dropout_or_default(self, structure: Sequence[float] | None) -> Sequence[float]:
        if structure is not None:
            return structure
        return parse_dropout_structure(self.layer_structure, self.use_dropout, self.last_layer_dropout)

    def _contents(self) -> dict[int | str, Any]:
        contents: dict[int | str, Any] = {
            size: (for_k.state_dict(), for_v.state_dict()) for size, (for_k, for_v) in self.layers.items()
        }
        return {
            **contents,
            "step": self.step,
            "name": self.name,
            "layer_structure": self.layer_structure,
            "activation_func": self.activation_func,
            "is_layer_norm": self.add_layer_norm,
            "weight_initialization": self.weight_init,
            "sd_checkpoint": self.sd_checkpoint,
            "sd_checkpoint_name": self.sd_checkpoint_name,
            "activate_output": self.activate_output,
            "use_dropout": self.use_dropout,
            "dropout_structure": self.dropout_structure,
            "last_layer_dropout": self.dropout_structure[-2] != 0,
            "optional_info": self.optional_info or None,
        }

    def _take_settings(self, data: Mapping[Any, Any]) -> None:
        self.layer_structure = data.get("layer_structure", [1, 2, 1])
        self.activation_func = data.get("activation_func")
        self.weight_init = data.get("weight_initialization", "Normal")
        self.add_layer_norm = data.get("is_layer_norm", False)
        self.activate_output = data.get("activate_output", True)
        self.last_layer_dropout = data.get("last_layer_dropout", False)
        self.optional_info = data.get("optional_info")
        structure = data.get("dropout_structure")
        self.use_dropout = any(structure or []) or data.get("use_dropout", False)
        self.dropout_structure = self._dropout_or_default(structure)

    def _take_optimizer(self, path: str) -> None:
        saved = files.load_pt(path) if Path(path).exists() else {}
        matches = saved.get("hash") == self.shorthash()
        self.optimizer_state_dict = saved.get("optimizer_state_dict") if matches else None
        named = saved.get("optimizer_name", "AdamW")
        self.optimizer_name = named if self.optimizer_state_dict else "AdamW"
