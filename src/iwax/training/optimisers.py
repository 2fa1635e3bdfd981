"""Adam, in the forms in which the published recipes use it.

After the gradient g_t of step t = 1, 2, ... (of the loss, so that parameters move against it):

    m_t = beta1 m_{t-1} + (1 - beta1) g_t            m_0 = 0
    v_t = beta2 v_{t-1} + (1 - beta2) g_t^2          v_0 = 0, or 1

Kingma and Ba's algorithm 1 moves the parameters by -rate (m_t / (1 - beta1^t)) / (sqrt(v_t / (1 - beta2^t)) + epsilon).
With `epsilon_hat` (their section 2), epsilon is added to the uncorrected root instead:

    -rate sqrt(1 - beta2^t) / (1 - beta1^t)  m_t / (sqrt(v_t) + epsilon)

With `previous_moments` the moments in it are m_{t-1} and v_{t-1}, while the corrections are still those of t. That is
what a Theano program does that lists moments and parameters among one function's updates: all are computed from the
old values, so the first step moves nothing.

Reference: Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2014), arXiv:1412.6980.
"""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

__all__ = ["Decay", "adam", "ratio", "wide"]


class Decay(eqx.Module):
    """A decay of Adam's for each of several runs: beta, and 1 - beta rounded once, as where beta is a Python number.

    In single precision 1 - 0.999 is 0.00099999.

    >>> decay = Decay.of([0.999])
    >>> round(float((1 - decay)[0]), 8), round(float((1 - decay.value)[0]), 8)
    (0.001, 0.00099999)
    """

    value: Float[Array, "..."]
    complement: Float[Array, "..."]

    @classmethod
    def of(cls, values: Sequence[float]) -> "Decay":
        return cls(jnp.asarray(values, float), jnp.asarray([1 - value for value in values], float))

    def __rsub__(self, one: int) -> Array:
        return one * self.complement

    def __mul__(self, other: Array) -> Array:
        return self.value * other

    def __pow__(self, exponent: Array) -> Array:
        return self.value**exponent


def wide(array: Array) -> Array:
    """In single precision at least: there are no eigenvectors in half, and sums of squares leave its range."""
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def ratio(first: Array, second: Array, corrections: tuple[Array, Array], epsilon: float | Float[Array, ""]) -> Array:
    """Adam's step in units of the rate, in its first form: `corrections` are 1 - beta1^t and 1 - beta2^t."""
    return (first / corrections[0]) / (jnp.sqrt(second / corrections[1]) + epsilon)


class AdamState(NamedTuple):
    """The number of gradients seen, and their moments."""

    step: Array
    first: PyTree
    second: PyTree


def adam(
    learning_rate: optax.Schedule,
    *,
    beta1: float | Decay,
    beta2: float | Decay,
    epsilon: float | Float[Array, ""],
    second_moment: float = 0.0,
    epsilon_hat: bool = False,
    previous_moments: bool = False,
) -> optax.GradientTransformation:
    """Adam as the module's docstring has it, in its second form, whose corrections are one number a step.

    The first, as `optax.adam` writes it, divides every moment by its own: on a CPU the divisions are what Adam costs.

    Arguments:
        learning_rate: step number from 0 -> rate.
        beta1: decay of the first moment.
        beta2: decay of the second moment.
        epsilon: what keeps the denominator from zero, in units of the gradient.
        second_moment: v_0.
        epsilon_hat: whether epsilon stands outside the bias correction.
        previous_moments: whether each step uses the moments from before its own gradient.

    >>> optimiser = adam(optax.constant_schedule(0.1), beta1=0.9, beta2=0.999, epsilon=1e-8, previous_moments=True)
    >>> updates, state = optimiser.update(jnp.asarray(2.0), optimiser.init(jnp.asarray(1.0)))
    >>> float(updates), round(float(state.first), 6)
    (-0.0, 0.2)
    """

    def init(parameters: PyTree) -> AdamState:
        first = jax.tree.map(jnp.zeros_like, parameters)
        return AdamState(
            jnp.zeros([], jnp.int32), first, jax.tree.map(lambda p: jnp.full_like(p, second_moment), parameters)
        )

    def update(gradient: PyTree, state: AdamState, parameters: PyTree = None) -> tuple[PyTree, AdamState]:
        step = state.step + 1
        first = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, state.first, gradient)
        second = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g**2, state.second, gradient)
        root_correction = jnp.sqrt(1 - beta2**step)
        rate = learning_rate(state.step) * root_correction / (1 - beta1**step)
        floor = epsilon if epsilon_hat else epsilon * root_correction
        moments = (state.first, state.second) if previous_moments else (first, second)
        updates = jax.tree.map(lambda m, v: -rate * m / (jnp.sqrt(v) + floor), *moments)
        return updates, AdamState(step, first, second)

    def of_optax(gradient: PyTree, state: tuple, parameters: PyTree = None) -> tuple[PyTree, tuple]:
        """The same with optax's state of Adam, which checkpoints of these recipes have held from the first day."""
        moments, _ = state
        updates, after = update(gradient, AdamState(moments.count, moments.mu, moments.nu))
        return updates, (optax.ScaleByAdamState(*after), optax.ScaleByScheduleState(after.step))

    if not (second_moment or epsilon_hat or previous_moments):
        return optax.GradientTransformation(optax.adam(learning_rate).init, of_optax)
    return optax.GradientTransformation(init, update)
