"""docs/speedrun.md: the recipe that won, what it is compared with, and what was tried, from the committed records."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from iwax.experiments import SHORT, SHORT_OF_MANY, Cell, Record, Table, matching_records
from iwax.experiments.published import burda2016
from iwax.experiments.published import speedrun as study
from iwax.figures import COLOURS, plot
from iwax.report.cell_runs import Found, counting, find, without_history
from iwax.report.cells import count, flop, number, seconds, small
from iwax.report.format import backward, early_words, nats, objective_name, signed
from iwax.report.gather import flop_of_step
from iwax.report.tables import Datum, Sheet, as_markdown
from iwax.runs import RunConfig, resolve

__all__ = ["attempts_sheet", "compared", "equal_arithmetic_figure", "recipe_sheet", "speedrun_page"]

BY_MUON = "fast-muon"
PUBLISHED_EPOCHS, BATCH, DATA_SIZE = 3280, 20, 784
ALIKE = ("dataset", "model", "objective", "num_samples", "precision", "stages", "epochs")  # beside a name

HEAD = f"""# Speed run

The published recipe makes 3,280 passes over the data. The question here: which recipe reaches its log p with a tenth of
its arithmetic, to within 0.3 nat? The arithmetic is that of matrix products, forward and backward and in the
optimiser, two operations for each multiply-add. −log p is in nats, of whole test sets with k = 5000 where nothing else
is said; lower is better. Seconds are of one core of a shared machine, whose other core mostly trained another such run.
They compare within one kind of processor: Intel's has matrix units for bfloat16, AMD's has not.

## The recipe `{SHORT}`

"""
OF_MANY = f"""## The recipe `{SHORT_OF_MANY}`

For dozens of samples. The first four fifths of its epochs have five samples of each image, the rest as many as the
objective names: one schedule and one optimiser throughout. Such a step costs a fraction of one of many, and what those
gain they gain at the end, where the rate is low. `iwax train --recipe {SHORT_OF_MANY} --objective iwae --num-samples 50
--backward resampled --num-resampled 8`; any other recipe does the same by `--early-samples 5 --early-part 0.8`.

MIWAE and PIWAE keep their groups where these divide the few samples, and lose by it where they do not, as the trials
below show: `--early-samples 16` suits four and eight groups.

"""
OF_MUON = f"""## The recipe `{BY_MUON}`

