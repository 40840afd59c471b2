// The preview images of a run: a strip under its curve, and one or two of them large.
import {ApiError, url} from "../base/api.js";
import {byId, el, setHidden, setText, svg} from "../base/dom.js";
import {formatCount, formatUpdates} from "../base/format.js";
import {Latest} from "../base/latest.js";
import {nearest} from "../chart/scale.js";
import {oneForEach, pair, pinned, placed} from "./strip_places.js";

const THUMB_PX = 60; // with its gap
const THUMB_SIZE = 112; // what is loaded of it
const LARGE_SIZE = 768;
const NAMES = ["A", "B"];

/** `chart()` is the chart below which the strip lies; `cursors` are those of all charts of the run. */
export class RunImages {
    #asked = new Latest();
    #key = "";
    #gone = 0;
    #failed = new Set(); // indices of those that could not be loaded once
    #message = "";

    constructor(cursors, chart) {
        this.cursors = cursors;
        this.chart = chart;
        this.images = [];
        this.pins = [];
        this.thumbs = new Map();
        this.section = byId("run_images");
        this.strip = byId("run_strip");
        this.ticks = svg("svg", {class: "lrsched-strip-ticks", "aria-hidden": "true"}, svg("path"));
        this.strip.append(this.ticks);
        this.figures = NAMES.map((name) => new Large(name));
        byId("run_large").prepend(...this.figures.map(({node}) => node));
        this.unpin = byId("run_unpin");
        this.unpin.addEventListener("click", () => this.#setPins([]));
        this.strip.addEventListener("keydown", (event) => this.#press(event));
        this.section.addEventListener("keydown", (event) => {
            if (event.key === "Escape" && this.pins.length > 0) this.#setPins([]);
        });
        cursors.listen({onMove: () => this.#drawLarge(), onWindow: () => this.redraw()});
    }

    /** Takes the run that is shown; its images are asked for when their number has changed. */
    follow(run) {
        const isOther = this.id !== run.id;
        if (isOther) this.#forget(run.id);
        const key = JSON.stringify([run.id, run.images ?? 0, run.step < this.step]);
        this.step = run.step;
        if (key === this.#key) return;
        this.#key = key;
        if (run.images) this.#ask(run.id);
        else this.#take({images: [], gone: 0, message: ""});
    }

    /** The charts' scales may have moved. */
    redraw() {
        const {frame} = this.chart();
        if (!frame || this.images.length === 0) return;
        const isWanted = (image) => this.pins.some(({index}) => index === image.index);
        const shown = placed(this.images, {
            x: frame.x, range: this.chart().range, width: THUMB_PX, room: [Math.max(0, frame.left - THUMB_PX / 2), frame.width], isWanted,
        });
        this.#drawTicks(frame);
        this.#drawThumbs(shown);
        this.#drawLarge();
    }

    #forget(id) {
        this.id = id;
        this.#failed.clear();
        this.pins = [];
        this.images = [];
        this.step = 0;
        for (const thumb of this.thumbs.values()) thumb.remove();
        this.thumbs.clear();
        setHidden(byId("run_large"), true);
    }

    async #ask(id) {
        try {
            const answer = await this.#asked.ask("GET", `runs/${encodeURIComponent(id)}/images`);
            if (answer !== null && id === this.id) this.#take(answer);
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            if (id !== this.id) return;
            this.#key = ""; // asked again with the next numbers
            this.#take({images: this.images, gone: this.#gone, message: `The preview images could not be listed: ${error.message}`});
        }
    }

    #take({images, gone, message}) {
        this.images = oneForEach(images ?? []);
        this.#gone = gone ?? 0;
        this.#message = message ?? "";
        this.pins = this.pins.filter(({index}) => this.images.some((one) => one.index === index));
        for (const [index, thumb] of this.thumbs) if (!this.images.some((one) => one.index === index)) this.#remove(index, thumb);
        this.#draw();
    }

    #draw() {
        const isEmpty = this.images.length === 0;
        setHidden(this.section, isEmpty && this.#gone === 0 && this.#message === "");
        setHidden(this.strip, isEmpty);
        setHidden(byId("run_large"), isEmpty);
        setText(byId("run_images_said"), [gone(this.#gone), this.#message].filter(Boolean).join(" "));
        setHidden(this.unpin, this.pins.length === 0);
        this.redraw();
    }

    #drawTicks(frame) {
        const {x, left, right} = frame;
        const places = new Set(this.images.map(({step}) => Math.round(x(step))).filter((place) => place >= left && place <= right));
        this.ticks.setAttribute("width", frame.width);
        this.ticks.firstElementChild.setAttribute("d", [...places].map((place) => `M${place + 0.5} 0v4`).join(""));
    }

    /** Thumbnails stay where they are shown still: what is loaded is not loaded again, and the focus stays. */
    #drawThumbs(shown) {
        const indices = new Set(shown.map(({image}) => image.index));
        for (const [index, thumb] of this.thumbs) if (!indices.has(index)) this.#remove(index, thumb);
        let before = this.ticks;
        for (const {image, left} of shown) {
            const thumb = this.thumbs.get(image.index) ?? this.#thumb(image);
            thumb.style.left = `${Math.round(left)}px`;
            const pin = this.pins.findIndex(({index}) => index === image.index);
            thumb.setAttribute("aria-pressed", String(pin >= 0));
            thumb.dataset.pin = pin >= 0 ? NAMES[pin] : "";
            if (before.nextElementSibling !== thumb) before.after(thumb);
            before = thumb;
        }
        this.#rove();
    }

    #thumb(image) {
        const address = `runs/${encodeURIComponent(this.id)}/images/${image.index}?size=${THUMB_SIZE}`;
        const picture = el("img", {src: url(address), alt: "", loading: "lazy", draggable: "false"});
        picture.addEventListener("error", () => this.#lost(image));
        const thumb = el("button", {
            type: "button", class: "lrsched-thumb", tabindex: "-1", data: {index: String(image.index)},
            "aria-label": `Image after ${formatUpdates(image.step)}`, title: `after ${formatUpdates(image.step)}: click to lay two side by side`,
            on: {
                click: () => this.#setPins(pinned(this.pins, image)),
                focus: () => this.#point(image, thumb), blur: () => this.cursors.move(null),
                pointerenter: (event) => event.pointerType === "mouse" && this.#point(image, null),
                pointerleave: (event) => event.pointerType === "mouse" && this.cursors.move(null),
            },
        }, picture);
        this.thumbs.set(image.index, thumb);
        return thumb;
    }

    #remove(index, thumb) {
        if (thumb === document.activeElement) this.strip.focus({preventScroll: true});
        thumb.remove();
        this.thumbs.delete(index);
    }

    /** The crosshair goes to an image, and the tab stop with it. */
    #point(image, thumb) {
        this.cursors.move(image.step);
        if (thumb !== null) this.#rove(thumb);
    }

    /** One of the thumbnails is the strip's tab stop. */
    #rove(thumb = null) {
        const all = [...this.thumbs.values()];
        const stop = thumb ?? all.find((one) => one.tabIndex === 0) ?? this.#shown[0];
        for (const one of all) one.tabIndex = one === stop ? 0 : -1;
    }

