// Questions that are asked again where the server is away: after how long, and what is said meanwhile.
import {sentence} from "./text.js";

const LONGEST_PAUSE_MS = 15000;

/** The pause after so many failures in a row, each twice as long as the one before. */
export function pauseAfter(failures, first_ms) {
    return Math.min(LONGEST_PAUSE_MS, first_ms * 2 ** (failures - 1));
}

/** What is said of a failure; of one that may pass, that it is tried again. */
export function whileTrying({message, passing}) {
    return passing ? `${sentence(message)} Trying again.` : message;
}
