// The list of runs with what is above it: search, filters, order, and how many are ticked for a comparison.
import {byId, el, setHidden, setText} from "../base/dom.js";
import {keep, recall} from "../base/storage.js";
import {runLook} from "../compare/run_looks.js";
import {RunRows} from "./run_rows.js";
import {found, ORDERS, ordered, searchedText} from "./run_search.js";
import {MOST_TICKED, RunTicks} from "./run_ticks.js";

const STORE = "run_list";
const PAUSE_MS = 120; // in typing, before many rows are changed

/** `onOpen(id)` hears of the run to show, `onTicks()` of changes of what is ticked, `onCompare()` of the button. */
export class RunList {
    #texts = new Map();
    #timer = null;

    constructor({onOpen, onTicks, onCompare}) {
        this.runs = [];
        this.chosen = null;
        this.list = byId("runs");
        this.search = byId("runs_search");
        this.kind = byId("runs_kind");
        this.state = byId("runs_state");
        this.order = byId("runs_order");
        this.rows = new RunRows(this.list, {onOpen, onTick: (id) => this.#tick(id)});
        this.ticks = new RunTicks(() => {
            this.say("");
            this.draw();
            onTicks();
        });
        this.#fillFields();
        this.search.addEventListener("input", () => this.#searchLater());
        this.search.addEventListener("keydown", (event) => this.#searchKey(event));
        for (const field of [this.kind, this.state, this.order]) field.addEventListener("change", () => this.#changed());
        byId("runs_all").addEventListener("click", () => this.#showAll());
        byId("runs_untick").addEventListener("click", () => {
            this.ticks.clear();
            this.focus();
        });
        byId("runs_compare").addEventListener("click", onCompare);
    }

    /** Takes the server's list. Returns the ids of ticked runs that are no longer there. */
    show(runs, chosen) {
        this.runs = runs;
        this.chosen = chosen;
        const known = new Set(runs.map(({id}) => id));
        const gone = this.ticks.retain(known);
        this.draw();
        this.rows.forget(known);
        for (const id of this.#texts.keys()) if (!known.has(id)) this.#texts.delete(id);
        return gone;
    }

    draw() {
        const shown = ordered(found(this.runs, this.#wanted(), (run) => this.#textOf(run)), this.order.value);
        this.rows.show(shown, this.chosen, (id) => this.lookOf(id));
        setHidden(byId("runs_none"), this.runs.length > 0);
        setHidden(byId("runs_head"), this.runs.length === 0);
        setHidden(this.list, shown.length === 0);
        setHidden(byId("runs_unfound"), shown.length > 0 || this.runs.length === 0);
        setText(byId("runs_count"), countWords(shown.length, this.runs.length));
        this.#drawTicks(new Set(shown.map(({id}) => id)));
    }

    /** The look of a ticked run, by its place among the ticked ones; null for the others. */
    lookOf(id) {
        const place = this.ticks.ids.indexOf(id);
        return place < 0 ? null : runLook(place);
    }

    /** Gives the focus to a row; false where there is none. */
    focus() {
        return this.rows.focus();
    }

    // Searching ---------------------------------------------------------------------------

    #fillFields() {
        this.order.replaceChildren(...ORDERS.map(({key, label}) => el("option", {value: key, text: label})));
        const kept = recall(STORE, {}, {isOfTab: true});
        this.search.value = kept.text ?? "";
        for (const [field, value] of [[this.kind, kept.kind], [this.state, kept.state], [this.order, kept.order]]) {
            if ([...field.options].some((option) => option.value === value)) field.value = value;
        }
    }

    #wanted() {
        return {text: this.search.value, kind: this.kind.value, state: this.state.value};
    }

    #searchLater() {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#changed(), PAUSE_MS);
    }

    /** From the search straight into what it found. */
    #searchKey(event) {
        if (event.key !== "ArrowDown" && event.key !== "Enter") return;
        event.preventDefault();
        clearTimeout(this.#timer);
        this.#changed();
        this.list.firstElementChild?.focus();
    }

    #changed() {
        keep(STORE, {...this.#wanted(), order: this.order.value}, {isOfTab: true});
        this.draw();
        this.list.scrollTop = 0;
    }

    #showAll() {
        this.search.value = this.kind.value = this.state.value = "";
        this.#changed();
        this.search.focus();
    }

    /** A run's text is made when something is first searched, and again where its title or note is another. */
    #textOf(run) {
        const key = `${run.title}\n${run.note}\n${run.rate_text}\n${run.state}\n${run.updated_s}`;
        const known = this.#texts.get(run.id);
        if (known?.key === key) return known.text;
        const text = searchedText(run);
        this.#texts.set(run.id, {key, text});
        return text;
    }

    // Ticking -----------------------------------------------------------------------------

    #tick(id) {
        if (!this.ticks.toggle(id)) this.say(`At most ${MOST_TICKED} runs can be compared. Untick one first.`);
    }

    #drawTicks(shown) {
        const {ids} = this.ticks;
        const unseen = ids.filter((id) => !shown.has(id)).length;
        const ticked = `${ids.length} ticked${unseen ? `, ${unseen} not in this list` : ""}`;
        setHidden(byId("runs_ticked"), ids.length === 0);
        setText(byId("runs_ticked_count"), ids.length === 1 ? `${ticked}; tick another one to compare` : ticked);
        setHidden(byId("runs_compare"), ids.length < 2);
        setText(byId("runs_compare"), `Compare ${ids.length}`);
    }

    /** What is to be said of what is ticked. */
    say(text) {
        setText(byId("runs_said"), text);
    }
}

function countWords(shown, all) {
    if (shown === all) return all === 1 ? "1 run" : `${all} runs`;
    return `${shown} of ${all} runs`;
}
