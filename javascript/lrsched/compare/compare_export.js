// A comparison as a file: tables and the page from the server, the chart as an image from here.
import {ApiError, download} from "../base/api.js";
import {byId} from "../base/dom.js";
import {saveFile} from "../base/save_file.js";
import {chartPng} from "./chart_png.js";
import {CURVES} from "./compare_lines.js";

const FILES = {csv: "runs.csv", curves: "curves.csv", html: "comparison.html", png: "comparison.png"};

/** `panel` has the answer that is shown and says how it went. */
export class CompareExport {
    constructor(panel) {
        this.panel = panel;
        this.button = byId("compared_export");
    }

    async save(format) {
        const {panel} = this;
        if (panel.answer === null) return;
        panel.trouble("");
        panel.say("Making the file…");
        this.button.disabled = true;
        try {
            const name = FILES[format];
            saveFile(await (format === "png" ? this.#png() : this.#file(format)), name);
            panel.say(`Saved ${name}, where the browser keeps downloads.`);
        } catch (error) {
            panel.say("");
            panel.trouble(`Not saved: ${error.message}`);
            if (!(error instanceof ApiError)) throw error;
        } finally {
            this.button.disabled = false;
            this.button.focus({preventScroll: true});
        }
    }

    #file(format) {
        const {runs, over} = this.panel.answer;
        const ids = runs.map(({id}) => encodeURIComponent(id)).join(",");
        return download(`comparison/file?runs=${ids}&format=${format}&over=${over}`);
    }

    #png() {
        const {panel} = this;
        const {label, about} = CURVES[panel.curve];
        const {options, data} = panel.shown;
        const legend = [...data.series].sort((one, other) => one.place - other.place).map(({look, name}) => [look, name]);
        return chartPng(byId("compared"), {title: `${label} of ${legend.length === 1 ? "one run" : `${legend.length} runs`}`, about, options, data, legend});
    }
}
