// The schedule editor: a text area over a copy of its text in which errors and lints are marked.
import {el} from "../base/dom.js";
import {errorBox, warningBox} from "../base/messages.js";
import {commonStart, difference, toUnits} from "../base/text.js";

const RANK = {error: 0, warning: 1, hover: 2};

/** Ties the text area, its backdrop and the list of messages together; `onInput(text)` hears of every change, `onCaret()` of every move of the cursor. */
export class Editor {
    #marks = [];
    #hover = null;
    #drawn = "";
    #touched = false;

    constructor({area, backdrop, messages, onInput, onCaret}) {
        this.area = area;
        this.backdrop = backdrop;
        this.messages = messages;
        this.onInput = onInput;
        this.onCaret = onCaret;
        area.addEventListener("input", () => {
            this.#touched = true;
            this.#typed();
        });
        area.addEventListener("focus", () => (this.#touched = true));
        for (const name of ["click", "keyup", "select"]) area.addEventListener(name, () => this.onCaret());
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

    /** Puts a shape at the cursor, with a comma where one is missing; an untouched text is replaced. */
    insert(text) {
        if (!this.#touched) return this.setText(text);
        const {selectionStart: start, selectionEnd: end, value} = this.area;
        const before = value.slice(0, start).trimEnd();
        const after = value.slice(end).trimStart();
        const head = before === "" || /[,(\n]$/.test(before) ? "" : ", ";
        const tail = after === "" || /^[,)]/.test(after) ? "" : ", ";
        this.area.focus({preventScroll: true});
        this.#write(head + text + tail);
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

    /** Puts the cursor at the start of a span without taking the focus. */
    placeCaret(span) {
        const [start] = toUnits(this.text, span);
        this.area.setSelectionRange(start, start);
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

    /** Shows what the server found in `text`; an answer to another text is left alone. */
    showResult(result) {
        if (result.text !== this.text) return;
        const found = result.ok
            ? (result.warnings ?? []).map((lint) => ({...lint, kind: "warning"}))
            : [{...result.error, kind: "error"}];
        this.#marks = found.filter((one) => one.span).map(({span, kind}) => ({span, kind}));
        this.area.setAttribute("aria-invalid", String(!result.ok));
        this.#paint();
        this.messages.replaceChildren(...found.map((one) => this.#message(one)));
    }

    #message(one) {
        const onFix = (text) => this.setText(text);
        const {text} = this;
        if (one.kind === "error") return errorBox(one, {onFix, text});
        return warningBox(one, {onFix, text, onShow: one.span ? () => this.select(one.span) : null});
    }

    /** Types for the reader. execCommand is the one way that keeps the undo history. */
    #write(text) {
        const before = this.area.value;
        const typed = text === "" ? document.execCommand("delete") : document.execCommand("insertText", false, text);
        if (typed && this.area.value !== before) return;
        this.area.setRangeText(text, this.area.selectionStart, this.area.selectionEnd, "end");
        this.area.dispatchEvent(new Event("input", {bubbles: true}));
    }

    /** Keeps the marks that lie before the change, until the answer comes. */
    #typed() {
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
