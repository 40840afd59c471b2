// The words for how a training resumes: its ways, which are chosen, and its modes, which the server answers.
import {el} from "./dom.js";
import {formatCount} from "./format.js";

const LABELS = {
    continue: "continue the schedule",
    new: "new schedule from here",
    restart: "restart the schedule over the remaining steps",
    file: "start from the file as it is, as a new run",
};
const MARKS = {start: "continues at", continue: "continues at", new: "new schedule from", restart: "restarts at", file: "new run from"};
const CAPTIONS = {
    start: "the plan continues",
    continue: "the plan continues",
    new: "a new schedule is in force",
    restart: "the schedule restarts over the remaining steps",
};

/** What stands at the mark of the step at which a run resumes. */
export function mark(mode, step) {
    return `${MARKS[mode]} ${formatCount(step)}`;
}

/** What a chart of a resumed run shows, as a sentence. */
export function caption(mode, step) {
    const at = formatCount(step);
    if (mode === "file") return `A new run, which begins at step ${at}.`;
    return `Up to step ${at} as it was planned; from there ${CAPTIONS[mode]}.`;
}

/** Puts the ways in `names` into a select box; `onChange(way)` hears of a choice. */
export function fill(select, names, onChange) {
    select.replaceChildren(...names.map((name) => el("option", {value: name, text: LABELS[name]})));
    select.addEventListener("change", () => onChange(select.value));
    return select;
}

/** All ways. */
export const all = Object.keys(LABELS);
