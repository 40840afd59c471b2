// Which steps a chart shows: windows [from, to) within the limits [low, high] of all that there is.

export const LEAST_STEPS = 4;

/** What is seen of the limits through a window; all, where it is null or lies outside. */
export function visible([low, high], window) {
    if (window === null) return [low, high];
    const [from, to] = [Math.max(low, window[0]), Math.min(high, window[1])];
    return to > from ? [from, to] : [low, high];
}

/** The window of whole steps between two places that were dragged from one to the other, of at least LEAST_STEPS; null for all. */
export function dragged(start, end, limits) {
    const [from, to] = [Math.floor(Math.min(start, end)), Math.ceil(Math.max(start, end))];
    return within([from, to], limits);
}

/** A window that shows `factor` times as many steps, around a step that keeps its place as well as it can; null for all. */
export function scaled(window, centre, factor, limits) {
    const [from, to] = visible(limits, window);
    const around = Math.min(to, Math.max(from, centre ?? (from + to) / 2));
    const wanted = [Math.round(around - (around - from) * factor), Math.round(around + (to - around) * factor)];
    return within(wanted, limits);
}

/** The window moved so far that a step lies in it. */
export function following(window, step, limits) {
    if (window === null || (step >= window[0] && step < window[1])) return window;
    const width = window[1] - window[0];
    const from = step < window[0] ? step : step + 1 - width;
    return within([from, from + width], limits);
}

/** Moved and widened until it lies in the limits with LEAST_STEPS or more; null where it has all of them. */
function within([from, to], [low, high]) {
    const width = Math.max(LEAST_STEPS, to - from);
    if (width >= high - low) return null;
    const middle = (from + to - width) / 2;
    const start = Math.min(high - width, Math.max(low, to - from < width ? Math.round(middle) : from));
    return [start, start + width];
}
