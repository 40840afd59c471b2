// Help inside the host's Train tab: a small chart and any error under each schedule field, as one types.
import {el, setHidden, setText} from "../base/dom.js";
import {PreviewRequests} from "../base/latest.js";
import {errorBox, warningBox} from "../base/messages.js";
import * as resumeModes from "../base/resume_modes.js";
import {Chart} from "../chart/chart.js";
import {scheduleLines} from "../chart/schedule_lines.js";
import * as fields from "./fields.js";
import {Preflight} from "./preflight.js";
import {ResumeOffer} from "./resume_offer.js";

const CHART_POINTS = 400;
const WATCHED = {
    embeddingRate: {kind: "rate", name: "embedding", label: "Embedding rate over steps"},
    hypernetworkRate: {kind: "rate", name: "hypernetwork", label: "Hypernetwork rate over steps"},
    clip: {kind: "clip", name: null, label: "Clip threshold over steps"},
};

/** The chart and the messages below one field of the Train tab. */
class FieldHelp {
    #asked = "";

    constructor(field, resumes) {
        this.field = field;
        this.watched = WATCHED[field];
        this.resumes = resumes;
        this.place = el("div");
        this.caption = el("p", {class: "lrsched-muted", hidden: true});
        this.messages = el("div", {class: "lrsched-messages", role: "status", "aria-live": "polite"});
        this.box = el("div", {class: "lrsched lrsched-inline", id: `lrsched_inline_${field}`}, this.place, this.caption, this.messages);
        this.chart = new Chart(this.place, {label: this.watched.label, height: 96, compact: true});
        this.previews = new PreviewRequests({
            onAnswer: (answer, question) => this.#answered(answer, question), onError: (error) => this.#failed(error),
        });
    }

    /** Puts the help below the field again where gradio has redrawn it, and asks when something changed. */
    refresh() {
        const block = fields.block(this.field);
        if (block === null) return;
        if (this.box.parentElement !== block) block.append(this.box);
        const text = fields.value(this.field);
        const isOff = text === "" || (this.watched.kind === "clip" && fields.clipMode() === "disabled");
        setHidden(this.box, isOff);
        if (isOff) this.#forget();
        else this.#ask(text);
    }

    /** An empty field resumes nothing. */
    #forget() {
        this.#asked = "";
        if (this.watched.name) this.resume.show({mode: null, way: null});
    }

    #ask(text) {
        const resume = this.resume?.current ?? null;
        const question = {
            texts: [text], kind: this.watched.kind, trainee: this.watched.name, ...fields.context(), points: CHART_POINTS,
            initial_step: resume?.step ?? 0, run: resume?.run?.id ?? null, way: resume?.way ?? null,
            rate_text: this.#rateText,
        };
        const asked = JSON.stringify(question);
        if (asked === this.#asked) return;
        this.#asked = asked;
        this.previews.ask(question);
    }

    /** What the Train tab offers for the thing that this field is for; the clip is for what is chosen, if only one is. */
    get resume() {
        if (this.watched.name) return this.resumes[this.watched.name];
        const chosen = Object.values(this.resumes).filter(({kind}) => fields.value(kind) !== "");
        return chosen.length === 1 ? chosen[0] : null;
    }

    /** For a threshold the text of the rate beside it, for it resumes as that does. */
    get #rateText() {
        return this.watched.kind === "clip" && this.resume ? fields.value(this.resume.kind + "Rate") : null;
    }

    #answered(answer, question) {
        const [result] = answer.results;
        if (this.watched.name) this.resume.show({mode: result.mode, way: question.way});
        this.place.classList.toggle("lrsched-stale", !result.ok);
        if (result.ok) this.#draw(result, answer.initial_step);
        setHidden(this.place, !result.ok && this.chart.data.series.length === 0);
        const onFix = (text) => fields.set(this.field, text);
        const said = result.ok ? result.warnings.map((one) => warningBox(one, {onFix})) : [errorBox(result.error, {onFix})];
        this.messages.replaceChildren(...said);
    }

    #draw(result, initialStep) {
        const drawn = scheduleLines([[result, 0, "rate"]], initialStep, result.mode);
        this.chart.show({xLow: 0, xHigh: Math.max(1, result.total_steps), ...drawn});
        setHidden(this.caption, initialStep === 0 || this.watched.kind === "clip");
        setText(this.caption, resumeModes.caption(result.mode, initialStep));
    }

    #failed(error) {
        const text = error.passing ? "The server is not reachable, trying again." : error.message;
        this.messages.replaceChildren(el("div", {class: "lrsched-message lrsched-muted", text}));
    }
}

/** All helpers of the Train tab; refresh() may be called as often as one likes. */
export class TrainHelpers {
    constructor() {
        this.resumes = {};
        for (const kind of ["embedding", "hypernetwork"]) this.resumes[kind] = new ResumeOffer(kind, () => this.refresh());
        this.preflight = new Preflight(this.resumes);
        this.helps = Object.keys(WATCHED).map((field) => new FieldHelp(field, this.resumes));
        this.others = [];
    }

    /** Something else that is refreshed with them. */
    add(helper) {
        this.others.push(helper);
    }

    refresh() {
        if (!fields.isVisible()) return;
        for (const offer of Object.values(this.resumes)) offer.refresh();
        for (const help of this.helps) help.refresh();
        this.preflight.refresh();
        for (const other of this.others) other.refresh();
    }
}
