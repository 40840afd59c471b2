"""The tab's markup: plain HTML strings, brought to life by the scripts in javascript/.

It must not know gradio, fastapi, torch or the planner. Every function returns a string; every text that
is not markup goes through `html.escape`. All ids start with `lrsched_`, all classes with `lrsched-`.
"""

from __future__ import annotations

from html import escape
from typing import NamedTuple

DEFAULT_TEXT = "warmup(0.005):5%, cosine(0.005, 1e-5)"
DEFAULT_STEPS = 2000


class Snippet(NamedTuple):
    """A shape to put at the cursor: what the button shows, what it inserts, what it does."""

    label: str
    text: str
    title: str


SNIPPETS = (
    Snippet("constant", "0.005", "One rate"),
    Snippet("linear", "linear(0.005, 1e-5)", "A straight line from one rate to the other"),
    Snippet("cosine", "cosine(0.005, 1e-5)", "Half a cosine from one rate to the other"),
    Snippet("exp", "exp(0.005, 1e-5)", "The same factor at every step"),
    Snippet("poly", "poly(0.005, 1e-5, power=2)", "A power of the time that is left"),
    Snippet("warmup", "warmup(0.005):5%", "Rises to the rate, reached on its last step"),
    Snippet("step", "step(0.005, every=20%, gamma=0.5)", "Times gamma at every so many steps"),
    Snippet("decay", "decay(0.005, 0.999)", "Times gamma at every step"),
    Snippet("inverse_sqrt", "inverse_sqrt(0.005, timescale=100)", "Falls with the square root of time"),
    Snippet("rex", "rex(0.005, 1e-5)", "Stays high for long, then falls fast"),
    Snippet("cyclic", "cyclic(1e-4, 0.005, step_size=10%)", "Up and down in triangles"),
    Snippet("restarts", "restarts(0.005, 1e-5, t_0=25%)", "Cosine with warm restarts"),
    Snippet("onecycle", "onecycle(0.005)", "One rise, one fall to almost nothing"),
    Snippet("wsd", "wsd(0.005, 1e-5)", "Warm-up, hold, decay"),
    Snippet("repeat", "repeat(3, 0.005:100, 1e-3:+100)", "Its items again and again"),
    Snippet("plateau", "plateau(0.005, patience=50, every=10)", "Falls when the loss stops improving"),
    Snippet("range_test", "range_test(1e-6, 0.1)", "Looks for a rate: from low to high"),
)


EXPORTS = (
    ("a1111", "WebUI phases"), ("pytorch", "PyTorch"), ("diffusers", "diffusers"),
    ("deepspeed", "DeepSpeed"), ("kohya", "sd-scripts"),
)  # fmt: skip
IMPORTS = (("a1111", "WebUI phases"), ("diffusers", "diffusers"), ("deepspeed", "DeepSpeed"), ("kohya", "sd-scripts"))
"""What the menus offer: the server's name of the format, and ours."""


def page() -> str:
    """The whole tab: editor and chart side by side, the runs below."""
    return f"""<div id="lrsched_page" class="lrsched">
<div class="lrsched-columns">
<div class="lrsched-column">{_editor()}{_fields()}{_presets()}</div>
<div class="lrsched-column">{_chart()}{_compare()}{_segments()}{_transfer()}{_exchange()}</div>
</div>
{_runs()}
</div>"""


def button(button_id: str, label: str, *, title: str = "", kind: str = "") -> str:
    """A push button; `kind` is "primary", "quiet" or nothing."""
    extra = f" lrsched-{kind}" if kind else ""
    hint = f' title="{escape(title)}"' if title else ""
    return (
        f'<button type="button" id="lrsched_{escape(button_id)}" class="lrsched-button{extra}"{hint}>'
        f"{escape(label)}</button>"
    )


def number_field(name: str, label: str, value: str, *, placeholder: str = "", title: str = "") -> str:
    """A labelled box for a whole number from 1; the server is the one that checks it."""
    return (
        f'<label class="lrsched-field" title="{escape(title)}"><span>{escape(label)}</span>'
        f'<input id="lrsched_{name}" type="number" min="1" step="1" inputmode="numeric" '
        f'value="{escape(value)}" placeholder="{escape(placeholder)}"></label>'
    )


def snippet_button(snippet: Snippet) -> str:
    """A button that puts a shape into the editor."""
    return (
        f'<button type="button" class="lrsched-snippet" data-text="{escape(snippet.text)}" '
        f'title="{escape(snippet.title)}: {escape(snippet.text)}">{escape(snippet.label)}</button>'
    )


