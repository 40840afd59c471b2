// What can be dragged on the chart: boundaries sideways, rates up and down. The server says where the grips are and edits
// the text; here pixels become a step or a number on the axis.
import {ApiError, request} from "../base/api.js";
import {el, setHidden} from "../base/dom.js";
import {formatCount, formatRate} from "../base/format.js";

const PAUSE_MS = 150;
const GHOST_POINTS = 600;
const BEYOND_PX = 16; // a rate can be pulled a little over the axis' ends, which then move
const FAR_PX = 10; // Shift with an arrow key
const KEYS = {ArrowUp: -1, ArrowDown: 1, ArrowLeft: -1, ArrowRight: 1};

/** The grips over `chart`. `planner` has items, form and a place to say what went wrong. */
export class Grips {
    constructor(layer, chart, planner) {
        this.layer = layer;
        this.chart = chart;
        this.planner = planner;
        this.held = null;
        this.grips = new Map();
        this.tip = el("div", {class: "lrsched-tip lrsched-grip-tip", hidden: true, role: "status"});
        layer.append(this.tip);
        chart.addLayer(this);
    }

    /**
     * Shows the grips of what POST items answered; steps before `from` are trained and stay. The answer counts from the
     * text's own step 0, which is the chart's `origin`.
     */
    show(known, from, origin) {
        if (this.held) return; // they are those of the same text: another one would have made it let go
        const moved = ({step, low, high, ...one}) => ({...one, step: step + origin, low: low + origin, high: high + origin, origin});
        const boundaries = known.boundaries.map(moved).filter(({step}) => step > from).map((one) => ({...one, kind: "boundary"}));
        const rates = known.handles.map((one) => ({...one, step: one.step + origin, kind: "rate"})).filter(({step}) => step >= from);
        const wanted = new Map([...boundaries, ...rates].map((one, i, all) => [key(one, all.slice(0, i)), one]));
        for (const [name, grip] of this.grips) if (!wanted.has(name)) this.#remove(name, grip);
        for (const [name, spot] of wanted) this.#put(name, spot, this.planner.items.byPath(spot.item)?.text ?? "");
        this.layer.append(...[...wanted.keys()].map((name) => this.grips.get(name).node).filter((node) => !node.isConnected));
        this.redraw();
    }

    /** While the text is not that of the grips they cannot be moved. */
    setWaiting(isWaiting) {
        this.isWaiting = isWaiting;
        this.layer.classList.toggle("lrsched-waiting", isWaiting);
        if (isWaiting) this.#letGo();
    }

