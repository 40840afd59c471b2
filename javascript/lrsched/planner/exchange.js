// "Copy as" and "Paste from": the schedule in other programs' words, and theirs in ours. The server translates.
import {request} from "../base/api.js";
import {byId, setHidden, setText} from "../base/dom.js";
import {Latest} from "../base/latest.js";
import {Menu} from "../base/menu.js";

// The field of each option. The menu's entry of a format says which of them it takes, and what the empty field shows.
const FIELDS = {
    export: {error: "export_error", base: "export_base"},
    import: {base: "import_base", steps_per_epoch: "import_epoch"},
};

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
        showFields("export", format);
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
        const {error: percent, base} = optionsOf("export", this.format);
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
        byId("import_text").placeholder = entryOf("import", format).dataset.example;
        showFields("import", format);
        this.#sayImport("");
        byId("import_text").focus();
    }

    async #import() {
        const format = this.importFormat;
        const body = {text: byId("import_text").value, format, ...optionsOf("import", format)};
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

/** The menu's entry of a format, whose data the server made from its registry of formats. */
function entryOf(part, format) {
    return byId(part === "export" ? "copy_as_menu" : "paste_from_menu").querySelector(`[data-format="${format}"]`);
}

/** The options that a format takes, each with what its empty field shows. */
function takenBy(part, format) {
    return JSON.parse(entryOf(part, format).dataset.takes);
}

function showFields(part, format) {
    const taken = takenBy(part, format);
    for (const [option, field] of Object.entries(FIELDS[part])) {
        setHidden(byId(`${field}_field`), !(option in taken));
        byId(field).placeholder = taken[option] ?? "";
    }
}

/** What the fields say of every option, null of one that the format does not take. */
function optionsOf(part, format) {
    const taken = takenBy(part, format);
    const values = Object.entries(FIELDS[part]).map(([option, field]) => [option, option in taken ? number(byId(field).value) : null]);
    return Object.fromEntries(values);
}

/** What a number field says; a text that is none is sent as it is, and the server says so. */
function number(text) {
    const trimmed = text.trim();
    if (trimmed === "") return null;
    return Number.isFinite(Number(trimmed)) ? Number(trimmed) : trimmed;
}
