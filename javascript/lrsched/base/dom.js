// Elements of the page: making, finding and changing them.

const SVG = "http://www.w3.org/2000/svg";

/** The place to look for elements: the WebUI has a function for it. */
export function root() {
    return typeof globalThis.gradioApp === "function" ? globalThis.gradioApp() : document;
}

/** The element with our id, without the prefix: byId("text") is #lrsched_text. */
export function byId(name) {
    return document.getElementById("lrsched_" + name);
}

/**
 * An element. `props.on` holds listeners, `props.data` data attributes; `text` goes through textContent, so that
 * names from outside stay text. null children are left out.
 */
export function el(tag, props = {}, ...children) {
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
export function svg(tag, attributes = {}, ...children) {
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
export function setText(node, text) {
    if (node && node.textContent !== text) node.textContent = text;
}

export function setHidden(node, hidden) {
    if (node && node.hidden !== hidden) node.hidden = hidden;
}

/** Gives the focus to the first of these that can take it, and leaves the page where it is. */
export function focusOne(...nodes) {
    for (const node of nodes) {
        node?.focus({preventScroll: true});
        if (node && document.activeElement === node) return;
    }
}

/** Hides an element, or shows it; a focus that is in it goes to the first of `heirs` that can take it. */
export function hideWithFocus(node, hidden, ...heirs) {
    const isLost = hidden && !node.hidden && node.contains(document.activeElement);
    setHidden(node, hidden);
    if (isLost) focusOne(...heirs);
}

/** Does something during which `button` cannot be pressed; the focus comes back to it, unless it was moved meanwhile. */
export async function whileDisabled(button, action) {
    const hadFocus = document.activeElement === button;
    button.disabled = true;
    try {
        return await action();
    } finally {
        button.disabled = false;
        if (hadFocus && document.activeElement === document.body) focusOne(button);
    }
}

/** True when the element is laid out in a page that the reader can see. */
export function isShown(node) {
    return Boolean(node) && document.visibilityState === "visible" && node.getClientRects().length > 0;
}

/** Sets a field as if it was typed, so that gradio and our own listeners see it. */
export function typeInto(input, value) {
    if (input.value === String(value)) return;
    input.value = String(value);
    for (const name of ["input", "change"]) input.dispatchEvent(new Event(name, {bubbles: true}));
}
