// A chart as a PNG that stands by itself: title, legend and the names of its axes are in it, on the ground of the theme.
import {el, svg} from "../base/dom.js";
import {Chart} from "../chart/chart.js";
import {swatch} from "../chart/legend.js";

const WIDTH_PX = 960;
const HEIGHT_PX = 400;
const MARGIN_PX = 20;
const SCALE = 2;
const TITLE = {size: 17, weight: 600};
const WORDS = {size: 13, weight: 400};
const LINE_PX = 21;
const SWATCH_PX = 26;
const FONT = "system-ui, sans-serif";
const LONGEST_NAME_PX = 420;
/** What the style sheet decides; the image has to have it in itself. */
const STYLED = [
    "fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "opacity", "font-size", "font-weight", "font-variant-numeric",
];

/**
 * The Blob of a chart that is drawn anew for it, always as wide. `place` is an element of the page, for the style sheet and the theme;
 * `options` and `data` are the chart's, `legend` [look, name] pairs.
 */
export async function chartPng(place, {title, about, options, data, legend}) {
    const host = el("div", {class: "lrsched-offstage", style: `width: ${WIDTH_PX - 2 * MARGIN_PX}px`, "aria-hidden": "true"});
    place.append(host);
    try {
        const chart = new Chart(host, {...options, height: HEIGHT_PX});
        chart.show(data);
        await drawn();
        const key = el("div");
        host.append(key);
        key.append(...legend.map(([look]) => swatch(look)));
        return await painted(sheet(host, chart, {title, about, names: legend.map(([, name]) => name), swatches: [...key.children]}));
    } finally {
        host.remove();
    }
}

/** After the frame in which the chart draws itself. */
function drawn() {
    return new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
}

/** All of it as one SVG element with every style written at its element. */
function sheet(host, chart, {title, about, names, swatches}) {
    const {color, ground} = colours(host);
    const [lines, legendHeight] = legendOf(names, swatches, color);
    const top = MARGIN_PX + 2 * LINE_PX + 6;
    const height = top + HEIGHT_PX + 14 + legendHeight + MARGIN_PX;
    const drawing = svg("g", {transform: `translate(${MARGIN_PX} ${top})`}, styled(chart.drawing));
    return svg("svg", {width: WIDTH_PX * SCALE, height: height * SCALE, viewBox: `0 0 ${WIDTH_PX} ${height}`, "font-family": FONT},
        svg("rect", {width: WIDTH_PX, height, fill: ground}),
        words(title, MARGIN_PX, MARGIN_PX + TITLE.size - 2, color, TITLE), words(about, MARGIN_PX, MARGIN_PX + LINE_PX + WORDS.size + 4, color, WORDS),
        drawing, svg("g", {transform: `translate(${MARGIN_PX} ${top + HEIGHT_PX + 14})`}, ...lines));
}

/** The legend in as many rows as it takes; and its height. */
function legendOf(names, swatches, color) {
    const nodes = [];
    let [x, row] = [0, 0];
    names.forEach((name, i) => {
        const shown = shortened(name);
        const width = SWATCH_PX + 8 + widthOf(shown) + 22;
        if (x > 0 && x + width > WIDTH_PX - 2 * MARGIN_PX) [x, row] = [0, row + 1];
        const y = row * LINE_PX;
        nodes.push(svg("g", {transform: `translate(${x} ${y + 4})`}, styled(swatches[i])), words(shown, x + SWATCH_PX + 8, y + WORDS.size, color, WORDS));
        x += width;
    });
    return [nodes, (row + 1) * LINE_PX];
}

function words(text, x, y, fill, {size, weight}) {
    return svg("text", {x, y, fill, "font-size": size, "font-weight": weight, text});
}

function shortened(name) {
    if (widthOf(name) <= LONGEST_NAME_PX) return name;
    let kept = name;
    while (kept && widthOf(`${kept}…`) > LONGEST_NAME_PX) kept = kept.slice(0, -1);
    return `${kept.trimEnd()}…`;
}

function widthOf(text) {
    const context = document.createElement("canvas").getContext("2d");
    context.font = `${WORDS.weight} ${WORDS.size}px ${FONT}`;
    return context.measureText(text).width;
}

/** A copy of an element of the page that needs no style sheet. */
function styled(node) {
    const copy = node.cloneNode(true);
    const [originals, copies] = [node, copy].map((one) => [one, ...one.querySelectorAll("*")]);
    originals.forEach((original, i) => {
        const style = getComputedStyle(original);
        copies[i].setAttribute("style", STYLED.map((name) => `${name}: ${style.getPropertyValue(name)}`).join("; "));
        copies[i].removeAttribute("class");
    });
    return copy;
}

/** The colour of words, and the first ground behind the chart that is not transparent. */
function colours(host) {
    for (let node = host; node; node = node.parentElement) {
        const {backgroundColor} = getComputedStyle(node);
        if (!/^transparent$|rgba\(.*, 0\)$/.test(backgroundColor)) return {color: getComputedStyle(host).color, ground: backgroundColor};
    }
    return {color: getComputedStyle(host).color, ground: "white"};
}

async function painted(node) {
    const image = new Image();
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(node))}`;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [Number(node.getAttribute("width")), Number(node.getAttribute("height"))];
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return new Promise((resolve, reject) => {
        canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the browser made no image of the chart"))), "image/png");
    });
}
