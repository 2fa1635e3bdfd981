"""The model that a run starts from, where that is the model of another run."""

from typing import Any

from iwax.errors import IwaxError
from iwax.models import OwnModel
from iwax.runs.config import RunConfig
from iwax.runs.environment import differences
from iwax.runs.folder import RunFolder
from iwax.runs.loading import check_checkpoint, kept_model

__all__ = ["model_of_run"]

MUST_FIT = ("model", "likelihood", "scale_map")  # for one run to start from the model of another


def model_of_run(
    run: str, config: RunConfig, own: OwnModel | None, template: Any, sha256: str | None = None
) -> tuple[Any, dict[str, Any]]:
    """The model of another run, of the checkpoint that is judged or that of a checksum; and the record of it."""
    folder = RunFolder(run)
    other = folder.config()
    there = folder.checkpoints(best=True) if sha256 else iter([folder.to_judge()])
    checkpoint = next((one for one in there if sha256 in (None, one.sha256)), None)
    if checkpoint is None:
        raise IwaxError(
            f"Expected {run} to hold the checkpoint that this run starts from, {sha256}; it has gone on since. Start a "
            "new run."
        )
    check_checkpoint(folder, other, checkpoint)
    unfit = differences(_form(other, kept_model(folder, other)), _form(config, own))
    if unfit:
        raise IwaxError(f"Expected init_from to be a run of the same model; these differ: {', '.join(unfit)}.")
    record = {"run": str(run), "objective": other.objective, "seed": other.seed, "checkpoint": checkpoint.sha256}
    return checkpoint.fill(template, ".model"), record


def _form(config: RunConfig, own: OwnModel | None) -> dict[str, Any]:
    """What must be the same for one run to start from the model of another; of one's own, the code and not its path."""
    form = {name: getattr(config, name) for name in MUST_FIT}
    return form if own is None else form | {"model": own.function, "model.py": own.sha256}
