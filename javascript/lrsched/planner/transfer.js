// Between the tab and the host's Train tab: send a schedule there, read the fields from there.
import {ApiError, request} from "../base/api.js";
import {byId, setHidden, setText} from "../base/dom.js";
import * as fields from "../train/fields.js";

const TARGETS = {
    embedding: {field: "embeddingRate", label: "embedding rate", kind: "rate"},
    hypernetwork: {field: "hypernetworkRate", label: "hypernetwork rate", kind: "rate"},
    clip: {field: "clip", label: "clip threshold", kind: "clip"},
};
const OFF = "Send is off while the text has an error.";
const SHARED = {steps: "max steps", batch: "batch", accumulate: "accumulation", folder: "folder"};

/** The buttons "Send to Train tab" and "Read from Train tab". */
export class Transfer {
    /** `onResumeChosen(kind)` hears that the server was told how the next training of a kind is resumed. */
    constructor(planner, {onResumeChosen}) {
        this.planner = planner;
        this.onResumeChosen = onResumeChosen;
        for (const target of Object.keys(TARGETS)) {
            byId("send_" + target).addEventListener("click", () => this.#send(target));
        }
        byId("fetch_train").addEventListener("click", () => this.#fetch());
        byId("kind").addEventListener("input", () => this.refresh());
        planner.onResult = (result) => this.#allow(result.ok);
        this.refresh();
    }

    /** A text with an error is not sent: nothing could be trained with it. */
    #allow(isGood) {
        for (const name of Object.keys(TARGETS)) {
            byId("send_" + name).disabled = !isGood;
            byId("send_" + name).title = isGood ? "" : "The text has an error";
        }
        const line = byId("transfer_said");
        if (!isGood) this.#say(OFF, true);
        else if (line.textContent === OFF) this.#say("");
    }

    /** Shows the buttons that fit what the schedule is for. */
    refresh() {
        const kind = this.planner.form.get("kind");
        for (const [name, target] of Object.entries(TARGETS)) setHidden(byId("send_" + name), target.kind !== kind);
    }

    async #send(target) {
        const {form, editor} = this.planner;
        const {field, label} = TARGETS[target];
        if (!fields.set(field, editor.text)) return this.#say(`There is no field for the ${label} on this page.`, true);
        const sent = [label];
        if (byId("send_fields").checked) {
            for (const [name, word] of Object.entries(SHARED)) {
                if (form.get(name) !== "" && fields.set(name, form.get(name))) sent.push(word);
            }
        }
        const trouble = await this.#sendWay(target, sent);
        this.#say(trouble || `Sent: ${sent.join(", ")}.`, trouble !== "");
    }

    /** A plan for the rest of a run is only right if that run resumes in the same way. Resolves to what went wrong, or "". */
    async #sendWay(kind, sent) {
        const {run, way} = this.planner.continuation;
        if (run?.kind !== kind) return "";
        try {
            await request("POST", "resume", {kind, name: run.name, way: way.value});
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            return `Sent, but not the resume mode of ${run.name}: ${error.message}`;
        }
        this.onResumeChosen(kind);
        sent.push(`the resume mode of ${run.name}`);
        return "";
    }

    #fetch() {
        const {form} = this.planner;
        const kind = form.get("kind");
        const field = kind === "clip" ? "clip" : "embeddingRate";
        if (!fields.exists(field)) return this.#say("There is no Train tab on this page.", true);
        const {value} = fields;
        this.planner.open({
            text: value(field), steps: value("steps"), batch: value("batch"), accumulate: value("accumulate"), folder: value("folder"),
            pictures: "", trainee: kind === "clip" ? null : "embedding",
        });
        this.#say("Read from the Train tab.");
    }

    #say(text, isTrouble = false) {
        const line = byId("transfer_said");
        setText(line, text);
        line.classList.toggle("lrsched-bad", isTrouble);
    }
}
