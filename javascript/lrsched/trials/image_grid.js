// The images of a trial's candidates, with the same prompt and seed, side by side; a click shows one large.
import {url} from "../base/api.js";
import {el, setHidden} from "../base/dom.js";
import {LargeImage} from "../base/large_image.js";
import {bestOf} from "./curves.js";
import {nameOf} from "./words.js";

/** The grid, and the window over the page for a large one, in which the arrow keys go from one to the next. */
export class ImageGrid {
    #drawn = "";

    constructor(place) {
        this.place = place;
        this.images = [];
        this.large = new LargeImage(place, "Image of a candidate: the left and right arrow keys show the others");
    }

    show(trial) {
        const best = bestOf(trial);
        this.images = trial.candidates.map((one, i) => ({...one, i})).filter(({image}) => image).map((one) => ({
            address: url(`trials/${encodeURIComponent(trial.id)}/images/${one.index}`), name: nameOf(one), isBest: one.i === best,
        }));
        const key = JSON.stringify(this.images);
        if (key === this.#drawn) return;
        this.#drawn = key;
        this.large.show(this.images.map(({address, name}) => ({address, words: name})));
        setHidden(this.place, this.images.length === 0);
        this.place.replaceChildren(...this.images.map((one, i) => this.#figure(one, i)));
    }

    #figure({address, name, isBest}, i) {
        const image = el("img", {src: address, alt: `Image with ${name}`, loading: "lazy"});
        const caption = el("figcaption", {title: name}, el("span", {text: name}), isBest ? el("span", {class: "lrsched-state", data: {state: "best"}, text: "best"}) : null);
        const button = el("button", {type: "button", "aria-label": `Enlarge the image with ${name}`, on: {click: () => this.large.open(i)}}, image);
        return el("figure", {}, button, caption);
    }
}