def axis_toggle(name: str) -> str:
    """Two buttons of which one is pressed: linear or logarithmic axis of the chart `name`."""
    sides = "".join(
        f'<button type="button" data-axis="{axis}" aria-pressed="false">{axis}</button>'
        for axis in ("linear", "log")
    )
    return f'<span id="lrsched_{name}_axis" class="lrsched-toggle" role="group" aria-label="Axis">{sides}</span>'


def _editor() -> str:
    return f"""<section class="lrsched-card" aria-labelledby="lrsched_editor_title">
<header class="lrsched-head"><h3 id="lrsched_editor_title">Schedule</h3>
<label class="lrsched-inline-field"><span>for the</span><select id="lrsched_kind">
<option value="rate">learning rate</option><option value="clip">gradient clip</option></select></label></header>
<div class="lrsched-editor"><div class="lrsched-sheet"><pre id="lrsched_backdrop" class="lrsched-backdrop" aria-hidden="true"></pre>
<textarea id="lrsched_text" spellcheck="false" autocomplete="off" autocapitalize="off" wrap="soft"
 aria-label="Schedule" aria-describedby="lrsched_messages">{escape(DEFAULT_TEXT)}</textarea></div></div>
<div id="lrsched_messages" class="lrsched-messages" role="status" aria-live="polite"></div>
<div id="lrsched_item" class="lrsched-item" role="group" aria-label="The item at the cursor" hidden></div>
{_help()}
</section>"""


def _fields() -> str:
    numbers = (
        number_field("steps", "Max steps", str(DEFAULT_STEPS), title="Updates over the life of the embedding"),
        number_field("pictures", "Pictures", "", placeholder="count", title="Pictures in the data set"),
        number_field("batch", "Batch size", "1"),
        number_field("accumulate", "Accumulation", "1", title="Gradient accumulation steps"),
    )
    return f"""<section class="lrsched-card" aria-label="The run that the schedule is for">
<div class="lrsched-numbers">{"".join(numbers)}</div>
<label class="lrsched-field"><span>Data-set folder</span><input id="lrsched_folder" type="text"
 spellcheck="false" placeholder="optional: the server counts the pictures in it"></label>
<div class="lrsched-row lrsched-wrap"><label class="lrsched-field lrsched-half"><span>Continue a run</span>
<select id="lrsched_run"><option value="">no, start at step 0</option></select></label>
<label id="lrsched_run_way_field" class="lrsched-field lrsched-half" hidden><span>How it goes on</span>
<select id="lrsched_run_way"></select></label></div>
<div id="lrsched_run_note" class="lrsched-note" hidden><span></span>
{button("run_use", "Use its text and fields", kind="quiet")}</div>
<p id="lrsched_epochs" class="lrsched-muted"></p>
</section>"""


def _presets() -> str:
    return f"""<section class="lrsched-card" aria-label="Presets">
<div class="lrsched-row"><label class="lrsched-field lrsched-grow"><span>Preset</span>
<select id="lrsched_preset"><option value="">choose one</option></select></label>
{button("preset_delete", "Delete", title="Delete this preset of yours")}</div>
<p id="lrsched_preset_note" class="lrsched-muted"></p>
<div class="lrsched-row"><label class="lrsched-field lrsched-grow"><span>Save as</span>
<input id="lrsched_preset_name" type="text" maxlength="80" placeholder="name of the new preset"></label>
{button("preset_save", "Save")}</div>
<p id="lrsched_preset_said" class="lrsched-said" role="status"></p>
</section>"""


def _transfer() -> str:
    return f"""<section class="lrsched-card" aria-labelledby="lrsched_transfer_title">
<header class="lrsched-head"><h3 id="lrsched_transfer_title">Train tab</h3>
{button("fetch_train", "Read its fields", title="Take rate, steps, batch, accumulation and folder from the Train tab")}
</header>
<div class="lrsched-row lrsched-wrap">
{button("send_embedding", "Send as embedding rate", kind="primary")}
{button("send_hypernetwork", "Send as hypernetwork rate")}
{button("send_clip", "Send as clip threshold", kind="primary")}
<label class="lrsched-check"><input id="lrsched_send_fields" type="checkbox" checked>
<span>with max steps, batch, accumulation and folder</span></label></div>
<p id="lrsched_transfer_said" class="lrsched-said" role="status"></p>
</section>"""


