// Ticked runs side by side: their curves on one chart, what came out, their settings, their images at the same step.
import {ApiError} from "../base/api.js";
import {byId, el, setHidden, setText} from "../base/dom.js";
import {Latest} from "../base/latest.js";
import {Menu} from "../base/menu.js";
import {whileTrying} from "../base/retry.js";
import {keep, recall} from "../base/storage.js";
import {Chart} from "../chart/chart.js";
import {swatch} from "../chart/legend.js";
import {CompareExport} from "./compare_export.js";
import {CompareImages} from "./compare_images.js";
import {chartOf, CURVES, hasCurve} from "./compare_lines.js";
import {OutcomeTable, SettingsTable} from "./compare_tables.js";
import {namesOf, notesOf} from "./compare_words.js";
import {runLook} from "./run_looks.js";

const STORE = "compared";
const PAUSE_MS = 3000; // between two questions while runs train
const DEFAULTS = {isOpen: false, over: "step", curve: "curve"};

/** The panel in the place of the single run's. `onOpen(id)` and `onClose()` hear of what leads away from it. */
export class ComparePanel {
    #asked = new Latest();
    #shape = ""; // of the answer that is shown or on its way: which runs, over which axis
    #stand = ""; // of the runs in it
    #due = 0;

    constructor({onOpen, onClose}) {
        this.onOpen = onOpen;
        this.onClose = onClose;
        this.panel = byId("compared");
        this.kept = {...DEFAULTS, ...recall(STORE, {})};
        this.isOpen = false;
        this.listed = [];
        this.answer = null;
        this.pinned = null;
        this.chart = null;
        this.outcomes = new OutcomeTable({onOpen, onHighlight: (place) => this.#highlight(place)});
        this.settings = new SettingsTable();
        this.images = new CompareImages();
        this.export = new CompareExport(this);
        new Menu(byId("compared_export"), byId("compared_export_menu"), (format) => this.export.save(format));
        this.#bind();
    }

    /** Whether it was open when the page was left. */
    get wasOpen() {
        return this.kept.isOpen;
    }

    /** Opens it with the runs of the list that are ticked; it follows them until it is closed. */
    open(runs) {
        this.isOpen = true;
        this.#keep({isOpen: true});
        setHidden(this.panel, false);
        this.say("");
        this.update(runs);
    }

    close() {
        if (!this.isOpen) return;
        this.isOpen = false;
        this.#keep({isOpen: false});
        setHidden(this.panel, true);
        this.#shape = "";
    }

    /** Takes the ticked runs as the list has them now; asks only where something of them has changed. */
    update(runs) {
        if (!this.isOpen) return;
        this.listed = runs;
        const shape = JSON.stringify([runs.map(({id}) => id), this.kept.over]);
        const stand = JSON.stringify(runs.map((run) => [run.updated_s, run.step, run.state, run.title, run.note, run.images, run.trouble]));
        if (shape === this.#shape && (stand === this.#stand || performance.now() < this.#due)) return;
        this.#ask(shape, stand);
    }

    /** What is to be said of the runs, such as that one is gone. */
    say(text) {
        setText(byId("compared_said"), text);
    }

    trouble(text) {
        setText(byId("compared_trouble"), text);
    }

    // The answer --------------------------------------------------------------------------

    async #ask(shape, stand) {
        [this.#shape, this.#stand, this.#due] = [shape, stand, Infinity];
        const [ids, over] = JSON.parse(shape);
        try {
            const answer = await this.#asked.ask("POST", "comparison", {runs: ids, over});
            if (answer === null || !this.isOpen) return;
            this.answer = answer;
            this.trouble("");
            this.#draw();
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            this.#stand = ""; // asked again with the next list
            this.trouble(error.passing ? whileTrying(error) : `They cannot be compared: ${error.message}`);
        }
        this.#due = performance.now() + PAUSE_MS;
    }

    #draw() {
        const {runs} = this.answer;
        if (this.pinned !== null && this.pinned >= runs.length) this.pinned = null;
        setText(byId("compared_title"), runs.length === 1 ? "One run" : `${runs.length} runs compared`);
        this.#drawCurve();
        this.outcomes.show(this.answer);
        this.settings.show(this.answer);
        const names = namesOf(runs);
        const counts = new Map(this.listed.map((run) => [run.id, run.images]));
        this.images.show(runs.map(({id}, i) => ({id, name: names[i], images: counts.get(id) ?? 0})));
    }

    // The chart ---------------------------------------------------------------------------

    /** What is shown: what the reader chose, or the first of which there is something. */
    get curve() {
        const {curve} = this.kept;
        return hasCurve(this.answer, curve) ? curve : Object.keys(CURVES).find((one) => hasCurve(this.answer, one)) ?? curve;
    }

    /** Data and options of the chart as it is shown. */
    get shown() {
        return chartOf(this.answer, this.curve, this.pinned);
    }

    #drawCurve() {
        const {curve} = this;
        for (const option of byId("compared_curve").options) option.disabled = !hasCurve(this.answer, option.value);
        byId("compared_curve").value = curve;
        this.#drawNotes(curve);
        this.#drawLegend(curve);
        const isEmpty = !hasCurve(this.answer, curve);
        setHidden(byId("compared_chart"), isEmpty);
        setHidden(byId("compared_none"), !isEmpty);
        setText(byId("compared_about"), CURVES[curve].about);
        if (isEmpty) return;
        this.chart ??= new Chart(byId("compared_chart"), {height: 320});
        this.#highlight(null);
    }

    #drawNotes(curve) {
        const names = namesOf(this.answer.runs);
        const troubles = new Map(this.listed.map(({id, trouble}) => [id, trouble]));
        const broken = this.answer.runs.map(({id}, i) => [names[i], troubles.get(id)]).filter(([, trouble]) => trouble);
        const notes = notesOf(this.answer, curve, CURVES[curve], broken);
        const list = byId("compared_notes");
        if ([...list.children].map(({textContent: text}) => text).join("\n") === notes.join("\n")) return;
        list.replaceChildren(...notes.map((text) => el("li", {text})));
    }

