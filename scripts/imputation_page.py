"""Write the numbers of docs/imputation.md from the records of `iwax reproduce missing`.

python scripts/imputation_page.py
"""

import pathlib

from iwax.experiments import STUDIES
from iwax.report import missing_tables

ROOT = pathlib.Path(__file__).parent.parent
PAGE, RESULTS = ROOT / "docs" / "imputation.md", ROOT / "results"
BEGIN, END = "<!-- numbers -->\n", "<!-- end of numbers -->\n"


def page() -> str:
    """The text of the page with its numbers afresh."""
    before, rest = PAGE.read_text().split(BEGIN)
    return before + BEGIN + missing_tables(STUDIES["missing"], RESULTS) + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(page())
