// What a person calls the run that is shown, and notes of it.
import {ApiError, request} from "../base/api.js";
import {byId, el, setHidden, setText} from "../base/dom.js";

const LONGEST_TITLE = 100;
const LONGEST_NOTE = 2000;

/** A line with title and note, and a button that opens two fields. `onSaved(run)` is called with the changed run; `tellInList` as in run_files.js. */
export class RunLabel {
    #drafts = new Map(); // by a run's id: what was typed and not saved yet

    constructor({onSaved, tellInList}) {
        Object.assign(this, {onSaved, tellInList});
        this.run = null;
        this.place = byId("run_label");
        this.#make();
    }

    /** Takes the run that is shown; what is being typed stays, also that of another run, until its editor is closed. */
    show(run) {
        const isOther = this.run?.id !== run.id;
        if (isOther && this.run && !this.form.hidden) this.#drafts.set(this.run.id, this.#typed());
        this.run = run;
        setText(this.title, run.title);
        setText(this.note, run.note);
        setText(this.button, run.title || run.note ? "Edit name and note" : "Add a name or a note");
        if (isOther) this.#open(this.#drafts.get(run.id) ?? null);
    }

    #make() {
        this.title = el("strong");
        this.note = el("span", {class: "lrsched-run-note"});
        this.button = el("button", {type: "button", id: "lrsched_run_label_open", class: "lrsched-link", "aria-expanded": "false"});
        this.titleField = el("input", {type: "text", id: "lrsched_run_label_title", maxlength: LONGEST_TITLE, placeholder: "this run's own name"});
        this.noteField = el("textarea", {id: "lrsched_run_label_note", rows: 3, maxlength: LONGEST_NOTE, placeholder: "what you tried, what you saw"});
        this.saving = el("button", {type: "submit", id: "lrsched_run_label_save", class: "lrsched-button lrsched-primary", text: "Save"});
        const cancel = el("button", {type: "button", class: "lrsched-button", text: "Cancel", on: {click: () => this.#close()}});
        this.said = el("p", {class: "lrsched-trouble", role: "alert"});
        this.form = el("form", {class: "lrsched-files", hidden: true, "aria-label": "Name and note of the run"},
            el("label", {class: "lrsched-field"}, el("span", {text: "Name of the run"}), this.titleField),
            el("label", {class: "lrsched-field"}, el("span", {text: "Note"}), this.noteField),
            this.said, el("span", {class: "lrsched-row"}, this.saving, cancel));
        this.place.replaceChildren(el("div", {class: "lrsched-run-called"}, this.title, this.note, this.button), this.form);
        this.button.addEventListener("click", () => {
            if (!this.form.hidden) return this.#close();
            this.#open([this.run.title, this.run.note]);
            this.titleField.focus({preventScroll: true});
        });
        this.form.addEventListener("submit", (event) => {
            event.preventDefault();
            this.#save();
        });
        this.form.addEventListener("keydown", (event) => {
            if (event.key === "Escape") this.#close();
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#save();
        });
    }

    #typed() {
        return [this.titleField.value, this.noteField.value];
    }

    /** Opens the editor with what is typed into it; null closes it. */
    #open(typed) {
        setHidden(this.form, typed === null);
        this.button.setAttribute("aria-expanded", String(typed !== null));
        setText(this.said, "");
        if (typed !== null) [this.titleField.value, this.noteField.value] = typed;
    }

    #close() {
        this.#drafts.delete(this.run.id);
        this.#open(null);
        this.button.focus({preventScroll: true});
    }

    async #save() {
        const before = this.run;
        const {id} = before;
        const [title, note] = this.#typed();
        this.saving.disabled = true;
        try {
            const run = await request("POST", `runs/${encodeURIComponent(id)}/label`, {title: title.trim(), note: note.trim()});
            const isShown = id === this.run.id;
            const isAsSent = String(isShown ? this.#typed() : this.#drafts.get(id)) === String([title, note]); // otherwise more was typed since
            if (isAsSent) this.#drafts.delete(id);
            if (isShown) this.show(run);
            if (isShown && isAsSent) this.#close();
            this.onSaved(run);
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            const words = `Not saved: ${error.message}`;
            if (id === this.run.id) setText(this.said, words);
            else this.tellInList(before, words);
        } finally {
            this.saving.disabled = false;
        }
    }
}
