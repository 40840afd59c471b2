// The crosshair of a chart: mouse, finger or arrow keys move it along the points that were sent.
import {el, setHidden, svg} from "../base/dom.js";
import {CursorGroup} from "./cursor_group.js";
import {swatch} from "./legend.js";
import {between, nearest} from "./scale.js";
import {following} from "./window.js";

const KEY_STEPS = {ArrowRight: 1, ArrowLeft: -1, PageUp: 0.1, PageDown: -0.1};
const EVENT_REACH_PX = 5;
const TAP_REACH_PX = 6;
const MOST_NOTES = 4;

/** Follows the pointer over `chart`; `cursors` move with it, `onPick(step)` hears of a click. */
export class Crosshair {
    constructor(chart, {cursors = new CursorGroup(), onPick = () => {}}) {
        this.chart = chart;
        this.cursors = cursors;
        this.onPick = onPick;
        cursors.add(this);
        this.step = null;
        this.layer = svg("g", {class: "lrsched-cursor"});
        chart.svg.append(this.layer);
        this.tip = el("div", {class: "lrsched-tip", hidden: true, "aria-hidden": "true"});
        chart.host.append(this.tip);
        this.describe();
        this.#listen();
    }

    /** Puts the crosshair at a step without telling anybody; null hides it. */
    moveTo(step) {
        this.step = step;
        this.redraw();
    }

    redraw() {
        const points = this.#points();
        if (!this.chart.frame) return;
        const [low, high] = this.chart.range;
        if (this.step === null || points.length === 0 || this.step < low || this.step > high) {
            this.layer.replaceChildren();
            setHidden(this.tip, true);
            return;
        }
        this.#drawLines(points);
        this.#drawTip(points);
        this.#say(points);
    }

