// The tabs of the host's page.
import {root} from "./dom.js";

/** Opens a tab by the words on it, and within it another one where `inner` names a row of tabs; false where it is not found. */
export function openTab(name, inner = null) {
    const button = named("#tabs > .tab-nav button", name);
    if (button === null) return false;
    button.click();
    if (inner !== null) named(`${inner} > .tab-nav button`, name)?.click();
    return true;
}

function named(selector, name) {
    return [...root().querySelectorAll(selector)].find((one) => one.textContent.trim() === name) ?? null;
}
