// The pair of buttons that makes a chart linear or logarithmic.
import {keep, recall} from "../base/storage.js";
import {bindToolbar} from "../base/toolbar.js";

/**
 * Ties a pair of buttons (linear, log) to a chart. `nameOf()` is where the choice is kept; the function that is returned looks there
 * again, for a chart that shows now this and now that.
 */
export function bindAxis(group, chart, nameOf) {
    const choose = (axis) => {
        for (const side of group.querySelectorAll("button")) side.setAttribute("aria-pressed", String(side.dataset.axis === axis));
        chart.setAxis(axis);
    };
    const initial = chart.axis;
    const look = () => choose(recall("axis." + nameOf(), initial));
    group.addEventListener("click", (event) => {
        const axis = event.target.dataset?.axis;
        if (!axis) return;
        keep("axis." + nameOf(), axis);
        choose(axis);
    });
    bindToolbar(group);
    look();
    return look;
}
