"""Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders" (2015), arXiv:1509.00519: Tables 1 and 2."""

import dataclasses
from typing import Any

from iwax.experiments.study import Cell, Claim, Figure, Published, Study, Table
from iwax.runs import RunConfig

__all__ = ["BURDA", "EQUAL", "LAYERS", "STUDY", "TOLERANCE", "autoencoder", "published", "row_name"]

SOURCE = "Burda et al. 2016, Table 1"
LAYERS = {1: "one-layer", 2: "two-layer"}
COLUMNS = (("mnist", "VAE"), ("mnist", "IWAE"), ("omniglot", "VAE"), ("omniglot", "IWAE"))
TOLERANCE = 0.3  # nats
EQUAL = 0.1  # nats, about the spread over seeds

# (layers, k) -> for each column: negative log-likelihood in nats, active units by layer
BURDA: dict[tuple[int, int], tuple[tuple[float, tuple[int, ...]], ...]] = {
    (1, 1): ((86.76, (19,)), (86.76, (19,)), (108.11, (28,)), (108.11, (28,))),
    (1, 5): ((86.47, (20,)), (85.54, (22,)), (107.62, (28,)), (106.12, (34,))),
    (1, 50): ((86.35, (20,)), (84.78, (25,)), (107.80, (28,)), (104.67, (41,))),
    (2, 1): ((85.33, (16, 5)), (85.33, (16, 5)), (107.58, (28, 4)), (107.56, (30, 5))),
    (2, 5): ((85.01, (17, 5)), (83.89, (21, 5)), (106.31, (30, 5)), (104.79, (38, 6))),
    (2, 50): ((84.78, (17, 5)), (82.90, (26, 7)), (106.30, (30, 5)), (103.38, (44, 7))),
}


def autoencoder(method: str, k: int, layers: int = 1, dataset: str = "mnist", **others: Any) -> RunConfig:
    """The "VAE" or "IWAE" of k samples. At k = 1 they are one and the same, and one run serves both."""
    objective = "iwae" if method == "IWAE" and k > 1 else "elbo"
    return RunConfig(objective=objective, num_samples=k, model=LAYERS[layers], dataset=dataset, **others)


def row_name(layers: int, k: int) -> str:
    """What the rows of the paper's tables are called."""
    return f"{layers} layer{'s' * (layers > 1)}, k = {k}"


def published(layers: int, k: int, column: tuple[str, str]) -> tuple[Published, Published]:
    """The paper's likelihood and its active units."""
    nll, units = BURDA[layers, k][COLUMNS.index(column)]
    return Published(nll, SOURCE, tolerance=TOLERANCE), Published(units, SOURCE)


def _cells() -> dict[tuple[int, int, str, str], tuple[Cell, Cell]]:
    """By layers, k, data set and method: the likelihood and the active units."""
    cells = {}
    for layers, k in BURDA:
        for dataset, method in COLUMNS:
            row, column = row_name(layers, k), f"{dataset} {method}"
            config, (nll, units) = autoencoder(method, k, layers, dataset), published(layers, k, (dataset, method))
            cells[layers, k, dataset, method] = (
                Cell(row, column, config, "nll", (nll,)),
                Cell(row, f"{column} active units", config, "active_units", (units,)),
            )
    return cells


def _claims() -> tuple[Claim, ...]:
    cells = {key: likelihood for key, (likelihood, _) in _cells().items()}
    places = [(layers, dataset) for layers in LAYERS for dataset in ("mnist", "omniglot")]
    steps = [(n, d, k, more) for n, d in places for k, more in ((1, 5), (5, 50))]
    vae, iwae = (tuple((cells[n, more, d, m], cells[n, k, d, m]) for n, d, k, more in steps) for m in ("VAE", "IWAE"))
    methods = tuple((cells[n, k, d, "IWAE"], cells[n, k, d, "VAE"]) for n, d in places for k in (5, 50))
    depth = tuple((cells[2, k, d, m], cell) for (n, k, d, m), cell in cells.items() if n == 1)
    paper = tuple((cell, cell.published[0]) for (_, _, dataset, _), cell in cells.items() if dataset == "mnist")
    return (
        Claim(f"MNIST: within {TOLERANCE} nat of the paper, or better", paper),
        Claim("IWAE gets better with k", iwae),
        Claim(f"VAE does not get worse with k, by more than {EQUAL} nat", vae, slack=EQUAL),
        Claim("IWAE is better than VAE of as many samples", methods),
        Claim("Two stochastic layers are better than one", depth),
    )


def _swapped() -> tuple[Cell, ...]:
    """Table 2: each method goes on, at the last learning rate, from the model that the other has trained."""
    source = "Burda et al. 2016, Table 2"
    vae, iwae = autoencoder("VAE", 1), autoencoder("IWAE", 50)
    second = {name: dataclasses.replace(c, stages="0.0001:2187") for name, c in (("VAE", vae), ("IWAE", iwae))}
    rows = (
        ("VAE", vae, None, 86.76, 19),
        ("VAE, then IWAE", second["IWAE"], vae, 84.88, 22),
        ("IWAE", iwae, None, 84.78, 25),
        ("IWAE, then VAE", second["VAE"], iwae, 86.02, 23),
    )
    cells = []
    for row, config, start, nll, units in rows:
        cells.append(Cell(row, "NLL", config, "nll", (Published(nll, source, tolerance=TOLERANCE),), start=start))
        cells.append(Cell(row, "active units", config, "active_units", (Published((units,), source),), start=start))
    return tuple(cells)


STUDY = Study(
    name="burda2016",
    title="Importance Weighted Autoencoders",
    source="Burda, Grosse and Salakhutdinov (2015), arXiv:1509.00519",
    tables=(
        Table(
            "table-1",
            "Negative log-likelihood of test images (nats) and active units",
            tuple(cell for pair in _cells().values() for cell in pair),
            note="At k = 1 VAE and IWAE are the same objective: one run serves both columns. Active units are "
            "counted on the test images by the variance of the posterior mean above 0.01; the paper's code counts "
            "on 500 training images. In the lower of two layers this also counts units that only follow the layer "
            "above, by the learned p(z_1 | z_2); of all units, those that hold 0.01 nat or more beyond the layer "
            "above are active by KL (docs/evaluation.md).",
        ),
        Table(
            "table-2",
            "Objectives swapped after training (MNIST, one layer; VAE is k = 1, IWAE k = 50)",
            _swapped(),
            note="The paper's second stage is its schedule's last, 2187 epochs at 1e-4, with a new optimiser; at scale "
            "short it is 66 epochs.",
        ),
    ),
    claims=_claims(),
    figures=(
        Figure(
            "training",
            "Training bound against epoch, MNIST, one layer",
            "training",
            tuple(autoencoder(m, k) for m, k in (("VAE", 1), ("VAE", 5), ("VAE", 50), ("IWAE", 5), ("IWAE", 50))),
        ),
    ),
    recipe={"protocol": "burda-code"},
)
