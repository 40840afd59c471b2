// "Continue a run": the schedule is drawn as the rest of a run that has begun.
"use strict";

(() => {
    const lrsched = (globalThis.lrsched ??= {});

    /** The select box and its note; sets `planner.form.continued`. */
    class Continuation {
        constructor(planner, wanted) {
            const {byId} = lrsched.dom;
            this.planner = planner;
            this.wanted = wanted;
            this.runs = [];
            this.select = byId("run");
            this.select.addEventListener("change", () => this.choose(this.select.value || null));
            byId("run_use").addEventListener("click", () => this.#useSettings());
        }

        get run() {
            return this.runs.find((run) => run.id === this.wanted) ?? null;
        }

        /** Takes over the list of runs, newest first; asks again only when the chosen run has moved. */
        update(runs) {
            const changed = JSON.stringify(runs.map(label)) !== JSON.stringify(this.runs.map(label));
            this.runs = runs;
            if (changed) this.#fill();
            this.#apply();
        }

        /** Chooses a run by its id; null starts at step 0. */
        choose(id) {
            this.wanted = id;
            this.select.value = id ?? "";
            this.#apply();
        }

        /** Chooses a run and takes over what it was started with. */
        plan(id) {
            this.choose(id);
            this.#useSettings();
        }

        #fill() {
            const {el} = lrsched.dom;
            this.select.replaceChildren(
                el("option", {value: "", text: "no, start at step 0"}),
                ...this.runs.map((run) => el("option", {value: run.id, text: label(run)})));
            this.select.value = this.run?.id ?? "";
        }

        #apply() {
            const {byId, setText, setHidden, formatCount} = lrsched.dom;
            const {form} = this.planner;
            const run = this.run;
            const before = form.continued;
            form.continued = run === null ? null : {id: run.id, step: run.step};
            setHidden(byId("run_note"), run === null);
            if (run) setText(byId("run_note").querySelector("span"), `Goes on at step ${formatCount(run.step)} of ${formatCount(run.total_steps)}.`);
            if (before?.id !== form.continued?.id || before?.step !== form.continued?.step) this.planner.ask({now: true});
        }

        #useSettings() {
            const {run, planner} = this;
            if (run) planner.open(settings(run));
        }
    }

    function label(run) {
        return `${run.name} – step ${run.step} of ${run.total_steps}, ${run.state}`;
    }

    /** A run's text and numbers, named as the editor's fields. */
    function settings(run) {
        return {
            text: run.rate_text, kind: "rate", steps: run.total_steps, pictures: run.pictures, batch: run.batch,
            accumulate: run.accumulate,
        };
    }

    lrsched.Continuation = Continuation;
    lrsched.settingsOf = settings;
})();
