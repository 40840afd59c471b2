// Below a rate field of the Train tab: "Find the rate", and how it goes.
import {ApiError} from "../base/api.js";
import {el, focusOne, hideWithFocus, setHidden, setText} from "../base/dom.js";
import {openTab, OURS} from "../base/tabs.js";
import {sentence} from "../base/text.js";
import * as fields from "../train/fields.js";
import {StartBox} from "./start_box.js";
import {ending, isActive, statusOf} from "./words.js";

/** One of the two rate fields. `onUse(trial)` as in suggestion.js; `onShow()` brings the card to the reader's eyes. */
export class TrainOffer {
    constructor(kind, store, {onUse, onShow}) {
        this.kind = kind;
        this.store = store;
        this.onShow = onShow;
        const button = (text, click) => el("button", {type: "button", class: "lrsched-button", text, on: {click}});
        this.find = button("Find the rate", () => {});
        this.find.title = "Tries rates around the highest one of the schedule in the field; nothing is trained";
        this.text = el("span", {class: "lrsched-resume-text"});
        this.code = el("code", {class: "lrsched-resume-rate"});
        this.use = button("Use it", () => setText(this.said, onUse(store.recent(kind))[0]));
        this.stop = button("Stop", () => this.#stop());
        this.show = button("Show", () => this.#open());
        this.said = el("p", {class: "lrsched-resume-row lrsched-muted", role: "status"});
        const start = new StartBox(store, {button: this.find, kinds: [kind], onStarted: () => setText(this.said, "")});
        this.box = el("div", {class: "lrsched lrsched-inline lrsched-resume lrsched-trial-offer", id: `lrsched_trial_${kind}`},
            this.find, this.text, this.code, this.use, this.stop, this.show, this.said, start.box);
        this.end = store.listen(() => this.#draw());
    }

    /** Puts the offer below the field again where gradio has redrawn it. */
    refresh() {
        const block = fields.block(`${this.kind}Rate`);
        if (block !== null && this.box.parentElement !== block) block.append(this.box);
    }

    #draw() {
        const recent = this.store.recent(this.kind);
        const trial = recent === null ? null : this.store.detail(recent.id) ?? null;
        const isGoing = recent !== null && isActive(recent);
        const suggested = trial?.state === "finished" ? trial.suggested : null;
        this.text.setAttribute("aria-live", isGoing ? "off" : "polite"); // its end is told, not each update
        setText(this.text, trial === null ? "" : said(trial, this.store.trouble));
        setText(this.code, suggested ?? "");
        setHidden(this.code, suggested === null);
        setHidden(this.use, suggested === null);
        setHidden(this.show, trial === null);
        if (isGoing) setHidden(this.stop, false);
        hideWithFocus(this.find, isGoing, this.stop);
        hideWithFocus(this.stop, !isGoing, this.use, this.find);
    }

    async #stop() {
        this.stop.disabled = true;
        focusOne(this.show);
        try {
            await this.store.remove(this.store.recent(this.kind));
            setText(this.said, "");
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            setText(this.said, `Not stopped: ${error.message}`);
        } finally {
            this.stop.disabled = false;
        }
    }

    /** The tab is the host's; where it cannot be found by its name its place is said. */
    #open() {
        this.store.choose(this.store.recent(this.kind).id);
        if (!openTab(OURS)) return setText(this.said, `It is in the tab ${OURS}.`);
        requestAnimationFrame(() => this.onShow());
    }
}

function said(trial, trouble) {
    if (isActive(trial)) return trouble || `Trial for ${trial.name}. ${statusOf(trial)}`;
    if (trial.state !== "finished") return `Trial for ${trial.name}. ${ending(trial)}`;
    return trial.suggested === null ? `No suggestion for ${trial.name}. ${sentence(trial.why)}` : `Suggested for ${trial.name}:`;
}
