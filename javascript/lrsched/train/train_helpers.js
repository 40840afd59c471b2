// Help inside the host's Train tab: a small chart and any error under each schedule field, as one types.
import {el, hideWithFocus, setHidden, setText} from "../base/dom.js";
import {PreviewRequests} from "../base/latest.js";
import {errorBox, failureBox, warningBox} from "../base/messages.js";
import * as resumeModes from "../base/resume_modes.js";
import {OURS} from "../base/tabs.js";
import {Chart} from "../chart/chart.js";
import {scheduleLines} from "../chart/schedule_lines.js";
import {Arrival} from "./arrival.js";
import * as fields from "./fields.js";
import {Preflight} from "./preflight.js";
import {Profiles} from "./profiles.js";
import {Reference} from "./reference.js";
import {ResumeOffer} from "./resume_offer.js";
import {ResumePlace} from "./resume_place.js";
import {withSkipped} from "./skipped.js";
import {StartGate} from "./start_gate.js";
import {TrainingStatus} from "./training_status.js";
import {Troubles} from "./troubles.js";

const CHART_POINTS = 400;
const WATCHED = {
    embeddingRate: {kind: "rate", name: "embedding", label: "Embedding rate over steps"},
    hypernetworkRate: {kind: "rate", name: "hypernetwork", label: "Hypernetwork rate over steps"},
    clip: {kind: "clip", name: null, label: "Clip threshold over steps"},
};

/** The chart and the messages below one field of the Train tab. */
class FieldHelp {
    #asked = "";

    /** `onEdit(target, resume)` opens the text in our tab and resolves to what went wrong. */
    constructor(field, resumes, onEdit) {
        this.field = field;
        this.watched = WATCHED[field];
        this.resumes = resumes;
        this.place = el("div");
        this.caption = el("p", {class: "lrsched-muted", hidden: true});
        this.beginning = el("button", {
            type: "button", class: "lrsched-button lrsched-beginning", text: "Play it from its beginning", hidden: true,
            on: {click: () => this.resume.choose(this.resume.current.from_beginning)},
        });
        this.edit = el("button", {
            type: "button", class: "lrsched-button lrsched-edit", id: `lrsched_edit_${field}`, text: `Edit in ${OURS}`,
            title: "Opens this text in its tab, with the chart, the form and the numbers of these fields; one button brings it back",
            on: {click: () => this.#edit(onEdit)},
        });
        this.said = el("p", {class: "lrsched-bad", role: "alert", hidden: true});
        this.messages = el("div", {class: "lrsched-messages", role: "status", "aria-live": "polite"});
        this.box = el("div", {class: "lrsched lrsched-inline", id: `lrsched_inline_${field}`},
            this.place, this.caption, this.beginning, this.edit, this.said, this.messages);
        this.chart = new Chart(this.place, {label: this.watched.label, height: 96, compact: true});
        this.previews = new PreviewRequests({
            onAnswer: (answer, question) => this.#answered(answer, question), onError: (error) => this.messages.replaceChildren(failureBox(error)),
        });
    }

    /** Puts the help below the field again where gradio has redrawn it, and asks when something changed. */
    refresh() {
        const block = fields.block(this.field);
        if (block === null) return;
        if (this.box.parentElement !== block) block.append(this.box);
        const text = fields.value(this.field);
        const isOff = text === "" || fields.numberTrouble("steps") !== "" || (this.watched.kind === "clip" && fields.clipMode() === "disabled");
        setHidden(this.box, isOff);
        setHidden(this.edit, isOff);
        if (isOff) this.#forget();
        else this.#ask(text);
    }

    async #edit(onEdit) {
        const resume = await this.resume?.ofChosen() ?? null;
        const trouble = await onEdit(this.watched.name ?? "clip", resume);
        setText(this.said, trouble);
        setHidden(this.said, trouble === "");
    }

    /** An empty field resumes nothing. */
    #forget() {
        this.#asked = "";
        if (this.watched.name) this.resume.show({mode: null, chosen: null});
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

