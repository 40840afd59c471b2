// Charts over the same steps are read with one crosshair.

/** The crosshairs that move together. */
export class CursorGroup {
    #crosshairs = [];

    add(crosshair) {
        this.#crosshairs.push(crosshair);
    }

    /** `from` was moved by the reader; the others follow. null hides them. */
    move(step, from) {
        for (const crosshair of this.#crosshairs) if (crosshair !== from) crosshair.moveTo(step);
    }
}
