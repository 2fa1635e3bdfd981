"""The page: it needs no network, and in a browser its tables sort, its sliders decode, and nothing complains."""

import json
import re
import shutil
import subprocess

import jax
import numpy as np
import pytest
from PIL import Image

from iwax.figures import plot
from iwax.models.vae import VAE
from iwax.report.explorer import pack
from iwax.report.page import inline_svg, render
from iwax.report.tables import Datum, Sheet

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr"),
    *("--virtual-time-budget=3000", "--window-size=1000,800"),
)
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

STEPS = """
<pre id="answer"></pre><iframe id="phone" title="phone" style="width: 360px; height: 700px; border: 0"></iframe><script>
document.getElementById("phone").srcdoc = document.documentElement.outerHTML.split('<pre id="answer">')[0];
let seed = 1;
Math.random = () => (seed = seed * 16807 % 2147483647) / 2147483647;  // the same draws at each test
const at = (id) => document.getElementById(id), answer = {};
const ink = () => Number(at("picture").dataset.ink), inputs = () => [...document.querySelectorAll("#sliders input")];
const column = (i) => [...at("some").tBodies[0].rows].map((row) => row.cells[i].textContent);
const sort = (i) => { at("some").querySelectorAll("th button")[i].click(); return column(i); };
const move = (input, value) => { input.value = value; input.dispatchEvent(new Event("input")); return ink(); };
answer.up = sort(1); answer.down = sort(1); answer.words = sort(0);
answer.state = at("some").querySelectorAll("th")[0].getAttribute("aria-sort");
answer.zero = ink();
answer.moved = inputs().map((input) => { const there = move(input, 2); move(input, 0); return there; });
answer.back = ink();
at("draw").click(); answer.drawn = ink(); answer.values = inputs().map((input) => Number(input.value));
at("images").querySelector("button").click(); answer.image = ink();
at("model").value = "model-1"; at("model").dispatchEvent(new Event("change"));
at("layers").querySelector("input").click(); answer.layers = at("layers").textContent; answer.lower = inputs().length;
answer.second = ink(); answer.secondMoved = move(inputs()[0], inputs()[0].max);
at("theme").click(); answer.theme = document.documentElement.dataset.theme;
setTimeout(() => {
  const strip = document.querySelector("#sliders canvas");
  answer.strip = new Set(strip.getContext("2d").getImageData(0, 0, strip.width, strip.height).data).size;
  const inside = at("phone").contentDocument;  // as on a phone, 360 pixels wide
  inside.querySelectorAll("details").forEach((folded) => { folded.open = true; });
  answer.phone = inside.documentElement.scrollWidth;
  answer.scrolls = inside.querySelector(".scroll:has(#some)").scrollWidth > 360;
  answer.about = inside.getElementById("about").textContent;
  answer.dead = inside.getElementById("sliders").textContent.includes("A = 0.00, dead");
  at("answer").textContent = JSON.stringify(answer);
}, 1000);
</script>
"""


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:  # what takes half of the time, and is tested elsewhere
        patch.setattr("iwax.report.explorer.unit_variances", lambda model, x, key: map(np.arange, model.latent_sizes))
        return _content(tmp_path_factory.mktemp("page"))


def _content(folder):
    x = np.random.default_rng(0).integers(0, 2, (50, 16)).astype(np.float32)
    with plot(folder / "curve.svg") as axis:
        axis.plot([1, 2], [3, 4], label="a line")
        axis.legend()
    models = {
        "one": VAE(16, [3], [[8]], key=jax.random.key(0), init="torch"),
        "two <layers>": VAE(16, [4, 2], [[8], [8]], key=jax.random.key(1), init="torch"),
    }
    entries = {"b": Datum("9.5", 9.5), "a": Datum("open", kind="open"), "c": Datum("88", 88)}
    rows = tuple((Datum(word), entry, Datum("as wide as it is " * 4)) for word, entry in entries.items())
    return {
        **{"title": "A page", "summary": ["5 < 6 & so `on < off`."], "progress": None, "verdicts": None},
        "answers": {"best": None, "tally": "", "figures": []},
        **{"own": None, "studies": [], "sheets": []},
        "cost": {"title": "Cost", "svg": inline_svg(folder / "curve.svg", "curve")},
        "models": [{"title": t, "packed": pack(m, x, jax.random.key(0), num_images=3)} for t, m in models.items()],
        **{
            "diagrams": [],
            "runs": Sheet("some", "Some runs", ("name", "value", "words"), rows),
            "made_by": ["With: care."],
        },
    }


