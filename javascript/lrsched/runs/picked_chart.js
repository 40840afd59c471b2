// The chart of a run that shows what one picks: loss, gradient norm and so on.
import {byId, el, setHidden} from "../base/dom.js";
import {formatPercent} from "../base/format.js";
import {keep, recall} from "../base/storage.js";
import {bindAxis} from "../chart/axis_toggle.js";
import {Chart} from "../chart/chart.js";
import {fillLegend} from "../chart/legend.js";
import {choicesFor, chosenOf, seriesOf} from "./run_charts.js";

const STORE = "run_chart";
const THRESHOLD = {name: "clip threshold", look: 1};

/** The list, the chart below it and its buttons; the choice is kept in this browser. */
export class PickedChart {
    /** `onChoice(choice)` hears of what is shown. */
    constructor(cursors, onChoice) {
        this.onChoice = onChoice;
        this.list = byId("run_picked_choice");
        this.key = recall(STORE, "loss");
        this.choice = null; // what is shown, which is another one for a run that has no numbers of the key's
        this.drawn = null;
        this.chart = new Chart(byId("run_picked"), {height: 220, cursors, zoom: true});
        this.lookAtAxis = bindAxis(byId("run_picked_axis"), this.chart, () => `run_${this.choice?.key ?? this.key}`);
        this.list.addEventListener("change", () => this.#pick(this.list.value));
    }

    /** `x` is what all charts of the run share: limits and marks. `threshold` is {x, y}, of the gradient clip. */
    show(points, x, threshold) {
        this.shown = [points, x, threshold];
        const choices = choicesFor(points);
        const choice = (this.choice = chosenOf(choices, this.key));
        const series = seriesOf(choice, points);
        if (choice.threshold && threshold.x.length > 0) series.push({...THRESHOLD, ...threshold});
        this.#drawList(choices, choice);
        this.#prepare(choice, series);
        this.onChoice(choice);
        this.chart.show({...x, series});
    }

    #pick(key) {
        this.key = key;
        keep(STORE, key);
        this.show(...this.shown);
    }

    /** Entries are replaced only where they changed: an open list stays open. */
    #drawList(choices, choice) {
        const keys = choices.map(({key}) => key).join(" ");
        if (this.list.dataset.keys !== keys) {
            this.list.dataset.keys = keys;
            this.list.replaceChildren(...choices.map(({key, label}) => el("option", {value: key, text: label})));
        }
        this.list.value = choice.key;
    }

    /** Legend, axis and words of another choice. */
    #prepare(choice, series) {
        const names = `${choice.key}: ${series.map(({name}) => name).join(", ")}`;
        if (names === this.drawn) return;
        this.drawn = names;
        const {label, zero, format} = choice;
        const isShare = format === formatPercent;
        this.chart.setOptions({label: `${label} of the run over steps`, zero, format});
        fillLegend(byId("run_picked_legend"), series.map(({look, name}) => [look, name]));
        setHidden(byId("run_picked_axis"), isShare); // a share may be negative
        if (isShare) this.chart.setAxis("linear");
        else this.lookAtAxis();
    }
}
