"""Matrix products in bfloat16: what they round, what they leave alone, and what that changes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import iwax
from iwax.models.precision import matrix_precision, product
from iwax.training.fit import Trainer
from iwax.training.recipes import get_recipe

BATCH = 20


def rounded(x):
    """To the 8 significant bits of bfloat16, by NumPy alone: half of the last place is added, ties to even."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


def close_to(value, expected):
    """Whether they differ by no more than sums in another order do; a bfloat16 result would be a hundred times off."""
    return np.allclose(value, expected, rtol=0, atol=2e-6 * np.abs(expected).max())


def pieces():
    x, weight, cotangent = (
        jax.random.normal(jax.random.key(i), s) for i, s in enumerate([(2, 5, 7), (7, 3), (2, 5, 3)])
    )
    return x, weight, cotangent


def test_operands_are_rounded_and_sums_are_not():
    x, weight, cotangent = pieces()
    with matrix_precision("bfloat16"):
        value, back = jax.vjp(product, x, weight)
        by_x, by_weight = back(cotangent)
    x, weight, cotangent = (rounded(a).astype(np.float64) for a in (x, weight, cotangent))
    assert value.dtype == by_x.dtype == by_weight.dtype == jnp.float32
    assert close_to(value, x @ weight)
    assert close_to(by_x, cotangent @ weight.T)
    assert close_to(by_weight, np.einsum("abi,abo->io", x, cotangent))


def test_without_it_nothing_is_rounded():
    x, weight, _ = pieces()
    with matrix_precision("float32"):
        value = product(x, weight)
    assert close_to(value, np.asarray(x, np.float64) @ np.asarray(weight, np.float64))
    assert not close_to(value, rounded(x).astype(np.float64) @ rounded(weight).astype(np.float64))


@pytest.mark.parametrize("shape", [(7,), (5, 7), (2, 5, 7)])
def test_derivatives_of_every_order_are_those_of_the_plain_product(shape):
    x, weight = jax.random.normal(jax.random.key(0), shape), jax.random.normal(jax.random.key(1), (7, 3))
    along = jax.random.normal(jax.random.key(2), shape), jax.random.normal(jax.random.key(3), (7, 3))

    def bent(by):
        return lambda x, weight: jnp.sum(jnp.tanh(by(x, weight)) ** 2)

    own, plain = bent(product), bent(jnp.matmul)
    for argnums in (0, 1):
        assert close_to(jax.grad(own, argnums)(x, weight), jax.grad(plain, argnums)(x, weight))
        assert close_to(jax.jacfwd(own, argnums)(x, weight), jax.grad(plain, argnums)(x, weight))
    assert close_to(jax.hessian(own, 1)(x, weight), jax.hessian(plain, 1)(x, weight))
    turned, straight = (jax.jvp(jax.grad(f, (0, 1)), (x, weight), along)[1] for f in (own, plain))
    assert all(close_to(a, b) for a, b in zip(turned, straight, strict=True))
    many = jnp.stack([weight, 2 * weight])
    assert close_to(jax.vmap(jax.grad(own, 1), (None, 0))(x, many)[1], jax.grad(plain, 1)(x, 2 * weight))


def test_the_gradient_of_a_weight_turns_its_input_not_the_larger_cotangent():
    x, weight, y = jnp.ones((3, 20, 7)), jnp.ones((7, 99)), jnp.ones((3, 20, 99))

    def turned(by):
        text = jax.jit(lambda x, w, y: jax.vjp(lambda w: by(x, w), w)[1](y)).lower(x, weight, y).compile().as_text()
        return {size for size in ("f32[99,60]", "f32[7,60]") if size in text}

    assert turned(product) == {"f32[7,60]"}
    assert "f32[99,60]" in turned(jnp.matmul)  # the control: as JAX and XLA have it


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match=r"Expected precision to be one of float32, bfloat16; got 'half'"):
        matrix_precision("half")


def trainer(precision):
    images = iwax.data.load("mnist-sample").train[:200]
    return Trainer(
        images=images,
        recipe=get_recipe("burda-paper"),
        key=jax.random.key(1),
        batch_size=BATCH,
        precision=precision,
    )


@pytest.mark.slow
def test_training_changes_by_no_more_than_the_rounding_and_the_models_stay_float32():
    model = iwax.VAE(784, [5], [[20]], key=jax.random.key(0))
    bounds, models = {}, {}
    for precision in ("float32", "bfloat16"):
        runner = trainer(precision)
        state = runner.advance(runner.start(model, iwax.IWAE(num_samples=3)), runner.on_device(), 10)
        bounds[precision], models[precision] = np.asarray(state.bounds), state.model
    difference = np.abs(bounds["bfloat16"] - bounds["float32"])
    assert 0 < difference.max() < 1.0  # of about 540 nats at the start
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(eqx.filter(models["bfloat16"], eqx.is_array)))