    /** Entries are replaced only where they changed: one that has the focus keeps it. */
    #drawLegend(curve) {
        const list = byId("compared_legend");
        const {runs} = this.answer;
        const entries = namesOf(runs).map((name, place) => [name, place]).filter(([, place]) => runs[place][curve].length > 0);
        const key = JSON.stringify(entries);
        if (list.dataset.drawn === key) return;
        list.dataset.drawn = key;
        list.replaceChildren(...entries.map(([name, place]) => el("button", {
            type: "button", class: "lrsched-legend-entry", "aria-pressed": false, title: `${name}: click to keep it in front`, data: {place},
            on: {
                click: () => this.#pin(place), pointerenter: () => this.#highlight(place), pointerleave: () => this.#highlight(null),
                focus: () => this.#highlight(place), blur: () => this.#highlight(null),
            },
        }, swatch(runLook(place)), el("span", {text: name}))));
    }

    #pin(place) {
        this.pinned = this.pinned === place ? null : place;
        this.#highlight(null);
    }

    /** Lets a run stand out for as long as the pointer is on it; null goes back to the pinned one, or to none. */
    #highlight(place) {
        const shown = place ?? this.pinned;
        for (const entry of byId("compared_legend").children) entry.setAttribute("aria-pressed", String(Number(entry.dataset.place) === this.pinned));
        if (this.chart === null || byId("compared_chart").hidden) return;
        const {options, data} = chartOf(this.answer, this.curve, shown);
        this.chart.setOptions(options);
        this.chart.show(data);
    }

    // Choices -----------------------------------------------------------------------------

    #bind() {
        const [curve, over] = [byId("compared_curve"), byId("compared_over")];
        if (![...curve.options].some(({value}) => value === this.kept.curve)) this.kept.curve = DEFAULTS.curve;
        if (![...over.options].some(({value}) => value === this.kept.over)) this.kept.over = DEFAULTS.over;
        over.value = this.kept.over;
        curve.addEventListener("change", () => {
            this.#keep({curve: curve.value});
            if (this.answer) this.#drawCurve();
        });
        over.addEventListener("change", () => {
            this.#keep({over: over.value});
            this.update(this.listed);
        });
        byId("compared_close").addEventListener("click", () => this.onClose());
    }

    #keep(changes) {
        Object.assign(this.kept, changes);
        keep(STORE, this.kept);
    }
}
