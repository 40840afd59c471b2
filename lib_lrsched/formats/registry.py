"""The registry of other programs' formats. A format is one entry, which holds everything that the program knows about it.

``export()`` and ``import_text()``, the menus of the tab, the command line and the table in docs/formats.md read the entries. How
to add one: docs/contributing.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any, NamedTuple


class Exporter(NamedTuple):
    """What makes a plan a text of the format.

    Attributes:
        function: "module:name", a module of this folder, which is not imported before somebody asks: see ``load``. It takes
            the plan, and its options by name; it gives an Exported or raises ExportError.
        takes: its options, of those of ``export()``. Each has what the page shows in its empty field.
        refuses: the error for each option that it does not take.
    """

    function: str
    takes: Mapping[str, str]
    refuses: Mapping[str, str]


class SettingsFile(NamedTuple):
    """What a program saves as a JSON object, so that one that is read as another program's is refused with a reason.

    Attributes:
        program: what it is called in the error.
        keys: any of them tells that it is this program's; no other entry here has one.
        are_general: others may use these words too, so that the keys of the other programs are looked for first.
    """

    program: str
    keys: tuple[str, ...]
    are_general: bool = False


class Importer(NamedTuple):
    """What makes a text of the format a schedule text.

    Attributes:
        function: as an exporter's. It takes the text, and its options by name; it gives an Imported or raises
            ImportFormatError.
        takes: its options, of those of ``import_text()``. Each has what the page shows in its empty field.
        refuses: the error for an option that would contradict the text. Without one, an option that is not taken is ignored.
        example: a short text, which the page shows in the empty box.
        settings: None where the text is no JSON object.
    """

    function: str
    takes: Mapping[str, str]
    refuses: Mapping[str, str]
    example: str
    settings: SettingsFile | None = None


class Format(NamedTuple):
    """An entry.

    Attributes:
        name: in requests and on the command line; also the heading of its section in docs/formats.md.
        label: in the menus of the tab.
        exporter: None where it is imported only.
        importer: None where it is exported only.
    """

    name: str
    label: str
    exporter: Exporter | None
    importer: Importer | None


EXACT_OR_NEAREST = "its form is exact or the nearest, and the note says how near"
BASE = {"base": "needed for multipliers"}
EPOCHS = {"steps_per_epoch": "needed for epochs"}

FORMATS: tuple[Format, ...] = (
    Format(
        "a1111", "plain WebUI text",
        Exporter("export_phases:to_a1111", {"error": "2"}, {"base": "a1111 takes no base rate"}),
        Importer(
            "import_a1111:from_a1111", {}, {"base": "a1111 strings have absolute rates: leave out the base rate"},
            "0.005:100, 1e-3:1000, 1e-5",
        ),
    ),
    Format(
        "pytorch", "PyTorch",
        Exporter("export_torch:to_pytorch", {}, {
            "error": "pytorch takes no error: it expresses a plan exactly or not at all",
            "base": "pytorch takes no base rate",
        }),
        None,
    ),
    Format(
        "diffusers", "diffusers",
        Exporter("export_phases:to_diffusers", {"error": "exact only", "base": "the first rate above 0"}, {}),
        Importer("import_diffusers:from_diffusers", BASE, {}, "1:10,0.1:20,0.01"),
    ),
    Format(
        "deepspeed", "DeepSpeed",
        Exporter("export_deepspeed:to_deepspeed", {}, {
            "error": f"deepspeed takes no error: {EXACT_OR_NEAREST}",
            "base": "deepspeed takes no base rate",
        }),
        Importer(
            "import_deepspeed:from_deepspeed", BASE, {},
            """{"scheduler": {"type": "WarmupLR",
 "params": {"warmup_max_lr": 0.005,
  "warmup_num_steps": 100,
  "warmup_type": "linear"}}}""",
            SettingsFile("DeepSpeed", ("scheduler", "zero_optimization", "train_micro_batch_size_per_gpu"), are_general=True),
        ),
    ),
    Format(
        "kohya", "kohya sd-scripts",
        Exporter("export_kohya:to_kohya", {}, {
            "error": f"kohya takes no error: {EXACT_OR_NEAREST}",
            "base": "kohya takes no base rate",
        }),
        Importer(
            "import_kohya:from_kohya", EPOCHS,
            {"base": "sd-scripts' arguments have an absolute rate, --learning_rate: leave out the base rate"},
            """--learning_rate=0.005 --lr_scheduler=cosine
 --lr_warmup_steps=100 --max_train_steps=2000
# or what kohya_ss saves, or a TOML file""",
            SettingsFile("kohya_ss", ("lr_scheduler", "lr_warmup")),
        ),
    ),
    Format(
        "onetrainer", "OneTrainer",
        None,
        Importer(
            "import_onetrainer:from_onetrainer", EPOCHS,
            {"base": "OneTrainer's configuration has an absolute rate, learning_rate: leave out the base rate"},
            """{"learning_rate": 0.005,
 "learning_rate_scheduler": "COSINE",
 "learning_rate_warmup_steps": 100,
 "epochs": 20}""",
            SettingsFile("OneTrainer", ("learning_rate_scheduler", "learning_rate_warmup_steps", "training_method")),
        ),
    ),
)  # fmt: skip
"""Every format, in the order in which they are shown."""

EXPORTERS: Mapping[str, Exporter] = {one.name: one.exporter for one in FORMATS if one.exporter is not None}

IMPORTERS: Mapping[str, Importer] = {one.name: one.importer for one in FORMATS if one.importer is not None}

SETTINGS_FILES: Mapping[str, SettingsFile] = {name: one.settings for name, one in IMPORTERS.items() if one.settings is not None}


def load(one: Exporter | Importer) -> Callable[..., Any]:
    """The function of an entry. Its module is imported now: neither the start of the page nor a command waits for all of them."""
    module, _, name = one.function.partition(":")
    found: Callable[..., Any] = getattr(import_module(f".{module}", __package__), name)
    return found


def listed(names: Iterable[str]) -> str:
    """Names in a sentence.

    >>> listed(["a1111", "diffusers", "kohya"])
    'a1111, diffusers or kohya'
    """
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
