"""NumPyro: SVI with RenyiELBO(alpha=0), which is the IWAE bound, its update in a compiled scan."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.infer import SVI, RenyiELBO

from benchmarks.case import HIDDEN, Case, Inputs


class RenyiSVI:
    def __init__(self, case: Case, inputs: Inputs) -> None:
        assert case.objective == "iwae"
        self.case, self.images = case, jnp.asarray(inputs.images)
        self.x, self.guide = jnp.asarray(inputs.x), lambda x: _guide(case, inputs.parameters, x)
        svi = self.svi = SVI(
            lambda x: _model(case, inputs.parameters, x),
            self.guide,
            numpyro.optim.Adam(1e-3),
            RenyiELBO(alpha=0, num_particles=case.num_samples),
        )
        self.state = svi.init(jax.random.key(0), self.x)

        def step(state: Any, key: Any) -> Any:
            pick_key, pixel_key = jax.random.split(key)
            mean = self.images[jax.random.randint(pick_key, (case.batch,), 0, len(self.images))]
            x = (jax.random.uniform(pixel_key, mean.shape) < mean).astype(jnp.float32)
            return svi.update(state, x)

        self.scan = jax.jit(lambda state, keys: jax.lax.scan(step, state, keys))
        self.key = jax.random.key(2)

    def check(self) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
        """Bound and gradient at its first parameters, and the noise of its own draws, which it takes from nobody."""
        parameters, key = self.svi.get_params(self.svi.init(jax.random.key(0), self.x)), jax.random.key(5)

        def loss(parameters: dict) -> Any:
            return self.svi.loss.loss(key, parameters, self.svi.model, self.guide, self.x)

        value, gradient = jax.value_and_grad(loss)(parameters)
        names = [name for i in range(len(parameters) // 2) for name in (f"w{i}", f"b{i}")]
        scale = -1 / len(self.x)  # NumPyro sums over the batch
        return np.asarray(value * scale), [np.asarray(gradient[n]) * scale for n in names], self._noise(key, parameters)

    def _noise(self, key: Any, parameters: dict) -> list[np.ndarray]:
        """Standardised draws of the particles, whose keys RenyiELBO splits off."""
        noise: list[list[Any]] = [[] for _ in range(self.case.layers)]
        _, key = jax.random.split(key)  # the first is the plates'
        for particle in jax.random.split(key, self.case.num_samples):
            _, guide_seed = jax.random.split(particle)
            trace = handlers.trace(handlers.substitute(handlers.seed(self.guide, guide_seed), parameters))
            sites = trace.get_trace(self.x)
            for layer in range(self.case.layers):
                site = sites[f"z{layer + 1}"]
                noise[layer].append((site["value"] - site["fn"].base_dist.loc) / site["fn"].base_dist.scale)
        return [np.stack(values) for values in noise]

    def run(self, steps: int) -> None:
        self.key, key = jax.random.split(self.key)
        self.state, values = self.scan(self.state, jax.random.split(key, steps))
        values.block_until_ready()


def _guide(case: Case, parameters: list[np.ndarray], x: Any) -> None:
    networks = iter(_networks(case, parameters))
    with numpyro.plate("data", len(x)):
        for layer in range(case.layers):
            mean, log_scale = _heads(next(networks), x)
            x = numpyro.sample(f"z{layer + 1}", dist.Normal(mean, jnp.exp(log_scale)).to_event(1))


def _model(case: Case, parameters: list[np.ndarray], x: Any) -> None:
    networks = _networks(case, parameters)[case.layers :]
    size = networks[0][0][0].shape[0]
    with numpyro.plate("data", len(x)):
        z = numpyro.sample(f"z{case.layers}", dist.Normal(jnp.zeros(size), 1).to_event(1))
        for layer, network in zip(range(case.layers - 1, 0, -1), networks[:-1], strict=True):
            mean, log_scale = _heads(network, z)
            z = numpyro.sample(f"z{layer}", dist.Normal(mean, jnp.exp(log_scale)).to_event(1))
        *hidden, (weight, bias) = networks[-1]
        for w, b in hidden:
            z = jnp.tanh(z @ w + b)
        numpyro.sample("x", dist.Bernoulli(logits=z @ weight + bias).to_event(1), obs=x)


def _networks(case: Case, parameters: list[np.ndarray]) -> list[list[tuple]]:
    """The linear layers of each network, as NumPyro parameters."""
    widths = [len(h) + 2 for h in HIDDEN[case.layers]]
    widths += [len(h) + 2 for h in reversed(HIDDEN[case.layers][1:])] + [len(HIDDEN[case.layers][0]) + 1]
    values = iter(parameters)
    number = iter(range(len(parameters)))

    def linear() -> tuple:
        i = next(number)
        return numpyro.param(f"w{i}", jnp.asarray(next(values))), numpyro.param(f"b{i}", jnp.asarray(next(values)))

    return [[linear() for _ in range(width)] for width in widths]


def _heads(network: list[tuple], x: Any) -> tuple:
    *hidden, (w_mean, b_mean), (w_scale, b_scale) = network
    for w, b in hidden:
        x = jnp.tanh(x @ w + b)
    return x @ w_mean + b_mean, x @ w_scale + b_scale
