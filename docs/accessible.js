// What the theme leaves out for readers by keyboard and by ear: names of regions, code,
// tables and drawings that can be scrolled by keys, and no heading of a column without a word.
function nameRegions() {
  document.querySelectorAll(".md-search[role=dialog]").forEach((one) => one.setAttribute("aria-label", "Search"));
  document.querySelectorAll(".md-code__nav").forEach((one, i) => one.setAttribute("aria-label", `Code ${i + 1}`));
  document.querySelectorAll("pre > code").forEach((one) => one.setAttribute("tabindex", "0"));
  document.querySelectorAll("th:empty").forEach((one) => one.replaceWith(document.createElement("td")));
  document.querySelectorAll(".md-typeset__scrollwrap, p:has(> img[src$='.svg'])").forEach((one) => one.setAttribute("tabindex", "0"));
}
// Cells with a line of more letters than this are not squeezed; styled in tables.css.
const LONG = 32;
function widenLongCells() {
  document.querySelectorAll(".md-typeset td").forEach((cell) => {
    const lines = cell.innerHTML.split(/<br\s*\/?>/).map((line) => line.replace(/<[^>]*>/g, "").trim().length);
    if (Math.max(...lines) > LONG) cell.classList.add("long");
  });
}
document.addEventListener("DOMContentLoaded", widenLongCells);
window.addEventListener("load", () => { nameRegions(); setTimeout(nameRegions, 500); });
