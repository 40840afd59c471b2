// What is kept of the chosen run: its snapshots, which of them are whole and which one is resumed from, how much of the disk it
// takes, the run as one file to take elsewhere, and its end.
import {ApiError, request, url} from "../base/api.js";
import {byId, el, setHidden, setText, whileDisabled} from "../base/dom.js";
import {formatCount, formatMoment, formatSize, formatUpdates} from "../base/format.js";
import {InTurn} from "../base/in_turn.js";
import {Latest} from "../base/latest.js";
import {Question} from "../base/question.js";
import {goesOn} from "../base/run_states.js";

const TENSORS_NAMED = 2;

/**
 * The buttons of a run and what they open. `onList(answer, said)` is called with the new list after a deletion, `onChosen(kind)` with
 * what kind it was chosen from where its next training resumes, `tellInList(run, words)` with an error about a run that is no longer shown.
 */
export class RunFiles {
    #key = "";
    #asked = new Latest();
    #more = new Latest(); // the chosen snapshot, and the sizes
    #choosing = new InTurn();

    constructor({onList, onChosen, tellInList}) {
        Object.assign(this, {onList, onChosen, tellInList});
        this.run = null;
        this.found = null;
        this.panel = byId("run_snapshots");
        this.deleting = new Question(byId("run_ask"));
        this.keeping = new Question(byId("run_keep_ask"));
        byId("run_snapshots_open").addEventListener("click", () => this.#openSnapshots(this.panel.hidden));
        byId("run_delete").addEventListener("click", () => this.#askToDelete());
        byId("run_check").addEventListener("click", () => whileDisabled(byId("run_check"), () => this.#check()));
        byId("run_keep_last").addEventListener("click", () => this.#askToKeep());
    }

    /** Takes the run that is shown. The snapshots of a running one change all the time: they are read when they are opened. */
    show(run, isActive) {
        if (this.run?.id !== run.id) this.#reset();
        this.run = run;
        const isGoingOn = isActive || goesOn(run);
        const key = JSON.stringify([run.id, isGoingOn || run.updated_s]);
        if (key === this.#key) return;
        this.#key = key;
        byId("run_delete").disabled = isGoingOn;
        if (isGoingOn) this.#told(""); // it was about the next training, which has begun
        if (isGoingOn) this.#setExport("The run is in progress; export and delete are available when it ends.");
        if (!isGoingOn || !this.panel.hidden) this.#read(isGoingOn);
    }

    /** Something was chosen elsewhere: reads at the next look. */
    again() {
        this.#key = "";
    }

    #reset() {
        this.#setExport("");
        this.#say("");
        this.#told("");
        this.found = null;
        this.deleting.close();
        this.keeping.close();
        setText(byId("run_size"), "");
        byId("run_snapshots_rows").replaceChildren();
    }

    async #read(isGoingOn) {
        const {run} = this;
        try {
            const answer = await this.#asked.ask("GET", `runs/${encodeURIComponent(run.id)}/bundles`);
            if (answer === null || run.id !== this.run.id) return;
            this.#list(answer);
            if (!this.panel.hidden) this.#readMore(run, isGoingOn);
            if (!isGoingOn) this.#setExport(reason(answer.bundles), run.id);
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            if (run.id !== this.run.id) return;
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

    #list(found) {
        const before = this.found;
        this.found = {...found, from: before?.from ?? null};
        this.#draw();
    }

    #draw() {
        const {bundles, best} = this.found;
        const isGoingOn = byId("run_delete").disabled;
        const focused = document.activeElement?.dataset?.step;
        const newest = bundles.find(({good}) => good);
        const rows = [...bundles, ...(best === null ? [] : [best])].map((one) => this.#row(one, one === newest, isGoingOn));
        byId("run_snapshots_rows").replaceChildren(...rows);
        if (focused) byId("run_snapshots_rows").querySelector(`[data-step="${focused}"]`)?.focus({preventScroll: true});
        setHidden(byId("run_snapshots_table"), rows.length === 0);
        setHidden(byId("run_snapshots_none"), rows.length > 0);
        const isUnchecked = [...bundles, best].some((one) => one?.good && !one.checked);
        byId("run_check").classList.toggle("lrsched-primary", isUnchecked);
        byId("run_check").disabled = rows.length === 0;
        byId("run_keep_last").disabled = isGoingOn || bundles.length < 2 || newest === undefined;
        if (byId("run_keep_last").disabled) this.keeping.close();
        else this.keeping.word(this.#wordsToKeep());
        byId("run_keep_last").title = isGoingOn ? "When the run has ended" : "Deletes all snapshots but the newest good one";
    }

    #row(snapshot, isNewest, isGoingOn) {
        const {from} = this.found;
        const isChosen = from === null ? isNewest : from === snapshot.step && this.#first(from) === snapshot;
        const cells = row(snapshot, snapshot === this.found.best);
        const last = el("td", {data: {label: "Next training"}});
        if (isChosen) last.append(el("span", {class: "lrsched-muted", text: "resumes from here"}));
        else if (snapshot.good) {
            last.append(el("button", {
                type: "button", class: "lrsched-button", text: "Resume from here", disabled: isGoingOn, data: {step: snapshot.step},
                title: "The next training resumes from this snapshot; the newer ones are given up when it begins",
                on: {click: () => this.#resumeFrom(isNewest ? null : snapshot.step)},
            }));
        }
        cells.append(last);
        return cells;
    }

    /** Of several snapshots after as many updates the first is taken. */
    #first(step) {
        return [...this.found.bundles, this.found.best].find((one) => one?.step === step) ?? null;
    }

    /** What else there is to know where the panel is open: which snapshot was chosen, and what all of it takes on the disk. */
    async #readMore(run, isGoingOn) {
        const isNewest = this.#more.begin();
        try {
            const [resume, listed] = await Promise.all([
                isGoingOn ? null : request("GET", `resume?kind=${run.kind}&name=${encodeURIComponent(run.name)}`), request("GET", "runs"),
            ]);
            if (!isNewest() || run.id !== this.run?.id || this.found === null) return;
            this.found.from = resume?.run?.id === run.id ? resume.from_step : null;
            this.#draw();
            const own = listed.runs.find(({id}) => id === run.id)?.size_bytes ?? null;
            const all = listed.unread > 0 ? "" : ` All ${formatCount(listed.runs.length)} runs together take ${formatSize(listed.size_bytes)}.`;
            setText(byId("run_size"), own === null ? "" : `The run takes ${formatSize(own)} on the disk.${all}`);
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            if (isNewest()) this.#key = ""; // the table is drawn; the rest is loaded with the next list
        }
    }

    /** Reads all of it whole, however large. */
    async #check() {
        const {run} = this;
        this.#told("Reading…");
        try {
            const answer = await request("POST", `runs/${encodeURIComponent(run.id)}/check`);
            if (run.id !== this.run.id) return;
            this.#list(answer);
            const bad = [...answer.bundles, answer.best, ...answer.files].filter((one) => one && !one.good);
            const count = answer.bundles.length + (answer.best === null ? 0 : 1) + answer.files.length;
            const words = bad.map(({file, message}) => `${file}: ${message}`).join("; ");
            this.#told(bad.length ? `Damaged: ${words}.` : `Read whole, and intact: ${count === 1 ? "one file" : `all ${count} files`}.`, bad.length > 0);
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            this.#refused(run, `Not checked: ${error.message}`);
        }
    }

    #askToKeep() {
        this.#told("");
        this.keeping.ask({text: this.#wordsToKeep(), back: byId("run_keep_last"), onYes: () => this.#keepLast(), stays: true});
    }

    /** The question, of the snapshots as they are known now. */
    #wordsToKeep() {
        const newest = this.found.bundles.find(({good}) => good);
        const others = this.found.bundles.length - 1;
        const what = others === 1 ? "the other snapshot" : `the other ${others} snapshots`;
        const isChosen = this.found.from !== null && this.found.from !== newest?.step;
        const chosen = isChosen ? "The one that was chosen for the next training is among them: it then resumes from the kept one. " : "";
        const end = `${chosen}The best state and the ${this.run.kind}'s own file stay.`;
        return `Keep the snapshot after ${formatUpdates(newest?.step)}, and delete ${what} for good? ${end}`;
    }

    async #keepLast() {
        const {run} = this;
        try {
            const {freed_bytes: freed, deleted, step} = await request("POST", `runs/${encodeURIComponent(run.id)}/keep-last`);
            this.onChosen(run.kind); // the server has cleared it if that snapshot was deleted
            if (run.id !== this.run.id) return;
            this.#more.begin(); // a pending answer may be older
            if (this.found !== null) this.found.from = null;
            const what = deleted === 1 ? "1 snapshot" : `${formatCount(deleted)} snapshots`;
            this.#told(`Deleted ${what}, ${formatSize(freed)}; that after ${formatUpdates(step)} is kept.`);
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            this.#refused(run, `Not deleted: ${error.message}`);
            if (run.id !== this.run.id) return;
        }
        byId("run_snapshots").focus({preventScroll: true});
        this.#read(byId("run_delete").disabled);
    }

    /** Chooses a kept snapshot for the next training; null is the newest again. */
    async #resumeFrom(step) {
        const {run} = this;
        try {
            const answer = await this.#choosing.run(() => request("POST", `runs/${encodeURIComponent(run.id)}/resume-from`, {step}));
            this.onChosen(run.kind);
            if (run.id !== this.run.id || this.found === null) return;
            this.found.from = answer.from_step;
            this.#draw();
            const words = `The next training of ${run.name} resumes from step ${formatCount(answer.step)}`;
            this.#told(step === null ? `${words}, the newest snapshot.` : `${words}. The Train tab says so, and can take it back.`);
            byId("run_snapshots").focus({preventScroll: true});
            this.#readMore(run, byId("run_delete").disabled); // a pending answer may be older
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            this.#refused(run, `Not chosen: ${error.message}`);
        }
    }

    #refused(run, words) {
        if (run.id === this.run.id) this.#told(words, true);
        else this.tellInList(run, words);
    }

