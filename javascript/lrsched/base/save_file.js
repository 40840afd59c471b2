// Hands a file to the browser, which keeps it where it keeps downloads.
import {el} from "./dom.js";

const KEPT_MS = 60_000; // the browser reads it after the click

export function saveFile(blob, name) {
    const address = URL.createObjectURL(blob);
    el("a", {href: address, download: name}).click();
    setTimeout(() => URL.revokeObjectURL(address), KEPT_MS);
}
