"""Importance-weighted bounds and their gradient estimators as a loss of Pyro's `SVI`; the fit judged afterwards.

Particles are one more plate, to the left of all others. Model and guide run once for the plain gradient; for the other
estimators they run again on the guide's draws, with what these ask for held constant, and `iwax.torch` does the rest.
"""

import contextlib
import dataclasses
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from iwax.data import numbers_of, test_set_hash
from iwax.errors import IwaxError
from iwax.evaluation import Evaluation
from iwax.extras import missing

try:
    import pyro
    import torch
    from pyro import poutine
    from pyro.infer import elbo
    from pyro.infer.enum import get_importance_trace
    from pyro.poutine.messenger import Messenger
    from torch import Tensor
except ModuleNotFoundError as error:
    raise missing("pyro", "iwax.contrib.pyro") from error

import iwax.torch
from iwax.contrib._pyro_plates import PARTICLES, Layout, Sites, check_estimator, frames_of, read_layout, sample_sites
from iwax.objectives import ELBO, SCORE_FUNCTION, check_objective, has_equal_coefficients

__all__ = ["ImportanceWeightedELBO", "evaluate"]


class ImportanceWeightedELBO(elbo.ELBO):
    """Any bound and gradient estimator of iwax as `SVI(model, guide, optim, loss=ImportanceWeightedELBO(objective))`.

    The loss is minus the bound in nats, summed over the data and scaled up where they are subsampled. A plate that
    holds every site of model and guide has one importance weight for each of its elements; all else is summed inside a
    weight, by the rule of docs/numpyro.md.

    Arguments:
        objective: an iwax objective that is a function of log-weights.
        joint: one weight for all sites, whatever the plates.
        max_plate_nesting: how many plates are nested at most; if left out, one run before the first tells.

    Raises:
        TypeError: `objective` is none.
        ValueError: from the loss, if objective or sites do not fit; the message names them.

    References: Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders" (2015), arXiv:1509.00519; Tucker,
    Lawson, Gu and Maddison, "Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives" (2018),
    arXiv:1810.04152.

    >>> import iwax, pyro, pyro.distributions as dist, torch
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         pyro.sample("x", dist.Normal(z, 1.0), obs=x)
    >>> def guide(x):
    ...     slope = pyro.param("slope", torch.tensor(0.1))
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(slope * x, 0.7))
    >>> pyro.clear_param_store()
    >>> pyro.set_rng_seed(0)
    >>> loss = ImportanceWeightedELBO(iwax.IWAE(num_samples=8, gradient="doubly-reparameterized"))
    >>> svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), loss)
    >>> steps = [svi.step(torch.linspace(-2, 2, 9)) for _ in range(60)]
    >>> print(round(pyro.param("slope").item(), 1))  # the posterior mean is x / 2
    0.5
    """

    def __init__(self, objective: Any, *, joint: bool = False, max_plate_nesting: int | None = None) -> None:
        check_objective(objective)
        super().__init__(num_particles=objective.total_samples)
        self.nesting = max_plate_nesting  # without the plate of the particles
        self.objective = objective
        self.joint = joint

    def loss(self, model: Callable, guide: Callable, *args: Any, **kwargs: Any) -> float:
        """Minus the bound in nats."""
        with torch.no_grad():
            return self.differentiable_loss(model, guide, *args, **kwargs).item()

    def differentiable_loss(self, model: Callable, guide: Callable, *args: Any, **kwargs: Any) -> Tensor:
        """Minus the bound in nats, whose `backward()` is the objective's estimator."""
        program = _Program(model, guide, args, kwargs)
        if self.nesting is None:
            self.nesting = program.nesting()
        particles = program.with_particles(self.num_particles, self.nesting)
        layout, log_p, log_q, more = self._densities(particles, guide)
        return layout.scale * iwax.torch.per_example_loss(self.objective, log_p, log_q, *more).sum()

    def loss_and_grads(self, model: Callable, guide: Callable, *args: Any, **kwargs: Any) -> float:
        """Minus the bound in nats; its gradient is added to that of the parameters."""
        loss = self.differentiable_loss(model, guide, *args, **kwargs)
        loss.backward(retain_graph=self.retain_graph)
        return loss.item()

    def _get_trace(self, model: Callable, guide: Callable, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One particle, as the base class has it."""
        return get_importance_trace("flat", self.max_plate_nesting, model, guide, args, kwargs)

    def _densities(self, program: "_Program", guide: Any) -> tuple[Layout, Tensor, Tensor, tuple[Any, ...]]:
        """The layout, log p and log q at the guide's draws, and what else the estimator needs: (z, log q frozen)."""
        objective = self.objective
        linear = isinstance(objective, ELBO) or objective.total_samples == 1
        draws, (model_sites, guide_sites) = program.draw()
        layout = read_layout(model_sites, guide_sites, self.joint, linear)
        check_estimator(objective, guide_sites)
        if not torch.is_grad_enabled() or has_equal_coefficients(objective):
            return layout, *layout.densities(model_sites, guide_sites), ()
        constant = objective.gradient == SCORE_FUNCTION
        draws = {name: value.detach() if constant else value.clone() for name, value in draws.items()}
        log_p, log_q = layout.densities(*program.at(draws))
        if constant:
            return layout, log_p, log_q, ()
        with _constant_parameters(guide):
            frozen = layout.densities(*program.at(draws))[1]
        return layout, log_p, log_q, ([draws[name] for name in guide_sites], frozen)


def evaluate(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    *args: Any,
    num_samples: int = 5000,
    iwae_samples: int | Sequence[int] = 64,
    chunk_size: int = 64,
    joint: bool = False,
    seed: int | None = 0,
    examples: Any = None,
    **kwargs: Any,
) -> Evaluation:
    """log p(x) with its errors, IWAE-K, -KL(Q||P), ELBO, k-hat and advice, of a fitted guide.

    One "example" for each element of the plates that hold every site of model and guide, one in all where there is no
    such plate or `joint` is asked for: then it is the evidence of all data. Memory does not grow with k.

    Arguments:
        model, guide: programs of Pyro, without subsampling, at the parameters of the parameter store.
        args, kwargs: of the programs.
        num_samples: k, cut down to a multiple of the block sizes.
        iwae_samples: K of IWAE-K; several give several bounds, and the first gives -KL(Q||P).
        chunk_size: samples drawn at a time, along a plate of their own.
        joint: one weight for all sites, whatever the plates.
        seed: of PyTorch's generators meanwhile, which are then as they were before; None leaves them alone.
        examples: the data of each weight, for `iwax compare` to know them by their hash.

    Raises:
        ValueError: a site has no place in an importance weight, is marked for enumeration, or is subsampled; names it.

    >>> import pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         pyro.sample("x", dist.Normal(z, 1.0), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(x / 2, 0.8))
    >>> x = torch.linspace(-1, 1, 5)
    >>> error = evaluate(model, guide, x, num_samples=1280).log_likelihood - dist.Normal(0, 2**0.5).log_prob(x).numpy()
    >>> bool(abs(error.mean()) < 0.01)
    True
    """
    program = _Program(model, guide, args, kwargs)
    found: list[int] = []

    def log_weights(batch: None, samples: int) -> Tensor:
        found.extend([] if found else [program.nesting()])
        particles = program.with_particles(samples, found[0])
        _, sites = particles.draw()
        layout = read_layout(*sites, joint, linear=False)
        if layout.scale != 1:
            raise IwaxError(
                "Expected programs that see all of their data; got a subsampled plate. Pass batches of the data as "
                "arguments, each as a plate of its own size."
            )
        log_p, log_q = layout.densities(*sites)
        return (log_p - log_q).reshape(samples, -1)

    options: dict[str, Any] = {"num_samples": num_samples, "iwae_samples": iwae_samples, "chunk_size": chunk_size}
    evaluation = iwax.torch.evaluate(log_weights, [None], **options, seed=seed)
    if examples is None:
        return evaluation
    return dataclasses.replace(evaluation, test_hash=test_set_hash(numbers_of(examples)))


@dataclasses.dataclass(frozen=True)
class _Program:
    """A model, its guide, and what they are called with."""

    model: Callable[..., Any]
    guide: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def with_particles(self, number: int, nesting: int) -> "_Program":
        """The programs under a plate of particles, to the left of all of theirs."""
        model, guide = (pyro.plate(PARTICLES, number, dim=-nesting - 1)(own) for own in (self.model, self.guide))
        return _Program(model, guide, self.args, self.kwargs)

    def draw(self) -> tuple[dict[str, Tensor], tuple[Sites, Sites]]:
        """The guide's draws, subsamples among them, and the sites of model and guide as they were drawn."""
        guide = poutine.trace(self.guide).get_trace(*self.args, **self.kwargs)
        drawn = {name: site for name, site in guide.nodes.items() if site["type"] == "sample"}
        draws = {name: site["value"] for name, site in drawn.items() if not site["is_observed"]}
        return draws, (self._run(self.model, draws), sample_sites(guide))

    def at(self, draws: dict[str, Tensor]) -> tuple[Sites, Sites]:
        """The sites of model and guide, both run at these draws."""
        return self._run(self.model, draws), self._run(self.guide, draws)

    def _run(self, program: Callable[..., Any], draws: dict[str, Tensor]) -> Sites:
        return sample_sites(poutine.trace(_Replayed(draws)(program)).get_trace(*self.args, **self.kwargs))

    def nesting(self) -> int:
        """How deep plates are nested, from a run that nothing comes of."""
        with torch.no_grad(), poutine.block():
            _, traces = self.draw()
        dims = [frame.dim for sites in traces for site in sites.values() for frame in frames_of(site)]
        return -min(dims) if dims else 0


class _Replayed(Messenger):
    """Puts draws in the place of what sites of their names would draw, subsamples included."""

    def __init__(self, draws: dict[str, Tensor]) -> None:
        super().__init__()
        self.draws = draws

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if msg["name"] in self.draws and not msg["is_observed"]:
            msg["value"], msg["done"] = self.draws[msg["name"]], True


@contextlib.contextmanager
def _constant_parameters(guide: Any) -> Iterator[None]:
    """What is computed meanwhile has no gradient in parameters: those of the store, of modules in it, and of the guide.

    `pyro.module(name, network)` registers the parameters, and the network is then used as it is; so these very tensors
    are held constant, not copies of them.
    """
    store = pyro.get_param_store()
    tensors = [store[name].unconstrained() for name in store]
    tensors += list(guide.parameters()) if isinstance(guide, torch.nn.Module) else []
    live = [tensor for tensor in tensors if tensor.is_leaf and tensor.requires_grad]
    try:
        for tensor in live:
            tensor.requires_grad_(False)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "(?s).*was not registered in the param store")  # it was, in the first run
            yield
    finally:
        for tensor in live:
            tensor.requires_grad_(True)
