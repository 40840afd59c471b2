// Requests that are repeated while the server is not reachable: after how long, and the message meanwhile.
import {sentence} from "./text.js";

const LONGEST_PAUSE_MS = 15000;

/** The pause after so many failures in a row, each twice as long as the one before. */
export function pauseAfter(failures, first_ms) {
    return Math.min(LONGEST_PAUSE_MS, first_ms * 2 ** (failures - 1));
}

/** The message for a failure; if it may pass, it adds that the request is repeated. */
export function whileTrying({message, passing}) {
    return passing ? `${sentence(message)} Trying again.` : message;
}
