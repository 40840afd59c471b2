// A line chart as SVG: crisp at any zoom, coloured by the style sheet, redrawn when its room changes.
// It draws the points that the server sent and computes none.
import {svg} from "../base/dom.js";
import {formatCount, formatRate} from "../base/format.js";
import {Crosshair} from "./crosshair.js";
import {between, linearAxis, linearScale, logAxis, niceTicks} from "./scale.js";
import {visible} from "./window.js";
import {Zoom} from "./zoom.js";

const DEFAULTS = {
    label: "", height: 280, compact: false, zero: true, xLabel: "step", unit: "step", axis: "linear", least: 0, lowest: -Infinity,
    formatX: formatCount, zoom: false, endLabel: null,
};
const NO_ROOM = {right: -Infinity, top: 0, bottom: Infinity};
const MARK_ROOM_PX = 5;
const TICK_PX = 7;
const EDGE_PX = 3; // so much of a thick line may stand over the edge
const LABEL_PX = 6.7; // of a character, for labels that would lie over each other
const LEFT_PX = 54; // charts that stand below each other have their steps below each other

/**
 * A chart inside `host`.
 *
 * Data: {series: [{name, x, y, look, weight}], marks: [{x, kind, label, text, isTick}], xLow, xHigh, shade}
 *   series  the first is drawn on top; x rises
 *   look    0 to 5 (colour and dashes), "past" or "raw"
 *   weight  "thin", "thick", "wide" or nothing
 *   kind    "boundary", "resume", "stop", "rescue", "event", "copy" or "error"
 *   isTick  a short line at the top in place of one from top to bottom, of which there may be hundreds
 *   shade   [from, to]: steps that are not trained
 *
 * Options: `zero` has 0 on the axis, and with it the value `least` at least; a linear axis ends at `lowest`, and lines that go
 * further leave at the bottom; `format(value, digits)` writes values; `unit` is what x counts, and `formatX(x)` writes it; with
 * `endLabel(x)` the end of the data is marked where more than that is shown. With `zoom` the chart shows the window of its `cursors`, and dragging changes it.
 */
export class Chart {
    constructor(host, options = {}) {
        this.host = host;
        this.options = {format: formatRate, ...DEFAULTS, ...options};
        this.axis = this.options.axis;
        this.data = {series: [], marks: [], xLow: 0, xHigh: 1, shade: null};
        this.band = null;
        this.room = NO_ROOM;
        this.frame = null;
        this.svg = svg("svg", {class: "lrsched-svg", "aria-hidden": "true"});
        this.drawing = svg("g");
        this.svg.append(this.drawing);
        host.classList.add("lrsched-chart");
        host.classList.toggle("lrsched-compact", this.options.compact);
        host.replaceChildren(this.svg);
        this.zoom = this.options.zoom ? new Zoom(this, this.options.cursors) : null;
        this.crosshair = new Crosshair(this, this.options);
        this.layers = [this.crosshair];
        this.watcher = new ResizeObserver(() => this.redraw());
        this.watcher.observe(host);
    }

    /** Something that lies over the chart: its `redraw()` is called whenever the scales may have moved. */
    addLayer(layer) {
        this.layers.push(layer);
    }

    /** The steps that are seen: [first, last]. */
    get range() {
        return visible([this.data.xLow, Math.max(this.data.xHigh, this.room.right)], this.zoom?.cursors.window ?? null);
    }

    /** Whether steps are shown that the data does not have. */
    get isBeyond() {
        return this.room.right > this.data.xHigh;
    }

    /** Axes that reach further than the data, {right, top, bottom}: to these values or beyond. Drawn at once; null takes it back. */
    setRoom(room) {
        const wanted = {...NO_ROOM, ...room};
        if (JSON.stringify(wanted) === JSON.stringify(this.room)) return;
        this.room = wanted;
        if (this.frame !== null) this.#draw();
    }

    show(data) {
        this.data = {marks: [], shade: null, ...data};
        this.ghost = null;
        this.redraw();
    }

    /** Changes options; the crosshair says the new label. */
    setOptions(options) {
        Object.assign(this.options, options);
        this.crosshair.describe();
        this.redraw();
    }

    setAxis(axis) {
        this.axis = axis;
        this.redraw();
    }

    /** Marks the steps [from, to) for the eye, or nothing. */
    highlight(band) {
        this.band = band;
        this.redraw();
    }

    /** A curve {x, y} that is not there yet, over the others and in their scale, until something else is shown; or nothing. */
    showGhost(curve) {
        this.ghost = curve;
        this.redraw();
    }

    /** Draws before the next frame, once, however often it is called until then. */
    redraw() {
        if (this.pending) return;
        this.pending = requestAnimationFrame(() => {
            this.pending = null;
            this.#draw();
        });
    }

