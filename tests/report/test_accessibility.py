"""The report and pages of the site in Chromium by axe-core: no error, on a phone and on a screen, light and dark.

axe-core is a package of Node that is not kept here: `npm install --no-save axe-core` in the root of the repository puts
it where the test looks, or AXE names the file axe.min.js.
"""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import jax
import numpy as np
import pytest

from iwax.experiments import STUDIES
from iwax.models.vae import VAE
from iwax.report.explorer import pack
from iwax.report.report import write_report

ROOT = Path(__file__).parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
AXE = Path(os.environ.get("AXE", ROOT / "node_modules" / "axe-core" / "axe.min.js"))
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--virtual-time-budget=60000", "--dump-dom"),
)
RUN = """<style>*, ::before, ::after { transition: none !important; }</style>
<script>
addEventListener("load", () => setTimeout(() => {
  const { dataset } = document.body, dark = document.documentElement.dataset.theme === "dark";
  if (dataset.mdColorScheme && dark) dataset.mdColorScheme = "slate";  // as the button of the site does
}, 400));
addEventListener("load", () => setTimeout(async () => {
  document.querySelectorAll("details").forEach((folded) => { folded.open = true; });
  const { violations, passes } = await axe.run(document, { resultTypes: ["violations", "passes"] });
  const found = violations.map(({ id, nodes }) => [id, nodes.length, nodes[0].target.join(" ")]);
  parent.document.getElementById("answer").textContent = JSON.stringify({
    found, passed: passes.length, scheme: document.body.dataset.mdColorScheme,
  });
}, 1200));
</script>"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: `npm install --no-save axe-core`, or AXE"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The report of the committed records, with a small model to explore."""
    model, x = VAE(16, [3], [[8]], key=jax.random.key(0)), np.random.default_rng(0).random((50, 16), np.float32)
    explored = [{"title": "small", "packed": pack(model, x, jax.random.key(0))}]
    out = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("iwax.report.pictures.SUFFIXES", (".svg",))
        patch.setattr("iwax.report.report.explorable", lambda *args: explored)
        return write_report(ROOT / "results", out / "none", out, studies=tuple(STUDIES.values())).read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_no_error(page, tmp_path, width, scheme):
    answer = judged(page, tmp_path, width, scheme)
    assert answer["found"] == []
    assert answer["passed"] > 20


def test_axe_finds_a_picture_without_a_name(page, tmp_path):
    """The negative control."""
    assert (
        judged(page.replace("<h2>", '<img src="data:,"><h2>', 1), tmp_path, 360, "light")["found"][0][0] == "image-alt"
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site, its pages found from a file, without what comes from the network."""
    if find_spec("material") is None:
        pytest.skip("mkdocs-material is not installed")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", out]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, check=True)
    return out


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("name", ["", "recipes", "reproductions"])
def test_axe_finds_no_error_on_the_site(site, tmp_path, name, width, scheme):
    page = re.sub(r'<script src="https?:[^>]*></script>', "", (site / name / "index.html").read_text())
    answer = judged(page, tmp_path, width, scheme, site / name)
    assert answer["found"] == []
    assert answer["passed"] > 20
    assert answer["scheme"] == {"light": "default", "dark": "slate"}[scheme]


def judged(page, folder, width, scheme, place=None):
    """What axe says of the page in a frame of that width: a window of Chromium is at least 500 wide.

    Colours are those that stay: without transitions, which a busy machine may not have ended.

    `place` is where the page lies, if it has other files beside it.
    """
    themed = page.replace("<html ", f'<html data-theme="{scheme}" ', 1)
    whole = themed.replace("</body>", f"<script>{AXE.read_text()}</script>{RUN}</body>")
    shown = (place or folder) / f"axe-{width}-{scheme}.html"
    shown.write_text(whole)
    frame = f'<iframe title="page" style="width: {width}px; height: 900px" src="{shown.as_uri()}"></iframe>'
    path = folder / "frame.html"
    path.write_text(f'<!doctype html><meta charset="utf-8"><pre id="answer"></pre>{frame}')
    files = "--allow-file-access-from-files"
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [CHROMIUM, *FLAGS, files, "--window-size=1400,1000", profile, path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=240)
    return json.loads(html.unescape(re.search(r'<pre id="answer">(.*?)</pre>', done.stdout)[1]))
