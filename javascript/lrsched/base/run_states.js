// The states of a run.

const GOING_ON = new Set(["pending", "running"]);

/** Whether a run is being prepared or trained; false where there is no run. */
export function goesOn(run) {
    return GOING_ON.has(run?.state);
}
