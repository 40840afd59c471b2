// A factor by timestep: its text, presets with their source, and its chart over the noise scale, as one types.
import {el, setHidden, setText, typeInto} from "../base/dom.js";
import {formatRate} from "../base/format.js";
import {PreviewRequests} from "../base/latest.js";
import {Menu} from "../base/menu.js";
import {errorBox, failureBox, warningBox} from "../base/messages.js";
import {sentence} from "../base/text.js";
import {Chart} from "../chart/chart.js";
import {scheduleLines} from "../chart/schedule_lines.js";
import {OptionField} from "./option_field.js";

const CHART_POINTS = 400;
const MOST_ROWS = 5;
const ROW_CHARS = 48;

/** The field of an option whose text is a schedule over the timesteps; the rest as in OptionField. */
export class FactorField {
    #asked = "";
    #presets = [];

    constructor(described, {onChoose}) {
        this.described = described;
        this.control = el("textarea", {rows: 1, spellcheck: "false", autocapitalize: "off", placeholder: "none"});
        this.list = el("span", {role: "menu", "aria-label": "Presets", hidden: true});
        this.button = el("button", {type: "button", class: "lrsched-button", "aria-haspopup": "menu", "aria-expanded": "false", text: "Presets ▾"});
        this.menu = el("span", {class: "lrsched-menu", hidden: true}, this.button, this.list);
        this.source = el("span", {class: "lrsched-muted"});
        this.place = el("div", {hidden: true});
        this.caption = el("span", {class: "lrsched-muted"});
        this.messages = el("div", {class: "lrsched-messages", role: "status", "aria-live": "polite"});
        const label = `${described.label} over the timesteps`;
        this.chart = new Chart(this.place, {label, height: 110, compact: true, unit: "timestep"});
        this.previews = new PreviewRequests({
            onAnswer: (answer, question) => this.#answered(answer, question), onError: (error) => this.messages.replaceChildren(failureBox(error)),
        });
        this.field = new OptionField(described, {
            control: this.control, onChoose, more: [this.menu, this.messages, this.source, this.place, this.caption],
            onWritten: () => this.#look(), why: whyBeside,
        });
        this.box = this.field.box;
        this.control.addEventListener("input", () => this.#look());
    }

    show(answer) {
        this.field.show(answer);
    }

    reset() {
        this.field.reset();
    }

    forget() {
        this.field.forget();
    }

    /** The presets of factors by timestep, as the server has them. */
    setPresets(presets) {
        this.#presets = presets;
        this.list.replaceChildren(...presets.map(({name, note}, i) => el("button", {
            type: "button", role: "menuitem", tabindex: -1, data: {format: String(i)}, title: note, text: name,
        })));
        setHidden(this.menu, presets.length === 0);
        if (presets.length > 0) new Menu(this.button, this.list, (i) => this.#write(presets[Number(i)].text));
        this.#describe();
    }

    /** As if it was typed, and left. */
    #write(text) {
        typeInto(this.control, text);
    }

    #look() {
        const text = this.control.value.trim();
        if (text === this.#asked) return;
        this.#asked = text;
        this.#describe();
        if (text !== "") return this.previews.ask({texts: [text], kind: "timestep", total_steps: this.described.timesteps, points: CHART_POINTS});
        this.messages.replaceChildren();
        setHidden(this.place, true);
        setText(this.caption, "");
    }

    /** Where the text of a preset comes from. */
    #describe() {
        setText(this.source, this.#presets.find(({text}) => text === this.#asked)?.note ?? "");
        this.control.rows = Math.min(MOST_ROWS, 1 + Math.floor(this.#asked.length / ROW_CHARS));
    }

    #answered({results: [result]}, {texts: [text]}) {
        if (text !== this.#asked) return;
        this.place.classList.toggle("lrsched-stale", !result.ok);
        if (result.ok) this.#draw(result);
        const onFix = (fixed) => this.#write(fixed);
        const said = result.ok ? result.warnings.map((one) => warningBox(one, {onFix})) : [errorBox(result.error, {onFix})];
        this.messages.replaceChildren(...said);
    }

    #draw(result) {
        const drawn = scheduleLines([[result, 0, this.described.label]], 0, result.mode);
        setHidden(this.place, false);
        this.chart.show({xLow: 0, xHigh: result.total_steps, ...drawn});
        setText(this.caption, `Timesteps 0, the least noise, to ${result.total_steps - 1}. Mean ${formatRate(result.mean, 3)}.`);
    }
}

/** What is wrong with the text is said by its preview, with the place. */
function whyBeside(message, name) {
    return message.startsWith(`${name}: `) ? "" : sentence(message);
}
