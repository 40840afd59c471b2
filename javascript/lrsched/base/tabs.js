// The tabs of the host's page.
import {root} from "./dom.js";

/** The words on our own tab, and on the one in which the host trains. */
export const OURS = "LR Schedule";
export const TRAIN = "Train";
export const NO_TAB_OF_OURS = `The tab ${OURS} was not found on this page.`;
export const NO_TRAIN_TAB = "There is no Train tab on this page.";
/** The row of tabs within the host's. */
export const TRAIN_TABS = "#train_tabs";

/** Opens a tab by the words on it, and within it another one where `inner` names a row of tabs; false where it is not found. */
export function openTab(name, inner = null) {
    const button = named("#tabs > .tab-nav button", name);
    if (button === null) return false;
    button.click();
    if (inner !== null) named(`${inner} > .tab-nav button`, name)?.click();
    return true;
}

/** The same, and waits until the tab is laid out: hidden elements cannot have the focus, and gradio's drop-downs work only when visible. */
export async function goTo(name, inner = null) {
    if (!openTab(name, inner)) return false;
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
    return true;
}

function named(selector, name) {
    return [...root().querySelectorAll(selector)].find((one) => one.textContent.trim() === name) ?? null;
}
