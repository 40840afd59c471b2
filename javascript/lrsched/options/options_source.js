// What the server says of the options of one embedding or hypernetwork, and the choices that are sent to it.
import {ApiError, request} from "../base/api.js";
import {InTurn} from "../base/in_turn.js";
import {Latest} from "../base/latest.js";

const AGAIN_MS = 5000;

/** Those of one kind; `current` is the last answer for `name`, or null. `onAnswer()` hears of another one. */
export class OptionsSource {
    #key = "";
    #due = 0;
    #latest = new Latest();
    #choices = new InTurn(); // each keeps the ones before it

    constructor(kind, onAnswer) {
        this.kind = kind;
        this.onAnswer = onAnswer;
        this.name = "";
        this.folder = "";
        this.current = null;
        this.trouble = "";
        this.refusals = 0;
    }

    /**
     * May be called as often as one likes: asks when something has changed, and again after a while. `run` and `way`, the resume
     * mode that is chosen, are as `GET /resume` answers them.
     */
    refresh(name, folder, {run = null, way: mode = null} = {}) {
        const key = JSON.stringify([name, folder, run?.id, run?.state, mode]);
        if (this.#choices.isBusy || (key === this.#key && performance.now() < this.#due)) return;
        this.#key = key;
        this.#due = performance.now() + AGAIN_MS;
        const isOther = name !== this.name;
        Object.assign(this, {name, folder});
        if (isOther) this.#take(null);
        const query = new URLSearchParams({kind: this.kind, name, data_root: folder});
        this.#ask(() => (name === "" ? Promise.resolve(null) : request("GET", `options?${query}`)));
    }

    /** What was chosen fits no longer, with a run or settings that have changed since: there is no answer but to take it back. */
    get isStuck() {
        return this.current === null && this.name !== "" && this.trouble !== "";
    }

    /** True while a choice is being sent or waits. */
    get isBusy() {
        return this.#choices.isBusy;
    }

    /** Resolves when the server has answered to all choices so far. */
    get settled() {
        return this.#choices.settled;
    }

    /** Sends what `change(answer)` makes of the newest answer; resolves to why it was refused, or "". */
    choose(change) {
        const {name, folder, kind} = this;
        return this.#choices.run(async () => {
            if (name !== this.name || (this.current === null && !this.isStuck)) return "";
            const body = {kind, name, options: this.isStuck ? {} : change(this.current), data_root: folder};
            try {
                this.#latest.begin(); // a pending answer may be older
                this.#take(await request("POST", "options", body));
                return "";
            } catch (error) {
                if (!(error instanceof ApiError)) throw error;
                this.refusals += 1;
                return error.message;
            }
        });
    }

    async #ask(question) {
        try {
            const answer = await this.#latest.of(question);
            if (answer !== null) this.#take(answer);
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            if (!error.passing) this.current = null;
            this.trouble = error.message;
            this.onAnswer();
        }
    }

    #take(answer) {
        const isSame = JSON.stringify(answer) === JSON.stringify(this.current) && this.trouble === "";
        this.current = answer;
        this.trouble = "";
        if (!isSame) this.onAnswer();
    }
}
