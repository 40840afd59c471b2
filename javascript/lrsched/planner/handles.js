// What can be dragged on the chart: boundaries sideways, rates up and down. The server says where the handles are and edits
// the text; here pixels become a step or a number on the axis.
import {ApiError, request} from "../base/api.js";
import {el, focusOne, setHidden} from "../base/dom.js";
import {formatCount, formatRate} from "../base/format.js";
import {growth} from "../chart/growth.js";

const PAUSE_MS = 150;
const GHOST_POINTS = 600;
const BEYOND_PX = 16; // a rate can be pulled a little under an axis that begins at 0
const GIVE_PX = 8; // the last step is where many boundaries belong: beyond it there is some give
const MOST_RATE = 1e6;
const MOST_STEP = 1e9;
const FAR_PX = 10; // Shift with an arrow key
const KEYS = {ArrowUp: -1, ArrowDown: 1, ArrowLeft: -1, ArrowRight: 1};

/** The handles over `chart`. `planner` has items, form and a place to say what went wrong. */
export class Handles {
    constructor(layer, chart, planner) {
        this.layer = layer;
        this.chart = chart;
        this.planner = planner;
        this.held = null;
        this.reach = 0; // the last step that was pulled to, where max steps does not go so far
        this.handles = new Map();
        this.tip = el("div", {class: "lrsched-tip lrsched-handle-tip", hidden: true, role: "status"});
        layer.append(this.tip);
        chart.addLayer(this);
    }

    /**
     * Shows the handles of what POST items answered; steps before `from` are trained and stay. The answer counts from the
     * text's own step 0, which is the chart's `origin`.
     */
    show(known, from, origin) {
        if (this.held) return; // they are those of the same text: another one would have made it let go
        const moved = ({step, low, high, most, ...one}) => ({
            ...one, step: step + origin, low: low + origin, high: high + origin, most: most === null ? MOST_STEP : most + origin, origin,
        });
        const ends = known.boundaries.map(moved);
        this.#settle(ends);
        const last = Math.max(this.chart.data.xHigh, this.reach);
        const boundaries = ends.filter(({step}) => step > from && step <= last).map((one) => ({...one, kind: "boundary"}));
        const rates = known.handles.map((one) => ({...one, step: one.step + origin, kind: "rate"})).filter(({step}) => step >= from);
        const wanted = new Map([...boundaries, ...rates].map((one, i, all) => [key(one, all.slice(0, i)), one]));
        const hadFocus = this.layer.contains(document.activeElement);
        for (const [name, handle] of this.handles) if (!wanted.has(name)) this.#remove(name, handle);
        for (const [name, spot] of wanted) this.#put(name, spot, this.planner.items.byPath(spot.item)?.text ?? "");
        this.layer.append(...[...wanted.keys()].map((name) => this.handles.get(name).node).filter((node) => !node.isConnected));
        this.redraw();
        if (hadFocus && !this.layer.contains(document.activeElement)) focusOne(this.chart.host); // else Tab begins at the page's top
    }

    /** While the text is not that of the handles they cannot be moved. */
    setWaiting(isWaiting) {
        this.isWaiting = isWaiting;
        this.layer.classList.toggle("lrsched-waiting", isWaiting);
        if (isWaiting) this.#letGo();
    }

    /** Keeps as much room on the right as there are ends that were pulled there, and none above. */
    #settle(ends) {
        const beyond = ends.map(({step}) => step).filter((step) => step > this.chart.data.xHigh && step <= this.reach);
        this.reach = Math.max(0, ...beyond);
        this.planner.setRoom(this.#room());
        this.planner.tellBeyond(this.reach || null);
    }

