// The inputs of the chosen run: filled into the Train tab, or saved as a profile.
import {ApiError, request} from "../base/api.js";
import {byId, setHidden, setText, whileDisabled} from "../base/dom.js";
import {goTo, NO_TRAIN_TAB, TRAIN, TRAIN_TABS} from "../base/tabs.js";

/** Two buttons in the head of a run. `shown()` is the run, or null; `onFill(run)` fills the fields and resolves to what went wrong. */
export class RunProfile {
    #replaces = false;

    constructor(shown, {onFill, onSaved}) {
        Object.assign(this, {shown, onFill, onSaved});
        this.box = byId("run_profile_ask");
        this.name = byId("run_profile_name");
        byId("run_fill").addEventListener("click", () => this.#fill());
        byId("run_profile").addEventListener("click", () => this.#open());
        this.saving = byId("run_profile_save");
        this.saving.addEventListener("click", () => this.#save());
        byId("run_profile_no").addEventListener("click", () => this.#close());
        this.name.addEventListener("input", () => this.#ask(false));
        this.name.addEventListener("keydown", (event) => {
            if (event.key !== "Enter") return;
            event.preventDefault();
            this.#save();
        });
        this.box.addEventListener("keydown", (event) => event.key === "Escape" && this.#close());
    }

    /** Drop-downs can be moved only where they are seen. */
    async #fill() {
        const run = this.shown();
        if (run === null) return;
        if (!(await goTo(TRAIN, TRAIN_TABS))) return this.#say(NO_TRAIN_TAB, true);
        const trouble = await this.onFill(run);
        this.#say(trouble || `The Train tab has the settings of ${run.name}.`, trouble !== "");
    }

    #open() {
        const run = this.shown();
        if (run === null) return;
        this.of = run;
        this.name.value = run.title || run.name;
        setText(byId("run_profile_text"), `Save all inputs and options of the run of ${run.name} as a profile, which the Train tab can load.`);
        this.#ask(false);
        this.#say("");
        setHidden(this.box, false);
        this.name.focus({preventScroll: true});
        this.name.select();
    }

    #ask(replaces) {
        this.#replaces = replaces;
        setText(this.saving, replaces ? "Replace it" : "Save");
    }

    #close() {
        setHidden(this.box, true);
        byId("run_profile").focus({preventScroll: true});
    }

    #save() {
        const name = this.name.value.trim();
        if (this.saving.disabled) return;
        if (name === "") return this.#say("Give the profile a name.", true);
        whileDisabled(this.saving, () => this.#send(name, this.#replaces));
    }

    /** `replaces`: whether the button said "Replace it" when it was pressed. It may change before the server answers. */
    async #send(name, replaces) {
        try {
            const {kind, inputs, options} = await request("GET", `runs/${encodeURIComponent(this.of.id)}/profile`);
            await request("POST", "profiles", {name, kind, inputs, options, replace: replaces});
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            if (error.status !== 409 || replaces) return this.#say(`Not saved: ${error.message}`, true);
            this.#ask(this.name.value.trim() === name);
            return this.#say(`There is a profile "${name}" already.`, true);
        }
        this.onSaved();
        this.#close();
        this.#say(`Saved as the profile "${name}".`);
    }

    #say(text, isTrouble = false) {
        const line = byId("run_profile_said");
        setText(line, text);
        line.classList.toggle("lrsched-bad", isTrouble);
    }
}
