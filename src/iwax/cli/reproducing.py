"""`iwax reproduce`."""

import dataclasses
import sys
from pathlib import Path
from typing import Any, get_type_hints

import click

from iwax.cli.executing import check_no_executor, executor_of, executor_options, failed_lines, watched
from iwax.cli.options import data_dir_option, json_option
from iwax.console import ProgressBar, notices, print_table
from iwax.files import dumps

__all__ = ["reproduce"]


@click.command()
@click.argument("study", required=False)
@click.option("--scale", default="smoke", show_default=True, help="smoke (seconds), trial, short (two cores) or full.")
@click.option("--seeds", type=int, help="Seeds of every cell; as the scale has it if left out.")
@click.option("--only", multiple=True, metavar="TEXT", help="The run of this name, or those whose names contain it.")
@click.option("--set", "fields", multiple=True, metavar="NAME=VALUE", help="A field of the recipe, as of iwax train.")
@click.option(
    "--resume/--restart", " /--anew", default=True, help="Go on with interrupted runs (default), or start them again."
)
@click.option("--force", is_flag=True, help="Go on with them under another version of the code, too.")
@click.option("--results", type=click.Path(path_type=Path), default="results", show_default=True, help="The records.")
@click.option("--runs", type=click.Path(path_type=Path), default="runs/reproduce", show_default=True, help="The runs.")
@click.option("--run-limit", type=float, metavar="MINUTES", help="Judge a run as it is after this time; short: 140.")
@click.option("--time-limit", type=float, metavar="MINUTES", help="Stop everything, at a checkpoint, after this time.")
@click.option("--num-samples", type=int, help="k of the evaluation; smoke: 128, trial: 512, else 5000.")
@click.option("--list", "listing", is_flag=True, help="List the studies, or the runs of STUDY, done and open.")
@click.option("--verify", is_flag=False, flag_value="random", metavar="[ID]", help="Make a record again and compare.")
@click.option("--max-minutes", type=float, default=30.0, show_default=True, help="Of training, for --verify.")
@click.option("--export", "exported", metavar="NAME", help="Add the run named by --only to the trained models of iwax.")
@executor_options(None)
@data_dir_option
@json_option
def reproduce(
    study: str | None, listing: bool, verify: str | None, exported: str | None, as_json: bool, **options: Any
) -> None:
    """Reproduce a published study: train and judge its runs, and record them in results/.

    Finished runs are never repeated, interrupted ones go on, and failed ones are listed and stop no other.
    """
    from iwax.checks import check_choice
    from iwax.experiments import STUDIES

    if study is not None:
        check_choice("STUDY", study, STUDIES)
    alone = {"--verify": verify is not None, "--list": listing, "--export": exported is not None}
    if options["executor"] is None:
        check_no_executor()
    elif asked := [flag for flag, is_asked in alone.items() if is_asked]:
        raise click.UsageError(f"Expected {asked[0]} or --executor; got both.")
    if verify is not None:
        _verify(verify, as_json, options)
    elif listing:
        _list(STUDIES if study is None else {study: STUDIES[study]}, study is not None, as_json, options)
    elif study is None:
        raise click.UsageError(f"Expected STUDY to be one of {', '.join(STUDIES)}; got none. --list tells of them.")
    elif exported is not None:
        _export(STUDIES[study], exported, options)
    elif options["executor"] is not None:
        _reproduce_elsewhere(STUDIES[study], as_json, options)
    else:
        _reproduce(STUDIES[study], as_json, options)


def _plan(study: Any, options: dict[str, Any]) -> list[Any]:
    """The runs of a study, as asked for."""
    from iwax.experiments import plan

    return plan(study, options["scale"], options["seeds"], _fields(options["fields"]))


def _how(options: dict[str, Any], command: str) -> Any:
    from iwax.experiments import Reproduction

    run_limit, time_limit = options["run_limit"], options["time_limit"]
    return Reproduction(
        **{name: options[name] for name in ("scale", "runs", "results", "num_samples", "force", "data_dir")},
        run_limit=None if run_limit is None else 60 * run_limit,
        time_limit=None if time_limit is None else 60 * time_limit,
        recompute=not options["resume"],
        command=command,
        progress=lambda task: ProgressBar(f"  {task:10s}"),
        log=_notice,
    )


def _notice(message: str) -> None:
    notices.print(message, markup=False)


def _command(study: Any, options: dict[str, Any]) -> str:
    """What a reader types to get the same."""
    words = ["iwax", "reproduce", study.name, "--scale", options["scale"]]
    words += [word for field in options["fields"] for word in ("--set", field)]
    for name in ("seeds", "num_samples"):
        words += [] if options[name] is None else [f"--{name.replace('_', '-')}", str(options[name])]
    return " ".join(words)


def _reproduce(study: Any, as_json: bool, options: dict[str, Any]) -> None:
    from iwax.experiments import reproduce as run

    how = _how(options, _command(study, options))
    reports = run(study, _plan(study, options), how, options["only"])
    if not reports:
        raise click.UsageError(f"Expected --only to name runs of {study.name}; got {options['only']}. See --list.")
    counts = {state: sum(report.state == state for report in reports) for state in ("made", "found", "busy", "open")}
    failed = [report for report in reports if report.state == "failed"]
    if as_json:
        click.echo(dumps([vars(report) for report in reports], indent=2))
    else:
        shown = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        click.echo(f"{study.name} at scale {options['scale']}: {shown or 'nothing made'}, {len(failed)} failed")
        for report in failed:
            click.echo(f"  {report.name}\n    {report.note}")
        if counts["made"] or counts["found"]:
            click.echo(f"Its tables and figures: iwax report --results {options['results']}")
    if failed:
        sys.exit(1)


