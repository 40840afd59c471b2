// Below the chosen embedding or hypernetwork: where and how its training resumes, and its last settings.
import {ApiError, request} from "../base/api.js";
import {el, setHidden, setText} from "../base/dom.js";
import {formatCount} from "../base/format.js";
import {Latest} from "../base/latest.js";
import * as resumeModes from "../base/resume_modes.js";
import * as fields from "./fields.js";

const AGAIN_MS = 5000;
const UNKNOWN_MS = 1500; // while a training begins no stored run fits; once it has begun, one does
const GOING_ON = new Set(["pending", "running"]);

/** The lines under one of the two drop-downs; `current` is the server's last answer for the chosen name. */
export class ResumeOffer {
    #name = "";
    #due = 0;
    #latest = new Latest();
    #resumed = {mode: null, way: null};

    constructor(kind, onChange) {
        this.kind = kind;
        this.onChange = onChange;
        this.current = null;
        this.line = el("span", {class: "lrsched-resume-text"});
        this.text = el("code", {class: "lrsched-resume-rate"});
        this.tail = el("span", {class: "lrsched-resume-text"});
        this.button = el("button", {
            type: "button", class: "lrsched-button", text: "Use its last settings", on: {click: () => this.#use()},
        });
        this.behind = el("p", {class: "lrsched-resume-row"});
        this.select = resumeModes.fill(el("select", {}), resumeModes.all, (way) => this.#choose(way));
        this.way = el("label", {class: "lrsched-resume-row lrsched-way"}, el("span", {text: "Resume mode"}), this.select);
        this.hint = el("p", {class: "lrsched-resume-row lrsched-muted", role: "status"});
        this.said = el("p", {class: "lrsched-resume-row lrsched-muted", role: "status"});
        this.box = el("div", {class: "lrsched lrsched-inline lrsched-resume", id: `lrsched_resume_${kind}`, hidden: true},
            this.line, this.text, this.tail, this.button, this.behind, this.way, this.hint, this.said);
    }

    /** Takes over what the server said of the text in the rate field: the mode that comes of a way. */
    show(resumed) {
        this.#resumed = resumed;
        this.#drawHint();
    }

    /** The choice was made elsewhere: asks at the next look. */
    again() {
        this.#due = 0;
    }

    /** Gradio's drop-downs tell nobody of a change, so their value is read; training moves the step meanwhile. */
    refresh() {
        const block = fields.block(this.kind);
        if (block === null) return;
        if (this.box.parentElement !== block) block.append(this.box);
        const name = fields.value(this.kind);
        if (name === this.#name && performance.now() < this.#due) return;
        if (name !== this.#name) setText(this.said, "");
        this.#name = name;
        const isUnknown = this.current?.step && !this.current.run && this.current.way !== "file";
        this.#due = performance.now() + (isUnknown ? UNKNOWN_MS : AGAIN_MS);
        this.#ask(() => name === "" ? Promise.resolve(null) : request("GET", `resume?kind=${this.kind}&name=${encodeURIComponent(name)}`));
    }

    /** Asks and shows the answer, unless another question was asked meanwhile; resolves to what went wrong, or "". */
    async #ask(question) {
        try {
            const answer = await this.#latest.of(async () => ({answer: await question()}));
            if (answer !== null) this.#take(answer.answer);
            return "";
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            this.#take(error.passing ? this.current : null);
            return error.message;
        }
    }

    #take(answer) {
        const changed = JSON.stringify(answer) !== JSON.stringify(this.current);
        this.current = answer;
        if (!changed) return;
        this.#draw(answer);
        this.onChange();
    }

    /** The server keeps the choice until the next training of this name has begun. */
    async #choose(way) {
        const before = this.current;
        const name = this.#name;
        const trouble = await this.#ask(() => request("POST", "resume", {kind: this.kind, name, way}));
        if (name !== this.#name) return;
        setText(this.said, trouble && `Not chosen: ${trouble}`);
        if (!trouble) return;
        this.current = before;
        this.#draw(before);
    }

    #draw(answer) {
        const run = answer?.run ?? null;
        const isLive = GOING_ON.has(run?.state);
        const isKnown = run !== null || answer?.way === "file";
        setHidden(this.box, !answer?.step && !isKnown);
        setText(this.line, sentence(answer, isLive, formatCount));
        setText(this.text, run?.rate_text ?? "");
        setText(this.tail, isLive ? "" : tail(answer));
        setHidden(this.text, run === null);
        setHidden(this.button, run === null || isLive);
        setText(this.behind, isLive ? "" : behind(answer, formatCount));
        setHidden(this.way, !isKnown || isLive);
        this.select.value = answer?.way ?? "continue";
        this.#drawHint();
    }

    #drawHint() {
        const isKnown = this.current?.way === this.#resumed.way && !this.way.hidden;
        setText(this.hint, isKnown ? hint(this.current, this.#resumed.mode) : "");
    }

    async #use() {
        const {run, settings} = this.current ?? {};
        if (!run) return;
        const {set, setClipMode} = fields;
        set(this.kind + "Rate", run.rate_text);
        set("steps", run.total_steps);
        set("batch", run.batch);
        set("accumulate", run.accumulate);
        if (run.clip_mode !== "disabled") set("clip", run.clip_text);
        const moved = await setClipMode(run.clip_mode);
        const missed = await fields.setInputs(settings ?? {});
        if (!moved) missed.push(`Gradient Clipping ${run.clip_mode}`);
        setText(this.said, missed.length ? `Fields are set, but for these, which you set yourself: ${missed.join("; ")}.` : "Fields are set.");
        this.onChange();
    }
}

function sentence(answer, isLive, formatCount) {
    if (answer?.way === "file" && !answer.run) return `Starts a new run from the file as it is, at step ${formatCount(answer.step)}.`;
    if (!answer?.step && !answer?.run) return "";
    if (isLive) return `Is being trained, at step ${formatCount(answer.step)} of ${formatCount(answer.run.total_steps)}, with`;
    if (answer.run) return `Continues at step ${formatCount(answer.step)} of ${formatCount(answer.run.total_steps)} with`;
    return `Continues at step ${formatCount(answer.step)}; its settings are not known.`;
}

function tail(answer) {
    const times = answer?.run && answer.run.multiplier !== 1 ? `at ${answer.run.multiplier} times the planned rate, after a rescue` : "";
    const parts = [answer?.exact ? "exactly where it was saved" : "", times].filter(Boolean);
    return parts.length ? `${parts.join(", ")}.` : "";
}

function behind(answer, formatCount) {
    if (!answer?.run) return "";
    const isBehind = answer.file_step !== null && answer.step > answer.file_step;
    const held = {0: "no update", 1: "only 1 update"}[answer.file_step] ?? `only ${formatCount(answer.file_step)} updates`;
    const words = `The file holds ${held}, because the WebUI ended before it could save. `
        + "Training resumes from the snapshot.";
    return [isBehind ? words : "", answer.message].filter(Boolean).join(" ");
}

/** What the choice means beyond its name. */
function hint({step, way}, mode) {
    const at = formatCount(step);
    if (way === "continue" && mode === "new") {
        return `The rate field differs from the run's text: it will be a new schedule from here, in force from step ${at} on.`;
    }
    if (mode === "new") return `The text's steps are those of the run's life; it is in force from step ${at} on.`;
    if (mode === "restart") return `The text's step 0 will be step ${at}.`;
    if (mode === "file") return "The stored run stays as it is, and nothing of its snapshot is used.";
    return "";
}
