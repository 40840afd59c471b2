// The ending of a range test: progress over rate, and the rate that is suggested.
import {byId, setHidden, setText} from "../base/dom.js";
import {formatPercent, formatRate} from "../base/format.js";
import {Chart} from "../chart/chart.js";
import {LEAST_SHARE} from "../chart/scale.js";

/**
 * The chart of a range test. x is the decade of a rate. As much is shown below nothing as above it, so that the rates at which it
 * diverges do not flatten the others.
 */
export function rangeChart({points, suggested}) {
    const x = points.map(([rate]) => Math.log10(rate));
    const y = points.map(([, share]) => share);
    const marks = suggested === null ? [] : [{x: Math.log10(suggested), kind: "event", label: formatRate(suggested, 2)}];
    return {
        data: {xLow: Math.min(...x), xHigh: Math.max(...x), marks, series: [{name: "loss gone", look: 0, weight: "thick", x, y}]},
        lowest: -Math.max(LEAST_SHARE, ...y),
    };
}

/** The suggestion and its reason. */
export function rangeWords({suggested, why}) {
    return suggested === null ? `No rate is suggested: ${why}` : `Suggested rate: ${formatRate(suggested, 2)}. ${upper(why)}`;
}

/** Shown for runs whose text has a range test. */
export class RangeView {
    constructor() {
        const formatX = (decade) => formatRate(10 ** decade, 2);
        this.chart = new Chart(byId("run_range_chart"), {
            label: "Progress over rate", height: 190, xLabel: "rate", unit: "rate", format: formatPercent, formatX, least: LEAST_SHARE,
        });
    }

    /** `found` is the answer's `range_test`, or null. */
    show(found) {
        setHidden(byId("run_range"), !found);
        if (!found) return;
        setText(byId("run_range_said"), rangeWords(found));
        setHidden(byId("run_range_chart"), found.points.length === 0);
        if (found.points.length === 0) return;
        const {data, lowest} = rangeChart(found);
        this.chart.options.lowest = lowest;
        this.chart.show(data);
    }
}

function upper(text) {
    return text.charAt(0).toUpperCase() + text.slice(1);
}
