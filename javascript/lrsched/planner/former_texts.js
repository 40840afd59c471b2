// Texts of the editor that were replaced by one from the Train tab and are saved nowhere else: each can be restored.
import {byId, el, setHidden} from "../base/dom.js";
import {keep, recall} from "../base/storage.js";

const MOST = 10;
const STORE = "former";

/** `before` and those that are kept already, when `text` is about to take its place: each text of a kind once, the newest first. */
export function withFormer(entries, before, text) {
    const others = entries.filter((one) => one.kind !== before.kind || (one.text !== before.text && one.text !== text));
    const isOne = before.text.trim() !== "" && before.text !== text;
    return (isOne ? [before, ...others] : others).slice(0, MOST);
}

/** The lines above the editor; kept over a reload. `isElsewhere(text)` says whether a text stands in another place too. */
export class FormerTexts {
    constructor(planner, origin, isElsewhere) {
        Object.assign(this, {planner, origin, isElsewhere});
        this.list = byId("former");
        this.entries = clean(recall(STORE, []));
        this.#draw();
    }

    /** Called before `text` takes the place of the text of a kind. */
    note(kind, text) {
        const {planner} = this;
        this.#reread();
        const before = planner.textOf(kind);
        const isKept = !planner.isFirst(kind, before) && !this.isElsewhere(before);
        this.entries = withFormer(this.entries, {kind, text: isKept ? before : "", origin: this.origin.of(kind), ...planner.around()}, text);
        this.#changed();
    }

    #restore({kind, text, origin, fields, run, way: mode}) {
        this.note(kind, text);
        this.origin.set(origin, kind);
        const {target = "clip"} = this.origin.of(kind) ?? {};
        this.planner.restore({...fields, kind, text, trainee: target === "clip" ? null : target}, {run, mode});
        byId("text").focus({preventScroll: true}); // the button goes, also where the editor has that text already
    }

    #forget(entry) {
        this.#reread();
        this.entries = this.entries.filter((one) => one.kind !== entry.kind || one.text !== entry.text);
        this.#changed();
        byId("text").focus({preventScroll: true});
    }

    /** Another tab of the browser may have kept some meanwhile. */
    #reread() {
        this.entries = clean(recall(STORE, this.entries));
    }

    #changed() {
        keep(STORE, this.entries);
        this.#draw();
    }

    #draw() {
        this.list.replaceChildren(...this.entries.map((entry) => this.#row(entry)));
        setHidden(this.list, this.entries.length === 0);
    }

    #row(entry) {
        const what = entry.kind === "clip" ? "Your former clip text:" : "Your former text:";
        const button = (text, click) => el("button", {type: "button", class: "lrsched-button", text, on: {click}});
        return el("li", {class: "lrsched-note"}, el("span", {}, `${what} `, el("code", {text: entry.text, title: entry.text})),
            el("span", {class: "lrsched-row"}, button("Restore", () => this.#restore(entry)), button("Forget", () => this.#forget(entry))));
    }
}

/** What the browser kept may be anything: only whole entries pass. */
function clean(kept) {
    if (!Array.isArray(kept)) return [];
    const whole = ({kind, text, fields} = {}) => ["rate", "clip"].includes(kind) && typeof text === "string" && fields instanceof Object;
    const entries = kept.filter((one) => one !== null && whole(one)).slice(0, MOST);
    return entries.map(({run = null, way = null, ...rest}) => ({...rest, run, way}));
}
