// "Copy as" and "Paste from": the schedule in other programs' words, and theirs in ours. The server translates.
import {request} from "../base/api.js";
import {byId, setHidden, setText} from "../base/dom.js";
import {Latest} from "../base/latest.js";
import {Menu} from "../base/menu.js";

const WITH_ERROR = new Set(["a1111", "diffusers"]);
const WITH_EPOCHS = new Set(["kohya", "onetrainer"]);
const WITH_BASE = {export: new Set(["diffusers"]), import: new Set(["diffusers", "deepspeed"])};

const MOST_ROWS = 12;

/** The card "Other programs". */
export class Exchange {
    #asked = new Latest();

    constructor(planner) {
        this.planner = planner;
        this.format = null;
        new Menu(byId("copy_as"), byId("copy_as_menu"), (format, label) => this.#openExport(format, label));
        new Menu(byId("paste_from"), byId("paste_from_menu"), (format, label) => this.#openImport(format, label));
        for (const name of ["export_error", "export_base"]) byId(name).addEventListener("change", () => this.refresh());
        byId("export_copy").addEventListener("click", () => this.#copy());
        byId("export_close").addEventListener("click", () => this.#close("export"));
        byId("import_use").addEventListener("click", () => this.#import());
        byId("import_close").addEventListener("click", () => this.#close("import"));
    }

    #openExport(format, label) {
        this.format = format;
        setHidden(byId("export"), false);
        setHidden(byId("import"), true);
        setText(byId("export_title"), `As ${label}`);
        setHidden(byId("export_error_field"), !WITH_ERROR.has(format));
        setHidden(byId("export_base_field"), !WITH_BASE.export.has(format));
        byId("export_error").placeholder = format === "a1111" ? "2" : "exact only";
        this.#showExport("", ""); // until the answer comes: the text of another program is not to be copied
        return this.refresh();
    }

    /** Asks for the export again while it is shown: the schedule has changed. */
    async refresh() {
        if (this.format === null) return;
        try {
            const answer = await this.#asked.ask("POST", "export", this.#exportQuestion());
            if (answer === null || this.format === null) return;
            this.#showExport(answer.text, answer.note);
            setText(byId("export_trouble"), "");
        } catch (error) {
            this.#showExport("", "");
            setText(byId("export_trouble"), error.message);
        }
    }

    #exportQuestion() {
        const percent = WITH_ERROR.has(this.format) ? number(byId("export_error").value) : null;
        const base = WITH_BASE.export.has(this.format) ? number(byId("export_base").value) : null;
        const error = typeof percent === "number" ? percent / 100 : percent;
        return {text: this.planner.editor.text, format: this.format, ...this.planner.context(), error, base};
    }

    #showExport(text, note) {
        const box = byId("export_text");
        setHidden(box, text === "");
        box.value = text;
        box.rows = 2;
        while (box.rows < MOST_ROWS && box.scrollHeight > box.clientHeight) box.rows += 1;
        byId("export_copy").disabled = text === "";
        setText(byId("export_note"), note);
        setText(byId("export_said"), "");
    }

    /** The clipboard is there only on https and localhost; elsewhere the old way still works. */
    async #copy() {
        const box = byId("export_text");
        let done = true;
        try {
            await navigator.clipboard.writeText(box.value);
        } catch (error) {
            console.info("LR Schedule: copying the old way.", error?.message);
            box.select();
            done = document.execCommand("copy");
        }
        setText(byId("export_said"), done ? "Copied." : "Copying was blocked: the text is selected, press Ctrl+C.");
    }

    #openImport(format, label) {
        this.#close("export");
        this.importFormat = format;
        setHidden(byId("import"), false);
        setText(byId("import_title"), `From ${label}`);
        const entry = byId("paste_from_menu").querySelector(`[data-format="${format}"]`);
        byId("import_text").placeholder = entry.dataset.example;
        setHidden(byId("import_base_field"), !WITH_BASE.import.has(format));
        setHidden(byId("import_epoch_field"), !WITH_EPOCHS.has(format));
        this.#sayImport("");
        byId("import_text").focus();
    }

    async #import() {
        const format = this.importFormat;
        const base = WITH_BASE.import.has(format) ? number(byId("import_base").value) : null;
        const epoch = WITH_EPOCHS.has(format) ? number(byId("import_epoch").value) : null;
        const body = {text: byId("import_text").value, format, base, steps_per_epoch: epoch};
        try {
            const answer = await request("POST", "import", body);
            this.planner.open({text: answer.text, steps: answer.total_steps});
            byId("import_use").focus({preventScroll: true}); // the editor has it after a text was written, and may be out of view
            this.#sayImport(["It is in the editor.", answer.note].filter(Boolean).join(" "));
        } catch (error) {
            this.#sayImport(error.message, true);
        }
    }

    #sayImport(text, isTrouble = false) {
        const line = byId("import_said");
        setText(line, text);
        line.classList.toggle("lrsched-bad", isTrouble);
    }

    #close(part) {
        if (part === "export") this.format = null;
        setHidden(byId(part), true);
        byId(part === "export" ? "copy_as" : "paste_from").focus({preventScroll: true});
    }
}

/** What a number field says; a text that is none is sent as it is, and the server says so. */
function number(text) {
    const trimmed = text.trim();
    if (trimmed === "") return null;
    return Number.isFinite(Number(trimmed)) ? Number(trimmed) : trimmed;
}
