"""`iwax sweep`."""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from iwax.cli.executing import executor_of, executor_options, failed_lines, watched
from iwax.cli.options import config_options, data_dir_option, json_option
from iwax.cli.stores import PLACE, opened_place
from iwax.console import print_table
from iwax.files import dumps
from iwax.runs import RunConfig

__all__ = ["sweep"]

FIELDS = tuple(field.name for field in dataclasses.fields(RunConfig))
SAY_EVERY = 30.0  # seconds, in the log of a run


@click.command()
@click.argument("specification", metavar="[SPEC.toml]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=PLACE,
    metavar="DIR",
    help="Folder of the sweep; each run has one of its own in it. Or the URL of a store, such as s3://BUCKET/NAME.",
)
@click.option(
    "--grid", multiple=True, metavar="NAME=VALUE,...", help="Values of an option; every combination is a run."
)
@click.option("--seeds", type=click.IntRange(min=1), metavar="N", help="N seeds of each: --seed and those after it.")
@config_options
@executor_options("local")
@click.option("--retries", type=click.IntRange(min=0), default=3, show_default=True, help="After a run is killed.")
@click.option(
    "--lease-timeout",
    type=click.FloatRange(min=1),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="A machine not heard of for so long has lost its runs.",
)
@click.option("--force", is_flag=True, help="Go on with runs under another version of the code, too.")
@click.option(
    "--dry-run", is_flag=True, help="List the runs with their FLOP and time, by steps measured here; train none."
)
@click.option("--status", type=PLACE, metavar="DIR", help="What of the sweep in DIR, or at that URL, is done.")
@click.option("--run", "member", metavar="ID", help="Train this one run of --out, here: what executors start.")
@data_dir_option
@json_option
def sweep(status: Path | str | None, member: str | None, dry_run: bool, as_json: bool, **options: Any) -> None:
    """Train many runs, on this machine or many: what SPEC.toml and the options ask for, as far as it is not done.

    The same command goes on with what was stopped, does again nothing that is done, and may be given on several
    machines at once.
    """
    if status is not None:
        _status(opened_place(status)[0], options["lease_timeout"], as_json)
        return
    if options["out"] is None:
        raise click.UsageError("Expected --out DIR, or --status DIR; got neither.")
    options["out"], options["store"] = opened_place(options["out"])
    if member is not None:
        _train(options["out"], member, options)
        return
    runs, rate = _planned(options, dry_run)
    if dry_run:
        _list(runs, rate, options, as_json)
    else:
        _sweep(runs, options, as_json)


def _planned(options: dict[str, Any], cost: bool) -> Any:
    """The runs that a command asks for: the options over those of the file, as far as both name one."""
    from iwax.sweeps import Specification, plan, read_grid, read_specification

    file = options["specification"]
    given = {name: options[name] for name in FIELDS if options[name] is not None}
    own = Specification() if file is None else read_specification(file)
    grid = dict(own.grid) | read_grid(options["grid"])
    if twice := sorted(set(given) & set(grid)):
        raise click.UsageError(f"Expected {twice[0]} as an option or in the grid; got both.")
    if options["seeds"] is not None:
        grid.pop("seed", None)
    seeds = own.seeds if options["seeds"] is None else options["seeds"]
    whole = Specification(base=dict(own.base) | given, grid=grid, cases=own.cases, seeds=seeds)
    return plan(whole.runs(), cost=cost, cores=options["cores"], data_dir=options["data_dir"])


def _sweep(runs: Any, options: dict[str, Any], as_json: bool) -> None:
    from iwax.sweeps import MIRROR, run_sweep

    store = options["store"]
    if options["executor"] == "local":
        _check_data(runs, options)
    executor = executor_of(options["out"] / "sweep", options)
    bar, log = watched("sweep")
    with _put(runs, options["out"], store), bar as on_progress:
        outcome = run_sweep(
            runs,
            options["out"],
            executor,
            **{name: options[name] for name in ("data_dir", "force", "retries", "max_failures")},
            timeout=options["lease_timeout"],
            environment={} if store is None else {MIRROR: store.url},
            log=log,
            on_progress=on_progress,
        )
    if as_json:
        click.echo(dumps(dataclasses.asdict(outcome), indent=2))
    else:
        made, found = len(outcome.done) - len(outcome.found), len(outcome.found)
        click.echo(f"{options['out']}: {made} done, {found} found done, {len(outcome.failed)} failed")
        for line in failed_lines(outcome):
            click.echo(line)
    if outcome.failed or outcome.left:
        sys.exit(1)


