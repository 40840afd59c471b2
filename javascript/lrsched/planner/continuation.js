// "Continue a run": the schedule is drawn as the rest of a run that has begun, in one of the resume modes.
import {ApiError} from "../base/api.js";
import {byId, el, setHidden, setText} from "../base/dom.js";
import {formatCount} from "../base/format.js";
import {Latest} from "../base/latest.js";
import * as resumeModes from "../base/resume_modes.js";
import {goesOn} from "../base/run_states.js";
import {sentence} from "../base/text.js";

const MODES = ["continue", "restart", "new"]; // a new run from the file is not a continuation

/** The select boxes and their note; sets `planner.form.continued`. */
export class Continuation {
    #asked = new Latest();
    #askedFor = "";
    #played = "";

    constructor(planner, kept) {
        this.planner = planner;
        this.wanted = kept?.run ?? null;
        this.runs = [];
        this.resumed = null;
        this.select = byId("run");
        this.select.addEventListener("change", () => this.choose(this.select.value || null));
        this.mode = resumeModes.fill(byId("run_mode"), MODES, () => this.#apply());
        if (MODES.includes(kept?.mode)) this.mode.value = kept.mode;
        byId("run_use").addEventListener("click", () => this.#useSettings());
    }

    get run() {
        return this.runs.find((run) => run.id === this.wanted) ?? null;
    }

    /** The run's last step, or an earlier one where its snapshot is: what was made since then is made again. */
    get step() {
        const isKnown = this.resumed?.id === this.run.id && !goesOn(this.run);
        return isKnown ? this.resumed.step : this.run.step;
    }

    /** Takes over the list of runs, newest first; asks again only when the chosen run has moved. */
    update(runs) {
        const changed = JSON.stringify(runs.map(label)) !== JSON.stringify(this.runs.map(label));
        this.runs = runs;
        if (changed) this.#fill();
        this.#apply();
    }

    /** Takes over what the server said of the editor's text: which steps of it are played, where it begins in its middle. */
    tell({ok, mode, part}) {
        this.#played = ok && part?.loses && resumeModes.isInMiddle(mode) ? sentence(part.said) : "";
        this.#apply();
    }

    /** Chooses a run by its id; null starts at step 0. */
    choose(id) {
        this.wanted = id;
        this.select.value = id ?? "";
        this.#apply();
    }

    /** Chooses a run in one of the resume modes that continue it; in another mode, which leaves the run alone, none. */
    take(id, mode) {
        const isOne = id !== null && MODES.includes(mode);
        if (isOne) this.mode.value = mode;
        this.choose(isOne ? id : null);
    }

    /** Chooses a run and takes over what it was started with. */
    plan(id) {
        this.choose(id);
        this.#useSettings();
    }

    #fill() {
        this.select.replaceChildren(
            el("option", {value: "", text: "no, start at step 0"}),
            ...this.runs.map((run) => el("option", {value: run.id, text: label(run)})));
        this.select.value = this.run?.id ?? "";
    }

    #apply() {
        const {form} = this.planner;
        const run = this.run;
        const before = JSON.stringify(form.continued);
        form.continued = run === null ? null : {id: run.id, step: this.step, mode: this.mode.value};
        setHidden(byId("run_mode_field"), run === null);
        setHidden(byId("run_note"), run === null);
        if (run) setText(byId("run_note").querySelector("span"), `${note(run, this.step)} ${this.#played}`.trim());
        if (before !== JSON.stringify(form.continued)) this.planner.ask({now: true});
        this.#findStep(run);
    }

    /** Asks at which step a training of this run would resume, when the run has moved. */
    async #findStep(run) {
        const askedFor = JSON.stringify(run && [run.id, run.state, run.updated_s]);
        if (askedFor === this.#askedFor) return;
        this.#askedFor = askedFor;
        if (run === null || goesOn(run)) return;
        try {
            const answer = await this.#asked.ask("GET", `resume?kind=${run.kind}&name=${encodeURIComponent(run.name)}`);
            if (answer?.run?.id !== run.id) return;
            this.resumed = {id: run.id, step: answer.step};
            this.#apply();
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            this.#askedFor = ""; // asked again with the next list
        }
    }

    #useSettings() {
        const {run, planner} = this;
        if (run) planner.open(settingsOf(run));
    }
}

function label(run) {
    return `${run.name} – step ${run.step} of ${run.total_steps}, ${run.state}`;
}

function note(run, step) {
    const times = run.multiplier === 1 ? "" : ` At ${run.multiplier} times the planned rate, after a rescue.`;
    return `Resumes at step ${formatCount(step)} of ${formatCount(run.total_steps)}.${times}`;
}

/** A run's text and numbers, named as the editor's fields. */
export function settingsOf(run) {
    return {
        text: run.rate_text, kind: "rate", trainee: run.kind, steps: run.total_steps, pictures: run.pictures, batch: run.batch,
        accumulate: run.accumulate,
    };
}
