// Between the tab and the host's Train tab: send a schedule there, go along with it, and read the fields from there.
import {ApiError, request} from "../base/api.js";
import {byId, setHidden, setText} from "../base/dom.js";
import {keep, recall} from "../base/storage.js";
import {goTo, NO_TAB_OF_OURS, NO_TRAIN_TAB, OURS, TRAIN, TRAIN_TABS} from "../base/tabs.js";
import * as fields from "../train/fields.js";
import {FormerTexts} from "./former_texts.js";
import {Origin} from "./origin.js";
import {TARGETS} from "./targets.js";

const OFF = "Send is off while the text has an error.";
const CLIP_OFF = "Gradient clipping is switched off there: choose value or norm beside it.";
const SHARED = {steps: "max steps", batch: "batch", accumulate: "accumulation", folder: "folder"};
const GO = "send_go";

/** The buttons "Send to Train tab" and "Read from Train tab", and what leads from there into the editor and back. */
export class Transfer {
    /** The embedding or hypernetwork of the run whose text was opened: {kind, name}. */
    #named = null;

    /**
     * `onResumeChosen(kind)` hears that the server was told how the next training of a kind is resumed, `onArrived(field, said, how)`
     * that the Train tab was opened at a field after something was sent.
     */
    constructor(planner, {onResumeChosen, onArrived}) {
        Object.assign(this, {planner, onResumeChosen, onArrived});
        this.origin = new Origin({onSend: (target) => this.#send(target, {isBack: true}), onChange: () => this.refresh()});
        this.former = new FormerTexts(planner, this.origin, (text) => this.#isElsewhere(text));
        for (const target of Object.keys(TARGETS)) {
            byId("send_" + target).addEventListener("click", () => this.#send(target));
        }
        byId("fetch_train").addEventListener("click", () => this.#fetch());
        byId("kind").addEventListener("input", () => this.refresh());
        byId(GO).checked = recall(GO, false) === true;
        byId(GO).addEventListener("change", () => keep(GO, byId(GO).checked));
        planner.listen({onResult: (result) => this.#allow(result.ok), onOpened: (kind) => this.#forgetRun(kind)});
        new IntersectionObserver(() => this.refresh()).observe(byId(GO)); // seen again: the Train tab may have changed meanwhile
        this.refresh();
    }

    /** A text with an error is not sent: nothing could be trained with it. */
    #allow(isGood) {
        for (const name of [...Object.keys(TARGETS).map((target) => "send_" + target), "origin_send"]) {
            byId(name).disabled = !isGood;
            byId(name).title = isGood ? "" : "The text has an error";
        }
        const line = byId("transfer_said");
        if (!isGood) this.#say(OFF, true);
        else if (line.textContent === OFF) this.#say("");
        this.refresh();
    }

    /** Shows the buttons that fit what the schedule is for. */
    refresh() {
        const kind = this.planner.form.get("kind");
        for (const [name, target] of Object.entries(TARGETS)) setHidden(byId("send_" + name), target.kind !== kind);
        const targets = Object.keys(TARGETS).filter((target) => TARGETS[target].kind === kind);
        const name = targets.map((target) => this.#wanted(target)?.name).find(Boolean);
        setText(byId("send_go_text"), name ? `then go to the Train tab and choose ${name}` : "then go to the Train tab");
        this.origin.refresh(kind);
    }

    // Sending --------------------------------------------------------------------------------

    async #send(target, {isBack = false} = {}) {
        const {form, editor} = this.planner;
        const {field, label} = TARGETS[target];
        if (!fields.set(field, editor.text)) return this.#say(`There is no field for the ${label} on this page.`, true);
        const sent = [label];
        if (byId("send_fields").checked) {
            for (const [name, word] of Object.entries(SHARED)) {
                if (form.get(name) !== "" && fields.set(name, form.get(name))) sent.push(word);
            }
        }
        const trouble = await this.#sendMode(target, sent);
        const said = [trouble || `Sent: ${sent.join(", ")}.`];
        let isBad = trouble !== "";
        if (isBack || byId(GO).checked) isBad = await this.#go(target, said, isBad);
        else if (isClipOff(target)) said.push(CLIP_OFF);
        this.#say(said.join(" "), isBad);
    }

    /** A plan for the rest of a run is only right if that run resumes in the same mode. Resolves to what went wrong, or "". */
    async #sendMode(kind, sent) {
        const {run, mode} = this.planner.continuation;
        if (run?.kind !== kind) return "";
        try {
            await request("POST", "resume", {kind, name: run.name, way: mode.value});
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            return `Sent, but not the resume mode of ${run.name}: ${error.message}`;
        }
        this.onResumeChosen(kind);
        sent.push(`the resume mode of ${run.name}`);
        return "";
    }

    /** Opens the Train tab at the field and chooses there what the plan is for; adds to what is said, and resolves to whether anything went wrong. */
    async #go(target, said, isBad) {
        if (!(await goTo(TRAIN, TRAIN_TABS))) {
            said.push("The Train tab could not be opened.");
            return true;
        }
        const missed = await this.#choose(target, said);
        if (isClipOff(target)) said.push(CLIP_OFF);
        this.onArrived(TARGETS[target].field, said.join(" "), {isTrouble: isBad || missed});
        this.origin.set(null, TARGETS[target].kind);
        return isBad || missed;
    }

    /** Chooses the embedding or hypernetwork that is wanted; resolves to whether that failed. */
    async #choose(target, said) {
        const {kind, name} = this.#wanted(target) ?? {};
        if (!name) said.push(...this.#leftAlone(target));
        if (!name || fields.value(kind) === name) return false;
        const isChosen = await fields.chooseName(kind, name);
        said.push(isChosen ? `${name} is chosen.` : `${name} could not be chosen: the Train tab does not list it, even after its list was read anew. Is its file still there?`);
        return !isChosen;
    }

    /** What the text trains: the run that it continues, whatever is chosen; else the name it came with, if none is chosen yet. */
    #wanted(target) {
        const {run} = this.planner.continuation;
        if (run !== null) return target === "clip" || run.kind === target ? run : null;
        return this.#known(target).find(({kind}) => kind === target && fields.value(target) === "") ?? null;
    }

    /** Those that the text was opened for: of a run, or of the Train tab. */
    #known(target) {
        const from = this.origin.of(TARGETS[target].kind);
        const all = [this.planner.continuation.run, this.#named, from && {kind: from.target, name: from.name}];
        return all.filter((one) => one?.name && TARGETS[one.kind].kind === TARGETS[target].kind);
    }

    /** Says which name the text was opened for, if another one is chosen in the Train tab: [sentence], or []. */
    #leftAlone(target) {
        const [one] = this.#known(target);
        if (!one) return [];
        if (one.kind !== target) return [`The text was opened for the ${one.kind} ${one.name}.`];
        const chosen = fields.value(target);
        return chosen === one.name ? [] : [`The text was opened for ${one.name}; ${chosen} stays chosen.`];
    }

    // From there -----------------------------------------------------------------------------

    /**
     * Opens our tab with the text of a field and the numbers around it, as the training would resume (the server's answer, or null).
     * Resolves to what went wrong, or "".
     */
    async edit(target, resume) {
        const {planner} = this;
        const {field} = TARGETS[target];
        const {area} = planner.editor;
        if (!(await goTo(OURS))) return NO_TAB_OF_OURS;
        this.#take(target, fields.value(field));
        planner.continuation.take(resume?.run?.id ?? null, resume?.way ?? null);
        area.scrollIntoView({block: "center"});
        area.focus({preventScroll: true});
        this.#say("");
        return "";
    }

    #fetch() {
        const isOnlyNetwork = fields.value("embedding") === "" && fields.value("hypernetwork") !== "";
        const target = this.planner.form.get("kind") === "clip" ? "clip" : isOnlyNetwork ? "hypernetwork" : "embedding";
        const {field} = TARGETS[target];
        if (!fields.exists(field)) return this.#say(NO_TRAIN_TAB, true);
        this.#take(target, fields.value(field));
        this.#say("Read from the Train tab.");
    }

    /** Puts the text of a field into the editor, with the numbers around it; the text it replaces can be restored. */
    #take(target, text) {
        const {value} = fields;
        const {kind} = TARGETS[target];
        this.former.note(kind, text);
        this.planner.open({
            kind, text, steps: value("steps"), batch: value("batch"), accumulate: value("accumulate"), folder: value("folder"),
            pictures: "", trainee: kind === "clip" ? null : target,
        });
        this.origin.set({target, name: kind === "clip" ? "" : value(target)}, kind);
    }

    /** The text of a run was opened in the editor, in the place of what came from the Train tab. */
    opened({kind, name}) {
        this.#named = {kind, name};
        this.origin.set(null, "rate");
    }

    /** A run's text was replaced by another one. */
    #forgetRun(kind) {
        if (kind === "rate") this.#named = null; // a run is opened for its rate
        this.refresh();
    }

    /** A text that stands in the Train tab, among the presets or in the comparison is not lost where the editor gets another. */
    #isElsewhere(text) {
        const {presets, comparison} = this.planner;
        return Object.values(TARGETS).some(({field}) => fields.value(field) === text) || comparison.texts.includes(text)
            || presets.presets.some((preset) => preset.text === text);
    }

    #say(text, isTrouble = false) {
        const line = byId("transfer_said");
        setText(line, text);
        line.classList.toggle("lrsched-bad", isTrouble);
    }
}

/** A threshold that nothing is cut at. */
function isClipOff(target) {
    return target === "clip" && fields.clipMode() === "disabled";
}
