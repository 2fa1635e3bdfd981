"""`iwax evaluate`: a trained model judged on test images."""

from pathlib import Path
from typing import Any

import click

from iwax.cli.executing import EXECUTOR, check_no_executor, executor_options
from iwax.cli.options import checkpoint_option, data_dir_option, iwae_samples_option, json_option, num_images_option
from iwax.cli.parts import evaluate_by_executor
from iwax.cli.seeds import evaluate_seeds
from iwax.cli.sources import (
    keeping,
    kept_nowhere,
    opened,
    results_option,
    trust_code_option,
)
from iwax.cli.stores import JUDGED, brought
from iwax.console import ProgressBar, notices, number, print_table
from iwax.extras import beside_numbers
from iwax.files import dumps

__all__ = ["evaluate", "evaluation_rows"]

OVER = "over examples"


@click.command()
@click.argument("runs", metavar="RUN...", type=JUDGED, nargs=-1, required=True)
@click.option(
    "--num-samples",
    type=int,
    default=5000,
    show_default=True,
    help="k: importance samples per image, in whole blocks of --iwae-samples (of 5000: 4992).",
)
@iwae_samples_option
@num_images_option("Use only the first this many test images; all if left out.")
@click.option(
    "--dataset",
    help="The test images of other data than the run's own, by name or path: RUN/evaluation-NAME.json has it.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of binarisation and samples.")
@click.option(
    "--rows", type=int, default=2048, show_default=True, help="Samples on the device at a time: speed and rounding."
)
@click.option("--recompute", "--anew", "recompute", is_flag=True, help="Compute again what is finished, too.")
@click.option("--time-limit", type=float, metavar="MINUTES", help="Stop after this time; the same command goes on.")
@click.option("--figures", is_flag=True, help="Draw k-hat, effective samples and active units into RUN/figures.")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="The whole judgement: inactive units, jackknives, a short annealing, SSIM, posteriors; with figures.",
)
@results_option
@checkpoint_option
@data_dir_option
@trust_code_option
@executor_options(None)
@click.option("--shards", type=click.IntRange(min=1), metavar="N", help="With --executor: parts of each run's images.")
@json_option
def evaluate(runs: tuple[Path | str, ...], as_json: bool, shards: int | None, **options: Any) -> None:
    """Judge a run on test images: log p with its errors, IWAE-K, -KL(Q||P), ELBO, k-hat and active units.

    RUN is a run's folder, or a folder of runs (of several seeds: each is judged, then the mean over them), a model that
    comes with iwax, a file of `iwax export`, hf:OWNER/NAME, or the URL of a sweep in a store, such as s3://BUCKET/NAME.
    Several are judged one after another.
    With --executor the images are shared out, and put together to the same bits.
    """
    if options["executor"] is not None:
        for name, flag in ALONE.items():
            if options[name]:
                raise click.UsageError(f"Expected {flag} or --executor; got both.")
        with brought(runs) as folders:
            evaluate_by_executor(folders, as_json, shards, options)
        return
    check_no_executor("shards")
    own = {name: value for name, value in options.items() if name not in (*EXECUTOR, "executor", "max_failures")}
    with brought(runs) as folders:
        for run in folders:
            _evaluate(run, as_json=as_json, **own)


ALONE = {
    **{"recompute": "--recompute", "time_limit": "--time-limit", "figures": "--figures", "everything": "--all"},
    **{"out": "--out", "trust_code": "--trust-code"},
}
"""Options of an evaluation by this process alone."""


def _evaluate(
    run: Path,
    *,
    checkpoint: str | None,
    time_limit: float | None,
    figures: bool,
    everything: bool,
    as_json: bool,
    out: Path | None,
    trust_code: bool,
    **options: Any,
) -> None:
    from iwax.evaluation import heading
    from iwax.judging import evaluate_run, holds_runs, judge_run, plot_evaluation

    if everything and options["dataset"] is not None:
        raise click.UsageError("Expected --all or --dataset; got both. The whole judgement is of the run's own data.")
    options["time_limit"] = None if time_limit is None else 60 * time_limit
    if holds_runs(run):
        if everything or figures or out is not None:
            raise click.UsageError(f"Expected one run for --all, --figures and --out; got {run}, which holds several.")
        evaluate_seeds(run, as_json, options | {"checkpoint": checkpoint})
        return
    loaded = opened(run, options["data_dir"], trust_code, out, checkpoint=checkpoint)
    if figures or everything:
        keeping(loaded, "what is drawn", out)
    with ProgressBar("evaluating") as on_progress:
        if everything:
            del options["dataset"]
        function = judge_run if everything else evaluate_run
        result = function(loaded, on_progress=on_progress, log=_notice, **options)
    if figures and not everything and result["state"] == "finished":
        with beside_numbers("figures/trust and figures/active-units"):
            plot_evaluation(loaded.folder.path)
    if as_json:
        click.echo(dumps(result, indent=2))
        return
    evaluation = result["evaluation"] if everything else result
    if evaluation["state"] == "stopped":
        click.echo(
            f"{run}: stopped after {evaluation['num_examples']} of {evaluation['total_examples']} test examples, "
            f"{evaluation['seconds']:.0f} s; the same command goes on."
        )
        return
    print_table(
        f"{run}: {heading([evaluation], 'test example')}",
        ["quantity", "value", "error"],
        evaluation_rows(evaluation),
    )
    if everything:
        print_table(f"{run}: diagnostics", ["quantity", "value", "error"], _judgement_rows(result))
    absent = [f"No {name}: {reason}" for name, reason in result.get("missing", {}).items()]
    if kept_nowhere(loaded):
        _notice("These results are not kept, as the model is no run with a folder; --out FOLDER keeps them.")
    for warning in filter(None, (*evaluation["notes"], *absent, evaluation["advice"])):
        notices.print(warning, style="bold yellow", markup=False)


