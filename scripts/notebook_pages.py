"""Write the pages of the notebooks, docs/notebooks/NAME.md, from NAME.py beside them and what it printed and drew.

python scripts/notebook_pages.py                # the pages, with the outputs that they have
python scripts/notebook_pages.py --run NAME...  # runs notebooks first, and keeps their outputs: minutes each

A notebook is a Python file in jupytext's percent format. `# %% [markdown]` begins a cell of text, `# %%` one of code;
the cell that is marked `# %% tags=["parameters"]` holds the sizes, which tests make small.
"""

import argparse
import contextlib
import datetime
import io
import pathlib
import re
import time
from typing import Any, NamedTuple

ROOT = pathlib.Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "notebooks"
MARK = re.compile(r"^# %%(.*)$", re.MULTILINE)
CODE = re.compile(r"^```python\n(.*?)^```\n(.*?)(?=^```python|^<!-- |\Z)", re.MULTILINE | re.DOTALL)
SHOWN = re.compile(r"\A(?:\n```text\n.*?^```\n|\n!\[[^\n]*\n)*", re.MULTILINE | re.DOTALL)


class Cell(NamedTuple):
    """One cell of a notebook."""

    kind: str  # "markdown", "code" or "parameters"
    text: str


def notebooks() -> list[str]:
    """Their names."""
    return sorted(path.stem for path in FOLDER.glob("*.py"))


def cells(text: str) -> list[Cell]:
    """The cells of a notebook in their order."""
    marks = list(MARK.finditer(text))
    found = []
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        body = text[mark.end() : following.start() if following else len(text)].strip("\n")
        kind = "markdown" if "[markdown]" in mark[1] else "parameters" if "parameters" in mark[1] else "code"
        if kind == "markdown":
            body = "\n".join(re.sub(r"^# ?", "", line) for line in body.splitlines())
        found.append(Cell(kind, body + "\n"))
    return found


def kept(page: str) -> tuple[dict[str, str], str]:
    """The output that a page shows for each cell of code, and its last line, which says what made them."""
    outputs = {code: SHOWN.match(rest)[0] for code, rest in CODE.findall(page)}
    made = re.search(r"^<!-- made: (.*) -->$", page, re.MULTILINE)
    return outputs, made[1] if made else ""


def page(name: str, outputs: dict[str, str], made: str) -> str:
    """The page of a notebook: its text, its code, and below each cell of code what it printed and drew."""
    lines = []
    for cell in cells((FOLDER / f"{name}.py").read_text()):
        block = cell.text if cell.kind == "markdown" else f"```python\n{cell.text}```\n{outputs.get(cell.text, '')}"
        lines.append(block)
    lines.append(
        f"This page is a notebook in text, [{name}.py]({name}.py): `jupytext --to notebook {name}.py` opens it in\n"
        f"Jupyter, and `python {name}.py` runs it.\n{made}\n<!-- made: {made} -->\n"
    )
    return "\n".join(lines)


def run(name: str, sizes: dict[str, Any] | None = None) -> dict[str, str]:
    """What each cell of code prints and draws; `sizes` take the place of the parameters. Pictures go beside the page.

    With sizes nothing is written: it is a test.
    """
    import matplotlib

    matplotlib.use("Agg")
    names: dict[str, Any] = {"__name__": "notebook"}
    outputs: dict[str, str] = {}
    pictures = 0
    for cell in cells((FOLDER / f"{name}.py").read_text()):
        if cell.kind == "markdown":
            continue
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(cell.text, f"{name}.py", "exec"), names)
        if cell.kind == "parameters":
            names |= sizes or {}
        text = printed.getvalue().rstrip()
        shown = f"\n```text\n{text}\n```\n" if text else ""
        for figure in _figures():
            pictures += 1
            file = f"{name}-{pictures}.png"
            shown += f"\n![{figure.get_label()}]({file})\n"
            if sizes is None:
                figure.savefig(FOLDER / file, dpi=110, bbox_inches="tight")
        _close()
        outputs[cell.text] = shown
    return outputs


def _figures() -> list[Any]:
    import matplotlib.pyplot as plt

    return [plt.figure(number) for number in plt.get_fignums()]


def _close() -> None:
    import matplotlib.pyplot as plt

    plt.close("all")


def _made(seconds: float) -> str:
    """What made the outputs: day, version, machine, time."""
    import iwax
    from iwax.experiments.recording import machine

    here = machine()
    return (
        f"What it shows was made on {datetime.date.today()} by iwax {iwax.__version__} on {here['cores']} cores of an "
        f"{here['cpu']}, shared with other programs, in {seconds / 60:.0f} minutes."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", nargs="+", default=[], choices=notebooks(), metavar="NAME", help="run these first")
    chosen = parser.parse_args().run
    for name in notebooks():
        path = FOLDER / f"{name}.md"
        outputs, made = kept(path.read_text()) if path.exists() else ({}, "")
        if name in chosen:
            begin = time.monotonic()
            outputs = run(name)
            made = _made(time.monotonic() - begin)
        path.write_text(page(name, outputs, made))


if __name__ == "__main__":
    main()
