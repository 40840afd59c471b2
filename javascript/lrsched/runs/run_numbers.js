// Exports the numbers of the chosen run, in the formats of a comparison.
import {ApiError, download, request} from "../base/api.js";
import {byId, setText} from "../base/dom.js";
import {Menu} from "../base/menu.js";
import {saveFile} from "../base/save_file.js";
import {chartPng} from "../compare/chart_png.js";
import {chartOf, CURVES, hasCurve} from "../compare/compare_lines.js";

const OVER = "step";
const ENDINGS = {csv: ".csv", curves: "-curves.csv", png: ".png", html: ".html"};

/** A menu in the head of a run; `shown()` is the run, or null. */
export class RunNumbers {
    constructor(shown) {
        this.shown = shown;
        new Menu(byId("run_numbers_as"), byId("run_numbers_as_menu"), (format) => this.#save(format));
    }

    async #save(format) {
        const run = this.shown();
        if (run === null) return;
        this.#say("Making the file…");
        try {
            const name = `${run.name}${ENDINGS[format]}`;
            saveFile(await (format === "png" ? png(run) : download(`comparison/file?runs=${encodeURIComponent(run.id)}&format=${format}&over=${OVER}`)), name);
            this.#say(`Saved ${name}, where the browser keeps downloads.`);
        } catch (error) {
            this.#say(`Not saved: ${error.message}`, true);
            if (!(error instanceof ApiError)) throw error;
        }
    }

    #say(text, isTrouble = false) {
        const line = byId("run_numbers_said");
        setText(line, text);
        line.classList.toggle("lrsched-bad", isTrouble);
    }
}

/** The progress of a run as an image; of one without progress what there is. */
async function png(run) {
    const answer = await request("POST", "comparison", {runs: [run.id], over: OVER});
    const curve = Object.keys(CURVES).find((one) => hasCurve(answer, one));
    if (curve === undefined) throw new ApiError("the run has no numbers to draw yet");
    const {label, about} = CURVES[curve];
    const {options, data} = chartOf(answer, curve, null);
    const legend = data.series.map(({look, name}) => [look, name]);
    return chartPng(byId("run_view"), {title: `${label} of ${run.title || run.name}`, about, options, data, legend});
}
