"""Help that groups the options of a command under headings."""

from collections.abc import Mapping

import click

from iwax.runs import OBJECTIVE_FIELDS

__all__ = ["GROUPS", "Grouped"]

GROUPS: Mapping[str, tuple[str, ...]] = {
    "Objective": ("objective", *OBJECTIVE_FIELDS, "update"),
    "Model": ("model", "likelihood", "init", "output_bias", "scale_map", "init_from"),
    "Data": ("dataset", "data_dir", "split", "columns", "grey", "background", "binarize", "train_images", "held_out"),
    "Recipe": (
        *("protocol", "epochs", "batch_size", "learning_rate", "stages", "schedule_scale", "decay", "warm_up"),
        *("early_samples", "early_part", "kl_warmup", "algorithm", "clip", "parts", "gradient_scale", "beta1", "beta2"),
        *("epsilon", "epsilon_hat", "second_moment", "previous_moments", "shuffle", "precision", "devices"),
    ),
    "Judging along the way": ("validation", "eval_every", "eval_images", "eval_samples", "keep", "patience"),
}
"""Heading -> the parameters under it; what stands in none comes first, under "Options"."""


class Grouped(click.Command):
    """A command whose help shows its options in groups, as click shows one."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the options, those of no group first."""
        rows: dict[str, list[tuple[str, str]]] = {"Options": [], **{heading: [] for heading in GROUPS}}
        heading_of = {name: heading for heading, names in GROUPS.items() for name in names}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                rows[heading_of.get(str(parameter.name), "Options")].append(record)
        for heading, records in rows.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)
