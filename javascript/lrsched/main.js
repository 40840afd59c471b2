// Starts the parts when their markup is on the page, and brings them back when gradio redraws it.
import {byId, isShown, root} from "./base/dom.js";
import {NO_TAB_OF_OURS, NO_TRAIN_TAB, openTab, OURS} from "./base/tabs.js";
import {OptionsBox} from "./options/options_box.js";
import {settingsOf} from "./planner/continuation.js";
import {Hello} from "./planner/hello.js";
import {Planner} from "./planner/planner.js";
import {Transfer} from "./planner/transfer.js";
import {WhichSchedule} from "./planner/which_schedule.js";
import {NowLine} from "./runs/now_line.js";
import {RunNumbers} from "./runs/run_numbers.js";
import {RunProfile} from "./runs/run_profile.js";
import {RunsWatcher} from "./runs/runs_watcher.js";
import {guardErrorBox} from "./train/error_box.js";
import * as fields from "./train/fields.js";
import {TrainHelpers} from "./train/train_helpers.js";
import {TrainOffer} from "./trials/train_offer.js";
import {TrialStore} from "./trials/trial_store.js";
import {TrialsCard} from "./trials/trials_card.js";

const SETTLE_MS = 200;
const REREAD_MS = 1000;

/** What is on the page now; also for the browser's console. */
const parts = {tab: null, helpers: null, trials: null, fields};

/** Makes what is missing and refreshes what is there; safe to call at any time. */
function attach() {
    guardErrorBox();
    const page = byId("page");
    if (page && parts.tab?.page !== page) startTab(page);
    if (fields.block("embeddingRate")) {
        parts.helpers ??= startHelpers();
        parts.helpers.refresh();
    }
}

/** Made with the first part that shows trials. */
function trials() {
    parts.trials ??= new TrialStore(() => isShown(byId("page")) || fields.isVisible());
    return parts.trials;
}

function startHelpers() {
    const onEdit = (target, resume) => parts.tab?.transfer.edit(target, resume) ?? Promise.resolve(NO_TAB_OF_OURS);
    const helpers = new TrainHelpers({
        onShow: showRun, onChosen: () => parts.tab?.watcher.files.again(), onEdit,
        makeOptions: (resumes, heard) => new OptionsBox(resumes, heard),
    });
    const onUse = (trial) => parts.tab.trials.use(trial);
    for (const kind of ["embedding", "hypernetwork"]) {
        const offer = new TrainOffer(kind, trials(), {onUse, onShow: () => parts.tab.trials.reveal()});
        offer.box.prepend(helpers.editOf(kind)); // before any click: a button that is moved under one does not hear it
        helpers.add(offer);
    }
    return helpers;
}

/** Brings a run to the reader's eyes. */
function showRun(id) {
    if (parts.tab === null || !openTab(OURS)) return;
    parts.tab.watcher.choose(id);
    requestAnimationFrame(() => parts.tab.watcher.view.reveal());
}

function startTab(page) {
    parts.tab?.watcher.stop();
    parts.tab?.now.end();
    parts.tab?.trials.end();
    const [, inner] = root().querySelectorAll("[id=lrsched_body]"); // gradio gives its id to two elements, one in the other
    inner?.removeAttribute("id");
    const planner = new Planner();
    const hello = new Hello(planner.presets);
    const onResumeChosen = (kind) => parts.helpers?.resumes[kind].again();
    const transfer = new Transfer(planner, {
        onResumeChosen,
        onArrived: (field, said, how) => {
            parts.helpers?.refresh();
            parts.helpers?.arrival.show(field, said, how);
        },
    });
    const now = new NowLine({onJump: (one) => jump(one)});
    const watcher = new RunsWatcher({
        onResumeChosen,
        onProgress: (list) => {
            watcher.view.showProgress(list);
            now.show(list, watcher.chosen);
        },
        onRuns: (runs) => {
            planner.continuation.update(runs);
            planner.presets.loadOnce().then(() => hello.update());
        },
        onContinue: (id) => {
            planner.continuation.plan(id);
            if (planner.continuation.run !== null) transfer.opened(planner.continuation.run);
            page.scrollIntoView({block: "start"});
        },
        onOpen: (run, settings) => {
            planner.open({...settingsOf(run), folder: settings?.data_root ?? null});
            transfer.opened(run);
            page.scrollIntoView({block: "start"});
        },
    });
    new WhichSchedule(planner, () => byId("trial_find").getAttribute("aria-expanded") === "true" || byId("trial_find").click());
    const profile = new RunProfile(() => watcher.view.shown?.run ?? null, {
        onFill: (run) => parts.helpers?.fillFrom(run) ?? Promise.resolve(NO_TRAIN_TAB),
        onSaved: () => parts.helpers?.profiles.again(),
    });
    new RunNumbers(() => watcher.view.shown?.run ?? null);
    parts.tab = {page, planner, transfer, watcher, now, profile, trials: new TrialsCard(trials(), planner)};
    const jump = ({what, run, trial}) => {
        if (what === "trial") {
            trials().choose(trial);
            parts.tab.trials.reveal();
        } else {
            watcher.choose(run);
            watcher.view.reveal();
        }
    };
    whenSeen(page, () => planner.ask({now: true}));
}

/** Runs `action` once, when the reader first sees `node`. */
function whenSeen(node, action) {
    const observer = new IntersectionObserver((entries) => {
        if (!entries.some((entry) => entry.isIntersecting)) return;
        observer.disconnect();
        action();
    });
    observer.observe(node);
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

/** Called once by the entry, javascript/lrsched.mjs. */
export function start() {
    if (typeof globalThis.onUiLoaded === "function" && typeof globalThis.onAfterUiUpdate === "function") {
        globalThis.onUiLoaded(attach);
        globalThis.onAfterUiUpdate(attach);
        attach(); // the WebUI's page may be there already: modules come late
    } else {
        watchPage();
    }
    for (const name of ["input", "change"]) document.addEventListener(name, () => parts.helpers?.refresh());
    setInterval(() => parts.helpers?.refresh(), REREAD_MS);
    globalThis.lrsched = parts;
}
