// The rows of the list of runs: one stop of the Tab key, in which arrow keys move, Space ticks and Enter opens.
import {el, setText} from "../base/dom.js";
import {formatCount, formatMoment, formatPercent, formatShortMoment} from "../base/format.js";
import {calledOf} from "./run_search.js";
import {stateWords} from "./run_status.js";

const PAGE_ROWS = 6;
const TAP_REACH_PX = 6;

/** Fills `list`, a listbox. `onOpen(id)` and `onTick(id)` hear of the reader's choices. */
export class RunRows {
    #rows = new Map();
    #focused = null; // the id of the row at which the Tab key stops
    #day = "";
    #pressed = null; // the event of the last press

    constructor(list, {onOpen, onTick}) {
        this.list = list;
        this.onOpen = onOpen;
        this.onTick = onTick;
        list.addEventListener("pointerdown", (event) => (this.#pressed = event));
        list.addEventListener("click", (event) => this.#click(event));
        list.addEventListener("keydown", (event) => this.#key(event));
        list.addEventListener("focusin", (event) => this.#stopAt(rowOf(event)));
    }

    /**
     * Shows these runs. `chosen` is the id of the one that is open, `lookOf(id)` the look of a ticked one, else null. Only what has changed is
     * touched, so that focus and selection stay.
     */
    show(runs, chosen, lookOf) {
        const hadFocus = this.list.contains(document.activeElement);
        const shown = new Set(runs.map(({id}) => id));
        this.#heedDay();
        for (const [id, {row}] of this.#rows) if (!shown.has(id) && row.parentNode) row.remove();
        let next = this.list.firstElementChild;
        for (const run of runs) {
            const {row} = this.#filled(run, run.id === chosen, lookOf(run.id));
            if (row === next) next = row.nextElementSibling;
            else this.list.insertBefore(row, next);
        }
        this.#placeStop(shown, chosen);
        if (hadFocus && shown.size > 0) this.#focus(this.#rows.get(this.#focused).row, {preventScroll: true}); // a moved element loses it
    }

    /** Forgets the rows of runs that are gone. */
    forget(known) {
        for (const id of this.#rows.keys()) if (!known.has(id)) this.#rows.delete(id);
    }

    /** Gives the focus to the row of the open run, else to the first one; false where there is none. */
    focus() {
        const row = this.list.querySelector('[aria-current="true"]') ?? this.list.firstElementChild;
        if (row) this.#focus(row);
        return row !== null;
    }

    // Drawing -----------------------------------------------------------------------------

    /** "today" is another day after midnight. */
    #heedDay() {
        const day = new Date().toDateString();
        if (day === this.#day) return;
        this.#day = day;
        for (const entry of this.#rows.values()) entry.key = "";
    }

    #filled(run, isChosen, look) {
        let entry = this.#rows.get(run.id);
        if (!entry) this.#rows.set(run.id, (entry = {row: newRow(run.id), key: "", stand: ""}));
        const key = keyOf(run);
        if (entry.key !== key) {
            entry.key = key;
            fill(entry.row, run);
        }
        const stand = `${isChosen} ${look}`;
        if (entry.stand !== stand) {
            entry.stand = stand;
            entry.row.setAttribute("aria-current", String(isChosen));
            entry.row.setAttribute("aria-selected", String(look !== null));
            entry.row.dataset.look = look ?? "";
        }
        return entry;
    }

    #placeStop(shown, chosen) {
        if (shown.has(this.#focused)) return;
        const id = shown.has(chosen) ? chosen : this.list.firstElementChild?.dataset.id;
        this.#stopAt(this.#rows.get(id)?.row ?? null);
    }

    #stopAt(row) {
        if (row === null) return;
        const before = this.#rows.get(this.#focused)?.row;
        if (before && before !== row) before.tabIndex = -1;
        row.tabIndex = 0;
        this.#focused = row.dataset.id;
    }

    // Choosing ----------------------------------------------------------------------------

    #click(event) {
        const row = rowOf(event) ?? this.#pressedRow(event);
        if (row === null) return;
        this.#focus(row, {preventScroll: true});
        const isTick = event.ctrlKey || event.metaKey || event.target.closest(".lrsched-tick");
        (isTick ? this.onTick : this.onOpen)(row.dataset.id);
    }

    /** Where rows moved below a pointer that was pressed and released in one place, the click is the list's: the pressed row is meant. */
    #pressedRow({clientX, clientY}) {
        const press = this.#pressed;
        const isTap = press !== null && Math.hypot(clientX - press.clientX, clientY - press.clientY) <= TAP_REACH_PX;
        const row = isTap ? rowOf(press) : null;
        return row?.isConnected ? row : null;
    }

    #key(event) {
        const row = rowOf(event);
        if (row === null || event.ctrlKey || event.metaKey || event.altKey) return;
        if (event.key === " ") this.onTick(row.dataset.id);
        else if (event.key === "Enter") this.onOpen(row.dataset.id);
        else if (!this.#move(row, event.key)) return;
        event.preventDefault();
    }

    #move(row, key) {
        const rows = [...this.list.children];
        const here = rows.indexOf(row);
        const to = {
            ArrowDown: here + 1, ArrowUp: here - 1, PageDown: here + PAGE_ROWS, PageUp: here - PAGE_ROWS, Home: 0, End: rows.length - 1,
        }[key];
        if (to === undefined) return false;
        this.#focus(rows[Math.max(0, Math.min(rows.length - 1, to))]);
        return true;
    }

    #focus(row, options = {}) {
        if (row !== document.activeElement) row.focus(options);
    }
}

function rowOf(event) {
    return event.target.closest("[role=option]");
}

/** What a row shows, as one text: where it is the same, the row is left alone. */
function keyOf(run) {
    return [run.title, run.name, run.kind, run.state, run.step, run.total_steps, run.updated_s, run.progress_end, run.progress_best,
        run.validation_end, run.validation_best, run.seconds === null, run.rate_text, run.note, run.trouble, run.created_s].join("\n");
}

function newRow(id) {
    const line = (...names) => el("span", {class: "lrsched-run-line"}, ...names.map((name) => el("span", {class: `lrsched-${name}`})));
    return el("li", {class: "lrsched-run", role: "option", tabindex: -1, data: {id}}, el("span", {class: "lrsched-tick", "aria-hidden": "true"}),
        line("run-name", "state"), line("run-steps", "run-when"), line("run-rate", "run-progress"));
}

function fill(row, run) {
    const [name, state, steps, when, rate, progress] = row.querySelectorAll(".lrsched-run-line > span");
    setText(name, calledOf(run));
    name.title = [calledOf(run), run.note, run.trouble].filter(Boolean).join("\n");
    setText(state, stateWords(run.state));
    if (state.dataset.state !== run.state) state.dataset.state = run.state;
    setText(steps, `${run.title ? `${run.name}, ` : ""}${run.kind}, ${formatCount(run.step)} of ${formatCount(run.total_steps)}`);
    steps.title = steps.textContent;
    setText(when, formatShortMoment(run.updated_s));
    when.title = `Begun ${formatMoment(run.created_s)}, last changed ${formatMoment(run.updated_s)}`;
    setText(rate, run.rate_text);
    rate.title = run.rate_text;
    setText(progress, progressWords(run));
    progress.title = progressTitle(run);
    row.classList.toggle("lrsched-has-trouble", Boolean(run.trouble));
}

/** The share of the loss that is gone at the end and, where that is another number, at its best. */
export function progressWords({progress_end: end, progress_best: best}) {
    if (typeof end !== "number") return "–";
    const [last, most] = [formatPercent(end, 2), typeof best === "number" ? formatPercent(best, 2) : null];
    return most === null || most === last ? last : `${last}, best ${most}`;
}

function progressTitle(run) {
    const {progress_end: end, progress_best_step: step, validation_end: look, validation_best: best} = run;
    if (run.trouble) return run.trouble;
    if (typeof end !== "number") return run.seconds === null ? "Its numbers have not been read yet" : "Progress: too little or nothing was measured";
    const validated = typeof look === "number" ? [`Validation: ${formatPercent(look, 2)} at the end, ${formatPercent(best, 2)} at its best`] : [];
    const when = typeof step === "number" ? `, at its best after ${formatCount(step)} updates` : "";
    return [`Progress: the share of the loss that is gone, at the end${when}`, ...validated].join("\n");
}
