// "Edit" in the Train tab: the editor has the text of a field of that tab, and one button brings it back there.
import {byId, setHidden, setText} from "../base/dom.js";
import {keep, recall} from "../base/storage.js";
import {TARGETS} from "./targets.js";

const STORE = "origin";

/** The line above the editor. `from` is {target, name}, or null; kept over a reload. `onSend(target)` is asked to send the text. */
export class Origin {
    constructor({onSend}) {
        this.from = checked(recall(STORE, null));
        this.box = byId("origin");
        byId("origin_send").addEventListener("click", () => onSend(this.from.target));
        byId("origin_close").addEventListener("click", () => {
            this.set(null);
            byId("text").focus({preventScroll: true});
        });
    }

    set(from) {
        this.from = checked(from);
        keep(STORE, this.from);
        this.refresh(this.kind);
    }

    /** Shows the line while the editor's text is of the field's kind: rate and clip have a text each. */
    refresh(kind) {
        this.kind = kind;
        setHidden(this.box, this.from === null || TARGETS[this.from.target].kind !== kind);
        if (this.from !== null) setText(byId("origin_text"), said(this.from));
    }
}

/** What the browser kept may be anything: a field of the Train tab and a name, or null. */
function checked(from) {
    const isWhole = Object.hasOwn(TARGETS, from?.target ?? "") && typeof from.name === "string";
    return isWhole ? {target: from.target, name: from.name} : null;
}

function said({target, name}) {
    return `From the Train tab: the ${TARGETS[target].label}${name ? ` of ${name}` : ""}.`;
}
