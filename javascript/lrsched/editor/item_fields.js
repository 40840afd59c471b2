// The fields of the form below the editor: one for a parameter, one for an item's end.
import {el, setHidden} from "../base/dom.js";
import {formatRate} from "../base/format.js";

const KINDS = {time: "steps, or 20%, 3ep, 500img", whole: "whole number"};
const ENDS = [
    ["none", "to the end of the run"], ["|", "at step"], ["|%", "at % of the run"], ["|ep", "at epoch"], ["|img", "at image"],
    ["+|", "steps long"], ["+|%", "% of the run long"], ["+|ep", "epochs long"], ["+|img", "images long"],
];
const DURATIONS = [["|", "steps long"], ["|%", "% of the repeat long"], ["|ep", "epochs long"], ["|img", "images long"]];

/**
 * A text box that is committed by Enter or by leaving it, and goes back by Escape.
 * `commit(text)` resolves to a message, empty where all went well, null where it was not the time for it.
 */
class Box {
    constructor(input, commit) {
        this.input = input;
        this.commit = commit;
        this.shown = input.value;
        input.addEventListener("focusout", () => this.#leave());
        input.addEventListener("keydown", (event) => {
            if (event.key === "Enter") this.#leave();
            if (event.key === "Escape") this.input.value = this.shown;
        });
    }

    /** Shows a value, unless another one is being typed. */
    set(text) {
        const isTyping = document.activeElement === this.input && this.input.value !== this.shown;
        this.shown = text;
        if (isTyping) return;
        this.input.value = text;
        this.input.removeAttribute("aria-invalid");
    }

    async #leave() {
        const typed = this.input.value.trim();
        const before = this.shown;
        if (typed === before) return;
        this.shown = typed;
        const message = await this.commit(typed);
        if (message === null) this.shown = before;
        else if (message !== "") this.input.setAttribute("aria-invalid", "true");
    }
}

/** A parameter of a shape: `param` as GET shapes describes it; `change(text or null)` as a Box commits. */
export class ParamField {
    constructor(param, change) {
        const commit = (text) => change(text === "" ? null : text);
        const choices = param.kind === "flag" ? ["yes", "no"] : param.choices;
        this.isRequired = param.required;
        if (choices.length > 0) {
            this.input = el("select", {on: {change: () => commit(this.input.value)}},
                param.required ? null : el("option", {value: "", text: `${defaultText(param)} (default)`}),
                ...choices.map((choice) => el("option", {value: choice, text: choice})));
        } else {
            const inputmode = param.kind === "time" ? null : "decimal";
            this.input = el("input", {type: "text", spellcheck: "false", autocomplete: "off", inputmode, placeholder: defaultText(param)});
            this.box = new Box(this.input, commit);
        }
        this.input.dataset.param = param.name;
        const hint = [param.meaning, range(param)].filter(Boolean).join("; ");
        this.node = el("label", {class: "lrsched-field lrsched-param"},
            el("span", {text: `${param.label} `}, param.label === param.word.replaceAll("_", " ") ? null : el("code", {text: param.word})), this.input, el("small", {class: "lrsched-hint", text: hint}));
    }

    /** Shows what the text says; null where it says nothing. */
    set(text) {
        if (this.box) this.box.set(text ?? "");
        else this.input.value = text ?? "";
    }
}

function defaultText({required, default: value, kind}) {
    if (required) return "";
    if (value === null) return "left out";
    if (kind === "flag") return value ? "yes" : "no";
    return typeof value === "number" ? formatRate(value, 6) : String(value);
}

/** A parameter's limits in words: "above 0, below 1". */
function range({kind, low, high, open_low: openLow, open_high: openHigh}) {
    if (kind === "flag" || kind === "word") return "";
    const number = (value) => formatRate(value);
    const limits = kind === "time" ? [] : [
        low === null ? "" : openLow ? `above ${number(low)}` : `${number(low)} or more`,
        high === null ? "" : openHigh ? `below ${number(high)}` : `at most ${number(high)}`,
    ];
    return [KINDS[kind], ...limits].filter(Boolean).join(", ");
}

/** An item's end: a number and what it counts. `edit(edit without item)` as a Box commits. */
export class EndField {
    constructor({isInner, edit}) {
        this.isInner = isInner;
        this.edit = edit;
        this.number = el("input", {type: "text", spellcheck: "false", inputmode: "decimal", "aria-label": "End of the segment", "data-param": "end"});
        this.box = new Box(this.number, (text) => this.#numberChanged(text));
        this.unit = el("select", {"aria-label": "What the end counts", on: {change: () => this.#unitChanged()}},
            ...(isInner ? DURATIONS : ENDS).map(([value, text]) => el("option", {value, text})));
        this.node = el("div", {class: "lrsched-field lrsched-end"}, el("span", {text: isInner ? "Duration" : "End"}),
            el("span", {class: "lrsched-row"}, this.number, this.unit));
    }

    /** Shows an end as POST items describes it, or null. */
    set(end) {
        this.end = end === null || end.open ? null : end;
        this.box.set(this.end?.number ?? "");
        this.unit.value = this.end ? `${end.relative && !this.isInner ? "+" : ""}|${end.unit}` : this.isInner ? "|" : "none";
        setHidden(this.number, this.unit.value === "none");
    }

    #numberChanged(text) {
        const plus = this.end?.relative ? "+" : "";
        return this.edit({do: "end", value: text === "" ? null : plus + text + (this.end?.unit ?? this.unit.value.split("|")[1] ?? "")});
    }

    /** A new unit says the same step; the server says it. */
    async #unitChanged() {
        const [plus, unit] = this.unit.value.split("|");
        if (this.unit.value === "none") return this.edit({do: "end", value: null});
        if (this.isInner) return this.end && this.edit({do: "end", value: this.end.number + unit});
        const before = this.end;
        const message = await this.edit({do: "unit", unit, relative: plus === "+"});
        if (message !== "") this.set(before);
        return message;
    }
}
