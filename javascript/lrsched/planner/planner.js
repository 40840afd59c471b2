// The upper half of the tab: editor, fields, chart, comparison, segments. The server computes, this draws.
import {byId, el, setHidden, setText} from "../base/dom.js";
import {formatCount, formatRate} from "../base/format.js";
import {PreviewRequests} from "../base/latest.js";
import {whileTrying} from "../base/retry.js";
import {bindToolbar} from "../base/toolbar.js";
import {bindAxis} from "../chart/axis_toggle.js";
import {Chart} from "../chart/chart.js";
import {CursorGroup} from "../chart/cursor_group.js";
import {scheduleLines} from "../chart/schedule_lines.js";
import {Completion} from "../editor/completion.js";
import {withSkipped} from "../train/skipped.js";
import {Editor} from "../editor/editor.js";
import {ItemForm} from "../editor/item_form.js";
import {Items} from "../editor/items.js";
import {Comparison} from "./comparison.js";
import {Continuation} from "./continuation.js";
import {Exchange} from "./exchange.js";
import {Form} from "./form.js";
import {Handles} from "./handles.js";
import {Presets} from "./presets.js";

const FIRST_TEXTS = {rate: "", clip: "1"};

/** The planning part of the tab; made once, when its markup is on the page. */
export class Planner {
    #listeners = [];

    constructor() {
        this.form = new Form(() => this.#fieldsChanged());
        const kept = this.form.recall();
        if (kept) byId("text").value = kept.text;
        this.kind = this.form.get("kind");
        this.texts = {...FIRST_TEXTS, ...kept?.texts};
        this.editor = new Editor({
            area: byId("text"), backdrop: byId("backdrop"), messages: byId("messages"),
            onInput: () => this.#typed(), onCaret: () => this.itemForm.refresh(),
            onNeed: () => this.#enterFolder(),
        });
        this.items = new Items(this.editor, () => this.context(), () => this.#itemsRead());
        this.previews = new PreviewRequests({
            onAnswer: (answer, question) => this.#answered(answer, question), onError: (error) => this.#failed(error),
        });
        this.#makeCharts();
        this.comparison = new Comparison({
            list: byId("compare"), addButton: byId("compare_add"),
            onChange: () => this.ask({now: true}), onOpen: (text) => this.openText(text),
        });
        this.itemForm = new ItemForm(this.editor, this.items);
        new Completion(this.editor, byId("editor_frame"), () => this.itemForm.shapes());
        this.exchange = new Exchange(this);
        this.presets = new Presets(this.editor, {steps: () => this.context().total_steps, onOpen: (text) => this.openText(text)});
        this.continuation = new Continuation(this, kept);
        this.#bind();
    }

    /** `onResult(result)` is called with each answer on the editor's text, `onOpened(kind)` when a text replaces the editor's. */
    listen({onResult = () => {}, onOpened = () => {}}) {
        this.#listeners.push({onResult, onOpened});
    }

    /** Asks the server to draw what the editor and the fields hold now. */
    ask({now = false} = {}) {
        this.texts[this.kind] = this.editor.text;
        this.form.keep(this.editor.text, this.texts);
        if (this.form.check()) this.previews.ask(this.form.question([this.editor.text, ...this.comparison.texts]), {now});
    }

    /**
     * The run's numbers, as other questions than previews take them; counted images are known from the last answer.
     * They know nothing of runs: a text that is restarted in the middle of one is planned over the steps from there on.
     */
    context() {
        const {total_steps, pictures, batch, accumulate} = this.form.question([]);
        const own = total_steps === null ? null : Math.max(1, total_steps - this.origin);
        return {total_steps: own, pictures: pictures ?? this.counted, batch, accumulate};
    }

    /** The step of the run's life that is the text's step 0, as the server said it last. */
    get origin() {
        return this.lastGood?.origin ?? 0;
    }

    /** Puts a text and field values in and asks once. */
    open({text, trainee = null, ...fields}) {
        this.form.trainee = trainee;
        this.form.set(fields);
        if (typeof text === "string") this.openText(text);
    }

    /** Puts another text in. `isAside` leaves the focus where it is. */
    openText(text, {isAside = false} = {}) {
        for (const {onOpened} of this.#listeners) onOpened(this.kind);
        if (isAside) this.editor.replace(text, [0, 0]);
        else this.editor.setText(text);
    }

    /** The text of a kind: the editor's, or the one that comes back when that kind is chosen. */
    textOf(kind) {
        return kind === this.kind ? this.editor.text : this.texts[kind];
    }

    /** Whether a text is the page's default. */
    isFirst(kind, text) {
        return text === FIRST_TEXTS[kind] || (kind === "rate" && text === this.editor.area.defaultValue);
    }

    /** What stands around the text, as it is kept with a former one: {fields, run, way}; `way` is the resume mode. */
    around() {
        const {id: run = null, mode = null} = this.form.continued ?? {};
        return {fields: this.form.values, run, way: mode};
    }

    /** Restores a text with its fields, run and resume mode. */
    restore(values, {run, mode}) {
        this.open(values);
        this.continuation.take(run, mode);
    }

    /** Rate and clip have a text each, which comes back when it is chosen again. */
    #fieldsChanged() {
        const kind = this.form.get("kind");
        if (kind !== this.kind) {
            this.texts[this.kind] = this.editor.text;
            this.kind = kind;
            this.editor.load(this.texts[kind]);
        }
        this.ask();
    }

    /** Epochs need the number of images: the folder is asked for, or the number where there is a folder already. */
    #enterFolder() {
        const field = this.form.get("folder") === "" ? byId("folder") : byId("pictures");
        field.scrollIntoView({block: "center"});
        field.focus({preventScroll: true});
    }

    #makeCharts() {
        const cursors = new CursorGroup();
        const onPick = (step) => this.#pick(step);
        const endLabel = (step) => `max steps ${formatCount(step)}`;
        this.chart = new Chart(byId("chart"), {label: "Rate over steps", height: 320, cursors, onPick, endLabel});
        this.momentum = new Chart(byId("momentum_chart"), {label: "Momentum over steps", height: 130, zero: false, cursors});
        bindAxis(byId("chart_axis"), this.chart, () => "chart");
        this.handles = new Handles(byId("handles"), this.chart, this);
    }

