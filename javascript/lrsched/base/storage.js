// What this browser keeps between two visits.

const STORAGE_KEY = "lrsched.";

/** In this browser, or until its tab is closed. */
const storage = (isOfTab) => (isOfTab ? sessionStorage : localStorage);

/** What was kept in this browser under `name`, or `fallback`. Storage may be forbidden: then nothing is kept. */
export function recall(name, fallback, {isOfTab = false} = {}) {
    try {
        return JSON.parse(storage(isOfTab).getItem(STORAGE_KEY + name)) ?? fallback;
    } catch (error) {
        console.warn("LR Schedule: the browser's storage cannot be read.", error);
        return fallback;
    }
}

export function keep(name, value, {isOfTab = false} = {}) {
    try {
        storage(isOfTab).setItem(STORAGE_KEY + name, JSON.stringify(value));
    } catch (error) {
        console.warn("LR Schedule: the browser's storage cannot be written.", error);
    }
}