def _reproduce_elsewhere(study: Any, as_json: bool, options: dict[str, Any]) -> None:
    """By an executor, each run in a process of its own."""
    from iwax.experiments import reproduce_by_executor

    if options["time_limit"] is not None or not options["resume"]:
        raise click.UsageError("Expected --time-limit and --restart without --executor; got them together.")
    executor = executor_of(options["runs"] / "sweep", options)
    bar, log = watched("runs")
    with bar as on_progress:
        outcome = reproduce_by_executor(
            study,
            executor,
            **{name: options[name] for name in ("scale", "seeds", "runs", "results", "num_samples", "only")},
            fields=_fields(options["fields"]),
            arguments=_passed_on(options),
            max_failures=options["max_failures"],
            log=log,
            on_progress=on_progress,
        )
    if as_json:
        click.echo(dumps(dataclasses.asdict(outcome), indent=2))
    else:
        made, found = len(outcome.done) - len(outcome.found), len(outcome.found)
        click.echo(
            f"{study.name} at scale {options['scale']}: {made} made, {found} found, {len(outcome.failed)} failed"
        )
        for line in failed_lines(outcome):
            click.echo(line)
        if outcome.done:
            click.echo(f"Its tables and figures: iwax report --results {options['results']}")
    if outcome.failed or outcome.left:
        sys.exit(1)


def _passed_on(options: dict[str, Any]) -> list[str]:
    """The arguments that each task of an executor has of its own."""
    words = ["--scale", options["scale"], *(word for field in options["fields"] for word in ("--set", field))]
    for name in ("seeds", "num_samples", "run_limit"):
        words += [] if options[name] is None else [f"--{name.replace('_', '-')}", str(options[name])]
    for name in ("results", "runs", "data_dir"):
        words += [] if options[name] is None else [f"--{name.replace('_', '-')}", str(Path(options[name]).absolute())]
    return words + (["--force"] if options["force"] else [])


def _list(studies: Any, in_full: bool, as_json: bool, options: dict[str, Any]) -> None:
    from iwax.experiments import demonstration_rows, run_rows, study_rows

    if in_full:
        (study,) = studies.values()
        how = _how(options, "")
        rows = run_rows(_plan(study, options), how) + demonstration_rows(study, how)
        title = f"{study.name} at scale {options['scale']}: {study.title}"
    else:
        rows = study_rows(studies.values(), options["results"], _notice)
        title = "studies, and how many of their cells have records"
    if as_json:
        click.echo(dumps(rows, indent=2))
    else:
        print_table(title, list(rows[0]), [[str(value) for value in row.values()] for row in rows])


def _verify(id: str, as_json: bool, options: dict[str, Any]) -> None:
    from iwax.experiments import verify

    with ProgressBar("verifying") as on_progress:
        result = verify(
            options["results"],
            None if id == "random" else id,
            runs=options["runs"],
            seconds=60 * options["max_minutes"],
            data_dir=options["data_dir"],
            on_progress=on_progress,
        )
    if as_json:
        click.echo(dumps(result, indent=2))
    else:
        click.echo("\n".join(f"{name}: {value}" for name, value in result.items()))
    if result["verdict"] == "differs":
        sys.exit(1)


def _export(study: Any, name: str, options: dict[str, Any]) -> None:
    from iwax.experiments import SCALES, chosen, run_name
    from iwax.judging import evaluate_run
    from iwax.zoo import export

    names = [run_name(config) for config in _plan(study, options)]
    left = [name for name in names if all(name in chosen(names, [text]) for text in options["only"])]
    if len(left) != 1:
        raise click.UsageError(f"Expected --only to name one run of {study.name}; got {len(left)}: {left[:5]}.")
    path, scale = options["runs"] / left[0], SCALES[options["scale"]]
    num_samples = options["num_samples"] or scale.num_samples
    common = {"data_dir": options["data_dir"]}
    with ProgressBar("evaluating") as on_progress:  # nothing to do, unless it was last judged otherwise
        evaluate_run(path, num_samples=num_samples, num_images=scale.num_images, on_progress=on_progress, **common)
    click.echo(export(name, path, **common))


def _fields(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Fields of a configuration from NAME=VALUE, each of its own type."""
    from iwax.checks import check_choice
    from iwax.runs import FIELDS_BY_OPTION, RunConfig

    hints, values = get_type_hints(RunConfig), {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise click.UsageError(f"Expected --set NAME=VALUE; got {pair!r}.")
        name = FIELDS_BY_OPTION.get(name, name.replace("-", "_"))
        check_choice("--set", name, hints)
        kinds = getattr(hints[name], "__args__", (hints[name],))
        kind = next(kind for kind in kinds if kind is not type(None))
        values[name] = click.types.convert_type(kind).convert(text, None, None)
    return values
