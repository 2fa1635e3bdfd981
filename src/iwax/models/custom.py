"""A model of your own for the command line: a function in a Python file, of which the run keeps a copy."""

import dataclasses
import hashlib
import inspect
import sys
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from iwax.errors import IwaxError
from iwax.models.check import check_model

__all__ = ["OWN_MODULE", "OwnModel", "is_own"]

OWN_MODULE = "iwax_own_model_"  # how the names of modules begin that hold a user's code
FORM = "FILE.py:FUNCTION"


def is_own(name: str) -> bool:
    """Whether `name` is meant as FILE.py:FUNCTION rather than as the name of an architecture."""
    return name.endswith(".py") or ".py:" in name


@dataclasses.dataclass(frozen=True)
class OwnModel:
    """The code of a model: the text of one Python file, and the function in it that makes the model.

    The function is called with those of these keywords that it takes, all of them if it takes any:

        key           a PRNG key, for the initial weights
        data_mean     mean of the training examples, float32, shaped as one of them; grey values from 0 to 1
        data_shape    shape of an example, such as (28, 28)

    and returns a model that meets the contract of `iwax.models.model`.
    """

    path: str
    function: str
    source: str

    @classmethod
    def read(cls, name: str, kept: Path | None = None) -> "OwnModel":
        """The code that FILE.py:FUNCTION names, from the copy in the file `kept` if there is one.

        Raises:
            ValueError: not of that form, or the file cannot be read.
        """
        path, _, function = name.rpartition(":")
        if not path.endswith(".py") or not function.isidentifier():
            raise IwaxError(f"Expected model to be the name of an architecture or {FORM}; got {name!r}.")
        try:
            return cls(path, function, (kept or Path(path)).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise IwaxError(
                f"Expected model to be {FORM}; {kept or path} cannot be read ({error}). Check the path."
            ) from error

    @property
    def sha256(self) -> str:
        """Checksum of the file."""
        return hashlib.sha256(self.source.encode()).hexdigest()

    def load(self) -> Callable[..., Any]:
        """The function that makes the model.

        Raises:
            ValueError: the file fails, or holds no such function.
        """
        name = f"{OWN_MODULE}{self.sha256[:16]}"
        if name not in sys.modules:  # the same code is the same classes, so that nothing is compiled afresh
            module = types.ModuleType(name)
            module.__file__ = self.path
            sys.modules[name] = module  # dataclasses look their module up
            try:
                self._attempt(lambda: exec(compile(self.source, self.path, "exec"), module.__dict__), self.path)
            except BaseException:
                del sys.modules[name]
                raise
        function = getattr(sys.modules[name], self.function, None)
        if not callable(function):
            raise IwaxError(f"Expected {self.path} to have a function {self.function}; it has none. Check the name.")
        return function

    def make(self, images: np.ndarray, key: PRNGKeyArray) -> Any:
        """The model at its initial parameters, for training examples (N, *event).

        Raises:
            ValueError: the function fails.
        """
        return self.make_from(self.mean(images), key)

    @staticmethod
    def mean(images: np.ndarray) -> np.ndarray:
        """The mean of training examples (N, *event) as the function gets it, float32."""
        scale = 255 if images.dtype == np.uint8 else 1
        return (images.mean(axis=0, dtype=np.float64) / scale).astype(np.float32)

    def make_from(self, mean: np.ndarray, key: PRNGKeyArray) -> Any:
        """The model at its initial parameters, of the mean training example.

        Raises:
            ValueError: the function fails.
        """
        function = self.load()
        given = {"key": key, "data_mean": jax.numpy.asarray(mean), "data_shape": mean.shape}
        parameters = inspect.signature(function).parameters.values()
        if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters):
            given = {name: given[name] for name in given if name in {parameter.name for parameter in parameters}}
        return self._attempt(lambda: function(**given), f"{self.path}:{self.function}({', '.join(given)})")

    def check(self, model: Any, x: Any, key: PRNGKeyArray) -> None:
        """Raises ValueError, with the first of its problems, for a model that does not meet the contract."""
        report = check_model(model, x, key)
        if not report.ok:
            more = f" ({len(report.problems) - 1} more: print iwax.check_model)" if len(report.problems) > 1 else ""
            raise IwaxError(
                f"Expected what {self.path}:{self.function} makes to meet the contract of a model. "
                f"{report.problems[0]}{more}"
            )

    def _attempt(self, function: Callable[[], Any], what: str) -> Any:
        """The function's value; whatever a user's code raises becomes one line that says where."""
        try:
            return function()
        except Exception as error:
            lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == self.path]
            lines = lines or [getattr(error, "lineno", None)]  # of a SyntaxError
            where = f" (line {lines[-1]})" if lines[-1] else ""
            message = (str(error).splitlines() or [""])[0]
            raise IwaxError(f"Expected {what} to work; got {type(error).__name__}: {message}{where}.") from error
