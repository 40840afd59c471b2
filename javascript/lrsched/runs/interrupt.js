// Ends what is in progress: a training as the host's own button does, a trial as its Stop button.
import {request} from "../base/api.js";

/** `one` is an entry of the server's `in_progress`. A refusal is an ApiError, whose message says what to do. */
export function interrupt({what, kind, name, run, trial}) {
    if (what === "trial") return request("DELETE", `trials/${encodeURIComponent(trial)}?state=running`);
    return request("POST", "interrupt", {kind, name, run});
}
