// What can be chosen before a trial starts: updates, seed, factors, images. Folded until somebody opens it.
import {el, setHidden} from "../base/dom.js";
import {chosen} from "./choices.js";

const UPDATES = 48;

/** The fields. `hasFactors`: those of the finder are among them. */
export class StartOptions {
    #proposed = null;

    constructor({hasFactors}) {
        this.updates = input({type: "number", min: 1, step: 1, value: UPDATES});
        this.seed = input({type: "number", min: 0, step: 1, value: 0});
        this.factors = input({type: "text", spellcheck: "false", placeholder: "half decades from 0.01 to 100"});
        this.images = input({type: "checkbox"});
        this.prompt = input({type: "text", spellcheck: "false"});
        this.negative = input({type: "text", spellcheck: "false"});
        this.imageSeed = input({type: "number", min: 0, step: 1, value: 0});
        this.images.addEventListener("change", () => setHidden(this.ofImages, !this.images.checked));
        this.ofImages = el("div", {class: "lrsched-trial-fields", hidden: true},
            field("Prompt", this.prompt, "lrsched-wide-field"), field("Negative prompt", this.negative), field("Seed of the images", this.imageSeed));
        this.box = el("details", {class: "lrsched-more"}, el("summary", {text: "Options"}),
            el("div", {class: "lrsched-trial-fields"},
                field("Updates of each", this.updates), field("Seed", this.seed, "", "Of the order of the images, the timesteps and the noise"),
                hasFactors ? field("Own factors of the highest rate", this.factors, "lrsched-wide-field", "For example 0.1, 0.3, 1") : null,
                el("label", {class: "lrsched-check"}, this.images, el("span", {text: "an image of each candidate"}))),
            this.ofImages);
    }

    /** Proposes a prompt, unless another one was written: the name of an embedding is a word, that of a hypernetwork is none. */
    propose(kind, name) {
        if (this.#proposed !== null && this.prompt.value !== this.#proposed) return;
        this.#proposed = this.prompt.value = kind === "embedding" && name !== "" ? `a photo of ${name}` : "a photo";
    }

    /** As a request has them. */
    get values() {
        return chosen({
            updates: this.updates.value, seed: this.seed.value, factors: this.factors.value, images: this.images.checked,
            prompt: this.prompt.value, negative: this.negative.value, imageSeed: this.imageSeed.value,
        });
    }
}

const input = (attributes) => el("input", attributes);

function field(label, control, look = "", title = null) {
    return el("label", {class: `lrsched-field ${look}`.trim(), title}, el("span", {text: label}), control);
}
