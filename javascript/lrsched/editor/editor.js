// The schedule editor: a text area over a copy of its text in which errors and lints are marked.
import {el} from "../base/dom.js";
import {errorBox, warningBox} from "../base/messages.js";
import {commonStart, difference, itemBoundary, toUnits} from "../base/text.js";

const RANK = {error: 0, warning: 1, hover: 2};
const CALM_MS = 700; // an unfinished text is called wrong after so long a pause

/** Ties the text area, its backdrop and the list of messages together; `onInput(text)` hears of every change, `onCaret()` of every move of the cursor, `onNeed()` that the images are to be named. */
export class Editor {
    #marks = [];
    #hover = null;
    #drawn = "";
    #touched = false;
    #isPlaced = false;
    #isWriting = false;
    #typed_ms = -CALM_MS;
    #later = null;

    constructor({area, backdrop, messages, onInput, onCaret, onNeed}) {
        this.area = area;
        this.backdrop = backdrop;
        this.messages = messages;
        this.onInput = onInput;
        this.onCaret = onCaret;
        this.onNeed = onNeed;
        area.addEventListener("input", () => {
            this.#touched = true;
            if (!this.#isWriting) this.#typed_ms = performance.now();
            this.#typed();
        });
        area.addEventListener("focus", () => (this.#touched = true));
        for (const name of ["click", "keyup", "select"]) {
            area.addEventListener(name, (event) => {
                if (name !== "select") this.#isPlaced = event.isTrusted;
                this.onCaret();
            });
        }
        this.#paint();
    }

    get text() {
        return this.area.value;
    }

    /** Replaces the whole text; the browser's undo brings the old one back. */
    setText(text) {
        if (text === this.area.value) return;
        this.area.focus({preventScroll: true});
        this.area.select();
        this.#write(text);
    }

    /** Whether nobody has written anything: the text is the page's own. */
    get isUntouched() {
        return this.text.trim() === "" || (!this.#touched && this.text === this.area.defaultValue);
    }

    /** Shows another text, which undo does not lead back from, and leaves the focus where it is. */
    load(text) {
        this.area.value = text;
        this.#isWriting = true;
        this.area.dispatchEvent(new Event("input", {bubbles: true}));
        this.#isWriting = false;
    }

    /** Puts an item into a text that the server cannot read, at the next place that no bracket and no word goes through. */
    insert(item) {
        const {value} = this.area;
        const place = itemBoundary(value, this.insertionPlace);
        const head = place === 0 || value[place - 1] === "," ? "" : ",";
        this.area.focus({preventScroll: true});
        this.area.setSelectionRange(place, place);
        this.#write(`${head}${place === 0 ? "" : " "}${item}`);
    }

    /** Types a text in the place of the characters from `start` to `end`, counted as JavaScript does. */
    type(start, end, text) {
        this.area.setSelectionRange(start, end);
        this.#write(text);
    }

    /** Selects the characters [start, end), counted as Python counts them. */
    select(span) {
        const [start, end] = toUnits(this.text, span);
        this.area.focus({preventScroll: true});
        this.area.setSelectionRange(start, end);
    }

    /** Where the cursor stands, in JavaScript's count; it stays there while the focus is elsewhere. */
    get caret() {
        return this.area.selectionStart;
    }

    /** Whether the reader put the cursor in front of the whole text; a form and a chart put it at the start of an item. */
    get isAtFront() {
        return this.#isPlaced && this.text.slice(0, this.caret).trim() === "";
    }

    /** Where a new item belongs: at the cursor, or at the end while nobody has put it anywhere. */
    get insertionPlace() {
        return this.#touched || this.caret > 0 ? this.caret : this.text.length;
    }

    /** Puts the cursor at the start of a span without taking the focus. */
    placeCaret(span) {
        const [start] = toUnits(this.text, span);
        this.area.setSelectionRange(start, start);
        this.#isPlaced = false;
        this.#touched = true;
        this.onCaret();
    }

    /** Writes what differs in `text`, puts the cursor at the span's start, and gives the focus back; undo takes it back. */
    replace(text, span) {
        const before = this.text;
        const focused = document.activeElement;
        if (text !== before) {
            const [start, tail] = difference(before, text);
            this.isReplacing = true;
            this.area.focus({preventScroll: true});
            this.area.setSelectionRange(start, before.length - tail);
            this.#write(text.slice(start, text.length - tail));
        }
        this.placeCaret(span);
        if (focused !== this.area) focused?.focus({preventScroll: true});
        this.isReplacing = false;
    }

    /** Marks a segment while the pointer is on its row; null takes the mark away. */
    hover(span) {
        this.#hover = span;
        this.#paint();
    }

    /** Shows what the server found in `text`, after a pause in typing; an answer to another text is left alone. */
    showResult(result) {
        if (result.text !== this.text) return;
        clearTimeout(this.#later);
        const isFine = result.ok && (result.warnings ?? []).length === 0;
        const wait_ms = isFine ? 0 : this.#typed_ms + CALM_MS - performance.now();
        if (wait_ms <= 0) this.#show(result);
        else this.#later = setTimeout(() => this.#show(result), wait_ms);
    }

    #show(result) {
        if (result.text !== this.text) return;
        const found = result.ok
            ? (result.warnings ?? []).map((lint) => ({...lint, kind: "warning"}))
            : [{...result.error, kind: "error"}];
        this.#marks = found.filter((one) => one.span).map(({span, kind}) => ({span, kind}));
        this.area.setAttribute("aria-invalid", String(!result.ok));
        this.#paint();
        this.messages.inert = false;
        this.messages.classList.remove("lrsched-waiting");
        this.messages.replaceChildren(...found.map((one) => this.#message(one)));
    }

    #message(one) {
        const onFix = (text) => this.setText(text);
        const {text} = this;
        if (one.kind === "error") return errorBox(one, {onFix, text, action: one.needs === "images" ? {text: "Enter the folder", click: this.onNeed} : null});
        return warningBox(one, {onFix, text, onShow: one.span ? () => this.select(one.span) : null});
    }

    /** Types for the reader. execCommand is the one way that keeps the undo history. */
    #write(text) {
        const before = this.area.value;
        this.#isWriting = true;
        const typed = text === "" ? document.execCommand("delete") : document.execCommand("insertText", false, text);
        if (!typed || this.area.value === before) {
            this.area.setRangeText(text, this.area.selectionStart, this.area.selectionEnd, "end");
            this.area.dispatchEvent(new Event("input", {bubbles: true}));
        }
        this.#isWriting = false;
    }

    /** Keeps the marks that lie before the change, and what was said, which is of another text, until the answer comes. */
    #typed() {
        clearTimeout(this.#later);
        this.messages.inert = true;
        this.messages.classList.add("lrsched-waiting");
        const same = commonStart(this.#drawn, this.text);
        this.#marks = this.#marks.filter(({span}) => toUnits(this.#drawn, span)[1] < same);
        this.#hover = null;
        this.#paint();
        this.onInput(this.text);
    }

    #paint() {
        const text = (this.#drawn = this.text);
        const marks = this.#hover ? [...this.#marks, {span: this.#hover, kind: "hover"}] : this.#marks;
        this.backdrop.replaceChildren(...pieces(text, marks), "\n");
    }
}

/** The text cut at the edges of the marks: strings and <mark> elements; the graver mark wins. */
function pieces(text, marks) {
    const spans = marks.map(({span, kind}) => ({kind, span: widened(toUnits(text, span))}));
    const cuts = new Set([0, text.length]);
    for (const {span} of spans) for (const edge of span) cuts.add(Math.min(edge, text.length));
    const edges = [...cuts].sort((a, b) => a - b);
    const parts = [];
    for (let i = 0; i + 1 < edges.length; i++) {
        const covering = spans.filter(({span}) => span[0] <= edges[i] && span[1] >= edges[i + 1]);
        parts.push(marked(text.slice(edges[i], edges[i + 1]), covering));
    }
    const atEnd = spans.filter(({span}) => span[0] >= text.length);
    if (atEnd.length) parts.push(marked("\u00a0", atEnd));
    return parts;
}

/** A place between two characters marks the one after it. */
function widened([start, end]) {
    return [start, Math.max(end, start + 1)];
}

function marked(text, covering) {
    if (covering.length === 0) return text;
    const kind = covering.map((one) => one.kind).sort((a, b) => RANK[a] - RANK[b])[0];
    return el("mark", {class: `lrsched-mark-text lrsched-mark-text-${kind}`, text});
}
