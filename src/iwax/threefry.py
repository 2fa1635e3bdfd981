"""JAX's default generator of random numbers, the same bits of it, with its rounds written out.

On a CPU JAX compiles Threefry's twenty rounds as a loop of five passes over memory. Written out they are one pass, in
which each number stays in a register. On other devices JAX does so by itself.

Reference: Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3" (2011).
"""

import math

import jax
import jax.numpy as jnp
from jax.extend.random import define_prng_impl, threefry_prng_impl
from jaxtyping import Array, PRNGKeyArray

__all__ = ["written_out"]

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA
MOST = 2**32  # numbers of one draw, which one word counts


def written_out(key: PRNGKeyArray) -> PRNGKeyArray:
    """The same key, of which `jax.random` draws the same numbers, on a CPU in one pass over them.

    Keys of other generators, and raw ones, come back as they are.

    >>> key = jax.random.key(0)
    >>> bool(jnp.all(jax.random.normal(written_out(key), (3,)) == jax.random.normal(key, (3,))))
    True
    """
    partitionable = jax.config.jax_threefry_partitionable  # type: ignore[attr-defined]  # else other numbers
    one_cpu = jax.default_backend() == "cpu" and jax.device_count() == 1  # several share a draw as JAX has it
    if not one_cpu or not partitionable or not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return key
    if str(jax.random.key_impl(key)) != threefry_prng_impl.name:
        return key
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=_WRITTEN_OUT)


def _random_bits(key: Array, bit_width: int, shape: tuple[int, ...]) -> Array:
    """In two halves of a loop, past which the compiler fuses nothing: else it makes them again in each operation that
    needs them."""
    if bit_width > 32 or math.prod(shape) > MOST:
        return threefry_prng_impl.random_bits(key, bit_width, shape)
    size = math.prod(shape)
    half = jnp.arange(-(-size // 2), dtype=jnp.uint32)
    bits = jax.lax.map(lambda start: jnp.bitwise_xor(*_threefry(key, start + half)), jnp.uint32([0, len(half)]))
    return bits.ravel()[:size].reshape(shape).astype(f"uint{bit_width}")


def _split(key: Array, shape: tuple[int, ...]) -> Array:
    count = jnp.arange(math.prod(shape), dtype=jnp.uint32).reshape(shape)
    return jnp.stack(_threefry(key, count), axis=-1)


def _threefry(key: Array, low: Array, high: Array | int = 0) -> tuple[Array, Array]:
    """Twenty rounds of Threefry-2x32: two words for each counter, whose own words are `high` and `low`."""
    words = (key[0], key[1], key[0] ^ key[1] ^ jnp.uint32(PARITY))
    x, y = jnp.zeros_like(low) + high + words[0], low + words[1]
    for group in range(5):
        for distance in ROTATIONS[group % 2]:
            x = x + y
            y = x ^ ((y << distance) | (y >> (32 - distance)))
        x, y = x + words[(group + 1) % 3], y + words[(group + 2) % 3] + jnp.uint32(group + 1)
    return x, y


_WRITTEN_OUT = define_prng_impl(
    key_shape=threefry_prng_impl.key_shape,
    seed=threefry_prng_impl.seed,
    split=_split,
    random_bits=_random_bits,
    fold_in=threefry_prng_impl.fold_in,
    name="threefry2x32-written-out",
    tag="frw",
)
