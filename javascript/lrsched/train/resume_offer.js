// Below the chosen embedding or hypernetwork: where and how its training resumes, and its last settings.
import {ApiError, request} from "../base/api.js";
import {el, hideWithFocus, setHidden, setText} from "../base/dom.js";
import {formatCount, formatUpdates} from "../base/format.js";
import {InTurn} from "../base/in_turn.js";
import {Latest} from "../base/latest.js";
import * as resumeModes from "../base/resume_modes.js";
import {goesOn} from "../base/run_states.js";
import {sentence} from "../base/text.js";
import * as fields from "./fields.js";

const AGAIN_MS = 5000;
const UNKNOWN_MS = 1500; // while a training begins no stored run fits; once it has begun, one does

/** The lines under one of the two drop-downs; `current` is the server's last answer for the chosen name. */
export class ResumeOffer {
    #name = "";
    #due = 0;
    #answered = Promise.resolve();
    #latest = new Latest();
    #choices = new InTurn();
    #resumed = {mode: null, chosen: null};

    /** `place` is a ResumePlace; `onChange()` hears of another answer, `onChosen()` of a choice, `onFill(run)` of the wish for the run's settings. */
    constructor(kind, {place, onChange, onChosen, onFill}) {
        Object.assign(this, {kind, place, onChange, onChosen, onFill});
        this.current = null;
        this.refusals = 0;
        this.title = el("strong");
        this.line = el("span", {class: "lrsched-resume-text"});
        this.text = el("code", {class: "lrsched-resume-rate"});
        this.tail = el("span", {class: "lrsched-resume-text"});
        this.button = el("button", {
            type: "button", class: "lrsched-button", text: "Use its last settings", on: {click: () => this.onFill(this.current.run)},
        });
        this.back = el("button", {
            type: "button", class: "lrsched-button", text: "Take it back", title: "Resume from the newest snapshot",
            hidden: true, on: {click: () => this.choose(this.current.way, {isBack: true})},
        });
        this.behind = el("p", {class: "lrsched-resume-row"});
        this.select = resumeModes.fill(el("select", {}), resumeModes.all, (mode) => this.choose(mode));
        this.modeField = el("label", {class: "lrsched-resume-row lrsched-resume-mode"}, el("span", {text: "Resume mode"}), this.select);
        this.hint = el("p", {class: "lrsched-resume-row lrsched-muted", role: "status"});
        this.said = el("p", {class: "lrsched-resume-row lrsched-muted", role: "status"});
        this.box = el("div", {class: "lrsched lrsched-inline lrsched-resume", id: `lrsched_resume_${kind}`, hidden: true},
            this.title, this.line, this.text, this.tail, this.back, this.button, this.behind, this.modeField, this.hint, this.said);
    }

    /** Uses the server's answer on the text in the rate field: the mode that results from the `chosen` one. */
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
        if (!this.place.put(this.kind, this.box)) return;
        const name = fields.value(this.kind);
        if (name === this.#name && (this.#choices.isBusy || performance.now() < this.#due)) return;
        if (name !== this.#name) setText(this.said, "");
        this.#name = name;
        this.#enable();
        const isUnknown = this.current?.step && !this.current.run && !leavesRun(this.current);
        this.#due = performance.now() + (isUnknown ? UNKNOWN_MS : AGAIN_MS);
        this.#answered = this.#ask(() => name === "" ? Promise.resolve(null) : request("GET", `resume?kind=${this.kind}&name=${encodeURIComponent(name)}`));
    }

    /** Resolves to the server's answer for the name that is chosen now, or null. It may have changed since the last look. */
    async ofChosen() {
        const isOfChosen = () => this.current?.name === fields.value(this.kind);
        if (!isOfChosen()) {
            this.refresh();
            await Promise.all([this.#answered, this.#choices.settled]);
        }
        return isOfChosen() ? this.current : null;
    }

    /** Asks and shows the answer, unless a newer question was asked. */
    async #ask(question) {
        try {
            const answer = await this.#latest.of(async () => ({answer: await question()}));
            if (answer !== null) this.#take(answer.answer);
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            if (!error.passing) this.#take(null);
        }
    }

    #take(answer) {
        const changed = JSON.stringify(answer) !== JSON.stringify(this.current);
        this.current = answer;
        this.#enable();
        if (!changed) return;
        this.#draw(answer);
        this.onChange();
    }

    /** True while a choice is being sent or waits. */
    get isBusy() {
        return this.#choices.isBusy;
    }

    /** Resolves when the server has answered to all choices so far. */
    get settled() {
        return this.#choices.settled;
    }

    /** Until the server has answered for a new name, the lines are those of the previous one, and their controls are off. */
    #enable() {
        const isOfAnother = this.current !== null && this.current.name !== this.#name;
        for (const control of [this.select, this.back, this.button]) control.disabled = isOfAnother;
    }

    /**
     * The server keeps the choice until the next training of this name has begun. A kept snapshot that was chosen stays with
     * another mode, unless it is taken `isBack`. It is sent for the name that the lines show, even if another name is chosen before it is sent.
     */
    choose(mode, {isBack = false} = {}) {
        const shown = this.current;
        const name = shown?.name ?? this.#name;
        return this.#choices.run(() => this.#choose(mode, {isBack, name, shown}));
    }

