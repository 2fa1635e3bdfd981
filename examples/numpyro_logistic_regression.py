"""Bayesian logistic regression in NumPyro, trained on tighter bounds by one changed line.

The data are the 23 shuttle flights before the Challenger accident: the temperature at launch, and whether an O-ring
was damaged. With two coefficients the evidence log p(y) and the posterior are known by quadrature, so that what a bound
buys can be measured against the truth. The guide is mean-field and the coefficients are correlated: it cannot be right.

Data: Dalal, Fowlkes and Hoadley, "Risk Analysis of the Space Shuttle: Pre-Challenger Prediction of Failure", Journal of
the American Statistical Association 84 (1989).

    python examples/numpyro_logistic_regression.py
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import SVI, RenyiELBO, Trace_ELBO
from numpyro.infer.autoguide import AutoNormal

import iwax
from iwax.contrib.numpyro import ImportanceWeightedELBO

FAHRENHEIT = [53, 57, 58, 63, 66, 67, 67, 67, 68, 69, 70, 70, 70, 70, 72, 73, 75, 75, 76, 76, 78, 79, 81]
DAMAGED = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]
COLDER = (60 - jnp.array(FAHRENHEIT)) / 10  # tens of degrees below 60 F
NUM_STEPS, NUM_SEEDS, NUM_SAMPLES = 5000, 8, 16


def model(colder, damaged):
    base = numpyro.sample("base", dist.Normal(0, 3))  # log-odds at 60 F
    slope = numpyro.sample("slope", dist.Normal(0, 3))
    with numpyro.plate("flights", len(colder)):
        numpyro.sample("damaged", dist.Bernoulli(logits=base + slope * colder), obs=damaged)


def exact(colder, damaged, num_nodes=600):
    """log p(y) and the posterior standard deviations of the two coefficients, on a grid."""
    axis = np.linspace(-15, 15, num_nodes)
    base, slope = (jnp.asarray(part) for part in np.meshgrid(axis, axis, indexing="ij"))
    logits = base[..., None] + slope[..., None] * colder
    log_joint = jnp.sum(dist.Bernoulli(logits=logits).log_prob(damaged), axis=-1)
    log_joint += dist.Normal(0, 3).log_prob(base) + dist.Normal(0, 3).log_prob(slope)
    log_p = float(jax.nn.logsumexp(log_joint) + 2 * np.log(axis[1] - axis[0]))
    weights = np.array(jax.nn.softmax(log_joint.ravel())).reshape(log_joint.shape)
    return log_p, [_sd(axis, weights.sum(1)), _sd(axis, weights.sum(0))]


def _sd(axis, weights):
    return float(np.sqrt(weights @ axis**2 - (weights @ axis) ** 2))


def train(loss, *data):
    """Final parameters of each seed, on axis 0, and the mean loss of the last fifth of the steps."""
    guide = AutoNormal(model)
    svi = SVI(model, guide, numpyro.optim.Adam(0.01), loss=loss)
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
    samples = jax.jit(gradient)(at, jax.random.split(jax.random.key(2), 4000))
    return float(jnp.sqrt(sum(jnp.var(leaf) for leaf in samples.values())))


def mean_and_error(values):
    return f"{np.mean(values):8.3f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.3f}"


def main():
    data = COLDER, jnp.array(DAMAGED)
    log_p, sds = exact(*data)
    print(f"exact: log p(y) = {log_p:.3f} nats; posterior sd of base {sds[0]:.3f}, of slope {sds[1]:.3f}")
    losses = {
        "NumPyro's Trace_ELBO(16)": Trace_ELBO(num_particles=NUM_SAMPLES),
        "ELBO(16), sticking the landing": ImportanceWeightedELBO(
            iwax.ELBO(num_samples=NUM_SAMPLES, gradient="sticking-the-landing")
        ),
        "NumPyro's RenyiELBO(0, 16)": RenyiELBO(alpha=0, num_particles=NUM_SAMPLES),
        "IWAE(16), doubly reparameterized": ImportanceWeightedELBO(
            iwax.IWAE(num_samples=NUM_SAMPLES, gradient="doubly-reparameterized")
        ),
    }
    print(f"{NUM_SEEDS} seeds, mean ± standard error; sd: that of the guide over that of the posterior")
    print(f"{'loss':<34}{'log p(y) - bound':>18}{'sd of base':>18}{'sd of slope':>18}{'gradient noise':>16}")
    for name, loss in losses.items():
        guide, params, final = train(loss, *data)
        ratios = [
            mean_and_error(params[f"{site}_auto_scale"] / sd) for site, sd in zip(("base", "slope"), sds, strict=True)
        ]
        noise = gradient_noise(loss, guide, params, *data)
        print(f"{name:<34}{mean_and_error(log_p + final):>18}{ratios[0]:>18}{ratios[1]:>18}{noise:>16.3f}")


if __name__ == "__main__":
    main()
