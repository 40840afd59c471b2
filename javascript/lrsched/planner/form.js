// The fields beside the editor: what they hold, how they are kept in the browser, the question they make.
import {byId, el, setText} from "../base/dom.js";
import {keep, recall} from "../base/storage.js";

const FIELDS = ["kind", "steps", "pictures", "batch", "accumulate", "folder"];
const STORE = "editor";
const WHOLE = {steps: "Max steps", pictures: "Images", batch: "Batch size", accumulate: "Accumulation"};
export const MOST_POINTS = 2000;

/** The fields of the tab; `onChange()` hears of every change, typed or set. */
export class Form {
    #troubles = {};

    constructor(onChange) {
        this.inputs = Object.fromEntries(FIELDS.map((name) => [name, byId(name)]));
        this.continued = null;
        this.onChange = onChange;
        for (const input of Object.values(this.inputs)) input.addEventListener("input", () => this.onChange());
    }

    /** Puts values into the fields; names that are not given, or null, stay as they are. */
    set(values) {
        for (const [name, value] of Object.entries(values)) {
            if (this.inputs[name] && value !== null && value !== undefined) this.inputs[name].value = String(value);
        }
        this.onChange();
    }

    /** Whether all numbers are such; what is wrong with one stands below its field. */
    isGood() {
        return Object.entries(WHOLE).map(([name, label]) => this.#check(name, label)).every((isGood) => isGood);
    }

    #check(name, label) {
        const input = this.inputs[name];
        const typed = input.value.trim();
        const isEmpty = typed === "" && !input.validity.badInput; // "1e" is no number, and has no value
        const isGood = isEmpty ? name !== "steps" : Number.isInteger(Number(typed)) && Number(typed) >= 1;
        const line = (this.#troubles[name] ??= el("span", {class: "lrsched-trouble", id: `lrsched_${name}_trouble`}));
        if (!isGood && !line.isConnected) input.after(line);
        setText(line, isGood ? "" : `${label}: a whole number from 1`);
        if (isGood === !input.hasAttribute("aria-invalid")) return isGood;
        input.toggleAttribute("aria-invalid", !isGood);
        if (!isGood) input.setAttribute("aria-invalid", "true");
        input.setAttribute("aria-describedby", line.id);
        return isGood;
    }

    get(name) {
        return this.inputs[name].value.trim();
    }

    /** The preview request for these texts, without its id. The server checks every value. */
    question(texts) {
        return {
            texts,
            kind: this.get("kind"),
            total_steps: count(this.get("steps")),
            pictures: count(this.get("pictures")),
            batch: count(this.get("batch")),
            accumulate: count(this.get("accumulate")),
            data_root: this.get("folder"),
            initial_step: this.continued?.step ?? 0,
            run: this.continued?.id ?? null,
            way: this.continued?.way ?? null,
            points: MOST_POINTS,
        };
    }

    /** Keeps text and fields in the browser. */
    keep(text) {
        const fields = Object.fromEntries(FIELDS.map((name) => [name, this.inputs[name].value]));
        const {id: run = null, way = null} = this.continued ?? {};
        keep(STORE, {text, fields, run, way});
    }

    /** Brings back what was kept; returns {text, run, way} or null. */
    recall() {
        const kept = recall(STORE, null);
        if (kept === null || typeof kept.text !== "string") return null;
        for (const name of FIELDS) {
            const value = kept.fields?.[name];
            if (typeof value === "string") this.inputs[name].value = value;
        }
        return {text: kept.text, run: kept.run ?? null, way: kept.way ?? null};
    }
}

/** What a number field says: null when it is empty, else the number as it was typed. */
function count(text) {
    return text === "" ? null : Number(text);
}
