// The fields of the host's Train tab: where they are, what they hold, how to set them.
import {isShown, root, typeInto} from "../base/dom.js";

const IDS = {
    embedding: "train_embedding",
    hypernetwork: "train_hypernetwork",
    embeddingRate: "train_embedding_learn_rate",
    hypernetworkRate: "train_hypernetwork_learn_rate",
    steps: "train_steps",
    batch: "train_batch_size",
    accumulate: "train_gradient_step",
    folder: "train_dataset_directory",
    log: "train_log_directory",
    template: "train_template_file",
    imagesEvery: "train_create_image_every",
    copiesEvery: "train_save_embedding_every",
    width: "train_training_width",
    height: "train_training_height",
    keepSize: "train_varsize",
    weights: "use_weight",
    storesEmbedding: "train_save_image_with_stored_embedding",
    previewsFromTxt2img: "train_preview_from_txt2img",
    shuffleTags: "train_shuffle_tags",
    tagDropOut: "train_tag_drop_out",
    latents: "train_latent_sampling_method",
    trainEmbedding: "train_train_embedding",
};
const CLIP_PLACEHOLDER = "Gradient clip value";
const CLIP_LABEL = "Gradient Clipping";
const OPTIONS_WAIT_MS = 50;
const REFRESHED_MS = 1500; // until the host has read its names anew

/** The inputs that both kinds of training have beside rate and clipping: the host's name of each, and its field. */
const INPUTS = {
    batch_size: "batch", gradient_step: "accumulate", data_root: "folder", log_directory: "log", training_width: "width",
    training_height: "height", varsize: "keepSize", steps: "steps", shuffle_tags: "shuffleTags", tag_drop_out: "tagDropOut",
    latent_sampling_method: "latents", use_weight: "weights", create_image_every: "imagesEvery", template_filename: "template",
    save_image_with_stored_embedding: "storesEmbedding", preview_from_txt2img: "previewsFromTxt2img",
};
/** One field of the page, several names in the host. */
const COPIES = ["save_embedding_every", "save_hypernetwork_every", "save_model_every"];
/** What a profile has beside them: of both kinds. */
const OF_KINDS = {
    embedding_name: "embedding", hypernetwork_name: "hypernetwork", embedding_learn_rate: "embeddingRate",
    hypernetwork_learn_rate: "hypernetworkRate", clip_grad_mode: "clipMode", clip_grad_value: "clip",
};
const LABELS = {clip: "Gradient clip value", clipMode: CLIP_LABEL};
/** Fields that hold whole numbers, and the least that each takes. */
const WHOLE = {steps: 1, batch: 1, accumulate: 1, width: 1, height: 1, imagesEvery: 0, copiesEvery: 0};

/** The block (gradio's outer element) of a field, or null. */
export function block(name) {
    if (name === "clip") return clipInput()?.closest(".block") ?? null;
    if (name === "clipMode") return clipModeInput()?.closest(".block") ?? null;
    return root().querySelector("#" + IDS[name]);
}

/** The input or text area of a field, or null where the page has none. */
export function input(name) {
    if (name === "clip") return clipInput();
    if (name === "clipMode") return clipModeInput();
    const all = [...block(name)?.querySelectorAll("textarea, input") ?? []].filter((one) => !one.closest(".lrsched")); // not ours
    return all.find(({type}) => type === "number") ?? all[0] ?? null; // a slider has a number field beside it
}

/** The outermost element around a field that does not hold another one; null where the page has not both. */
export function rowOf(name, other) {
    const beyond = block(other);
    let place = beyond && block(name);
    while (place?.parentElement && !place.parentElement.contains(beyond)) place = place.parentElement;
    return place;
}

function clipInput() {
    return root().querySelector(`[placeholder="${CLIP_PLACEHOLDER}"]`);
}

/** The drop-down that chooses value or norm: the nearest one before the clip field, for it has no id. */
function clipModeInput() {
    let place = clipInput()?.closest(".block") ?? null;
    for (let level = 0; place && level < 4; level++, place = place.parentElement) {
        const found = place.querySelector(`input[aria-label="${CLIP_LABEL}"]`) ?? labelled(place);
        if (found) return found;
    }
    return null;
}

function labelled(place) {
    const titles = [...place.querySelectorAll("label > span, .block span")];
    return titles.find((title) => title.textContent.trim() === CLIP_LABEL)?.closest(".block")?.querySelector("input") ?? null;
}

export function value(name) {
    return input(name)?.value.trim() ?? "";
}

export function number(name) {
    return value(name) === "" ? null : Number(value(name));
}

/** Sets a field; false where the page has none. */
export function set(name, text) {
    const target = input(name);
    if (target === null) return false;
    typeInto(target, text);
    return true;
}

/** Chooses from the clip drop-down as a hand would; resolves to false when it would not be moved. */
export function setClipMode(mode) {
    return choose(clipModeInput(), mode);
}

/** Chooses from one of gradio's drop-downs. */
async function choose(target, choice) {
    if (target === null) return false;
    if (target.value === choice) return true;
    target.focus();
    await new Promise((resolve) => setTimeout(resolve, OPTIONS_WAIT_MS));
    const options = [...document.querySelectorAll("ul.options li")];
    const option = options.find((item) => item.dataset.value === choice || item.textContent.replace("✓", "").trim() === choice);
    option?.dispatchEvent(new MouseEvent("mousedown", {bubbles: true, cancelable: true}));
    target.blur();
    await new Promise((resolve) => setTimeout(resolve, OPTIONS_WAIT_MS));
    return target.value === choice;
}

