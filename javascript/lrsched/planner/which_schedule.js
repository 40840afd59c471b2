// "Which schedule?": a few questions, and the text that the measurements advise (`make evidence`).
import {byId, setHidden, setText} from "../base/dom.js";

/** Where a search begins, or what is written where no rate is known: the finder looks two decades up and down from it. */
const GUESS = {embedding: 0.005, hypernetwork: 1e-4};

const MOST_UPDATES = 1_000_000;

/**
 * What to write, and why.
 *
 * @param {{kind: string, updates: string, rate: string}} answers as typed; without updates their number is not known yet, and
 *     without a rate it is to be found.
 * @returns {{trouble: string} | {text: string, updates: number | null, find: boolean, why: string}}
 */
export function advice({kind, updates, rate}) {
    const count = updates.trim() === "" ? null : Number(updates);
    if (count !== null && !(Number.isInteger(count) && count >= 1 && count <= MOST_UPDATES)) {
        return {trouble: "Updates: a whole number from 1 to 1,000,000, or nothing where you do not know yet."};
    }
    const find = rate.trim() === "";
    const peak = find ? GUESS[kind] : Number(rate);
    if (!(Number.isFinite(peak) && peak > 0)) return {trouble: "Rate: a number above 0 such as 0.005, or nothing to have it found."};
    const found = find ? ` ${short(peak)} is only where the search begins.` : "";
    if (count === null) return {text: short(peak), updates: null, find, why: OPEN_END + (find ? found + OPEN_RATE : "")};
    return {text: `warmup(${short(peak)}):5%, cosine(${short(peak)}, ${short(peak / 100)})`, updates: count, find, why: KNOWN_END + found};
}

const KNOWN_END = "A rate that falls to its end forgives one that is a few times too high.";
const OPEN_END = "A rate that falls needs to know its end. Train at a constant one with the average of the weights, or with plateau "
    + "on validation, which forgives more. When progress no longer rises, continue with cosine for a last stretch.";
const OPEN_RATE = " Of the rate that is found take a third: a constant forgives less.";

function short(number) {
    return String(Number(number.toPrecision(3)));
}

/** The questions in the tab. `planner` takes the text; `onFind()` opens the search for the rate. */
export class WhichSchedule {
    constructor(planner, onFind) {
        this.planner = planner;
        this.onFind = onFind;
        this.fields = {kind: byId("which_kind"), updates: byId("which_updates"), rate: byId("which_rate")};
        for (const field of Object.values(this.fields)) field.addEventListener("input", () => this.#show());
        byId("which_use").addEventListener("click", () => this.#use());
        byId("which").addEventListener("toggle", () => this.#opened());
    }

    /** Max steps are the likely answer to the first question. */
    #opened() {
        const {updates} = this.fields;
        if (byId("which").open && updates.value === "") updates.value = this.planner.form.get("steps");
        this.#show();
    }

    #show() {
        const found = this.#advice();
        setText(byId("which_text"), found.text ?? "");
        setText(byId("which_why"), found.trouble ?? found.why);
        byId("which_why").classList.toggle("lrsched-trouble", found.trouble !== undefined);
        setHidden(byId("which_text"), found.text === undefined);
        byId("which_use").disabled = found.text === undefined;
        setText(byId("which_use"), found.find ? "Write it and find the rate" : "Write it");
    }

    #advice() {
        const {kind, updates, rate} = this.fields;
        return advice({kind: kind.value, updates: updates.value, rate: rate.value});
    }

    #use() {
        const {text, updates, find} = this.#advice();
        this.planner.open({text, steps: updates, kind: "rate"});
        if (find) this.onFind();
        byId("text").focus({preventScroll: true});
        byId("editor_title").scrollIntoView({block: "nearest"}); // these questions stand far below it
    }
}
