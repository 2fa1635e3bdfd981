"""`iwax compare` and `iwax table`: models beside each other."""

from pathlib import Path
from typing import Any

import click

from iwax.cli.options import data_dir_option, json_option
from iwax.console import notices, number, print_table
from iwax.files import dumps

__all__ = ["compare"]

COLUMNS = ["model", "log p", "less the first", "± over examples", "± Monte Carlo", "95 %, t", "95 %, bootstrap"]
COLUMNS += ["better", "worse", "undecided", "k-hat > 0.7"]


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="A B [C ...]")
@click.option("--num-samples", type=int, help="k where a model is judged anew; that of the others, or 5000.")
@click.option("--test-images", type=int, help="The first this many test images, where a model is judged anew.")
@click.option("--seed", type=int, help="Seed of binarisation and samples, where a model is judged anew; 0 if left out.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="build/compare",
    show_default=True,
    help="Folder of the pictures, one example's log p against the other's.",
)
@data_dir_option
@json_option
def compare(models: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Compare models on the same test examples: the difference of log p, paired by example, with its errors.

    Each is a run's folder, a trained model that comes with iwax, an evaluation.npz, or a .npy file of log-weights
    (samples, examples). Those judged already are taken as they are; refused where they were judged on other examples.
    """
    from iwax.judging import compare as compare_models

    found = compare_models(models, log=_notice, **options)
    if as_json:
        click.echo(dumps(found.summary(), indent=2))
    else:
        count = len(found.evaluations[0].log_likelihood)
        print_table(f"{count} examples, paired (nats)", COLUMNS, _rows(found.summary()["models"]))
    messages = dict.fromkeys(note for one in found.comparisons for note in one.notes)
    for message in (*messages, *found.notes, *_advice(found)):
        notices.print(message, style="bold yellow", markup=False)
    for picture in found.pictures:
        notices.print(f"picture: {picture}", markup=False)


def _rows(models: list[dict[str, Any]]) -> list[list[str]]:
    rows = []
    for model in models:
        row = [model["name"], number(model["log_p"])]
        if less := model.get("less_first"):
            numbers = [number(less["difference"], "+.3f"), number(less["error"]), number(less["difference_mc_error"])]
            intervals = [
                " to ".join(number(end, "+.3f") for end in less[name]) for name in ("t_interval", "bootstrap_interval")
            ]
            counts = [str(less[name]) for name in ("prefer_first", "prefer_second", "undecided")]
            row += [*numbers, *intervals, *counts]
        else:
            row += [""] * 8
        share = model["khat_above_0.7"]
        rows.append([*row, "unknown" if share is None else f"{share:.1%}"])
    return rows


def _advice(found: Any) -> list[str]:
    """What a difference within the bias of its parts is worth."""
    doubtful = [
        name
        for name, one in zip(found.names, found.evaluations, strict=True)
        if one.khat_above_limit > 0.05  # of the examples
    ]
    if not doubtful:
        return []
    return [
        f"k-hat is above 0.7 for more than one in twenty examples of {', '.join(doubtful)}: its log p lies below the "
        "truth by an unknown amount, which no error here holds. Draw more samples, or check by iwax anneal."
    ]


def _notice(message: str) -> None:
    notices.print(message, markup=False)
