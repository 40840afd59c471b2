// One run: where it stands, whether it learns, its rate as planned and as the optimizer held it, and what one picks.
import {ApiError, request} from "../base/api.js";
import {byId, el, focusOne, hideWithFocus, setHidden, setText} from "../base/dom.js";
import {formatCount, formatDuration, formatMoment, formatPercent, formatRate} from "../base/format.js";
import {Latest} from "../base/latest.js";
import {goesOn} from "../base/run_states.js";
import {bindAxis} from "../chart/axis_toggle.js";
import {Chart} from "../chart/chart.js";
import {CursorGroup} from "../chart/cursor_group.js";
import {fillLegend} from "../chart/legend.js";
import {LEAST_SHARE} from "../chart/scale.js";
import {interrupt} from "./interrupt.js";
import {PickedChart} from "./picked_chart.js";
import {newestLook, progressLines} from "./progress_lines.js";
import {RangeView} from "./range_view.js";
import {RunImages} from "./run_images.js";
import {BAD, eventMarks, eventWords, eventsTitle, listed} from "./run_marks.js";
import {RunPoints} from "./run_points.js";
import {RunStretch} from "./run_stretch.js";
import {RunUse} from "./run_use.js";
import {Smoothing} from "./smoothing.js";
import {stateWords, statusOf} from "./run_status.js";

/** The lower right part of the tab. `onContinue(id)` and `onOpen(run, settings)` are its two buttons, `tellInList` as in run_files.js. */
export class RunView {
    #asked = new Latest();

    constructor({onContinue, onOpen, tellInList}) {
        this.panel = byId("run_view");
        this.use = new RunUse(tellInList);
        this.points = null;
        this.shown = null;
        this.inProgress = []; // as the server answers it
        this.ended = ""; // the id of the run that was interrupted from here
        this.smoothing = new Smoothing((decay) => this.#smooth(decay));
        this.stretch = new RunStretch(() => this.shown && this.#drawCharts(this.shown.run));
        byId("run_interrupt").addEventListener("click", () => this.#interrupt());
        const redraw = () => this.shown && this.#drawCharts(this.shown.run);
        this.plan = new Planned("rate", redraw);
        this.threshold = new Planned("clip", redraw);
        byId("run_continue").addEventListener("click", () => this.shown && onContinue(this.shown.run.id));
        byId("run_open").addEventListener("click", () => this.shown && onOpen(this.shown.run, this.shown.settings));
    }

    /** Fetches what is new of a run of the list and draws it; an ended run that is drawn already is left alone. */
    async update(run, isActive) {
        if (this.points?.id !== run.id) {
            this.points = new RunPoints(run.id, this.smoothing.decay);
            this.shown = null;
            this.cursors?.zoom(null);
            setText(byId("run_interrupt_said"), "");
        }
        this.images?.follow(run);
        const isAsShown = this.shown?.run.updated_s === run.updated_s && this.shown.run.state === run.state;
        if (this.shown?.complete && !isActive && isAsShown) return;
        const points = this.points;
        const known = points.columns.step[points.columns.step.length - 1] ?? -1;
        let answer = await this.#fetch(points);
        if (!points.take(answer)) {
            answer = await this.#fetch(points);
            points.take(answer);
        }
        if (points !== this.points) return;
        if (answer.points.step[0] <= known) this.stretch.undo(answer.points.step[0]);
        this.shown = answer;
        this.#draw(answer);
    }

    #fetch(points) {
        return request("GET", points.address);
    }

    /** Asks for all points again, with another average of the loss; until they are there the old ones are shown. */
    async #smooth(decay) {
        if (this.points === null) return;
        const points = new RunPoints(this.points.id, decay);
        try {
            const answer = await this.#asked.of(() => this.#fetch(points));
            if (answer === null || points.id !== this.points.id) return;
            points.take(answer);
            this.points = points;
            this.shown = answer;
            this.#draw(answer);
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            if (points.id !== this.points.id) return;
            this.points = points; // the next look asks for them
            this.shown = this.shown && {...this.shown, complete: false};
        }
    }

    get isEnding() {
        const {id} = this.shown.run;
        return this.ended === id || this.inProgress.some((one) => one.run === id && one.is_ending);
    }

    /** What the server says is in progress. */
    showProgress(list) {
        this.inProgress = list;
        if (this.ended !== "" && !list.some(({run}) => run === this.ended)) this.ended = "";
        if (this.shown) this.#drawStatus(this.shown);
    }

    async #interrupt() {
        if (this.shown === null) return; // another run is loading
        const {id, kind, name} = this.shown.run;
        this.ended = id;
        focusOne(byId("run_title")); // the button is off from here on
        setText(byId("run_interrupt_said"), "");
        this.#drawStatus(this.shown);
        try {
            await interrupt({what: "training", kind, name, run: id});
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            this.ended = "";
            if (id === this.shown?.run.id) setText(byId("run_interrupt_said"), `Not interrupted: ${error.message}`);
            if (this.shown) this.#drawStatus(this.shown);
        }
    }

