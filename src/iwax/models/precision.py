"""Matrix products in bfloat16, where JAX is asked for them; everything else stays as it is.

    y = bf16(x) bf16(W),   dx = bf16(dy) bf16(W)',   dW = bf16(x)' bf16(dy),   all summed in float32

JAX's own switch is used, `jax.default_matmul_precision("bfloat16")`. What it means to products at large is up to the
accelerator (a TPU obeys, a GPU may take TF32, a CPU does nothing), so the built-in networks round their operands
themselves, everywhere alike. Parameters, biases, activations, densities, weights and the optimiser stay float32.

References: Micikevicius et al., "Mixed Precision Training" (2017), arXiv:1710.03740; Kalamkar et al., "A Study of
BFLOAT16 for Deep Learning Training" (2019), arXiv:1905.12322.
"""

import contextlib

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from iwax.checks import check_choice

__all__ = ["PRECISIONS", "matrix_precision", "product"]

PRECISIONS = ("float32", "bfloat16")
_BFLOAT16 = "bfloat16"  # as JAX spells it


def matrix_precision(precision: str) -> contextlib.AbstractContextManager:
    """Within it, programs are compiled with products of that precision; "float32" leaves JAX's setting as it is.

    >>> x, weight = jnp.full((1, 1), 1 + 2**-8), jnp.ones((1, 1))
    >>> with matrix_precision("bfloat16"):
    ...     float(product(x, weight)[0, 0])
    1.0
    """
    check_choice("precision", precision, PRECISIONS)
    return jax.default_matmul_precision(_BFLOAT16) if precision == "bfloat16" else contextlib.nullcontext()


def product(x: Float[Array, "*shape num_in"], weight: Float[Array, "num_in num_out"]) -> Float[Array, "*shape num_out"]:
    """x @ weight, for any number of leading axes."""
    asked = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    if asked == _BFLOAT16 and x.dtype == weight.dtype == jnp.float32:
        return _rounded_product(x, weight)
    return _product(x, weight)


@jax.custom_jvp
def _product(x: Array, weight: Array) -> Array:
    return x @ weight


def _product_jvp(
    primals: tuple[Array, Array], tangents: tuple[Array | SymbolicZero, Array | SymbolicZero]
) -> tuple[Array, Array]:
    """dx W + x dW, of which the second is written so that its transpose, dW = x' dy, contracts the rows of x' and dy.

    As JAX transposes x dW by itself, XLA's compiler for CPUs turns dy around, which is the larger of the two, and gives
    the product to its slower library: with 20 rows of 784 it takes 1.7 times as long, with 1,000 rows 1.3 times.
    """
    (x, weight), (dx, dweight), changes = primals, tangents, []
    y = x @ weight
    if not isinstance(dx, SymbolicZero):
        changes.append(dx @ weight)
    if not isinstance(dweight, SymbolicZero):
        if jax.default_backend() == "cpu" and jax.device_count() == 1:  # devices share axes, which rows would mix
            rows = x.reshape(-1, x.shape[-1]).astype(y.dtype)
            change = _contract(jax.lax.optimization_barrier(rows.T), dweight, (0,), (0,))
            changes.append(change.reshape(y.shape))
        else:
            changes.append(x @ dweight)
    return y, sum(changes[1:], start=changes[0])


_product.defjvp(_product_jvp, symbolic_zeros=True)


@jax.custom_vjp
def _rounded_product(x: Array, weight: Array) -> Array:
    return _forward(x, weight)[0]


def _forward(x: Array, weight: Array) -> tuple[Array, tuple[Array, Array]]:
    x, weight = x.astype(jnp.bfloat16), weight.astype(jnp.bfloat16)
    return _contract(x, weight, (x.ndim - 1,), (0,)), (x, weight)


def _backward(rounded: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
    x, weight = rounded
    cotangent = cotangent.astype(jnp.bfloat16)
    last, leading = (x.ndim - 1,), tuple(range(x.ndim - 1))
    return _contract(cotangent, weight, last, (1,)), _contract(x, cotangent, leading, leading)


_rounded_product.defvjp(_forward, _backward)


def _contract(a: Array, b: Array, axes_a: tuple[int, ...], axes_b: tuple[int, ...]) -> Array:
    axes = ((axes_a, axes_b), ((), ()))
    return jax.lax.dot_general(a, b, axes, preferred_element_type=jnp.promote_types(b.dtype, jnp.float32))
