// How fast an axis grows while something is held beyond its end.

const DOUBLING_PX = 90; // at this distance beyond the end, the range doubles each second
const FASTEST = 3; // doublings a second
const LONGEST_MS = 100; // a page that was held up does not leap

/** The factor by which an axis grows in `ms` while the pointer is `beyond` pixels beyond its end. */
export function growth(beyond, ms) {
    const doublings = Math.min(FASTEST, Math.max(0, beyond) / DOUBLING_PX);
    return 2 ** ((doublings * Math.min(ms, LONGEST_MS)) / 1000);
}
