// The latest answer wins: questions may overtake each other, and what is shown must belong to the newest.
import {ApiError, request} from "./api.js";
import {pauseAfter} from "./retry.js";

const PAUSE_MS = 150; // in typing
const FIRST_RETRY_MS = 1000;

/**
 * Sends questions of one kind; the answer to one that was overtaken by a newer is null, and so is its failure. Not for
 * requests that change something on the server: their errors must be shown.
 */
export class Latest {
    #number = 0;

    /** Overtakes what was asked before; for a question in several parts: the function that is returned says whether it is the newest still. */
    begin() {
        const number = ++this.#number;
        return () => number === this.#number;
    }

    /** Waits for `question()`, a function that returns a promise. */
    async of(question) {
        const isNewest = this.begin();
        try {
            const answer = await question();
            return isNewest() ? answer : null;
        } catch (error) {
            if (!isNewest()) return null;
            throw error;
        }
    }

    /** As of(), with a request to the server. */
    ask(method, path, body) {
        return this.of(() => request(method, path, body));
    }
}

/**
 * Asks for previews as somebody types: waits for a pause, has one question on its way at a time (of those that come
 * meanwhile the last is asked next, so that a slow server is not buried), and asks again, with growing pauses, where no
 * server was found.
 */
export class PreviewRequests {
    #isAsking = false;
    #next = null;
    #timer = null;
    #failures = 0;
    #number = 0;

    /** `onAnswer(answer, question)` and `onError(error, question)` hear of each. */
    constructor({onAnswer, onError}) {
        this.onAnswer = onAnswer;
        this.onError = onError;
    }

    /** Asks after a pause, or at once. `question` is the preview request without its id. */
    ask(question, {now = false} = {}) {
        this.#later(question, now ? 0 : PAUSE_MS);
    }

    #later(question, pause_ms) {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => {
            this.#timer = null;
            this.#send(question);
        }, pause_ms);
    }

    async #send(question) {
        if (this.#isAsking) {
            this.#next = question;
            return;
        }
        this.#isAsking = true;
        try {
            await this.#sendNow(question);
        } finally {
            this.#isAsking = false;
        }
        const next = this.#next;
        this.#next = null;
        if (next !== null) this.#send(next);
    }

    async #sendNow(question) {
        try {
            const answer = await request("POST", "preview", {...question, id: ++this.#number});
            this.#failures = 0;
            this.onAnswer(answer, question);
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            this.#failed(error, question);
        }
    }

    #failed(error, question) {
        if (error.passing && this.#next === null && this.#timer === null) {
            this.#failures += 1;
            this.#later(question, pauseAfter(this.#failures, FIRST_RETRY_MS));
        }
        this.onError(error, question);
    }
}
