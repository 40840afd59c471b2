// Which runs the list shows, and in which order. Pure.
import {formatMoment} from "../base/format.js";
import {goesOn} from "../base/run_states.js";
import {compareNames} from "../base/text.js";

/** What a run is called: as a person called it, else by the name of what it trained. */
export function calledOf({title, name}) {
    return title || name;
}

/**
 * The orders that can be chosen: key, label and how two runs are compared. What is not known comes last; runs that are equal stay as the
 * server has them, the newest first.
 */
export const ORDERS = [
    {key: "newest", label: "newest", compare: null},
    {key: "progress", label: "by progress", compare: falling(({progress_end: share}) => share)},
    {key: "time", label: "by time", compare: falling(({seconds}) => seconds)},
    {key: "name", label: "by name", compare: (one, other) => compareNames(calledOf(one), calledOf(other))},
    {key: "size", label: "by size", compare: falling(({size_bytes: size}) => size)},
];

/** A text for a comparison that heeds neither case nor accents. */
export function folded(text) {
    return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}

/** All that is searched of a run. */
export function searchedText(run) {
    const {title, name, kind, state, note, rate_text: rate, created_s: created, updated_s: updated} = run;
    const days = [created, updated].map((unix_s) => `${formatMoment(unix_s)} ${isoDay(unix_s)}`);
    return folded([title, name, kind, state, note, rate, ...days].filter(Boolean).join("\n"));
}

/** Those runs that have all words of `text`, and the kind and the state, if these are not "". `textOf(run)` is its searchedText. */
export function found(runs, {text, kind, state}, textOf) {
    const words = folded(text).split(/\s+/).filter(Boolean);
    return runs.filter((run) => (kind === "" || run.kind === kind) && isInState(run, state)
        && words.every((word) => textOf(run).includes(word)));
}

/** Runs in the order of that key. */
export function ordered(runs, key) {
    const {compare} = ORDERS.find((order) => order.key === key) ?? ORDERS[0];
    return compare === null ? runs : [...runs].sort(compare);
}

function isInState(run, state) {
    return state === "" || run.state === state || (state === "running" && goesOn(run));
}

function falling(valueOf) {
    const known = (run) => valueOf(run) ?? -Infinity;
    return (one, other) => (known(one) === known(other) ? 0 : known(other) - known(one));
}

/** The day by the clock of this machine, as it is typed: 2026-11-19. */
function isoDay(unix_s) {
    const moment = new Date(unix_s * 1000);
    const two = (number) => String(number).padStart(2, "0");
    return `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())}`;
}