    async #choose(mode, {isBack, name, shown}) {
        const current = this.current?.name === name ? this.current : shown;
        const {run, from_step: step = null} = current ?? {};
        const isKept = step !== null && run && !isBack && !leavesRun(current, mode);
        const isNewest = name === this.#name ? this.#latest.begin() : () => false; // a pending answer may be older
        let trouble = "";
        try {
            const answer = await (isKept
                ? request("POST", `runs/${encodeURIComponent(run.id)}/resume-from`, {step, way: mode})
                : request("POST", "resume", {kind: this.kind, name, way: mode}));
            if (isNewest()) this.#take(answer);
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            trouble = error.message;
            this.refusals += 1;
        }
        if (name !== this.#name) return;
        setText(this.said, trouble && `Not chosen: ${trouble}`);
        if (trouble) this.#draw(this.current);
        else this.onChosen();
    }

    #draw(answer) {
        const run = answer?.run ?? null;
        const isLive = goesOn(run);
        const isFile = leavesRun(answer);
        const isKnown = run !== null || isFile;
        setHidden(this.box, !answer?.step && !isKnown);
        setText(this.title, answer?.name ?? "");
        setText(this.line, statusOf(answer, isLive));
        setText(this.text, run?.rate_text ?? "");
        setText(this.tail, isLive ? "" : tail(answer));
        setHidden(this.text, run === null);
        setHidden(this.button, run === null || isLive);
        setText(this.behind, isLive ? "" : behind(answer));
        setHidden(this.modeField, isLive || isLost(answer) || !(isKnown || answer?.step));
        resumeModes.offer(this.select, isKnown ? resumeModes.all : resumeModes.ofFile, {hasRun: isKnown});
        this.select.value = isKnown || answer?.way !== "new" ? answer?.way ?? "continue" : "continue";
        hideWithFocus(this.back, isLive || (answer?.from_step ?? null) === null, this.select);
        this.#drawHint();
    }

    #drawHint() {
        const isKnown = this.current?.way === this.#resumed.chosen && !this.modeField.hidden;
        setText(this.hint, isKnown ? hint(this.current, this.#resumed.mode) : "");
    }

    /** Says something of the chosen name until another one is chosen. */
    tell(text) {
        setText(this.said, text);
    }
}

/** Whether the stored run is left alone, as the server says it of the chosen mode, or of another one. */
function leavesRun(answer, mode = answer?.way) {
    return answer?.leaving.includes(mode) ?? false;
}

function statusOf(answer, isLive) {
    if (leavesRun(answer) && !answer.run) return `Starts a new run from the file as it is, at step ${formatCount(answer.step)}.`;
    if (isLost(answer)) return `The snapshot after ${formatUpdates(answer.from_step)}, which was chosen, cannot be resumed from.`;
    if (!answer?.step && !answer?.run) return "";
    if (isLive) return `Is being trained, at step ${formatCount(answer.step)} of ${formatCount(answer.run.total_steps)}, with`;
    if (answer.run && answer.from_step !== null) {
        return `Goes back to its snapshot after ${formatUpdates(answer.from_step)}: continues at step ${formatCount(answer.step)} of ${formatCount(answer.run.total_steps)} with`;
    }
    if (answer.run) return `Continues at step ${formatCount(answer.step)} of ${formatCount(answer.run.total_steps)} with`;
    return `Continues at step ${formatCount(answer.step)}; its settings are not known.`;
}

/** A snapshot was chosen that cannot be resumed from by now: a training would be refused. */
function isLost(answer) {
    return !answer?.run && (answer?.from_step ?? null) !== null;
}

function tail(answer) {
    const times = answer?.run && answer.run.multiplier !== 1 ? `at ${answer.run.multiplier} times the planned rate, after a rescue` : "";
    const parts = [answer?.exact ? "exactly where it was saved" : "", times].filter(Boolean);
    return parts.length ? `${parts.join(", ")}.` : "";
}

function behind(answer) {
    if (!answer?.run) return isLost(answer) ? sentence(answer.message) : "";
    const isBehind = answer.file_step !== null && answer.step > answer.file_step;
    const held = {0: "no update", 1: "only 1 update"}[answer.file_step] ?? `only ${formatCount(answer.file_step)} updates`;
    const words = `The file holds ${held}, because the WebUI ended before it could save. `
        + "Training resumes from the snapshot.";
    return [isBehind ? words : "", answer.message].filter(Boolean).join(" ");
}

/** What the choice means beyond its name. */
function hint({step, way: chosen}, mode) {
    const at = formatCount(step);
    if (chosen === "continue" && mode === "new") return `The rate field has another text than the run: it counts from step 0 of the run, and is in force from step ${at} on.`;
    if (mode === "new") return `The text counts from step 0 of the run, and is in force from step ${at} on.`;
    if (mode === "restart") return `The text's step 0 will be step ${at}.`;
    if (mode === "file-restart") return `The stored run stays as it is, and nothing of its snapshot is used. The text's step 0 will be step ${at}.`;
    if (mode === "file") return "The stored run stays as it is, and nothing of its snapshot is used.";
    return "";
}
