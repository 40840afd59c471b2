// "Import a run": a file that another machine exported becomes a run here, chosen by hand or dropped onto the list.
import {ApiError, upload} from "../base/api.js";
import {byId, setHidden, setText} from "../base/dom.js";
import {formatCount, formatSize} from "../base/format.js";
import * as fields from "../train/fields.js";

const WANTS_NAME = /give the run another name$|^expected a name of /; // what the server says where another name would help

/** The button, the lines below it and the place to drop a file. `onImported(id)` resolves to the run, or null. */
export class RunImport {
    #going = null;

    constructor(card, onImported) {
        this.onImported = onImported;
        this.file = null;
        this.input = byId("run_import_file");
        this.name = byId("run_import_name");
        byId("run_import").addEventListener("click", () => this.input.click());
        this.input.addEventListener("change", () => this.#take(this.input.files[0]));
        byId("run_import_again").addEventListener("click", () => this.#send());
        this.name.addEventListener("keydown", (event) => {
            if (event.key === "Enter") this.#send();
        });
        byId("run_import_stop").addEventListener("click", () => this.#stop());
        this.#takeDrops(card);
    }

    #takeDrops(card) {
        const isFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
        const mark = (isOver) => card.classList.toggle("lrsched-drop", isOver);
        card.addEventListener("dragover", (event) => {
            if (!isFile(event)) return;
            event.preventDefault();
            mark(true);
        });
        card.addEventListener("dragleave", (event) => {
            if (!card.contains(event.relatedTarget)) mark(false);
        });
        card.addEventListener("drop", (event) => {
            mark(false);
            if (!isFile(event)) return;
            event.preventDefault();
            this.#take(event.dataTransfer.files[0]);
        });
    }

    #take(file) {
        this.input.value = ""; // so that the same file can be chosen again
        if (!file || this.#going) return;
        this.file = file;
        this.name.value = "";
        this.#askName(false);
        this.#send();
    }

    async #send() {
        if (this.#going || this.file === null) return;
        const {file} = this;
        this.#going = new AbortController();
        this.#setBusy(true);
        try {
            const path = `runs?name=${encodeURIComponent(this.name.value.trim())}`;
            const onProgress = (share) => this.#say(progress(file, share));
            this.#say(progress(file, 0));
            const {id} = await upload(path, file, {onProgress, signal: this.#going.signal});
            await this.#imported(id);
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            this.#failed(error);
        } finally {
            this.#going = null;
            this.#setBusy(false);
            if (!byId("run_import_more").hidden) this.name.focus({preventScroll: true});
        }
    }

    async #imported(id) {
        this.#askName(false);
        this.file = null;
        const run = await this.onImported(id).catch((error) => {
            if (!(error instanceof ApiError)) throw error;
            return null; // the next poll brings the list
        });
        if (run === null) return this.#say("Imported.");
        const isListed = fields.refreshNames(run.kind);
        const step = `${formatCount(run.step)} of ${formatCount(run.total_steps)}`;
        return this.#say(`Imported "${run.name}" (${run.kind}, step ${step}).${isListed ? " The Train tab lists it." : ""}`);
    }

    #failed(error) {
        this.#say(`${this.file.name}: ${error.message}`, true);
        this.#askName(WANTS_NAME.test(error.message));
    }

    #askName(isAsked) {
        setHidden(byId("run_import_more"), !isAsked);
    }

    #setBusy(isBusy) {
        for (const name of ["run_import", "run_import_again"]) byId(name).disabled = isBusy;
        setText(byId("run_import_stop"), isBusy ? "Stop" : "Close");
    }

    /** Calls off what is sent, or closes the lines. */
    #stop() {
        if (this.#going) return this.#going.abort();
        this.#say("");
        return byId("run_import").focus({preventScroll: true});
    }

    #say(text, isTrouble = false) {
        const line = byId("run_import_said");
        setText(line, text);
        line.classList.toggle("lrsched-bad", isTrouble);
        setHidden(byId("run_import_panel"), text === "");
    }

    /** Says what became of something else that the list shows. */
    tell(text, isTrouble = false) {
        if (!this.#going) this.#say(text, isTrouble);
    }
}

function progress({name, size}, share) {
    if (share >= 1) return `${name}: sent, the server is checking it.`;
    return `${name}: sending, ${Math.floor(share * 100)} % of ${formatSize(size)}.`;
}