def menu(name: str, label: str, entries: tuple[tuple[str, str], ...]) -> str:
    """A button and the list that it opens; `entries` are (format, label) pairs."""
    items = "".join(
        f'<button type="button" role="menuitem" tabindex="-1" data-format="{escape(value)}">{escape(text)}</button>'
        for value, text in entries
    )
    return f"""<span class="lrsched-menu"><button type="button" id="lrsched_{name}" class="lrsched-button"
 aria-haspopup="menu" aria-expanded="false">{escape(label)} <span aria-hidden="true">▾</span></button>
<span id="lrsched_{name}_menu" role="menu" aria-label="{escape(label)}" hidden>{items}</span></span>"""


def option_field(name: str, label: str, placeholder: str) -> str:
    """A labelled box for a number that may be left out."""
    return f"""<label id="lrsched_{name}_field" class="lrsched-field"><span>{escape(label)}</span>
<input id="lrsched_{name}" type="text" inputmode="decimal" spellcheck="false" placeholder="{escape(placeholder)}"></label>"""


def _exchange() -> str:
    return f"""<section class="lrsched-card" aria-labelledby="lrsched_exchange_title">
<header class="lrsched-head"><h3 id="lrsched_exchange_title">Other programs</h3>
<span class="lrsched-row">{menu("copy_as", "Copy as", EXPORTS)}{menu("paste_from", "Paste from", IMPORTS)}</span></header>
<div id="lrsched_export" class="lrsched-exchange" hidden>
<header class="lrsched-head"><h4 id="lrsched_export_title"></h4>
<span class="lrsched-row">{button("export_copy", "Copy", kind="primary")}{button("export_close", "Close")}</span></header>
<div class="lrsched-params">{option_field("export_error", "Largest deviation, %", "")}
{option_field("export_base", "Optimizer's rate", "the first rate above 0")}</div>
<textarea id="lrsched_export_text" class="lrsched-box" readonly spellcheck="false" wrap="soft"
 aria-labelledby="lrsched_export_title"></textarea>
<p id="lrsched_export_note" class="lrsched-muted"></p>
<p id="lrsched_export_trouble" class="lrsched-trouble" role="alert"></p>
<p id="lrsched_export_said" class="lrsched-said" role="status"></p></div>
<div id="lrsched_import" class="lrsched-exchange" hidden>
<header class="lrsched-head"><h4 id="lrsched_import_title"></h4>
<span class="lrsched-row">{button("import_use", "Put into the editor", kind="primary")}
{button("import_close", "Close")}</span></header>
<textarea id="lrsched_import_text" class="lrsched-box" rows="4" spellcheck="false"
 aria-labelledby="lrsched_import_title"></textarea>
<div class="lrsched-params">{option_field("import_base", "Optimizer's rate", "needed for multipliers")}
{option_field("import_epoch", "Steps per epoch", "needed for epochs")}</div>
<p id="lrsched_import_said" class="lrsched-said" role="status"></p></div>
</section>"""


def _help() -> str:
    shapes = "".join(snippet_button(snippet) for snippet in SNIPPETS)
    return f"""<div class="lrsched-help">
<div class="lrsched-snippets" role="group" aria-label="Put a shape at the cursor">{shapes}</div>
<p>Items follow one another, with commas: <code>value:end</code>. The end is the first step that the item no
longer covers: <code>:100</code>, <code>:20%</code>, <code>:3ep</code>, <code>:500img</code>, or <code>:+50</code>
from where the item starts. Without an end it goes on to the last step.</p>
</div>"""


def _chart() -> str:
    return f"""<section class="lrsched-card" aria-labelledby="lrsched_chart_title">
<header class="lrsched-head"><h3 id="lrsched_chart_title">Rate over steps</h3>{axis_toggle("chart")}</header>
<div class="lrsched-stage"><div id="lrsched_chart" class="lrsched-chart"></div>
<div id="lrsched_grips" class="lrsched-grips" role="group" aria-label="Boundaries and rates that can be dragged"></div></div>
<div id="lrsched_momentum" class="lrsched-momentum" hidden><h4>Momentum</h4>
<div id="lrsched_momentum_chart" class="lrsched-chart"></div></div>
<p id="lrsched_status" class="lrsched-said" role="status" aria-live="polite"></p>
</section>"""


def _compare() -> str:
    return f"""<section class="lrsched-card" aria-labelledby="lrsched_compare_title">
<header class="lrsched-head"><h3 id="lrsched_compare_title">Comparison</h3>
{button("compare_add", "Add to comparison", title="Keep this schedule in the chart while you write another")}</header>
<ul id="lrsched_compare" class="lrsched-compare"></ul>
</section>"""


