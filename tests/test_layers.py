"""The layers of the library, proved from its source: who may import whom, and what an import may load.

A folder imports only from itself and from those before it in FOLDERS, and no two files import each other. Every import counts:
those inside functions, those for type checking alone, those by ``import_module`` and a literal, and those of names that the
package's __init__ hands on. Each rule is a function from sources to complaints, so that the last tests here can show that it
complains.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "lib_lrsched"

FOLDERS = (
    "errors", "console", "language", "schedule", "__init__", "storage", "preview", "editing", "formats", "optimizer", "snapshot",
    "training", "host", "web", "practice", "cli", "__main__",
)  # fmt: skip
"""The order of the house. ``__init__`` is the package itself, which hands on names of the folders before it."""

WHEN_ASKED = f"{PACKAGE}.optimizer.plan_lr"
"""What the package hands on from a later folder: PlanLR, which loads torch, and only when its name is asked for."""

USES_TORCH = (
    "optimizer", "snapshot", "training", "host.attention", "host.checkpointing", "host.fast_attention", "host._training_checks",
    "host.run_transfer", "practice",
)  # fmt: skip
"""What imports torch when it is imported: folders, and single files of others."""

USES_WEBUI = frozenset({"host.webui", "host._webui_trainer", "host.options"})


class Import(NamedTuple):
    """One imported name: ``target`` is the dotted path, ``top`` says that importing the module runs it."""

    target: str
    line: int
    top: bool


@cache
def imports(source: str, package: str) -> tuple[Import, ...]:
    """All imports of a file of ``package``, relative ones resolved; ``lib_lrsched.NAME`` in an expression is one too."""
    nodes = list(ast.walk(tree := ast.parse(source)))
    aliases = [alias for node in nodes if isinstance(node, ast.Import) for alias in node.names if alias.name == PACKAGE]
    ours = {PACKAGE, *(alias.asname or PACKAGE for alias in aliases)}
    reached = [node for node in nodes if isinstance(node, ast.Attribute) and _name(node.value) in ours]
    return (*_imports(tree, package, top=True), *(Import(f"{PACKAGE}.{node.attr}", node.lineno, top=False) for node in reached))


def _imports(node: ast.AST, package: str, *, top: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        yield from (Import(target, child.lineno, top) for target in _targets(child, package))
        runs_later = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        is_for_types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        yield from _imports(child, package, top=top and not runs_later and not is_for_types)


def _targets(node: ast.AST, package: str) -> list[str]:
    """What a statement or a call by itself imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        head = _absolute("." * node.level + (node.module or ""), package)
        return [f"{head}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and node.args and _name(node.func) in ("import_module", "__import__"):
        literal = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
        return [_absolute(literal, package)] if isinstance(literal, str) else []
    return []


def _name(node: ast.AST) -> str:
    """``f`` of ``f`` and of ``a.f``."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _absolute(name: str, package: str) -> str:
    """The name of a module in full; its leading dots are those of a relative import in ``package``."""
    own = name.lstrip(".")
    parts = package.split(".")[: len(package.split(".")) - (len(name) - len(own)) + 1] if own != name else []
    return ".".join([*parts, own] if own else parts)


@cache
def library() -> dict[str, str]:
    """Source by dotted module name; a package has the name of its folder."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path.read_text(encoding="utf-8")
    return found


def package_of(module: str) -> str:
    """The package against which a module's relative imports are resolved."""
    is_package = (ROOT / module.replace(".", "/") / "__init__.py").is_file()
    return module if is_package else module.rpartition(".")[0]


def file_of(target: str, sources: Mapping[str, str]) -> str | None:
    """The module that an imported name lies in; None for other libraries."""
    while target and target not in sources:
        target = target.rpartition(".")[0]
    return target or None


def folder_of(module: str) -> str:
    names = module.split(".")
    return names[1] if len(names) > 1 else "__init__"


def used(module: str, sources: Mapping[str, str]) -> Iterator[tuple[str, Import]]:
    """The modules of the library that a module imports."""
    for one in imports(sources[module], package_of(module)):
        target = WHEN_ASKED if one.target == f"{PACKAGE}.PlanLR" else one.target
        there = file_of(target, sources) if target.split(".")[0] == PACKAGE else None
        if there is not None and there != module:
            yield there, one


# The rules ------------------------------------------------------------------------------------


def upward(sources: Mapping[str, str]) -> list[str]:
    """Imports from a folder that comes later, and folders that stand nowhere."""
    complaints = []
    for module in sources:
        here = folder_of(module)
        if here not in FOLDERS:
            complaints.append(f"{module}: say in FOLDERS where {here} stands")
            continue
        for there, one in used(module, sources):
            folder = folder_of(there)
            if module == PACKAGE and there == WHEN_ASKED and not one.top:
                continue
            if folder not in FOLDERS:
                complaints.append(f"{module}:{one.line}: imports {folder}, which stands nowhere")
            elif FOLDERS.index(folder) > FOLDERS.index(here):
                complaints.append(f"{module}:{one.line}: {here} imports {there}, and {folder} comes later")
    return complaints


def circles(sources: Mapping[str, str]) -> list[str]:
    """Files that import each other, at whatever time."""
    graph = {module: {there for there, _ in used(module, sources)} for module in sources}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as circle:
        return [" < ".join(circle.args[1])]
    return []


def loads_torch(sources: Mapping[str, str]) -> list[str]:
    """Torch imported at module level outside the modules that are made of it."""
    return [
        f"{module}:{one.line}: torch at module level"
        for module, source in sources.items()
        if not _is_in(module, USES_TORCH)
        for one in imports(source, package_of(module))
        if one.top and one.target.split(".")[0] == "torch"
    ]


def _is_in(module: str, places: tuple[str, ...]) -> bool:
    own = module.removeprefix(f"{PACKAGE}.")
    return any(own == place or own.startswith(f"{place}.") for place in places)


def touches_webui(sources: Mapping[str, str]) -> list[str]:
    """The WebUI's modules anywhere but in functions of the files in USES_WEBUI."""
    return [
        f"{module}:{one.line}: {one.target}" + (" at module level" if one.top else "")
        for module, source in sources.items()
        for one in imports(source, package_of(module))
        if one.target.split(".")[0] == "modules" and (one.top or module.removeprefix(f"{PACKAGE}.") not in USES_WEBUI)
    ]


Rule = Callable[[Mapping[str, str]], list[str]]
RULES: list[Rule] = [upward, circles, loads_torch, touches_webui]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_library_keeps_its_layers(rule: Rule) -> None:
    assert rule(library()) == []


def test_every_folder_of_the_order_is_there() -> None:
    assert {folder_of(module) for module in library()} == set(FOLDERS)


def test_the_script_holds_no_logic_of_its_own() -> None:
    lines = (ROOT / "scripts" / "lrsched.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 60


# That the rules can fail ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "module", "source", "complaint"),
    [
        (upward, "language.parser", "from lib_lrsched.schedule.plan import plan", "lib_lrsched.language.parser:1: language"),
        (upward, "schedule.plan", "def f():\n    from lib_lrsched.storage import store", "lib_lrsched.schedule.plan:2"),
        (upward, "storage.store", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import lib_lrsched.cli.main",
         "lib_lrsched.storage.store:3: storage imports lib_lrsched.cli.main, and cli comes later"),
        (upward, "language.tree", "from lib_lrsched import plan", "lib_lrsched.language.tree:1: language imports lib_lrsched, and"),
        (upward, "storage.store", "from lib_lrsched import PlanLR",
         f"lib_lrsched.storage.store:1: storage imports {WHEN_ASKED}, and optimizer comes later"),
        (upward, "storage.store", "from .. import PlanLR", f"lib_lrsched.storage.store:1: storage imports {WHEN_ASKED}, and"),
        (upward, "storage.store", "import lib_lrsched as ours\ndef f():\n    return ours.PlanLR",
         f"lib_lrsched.storage.store:3: storage imports {WHEN_ASKED}, and optimizer comes later"),
        (upward, "storage.store", "import lib_lrsched\nmade = lib_lrsched.PlanLR(optimizer)",
         f"lib_lrsched.storage.store:2: storage imports {WHEN_ASKED}, and optimizer comes later"),
        (upward, "storage.store", "import importlib\ndef f():\n    importlib.import_module('lib_lrsched.cli.main')",
         "lib_lrsched.storage.store:3: storage imports lib_lrsched.cli.main, and cli comes later"),
        (upward, "storage.store", "from importlib import import_module\nimport_module('..web.page', __package__)",
         "lib_lrsched.storage.store:2: storage imports lib_lrsched.web, and web comes later"),
        (loads_torch, "storage.store", "import importlib\nimportlib.import_module('torch')", "lib_lrsched.storage.store:2: torch"),
        (upward, "web.page", "from ..practice.host import x", "lib_lrsched.web.page:1: web imports lib_lrsched.practice.host, and"),
        (upward, "extra.plan", "", "lib_lrsched.extra.plan: say in FOLDERS where extra stands"),
        (circles, "schedule.curves", "def f():\n    from .shapes import SHAPES", "lib_lrsched.schedule.curves"),
        (circles, "schedule.units", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .plan import Plan", "units"),
        (loads_torch, "storage.store", "import torch.nn as nn", "lib_lrsched.storage.store:1: torch at module level"),
        (loads_torch, "storage.store", "if x:\n    from torch import Tensor", "lib_lrsched.storage.store:2: torch at module level"),
        (loads_torch, "host.images", "class A:\n    import torch", "lib_lrsched.host.images:2: torch at module level"),
        (touches_webui, "host.webui", "from modules import shared", "lib_lrsched.host.webui:1: modules.shared at module level"),
        (touches_webui, "host.hooks", "def f():\n    import modules.shared", "lib_lrsched.host.hooks:2: modules.shared"),
    ],
)
def test_a_rule_sees_a_crossed_layer(rule: Rule, module: str, source: str, complaint: str) -> None:
    sources, name = library(), f"{PACKAGE}.{module}"
    kept = rule(sources)
    changed = rule({**sources, name: sources.get(name, "") * (rule is circles) + "\n" * (rule is circles) + source})
    found = [line for line in changed if line not in kept]
    assert found
    assert any(complaint in line for line in found)


@pytest.mark.parametrize(
    ("rule", "module", "source"),
    [
        (upward, "schedule.plan", "from lib_lrsched.language.parser import parse\nfrom . import curves\nfrom math import pi"),
        (upward, "storage.store", "from lib_lrsched import __version__"),
        (upward, "storage.store", "import lib_lrsched\nlib_lrsched.plan\nother.PlanLR"),
        (upward, "training.run", "from lib_lrsched import PlanLR"),
        (loads_torch, "storage.store", "def f():\n    import torch"),
        (loads_torch, "storage.store", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"),
        (loads_torch, "storage.store", "from torchless import x"),
        (touches_webui, "host.webui", "def f():\n    from modules import shared"),
        (touches_webui, "host.hooks", "import modules_of_my_own"),
    ],
)
def test_a_rule_lets_pass_what_is_allowed(rule: Rule, module: str, source: str) -> None:
    sources = library()
    assert [line for line in rule({**sources, f"{PACKAGE}.{module}": source}) if line not in rule(sources)] == []


def test_the_package_may_not_load_plan_lr_at_once() -> None:
    line = "from lib_lrsched.optimizer.plan_lr import PlanLR"
    assert upward({**library(), PACKAGE: f"def f():\n    {line}"}) == []
    assert upward({**library(), PACKAGE: line}) == [f"lib_lrsched:1: __init__ imports {WHEN_ASKED}, and optimizer comes later"]


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
    found, printed = loaded("from lib_lrsched.cli.main import main\nmain(['eval', '0.5', '--steps', '1'])")
    assert (found, json.loads(printed)["values"]) == ([], [0.5])


def test_the_package_hands_on_plan_lr_and_loads_torch_only_then() -> None:
    pytest.importorskip("torch")
    work = """import lib_lrsched
print("torch" in sys.modules, hasattr(lib_lrsched, "PlanLr"))
from lib_lrsched import PlanLR
print(PlanLR.__name__)"""
    assert loaded(work) == (["torch"], "False False\nPlanLR\n")


def test_the_probe_sees_what_is_loaded() -> None:
    assert loaded("import PIL")[0] == ["PIL"]


def test_importing_a_module_prints_nothing_and_makes_no_folder(tmp_path: Path) -> None:
    names = sorted(module for module in library() if folder_of(module) not in ("__main__", "practice"))
    work = f"import importlib\nfor name in {names!r}:\n    importlib.import_module(name)"
    command = [sys.executable, "-c", f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{work}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
