"""Write the generated parts of README.md afresh: the table of objectives, and the demo's output.

python scripts/readme.py [OUTPUT]     OUTPUT: what `make demo` printed on its standard output
"""

import re
import sys
from pathlib import Path

from iwax.objectives.catalog import describe

README = Path(__file__).parents[1] / "README.md"


def with_objectives(text: str) -> str:
    """The README with its table of objectives read off the code."""
    cells = [(f"`{row.name}`", _cell(row.bound), _cell(row.reference.split("; ")[0])) for row in describe()]
    rows = ["| " + " | ".join(row) + " |" for row in cells]
    head = "| name | bound | reference |\n| --- | --- | --- |\n"
    return re.sub(re.escape(head) + r"(\|.*\n|<!-- objectives -->\n)*", lambda _: head + "\n".join(rows) + "\n", text)


def with_demo(text: str, output: str) -> str:
    """The README with what the demo printed."""
    kept = "\n".join(line.rstrip() for line in output.strip("\n").splitlines())
    pattern = r"(<!-- demo: [^\n]*-->\n```text\n).*?(```)"
    return re.sub(pattern, lambda match: match[1] + kept + "\n" + match[2], text, flags=re.DOTALL)


def _cell(text: str) -> str:
    return text.rstrip(".").replace("|", "\\|")


if __name__ == "__main__":
    text = with_objectives(README.read_text())
    if len(sys.argv) > 1:
        text = with_demo(text, Path(sys.argv[1]).read_text())
    README.write_text(text)
