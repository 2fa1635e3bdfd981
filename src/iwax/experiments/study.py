"""A study as a value: the tables and figures of a published document, each number with the run that makes it.

A cell names *what* is trained: objective, model, data. *How* (recipe, epochs, batch, seed) is decided by the scale at
which the study is run, so that one run serves every study that names it. This module imports no JAX.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from iwax.runs import RunConfig

__all__ = ["ALONG", "SAMPLE", "Cell", "Claim", "Demonstration", "Figure", "Published", "Study", "Table", "chosen"]

SAMPLE = "mnist-sample"  # stands in for every data set at the scale "smoke"
ALONG = ("eval_every", "eval_images", "eval_samples")  # the fields that say what is judged while a run trains


@dataclasses.dataclass(frozen=True)
class Published:
    """A number as its source prints it, in the cell's metric.

    Attributes:
        value: in nats for likelihoods and bounds; active units by layer, the one nearest the data first.
        source: document and place, such as "Burda et al. 2016, Table 1".
        error: as printed, if it is; a standard deviation over runs unless the source says otherwise.
        tolerance: how far ours may lie from it and still count as the same.
    """

    value: float | tuple[int, ...]
    source: str
    error: float | None = None
    tolerance: float | None = None


@dataclasses.dataclass(frozen=True)
class Cell:
    """One number of a published table, for any seed.

    Attributes:
        row, column: where it stands.
        config: what is trained; fields left at their defaults among those that say how are decided by the scale.
        metric: "nll", "log_p", "iwae_64", "minus_kl", "elbo", "active_units" or "ssim".
        published: what others print for it.
        incomparable: "", or why ours may not be compared with what is published.
        judged_on: the data set whose test images are judged, if not the run's own.
        start: what is trained first, if this goes on from its model.
    """

    row: str
    column: str
    config: RunConfig
    metric: str = "log_p"
    published: tuple[Published, ...] = ()
    incomparable: str = ""
    judged_on: str = ""
    start: RunConfig | None = None


@dataclasses.dataclass(frozen=True)
class Table:
    """Cells by row and column; `note` says what a reader must know.

    If `ranked`, the columns are methods, whose order in each row is of interest; of metrics where higher is better.
    """

    name: str
    title: str
    cells: tuple[Cell, ...]
    note: str = ""
    ranked: bool = False


@dataclasses.dataclass(frozen=True)
class Claim:
    """An order of numbers that a document claims, or that a reproduction ought to keep.

    Attributes:
        text: the claim in words.
        pairs: (this, that), where this is at least as good as that: two cells of one metric, or a cell and a number,
            which is met within its tolerance.
        slack: by how many nats this may be worse all the same.
        within_error: whether it holds, too, where the difference is within its error; else that leaves it open.
    """

    text: str
    pairs: tuple[tuple[Cell | Published, Cell | Published], ...]
    slack: float = 0.0
    within_error: bool = False


@dataclasses.dataclass(frozen=True)
class Figure:
    """A picture of some runs. `kind` picks the drawing function:

    "training" (bound against epoch), "along" (log p and IWAE-64 of test images against epoch), "sheets" (samples and
    reconstructions side by side), "reconstructions" (with SSIM), "across" (those of the other data set), "betas"
    (CIWAE's IWAE-64 and beta against epoch, by rule), "snr" (ratios, of the study's demonstration of that name).
    """

    name: str
    title: str
    kind: str
    configs: tuple[RunConfig, ...]


@dataclasses.dataclass(frozen=True)
class Demonstration:
    """A claim shown by a short computation, without runs: its result is a small table with a finding.

    `function` is "module:name" of a function of (scale: str, seed: int) -> {"columns", "rows", "finding"}. One with
    `options` also takes these, and a folder for what it keeps of its parts, to go on where it was interrupted.
    """

    name: str
    title: str
    function: str
    options: tuple[tuple[str, Any], ...] = ()


@dataclasses.dataclass(frozen=True)
class Study:
    """A document to reproduce.

    Attributes:
        recipe: fields that say how, as the document has it; used at the scale "full".
        keeps_recipe: whether other scales keep them, too, as where the recipe is what is studied.
        equal_epochs: whether all runs have as many epochs at the scale "short", those of dozens of samples, too.
        seeds: how many of every run, at any scale; None leaves it to the scale.
    """

    name: str
    title: str
    source: str
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    demonstrations: tuple[Demonstration, ...] = ()
    claims: tuple[Claim, ...] = ()
    recipe: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    keeps_recipe: bool = False
    equal_epochs: bool = False
    seeds: int | None = None

    @property
    def configs(self) -> tuple[tuple[RunConfig, RunConfig | None], ...]:
        """Every configuration of a cell or figure, with the one it starts from, each once."""
        pairs = [(cell.config, cell.start) for cell in self.cells]
        pairs += [(config, None) for figure in self.figures for config in figure.configs]
        return tuple(dict.fromkeys(pairs))

    @property
    def cells(self) -> Iterator[Cell]:
        return (cell for table in self.tables for cell in table.cells)


def chosen(names: Iterable[str], only: Sequence[str]) -> set[str]:
    """The names that contain one of the texts, or all without any; a text that is a whole name means that one alone.

    >>> sorted(chosen(["wine-random", "red-wine-random"], ["wine-random"]))
    ['wine-random']
    >>> sorted(chosen(["wine-random", "red-wine-random"], ["wine"]))
    ['red-wine-random', 'wine-random']
    """
    names = set(names)
    return {name for name in names if not only or any(t == name or (t not in names and t in name) for t in only)}
