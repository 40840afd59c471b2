"""The layers of the library, proved from its source: who may import whom, and what an import may load.

A module stands in one layer and imports from its own and from those below it. Each rule is a function from
sources to complaints, so that the last tests here can show that it complains.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "lib_lrsched"

LAYERS: tuple[tuple[str, frozenset[str]], ...] = tuple(
    (name, frozenset(modules.split()))
    for name, modules in (
        ("grammar", "console errors syntax suggest characters tokens parser"),
        ("plan", "curves shapes other_names times ends segments arguments repeat schedule lints plan counting sampling"),
        ("views", ("feedback preview forms disk no_gradient files series record_lines records history process claims presets"
                   " runstate resumption guard asked stretching")),
        ("edits", "items splices editing reshaping dragging"),
        ("formats", "exported export_deepspeed export_kohya export_phases export_torch exports"),
        ("conversion", ("imported import_diffusers import_torch import_deepspeed kohya_words import_kohya imports convert"
                        " form_requests")),
        ("store", "preset_store store door"),
        ("run", "in_force run run_view settings pictures text_files"),
        ("torch", ("optim plan_lr freeze attention codec randomness bundle goods batches data_state data_faults writer"
                   " safe_save archive recovery")),
        ("loop", ("host seams preflight_case preflight_data preflight_model preflight checks memory scheduler keeper rescue"
                 " saves going_on voice identity folders taking_up interrupts session")),
        ("host", "run_files answers saving_hooks hooks options page ui answering page_scripts api_runs api"),
        ("programs", "practice train_panel standalone demo run_picture cli __main__"),
    )
)

_TORCH = "optim plan_lr freeze attention memory codec randomness bundle goods data_state data_faults"
_TORCH += " keeper going_on identity taking_up session run_files practice"
USES_TORCH = frozenset(_TORCH.split(" "))
"""Modules that import torch when they are imported: plan_lr is a subclass of torch's LRScheduler."""

USES_WEBUI = frozenset({"host", "options"})


class Import(NamedTuple):
    """One imported name: ``target`` is the dotted path of a module, ``top`` says that importing runs it."""

    target: str
    line: int
    top: bool


@cache
def imports(source: str, package: str) -> tuple[Import, ...]:
    """All imports of a file of ``package``, relative ones resolved; those for type checking alone left out."""
    return tuple(_imports(ast.parse(source), package, top=True))


def _imports(node: ast.AST, package: str, *, top: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, child.lineno, top)
        elif isinstance(child, ast.ImportFrom):
            base = ".".join(package.split(".")[: len(package.split(".")) - child.level + 1]) if child.level else ""
            head = ".".join(part for part in (base, child.module) if part)
            for alias in child.names:
                yield Import(f"{head}.{alias.name}", child.lineno, top)
        inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        yield from _imports(child, package, top=top and not inside)


@cache
def library() -> dict[str, str]:
    """Source by dotted module name."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name] = path.read_text(encoding="utf-8")
    return found


def package_of(module: str) -> str:
    return module.removesuffix(".__init__") if module.endswith(".__init__") else module.rpartition(".")[0]


def part(dotted: str) -> str | None:
    """The module of the library, or its sub-package, that a dotted name lies in; None for other libraries."""
    names = dotted.split(".")
    return None if names[0] != PACKAGE else names[1] if len(names) > 1 else "__init__"


LEVEL = {module: level for level, (_, modules) in enumerate(LAYERS) for module in modules}


# The rules ------------------------------------------------------------------------------------


def upward(sources: Mapping[str, str]) -> list[str]:
    """Imports from a layer above, and modules without a layer."""
    complaints = []
    for module, source in sources.items():
        here = part(module)
        if here == "__init__":
            continue
        if here not in LEVEL:
            complaints.append(f"{module}: say in LAYERS where {here} stands")
            continue
        for one in imports(source, package_of(module)):
            there = part(one.target)
            if there in (None, "__init__"):
                continue
            if there not in LEVEL:
                complaints.append(f"{module}:{one.line}: imports {there}, which stands in no layer")
            elif LEVEL[there] > LEVEL[here]:
                complaints.append(
                    f"{module}:{one.line}: {LAYERS[LEVEL[here]][0]} imports {there}, which is {LAYERS[LEVEL[there]][0]}"
                )
    return complaints


def circles(sources: Mapping[str, str]) -> list[str]:
    """Modules that import each other while they are imported."""
    graph: dict[str, set[str]] = {}
    for module, source in sources.items():
        name = module.removesuffix(".__init__")
        found = (one.target for one in imports(source, package_of(module)) if one.top)
        graph[name] = {known for target in found for known in _known(target, sources) if known != name}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as circle:
        return [" < ".join(circle.args[1])]
    return []


def _known(target: str, sources: Mapping[str, str]) -> Iterable[str]:
    head = target.rpartition(".")[0]
    return [name for name in (target, head) if name in sources or f"{name}.__init__" in sources][:1]


def loads_torch(sources: Mapping[str, str]) -> list[str]:
    """Torch imported at module level outside the modules that are made of it."""
    return [
        f"{module}:{one.line}: torch at module level"
        for module, source in sources.items()
        if part(module) not in USES_TORCH
        for one in imports(source, package_of(module))
        if one.top and one.target.split(".")[0] == "torch"
    ]


def touches_webui(sources: Mapping[str, str]) -> list[str]:
    """The WebUI's modules anywhere but in functions of host.py and options.py."""
    return [
        f"{module}:{one.line}: {one.target}" + (" at module level" if one.top else "")
        for module, source in sources.items()
        for one in imports(source, package_of(module))
        if one.target.split(".")[0] == "modules" and (one.top or part(module) not in USES_WEBUI)
    ]


