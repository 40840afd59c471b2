// What is chosen before a trial starts, as parts of its request. The server checks every value.

/** A number field: text that is not a number is sent as typed, and the server refuses it; an empty field sends nothing. */
export function numberOf(text) {
    const typed = text.trim();
    if (typed === "") return undefined;
    return Number.isFinite(Number(typed)) ? Number(typed) : typed;
}

/** Factors, with commas or spaces between them; null where none are given. */
export function factorsOf(text) {
    const found = text.split(/[\s,;]+/).filter((one) => one !== "");
    return found.length === 0 ? null : found.map(numberOf);
}

/** The optional parts of a request. `typed` holds the texts of the fields, `images` whether they are wanted. */
export function chosen({updates, seed, factors, images, prompt, negative, imageSeed}) {
    return {
        updates: numberOf(updates), seed: numberOf(seed), grid: factorsOf(factors),
        images: images ? {prompt: prompt.trim(), negative_prompt: negative.trim(), seed: numberOf(imageSeed)} : null,
    };
}

/** The texts of a comparison: each once, and none that is empty. */
export function differing(texts) {
    return [...new Set(texts.map((text) => text.trim()))].filter((text) => text !== "");
}
