// The look of a series beside a chart.
import {el, svg} from "../base/dom.js";

/** A short piece of a line in the look of a series, for legends. */
export function swatch(look) {
    return svg("svg", {class: "lrsched-swatch", width: 26, height: 10, "aria-hidden": "true"},
        svg("path", {class: `lrsched-line lrsched-look-${look}`, d: "M1 5H25"}));
}

/** Writes [look, name] pairs as a legend. */
export function fillLegend(node, pairs) {
    node.replaceChildren(...pairs.map(([look, name]) => el("span", {}, swatch(look), el("span", {text: name}))));
}
