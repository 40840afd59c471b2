// Small tools for the page: elements, texts, storage. They know nothing of schedules.
"use strict";

(() => {
    const lrsched = (globalThis.lrsched ??= {});
    const SVG = "http://www.w3.org/2000/svg";
    const STORAGE_KEY = "lrsched.";

    /** The place to look for elements: the WebUI has a function for it. */
    function root() {
        return typeof globalThis.gradioApp === "function" ? globalThis.gradioApp() : document;
    }

    /** The element with our id, without the prefix: byId("text") is #lrsched_text. */
    function byId(name) {
        return document.getElementById("lrsched_" + name);
    }

    /**
     * An element. `props.on` holds listeners, `props.data` data attributes; `text` goes through textContent, so that
     * names from outside stay text. null children are left out.
     */
    function el(tag, props = {}, ...children) {
        const {on = {}, data = {}, text, ...attributes} = props;
        const node = document.createElement(tag);
        setAttributes(node, attributes);
        Object.assign(node.dataset, data);
        if (text !== undefined) node.textContent = text;
        for (const [name, listener] of Object.entries(on)) node.addEventListener(name, listener);
        node.append(...children.filter((child) => child !== null && child !== undefined));
        return node;
    }

    /** An SVG element. */
    function svg(tag, attributes = {}, ...children) {
        const node = document.createElementNS(SVG, tag);
        const {text, ...rest} = attributes;
        setAttributes(node, rest);
        if (text !== undefined) node.textContent = text;
        node.append(...children.filter((child) => child !== null && child !== undefined));
        return node;
    }

    function setAttributes(node, attributes) {
        for (const [name, value] of Object.entries(attributes)) {
            if (value === null || value === undefined || value === false) continue;
            node.setAttribute(name, value === true ? "" : String(value));
        }
    }

    /** Writes a text only when it differs, so that watchers of the page are not woken for nothing. */
    function setText(node, text) {
        if (node && node.textContent !== text) node.textContent = text;
    }

    function setHidden(node, hidden) {
        if (node && node.hidden !== hidden) node.hidden = hidden;
    }

    /** True when the element is laid out in a page that the reader can see. */
    function isShown(node) {
        return Boolean(node) && document.visibilityState === "visible" && node.getClientRects().length > 0;
    }

    /** Sets a field as if it was typed, so that gradio and our own listeners see it. */
    function typeInto(input, value) {
        if (input.value === String(value)) return;
        input.value = String(value);
        for (const name of ["input", "change"]) input.dispatchEvent(new Event(name, {bubbles: true}));
    }

    /** What was kept in this browser under `name`, or `fallback`. Storage may be forbidden: then nothing is kept. */
    function recall(name, fallback) {
        try {
            return JSON.parse(localStorage.getItem(STORAGE_KEY + name)) ?? fallback;
        } catch (error) {
            console.warn("LR Schedule: the browser's storage cannot be read.", error);
            return fallback;
        }
    }

    function keep(name, value) {
        try {
            localStorage.setItem(STORAGE_KEY + name, JSON.stringify(value));
        } catch (error) {
            console.warn("LR Schedule: the browser's storage cannot be written.", error);
        }
    }

    /** Python counts characters, JavaScript UTF-16 units: the same place in `text` for JavaScript. */
    function toUnits(text, [start, end]) {
        if (!/[\ud800-\udbff]/.test(text)) return [start, end];
        const characters = Array.from(text);
        const units = (count) => characters.slice(0, count).join("").length;
        return [units(start), units(end)];
    }

    const whole = new Intl.NumberFormat("en-GB", {maximumFractionDigits: 0});

    /** A rate with `digits` significant digits, without needless zeros: 0.005, 2.5e-6. */
    function formatRate(value, digits = 4) {
        if (value === null || value === undefined || !Number.isFinite(value)) return "–";
        if (value === 0) return "0";
        const size = Math.abs(value);
        if (size >= 1e-4 && size < 1e6) return String(Number(value.toPrecision(digits)));
        const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
        return `${Number(mantissa)}e${Number(exponent)}`;
    }

    function formatCount(value) {
        return value === null || value === undefined ? "–" : whole.format(value);
    }

    /** A number of bytes: 950 B, 18.1 kB, 240 MB. */
    function formatSize(bytes) {
        const units = ["B", "kB", "MB", "GB"];
        const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
        const size = bytes / 1000 ** power;
        return `${size < 100 && power > 0 ? Number(size.toPrecision(3)) : Math.round(size)} ${units[power]}`;
    }

    /** Seconds in words: 0.21 s, 3 min 12 s, 1 h 02 min. */
    function formatDuration(seconds) {
        if (seconds === null || seconds === undefined) return "–";
        if (seconds < 10) return `${Number(seconds.toPrecision(2))} s`;
        const total = Math.round(seconds);
        if (total < 60) return `${total} s`;
        if (total < 3600) return `${Math.floor(total / 60)} min ${String(total % 60).padStart(2, "0")} s`;
        const minutes = Math.round(total / 60);
        return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
    }

    /** A moment (unix seconds) as local date and time, to the minute. */
    function formatMoment(unix_s) {
        const options = {year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit"};
        return new Date(unix_s * 1000).toLocaleString(undefined, options);
    }

    /** The button that writes a corrected text; null where there is none. */
    function fixButton(fix, write) {
        if (fix === null || fix === undefined) return null;
        return el("button", {type: "button", class: "lrsched-button lrsched-fix", text: "Fix", title: fix, on: {click: () => write(fix)}});
    }

    /** The box for an error: what is wrong, below it the text with carets under the place, and a button that mends it. */
    function caretBox(error, write) {
        const rest = (error.caret ?? "").startsWith(error.message) ? error.caret.slice(error.message.length).replace(/^\n/, "") : "";
        const place = rest === "" ? null : el("pre", {class: "lrsched-caret", text: rest});
        const box = el("div", {class: "lrsched-message lrsched-error"}, el("span", {class: "lrsched-message-text", text: error.message}),
            place, fixButton(error.fix, write));
        // The carets of a long line may lie outside a narrow box: bring them into view once it is laid out.
        if (place) requestAnimationFrame(() => (place.scrollLeft = place.scrollWidth * caretShare(rest) - place.clientWidth / 2));
        return box;
    }

    /** How far to the right the carets stand in the longest line, 0 to 1. */
    function caretShare(text) {
        const lines = text.split("\n");
        return lines[lines.length - 1].length / Math.max(1, ...lines.map((line) => line.length));
    }

    /** A moment today as the time, another one as the day. */
    function formatShortMoment(unix_s) {
        const moment = new Date(unix_s * 1000);
        const isToday = moment.toDateString() === new Date().toDateString();
        const options = isToday ? {hour: "2-digit", minute: "2-digit"} : {month: "short", day: "numeric"};
        return isToday ? moment.toLocaleTimeString(undefined, options) : moment.toLocaleDateString(undefined, options);
    }

    /** Writes [look, name] pairs as a legend. */
    function fillLegend(node, pairs) {
        node.replaceChildren(...pairs.map(([look, name]) => el("span", {}, lrsched.swatch(look), el("span", {text: name}))));
    }

    lrsched.dom = {
        caretBox, fixButton, fillLegend, formatShortMoment, root, byId, el, svg, setText, setHidden, isShown, typeInto, recall, keep, toUnits,
        formatRate, formatCount, formatDuration, formatMoment, formatSize,
    };
})();