Rule = Callable[[Mapping[str, str]], list[str]]
RULES: list[Rule] = [upward, circles, loads_torch, touches_webui]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_library_keeps_its_layers(rule: Rule) -> None:
    assert rule(library()) == []


def test_a_module_stands_in_one_layer() -> None:
    assert len(LEVEL) == sum(len(modules) for _, modules in LAYERS)
    there = {part(module) for module in library()} - {"__init__"}
    assert LEVEL.keys() == there


def test_the_package_itself_imports_from_the_two_lowest_layers_alone() -> None:
    found = {part(one.target) for one in imports((ROOT / PACKAGE / "__init__.py").read_text(encoding="utf-8"), PACKAGE)}
    assert found <= LAYERS[0][1] | LAYERS[1][1]


def test_the_script_holds_no_logic_of_its_own() -> None:
    lines = (ROOT / "scripts" / "lrsched.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 60


# That the rules can fail ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "module", "source", "complaint"),
    [
        (upward, "parser", "from .plan import plan", "lib_lrsched.parser:1: grammar imports plan, which is plan"),
        (upward, "plan", "def f():\n    from . import store", "lib_lrsched.plan:2: plan imports store, which is store"),
        (upward, "run", "import lib_lrsched.hooks", "lib_lrsched.run:1: run imports hooks, which is host"),
        (upward, "api", "from lib_lrsched.practice.host import x", "lib_lrsched.api:1: host imports practice, which is programs"),
        (upward, "plan", "from .extra import x", "lib_lrsched.plan:1: imports extra, which stands in no layer"),
        (upward, "extra", "", "lib_lrsched.extra: say in LAYERS where extra stands"),
        (circles, "errors", "from .parser import parse", "lib_lrsched.errors < "),
        (
            circles,
            "curves",
            "try:\n    from . import shapes\nfinally:\n    pass",
            "lib_lrsched.curves < lib_lrsched.shapes < lib_lrsched.curves",
        ),
        (loads_torch, "run", "import torch.nn as nn", "lib_lrsched.run:1: torch at module level"),
        (loads_torch, "run", "if x:\n    from torch import Tensor", "lib_lrsched.run:2: torch at module level"),
        (loads_torch, "run", "class A:\n    import torch", "lib_lrsched.run:2: torch at module level"),
        (touches_webui, "host", "from modules import shared", "lib_lrsched.host:1: modules.shared at module level"),
        (touches_webui, "hooks", "def f():\n    import modules.shared", "lib_lrsched.hooks:2: modules.shared"),
    ],
)
def test_a_rule_sees_a_crossed_layer(rule: Rule, module: str, source: str, complaint: str) -> None:
    sources = library()
    kept = rule(sources)
    changed = rule(sources | {f"{PACKAGE}.{module}": sources.get(f"{PACKAGE}.{module}", "") * (rule is circles) + source})
    found = [line for line in changed if line not in kept]
    assert found
    if rule is circles:
        assert set(complaint.split(" < ")) - {""} <= set(found[0].split(" < "))
    else:
        assert complaint in found


@pytest.mark.parametrize(
    ("rule", "module", "source"),
    [
        (upward, "plan", "from .parser import parse\nfrom . import curves\nfrom math import pi"),
        (upward, "api", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .cli import main"),
        (loads_torch, "run", "def f():\n    import torch"),
        (loads_torch, "run", "from torchless import x"),
        (touches_webui, "host", "def f():\n    from modules import shared"),
        (touches_webui, "hooks", "import modules_of_my_own"),
    ],
)
def test_a_rule_lets_pass_what_is_allowed(rule: Rule, module: str, source: str) -> None:
    assert rule({f"{PACKAGE}.{module}": source}) == []


# What is loaded -------------------------------------------------------------------------------

HEAVY = ("torch", "gradio", "fastapi", "PIL", "matplotlib", "modules", "safetensors", "pydantic", "starlette")

PROBE = """
import json, sys
{work}
print(json.dumps([name for name in {heavy!r} if name in sys.modules]), file=sys.stderr)
"""


def loaded(work: str) -> tuple[list[str], str]:
    """The heavy packages that a fresh Python has loaded after some work, and what it printed."""
    command = [sys.executable, "-c", PROBE.format(work=work, heavy=HEAVY)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    return json.loads(done.stderr), done.stdout


def test_importing_the_package_and_planning_need_numpy_alone() -> None:
    work = "import lib_lrsched\nlib_lrsched.plan('1:5, cosine(0)', total_steps=9).values(range(9))"
    assert loaded(work) == ([], "")


def test_eval_needs_numpy_alone() -> None:
    found, printed = loaded("from lib_lrsched.cli import main\nmain(['eval', '0.5', '--steps', '1'])")
    assert (found, json.loads(printed)["values"]) == ([], [0.5])


def test_the_probe_sees_what_is_loaded() -> None:
    assert loaded("import PIL")[0] == ["PIL"]


def test_importing_a_module_prints_nothing_and_makes_no_folder(tmp_path: Path) -> None:
    names = sorted(module for module in LEVEL if module not in ("__main__", "practice", "train_panel"))
    work = f"import importlib\nfor name in {names!r}:\n    importlib.import_module('{PACKAGE}.' + name)"
    command = [sys.executable, "-c", f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{work}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