    /** The resume offer of the embedding or hypernetwork of this field. The clip belongs to the one that is chosen, if only one is. */
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
        if (this.watched.name) this.resume.show({mode: result.mode, chosen: question.way});
        this.place.classList.toggle("lrsched-stale", !result.ok);
        if (result.ok) this.#draw(result, answer.initial_step);
        setHidden(this.place, !result.ok && this.chart.data.series.length === 0);
        const onFix = (text) => fields.set(this.field, text);
        const said = result.ok ? result.warnings.map((one) => warningBox(one, {onFix})) : [errorBox(result.error, {onFix})];
        this.messages.replaceChildren(...said);
    }

    #draw(result, initialStep) {
        const drawn = withSkipped(scheduleLines([[result, 0, "rate"]], initialStep, result.mode), result, initialStep);
        this.chart.show({xLow: 0, xHigh: Math.max(1, result.total_steps), ...drawn});
        setHidden(this.caption, initialStep === 0 || this.watched.kind === "clip");
        setText(this.caption, resumeModes.caption(result.mode, initialStep, {part: result.part, hasPast: result.past !== null}));
        const isTail = resumeModes.isInMiddle(result.mode) && result.part?.loses === true;
        hideWithFocus(this.beginning, !isTail || this.watched.name === null, this.resume?.select);
    }
}

/** All helpers of the Train tab; refresh() may be called as often as one likes. */
export class TrainHelpers {
    /**
     * `onShow(id)` brings a run to the reader's eyes, `onChosen()` hears that it was chosen how a training resumes, `onEdit(target, resume)`
     * opens the text of a field in our tab. `makeOptions(resumes, {onChange})` makes the box of the options, of a folder above.
     */
    constructor({onShow, onChosen, onEdit, makeOptions}) {
        const place = new ResumePlace();
        const onChange = () => this.refresh();
        this.resumes = {};
        for (const kind of ["embedding", "hypernetwork"]) {
            this.resumes[kind] = new ResumeOffer(kind, {place, onChange, onChosen, onFill: (run) => this.useSettings(kind, run)});
        }
        this.preflight = new Preflight(this.resumes);
        const options = makeOptions(this.resumes, {onChange: () => this.preflight.again()});
        this.reference = new Reference(this.preflight.box, {options, onFilled: onChange});
        this.profiles = new Profiles(this.reference, options);
        this.arrival = new Arrival();
        this.trainingStatus = new TrainingStatus({onShow, onBegun: () => this.#begun()});
        this.startGate = new StartGate((kind) => [this.resumes[kind], options.sources[kind]], (words) => this.trainingStatus.refuse(words));
        this.troubles = new Troubles(this.preflight);
        this.helps = Object.keys(WATCHED).map((field) => new FieldHelp(field, this.resumes, onEdit));
        this.others = [options, this.profiles, this.arrival];
    }

    /** The button that leads from a rate field into our tab; it may stand among others. */
    editOf(kind) {
        return this.helps.find(({field}) => field === `${kind}Rate`).edit;
    }

    /** Something else that is refreshed with them. */
    add(helper) {
        this.others.push(helper);
    }

    /** The same of any run; what went wrong is said here, for its own view is behind another tab by now. */
    async fillFrom(run) {
        const trouble = await this.reference.takeRun(run);
        if (trouble === null) return "Not filled in: another run or profile was loaded after it.";
        if (trouble) this.reference.complain(trouble);
        this.reference.reveal();
        return trouble;
    }

    /** Fills the fields with what a run was started with, and compares them with that from then on. */
    async useSettings(kind, run) {
        const offer = this.resumes[kind];
        offer.tell("");
        const trouble = await this.reference.takeRun(run);
        if (trouble === null) return;
        offer.tell(trouble || (this.reference.count === 0 ? "Fields are set." : "Fields are set; differences are listed above the Train buttons."));
    }

    /** A training has begun: what was compared before it is of no interest any more. */
    #begun() {
        this.reference.forget();
        for (const offer of Object.values(this.resumes)) offer.again();
    }

    refresh() {
        if (!fields.isVisible()) return;
        for (const offer of Object.values(this.resumes)) offer.refresh();
        for (const help of this.helps) help.refresh();
        this.preflight.refresh();
        this.reference.refresh();
        this.trainingStatus.refresh();
        this.troubles.refresh();
        for (const other of this.others) other.refresh();
    }
}
