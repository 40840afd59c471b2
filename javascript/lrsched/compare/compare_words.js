// What is said of compared runs: their names, the values of the tables, which is the best, what they cannot be compared in. Pure.
import {formatCount, formatDuration, formatMoment, formatPercent, formatRate, formatSize} from "../base/format.js";
import {compareNames} from "../base/text.js";

const WORDS = {
    share: (share) => formatPercent(share, 3), seconds: formatDuration, bytes: formatSize, time: formatMoment, count: formatCount,
    number: (number) => formatRate(number, 4),
};

/** Columns in the order in which they are read; others of the server's follow. */
const FIRST = ["progress_end", "progress_best", "progress_best_step", "validation_end", "validation_best", "best_step", "seconds", "step"];

/** What a column is called where it stands beside many others. */
const SHORT = {
    progress_end: "Progress, end", progress_best: "Progress, best", progress_best_step: "best after", validation_end: "Validation, end",
    validation_best: "Validation, best", best_step: "best after", seconds: "Time", step: "Updates", outcome: "How it ended",
    multiplier: "Rate factor", images: "Images", size_bytes: "Size",
};

/** Fields of which the highest value is the best. Of the time it is the lowest, where all made the same updates. */
const HIGHEST = new Set(["progress_end", "progress_best", "validation_end", "validation_best"]);

/** What the runs are called: by title or name, with the moment of their beginning where two share one. */
export function namesOf(runs) {
    const called = runs.map(({title, name}) => title || name);
    const isShared = (name) => called.indexOf(name) !== called.lastIndexOf(name);
    return called.map((name, i) => (isShared(name) ? `${name}, ${formatMoment(runs[i].outcome.created_s)}` : name));
}

/** A value of a table, "–" where there is none. */
export function wordsOf(type, value) {
    if (value === null || value === undefined || value === "") return "–";
    if (typeof value === "boolean") return value ? "yes" : "no";
    return typeof value === "number" && WORDS[type] ? WORDS[type](value) : String(value);
}

/** The columns of what came out: {field, label, title, type, values}; those without a value are left out. */
export function columnsOf({outcomes}) {
    const place = ({field}) => (FIRST.includes(field) ? FIRST.indexOf(field) : FIRST.length);
    const known = outcomes.filter(({field, values}) => values.some((value) => value !== null && (field !== "multiplier" || value !== 1)));
    return known.map((one) => ({...one, title: one.label, label: SHORT[one.field] ?? one.label})).sort((one, other) => place(one) - place(other));
}

/**
 * The places of the best values of a column, a list. Of each kind one, since progress of embeddings and hypernetworks has the name in common
 * and nothing else; none where there is nothing to compare with.
 */
export function bestOf({field, values}, runs) {
    const found = [];
    for (const kind of new Set(runs.map((run) => run.kind))) {
        const places = values.map((_, i) => i).filter((i) => runs[i].kind === kind && typeof values[i] === "number");
        if (places.length < 2 || !isRace(field, places.map((i) => runs[i]))) continue;
        const ranked = places.map((i) => values[i]);
        const best = HIGHEST.has(field) ? Math.max(...ranked) : Math.min(...ranked);
        if (ranked.some((value) => value !== best)) found.push(...places.filter((i) => values[i] === best));
    }
    return found;
}

function isRace(field, runs) {
    if (HIGHEST.has(field)) return true;
    return field === "seconds" && runs.every(({state, outcome}) => state === "finished" && outcome.step === runs[0].outcome.step);
}

/** The places of the runs in the order of a column; what is not known comes last in either direction. Without a column as they were ticked. */
export function rowOrder(values, isRising) {
    const places = values.map((_, i) => i);
    const sign = isRising ? 1 : -1;
    return places.sort((one, other) => {
        const [left, right] = [values[one], values[other]];
        const unknown = Number(left === null) - Number(right === null);
        if (unknown !== 0 || left === null) return unknown;
        return sign * (typeof left === "number" && typeof right === "number" ? left - right : compareNames(String(left), String(right)));
    });
}

/** Whether a column rises when it is sorted first: the best comes on top. */
export function risesFirst({field, type}) {
    return type === "text" || field === "seconds" || field === "size_bytes";
}

/** What limits the comparison, as sentences. `why` is of the curve that is shown; `troubles` are [name, what is wrong with its files]. */
export function notesOf({runs, settings}, curve, {why}, troubles) {
    const names = namesOf(runs);
    const notes = troubles.map(([name, trouble]) => `${name}: ${trouble}`);
    if (runs.length === 1) notes.push("Tick another run in the list to compare it with this one.");
    if (new Set(runs.map(({kind}) => kind)).size > 1) {
        notes.push("Embeddings and hypernetworks stand side by side here. Their progress is measured against different starts: compare it within a kind only.");
    }
    const without = names.filter((_, i) => runs[i][curve].length === 0);
    if (without.length > 0 && without.length < runs.length) notes.push(`Without a line: ${without.join(", ")} (${why}).`);
    if (settings.some(({field, differs}) => field === "data_root" && differs)) {
        notes.push("Not all of these were trained on the same images. Progress then says little about which settings are better.");
    }
    if (curve === "loss") notes.push("The loss shows mostly which timesteps were drawn. Progress and validation tell runs apart better.");
    return notes;
}
