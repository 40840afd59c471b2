// Looks at the server again and again, with growing pauses while it does not answer.
import {ApiError} from "./api.js";
import {Latest} from "./latest.js";
import {pauseAfter} from "./retry.js";

/** One look at a time, for as long as somebody watches. */
export class Poller {
    #asked = new Latest();
    #due = 0;
    #isLooking = false;
    #failures = 0;

    /**
     * `look(isNewest)` asks, and resolves to the pause until the next look; `isNewest()` says whether none was wanted sooner meanwhile: then its
     * answer may be too old. `onTrouble(error)` is called with an ApiError, or with null after an answer without one. `isWatched()` is looked up
     * every `check_ms`; `retry_ms` is the pause after a first failure.
     */
    constructor({look, onTrouble, isWatched, check_ms, retry_ms}) {
        Object.assign(this, {look, onTrouble, isWatched, retry_ms});
        this.timer = setInterval(() => this.#check(), check_ms);
    }

    stop() {
        clearInterval(this.timer);
    }

    /** Looks now, or right after the look that is on its way. */
    soon() {
        this.#asked.begin();
        this.#due = 0;
        this.#check();
    }

    #check() {
        if (this.#isLooking || performance.now() < this.#due || !this.isWatched()) return;
        this.#isLooking = true;
        this.#lookNow().finally(() => (this.#isLooking = false));
    }

    async #lookNow() {
        const isNewest = this.#asked.begin();
        let pause_ms = pauseAfter(this.#failures + 1, this.retry_ms);
        try {
            pause_ms = await this.look(isNewest);
            this.#failures = 0;
            this.onTrouble(null);
        } catch (error) {
            this.#failures += 1;
            if (!(error instanceof ApiError)) throw error;
            this.onTrouble(error);
        } finally {
            if (isNewest()) this.#due = performance.now() + pause_ms;
        }
    }
}
