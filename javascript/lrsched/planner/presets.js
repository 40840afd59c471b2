// Presets: the built-in ones and the reader's own, kept by the server.
import {request} from "../base/api.js";
import {byId, el, setText} from "../base/dom.js";
import {Question} from "../base/question.js";

/** The preset fields; `editor` gives the text, `steps()` says for how many steps it is written, or null, `onOpen(text)` puts another one in. */
export class Presets {
    constructor(editor, {steps, onOpen}) {
        Object.assign(this, {editor, steps, onOpen});
        this.presets = [];
        this.select = byId("preset");
        this.name = byId("preset_name");
        this.question = new Question(byId("preset_ask"));
        this.select.addEventListener("change", () => {
            this.#chosen();
            this.select.focus({preventScroll: true}); // the arrow keys choose one after another
        });
        this.name.addEventListener("keydown", (event) => {
            if (event.key === "Enter") this.#save();
        });
        byId("preset_save").addEventListener("click", () => this.#save());
        byId("preset_delete").addEventListener("click", () => this.#askToDelete());
        this.#describe();
    }

    /** Fetches the list unless it is there. */
    async loadOnce() {
        if (this.presets.length === 0) await this.#ask("GET", "presets");
    }

    get names() {
        return this.presets.map(({name}) => name);
    }

    /**
     * Saves a text, checked over the number of steps it is written for, where known: the ends of a text for a short run may not rise in a long
     * one. Resolves to {trouble, there}: what went wrong, or "", and a preset of the user's that already has the name, or null.
     */
    async keepAs(name, text, {replace = false, steps = null} = {}) {
        if (await this.#ask("POST", "presets", {name, text, replace, total_steps: steps})) return {trouble: "", there: null};
        const {trouble, status} = this;
        if (status !== 409 || replace) return {trouble, there: null};
        await this.#ask("GET", "presets"); // it may have been saved on another page
        return {trouble, there: this.presets.find((preset) => preset.name === name && !preset.builtin) ?? null};
    }

    /** The question before a preset is overwritten. */
    taken({name, text}) {
        return `There is a preset ${name} already: ${text}. Overwrite it?`;
    }

    get current() {
        return this.presets.find((preset) => preset.name === this.select.value) ?? null;
    }

    /** Puts one into the editor, as if it had been chosen from the list. */
    open(name) {
        this.select.value = name;
        this.#chosen();
    }

    #chosen() {
        this.question.close();
        if (this.current) this.onOpen(this.current.text);
        this.#describe();
    }

    #describe() {
        setText(byId("preset_note"), this.current?.note ?? "");
        byId("preset_delete").disabled = this.current === null || this.current.builtin;
    }

    async #save() {
        const name = this.name.value.trim();
        if (name === "") return this.#say("A preset needs a name.", true);
        const {text} = this.editor;
        const steps = this.steps();
        const {trouble, there} = await this.keepAs(name, text, {steps});
        if (trouble === "") return this.#saved(name);
        if (there === null) return this.#say(trouble, true); // a name of the built-in ones, or too many
        const onYes = async () => {
            if ((await this.keepAs(name, text, {steps, replace: true})).trouble === "") this.#saved(name);
        };
        this.#say("");
        this.question.ask({text: this.taken(there), yes: "Overwrite it", back: this.name, onYes});
    }

    #saved(name) {
        this.select.value = name;
        this.name.value = "";
        this.#describe();
        this.#say(`Saved as ${name}.`);
    }

    #askToDelete() {
        const {name, text} = this.current;
        const onYes = async () => {
            if (!(await this.#ask("DELETE", "presets/" + encodeURIComponent(name)))) return;
            this.select.value = "";
            this.#describe();
            this.#say(`Deleted ${name}.`);
        };
        this.#say("");
        this.question.ask({text: `Delete the preset ${name} for good? It is ${text}.`, yes: "Delete it", back: this.select, onYes});
    }

    /** Sends a request and shows the list that comes back; false when it failed, `trouble` and `status` say how. */
    async #ask(method, path, body) {
        this.trouble = "";
        this.status = 200;
        this.question.close();
        try {
            const answer = await request(method, path, body);
            this.#fill(answer.presets);
            this.#say("");
            return true;
        } catch (error) {
            this.trouble = error.message;
            this.status = error.status ?? 0;
            this.#say(error.message, true);
            return false;
        }
    }

    #fill(presets) {
        const before = this.select.value;
        this.presets = presets;
        const group = (label, some) => some.length === 0 ? null : el("optgroup", {label},
            ...some.map((preset) => el("option", {value: preset.name, text: preset.name})));
        this.select.replaceChildren(...[
            el("option", {value: "", text: "choose one"}),
            group("Your own", presets.filter((preset) => !preset.builtin)),
            group("Built in", presets.filter((preset) => preset.builtin)),
        ].filter((part) => part !== null));
        this.select.value = presets.some((preset) => preset.name === before) ? before : "";
        this.#describe();
    }

    #say(text, isTrouble = false) {
        const line = byId("preset_said");
        setText(line, text);
        line.classList.toggle("lrsched-bad", isTrouble);
    }
}
