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

/** A text, or, where it is longer than `most`, the part of it that differs from another one, with what stands around that. */
export function excerpt(text, other, most) {
    if (text.length <= most) return text;
    const [start, tail] = difference(other, text);
    const room = Math.max(0, most - (text.length - tail - start)) / 2;
    const from = Math.max(0, Math.min(start - Math.floor(room), text.length - most));
    const to = Math.min(text.length, from + most);
    return (from > 0 ? "… " : "") + text.slice(from, to) + (to < text.length ? " …" : "");
}

const collator = new Intl.Collator(undefined, {numeric: true, sensitivity: "base"});

/** Compares two names as people sort them: numbers in them by size, without heed of case and accents. */
export function compareNames(a, b) {
    return collator.compare(a, b);
}

/** How many characters two texts share at their start. */
export function commonStart(a, b) {
    let i = 0;
    while (i < a.length && i < b.length && a[i] === b[i]) i++;
    return i;
}

/** The end of the code at or after `caret` after which a new item can stand: before a comma outside brackets, or at the end. */
export function itemBoundary(text, caret) {
    let depth = 0;
    let last = 0; // where the code so far ends, comments left out
    for (let i = 0; i < text.length; i++) {
        const char = text[i];
        if (char === "#") {
            while (i < text.length && text[i] !== "\n") i++;
            continue;
        }
        if (char === "," && depth === 0 && i >= caret) return last;
        if (char === "(") depth++;
        if (char === ")") depth = Math.max(0, depth - 1);
        if (/\S/.test(char)) last = i + 1;
    }
    return last;
}

/** Words of the server's as a sentence: a capital in front, a full stop at the end. */
export function sentence(words) {
    const text = words.trim();
    return text === "" ? "" : text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}
