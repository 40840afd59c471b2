// Puts the average or the best state of the chosen run in the place of what it trained.
import {ApiError, request} from "../base/api.js";
import {byId, setHidden, setText} from "../base/dom.js";
import {Question} from "../base/question.js";
import {goesOn} from "../base/run_states.js";
import {question} from "./use_words.js";

const WHATS = ["average", "best"];

/** The two buttons of a run, the question behind them, and what came of it; `tellInList` as in run_files.js. */
export class RunUse {
    constructor(tellInList) {
        this.tellInList = tellInList;
        this.answer = null;
        this.question = new Question(byId("run_use_ask"));
        for (const what of WHATS) byId(`run_use_${what}`).addEventListener("click", () => this.#ask(what));
    }

    /** Takes what the server says of the run that is shown. */
    show(answer) {
        if (this.answer?.run.id !== answer.run.id) this.#reset();
        this.answer = answer;
        const isGoingOn = goesOn(answer.run);
        for (const what of WHATS) {
            const button = byId(`run_use_${what}`);
            setHidden(button, !answer.usable?.includes(what));
            button.disabled = isGoingOn;
            button.title = isGoingOn ? "When the run has ended" : `Replace ${answer.run.name} with it`;
        }
    }

    #reset() {
        this.question.close();
        this.#say("");
    }

    #ask(what) {
        this.#say("");
        const text = question(what, this.answer).join(" ");
        this.question.ask({text, back: byId(`run_use_${what}`), onYes: () => this.#use(what), stays: true});
    }

    async #use(what) {
        const {run} = this.answer;
        const {id} = run;
        try {
            const {message} = await request("POST", `runs/${encodeURIComponent(id)}/use`, {what});
            if (id === this.answer.run.id) this.#say(`${message}.`);
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            const words = `Nothing was changed: ${error.message}`;
            if (id === this.answer.run.id) this.#say(words, true);
            else this.tellInList(run, words);
        }
    }

    #say(text, isTrouble = false) {
        const line = byId("run_use_said");
        setText(line, text);
        line.classList.toggle("lrsched-bad", isTrouble);
    }
}
