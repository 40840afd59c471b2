// Talks to the server: one place for addresses and errors.

const PREFIX = "/lrsched/v1/";
/** By this the server knows its own page behind a proxy that changes the host: no page of another origin can send it. */
const OWN_PAGE = {"X-LRSched-Page": "1"};
const UNREACHABLE = "The server is not reachable.";

/** An answer that is not what was asked for; status 0 means that there was no answer at all. */
export class ApiError extends Error {
    constructor(message, {status = 0, span = null} = {}) {
        super(message);
        this.name = "ApiError";
        this.status = status;
        this.span = span;
    }

    /** True where asking again later may help. */
    get passing() {
        return this.status === 0 || this.status >= 502;
    }
}

/** The path that the page lives under ("" or "/sub"): the WebUI may be served below a sub-path. */
function rootPath() {
    const root = globalThis.gradio_config?.root;
    const path = root ? new URL(root, location.href).pathname : location.pathname.replace(/[^/]*$/, "");
    return path.replace(/\/+$/, "");
}

/** The address of something below our prefix. */
export function url(path) {
    return rootPath() + PREFIX + path;
}

/** Sends a request and returns the parsed answer; every failure is an ApiError. */
export async function request(method, path, body) {
    const options = {method, credentials: "same-origin", cache: "no-store", headers: {...OWN_PAGE}};
    if (body !== undefined) {
        options.body = JSON.stringify(body);
        options.headers["Content-Type"] = "application/json";
    }
    let response;
    try {
        response = await fetch(url(path), options);
    } catch (error) {
        throw new ApiError(UNREACHABLE, {status: 0});
    }
    return checked(await response.json().catch(() => null), response.status, response.statusText);
}

/** The answer, unless it is a refusal or none of ours. */
function checked(answer, status, statusText) {
    const isGood = status >= 200 && status < 300;
    if (isGood && answer !== null) return answer;
    const message = answer?.error?.message ?? `The server answered ${status} ${statusText}.`;
    throw new ApiError(message, {status: isGood ? 0 : status, span: answer?.error?.span ?? null});
}

/** A file of the server's as a Blob; every failure is an ApiError. */
export async function download(path) {
    let response;
    try {
        response = await fetch(url(path), {credentials: "same-origin", cache: "no-store", headers: {...OWN_PAGE}});
        if (response.ok) return await response.blob();
    } catch (error) {
        throw new ApiError(UNREACHABLE, {status: 0});
    }
    return checked(await response.json().catch(() => null), response.status, response.statusText);
}

/**
 * Sends a file; as request(). `onProgress(share)` hears how much of it is there, 0 to 1: fetch cannot tell. With an
 * AbortSignal it can be cancelled; then the promise is rejected with an ApiError too.
 */
export function upload(path, file, {onProgress, signal}) {
    return new Promise((resolve, reject) => {
        const sending = new XMLHttpRequest();
        sending.open("POST", url(path));
        for (const [name, value] of Object.entries(OWN_PAGE)) sending.setRequestHeader(name, value);
        sending.upload.addEventListener("progress", (event) => event.lengthComputable && onProgress(event.loaded / event.total));
        sending.addEventListener("load", () => {
            try {
                resolve(checked(parsed(sending.responseText), sending.status, sending.statusText));
            } catch (error) {
                reject(error);
            }
        });
        sending.addEventListener("error", () => reject(new ApiError(UNREACHABLE)));
        sending.addEventListener("abort", () => reject(new ApiError("Cancelled.")));
        signal.addEventListener("abort", () => sending.abort());
        sending.send(file);
    });
}

function parsed(text) {
    try {
        return JSON.parse(text);
    } catch (error) {
        return null;
    }
}
