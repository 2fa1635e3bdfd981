"""Write docs/reproductions.md, the table of what has been reproduced, from the records in results/.

python scripts/reproductions_page.py            # writes the page and its figure
python scripts/reproductions_page.py --print    # prints the page instead
"""

import pathlib
import sys

from iwax.experiments import STUDIES
from iwax.report.cost import cost_figure, priced, worth
from iwax.report.gather import gather
from iwax.report.reproductions import reproductions_page

ROOT = pathlib.Path(__file__).parent.parent
RESULTS, PAGE, FIGURE = ROOT / "results", ROOT / "docs" / "reproductions.md", "figures/cost.svg"


def page() -> str:
    """The text of the page."""
    counting = counted()
    figures = {worth(counting): FIGURE} if counting else {}
    documents = [study for study in STUDIES.values() if study.name not in ("speedrun", "missing")]  # which have pages
    return reproductions_page(documents, runs(), RESULTS, figures)


def runs() -> list:
    """The committed records, without those of recipes that were only tried."""
    return [run for run in gather(RESULTS, ROOT / "no-runs") if run.record.scale != "trial"]


def counted() -> list:
    """The records of the figure."""
    return priced([run.record for run in runs() if run.record.scale != "smoke"])


def draw() -> None:
    """The page's figure, if there are records to show."""
    if records := counted():
        cost_figure(records, PAGE.parent / FIGURE)


if __name__ == "__main__":
    if "--print" in sys.argv:
        sys.stdout.write(page())
    else:
        draw()
        PAGE.write_text(page())
