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
    trainEmbedding: "train_train_embedding",
};
const CLIP_PLACEHOLDER = "Gradient clip value";
const CLIP_LABEL = "Gradient Clipping";
const OPTIONS_WAIT_MS = 50;

/** The block (gradio's outer element) of a field, or null. */
export function block(name) {
    if (name === "clip") return clipInput()?.closest(".block") ?? null;
    return root().querySelector("#" + IDS[name]);
}

/** The input or text area of a field, or null where the page has none. */
export function input(name) {
    return name === "clip" ? clipInput() : block(name)?.querySelector("textarea, input") ?? null;
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
export async function setClipMode(mode) {
    const target = clipModeInput();
    if (target === null) return false;
    if (target.value === mode) return true;
    target.focus();
    await new Promise((resolve) => setTimeout(resolve, OPTIONS_WAIT_MS));
    const options = [...document.querySelectorAll("ul.options li")];
    const option = options.find((item) => item.dataset.value === mode || item.textContent.replace("✓", "").trim() === mode);
    option?.dispatchEvent(new MouseEvent("mousedown", {bubbles: true, cancelable: true}));
    target.blur();
    await new Promise((resolve) => setTimeout(resolve, OPTIONS_WAIT_MS));
    return target.value === mode;
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
    return {kind, name: value(kind), inputs: {
        learn_rate: value(kind + "Rate"), batch_size: number("batch"), gradient_step: number("accumulate"), steps: number("steps"),
        data_root: value("folder"), log_directory: value("log"), template_filename: value("template"),
        clip_grad_mode: clipMode(), clip_grad_value: value("clip"),
        create_image_every: number("imagesEvery"), save_model_every: number("copiesEvery"),
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

/** Value or norm, as the drop-down says. */
export function clipMode() {
    return clipModeInput()?.value.trim() ?? "";
}

/** Whether the page has a field. */
export function exists(name) {
    return input(name) !== null;
}
