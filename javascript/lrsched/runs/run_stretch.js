// The stretch of a run that somebody has zoomed into, with all the points that the server has of it.
import {ApiError} from "../base/api.js";
import {Latest} from "../base/latest.js";
import {between} from "../chart/scale.js";
import {Columns, pointsAddress} from "./run_points.js";

const PAUSE_MS = 150; // keys may zoom on

/** Asks where the points of the whole run are too few; `onPoints()` hears when there are more. */
export class RunStretch {
    #asked = new Latest();
    #key = "";
    #timer = null;

    constructor(onPoints) {
        this.onPoints = onPoints;
        this.columns = null;
    }

    /** Has the points of the window [from, to), or of none where it is null. */
    follow(points, window) {
        const isWanted = window !== null && !isWhole(points.columns.step, window);
        const key = isWanted ? JSON.stringify([points.id, points.leg, points.smoothing, window]) : "";
        if (key === this.#key) return;
        this.#key = key;
        clearTimeout(this.#timer);
        if (!isWanted || !this.#fits(points)) this.columns = null;
        if (isWanted) this.#timer = setTimeout(() => this.#ask(points, window, key), PAUSE_MS);
    }

    /** New points of the run begin at a step: what is known of later ones has been undone. */
    undo(step) {
        if (this.columns === null || step > last(this.columns.step)) return;
        this.columns = null;
        this.#key = "";
    }

    /** The points of the whole run with those of the stretch in their place. */
    joined(points) {
        return this.columns === null ? points : new Columns(joined(points.columns, this.columns));
    }

    /** What is shown while another window is asked for must be of the same run. */
    #fits({id, leg, smoothing}) {
        return this.of === JSON.stringify([id, leg, smoothing]);
    }

    async #ask({id, leg, smoothing}, [since, until], key) {
        try {
            const answer = await this.#asked.ask("GET", pointsAddress(id, {since, until, smoothing}));
            if (answer === null || key !== this.#key) return;
            this.columns = answer.points.step.length > 0 ? answer.points : null;
            this.of = JSON.stringify([id, leg, smoothing]);
            this.onPoints();
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            if (key === this.#key) this.#key = ""; // asked again with the next numbers; the whole run's points do meanwhile
        }
    }
}

/** Whether the steps in a window [from, to) are all there, from the first known one to the last. */
export function isWhole(steps, [from, to]) {
    const [first, end] = between(steps, from, to - 1);
    if (end === first) return steps.length === 0 || steps[0] >= to || last(steps) < from;
    const begins = first === 0 ? steps[first] : from;
    const ends = end === steps.length ? last(steps) : to - 1;
    return end - first >= ends - begins + 1;
}

/** Columns of a run with those of a stretch in place of what they have between its first and its last step. */
export function joined(whole, stretch) {
    const [first, end] = between(whole.step, stretch.step[0], last(stretch.step));
    const names = new Set([...Object.keys(whole), ...Object.keys(stretch)]);
    const nothing = (columns) => columns.step.map(() => null);
    return Object.fromEntries([...names].map((name) => {
        const [outer, inner] = [whole[name] ?? nothing(whole), stretch[name] ?? nothing(stretch)];
        return [name, [...outer.slice(0, first), ...inner, ...outer.slice(end)]];
    }));
}

const last = (list) => list[list.length - 1];