    #told(text, isTrouble = false) {
        const line = byId("run_kept_said");
        setText(line, text);
        line.classList.toggle("lrsched-bad", isTrouble);
    }

    // Deleting -------------------------------------------------------------------------------

    #askToDelete() {
        const {name, kind} = this.run;
        this.#say("");
        const text = `Delete the run of "${name}" for good, with its numbers and snapshots? The ${kind}'s own file stays.`;
        this.deleting.ask({text, back: byId("run_delete"), onYes: () => this.#delete(), stays: true});
    }

    async #delete() {
        const {run} = this;
        try {
            const answer = await request("DELETE", `runs/${encodeURIComponent(run.id)}`);
            this.onList(answer, `Deleted the run of "${run.name}".`);
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            const words = `Not deleted: ${error.message}`;
            if (run.id === this.run.id) this.#say(words);
            else this.tellInList(run, words);
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

function row(snapshot, isBest) {
    const {file, good, checked, message, step, time_s, size_bytes, rate_text} = snapshot;
    const isRead = step !== undefined; // of a damaged one nothing is known but what is wrong
    const cell = (label, text, look = null) => el("td", {class: look, data: {label}, text});
    return el("tr", {title: [file, rate_text].filter(Boolean).join(": ")},
        cell("Step", `${isRead ? formatCount(step) : "–"}${isBest ? ", best" : ""}`, "lrsched-num"),
        cell("Saved", isRead ? formatMoment(time_s) : "–"),
        cell("Size", size_bytes === undefined ? "–" : formatSize(size_bytes), "lrsched-num"),
        cell("Contents", isRead ? content(snapshot) : "–", isRead ? "lrsched-words" : null),
        good ? cell("State", checked ? "good" : "not checked", checked ? "lrsched-is-good" : "lrsched-muted") : cell("State", message, "lrsched-words lrsched-is-bad"));
}

/** What a snapshot holds, in words. */
function content({trained, optimizer, batches_taken: taken, batches_per_epoch: all, multiplier}) {
    const more = trained.length - TENSORS_NAMED;
    const shapes = trained.slice(0, TENSORS_NAMED).join(", ") + (more > 0 ? ` and ${more} more` : "");
    const place = taken === null ? "" : `, data position (${taken} of ${all} batches)`;
    const times = multiplier === 1 ? "" : `, at ${multiplier} times the planned rate`;
    return `weights (${shapes}), optimizer (${optimizer}), random numbers${place}${times}`;
}
