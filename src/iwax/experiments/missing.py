"""Imputation of the tables of the MIWAE and not-MIWAE papers, by this project's `Imputer` and by scikit-learn's.

Half of the values are hidden completely at random, or, for not-MIWAE, all that are above the mean of their column in
the first half of the columns. Columns are standardised as the papers do, on the whole table; methods see what is not
hidden, fit to it, and fill the rest. The error is the root-mean-square one over the hidden values.
"""

import functools
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from iwax.errors import IwaxError
from iwax.evaluation import standard_error
from iwax.experiments.missing_others import OTHERS, Completed, known_or_wanted
from iwax.experiments.points import Point, measure_points

__all__ = ["at_random", "complete_table", "of_themselves"]

FILES = {  # in FOLDER/tables of IWAX_DATA; the last column is what the table is usually to predict, and is left out
    "banknote": (
        "banknote_authentication.csv",
        "d0539aaed2139ba7a587b3e34fb345ce503ff7d5d33dbf9912d8e195ce425cb9",
    ),
    "red wine": ("winequality-red.csv", "c9614512e980f1cbd221c796daa97f00c4898c3cd1716863abac60f6cd1a522e"),
    "white wine": ("winequality-white.csv", "659d419fff887f225bf977d20520bb64a64cae203e460087f809721d4430ba27"),
}
BUNDLED = {
    "breast cancer": "load_breast_cancer",
    "wine": "load_wine",
    "diabetes": "load_diabetes",
    "digits": "load_digits",
}
RECALLED = {"banknote": 0.446, "breast cancer": 0.280, "red wine": 0.643, "white wine": 0.735}
"""Mean-squared errors of the MIWAE paper's table, from memory: not confirmed."""
SPLITS = {"smoke": 1, "trial": 1, "short": 5, "full": 5}
SPLITS_ABOVE = {"smoke": 1, "trial": 1, "short": 1, "full": 5}
"""Above the mean the same values are hidden in each: they differ in what methods draw."""
STEPS = {"smoke": 100, "trial": 4000, "short": 4000, "full": 20_000}
OF_LARGE = 3  # times as many for tables on which nothing is held out, with K = 5
AT_RANDOM = ("mean", "IterativeImputer", "KNNImputer", "IterativeImputer, forest", "iwax")
NEARLY = 0.99  # of a column are one value: left out
SMALL = 1000  # rows, below which `Imputer` holds out a part to know when to stop
COLUMNS = [
    *("method", "splits", "RMSE", "s.e. over splits"),
    *("more than iwax", "s.e. of the difference"),  # of splits that both have
    *("mean-squared error", "coverage of 90 %", "CPU seconds"),
]
OF_THEMSELVES = ("mean", "IterativeImputer", "iwax", "iwax, self-masking", "iwax, self-masking above")


def complete_table(name: str) -> np.ndarray:
    """A table without holes, (rows, columns), its columns standardised; those that are constant or nearly so left out.

    A column of which 99 % are one value, as pixels at the edges of digits are, may be constant in what is not hidden.

    Raises:
        IwaxError: a file that is not there, or not the one it should be.
    """
    if name in FILES:
        file, sha256 = FILES[name]
        path = Path(os.environ.get("IWAX_DATA") or ".") / "tables" / file
        if not path.is_file():
            raise IwaxError(f"Expected {file} of the UCI repository in FOLDER/tables, IWAX_DATA=FOLDER; got {path}.")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise IwaxError(f"Expected {path} to have SHA-256 {sha256}; it has another. Fetch it again.")
        table = np.loadtxt(content.decode().splitlines(), delimiter=",")[:, :-1]
    else:
        import sklearn.datasets

        table = getattr(sklearn.datasets, BUNDLED[name])().data.astype(np.float64)
    most = [np.unique(column, return_counts=True)[1].max() for column in table.T]
    table = table[:, np.array(most) < NEARLY * len(table)]
    return (table - table.mean(axis=0)) / table.std(axis=0)


def at_random(scale: str, seed: int, folder: Path, *, name: str) -> dict[str, Any]:
    """Half of the values hidden completely at random: columns, rows and finding of a demonstration."""
    return _compare(scale, seed, folder, name, AT_RANDOM, "at random")


def of_themselves(scale: str, seed: int, folder: Path, *, name: str) -> dict[str, Any]:
    """Values above the mean hidden in the first half of the columns: the same."""
    return _compare(scale, seed, folder, name, OF_THEMSELVES, "above the mean")


def _compare(scale: str, seed: int, folder: Path, name: str, methods: tuple[str, ...], hidden: str) -> dict[str, Any]:
    splits = range(seed, seed + (SPLITS if hidden == "at random" else SPLITS_ABOVE)[scale])
    points = [_point(name, hidden, method, split, STEPS[scale]) for split in splits for method in methods]
    records = measure_points(folder, points, measure)
    others = () if hidden != "at random" else tuple(OTHERS)
    further = [_point(name, hidden, method, split, 0) for split in splits for method in others]
    records += measure_points(folder, known_or_wanted(folder, further), measure)
    of_method = {m: [r for r in records if r["point"]["method"] == m] for m in (*methods, *others)}
    rows = [_row(method, found, of_method["iwax"]) for method, found in of_method.items() if found]
    if hidden == "at random" and name in RECALLED:
        rows.append(["MIWAE, its paper (recalled, not confirmed)", *[None] * 5, RECALLED[name], None, None])
    return {"columns": COLUMNS, "rows": rows, "finding": _finding(rows)}