    /** Brings it to the reader's eyes, with the focus; again when it is first drawn, where nothing is yet. */
    reveal() {
        this.isRevealing = this.panel.hidden;
        (this.isRevealing ? byId("runs_title") : this.panel).scrollIntoView({block: "start"});
        focusOne(byId("run_title"), byId("runs_title"));
    }

    #draw(answer) {
        setHidden(this.panel, false);
        if (this.isRevealing && [document.body, byId("runs_title")].includes(document.activeElement)) this.reveal();
        this.isRevealing = false; // the reader may have gone on to something else meanwhile
        this.#makeCharts();
        this.#drawHead(answer.run);
        this.#drawStatus(answer);
        this.#drawNumbers(answer);
        this.use.show(answer);
        this.range.show(answer.range_test);
        setHidden(byId("run_continue"), answer.range_test?.put_back === true);
        setText(byId("run_learning"), answer.range_test ? "" : answer.learning.said);
        this.plan.follow(answer.run);
        this.threshold.follow(answer.run);
        this.#drawCharts(answer.run);
        this.#drawEvents();
        this.images.follow(answer.run);
    }

    #makeCharts() {
        if (this.rate) return;
        const cursors = (this.cursors = new CursorGroup());
        const common = {height: 190, xLabel: "", cursors, zoom: true};
        this.progress = new Chart(byId("run_progress"), {
            ...common, label: "Progress of the run over steps", format: formatPercent, least: LEAST_SHARE,
        });
        this.rate = new Chart(byId("run_rate"), {...common, label: "Rate of the run over steps"});
        this.picked = new PickedChart(cursors, (choice) => this.smoothing.setShown(choice.key === "loss"));
        this.images = new RunImages(cursors, () => (byId("run_progress").hidden ? this.rate : this.progress));
        for (const chart of [this.progress, this.rate]) chart.addLayer(this.images);
        cursors.listen({onWindow: (window) => this.#zoomed(window)});
        for (const [name, factor] of [["in", 0.5], ["out", 2], ["all", null]]) {
            byId(`run_zoom_${name}`).addEventListener("click", () => this.rate.zoom.by(factor));
        }
        this.#zoomed(null);
        this.range = new RangeView();
        fillLegend(byId("run_rate_legend"), [[1, "planned"], [0, "held by the optimizer"]]);
        bindAxis(byId("run_rate_axis"), this.rate, () => "run_rate");
    }

    /** Another stretch of the run is seen. */
    #zoomed(window) {
        byId("run_zoom_all").disabled = byId("run_zoom_out").disabled = window === null;
        const words = window === null ? "" : `steps ${formatCount(window[0])} to ${formatCount(window[1] - 1)}`;
        setText(byId("run_zoom_said"), words);
        if (this.shown) this.#drawCharts(this.shown.run);
    }

    #drawHead(run) {
        setText(byId("run_title"), `${run.name} (${run.kind}, ${stateWords(run.state)})`);
        const message = run.state === "finished" ? "" : run.message ?? ""; // that of a finished run is in its line
        setText(byId("run_message"), message);
        setHidden(byId("run_message"), !message);
        const done = run.total_steps > 0 ? Math.min(100, (100 * run.step) / run.total_steps) : 0;
        byId("run_bar").setAttribute("aria-valuenow", String(Math.round(done)));
        byId("run_bar").firstElementChild.style.width = `${done}%`;
    }

    #drawStatus({run, s_left, range_test: range}) {
        setText(byId("run_status"), statusOf(run, {s_left, isEnding: this.isEnding, putBack: range?.put_back === true}));
        const button = byId("run_interrupt");
        hideWithFocus(button, !goesOn(run), byId("run_title"));
        button.disabled = this.isEnding;
    }

    #drawNumbers(answer) {
        const {run, learning, s_per_step, s_left} = answer;
        const look = newestLook(answer);
        const last = this.points.last;
        const isOff = last !== null && last.planned !== null && last.actual !== null && last.planned !== last.actual;
        const numbers = [
            ["Step", `${formatCount(run.step)} of ${formatCount(run.total_steps)}`, ""],
            ["Rate", formatRate(last?.actual, 5), isOff || run.multiplier !== 1 ? planned(last, run.multiplier) : ""],
            ["Loss gone", formatPercent(learning.share, 2), learning.error === null ? "" : `± ${formatPercent(learning.error, 2)}`],
            ...(look ? [["Validation", ...look]] : []),
            ["Loss, smoothed", formatRate(last?.smooth, 4), last ? `raw ${formatRate(last.loss, 4)}` : ""],
            ["Time per step", formatDuration(s_per_step), ""],
            ["Time left", run.state === "running" ? formatDuration(s_left) : "–", ""],
        ];
        this.#fillNumbers(byId("run_numbers"), numbers);
    }

    #fillNumbers(list, numbers) {
        if (list.children.length !== numbers.length) {
            list.replaceChildren(...numbers.map(([name]) =>
                el("div", {}, el("dt", {text: name}), el("dd"), el("dd", {class: "lrsched-muted"}))));
        }
        numbers.forEach(([, value, note], i) => {
            setText(list.children[i].children[1], value);
            setText(list.children[i].children[2], note);
        });
    }

    #drawCharts(run) {
        this.stretch.follow(this.points, this.cursors.window);
        const points = this.stretch.joined(this.points);
        const [step, planned, actual] = ["step", "planned", "actual"].map((name) => points.column(name));
        const x = {xLow: 0, xHigh: Math.max(1, run.total_steps, step[step.length - 1] ?? 0), marks: eventMarks(this.points.events, run)};
        const ahead = this.plan.after(step[step.length - 1] ?? -1);
        this.#drawProgress(points, x);
        this.rate.show({...x, series: [
            {name: "planned", look: 1, x: step.concat(ahead.x), y: planned.concat(ahead.y)},
            {name: "optimizer", look: 0, weight: "wide", x: step, y: actual},
        ]});
        this.picked.show(points, x, this.threshold.after((run.legs[run.legs.length - 1]?.start_step ?? 0) - 1));
    }

    /** A run of which nothing was measured has the words alone. */
    #drawProgress(points, x) {
        const {series, marks, legend} = progressLines(points, this.shown);
        setHidden(byId("run_progress"), series.length === 0);
        setHidden(byId("run_progress_legend"), legend.length === 0);
        fillLegend(byId("run_progress_legend"), legend);
        if (series.length > 0) this.progress.show({...x, marks: [...x.marks, ...marks], series});
    }

    #drawEvents() {
        const list = byId("run_events");
        if (list.dataset.count === `${this.points.id}/${this.points.events.length}`) return;
        list.dataset.count = `${this.points.id}/${this.points.events.length}`;
        setText(byId("run_events_title"), eventsTitle(this.points.events));
        list.replaceChildren(...listed(this.points.events).map((one) => el("li", {class: BAD.has(one.event) ? "lrsched-is-bad" : null},
            el("span", {class: "lrsched-num", text: formatCount(one.step)}), el("span", {text: eventWords(one)}),
            el("span", {class: "lrsched-muted", text: formatMoment(one.time_s)}))));
    }
}

