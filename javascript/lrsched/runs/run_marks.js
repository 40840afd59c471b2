// What is marked on the charts of a run, and how its events read.
import {formatCount} from "../base/format.js";

const EVENT_WORDS = {leg: "start", resume: "continued", skipped: "skipped updates", copy: "copy saved"}; // others as they are
const LEG_LABELS = {new: "new schedule", restart: "restarted"};
const LINES = new Set(["resume", "rescue"]); // from top to bottom; all others are ticks
const KINDS = new Set(["resume", "rescue", "copy"]);
export const BAD = new Set(["rescue", "error", "failed", "diverged"]);

/** An event in words. */
export function eventWords({event, message}) {
    const word = EVENT_WORDS[event] ?? event;
    return message ? `${word}: ${message}` : word;
}

/** The marks of a run's events: those that change it as lines, the rest as ticks. */
export function eventMarks(events, run) {
    const found = events.filter((one) => one.step > 0 || one.event !== "leg");
    return found.filter((one) => one.event !== "finished" || one.step < run.total_steps).map((one) => ({
        x: one.step, kind: KINDS.has(one.event) ? one.event : BAD.has(one.event) ? "error" : "event", text: eventWords(one),
        label: markLabel(one, run), isTick: !LINES.has(one.event),
    }));
}

/** A rescue is named on the chart, and so is a leg that did not continue as before. */
function markLabel({event, step}, {legs}) {
    if (event === "rescue") return "rescue";
    return event === "resume" ? LEG_LABELS[legs.find((leg) => leg.start_step === step)?.mode] ?? "" : "";
}

/** The lines of the list of events: copies, of which there may be hundreds, are one. */
export function listed(events) {
    const copies = events.filter(({event}) => event === "copy");
    if (copies.length < 3) return events;
    const newest = copies[copies.length - 1];
    const sum = {...newest, message: `${formatCount(copies.length)} of them, the last ${newest.message}`, event: "copies saved"};
    return events.filter((one) => one.event !== "copy" || one === newest).map((one) => (one === newest ? sum : one));
}

/** The title of the list. */
export function eventsTitle(events) {
    const count = (wanted, one, many) => {
        const found = events.filter(({event}) => event === wanted).length;
        return found === 0 ? [] : [`${formatCount(found)} ${found === 1 ? one : many}`];
    };
    return ["Events", ...count("rescue", "rescue", "rescues"), ...count("copy", "copy", "copies")].join(", ");
}
