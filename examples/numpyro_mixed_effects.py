"""A mixed-effects model in NumPyro: eight schools, whose effects share an unknown mean and spread.

Global and local latents share one importance weight here, which has to be asked for: `joint=True`. The evidence and the
posterior of the spread tau are known by integrating the Gaussian part out, so what a bound buys is measured against the
truth. A mean-field guide trained on the ELBO is sure that schools hardly differ; trained on IWAE it is less so.

Data: Rubin, "Estimation in Parallel Randomized Experiments", Journal of Educational Statistics 6 (1981).

    python examples/numpyro_mixed_effects.py
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import scipy.stats
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoNormal
from numpyro.infer.initialization import init_to_value

import iwax
from iwax.contrib.numpyro import ImportanceWeightedELBO
from iwax.objectives import VRIWAE

EFFECT = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERROR = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
NUM_STEPS, NUM_SEEDS = 5000, 6


def model(effect, error):
    mean = numpyro.sample("mean", dist.Normal(0, 5))
    tau = numpyro.sample("tau", dist.HalfCauchy(5))
    with numpyro.plate("schools", len(effect)):
        deviation = numpyro.sample("deviation", dist.Normal(0, 1))
        numpyro.sample("effect", dist.Normal(mean + tau * deviation, error), obs=effect)


def exact():
    """log p(effect), and the posterior mean and sd of log tau: mean and deviations integrate out for each tau."""
    log_tau = np.linspace(np.log(1e-4), np.log(1e4), 4000)
    tau = np.exp(log_tau)
    ones = np.ones((len(EFFECT), len(EFFECT)))
    log_joint = [
        scipy.stats.multivariate_normal.logpdf(EFFECT, np.zeros(len(EFFECT)), 25 * ones + np.diag(t**2 + ERROR**2))
        for t in tau
    ]
    log_joint += scipy.stats.halfcauchy.logpdf(tau, scale=5) + log_tau  # the density of log tau
    weights = np.exp(log_joint - np.max(log_joint))
    log_p = np.log(np.sum(weights) * (log_tau[1] - log_tau[0])) + np.max(log_joint)
    weights /= weights.sum()
    mean = weights @ log_tau
    return log_p, mean, np.sqrt(weights @ (log_tau - mean) ** 2)


def train(loss, *data):
    """Final parameters of each seed, on axis 0, and the mean loss of the last fifth of the steps."""
    start_values = {"mean": 5.0, "tau": 3.0, "deviation": jnp.zeros(len(EFFECT))}
    guide = AutoNormal(model, init_loc_fn=init_to_value(values=start_values))
    svi = SVI(model, guide, numpyro.optim.Adam(0.005), loss=loss)
    start = svi.init(jax.random.key(0), *data)

    def run(key):
        update = lambda state, _: svi.update(state, *data)  # noqa: E731
        state, losses = jax.lax.scan(update, start._replace(rng_key=key), length=NUM_STEPS)
        return svi.get_params(state), jnp.mean(losses[-NUM_STEPS // 5 :])

    params, losses = jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(1), NUM_SEEDS))
    return guide, params, losses


def gradient_noise(loss, guide, params, *data):
    """Root of the total variance of one gradient, at the parameters of the first seed."""
    at = {name: leaf[0] for name, leaf in params.items()}
    gradient = jax.vmap(jax.grad(lambda at, key: loss.loss(key, at, model, guide, *data)), (None, 0))
    samples = jax.jit(gradient)(at, jax.random.split(jax.random.key(2), 2000))
    return float(jnp.sqrt(sum(jnp.sum(jnp.var(leaf, axis=0)) for leaf in samples.values())))


def mean_and_error(values):
    return f"{np.mean(values):7.3f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.3f}"


def main():
    data = jnp.array(EFFECT), jnp.array(ERROR)
    log_p, mean, sd = exact()
    print(f"exact: log p = {log_p:.4f} nats; log tau = {mean:.3f}, posterior sd {sd:.3f}")
    losses = {"NumPyro's Trace_ELBO(16)": Trace_ELBO(num_particles=16)}
    for num_samples in (16, 64):
        for gradient in ("reparameterized", "doubly-reparameterized"):
            objective = iwax.IWAE(num_samples=num_samples, gradient=gradient)
            losses[f"IWAE({num_samples}), {gradient}"] = ImportanceWeightedELBO(objective, joint=True)
    objective = VRIWAE(num_samples=64, alpha=0.5, gradient="doubly-reparameterized")
    losses["VR-IWAE(64, alpha 0.5), doubly-r."] = ImportanceWeightedELBO(objective, joint=True)
    try:
        ImportanceWeightedELBO(objective).loss(jax.random.key(0), {}, model, prior_as_guide, *data)
    except ValueError as error:
        print(f"without joint=True: {error}\n")
    print(f"{NUM_SEEDS} seeds, mean ± standard error, in nats")
    print(f"{'loss':<36}{'log p - bound':>18}{'mean of log tau':>18}{'sd of log tau':>18}{'gradient noise':>16}")
    for name, loss in losses.items():
        guide, params, final = train(loss, *data)
        columns = [log_p + final, params["tau_auto_loc"], params["tau_auto_scale"]]
        noise = gradient_noise(loss, guide, params, *data)
        print(f"{name:<36}" + "".join(f"{mean_and_error(column):>18}" for column in columns) + f"{noise:>16.3f}")


def prior_as_guide(effect, error):
    """The prior as a guide, for the message above."""
    numpyro.sample("mean", dist.Normal(0, 5))
    numpyro.sample("tau", dist.HalfCauchy(5))
    with numpyro.plate("schools", len(effect)):
        numpyro.sample("deviation", dist.Normal(0, 1))


if __name__ == "__main__":
    main()