    #draw() {
        const width = Math.floor(this.host.clientWidth);
        if (width < 40) return;
        const frame = (this.frame = this.#layOut(width, this.options.height));
        this.svg.setAttribute("width", width);
        this.svg.setAttribute("height", frame.height);
        this.svg.setAttribute("viewBox", `0 0 ${width} ${frame.height}`);
        this.drawing.replaceChildren(
            this.#shading(), this.#grid(), this.#marks(), this.#cut(this.#lines(), this.#ghost()), this.#labels(),
        );
        for (const layer of this.layers) layer.redraw();
    }

    /** Sizes and scales: {width, height, left, right, top, bottom, x(step), y(value), stepAt(pixel), valueAt(pixel), yTicks, xTicks}. */
    #layOut(width, height) {
        const {compact, xLabel} = this.options;
        const top = compact ? 6 : 18;
        const bottom = height - (compact ? 18 : xLabel ? 38 : 22);
        const y = this.#yAxis(bottom, top);
        const longest = Math.max(1, ...y.ticks.map((tick) => tick.label.length));
        const left = Math.max(compact ? 0 : LEFT_PX, Math.ceil(longest * (compact ? 6 : 6.9)) + 10);
        const right = width - (compact ? 8 : 14);
        const [xLow, xHigh] = this.range;
        const x = linearScale(xLow, xHigh, left, right);
        const xTicks = niceTicks(xLow, xHigh, (right - left) / (compact ? 60 : 90), {whole: true});
        const stepAt = linearScale(left, right, xLow, xHigh);
        const scales = {x, stepAt, y: y.toPixel, valueAt: y.toValue};
        return {width, height, left, right, top, bottom, ...scales, xTicks, yTicks: y.ticks, minor: y.minor, growsDown: y.hasFloor === false};
    }

    #yAxis(bottom, top) {
        const seen = extent(this.data.series, this.range);
        const {zero, compact, least, lowest} = this.options;
        const format = (value) => this.options.format(value, 3);
        const {top: ceiling, bottom: floor} = this.room;
        if (this.axis === "log") return logAxis(seen.lowPositive, seen.high, bottom, top, {hasZero: seen.hasZero, ceiling, floor, format});
        const [low, high] = [Math.max(seen.low, lowest), zero ? Math.max(seen.high, least) : seen.high];
        return linearAxis(low, high, bottom, top, {zero, count: compact ? 3 : 5, ceiling: ceiling || -Infinity, format});
    }

    #shading() {
        const group = svg("g");
        if (this.data.shade) group.append(this.#column(this.data.shade, "lrsched-shade"));
        if (this.isBeyond) group.append(this.#column([this.data.xHigh, this.room.right], "lrsched-shade"));
        if (this.band) group.append(this.#column(this.band, "lrsched-band"));
        return group;
    }

    #column([from, to], className) {
        const {x, top, bottom, left, right} = this.frame;
        const start = Math.max(left, x(from));
        const end = Math.min(right, x(to));
        return svg("rect", {
            class: className, x: start, y: top, width: Math.max(0, end - start), height: bottom - top,
        });
    }

    #grid() {
        const {left, right, top, bottom, y, x, yTicks, xTicks, minor} = this.frame;
        const across = (value, className) => svg("line", {class: className, x1: left, x2: right, y1: crisp(y(value)), y2: crisp(y(value))});
        const down = (step) => svg("line", {class: "lrsched-grid", x1: crisp(x(step)), x2: crisp(x(step)), y1: bottom, y2: bottom + 4});
        return svg("g", {},
            ...minor.map((value) => across(value, "lrsched-grid-minor")),
            ...yTicks.map((tick) => across(tick.value, tick.value === 0 ? "lrsched-grid lrsched-zero" : "lrsched-grid")),
            ...xTicks.map(down),
            svg("line", {class: "lrsched-base", x1: left, x2: right, y1: crisp(bottom), y2: crisp(bottom)}),
            svg("line", {class: "lrsched-base", x1: crisp(left), x2: crisp(left), y1: top, y2: bottom}));
    }

    #labels() {
        const {left, right, bottom, height, y, x, yTicks, xTicks} = this.frame;
        const {compact, xLabel, formatX} = this.options;
        const group = svg("g", {class: "lrsched-labels"});
        for (const tick of yTicks) group.append(svg("text", {x: left - 6, y: y(tick.value) + 3.5, "text-anchor": "end", text: tick.label}));
        for (const step of xTicks) {
            const anchor = x(step) > right - 16 ? "end" : "middle";
            group.append(svg("text", {x: anchor === "end" ? right : x(step), y: bottom + 15, "text-anchor": anchor, text: formatX(step)}));
        }
        if (!compact && xLabel) group.append(svg("text", {x: (left + right) / 2, y: height - 4, "text-anchor": "middle", text: xLabel}));
        return group;
    }

    #marks() {
        const {x, left, right, top, bottom} = this.frame;
        const group = svg("g");
        const labels = [];
        const ticks = new Map();
        let last = -Infinity;
        const lines = [];
        const {endLabel} = this.options;
        const end = this.isBeyond && endLabel ? [{x: this.data.xHigh, kind: "stop", label: endLabel(this.data.xHigh)}] : [];
        for (const mark of [...end, ...this.data.marks]) {
            const place = crisp(x(mark.x));
            if (place < left || place > right + 1) continue;
            if (mark.kind === "boundary" && place - last < MARK_ROOM_PX) continue;
            if (mark.kind === "boundary") last = place;
            const isCrowded = lines.some((other) => other.kind === mark.kind && Math.abs(other.place - place) < MARK_ROOM_PX);
            if (mark.isTick || (this.zoom && isCrowded)) {
                ticks.set(mark.kind, (ticks.get(mark.kind) ?? new Set()).add(place));
                continue;
            }
            lines.push({kind: mark.kind, place});
            group.append(svg("line", {class: `lrsched-mark lrsched-mark-${mark.kind}`, x1: place, x2: place, y1: top, y2: bottom}));
            if (mark.kind === "rescue") group.append(svg("path", {class: "lrsched-flag", d: `M${place} ${top}l9 4l-9 4z`}));
            if (mark.label && !this.options.compact) labels.push(markLabel(mark, place, this.frame));
        }
        for (const [kind, places] of ticks) {
            const d = [...places].map((place) => `M${place} ${top}v${TICK_PX}`).join("");
            group.append(svg("path", {class: `lrsched-tick lrsched-mark-${kind}`, d}));
        }
        group.append(...apart(labels).map(({node}) => node));
        return group;
    }

    #lines() {
        const group = svg("g", {class: "lrsched-lines"});
        for (const series of this.data.series.slice().reverse()) {
            const weight = series.weight ? ` lrsched-${series.weight}` : "";
            group.append(svg("path", {class: `lrsched-line lrsched-look-${series.look}${weight}`, d: this.#path(series)}));
        }
        return group;
    }

    /** An SVG inside the SVG shows nothing beyond its own edge: lines that go beyond the axes leave there. */
    #cut(...lines) {
        const {left, right, bottom} = this.frame;
        const [x, width] = [left - EDGE_PX, right - left + 2 * EDGE_PX];
        const height = bottom + (Number.isFinite(this.options.lowest) ? 0 : EDGE_PX);
        return svg("svg", {x, y: 0, width, height, viewBox: `${x} 0 ${width} ${height}`}, ...lines);
    }

    #ghost() {
        return this.ghost ? svg("path", {class: "lrsched-ghost", d: this.#path(this.ghost)}) : svg("g");
    }

    /** One line per run of numbers; a missing value leaves a gap, a lone point becomes a dot. */
    #path({x: steps, y: values}) {
        const {x, y} = this.frame;
        const parts = [];
        let open = false;
        const [first, last] = between(steps, ...this.range);
        const end = Math.min(steps.length, last + 1); // with a point beyond each edge, to which the line goes
        for (let i = Math.max(0, first - 1); i < end; i++) {
            if (values[i] === null || !Number.isFinite(values[i])) {
                open = false;
                continue;
            }
            const lone = !open && (i + 1 === steps.length || values[i + 1] === null);
            parts.push(`${open ? "L" : "M"}${x(steps[i]).toFixed(1)} ${y(values[i]).toFixed(1)}${lone ? "h0.1" : ""}`);
            open = true;
        }
        return parts.join("");
    }
}

