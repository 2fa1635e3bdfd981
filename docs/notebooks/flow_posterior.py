# %% [markdown]
# # A flow as the posterior
#
# What is seen of two hidden numbers are their squares, with noise. Their signs are lost, so the true posterior p(z |
# x) has up to four modes, one for each choice of signs, and a Gaussian q(z | x) must settle for what it can cover. A
# normalising flow can have them all. At the end you have put a density of another library, flowjax, into a model of
# your own, and seen the difference in the bound, in k-hat and in a picture.
#
# It needs `pip install "iwax[flows]"`.

# %%
import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flowjax.bijections import RationalQuadraticSpline
from flowjax.distributions import StandardNormal
from flowjax.flows import coupling_flow

import iwax
from iwax.models import DiagonalNormal

# %% tags=["parameters"]
ROWS = 2000
EPOCHS = 60
EVALUATION_SAMPLES = 1280

# %% [markdown]
# ## The data

# %%
rng = np.random.default_rng(0)
hidden = rng.normal(size=(ROWS, 2))
rows = (hidden**2 + 0.3 * rng.normal(size=hidden.shape)).astype(np.float32)
train, test = rows[: -ROWS // 10], rows[-ROWS // 10 :]

# %% [markdown]
# ## A posterior is two methods
#
# `sample(key, sample_shape)` and `log_prob(z)`. A third, `sample_and_log_prob`, saves work where a density is cheap
# at a draw of its own. The distributions of iwax, of NumPyro and of flowjax have them; here the flow is told x by
# features of it.


# %%
class FlowPosterior(eqx.Module):
    """q(z | x): a flow that is conditioned on features of x, (*batch, 16)."""

    flow: eqx.Module
    features: jax.Array

    def sample_and_log_prob(self, key, sample_shape=()):
        return self.flow.sample_and_log_prob(key, sample_shape, self.features)

    def sample(self, key, sample_shape=()):
        return self.flow.sample(key, sample_shape, self.features)

    def log_prob(self, z):
        return self.flow.log_prob(z, self.features)


# %% [markdown]
# ## A model is a pair
#
# p(z) = N(0, I) and p(x | z) = N(scale · z² + shift, noise²), all learned; and one of two posteriors.


# %%
class Squares(eqx.Module):
    """p(x, z) and q(z | x)."""

    generative: dict
    inference: tuple

    real_valued = True

    @property
    def prior(self):
        return DiagonalNormal(jnp.zeros(2), jnp.zeros(2))

    def likelihood(self, z):
        mean = self.generative["scale"] * z**2 + self.generative["shift"]
        return DiagonalNormal(mean, jnp.broadcast_to(self.generative["log_noise"], mean.shape))

    def log_joint(self, x, z):
        return self.prior.log_prob(z) + self.likelihood(z).log_prob(x)

    def posterior(self, x):
        network, flow = self.inference
        features = jnp.vectorize(network, signature="(n)->(m)")(x)
        return FlowPosterior(flow, features) if flow else DiagonalNormal(*jnp.split(features, 2, axis=-1))


def make(kind):
    network_key, flow_key = jax.random.split(jax.random.key(0))
    start = {"scale": jnp.ones(2), "shift": jnp.full(2, 0.1), "log_noise": jnp.full(2, -0.7)}
    network = eqx.nn.MLP(2, 16 if kind == "flow" else 4, 32, 1, activation=jnp.tanh, key=network_key)
    flow = coupling_flow(
        flow_key, base_dist=StandardNormal((2,)), transformer=RationalQuadraticSpline(knots=8, interval=4),
        cond_dim=16, flow_layers=3, nn_width=32, invert=False,
    )  # fmt: skip
    return Squares(start, (network, flow if kind == "flow" else None))


# %% [markdown]
# Before training, ask whether they are what they say: that the density of a draw is that of the draws, that gradients
# flow, and so on.

# %%
print(iwax.check_model(make("flow"), train[:3], jax.random.key(1)))

# %% [markdown]
# ## Trained alike
#
# With one sample both climb the ELBO, whose gap to log p(x) is exactly KL(q(z | x) ‖ p(z | x)).

# %%
models = {
    kind: iwax.fit(
        make(kind), iwax.ELBO(num_samples=1), train, recipe="burda-paper", optimizer=3e-3, key=jax.random.key(2),
        epochs=EPOCHS, batch_size=50, binarize="none",
    ).model
    for kind in ("gaussian", "flow")
}  # fmt: skip
for kind, model in models.items():
    found = iwax.evaluate(model, test, jax.random.key(3), num_samples=EVALUATION_SAMPLES, binarize="none").summary()
    print(
        f"{kind:9s} ELBO {found['elbo']:.2f}, log p {found['log_p']:.2f} ± {found['log_p_mc_error']:.3f} nats; "
        f"k-hat above 0.7 for {found['khat_above_0.7']:.0%} of the rows; {found['ess']:.0f} effective samples"
    )

# %% [markdown]
# What to see: the flow's ELBO is higher, by about a quarter of a nat, and so is log p. A model learns to have
# posteriors that its q(z | x) can be: next to a Gaussian it gives up likelihood for them, next to a flow it need not.
# The gap from the ELBO to log p is about the same for both, and the flow's weights are worth more of their samples.
#
# ## Looked at

# %%
x = jnp.array([1.5, 1.0])
grid = jnp.linspace(-2.5, 2.5, 120)
places = jnp.stack(jnp.meshgrid(grid, grid), axis=-1)
figure, axes = plt.subplots(1, 2, figsize=(7, 3.4), num="Draws of q (dots) on the true posterior (contours), of one x")
for axis, (kind, model) in zip(axes, models.items(), strict=True):
    log_joint = eqx.filter_jit(lambda model, z: model.log_joint(x, z))(model, places)
    axis.contour(grid, grid, jnp.exp(log_joint - log_joint.max()), levels=5, cmap="gray_r")
    draws = eqx.filter_jit(lambda model, key: model.posterior(x).sample(key, (300,)))(model, jax.random.key(4))
    axis.plot(*draws.T, ".", markersize=2)
    axis.set(title=kind, xlim=(-2.5, 2.5), ylim=(-2.5, 2.5), xlabel="z1", ylabel="z2")

# %% [markdown]
# ## And now
#
# From the shell, with the model in a file of your own: `iwax train --model flow_posterior.py:make_model --dataset
# ./squares.npy --binarize none --objective elbo --num-samples 1 --out runs/flow`, then `iwax posterior runs/flow`;
# the file is in `examples/`. What a model may have beside these members is on the page [own model](../own-model.md).