    /** What lies under the crosshair: [{series, step, value}]. */
    #points() {
        if (this.step === null) return [];
        const {x} = this.chart.frame ?? {};
        const found = [];
        for (const series of this.chart.data.series) {
            const i = nearest(series.x, this.step);
            if (i < 0 || !x) continue;
            const beyond = this.step < series.x[0] || this.step > series.x[series.x.length - 1];
            if (beyond && Math.abs(x(series.x[i]) - x(this.step)) > 3) continue;
            found.push({series, step: series.x[i], value: series.y[i]});
        }
        return found;
    }

    #drawLines(points) {
        const {x, y, top, bottom} = this.chart.frame;
        const place = x(this.step);
        const isInside = ({value}) => value !== null && y(value) <= bottom;
        const dots = points.filter(isInside).map(({series, step, value}) =>
            svg("circle", {class: `lrsched-dot lrsched-look-${series.look}`, cx: x(step), cy: y(value), r: 3.5}));
        this.layer.replaceChildren(svg("line", {class: "lrsched-cross", x1: place, x2: place, y1: top, y2: bottom}), ...dots);
    }

    #drawTip(points) {
        const {x, left, right, top} = this.chart.frame;
        const {format, compact, unit, formatX} = this.chart.options;
        const rows = points.map(({series, value}) => el("div", {class: "lrsched-tip-row"},
            points.length > 1 || !compact ? swatch(series.look) : null,
            points.length > 1 ? el("span", {class: "lrsched-tip-name", text: series.name}) : null,
            el("b", {text: format(value, 6)})));
        const notes = this.#notes().map((text) => el("div", {class: "lrsched-tip-note", text}));
        this.tip.replaceChildren(el("div", {class: "lrsched-tip-step", text: `${unit} ${formatX(this.step)}`}), ...rows, ...notes);
        setHidden(this.tip, false);
        const place = x(this.step);
        const toTheLeft = place > (left + right) / 2;
        this.tip.style.top = `${top + 2}px`;
        this.tip.style.left = "0"; // where it has all the room that it wants
        const free = this.chart.host.clientWidth - this.tip.offsetWidth;
        const wanted = toTheLeft ? place - 10 - this.tip.offsetWidth : place + 10;
        this.tip.style.left = `${Math.max(0, Math.min(free, wanted))}px`;
    }

    /** What the marks say that lie here, the nearest first. */
    #notes() {
        const {x} = this.chart.frame;
        const distance = (mark) => Math.abs(x(mark.x) - x(this.step));
        const near = this.chart.data.marks.filter((mark) => (mark.text || mark.label) && distance(mark) <= EVENT_REACH_PX)
            .sort((a, b) => distance(a) - distance(b)).map((mark) => mark.text ?? mark.label);
        return near.length <= MOST_NOTES ? near : [...near.slice(0, MOST_NOTES - 1), `and ${near.length - MOST_NOTES + 1} more`];
    }

    /** Writes what the chart is, and that no step is chosen. */
    describe() {
        const {host, options} = this.chart;
        host.tabIndex = 0;
        host.setAttribute("role", "slider");
        const zoom = options.zoom ? ", plus and minus zoom, Escape shows all" : "";
        host.setAttribute("aria-label", `${options.label}: arrow keys move along the ${options.unit}s${zoom}`);
        host.setAttribute("aria-valuenow", "0");
        host.setAttribute("aria-valuetext", `no ${options.unit} chosen`);
    }

    #say(points) {
        const {host, data, options} = this.chart;
        const values = points.map(({series, value}) =>
            points.length > 1 ? `${series.name} ${options.format(value, 6)}` : options.format(value, 6));
        const notes = this.#notes();
        host.setAttribute("aria-valuemin", String(data.xLow));
        host.setAttribute("aria-valuemax", String(data.xHigh));
        host.setAttribute("aria-valuenow", String(this.step));
        host.setAttribute("aria-valuetext", `${options.unit} ${options.formatX(this.step)}: ${[...values, ...notes].join(", ")}`);
    }

    #listen() {
        const {host} = this.chart;
        host.addEventListener("pointermove", (event) => this.follow(event));
        // A press and its release, since no click is sent if the chart was redrawn between the two.
        let pressed = null;
        host.addEventListener("pointerdown", (event) => {
            pressed = event.button === 0 ? event : null;
            this.follow(event);
        });
        host.addEventListener("pointerup", (event) => {
            const step = pressed && isTap(pressed, event) ? this.#stepAt(event) : null;
            pressed = null;
            if (step !== null) this.onPick(step);
        });
        host.addEventListener("pointerleave", (event) => {
            if (event.pointerType === "mouse") this.#choose(null);
        });
        host.addEventListener("blur", () => this.#choose(null));
        host.addEventListener("keydown", (event) => this.#key(event));
    }

    /** Goes where a pointer event is, also one of something that lies over the chart. */
    follow(event) {
        this.#choose(this.#stepAt(event));
    }

    /** Hides it, here and on the charts that follow. */
    leave() {
        this.#choose(null);
    }

    #stepAt(event) {
        const {frame, host} = this.chart;
        if (!frame) return null;
        const pixel = event.clientX - host.getBoundingClientRect().left;
        if (pixel < frame.left - 4 || pixel > frame.right + 4) return null;
        return this.#snap(frame.stepAt(pixel));
    }

    /** The steps that can be pointed at: every step between the chart's ends that some series has a point for, rising. */
    #steps() {
        const {data} = this.chart;
        if (this.known?.data !== data) {
            const all = new Set(data.series.flatMap((series) => series.x));
            const steps = [...all].sort((a, b) => a - b);
            this.known = {data, steps: steps.slice(...between(steps, data.xLow, data.xHigh))};
        }
        return this.known.steps;
    }

    /** The nearest of those that are seen. */
    #snap(step) {
        const steps = this.#steps();
        const [first, last] = between(steps, ...this.chart.range);
        const own = Math.min(last - 1, Math.max(first, nearest(steps, step)));
        return last > first ? steps[own] : null;
    }

    #key(event) {
        const steps = this.#steps();
        if (steps.length === 0) return;
        const here = this.step === null ? -1 : nearest(steps, this.step);
        let next;
        if (event.key === "Home") next = 0;
        else if (event.key === "End") next = steps.length - 1;
        else if (event.key === "Escape") next = null;
        else if (event.key in KEY_STEPS) next = here + jump(event, steps.length);
        else return;
        event.preventDefault();
        const step = next === null ? null : steps[Math.max(0, Math.min(steps.length - 1, next))];
        if (step !== null && this.chart.zoom) this.#bringIntoView(step);
        this.#choose(step);
    }

    /** A key may lead out of what is seen. */
    #bringIntoView(step) {
        const {xLow, xHigh} = this.chart.data;
        this.cursors.zoom(following(this.cursors.window, step, [xLow, xHigh]));
    }

    #choose(step) {
        if (step === this.step) return;
        this.moveTo(step);
        this.cursors.move(step, this);
    }
}

/** Whether a pointer was released where it was pressed. */
function isTap(press, release) {
    const isSame = press.pointerId === release.pointerId;
    return isSame && Math.hypot(release.clientX - press.clientX, release.clientY - press.clientY) <= TAP_REACH_PX;
}

/** How many points a key press moves: one, ten with Shift, a tenth of all for the page keys. */
function jump(event, count) {
    const move = KEY_STEPS[event.key];
    if (Math.abs(move) < 1) return Math.sign(move) * Math.max(1, Math.round(count / 10));
    return event.shiftKey ? move * 10 : move;
}
