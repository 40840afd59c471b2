// Below the chosen embedding or hypernetwork: where its training goes on, and its last settings.
"use strict";

(() => {
    const lrsched = (globalThis.lrsched ??= {});
    const AGAIN_MS = 5000;
    const UNKNOWN_MS = 1500; // while a training goes on no stored run fits; once it ends, one does

    /** The line under one of the two drop-downs; `current` is the server's last answer for the chosen name. */
    class ResumeOffer {
        #name = "";
        #due = 0;
        #number = 0;

        constructor(kind, onChange) {
            const {el} = lrsched.dom;
            this.kind = kind;
            this.onChange = onChange;
            this.current = null;
            this.line = el("span", {class: "lrsched-resume-text"});
            this.text = el("code", {class: "lrsched-resume-rate"});
            this.button = el("button", {
                type: "button", class: "lrsched-button", text: "Use its last settings", on: {click: () => this.#use()},
            });
            this.said = el("span", {class: "lrsched-muted", role: "status"});
            this.box = el("div", {class: "lrsched lrsched-inline lrsched-resume", id: `lrsched_resume_${kind}`, hidden: true},
                this.line, this.text, this.button, this.said);
        }

        /** Gradio's drop-downs tell nobody of a change, so their value is read; training moves the step meanwhile. */
        refresh() {
            const block = lrsched.fields.block(this.kind);
            if (block === null) return;
            if (this.box.parentElement !== block) block.append(this.box);
            const name = lrsched.fields.value(this.kind);
            if (name === this.#name && performance.now() < this.#due) return;
            if (name !== this.#name) lrsched.dom.setText(this.said, "");
            this.#name = name;
            this.#due = performance.now() + (this.current?.step && !this.current.run ? UNKNOWN_MS : AGAIN_MS);
            this.#ask(name);
        }

        async #ask(name) {
            const number = ++this.#number;
            let answer = null;
            if (name !== "") {
                try {
                    answer = await lrsched.api.request("GET", `resume?kind=${this.kind}&name=${encodeURIComponent(name)}`);
                } catch (error) {
                    if (!(error instanceof lrsched.api.ApiError)) throw error;
                    if (number === this.#number && error.passing) return;
                }
            }
            if (number !== this.#number) return;
            const changed = JSON.stringify(answer) !== JSON.stringify(this.current);
            this.current = answer;
            if (changed) {
                this.#draw(answer);
                this.onChange();
            }
        }

        #draw(answer) {
            const {setText, setHidden, formatCount} = lrsched.dom;
            const run = answer?.run ?? null;
            setHidden(this.box, !answer?.step && run === null);
            setText(this.line, sentence(answer, formatCount));
            setText(this.text, run?.rate_text ?? "");
            setHidden(this.text, run === null);
            setHidden(this.button, run === null);
        }

        async #use() {
            const {run, settings} = this.current ?? {};
            if (!run) return;
            const {set, setClipMode} = lrsched.fields;
            set(this.kind + "Rate", run.rate_text);
            set("steps", run.total_steps);
            set("batch", run.batch);
            set("accumulate", run.accumulate);
            if (settings?.data_root) set("folder", settings.data_root);
            if (run.clip_mode !== "disabled") set("clip", run.clip_text);
            const moved = await setClipMode(run.clip_mode);
            lrsched.dom.setText(this.said, moved ? "Its settings are in the fields." : `In the fields; choose ${run.clip_mode} for Gradient Clipping yourself.`);
            this.onChange();
        }
    }

    function sentence(answer, formatCount) {
        if (!answer?.step && !answer?.run) return "";
        if (answer.run) return `Continues at step ${formatCount(answer.step)} of ${formatCount(answer.run.total_steps)} with`;
        return `Continues at step ${formatCount(answer.step)}; its settings are not known.`;
    }

    lrsched.ResumeOffer = ResumeOffer;
})();
