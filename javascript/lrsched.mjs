// The only script that the WebUI loads by itself. It loads the others under an address that changes with their content,
// so that no browser runs old parts after an update. The page can be there before the server knows our routes: it tries again.

const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5000;

/** Built from the page's own address: the WebUI may be served below a sub-path. */
const scripts = (path) => new URL(`lrsched/v1/scripts${path}`, document.baseURI).href;

async function version() {
    const answer = await fetch(scripts(""), {credentials: "same-origin", cache: "no-store"});
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    return (await answer.json()).version;
}

/** A module that could not be loaded is not asked for again under its old address: each attempt has one of its own. */
async function load() {
    let pause_ms = FIRST_PAUSE_MS;
    for (let attempt = 0; ; attempt++) {
        try {
            return await import(scripts(`/${await version()}.${attempt}/main.js`));
        } catch (error) {
            console.info("LR Schedule: its scripts cannot be loaded yet, trying again.", error);
        }
        await new Promise((resolve) => setTimeout(resolve, pause_ms));
        pause_ms = Math.min(LONGEST_PAUSE_MS, 2 * pause_ms);
    }
}

const main = await load();
main.start();
