// Changes on the server, one after another.

/** Sends changes in the order in which they were made. If the server refuses one, the next is still sent. */
export class InTurn {
    #last = Promise.resolve();
    #count = 0;

    /** True while a change is being sent or waits. */
    get isBusy() {
        return this.#count > 0;
    }

    /** Resolves when the server has answered to all changes so far, refused or not. */
    get settled() {
        return this.#last;
    }

    /** Waits for earlier changes, then calls `change()` and returns its result or its error. */
    run(change) {
        this.#count += 1;
        const made = this.#last.then(change);
        this.#last = made.catch(() => {}).then(() => (this.#count -= 1));
        return made;
    }
}
