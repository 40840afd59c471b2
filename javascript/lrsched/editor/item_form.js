// The form below the editor: the item at the cursor, its shape, its parameters, its end. The server edits the text.
import {request} from "../base/api.js";
import {byId, el, setHidden, setText} from "../base/dom.js";
import {EndField, ParamField} from "./item_fields.js";

const FEW = 4;
const FEEDBACK = "During training the loss, or what `watch` names, decides when the rate falls; the chart shows it without a fall.";

/** Shows the item at the cursor, and changes the text through `items`. */
export class ItemForm {
    #key = "";
    #shapes = null;
    #edited = null; // the parsed text in which a segment was last added or deleted

    constructor(editor, items) {
        this.editor = editor;
        this.items = items;
        this.host = byId("item");
        this.message = el("p", {class: "lrsched-trouble", role: "alert"});
        this.item = null;
        this.host.addEventListener("focusin", () => this.#mark());
        this.host.addEventListener("focusout", () => this.editor.hover(null));
    }

    /** Draws the item at the cursor; while the text is not understood the last one stays, and cannot be used. */
    async refresh() {
        await this.shapes();
        const isStale = !this.items.isFresh;
        this.host.classList.toggle("lrsched-waiting", isStale);
        this.host.inert = isStale && !this.editor.isReplacing && !this.host.contains(document.activeElement);
        if (isStale || this.#shapes === null) return;
        const item = this.items.at(this.editor.caret);
        setHidden(this.host, item === null);
        if (item !== null) this.#show(item);
    }

    /** The shapes by name, loaded once; null where they cannot be. */
    async shapes() {
        this.#shapes ??= await this.#loadShapes();
        return this.#shapes;
    }

    async #loadShapes() {
        try {
            const {shapes} = await request("GET", "shapes");
            return new Map(shapes.map((shape) => [shape.name, shape]));
        } catch (error) {
            console.info("LR Schedule: the shapes could not be loaded.", error.message);
            return null;
        }
    }

    #show(item) {
        const before = this.item?.text;
        this.item = item;
        const key = JSON.stringify([item.path, item.shape]);
        if (before !== item.text) this.#say("");
        this.#keepingFocus(() => {
            if (key !== this.#key) this.#build();
            this.#key = key;
            this.#fill();
        });
    }

    /** What had the focus may have been replaced: its successor gets it, or the shape where there is none. */
    #keepingFocus(draw) {
        const focused = this.host.contains(document.activeElement) ? document.activeElement : null;
        draw();
        if (focused === null || focused.isConnected) return;
        const {role, param} = focused.dataset;
        const same = role ? `[data-role="${role}"]:not(:disabled)` : `[data-param="${param}"]`;
        (this.host.querySelector(same) ?? this.shape).focus({preventScroll: true});
    }

    #fill() {
        const {item} = this;
        this.shape.value = item.shape;
        this.end.set(item.end);
        for (const {name, text} of item.params) this.params.get(name).set(text);
        this.#fillHead();
        this.inner.replaceChildren(...item.items.map((inner) => this.#innerButton(inner)));
        if (this.host.contains(document.activeElement)) this.#mark();
    }

    #build() {
        const {item} = this;
        const shape = this.#shapes.get(item.shape);
        this.head = el("header", {class: "lrsched-head"});
        this.shape = el("select", {data: {role: "shape"}, on: {change: () => this.#edit({do: "shape", shape: this.shape.value})}},
            ...[...this.#shapes.keys()].map((name) => el("option", {value: name, text: name})));
        this.end = new EndField({isInner: item.path.length > 1, edit: (edit) => this.#edit(edit)});
        this.params = new Map(shape.params.filter((param) => param.kind !== "items").map((param) => [param.name, this.#field(param)]));
        this.inner = el("div", {class: "lrsched-snippets"});
        this.host.replaceChildren(
            this.head,
            el("div", {class: "lrsched-params lrsched-first"},
                el("label", {class: "lrsched-field"}, el("span", {text: "Shape"}), this.shape), this.end.node),
            ...this.#fields(), this.inner, this.message,
            ...(shape.feedback ? [el("p", {class: "lrsched-muted", text: FEEDBACK})] : []),
            el("details", {class: "lrsched-more"}, el("summary", {text: "?", title: "Where this shape comes from", "aria-label": "Where this shape comes from"}),
                el("p", {class: "lrsched-muted", text: `Reference: ${shape.reference}.`})));
    }

    #field(param) {
        return new ParamField(param, (text) => this.#edit(
            text === null ? {do: "unset", param: param.name} : {do: "set", param: param.name, value: text}));
    }

    /** All parameters, or, where there are many, those that are given or have to be, and the others folded away. */
    #fields() {
        const given = new Set(this.item.params.filter(({text}) => text !== null).map(({name}) => name));
        const all = [...this.params.entries()];
        const isShown = ([name, field]) => all.length <= FEW || field.isRequired || given.has(name);
        const grid = (fields) => el("div", {class: "lrsched-params"}, ...fields.map(([, field]) => field.node));
        const folded = all.filter((one) => !isShown(one));
        const more = folded.length === 0 ? [] : [
            el("details", {class: "lrsched-more"}, el("summary", {text: `${folded.length} more with defaults`}), grid(folded)),
        ];
        return [grid(all.filter(isShown)), ...more];
    }

    #fillHead() {
        const {path} = this.item;
        const row = this.items.siblings(path);
        const here = path[path.length - 1];
        const text = `Segment ${here + 1} of ${row.length}${path.length > 1 ? " in the repeat" : ""}`;
        const up = path.length > 1 ? this.items.byPath(path.slice(0, -1)) : null;
        this.head.replaceChildren(el("h4", {text}), el("span", {class: "lrsched-row"},
            this.#goButton("before", "‹", "Segment before", row[here - 1]),
            this.#goButton("next", "›", "Next segment", row[here + 1]),
            up && this.#goButton("up", "Up", "Go to the enclosing repeat", up),
            this.#button("add", "Add after", "Put a segment after this one", () => this.#once({do: "insert"})),
            this.#button("delete", "Delete", "Delete this segment", () => this.#once({do: "delete"}), row.length === 1)));
    }

    #goButton(role, text, title, to) {
        return this.#button(role, text, title, () => this.#go(to), !to);
    }

    #button(role, text, title, click, disabled = false) {
        const label = text.length === 1 ? title : null;
        return el("button", {
            type: "button", class: "lrsched-button", text, title, disabled, "aria-label": label, data: {role}, on: {click},
        });
    }

    #innerButton(inner) {
        const title = "Edit this segment of the repeat";
        return el("button", {type: "button", class: "lrsched-snippet", text: inner.text, title, on: {click: () => this.#go(inner)}});
    }

    #go(item) {
        this.editor.placeCaret(item.span);
        this.#mark();
    }

    #mark() {
        if (this.items.isFresh && this.item) this.editor.hover(this.item.span);
    }

    /** Edits this item; a message stays below the fields. While the text is being written fields lose the focus: no edit. */
    async #edit(edit) {
        if (this.editor.isReplacing) return null;
        const message = await this.items.edit({...edit, item: this.item.path});
        this.#say(message);
        if (message !== "" && edit.do === "shape") this.shape.value = this.item.shape;
        return message;
    }

    /** Adds or deletes a segment. A second press does nothing until the new text is parsed: it would change the wrong segment. */
    async #once(edit) {
        const {known} = this.items;
        if (known === this.#edited) return;
        this.#edited = known;
        if (await this.#edit(edit) !== "") this.#edited = null;
    }

    #say(message) {
        setText(this.message, message);
    }
}
