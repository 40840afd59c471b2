// What is asked before the average or the best state of a run takes the place of what it trained.
import {formatPercent, formatUpdates} from "../base/format.js";

/** The question: sentences in order. `answer` is the server's of the run. */
export function question(what, {run: {name, step}, validation = [], validation_ema: average = [], best_step: best = null}) {
    const found = what === "best" ? validation.find(([at]) => at === best) : average[average.length - 1];
    const at = what === "best" ? best : step;
    const share = found === undefined ? "" : `, with ${formatPercent(found[1], 2)} of the loss gone in validation`;
    const words = {average: "the average of the weights", best: "the best state"}[what];
    return [
        `Replace "${name}" with ${words}${at === null ? "" : `, as it was after ${formatUpdates(at)}`}${share}?`,
        `What ${name}.pt holds now is kept as ${name}.pt.bak.`,
        `The next training of ${name} is then a new run from it: the step stays, the optimizer is new.`,
    ];
}
