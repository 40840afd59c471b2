// A window over the page for one image of several; the arrow keys show the next.
import {el} from "./dom.js";

export class LargeImage {
    #shown = 0;

    /** `place` is the element after which the window is put when it is first opened; `label` names the window. */
    constructor(place, label) {
        this.images = [];
        this.image = el("img", {alt: ""});
        this.caption = el("figcaption");
        const close = el("button", {type: "button", class: "lrsched-button", text: "Close", on: {click: () => this.dialog.close()}});
        this.dialog = el("dialog", {class: "lrsched-trial-large", "aria-label": label},
            el("figure", {}, this.image, this.caption), close);
        this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
        this.dialog.addEventListener("keydown", (event) => this.#key(event));
        this.place = place;
    }

    /** Takes [{address, words}]. */
    show(images) {
        this.images = images;
        if (this.dialog.open && images[this.#shown]) this.open(this.#shown);
    }

    open(i) {
        this.#shown = i;
        const {address, words} = this.images[i];
        this.image.src = address;
        this.image.alt = words;
        this.caption.textContent = words;
        if (!this.dialog.isConnected) this.place.after(this.dialog);
        if (!this.dialog.open) this.dialog.showModal();
    }

    #key(event) {
        const to = this.#shown + ({ArrowRight: 1, ArrowLeft: -1}[event.key] ?? 0);
        if (to !== this.#shown && this.images[to]) this.open(to);
    }
}
