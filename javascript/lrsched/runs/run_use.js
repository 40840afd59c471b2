// Puts the average or the best state of the chosen run in the place of what it trained.
import {ApiError, request} from "../base/api.js";
import {byId, setHidden, setText} from "../base/dom.js";
import {question} from "./use_words.js";

const GOING_ON = new Set(["pending", "running"]);
const WHATS = ["average", "best"];

/** The two buttons of a run, the question behind them, and what came of it. */
export class RunUse {
    #what = "";

    constructor() {
        this.answer = null;
        this.box = byId("run_use_ask");
        this.yes = byId("run_use_yes");
        for (const what of WHATS) byId(`run_use_${what}`).addEventListener("click", () => this.#open(what));
        byId("run_use_no").addEventListener("click", () => this.#close());
        this.yes.addEventListener("click", () => this.#use());
        this.box.addEventListener("keydown", (event) => {
            if (event.key === "Escape") this.#close();
        });
    }

    /** Takes what the server says of the run that is shown. */
    show(answer) {
        if (this.answer?.run.id !== answer.run.id) this.#reset();
        this.answer = answer;
        const isGoingOn = GOING_ON.has(answer.run.state);
        for (const what of WHATS) {
            const button = byId(`run_use_${what}`);
            setHidden(button, !answer.usable?.includes(what));
            button.disabled = isGoingOn;
            button.title = isGoingOn ? "When the run has ended" : `Put it in the place of ${answer.run.name}`;
        }
    }

    #reset() {
        setHidden(this.box, true);
        this.#say("");
    }

    #open(what) {
        this.#what = what;
        setText(byId("run_use_text"), question(what, this.answer).join(" "));
        setHidden(this.box, false);
        this.#say("");
        byId("run_use_no").focus({preventScroll: true});
    }

    #close() {
        setHidden(this.box, true);
        byId(`run_use_${this.#what}`).focus({preventScroll: true});
    }

    async #use() {
        const {id} = this.answer.run;
        this.yes.disabled = true;
        try {
            const {message} = await request("POST", `runs/${encodeURIComponent(id)}/use`, {what: this.#what});
            if (id === this.answer.run.id) this.#say(`${message}.`);
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            if (id === this.answer.run.id) this.#say(`Nothing was changed: ${error.message}`, true);
        } finally {
            this.yes.disabled = false;
            if (!this.box.hidden) this.#close();
        }
    }

    #say(text, isTrouble = false) {
        const line = byId("run_use_said");
        setText(line, text);
        line.classList.toggle("lrsched-bad", isTrouble);
    }
}
