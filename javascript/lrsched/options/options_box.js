// Below the rate fields of the Train tab: the options of the next training, folded until somebody opens them.
import {ApiError, request} from "../base/api.js";
import {el, setHidden, setText} from "../base/dom.js";
import {formatCount} from "../base/format.js";
import {goesOn} from "../base/run_states.js";
import {sentence} from "../base/text.js";
import * as fields from "../train/fields.js";
import {FactorField} from "./factor_field.js";
import {OptionField} from "./option_field.js";
import {OptionsSource} from "./options_source.js";
import * as words from "./option_words.js";

const KINDS = ["embedding", "hypernetwork"];
const LOOKS = 40;
const LOOK_MS = 100;

/** The box. `resumes` are the Train tab's offers by kind; `onChange()` hears of a choice. */
export class OptionsBox {
    #forms = {};
    #presets = null;

    constructor(resumes, {onChange}) {
        Object.assign(this, {resumes, onChange});
        this.sources = Object.fromEntries(KINDS.map((kind) => [kind, new OptionsSource(kind, () => this.#answered(kind))]));
        this.sum = el("span", {class: "lrsched-muted lrsched-options-sum"});
        this.select = el("select", {on: {change: () => this.#draw()}});
        this.which = el("label", {class: "lrsched-inline-field", hidden: true}, el("span", {text: "for"}), this.select);
        this.origin = el("p", {class: "lrsched-muted"});
        this.trouble = el("p", {class: "lrsched-trouble", role: "alert"});
        this.place = el("div");
        this.buttons = {
            defaults: button("Back to defaults", () => this.#back(words.backToDefaults)),
            own: button("As its run has them", () => this.#back(() => ({}))),
        };
        this.actions = el("div", {class: "lrsched-row"}, ...Object.values(this.buttons));
        this.details = el("details", {},
            el("summary", {}, el("span", {class: "lrsched-options-title", text: "Options of this run"}), this.sum),
            this.which, this.origin, this.trouble, this.place, this.actions);
        this.offerText = el("span");
        this.offerButton = button("", () => this.#validate());
        this.offer = el("p", {class: "lrsched-options-offer", role: "status", hidden: true}, this.offerText, this.offerButton);
        this.box = el("div", {class: "lrsched lrsched-inline lrsched-options", id: "lrsched_options"}, this.details, this.offer);
    }

    /** Puts the box below the rate fields again where gradio has redrawn them, and asks what is in force. */
    refresh() {
        const row = fields.rowOf("embeddingRate", "clip");
        if (row !== null && row.nextElementSibling !== this.box) row.after(this.box);
        for (const kind of KINDS) this.sources[kind].refresh(fields.value(kind), fields.value("folder"), this.resumes[kind].current ?? {});
        this.#fillKinds();
        this.#drawOrigin();
    }

    /** The one that is shown: the chosen of both, or that of which alone a name is chosen. */
    get source() {
        const named = KINDS.filter((kind) => this.sources[kind].name !== "");
        return this.sources[named.includes(this.select.value) ? this.select.value : named[0] ?? KINDS[0]];
    }

    /** Resolves to all options of the one that is shown, by name, with what was chosen until now; none where no name is chosen. */
    async inForce() {
        const source = await this.#known(this.source.kind);
        await source.settled;
        if (source.name !== "" && source.current === null) {
            throw new ApiError(source.trouble || "The options have not loaded yet. Save again in a moment.");
        }
        return {...source.current?.options};
    }

    /** Resolves to the source of a kind when the options of the chosen name are loaded, or after a timeout. */
    async #known(kind) {
        const source = this.sources[kind];
        const isKnown = () => source.name === fields.value(kind) && (source.name === "" || source.current !== null);
        for (let look = 0; look < LOOKS && !isKnown(); look++) {
            this.refresh();
            await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
        }
        return source;
    }

    /** Whether an option of this name is described for one of the names that are chosen. */
    has(name) {
        return KINDS.some((kind) => this.sources[kind].current?.descriptions.some((one) => one.name === name));
    }

    /** The options of a kind that are others than these: `{label, here, there}`. */
    differences(kind, options) {
        const {current} = this.sources[kind];
        const found = (current?.descriptions ?? []).filter(({name}) => name in options && options[name] !== current.options[name]);
        return found.map(({name, label}) => ({label, here: current.options[name] || "off", there: options[name] || "off"}));
    }

    /** Chooses options for the next training of the name of a kind; resolves to why they were refused, or "". */
    async fill(kind, options) {
        const source = await this.#known(kind);
        if (source.current === null) return source.trouble || "the server has not said which there are";
        for (const field of this.#forms[kind]?.fields ?? []) field.reset();
        const refused = await source.choose(() => ({})) || await source.choose((answer) => words.differingFrom(answer, options));
        this.onChange();
        return refused;
    }

    get #isLive() {
        return goesOn(this.resumes[this.source.kind].current?.run);
    }

    #fillKinds() {
        const named = KINDS.filter((kind) => this.sources[kind].name !== "");
        const entries = named.map((kind) => [kind, `the ${kind} ${this.sources[kind].name}`]);
        const key = JSON.stringify(entries);
        if (this.select.dataset.key === key) return;
        const before = this.select.value;
        this.select.dataset.key = key;
        this.select.replaceChildren(...entries.map(([value, text]) => el("option", {value, text})));
        if (named.includes(before)) this.select.value = before;
        this.#draw();
    }

    #answered(kind) {
        if (kind === this.source.kind) this.#draw();
        else this.#drawSum();
    }

    #draw() {
        const {current, name, kind, trouble} = this.source;
        setHidden(this.which, this.select.options.length < 2);
        this.#drawOrigin();
        setText(this.trouble, name === "" ? "" : trouble);
        setHidden(this.place, current === null);
        setHidden(this.actions, current === null && !this.source.isStuck);
        this.#drawSum();
        if (current !== null) return this.#drawFields(kind, current);
        this.buttons.defaults.disabled = false;
        setHidden(this.buttons.own, true);
    }

    /** Where they come from, and what is offered; a training that begins or ends changes nothing else. */
    #drawOrigin() {
        const {current, name, kind} = this.source;
        const step = formatCount(this.resumes[kind].current?.step ?? 0);
        const none = name === "" ? "Choose an embedding or a hypernetwork: these are the options of its next training." : "";
        setText(this.origin, current === null ? none : words.origin(current, {step, isLive: this.#isLive}));
        this.#drawOffer();
    }

    #drawFields(kind, current) {
        const form = (this.#forms[kind] ??= this.#newForm(this.sources[kind], current));
        if (this.place.firstElementChild !== form.box) this.place.replaceChildren(form.box);
        if (form.name !== current.name) for (const field of form.fields) field.forget();
        form.name = current.name;
        for (const field of form.fields) field.show(current);
        this.buttons.defaults.disabled = words.differing(current) === "";
        setHidden(this.buttons.own, current.run === null);
        this.buttons.own.disabled = Object.keys(current.chosen).length === 0;
    }

    #newForm(source, {descriptions}) {
        const made = descriptions.map((described) => {
            const onChoose = (value) => this.#choose(source, (answer) => words.withChange(answer, described.name, value));
            if (described.timesteps > 0) return new FactorField(described, {onChoose});
            return new OptionField(described, {onChoose, control: controlOf(described)});
        });
        this.#givePresets(made);
        return {fields: made, box: el("div", {class: "lrsched-options-fields"}, ...made.map(({box}) => box))};
    }

    // One line for all -----------------------------------------------------------------------

    #drawSum() {
        const told = KINDS.map((kind) => this.sources[kind]).filter(({current}) => current !== null);
        const said = told.map(({name, current}) => `${told.length > 1 ? `${name}: ` : ""}${words.differing(current) || "the defaults"}`);
        setText(this.sum, said.join("; "));
        this.sum.title = said.join("\n");
    }

    #drawOffer() {
        const {current, name} = this.source;
        const text = current === null || this.#isLive ? "" : words.offered(current);
        setHidden(this.offer, text === "");
        if (text === "") return;
        const described = current.descriptions.find((one) => one.name === "validate_every");
        setText(this.offerText, text);
        setText(this.offerButton, words.worded(described, described.usual));
        this.offerButton.title = `For the next training of ${name}`;
    }

    #validate() {
        const usual = (answer) => answer.descriptions.find(({name}) => name === "validate_every").usual;
        this.#send((answer) => words.withChange(answer, "validate_every", usual(answer)));
    }

    // All of them ----------------------------------------------------------------------------

    #back(change) {
        for (const field of this.#forms[this.source.kind]?.fields ?? []) field.reset();
        this.#send(change);
    }

    async #send(change) {
        setText(this.trouble, sentence(await this.#choose(this.source, change)));
    }

    async #choose(source, change) {
        const refused = await source.choose(change);
        if (refused === "") this.onChange();
        return refused;
    }

    /** Asked for with the first form; a list that did not come is asked for with the next one. */
    async #givePresets(made) {
        this.#presets ??= request("GET", "presets?kind=timestep");
        try {
            const {presets} = await this.#presets;
            for (const field of made) if (field instanceof FactorField) field.setPresets(presets);
        } catch (error) {
            this.#presets = null;
            if (!(error instanceof ApiError)) throw error;
        }
    }
}

function button(text, click) {
    return el("button", {type: "button", class: "lrsched-button", text, on: {click}});
}

function controlOf({type}) {
    if (type === "switch") return el("input", {type: "checkbox"});
    if (type === "text") return el("input", {type: "text", spellcheck: "false", placeholder: "none"});
    return el("input", {type: "text", inputmode: type === "whole" ? "numeric" : "decimal", autocomplete: "off", placeholder: "off"});
}