def _check_data(runs: Any, options: dict[str, Any]) -> None:
    """Raises ValueError for data of this machine that are not there, before all runs fail by them one by one."""
    from iwax.data import check_there
    from iwax.sweeps import SweepFolder

    folder, default = SweepFolder(options["out"]), RunConfig().dataset
    for dataset in dict.fromkeys(run.options.get("dataset", default) for run in runs if not folder.is_done(run.id)):
        check_there(dataset, options["data_dir"])


@contextlib.contextmanager
def _put(runs: Any, out: Path, store: Any) -> Iterator[None]:
    """Put what is asked for into a store at once, as others may go on with it; at the end logs and failures, too."""
    from iwax.sweeps import SweepFolder

    if store is None:
        yield
        return
    SweepFolder(out).add(runs)
    store.push_sweep()
    try:
        yield
    finally:
        store.push_sweep()


def _list(runs: Any, rate: Any, options: dict[str, Any], as_json: bool) -> None:
    """What would be trained, and what it costs."""
    from iwax.sweeps import SweepFolder, differing

    folder = SweepFolder(options["out"], options["lease_timeout"])
    states = {run.id: folder.state(run.id)[0] for run in runs}
    if as_json:
        rows = [{**dataclasses.asdict(run), "state": states[run.id]} for run in runs]
        click.echo(dumps({"runs": rows, "rate": dataclasses.asdict(rate)}, indent=2))
        return
    words = differing({run.id: run.options for run in runs})
    cells = [
        [run.id, words[run.id], states[run.id], f"{run.steps:,}", f"{run.flop:.2e}", _duration(run.seconds)]
        for run in runs
    ]
    print_table(f"{options['out']}: {len(runs)} runs", ["run", "options", "state", "steps", "FLOP", "time"], cells)
    left = [run for run in runs if states[run.id] != "done"]
    flop, seconds = sum(run.flop for run in left), sum(run.seconds for run in left)
    click.echo(f"{len(left)} to train: {flop:.2e} FLOP, {_duration(seconds)} of one process after another")
    measured = " and ".join(f"{1e3 * each:.2f} ms a step of {id}" for id, _, each in rate.points)
    click.echo(
        f"Measured now on {rate.device}, beside what else ran: {measured}, and {rate.startup:.0f} s to start a run; "
        "the time of the others is in between, by their FLOP."
    )


def _status(path: Path, timeout: float, as_json: bool) -> None:
    from iwax.sweeps import SweepFolder, sweep_rows

    rows, counts = sweep_rows(SweepFolder(path, timeout))
    if as_json:
        click.echo(dumps(rows, indent=2))
        return
    failed = {row["run"]: row["note"] for row in rows if row["state"] == "failed"}  # in lines, as they are long
    if rows:
        shown = [row | {"note": ""} if row["run"] in failed else row for row in rows]
        cells = [["" if value is None else str(value) for value in row.values()] for row in shown]
        print_table(f"{path}", list(rows[0]), cells)
    click.echo(f"{len(rows)} runs: " + ", ".join(f"{count} {state}" for state, count in sorted(counts.items())))
    for id, note in failed.items():
        click.echo(f"  {id}: {note}")


def _train(out: Path, member: str, options: dict[str, Any]) -> None:
    """What executors start; what it says goes into the run's log."""
    from iwax.runs import BusyError
    from iwax.sweeps import BUSY, MIRROR, Mirror, train_member, train_mirrored

    common: dict[str, Any] = {"data_dir": options["data_dir"], "force": options["force"], "on_progress": _Spoken()}
    store = Mirror(os.environ[MIRROR], out) if MIRROR in os.environ else options["store"]
    try:
        if store is None:
            run = train_member(out, member, **common)
        else:
            run = train_mirrored(store, member, log=click.echo, **common)
    except BusyError as error:
        click.echo(f"iwax: {error}", err=True)
        sys.exit(BUSY)
    click.echo(f"{run.path}: {run.json('status.json')['state']} (process {os.getpid()})")


class _Spoken:
    """Progress as lines of a log, one now and then."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, progress: Any) -> None:
        seconds = progress.numbers["seconds"]
        if seconds >= self._next:
            click.echo(progress.note)
            self._next = seconds + SAY_EVERY


def _duration(seconds: float) -> str:
    """A time to be read at a glance.

    >>> _duration(42), _duration(600), _duration(9000)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
