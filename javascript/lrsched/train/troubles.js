// At a field of the Train tab: what is wrong with it, in words. Numbers are looked at here, the rest by the preflight.
import {el, setText} from "../base/dom.js";
import {sentence} from "../base/text.js";
import * as fields from "./fields.js";

/** Inputs of which the preflight's errors are said at their field, by the host's names. Texts of schedules have their own help. */
const INPUTS = {data_root: "folder", log_directory: "log", template_filename: "template", tag_drop_out: "tagDropOut"};

/** A line for each field with which something is wrong. */
export class Troubles {
    #lines = {};

    constructor(preflight) {
        this.preflight = preflight;
    }

    refresh() {
        for (const name of fields.numbers) this.#show(name, fields.numberTrouble(name));
        for (const [input, name] of Object.entries(INPUTS)) this.#show(name, sentence(this.preflight.errorOf(input)));
        for (const kind of ["embedding", "hypernetwork"]) {
            const isEmpty = fields.value(kind) !== "" && fields.value(`${kind}Rate`) === "" && fields.exists(`${kind}Rate`);
            this.#show(`${kind}Rate`, isEmpty ? "A rate is missing, such as 0.005." : "");
        }
    }

    #show(name, text) {
        const block = fields.block(name);
        if (block === null || (text === "" && this.#lines[name] === undefined)) return;
        const line = (this.#lines[name] ??= el("p", {class: "lrsched lrsched-field-trouble", id: `lrsched_trouble_${name}`}));
        if (line.parentElement !== block) block.append(line);
        setText(line, text);
        this.#mark(fields.input(name), line.id, text !== "");
    }

    #mark(input, id, isWrong) {
        if (input === null || input.hasAttribute("aria-invalid") === isWrong) return;
        if (!isWrong) {
            input.removeAttribute("aria-invalid");
            input.removeAttribute("aria-describedby");
            return;
        }
        input.setAttribute("aria-invalid", "true");
        input.setAttribute("aria-describedby", id);
    }
}
