"""What a sweep is asked for: options, grids, single cases and seeds, from TOML or the command line. No JAX here."""

import dataclasses
import itertools
import math
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

from iwax.checks import MOST_SEEDS, check_positive_integer, nearest
from iwax.errors import IwaxError
from iwax.files import read_text
from iwax.runs import FIELDS_BY_OPTION, RunConfig

__all__ = ["Specification", "read_grid", "read_specification"]

TABLES = ("base", "grid", "case", "seeds")
MOST_RUNS = 100_000
HINTS = get_type_hints(RunConfig)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Specification:
    """The runs that are asked for: every combination of a grid, and single cases, over options that all share.

    Attributes:
        base: field of `iwax.runs.RunConfig` -> value, of every run.
        grid: field -> its values; every combination of them is a run.
        cases: fields and values of single runs; over the base, and without the grid but for its seeds.
        seeds: how many seeds each has, from that of the base (0 if left out); None: as the grid says, or one.
    """

    base: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    grid: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    cases: Sequence[Mapping[str, Any]] = ()
    seeds: int | None = None

    def runs(self) -> list[dict[str, Any]]:
        """The fields of each run, in the order of the grid, the last one turning fastest and seeds before all.

        Raises:
            ValueError: seeds that are given twice, or more runs than one sweep takes.

        >>> grid = {"objective": ["iwae", "elbo"], "num_samples": [1, 5]}
        >>> [tuple(run.values()) for run in Specification(grid=grid).runs()]
        [('iwae', 1), ('iwae', 5), ('elbo', 1), ('elbo', 5)]
        """
        self._check_count()
        if self.seeds is not None and "seed" in self.grid:
            raise IwaxError(f"Expected seeds or a grid of seed; got both, {self.seeds} and {self.grid['seed']}.")
        grid = {name: values for name, values in self.grid.items() if name != "seed"}
        combinations = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
        if self.cases and not grid:
            combinations = []  # else the base alone would be a run, too
        found = dict[Any, dict[str, Any]]()
        for seed in self._seeds():
            for own in [*combinations, *self.cases]:
                run = {**self.base, **({} if seed is None else {"seed": seed}), **own}
                found.setdefault(_hashable(run), run)
        return list(found.values())

    def _check_count(self) -> None:
        """Raises ValueError before a million runs are made of a few numbers."""
        if self.seeds is not None:
            check_positive_integer("seeds", self.seeds, most=MOST_SEEDS)
        grid = math.prod(len(values) for values in self.grid.values())
        count = (self.seeds or 1) * (grid + len(self.cases))
        if count > MOST_RUNS:
            raise IwaxError(f"Expected a sweep of at most {MOST_RUNS} runs; got {count}. Leave out values of its grid.")

    def _seeds(self) -> Sequence[int | None]:
        if "seed" in self.grid:
            return self.grid["seed"]
        first = self.base.get("seed", 0)
        return [None] if self.seeds is None else range(first, first + self.seeds)


def read_specification(path: str | Path) -> Specification:
    """A sweep from a TOML file: tables [base] and [grid], any number of [[case]], and `seeds = N` before them.

    Raises:
        ValueError: no TOML, a table or an option that does not exist, or a value of the wrong type; by name.
    """
    try:
        tables = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise IwaxError(f"Expected {path} to be TOML; got an error: {error}.") from error
    for name in tables:
        if name not in TABLES:
            raise IwaxError(
                f"Expected {path} to hold seeds, [base], [grid] and [[case]]; got {name!r}.{nearest(name, TABLES, '')}"
            )
    cases = tables.get("case", [])
    if not isinstance(cases, list):
        raise IwaxError(f"Expected single cases of {path} to begin with [[case]]; got [case].")
    return Specification(
        base=_fields(tables.get("base", {}), f"[base] of {path}"),
        grid=_grid(tables.get("grid", {}), path),
        cases=[_fields(case, f"[[case]] {number} of {path}") for number, case in enumerate(cases, 1)],
        seeds=tables.get("seeds"),
    )


def read_grid(pairs: Sequence[str]) -> dict[str, list[Any]]:
    """A grid from NAME=VALUE,VALUE,... as the command line has it; each value of the type of its option.

    Raises:
        ValueError: an option that does not exist, or a value that is none of its.

    >>> read_grid(["objective=iwae,elbo", "num-samples=1,5"])
    {'objective': ['iwae', 'elbo'], 'num_samples': [1, 5]}
    """
    grid = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not text:
            raise IwaxError(f"Expected --grid NAME=VALUE,VALUE,...; got {pair!r}.")
        field = _field(name, "--grid")
        if field in grid:
            raise IwaxError(f"Expected each option once in --grid; got {name} twice. Put all its values in one.")
        grid[field] = [_read(field, value, pair) for value in text.split(",")]
    return grid


def _grid(table: Any, path: str | Path) -> dict[str, list[Any]]:
    where = f"[grid] of {path}"
    grid = {}
    for name, values in _table(table, where).items():
        if not isinstance(values, list) or not values:
            raise IwaxError(f"Expected {name} in {where} to be a list of values; got {values!r}.")
        field = _field(name, where)
        grid[field] = [_value(field, value, where) for value in values]
    return grid


def _fields(table: Any, where: str) -> dict[str, Any]:
    fields = {_field(name, where): value for name, value in _table(table, where).items()}
    return {name: _value(name, value, where) for name, value in fields.items()}


def _table(table: Any, where: str) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise IwaxError(f"Expected {where} to be a table; got {table!r}.")
    return table


def _field(name: str, where: str) -> str:
    """The field of a run that an option names, with dashes or without."""
    field = FIELDS_BY_OPTION.get(name, name.lstrip("-").replace("-", "_"))
    if field not in HINTS:
        known = [*HINTS, *FIELDS_BY_OPTION]
        raise IwaxError(
            f"Expected the names in {where} to be options of iwax train; got {name!r}.{nearest(field, known, '')}"
        )
    return field


def _kinds(field: str) -> tuple[type, ...]:
    """The types of a field's values, without None."""
    kinds = getattr(HINTS[field], "__args__", (HINTS[field],))
    return tuple(kind for kind in kinds if kind is not type(None))


def _value(field: str, value: Any, where: str) -> Any:
    """A value of TOML as its field takes it; an integer will do for a number."""
    (kind,) = _kinds(field)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise IwaxError(f"Expected {field} in {where} to be {_words(kind)}; got {value!r}.")
    return value


def _read(field: str, text: str, pair: str) -> Any:
    """A value of the command line as its field takes it."""
    (kind,) = _kinds(field)
    try:
        return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError):
        raise IwaxError(f"Expected values of {field} in --grid {pair} to be {_words(kind)}; got {text!r}.") from None


def _words(kind: type) -> str:
    return {int: "an integer", float: "a number", bool: "true or false", str: "text"}[kind]


def _hashable(value: Any) -> Any:
    """The same for equal values, and to be had in a set."""
    if isinstance(value, Mapping):
        return frozenset((name, _hashable(inner)) for name, inner in value.items())
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value
