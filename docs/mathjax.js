// Formulas of pages, which pymdownx.arithmatex marks, are set by MathJax; without a network they stay readable TeX.
window.MathJax = {
  tex: { inlineMath: [["\\(", "\\)"]], displayMath: [["\\[", "\\]"]] },
  options: { ignoreHtmlClass: ".*|", processHtmlClass: "arithmatex" },
  chtml: { scale: 0.95 },
};
