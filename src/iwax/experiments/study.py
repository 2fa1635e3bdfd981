"""A study as a value: the tables and figures of a published document, each number with the run that makes it.

A cell names *what* is trained: objective, model, data. *How* (protocol, epochs, batch, seed) is decided by the scale at
which the study is run, so that one run serves every study that names it. This module imports no JAX.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from iwax.config import RunConfig

__all__ = ["ALONG", "Cell", "Claim", "Demonstration", "Figure", "Published", "Study", "Table", "stated"]

WHAT = (  # the fields of a configuration that say what is trained; all others say how
    *("objective", "num_groups", "num_samples", "beta", "beta_rule", "alpha", "order", "divergence", "baseline"),
    *("num_auxiliary", "gamma", "num_intervals", "first_point", "sampling", "gradient"),
    *("model", "likelihood", "dataset", "binarize", "update"),
)
SAMPLE = "mnist-sample"  # stands in for every data set at the scale "smoke"
ALONG = ("eval_every", "eval_images", "eval_samples")  # the fields that say what is judged while a run trains
BY_RUN = {"seed", "init_from", *ALONG}  # no part of a recipe
BY_SMOKE = {"dataset", "split", "train_images", "batch_size", "epochs", "schedule_scale"}  # what that scale decides


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
    """

    text: str
    pairs: tuple[tuple[Cell | Published, Cell | Published], ...]
    slack: float = 0.0


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

    `function` is "module:name" of a function of (scale: str, seed: int) -> {"columns", "rows", "finding"}.
    """

    name: str
    title: str
    function: str


@dataclasses.dataclass(frozen=True)
class Study:
    """A document to reproduce.

    Attributes:
        recipe: fields that say how, as the document has it; used at the scale "full".
        keeps_recipe: whether other scales keep them, too, as where the recipe is what is studied.
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

    @property
    def configs(self) -> tuple[tuple[RunConfig, RunConfig | None], ...]:
        """Every configuration of a cell or figure, with the one it starts from, each once."""
        pairs = [(cell.config, cell.start) for cell in self.cells]
        pairs += [(config, None) for figure in self.figures for config in figure.configs]
        return tuple(dict.fromkeys(pairs))

    @property
    def cells(self) -> Iterator[Cell]:
        return (cell for table in self.tables for cell in table.cells)

    def runs(self, scale: str, seeds: int | None = None, given: Mapping[str, Any] | None = None) -> list[RunConfig]:
        """The runs at a scale, each once, those that others start from first.

        Arguments:
            scale: "smoke", "trial", "short" or "full".
            seeds: 0 to this, for every cell; as the scale has it if left out.
            given: fields of the recipe that the caller decides.
        """
        from iwax.experiments.scales import plan  # which needs JAX, to name runs

        return plan(self, scale, seeds, given or {})

    def matching(self, config: RunConfig, records: Sequence[Any], start: RunConfig | None = None) -> list[Any]:
        """The records of the runs that train what `config` says, at any scale and by any recipe that it leaves open.

        Those of the scale "trial" count only where recipes are what is studied.
        """
        from iwax.experiments.scales import asked

        recipe = dict(self.recipe) if self.keeps_recipe else {}
        wanted, before = (
            None if c is None else asked(dataclasses.replace(c, **recipe | stated(c))) for c in (config, start)
        )
        names, of_start = self._compared(start), self._compared(None)
        counting = [record for record in records if self.keeps_recipe or record.scale != "trial"]
        return [r for r in counting if _same(wanted, r.asked, names) and _same(before, r.started_from, of_start)]

    def _compared(self, start: RunConfig | None) -> set[str]:
        """The fields by which a run is told from others with the same start; what none of these names is left open."""
        if self.keeps_recipe:  # then whatever says how counts, too
            return {field.name for field in dataclasses.fields(RunConfig)} - BY_RUN
        return {*WHAT, *(name for other, before in self.configs if before == start for name in stated(other))}


def stated(config: RunConfig) -> dict[str, Any]:
    """The fields of a configuration that are not at their defaults."""
    fields = dataclasses.fields(RunConfig)
    return {f.name: getattr(config, f.name) for f in fields if getattr(config, f.name) != f.default}


def _same(wanted: Mapping[str, Any] | None, asked: Mapping[str, Any] | None, names: set[str]) -> bool:
    """Whether two runs agree in those fields, as far as the scale "smoke" leaves them."""
    if wanted is None or asked is None:
        return wanted is asked
    names = names - BY_SMOKE if asked.get("dataset") == SAMPLE else names
    return all(wanted.get(name) == asked.get(name) for name in names)
