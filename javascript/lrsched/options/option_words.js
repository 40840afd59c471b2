// The options of a run in words, and what is typed into their fields. `described` is one of the server's descriptions.

import {sentence} from "../base/text.js";

const NUMBERS = new Set(["whole", "number"]);

/** A value as its field shows it; what is off is an empty field. */
export function shown(described, value) {
    return NUMBERS.has(described.type) ? (value === 0 ? "" : String(value)) : value;
}

/** What a field says as a value to send; text that is not a number is sent as it is, and the server says what it expects. */
export function typed(described, text) {
    if (!NUMBERS.has(described.type)) return typeof text === "string" ? text.trim() : text;
    const said = text.trim();
    if (said === "" || said.toLowerCase() === "off") return 0;
    return Number.isFinite(Number(said)) ? Number(said) : said;
}

/** One option and its value, for a list: "Validate every 50 updates", "Evenly spread timesteps", "Measure progress: off". */
export function worded({label, type}, value) {
    if (value === true) return label;
    if (!value) return `${label.replace(/ (every N updates|N times in a row)$/, "")}: off`;
    if (type === "whole") return label.replace(/\bN\b/, String(value));
    return `${label}${label.includes(":") ? "" : ":"} ${value}`;
}

/** What differs from the defaults, in one line; empty where nothing does. */
export function differing({options, defaults, descriptions}) {
    const found = descriptions.filter(({name}) => options[name] !== defaults[name]);
    return found.map((one) => worded(one, options[one.name])).map((words, i) => (i === 0 ? words : lower(words))).join(", ");
}

/** Beside a field: the default, where another value is in force. */
export function defaultOf({options, defaults}, described) {
    const value = defaults[described.name];
    if (options[described.name] === value) return "";
    if (value === true) return "default: on";
    return `default: ${value || "off"}`;
}

/** Which options these are. `step` is where a run is resumed, `isLive` says that it is being trained now. */
export function origin({name, run, chosen}, {step, isLive}) {
    const changed = Object.keys(chosen).length > 0 ? " What is changed here is for that training alone." : "";
    if (isLive) return `${name} is being trained with these. What is changed here is for its next training.`;
    if (run === null) return `The next training of ${name} is a new run, with the defaults of the settings page.${changed}`;
    return `The next training of ${name} resumes its run at step ${step}, with that run's own options.${changed}`;
}

/** What brings all options back to the defaults: a resumed run has its own, so they are chosen one by one. */
export function backToDefaults({options, defaults, descriptions, run}) {
    if (run === null) return {};
    const found = descriptions.filter(({name, needs}) => options[name] !== defaults[name] && !(defaults[name] && needs && !defaults[needs]));
    return Object.fromEntries(found.map(({name}) => [name, defaults[name]]));
}

/** Those of the given options that there are and that are others than those in force. */
export function differingFrom({options, descriptions}, given) {
    const found = descriptions.filter(({name}) => name in given && given[name] !== options[name]);
    return Object.fromEntries(found.map(({name}) => [name, given[name]]));
}

/** All that is chosen after one option was changed; what would do nothing without it goes with it. */
export function withChange({chosen, descriptions}, name, value) {
    const found = {...chosen, [name]: value};
    for (const one of descriptions) if (!value && one.needs === name) delete found[one.name];
    return found;
}

/** A refusal as it stands at the field of an option: without its name, as a sentence. */
export function refusal(message, name) {
    const words = message.startsWith(`${name}: `) ? message.slice(name.length + 2) : message;
    return sentence(words);
}

/** What stays in force where a value was refused. */
export function inForce(value) {
    return `In force: ${value === true ? "on" : value === "" ? "none" : value || "off"}.`;
}

/** The offer to validate on the images that are there for it; empty where there is nothing to offer. */
export function offered({options, validation_folder: folder}) {
    if (folder === null || folder.images === 0 || options.validate_every !== 0) return "";
    const images = folder.images === null ? "" : ` with ${folder.images === 1 ? "one image" : `${folder.images} images`}`;
    return `The data set has a folder validation${images}.`;
}

function lower(words) {
    return words[0].toLowerCase() + words.slice(1);
}
