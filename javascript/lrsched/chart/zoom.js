// Zooming into charts: dragging over one, a double click back; plus, minus and Escape on the keyboard.
import {svg} from "../base/dom.js";
import {dragged, scaled} from "./window.js";

const DRAG_PX = 6; // less is a click

/** Of one chart; its group shows the window in all of its charts. A finger scrolls the page, and reads with the crosshair. */
export class Zoom {
    #start = null; // {id, pixel} while a button is held

    constructor(chart, cursors) {
        this.chart = chart;
        this.cursors = cursors;
        this.layer = svg("g");
        chart.svg.append(this.layer);
        chart.host.classList.add("lrsched-zooms");
        cursors.addChart(chart);
        const {host} = chart;
        host.addEventListener("pointerdown", (event) => this.#press(event));
        host.addEventListener("pointermove", (event) => this.#drag(event));
        host.addEventListener("pointerup", (event) => this.#drop(event));
        host.addEventListener("pointercancel", () => this.#letGo());
        host.addEventListener("dblclick", () => cursors.zoom(null));
        host.addEventListener("keydown", (event) => this.#key(event));
    }

    get #limits() {
        const {xLow, xHigh} = this.chart.data;
        return [xLow, xHigh];
    }

    #press(event) {
        if (event.button !== 0 || event.pointerType === "touch" || !this.chart.frame) return;
        this.#start = {id: event.pointerId, pixel: this.#pixel(event), isDrag: false};
    }

    #drag(event) {
        if (this.#start?.id !== event.pointerId) return;
        const pixel = this.#pixel(event);
        if (!this.#start.isDrag && Math.abs(pixel - this.#start.pixel) < DRAG_PX) return;
        if (!this.#start.isDrag) this.chart.host.setPointerCapture(event.pointerId);
        this.#start.isDrag = true;
        this.#draw(this.#start.pixel, pixel);
    }

    #drop(event) {
        const start = this.#start;
        if (start?.id !== event.pointerId) return;
        this.#letGo();
        if (!start.isDrag || !this.chart.frame) return;
        const {stepAt} = this.chart.frame;
        this.cursors.zoom(dragged(stepAt(start.pixel), stepAt(this.#pixel(event)), this.#limits));
    }

    #letGo() {
        this.#start = null;
        this.layer.replaceChildren();
    }

    #pixel(event) {
        const {left, right} = this.chart.frame;
        return Math.max(left, Math.min(right, event.clientX - this.chart.host.getBoundingClientRect().left));
    }

    #draw(from, to) {
        const {top, bottom} = this.chart.frame;
        this.layer.replaceChildren(svg("rect", {
            class: "lrsched-zoom-band", x: Math.min(from, to), y: top, width: Math.abs(to - from), height: bottom - top,
        }));
    }

    #key(event) {
        const factor = {"+": 0.5, "=": 0.5, "-": 2, "_": 2}[event.key];
        const isBack = event.key === "Escape" && (this.#start !== null || this.cursors.window !== null);
        if (event.ctrlKey || event.metaKey || event.altKey || (factor === undefined && !isBack)) return;
        event.preventDefault();
        event.stopImmediatePropagation(); // the crosshair stays
        if (this.#start !== null) this.#letGo();
        else this.by(factor ?? null);
    }

    /** Shows `factor` times as many steps around the crosshair; null shows all. */
    by(factor) {
        const {window, newest} = this.cursors;
        this.cursors.zoom(factor === null ? null : scaled(window, newest, factor, this.#limits));
    }
}
