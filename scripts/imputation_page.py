"""Write the numbers of docs/imputation.md from the records of `iwax reproduce missing`.

python scripts/imputation_page.py
"""

import pathlib

from iwax.experiments import STUDIES
from iwax.report import missing_findings, missing_tables

ROOT = pathlib.Path(__file__).parent.parent
PAGE, RESULTS = ROOT / "docs" / "imputation.md", ROOT / "results"
PARTS = {"findings": missing_findings, "numbers": missing_tables}  # between <!-- NAME --> and <!-- end of NAME -->


def page() -> str:
    """The text of the page with its numbers afresh."""
    text = PAGE.read_text()
    for name, write in PARTS.items():
        before, rest = text.split(f"<!-- {name} -->\n")
        after = rest.split(f"<!-- end of {name} -->\n")[1]
        made = write(STUDIES["missing"], RESULTS)
        text = f"{before}<!-- {name} -->\n{made}<!-- end of {name} -->\n{after}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page())
