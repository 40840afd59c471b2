// "Edit" in the Train tab: the editor has the text of a field of that tab, and one button brings it back there.
import {byId, setHidden, setText} from "../base/dom.js";
import {keep, recall} from "../base/storage.js";
import {TARGETS} from "./targets.js";

const STORE = "origin";

/**
 * The line above the editor, kept over a reload. Rate and clip have a text each, so each has an origin: {target, name}, or null.
 * `onSend(target)` sends the text; `onChange()` is called when an origin changes.
 */
export class Origin {
    constructor({onSend, onChange}) {
        const kept = recall(STORE, null);
        this.all = {rate: checked(kept?.rate, "rate"), clip: checked(kept?.clip, "clip")};
        this.onChange = onChange;
        this.box = byId("origin");
        byId("origin_send").addEventListener("click", () => onSend(this.of(this.kind).target));
        byId("origin_close").addEventListener("click", () => {
            this.set(null, this.kind);
            byId("text").focus({preventScroll: true});
        });
    }

    of(kind) {
        return this.all[kind] ?? null;
    }

    set(from, kind) {
        this.all[kind] = checked(from, kind);
        keep(STORE, this.all);
        this.onChange();
    }

    /** Shows the line of the kind that the editor's text is of. */
    refresh(kind) {
        this.kind = kind;
        const from = this.of(kind);
        setHidden(this.box, from === null);
        if (from !== null) setText(byId("origin_text"), said(from));
    }
}

/** What the browser kept may be anything: a field of the Train tab for a text of this kind and a name, or null. */
function checked(from, kind) {
    const isWhole = Object.hasOwn(TARGETS, from?.target ?? "") && TARGETS[from.target].kind === kind && typeof from.name === "string";
    return isWhole ? {target: from.target, name: from.name} : null;
}

function said({target, name}) {
    return `From the Train tab: the ${TARGETS[target].label}${name ? ` of ${name}` : ""}.`;
}