    /** The room that stays when nothing is held. */
    #room() {
        return this.reach > 0 ? {right: this.reach} : {};
    }

    #put(name, spot, text) {
        const handle = this.handles.get(name) ?? this.#make(spot.kind);
        this.handles.set(name, handle);
        handle.spot = spot;
        const what = spot.kind === "boundary" ? "End" : spot.label;
        handle.node.setAttribute("aria-label", `${what} of ${text}: arrow keys move it, Enter writes it`);
        this.#describe(handle, spot.kind === "boundary" ? spot.step : spot.rate);
    }

    #make(kind) {
        const orientation = kind === "boundary" ? "horizontal" : "vertical";
        const node = el("div", {
            class: `lrsched-handle lrsched-handle-${kind}`, role: "slider", tabindex: "0", "aria-orientation": orientation,
        });
        const handle = {node, spot: null};
        node.addEventListener("pointerdown", (event) => this.#grab(handle, event));
        node.addEventListener("pointermove", (event) => this.#follow(handle, event));
        node.addEventListener("pointerup", () => this.#drop());
        node.addEventListener("pointercancel", () => this.#letGo());
        node.addEventListener("pointerleave", () => this.chart.crosshair.leave());
        node.addEventListener("blur", () => this.held?.byKey && this.#letGo());
        node.addEventListener("keydown", (event) => this.#key(handle, event));
        return handle;
    }

    #remove(name, {node}) {
        node.remove();
        this.handles.delete(name);
    }

    redraw() {
        if (!this.chart.frame) return;
        for (const handle of this.handles.values()) this.#place(handle);
    }

    #place(handle) {
        const {x, y, top, bottom} = this.chart.frame;
        const {spot, node} = handle;
        const value = this.held?.handle === handle ? this.held.value : spot.kind === "boundary" ? spot.step : spot.rate;
        node.classList.toggle("lrsched-held", this.held?.handle === handle);
        node.style.left = `${spot.kind === "boundary" ? x(value) : x(spot.step)}px`;
        node.style.top = `${spot.kind === "boundary" ? top : Math.max(0, y(value))}px`;
        if (spot.kind === "boundary") node.style.height = `${bottom - top + 7}px`;
    }

    // Holding --------------------------------------------------------------------------------

    #grab(handle, event) {
        if (event.button !== 0) return;
        event.preventDefault();
        handle.node.focus({preventScroll: true});
        handle.node.setPointerCapture(event.pointerId);
        this.#hold(handle, {byKey: false});
        this.held.grabbed = this.held.pixel - along(handle, event);
    }

    #follow(handle, event) {
        if (this.held?.handle !== handle || this.held.byKey) return this.chart.crosshair.follow(event);
        this.held.pixel = this.held.grabbed + along(handle, event);
        this.#pull();
        this.#growSoon();
    }

    #key(handle, event) {
        const {key: pressed} = event;
        if (this.isWaiting) return;
        if (pressed === "Escape" && this.held) this.#letGo();
        else if (pressed === "Enter" && this.held) this.#drop();
        else if (pressed in KEYS && pressed.match(handle.spot.kind === "boundary" ? /Left|Right/ : /Up|Down/)) {
            if (this.held?.handle !== handle) this.#hold(handle, {byKey: true});
            this.#nudge(KEYS[pressed] * (event.shiftKey ? FAR_PX : 1));
        } else return;
        event.preventDefault();
        event.stopPropagation();
    }

    #hold(handle, how) {
        const {x, y} = this.chart.frame;
        const {spot} = handle;
        const [value, pixel] = spot.kind === "boundary" ? [spot.step, x(spot.step)] : [spot.rate, y(spot.rate)];
        this.held = {handle, value, pixel, ...how};
        this.chart.crosshair.leave();
    }

    /** Moves the handle by a number of pixels, a boundary by a minimum number of steps; beyond an end the axis grows by the same amount. */
    #nudge(pixels) {
        const {held, chart} = this;
        const {x, left} = chart.frame;
        const isBoundary = held.handle.spot.kind === "boundary";
        held.pixel += pixels * (isBoundary ? Math.max(1, x(chart.range[0] + 1) - left) : 1);
        const end = this.#end();
        if (end !== null) {
            const {stepAt, valueAt} = chart.frame;
            const value = end.side === "right" ? Math.max(chart.data.xHigh + 1, stepAt(held.pixel)) : valueAt(held.pixel);
            this.#growTo(end.side, value);
            held.pixel = chart.frame[end.side];
        }
        this.#pull();
        if (isBoundary) held.pixel = chart.frame.x(held.value); // at a limit it does not go on in secret
    }

    /** Writes the value for the place of what is held. */
    #pull() {
        const {held} = this;
        const value = held.handle.spot.kind === "boundary" ? this.#stepAt(held) : this.#rateAt(held);
        if (value === held.value) return;
        held.value = value;
        held.isMoved = true;
        this.#describe(held.handle, value);
        this.#place(held.handle);
        this.#tell("");
        this.#askSoon();
    }

    #stepAt({pixel, handle: {spot}}) {
        const {stepAt, right} = this.chart.frame;
        const step = Math.round(stepAt(Math.min(right, pixel)));
        return Math.max(spot.low, Math.min(this.chart.isBeyond ? spot.most : spot.high, step));
    }

    /** As many digits as a pixel can tell apart. */
    #rateAt({pixel}) {
        const {valueAt, top, bottom, growsDown} = this.chart.frame;
        const here = Math.max(top, Math.min(growsDown ? bottom : bottom + BEYOND_PX, pixel));
        const value = Math.max(0, valueAt(here));
        const grain = 10 ** Math.floor(Math.log10(Math.abs(valueAt(here - 0.5) - valueAt(here + 0.5)) || value || 1));
        return Number((Math.round(value / grain) * grain).toPrecision(3));
    }

    // Growing --------------------------------------------------------------------------------

    /** The end of an axis beyond which something is held, and how far: {side, beyond} in pixels; null where it is none, or cannot grow. */
    #end() {
        const {handle: {spot}, pixel, byKey} = this.held;
        const {x, right, top, bottom, growsDown} = this.chart.frame;
        if (spot.kind !== "boundary") {
            if (pixel < top) return {side: "top", beyond: top - pixel};
            return growsDown && pixel > bottom ? {side: "bottom", beyond: pixel - bottom} : null;
        }
        if (spot.most <= this.chart.data.xHigh) return null;
        const give = this.chart.isBeyond ? 0 : byKey ? x(spot.high) - right : GIVE_PX; // a key that is at the limit goes beyond it
        const beyond = pixel - right - give;
        return beyond > 0.01 ? {side: "right", beyond} : null;
    }

    #growTo(side, value) {
        const {room} = this.chart;
        const {spot} = this.held.handle;
        const limited = {top: Math.min(MOST_RATE, value), bottom: Math.max(1 / MOST_RATE ** 2, value), right: Math.min(spot.most, value)};
        this.planner.setRoom({...room, [side]: limited[side]});
    }

    /** While the pointer is beyond an end the axis grows, the faster the further. */
    #growSoon() {
        if (this.isGrowing || this.#end() === null) return;
        this.isGrowing = true;
        let before = performance.now();
        const grow = () => {
            const end = this.held === null || this.held.byKey ? null : this.#end();
            this.isGrowing = end !== null;
            if (end === null) return;
            const now = performance.now();
            const factor = growth(end.beyond, now - before);
            before = now;
            const {valueAt, top, bottom} = this.chart.frame;
            const [low, high] = this.chart.range;
            if (end.side === "right") this.#growTo("right", low + (high - low) * factor);
            else this.#growTo(end.side, end.side === "top" ? valueAt(top) * factor : valueAt(bottom) / factor);
            this.#pull();
            requestAnimationFrame(grow);
        };
        requestAnimationFrame(grow);
    }

    async #drop() {
        const {held} = this;
        if (!held?.isMoved) return this.#letGo();
        this.held = null;
        setHidden(this.tip, true);
        if (held.handle.spot.kind === "boundary" && held.value > this.chart.data.xHigh) this.reach = Math.max(this.reach, held.value);
        held.handle.spot = {...held.handle.spot, [held.handle.spot.kind === "boundary" ? "step" : "rate"]: held.value};
        const message = await this.planner.items.edit(edit(held));
        if (message === "") return;
        this.planner.say(message);
        this.planner.showHandles();
        this.chart.showGhost(null);
    }

    #letGo() {
        const {held} = this;
        if (held === null) return;
        this.held = null;
        this.#describe(held.handle, held.handle.spot.kind === "boundary" ? held.handle.spot.step : held.handle.spot.rate);
        setHidden(this.tip, true);
        this.planner.setRoom(this.#room());
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
        const {handle: {node}} = this.held;
        const rest = trouble && el("div", {class: "lrsched-trouble", text: trouble});
        const last = this.chart.data.xHigh;
        const isBeyond = this.held.handle.spot.kind === "boundary" && this.held.value > last;
        const limit = isBeyond && el("div", {text: `max steps is ${formatCount(last)}`});
        this.tip.replaceChildren(...[el("b", {text: node.getAttribute("aria-valuetext")}), limit, rest].filter(Boolean));
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

/** Where a pointer is along the axis that a handle moves on. */
function along({spot}, {clientX, clientY}) {
    return spot.kind === "boundary" ? clientX : clientY;
}

function edit({handle: {spot: {kind, item, param, origin}}, value}) {
    return kind === "boundary" ? {do: "boundary", item, step: value - origin} : {do: "rate", item, param, value};
}

/** The same name for the same point in the next answer: an item has one boundary, and a parameter one point or two. */
function key({kind, item, param = ""}, before) {
    const twin = before.some((other) => other.kind === kind && String(other.item) === String(item) && other.param === param);
    return `${kind} ${item} ${param}${twin ? " again" : ""}`;
}