def evaluation_rows(result: dict[str, Any]) -> list[list[str]]:
    """The table of an evaluation: every number beside its errors."""

    def nats(label: str, name: str, *errors: tuple[str, str]) -> list[list[str]]:
        notes = [f"{number(result[error])} {what}" for error, what in errors] or [""]
        return [[label if i == 0 else "", number(result[name]) if i == 0 else "", n] for i, n in enumerate(notes)]

    def spread(label: str, name: str, digits: int) -> list[list[str]]:
        if result[name] is None:
            return [[label, number(None), ""]]
        low, middle, high = (number(result[name][q], f".{digits}f") for q in ("0.05", "0.5", "0.95"))
        return [[label, middle, f"{low} to {high} in 90 % of examples"]]

    from iwax.evaluation import why_no_divergence

    no_divergence = why_no_divergence(result)
    bounds = [name for name in result if name.startswith("iwae_") and name != "iwae_samples"]
    khat = _khat(result, "0.5")
    rows = [
        *nats(
            "log p",
            "log_p",
            ("log_p_mc_error", f"Monte Carlo at k-hat {khat}"),
            ("log_p_bias", f"bias at k-hat {khat}"),
            ("log_p_test_error", OVER),
        ),
        *nats("  less its bias, jackknife", "log_p_jackknife", ("log_p_jackknife_error", f"at k-hat {khat}")),
        *_bits(result),
        *(row for name in bounds for row in nats(f"IWAE-{name[5:]}", name)),
        *(
            [["-KL(Q||P)", "none", no_divergence]]
            if no_divergence
            else nats("-KL(Q||P)", "neg_kl", ("neg_kl_test_error", OVER))
        ),
        *nats("ELBO", "elbo", ("elbo_mc_error", "Monte Carlo"), ("elbo_test_error", OVER)),
        *(nats("  E_q log p(x|z)", "reconstruction") + nats("  KL(q||p)", "kl") if "kl" in result else []),
        *spread("effective samples", "ess_quantiles", 1),
    ]
    rows.append(["Pareto k-hat", khat, f"{_khat(result, '0.05')} to {_khat(result, '0.95')} in 90 % of examples"])
    if result["khat_quantiles"] is not None:
        rows += [["", f"{result[f'khat_above_{limit}']:.1%}", f"of examples above {limit}"] for limit in ("0.5", "0.7")]
    if result["active_units"]:
        rows.append(["active units", " + ".join(map(str, result["active_units"])), "A_u above 0.01"])
    if result["test_hash"]:
        rows.append(["test set", result["test_hash"][:16], "SHA-256"])
    return rows


def _bits(result: dict[str, Any]) -> list[list[str]]:
    """log p in bits, where it is that of discrete values; why there are none, where it is not."""
    names = {"dimensions", "binarize", "bits_per_dimension", "bits_per_dimension_test_error"}
    if not names <= set(result):  # of files of log-weights, and evaluations of before
        return []
    if result["bits_per_dimension"] is None:
        return [["  bits per dimension", "none", "as p(x) is a density: log p changes with the units of x"]]
    error = f"{number(result['bits_per_dimension_test_error'], '.4f')} {OVER}"
    return [
        ["  bits per dimension", number(result["bits_per_dimension"], ".4f"), error],
        ["", "", f"of {result['dimensions']} discrete values, binarize {result['binarize']}"],
    ]


def _khat(result: dict[str, Any], quantile: str) -> str:
    """A quantile of k-hat; what could not be computed is beyond every number, as is None among the quantiles."""
    if result["khat_quantiles"] is None:
        return "unknown"
    value = result["khat_quantiles"][quantile]
    return "beyond any" if value is None else f"{value:.2f}"


def _judgement_rows(result: dict[str, Any]) -> list[list[str]]:
    """The table of the other parts of a judgement, as far as they are there."""
    rows = []
    if pruned := result.get("pruned"):
        over = f"over {pruned['num_examples']} examples"
        counts = ("active_units", "units", "active_units_single_sample", "active_units_by_divergence")
        used, there, single, by_kl = (" + ".join(map(str, pruned[name])) for name in counts)
        rows += [
            ["log p, inactive units from the prior", number(pruned["log_p_pruned"]), f"with {used} units of {there}"],
            [
                "  less log p of the same examples",
                number(pruned["difference"], "+.3f"),
                f"{number(pruned['difference_test_error'])} {over}",
            ],
            ["active units, single sample", single, "the IWAE paper's estimator"],
            ["units active by KL", by_kl, "E[log q - log p] above 0.01 nat"],
        ]
    if curves := result.get("estimators"):
        for name, found in curves["estimators"].items():
            bias, error, sd = (found[what][-1] for what in ("bias", "bias_error", "sd"))
            notes = [] if error is None else [f"{error:.3f} over {curves['num_examples']} examples"]
            notes += [] if sd is None else [f"sd {sd:.2f} each"]
            value = "" if bias is None else f"{bias:+.3f}"
            rows.append([f"{name}({curves['samples'][-1]}) less log p", value, ", ".join(notes)])
    if annealing := result.get("annealing"):
        over = f"over {annealing['num_examples']} examples"
        found, error = annealing["ais_minus_iwae"], annealing["ais_minus_iwae_test_error"]
        rows.append(["annealed bound less log p", number(found, "+.3f"), f"{number(error)} {over}"])
    if similarity := result.get("ssim"):
        found, error = (number(similarity[name], ".4f") for name in ("ssim", "ssim_test_error"))
        rows.append(["SSIM", found, f"{error} {OVER}"])
    return rows


def _notice(message: str) -> None:
    notices.print(message, markup=False)
