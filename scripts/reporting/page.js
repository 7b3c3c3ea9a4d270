"use strict";

// Tables: a press on a heading sorts by its column, numbers by their full precision; a second one turns the order.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      headings.forEach((other) => other.setAttribute("aria-sort", "none"));
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.key ?? row.cells[column].textContent;
      const number = heading.classList.contains("number");
      const compare = (a, b) => (number ? value(key(a)) - value(key(b)) : key(a).localeCompare(key(b), undefined, { numeric: true }));
      const rows = [...table.tBodies[0].rows].sort((a, b) => (down ? compare(b, a) : compare(a, b)) || 0);
      table.tBodies[0].append(...rows);
    });
  });
}

function value(text) {
  return text === "-inf" ? -Number.MAX_VALUE : Number(text);
}

// Histograms: a panel for each pair of projections, redrawn when the slider moves.
const WIDTH = 240, HEIGHT = 130, LEFT = 10, RIGHT = 230, TOP = 22, BOTTOM = 108;

function element(name, attributes, parent, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, each] of Object.entries(attributes)) made.setAttribute(key, each);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

const SERIES = ["target", "control", "third", "fourth", "fifth", "sixth"]; // of groups, in their order

function outline(shares, highest) {
  const step = (RIGHT - LEFT) / shares.length;
  const points = [`M${LEFT},${BOTTOM}`];
  shares.forEach((share, bin) => {
    const y = (BOTTOM - (BOTTOM - TOP) * Math.sqrt(share / highest)).toFixed(1);
    points.push(`L${(LEFT + bin * step).toFixed(1)},${y}L${(LEFT + (bin + 1) * step).toFixed(1)},${y}`);
  });
  return `${points.join("")}L${RIGHT},${BOTTOM}Z`;
}

for (const part of document.querySelectorAll(".layers")) {
  const data = JSON.parse(part.querySelector("script").textContent);
  const slider = part.querySelector("input"), output = part.querySelector("output");
  const highest = data.shares.flat(3).reduce((most, share) => Math.max(most, share), 1);
  const panels = data.pairs.map((pair, number) => {
    const svg = element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" }, part.querySelector(".panels"));
    const title = element("title", {}, svg);
    element("text", { x: LEFT, y: 15, "font-weight": 600 }, svg, pair);
    const note = element("text", { x: RIGHT, y: 15, "text-anchor": "end" }, svg);
    const paths = data.groups.map((_, g) => element("path", { class: SERIES[g % SERIES.length] }, svg));
    element("line", { x1: LEFT, x2: RIGHT, y1: BOTTOM, y2: BOTTOM }, svg);
    for (const tick of [-1, 0, 1]) {
      const x = (LEFT + RIGHT) / 2 + (tick * (RIGHT - LEFT)) / 2;
      element("line", { x1: x, x2: x, y1: BOTTOM, y2: BOTTOM + 4 }, svg);
      element("text", { x, y: BOTTOM + 16, "text-anchor": "middle" }, svg, String(tick).replace("-", "−"));
    }
    return { pair, number, title, note, paths };
  });
  const draw = () => {
    const place = Number(slider.value), layer = data.layers[place];
    output.textContent = `${layer}`;
    slider.setAttribute("aria-valuetext", `layer ${layer}`);
    for (const { pair, number, title, note, paths } of panels) {
      const means = data.groups.map((group, g) => `${group} ${data.means[g][number][place]?.toFixed(2) ?? "undefined"}`);
      paths.forEach((path, g) => path.setAttribute("d", outline(data.shares[g][number][place], highest)));
      note.textContent = `mean |cos|: ${data.groups.map((_, g) => data.means[g][number][place]?.toFixed(2) ?? "–").join(" / ")}`;
      title.textContent = `Cosines of ${pair} at layer ${layer}; mean |cosine|: ${means.join(", ")}`;
    }
  };
  slider.addEventListener("input", draw);
  draw();
}

// A link to what is folded opens it.
function unfold() {
  const part = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let each = part; each; each = each.parentElement) if (each.tagName === "DETAILS") each.open = true;
}
addEventListener("hashchange", unfold);
unfold();

// On paper, everything that can be opened is.
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  opened.forEach((details) => (details.open = true));
});
addEventListener("afterprint", () => opened.forEach((details) => (details.open = false)));
