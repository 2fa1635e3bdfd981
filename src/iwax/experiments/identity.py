"""What a run of a study is called by: the name of its folder, with the ID of all that was asked for."""

from iwax.objectives import OBJECTIVES, options
from iwax.runs import RunConfig, explicit_fields, identifier, non_default_fields, resolve

__all__ = ["explicit_fields", "identifier", "non_default_fields", "run_name"]

FORMERLY_NAMED = {"num_groups", "num_samples", "beta", "beta_rule", "sampling", "gradient", "backward", "num_resampled"}
"""Options that a run's name has, or leaves to the ID, in a way of their own: folders made before are found by it."""


def run_name(config: RunConfig) -> str:
    """The name of a run's folder: what a reader wants to know of it, and the ID of all that was asked for."""
    whole = resolve(config).config
    sizes = [str(getattr(whole, name)) for name in ("num_groups", "num_samples", "beta") if getattr(whole, name)]
    words = [config.objective, *sizes, *_own_words(whole), config.model, config.dataset, f"seed{config.seed}"]
    return "-".join([*words, identifier(non_default_fields(config), {})])


def _own_words(whole: RunConfig) -> list[str]:
    """Options of the objective alone that are not at their defaults; but beta's, by which folders are found already."""
    own = [option for option in options(OBJECTIVES[whole.objective]).values() if option.name not in FORMERLY_NAMED]
    given = [(option, getattr(whole, option.name)) for option in own]
    return [f"{option.name.replace('_', '-')}{value}" for option, value in given if value != option.default]