def _point(table: str, hidden: str, method: str, split: int, steps: int) -> Point:
    """All that decides a measurement; of iwax also what `Settings` makes of a table of that size."""
    point = {"table": table, "hidden": hidden, "method": method, "split": split, "steps": steps}
    if method.startswith("iwax"):
        point["train_samples"] = 20 if "masking" in method else 5
        rows, columns = complete_table(table).shape
        if rows < SMALL:
            point |= {"validation": 0.1, "then": "all rows, annealed"}
        elif "masking" not in method:
            point["steps"] = OF_LARGE * steps
        if rows < max(SMALL, 100 * columns):
            point["constant_spreads"] = True
    return point


def _row(method: str, records: list[dict[str, Any]], own: list[dict[str, Any]]) -> list[Any]:
    """Of one method over its splits, as `COLUMNS` has it; `own` are the records of iwax."""
    errors = np.array([record["rmse"] for record in records])
    ours = {record["point"]["split"]: record["rmse"] for record in own}
    more = np.array([r["rmse"] - ours[r["point"]["split"]] for r in records if r["point"]["split"] in ours])
    is_compared = method != "iwax" and len(more)
    difference = [float(more.mean()), _se(more)] if is_compared else [None, None]
    coverage = [record["coverage"] for record in records]
    covered = None if coverage[0] is None else float(np.mean(coverage))
    seconds = float(np.mean([record["cpu_seconds"] for record in records]))
    mean, mse = float(errors.mean()), float(np.mean(errors**2))
    return [method, len(errors), mean, _se(errors), *difference, mse, covered, seconds]


def _se(values: np.ndarray) -> float | None:
    """Standard error of the mean of independent values, None of a single one."""
    return standard_error(values) if len(values) > 1 else None


def _finding(rows: list[list[Any]]) -> str:
    """The error of iwax, and of the others the one that is lowest beside it on the same splits."""
    named = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    own = next(row for row in named if row["method"] == "iwax")
    best = min((row for row in named if row["more than iwax"] is not None), key=lambda row: row["more than iwax"])
    more, by = best["more than iwax"], _with(abs(best["more than iwax"]), best["s.e. of the difference"])
    error = _with(own["RMSE"], own["s.e. over splits"])
    return (
        f"The error of iwax is {error} over {own['splits']} split(s); of the others {best['method']} has the least, "
        f"{by} {'less' if more < 0 else 'more'} over {best['splits']}."
    )


def _with(value: float, se: float | None) -> str:
    return f"{value:.3f}" if se is None else f"{value:.3f} ± {se:.3f}"


def measure(point: Point) -> dict[str, Any]:
    """The error of one method on one split."""
    table = complete_table(point["table"])
    hidden = _hidden(table, point["hidden"], point["split"])
    holed = np.where(hidden, np.nan, table)
    begin = time.process_time()
    done = METHODS[point["method"]](holed, point)
    seconds = time.process_time() - begin if done.cpu_seconds is None else done.cpu_seconds
    squares = (done.table - table)[hidden] ** 2
    covered = None
    if done.ends is not None:
        covered = float(np.mean(((done.ends[0] <= table) & (table <= done.ends[1]))[hidden]))
    return {"rmse": float(np.sqrt(squares.mean())), "coverage": covered, "cpu_seconds": round(seconds, 1)}


def _hidden(table: np.ndarray, how: str, split: int) -> np.ndarray:
    """Which values are hidden, (rows, columns); no row or column wholly."""
    rng = np.random.default_rng(split)
    if how == "above the mean":
        hidden = np.zeros(table.shape, bool)
        half = table.shape[1] // 2
        hidden[:, :half] = table[:, :half] > 0
        return hidden
    hidden = rng.random(table.shape) < 0.5
    whole = np.flatnonzero(hidden.all(axis=1))
    hidden[whole, rng.integers(table.shape[1], size=len(whole))] = False
    return hidden


def _mean(table: np.ndarray, point: Point) -> Completed:
    return Completed(np.where(np.isnan(table), np.nanmean(table, axis=0), table))


def _neighbours(table: np.ndarray, point: Point) -> Completed:
    from sklearn.impute import KNNImputer

    return Completed(KNNImputer(n_neighbors=10, weights="distance").fit_transform(table))


def _iterative(table: np.ndarray, point: Point, *, forest: bool = False) -> Completed:
    import warnings

    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    seed = point["split"]
    estimator = ExtraTreesRegressor(20, min_samples_leaf=3, random_state=seed) if forest else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged: it is what it is after so many rounds
        imputer = IterativeImputer(estimator, max_iter=5 if forest else 20, random_state=seed)
        return Completed(imputer.fit_transform(table))


def _iwax(table: np.ndarray, point: Point, *, missingness: str = "ignorable") -> Completed:
    from iwax.impute import Imputer

    steps = max(1, len(table) // 64)
    imputer = Imputer(
        kinds="continuous",
        missingness=missingness,
        epochs=-(-point["steps"] // steps),
        train_samples=point["train_samples"],
        validation=point.get("validation", 0.0),
        constant_spreads=point.get("constant_spreads", False),
        num_samples=64 if point["steps"] < 1000 else 500,
        random_state=point["split"],
    ).fit(table)
    found = imputer.impute(table)
    low, high = (np.stack(side, axis=1) for side in (found.lower, found.upper))
    return Completed(np.stack(found.completed, axis=1), (low, high))


METHODS: dict[str, Callable[[np.ndarray, Point], Completed]] = {
    "mean": _mean,
    "IterativeImputer": _iterative,
    "KNNImputer": _neighbours,
    "IterativeImputer, forest": functools.partial(_iterative, forest=True),
    "iwax": _iwax,
    "iwax, self-masking": functools.partial(_iwax, missingness="self-masking"),
    "iwax, self-masking above": functools.partial(_iwax, missingness="self-masking-above"),
    **OTHERS,
}
