// What is said of trials: before the start, on the way, at the end. Numbers in, words out.
import {formatCount, formatDuration, formatPercent, formatRate} from "../base/format.js";
import {sentence} from "../base/text.js";

const ACTIVE = new Set(["waiting", "running"]);

/** Whether a trial has not ended yet. */
export function isActive({state}) {
    return ACTIVE.has(state);
}

/** What a start would cost, from the server's estimate. */
export function estimated({candidates, updates, seconds, why}) {
    const much = `${formatCount(candidates)} candidates, ${formatCount(updates)} updates in all`;
    const reason = why ? ` (${why})` : "";
    return `${much}, ${seconds === null ? "how long that takes is not known" : `about ${formatDuration(seconds)}`}${reason}.`;
}

/** With what a trial from the tab is made. */
export function inputsOf({steps, batch_size: batch, gradient_step: accumulate}) {
    const accumulated = accumulate > 1 ? `, accumulation ${formatCount(accumulate)}` : "";
    return `With the Train tab's fields: max steps ${formatCount(steps)}, batch size ${formatCount(batch)}${accumulated}.`;
}

/** What a trial is about, as a title. */
export function title({what, kind, name}) {
    return `${what === "texts" ? "Schedules" : "Rates"} for ${name} (${kind})`;
}

/** How far a trial is; of one that waits, for what. */
export function statusOf({state, message, made, expected, seconds_left, candidates}) {
    if (state === "waiting") return sentence(message || "waits until it can start");
    const at = candidates.length === 0 ? "Measures the start" : `Candidate ${candidates.length}`;
    const left = seconds_left === null ? "" : `, ${formatDuration(Math.max(1, Math.round(seconds_left)))} left`;
    return `${at}: ${formatCount(made)} of ${formatCount(expected)} updates${left}.`;
}

/** How a trial ended that has not finished; "" of one that has. */
export function ending({state, message}) {
    if (state === "failed") return `Failed: ${message || "no reason was given"}`;
    if (state === "stopped") return sentence(message || "stopped before its end: nothing is suggested");
    return "";
}

/** A trial in a row of the list. */
export function summary({state, suggested, why, message = ""}) {
    if (isActive({state})) return state === "waiting" ? "waits" : "is running";
    return suggested ?? (why || ending({state, message})).replaceAll("`", "");
}

/** What a candidate is called in legends and below images: its rate, or its text where schedules are compared. */
export function nameOf({rate, factor, text}) {
    return factor === null ? text : formatRate(rate, 3);
}

/** What came of a candidate: [share that is gone, its interval]; in place of the share why there is none. */
export function outcome({progress, low, high, stopped_at: stoppedAt, running}, state) {
    if (stoppedAt !== null) return [`diverged at update ${formatCount(stoppedAt)}`, ""];
    if (progress === null) return [running && state === "running" ? "running" : "not finished", ""];
    return [formatPercent(progress), low === null || high === null ? "" : `${number(low)} to ${number(high)} %`];
}

const number = (share) => formatPercent(share, 2).replace(" %", "");

/** A sentence cut at its backticks: [[words, is it a schedule], ...]. */
export function cutAtTicks(words) {
    return words.split("`").map((part, i) => [part, i % 2 === 1]).filter(([part]) => part !== "");
}

/** A name for a preset that none of the known ones has. */
export function freeName(wanted, known) {
    const taken = new Set(known);
    let name = wanted;
    for (let i = 2; taken.has(name); i++) name = `${wanted} ${i}`;
    return name;
}
