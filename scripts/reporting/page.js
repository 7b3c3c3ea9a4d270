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

// Tables as CSV: numbers with their full precision. A text that a spreadsheet would take for a formula is quoted.
function csv(table) {
  const field = (text) => `"${text.replaceAll('"', '""')}"`;
  const safe = (text) => field(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text);
  const cell = (each) => {
    if (each.dataset.key === undefined) return safe(each.textContent);
    return each.dataset.key === "-inf" ? "" : each.dataset.key;
  };
  const lines = [[...table.tHead.rows[0].cells].map((each) => safe(each.textContent))];
  for (const row of table.tBodies[0].rows) lines.push([...row.cells].map(cell));
  return lines.map((line) => `${line.join(",")}\r\n`).join("");
}

for (const button of document.querySelectorAll("button.csv")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const table = button.parentElement.querySelector("table"), link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv(table)], { type: "text/csv" }));
    link.download = `${table.caption.textContent.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60) || "table"}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
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
