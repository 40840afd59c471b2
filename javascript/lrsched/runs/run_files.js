// What is kept of the chosen run: its snapshots, the run as one file to take elsewhere, and its end.
import {ApiError, request, url} from "../base/api.js";
import {byId, el, setHidden, setText} from "../base/dom.js";
import {formatCount, formatMoment, formatSize} from "../base/format.js";
import {Latest} from "../base/latest.js";

const GOING_ON = new Set(["pending", "running"]);
const TENSORS_NAMED = 2;

/** The buttons of a run and what they open. `onList(answer, said)` hears of the list that is left when one was deleted. */
export class RunFiles {
    #key = "";
    #asked = new Latest();

    constructor(onList) {
        this.onList = onList;
        this.run = null;
        this.panel = byId("run_snapshots");
        this.question = byId("run_ask");
        byId("run_snapshots_open").addEventListener("click", () => this.#openSnapshots(this.panel.hidden));
        byId("run_delete").addEventListener("click", () => this.#openQuestion(true));
        byId("run_delete_no").addEventListener("click", () => this.#openQuestion(false));
        byId("run_delete_yes").addEventListener("click", () => this.#delete());
        this.question.addEventListener("keydown", (event) => {
            if (event.key === "Escape") this.#openQuestion(false);
        });
    }

    /** Takes the run that is shown. The snapshots of a running one change all the time: they are read when they are opened. */
    show(run, isActive) {
        if (this.run?.id !== run.id) this.#reset();
        this.run = run;
        const isGoingOn = isActive || GOING_ON.has(run.state);
        const key = JSON.stringify([run.id, isGoingOn || run.updated_s]);
        if (key === this.#key) return;
        this.#key = key;
        byId("run_delete").disabled = isGoingOn;
        if (isGoingOn) this.#setExport("The run is in progress; export and delete are available when it ends.");
        if (!isGoingOn || !this.panel.hidden) this.#read(isGoingOn);
    }

    #reset() {
        this.#setExport("");
        this.#say("");
        setHidden(this.question, true);
        byId("run_snapshots_rows").replaceChildren();
    }

    async #read(isGoingOn) {
        const {run} = this;
        try {
            const answer = await this.#asked.ask("GET", `runs/${encodeURIComponent(run.id)}/bundles`);
            if (answer === null || run.id !== this.run.id) return;
            this.#list(answer.bundles);
            if (!isGoingOn) this.#setExport(reason(answer.bundles), run.id);
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            this.#key = ""; // asked again with the next list
            this.#setExport(`Its snapshots could not be loaded: ${error.message}`);
        }
    }

    /** A link to the run as one file, or why there is none. */
    #setExport(trouble, id = null) {
        const link = byId("run_export");
        const address = id === null || trouble ? null : url(`runs/${encodeURIComponent(id)}/file`);
        if (address === null) link.removeAttribute("href");
        else link.href = address;
        link.setAttribute("aria-disabled", String(address === null));
        link.title = trouble || "The run with its newest snapshot as one file";
        setText(byId("run_export_why"), trouble);
    }

    // Snapshots ---------------------------------------------------------------------------

    #openSnapshots(isOpen) {
        setHidden(this.panel, !isOpen);
        byId("run_snapshots_open").setAttribute("aria-expanded", String(isOpen));
        if (isOpen && this.run) this.#read(byId("run_delete").disabled);
    }

    #list(snapshots) {
        byId("run_snapshots_rows").replaceChildren(...snapshots.map(row));
        setHidden(byId("run_snapshots_table"), snapshots.length === 0);
        setHidden(byId("run_snapshots_none"), snapshots.length > 0);
    }

    // Deleting -------------------------------------------------------------------------------

    #openQuestion(isOpen) {
        const {name, kind} = this.run;
        setText(byId("run_ask_text"), `Delete the run of "${name}" for good, with its numbers and snapshots? The ${kind}'s own file stays.`);
        setHidden(this.question, !isOpen);
        byId(isOpen ? "run_delete_no" : "run_delete").focus({preventScroll: true});
        if (isOpen) this.#say("");
    }

    async #delete() {
        const {id, name} = this.run;
        const yes = byId("run_delete_yes");
        yes.disabled = true;
        try {
            const answer = await request("DELETE", `runs/${encodeURIComponent(id)}`);
            setHidden(this.question, true);
            this.onList(answer, `Deleted the run of "${name}".`);
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            this.#openQuestion(false);
            this.#say(`Not deleted: ${error.message}`);
        } finally {
            yes.disabled = false;
        }
    }

    #say(text) {
        setText(byId("run_files_said"), text);
    }
}

function reason(snapshots) {
    if (snapshots.some(({good}) => good)) return "";
    return snapshots.length ? "It cannot be exported: none of its snapshots is good." : "It cannot be exported: it has no snapshot.";
}

function row(snapshot) {
    const {file, good, message, step, time_s, size_bytes, rate_text} = snapshot;
    const isRead = step !== undefined; // of a damaged one nothing is known but what is wrong
    const cell = (label, text, look = null) => el("td", {class: look, data: {label}, text});
    return el("tr", {title: [file, rate_text].filter(Boolean).join(": ")},
        cell("Step", isRead ? formatCount(step) : "–", "lrsched-num"),
        cell("Saved", isRead ? formatMoment(time_s) : "–"),
        cell("Size", size_bytes === undefined ? "–" : formatSize(size_bytes), "lrsched-num"),
        cell("Contents", isRead ? content(snapshot) : "–", isRead ? "lrsched-words" : null),
        good ? cell("State", "good", "lrsched-is-good") : cell("State", message, "lrsched-words lrsched-is-bad"));
}

/** What a snapshot holds, in words. */
function content({trained, optimizer, batches_taken: taken, batches_per_epoch: all, multiplier}) {
    const more = trained.length - TENSORS_NAMED;
    const shapes = trained.slice(0, TENSORS_NAMED).join(", ") + (more > 0 ? ` and ${more} more` : "");
    const place = taken === null ? "" : `, data position (${taken} of ${all} batches)`;
    const times = multiplier === 1 ? "" : `, at ${multiplier} times the planned rate`;
    return `weights (${shapes}), optimizer (${optimizer}), random numbers${place}${times}`;
}
