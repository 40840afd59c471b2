// From a trial to what its chart and its table show: which lines, which looks, which candidate is the best. No arithmetic on rates.
import {LEAST_SHARE} from "../chart/scale.js";
import {nameOf} from "./words.js";

const USUAL = 9; // rates of a finder: while they come one after another their colours stay
const RAMP = 9; // colours from the lowest rate to the highest
const TEXTS = 6; // looks of the comparison

/** A trial as it is shown: rates from low to high, since more are tried on either side; `index` is the server's number of each. */
export function ordered(trial) {
    const candidates = trial.candidates.map((one, index) => ({...one, index}));
    if (trial.what === "rates") candidates.sort((one, other) => one.rate - other.rate);
    return {...trial, candidates};
}

/** The look of each candidate: rates from cold to hot, every other one dashed; texts as in the comparison. */
export function looksOf({what, state, candidates}) {
    if (what === "texts") return candidates.map((_, i) => i % TEXTS);
    const count = Math.max(candidates.length, state === "running" ? USUAL : 2);
    return candidates.map((_, i) => `ramp-${Math.round(((RAMP - 1) * i) / (count - 1))}${i % 2 ? "-dashed" : ""}`);
}

/** The candidate that has gained most; -1 where nothing is suggested. */
export function bestOf({suggested, candidates}) {
    if (suggested === null) return -1;
    const gained = candidates.map(({progress}) => progress ?? -Infinity);
    return gained.indexOf(Math.max(...gained));
}

/**
 * The chart of a trial. A candidate that diverges leaves at the bottom: as much is shown below nothing as above it, so that
 * it does not flatten the others.
 */
export function chartOf(trial) {
    const looks = looksOf(trial);
    const best = bestOf(trial);
    const series = trial.candidates.map((candidate, i) => ({
        name: nameOf(candidate), look: looks[i], weight: i === best || candidate.running ? "thick" : "",
        x: candidate.curve.map(([update]) => update), y: candidate.curve.map(([, share]) => share),
    }));
    const highest = Math.max(LEAST_SHARE, ...series.flatMap(({y}) => y.filter(Number.isFinite)));
    return {data: {xLow: 0, xHigh: Math.max(1, trial.updates), series}, lowest: -highest};
}
