// Below a field of the Train tab: what was sent there from our tab, and what failed.
import {el, setHidden, setText} from "../base/dom.js";
import * as fields from "./fields.js";

/** One line, below the field that was sent to last; it goes when the field has another text. */
export class Arrival {
    #field = null;
    #text = "";

    constructor() {
        this.box = el("p", {class: "lrsched lrsched-inline lrsched-arrival", id: "lrsched_arrival", role: "status", tabindex: "-1", hidden: true});
    }

    /** Says it at a field that is seen, and brings the field to the reader's eyes. */
    show(field, said, {isTrouble = false} = {}) {
        this.#field = field;
        this.#text = fields.value(field);
        this.#put();
        setText(this.box, said);
        this.box.classList.toggle("lrsched-bad", isTrouble);
        setHidden(this.box, false);
        fields.input(field).scrollIntoView({block: "center"});
        this.box.focus({preventScroll: true}); // the keyboard goes on from there, and no finger gets a keyboard that it did not ask for
    }

    /** Puts the line back where gradio has redrawn the field, and takes it away with the text. */
    refresh() {
        if (this.#field === null) return;
        if (fields.value(this.#field) === this.#text) return this.#put();
        this.#field = null;
        setHidden(this.box, true);
    }

    #put() {
        const block = fields.block(this.#field);
        if (block !== null && this.box.parentElement !== block) block.insertBefore(this.box, block.querySelector(":scope > .lrsched"));
    }
}
