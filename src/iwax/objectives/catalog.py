"""The table of objectives, read off their code: what `iwax objectives` prints and docs/gradients.md shows."""

import dataclasses
import inspect
import re

from iwax.objectives.objective import AbstractObjective

__all__ = ["ObjectiveInfo", "describe"]


@dataclasses.dataclass(frozen=True)
class ObjectiveInfo:
    """One objective, in words."""

    name: str
    """Its name on the command line."""
    class_name: str
    bound: str
    """What it is and its formula, in one line."""
    gradients: tuple[str, ...]
    """The gradient estimators that it takes, the default first."""
    targets: dict[str, str]
    """For each of them, whether it is unbiased and for what, at the default arguments."""
    options: dict[str, str]
    """Keyword arguments of the constructor and their defaults."""
    learned: dict[str, str]
    """Values of beta_rule under which beta is learned, and what becomes of it."""
    reference: str


def describe() -> list[ObjectiveInfo]:
    """One entry for each row of `OBJECTIVES`, in its order.

    >>> describe()[0].name
    'elbo'
    """
    from iwax.objectives import OBJECTIVES  # not at the head: the package imports this module

    return [_describe(name, objective) for name, objective in OBJECTIVES.items()]


def _describe(name: str, objective: type[AbstractObjective]) -> ObjectiveInfo:
    text = inspect.cleandoc(objective.__doc__ or "")
    options = {key: repr(p.default) for key, p in inspect.signature(objective).parameters.items()}
    default = objective().gradient  # type: ignore[call-arg]
    gradients = (default, *(gradient for gradient in objective.gradients if gradient != default))
    return ObjectiveInfo(
        name=name,
        class_name=objective.__name__,
        bound=text.split("\n\n")[0].replace("\n", " "),
        gradients=gradients,
        targets={gradient: _target(objective, gradient) for gradient in gradients},
        options=options,
        learned={rule: _item(text, rule) for rule in getattr(objective, "beta_rules", ()) if rule != "fixed"},
        reference=_reference(text),
    )


def _target(objective: type[AbstractObjective], gradient: str) -> str:
    """ "unbiased for the bound", or what else it estimates, at the default arguments."""
    made = objective(gradient=gradient)  # type: ignore[call-arg]
    return f"unbiased for {made.target}" if made.is_unbiased else f"biased; {made.target}"


def _item(text: str, name: str) -> str:
    """What a docstring's list says of `name`, in one line and without its marks of emphasis."""
    found = re.search(rf'- "{name}": (.*?)(?:\n- |\n\n|\Z)', text, flags=re.DOTALL)
    return " ".join(found.group(1).replace("**", "").split()) if found else ""


def _reference(text: str) -> str:
    """What follows "Reference:" or "References:" in a docstring, in one line."""
    found = re.search(r"References?: (.*?)(?:\n\n|\Z)", text, flags=re.DOTALL)
    return " ".join(found.group(1).split()) if found else ""
