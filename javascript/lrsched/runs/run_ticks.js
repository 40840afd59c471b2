// The runs that are ticked for a comparison, in the order in which they were ticked.
import {keep, recall} from "../base/storage.js";

const STORE = "ticked";
/** So many the server compares at once. */
export const MOST_TICKED = 20;

/** Kept over a reload; `onChange()` hears of each change. */
export class RunTicks {
    constructor(onChange) {
        this.onChange = onChange;
        const kept = recall(STORE, []);
        this.ids = Array.isArray(kept) ? kept.filter((id) => typeof id === "string").slice(0, MOST_TICKED) : [];
    }

    has(id) {
        return this.ids.includes(id);
    }

    /** Ticks a run, or takes the tick away; false where there are as many as can be. */
    toggle(id) {
        if (!this.has(id) && this.ids.length === MOST_TICKED) return false;
        this.#set(this.has(id) ? this.ids.filter((one) => one !== id) : [...this.ids, id]);
        return true;
    }

    clear() {
        this.#set([]);
    }

    /** Keeps those of the runs that are there; returns the ids of the others. */
    retain(known) {
        const gone = this.ids.filter((id) => !known.has(id));
        if (gone.length > 0) this.#set(this.ids.filter((id) => known.has(id)));
        return gone;
    }

    #set(ids) {
        this.ids = ids;
        keep(STORE, ids);
        this.onChange();
    }
}
