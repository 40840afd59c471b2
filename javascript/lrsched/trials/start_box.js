// What is asked before a trial starts: for what, how many updates, how long it will take. It opens where somebody pressed.
import {ApiError} from "../base/api.js";
import {el, focusOne, setHidden, setText} from "../base/dom.js";
import {Latest} from "../base/latest.js";
import {whileTrying} from "../base/retry.js";
import * as fields from "../train/fields.js";
import {differing} from "./choices.js";
import {StartOptions} from "./start_options.js";
import {estimated, inputsOf} from "./words.js";

const LOOK_MS = 300; // at the fields, while it is open: gradio's drop-downs tell nobody of a change
const RETRY_MS = 3000; // what is wrong may be mended without any field telling
const LABELS = {embedding: "Embedding", hypernetwork: "Hypernetwork"};

/** Why a question cannot even be asked. */
class NotYet extends Error {}

/**
 * The box and its questions.
 *
 * `button` opens and closes it; `kinds` are those to choose from; `rate(kind)` is the text to try, that of the Train tab
 * without it; `texts()` are the schedules to compare; `onStarted()` hears of a start.
 */
export class StartBox {
    #latest = new Latest();
    #asked = "";
    #due = Infinity;
    #isAsking = false;
    #isStarting = false;
    #timer = null;

    constructor(store, {button, kinds, rate = null, texts = null, onStarted}) {
        Object.assign(this, {store, button, kinds, rate, texts, onStarted});
        this.options = new StartOptions({hasFactors: texts === null});
        this.kind = el("select", {"aria-label": "What to try it for"});
        this.said = el("p", {class: "lrsched-muted", role: "status"});
        this.trouble = el("p", {class: "lrsched-trouble", role: "alert"});
        this.go = el("button", {type: "button", class: "lrsched-button lrsched-primary", text: "Start", disabled: true, on: {click: () => this.#start()}});
        const close = el("button", {type: "button", class: "lrsched-button", text: "Cancel", on: {click: () => this.close()}});
        this.box = el("div", {class: "lrsched-trial-start", role: "group", "aria-label": button.textContent, hidden: true},
            kinds.length > 1 ? el("label", {class: "lrsched-inline-field"}, el("span", {text: "for"}), this.kind) : null,
            this.said, this.trouble, this.options.box, el("div", {class: "lrsched-row"}, this.go, close));
        button.setAttribute("aria-expanded", "false");
        button.addEventListener("click", () => (this.box.hidden ? this.open() : this.close()));
        this.box.addEventListener("keydown", (event) => {
            if (event.key === "Escape") this.close();
        });
    }

    open() {
        this.#fillKinds();
        this.#asked = "";
        this.#write("Estimating…", "", {isReady: false});
        this.#show(true);
        this.#look();
        this.#timer ??= setInterval(() => this.#look(), LOOK_MS);
    }

    close() {
        this.#show(false);
        this.button.focus({preventScroll: true});
    }

    #show(isOpen) {
        setHidden(this.box, !isOpen);
        this.button.setAttribute("aria-expanded", String(isOpen));
        if (isOpen) return;
        clearInterval(this.#timer);
        this.#timer = null;
    }

    /** Each kind with the name that is chosen in the Train tab; at first the one that has a name. */
    #fillKinds() {
        const before = this.kind.value;
        const words = this.kinds.map((kind) => `${LABELS[kind]}: ${fields.value(kind) || "none chosen"}`);
        const key = words.join("\n");
        if (this.kind.dataset.key === key) return;
        this.kind.dataset.key = key;
        this.kind.replaceChildren(...this.kinds.map((kind, i) => el("option", {value: kind, text: words[i]})));
        const named = this.kinds.filter((kind) => fields.value(kind) !== "");
        this.kind.value = named.includes(before) ? before : named[0] ?? (before || this.kinds[0]);
    }

    #look() {
        if (!this.box.isConnected) return this.#show(false);
        if (this.#isStarting) return;
        this.#fillKinds();
        this.options.propose(this.kind.value, fields.value(this.kind.value));
        let body;
        try {
            body = this.#body();
        } catch (error) {
            if (!(error instanceof NotYet)) throw error;
            this.#asked = "";
            this.#latest.begin(); // earlier questions are outdated
            return this.#write("", error.message, {isReady: false});
        }
        const asked = JSON.stringify(body);
        if (this.#isAsking || (asked === this.#asked && performance.now() < this.#due)) return;
        this.#asked = asked;
        this.#due = Infinity;
        this.#estimate(body);
    }

    /** The request of a trial with the fields as they are now. */
    #body() {
        const kind = this.kind.value;
        if (!fields.exists("embeddingRate")) throw new NotYet("There is no Train tab on this page, and a trial takes its inputs from there.");
        const {name, inputs} = fields.training(kind);
        if (name === "") throw new NotYet(`No ${kind} is chosen: choose one in the Train tab.`);
        if (this.rate) inputs.learn_rate = this.rate(kind);
        const {images, ...rest} = this.options.values;
        const body = {kind, name, inputs, ...rest, images};
        if (this.texts === null) return body;
        const texts = differing(this.texts());
        if (texts.length < 2) throw new NotYet("Two different schedules or more are compared: add some to the comparison.");
        return {...body, grid: null, texts};
    }

    async #estimate(body) {
        this.#isAsking = true;
        try {
            const answer = await this.#latest.ask("POST", "trials/estimate", body);
            if (answer === null) return;
            const inputs = this.rate === null ? "" : ` ${inputsOf(body.inputs)}`;
            this.#write(estimated(answer) + inputs, "", {isReady: true});
        } catch (error) {
            this.#due = performance.now() + RETRY_MS;
            this.#failed(error, {isReady: false});
        } finally {
            this.#isAsking = false;
        }
    }

    async #start() {
        this.go.disabled = true;
        focusOne(this.button); // the box closes, or shows an error
        try {
            const body = this.#body();
            this.#latest.begin(); // a pending estimate would enable the button again, or clear an error
            this.#asked = JSON.stringify(body);
            this.#due = Infinity;
            this.#isStarting = true;
            await this.store.start(body).finally(() => (this.#isStarting = false));
            this.#show(false);
            this.onStarted();
        } catch (error) {
            this.#failed(error, {isReady: true}); // it can be pressed again
            if (document.activeElement === this.button) focusOne(this.go);
        }
    }

    #failed(error, {isReady}) {
        if (!(error instanceof ApiError || error instanceof NotYet)) throw error;
        const said = isReady ? error.message : whileTrying(error);
        this.#write("", error.span ? `The schedule cannot be tried: ${error.message}.` : said, {isReady});
    }

    #write(said, trouble, {isReady}) {
        setText(this.said, said);
        setText(this.trouble, trouble);
        this.go.disabled = !isReady;
    }
}
