// In the chart of a schedule that begins in the middle of its text: the steps that are over, grey, and those that run.
import {isInMiddle} from "../base/resume_modes.js";

const NAME = "over, not trained";

/** What a chart shows, as scheduleLines() made it of `result`, with its own line from where the training begins. */
export function withSkipped(shown, result, initialStep) {
    if (!result.ok || initialStep === 0 || !isInMiddle(result.mode)) return shown;
    const first = result.x.findIndex((x) => x >= initialStep);
    if (first <= 0) return shown;
    const series = shown.series.map((one) => (one.look === 0 ? {...one, x: result.x.slice(first), y: result.y.slice(first)} : one));
    const over = {name: NAME, look: "over", x: result.x.slice(0, first + 1), y: result.y.slice(0, first + 1)};
    return {...shown, series: [over, ...series]};
}
