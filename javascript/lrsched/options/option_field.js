// One option of a run: a field or a switch, what it means, the default, and what is wrong with what was typed.
import {el, setText} from "../base/dom.js";
import {sentence} from "../base/text.js";
import * as words from "./option_words.js";

/**
 * A field around `control`, an input or a text area. `onChoose(value)` sends a value and resolves to why it was refused, or
 * "". What stands below it comes as `more`; `onWritten()` hears that another text was written into it, and `why(message)` says
 * what of a refusal is told here.
 */
export class OptionField {
    #answer = null;
    #isHeld = false; // what was typed stays: it is on its way, or was refused

    constructor(described, {control, onChoose, more = [], onWritten = () => {}, why = words.refusal}) {
        Object.assign(this, {described, control, onChoose, onWritten, why});
        const id = `lrsched_option_${described.name}`;
        control.id = id;
        control.setAttribute("aria-describedby", `${id}_meaning ${id}_trouble`);
        this.note = el("span", {class: "lrsched-option-default"});
        this.meaning = el("span", {class: "lrsched-muted lrsched-option-meaning", id: `${id}_meaning`, text: sentence(described.meaning)});
        this.trouble = el("span", {class: "lrsched-trouble", id: `${id}_trouble`, role: "alert"});
        this.box = el("div", {class: `lrsched-option lrsched-option-${described.type}`}, this.#labelled(), this.trouble, ...more, this.meaning);
        control.addEventListener("change", () => this.#choose());
        control.addEventListener("input", () => this.forget());
        control.addEventListener("keydown", (event) => {
            if (event.key === "Escape" && this.#answer) this.reset();
        });
    }

    #labelled() {
        const name = el("span", {}, this.described.label, " ", this.note);
        if (this.described.type === "switch") return el("label", {class: "lrsched-check"}, this.control, name);
        return el("label", {class: "lrsched-field"}, name, this.control);
    }

    /** Shows what is in force; what somebody is typing, or has typed wrongly, stays. */
    show(answer) {
        const before = this.#answer && this.text;
        this.#answer = answer;
        setText(this.note, words.defaultOf(answer, this.described));
        this.box.classList.toggle("lrsched-is-chosen", this.described.name in answer.chosen);
        const {needs} = this.described;
        this.control.disabled = needs !== "" && !answer.options[needs];
        const isTyping = document.activeElement === this.control && before !== null && this.typed !== before;
        if (!this.#isHeld && !isTyping) this.#write(this.text);
    }

    /** What is in force again, whatever was typed. */
    reset() {
        this.forget();
        this.#write(this.text);
    }

    /** The value in force, as the field shows it. */
    get text() {
        return words.shown(this.described, this.#answer.options[this.described.name]);
    }

    get typed() {
        return this.described.type === "switch" ? this.control.checked : this.control.value;
    }

    #write(text) {
        if (this.described.type === "switch") this.control.checked = text;
        else if (this.control.value !== text) this.control.value = text;
        this.onWritten();
    }

    /** What was typed and is not in force is of no interest any more. */
    forget() {
        this.#isHeld = false;
        this.control.removeAttribute("aria-invalid");
        setText(this.trouble, "");
    }

    async #choose() {
        const before = this.typed;
        this.#isHeld = true; // the answer to another field's choice may come first
        const refused = await this.onChoose(words.typed(this.described, before));
        if (this.typed !== before) return; // typed on meanwhile
        this.forget();
        if (refused === "") return this.#write(this.text);
        this.#isHeld = true;
        this.control.setAttribute("aria-invalid", "true");
        const kept = words.inForce(this.#answer.options[this.described.name]);
        setText(this.trouble, `${this.why(refused, this.described.name)} ${kept}`.trim());
    }
}
