// What the first chart of a run shows: progress, and beside it the looks of validation with the best marked.
import {formatPercent, formatUpdates} from "../base/format.js";

/** Lines, marks and legend. `points` are the run's; of its answer the looks of validation, each [updates made, share of the loss gone]. */
export function progressLines(points, {validation = [], validation_ema: average = [], best_step: best = null}) {
    const series = [
        {name: "progress", look: 0, x: points.columns.step, y: points.column("progress")},
        {name: "validation", look: 1, ...line(validation)},
        {name: "average", look: 2, ...line(average)},
    ].filter(({y}) => y.some((value) => value !== null));
    const marks = best === null ? [] : [{x: best, kind: "best", label: "best", text: "best on validation"}];
    return {
        series: series.map((one) => ({...one, weight: "thick"})), marks,
        legend: series.some(({name}) => name !== "progress") ? series.map(({look, name}) => [look, name]) : [],
    };
}

/** The newest look in numbers: [share, what was best]; null where there was none. */
export function newestLook({validation = [], best_step: best = null}) {
    if (validation.length === 0) return null;
    const [, share] = validation[validation.length - 1];
    const found = validation.find(([step]) => step === best);
    const isNewest = found === validation[validation.length - 1];
    return [formatPercent(share, 2), isNewest || !found ? "the best so far" : `best ${formatPercent(found[1], 2)}, after ${formatUpdates(best)}`];
}

function line(looks) {
    return {x: looks.map(([step]) => step), y: looks.map(([, share]) => share)};
}
