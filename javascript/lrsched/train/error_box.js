// The host's box for training errors. At every start of a training the host empties it, and with it the nodes into
// which gradio would write the error: from then on errors are lost. Here the nodes are put back and hidden until the
// training has ended.
import {root} from "../base/dom.js";

const EMPTIED = "lrsched-emptied";

class ErrorBox {
    constructor(box) {
        this.box = box;
        this.parts = [...box.childNodes];
        new MutationObserver(() => this.#changed()).observe(box, {childList: true});
        for (const part of this.parts) {
            new MutationObserver(() => this.#updated()).observe(part, {
                childList: true, characterData: true, subtree: true, attributes: true, attributeFilter: ["class"],
            });
        }
        this.wasPending = false;
    }

    /** Puts gradio's nodes back where the host has thrown them out. */
    #changed() {
        if (this.box.childNodes.length > 0) return;
        this.box.classList.add(EMPTIED);
        this.box.append(...this.parts);
    }

    /** Shows the box again when gradio is done: its sign of waiting has come and gone, or the text is another one. */
    #updated() {
        const isPending = this.#isPending();
        if (this.wasPending && !isPending) this.box.classList.remove(EMPTIED);
        this.wasPending = isPending;
    }

    #isPending() {
        return this.parts.some((part) => part.classList?.contains("wrap") && !part.classList.contains("hide"));
    }
}

let known = null;

/** Looks after the box, once for each that gradio makes. */
export function guardErrorBox() {
    const box = root().querySelector("#ti_error");
    if (!box || box.childElementCount === 0 || known?.box === box) return;
    known = new ErrorBox(box);
}
