"""Bradicic, Sitarz, Skoglund and Swartling, "Importance Weighted Autoencoders", DD2434 project report (2024)."""

from iwax.experiments.published.burda2016 import BURDA, COLUMNS, autoencoder, published
from iwax.experiments.study import Cell, Claim, Figure, Published, Study, Table

__all__ = ["STUDY"]

SOURCE = "DD2434 report 2024, Table 1"

# (layers, k) -> negative log-likelihood in nats for each column of COLUMNS
REPORT = {
    (1, 1): (87.68, 87.68, 111.85, 111.88),
    (1, 5): (87.84, 85.76, 110.98, 102.55),
    (1, 50): (87.40, 84.88, 109.91, 99.94),
    (2, 1): (86.87, 86.88, 114.66, 114.67),
    (2, 5): (90.94, 84.78, 110.10, 104.71),
    (2, 50): (87.60, 83.85, 108.49, 102.52),
}
OWN_SPLIT = (
    "the report resized Omniglot itself and drew a training and test split of its own; its numbers there cannot be "
    "compared with ours or with the paper's"
)


def _cells() -> tuple[Cell, ...]:
    cells = []
    for layers, k in BURDA:
        for (dataset, method), value in zip(COLUMNS, REPORT[layers, k], strict=True):
            row, column = f"{layers} layer{'s' * (layers > 1)}, k = {k}", f"{dataset} {method}"
            numbers = (Published(value, SOURCE), published(layers, k, (dataset, method))[0])
            config = autoencoder(method, k, layers, dataset)
            cells.append(Cell(row, column, config, "nll", numbers, OWN_SPLIT if dataset == "omniglot" else ""))
    return tuple(cells)


def _by_k(dataset: str) -> tuple:
    pairs = (("VAE", 1), ("VAE", 5), ("VAE", 50), ("IWAE", 5), ("IWAE", 50))
    return tuple(autoencoder(method, k, layers, dataset) for layers in (1, 2) for method, k in pairs)


STUDY = Study(
    name="dd2434",
    title="Importance Weighted Autoencoders, a DD2434 project",
    source="Bradicic, Sitarz, Skoglund and Swartling (2024), DD2434 project report",
    tables=(
        Table(
            "table-1",
            "Negative log-likelihood of test images, k = 5000 (nats)",
            _cells(),
            note="One run a cell in the report. At k = 1 VAE and IWAE are the same objective: one run serves both.",
        ),
    ),
    claims=(
        Claim(
            "MNIST: better than the report",
            tuple((cell, cell.published[0]) for cell in _cells() if cell.config.dataset == "mnist"),
        ),
    ),
    figures=(
        Figure(
            "figure-1",
            "Omniglot, k = 50: ground truth, reconstructions and samples of VAE and IWAE",
            "sheets",
            tuple(autoencoder(method, 50, layers, "omniglot") for layers in (1, 2) for method in ("VAE", "IWAE")),
        ),
        Figure("figure-2-mnist", "Training bound by k and objective, MNIST", "training", _by_k("mnist")),
        Figure("figure-2-omniglot", "Training bound by k and objective, Omniglot", "training", _by_k("omniglot")),
    ),
    recipe={"protocol": "dd2434"},
)
