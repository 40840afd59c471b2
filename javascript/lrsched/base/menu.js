// A button that opens a list of things to do. Arrow keys move in it, Escape closes it.
import {setHidden} from "./dom.js";

/** Brings a button and its list (role menu) to life; `choose(format, label)` hears what was chosen. */
export class Menu {
    constructor(button, list, choose) {
        this.button = button;
        this.list = list;
        this.entries = [...list.querySelectorAll("[role=menuitem]")];
        button.addEventListener("click", () => this.#open(this.list.hidden));
        button.addEventListener("keydown", (event) => {
            if (event.key === "ArrowDown") this.#take(event, () => this.#open(true));
        });
        list.addEventListener("keydown", (event) => this.#key(event));
        list.addEventListener("focusout", (event) => {
            if (!list.contains(event.relatedTarget) && event.relatedTarget !== button) this.#open(false);
        });
        for (const entry of this.entries) {
            entry.addEventListener("click", () => {
                this.#open(false);
                button.focus();
                choose(entry.dataset.format, entry.textContent);
            });
        }
    }

    #open(isOpen) {
        setHidden(this.list, !isOpen);
        this.button.setAttribute("aria-expanded", String(isOpen));
        if (isOpen) this.entries[0].focus();
    }

    #key(event) {
        const here = this.entries.indexOf(document.activeElement);
        const last = this.entries.length - 1;
        const to = {ArrowDown: here === last ? 0 : here + 1, ArrowUp: here <= 0 ? last : here - 1, Home: 0, End: last}[event.key];
        if (to !== undefined) this.#take(event, () => this.entries[to].focus());
        if (event.key === "Escape") {
            this.#take(event, () => this.#open(false));
            this.button.focus();
        }
    }

    #take(event, action) {
        event.preventDefault();
        action();
    }
}
