# %% [markdown]
# # A mixed-effects model in NumPyro
#
# Eight schools coached their pupils, and each measured by how many points that raised their scores. The effects share
# a mean and a spread, which are what one wants to know. The model is a NumPyro program, trained first by NumPyro's
# ELBO and then, by one changed line, on a tighter bound. Evidence and posterior are known here by quadrature, so you
# see what the line buys.
#
# It needs `pip install "iwax[numpyro]"`. Data: Rubin, "Estimation in Parallel Randomized Experiments" (1981).

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import numpyro
import numpyro.distributions as dist
import scipy.stats
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoNormal
from numpyro.infer.initialization import init_to_value

import iwax
from iwax.contrib.numpyro import ImportanceWeightedELBO, evaluate, posterior_sample

# %% tags=["parameters"]
STEPS = 5000
EVALUATION_SAMPLES = 5000
DRAWS = 4000

# %% [markdown]
# ## The model
#
# `tau` is the spread of the effects over schools: near 0 all schools are alike.

# %%
EFFECT = jnp.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERROR = jnp.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def model(effect, error):
    mean = numpyro.sample("mean", dist.Normal(0, 5))
    tau = numpyro.sample("tau", dist.HalfCauchy(5))
    with numpyro.plate("schools", len(effect)):
        deviation = numpyro.sample("deviation", dist.Normal(0, 1))
        numpyro.sample("effect", dist.Normal(mean + tau * deviation, error), obs=effect)


# %% [markdown]
# ## The truth
#
# Given tau all is Gaussian and integrates out; the rest is one integral, on a grid of log tau.

# %%
log_tau = np.linspace(np.log(1e-4), np.log(1e4), 4000)
ones, spread = np.ones((8, 8)), np.asarray(ERROR) ** 2
log_joint = np.array([
    scipy.stats.multivariate_normal.logpdf(np.asarray(EFFECT), np.zeros(8), 25 * ones + np.diag(np.exp(2 * t) + spread))
    for t in log_tau
])  # fmt: skip
log_joint += scipy.stats.halfcauchy.logpdf(np.exp(log_tau), scale=5) + log_tau
density = np.exp(log_joint - log_joint.max())
width = log_tau[1] - log_tau[0]
log_evidence = log_joint.max() + np.log(density.sum() * width)
density /= density.sum() * width
mean = np.sum(density * log_tau) * width
sd = np.sqrt(np.sum(density * (log_tau - mean) ** 2) * width)
print(f"log p(effects) = {log_evidence:.3f} nats; log tau has mean {mean:.2f} and standard deviation {sd:.2f}")

# %% [markdown]
# ## Trained on the ELBO, and on IWAE
#
# The guide is NumPyro's mean-field `AutoNormal`. Only the loss changes. The latents are global (mean, tau) and local
# (a deviation for each school), so it must be said that all share one weight: `joint=True`. Without it the loss
# refuses, and says why.

# %%
DATA = (EFFECT, ERROR)
START = {"mean": 5.0, "tau": 3.0, "deviation": jnp.zeros(8)}


def trained(loss):
    guide = AutoNormal(model, init_loc_fn=init_to_value(values=START))
    svi = SVI(model, guide, numpyro.optim.Adam(0.005), loss=loss)
    return guide, svi.run(jax.random.key(0), STEPS, *DATA, progress_bar=False).params


iwae = iwax.IWAE(num_samples=16, gradient="doubly-reparameterized")
guides = {
    "NumPyro's Trace_ELBO(16)": trained(Trace_ELBO(num_particles=16)),
    "IWAE(16)": trained(ImportanceWeightedELBO(iwae, joint=True)),
}
for name, (_, params) in guides.items():
    print(f"{name:25s} log tau {params['tau_auto_loc']:.2f} ± {params['tau_auto_scale']:.2f}")

# %% [markdown]
# What to see: the mean-field guide of the ELBO is too sure of tau, by a third of its spread. That of IWAE is a
# proposal for importance sampling, and is somewhat wider than the posterior instead.
#
# ## The evidence
#
# Many samples of either guide estimate log p, and k-hat says whether to believe it (below 0.7). The ELBO of the IWAE
# guide is the worse one: it was not asked to be the posterior, but to be a good proposal for it, and its weights are
# worth more of their samples.

# %%
for name, (guide, params) in guides.items():
    options = {"key": jax.random.key(1), "num_samples": EVALUATION_SAMPLES, "joint": True}
    found = evaluate(model, guide, params, *DATA, **options)
    print(
        f"{name:25s} log p {found.log_likelihood.sum():.3f} (true {log_evidence:.3f}), ELBO {found.elbo.sum():.3f}, "
        f"{found.ess.mean():.0f} effective of {EVALUATION_SAMPLES} samples, k-hat {found.khat.max():.2f}"
    )

# %% [markdown]
# ## The posterior
#
# Importance resampling corrects a guide as far as its draws reach. The ELBO's guide hardly ever draws a large tau, so
# that here one draw had to stand for all of them: the spike, of which k-hat said nothing. Those from the guide of
# IWAE follow the curve.

# %%
figure, axis = plt.subplots(figsize=(7, 3.2), num="Posterior of log tau: exact, and drawn by importance resampling")
axis.plot(log_tau, density, "k", label="exact")
for name, (guide, params) in guides.items():
    options = {"key": jax.random.key(2), "num_draws": DRAWS, "num_samples": EVALUATION_SAMPLES, "joint": True}
    draws = posterior_sample(model, guide, params, *DATA, **options).draws
    axis.hist(np.log(np.ravel(draws["tau"])), bins=60, range=(-4, 4), density=True, histtype="step", label=name)
    print(f"{name:25s} log tau {np.log(draws['tau']).mean():.2f} ± {np.log(draws['tau']).std():.2f}")
print(f"{'exact':25s} log tau {mean:.2f} ± {sd:.2f}")
axis.set(xlim=(-4, 4), xlabel="log tau", ylabel="density")
axis.legend()

# %% [markdown]
# ## And now
#
# The table over several seeds, with the noise of the gradients, is on the page [NumPyro](../numpyro.md), which also
# says which sites share a weight and what is refused. What comes back from a program of your own is judged the same
# way: [judge any model](../judge.md).
