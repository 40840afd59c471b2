// How much the loss is smoothed: a slider, kept in this browser. The server computes the average.
import {byId, setHidden, setText} from "../base/dom.js";
import {formatUpdates} from "../base/format.js";
import {keep, recall} from "../base/storage.js";

const STORE = "run_smoothing";
const PAUSE_MS = 250;
const REACHES = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000];
const USUAL = 50;

/** The decay of an average that looks back over so many updates; null for the server's own. */
export function decayOf(reach) {
    return reach === USUAL ? null : Number((1 - 1 / reach).toFixed(6));
}

/** What it means, in words. */
export function smoothingWords(reach) {
    return reach === 1 ? "not smoothed" : `smoothed over about ${formatUpdates(reach)}`;
}

/** The slider; `onChange(decay)` hears of a choice after a pause. */
export class Smoothing {
    #timer = null;

    constructor(onChange) {
        this.field = byId("run_smoothing");
        this.slider = this.field.querySelector("input");
        const kept = recall(STORE, USUAL);
        this.reach = REACHES.includes(kept) ? kept : USUAL;
        this.slider.max = String(REACHES.length - 1);
        this.slider.value = String(REACHES.indexOf(this.reach));
        this.#say();
        this.slider.addEventListener("input", () => {
            this.reach = REACHES[Number(this.slider.value)];
            keep(STORE, this.reach);
            this.#say();
            clearTimeout(this.#timer);
            this.#timer = setTimeout(() => onChange(this.decay), PAUSE_MS);
        });
    }

    get decay() {
        return decayOf(this.reach);
    }

    /** Only where the loss is shown. */
    setShown(isShown) {
        setHidden(this.field, !isShown);
    }

    #say() {
        setText(this.field.querySelector("span"), smoothingWords(this.reach));
        this.slider.setAttribute("aria-valuetext", smoothingWords(this.reach));
    }
}
