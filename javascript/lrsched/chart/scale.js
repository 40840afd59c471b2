// Axes of a chart: from values to pixels, and where the ticks go. No schedule arithmetic.

const MOST_DECADES = 9;
/** A share of the loss; a smaller one is shown as 0. */
export const LEAST_SHARE = 0.01;

/** Round numbers between low and high, about `count` of them. */
export function niceTicks(low, high, count, {whole = false} = {}) {
    if (!(high > low)) return [low];
    const rough = (high - low) / Math.max(1, count);
    const power = 10 ** Math.floor(Math.log10(rough));
    const factor = [1, 2, 5, 10].find((candidate) => candidate * power >= rough * 0.999) ?? 10;
    const step = whole ? Math.max(1, Math.round(factor * power)) : factor * power;
    const first = Math.ceil(low / step - 1e-9);
    const last = Math.floor(high / step + 1e-9);
    return Array.from({length: last - first + 1}, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** A straight scale from [low, high] to [from, to] in pixels. */
export function linearScale(low, high, from, to) {
    const span = high - low || 1;
    return (value) => from + ((value - low) / span) * (to - from);
}

/**
 * The y axis of linear charts, which ends at `ceiling` or higher.
 * Returns {toPixel, toValue, ticks: [{value, label}], minor: []}.
 */
export function linearAxis(low, high, from, to, {zero = true, count = 5, ceiling = -Infinity, format}) {
    let bottom = zero ? Math.min(0, low) : low;
    let top = zero ? Math.max(0, high) : high;
    if (!(top > bottom)) [bottom, top] = widened(bottom, zero);
    const steps = niceTicks(bottom, Math.max(top, ceiling), count);
    const room = (top - bottom) * 0.06;
    if (bottom !== 0) bottom -= room;
    if (top !== 0) top += room;
    top = Math.max(top, ceiling);
    const ticks = steps.map((value) => ({value, label: format(value)}));
    return {toPixel: linearScale(bottom, top, from, to), toValue: linearScale(from, to, bottom, top), ticks, minor: []};
}

/** A range to draw for a single value. */
function widened(value, zero) {
    if (value === 0) return [0, 1];
    return zero ? [0, value] : [value - Math.abs(value) / 10, value + Math.abs(value) / 10];
}

/**
 * The y axis of logarithmic charts. Values of 0 have no place on it: they get a floor of their own below the last
 * decade, labelled 0; so do values more than MOST_DECADES below the highest. The axis ends at `ceiling` or higher and, without
 * that floor, at `floor` or lower; `hasFloor` says which it is.
 */
export function logAxis(low, high, from, to, {hasZero = false, ceiling = 0, floor = Infinity, format}) {
    if (!(high > 0)) return floorOnly(from, to);
    const top = Math.log10(high);
    const lowest = Math.max(Math.log10(low), top - MOST_DECADES);
    const cut = Math.log10(low) < lowest;
    const hasFloor = hasZero || cut;
    const [lowEnd, highEnd] = logLimits(lowest, top);
    const [bottom, end] = [hasFloor ? lowEnd : Math.min(lowEnd, Math.log10(floor)), Math.max(highEnd, Math.log10(ceiling))];
    const base = hasFloor ? from + (to - from) * 0.09 : from;
    const scale = linearScale(bottom, end, base, to);
    const toPixel = (value) => (value > 0 && Math.log10(value) >= bottom - 1e-9 ? scale(Math.log10(value)) : from);
    const back = linearScale(base, to, bottom, end);
    const toValue = (pixel) => (hasFloor && pixel > (base + from) / 2 ? 0 : 10 ** back(hasFloor ? Math.min(pixel, base) : pixel));
    const {ticks, minor} = logTicks(bottom, end, format);
    if (hasFloor) ticks.unshift({value: 0, label: hasZero ? "0" : "less"});
    return {toPixel, toValue, ticks, minor, hasFloor};
}

function logLimits(lowest, top) {
    if (top - lowest < 1e-9) return [lowest - 0.5, top + 0.5];
    const room = (top - lowest) * 0.05;
    return [lowest - room, top + room];
}

function logTicks(bottom, ceiling, format) {
    const decades = [];
    const between = [];
    for (let power = Math.floor(bottom); power <= Math.ceil(ceiling); power++) {
        for (let digit = 1; digit < 10; digit++) {
            const value = Number(`${digit}e${power}`);
            const place = Math.log10(value);
            if (place < bottom || place > ceiling) continue;
            (digit === 1 ? decades : between).push(value);
        }
    }
    const label = (value) => ({value, label: format(value)});
    if (decades.length >= 2) return {ticks: decades.map(label), minor: decades.length <= 5 ? between : []};
    const linear = niceTicks(10 ** bottom, 10 ** ceiling, 4).filter((value) => value > 0);
    return {ticks: linear.map(label), minor: []};
}

function floorOnly(from, to) {
    return {toPixel: () => from, toValue: () => 0, ticks: [{value: 0, label: "0"}], minor: [], top: to};
}

/** The indices [first, last) of a rising list whose values lie in [low, high]. */
export function between(xs, low, high) {
    let first = Math.max(0, nearest(xs, low));
    let last = Math.max(0, nearest(xs, high));
    while (first < xs.length && xs[first] < low) first += 1;
    while (last < xs.length && xs[last] <= high) last += 1;
    return [first, Math.max(first, last)];
}

/** The index of the value in the rising list `xs` that lies nearest to `x`; -1 for an empty list. */
export function nearest(xs, x) {
    let low = 0;
    let high = xs.length - 1;
    while (low < high) {
        const middle = (low + high) >> 1;
        if (xs[middle] < x) low = middle + 1;
        else high = middle;
    }
    return low > 0 && x - xs[low - 1] <= xs[low] - x ? low - 1 : xs.length ? low : -1;
}
