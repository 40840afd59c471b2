// Starts the parts when their markup is on the page, and brings them back when gradio redraws it.
"use strict";

(() => {
    const lrsched = (globalThis.lrsched ??= {});
    const SETTLE_MS = 200;
    const REREAD_MS = 1000;

    /** Makes what is missing and refreshes what is there; safe to call at any time. */
    function attach() {
        lrsched.guardErrorBox();
        if (lrsched.dom.byId("page") && lrsched.tab?.page !== lrsched.dom.byId("page")) startTab();
        if (lrsched.fields.block("embeddingRate")) {
            lrsched.helpers ??= new lrsched.TrainHelpers();
            lrsched.helpers.refresh();
        }
    }

    function startTab() {
        clearInterval(lrsched.tab?.watcher.timer);
        const page = lrsched.dom.byId("page");
        const planner = new lrsched.Planner();
        const transfer = new lrsched.Transfer(planner);
        const watcher = new lrsched.RunsWatcher({
            onRuns: (runs) => {
                planner.continuation.update(runs);
                planner.presets.loadOnce();
            },
            onContinue: (id) => {
                planner.continuation.plan(id);
                page.scrollIntoView({block: "start"});
            },
            onOpen: (run, settings) => planner.open({...lrsched.settingsOf(run), folder: settings?.data_root ?? null}),
        });
        lrsched.tab = {page, planner, transfer, watcher};
        whenSeen(page, () => planner.ask({now: true}));
    }

    /** Runs `action` once, when the reader first sees `node`. */
    function whenSeen(node, action) {
        const watcher = new IntersectionObserver((entries) => {
            if (!entries.some((entry) => entry.isIntersecting)) return;
            watcher.disconnect();
            action();
        });
        watcher.observe(node);
    }

    /** Calls attach() after changes of the page, at most every SETTLE_MS. */
    function watchPage() {
        let pending = null;
        const later = () => {
            pending ??= setTimeout(() => {
                pending = null;
                attach();
            }, SETTLE_MS);
        };
        new MutationObserver(later).observe(document.body, {childList: true, subtree: true});
        later();
    }

    function start() {
        if (typeof globalThis.onUiLoaded === "function" && typeof globalThis.onAfterUiUpdate === "function") {
            globalThis.onUiLoaded(attach);
            globalThis.onAfterUiUpdate(attach);
        } else {
            watchPage();
        }
        for (const name of ["input", "change"]) document.addEventListener(name, () => lrsched.helpers?.refresh());
        setInterval(() => lrsched.helpers?.refresh(), REREAD_MS);
    }

    /** Not before all scripts of the page have run, whatever their order. */
    function startOnce() {
        if (lrsched.started) return;
        lrsched.started = true;
        start();
    }

    if (document.readyState === "complete") startOnce();
    document.addEventListener("DOMContentLoaded", startOnce);
    globalThis.addEventListener("load", startOnce);
})();
