// The line above everything while nothing is in progress: what the tab is for, a preset to start from, and help.
import {byId, el, setHidden} from "../base/dom.js";
import {Menu} from "../base/menu.js";

/** `presets` are those of the planner; once they are known they are offered with their notes. */
export class Hello {
    constructor(presets) {
        this.presets = presets;
        this.menu = null;
        this.help = byId("help");
        byId("start_from").disabled = true;
        byId("help_open").addEventListener("click", () => this.#open(this.help.hidden));
        this.help.addEventListener("keydown", (event) => {
            if (event.key === "Escape") this.#open(false);
        });
    }

    /** Called when the presets may be there. */
    update() {
        const {presets} = this.presets;
        if (this.menu !== null || presets.length === 0) return;
        byId("start_from_menu").replaceChildren(...presets.filter(({builtin}) => builtin).map(({name, note}) =>
            el("button", {type: "button", role: "menuitem", tabindex: "-1", data: {format: name}},
                el("b", {text: name}), el("span", {class: "lrsched-muted", text: note}))));
        this.menu = new Menu(byId("start_from"), byId("start_from_menu"), (name) => this.presets.open(name));
        byId("start_from").disabled = false;
    }

    #open(isOpen) {
        setHidden(this.help, !isOpen);
        byId("help_open").setAttribute("aria-expanded", String(isOpen));
    }
}
