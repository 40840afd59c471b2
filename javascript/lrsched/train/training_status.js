// Below the buttons that start a training: what is being trained now, whatever is chosen, else how the last training ended.
import {ApiError, request} from "../base/api.js";
import {el, setHidden, setText} from "../base/dom.js";
import {formatCount, formatMoment} from "../base/format.js";
import {sentence} from "../base/text.js";
import * as fields from "./fields.js";

const TRAINING_MS = 1000;
const IDLE_MS = 4000;
const BEGIN_MS = 700; // after the click: sooner the server knows nothing of it
const OF_INTEREST_S = 24 * 3600;
const BAD = new Set(["failed", "crashed"]);

/** The lines. `onShow(id)` is asked to bring a run to the reader's eyes, `onBegun()` hears that a training has begun. */
export class TrainingStatus {
    #due = 0;
    #isAsking = false;
    #running = null;
    #drawn = "";

    constructor({onShow, onBegun}) {
        Object.assign(this, {onShow, onBegun});
        this.box = el("div", {class: "lrsched lrsched-inline lrsched-training-status", id: "lrsched_training_status", role: "status", hidden: true});
        this.refusal = el("p", {class: "lrsched-training-status-row lrsched-bad", id: "lrsched_training_refused", role: "alert"});
        this.refused = el("div", {class: "lrsched lrsched-inline lrsched-training-status", hidden: true}, this.refusal);
        document.addEventListener("click", (event) => this.#clicked(event.target));
    }

    refresh() {
        const row = fields.block("trainEmbedding")?.parentElement ?? null;
        if (row === null) return;
        if (row.nextElementSibling !== this.refused) row.after(this.refused, this.box);
        if (!this.#isAsking && performance.now() >= this.#due) this.#ask();
    }

    /** Shows why a press on Train started nothing, until the next training starts. */
    refuse(text) {
        setText(this.refusal, text);
        setHidden(this.refused, text === "");
    }

    #clicked(target) {
        const pressed = ["trainEmbedding", "trainHypernetwork"].some((name) => fields.block(name)?.contains(target));
        if (!pressed) return;
        this.refuse("");
        this.#due = performance.now() + BEGIN_MS;
    }

    async #ask() {
        this.#isAsking = true;
        try {
            this.#take(await request("GET", "training"));
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            this.#due = performance.now() + IDLE_MS; // what is shown stays: it was true, and another answer will come
        } finally {
            this.#isAsking = false;
        }
    }

    #take({running, preparing, last}) {
        const isGoing = running.length + preparing.length > 0;
        this.#due = performance.now() + (isGoing ? TRAINING_MS : IDLE_MS);
        const ids = running.map(({id, initial_step: step}) => `${id}/${step}`);
        if (this.#running !== null && ids.some((id) => !this.#running.includes(id))) this.onBegun();
        this.#running = ids;
        const isRecent = last !== null && Date.now() / 1000 - last.ended_s < OF_INTEREST_S;
        this.#draw(running, preparing, isGoing || !isRecent ? null : last);
    }

    #draw(running, preparing, last) {
        const drawn = JSON.stringify([running.map(({id, step, rescues}) => [id, step, rescues]), preparing, last]);
        if (drawn === this.#drawn) return;
        this.#drawn = drawn;
        const focused = this.box.contains(document.activeElement) ? document.activeElement.dataset.id : null;
        this.box.setAttribute("aria-live", running.length > 0 ? "off" : "polite"); // its end is told, not each step
        this.box.replaceChildren(
            ...running.flatMap((run) => [this.#line(run, goingOn(run)), ...rescues(run)]),
            ...preparing.map(({name}) => el("p", {class: "lrsched-training-status-row", text: `${name} is being prepared; no update has been made yet.`})),
            ...(last === null ? [] : [this.#line(last, ended(last), BAD.has(last.state) ? "lrsched-bad" : ""), ...rescues(last)]));
        setHidden(this.box, this.box.childElementCount === 0);
        if (focused) this.box.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus({preventScroll: true});
    }

    #line(run, words, look = "") {
        const button = el("button", {
            type: "button", class: "lrsched-button", text: "Show the run", data: {id: run.id}, on: {click: () => this.onShow(run.id)},
        });
        return el("p", {class: `lrsched-training-status-row ${look}`}, el("span", {}, ...words), button);
    }
}

function goingOn({name, kind, step, total_steps: total}) {
    return [el("strong", {text: name}), ` (${kind}) is being trained: step ${formatCount(step)} of ${formatCount(total)}.`];
}

/** The server's words, and when that was. */
function ended({name, outcome, ended_s: at}) {
    return [el("strong", {text: name}), `: ${sentence(outcome)} ${formatMoment(at)}.`];
}

function rescues({rescues: found}) {
    return found.map(({step, message}) => el("p", {
        class: "lrsched-training-status-row lrsched-training-status-rescue", text: `Rescue at step ${formatCount(step)}: ${sentence(message)}`,
    }));
}