    #put(name, spot, text) {
        const grip = this.grips.get(name) ?? this.#make(spot.kind);
        this.grips.set(name, grip);
        grip.spot = spot;
        const what = spot.kind === "boundary" ? "End" : spot.label;
        grip.node.setAttribute("aria-label", `${what} of ${text}: arrow keys move it, Enter writes it`);
        this.#describe(grip, spot.kind === "boundary" ? spot.step : spot.rate);
    }

    #make(kind) {
        const orientation = kind === "boundary" ? "horizontal" : "vertical";
        const node = el("div", {
            class: `lrsched-grip lrsched-grip-${kind}`, role: "slider", tabindex: "0", "aria-orientation": orientation,
        });
        const grip = {node, spot: null};
        node.addEventListener("pointerdown", (event) => this.#grab(grip, event));
        node.addEventListener("pointermove", (event) => this.#follow(grip, event));
        node.addEventListener("pointerup", () => this.#drop());
        node.addEventListener("pointercancel", () => this.#letGo());
        node.addEventListener("pointerleave", () => this.chart.crosshair.leave());
        node.addEventListener("blur", () => this.held?.byKey && this.#letGo());
        node.addEventListener("keydown", (event) => this.#key(grip, event));
        return grip;
    }

    #remove(name, {node}) {
        node.remove();
        this.grips.delete(name);
    }

    redraw() {
        if (!this.chart.frame) return;
        for (const grip of this.grips.values()) this.#place(grip);
    }

    #place(grip) {
        const {x, y, top, bottom} = this.chart.frame;
        const {spot, node} = grip;
        const value = this.held?.grip === grip ? this.held.value : spot.kind === "boundary" ? spot.step : spot.rate;
        node.classList.toggle("lrsched-held", this.held?.grip === grip);
        node.style.left = `${spot.kind === "boundary" ? x(value) : x(spot.step)}px`;
        node.style.top = `${spot.kind === "boundary" ? top : Math.max(0, y(value))}px`;
        if (spot.kind === "boundary") node.style.height = `${bottom - top + 7}px`;
    }

    // Holding --------------------------------------------------------------------------------

    #grab(grip, event) {
        if (event.button !== 0) return;
        event.preventDefault();
        grip.node.focus({preventScroll: true});
        grip.node.setPointerCapture(event.pointerId);
        const from = {x: event.clientX, y: event.clientY};
        this.#hold(grip, {from});
    }

    #follow(grip, event) {
        if (this.held?.grip !== grip || this.held.byKey) return this.chart.crosshair.follow(event);
        const {from} = this.held;
        this.#pull(grip.spot.kind === "boundary" ? event.clientX - from.x : event.clientY - from.y);
    }

    #key(grip, event) {
        const {key: pressed} = event;
        if (this.isWaiting) return;
        if (pressed === "Escape" && this.held) this.#letGo();
        else if (pressed === "Enter" && this.held) this.#drop();
        else if (pressed in KEYS && pressed.match(grip.spot.kind === "boundary" ? /Left|Right/ : /Up|Down/)) {
            if (this.held?.grip !== grip) this.#hold(grip, {byKey: true});
            this.#pull(this.held.offset + KEYS[pressed] * (event.shiftKey ? FAR_PX : 1));
        } else return;
        event.preventDefault();
        event.stopPropagation();
    }

    #hold(grip, how) {
        const {x, y} = this.chart.frame;
        const {spot} = grip;
        const [value, pixel] = spot.kind === "boundary" ? [spot.step, x(spot.step)] : [spot.rate, y(spot.rate)];
        this.held = {grip, value, pixel, offset: 0, ...how};
        this.chart.crosshair.leave();
    }

    /** Moves what is held so many pixels away from where it was. */
    #pull(offset) {
        const {held} = this;
        const value = held.grip.spot.kind === "boundary" ? this.#stepAt(held, offset) : this.#rateAt(held, offset);
        held.offset = offset;
        if (value === held.value) return;
        held.value = value;
        held.isMoved = true;
        this.#describe(held.grip, value);
        this.#place(held.grip);
        this.#tell("");
        this.#askSoon();
    }

    #stepAt({pixel, byKey, grip: {spot}}, offset) {
        const {stepAt} = this.chart.frame;
        const far = stepAt(pixel + offset) - stepAt(pixel);
        const steps = byKey && Math.abs(far) < Math.abs(offset) ? offset : Math.round(far);
        return Math.max(spot.low, Math.min(spot.high, spot.step + steps));
    }

    /** As many digits as a pixel can tell apart. */
    #rateAt({pixel}, offset) {
        const {valueAt, top, bottom} = this.chart.frame;
        const here = Math.max(top - BEYOND_PX, Math.min(bottom + BEYOND_PX, pixel + offset));
        const value = Math.max(0, valueAt(here));
        const grain = 10 ** Math.floor(Math.log10(Math.abs(valueAt(here - 0.5) - valueAt(here + 0.5)) || value || 1));
        return Number((Math.round(value / grain) * grain).toPrecision(3));
    }

    async #drop() {
        const {held} = this;
        if (!held?.isMoved) return this.#letGo();
        this.held = null;
        setHidden(this.tip, true);
        held.grip.spot = {...held.grip.spot, [held.grip.spot.kind === "boundary" ? "step" : "rate"]: held.value};
        const message = await this.planner.items.edit(edit(held));
        if (message === "") return;
        this.planner.say(message);
        this.planner.showGrips();
        this.chart.showGhost(null);
    }

    #letGo() {
        const {held} = this;
        if (held === null) return;
        this.held = null;
        this.#describe(held.grip, held.grip.spot.kind === "boundary" ? held.grip.spot.step : held.grip.spot.rate);
        setHidden(this.tip, true);
        this.chart.showGhost(null);
    }

    // Telling --------------------------------------------------------------------------------

    /** Draws what the text would be, at most every PAUSE_MS, and never two questions at once. */
    async #askSoon() {
        if (this.isAsking) return;
        this.isAsking = true;
        const pause = new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
        const {held} = this;
        const {value} = held;
        try {
            await this.#ask(held);
            await pause;
        } finally {
            this.isAsking = false;
        }
        if (this.held?.isMoved && (this.held !== held || held.value !== value)) this.#askSoon();
    }

    async #ask(held) {
        try {
            const {text} = await this.planner.items.draft(edit(held));
            const question = {...this.planner.form.question([text]), points: GHOST_POINTS};
            const {results: [result]} = await request("POST", "preview", question);
            if (this.held === held && result.ok) this.chart.showGhost(result);
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            if (this.held === held) this.#tell(error.message);
        }
    }

    /** The label beside what is held, with what is wrong with that place. */
    #tell(trouble) {
        const {grip: {node}} = this.held;
        const rest = trouble && el("div", {class: "lrsched-trouble", text: trouble});
        this.tip.replaceChildren(...[el("b", {text: node.getAttribute("aria-valuetext")}), rest].filter(Boolean));
        setHidden(this.tip, false);
        const left = parseFloat(node.style.left);
        const isRight = left > this.layer.clientWidth / 2;
        this.tip.style.left = isRight ? "auto" : `${left + 12}px`;
        this.tip.style.right = isRight ? `${this.layer.clientWidth - left + 12}px` : "auto";
        this.tip.style.top = `${Math.max(0, parseFloat(node.style.top) - 34)}px`;
    }

    #describe({node, spot}, value) {
        node.setAttribute("aria-valuenow", String(value));
        node.setAttribute("aria-valuetext", spot.kind === "boundary" ? `step ${formatCount(value)}` : `${spot.label} ${formatRate(value, 3)}`);
    }
}

function edit({grip: {spot: {kind, item, param, origin}}, value}) {
    return kind === "boundary" ? {do: "boundary", item, step: value - origin} : {do: "rate", item, param, value};
}

/** The same name for the same point in the next answer: an item has one boundary, and a parameter one point or two. */
function key({kind, item, param = ""}, before) {
    const twin = before.some((other) => other.kind === kind && String(other.item) === String(item) && other.param === param);
    return `${kind} ${item} ${param}${twin ? " again" : ""}`;
}
