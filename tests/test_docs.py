"""The documentation holds: its schedules plan, its tables and images are those of the library, its links lead somewhere."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from test_layers import FOLDERS, USES_TORCH

from lib_lrsched import plan
from lib_lrsched.formats.registry import EXPORTERS, FORMATS, IMPORTERS, listed
from lib_lrsched.language.parser import parse
from lib_lrsched.language.tree import unparse
from lib_lrsched.preview.forms import describe_shapes
from lib_lrsched.schedule.shapes import ENTRIES
from lib_lrsched.web.endpoints import PREFIX, ROUTERS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md"]
SHAPE_PAGES = {page: {shape.name for shape in ENTRIES if shape.page == page} for page in {shape.page for shape in ENTRIES}}
SIZE_BYTES = 60_000


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(page: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def section(name: str) -> str:
    """The text of a shape's section."""
    (shape,) = (shape for shape in ENTRIES if shape.name == name)
    return re.split(r"^## ", read(DOCS / shape.page).partition(f"\n## {name}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


SCHEDULES = [(path.name, text) for path in PAGES for text in blocks(read(path), "schedule")]


@pytest.mark.parametrize(("page", "text"), SCHEDULES, ids=[f"{page}-{number}" for number, (page, _) in enumerate(SCHEDULES)])
def test_every_schedule_on_a_page_can_be_planned(page: str, text: str):
    made = plan(text, total_steps=2000, steps_per_epoch=20, images_per_step=1)
    assert np.all(np.isfinite(made.values(np.arange(made.stop))))
    assert not [w.message for w in made.warnings if "stops the run" not in w.message]


def test_every_shape_has_its_section_on_one_page():
    assert {path.name for path in DOCS.glob("shapes-*.md")} == set(SHAPE_PAGES)
    for page, names in SHAPE_PAGES.items():
        found = re.findall(r"^## ([a-z_]+)$", read(DOCS / page), re.MULTILINE)
        assert sorted(found) == sorted(names)


@pytest.mark.parametrize("name", [shape.name for shape in ENTRIES])
def test_a_shapes_section_has_formula_image_table_text_and_origin(name: str):
    text = section(name)
    assert f"](images/shape-{name}.png)" in text
    assert f"<!-- parameters: {name} -->\n" in text
    assert blocks(text, "schedule")
    assert any(f"{name}(" in block for block in blocks(text, "schedule")) or name == "constant"
    assert "**Origin.**" in text
    assert "**Embeddings" in text
    assert "ypernetworks" in text
    assert re.search(r"^    \S", text, re.MULTILINE) or name == "repeat"


def test_the_parameter_tables_are_those_of_the_library():
    tables = script("make_tables")
    for page in SHAPE_PAGES:
        assert tables.with_tables(read(DOCS / page)) == read(DOCS / page), f"run docs/make_tables.py: {page}"


@pytest.mark.parametrize("shape", describe_shapes(), ids=lambda shape: shape["name"])
def test_every_parameter_is_in_the_table_with_its_meaning(shape: dict):
    text = section(shape["name"])
    for param in shape["params"]:
        assert f"| {' or '.join(f'`{word}`' for word in param['words'])} | " in text
        assert f"| {param['meaning']} |" in text


def test_a_table_that_is_not_the_librarys_is_noticed():
    page = "<!-- parameters: decay -->\n| `gamma` | anything |\n<!-- end -->\n"
    assert "| `factor` or `gamma` | number | has to be given | factor of each step |\n" in script("make_tables").with_tables(page)


def test_every_image_is_small_and_shown():
    shown = {name for path in PAGES for name in re.findall(r"images/((?:shape|learning|evidence)-[a-z_]+\.png)", read(path))}
    drawn = {path.name for kind in ("shape", "learning", "evidence") for path in (DOCS / "images").glob(f"{kind}-*.png")}
    assert drawn == shown
    for name in drawn:
        data = (DOCS / "images" / name).read_bytes()
        assert data.startswith(b"\x89PNG")
        assert len(data) < SIZE_BYTES


def test_images_are_drawn_the_same_every_time(tmp_path: Path):
    plots = script("make_plots")
    names = {path.name for path in (DOCS / "images").glob("shape-*.png")}
    assert {f"shape-{name}.png" for name in (*plots.PLOTS, "plateau")} == names
    for name in ("step", "plateau"):
        first, second = plots.draw(name, tmp_path / "a"), plots.draw(name, tmp_path / "b")
        assert first.read_bytes() == second.read_bytes()
        assert first.stat().st_size < SIZE_BYTES


def test_the_table_of_learning_curves_has_the_runs_of_its_plots():
    pytest.importorskip("torch")
    plots = script("make_learning_plots")
    (table,) = (match[0] for match in plots.PLACE.finditer(read(DOCS / "learning.md")))
    assert re.findall(r"^\| ([^|]+) \| `(.+?)` \|", table, re.MULTILINE) == list(plots.TEXTS.items())


def test_the_text_of_the_experiment_is_the_one_in_its_image():
    drawn = unparse(parse(script("make_plots").EXPERIMENT))
    texts = [unparse(parse(text)) for text in blocks(read(DOCS / "shapes-cyclic.md"), "schedule")]
    assert drawn in [text.replace(", cycle_momentum=no", "") for text in texts]


def test_both_ways_to_write_the_experiment_are_the_same():
    first, second = (text for text in blocks(read(DOCS / "shapes-cyclic.md"), "schedule") if "5.65e-7" in text)
    one, other = plan(first, total_steps=2000), plan(second, total_steps=2000)
    assert one.stop == other.stop == 520
    assert np.array_equal(one.values(range(520)), other.values(range(520)))
    peaks = [k for k in range(1, 519) if one.value(k - 1) < one.value(k) > one.value(k + 1)]
    assert peaks == [40, 120, 200, 280, 360, 440]
    assert one.values([*peaks, 519]).tolist() == pytest.approx([1.13e-6] * 3 + [5.65e-7] * 2 + [2.83e-7, 2.83e-7 * 39 / 40])


def anchors(page: Path) -> list[str]:
    headings = re.findall(r"^#+ (.+)$", read(page), re.MULTILINE)
    return [re.sub(r"[^a-z0-9_ -]", "", heading.lower()).replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path):
    for target in re.findall(r"\]\(([^)\s]+)\)", read(path)):
        if target.startswith("http"):
            continue
        name, _, place = target.partition("#")
        page = path.parent / name if name else path
        assert page.is_file(), target
        assert not place or place in anchors(page), target


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_lines_are_short_enough_to_read(path: Path):
    """All of the README's; on other pages a row of a table, an image or a command stays one line."""
    text = read(path)
    if path.name != "README.md" or path.parent == DOCS:
        text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
        text = re.sub(r"^(\||!\[).*$", "", text, flags=re.MULTILINE)
    assert [line for line in text.splitlines() if len(line) > 130] == []


def test_every_page_is_in_the_index():
    index = read(DOCS / "README.md")
    assert {path.name for path in DOCS.glob("*.md")} - {"README.md"} == set(re.findall(r"\]\(([a-z-]+\.md)\)", index))


@pytest.mark.parametrize("page", ["architecture.md", "contributing.md"])
def test_every_file_that_is_named_is_there(page: str):
    folders = (ROOT, ROOT / "lib_lrsched")
    named = re.findall(r"`((?:[\w.]+/)+[\w.]*)`", read(DOCS / page))
    named = [path for path in named if not re.search(r"(?<![A-Z])(NAME|FAMILY|KIND|NNNN|ID\b)", path)]
    assert len(named) > 20
    assert [path for path in named if not any((folder / path).exists() for folder in folders)] == []


def test_the_table_of_folders_has_their_order_and_says_which_use_torch():
    rows = re.findall(r"^\| `(\w+)/` \|.*\| ([\w ]+) \|$", read(DOCS / "architecture.md"), re.MULTILINE)
    single_files = {place.partition(".")[0] for place in USES_TORCH}
    torch = {folder: "yes" if folder in USES_TORCH else "in part" if folder in single_files else "no" for folder in FOLDERS}
    assert rows == [(folder, torch[folder]) for folder in FOLDERS if (ROOT / "lib_lrsched" / folder).is_dir()]


def test_the_callbacks_events_are_those_of_the_code():
    from lib_lrsched.training.callback import EVENTS

    told = read(DOCS / "architecture.md").partition("callback is told, in order:")[2].partition(".")[0]
    assert tuple(re.findall(r"`(\w+)`", told)) == EVENTS


def replaced(source: str) -> list[str]:
    """The names of the globals for which a file makes a Seam."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [ast.literal_eval(call.args[1]) for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Seam"]


def test_the_table_of_seams_has_what_is_replaced():
    section_text = read(DOCS / "architecture.md").partition("\n## The seams\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", section_text, re.MULTILINE)
    told = [name.split(".")[-1] for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    made = [name for path in (ROOT / "lib_lrsched" / "host").glob("*.py") for name in replaced(read(path))]
    assert len(told) == len(set(told))
    assert set(told) == set(made)


def test_every_endpoint_has_its_heading_and_no_other():
    page = read(DOCS / "api.md")
    routes = [f"{method} {route.path}" for router in ROUTERS for route in router.routes for method in route.methods]
    told = re.findall(r"^#+ ([A-Z]+ /.*)$", page, re.MULTILINE)
    assert sorted(told) == sorted(re.sub(r"\{(?:run_|trial_)?(\w+)(?::path)?\}", r"{\1}", route) for route in routes)
    assert f"below `{PREFIX}`" in page


def test_the_fields_of_a_preview_are_those_of_the_code():
    from lib_lrsched.preview.curve import MAX_POINTS, MAX_ROWS, MAX_TEXTS, CurveRequest, preview
    from lib_lrsched.web.requests import PreviewRequest

    text = read(DOCS / "api.md").partition("### POST /preview\n")[2].partition("\n### ")[0]
    fields = set(re.findall(r"`(\w+)`", text)) | set(re.findall(r'"(\w+)"', text))
    answer = preview(CurveRequest(["0.005", "x"], total_steps=100, images=5))
    (good, bad) = answer["results"]
    sent = json.loads(blocks(text, "json")[0])
    assert sent.keys() == PreviewRequest.__annotations__.keys()
    assert {*sent, *answer, *good, *bad, *bad["error"], *good["segments"][0]} <= fields
    for number in (MAX_TEXTS, MAX_POINTS, MAX_ROWS):
        assert str(number) in text


def test_the_fields_of_a_run_are_those_of_the_code():
    from lib_lrsched.preview.run_view import run_json
    from lib_lrsched.storage._metrics import SHOWN
    from lib_lrsched.storage.history_row import COLUMNS
    from lib_lrsched.storage.run_state import Leg, RunState

    leg = Leg(0, 0.0, 9, "1", None, None, 1)
    shown = run_json(RunState("a", "embedding", "a", "finished", 9, 9, 0.0, 0.0, "1", legs=(leg,)))
    text = read(DOCS / "api.md").partition("### GET /runs\n")[2].partition("/bundles")[0]
    for field in (*shown, *shown["legs"][0], *SHOWN):
        assert f"`{field}`" in text or f'"{field}"' in text, field
    assert f"`[{', '.join(COLUMNS)}]`" in " ".join(read(DOCS / "architecture.md").split())


def test_what_a_list_shows_of_a_run_and_what_is_compared_are_described(tmp_path: Path):
    from lib_lrsched.preview.comparison import AXES, OUTCOMES, ComparedRun, comparison
    from lib_lrsched.preview.run_list import RunList
    from lib_lrsched.storage.history import History
    from lib_lrsched.storage.run_state import RunState
    from lib_lrsched.storage.store import Store

    page = read(DOCS / "api.md")
    state = RunState("a", "embedding", "a", "finished", 9, 9, 0.0, 0.0, "1")
    listed = RunList(Store(tmp_path)).entry(state)
    text = page.partition("### GET /runs\n")[2].partition("### GET /runs/{id}\n")[0]
    assert [field for field in listed if f"`{field}`" not in text] == []
    text = page.partition("\n## Comparison\n")[2].partition("\n## ")[0]
    found = comparison([ComparedRun(state, listed, History(None))], "step", {})
    for field in (*found, *found["runs"][0], *found["settings"][0], *AXES, *(kind for _, kind in OUTCOMES.values())):
        assert f"`{field}`" in text or f'"{field}"' in text, field


def test_every_option_of_a_run_has_its_flag_in_the_table():
    from lib_lrsched.training.options import OPTIONS

    table = read(DOCS / "learning.md").partition("\n## The options of a run\n")[2]
    assert re.findall(r"^\| `(--[a-z-]+)", table, re.MULTILINE) == [one.flag for one in OPTIONS.values()]


def test_the_files_of_an_exported_run_are_named():
    pytest.importorskip("torch")
    from lib_lrsched.snapshot.archive import LARGEST_BYTES

    text = read(DOCS / "api.md").partition("/file\n")[2].partition("\n### ")[0]
    assert set(re.findall(r"`([a-z]+\.[a-z]+)`", text)) == set(LARGEST_BYTES)


def test_export_and_shapes_are_described_field_by_field():
    page = read(DOCS / "api.md")
    shape = describe_shapes()[0]
    for field in ("text", "total_steps", "format", "error", "base", "note", "worst_error", *shape, *shape["params"][0]):
        assert f"`{field}`" in page or f'"{field}"' in page
    for block in blocks(page, "json"):
        json.loads(block)


PYTHON = [(path.name, text) for path in PAGES for text in blocks(read(path), "python")]


@pytest.mark.parametrize(("page", "text"), PYTHON, ids=[f"{page}-{number}" for number, (page, _) in enumerate(PYTHON)])
def test_python_on_a_page_runs_and_gives_what_it_says(page: str, text: str):
    torch = pytest.importorskip("torch")
    names = {"optimizer": torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0), "loader": range(2)}
    exec(text, names)
    for expression, value in re.findall(r"^(\S.*?) +# ('.*'|[\d.]+)", text, re.MULTILINE):
        assert eval(expression, names) == ast.literal_eval(value)


def test_every_format_has_its_section():
    assert re.findall(r"^## (.+)$", read(DOCS / "formats.md"), re.MULTILINE) == [one.name for one in FORMATS]


def test_the_table_of_formats_is_the_registrys():
    page = read(DOCS / "formats.md")
    assert script("make_tables").with_tables(page) == page, "run docs/make_tables.py"
    rows = re.findall(r"^\| \[`(\w+)`\]\(#\1\) \| (.+?) \|", page, re.MULTILINE)
    assert rows == [(one.name, one.label) for one in FORMATS]


def test_a_table_of_formats_that_is_not_the_registrys_is_noticed():
    page = "<!-- formats -->\n| `kohya` | anything |\n<!-- end -->\n"
    assert "| [`kohya`](#kohya) | kohya sd-scripts | yes | yes, `--steps-per-epoch` |\n" in script("make_tables").with_tables(page)


def test_the_endpoints_formats_and_options_are_the_registrys():
    text = read(DOCS / "api.md").partition("\n### POST /export\n")[2].partition("\n## ")[0]
    export, _, import_ = text.partition("\n### POST /import\n")
    import_ = " ".join(import_.split())
    assert f"| `format`* | {listed(f'`{name}`' for name in EXPORTERS)} |\n" in export
    for option in ("error", "base"):
        takers = [name for name, one in EXPORTERS.items() if option in one.takes]
        assert re.search(rf"^\| `{option}` \| .*; {' and '.join(takers)} \|$", export, re.MULTILINE), option
    assert f"`format` is {listed(f'`{name}`' for name in IMPORTERS)};" in import_
    assert "`steps_per_epoch` is for the last two" in import_
    assert [name for name, one in IMPORTERS.items() if "steps_per_epoch" in one.takes] == list(IMPORTERS)[-2:]


def test_the_commands_of_the_formats_page_are_those_of_the_command_line(capsys: pytest.CaptureFixture[str]):
    from lib_lrsched.cli.main import main

    for line in "".join(blocks(read(DOCS / "formats.md"), "sh")).splitlines():
        words = [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|(\S+)', line.removeprefix("python -m lib_lrsched "))]
        assert main(words) == 0
    assert capsys.readouterr().out


def test_deepspeeds_texts_on_the_page_are_exported_as_it_says():
    from lib_lrsched.formats.exports import export

    section_text = read(DOCS / "formats.md").partition("\n## deepspeed\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\w+)(?:, \w+)? \| (`.*) \|$", section_text, re.MULTILINE)
    found = [(name, text) for name, cell in rows for text in re.findall(r"`([^`]+)`", cell)]
    assert len(found) == 7
    for name, text in found:
        assert json.loads(export(plan(text, total_steps=2000), "deepspeed").text)["scheduler"]["type"] == name


def test_the_arguments_of_sd_scripts_on_the_page_are_imported_as_it_says():
    from lib_lrsched.formats.imports import import_text

    rows = re.findall(r"^\| `(--.*?)` \| `(.*)` \|$", read(DOCS / "formats.md"), re.MULTILINE)
    assert len(rows) == 11
    for arguments, text in rows:
        assert import_text(f"--learning_rate=0.005 --max_train_steps=2000 {arguments}", "kohya").text == text


ONE_WORD = re.compile(r"(?i)(?<![-_/\w`])(?:items?|phases?)(?![-_\w`])")
"""What is called a segment."""


def told() -> dict[str, str]:
    """What people read: the pages without their code, the changes that are not released yet, the tab, messages and labels."""
    pages = {path.name: re.sub(r"```.*?```|`[^`]*`", "", read(path), flags=re.DOTALL) for path in PAGES}
    pages["CHANGELOG.md"] = re.sub(r"`[^`]*`", "", read(ROOT / "CHANGELOG.md").split("\n## ")[1])
    pages["tab.html"] = re.sub(r"<[^>]*>|\{%.*?%\}", "", read(ROOT / "lib_lrsched/web/tab.html")) + " ".join(
        re.findall(r'(?:title|aria-label|placeholder)="([^"]*)"', read(ROOT / "lib_lrsched/web/tab.html")))
    for path in (ROOT / "lib_lrsched").rglob("*.py"):
        if "practice" not in path.parts:  # its host speaks as the WebUI does
            pages[str(path)] = "\n".join(text for text in _literals(path) if " " in text)
    for path in (ROOT / "javascript").rglob("*.js"):
        code = re.sub(r"(?m)^\s*(?://|/?\*).*$", "", read(path))
        texts = [text for pair in re.findall(r'"((?:[^"\\\n]|\\.)*)"|`([^`]*)`', code) for text in pair]
        pages[str(path)] = "\n".join(re.sub(r"\$\{[^}]*\}", "…", text) for text in texts if " " in text)
    return pages


def _literals(path: Path) -> list[str]:
    """The strings of a module that are no docstrings."""
    tree = ast.parse(read(path))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [node.value for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs]  # fmt: skip


def test_what_stands_between_two_commas_has_one_name_wherever_people_read_of_it():
    found = {name: ONE_WORD.findall(text) for name, text in told().items()}
    assert {name: words for name, words in found.items() if words} == {}
    assert all(ONE_WORD.search(text) for text in ("Next item", "3 phases for", "an item's end"))