    /** Lets the axes reach further than the schedule: see Chart.setRoom(). */
    setRoom(room) {
        this.chart.setRoom(room);
        this.momentum.setRoom("right" in room ? {right: room.right} : {});
    }

    /** Says that the schedule runs to `step`, which a handle has shown, and max steps does not; null where it does. */
    tellBeyond(step) {
        this.beyond = step;
        setHidden(byId("beyond"), step === null);
        if (step === null) return;
        const steps = formatCount(step);
        setText(byId("beyond_text"), `The schedule runs to step ${steps}, but max steps is ${formatCount(this.chart.data.xHigh)}: the rest is not trained.`);
        setText(byId("beyond_set"), `Set max steps to ${steps}`);
    }

    #bind() {
        byId("beyond_set").addEventListener("click", () => {
            this.form.set({steps: this.beyond});
            byId("steps").focus({preventScroll: true}); // the button goes
        });
        byId("compare_add").addEventListener("click", () =>
            this.comparison.add(this.editor.text, this.presets.current?.text === this.editor.text ? this.presets.current.name : ""));
        for (const snippet of byId("page").querySelectorAll(".lrsched-snippet")) {
            snippet.addEventListener("click", () => this.#insert(snippet.dataset.text));
        }
        bindToolbar(byId("shapes"));
        byId("segments").addEventListener("pointerleave", () => this.#point(null));
    }

    /** Inserts an item after the one at the cursor. Where the server cannot, it is written at the next boundary; the text's error says why. */
    async #insert(value) {
        const {editor, items} = this;
        if (editor.isUntouched) return editor.setText(value);
        for (let tries = 0; tries < 3 && !items.isFresh; tries++) await items.read(); // another question may have overtaken ours
        const item = items.isFresh ? items.at(editor.insertionPlace) : null;
        if (item === null) return editor.insert(value);
        const message = await items.edit({do: "insert", item: item.path, value, before: editor.isAtFront});
        if (message !== "") editor.insert(value);
    }

    #answered(answer, question) {
        const [own, ...others] = answer.results;
        for (const {onResult} of this.#listeners) onResult(own);
        this.continuation.tell(own);
        this.editor.showResult(own);
        this.comparison.showResults(others);
        this.say("");
        this.counted = answer.pictures;
        this.form.showAnswer(answer);
        this.initialStep = answer.initial_step;
        this.#drawCharts(answer, question);
        this.#describe(answer, own);
        if (!own.ok && own.text === this.editor.text) this.tellBeyond(null); // its message was about another text
        if (own.ok) this.#listSegments(own);
        if (own.ok) this.#tellFeedback(own);
        if (own.text === this.editor.text) this.items.read();
        if (own.ok) this.exchange.refresh();
    }

