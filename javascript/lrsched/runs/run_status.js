// Where a run stands, in a line; and the one thing that is said of a run that has ended.
import {formatCount, formatDuration} from "../base/format.js";
import {goesOn} from "../base/run_states.js";

const STATES = {pending: "preparing"};

/** A run's state as people say it. */
export function stateWords(state) {
    return STATES[state] ?? state;
}

/** `isEnding`: it has been interrupted; `s_left` seconds or null; `putBack`: a range test whose end is as its start. */
export function statusOf(run, {s_left = null, isEnding = false, putBack = false} = {}) {
    const made = `${formatCount(run.step)} of ${formatCount(run.total_steps)}`;
    if (goesOn(run) && isEnding) return "Interrupted: it ends before its next update and is saved.";
    if (run.state === "pending") return `Preparing: the images are read, then it resumes at step ${formatCount(run.step)}.`;
    if (run.state === "running") return s_left === null ? `Running: step ${made}.` : `Running: step ${made}, ${formatDuration(Math.max(1, s_left))} left.`;
    if (run.state === "finished") return finished(run, made, putBack);
    const words = {interrupted: "Interrupted", failed: "Failed", crashed: "Broke off"}[run.state] ?? run.state;
    return `${words} after ${made} updates. Train again to resume.`;
}

function finished({step, total_steps, message}, made, putBack) {
    if (putBack) return "Finished: what was trained is as it was before.";
    const why = message ? `: ${message.replace(/\.$/, "")}.` : ".";
    if (step < total_steps) return `Finished after ${made} updates${why} Train again to resume, or start over.`;
    return `Finished${why} Raise max steps to continue, or start over.`;
}
