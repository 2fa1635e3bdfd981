"""A variational autoencoder in NumPyro on MNIST digits, with subsampled data and one changed line.

The images are those bundled with iwax, 2,000 for training and 500 for testing, averaged to 14 x 14 pixels and made
black and white once. Every loss draws 16 samples of each of 32 images and takes the same number of steps from the same
start; only NumPyro's Trace_ELBO draws another minibatch for each of its particles, and so sees 16 times the images.
Trained models are judged by log p(x) of the test images, estimated by IWAE(512).

    python examples/numpyro_vae.py
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.contrib.module import eqx_module
from numpyro.infer import SVI, RenyiELBO, Trace_ELBO

import iwax
from iwax.contrib.numpyro import ImportanceWeightedELBO

NUM_STEPS, NUM_SEEDS, BATCH_SIZE, NUM_LATENTS, PIXELS = 2000, 3, 32, 10, 14 * 14


def binary_images(images):
    """Half the resolution, each pixel on if it is more than half bright, (N, 196)."""
    blocks = images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)) / 255
    return jnp.asarray((blocks > 0.5).reshape(-1, PIXELS), float)


def network(key, inputs, outputs):
    return eqx.nn.MLP(inputs, outputs, 64, 1, activation=jnp.tanh, key=key)


def model(images, batch_size=BATCH_SIZE):
    decoder = eqx_module("decoder", network(jax.random.key(0), NUM_LATENTS, PIXELS))
    with numpyro.plate("images", len(images), subsample_size=batch_size) as index:
        z = numpyro.sample("z", dist.Normal(jnp.zeros(NUM_LATENTS), 1).to_event(1))
        pixels = dist.Bernoulli(logits=jax.vmap(decoder)(z)).to_event(1)
        numpyro.sample("pixels", pixels, obs=images[index])


def guide(images, batch_size=BATCH_SIZE):
    encoder = eqx_module("encoder", network(jax.random.key(1), PIXELS, 2 * NUM_LATENTS))
    with numpyro.plate("images", len(images), subsample_size=batch_size) as index:
        loc, log_scale = jnp.split(jax.vmap(encoder)(images[index]), 2, axis=-1)
        numpyro.sample("z", dist.Normal(loc, jnp.exp(log_scale)).to_event(1))


def train(loss, images, test):
    """Mean log p(x) of the test images in nats, for each seed."""
    svi = SVI(model, guide, numpyro.optim.Adam(2e-3), loss=loss)
    start = svi.init(jax.random.key(0), images)
    judge = ImportanceWeightedELBO(iwax.IWAE(num_samples=512), vectorize_particles=False)

    def run(key):
        update = lambda state, _: svi.update(state, images)  # noqa: E731
        state, _ = jax.lax.scan(update, start._replace(rng_key=key), length=NUM_STEPS)
        return -judge.loss(jax.random.key(2), svi.get_params(state), model, guide, test, None) / len(test)

    return np.array(jax.jit(lambda keys: jax.lax.map(run, keys))(jax.random.split(jax.random.key(1), NUM_SEEDS)))


def mean_and_error(values):
    return f"{np.mean(values):8.2f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.2f}"


def main():
    data = iwax.data.load("mnist-sample")
    images, test = binary_images(data.train), binary_images(data.test)
    doubly = "doubly-reparameterized"
    losses = {
        "ELBO(16), reparameterized": ImportanceWeightedELBO(iwax.ELBO(num_samples=16)),
        "ELBO(16), sticking the landing": ImportanceWeightedELBO(
            iwax.ELBO(num_samples=16, gradient="sticking-the-landing")
        ),
        "NumPyro's RenyiELBO(0, 16)": RenyiELBO(alpha=0, num_particles=16),
        "IWAE(16), doubly reparameterized": ImportanceWeightedELBO(iwax.IWAE(num_samples=16, gradient=doubly)),
        "PIWAE(4, 4), doubly reparameterized": ImportanceWeightedELBO(
            iwax.PIWAE(num_groups=4, num_samples=4, gradient=doubly)
        ),
        "NumPyro's Trace_ELBO(16), 512 images": Trace_ELBO(num_particles=16),
    }
    print(f"{NUM_SEEDS} seeds of {NUM_STEPS} steps, mean ± standard error over seeds, in nats")
    print(f"{'loss':<38}{'test log p(x)':>18}{'minus the first':>20}")
    reference = None
    for name, loss in losses.items():
        log_p = train(loss, images, test)
        reference = log_p if reference is None else reference
        gain = mean_and_error(log_p - reference) if log_p is not reference else ""
        print(f"{name:<38}{mean_and_error(log_p):>18}{gain:>20}", flush=True)


if __name__ == "__main__":
    main()
