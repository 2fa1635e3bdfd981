"""The studies that `iwax reproduce` runs, by name. It imports no JAX."""

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
from iwax.experiments.study import Study

__all__ = ["STUDIES"]

STUDIES: dict[str, Study] = {
    module.STUDY.name: module.STUDY
    for module in (dd2434, tightiwae, burda2016, burda2016_fixed, rainforth2018, audit, speedrun, miwae2019)
}
"""Name -> study."""