/** What the server plans for a run: the rate of the steps that it has not made yet, or its clip threshold. Asked once for each leg. */
class Planned {
    #key = "";
    #curve = null;

    constructor(kind, onCurve) {
        this.kind = kind;
        this.onCurve = onCurve;
    }

    /** The planned points after `step`. */
    after(step) {
        const first = this.#curve?.x.findIndex((x) => x > step) ?? -1;
        return first < 0 ? {x: [], y: []} : {x: this.#curve.x.slice(first), y: this.#curve.y.slice(first)};
    }

    async follow(run) {
        const {id, rate_text, total_steps, pictures, batch, accumulate, initial_step, origin} = run;
        const text = this.#textOf(run);
        const key = JSON.stringify([id, rate_text, text, total_steps, pictures, batch, accumulate, initial_step, origin]);
        if (key === this.#key) return;
        this.#key = key;
        this.#curve = null;
        if (!text) return;
        const question = {texts: [text], kind: this.kind, rate_text, total_steps, pictures, batch, accumulate, data_root: "", points: 1000};
        try {
            const answer = await request("POST", "preview", {...question, id: 0, initial_step, run: id});
            if (key === this.#key && answer.results[0].ok) this.#curve = answer.results[0];
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            this.#key = ""; // asked again with the next numbers
        }
        if (this.#curve) this.onCurve();
    }

    /** Nothing of a rate that is all there; a threshold only where it is one of the norm, and of true gradients. */
    #textOf({state, rate_text, clip_text, clip_mode, clip_exact}) {
        if (this.kind === "rate") return state === "finished" ? "" : rate_text;
        return clip_mode === "norm" && clip_exact ? clip_text : "";
    }
}

function planned(last, multiplier) {
    const times = multiplier === 1 ? "" : `times ${multiplier} since a rescue`;
    return [last?.planned ? `planned ${formatRate(last.planned, 5)}` : "", times].filter(Boolean).join(", ");
}