    get #shown() {
        return [...this.strip.querySelectorAll(".lrsched-thumb")];
    }

    #press(event) {
        const shown = this.#shown;
        const here = shown.indexOf(document.activeElement);
        const to = {ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: shown.length - 1}[event.key];
        if (to === undefined || here < 0 || !shown[to]) return;
        event.preventDefault();
        shown[to].focus();
    }

    #setPins(pins) {
        this.pins = pins;
        setHidden(this.unpin, pins.length === 0);
        this.redraw();
    }

    /** The server may be away: it is asked once more. Else the file is gone since it was listed, or another one by now. */
    #lost(image) {
        const thumb = this.thumbs.get(image.index);
        if (thumb === undefined) return;
        this.#remove(image.index, thumb);
        if (!this.#failed.has(image.index)) {
            this.#failed.add(image.index);
            this.#key = "";
            return;
        }
        this.#take({images: this.images.filter(({index}) => index !== image.index), gone: this.#gone + 1, message: this.#message});
    }

    #drawLarge() {
        if (this.images.length === 0) return;
        const {step} = this.cursors;
        const steps = this.images.map((one) => one.step);
        const near = this.images[step === null ? this.images.length - 1 : nearest(steps, step)] ?? null;
        const shown = pair(this.pins, near);
        const which = (image) => (image === null ? -1 : this.pins.findIndex(({index}) => index === image.index));
        this.figures.forEach((figure, i) => figure.show(this.id, shown[i], NAMES[which(shown[i])] ?? ""));
        for (const [index, thumb] of this.thumbs) thumb.classList.toggle("lrsched-is-near", shown.some((one) => one?.index === index));
    }
}

/** One large image with its step and prompt; until it is loaded its thumbnail stands there. */
class Large {
    #key = "";

    constructor(name) {
        this.picture = el("img", {alt: ""});
        this.pin = el("b");
        this.step = el("span");
        this.prompt = el("span", {class: "lrsched-muted lrsched-large-prompt"});
        this.node = el("figure", {class: "lrsched-large", data: {name}, hidden: true},
            this.picture, el("figcaption", {}, el("span", {}, this.pin, this.step), this.prompt));
    }

    show(id, image, name) {
        setHidden(this.node, image === null);
        if (image === null) return;
        setText(this.pin, name === "" ? "" : `${name} `);
        const key = `${id}/${image.index}`;
        if (key === this.#key) return;
        this.#key = key;
        setText(this.step, `after ${formatUpdates(image.step)}`);
        setText(this.prompt, image.prompt);
        this.prompt.title = image.prompt;
        const address = (size) => url(`runs/${encodeURIComponent(id)}/images/${image.index}?size=${size}`);
        this.picture.alt = `Preview after ${formatUpdates(image.step)}`;
        this.picture.src = address(THUMB_SIZE);
        const large = new Image();
        large.addEventListener("load", () => {
            if (key === this.#key) this.picture.src = large.src;
        });
        clearTimeout(this.timer);
        this.timer = setTimeout(() => (large.src = address(LARGE_SIZE)), 120); // the crosshair may go on
    }
}

function gone(count) {
    if (count === 0) return "";
    return count === 1 ? "One image is missing, or its file was replaced." : `${formatCount(count)} images are missing, or their files were replaced.`;
}