const crisp = (pixel) => Math.round(pixel - 0.5) + 0.5;

/** A mark's label and the room that it takes: {node, from, to}. */
function markLabel(mark, place, {right, top}) {
    const long = mark.label.length * LABEL_PX + 5;
    const near = place + long > right;
    const node = svg("text", {
        class: `lrsched-mark-label lrsched-mark-label-${mark.kind}`, x: place + (near ? -5 : 5), y: top - 6,
        "text-anchor": near ? "end" : "start", text: mark.label,
    });
    return {node, from: near ? place - long : place, to: near ? place : place + long};
}

/** Those labels that do not lie over one before them. */
function apart(labels) {
    const kept = [];
    for (const one of labels) if (kept.every(({from, to}) => one.to <= from || to <= one.from)) kept.push(one);
    return kept;
}

/** Lowest, lowest positive and highest value of all series in a range of steps, and whether there is a 0. */
function extent(seriesList, [low, high]) {
    const seen = {low: Infinity, lowPositive: Infinity, high: -Infinity, hasZero: false};
    for (const {x, y} of seriesList) {
        const [first, last] = between(x, low, high);
        const beyond = first === last ? 1 : 0; // a line that has no point here may go through
        for (let i = Math.max(0, first - beyond); i < Math.min(x.length, last + beyond); i++) {
            const value = y[i];
            if (value === null || !Number.isFinite(value)) continue;
            if (value < seen.low) seen.low = value;
            if (value > seen.high) seen.high = value;
            if (value > 0 && value < seen.lowPositive) seen.lowPositive = value;
            if (value <= 0) seen.hasZero = true;
        }
    }
    return seen.high === -Infinity ? {low: 0, lowPositive: Infinity, high: 0, hasZero: true} : seen;
}
