"""One self-contained HTML page: no network, no other file."""

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from iwax.files import dumps

__all__ = ["inline_svg", "picture_data", "render"]

TEMPLATES = Path(__file__).parent / "templates"


def render(content: Mapping[str, Any]) -> str:
    """The page of templates/page.html with `content`; text in it is escaped.

    Arguments:
        content: "title", "own", "summary", "progress", "studies", "cost", "sheets", "models", "diagrams", "runs",
            "made_by".
    """
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["prose"] = _prose
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


def inline_svg(path: Path, name: str) -> Markup:
    """A figure of matplotlib as part of the page: its own IDs, the page's ink and paper instead of black and white."""
    text = path.read_text()
    text = text[text.index("<svg") :]
    width = re.search(r'width="([\d.]+)pt"', text)
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    pixels = round(float(width[1]) * 4 / 3) if width else 0
    style = f' style="width: {pixels}px; min-width: min({pixels}px, 30rem)"'
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL).replace("<svg", f'<svg{style} role="img"', 1)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(url\(#|href="#)', rf"\1{name}-", text)
    return Markup(text.replace("#000000", "currentColor").replace("#ffffff", "var(--paper)"))


def picture_data(path: Path) -> str:
    """A PNG file as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _prose(text: str) -> Markup:
    """Text in which what stands between backticks is code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _json(value: Any) -> str:
    """JSON that a script element can hold: no tag ends within it."""
    return dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _contents(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The anchors of what is there, with their names."""
    studies = [(study["name"], study["name"]) for study in content["studies"]]
    parts = {"cost": "Cost", "sheets": "Pictures", "models": "Explorer", "diagrams": "Architectures"}
    anchors = {"models": "explorer", "diagrams": "architectures"}
    there = [(anchors.get(name, name), title) for name, title in parts.items() if content[name]]
    own = [("own", "Your runs")] if content["own"] else []
    return [*own, ("summary", "Summary"), *studies, *there, ("runs", "Runs")]
