"""Judge all runs of a folder, and say of those that differ in the seed only what they reach on average."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from iwax.judging.evaluate import evaluate_run
from iwax.judging.other_data import judged_data, results_of
from iwax.judging.seed_group import MeanOverSeeds, SeedGroup
from iwax.judging.table import group_runs
from iwax.runs import CONFIG, find_runs
from iwax.zoo import is_of_zoo, open_run

__all__ = ["JudgedSeeds", "evaluate_runs", "holds_runs"]

NUMBERS = ("log_p", "neg_kl", "elbo", "active_units")  # beside IWAE-K


@dataclasses.dataclass(frozen=True)
class JudgedSeeds:
    """Runs that differ in the seed only, all judged.

    Attributes:
        runs: the folder of each, in the order of the seeds.
        seeds: their seeds.
        summaries: their evaluations.
        means: name -> mean and standard deviation over the seeds, and their errors, in nats.
    """

    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    summaries: tuple[dict[str, Any], ...]
    means: dict[str, MeanOverSeeds]

    def summary(self) -> dict[str, Any]:
        """All of it in values that JSON has."""
        named = zip(self.runs, self.seeds, self.summaries, strict=True)
        return {
            "runs": [{"run": run, "training_seed": seed, **summary} for run, seed, summary in named],
            "over_seeds": {name: dataclasses.asdict(mean) for name, mean in self.means.items()},
        }


def holds_runs(path: Any) -> bool:
    """Whether `path` is a folder that is no run itself and has some below it, such as that of several seeds."""
    if is_of_zoo(path) or not Path(path).is_dir() or (Path(path) / CONFIG).is_file():
        return False
    return next(find_runs(path), None) is not None


def evaluate_runs(
    folder: str | Path,
    *,
    dataset: str | Path | None = None,
    data_dir: str | None = None,
    checkpoint: str | None = None,
    log: Callable[[str], None] = lambda message: None,
    **options: Any,
) -> list[JudgedSeeds]:
    """Judge every run in and under a folder, as `evaluate_run` does, and gather those that differ in the seed only.

    Runs that are judged already are not judged again, so that the same call goes on where it was interrupted.

    Arguments:
        folder: which holds the runs, as `iwax train --seeds 8 --out FOLDER` makes them.
        dataset, data_dir, checkpoint: as for `evaluate_run`.
        log: told which run is next.
        options: further options of `evaluate_run`; with a time limit of each run.

    Raises:
        ValueError: there are no runs, or one of them cannot be judged.
    """
    judged = []
    for group in group_runs([folder]):
        runs, summaries = [], []
        for run in group.runs:
            loaded = open_run(run.folder.path, data_dir=data_dir, checkpoint=checkpoint)
            log(f"{run.folder.path}: seed {run.config.seed} {loaded.words}".rstrip())
            summary = evaluate_run(loaded, dataset=dataset, data_dir=data_dir, log=log, **options)
            if summary["state"] == "finished":
                arrays = results_of(loaded, judged_data(loaded, dataset, data_dir)).arrays
                runs.append(dataclasses.replace(run, summary=summary, arrays=arrays))
                summaries.append(summary)
        if runs:
            done = SeedGroup(tuple(runs))
            names = (f"iwae_{summaries[0]['iwae_samples']}", *NUMBERS)
            means = {name: mean for name in names if (mean := done.number(name)) is not None}
            seeds = tuple(run.config.seed for run in runs)
            judged.append(JudgedSeeds(tuple(str(r.folder.path) for r in runs), seeds, tuple(summaries), means))
    return judged
