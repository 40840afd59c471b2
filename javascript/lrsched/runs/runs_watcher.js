// The card of runs, kept fresh while somebody looks at it: not in a hidden page, not behind another tab.
import {request} from "../base/api.js";
import {byId, isShown, setHidden, setText} from "../base/dom.js";
import {Poller} from "../base/poller.js";
import {whileTrying} from "../base/retry.js";
import {keep, recall} from "../base/storage.js";
import {ComparePanel} from "../compare/compare_panel.js";
import {RunFiles} from "./run_files.js";
import {RunImport} from "./run_import.js";
import {RunLabel} from "./run_label.js";
import {RunList} from "./run_list.js";
import {calledOf} from "./run_search.js";
import {RunView} from "./run_view.js";

const TRAINING_MS = 1000;
const IDLE_MS = 3000;
const CHECK_MS = 250;
const COMPARING = "lrsched-is-comparing"; // class of the card's body: the comparison is shown in the place of the run
const STORE = "run";

/**
 * Polls the runs and what is shown beside their list, the chosen one or a comparison; `onRuns(runs)` hears of every list,
 * `onProgress(list)` of what is in progress, `onResumeChosen(kind)` as in run_files.js, the others as in run_view.js.
 */
export class RunsWatcher {
    #active = new Set();
    #restored = false; // what was open when the page was left
    #names = new Map(); // what runs are called, also those that are gone
    #isBusyThere = false; // something is in progress

    constructor({onRuns, onProgress, onResumeChosen, onContinue, onOpen}) {
        this.onRuns = onRuns;
        this.onProgress = onProgress;
        this.page = byId("page");
        this.body = byId("runs").closest(".lrsched-runs-body");
        this.chosen = recall(STORE, null);
        this.runs = [];
        this.list = new RunList({onOpen: (id) => this.choose(id), onTicks: () => this.#followTicks(), onCompare: () => this.compare()});
        this.comparison = new ComparePanel({onOpen: (id) => this.choose(id), onClose: () => this.#leaveComparison()});
        const tellInList = (run, words) => this.importer.tell(`${calledOf(run)}: ${words}`, true);
        this.view = new RunView({onContinue, onOpen, tellInList});
        this.label = new RunLabel({onSaved: (run) => this.#labelled(run), tellInList});
        this.files = new RunFiles({onList: (answer, said) => this.#deleted(answer, said), onChosen: onResumeChosen, tellInList});
        this.importer = new RunImport(this.body.closest(".lrsched-card"), (id) => this.#imported(id));
        this.poller = new Poller({
            look: (isNewest) => this.#look(isNewest), onTrouble: (error) => this.#trouble(error), isWatched: () => isShown(this.page),
            check_ms: CHECK_MS, retry_ms: TRAINING_MS,
        });
    }

    /** Its markup is gone. */
    stop() {
        this.poller.stop();
    }

    /** Shows a run; kept over a reload. */
    choose(id) {
        this.chosen = id;
        keep(STORE, id);
        this.#compare(false);
        this.#drawList();
        this.poller.soon();
    }

    /** Shows the ticked runs side by side; that it is shown, and what is ticked, is kept over a reload. */
    compare() {
        this.#compare(true);
        this.#drawList();
        byId("compared_title").focus({preventScroll: true});
        this.poller.soon();
    }

    /** The run after it is shown, and its row has the focus, which the button that is gone had. */
    #deleted(answer, said) {
        this.#take(answer);
        this.importer.tell(said);
        if (!this.list.focus()) byId("run_import").focus({preventScroll: true});
        this.poller.soon();
    }

    /** A run was given a name or a note. */
    #labelled(run) {
        this.runs = this.runs.map((one) => (one.id === run.id ? run : one));
        this.#drawList();
        this.poller.soon();
    }

    async #imported(id) {
        this.choose(id);
        const answer = await request("GET", "runs");
        this.#take(answer);
        return this.runs.find((run) => run.id === id) ?? null;
    }

    /** Resolves to the pause until the next look. A list that is older than what was chosen or changed meanwhile is left. */
    async #look(isNewest) {
        const answer = await request("GET", "runs");
        if (!isNewest()) return 0;
        this.#take(answer);
        await this.#showChosen();
        if (answer.unread > 0) return 0;
        return this.#isBusyThere ? TRAINING_MS : IDLE_MS;
    }

    /** Nothing of the chosen run is asked for while it is not seen. */
    async #showChosen() {
        const run = this.runs.find(({id}) => id === this.chosen);
        if (!run || this.comparison.isOpen) return;
        this.label.show(run);
        await this.view.update(run, this.#active.has(run.id));
        this.files.show(run, this.#active.has(run.id));
    }

    #take({runs, active, host, in_progress: inProgress = []}) {
        this.#isBusyThere = active.length > 0 || inProgress.length > 0;
        const begun = active.find((id) => !this.#active.has(id));
        this.#active = new Set(active);
        this.runs = runs;
        if (begun) this.chosen = begun;
        if (!runs.some((run) => run.id === this.chosen)) this.chosen = runs[0]?.id ?? null;
        keep(STORE, this.chosen);
        if (runs.length === 0) setHidden(byId("run_view"), true);
        this.#drawList();
        this.#describeHost(host);
        this.onRuns(runs);
        this.onProgress(inProgress);
    }

    #drawList() {
        if (!this.#restored && this.comparison.wasOpen && this.#ticked.length > 0) this.#compare(true);
        this.#restored = true;
        const gone = this.list.show(this.runs, this.comparison.isOpen ? null : this.chosen);
        this.comparison.update(this.#ticked);
        if (gone.length > 0) (this.comparison.isOpen ? this.comparison : this.list).say(goneWords(gone.map((id) => this.#names.get(id) ?? id)));
        for (const run of this.runs) this.#names.set(run.id, calledOf(run));
    }

    // The comparison ----------------------------------------------------------------------

    get #ticked() {
        const known = new Map(this.runs.map((run) => [run.id, run]));
        return this.list.ticks.ids.map((id) => known.get(id)).filter(Boolean);
    }

    /** An open comparison follows what is ticked; without a run it is closed. */
    #followTicks() {
        if (!this.comparison?.isOpen) return;
        if (this.list.ticks.ids.length === 0) this.#leaveComparison();
        else this.comparison.update(this.#ticked);
    }

    #leaveComparison() {
        this.#compare(false);
        this.#drawList();
        this.list.focus();
        this.poller.soon();
    }

    #compare(isOn) {
        this.body.classList.toggle(COMPARING, isOn);
        if (isOn) this.comparison.open(this.#ticked);
        else this.comparison.close();
    }

    #describeHost(host) {
        const text = host?.hooked ? "" : ["Runs are not recorded here", host?.why].filter(Boolean).join(": ");
        setText(byId("host"), text);
    }

    #trouble(error) {
        const line = byId("runs_trouble");
        if (error) setText(line, whileTrying(error));
        setHidden(line, error === null);
    }
}

function goneWords(names) {
    return names.length === 1 ? `${names[0]} was deleted meanwhile.` : `${names.join(", ")} were deleted meanwhile.`;
}
