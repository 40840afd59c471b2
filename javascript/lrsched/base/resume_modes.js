// The words for how a training resumes: the modes that are chosen, and those that the server answers.
import {el} from "./dom.js";
import {formatCount, formatUpdates} from "./format.js";

const LABELS = {
    continue: "continue this run",
    restart: "continue, with the text from its beginning",
    new: "continue, with the text as if it had been in force from step 0",
    "file-restart": "a new run from the file, with the text from its beginning",
    file: "a new run from the file, with the text from the file's step on",
};
/** Where no run is known: then there is nothing to continue but the file. */
const FILE_LABELS = {continue: "the text from the file's step on", restart: "the text from its beginning"};
const MARKS = {
    start: "continues at", continue: "continues at", new: "new schedule from", restart: "restarts at", file: "new run from",
    "file-restart": "new run from",
};
const CAPTIONS = {
    continue: "the plan continues",
    new: "this text is in force",
    restart: "this text begins, over the remaining steps",
};

/** What stands at the mark of the step at which a run resumes. */
export function mark(mode, step) {
    return `${MARKS[mode]} ${formatCount(step)}`;
}

/**
 * What a chart of a resumed run shows, as a sentence; `part` is what the server says of the steps of the text that are
 * played. Without a known past there is a file that holds so many updates, and no more to say of them.
 */
export function caption(mode, step, {part = null, hasPast = true} = {}) {
    const at = formatCount(step);
    if (mode === "file-restart") return `A new run, which begins at step ${at} with the text's step 0.`;
    const before = hasPast ? `Up to step ${at} as it was planned` : `The file holds ${formatUpdates(step)}`;
    const after = mode === "start" ? CAPTIONS.new : CAPTIONS[mode];
    const words = mode === "file" ? `A new run, which begins at step ${at}` : `${before}; from there ${after}`;
    return part?.loses && isInMiddle(mode) ? `${words}: ${part.said}.` : `${words}.`;
}

/** Whether the steps of the text that are over were never trained with it. */
export function isInMiddle(mode) {
    return mode === "new" || mode === "file" || mode === "start";
}

/** Puts the modes in `names` into a select box; `onChange(mode)` hears of a choice. */
export function fill(select, names, onChange) {
    offer(select, names);
    select.addEventListener("change", () => onChange(select.value));
    return select;
}

/** Other modes in a select box that is there, or the same; `hasRun` says that a stored run can be resumed. */
export function offer(select, names, {hasRun = true} = {}) {
    const labels = hasRun ? LABELS : FILE_LABELS;
    const key = names.map((name) => labels[name]).join("\n");
    if (select.dataset.key === key) return;
    select.dataset.key = key;
    select.replaceChildren(...names.map((name) => el("option", {value: name, text: labels[name]})));
}

/** All that can be chosen. */
export const all = Object.keys(LABELS);
/** Those where no run is known. */
export const ofFile = Object.keys(FILE_LABELS);
