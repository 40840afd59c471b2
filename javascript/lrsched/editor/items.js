// What the server knows of the text's items, and edits of the text that it makes. JavaScript reads no schedule.
import {ApiError, request} from "../base/api.js";
import {Latest} from "../base/latest.js";
import {toUnits} from "../base/text.js";

/**
 * The items of the editor's text. `onChange()` is called when they are known anew, or no longer.
 * `known` is null or {text, items, boundaries, handles}, as POST items answers.
 */
export class Items {
    #asked = new Latest();
    #queue = Promise.resolve();

    constructor(editor, context, onChange) {
        this.editor = editor;
        this.context = context;
        this.onChange = onChange;
        this.known = null;
    }

    /** True while what is known is of the text as it stands. */
    get isFresh() {
        return this.known !== null && this.known.text === this.editor.text;
    }

    /** Asks anew; a text that cannot be read leaves what was known before. */
    async read() {
        const {text} = this.editor;
        let answer = null;
        try {
            answer = await this.#asked.ask("POST", "items", {text, ...this.context()});
        } catch (error) {
            if (error.passing) console.info("LR Schedule: the segments could not be loaded.", error.message);
        }
        if (answer !== null) this.known = {text, ...answer};
        this.onChange();
    }

    /** The item at a place of the text, the innermost one; null where nothing is known. */
    at(caret) {
        const {items, text} = this.known ?? {items: []};
        const start = (item) => toUnits(text, item.span)[0];
        const end = (item) => toUnits(text, item.span)[1];
        let found = items[Math.max(0, items.findLastIndex((item) => start(item) <= caret))] ?? null;
        for (let inner = found; inner; inner = inner.items.find((item) => start(item) <= caret && caret <= end(item))) found = inner;
        return found;
    }

    /** The item at a path, or null. */
    byPath(path) {
        return path.reduce((item, number) => item?.items[number] ?? null, {items: this.known?.items ?? []});
    }

    /** The items among which the one at a path stands. */
    siblings(path) {
        return this.byPath(path.slice(0, -1))?.items ?? [];
    }

    /** The text that an edit would make: {text, item, span}. Throws an ApiError. */
    draft(edit) {
        return request("POST", "edit", {text: this.editor.text, edit, ...this.context()});
    }

    /** Makes an edit, after those that were asked before; resolves to a message, empty where all went well. */
    edit(edit) {
        const done = this.#queue.then(() => this.#edit(edit));
        this.#queue = done;
        return done;
    }

    async #edit(edit) {
        const {text} = this.editor;
        try {
            const answer = await this.draft(edit);
            if (this.editor.text !== text) return "The text has changed meanwhile; nothing was edited.";
            this.editor.replace(answer.text, answer.span);
            return "";
        } catch (error) {
            if (error instanceof ApiError) return error.message;
            throw error;
        }
    }
}
