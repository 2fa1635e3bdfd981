"""Rainforth et al., "Tighter Variational Bounds are Not Necessarily Better" (2018), arXiv:1802.04537: Table 1."""

import itertools
from collections.abc import Mapping

from iwax.experiments.published.burda2016 import EQUAL
from iwax.experiments.study import Cell, Claim, Demonstration, Figure, Published, Study, Table
from iwax.runs import RunConfig

__all__ = ["RAINFORTH", "STUDY", "SYSTEMS", "claims", "published"]

SOURCE = "Rainforth et al. 2018, Table 1"
RECALLED = ", as recalled: not checked against the paper"
METRICS = ("iwae_64", "log_p", "minus_kl")
TITLES = {"iwae_64": "IWAE-64", "log_p": "log p", "minus_kl": "-KL(Q||P)"}

SYSTEMS = {  # of 64 samples each
    "IWAE": RunConfig(objective="iwae", num_samples=64),
    "PIWAE(4, 16)": RunConfig(objective="piwae", num_groups=4, num_samples=16),
    "PIWAE(8, 8)": RunConfig(objective="piwae", num_groups=8, num_samples=8),
    "MIWAE(4, 16)": RunConfig(objective="miwae", num_groups=4, num_samples=16),
    "MIWAE(8, 8)": RunConfig(objective="miwae", num_groups=8, num_samples=8),
    "CIWAE 0.05": RunConfig(objective="ciwae", num_samples=64, beta=0.05),
    "CIWAE 0.5": RunConfig(objective="ciwae", num_samples=64, beta=0.5),
    "VAE": RunConfig(objective="elbo", num_samples=64),
}
"""Name -> what is trained: all with T = M K = 64 samples per image, the VAE, too."""

RAINFORTH: dict[str, tuple[tuple[float, float], ...]] = {  # (mean, s.d. of 4 runs) for each of METRICS, in nats
    "IWAE": ((-86.11, 0.10), (-84.52, 0.02), (-1.59, 0.10)),
    "PIWAE(4, 16)": ((-85.68, 0.06), (-84.40, 0.17), (-1.27, 0.18)),
    "PIWAE(8, 8)": ((-85.74, 0.07), (-84.46, 0.06), (-1.28, 0.09)),
    "MIWAE(4, 16)": ((-85.60, 0.07), (-84.56, 0.05), (-1.04, 0.08)),
    "MIWAE(8, 8)": ((-85.69, 0.04), (-84.97, 0.10), (-0.72, 0.11)),
    "CIWAE 0.05": ((-85.91, 0.11), (-84.57, 0.09), (-1.34, 0.14)),
    "CIWAE 0.5": ((-86.08, 0.08), (-85.24, 0.08), (-0.84, 0.11)),
    "VAE": ((-86.69, 0.08), (-86.21, 0.19), (-0.47, 0.20)),
}
UNCHECKED = ("PIWAE(4, 16)", "MIWAE(4, 16)", "CIWAE 0.05")
CONFIRMED = {("MIWAE(4, 16)", "log_p"), ("CIWAE 0.05", "log_p")}  # of these, by replications that quote them


def published(system: str, metric: str) -> Published:
    """The paper's number of a system."""
    value, error = RAINFORTH[system][METRICS.index(metric)]
    recalled = system in UNCHECKED and (system, metric) not in CONFIRMED
    return Published(value, SOURCE + (RECALLED if recalled else ""), error, tolerance=0.3)


CELLS = {
    (system, metric): Cell(TITLES[metric], system, config, metric, (published(system, metric),))
    for system, config in SYSTEMS.items()
    for metric in METRICS
}
BY_DIVERGENCE = ("VAE", "MIWAE(8, 8)", "CIWAE 0.5", "PIWAE(8, 8)", "IWAE")
NEVER_ABOVE = Published(0.0, "KL(Q||P) is a divergence")


def claims(cells: Mapping[tuple[str, str], Cell], where: str = "") -> tuple[Claim, ...]:
    """What the paper says of the order of systems, of cells by system and metric; the texts begin with `where`."""
    divergences = {system: cell for (system, metric), cell in cells.items() if metric == "minus_kl"}
    likelihoods = {system: cell for (system, metric), cell in cells.items() if metric == "log_p"}
    best = "PIWAE(8, 8)"
    return (
        Claim(f"{where}-KL(Q||P) is never positive", tuple((NEVER_ABOVE, cell) for cell in divergences.values())),
        Claim(
            f"{where}KL(Q||P): {' < '.join(BY_DIVERGENCE)}",
            tuple((divergences[less], divergences[more]) for less, more in itertools.pairwise(BY_DIVERGENCE)),
        ),
        Claim(
            f"{where}{best} is best in log p, or equal to the best within {EQUAL} nat",
            tuple((likelihoods[best], cell) for system, cell in likelihoods.items() if system != best),
            slack=EQUAL,
        ),
    )


STUDY = Study(
    name="rainforth2018",
    title="Tighter Variational Bounds are Not Necessarily Better",
    source="Rainforth, Kosiorek, Le, Maddison, Igl, Wood and Teh (2018), arXiv:1802.04537",
    tables=(
        Table(
            "table-1",
            "MNIST, one layer, T = 64 samples per image (nats)",
            tuple(CELLS.values()),
            note="The paper's ± is over 4 runs: its order of MIWAE(8, 8) and CIWAE 0.5 in -KL rests on 0.12 nats, each"
            " ± 0.11. IWAE-64 and log p are from the same samples, so -KL is never positive.",
            ranked=True,
        ),
    ),
    claims=claims(CELLS),
    figures=(
        Figure("along", "log p and IWAE-64 of test images against epoch", "along", tuple(SYSTEMS.values())),
        Figure("snr", "Signal-to-noise ratio of the gradients against K and M, the paper's toy model", "snr", ()),
    ),
    demonstrations=(
        Demonstration(
            "snr",
            "The inference network's signal-to-noise ratio falls with K and rises with M; the generative one's does "
            "not fall",
            "iwax.experiments.published.artefacts:gradient_noise",
        ),
    ),
    recipe={"protocol": "burda-paper"},
)
