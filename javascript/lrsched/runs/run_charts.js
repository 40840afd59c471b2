// What the third chart of a run can show. The server's points decide which of it there is.
import {formatPercent, formatRate} from "../base/format.js";

const BANDS = ["0–249", "250–499", "500–749", "750–999"]; // timesteps of the noise scale

/**
 * What can be picked, in the order of the list. To add one, add a line:
 *   key, label   where the choice is kept, and its name in the list
 *   lines        [column of the points, name, look, weight]; the first is drawn on top
 *   format       of its values
 *   zero         whether 0 is on the axis
 *   threshold    whether the threshold of the gradient clip belongs to it
 *   sparse       its numbers stand at few steps, and the line joins them
 */
const CHOICES = [
    {key: "loss", label: "Loss", zero: false, lines: [["smooth", "smoothed", 0, "thick"], ["loss", "raw", "raw", "thin"]]},
    {key: "loss_band", label: "Loss by timestep", zero: false, lines: bands("loss_band")},
    {key: "progress_band", label: "Progress by timestep", format: formatPercent, lines: bands("progress_band")},
    {key: "validation_band", label: "Validation by timestep", format: formatPercent, sparse: true, lines: bands("validation_band")},
    {key: "grad_norm", label: "Gradient norm", threshold: true, lines: [["grad_norm", "before clipping", 0, "thin"]]},
    {key: "clip_share", label: "Clipped share", format: formatPercent, lines: [["clip_share", "of the gradient norm", 0, "thin"]]},
    {key: "strength", label: "Strength", lines: [["vector_norm", "largest norm", 0, "thick"], ["vector_distance", "distance from the start", 1, "thick"]]},
    {key: "mean_abs", label: "Mean strength", lines: [["vector_mean_abs", "mean |v|", 0, "thick"]]},
    {key: "rate_factor", label: "Rate by timestep", lines: [["rate_factor", "factor of the rate", 0, "thin"]]},
];

/** Those of which a run has numbers; the loss always. Lines without a number are left out. */
export function choicesFor(points) {
    const known = CHOICES.map((one) => ({
        format: formatRate, zero: true, threshold: false, ...one, lines: one.lines.filter(([column]) => points.has(column)),
    }));
    return known.filter(({key, lines}) => key === "loss" || lines.length > 0);
}

/** The one with a key, else the first. */
export function chosenOf(choices, key) {
    return choices.find((one) => one.key === key) ?? choices[0];
}

/** Its lines as series of a chart. */
export function seriesOf(choice, points) {
    return choice.lines.map(([column, name, look, weight]) => {
        const [x, y] = [points.columns.step, points.column(column)];
        const line = choice.sparse ? joined(x, y) : {x, y};
        return {name, look, weight, ...line};
    });
}

function joined(x, y) {
    const known = y.map((value, i) => i).filter((i) => y[i] !== null);
    return {x: known.map((i) => x[i]), y: known.map((i) => y[i])};
}

function bands(column) {
    return BANDS.map((name, i) => [`${column}_${i}`, name, i, "thick"]);
}
