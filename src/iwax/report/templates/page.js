"use strict";

// Tables sort by a click on a header: up, then down; entries without a number come last.
for (const table of document.querySelectorAll("table.sortable")) {
  const headers = [...table.querySelectorAll("thead th")], body = table.tBodies[0];
  headers.forEach((header) => header.querySelector("button")?.addEventListener("click", () => {
    const column = header.cellIndex;
    const down = header.getAttribute("aria-sort") === "ascending", sign = down ? -1 : 1;
    headers.forEach((other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => {
      const { key } = row.cells[column].dataset, text = row.cells[column].textContent;
      return key === undefined ? (header.classList.contains("number") ? null : text) : isNaN(key) ? key : Number(key);
    };
    const compare = (a, b) => a === null || b === null ? (a === null) - (b === null)
      : sign * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
    const sorted = [...body.rows].map((row) => [value(row), row]).sort(([a], [b]) => compare(a, b));
    body.append(...sorted.map(([, row]) => row));
  }));
}

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement, system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  root.dataset.theme = (root.dataset.theme || system) === "dark" ? "light" : "dark";
});

// Where a link leads, what is folded there unfolds; on paper all does.
function unfold() {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  const study = target.querySelector(":scope > details.study");
  if (study) study.open = true;
}
addEventListener("hashchange", unfold);
unfold();
addEventListener("beforeprint", () => document.querySelectorAll("details:not([open])").forEach((folded) => { folded.open = folded.dataset.folded = true; }));
addEventListener("afterprint", () => document.querySelectorAll("details[data-folded]").forEach((folded) => { folded.open = false; delete folded.dataset.folded; }));

// The entry of the contents whose section is being read.
const entries = new Map([...document.querySelectorAll("#contents a")].map((link) => [link.hash.slice(1), link]));
const watch = new IntersectionObserver((seen) => seen.filter(({ isIntersecting }) => isIntersecting).forEach(({ target }) => {
  entries.forEach((link) => link.removeAttribute("aria-current"));
  entries.get(target.id)?.setAttribute("aria-current", "true");
}), { rootMargin: "-10% 0px -85% 0px" });
document.querySelectorAll("main > section").forEach((section) => watch.observe(section));

if (document.getElementById("explorer")) explore();

function explore() {
  const TILES = 9, ACTIVE = .01, SUBSCRIPT = "₀₁₂₃₄₅₆₇₈₉";
  const at = (id) => document.getElementById(id), unpacked = {};
  let model, layer, z, noise, sliders, pending = 0;

  const gaussian = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  const vectors = (draw) => model.layers.map(({ size }) => Float64Array.from({ length: size }, draw));
  const signed = (value, digits) => value.toFixed(digits).replace("-", "−");
  const name = (l) => model.layers.length === 1 ? "z" : "z" + SUBSCRIPT[l + 1];

  function element(tag, properties, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  function paint(canvas, pictures) {
    const { height, width, channels = 1 } = model, total = width * pictures.length;
    Object.assign(canvas, { width: total, height });
    canvas.style.aspectRatio = `${total} / ${height}`;
    const image = new ImageData(total, height);
    pictures.forEach((pixels, tile) => {
      for (let i = 0; i < width * height; i++) {
        const to = 4 * (Math.floor(i / width) * total + tile * width + i % width);
        for (let c = 0; c < 3; c++) image.data[to + c] = Math.round(255 * pixels[i * channels + c % channels]);
        image.data[to + 3] = 255;
      }
    });
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  function show() {
    const pixels = Decoder.decode(model, z, noise, layer), canvas = at("picture");
    paint(canvas, [pixels]);
    canvas.dataset.ink = pixels.reduce((sum, value) => sum + value, 0).toFixed(4);
    clearTimeout(pending);
    pending = setTimeout(() => strip(0), 60);
  }

  // The pictures along one slider after another, with a pause between them for the hand that moves it.
  function strip(i) {
    if (i >= sliders.length) return;
    const { unit, low, high, canvas } = sliders[i];
    paint(canvas, Array.from({ length: TILES }, (_, tile) => {
      const moved = z.map((values) => values.slice());
      moved[layer][unit] = low + (high - low) * (tile + .5) / TILES;
      return Decoder.decode(model, moved, noise, layer);
    }));
    pending = setTimeout(() => strip(i + 1), 0);
  }

  function settle() {
    for (const { unit, input, output } of sliders) {
      input.value = z[layer][unit];
      output.textContent = signed(z[layer][unit], 2);
    }
    show();
  }

  function slider(unit, i) {
    const { activity, low, high } = model.layers[layer];
    const input = element("input", { type: "range", min: low[i], max: high[i], step: (high[i] - low[i]) / 200 });
    const output = element("output"), canvas = element("canvas", { ariaHidden: "true" });
    const ends = element("span", { className: "ends" }, ...[low[i], (low[i] + high[i]) / 2, high[i]].map((value) => element("span", {}, signed(value, 1))));
    const label = element("label", {}, `unit ${unit} of ${name(layer)}, A = ${Math.max(activity[i], 0).toFixed(2)}${activity[i] > ACTIVE ? "" : ", dead"}`, output, canvas, ends, input);
    input.addEventListener("input", () => {
      z[layer][unit] = Number(input.value);
      output.textContent = signed(z[layer][unit], 2);
      show();
    });
    at("sliders").append(label);
    return { unit, low: low[i], high: high[i], input, output, canvas };
  }

  function chooseLayer(l) {
    layer = l;
    at("sliders").replaceChildren();
    sliders = model.layers[layer].units.map(slider);
    settle();
  }

  function start(values, noises) {
    [z, noise] = [values, noises];
    Decoder.decode(model, z, noise, model.layers.length - 1);
    settle();
  }

  const zero = () => start(vectors(() => 0), vectors(() => 0));
  const draw = () => start(vectors(gaussian), vectors(gaussian));

  // Every layer at q's mean; `noise` is what makes the layers above agree with it.
  function startFrom(image) {
    z = model.means.map((means) => means[image].slice());
    noise = Decoder.noises(model, z);
    settle();
  }

  function choose(id) {
    model = unpacked[id] ||= Decoder.unpack(JSON.parse(at(id).textContent));
    const top = model.layers.length - 1;
    at("layers").replaceChildren(...(top ? model.layers.map((_, l) => {
      const radio = element("input", { type: "radio", name: "layer", checked: l === top });
      radio.addEventListener("change", () => chooseLayer(l));
      return element("label", {}, radio, ` move ${name(l)} `);
    }) : []));
    at("images").replaceChildren(...model.images.map((pixels, i) => {
      const canvas = element("canvas");
      paint(canvas, [Array.from(pixels, (value) => value / 255)]);
      const button = element("button", { type: "button", ariaLabel: `Test image ${i + 1}`, title: "Start from q's mean for this test image" }, canvas, element("span", {}, String(i + 1)));
      button.addEventListener("click", () => startFrom(i));
      return button;
    }));
    at("about").textContent = model.layers.map(({ active, size }, l) => `${active} of ${size} units of ${name(l)} are active, ${size - active} dead`).join("; ") + ". Weights are kept in half precision.";
    [z, noise, layer, sliders] = [vectors(() => 0), vectors(() => 0), top, []];
    Decoder.decode(model, z, noise, top);
    chooseLayer(top);
  }

  at("model").addEventListener("change", () => choose(at("model").value));
  at("draw").addEventListener("click", draw);
  at("zero").addEventListener("click", zero);
  choose("model-0");
}
