// The fields beside the editor: what they hold, how they are kept in the browser, the question they make.
import {byId, el, setHidden, setText, typeInto} from "../base/dom.js";
import {formatCount} from "../base/format.js";
import {keep, recall} from "../base/storage.js";
import {sentence} from "../base/text.js";

const FIELDS = ["kind", "steps", "pictures", "batch", "accumulate", "folder"];
const NUMBERS = {
    steps: {label: "Max steps", low: 1, high: 1e9, isRequired: true}, pictures: {label: "Images", low: 0, high: 1e7},
    batch: {label: "Batch size", low: 1, high: 1e6}, accumulate: {label: "Accumulation", low: 1, high: 1e6},
};
const STORE = "editor";
const CALM_MS = 700; // what is being typed is called wrong after so long a pause
export const MOST_POINTS = 2000;

/** The fields of the tab; `onChange()` hears of every change, typed or set. */
export class Form {
    constructor(onChange) {
        this.inputs = Object.fromEntries(FIELDS.map((name) => [name, byId(name)]));
        this.continued = null;
        this.trainee = null; // what a rate that was opened is for, where that is known
        this.onChange = onChange;
        this.notes = Object.fromEntries(FIELDS.filter((name) => name !== "kind").map((name) => [name, this.#note(name)]));
        for (const input of Object.values(this.inputs)) input.addEventListener("input", () => this.onChange());
    }

    #note(name) {
        const node = el("small", {id: `lrsched_${name}_note`, class: "lrsched-field-note", role: "status", hidden: true});
        this.inputs[name].after(node);
        this.inputs[name].setAttribute("aria-describedby", node.id);
        return {node, timer: null};
    }

    /** Says something at a field; an empty text takes it away. While one types there it waits for a pause. */
    say(name, text, {isWrong = true} = {}) {
        const note = this.notes[name];
        clearTimeout(note.timer);
        const show = () => {
            setText(note.node, text);
            setHidden(note.node, text === "");
            note.node.classList.toggle("lrsched-bad", isWrong);
            if (isWrong && text !== "") this.inputs[name].setAttribute("aria-invalid", "true");
            else this.inputs[name].removeAttribute("aria-invalid");
        };
        if (text !== "" && document.activeElement === this.inputs[name]) note.timer = setTimeout(show, CALM_MS);
        else show();
    }

    /** Whether every number is one that the server takes; what is wrong with one stands at its field. */
    check() {
        const found = Object.keys(NUMBERS).map((name) => [name, this.#wrong(name)]);
        for (const [name, text] of found) this.say(name, text);
        return found.every(([, text]) => text === "");
    }

    #wrong(name) {
        const {label, low, high, isRequired = false} = NUMBERS[name];
        const typed = this.get(name);
        const number = Number(typed);
        if (typed === "" && !this.inputs[name].validity.badInput && !isRequired) return "";
        if (typed !== "" && Number.isInteger(number) && low <= number && number <= high) return "";
        return `${label}: a whole number from ${low}${number > high ? ` to ${formatCount(high)}` : ""}`;
    }

    /** What the server found about the folder, and what the WebUI makes of batch and accumulation with so few images. */
    showAnswer({folder_trouble: trouble, pictures}) {
        this.say("folder", trouble ? sentence(trouble) : "");
        if (!pictures) return;
        const [batch, accumulate] = [count(this.get("batch")) ?? 1, count(this.get("accumulate")) ?? 1];
        const images = `there ${pictures === 1 ? "is 1 image" : `are ${formatCount(pictures)} images`}`;
        const taken = Math.min(batch, pictures);
        if (batch > pictures) this.say("batch", `Batch size: ${images}, so the WebUI takes ${taken}`, {isWrong: false});
        const most = Math.floor(pictures / taken);
        if (accumulate > most) this.say("accumulate", `Accumulation: ${images}, so the WebUI takes ${most}`, {isWrong: false});
    }

    /** Puts values into the fields; names that are not given, or null, stay as they are. */
    set(values) {
        if (values.kind !== undefined) typeInto(this.inputs.kind, values.kind); // others hear of it too
        for (const [name, value] of Object.entries(values)) {
            if (this.inputs[name] && value !== null && value !== undefined) this.inputs[name].value = String(value);
        }
        this.onChange();
    }

    get(name) {
        return this.inputs[name].value.trim();
    }

    /** What stands in each field, as it was typed. */
    get values() {
        return Object.fromEntries(FIELDS.map((name) => [name, this.inputs[name].value]));
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
            trainee: this.continued ? null : this.trainee,
            way: this.continued?.mode ?? null,
            points: MOST_POINTS,
        };
    }

    /** Keeps text and fields in the browser; `texts` are those of each kind. */
    keep(text, texts) {
        const fields = this.values;
        const {id: run = null, mode = null} = this.continued ?? {};
        keep(STORE, {text, texts, fields, run, way: mode});
    }

    /** Brings back what was kept, which may be anything: only texts pass; returns {text, texts, run, mode} or null. */
    recall() {
        const kept = recall(STORE, null);
        if (kept === null || typeof kept.text !== "string") return null;
        for (const name of FIELDS) {
            const value = kept.fields?.[name];
            if (typeof value === "string") this.inputs[name].value = value;
        }
        const texts = Object.fromEntries(Object.entries(kept.texts ?? {}).filter(([, text]) => typeof text === "string"));
        return {text: kept.text, texts, run: kept.run ?? null, mode: kept.way ?? null};
    }
}

/** What a number field says: null when it is empty, else the number as it was typed. */
function count(text) {
    return text === "" ? null : Number(text);
}
