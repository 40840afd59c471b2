// Opens the page at a run, once in each tab of the browser: after that, what was chosen there stays.
((run) => {
    try {
        if (sessionStorage.getItem("lrsched.opened_at") === run) return;
        sessionStorage.setItem("lrsched.opened_at", run);
        localStorage.setItem("lrsched.run", JSON.stringify(run));
    } catch (error) {
        console.info("LR Schedule: without the browser's storage the newest run is shown.", error?.message);
        return;
    }
    const timer = setInterval(() => {
        const view = document.getElementById("lrsched_run_view");
        if (!view?.getClientRects().length) return;
        stop();
        view.scrollIntoView({block: "start"});
        scrollBy(0, -12);
    }, 200);
    const stop = () => clearInterval(timer);
    for (const name of ["wheel", "keydown", "pointerdown"]) addEventListener(name, stop, {once: true});
})
