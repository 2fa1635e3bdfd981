"""What a training step costs, as ratios of the compiled programs' own counts, which no noise of the machine can move.

`make bench` measures times. What would worsen them (a second pass through a network, an image encoded once for every
sample, an estimator that computes the bound again) shows here first: as more products, arithmetic or traffic.
"""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

import iwax

SAMPLES = 16
PRODUCTS = 20  # 7 linear layers: forward, by weight and by input, but for the image
# objective, most arithmetic and traffic relative to the plain IWAE at as many samples
COSTS = {
    "sticking-the-landing": (iwax.IWAE(num_samples=SAMPLES, gradient="sticking-the-landing"), 1.10),
    "doubly-reparameterized": (iwax.IWAE(num_samples=SAMPLES, gradient="doubly-reparameterized"), 1.10),
    "miwae": (iwax.MIWAE(num_groups=4, num_samples=4), 1.05),
    "ciwae": (iwax.CIWAE(num_samples=SAMPLES, beta=0.5), 1.05),
    "piwae": (iwax.PIWAE(num_groups=4, num_samples=4), 1.40),
}


class WithoutFraction(iwax.IWAE):
    """Doubly reparameterized the long way, with a second backward pass through the decoder."""

    def path_fraction(self, log_w):
        return None


def compiled(objective):
    model, x = iwax.VAE(60, [6], [[20, 20]], key=jax.random.key(0)), jnp.ones((4, 60))
    parameters, static = eqx.partition(model, eqx.is_inexact_array)

    def step(parameters, key):
        return jax.value_and_grad(lambda p: iwax.loss(eqx.combine(p, static), objective, x, key))(parameters)

    key = jax.random.key(0, impl="rbg")  # whose arithmetic is not counted: the same numbers may be made where needed
    return jax.jit(step).lower(parameters, key).compile()


@pytest.fixture(scope="module")
def plain():
    return compiled(iwax.IWAE(num_samples=SAMPLES))


def ratios(program, plain):
    counts, of_plain = program.cost_analysis(), plain.cost_analysis()
    return [counts[name] / of_plain[name] for name in ("flops", "bytes accessed")]


def num_products(program):
    return len(re.findall(r"\bdot\(", program.as_text()))


def test_a_step_has_no_product_too_many(plain):
    assert num_products(plain) == PRODUCTS


@pytest.mark.parametrize("name", COSTS)
def test_estimators_cost_what_they_may(name, plain):
    objective, most = COSTS[name]
    program = compiled(objective)
    assert max(ratios(program, plain)) <= most
    assert num_products(program) == PRODUCTS


def test_a_second_backward_pass_would_be_noticed(plain):
    program = compiled(WithoutFraction(num_samples=SAMPLES, gradient="doubly-reparameterized"))
    assert num_products(program) > PRODUCTS
    assert max(ratios(program, plain)) > 1.10
