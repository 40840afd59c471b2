// Messages about a schedule text: an error with its carets, a warning with a button that mends the text.
import {el} from "./dom.js";
import {whileTrying} from "./retry.js";
import {excerpt} from "./text.js";

/**
 * The box for an error: what is wrong, the text with carets under the place, and a button with which `onFix(text)` mends it.
 * Of a long corrected text the button shows what differs from `text`, where that is given. `action` ({text, click}) is another way out.
 */
export function errorBox(error, {onFix, text = "", action = null}) {
    const rest = (error.caret ?? "").startsWith(error.message) ? error.caret.slice(error.message.length).replace(/^\n/, "") : "";
    const place = rest === "" ? null : el("pre", {class: "lrsched-caret", text: rest});
    const box = el("div", {class: "lrsched-message lrsched-error"}, el("span", {class: "lrsched-message-text", text: error.message}),
        place, fixButton(error.fix, text, onFix), action && actionButton(action));
    // The carets of a long line may lie outside a narrow box: bring them into view once it is laid out.
    if (place) requestAnimationFrame(() => (place.scrollLeft = place.scrollWidth * caretShare(rest) - place.clientWidth / 2));
    return box;
}

const LONGEST_FIX = 120;

/** How far to the right the carets stand in the longest line, 0 to 1. */
function caretShare(text) {
    const lines = text.split("\n");
    return lines[lines.length - 1].length / Math.max(1, ...lines.map((line) => line.length));
}

/** The box for a warning; `onFix(text)` writes the corrected text where there is one, with `onShow` a button shows the place. */
export function warningBox({message, fix = null}, {onFix, onShow = null, text = ""}) {
    const show = onShow && el("button", {type: "button", class: "lrsched-link", text: "show", on: {click: onShow}});
    return el("div", {class: "lrsched-message lrsched-warning"},
        el("span", {class: "lrsched-message-text", text: message}), show, fixButton(fix, text, onFix));
}

/** The box for a question to the server that failed: nothing is known of the text. */
export function failureBox(error) {
    return el("div", {class: "lrsched-message lrsched-muted", text: whileTrying(error)});
}

function actionButton({text, click}) {
    return el("button", {type: "button", class: "lrsched-button lrsched-fix", text, on: {click}});
}

/** The button that writes a corrected text and shows it; null where there is none. */
function fixButton(fix, before, onFix) {
    if (fix === null || fix === undefined) return null;
    return el("button", {type: "button", class: "lrsched-button lrsched-fix", title: fix, on: {click: () => onFix(fix)}},
        "Fix: ", el("code", {text: excerpt(fix, before, LONGEST_FIX)}));
}
