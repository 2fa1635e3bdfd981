"""Screenshots of a report for the docs: `iwax report --studies --data-dir DATA`, then this.

python scripts/report_pictures.py [iwax-report/index.html] [docs/figures]

One picture for each width, of a phone (360 pixels) and a screen (1280), and colour scheme, taken in headless Chromium
and kept in 256 colours: report-phone-light.png, report-phone-dark.png, report-wide-light.png, report-wide-dark.png.
"""

import html
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=4000")
WIDTHS = {"phone": (360, 740), "wide": (1280, 900)}
MARGIN = 200  # pixels: a window of Chromium is at least 500 wide, so the page stands in a frame within it


def main(page: Path, folder: Path) -> None:
    """Take the four pictures of `page` into `folder`."""
    browser = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if browser is None:
        sys.exit(f"Expected one of {', '.join(CHROMIUM)} to be installed; none is.")
    if not page.is_file():
        sys.exit(f"Expected a report at {page}; there is none. `iwax report --studies` makes it.")
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in WIDTHS.items():
        for scheme in ("light", "dark"):
            path = folder / f"report-{name}-{scheme}.png"
            shoot(browser, page.read_text(), path, size, scheme)
            print(path)


def shoot(browser: str, page: str, path: Path, size: tuple[int, int], scheme: str) -> None:
    """One picture of the first screen of a page, given as HTML."""
    width, height = size
    themed = html.escape(page.replace("<html ", f'<html data-theme="{scheme}" ', 1))
    frame = f'<iframe style="border: 0; width: {width}px; height: {height}px" srcdoc="{themed}"></iframe>'
    with tempfile.TemporaryDirectory() as scratch:
        outer, shot = Path(scratch) / "frame.html", Path(scratch) / "shot.png"
        outer.write_text(f'<!doctype html><meta charset="utf-8"><body style="margin: 0">{frame}')
        window = f"--window-size={width + MARGIN},{height + MARGIN}"
        profile = f"--user-data-dir={scratch}/profile"
        command = [browser, *FLAGS, window, profile, f"--screenshot={shot}", outer.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        screen = Image.open(shot).convert("RGB").crop((0, 0, width, height))
        screen.quantize(256, method=Image.Quantize.FASTOCTREE).save(path, optimize=True)


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:]]
    main(*[*given, *[Path("iwax-report/index.html"), Path("docs/figures")][len(given) :]])
