// Preview images of compared runs at the same step, side by side.
import {ApiError, request, url} from "../base/api.js";
import {byId, el, setHidden, setText} from "../base/dom.js";
import {formatUpdates} from "../base/format.js";
import {LargeImage} from "../base/large_image.js";
import {Latest} from "../base/latest.js";
import {swatch} from "../chart/legend.js";
import {nearestImage, stepsOf} from "./nearest_image.js";
import {runLook} from "./run_looks.js";

const WIDTH_PX = 320;

/** The slider over the steps at which any of the runs has an image, and below it the image of each run that is nearest to it. */
export class CompareImages {
    #known = new Map(); // by a run's id: {count, images}
    #asked = new Latest();
    #drawn = "";

    constructor() {
        this.panel = byId("compared_images");
        this.slider = byId("compared_image_step");
        this.place = byId("compared_image_row");
        this.large = new LargeImage(this.place, "Preview image: the left and right arrow keys show the other runs'");
        this.runs = [];
        this.steps = [];
        this.step = null; // where the reader left the slider
        this.slider.addEventListener("input", () => {
            this.step = this.steps[Number(this.slider.value)];
            this.#draw();
        });
    }

    /** Takes [{id, name, images}] in the order of their looks, `images` being how many were recorded. */
    async show(runs) {
        this.runs = runs;
        this.#draw();
        const isNewest = this.#asked.begin();
        for (const {id, images: count} of runs) {
            if ((this.#known.get(id)?.count ?? 0) === count) continue;
            const images = await fetched(id);
            if (images !== null) this.#known.set(id, {count, images});
            if (!isNewest()) return;
        }
        this.#draw();
    }

    #draw() {
        const shown = this.runs.map((run, place) => ({...run, place, images: this.#known.get(run.id)?.images ?? []}));
        this.steps = stepsOf(shown.map(({images}) => images));
        setHidden(this.panel, this.steps.length === 0);
        if (this.steps.length === 0) return;
        const step = this.#placeSlider();
        setText(byId("compared_image_said"), `after ${formatUpdates(step)}`);
        this.slider.setAttribute("aria-valuetext", `after ${formatUpdates(step)}`);
        const figures = shown.map(({id, name, place, images}) => ({id, name, place, image: nearestImage(images, step)}));
        const key = JSON.stringify(figures);
        if (key === this.#drawn) return;
        this.#drawn = key;
        const there = figures.filter(({image}) => image !== null);
        const without = figures.filter(({image}) => image === null).map(({name}) => name);
        this.large.show(there.map((one) => ({address: address(one.id, one.image), words: words(one)})));
        this.place.replaceChildren(...there.map((one, number) => this.#figure(one, number)));
        setText(byId("compared_image_none"), without.length > 0 ? `Without images: ${without.join(", ")}.` : "");
    }

    /** The slider stands at the step that the reader chose, else at the last. Returns that step. */
    #placeSlider() {
        const last = this.steps.length - 1;
        const chosen = this.step === null ? last : Math.max(0, this.steps.findLastIndex((step) => step <= this.step));
        if (this.slider.max !== String(last)) this.slider.max = String(last);
        if (this.slider.value !== String(chosen)) this.slider.value = String(chosen);
        this.slider.disabled = last === 0;
        return this.steps[chosen];
    }

    /** `number` is its place among those that can be enlarged. */
    #figure(one, number) {
        const {id, name, place, image} = one;
        const caption = el("figcaption", {title: [name, image.prompt].filter(Boolean).join("\n")}, swatch(runLook(place)), el("span", {text: name}),
            el("span", {class: "lrsched-num", text: formatUpdates(image.step)}));
        const picture = el("img", {
            src: `${address(id, image)}?size=${WIDTH_PX}`, alt: words(one), width: image.width, height: image.height, loading: "lazy",
            on: {error: (event) => event.target.replaceWith(el("div", {class: "lrsched-no-image", text: "The image is gone."}))},
        });
        const open = el("button", {type: "button", "aria-label": `Enlarge: ${words(one)}`, on: {click: () => this.large.open(number)}}, picture);
        return el("figure", {}, open, caption);
    }
}

/** What is recorded of a run, or null where it cannot be told now. Copies with the embedding in them are the same images again. */
async function fetched(id) {
    try {
        const {images} = await request("GET", `runs/${encodeURIComponent(id)}/images`);
        return images.filter(({holds_embedding: isCopy}) => !isCopy);
    } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        return null; // asked again with the next numbers
    }
}

function address(id, {index}) {
    return url(`runs/${encodeURIComponent(id)}/images/${index}`);
}

function words({name, image}) {
    return `${name}, after ${formatUpdates(image.step)}`;
}