    #typed() {
        this.handles.setWaiting(true);
        this.itemForm.refresh();
        this.ask();
    }

    #itemsRead() {
        this.itemForm.refresh();
        this.showHandles();
    }

    /** Puts the chart's handles where they belong; a text that cannot be drawn has none that could be used. */
    showHandles() {
        const isDrawn = this.items.isFresh && this.lastGood?.text === this.editor.text;
        this.handles.setWaiting(!isDrawn);
        if (isDrawn) this.handles.show(this.items.known, this.initialStep, this.origin);
    }

    /** Goes to the item that trains a step, without taking the focus. */
    #pick(step) {
        const segment = this.lastGood?.segments.find(({start, stop}) => start <= step && step < stop);
        if (!segment || this.lastGood.text !== this.editor.text) return;
        this.editor.placeCaret(segment.span);
        this.editor.hover(segment.span);
    }

    #drawCharts(answer, question) {
        const [own, ...others] = answer.results;
        if (own.ok) this.lastGood = own;
        byId("chart").classList.toggle("lrsched-stale", !own.ok);
        const named = [[this.lastGood, 0, "this schedule"], ...others.map((result, i) => [result, this.#look(result, i), this.#label(result, i)])];
        const drawn = named.filter(([result]) => result?.ok);
        const x = {xLow: 0, xHigh: Math.max(1, question.total_steps ?? 1, this.lastGood?.total_steps ?? 1)};
        const shown = {...x, ...scheduleLines(drawn, answer.initial_step, own.mode)};
        this.chart.show(question.kind === "rate" ? withSkipped(shown, this.lastGood ?? own, answer.initial_step) : shown);
        const momenta = drawn.filter(([result]) => result.momentum);
        setHidden(byId("momentum"), momenta.length === 0);
        this.momentum.show({...x, series: momenta.map(([result, look, name]) => ({name, look, x: result.x, y: result.momentum}))});
        setText(byId("chart_title"), question.kind === "clip" ? "Clip threshold over steps" : "Rate over steps");
    }

    /** The list may have changed since the question: only an item with the same text lends its look. */
    #item(result, i) {
        const item = this.comparison.items[i];
        return item?.text === result.text ? item : null;
    }

    #look(result, i) {
        return this.#item(result, i)?.look ?? i + 1;
    }

    #label(result, i) {
        return this.#item(result, i)?.label ?? result.text;
    }

    #describe(answer, own) {
        byId("pictures").placeholder = answer.pictures === null ? "count" : `${answer.pictures} counted`;
        const parts = [];
        if (answer.steps_per_epoch) parts.push(`${formatCount(answer.steps_per_epoch)} steps per epoch`);
        if (answer.steps_per_epoch && own.ok && own.epochs_total) parts.push(`${Number(own.epochs_total.toPrecision(4))} epochs`);
        if (!answer.steps_per_epoch) parts.push("Epochs (ep) can be used once the images are known");
        setText(byId("epochs"), parts.join(", ") + ".");
    }

    /** A plateau's rate is only known in training: the line is what it would be without a cut. */
    #tellFeedback({segments}) {
        const said = segments.filter(({watch}) => watch).map(({start, stop, watch}) =>
            `Steps ${formatCount(start)} to ${formatCount(stop)}: in training the ${watch} decides when the rate falls. `
            + "The line shows it without a fall.");
        setText(byId("chart_note"), said.slice(0, 3).join(" "));
    }

    #listSegments({segments, segments_total: total}) {
        const rows = segments.map((segment) => this.#segmentRow(segment));
        const more = (total ?? 0) - segments.length;
        if (more > 0) rows.push(el("tr", {}, el("td", {colspan: 6, class: "lrsched-muted", text: `and ${formatCount(more)} more`})));
        byId("segments").replaceChildren(...rows);
    }

    #segmentRow(segment) {
        const range = (pair, digits) => pair === null ? "–" : pair.map((value) => value.toFixed(digits)).join(" – ");
        const images = segment.images === null ? "–" : segment.images.map(formatCount).join(" – ");
        return el("tr", {on: {pointerenter: () => this.#point(segment), click: () => this.editor.select(segment.span)}},
            el("td", {data: {label: "Steps"}, text: `${formatCount(segment.start)} – ${formatCount(segment.stop)}`}),
            el("td", {data: {label: "Text"}}, el("button", {
                type: "button", class: "lrsched-code", text: segment.text, title: "Select it in the editor",
                on: {focus: () => this.#point(segment), blur: () => this.#point(null)},
            })),
            el("td", {class: "lrsched-num", data: {label: "First"}, text: formatRate(segment.first, 6)}),
            el("td", {class: "lrsched-num lrsched-last", data: {label: "Last"}, text: `${segment.watch ? "at most " : ""}${formatRate(segment.last, 6)}`}),
            el("td", {class: "lrsched-num lrsched-range", data: {label: "Epochs"}, text: range(segment.epochs, 1)}),
            el("td", {class: "lrsched-num lrsched-range", data: {label: "Images"}, text: images}));
    }

    #point(segment) {
        this.chart.highlight(segment === null ? null : [segment.start, segment.stop]);
        this.editor.hover(segment?.span ?? null);
    }

    #failed(error) {
        this.say(whileTrying(error));
    }

    /** Says what went wrong below the chart; an empty text takes it away. */
    say(text) {
        const line = byId("status");
        setText(line, text);
        line.classList.toggle("lrsched-bad", text !== "");
    }
}
