"""Each published document as values: one module a document. `STUDY` of each is what `iwax reproduce` runs."""

from iwax.experiments.published import (
    audit,
    burda2016,
    burda2016_fixed,
    dd2434,
    miwae2019,
    rainforth2018,
    speedrun,
    tightiwae,
)

__all__ = ["audit", "burda2016", "burda2016_fixed", "dd2434", "miwae2019", "rainforth2018", "speedrun", "tightiwae"]
