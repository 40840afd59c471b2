// A row of buttons that is one tab stop: arrow keys, Home and End move in it.

/** Brings a row (role toolbar) to life. The button that had the focus last is the one that Tab comes to. */
export function bindToolbar(row) {
    const buttons = [...row.querySelectorAll("button")];
    const stopAt = (one) => buttons.forEach((button) => button.setAttribute("tabindex", button === one ? "0" : "-1"));
    stopAt(buttons[0]);
    row.addEventListener("focusin", (event) => buttons.includes(event.target) && stopAt(event.target));
    row.addEventListener("keydown", (event) => {
        const here = buttons.indexOf(document.activeElement);
        const last = buttons.length - 1;
        const to = {ArrowRight: here === last ? 0 : here + 1, ArrowLeft: here <= 0 ? last : here - 1, Home: 0, End: last}[event.key];
        if (to === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
        event.preventDefault();
        buttons[to].focus();
    });
}
