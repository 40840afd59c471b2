// What this browser keeps between two visits.

const STORAGE_KEY = "lrsched.";

/** What was kept in this browser under `name`, or `fallback`. Storage may be forbidden: then nothing is kept. */
export function recall(name, fallback) {
    try {
        return JSON.parse(localStorage.getItem(STORAGE_KEY + name)) ?? fallback;
    } catch (error) {
        console.warn("LR Schedule: the browser's storage cannot be read.", error);
        return fallback;
    }
}

export function keep(name, value) {
    try {
        localStorage.setItem(STORAGE_KEY + name, JSON.stringify(value));
    } catch (error) {
        console.warn("LR Schedule: the browser's storage cannot be written.", error);
    }
}
