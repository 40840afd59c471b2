// What a trial suggests, or why it suggests nothing; and what can be done with it.
import {byId, el, setHidden, setText} from "../base/dom.js";
import {Question} from "../base/question.js";
import {sentence} from "../base/text.js";
import {cutAtTicks, freeName} from "./words.js";

/** `onUse(trial)` writes the text where it is used and resolves to what is said of it; `presets` keeps it. */
export class Suggestion {
    #drawn = "";
    #proposed = "";

    constructor({onUse, presets}) {
        this.onUse = onUse;
        this.presets = presets;
        this.name = byId("trial_preset_name");
        byId("trial_use").addEventListener("click", () => this.#say(this.onUse(this.trial)));
        byId("trial_keep").addEventListener("click", () => this.#keep());
        this.name.addEventListener("keydown", (event) => {
            if (event.key === "Enter") this.#keep();
        });
        this.question = new Question(byId("trial_keep_ask"));
    }

    show(trial) {
        this.trial = trial;
        this.#proposeName();
        const {id, state, suggested, why} = trial;
        const isDone = state === "finished";
        setHidden(byId("trial_suggestion"), !isDone);
        const key = JSON.stringify([id, state, suggested, why]);
        if (!isDone || key === this.#drawn) return;
        this.#drawn = key;
        this.question.close();
        this.#say(["", false]);
        byId("trial_suggestion").classList.toggle("lrsched-is-none", suggested === null);
        setText(byId("trial_suggestion_title"), suggested === null ? "No suggestion" : "Suggested");
        setText(byId("trial_suggested"), suggested ?? "");
        byId("trial_why").replaceChildren(...cutAtTicks(sentence(why)).map(([words, isText]) => (isText ? el("code", {text: words}) : words)));
        setHidden(byId("trial_actions"), suggested === null);
    }

    /** Proposes a name that no preset has, unless another one was written. */
    #proposeName() {
        const name = freeName(`Found for ${this.trial.name}`, this.presets.names).slice(0, this.name.maxLength);
        if (this.name.value === "" || this.name.value === this.#proposed) this.name.value = name;
        this.#proposed = name;
    }

    async #keep() {
        const name = this.name.value.trim();
        if (name === "") return this.#say(["A preset needs a name.", true]);
        const {id, suggested, steps} = this.trial; // its text is written for the max steps of the trial
        this.question.close();
        const {trouble, there} = await this.presets.keepAs(name, suggested, {steps});
        if (this.trial.id !== id) return; // another one is shown by now
        if (there === null) return this.#kept(name, trouble);
        this.#say(["", false]);
        const onYes = async () => this.#kept(name, (await this.presets.keepAs(name, suggested, {steps, replace: true})).trouble);
        this.question.ask({text: this.presets.taken(there), back: this.name, onYes});
    }

    #kept(name, trouble) {
        this.#say(trouble ? [`Not kept: ${trouble}`, true] : [`Kept as the preset ${name}.`, false]);
    }

    #say([words, isTrouble]) {
        const line = byId("trial_said");
        setText(line, words);
        line.classList.toggle("lrsched-bad", isTrouble);
    }
}
