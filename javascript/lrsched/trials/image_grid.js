// The images of a trial's candidates, with the same prompt and seed, side by side; a click shows one large.
import {url} from "../base/api.js";
import {el, setHidden} from "../base/dom.js";
import {bestOf} from "./curves.js";
import {nameOf} from "./words.js";

/** The grid, and the window over the page for a large one, in which the arrow keys go from one to the next. */
export class ImageGrid {
    #drawn = "";
    #shown = 0;

    constructor(place) {
        this.place = place;
        this.images = [];
        this.large = el("img", {alt: ""});
        this.caption = el("figcaption");
        const close = el("button", {type: "button", class: "lrsched-button", text: "Close", on: {click: () => this.dialog.close()}});
        this.dialog = el("dialog", {class: "lrsched-trial-large", "aria-label": "Image of a candidate"},
            el("figure", {}, this.large, this.caption), close);
        this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
        this.dialog.addEventListener("keydown", (event) => this.#key(event));
        place.after(this.dialog);
    }

    show(trial) {
        const best = bestOf(trial);
        this.images = trial.candidates.map((one, i) => ({...one, i})).filter(({image}) => image).map((one) => ({
            address: url(`trials/${encodeURIComponent(trial.id)}/images/${one.index}`), name: nameOf(one), isBest: one.i === best,
        }));
        const key = JSON.stringify(this.images);
        if (key === this.#drawn) return;
        this.#drawn = key;
        setHidden(this.place, this.images.length === 0);
        this.place.replaceChildren(...this.images.map((one, i) => this.#figure(one, i)));
    }

    #figure({address, name, isBest}, i) {
        const image = el("img", {src: address, alt: `Image with ${name}`, loading: "lazy"});
        const caption = el("figcaption", {title: name}, el("span", {text: name}), isBest ? el("span", {class: "lrsched-state", data: {state: "best"}, text: "best"}) : null);
        const button = el("button", {type: "button", "aria-label": `Enlarge the image with ${name}`, on: {click: () => this.#open(i)}}, image);
        return el("figure", {}, button, caption);
    }

    #open(i) {
        this.#shown = i;
        const {address, name} = this.images[i];
        this.large.src = address;
        this.large.alt = `Image with ${name}`;
        this.caption.textContent = name;
        if (!this.dialog.open) this.dialog.showModal();
    }

    #key(event) {
        const to = this.#shown + ({ArrowRight: 1, ArrowLeft: -1}[event.key] ?? 0);
        if (to !== this.#shown && this.images[to]) this.#open(to);
    }
}
