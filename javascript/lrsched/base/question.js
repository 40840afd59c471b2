// A question in the page with two buttons, such as whether something is to be deleted.
import {focusOne, setHidden, setText} from "./dom.js";

/** Brings the markup of a question to life: its text comes first in `box`, then the button that says yes, then the one that says no. */
export class Question {
    #asked = null;

    constructor(box) {
        this.box = box;
        [this.yes, this.no] = box.querySelectorAll("button");
        this.yes.addEventListener("click", () => this.#accept());
        this.no.addEventListener("click", () => this.#leave());
        box.addEventListener("keydown", (event) => {
            if (event.key === "Escape" && !this.no.disabled) this.#leave();
        });
    }

    /**
     * Shows it, with the focus on no. `text` and `yes` are the words of the question and of its button, if the markup has none; `back`
     * has the focus afterwards. `onYes()` does what was asked, after the question is closed; one that `stays` is closed when that is done, and
     * cannot be cancelled before.
     */
    ask({text = null, yes = null, back, onYes, stays = false}) {
        this.#asked = {back, onYes, stays};
        this.#setBusy(false);
        if (text !== null) this.word(text);
        if (yes !== null) setText(this.yes, yes);
        setHidden(this.box, false);
        this.no.focus({preventScroll: true});
    }

    /** Other words of the question, while it is asked. */
    word(text) {
        setText(this.box.firstElementChild, text);
    }

    /** Takes it away without an answer, and moves no focus. */
    close() {
        setHidden(this.box, true);
    }

    async #accept() {
        const asked = this.#asked;
        const {onYes, stays} = asked;
        if (!stays) {
            this.#leave();
            return onYes();
        }
        this.#setBusy(true);
        try {
            return await onYes();
        } finally {
            if (asked === this.#asked) { // otherwise another question is open
                this.#setBusy(false);
                if (!this.box.hidden) this.#done();
            }
        }
    }

    #setBusy(isBusy) {
        this.yes.disabled = this.no.disabled = isBusy;
    }

    #leave() {
        this.close();
        focusOne(this.#asked.back);
    }

    /** The action may have moved the focus; if it is still in the question, or lost, it returns to the button. */
    #done() {
        const {activeElement: focused} = document;
        if (focused === document.body || this.box.contains(focused)) this.#leave();
        else this.close();
    }
}
