// Presets: the built-in ones and the reader's own, kept by the server.
import {request} from "../base/api.js";
import {byId, el, setText} from "../base/dom.js";

/** The preset fields; `editor` gives and takes the text. */
export class Presets {
    constructor(editor) {
        this.editor = editor;
        this.presets = [];
        this.select = byId("preset");
        this.name = byId("preset_name");
        this.select.addEventListener("change", () => this.#chosen());
        this.name.addEventListener("keydown", (event) => {
            if (event.key === "Enter") this.#save();
        });
        byId("preset_save").addEventListener("click", () => this.#save());
        byId("preset_delete").addEventListener("click", () => this.#delete());
        this.#describe();
    }

    /** Fetches the list unless it is there. */
    async loadOnce() {
        if (this.presets.length === 0) await this.#ask("GET", "presets");
    }

    get names() {
        return this.presets.map(({name}) => name);
    }

    /** Keeps a text that is not the editor's; resolves to what went wrong, or "". */
    async keepAs(name, text) {
        return (await this.#ask("POST", "presets", {name, text})) ? "" : this.trouble;
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
        if (this.current) this.editor.setText(this.current.text);
        this.#describe();
    }

    #describe() {
        setText(byId("preset_note"), this.current?.note ?? "");
        byId("preset_delete").disabled = this.current === null || this.current.builtin;
    }

    async #save() {
        const name = this.name.value.trim();
        if (name === "") return this.#say("A preset needs a name.", true);
        if (!(await this.#ask("POST", "presets", {name, text: this.editor.text}))) return;
        this.select.value = name;
        this.name.value = "";
        this.#describe();
        this.#say(`Saved as ${name}.`);
    }

    async #delete() {
        const name = this.current?.name;
        if (!name || !(await this.#ask("DELETE", "presets/" + encodeURIComponent(name)))) return;
        this.select.value = "";
        this.#describe();
        this.#say(`Deleted ${name}.`);
    }

    /** Sends a request and shows the list that comes back; false when it failed. */
    async #ask(method, path, body) {
        this.trouble = "";
        try {
            const answer = await request(method, path, body);
            this.#fill(answer.presets);
            this.#say("");
            return true;
        } catch (error) {
            this.trouble = error.message;
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
