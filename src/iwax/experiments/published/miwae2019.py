"""Imputation as Mattei and Frellsen (2019) and Ipsen, Mattei and Frellsen (2021) compare it: the study `missing`."""

from iwax.experiments.study import Demonstration, Study

__all__ = ["STUDY"]

TABLES = ("banknote", "breast cancer", "red wine", "white wine", "wine", "diabetes", "digits")
MASKED = ("banknote", "red wine", "white wine")


def _shown(table: str, hidden: str, function: str, title: str) -> Demonstration:
    name = f"{table.replace(' ', '-')}-{hidden}"
    return Demonstration(name, f"{table}: {title}", f"iwax.experiments.missing:{function}", (("name", table),))


STUDY = Study(
    name="missing",
    title="Missing values: imputation of seven tables",
    source="Mattei and Frellsen 2019, arXiv:1812.02633; Ipsen, Mattei and Frellsen 2021, arXiv:2006.12871; "
    "docs/imputation.md",
    demonstrations=(
        *(
            _shown(
                table, "random", "at_random", "half of the values missing completely at random, standardised columns"
            )
            for table in TABLES
        ),
        *(
            _shown(table, "masked", "of_themselves", "values above the mean missing in the first half of the columns")
            for table in MASKED
        ),
    ),
)
