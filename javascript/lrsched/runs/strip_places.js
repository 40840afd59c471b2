// Which preview images a strip shows, and where: thumbnails stand at their steps and do not lie over each other.

/**
 * The shown ones, [{image, left}] from left to right. `x(step)` is the pixel of a step, `[from, to]` the steps that are seen, `width`
 * that of a thumbnail with its gap and `[left, right]` the room. Those that `isWanted` come first, then the newest, then as many as
 * there is room for.
 */
export function placed(images, {x, range: [from, to], width, room: [left, right], isWanted = () => false}) {
    const seen = images.filter(({step}) => step >= from && step <= to);
    const most = Math.max(left, right - width);
    const place = (image) => Math.min(most, Math.max(left, x(image.step) - width / 2));
    const shown = [];
    const put = (image) => {
        const at = place(image);
        if (shown.every((one) => Math.abs(one.left - at) >= width)) shown.push({image, left: at});
    };
    for (const image of [...seen.filter(isWanted), ...seen.slice(-1), ...seen]) put(image);
    return shown.sort((a, b) => a.left - b.left);
}

/** One image for each step: the copy with the embedding in it only where there is no other. */
export function oneForEach(images) {
    const plain = new Set(images.filter((one) => !one.holds_embedding).map(({step}) => step));
    return images.filter((one) => !one.holds_embedding || !plain.has(one.step)).sort((a, b) => a.step - b.step || a.index - b.index);
}

/** What is shown large: [left, right or null]. Two that are pinned; else a pinned one and that which is nearest to the crosshair. */
export function pair(pins, nearest) {
    if (pins.length >= 2) return [pins[0], pins[1]];
    if (pins.length === 1) return [pins[0], nearest === null || nearest.index === pins[0].index ? null : nearest];
    return [nearest, null];
}

/** The pins after one more was chosen: a pinned one goes, a third takes the place of the second. */
export function pinned(pins, image) {
    const isThere = pins.some(({index}) => index === image.index);
    if (isThere) return pins.filter(({index}) => index !== image.index);
    return [...pins.slice(0, 1), image];
}
