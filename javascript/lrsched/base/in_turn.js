// Changes on the server, one after another.

/** The server gets the changes in the order in which they were made; a refusal of one does not stop those after it. */
export class InTurn {
    #last = Promise.resolve();
    #count = 0;

    /** True while a change is on its way or waits. */
    get isBusy() {
        return this.#count > 0;
    }

    /** Resolves when all that were made before are through, refused or not. */
    get settled() {
        return this.#last;
    }

    /** Waits for the ones before, then calls `change()`; resolves, or is rejected, as the promise that it returns. */
    run(change) {
        this.#count += 1;
        const made = this.#last.then(change);
        this.#last = made.catch(() => {}).then(() => (this.#count -= 1));
        return made;
    }
}
