"""What a computation costs in arithmetic: the matrix products of its program, counted before it is run.

A product of (n, m) and (m, p) matrices is n m p multiply-adds, of two operations (FLOP) each; elementwise work, which
is small beside it in networks, is left out. The program of a gradient holds the products of the backward pass as it
holds those of the forward pass, so nothing is assumed about their ratio.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
import optax
from jax.extend.core import Literal, jaxprs_in_params
from jaxtyping import PyTree

from iwax.errors import IwaxError
from iwax.models import Model, draw
from iwax.objectives import AbstractObjective, loss
from iwax.training import Update, phases, soap

__all__ = ["count_flop", "evaluation_flop", "training_flop", "update_flop"]

FREQUENCY = inspect.signature(soap).parameters["preconditioning_frequency"].default  # SOAP's, in steps


def count_flop(function: Callable, *arguments: Any, choice: Callable = max) -> int:
    """The operations in all matrix products and convolutions of function(*arguments), which is not run.

    A loop counts as often as it turns.

    Arguments:
        function: any function of pytrees that JAX can trace.
        arguments: arrays, models, or `jax.ShapeDtypeStruct` in place of arrays.
        choice: what of the branches of a choice counts: max, the costliest, or min.

    Raises:
        ValueError: products inside a loop whose turns are not known beforehand.

    >>> import jax.numpy as jnp
    >>> count_flop(lambda a, b: a @ b, jnp.ones((2, 3)), jnp.ones((3, 4)))
    48
    """
    dynamic, static = eqx.partition(arguments, _is_array)
    closed = jax.make_jaxpr(lambda dynamic: eqx.filter(function(*eqx.combine(dynamic, static)), eqx.is_array))(dynamic)
    return _flop(closed.jaxpr, choice)


def training_flop(model: Model, objective: AbstractObjective, x: PyTree, update: Update = "joint") -> int:
    """The operations of one training step on a minibatch: the bound and its gradient, of every phase of the update.

    Arguments:
        model: the pair of densities.
        objective: the bound.
        x: a minibatch, every leaf (N, *event), or its `jax.ShapeDtypeStruct`.
        update: as for `iwax.fit`.

    >>> import iwax, jax
    >>> model = iwax.ARCHITECTURES["one-layer"](key=jax.random.key(0))
    >>> training_flop(model, iwax.IWAE(num_samples=5), jax.ShapeDtypeStruct((20, 784), "float32")) // 20
    7191200
    """

    total = 0
    for phase in phases(model, objective, update):  # one by one: the second finds other parameters than the first

        def gradient(
            model: Model, objective: AbstractObjective, x: PyTree, key: jax.Array, phase: Any = phase
        ) -> PyTree:
            own, others = eqx.partition((model, objective), phase.mask)

            def of_own(own: PyTree) -> jax.Array:
                model, objective = eqx.combine(own, others)
                return loss(model, phase.objective or objective, x, key)

            return jax.value_and_grad(of_own)(own)

        total += count_flop(gradient, model, objective, x, jax.random.key(0))
    return total


def update_flop(optimiser: optax.GradientTransformation, parameters: PyTree) -> int:
    """The operations of an optimiser in one step: none for Adam, turns for Muon and SOAP, whose bases turn every tenth.

    Arguments:
        optimiser: from gradients to steps.
        parameters: what it updates.

    >>> import jax.numpy as jnp, optax
    >>> update_flop(optax.adam(1e-3), jnp.ones((784, 200)))
    0
    """
    parameters = eqx.filter(parameters, eqx.is_inexact_array)
    state = optimiser.init(parameters)
    least, most = (count_flop(optimiser.update, parameters, state, choice=choice) for choice in (min, max))
    return least + (most - least) // FREQUENCY


def evaluation_flop(model: Model, x: PyTree, num_samples: int) -> int:
    """The operations of the log-weights of `num_samples` samples for each example of x, each encoded once.

    Arguments:
        model: the pair of densities.
        x: examples, every leaf (N, *event), or its `jax.ShapeDtypeStruct`.
        num_samples: k.

    >>> import iwax, jax
    >>> model = iwax.ARCHITECTURES["one-layer"](key=jax.random.key(0))
    >>> evaluation_flop(model, jax.ShapeDtypeStruct((1, 784), "float32"), 5000)
    2068433600
    """

    def log_weights(model: Model, x: PyTree, key: jax.Array) -> Any:
        z, log_q = draw(model.posterior(x), key, num_samples)
        return model.log_joint(x, z) - log_q

    return count_flop(log_weights, model, x, jax.random.key(0))


CALLS = ("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "remat2", "checkpoint")  # of one program
IDENTITIES = ("stop_gradient", "copy")  # what goes in comes out


def _is_array(leaf: Any) -> bool:
    return eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)


class _Count:
    """Counts a program, where the same operation on the same values is one, as it is after compilation."""

    def __init__(self, choice: Callable) -> None:
        self.total, self.choice = 0, choice
        self._results: dict[Any, list[Any]] = {}  # what was computed from what -> the numbers of its values

    def run(self, program: Any, inputs: list[Any]) -> list[Any]:
        """The numbers of the outputs of a program, given those of its inputs."""
        numbers = dict(zip(program.invars, inputs, strict=True))

        def number(atom: Any) -> Any:
            if isinstance(atom, Literal):
                return ("literal", str(atom.aval), np.asarray(atom.val).tobytes())
            return numbers.setdefault(atom, object())  # a constant

        for equation in program.eqns:
            outputs = self._equation(equation, [number(atom) for atom in equation.invars])
            numbers |= zip(equation.outvars, outputs, strict=True)
        return [number(atom) for atom in program.outvars]

    def _equation(self, equation: Any, inputs: list[Any]) -> list[Any]:
        name, inner = equation.primitive.name, list(jaxprs_in_params(equation.params))
        if name in IDENTITIES:
            return inputs
        if len(inner) == 1 and name in CALLS:
            return self.run(inner[0], inputs)
        key = (name, str(equation.params), *inputs)
        if key not in self._results:
            self._results[key] = [object() for _ in equation.outvars]
            self.total += _of_equation(equation, inner, self.choice)
        return self._results[key]


def _flop(program: Any, choice: Callable) -> int:
    count = _Count(choice)
    count.run(program, [object() for _ in program.invars])
    return count.total


def _of_equation(equation: Any, inner: list[Any], choice: Callable) -> int:
    name, shapes = equation.primitive.name, [variable.aval.shape for variable in equation.invars]
    if name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        return 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(shapes[0][axis] for axis in contracted)
    if name == "conv_general_dilated":  # where it is dilated, with the zeros in between
        outputs = shapes[1][equation.params["dimension_numbers"].rhs_spec[0]]
        return 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(shapes[1]) // outputs
    within = [_flop(program, choice) for program in inner]
    if name == "scan":
        return equation.params["length"] * sum(within)
    if name == "while" and any(within):
        raise IwaxError("Expected loops around matrix products to turn a known number of times; got a while loop.")
    return choice(within, default=0) if name == "cond" else sum(within)
