// Which images stand beside each other. Pure.

/** All steps at which one of the lists has an image, rising. */
export function stepsOf(lists) {
    return [...new Set(lists.flat().map(({step}) => step))].sort((one, other) => one - other);
}

/** The image nearest to a step, the earlier one of two that are as near; null in an empty list. Of one step the first that was saved. */
export function nearestImage(images, step) {
    let best = null;
    for (const image of images) {
        const [far, nearest] = [Math.abs(image.step - step), best === null ? Infinity : Math.abs(best.step - step)];
        if (far < nearest || (far === nearest && image.step < best.step)) best = image;
    }
    return best;
}
