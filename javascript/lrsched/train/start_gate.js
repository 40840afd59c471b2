// A press on a Train button waits until the server has taken the options and the resume mode chosen before it.
import * as fields from "./fields.js";

const BUTTONS = {embedding: "trainEmbedding", hypernetwork: "trainHypernetwork"};
const REFUSED = "Not started: an option or the resume mode was refused. The reason is shown beside it.";

/** A text field sends its option when it loses the focus, that is, by the press itself. If an option is refused, nothing starts. */
export class StartGate {
    #waiting = new Set();
    #pressed = null;
    #isOurs = false;

    /**
     * `choices(kind)` returns the senders of choices for a training; each has `isBusy`, `settled`, and the number of its `refusals`.
     * `onRefused(words)` is called with the reason why nothing was started.
     */
    constructor(choices, onRefused) {
        Object.assign(this, {choices, onRefused});
        document.addEventListener("pointerdown", ({target}) => this.#down(target), {capture: true});
        document.addEventListener("click", (event) => this.#clicked(event), {capture: true});
    }

    /** The focus moves after this event, and the refusal may come before the button is released: counts refusals from here. */
    #down(target) {
        const kind = kindOf(target);
        this.#pressed = kind && {kind, refusals: this.#refusals(kind)};
    }

    #clicked(event) {
        const kind = this.#isOurs ? null : kindOf(event.target);
        if (kind === null) return;
        const refusals = this.#refusals(kind);
        const before = event.detail > 0 && this.#pressed?.kind === kind ? this.#pressed.refusals : refusals;
        this.#pressed = null;
        const isBusy = this.#isBusy(kind);
        if (!isBusy && refusals === before) return;
        event.preventDefault();
        event.stopImmediatePropagation();
        if (!isBusy) this.onRefused(REFUSED);
        else if (!this.#waiting.has(kind)) this.#startLater(kind, event.target, before);
    }

    async #startLater(kind, target, before) {
        this.#waiting.add(kind);
        while (this.#isBusy(kind)) await Promise.all(this.choices(kind).map(({settled}) => settled));
        this.#waiting.delete(kind);
        if (this.#refusals(kind) !== before) return this.onRefused(REFUSED);
        this.#isOurs = true;
        try {
            (target.isConnected ? target : fields.block(BUTTONS[kind]))?.click();
        } finally {
            this.#isOurs = false;
        }
    }

    #isBusy(kind) {
        return this.choices(kind).some(({isBusy}) => isBusy);
    }

    #refusals(kind) {
        return this.choices(kind).reduce((sum, {refusals}) => sum + refusals, 0);
    }
}

/** The kind that a press on this element trains, or null. */
function kindOf(target) {
    return Object.keys(BUTTONS).find((kind) => fields.block(BUTTONS[kind])?.contains(target)) ?? null;
}
