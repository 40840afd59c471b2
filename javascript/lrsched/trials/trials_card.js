// The card "Trials" of the tab: what runs now and what was kept, one of them opened beside the list.
import {ApiError} from "../base/api.js";
import {byId, el, focusOne, setHidden, setText, typeInto, whileDisabled} from "../base/dom.js";
import {formatShortMoment} from "../base/format.js";
import {Question} from "../base/question.js";
import * as fields from "../train/fields.js";
import {StartBox} from "./start_box.js";
import {TrialView} from "./trial_view.js";
import {isActive, summary} from "./words.js";

const KINDS = ["embedding", "hypernetwork"];

/** The card and the two buttons of the tab that start a trial; `planner` has the editor, the comparison and the presets. */
export class TrialsCard {
    constructor(store, planner) {
        this.store = store;
        this.planner = planner;
        this.card = byId("trials_card");
        this.list = byId("trials");
        this.refused = ""; // the error about a trial that is no longer shown
        this.view = new TrialView({
            onOpen: (text) => planner.openText(text, {isAside: true}),
            suggestion: {onUse: (trial) => this.use(trial), presets: planner.presets},
        });
        this.question = new Question(byId("trial_ask"));
        this.#makeStarts();
        this.#bind();
        this.end = store.listen(() => this.#draw());
    }

    /** Writes what a trial suggests into the Train tab and into the editor; returns [what is said of it, whether that is bad]. */
    use({kind, name, suggested}) {
        const isSet = fields.set(`${kind}Rate`, suggested);
        typeInto(byId("kind"), "rate");
        this.planner.openText(suggested, {isAside: true});
        if (!isSet) return ["It is in the editor; there is no Train tab on this page.", false];
        const other = fields.value(kind);
        const hint = other === name ? "" : ` It was found for ${name}; the Train tab has ${other || "none"} chosen.`;
        return [`It is the ${kind}'s rate in the Train tab now, and in the editor.${hint}`, false];
    }

    /** Scrolls to the card, and again when the chosen trial is drawn: only then is there enough room below. */
    reveal() {
        this.card.scrollIntoView({block: "start"});
        focusOne(byId("trials_title"));
        this.isRevealing = this.store.detail(this.store.chosen) === null;
    }

    #makeStarts() {
        const {editor, comparison} = this.planner;
        const onStarted = () => this.reveal();
        const rate = () => editor.text.trim();
        const find = new StartBox(this.store, {button: byId("trial_find"), kinds: KINDS, rate, onStarted});
        byId("messages").after(find.box);
        const texts = () => [editor.text, ...comparison.texts];
        const compare = new StartBox(this.store, {button: byId("trial_compare"), kinds: KINDS, rate, texts, onStarted});
        byId("compare").after(compare.box);
        const isRate = () => {
            for (const button of [byId("trial_find"), byId("trial_compare")]) setHidden(button, byId("kind").value !== "rate");
        };
        byId("kind").addEventListener("input", isRate);
        isRate();
    }

    #bind() {
        byId("trial_close").addEventListener("click", () => {
            const row = this.list.querySelector("[aria-current=true]");
            this.store.choose(null);
            focusOne(row);
        });
        byId("trial_stop").addEventListener("click", () => {
            focusOne(byId("trial_close")); // the one that was pressed goes
            whileDisabled(byId("trial_stop"), () => this.#remove("Not stopped"));
        });
        byId("trial_delete").addEventListener("click", () => {
            setText(byId("trial_trouble"), "");
            this.question.ask({back: byId("trial_delete"), onYes: () => this.#remove("Not deleted"), stays: true});
        });
    }

    get #trial() {
        return this.store.trials.find(({id}) => id === this.store.chosen) ?? null;
    }

    /** Ends or deletes what is shown; the list has the focus after a delete, for the button is gone. */
    async #remove(refused) {
        const trial = this.#trial;
        if (trial === null) return;
        setText(byId("trial_trouble"), "");
        this.refused = "";
        try {
            await this.store.remove(trial);
            if (!isActive(trial)) (this.list.querySelector("button") ?? byId("trial_find")).focus({preventScroll: true});
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            const words = `${refused}: ${error.message}`;
            if (trial.id === this.store.chosen) return setText(byId("trial_trouble"), words);
            this.refused = `${trial.name}: ${words}`; // another one is shown
            this.#draw();
        }
    }

    #draw() {
        const {store} = this;
        if (this.shown !== store.chosen) {
            this.shown = store.chosen;
            this.question.close();
            setText(byId("trial_trouble"), "");
        }
        const trouble = [store.trouble, store.lost, this.refused].filter(Boolean).join(" ");
        setText(byId("trials_trouble"), trouble);
        setHidden(byId("trials_trouble"), trouble === "");
        this.#drawList();
        const detail = store.chosen === null ? null : store.detail(store.chosen);
        this.view.show(detail);
        if (!this.isRevealing || detail === null) return;
        this.isRevealing = false;
        this.card.scrollIntoView({block: "start"});
    }

    /** Rows stay where they are, with focus and selection. */
    #drawList() {
        const {trials} = this.store;
        setHidden(byId("trials_none"), trials.length > 0);
        const rows = new Map([...this.list.children].map((row) => [row.dataset.id, row]));
        trials.forEach((trial, i) => {
            const row = rows.get(trial.id) ?? this.#newRow(trial.id);
            rows.delete(trial.id);
            fillRow(row, trial, trial.id === this.store.chosen);
            if (this.list.children[i] !== row) this.list.insertBefore(row, this.list.children[i] ?? null);
        });
        for (const row of rows.values()) row.remove();
    }

    #newRow(id) {
        const button = el("button", {type: "button", class: "lrsched-run", on: {click: () => this.store.choose(id)}},
            el("span", {class: "lrsched-run-name"}), el("span", {class: "lrsched-state"}),
            el("span", {class: "lrsched-run-steps"}), el("span", {class: "lrsched-run-when"}), el("span", {class: "lrsched-trial-sum"}));
        return el("li", {data: {id}}, button);
    }
}

function fillRow(row, trial, isChosen) {
    const button = row.firstElementChild;
    const [name, state, text, when, sum] = button.children;
    setText(name, trial.name);
    setText(state, trial.state);
    if (state.dataset.state !== trial.state) state.dataset.state = trial.state;
    setText(text, `${trial.kind}, ${trial.text}`);
    if (text.title !== text.textContent) text.title = text.textContent; // it may be cut
    setText(when, formatShortMoment(trial.started_s));
    setText(sum, summary(trial));
    sum.classList.toggle("lrsched-is-code", Boolean(trial.suggested));
    if (button.getAttribute("aria-current") !== String(isChosen)) button.setAttribute("aria-current", String(isChosen));
}
