// Where the lines on the chosen embedding and hypernetwork stand: below the row of the names, so that nothing in it moves.
import {el} from "../base/dom.js";
import * as fields from "./fields.js";

/** One box below the row, with a place for each kind. */
export class ResumePlace {
    constructor() {
        this.box = el("div", {class: "lrsched lrsched-inline lrsched-resumes", id: "lrsched_resumes"});
    }

    /** Puts the lines of a kind there, again where gradio has redrawn the row; false where the page has no such field. */
    put(kind, lines) {
        const row = rowOfNames();
        if (row === null) return false;
        if (row.nextElementSibling !== this.box) row.after(this.box);
        if (lines.parentElement !== this.box) this.box[kind === "embedding" ? "prepend" : "append"](lines);
        return true;
    }
}

/** The outermost element around both names whose parent lays its children out one below the other. */
function rowOfNames() {
    const one = fields.block("embedding");
    const other = fields.block("hypernetwork");
    let place = one ?? other;
    while (place?.parentElement && other !== null && !place.contains(other)) place = place.parentElement;
    while (place?.parentElement && isRow(place.parentElement)) place = place.parentElement;
    return place;
}

function isRow(node) {
    const {display, flexDirection} = getComputedStyle(node);
    return display.endsWith("flex") && flexDirection.startsWith("row");
}