@pytest.fixture(scope="module")
def page(content):
    return render(content)


def test_it_needs_nothing_else(page):
    addresses = re.findall(r"""(?:src|href)=["']([^"']*)""", page) + re.findall(r"url\(([^)]*)\)", page)
    assert addresses
    assert [a for a in addresses if not a.startswith(("#", "data:"))] == []
    assert not re.search(r"@import|fetch\(|XMLHttpRequest|<link rel=.stylesheet|<script src", page)


def test_text_is_escaped(page):
    assert "5 &lt; 6 &amp; so <code>on &lt; off</code>." in page
    assert "two &lt;layers&gt;" in page


def test_figures_take_the_colours_and_names_of_their_own(page):
    svg = page[page.index("<svg") : page.index("</svg>")]
    assert "#000000" not in svg
    assert "currentColor" in svg
    ids = re.findall(r'\bid="([^"]*)"', svg)
    assert ids
    assert all(name.startswith("curve-") for name in ids)
    used = re.findall(r'url\(#([^)]*)\)|href="#([^"]*)"', svg)
    assert {a or b for a, b in used} <= set(ids)


@in_browser
def test_in_a_browser(page, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(page.replace("</body>", STEPS + "</body>"))
    done = _browse(path, tmp_path, "--dump-dom")
    assert "CONSOLE" not in done.stderr
    answer = json.loads(re.search(r'<pre id="answer">(.*?)</pre>', done.stdout)[1])
    assert answer["up"] == ["9.5", "88", "open"]  # by number, not as text; what is open comes last
    assert answer["down"] == ["88", "9.5", "open"]
    assert (answer["words"], answer["state"]) == (["a", "b", "c"], "ascending")
    assert len(answer["moved"]) == 3
    assert all(abs(moved - answer["zero"]) > 1e-3 for moved in answer["moved"])
    assert answer["back"] == answer["zero"]
    assert len({answer[name] for name in ("zero", "drawn", "image", "second", "secondMoved")}) == 5
    assert len(set(answer["values"])) == 3
    assert (answer["layers"].split(), answer["lower"]) == (["move", "z₁", "move", "z₂"], 4)
    assert answer["theme"] == "dark"
    assert answer["strip"] > 3
    assert (answer["phone"], answer["scrolls"]) == (360, True)
    assert (answer["about"].split(". ")[0], answer["dead"]) == ("2 of 3 units of z are active, 1 dead", True)


@in_browser
def test_an_error_would_be_seen(page, tmp_path):
    """The negative control of the test above."""
    path = tmp_path / "page.html"
    path.write_text(page.replace("</body>", "<script>missing();</script></body>"))
    assert "missing is not defined" in _browse(path, tmp_path, "--dump-dom").stderr


@in_browser
def test_a_page_wider_than_a_phone_would_be_seen(page, tmp_path):
    """The negative control of `phone` above."""
    path, wide = tmp_path / "page.html", '<p style="width: 500px">wide</p></main>'
    path.write_text(page.replace("</main>", wide).replace("</body>", STEPS + "</body>"))
    answer = re.search(r'<pre id="answer">(.*?)</pre>', _browse(path, tmp_path, "--dump-dom").stdout)[1]
    assert json.loads(answer)["phone"] > 360


@in_browser
def test_its_picture(page, tmp_path):
    path, shot = tmp_path / "page.html", tmp_path / "shot.png"
    path.write_text(page)
    _browse(path, tmp_path, f"--screenshot={shot}")
    pixels = np.asarray(Image.open(shot).convert("L"))
    assert pixels.shape == (800, 1000)
    assert 0.5 < np.mean(pixels > 250) < 0.99  # paper, with something on it


def _browse(path, folder, *arguments):
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *arguments, path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
