// From a comparison to what its chart shows: which lines, over which axis. Pure.
import {formatCount, formatPercent, formatRate} from "../base/format.js";
import {LEAST_SHARE} from "../chart/scale.js";
import {namesOf} from "./compare_words.js";
import {runLook} from "./run_looks.js";

const MINUTE_S = 60;
const HOUR_S = 3600;
const MINUTES_FROM_S = 3 * MINUTE_S; // fewer are seconds
const HOURS_FROM_S = 3 * HOUR_S;

/** What can be drawn, by the field of the answer. `why` says why a run may have none of it. */
export const CURVES = {
    curve: {
        label: "Progress", format: formatPercent, isShare: true, about: "share of the loss that is gone, over the last 50 updates",
        why: "no progress was measured",
    },
    validation: {
        label: "Validation", format: formatPercent, isShare: true, about: "share of the loss that is gone on a fixed set of images",
        why: "it was not validated",
    },
    loss: {label: "Loss", format: formatRate, isShare: false, about: "smoothed loss, each run on its own noise", why: "it has no numbers yet"},
};

/** The axis of an answer: by what its numbers are divided, what x counts, and what stands below it. */
export function axisOf({over, runs}) {
    if (over === "step") return {divisor: 1, unit: "update", xLabel: "updates made", formatX: formatCount};
    if (over === "images") return {divisor: 1, unit: "image", xLabel: "images shown", formatX: formatCount};
    const most = highestX(runs);
    const [divisor, unit] = most < MINUTES_FROM_S ? [1, "second"] : most < HOURS_FROM_S ? [MINUTE_S, "minute"] : [HOUR_S, "hour"];
    return {divisor, unit, xLabel: `time trained, ${unit}s`, formatX: (x) => String(Number(x.toPrecision(4)))};
}

/** Whether a run of the answer has points of a curve. */
export function hasCurve({runs}, curve) {
    return runs.some((run) => run[curve].length > 0);
}

/**
 * Data and options of the chart. `highlighted` is the place of the run that stands out, or null. A run that diverges leaves at the bottom: as
 * much is shown below nothing as above it, so that it does not flatten the others.
 */
export function chartOf(answer, curve, highlighted) {
    const {label, format, isShare} = CURVES[curve];
    const {divisor, ...axis} = axisOf(answer);
    const names = namesOf(answer.runs);
    const series = answer.runs.map((run, place) => ({
        place, name: names[place], look: runLook(place), weight: weightOf(place, highlighted),
        x: run[curve].map(([x]) => x / divisor), y: run[curve].map(([, y]) => y),
    })).filter(({x}) => x.length > 0);
    if (highlighted !== null) series.sort((one, other) => Number(other.place === highlighted) - Number(one.place === highlighted));
    const highest = Math.max(LEAST_SHARE, ...series.flatMap(({y}) => y));
    const options = {label: `${label} of ${answer.runs.length} runs over ${axis.xLabel}`, format, zero: isShare, lowest: isShare ? -highest : -Infinity,
        least: isShare ? LEAST_SHARE : 0, ...axis};
    return {options, data: {series, xLow: 0, xHigh: Math.max(...series.flatMap(({x}) => x[x.length - 1]), 1 / divisor)}};
}

function weightOf(place, highlighted) {
    if (highlighted === null) return "";
    return place === highlighted ? "thick" : "faded";
}

function highestX(runs) {
    const ends = runs.flatMap((run) => Object.keys(CURVES).map((curve) => run[curve][run[curve].length - 1]?.[0] ?? 0));
    return Math.max(0, ...ends);
}
