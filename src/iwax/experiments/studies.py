"""The studies that `iwax reproduce` runs, by name. It imports no JAX."""

from iwax.experiments import published
from iwax.experiments.study import Study

__all__ = ["STUDIES"]

STUDIES: dict[str, Study] = {
    module.STUDY.name: module.STUDY
    for module in (
        published.dd2434,
        published.tightiwae,
        published.burda2016,
        published.burda2016_fixed,
        published.rainforth2018,
        published.audit,
        published.speedrun,
        published.miwae2019,
    )
}
"""Name -> study."""
