"""Write docs/speedrun.md, the record of training recipes tried, from the records in results/.

python scripts/speedrun_page.py            # writes the page and its figure
python scripts/speedrun_page.py --print    # prints the page instead
"""

import pathlib
import sys

from iwax.experiments.records import read_records
from iwax.report.speedrun import compared, equal_arithmetic_figure, speedrun_page

ROOT = pathlib.Path(__file__).parent.parent
RESULTS, PAGE, FIGURE = ROOT / "results", ROOT / "docs" / "speedrun.md", "figures/speedrun.svg"


def page() -> str:
    """The text of the page."""
    return speedrun_page(read_records(RESULTS), FIGURE if (PAGE.parent / FIGURE).exists() else None)


if __name__ == "__main__":
    if "--print" in sys.argv:
        sys.stdout.write(page())
    else:
        if lines := compared(read_records(RESULTS)):
            equal_arithmetic_figure(lines, PAGE.parent / FIGURE)
        PAGE.write_text(page())
