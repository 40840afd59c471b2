// Schedules kept in the chart beside the one being written; each has a label, a colour and a dash pattern.
import {el, focusOne} from "../base/dom.js";
import {keep, recall} from "../base/storage.js";
import {swatch} from "../chart/legend.js";

const MOST = 5;
const STORE = "compare";

/** The list below the chart. `onChange()` after every change, `onOpen(text)` to bring one back to the editor. */
export class Comparison {
    constructor({list, addButton, onChange, onOpen}) {
        this.list = list;
        this.addButton = addButton;
        this.onChange = onChange;
        this.onOpen = onOpen;
        this.items = clean(recall(STORE, []));
        this.troubles = new Map();
        this.draw();
    }

    get texts() {
        return this.items.map((item) => item.text);
    }

    /** Adds a text unless it is there already or the list is full. */
    add(text, label = "") {
        if (text.trim() === "" || this.items.length >= MOST) return;
        if (this.items.some((item) => item.text === text)) return;
        const taken = new Set(this.items.map((item) => item.look));
        const look = [1, 2, 3, 4, 5].find((free) => !taken.has(free));
        this.items.push({look, text, label: label || `Schedule ${look}`});
        this.#changed();
    }

    /** The next row's button has the focus then, else that which adds one. */
    remove(item) {
        const place = this.items.indexOf(item);
        this.items = this.items.filter((other) => other !== item);
        this.#changed();
        const buttons = this.list.querySelectorAll("li > button:last-child");
        focusOne(buttons[Math.min(place, buttons.length - 1)], this.addButton);
    }

    /** Notes which of the texts the server could not draw, in the order of `texts`. */
    showResults(results) {
        this.items.forEach((item, i) => {
            const result = results[i];
            if (result?.text === item.text) this.#note(item, result.ok ? "" : result.error.message);
        });
    }

    #note(item, trouble) {
        if ((this.troubles.get(item) ?? "") === trouble) return;
        this.troubles.set(item, trouble);
        this.draw();
    }

    #changed() {
        keep(STORE, this.items);
        this.draw();
        this.onChange();
    }

    draw() {
        this.addButton.disabled = this.items.length >= MOST;
        const own = el("li", {class: "lrsched-compare-own"}, swatch(0), el("span", {text: "This schedule"}));
        const rows = this.items.map((item) => this.#row(item));
        const hint = el("li", {class: "lrsched-muted", text: "Add schedules to see them side by side, up to five beside your own."});
        this.list.replaceChildren(...(rows.length ? [own, ...rows] : [hint]));
    }

    #row(item) {
        const trouble = this.troubles.get(item);
        const label = el("input", {
            type: "text", class: "lrsched-compare-label", value: item.label, "aria-label": "Label", maxlength: 40,
            on: {change: (event) => this.#rename(item, event.target)},
        });
        return el("li", {}, swatch(item.look), label,
            el("code", {class: trouble ? "lrsched-compare-bad" : "", text: trouble || item.text, title: item.text}),
            el("button", {type: "button", class: "lrsched-link", text: "edit", title: "Put it into the editor", on: {click: () => this.onOpen(item.text)}}),
            el("button", {type: "button", class: "lrsched-link", text: "remove", "aria-label": `Remove ${item.label}`, on: {click: () => this.remove(item)}}));
    }

    /** The row stays: the focus is on its way to the next thing in it. */
    #rename(item, field) {
        item.label = field.value.trim() || item.label;
        field.value = item.label;
        field.parentElement.lastElementChild.setAttribute("aria-label", `Remove ${item.label}`);
        keep(STORE, this.items);
        this.onChange();
    }
}

/** What the browser kept may be anything: only whole items pass. */
function clean(kept) {
    if (!Array.isArray(kept)) return [];
    const whole = (item) => typeof item?.text === "string" && typeof item.label === "string" && [1, 2, 3, 4, 5].includes(item.look);
    return kept.filter(whole).slice(0, MOST);
}
