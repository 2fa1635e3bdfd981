"""Others' MIWAE for the study of missing values: HyperImpute's plug-in, and the recipe of the paper's notebook.

HyperImpute 0.1.17 (2023) asks for libraries of its time, so it runs in a Python of its own, named by IWAX_HYPERIMPUTE:
`python -m venv ENV`, then `ENV/bin/pip install torch "numpy<2" "pandas<2.3" "scikit-learn<1.5" "pydantic<2"`, and what
its import asks for besides. Without that variable its row is what is on record.

The notebook is "Tensorflow 1 notebooks/MIWAE_demo_UCI.ipynb" of github.com/pamattei/miwae at 6e9d12c: two hidden layers
of 128 ReLU, half as many latents as columns, Student-t given z, K = 20, batches of 64, Adam at 1e-3 for 601 epochs.
Here iwax trains that, with two differences: q is normal (there a Student-t), and sees the mask besides the values.
"""

import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from iwax.errors import IwaxError
from iwax.experiments.points import Point, measured_points

__all__ = ["OTHERS", "Completed", "known_or_wanted"]

PYTHON = "IWAX_HYPERIMPUTE"
NOTEBOOK = "IWAX_NOTEBOOK"
EPOCHS = 601  # of the notebook
PROGRAM = """
import sys, time
import numpy as np, pandas as pd, torch
from hyperimpute.plugins.imputers.plugin_miwae import plugin
torch.set_num_threads(1)
table, seed = np.load(sys.argv[1]), int(sys.argv[2])
begin = time.process_time()
filled = np.asarray(plugin(random_state=seed).fit_transform(pd.DataFrame(table)))
np.savez(sys.argv[3], filled=filled, cpu_seconds=time.process_time() - begin)
"""


class Completed(NamedTuple):
    """What a method makes of a table.

    Attributes:
        table: whole, (rows, columns).
        ends: below and above what was missing with probability 0.9, of methods that say so.
        cpu_seconds: where they are not those of this process.
    """

    table: np.ndarray
    ends: tuple[np.ndarray, np.ndarray] | None = None
    cpu_seconds: float | None = None


def known_or_wanted(folder: Path, points: Sequence[Point]) -> list[Point]:
    """Those that are on record in a folder, or that the environment asks for."""
    known = [record["point"] for record in measured_points(folder)]
    return [point for point in points if point in known or os.environ.get(ASKED[point["method"]])]


def _hyperimpute(table: np.ndarray, point: Point) -> Completed:
    python = os.environ.get(PYTHON) or ""
    if not Path(python).is_file():
        raise IwaxError(f"Expected {PYTHON} to name a Python that has hyperimpute; got {python!r}.")
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "table.npy", Path(folder) / "found.npz"
        np.save(given, table)
        command = [python, "-c", PROGRAM, str(given), str(point["split"]), str(found)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
            raise IwaxError(f"Expected HyperImpute to run by {python}; it says: {last}.")
        with np.load(found) as filled:
            return Completed(filled["filled"], cpu_seconds=float(filled["cpu_seconds"]))


def _notebook(table: np.ndarray, point: Point) -> Completed:
    import jax

    import iwax
    from iwax.impute import FittedTable, TableModel, encode, fit_columns
    from iwax.training import Recipe

    values = list(table.T)
    columns = fit_columns([str(j) for j in range(len(values))], values, "continuous")
    keys = jax.random.split(jax.random.key(point["split"]), 3)
    model = TableModel(columns, latent_size=max(1, len(columns) // 2), hidden_sizes=(128, 128), key=keys[0])
    batch, stages = min(64, len(table)), ((1e-3, EPOCHS),)
    recipe = Recipe(name="notebook", source="github.com/pamattei/miwae", batch_size=batch, stages=stages, parts=1)
    objective = iwax.IWAE(num_samples=20, gradient="reparameterized")
    result = iwax.fit(model, objective, encode(columns, values), recipe=recipe, key=keys[1], binarize="none")
    found = FittedTable(columns, cast(TableModel, result.model), result.records).impute(
        values, keys[2], num_samples=500
    )
    low, high = (np.stack(side, axis=1) for side in (found.lower, found.upper))
    return Completed(np.stack(found.completed, axis=1), (low, high))


OTHERS: dict[str, Callable[[np.ndarray, Point], Completed]] = {
    "HyperImpute's MIWAE": _hyperimpute,
    "recipe of the MIWAE notebook": _notebook,
}
ASKED = dict(zip(OTHERS, (PYTHON, NOTEBOOK), strict=True))
"""The variable of the environment that asks for each; what is on record is shown without."""