def _segments() -> str:
    return """<section class="lrsched-card" aria-labelledby="lrsched_segments_title">
<header class="lrsched-head"><h3 id="lrsched_segments_title">Segments</h3></header>
<div class="lrsched-scroll" tabindex="0" role="region" aria-labelledby="lrsched_segments_title">
<table class="lrsched-table"><thead><tr><th>Steps</th><th>Text</th><th class="lrsched-num">First</th>
<th class="lrsched-num">Last</th><th class="lrsched-num">Epochs</th><th class="lrsched-num">Pictures</th></tr></thead>
<tbody id="lrsched_segments"></tbody></table></div>
</section>"""


def _runs() -> str:
    return f"""<section class="lrsched-card lrsched-runs" aria-labelledby="lrsched_runs_title">
<header class="lrsched-head"><h3 id="lrsched_runs_title">Runs</h3>
<span id="lrsched_host" class="lrsched-muted"></span>
{button("run_import", "Import a run…", title="A file that was exported elsewhere; it can be dropped here too")}</header>
{_import_lines()}
<p id="lrsched_runs_trouble" class="lrsched-trouble" role="status" hidden></p>
<div class="lrsched-runs-body">
<ul id="lrsched_runs" class="lrsched-runs-list" aria-label="Runs, the newest first"></ul>
<div id="lrsched_run_view" class="lrsched-run-view" hidden>
<header class="lrsched-head"><h4 id="lrsched_run_title"></h4>
<span class="lrsched-row lrsched-wrap">{button("run_open", "Open in the editor")}
{button("run_continue", "Plan its continuation")}{_file_buttons()}</span></header>
{_file_lines()}
<div id="lrsched_run_bar" class="lrsched-bar" role="progressbar" aria-label="Progress" aria-valuemin="0"
 aria-valuemax="100"><span></span></div>
<dl id="lrsched_run_numbers" class="lrsched-stats"></dl>
<p id="lrsched_run_message" class="lrsched-trouble" hidden></p>
<header class="lrsched-head"><h4>Rate</h4>
<span id="lrsched_run_rate_legend" class="lrsched-legend"></span>{axis_toggle("run_rate")}</header>
<div id="lrsched_run_rate" class="lrsched-chart"></div>
<header class="lrsched-head"><h4>Loss</h4>
<span id="lrsched_run_loss_legend" class="lrsched-legend"></span>{axis_toggle("run_loss")}</header>
<div id="lrsched_run_loss" class="lrsched-chart"></div>
<details class="lrsched-events"><summary id="lrsched_run_events_title">Events</summary><ul id="lrsched_run_events"></ul></details>
</div></div>
</section>"""


def _import_lines() -> str:
    return f"""<input id="lrsched_run_import_file" type="file" accept=".zip,application/zip" aria-label="Run to import" hidden>
<div id="lrsched_run_import_panel" class="lrsched-files" hidden><header class="lrsched-head">
<p id="lrsched_run_import_said" class="lrsched-said lrsched-grow" role="status"></p>{button("run_import_stop", "Close")}</header>
<div id="lrsched_run_import_more" class="lrsched-row lrsched-wrap" hidden><label class="lrsched-field">
<span>Its name here</span><input id="lrsched_run_import_name" type="text" maxlength="100" spellcheck="false"></label>
{button("run_import_again", "Import under this name", kind="primary")}</div></div>"""


def _file_buttons() -> str:
    return f"""<button type="button" id="lrsched_run_states_open" class="lrsched-button" aria-expanded="false"
 aria-controls="lrsched_run_states">Saved states</button>
<a id="lrsched_run_export" class="lrsched-button" role="link" aria-disabled="true"
 aria-describedby="lrsched_run_export_why" download>Export</a>{button("run_delete", "Delete")}"""


def _file_lines() -> str:
    return f"""<p id="lrsched_run_export_why" class="lrsched-muted"></p>
<div id="lrsched_run_ask" class="lrsched-files" role="group" aria-labelledby="lrsched_run_ask_text" hidden>
<p id="lrsched_run_ask_text"></p><span class="lrsched-row">{button("run_delete_yes", "Delete it", kind="danger")}
{button("run_delete_no", "Keep it")}</span></div>
<p id="lrsched_run_files_said" class="lrsched-trouble" role="alert"></p>
<div id="lrsched_run_states" class="lrsched-files" role="region" aria-label="Saved states" tabindex="-1" hidden>
<p id="lrsched_run_states_none" class="lrsched-muted" hidden>There is none.</p>
<table id="lrsched_run_states_table" class="lrsched-table lrsched-states"><thead><tr><th class="lrsched-num">Step</th>
<th>Saved</th><th class="lrsched-num">Size</th><th>What is in it</th><th>State</th></tr></thead>
<tbody id="lrsched_run_states_rows"></tbody></table></div>"""
