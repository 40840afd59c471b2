// From the server's answers to what a chart shows: which lines, which marks, what is shaded.
import {formatCount} from "../base/format.js";
import * as resumeModes from "../base/resume_modes.js";

/**
 * Lines and marks for drawn schedules.
 * `drawn` holds [result, look, name]; the first is the reader's own: its boundaries and its stop are marked.
 * `mode` says how a run is resumed at `initialStep`, as the server answers it.
 */
export function scheduleLines(drawn, initialStep, mode) {
    const series = drawn.map(([result, look, name]) => ({
        name, look, ...from(result, result.past ? initialStep : 0), weight: look === 0 ? "thick" : "",
    })).filter(({x}) => x.length > 0);
    const own = drawn[0]?.[0];
    if (own?.past) series.unshift({name: "so far", look: "past", x: own.past.x, y: own.past.y, weight: "thick"});
    return {series, marks: own ? marks(own, initialStep, mode) : [], shade: own ? shade(own) : null};
}

/** The points of a result from `step` on; none where nothing is left to train. */
function from(result, step) {
    const first = result.x.findIndex((x) => x >= step);
    return first < 0 ? {x: [], y: []} : {x: result.x.slice(first), y: result.y.slice(first)};
}

function marks(result, initialStep, mode) {
    const found = result.boundaries
        .filter((step) => step < result.total_steps && !(result.past && step < initialStep))
        .map((step) => ({x: step, kind: "boundary", text: `boundary at ${formatCount(step)}`}));
    if (result.stop < result.total_steps) found.push({x: result.stop, kind: "stop", label: `stops at ${formatCount(result.stop)}`});
    if (initialStep > 0) found.push({x: initialStep, kind: "resume", label: resumeModes.mark(mode, initialStep)});
    return found;
}

/** Steps after the schedule's end are not trained. */
function shade(result) {
    return result.stop < result.total_steps ? [result.stop, result.total_steps] : null;
}
