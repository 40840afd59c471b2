// Talks to the server: one place for addresses, errors, pauses in typing and late answers.
"use strict";

(() => {
    const lrsched = (globalThis.lrsched ??= {});
    const PREFIX = "/lrsched/v1/";
    /** By this the server knows its own page behind a proxy that changes the host: no page of another origin can send it. */
    const OWN_PAGE = {"X-LRSched-Page": "1"};
    const UNREACHABLE = "The server is not reachable.";

    /** An answer that is not what was asked for; status 0 means that there was no answer at all. */
    class ApiError extends Error {
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
    function url(path) {
        return rootPath() + PREFIX + path;
    }

    /** Sends a request and returns the parsed answer; every failure is an ApiError. */
    async function request(method, path, body) {
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

    /**
     * Sends a file; as request(). `onProgress(share)` hears how much of it is there, 0 to 1: fetch cannot tell. With an
     * AbortSignal it can be called off; then the promise is rejected with an ApiError too.
     */
    function upload(path, file, {onProgress, signal}) {
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
            sending.addEventListener("abort", () => reject(new ApiError("Called off.")));
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

    /**
     * Asks for previews: waits for a pause in typing, numbers its questions and lets only an answer through that is newer
     * than the last one shown. One question is on its way at a time: of those that come meanwhile the last is asked next,
     * so that a slow server is not buried. A question that found no server is asked again, with growing pauses.
     */
    class Asker {
        #isAsking = false;
        #next = null;
        #number = 0;
        #shown = 0;
        #timer = null;
        #pause_ms;
        #retry_ms = 0;
        #onAnswer;
        #onError;

        constructor(onAnswer, onError, pause_ms = 150) {
            this.#onAnswer = onAnswer;
            this.#onError = onError;
            this.#pause_ms = pause_ms;
        }

        /** Asks after a pause, or at once. `question` is the preview request without its id. */
        ask(question, {now = false} = {}) {
            clearTimeout(this.#timer);
            this.#timer = setTimeout(() => this.#send(question), now ? 0 : this.#pause_ms);
        }

        async #send(question) {
            if (this.#isAsking) {
                this.#next = question;
                return;
            }
            this.#isAsking = true;
            await this.#sendNow(question);
            this.#isAsking = false;
            const next = this.#next;
            this.#next = null;
            if (next !== null) this.#send(next);
        }

        async #sendNow(question) {
            const number = ++this.#number;
            let answer = null;
            let failure = null;
            try {
                answer = await request("POST", "preview", {...question, id: number});
            } catch (error) {
                failure = error;
            }
            if (number < this.#shown) return;
            this.#shown = number;
            if (failure === null) {
                this.#retry_ms = 0;
                this.#onAnswer(answer, question);
            } else {
                this.#failed(failure, question, number);
            }
        }

        #failed(failure, question, number) {
            if (failure.passing && number === this.#number) {
                this.#retry_ms = Math.min(15000, this.#retry_ms * 2 || 1000);
                clearTimeout(this.#timer);
                this.#timer = setTimeout(() => this.#send(question), this.#retry_ms);
            }
            this.#onError(failure, question);
        }
    }

    /** Sends questions of one kind; the answer to one that was overtaken by a newer is null. */
    class Latest {
        #number = 0;

        async ask(method, path, body) {
            const number = ++this.#number;
            try {
                const answer = await request(method, path, body);
                return number === this.#number ? answer : null;
            } catch (error) {
                if (number !== this.#number) return null;
                throw error;
            }
        }
    }

    lrsched.api = {ApiError, Asker, Latest, request, rootPath, upload, url};
})();
