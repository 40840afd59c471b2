// The looks of compared runs: the six colours of the style sheet, each solid first, then in a row of dashes.
const COLOURS = 6;

/** The look of the run at a place, from 0. The exported page has the same order. */
export function runLook(place) {
    return `c${place % COLOURS}-d${Math.floor(place / COLOURS)}`;
}
