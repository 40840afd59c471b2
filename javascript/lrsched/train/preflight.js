// Above the buttons that start a training: what would stop it or spoil it, as the fields are now.
import {ApiError, request} from "../base/api.js";
import {el, setHidden} from "../base/dom.js";
import {goesOn} from "../base/run_states.js";
import * as fields from "./fields.js";

const AGAIN_MS = 5000; // a model may be loaded and a folder filled without any field telling
const PAUSE_MS = 300; // in typing
const KINDS = {embedding: "Embedding", hypernetwork: "Hypernetwork"};
const WORDS = {error: "Error:", warning: "Warning:"};
const FINISHED = "finished"; // nothing is left to train; not an error of the user's

/** The list, and the questions for each kind of which a name is chosen. */
export class Preflight {
    #asked = "";
    #due = 0;
    #timer = null;
    #isAsking = {embedding: false, hypernetwork: false};
    #found = {embedding: [], hypernetwork: []};

    constructor(resumes) {
        this.resumes = resumes;
        this.list = el("ul", {class: "lrsched-messages"});
        this.box = el("div", {
            class: "lrsched lrsched-inline", id: "lrsched_preflight", role: "status", "aria-label": "Before training", hidden: true,
        }, this.list);
    }

    /** May be called as often as one likes: asks when something has changed, and again after a while. */
    refresh() {
        const row = fields.block("trainEmbedding")?.parentElement ?? null;
        if (row === null) return;
        if (row.previousElementSibling !== this.box) row.before(this.box);
        const questions = Object.keys(KINDS).filter((kind) => this.#isDue(kind)).map(fields.training);
        const asked = JSON.stringify(questions);
        if (asked === this.#asked && performance.now() < this.#due) return;
        const pause_ms = asked === this.#asked ? 0 : PAUSE_MS;
        this.#asked = asked;
        this.#due = performance.now() + AGAIN_MS;
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => {
            for (const kind of Object.keys(KINDS)) this.#ask(kind, questions.find((one) => one.kind === kind) ?? null);
        }, pause_ms);
    }

    /** What the server knows has changed: asks at the next look. */
    again() {
        this.#due = 0;
    }

    /** Nothing is to be said of a training that nobody has chosen, nor while one is running. */
    #isDue(kind) {
        return fields.value(kind) !== "" && !goesOn(this.resumes[kind].current?.run);
    }

    /** One question of a kind is on its way at a time; while it is, others are left to the next look. */
    async #ask(kind, asked) {
        if (this.#isAsking[kind]) {
            this.#asked = "";
            return;
        }
        this.#isAsking[kind] = true;
        try {
            this.#found[kind] = asked === null ? [] : (await request("POST", "preflight", asked)).findings.filter(isToldHere);
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            if (!error.passing) this.#found[kind] = [];
        } finally {
            this.#isAsking[kind] = false;
        }
        this.#draw();
    }

    /** What is wrong with an input, by the host's name of it; empty where nothing is. */
    errorOf(name) {
        const chosen = Object.keys(KINDS).filter((kind) => this.#isDue(kind));
        const found = chosen.flatMap((kind) => this.#found[kind]);
        return found.find(({severity, subject}) => severity === "error" && subject === name)?.message ?? "";
    }

    #draw() {
        const chosen = Object.keys(KINDS).filter((kind) => this.#isDue(kind));
        const lines = merged(chosen.map((kind) => [kind, this.#found[kind]]));
        const text = JSON.stringify(lines);
        if (text !== this.box.dataset.drawn) this.list.replaceChildren(...lines.map((one) => line(one, this.#wayOut(one))));
        this.box.dataset.drawn = text;
        setHidden(this.box, lines.length === 0);
    }

    /** A button that makes the choice a line advises; null if it advises none. */
    #wayOut({subject, kinds: [kind, ...others]}) {
        if (subject !== "resume" || others.length > 0) return null;
        const play = async () => {
            const offer = this.resumes[kind];
            if (offer.current === null) return;
            offer.select.focus({preventScroll: true}); // it shows the new choice, and the button disappears
            await offer.choose(offer.current.from_beginning);
            this.again();
            this.refresh();
        };
        return el("button", {type: "button", class: "lrsched-button lrsched-fix", text: "Play from the beginning", on: {click: play}});
    }
}

/** The options offer to validate on the images that are there for it: it is nothing to be warned of a second time. */
function isToldHere({severity, subject}) {
    return subject !== "validation" || severity === "error";
}

/** The findings of both kinds, errors first; what is said of both stands once, what is said of one of two names it. */
function merged(found) {
    const lines = new Map();
    for (const [kind, findings] of found) {
        for (const {severity, subject, message} of findings) {
            const key = JSON.stringify([severity, message]);
            lines.set(key, {severity, subject, message, kinds: [...(lines.get(key)?.kinds ?? []), kind]});
        }
    }
    const named = [...lines.values()].map((one) => ({...one, name: found.length > 1 && one.kinds.length === 1 ? KINDS[one.kinds[0]] : ""}));
    return named.sort((a, b) => (a.severity === "error" ? 0 : 1) - (b.severity === "error" ? 0 : 1));
}

function line({severity, subject, message, name}, wayOut) {
    if (subject === FINISHED) return el("li", {class: "lrsched-message"}, el("span", {class: "lrsched-message-text", text: message}));
    const words = name === "" ? WORDS[severity] : `${name}, ${WORDS[severity].toLowerCase()}`;
    return el("li", {class: `lrsched-message lrsched-${severity}`},
        el("span", {class: "lrsched-message-text"}, el("strong", {text: words}), ` ${message}`), wayOut);
}
