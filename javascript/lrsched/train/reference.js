// Above the buttons that start a training: what the fields hold otherwise than the run or the profile that filled them.
import {ApiError} from "../base/api.js";
import {el, focusOne, setHidden, setText} from "../base/dom.js";
import {InTurn} from "../base/in_turn.js";
import {Latest} from "../base/latest.js";
import {sentence} from "../base/text.js";
import * as fields from "./fields.js";

const NAMES = ["embedding_name", "hypernetwork_name"];
const MOST_CHARS = 90;

/** What fields and options are compared with; `options` is the box of the options. */
export class Reference {
    #taken = null;
    #drawn = "";
    #trouble = "";
    #found = new Latest();
    #fills = new InTurn(); // two at once would mix their fields

    /** The list stands before `preflight`. `onFilled()` hears that fields were filled. */
    constructor(preflight, {options, onFilled}) {
        Object.assign(this, {preflight, options, onFilled, count: 0});
        this.title = el("p", {class: "lrsched-differences-title"});
        this.list = el("ul", {class: "lrsched-differences-list"});
        this.close = el("button", {
            type: "button", class: "lrsched-button", text: "Close", title: "Leave the fields as they are", on: {click: () => this.#closed()},
        });
        this.box = el("div", {
            class: "lrsched lrsched-inline lrsched-differences", id: "lrsched_differences", role: "status", tabindex: "-1", hidden: true,
        }, el("div", {class: "lrsched-row"}, this.title, this.close), this.list);
    }

    /**
     * Fills the Train tab with what a run was started with, its name too; resolves to what went wrong, or "", and to null if
     * another run or profile was loaded before the answer came.
     */
    takeRun(run) {
        return this.#takeFrom(`runs/${encodeURIComponent(run.id)}/profile?check=1`, {of: "the run", title: `the run of ${run.name}`, withNames: true});
    }

    /** The same with a profile; a name that is chosen stays. */
    takeProfile(name) {
        return this.#takeFrom(`profiles/${encodeURIComponent(name)}?check=1`, {of: "the profile", title: `the profile "${name}"`, withNames: false});
    }

    forget() {
        this.#taken = null;
        this.#trouble = "";
        this.refresh();
    }

    /** The button that closes it is gone with it: the next thing is to train. */
    #closed() {
        this.forget();
        focusOne(fields.block("trainEmbedding"));
    }

    /** Brings the list to the reader's eyes, with the focus. */
    reveal() {
        this.box.scrollIntoView({block: "nearest"});
        focusOne(this.box);
    }

    /** Says in the place of the list why nothing was filled. */
    complain(text) {
        this.#taken = null;
        this.#trouble = text;
        this.refresh();
    }

    /** Compares again; may be called as often as one likes. */
    refresh() {
        if (this.preflight.isConnected && this.preflight.previousElementSibling !== this.box) this.preflight.before(this.box);
        const rows = this.#taken === null ? [] : this.#rows(this.#taken);
        this.count = rows.length;
        setHidden(this.box, this.#taken === null && this.#trouble === "");
        this.title.classList.toggle("lrsched-bad", this.#taken === null);
        if (this.#taken === null) {
            setText(this.title, this.#trouble);
            this.list.replaceChildren();
            this.#drawn = "";
            return;
        }
        const title = rows.length === 0 ? `Every field is as in ${this.#taken.title}.` : `Differs from ${this.#taken.title}:`;
        setText(this.title, title);
        const drawn = JSON.stringify(rows);
        if (drawn !== this.#drawn) this.list.replaceChildren(...rows.map((text) => el("li", {text})));
        this.#drawn = drawn;
    }

    async #takeFrom(path, {of, title, withNames}) {
        let found;
        try {
            found = await this.#found.ask("GET", path);
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            return `Nothing was filled: ${error.message}`;
        }
        if (found === null) return null;
        await this.#fills.run(() => this.#fill(found, {of, title, withNames}));
        return "";
    }

    async #fill(found, {of, title, withNames}) {
        const {kind, inputs} = found;
        const isKept = (name) => !withNames && fields.value(fields.fieldOf(name)) !== "";
        const names = NAMES.filter((name) => inputs[name] && !isKept(name));
        const missed = [];
        for (const name of names) { // one after another: an open list is seen by all
            if (!await fields.chooseName(fields.fieldOf(name), inputs[name])) missed.push(fields.fieldOf(name));
        }
        await fields.setInputs(inputs, {kind, but: NAMES});
        const refused = await this.#fillOptions(kind, found.options, missed);
        this.#trouble = "";
        this.#taken = {...found, of, title, refused};
        this.refresh();
        this.onFilled();
    }

    /** Sets options for the chosen names, except for the kinds whose name could not be chosen (`missed`). Resolves to what was refused. */
    async #fillOptions(kind, options, missed) {
        if (Object.keys(options).length === 0) return [];
        const kinds = ["embedding", "hypernetwork"].filter((one) => (kind ?? one) === one && fields.value(one) !== "");
        if (kinds.length === 0) return ["Options: they belong to an embedding or a hypernetwork; choose one, and load again"];
        const refused = [];
        for (const one of kinds.filter((found) => !missed.includes(found))) {
            const why = await this.options.fill(one, options);
            if (why) refused.push(`Options of the ${one}: ${sentence(why)}`);
        }
        return refused;
    }

    #rows({kind, inputs, options, missing, refused, of}) {
        const why = new Map((missing ?? []).map(({field, why: reason}) => [field, reason]));
        const differing = fields.differences(inputs, kind);
        const rows = differing.map(({name, label, here, there}) => `${label}: ${shown(here)} here, ${shown(there)} in ${of}${because(why, name)}`);
        const told = new Set(differing.map(({name}) => name));
        for (const {field, value, why: reason} of missing ?? []) {
            const name = fields.fieldOf(field, kind);
            if (told.has(field) || (field.startsWith("options.") && this.options.has(field.slice(8)))) continue;
            const label = name !== null && fields.exists(name) ? fields.label(name) : field.replace("options.", "Option ");
            rows.push(`${label}: ${shown(value)} in ${of}; ${reason}`);
        }
        const kinds = ["embedding", "hypernetwork"].filter((one) => (kind ?? one) === one && fields.value(one) !== "");
        for (const one of kinds) {
            const named = kinds.length > 1 ? ` (${one})` : "";
            for (const {label, here, there} of this.options.differences(one, options)) {
                rows.push(`${label}${named}: ${shown(here)} here, ${shown(there)} in ${of}`);
            }
        }
        return [...rows, ...refused];
    }
}

function because(why, name) {
    return why.has(name) ? `; ${why.get(name)}` : "";
}

function shown(value) {
    if (value === true) return "on";
    if (value === false) return "off";
    const text = String(value ?? "").trim();
    if (text === "") return "empty";
    return text.length > MOST_CHARS ? `${text.slice(0, MOST_CHARS)}…` : text;
}
