// Numbers, sizes and times in words.

// Made once: making one takes longer than all that is written with it.
const whole = new Intl.NumberFormat("en-GB", {maximumFractionDigits: 0});
const minutes = new Intl.DateTimeFormat(undefined, {year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit"});
const clock = new Intl.DateTimeFormat(undefined, {hour: "2-digit", minute: "2-digit"});
const days = new Intl.DateTimeFormat(undefined, {month: "short", day: "numeric"});

/** A rate with `digits` significant digits, without needless zeros: 0.005, 2.5e-6. */
export function formatRate(value, digits = 4) {
    if (value === null || value === undefined || !Number.isFinite(value)) return "–";
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (size >= 1e-4 && size < 1e6) return String(Number(value.toPrecision(digits)));
    const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
    return `${Number(mantissa)}e${Number(exponent)}`;
}

/** A share in percent with up to three significant digits, or fewer, and two decimals at most: 38.1 %, −7.32 %, 120 %. */
export function formatPercent(share, digits = 3) {
    if (share === null || share === undefined || !Number.isFinite(share)) return "–";
    const percent = 100 * share;
    const before = Math.floor(Math.log10(Math.max(Math.abs(percent), 1e-2))) + 1;
    return `${Number(percent.toFixed(Math.max(0, Math.min(digits - before, 3 - before, 2)))) || 0} %`.replace("-", "−");
}

export function formatCount(value) {
    return value === null || value === undefined ? "–" : whole.format(value);
}

/** A number of updates in words. */
export function formatUpdates(count) {
    return count === 1 ? "1 update" : `${formatCount(count)} updates`;
}

/** A number of bytes: 950 B, 18.1 kB, 240 MB. */
export function formatSize(bytes) {
    const units = ["B", "kB", "MB", "GB"];
    const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
    const size = bytes / 1000 ** power;
    return `${size < 100 && power > 0 ? Number(size.toPrecision(3)) : Math.round(size)} ${units[power]}`;
}

/** Seconds in words: 0.21 s, 3 min 12 s, 1 h 02 min. */
export function formatDuration(seconds) {
    if (seconds === null || seconds === undefined) return "–";
    if (seconds < 10) return `${Number(seconds.toPrecision(2))} s`;
    const total = Math.round(seconds);
    if (total < 60) return `${total} s`;
    if (total < 3600) return `${Math.floor(total / 60)} min ${String(total % 60).padStart(2, "0")} s`;
    const whole_min = Math.round(total / 60);
    return `${Math.floor(whole_min / 60)} h ${String(whole_min % 60).padStart(2, "0")} min`;
}

/** A moment (unix seconds) as local date and time, to the minute. */
export function formatMoment(unix_s) {
    return minutes.format(unix_s * 1000);
}

/** A moment today as the time, another one as the day. */
export function formatShortMoment(unix_s) {
    const moment = new Date(unix_s * 1000);
    return (moment.toDateString() === new Date().toDateString() ? clock : days).format(moment);
}
