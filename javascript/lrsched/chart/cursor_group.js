// Charts over the same steps are read with one crosshair, and zoomed together.

/** The crosshairs that move together, and the steps that their charts show. */
export class CursorGroup {
    #crosshairs = [];
    #charts = [];
    #listeners = [];

    constructor() {
        this.step = null;
        this.newest = null; // the last step that was pointed at
        this.window = null;
    }

    add(crosshair) {
        this.#crosshairs.push(crosshair);
    }

    /** A chart that shows the window. */
    addChart(chart) {
        this.#charts.push(chart);
    }

    /** `onMove(step)` hears of every step that is read, null of none; `onWindow(window)` of what is shown. */
    listen({onMove = () => {}, onWindow = () => {}}) {
        this.#listeners.push({onMove, onWindow});
    }

    /** `from` was moved by the reader; the others follow. null hides them. */
    move(step, from = null) {
        this.step = step;
        this.newest = step ?? this.newest;
        for (const crosshair of this.#crosshairs) if (crosshair !== from) crosshair.moveTo(step);
        for (const {onMove} of this.#listeners) onMove(step);
    }

    /** Shows the steps [from, to) alone; null shows all. */
    zoom(window) {
        if (String(window) === String(this.window)) return;
        this.window = window;
        for (const chart of this.#charts) chart.redraw();
        for (const {onWindow} of this.#listeners) onWindow(window);
    }
}
