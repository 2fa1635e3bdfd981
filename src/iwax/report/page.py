"""One self-contained HTML page: no network, no other file."""

import base64
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup, escape

from iwax.extras import is_installed
from iwax.files import dumps
from iwax.report.against import MARKS, WORDS
from iwax.report.format import counted
from iwax.report.tables import Sheet
from iwax.report.verdicts import outcome

__all__ = ["inline_svg", "picture_data", "render", "sheet_data"]

WHITE = 255
LONGEST = 200  # lines of a table on the page: more make a browser slow, and are not read
SHRUNK = 0.72  # of a figure's size is the least it is shown at: where there is less room it scrolls, and can be read
TEMPLATES = Path(__file__).parent / "templates"


def render(content: Mapping[str, Any]) -> str:
    """The page of templates/page.html with `content`; text in it is escaped.

    Arguments:
        content: "title", "own", "summary", "progress", "studies", "cost", "sheets", "models", "diagrams", "runs",
            "made_by", "answers", "verdicts".
    """
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"prose": _prose, "compares": _compares, "inside": _inside, "outcome": outcome}
    environment.globals |= {"marks": MARKS, "words": WORDS, "longest": LONGEST}
    script = "\n".join((TEMPLATES / name).read_text() for name in ("decoder.js", "page.js"))
    models = [model | {"packed": Markup(_json(model["packed"]))} for model in content["models"]]
    return environment.get_template("page.html").render(
        {
            **content,
            "models": models,
            "contents": _contents(content),
            "style": Markup((TEMPLATES / "page.css").read_text()),
            "script": Markup(script),
        }
    )


def inline_svg(path: Path, name: str, alt: str = "") -> Markup:
    """A figure of matplotlib as part of the page: its own IDs, the page's ink and paper instead of black and white.

    `alt` is what it is for those who do not see it; its name, if that is left out.
    """
    text = path.read_text()
    text = text[text.index("<svg") :]
    width = re.search(r'width="([\d.]+)pt"', text)
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    pixels = round(float(width[1]) * 4 / 3) if width else 0
    style = f' style="width: {pixels}px; min-width: {round(SHRUNK * pixels)}px" aria-label="{escape(alt or name)}"'
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL).replace("<svg", f'<svg{style} role="img"', 1)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(url\(#|href="#)', rf"\1{name}-", text)
    for fixed, own in (("#000000", "currentColor"), ("#ffffff", "var(--paper)"), ("#0072b2", "var(--blue)")):
        text = text.replace(fixed, own)
    return Markup(text)


def picture_data(path: Path) -> str:
    """A PNG file as an address that holds it."""
    return _address(path.read_bytes())


def sheet_data(path: Path) -> str:
    """A sheet of images as an address, without the caption that stands below it for those who have but the file."""
    if not is_installed("PIL"):
        return picture_data(path)
    from PIL import Image

    with Image.open(path, formats=("PNG",)) as image:
        grey = np.asarray(image.convert("L"))
        edges = grey[:, 0], grey[0]  # left of the images and above them is a grey line, beside the caption white paper
        height, width = (int(np.argmax(edge == WHITE)) or len(edge) for edge in edges)
        if (grey[0, 0] == WHITE) or (height, width) == grey.shape:
            return picture_data(path)
        buffer = io.BytesIO()
        image.crop((0, 0, width, height)).save(buffer, "PNG", optimize=True)
    return _address(buffer.getvalue())


def _address(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def _prose(text: str) -> Markup:
    """Text in which what stands between backticks is code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _json(value: Any) -> str:
    """JSON that a script element can hold: no tag ends within it."""
    return dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _compares(sheet: Sheet) -> bool:
    """Whether anything in the table is beside a published number."""
    return any(datum.gains for row in sheet.rows for datum in row)


def _inside(study: Mapping[str, Any]) -> str:
    """What a folded study holds."""
    counts = {"table": study["tables"], "figure": study["figures"], "demonstration": study["shown"]}
    return ", ".join(counted(len(parts), noun) for noun, parts in counts.items() if parts) or "What is not yet there"


def _contents(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The anchors of what is there, with their names, in the order of the page."""
    answers = content["answers"]
    parts = [
        ("own", "Your runs", content["own"]),
        ("answers", "Best models", answers["best"] or answers["figures"]),
        ("explorer", "Explorer", content["models"]),
        ("sheets", "Pictures", content["sheets"]),
        ("claims", "Claims", content["verdicts"]),
        *((study["name"], study["name"], True) for study in content["studies"]),
        ("cost", "Cost", content["cost"]),
        ("architectures", "Architectures", content["diagrams"]),
        ("runs", "What was run", True),
    ]
    return [(anchor, title) for anchor, title, there in parts if there]
