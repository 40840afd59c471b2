// Completion in the editor: shapes, their parameters and choices, units. All names come from GET shapes.
import {el, setHidden} from "../base/dom.js";

const UNITS = [["%", "percent of max steps"], ["ep", "epochs"], ["img", "images"]];
const LEFT_PX = 12; // the editor's padding

/**
 * What can stand at a place of a text: {from, options: [{text, meaning}]} where each option replaces the characters from `from`
 * to the cursor; null where nothing is known. `all` also offers where no letter has been typed yet.
 */
export function completionsAt(text, caret, shapes, all = false) {
    const before = text.slice(0, caret);
    if (/#[^\n]*$/.test(before)) return null;
    const call = openCall(before);
    const shape = shapes.find(({name}) => name === call?.name && name !== "repeat") ?? null;
    if (shape !== null) return inShape(before, call, shape, all);
    const unit = before.match(/:\s*\+?\d[\d._]*([a-z%]*)$/);
    if (unit) return offered(caret, unit[1], unitOptions());
    const word = before.match(/(?<![\w.])[A-Za-z_]\w*$/)?.[0] ?? "";
    if (word === "" && !(all && /(^|[,(])\s*$/.test(before))) return null;
    return offered(caret, word, shapes.map(({name, meaning}) => ({text: `${name}(`, meaning})));
}

/** The innermost bracket that is open at the end of a text: the name before it, and what stands in it so far. */
function openCall(before) {
    const open = [];
    const code = before.replace(/#[^\n]*/g, (comment) => " ".repeat(comment.length));
    for (const mark of code.matchAll(/(\w*)\s*\(|\)/g)) {
        if (mark[0] === ")") open.pop();
        else open.push({name: mark[1], start: mark.index + mark[0].length});
    }
    const last = open.pop();
    return last ? {name: last.name, inside: code.slice(last.start)} : null;
}

function inShape(before, {inside}, {params}, all) {
    const caret = before.length;
    const given = new Set([...inside.matchAll(/(\w+)\s*=/g)].map(([, name]) => name));
    const value = inside.match(/(\w+)\s*=\s*([^,]*)$/);
    if (value) {
        const param = params.find(({words}) => words.includes(value[1]));
        if (param?.kind === "time") {
            const unit = value[2].match(/^\d[\d._]*([a-z%]*)$/);
            return unit && offered(caret, unit[1], unitOptions());
        }
        const choices = param?.kind === "flag" ? ["yes", "no"] : param?.choices ?? [];
        return offered(caret, value[2], choices.map((text) => ({text, meaning: ""})));
    }
    const word = inside.match(/(?<![\w.])[A-Za-z_]\w*$/)?.[0] ?? "";
    if (word === "" && !(all && /(^|,)\s*$/.test(inside))) return null;
    const left = params.filter(({words}) => !words.some((name) => given.has(name)));
    return offered(caret, word, left.map(({word: name, meaning}) => ({text: `${name}=`, meaning})));
}

function unitOptions() {
    return UNITS.map(([text, meaning]) => ({text, meaning}));
}

function offered(caret, word, options) {
    const fitting = options.filter(({text}) => text.startsWith(word.toLowerCase()) && text !== word);
    return fitting.length === 0 ? null : {from: caret - word.length, options: fitting};
}

/** The list below the cursor: arrow keys choose, Tab takes the first or the chosen one, Enter the chosen one, Escape closes it. */
export class Completion {
    #shapes = null;
    #found = null;
    #chosen = -1;

    /** `load()` resolves to the shapes as GET shapes answers them; the list stands in `frame`, which is around the editor. */
    constructor(editor, frame, load) {
        this.editor = editor;
        this.frame = frame;
        this.load = load;
        this.list = el("ul", {class: "lrsched-completion", id: "lrsched_completion", role: "listbox", "aria-label": "What can stand here", hidden: true});
        frame.append(this.list);
        const {area} = editor;
        area.setAttribute("aria-autocomplete", "list");
        area.setAttribute("aria-controls", this.list.id);
        area.addEventListener("input", (event) => this.#typed(event));
        area.addEventListener("keydown", (event) => this.#key(event));
        for (const name of ["blur", "pointerdown"]) area.addEventListener(name, () => this.close());
        this.list.addEventListener("pointerdown", (event) => event.preventDefault()); // the area keeps the focus
    }

    close() {
        this.#found = null;
        setHidden(this.list, true);
        this.editor.area.removeAttribute("aria-activedescendant");
    }

    /** A letter opens it, and a letter that is taken away leaves it open; a text that is pasted or put in does not. */
    #typed({inputType, data}) {
        const isLetter = inputType === "insertText" && data?.length === 1;
        if (isLetter || (this.#found !== null && inputType === "deleteContentBackward")) this.#open();
        else this.close();
    }

    async #open(all = false) {
        this.#shapes ??= await this.load();
        const {area} = this.editor;
        if (this.#shapes === null || area.selectionStart !== area.selectionEnd || document.activeElement !== area) return this.close();
        const shapes = [...this.#shapes.values()];
        this.#found = completionsAt(area.value, area.selectionStart, shapes, all);
        if (this.#found === null) return this.close();
        this.#chosen = -1;
        this.list.replaceChildren(...this.#found.options.map((option, i) => this.#row(option, i)));
        this.#place();
        setHidden(this.list, false);
        area.removeAttribute("aria-activedescendant");
    }

    #row({text, meaning}, i) {
        return el("li", {role: "option", id: `lrsched_completion_${i}`, "aria-selected": "false", on: {click: () => this.#take(i)}},
            el("code", {text}), el("span", {text: meaning}));
    }

    /** Below the cursor's line; the backdrop has the same text in the same place, and can be measured. */
    #place() {
        const {area, backdrop} = this.editor;
        const rect = rectBefore(backdrop, this.#found.from) ?? area.getBoundingClientRect();
        const frame = this.frame.getBoundingClientRect();
        this.list.style.top = `${rect.bottom - frame.top + 4}px`;
        const left = Math.max(0, this.#found.from === 0 ? LEFT_PX : rect.right - frame.left - 4);
        this.list.style.left = `min(${left}px, calc(100% - 240px))`;
    }

    #key(event) {
        if (event.key === " " && event.ctrlKey) {
            event.preventDefault();
            return this.#open(true);
        }
        if (this.#found === null || event.isComposing) return;
        const {length} = this.#found.options;
        if (event.key === "ArrowDown") this.#choose((this.#chosen + 1) % length);
        else if (event.key === "ArrowUp") this.#choose((Math.max(this.#chosen, 0) - 1 + length) % length);
        else if (event.key === "Tab" && !event.shiftKey) this.#take(Math.max(this.#chosen, 0));
        else if (event.key === "Enter" && this.#chosen >= 0) this.#take(this.#chosen);
        else if (event.key === "Escape") this.close();
        else return;
        event.preventDefault();
        event.stopPropagation();
    }

    #choose(i) {
        this.#chosen = i;
        [...this.list.children].forEach((row, j) => row.setAttribute("aria-selected", String(i === j)));
        this.list.children[i].scrollIntoView({block: "nearest"});
        this.editor.area.setAttribute("aria-activedescendant", this.list.children[i].id);
    }

    #take(i) {
        const {from, options} = this.#found;
        this.close();
        this.editor.type(from, this.editor.area.selectionStart, options[i].text);
    }
}

/** Where the character before a place of a text stands on the page; null at its start. */
function rectBefore(node, place) {
    const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
    let left = place;
    while (walker.nextNode()) {
        const {length} = walker.currentNode;
        if (left > length) {
            left -= length;
            continue;
        }
        if (left === 0) return null;
        const range = document.createRange();
        range.setStart(walker.currentNode, left - 1);
        range.setEnd(walker.currentNode, left);
        return range.getBoundingClientRect();
    }
    return null;
}
