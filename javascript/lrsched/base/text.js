// Texts as Python and JavaScript count them, and how two of them differ.

/** Python counts characters, JavaScript UTF-16 units: the same place in `text` for JavaScript. */
export function toUnits(text, [start, end]) {
    if (!/[\ud800-\udbff]/.test(text)) return [start, end];
    const characters = Array.from(text);
    const units = (count) => characters.slice(0, count).join("").length;
    return [units(start), units(end)];
}

/** How many characters two texts share at their start and, beyond that, at their end. */
export function difference(a, b) {
    const start = commonStart(a, b);
    const most = Math.min(a.length, b.length) - start;
    let tail = 0;
    while (tail < most && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
    return [start, tail];
}

/** How many characters two texts share at their start. */
export function commonStart(a, b) {
    let i = 0;
    while (i < a.length && i < b.length && a[i] === b[i]) i++;
    return i;
}

/** Words of the server's as a sentence: a capital in front, a full stop behind. */
export function sentence(words) {
    const text = words.trim();
    return text === "" ? "" : text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}