`{SHORT}` with [Muon](https://arxiv.org/abs/2502.16982) in place of SOAP, and batches twice as large: the orthogonal
factor of the momentum takes more arithmetic a step than SOAP's turns, and bears a larger batch. `iwax train --recipe
{BY_MUON}`. Of the recipes here it goes furthest in as many passes; it is not the default, since what it does in long
runs is known of the lines below only.

"""
ATTEMPTS = """## Recipes tried

`iwax reproduce speedrun --scale trial` makes them. They are judged on the first 1,000 test images with k = 512, which
are about a nat easier than the whole test set. Those of 2026-11-30 were paused now and then, and their seconds hold the
pauses; the FLOP compare.

"""


def speedrun_page(records: Sequence[Record], figure: str | None = None) -> str:
    """The text of the page; `figure` is the name of the picture beside it."""
    parts = [HEAD, as_markdown(recipe_sheet(records)), as_published(records), "\n", OF_MANY]
    if (many := recipe_sheet(records, SHORT_OF_MANY)).rows:
        parts += [as_markdown(many), "\n"]
    if (turned := recipe_sheet(records, BY_MUON)).rows:
        parts += [OF_MUON, as_markdown(turned), "\n"]
    if figure is not None:
        parts.append(
            f"## At equal arithmetic\n\n![−log p against arithmetic, along training]({figure})\n\n{FIGURE}\n\n"
        )
    parts.append(ATTEMPTS)
    for table in study.STUDY.tables:
        parts.append(f"{table.title}.\n\n{as_markdown(attempts_sheet(records, table))}\n")
    if study.TRIED:
        parts.append("## Tried in scratch code only, and left\n\n")
        parts += [f"- {date}: {idea}. {outcome}\n" for date, idea, outcome in study.TRIED]
    return "".join(parts).rstrip() + "\n"


FIGURE = (
    "−log p of 500 test images (evenly spaced among all, 640 samples each) along each run. A cosine's rate is high "
    "until the end, so a run by it is good only when it is over. The published recipe, in batches of 100: its schedule "
    "shortened to 101 and to 330 epochs, and as it stands."
)


def as_published(records: Sequence[Record]) -> str:
    """What the published recipe reaches when it is run here, in a sentence; empty until it has been."""
    found = find(study.STUDY, Cell("", "", study.AS_PUBLISHED, "nll"), counting(records))
    if found is None:
        return ""
    arithmetic, (time, where) = flop(found.average("training", "flop")), seconds(found)
    return (
        f"\nThe published recipe itself, run here for all its {found.epochs:,} passes (VAE(1), one layer, MNIST, "
        f"batches of {found.records[0].config['batch_size']} where the paper has {BATCH}): {nats(found.value)}, with "
        f"{arithmetic.text} FLOP in {time.text} seconds on {where.text}.\n"
    )


def recipe_sheet(records: Sequence[Record], recipe: str = SHORT) -> Sheet:
    """What the recipe reaches on whole test sets: a line for each objective, model and data set, over its seeds."""
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in without_history(counting(records)):
        config = record.config
        if _by(config) == recipe and not config["init_from"]:
            key = (*(str(config[name]) for name in ALIKE), objective_name(config))
            groups.setdefault(key, []).append(record)
    columns = (
        *("objective", "model", "data", "−log p", "Burda et al.", "ours less theirs", "FLOP", "of the published"),
        *("passes", "rate", "precision", "seconds", "processor", "± seeds", "± Monte Carlo", "± images"),
        *("active units", "seeds"),
    )
    found = [Found(tuple(sorted(group, key=lambda r: r.config["seed"])), "nll") for _, group in sorted(groups.items())]
    return Sheet("recipe", "", columns, tuple(map(_line, found)), labels=3)


def _by(config: Mapping[str, Any]) -> str:
    """The recipe of a run; its trials had Muon as an option of another, before there was one."""
    return BY_MUON if config["algorithm"] == "muon" else config["protocol"]


def _line(found: Found) -> tuple[Datum, ...]:
    config, training = found.records[0].config, found.records[0].training
    theirs = _published(config)
    return (
        Datum(objective_name(config)),
        *(Datum(config["model"]), Datum(config["dataset"]), number(found.value, "nll")),
        *((Datum("—"), Datum("—")) if theirs is None else (number(theirs, "nll"), _difference(found.value - theirs))),
        *(flop(found.average("training", "flop")), _share(found)),
        *(count(training["epochs"]), Datum(f"{_rate(config):g}"), Datum(config["precision"]), *seconds(found)),
        *(small(error) for error in (found.spread, found.error("mc_error"), found.error("data_error"))),
        *(_units(found), _seeds(found)),
    )


def _share(found: Found) -> Datum:
    """The arithmetic of training as a share of the published; none of a record that does not have it."""
    known = found.records[0].training.get("flop")
    return Datum(f"{100 * known / _published_flop(found.records[0]):.1f} %" if known else "—")


def _published_flop(record: Record) -> float:
    """The arithmetic of 3,280 passes over the same images with the same objective, by Adam."""
    what = {name: record.config[name] for name in ("objective", "num_samples", "num_groups", "beta", "model")}
    config = RunConfig(**what, protocol="burda-paper", batch_size=BATCH)
    images = record.training["steps"] * record.config["batch_size"] / record.training["epochs"]
    return PUBLISHED_EPOCHS * images / BATCH * flop_of_step(config, DATA_SIZE)


def _difference(value: float) -> Datum:
    return Datum(signed(value), value)


def _published(config: Mapping[str, Any]) -> float | None:
    """The paper's -log p, where it has one."""
    layers = {model: name for name, model in burda2016.LAYERS.items()}
    method = {"elbo": "VAE", "iwae": "IWAE"}.get(config["objective"])
    key = layers.get(config["model"]), config["num_samples"]
    if (
        config["binarize"] != "dynamic"
        or method is None
        or key not in burda2016.BURDA
        or (config["dataset"], method) not in burda2016.COLUMNS
    ):
        return None
    nll, _ = burda2016.published(*key, (config["dataset"], method))
    assert not isinstance(nll.value, tuple)
    return nll.value


def attempts_sheet(records: Sequence[Record], table: Table) -> Sheet:
    """A line for each recipe of a table that has a record, in the order of their dates."""
    columns = (
        *("idea", "recipe", "−log p", "± Monte Carlo", "FLOP", "passes", "seconds", "processor", "date"),
        *("active units", "training bound", "seeds"),
    )
    trials = [record for record in records if record.scale == "trial"]
    found = [(cell, one) for cell in table.cells if (one := find(study.STUDY, cell, trials))]
    rows = sorted((_attempt(cell, one) for cell, one in found), key=lambda row: row[columns.index("date")].text)
    return Sheet(table.name, "", columns, tuple(rows), labels=2)


def _attempt(cell: Cell, found: Found) -> tuple[Datum, ...]:
    return (
        *(Datum(cell.row), Datum(_recipe(found.records[0]))),
        *(number(found.value, "nll"), small(found.error("mc_error"))),
        *(flop(found.average("training", "flop")), count(found.average("training", "epochs")), *seconds(found)),
        Datum(min(record.date for record in found.records)[:10]),
        *(_units(found), Datum(nats(found.average("training", "final_bound") or 0.0)), _seeds(found)),
    )


def _recipe(record: Record) -> str:
    """The optimiser, its rate and schedule, the batch, the gradient's estimator, what goes backward, and when."""
    config = record.config
    words = [config["algorithm"], f"rate {_rate(config):g}", config["decay"], f"batch {config['batch_size']}"]
    words += [f"warm-up {config['warm_up']:g}"] if config["warm_up"] else []
    words += [config["gradient"]] if config["gradient"] != "reparameterized" else []
    words += [f"{backward(config)} backward"] if backward(config) != "all" else []
    words += [config["precision"]] if config["precision"] != "float32" else []
    words += [early] if (early := early_words(config)) else []
    return ", ".join(words)


def _rate(config: Mapping[str, Any]) -> float:
    """The highest learning rate of a schedule."""
    return max(rate for rate, _ in resolve(RunConfig(**config)).recipe.stages)


def _units(found: Found) -> Datum:
    return number(dataclasses.replace(found, metric="active_units").value, "active_units")


def _seeds(found: Found) -> Datum:
    return Datum(", ".join(str(record.config["seed"]) for record in found.records))


def compared(records: Sequence[Record]) -> dict[str, Record]:
    """The runs of the figure: name -> the first of its records that was judged along training."""
    priced = [record for record in records if record.training.get("flop")]
    found = {
        name: [r for r in matching_records(study.STUDY, config, priced) if r.along and r.config["seed"] == 0]
        for name, config in study.COMPARED.items()
    }
    return {name: those[0] for name, those in found.items() if those}


def equal_arithmetic_figure(lines: dict[str, Record], path: str | Path) -> None:
    """-log p of test images against the arithmetic of training, along each run."""
    with plot(path, width=5.6, height=3.6) as axis:
        for (name, record), colour in zip(lines.items(), COLOURS, strict=False):
            epochs, values = zip(*((epoch, -found["log_p"]) for epoch, found in record.along), strict=True)
            each = record.training["flop"] / record.training["epochs"]
            axis.plot(np.array(epochs) * each, values, color=colour, lw=1.2, marker="o", ms=2.5, label=name)
        axis.set(xscale="log", xlabel="arithmetic of training (FLOP)", ylabel="−log p of test images (nats)")
        axis.legend(fontsize=7)
