"""Can the mixture of ELBO and IWAE be learned? Six rules for beta side by side, on any model.

CIWAE climbs beta ELBO + (1 - beta) IWAE(K). Its own slope in beta never changes sign, so learning beta on it ends in a
corner ("ascend", "descend"). The others mix phi's gradients only, g = beta g_E + (1 - beta) g_I from the same samples,
and leave theta to IWAE(K):

- "fixed-phi": at a constant beta, for comparison with "fixed", which is CIWAE;
- "mean-square": the beta at which g is nearest, in mean square, to the expected gradient of IWAE(K), from running
  moments: (V_II - V_EI) / (V_EE + V_II - 2 V_EI + |mu_E - mu_I|^2), V being traces of covariances;
- "held-out": beta climbs the held-out IWAE bound after the step, whose derivative is <grad L_val, g_E - g_I>.

`python -m iwax.experiments.learned_beta` runs the linear-Gaussian study and prints its table;
`iwax.experiments.learned_beta_mnist` is the same on MNIST.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from iwax.checks import check_choice
from iwax.models import LinearGaussian, Model
from iwax.objectives import ELBO, IWAE, loss

__all__ = ["RULES", "Outcome", "linear_gaussian_study", "minimum_mean_square_beta", "train"]

RULES = ("fixed", "fixed-phi", "ascend", "descend", "mean-square", "held-out")
PHI_ONLY = ("fixed-phi", "mean-square", "held-out")


class Moments(NamedTuple):
    """Running means: of the two gradients (flat), of their squared norms and inner product."""

    elbo: Float[Array, " size"]
    iwae: Float[Array, " size"]
    elbo_elbo: Float[Array, ""]
    iwae_iwae: Float[Array, ""]
    elbo_iwae: Float[Array, ""]

    def updated(self, elbo: Array, iwae: Array, rate: float | Array) -> "Moments":
        new = Moments(elbo, iwae, elbo @ elbo, iwae @ iwae, elbo @ iwae)
        return jax.tree.map(lambda old, value: (1 - rate) * old + rate * value, self, new)


class Outcome(NamedTuple):
    """What `train` returns."""

    model: Model
    betas: Float[Array, " steps"]


def minimum_mean_square_beta(moments: Moments) -> Float[Array, ""]:
    """The beta in [0, 1] at which beta g_E + (1 - beta) g_I has the least mean square distance from E[g_I]."""
    v_ee = moments.elbo_elbo - moments.elbo @ moments.elbo
    v_ii = moments.iwae_iwae - moments.iwae @ moments.iwae
    v_ei = moments.elbo_iwae - moments.elbo @ moments.iwae
    difference = moments.elbo - moments.iwae
    denominator = v_ee + v_ii - 2 * v_ei + difference @ difference
    return jnp.clip((v_ii - v_ei) / jnp.where(denominator > 0, denominator, 1), 0, 1)


def train(
    model: Model,
    data: Float[Array, "examples ..."],
    held_out: Float[Array, "others ..."],
    *,
    rule: str,
    beta: float | Array,
    key: PRNGKeyArray,
    num_steps: int,
    num_samples: int = 64,
    batch_size: int = 20,
    learning_rate: float = 1e-3,
    beta_rate: float = 1e-2,
    gradient: str = "reparameterized",
    prepare: Callable[[Array, PRNGKeyArray], Array] = lambda x, key: x,
) -> Outcome:
    """`model` after `num_steps` of Adam by one rule for beta, and beta at each step.

    Arguments:
        model: with parameter groups `generative` and `inference`.
        data: the training examples; `held_out` those of the rule "held-out".
        rule: one of `RULES`; beta starts at `beta`. "ascend" and "descend" move its logit.
        num_samples: K.
        gradient: estimator of both gradients.
        prepare: from a batch and a key to what the model takes (such as binarisation).
    """
    check_choice("rule", rule, RULES)
    parameters, static = eqx.partition(model, eqx.is_inexact_array)
    optimiser = optax.adam(learning_rate)
    elbo, iwae = (make(num_samples=num_samples, gradient=gradient) for make in (ELBO, IWAE))

    def climb(parameters: PyTree, objective: Any, x: Array, key: PRNGKeyArray) -> tuple[Array, PyTree]:
        """The bound and its gradient."""
        return jax.value_and_grad(lambda p: -loss(eqx.combine(p, static), objective, x, key))(parameters)

    def batch(examples: Array, key: PRNGKeyArray) -> Array:
        choose_key, prepare_key = jax.random.split(key)
        return prepare(examples[jax.random.randint(choose_key, (batch_size,), 0, len(examples))], prepare_key)

    def step(carry: tuple, inputs: tuple) -> tuple:
        parameters, opt_state, beta, moments = carry
        number, key = inputs
        batch_key, sample_key, held_out_key, held_out_sample_key = jax.random.split(key, 4)
        x = batch(data, batch_key)
        (elbo_value, by_elbo), (iwae_value, by_iwae) = (climb(parameters, o, x, sample_key) for o in (elbo, iwae))
        mixed = jax.tree.map(lambda e, i: beta * e + (1 - beta) * i, by_elbo, by_iwae)
        if rule in PHI_ONLY:  # theta follows IWAE
            mixed = eqx.tree_at(lambda p: p.generative, mixed, by_iwae.generative)
        updates, opt_state = optimiser.update(jax.tree.map(jnp.negative, mixed), opt_state)
        parameters = optax.apply_updates(parameters, updates)
        flat_elbo, flat_iwae = _flat(by_elbo.inference), _flat(by_iwae.inference)
        moments = moments.updated(flat_elbo, flat_iwae, jnp.maximum(0.01, 1 / (number + 1)))
        if rule == "mean-square":
            beta = jnp.where(number < 20, beta, minimum_mean_square_beta(moments))
        elif rule == "held-out":
            _, by_held_out = climb(parameters, iwae, batch(held_out, held_out_key), held_out_sample_key)
            slope = _cosine(_flat(by_held_out.inference), flat_elbo - flat_iwae)
            beta = jnp.clip(beta + beta_rate * slope, 0, 1)
        elif rule in ("ascend", "descend"):
            slope = beta * (1 - beta) * (elbo_value - iwae_value) * (1 if rule == "ascend" else -1)
            beta = jax.nn.sigmoid(jnp.log(beta) - jnp.log1p(-beta) + 10 * beta_rate * slope)
        return (parameters, opt_state, beta, moments), beta

    size = _flat(parameters.inference).size
    moments = Moments(jnp.zeros(size), jnp.zeros(size), jnp.zeros(()), jnp.zeros(()), jnp.zeros(()))
    carry = (parameters, optimiser.init(parameters), jnp.asarray(beta, dtype=float), moments)
    inputs = (jnp.arange(num_steps), jax.random.split(key, num_steps))
    (parameters, *_), betas = jax.jit(lambda carry, inputs: jax.lax.scan(step, carry, inputs))(carry, inputs)
    return Outcome(eqx.combine(parameters, static), betas)


def linear_gaussian_study(
    *, num_seeds: int = 4, num_steps: int = 1500, num_samples: int = 16, betas: tuple[float, ...] = (0.05, 0.5, 0.95)
) -> list[dict[str, Any]]:
    """A row for each rule and initial beta, on a linear-Gaussian model whose posterior q cannot match.

    Each row: beta at the end of a tenth, half and all of the steps, and the gap of the exact test log-likelihood and of
    the exact test ELBO to the log-likelihood of the model that made the data, in nats per example, mean and standard
    error over seeds (other data, other noise, other weights).
    """
    rows = []
    seeds = jax.random.split(jax.random.key(0), num_seeds)
    shown = jnp.array([int(fraction * num_steps) - 1 for fraction in (0.1, 0.5, 1)])
    for rule in RULES:
        starts = (0.0, *betas, 1.0) if rule.startswith("fixed") else betas
        one = functools.partial(_one_linear_gaussian, rule=rule, num_steps=num_steps, num_samples=num_samples)
        over_seeds = jax.vmap(one, in_axes=(0, None))
        paths, *gaps = jax.jit(jax.vmap(over_seeds, in_axes=(None, 0)))(seeds, jnp.array(starts))
        for start, path, likelihood, bound in zip(starts, paths, *gaps, strict=True):
            row = {"rule": rule, "beta": start, "path": path.mean(axis=0)[shown].tolist()}
            for name, values in (("log_likelihood", likelihood), ("elbo", bound)):
                row[name], row[f"{name}_error"] = float(values.mean()), float(values.std(ddof=1) / num_seeds**0.5)
            rows.append(row)
    return rows


def _one_linear_gaussian(
    key: PRNGKeyArray, beta: float | Array, *, rule: str, num_steps: int, num_samples: int
) -> tuple[Array, Array, Array]:
    """(beta at each step, gap of the log-likelihood, gap of the ELBO) of one run."""
    truth_key, data_key, start_key, train_key = jax.random.split(key, 4)
    truth, start = (_random_linear_gaussian(k) for k in (truth_key, start_key))
    train_data, held_out, test = jnp.split(truth.sample(data_key, 2000), [1000, 1500])
    outcome = train(
        start, train_data, held_out, rule=rule, beta=beta, key=train_key, num_steps=num_steps, num_samples=num_samples,
        learning_rate=3e-3,
    )  # fmt: skip
    ideal, trained = jnp.mean(truth.log_evidence(test)), cast(LinearGaussian, outcome.model)
    return outcome.betas, jnp.mean(trained.log_evidence(test)) - ideal, jnp.mean(trained.elbo(test)) - ideal


def _random_linear_gaussian(key: PRNGKeyArray, latent: int = 4, data: int = 8) -> LinearGaussian:
    """Dense weights, so that the posterior has correlations that a diagonal q has not."""
    weight_key, inference_key = jax.random.split(key)
    weight = jax.random.normal(weight_key, (data, latent))
    inference_weight = 0.1 * jax.random.normal(inference_key, (latent, data))
    return LinearGaussian(
        jnp.zeros(latent),
        weight,
        jnp.zeros(data),
        jnp.zeros(data),
        inference_weight,
        jnp.zeros(latent),
        jnp.zeros(latent),
    )


def _flat(tree: PyTree) -> Float[Array, " size"]:
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def _cosine(a: Array, b: Array) -> Array:
    return a @ b / jnp.maximum(jnp.linalg.norm(a) * jnp.linalg.norm(b), 1e-12)


def main() -> None:
    """Print the linear-Gaussian study as a table."""
    print("| rule | beta at start | after 10% | 50% | 100% | log-likelihood gap | ELBO gap |")
    print("|---|---|---|---|---|---|---|")
    for row in linear_gaussian_study():
        path = " | ".join(f"{beta:.3f}" for beta in row["path"])
        gaps = " | ".join(f"{row[name]:.4f} ± {row[f'{name}_error']:.4f}" for name in ("log_likelihood", "elbo"))
        print(f"| {row['rule']} | {row['beta']:.2f} | {path} | {gaps} |", flush=True)


if __name__ == "__main__":
    main()
