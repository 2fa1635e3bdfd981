"""Write what is generated in README.md and on two pages: the peers' table, the table of objectives, the demo's output.

python scripts/readme.py [OUTPUT]     OUTPUT: what `make demo` printed on its standard output
"""

import json
import re
import runpy
import sys
from pathlib import Path

from iwax.objectives import OBJECTIVES, describe, every_option

ROOT = Path(__file__).parents[1]
README, DOCS = ROOT / "README.md", ROOT / "docs"
HEAD = "| name | bound | reference |\n| --- | --- | --- |\n"


def with_peers(text: str) -> str:
    """The README with the table that scripts/compare_peers.py printed."""
    script = runpy.run_path(str(ROOT / "scripts" / "compare_peers.py"))
    table = script["table"](json.loads(script["ANSWERS"].read_text()))
    pattern = r"(<!-- peers: [^\n]*-->\n).*?(<!-- end of peers -->)"
    return re.sub(pattern, lambda match: match[1] + table + match[2], text, flags=re.DOTALL)


def with_objectives(text: str) -> str:
    """The page of objectives with its table read off the code."""
    cells = [(f"`{row.name}`", _cell(row.bound), _cell(row.reference.split("; ")[0])) for row in describe()]
    rows = ["| " + " | ".join(row) + " |" for row in cells]
    return re.sub(re.escape(HEAD) + r"(\|.*\n|<!-- objectives -->\n)*", lambda _: HEAD + "\n".join(rows) + "\n", text)


def with_arguments(text: str) -> str:
    """The page of objectives with the arguments of their constructors, read off the code."""
    rows, help_of = describe(), {name: option.help for name, option in every_option(OBJECTIVES).items()}
    users: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for name, default in row.options.items():
            users.setdefault((name, default), []).append(row.class_name)
    everywhere = [name for name, _ in users if all(name in row.options for row in rows)]
    lines = ["| argument and its default | of | what it is |", "| --- | --- | --- |"]
    for (name, default), classes in sorted(users.items(), key=lambda item: (item[0][0] not in everywhere, item[0][0])):
        of = "all" if len(classes) == len(rows) else ", ".join(f"`{one}`" for one in classes)
        words = re.sub(rf" \((?:(?:{'|'.join(OBJECTIVES)})(?:, )?)+\)\.$", "", help_of[name])  # which the table says
        lines.append(f"| `{name}={default}` | {of} | {_cell(words)} |")
    pattern = r"(<!-- arguments: [^\n]*-->\n).*?(<!-- end of arguments -->)"
    return re.sub(pattern, lambda match: match[1] + "\n" + "\n".join(lines) + "\n\n" + match[2], text, flags=re.DOTALL)


def with_demo(text: str, output: str) -> str:
    """The demo's page with what the demo printed."""
    kept = "\n".join(line.rstrip() for line in output.strip("\n").splitlines())
    pattern = r"(<!-- demo: [^\n]*-->\n```text\n).*?(```)"
    return re.sub(pattern, lambda match: match[1] + kept + "\n" + match[2], text, flags=re.DOTALL)


def _cell(text: str) -> str:
    return text.rstrip(".").replace("|", "\\|")


if __name__ == "__main__":
    README.write_text(with_peers(README.read_text()))
    (DOCS / "objectives.md").write_text(with_arguments(with_objectives((DOCS / "objectives.md").read_text())))
    if len(sys.argv) > 1:
        (DOCS / "demo.md").write_text(with_demo((DOCS / "demo.md").read_text(), Path(sys.argv[1]).read_text()))