/** What a field holds, in the host's types; undefined where the page has no such field. */
function held(name) {
    const target = input(name);
    if (target === null) return undefined;
    if (target.type === "checkbox") return target.checked;
    if (target.type === "radio") return block(name).querySelector("input:checked")?.value;
    return target.type === "number" ? number(name) : target.value.trim();
}

/** Sets a field to what `held` gave; resolves to whether it has it now. */
async function hold(name, wanted) {
    const target = input(name);
    if (target === null || held(name) === wanted) return target !== null;
    if (target.type === "checkbox") target.click();
    else if (target.type === "radio") [...block(name).querySelectorAll("input")].find(({value}) => value === wanted)?.click();
    else if (target.getAttribute("role") === "listbox" || target.closest(".wrap-inner")) await choose(target, wanted);
    else typeInto(target, wanted);
    if (target.type === "number") target.dispatchEvent(new Event("blur")); // a slider takes its number only then
    return held(name) === wanted;
}

/** The field of one of a training's inputs, by the host's name or a profile's; null where there is none for it. */
export function fieldOf(name, kind = null) {
    if (name === "learn_rate") return kind && `${kind}Rate`;
    return INPUTS[name] ?? OF_KINDS[name] ?? (COPIES.includes(name) ? "copiesEvery" : null);
}

/** Sets the fields to the inputs of a training, but for the names in `but`; one after another, for drop-downs open lists. */
export async function setInputs(inputs, {kind = null, but = []} = {}) {
    for (const [name, wanted] of Object.entries(inputs)) {
        const field = fieldOf(name, kind);
        if (field !== null && !but.includes(name) && input(field) !== null) await hold(field, wanted ?? "");
    }
}

/** All that the Train tab holds, by the host's names and a profile's. */
export function inputs() {
    const names = [...Object.keys(INPUTS), ...Object.keys(OF_KINDS), "save_embedding_every", "save_hypernetwork_every"];
    return Object.fromEntries(names.map((name) => [name, held(fieldOf(name))]).filter(([, value]) => value !== undefined));
}

/** The fields that hold something else than these inputs: `{name, field, label, here, there}`. */
export function differences(inputs, kind = null) {
    const found = new Map();
    for (const [name, there] of Object.entries(inputs)) {
        const field = fieldOf(name, kind);
        const here = field === null || block(field) === null ? undefined : held(field);
        if (here === undefined || isSame(here, there) || (field === "clip" && clipMode() === "disabled")) continue;
        found.set(field, {name, field, label: label(field), here, there});
    }
    return [...found.values()];
}

function isSame(here, there) {
    if (typeof there === "string") return String(here ?? "").trim() === there.trim();
    return (here === "" ? null : here) === there;
}

/** What is wrong with a field that holds a whole number, in words; empty where nothing is. */
export function numberTrouble(name) {
    const target = input(name);
    if (target === null || !(name in WHOLE)) return "";
    const typed = Number(target.value);
    const isGood = target.value.trim() !== "" && Number.isInteger(typed) && typed >= WHOLE[name];
    return isGood ? "" : `${label(name)}: a whole number from ${WHOLE[name]}`;
}

/** The fields for which numberTrouble() has words. */
export const numbers = Object.keys(WHOLE);

/** What stands at a field on the page. */
export function label(name) {
    if (name in LABELS) return LABELS[name];
    return block(name).querySelector("label > span, span[data-testid], span")?.textContent.trim().replace(/\.$/, "") || name;
}

/** What the Train tab holds, as part of a preview request. */
export function context() {
    return {
        total_steps: number("steps"), pictures: null, batch: number("batch"), accumulate: number("accumulate"),
        data_root: value("folder"),
    };
}

/** The training of a kind as the fields are now: its name and the inputs, named as the host's train function names them. */
export function training(kind) {
    const inputs = Object.fromEntries(Object.entries(INPUTS).map(([name, field]) => [name, held(field)]));
    return {kind, name: value(kind), inputs: {
        ...inputs, learn_rate: value(kind + "Rate"), clip_grad_mode: clipMode(), clip_grad_value: value("clip"),
        save_model_every: number("copiesEvery"),
    }};
}

/** True while the reader sees the Train tab. */
export function isVisible() {
    return isShown(block("embeddingRate"));
}

/** Has the page read the names of a kind anew, as the button beside the drop-down does; false where there is none. */
export function refreshNames(kind) {
    const button = root().querySelector(`#refresh_train_${kind}_name`);
    button?.click();
    return button !== null;
}

/**
 * Chooses an embedding or a hypernetwork; resolves to whether it is chosen then. A name that the page does not list may be new: then the
 * list is read anew, once.
 */
export async function chooseName(kind, name) {
    if (await hold(kind, name)) return true;
    if (!refreshNames(kind)) return false;
    await new Promise((resolve) => setTimeout(resolve, REFRESHED_MS));
    return hold(kind, name);
}

/** Value or norm, as the drop-down says. */
export function clipMode() {
    return clipModeInput()?.value.trim() ?? "";
}

/** Whether the page has a field. */
export function exists(name) {
    return input(name) !== null;
}
