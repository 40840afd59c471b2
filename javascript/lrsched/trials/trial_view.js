// One trial: the curves of its candidates, which grow while it runs, then what is suggested, a table and the images.
import {byId, el, setHidden, setText} from "../base/dom.js";
import {formatCount, formatMoment, formatPercent} from "../base/format.js";
import {Chart} from "../chart/chart.js";
import {fillLegend, swatch} from "../chart/legend.js";
import {LEAST_SHARE} from "../chart/scale.js";
import {bestOf, chartOf, looksOf, ordered} from "./curves.js";
import {ImageGrid} from "./image_grid.js";
import {Suggestion} from "./suggestion.js";
import {ending, isActive, nameOf, outcome, statusOf, title} from "./words.js";

/** The right part of the card. `onOpen(text)` puts a candidate's text into the editor; `suggestion` as in suggestion.js. */
export class TrialView {
    #drawn = "";

    constructor({onOpen, suggestion}) {
        this.onOpen = onOpen;
        this.panel = byId("trial_view");
        this.suggestion = new Suggestion(suggestion);
        this.images = new ImageGrid(byId("trial_images"));
        this.chart = null;
    }

    /** Draws what has changed; null hides it all. */
    show(trial) {
        setHidden(this.panel, trial === null);
        if (trial === null) return;
        this.suggestion.show(trial);
        const key = JSON.stringify(trial);
        if (key === this.#drawn) return;
        this.#drawn = key;
        const shown = ordered(trial);
        this.#drawHead(shown);
        this.#drawChart(shown);
        this.#drawTable(shown);
        this.images.show(shown);
    }

    #drawHead(trial) {
        setText(byId("trial_title"), title(trial));
        setText(byId("trial_text"), trial.text);
        setHidden(byId("trial_text"), trial.what === "texts");
        setText(byId("trial_facts"), facts(trial));
        const isGoing = isActive(trial);
        setHidden(byId("trial_progress"), !isGoing);
        setText(byId("trial_status"), isGoing ? statusOf(trial) : "");
        const done = trial.expected > 0 ? Math.min(100, (100 * trial.made) / trial.expected) : 0;
        byId("trial_bar").setAttribute("aria-valuenow", String(Math.round(done)));
        byId("trial_bar").firstElementChild.style.width = `${done}%`;
        setHidden(byId("trial_stop"), !isGoing);
        setHidden(byId("trial_delete"), isGoing);
        setText(byId("trial_ending"), ending(trial));
        byId("trial_ending").classList.toggle("lrsched-trouble", trial.state === "failed");
        byId("trial_messages").replaceChildren(...(trial.messages ?? []).map((text) => el("li", {text})));
    }

    #drawChart(trial) {
        const hasRoom = isActive(trial) || trial.candidates.some(({curve}) => curve.length > 0);
        setHidden(byId("trial_curves"), !hasRoom);
        if (!hasRoom) return;
        this.chart ??= new Chart(byId("trial_chart"), {
            label: "Loss gone over updates", height: 300, format: formatPercent, xLabel: "update", unit: "update", least: LEAST_SHARE,
        });
        const {data, lowest} = chartOf(trial);
        this.chart.setOptions({lowest});
        this.chart.show(data);
        fillLegend(byId("trial_legend"), data.series.map(({look, name}) => [look, name]));
    }

    #drawTable(trial) {
        const body = byId("trial_rows");
        const [best, looks] = [bestOf(trial), looksOf(trial)];
        setText(byId("trial_first_column"), trial.what === "texts" ? "Schedule" : "Highest rate");
        byId("trial_table").classList.toggle("lrsched-of-rates", trial.what === "rates");
        setHidden(byId("trial_table"), trial.candidates.length === 0);
        const wanted = trial.candidates.map((candidate, i) => {
            const cells = [nameOf(candidate), candidate.text, looks[i], ...outcome(candidate, trial.state), i === best];
            return [JSON.stringify(cells), cells];
        });
        wanted.forEach(([key, cells], i) => {
            const row = body.children[i];
            if (row?.dataset.drawn === key) return;
            const fresh = this.#row(key, cells);
            if (row) row.replaceWith(fresh);
            else body.append(fresh);
        });
        while (body.children.length > wanted.length) body.lastElementChild.remove();
    }

    #row(drawn, [name, text, look, share, interval, isBest]) {
        const open = el("button", {
            type: "button", class: "lrsched-code", text: name, title: `Put into the editor: ${text}`, on: {click: () => this.onOpen(text)},
        });
        const best = isBest ? el("span", {class: "lrsched-state", data: {state: "best"}, text: "best"}) : null;
        return el("tr", {class: isBest ? "lrsched-is-best" : null, data: {drawn}},
            el("th", {scope: "row"}, el("span", {class: "lrsched-trial-name"}, swatch(look), open, best)),
            el("td", {class: "lrsched-num", text: share}), el("td", {class: "lrsched-num", text: interval}));
    }
}

function facts({what, text, steps, updates, seed, started_s: started, inputs}) {
    const parts = [formatMoment(started), `${formatCount(updates)} updates of each`, `seed ${seed}`];
    if (steps) parts.push(`for ${formatCount(steps)} steps`);
    if (inputs?.batch_size) parts.push(`batch size ${formatCount(inputs.batch_size)}`);
    return `${parts.join(", ")}.`;
}
