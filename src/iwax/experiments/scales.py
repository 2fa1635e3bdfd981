"""At what scale a study is run: from what its cells name to the runs that are made, each under its name."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from iwax.checks import MOST_SEEDS, check_choice, check_positive_integer
from iwax.errors import IwaxError
from iwax.experiments.identity import explicit_fields, non_default_fields, run_name
from iwax.experiments.matching import BY_SMOKE
from iwax.experiments.study import ALONG, SAMPLE, Study
from iwax.runs import RunConfig, resolve

__all__ = ["SCALES", "SHORT", "SHORT_OF_MANY", "Scale", "is_planned", "plan"]

MANY = 8  # samples per image, from which a run is long on two cores
SHORT = "fast"  # the recipe of the scale "short"
OF_BURDA = ("one-layer", "two-layer")  # of few samples an hour at most, and so three seeds
POINTS = 20  # at most twice as many evaluations along training
FIGURE = {"epochs": 30}  # there, from MANY samples, of the 25 runs of a figure beside a table of methods
EPOCHS_OF_LARGE_MODELS = {
    "larger": {"epochs": 96}
}  # of 64 samples: what a core makes of that model in less than the scale's minutes
SECOND_STAGE = 0.03  # of 2187 epochs: 66
RESAMPLED = {"backward": "resampled", "num_resampled": 8}
RESAMPLED_FROM = 32  # samples, from which that halves an IWAE's time; others rest on more samples, and lose by it
SHORT_OF_MANY = "fast-many"  # the same, of objectives of dozens of samples
OF_MANY = {  # as docs/speedrun.md has it for many samples
    "one-layer": {"stages": "0.004:300"},  # trained before there was a recipe for it; slower than at one sample
    "two-layer": {"protocol": SHORT_OF_MANY, "precision": "float32"},  # on a machine without bfloat16
}


@dataclasses.dataclass(frozen=True)
class Scale:
    """What a scale decides.

    Attributes:
        help: in words.
        num_samples: k of the evaluation.
        num_images: the first this many are judged; all if None.
        minutes: a run that has trained this long is judged as it is; None for no limit.
    """

    help: str
    num_samples: int
    num_images: int | None = None
    minutes: float | None = None


SCALES: dict[str, Scale] = {
    "smoke": Scale("seconds: whether everything works; its numbers mean nothing", 128, num_images=20),
    "trial": Scale("the full data, judged quickly: to try a recipe", 512, num_images=1000),
    "short": Scale("the full data, as many epochs as two cores do in 140 minutes a run", 5000, minutes=140.0),
    "full": Scale("the published recipe; days without an accelerator", 5000),
}


def plan(study: Study, scale: str, seeds: int | None = None, given: Mapping[str, Any] | None = None) -> list[RunConfig]:
    """The runs of a study at a scale, each once, those that others start from first.

    `init_from` holds the name of another of them.

    Arguments:
        study: whose cells and figures name them.
        scale: "smoke", "trial", "short" or "full".
        seeds: 0 to this, for every cell; as the study or the scale has it if left out.
        given: fields of the recipe that the caller decides.

    Raises:
        ValueError: an unknown scale, no count of seeds from 1 to 10,000, or an invalid configuration.
    """
    check_choice("scale", scale, SCALES)
    if "seed" in (given or {}):
        raise IwaxError("Expected fields that all runs of a study share; got seed. Say by --seeds how many each has.")
    if seeds is not None:
        check_positive_integer("seeds", seeds, most=MOST_SEEDS)
    runs: dict[str, RunConfig] = {}
    counted = [(pair, _seeds(study, scale, pair) if seeds is None else seeds) for pair in study.configs]
    for seed in range(max((count for _, count in counted), default=0)):  # the first seed of all cells first
        for (config, start), count in counted:
            if seed < count:
                before = None if start is None else _at(study, start, scale, seed, given or {})
                run = _at(study, config, scale, seed, given or {})
                if before is not None:
                    runs.setdefault(run_name(before), before)
                    run = dataclasses.replace(run, init_from=run_name(before))
                runs.setdefault(run_name(run), run)
    return list(runs.values())


def is_planned(study: Study, config: RunConfig, asked: Mapping[str, Any], scale: str) -> bool:
    """Whether that is asked for where a cell's configuration is trained at the scale today, whatever the seed."""
    by_run = {"seed", "init_from", *ALONG}
    planned = non_default_fields(_trained(study, config, scale, 0, {}))
    return all(planned.get(name) == asked.get(name) for name in (planned.keys() | asked.keys()) - by_run)


def _seeds(study: Study, scale: str, pair: tuple[RunConfig, RunConfig | None]) -> int:
    """How many seeds of a run, and of what it starts from."""
    if study.seeds is not None:
        return study.seeds
    small = all(config is None or (config.model in OF_BURDA and _samples(config) < MANY) for config in pair)
    return 3 if scale == "full" or (scale == "short" and small and not study.keeps_recipe) else 1


def _at(study: Study, config: RunConfig, scale: str, seed: int, given: Mapping[str, Any]) -> RunConfig:
    """The run of a configuration at a scale, with what is judged along it."""
    run = _trained(study, config, scale, seed, given)
    if scale == "smoke":
        return dataclasses.replace(run, eval_every=1, eval_images=20, eval_samples=64)
    every = max(1, resolve(run).epochs // POINTS)
    along: dict[str, Any] = {"eval_every": every, "eval_images": 500}
    return dataclasses.replace(run, **along | dict(given))


def _trained(study: Study, config: RunConfig, scale: str, seed: int, given: Mapping[str, Any]) -> RunConfig:
    """How it is trained. What the study's own configuration says of the recipe is kept."""
    recipe = _recipe(study, config, scale) | dict(given)
    run = dataclasses.replace(config, **recipe | explicit_fields(config), seed=seed)
    if scale != "smoke":
        return run
    own: dict[str, Any] = dict.fromkeys(BY_SMOKE) | {"dataset": SAMPLE, "train_images": 1000, "batch_size": 100}
    return dataclasses.replace(run, **own | {"epochs": 1})


def _recipe(study: Study, config: RunConfig, scale: str) -> dict[str, Any]:
    """The fields that say how, as far as neither the configuration nor the caller decides them."""
    own: dict[str, Any] = dict(study.recipe) if scale == "full" or study.keeps_recipe else {}
    if scale != "short" or study.keeps_recipe or config.epochs is not None:
        return own
    many = _samples(config) >= MANY
    compares = any(table.ranked for table in study.tables)  # methods: as long, and with gradients as they are
    dozens = _samples(config) >= RESAMPLED_FROM
    if study.equal_epochs and dozens:  # an ELBO has five first, too: its samples change nothing but the noise
        of_iwae = RESAMPLED if config.objective == "iwae" else {}
        return {"protocol": SHORT_OF_MANY, "epochs": resolve(RunConfig(protocol=SHORT)).epochs} | of_iwae
    fewer = config.objective == "iwae" and dozens and not compares
    lighter: dict[str, Any] = ({"precision": "bfloat16"} if many else {}) | (RESAMPLED if fewer else {})
    if config.stages is not None:  # of the study's own, in batches of the recipe
        return own | lighter | {"schedule_scale": SECOND_STAGE}
    if fewer:
        return lighter | {"protocol": SHORT} | OF_MANY.get(config.model, {})
    if many and compares:
        lighter |= EPOCHS_OF_LARGE_MODELS.get(config.model, {}) if dozens else FIGURE
    return lighter | {"protocol": SHORT}


def _samples(config: RunConfig) -> int:
    return (config.num_groups or 1) * (config.num_samples or 1)
