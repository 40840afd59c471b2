// The two tables of a comparison: what came out, a row for each run, and the settings, a column for each run.
import {byId, el, setHidden} from "../base/dom.js";
import {keep, recall} from "../base/storage.js";
import {swatch} from "../chart/legend.js";
import {bestOf, columnsOf, namesOf, risesFirst, rowOrder, wordsOf} from "./compare_words.js";
import {runLook} from "./run_looks.js";

const SORT = "compared_sort";
const ALL = "compared_all";
const CODE = new Set(["rate_text", "clip_text", "rate_by_timestep", "loss_by_timestep"]);

/** What came out. `onOpen(id)` hears of a run's name, `onHighlight(place)` of the row under the pointer, null of none. */
export class OutcomeTable {
    #columns = "";

    constructor({onOpen, onHighlight}) {
        this.onOpen = onOpen;
        this.onHighlight = onHighlight;
        this.table = byId("compared_outcomes");
        this.answer = null;
        this.sort = recall(SORT, {field: "progress_end", isRising: false});
    }

    show(answer) {
        this.answer = answer;
        const columns = columnsOf(answer);
        const fields = columns.map(({field}) => field).join(" ");
        if (this.#columns !== fields) {
            this.#columns = fields;
            this.table.tHead.replaceChildren(this.#head(columns));
        }
        this.#drawRows(columns);
    }

    #head(columns) {
        const cell = ({field, label, title, type}) => el("th", {scope: "col", data: {field}, class: type === "text" ? null : "lrsched-num"},
            el("button", {type: "button", class: "lrsched-sort", text: label, title, on: {click: () => this.#sortBy(field)}}));
        return el("tr", {}, el("th", {scope: "col", text: "Run"}), ...columns.map(cell));
    }

    #sortBy(field) {
        const columns = columnsOf(this.answer);
        const column = columns.find((one) => one.field === field);
        const isRising = this.sort.field === field ? !this.sort.isRising : risesFirst(column);
        this.sort = {field, isRising};
        keep(SORT, this.sort);
        this.#drawRows(columns);
    }

    #drawRows(columns) {
        const {runs} = this.answer;
        const sorted = columns.find(({field}) => field === this.sort.field);
        for (const cell of this.table.tHead.querySelectorAll("[data-field]")) {
            const isSorted = cell.dataset.field === sorted?.field;
            if (isSorted) cell.setAttribute("aria-sort", this.sort.isRising ? "ascending" : "descending");
            else cell.removeAttribute("aria-sort");
        }
        const order = sorted ? rowOrder(sorted.values, this.sort.isRising) : runs.map((_, i) => i);
        const best = columns.map((column) => new Set(bestOf(column, runs)));
        const names = namesOf(runs);
        this.table.tBodies[0].replaceChildren(...order.map((place) => this.#row(place, names[place], columns, best)));
    }

    #row(place, name, columns, best) {
        const {id} = this.answer.runs[place];
        const open = el("button", {type: "button", class: "lrsched-code", text: name, title: `Open ${name}`, on: {click: () => this.onOpen(id)}});
        const cells = columns.map(({type, values, field}, i) => {
            const isBest = best[i].has(place);
            const text = wordsOf(type, values[place]);
            return el("td", {class: [type === "text" ? "lrsched-words" : "lrsched-num", isBest ? "lrsched-is-best-value" : ""].join(" "), data: {field}},
                el("span", {text}), isBest ? el("span", {class: "lrsched-state", data: {state: "best"}, text: "best"}) : null);
        });
        const row = el("tr", {}, el("th", {scope: "row"}, el("span", {class: "lrsched-trial-name"}, swatch(runLook(place)), open)), ...cells);
        row.addEventListener("pointerenter", () => this.onHighlight(place));
        row.addEventListener("pointerleave", () => this.onHighlight(null));
        return row;
    }
}

/** The settings: those that differ, or all. */
export class SettingsTable {
    constructor() {
        this.table = byId("compared_settings");
        this.differing = byId("compared_differing");
        this.differing.checked = !recall(ALL, false);
        this.answer = null;
        this.differing.addEventListener("change", () => {
            keep(ALL, !this.differing.checked);
            if (this.answer) this.show(this.answer);
        });
    }

    show(answer) {
        this.answer = answer;
        const {runs, settings} = answer;
        const names = namesOf(runs);
        const isSaid = ({field}) => field !== "name" || runs.some(({title}) => title); // else it stands in the head
        const shown = settings.filter((row) => isSaid(row) && (row.differs || !this.differing.checked));
        const rows = [...noteRow(runs), ...shown];
        setHidden(byId("compared_same"), shown.length > 0);
        setHidden(this.table, rows.length === 0);
        const heads = names.map((name, place) => el("th", {scope: "col"}, el("span", {class: "lrsched-trial-name"}, swatch(runLook(place)), el("span", {text: name}))));
        this.table.tHead.replaceChildren(el("tr", {}, el("th", {scope: "col", text: "Setting"}), ...heads));
        this.table.tBodies[0].replaceChildren(...rows.map(settingRow));
    }
}

/** The notes stand above the settings, where somebody wrote one. */
function noteRow(runs) {
    const values = runs.map(({note}) => note);
    return values.some((note) => note) ? [{field: "note", label: "Note", values, differs: false}] : [];
}

function settingRow({field, label, values, differs}) {
    const cell = (value) => {
        const text = wordsOf("", value);
        return el("td", {class: `lrsched-words${CODE.has(field) && value ? " lrsched-is-code" : ""}`, text});
    };
    return el("tr", {class: differs ? "lrsched-differs" : null, data: {field}}, el("th", {scope: "row", text: label}), ...values.map(cell));
}
