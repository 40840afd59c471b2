// Below the options: all inputs of the Train tab saved by name, and loaded.
import {ApiError, request} from "../base/api.js";
import {el, setHidden, setText} from "../base/dom.js";
import {Latest} from "../base/latest.js";
import * as fields from "./fields.js";

const AGAIN_MS = 30_000; // others may save some too

/** The row. `reference` fills the fields, `options` is the box of the options. */
export class Profiles {
    #due = 0;
    #drawn = null;
    #names = [];
    #lists = new Latest();
    #isSending = false;

    constructor(reference, options) {
        Object.assign(this, {reference, options});
        this.select = el("select", {on: {change: () => this.#enable()}});
        this.buttons = {
            load: button("Load", () => this.#load(), "Fill the Train tab with it; a name that is chosen stays"),
            save: button("Save as…", () => this.#open("save"), "All fields of the Train tab, with the options"),
            remove: button("Delete", () => this.#open("remove")),
        };
        this.name = el("input", {type: "text", maxlength: 80, spellcheck: "false"});
        this.name.addEventListener("keydown", (event) => {
            if (event.key !== "Enter") return;
            event.preventDefault(); // else it would press the button that has the focus by then
            this.#save(false);
        });
        this.saving = el("div", {class: "lrsched-row lrsched-profile-ask", hidden: true, role: "group", "aria-label": "Save as a profile"},
            el("label", {class: "lrsched-inline-field"}, el("span", {text: "Name"}), this.name),
            button("Save", () => this.#save(false)), button("Cancel", () => this.#close()));
        this.question = el("span");
        this.yes = button("", () => this.#answered());
        this.no = button("Keep it", () => this.#close());
        this.asking = el("div", {class: "lrsched-row lrsched-profile-ask", hidden: true, role: "group", "aria-label": "Question"},
            this.question, this.yes, this.no);
        this.said = el("p", {class: "lrsched-muted", role: "status"});
        this.box = el("div", {class: "lrsched lrsched-inline lrsched-profiles", id: "lrsched_profiles"},
            el("div", {class: "lrsched-row"},
                el("label", {class: "lrsched-inline-field"}, el("span", {text: "Profile"}), this.select), ...Object.values(this.buttons)),
            this.saving, this.asking, this.said);
        this.box.addEventListener("keydown", (event) => event.key === "Escape" && this.#close());
        this.#fill([]);
    }

    /** Puts the row below the options again where gradio has redrawn the page. */
    refresh() {
        const {box} = this.options;
        if (box.isConnected && box.nextElementSibling !== this.box) box.after(this.box);
        if (performance.now() < this.#due) return;
        this.#due = performance.now() + AGAIN_MS;
        this.#read();
    }

    /** A profile was saved elsewhere on the page. */
    again() {
        this.#due = 0;
    }

    async #read() {
        try {
            const answer = await this.#lists.ask("GET", "profiles");
            if (answer !== null) this.#fill(answer.profiles);
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
        }
    }

    #fill(profiles, chosen = this.select.value) {
        this.#names = profiles.map(({name}) => name);
        const key = JSON.stringify(this.#names);
        if (key !== this.#drawn) {
            const none = el("option", {value: "", text: profiles.length === 0 ? "none saved yet" : "choose one"});
            this.select.replaceChildren(none, ...this.#names.map((name) => el("option", {value: name, text: name})));
        }
        this.#drawn = key;
        this.select.value = this.#names.includes(chosen) ? chosen : "";
        this.#enable();
    }

    #enable() {
        for (const name of ["load", "remove"]) this.buttons[name].disabled = this.select.value === "";
    }

    // Load ---------------------------------------------------------------------------------

    async #load() {
        const name = this.select.value;
        this.#close();
        this.buttons.load.disabled = true;
        const trouble = await this.reference.takeProfile(name);
        this.#enable();
        if (trouble === null) return; // another one was loaded
        const differs = this.reference.count > 0 ? " Differences are listed above the Train buttons." : "";
        this.#say(trouble || `Filled from "${name}".${differs}`, trouble !== "");
        if (trouble) this.again();
    }

    // Save and delete ------------------------------------------------------------------------

    #open(what, name = this.select.value) {
        this.#say("");
        setHidden(this.saving, what !== "save");
        setHidden(this.asking, what === "save");
        if (what === "save") {
            this.name.value = name;
            this.name.focus({preventScroll: true});
            this.name.select();
            return;
        }
        this.asked = {what, name};
        setText(this.question, what === "replace" ? `There is a profile "${name}" already. Replace it?` : `Delete the profile "${name}" for good?`);
        setText(this.yes, what === "replace" ? "Replace it" : "Delete it");
        this.no.focus({preventScroll: true});
    }

    #close() {
        const isOpen = !this.saving.hidden || !this.asking.hidden;
        setHidden(this.saving, true);
        setHidden(this.asking, true);
        if (isOpen) this.buttons.save.focus({preventScroll: true});
    }

    #answered() {
        if (this.asked.what === "replace") return this.#save(true, this.asked.name);
        return this.#send(() => request("DELETE", `profiles/${encodeURIComponent(this.asked.name)}`), `Deleted "${this.asked.name}".`, "");
    }

    #save(replace, name = this.name.value.trim()) {
        if (name === "") return this.#say("Give the profile a name.", true);
        if (!replace && this.#names.includes(name)) return this.#open("replace", name);
        const inputs = fields.inputs();
        return this.#send(async () => {
            const body = {name, kind: null, inputs, options: await this.options.inForce(), replace};
            return request("POST", "profiles", body);
        }, `Saved as "${name}".`, name);
    }

    async #send(question, said, chosen) {
        if (this.#isSending) return; // pressed twice
        this.#isSending = true;
        try {
            const {profiles} = await question();
            this.#lists.begin(); // a pending answer may be older
            this.#close();
            this.#fill(profiles, chosen);
            this.#say(said);
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            if (error.status === 409 && !this.saving.hidden) return this.#open("replace", chosen); // saved in another window
            this.#say(error.message, true);
        } finally {
            this.#isSending = false;
        }
    }

    #say(text, isTrouble = false) {
        setText(this.said, text);
        this.said.classList.toggle("lrsched-bad", isTrouble);
    }
}

function button(text, click, title = null) {
    return el("button", {type: "button", class: "lrsched-button", text, title, on: {click}});
}
