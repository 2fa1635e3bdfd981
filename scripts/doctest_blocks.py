"""A hook of mkdocs: examples of docstrings that start with >>> are shown as code, not as quotations of quotations."""

import re
from typing import Any

from markdown import Extension, Markdown
from markdown.preprocessors import Preprocessor

BEFORE_FENCES = 40  # priority; fenced code has 25
START = re.compile(r"^>>> ")


class _Fences(Preprocessor):
    """Fences around every paragraph that begins with a prompt."""

    def run(self, lines: list[str]) -> list[str]:
        fenced: list[str] = []
        inside = code = False
        for line in [*lines, ""]:
            code ^= line.startswith("```")
            if not inside and not code and START.match(line):
                inside = True
                fenced.append("```pycon")
            if inside and not line.strip():
                inside = False
                fenced.append("```")
            fenced.append(line)
        return fenced[:-1]


class DoctestBlocks(Extension):
    """The extension of Python-Markdown that `on_config` adds."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 (Markdown's name)
        md.preprocessors.register(_Fences(md), "doctest-blocks", BEFORE_FENCES)


def on_config(config: Any) -> Any:
    """Called by mkdocs once it has read its configuration."""
    config["markdown_extensions"].append(DoctestBlocks())
    return config
