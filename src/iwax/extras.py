"""What `pip install iwax` leaves out: which extra brings a library, and the one line that says that it is absent."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from iwax.errors import MissingExtraError

__all__ = [
    "EXTRAS",
    "MissingPictureWarning",
    "beside_numbers",
    "check_installed",
    "is_installed",
    "missing",
]

EXTRAS = {
    "matplotlib": ("matplotlib", "report"),
    "PIL": ("pillow", "report"),
    "jinja2": ("jinja2", "report"),
    "skimage": ("scikit-image", "report"),
    "blackjax": ("blackjax", "diagnostics"),
    "numpyro": ("numpyro", "numpyro"),
    "pyro": ("pyro-ppl", "pyro"),
    "torch": ("torch", "torch"),
    "sklearn": ("scikit-learn", "impute"),
    "pyarrow": ("pyarrow", "impute"),
    "ray": ("ray", "ray"),
    "submitit": ("submitit", "slurm"),
    "huggingface_hub": ("huggingface_hub", "hub"),
    "fsspec": ("fsspec", "remote"),
    "flowjax": ("flowjax", "flows"),
}
"""Module as it is imported -> (package as it is installed, the extra of iwax that brings it)."""


class MissingPictureWarning(UserWarning):
    """Numbers are there, the picture beside them is not: what draws it is not installed."""


def is_installed(module: str) -> bool:
    """Whether a module of EXTRAS can be found; it is not imported."""
    return find_spec(module) is not None


def check_installed(module: str, purpose: str) -> None:
    """Raises MissingExtraError unless a module of EXTRAS can be found."""
    if not is_installed(module):
        raise missing(module, purpose)


def missing(module: str, purpose: str) -> MissingExtraError:
    """The error to raise where a module of EXTRAS is absent.

    >>> print(missing("PIL", "pictures"))
    Expected pillow to be installed for pictures; pip install "iwax[report]" brings it.
    """
    package, extra = EXTRAS[module]
    return MissingExtraError(
        f'Expected {package} to be installed for {purpose}; pip install "iwax[{extra}]" brings it.'
    )


@contextmanager
def beside_numbers(picture: str) -> Iterator[None]:
    """Where pictures are drawn beside numbers that do not need them: one that cannot be drawn is left out.

    Warns (MissingPictureWarning), naming the `picture` and the extra.
    """
    try:
        yield
    except MissingExtraError as error:
        warnings.warn(f"Left out {picture}. {error}", MissingPictureWarning, stacklevel=4)
