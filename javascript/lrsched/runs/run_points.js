// The points of one run as they come in, piece by piece, from GET runs/{id}?since=STEP.

const MOST_KEPT = 6000;

/** Columns of points, each a list; `step` rises. */
export class Columns {
    constructor(columns) {
        this.columns = columns;
    }

    /** A column's values; null at every step where nothing is known of it. */
    column(name) {
        return this.columns[name] ?? this.columns.step.map(() => null);
    }

    /** Whether there is a number in a column. */
    has(name) {
        return this.columns[name]?.some((value) => value !== null) ?? false;
    }

    get last() {
        const end = this.columns.step.length - 1;
        return end < 0 ? null : Object.fromEntries(Object.entries(this.columns).map(([name, column]) => [name, column[end]]));
    }
}

/**
 * Collects a run's points and events. `columns` are those that the server answers; `since` is what to ask for next, with the decay of
 * the average of the loss, null for the server's own.
 */
export class RunPoints extends Columns {
    constructor(id, smoothing = null) {
        super({step: []});
        this.id = id;
        this.smoothing = smoothing;
        this.clear();
    }

    clear() {
        this.columns = {step: []};
        this.events = [];
        this.since = 0;
        this.leg = null;
    }

    /** Where to ask for what is new. */
    get address() {
        return pointsAddress(this.id, {since: this.since, smoothing: this.smoothing});
    }

    /**
     * Takes an answer in. Returns false when all must be asked for anew: a new leg may have gone back to an earlier
     * step, and a long watch collects more points than a chart can show.
     */
    take(answer) {
        const resumed = answer.events.filter((one) => one.event === "resume").length; // twice from the same step is another leg
        const leg = `${answer.run.initial_step}/${answer.run.total_steps}/${resumed}`;
        const isNewLeg = this.leg !== null && this.leg !== leg;
        if (this.since > 0 && (isNewLeg || this.columns.step.length > MOST_KEPT)) {
            this.clear();
            return false;
        }
        this.leg = leg;
        this.#append(answer.points);
        this.#note(answer.events);
        this.since = answer.next_since;
        return true;
    }

    /** A later answer wins over what was known of the same steps. */
    #append(points) {
        if (points.step.length === 0) return;
        const known = this.columns.step;
        let keep = known.length;
        while (keep > 0 && known[keep - 1] >= points.step[0]) keep -= 1;
        for (const name of Object.keys(points)) {
            const column = (this.columns[name] ??= []);
            column.length = keep;
            for (const value of points[name]) column.push(value);
        }
    }

    #note(events) {
        const key = (one) => `${one.time_s}/${one.step}/${one.event}/${one.message}`;
        const known = new Set(this.events.map(key));
        for (const one of events) if (!known.has(key(one))) this.events.push(one);
    }
}

/** The address of a run's points; what is null is left out. */
export function pointsAddress(id, query) {
    const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
    return `runs/${encodeURIComponent(id)}?${given.map(([name, value]) => `${name}=${value}`).join("&")}`;
}
