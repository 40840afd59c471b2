// The trials that the server knows, kept fresh while somebody looks at them; and what is done to them.
import {ApiError, request} from "../base/api.js";
import {Latest} from "../base/latest.js";
import {Poller} from "../base/poller.js";
import {whileTrying} from "../base/retry.js";
import {keep, recall} from "../base/storage.js";
import {isActive} from "./words.js";

const RUNNING_MS = 600;
const IDLE_MS = 4000;
const RETRY_MS = 1200;
const CHECK_MS = 200;
const STORE = "trial";
const OF_TAB = {isOfTab: true}; // over a reload, but who comes another day is not shown an old one

/** Polls the list and those of the trials that are looked at; `listen(hears)` for whoever draws them. */
export class TrialStore {
    #listeners = new Set();
    #lists = new Latest();
    #details = new Map();
    #seen = new Set(); // ids of those that ran while this page was open
    #isRead = false;

    /** `isWatched()`: whether somebody looks at what is drawn of them. */
    constructor(isWatched) {
        this.trials = [];
        this.chosen = recall(STORE, null, OF_TAB);
        this.trouble = "";
        this.lost = "";
        this.poller = new Poller({
            look: () => this.#look(), onTrouble: (error) => this.#say(error === null ? "" : whileTrying(error)),
            isWatched: () => document.visibilityState === "visible" && (isWatched() || !this.#isRead), check_ms: CHECK_MS, retry_ms: RETRY_MS,
        });
    }

    /** `hears()` is called after every change, and once at once; the function that is returned ends it. */
    listen(hears) {
        this.#listeners.add(hears);
        hears();
        return () => this.#listeners.delete(hears);
    }

    get active() {
        return this.trials.filter(isActive);
    }

    /** All that the server has said of a trial; null where it has not yet. */
    detail(id) {
        return this.#details.get(id) ?? null;
    }

    /** The newest trial of a kind that runs, or has ended since this page was opened. */
    recent(kind) {
        return this.trials.find((trial) => trial.kind === kind && this.#seen.has(trial.id)) ?? null;
    }

    /** Looks at a trial; null looks at none. Kept over a reload. */
    choose(id) {
        this.chosen = id;
        keep(STORE, id, OF_TAB);
        this.poller.soon();
        this.#tell();
    }

    async start(body) {
        const {id} = await request("POST", "trials", body);
        this.#lists.begin(); // a list that is on its way does not know it yet
        this.#seen.add(id);
        this.lost = "";
        this.choose(id);
    }

    /**
     * Ends a trial that has not ended, and deletes one that has; refused if its state has changed. The
     * error is thrown even if the list was polled since.
     */
    async remove({id, state}) {
        try {
            const {trials} = await request("DELETE", `trials/${encodeURIComponent(id)}?state=${state}`);
            this.#lists.begin(); // a pending answer may be older
            if (!isActive({state})) this.#seen.delete(id);
            this.#take(trials, {isOurs: true});
        } finally {
            this.poller.soon();
        }
    }

    /** Resolves to the pause until the next look. */
    async #look() {
        const answer = await this.#lists.ask("GET", "trials");
        if (answer !== null) this.#take(answer.trials);
        for (const id of this.#wanted()) await this.#read(id);
        return this.active.length > 0 ? RUNNING_MS : IDLE_MS;
    }

    /** Those of which there is more to know: the chosen one and all that have not ended, until their end is known. */
    #wanted() {
        const isNew = ({id, state}) => isActive({state}) || this.detail(id)?.state !== state;
        return this.trials.filter((one) => (one.id === this.chosen || this.#seen.has(one.id)) && isNew(one)).map(({id}) => id);
    }

    /** One that is gone meanwhile is left to the next list; what has changed since this one is changed in it. */
    async #read(id) {
        try {
            const detail = await request("GET", `trials/${encodeURIComponent(id)}`);
            this.#details.set(id, detail);
            const {state, suggested, why} = detail;
            this.trials = this.trials.map((one) => (one.id === id ? {...one, state, suggested, why} : one));
        } catch (error) {
            if (!(error instanceof ApiError) || error.status !== 404) throw error;
        }
        this.#tell();
    }

    #take(trials, {isOurs = false} = {}) {
        const isListed = (wanted) => trials.some(({id}) => id === wanted);
        const gone = isOurs ? null : this.active.find(({id}) => !isListed(id));
        const begun = trials.find((one) => isActive(one) && !this.#seen.has(one.id));
        for (const one of trials.filter(isActive)) this.#seen.add(one.id);
        this.trials = trials;
        this.#isRead = true;
        if (begun) this.chosen = begun.id;
        if (!isListed(this.chosen)) this.chosen = null;
        for (const id of this.#details.keys()) if (!isListed(id)) this.#details.delete(id);
        if (gone) this.lost = `The trial for ${gone.name} is gone: the server was started again meanwhile. Start it anew.`;
        keep(STORE, this.chosen, OF_TAB);
        this.#tell();
    }

    #say(trouble) {
        if (trouble === this.trouble) return;
        this.trouble = trouble;
        this.#tell();
    }

    #tell() {
        for (const hears of this.#listeners) hears();
    }
}
