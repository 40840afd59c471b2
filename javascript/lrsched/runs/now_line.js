// The line above everything: what is in progress, how far it is, a jump to it, and its end.
import {ApiError} from "../base/api.js";
import {byId, focusOne, setHidden, setText} from "../base/dom.js";
import {formatCount, formatDuration} from "../base/format.js";
import {interrupt} from "./interrupt.js";

const WHAT = {training: "Training", preparing: "Preparing", trial: "Trial for"};

/** What stands in the line: [what, name, how far]. */
export function nowWords({what, name, step, total_steps, s_left, is_ending: isEnding}) {
    if (isEnding) return [WHAT[what], name, "interrupted: it ends before its next update"];
    if (what === "preparing") return [WHAT[what], name, step > 0 ? `resumes at step ${formatCount(step)}` : "reading the images"];
    const left = s_left === null ? "" : `, ${formatDuration(Math.max(1, s_left))} left`;
    return [WHAT[what], name, `${what === "trial" ? "update" : "step"} ${formatCount(step)} of ${formatCount(total_steps)}${left}`];
}

/** `onJump(one)` hears of the jump. The line keeps its room: nothing moves when it comes or goes. */
export class NowLine {
    #ended = ""; // the key of what was interrupted from here
    #pressed = ""; // the key of the last one that Interrupt was pressed for: the message is about it

    constructor({onJump}) {
        this.line = byId("now");
        this.hello = byId("hello");
        this.one = null;
        this.seen = new Set();
        this.stop = byId("now_interrupt");
        byId("now_show").addEventListener("click", () => this.one && onJump(this.one));
        this.stop.addEventListener("click", () => this.#interrupt());
        this.observer = new IntersectionObserver((entries) => {
            for (const {target, isIntersecting} of entries) this.seen[isIntersecting ? "add" : "delete"](target.id);
            this.#draw();
        });
        for (const name of ["run_status_row", "trial_progress"]) this.observer.observe(byId(name));
    }

    /** Its markup is gone. */
    end() {
        this.observer.disconnect();
    }

    /** `list` is the server's `in_progress`; `runShown` the id of the run whose view is open. */
    show(list, runShown) {
        this.one = list[0] ?? null;
        this.more = list.length - 1;
        this.runShown = runShown;
        if (this.one === null || key(this.one) !== this.#pressed) this.#say("");
        if (this.one === null) this.#ended = "";
        this.#draw();
    }

    /** Where the run's own view says the same on the screen, the line does not. */
    get #isDouble() {
        const {what, run} = this.one;
        if (what === "trial") return this.seen.has("lrsched_trial_progress");
        return run !== null && run === this.runShown && this.seen.has("lrsched_run_status_row");
    }

    #draw() {
        const isShown = this.one !== null && !this.#isDouble;
        const hadFocus = this.line.contains(document.activeElement);
        this.line.classList.toggle("lrsched-is-on", isShown);
        this.line.inert = !isShown;
        this.hello.inert = isShown; // it stands in the same place
        if (hadFocus && !isShown) focusOne(byId("help_open"));
        if (this.one === null) return;
        const {one} = this;
        const [what, name, far] = nowWords(one);
        setText(byId("now_what"), what);
        setText(byId("now_name"), name);
        setText(byId("now_far"), this.more > 0 ? `${far}; ${this.more} more` : far);
        const done = one.total_steps > 0 && one.what !== "preparing" ? Math.min(100, (100 * one.step) / one.total_steps) : 0;
        byId("now_bar").firstElementChild.style.width = `${done}%`;
        setHidden(byId("now_show"), one.what === "preparing" && one.run === null);
        setText(this.stop, one.what === "trial" ? "Stop" : "Interrupt");
        this.stop.disabled = one.is_ending || key(one) === this.#ended;
    }

    async #interrupt() {
        const {one} = this;
        if (one === null) return;
        this.#ended = this.#pressed = key(one);
        this.#say("");
        focusOne(byId("now_show")); // the button that was pressed is off from here on
        this.#draw();
        try {
            await interrupt(one);
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            this.#ended = "";
            this.#say(error.message);
            this.#draw();
        }
    }

    #say(text) {
        setText(byId("now_said"), text);
    }
}

function key({what, kind, name, run, trial}) {
    return JSON.stringify([what, kind, name, run, trial]);
}
