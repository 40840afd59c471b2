"""Makes hypernetworks from what a form says, and has the model apply those that are named.

The host keeps both in `modules/hypernetworks/hypernetwork.py`; our module of that name has them by name.
"""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lib_lrsched.practice import files, shared
from lib_lrsched.practice.hypernetwork_layers import Hypernetwork


def create_hypernetwork(  # the host's parameters
    name: str,
    enable_sizes: Sequence[int | str],
    overwrite_old: bool,
    layer_structure: Sequence[float] | str | None = None,
    activation_func: str | None = None,
    weight_init: str | None = None,
    add_layer_norm: bool = False,
    use_dropout: bool = False,
    dropout_structure: Sequence[float] | str | None = None,
) -> None:
    """Saves a new hypernetwork for contexts of these widths and lists it.

    Raises AssertionError for an empty name and where the file is there already.
    """
    safe_name = files.safe_name(name)
    assert safe_name, "a hypernetwork needs a name"
    path = Path(shared.cmd_opts.hypernetwork_dir) / f"{safe_name}.pt"
    assert overwrite_old or not path.exists(), f"file {path} is there already; choose another name"
    design = (layer_structure, activation_func, weight_init, add_layer_norm, use_dropout, dropout_structure)
    new_hypernetwork(safe_name, enable_sizes, *design).save(str(path))
    shared.reload_hypernetworks()


def new_hypernetwork(  # the host's parameters
    name: str,
    enable_sizes: Sequence[int | str],
    layer_structure: Sequence[float] | str | None = None,
    activation_func: str | None = None,
    weight_init: str | None = None,
    add_layer_norm: bool = False,
    use_dropout: bool = False,
    dropout_structure: Sequence[float] | str | None = None,
) -> Hypernetwork:
    """As create_hypernetwork, without the file."""
    layers = _numbers(layer_structure)
    is_used = use_dropout and dropout_structure and isinstance(dropout_structure, str)
    return Hypernetwork(
        name=name,
        enable_sizes=[int(size) for size in enable_sizes],
        layer_structure=layers,
        activation_func=activation_func,
        weight_init=weight_init,
        add_layer_norm=add_layer_norm,
        use_dropout=use_dropout,
        # Anything but a text counts as no dropout: so it is in the host.
        dropout_structure=_numbers(dropout_structure) if is_used else [0] * len(layers),
    )


def load_hypernetworks(names: Sequence[str], multipliers: Sequence[float] | None = None) -> None:
    """Has the model apply these, in this order; names that are not listed are left out."""
    loaded = []
    for i, name in enumerate(names):
        if name in shared.hypernetworks:
            hypernetwork = Hypernetwork()
            hypernetwork.load(shared.hypernetworks[name])
            loaded.append(hypernetwork.set_multiplier(1.0 if multipliers is None else multipliers[i]))
    shared.set_loaded_hypernetworks(loaded)


def _numbers(text: Sequence[float] | str | None) -> Any:
    return [float(part) for part in text.split(",")] if isinstance(text, str) else text
