// The list of runs, kept fresh while somebody looks at it: not in a hidden page, not behind another tab.
import {ApiError, request} from "../base/api.js";
import {byId, el, isShown, setHidden, setText} from "../base/dom.js";
import {formatCount, formatShortMoment} from "../base/format.js";
import {keep, recall} from "../base/storage.js";
import {RunFiles} from "./run_files.js";
import {RunImport} from "./run_import.js";
import {RunView} from "./run_view.js";
import {stateWords} from "./standing.js";

const TRAINING_MS = 1000;
const IDLE_MS = 3000;
const MOST_PAUSE_MS = 15000;
const CHECK_MS = 250;
const STORE = "run";

/** Polls the runs and the chosen one; `onRuns(runs)` hears of every list, `onProgress(list)` of what is in progress. */
export class RunsWatcher {
    #due = 0;
    #busy = false;
    #failures = 0;
    #active = new Set();
    #isBusyThere = false; // something is in progress
    #generation = 0; // of what is chosen and listed: an answer to an older question comes too late

    constructor({onRuns, onProgress, onContinue, onOpen}) {
        this.onRuns = onRuns;
        this.onProgress = onProgress;
        this.page = byId("page");
        this.list = byId("runs");
        this.chosen = recall(STORE, null);
        this.runs = [];
        this.view = new RunView({onContinue, onOpen});
        this.files = new RunFiles((answer, said) => this.#deleted(answer, said));
        this.importer = new RunImport(this.list.closest(".lrsched-card"), (id) => this.#imported(id));
        this.timer = setInterval(() => this.#check(), CHECK_MS);
    }

    /** Its markup is gone. */
    stop() {
        clearInterval(this.timer);
    }

    /** Shows a run; kept over a reload. */
    choose(id) {
        this.#generation += 1;
        this.chosen = id;
        keep(STORE, id);
        this.#drawList();
        this.#due = 0;
        this.#check();
    }

    /** The run after it is shown, and its row has the focus, which the button that is gone had. */
    #deleted(answer, said) {
        this.#generation += 1;
        this.#take(answer);
        this.importer.tell(said);
        (this.list.querySelector('[aria-current="true"]') ?? byId("run_import")).focus({preventScroll: true});
        this.#due = 0;
        this.#check();
    }

    async #imported(id) {
        this.choose(id);
        const answer = await request("GET", "runs");
        this.#take(answer);
        return this.runs.find((run) => run.id === id) ?? null;
    }

    #check() {
        if (this.#busy || performance.now() < this.#due || !isShown(this.page)) return;
        this.#busy = true;
        this.#poll().finally(() => (this.#busy = false));
    }

    async #poll() {
        const generation = this.#generation;
        try {
            const answer = await request("GET", "runs");
            if (generation !== this.#generation) return;
            this.#take(answer);
            const run = this.runs.find(({id}) => id === this.chosen);
            if (run) {
                await this.view.update(run, this.#active.has(run.id));
                this.files.show(run, this.#active.has(run.id));
            }
            this.#failures = 0;
            if (generation === this.#generation) this.#due = performance.now() + (this.#isBusyThere ? TRAINING_MS : IDLE_MS);
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            this.#failures += 1;
            this.#due = performance.now() + Math.min(MOST_PAUSE_MS, TRAINING_MS * 2 ** (this.#failures - 1));
            this.#trouble(error);
            return;
        }
        this.#trouble(null);
    }

    #take({runs, active, host, in_progress: inProgress = []}) {
        this.#isBusyThere = active.length > 0 || inProgress.length > 0;
        const begun = active.find((id) => !this.#active.has(id));
        this.#active = new Set(active);
        this.runs = runs;
        if (begun) this.chosen = begun;
        if (!runs.some((run) => run.id === this.chosen)) this.chosen = runs[0]?.id ?? null;
        keep(STORE, this.chosen);
        this.#drawList();
        this.#describeHost(host);
        this.onRuns(runs);
        this.onProgress(inProgress);
    }

    #describeHost(host) {
        const text = host?.hooked ? "" : ["Runs are not recorded here", host?.why].filter(Boolean).join(": ");
        setText(byId("host"), text);
    }

    #trouble(error) {
        const line = byId("runs_trouble");
        if (error) setText(line, error.passing ? "Server not reachable, trying again." : error.message);
        setHidden(line, error === null);
    }

    /** Redraws rows only where they changed, so that focus and selection stay. */
    #drawList() {
        if (this.runs.length === 0) {
            const hint = "No runs yet. Start one in the Train tab: its rate and loss appear here while it trains. Or import one.";
            if (this.list.dataset.empty !== "yes") this.list.replaceChildren(el("li", {class: "lrsched-muted", text: hint}));
            this.list.dataset.empty = "yes";
            setHidden(byId("run_view"), true);
            return;
        }
        if (this.list.dataset.empty === "yes") this.list.replaceChildren();
        this.list.dataset.empty = "no";
        this.#syncRows();
    }

    #syncRows() {
        const rows = new Map([...this.list.children].map((row) => [row.dataset.id, row]));
        this.runs.forEach((run, i) => {
            const row = rows.get(run.id) ?? this.#newRow(run.id);
            rows.delete(run.id);
            this.#fillRow(row, run);
            if (this.list.children[i] !== row) this.list.insertBefore(row, this.list.children[i] ?? null);
        });
        for (const row of rows.values()) row.remove();
    }

    #newRow(id) {
        const button = el("button", {type: "button", class: "lrsched-run", on: {click: () => this.choose(id)}},
            el("span", {class: "lrsched-run-name"}), el("span", {class: "lrsched-state"}),
            el("span", {class: "lrsched-run-steps"}), el("span", {class: "lrsched-run-when"}));
        return el("li", {data: {id}}, button);
    }

    #fillRow(row, run) {
        const button = row.firstElementChild;
        const [name, state, steps, when] = button.children;
        setText(name, run.name);
        setText(state, stateWords(run.state));
        if (state.dataset.state !== run.state) state.dataset.state = run.state;
        setText(steps, `${run.kind}, ${formatCount(run.step)} of ${formatCount(run.total_steps)}`);
        setText(when, formatShortMoment(run.updated_s));
        const current = String(run.id === this.chosen);
        if (button.getAttribute("aria-current") !== current) button.setAttribute("aria-current", current);
    }
}
