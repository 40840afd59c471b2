// The pair of buttons that makes a chart linear or logarithmic.
import {keep, recall} from "../base/storage.js";

/** Ties a pair of buttons (linear, log) to a chart; `name` is where the choice is kept. */
export function bindAxis(group, chart, name) {
    const choose = (axis) => {
        for (const side of group.querySelectorAll("button")) side.setAttribute("aria-pressed", String(side.dataset.axis === axis));
        chart.setAxis(axis);
    };
    group.addEventListener("click", (event) => {
        const axis = event.target.dataset?.axis;
        if (!axis) return;
        keep("axis." + name, axis);
        choose(axis);
    });
    choose(recall("axis." + name, chart.axis));
}
