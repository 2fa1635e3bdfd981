"""Signal-to-noise on the toy of "Tighter Variational Bounds are Not Necessarily Better", its figures and its slopes.

    p(z) = N(mu, I),   p(x | z) = N(z, I),   q(z | x) = N(A x + b, (2/3) I),   z and x in R^20

theta = mu and phi = (A, b) stand at their optimum for 1,024 points drawn from the model, but for random moves of
standard deviation 0.01 (near) or 0.5 (far). M or K takes 1, 10, 100 and 1,000 samples; each gradient is averaged over
the points. Slopes of log SNR that theory expects near the optimum: +1/2 in M for both groups; in K +1/2 for theta, -1/2
for phi, and +1/2 for phi by the doubly-reparameterized estimator.

`iwax snr toy --out DIR` runs it. Reference: Rainforth et al. (2018), arXiv:1802.04537, sections 4 and 5; Tucker et al.
(2018), arXiv:1810.04152.
"""

import dataclasses
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree
from scipy.special import logsumexp

from iwax.checks import check_positive_integer
from iwax.diagnostics import Directional, GroupSNR, flat, gradient_snr
from iwax.experiments.points import Point, measure_points
from iwax.files import dumps
from iwax.keys import root_key
from iwax.models import DiagonalNormal
from iwax.objectives import IWAE, MIWAE, Objective
from iwax.progress import Progress
from iwax.runs import cores

__all__ = ["LINES", "Toy", "ToyStudy", "closed_form_snr", "group_of", "limit_direction", "toy_of"]

VARIANCE = 2 / 3  # of q; the exact posterior has 1/2
LARGE = 20  # K against E[w^2] / p(x)^2, for the leading order in 1 / K to be near all there is
ROWS = 4096  # of 20 numbers: what a cache holds
LINES = (
    ("M", "reparameterized"),
    ("K", "doubly-reparameterized"),
    ("K", "reparameterized"),
    ("K", "sticking-the-landing"),
)
"""What is varied, and by which estimator."""
TREES = ("mean", "mean_error", "sd", "skewness", "kurtosis")


class Linear(eqx.Module):
    """A and b."""

    weight: Float[Array, "size size"]
    offset: Float[Array, " size"]


class Toy(eqx.Module):
    """The model: a `LinearGaussian` with nothing free but mu, A and b."""

    generative: Float[Array, " size"]
    inference: Linear

    def posterior(self, x: Float[Array, "*batch size"]) -> DiagonalNormal:
        loc = x @ self.inference.weight.T + self.inference.offset
        return DiagonalNormal(loc, jnp.full_like(loc, 0.5 * np.log(VARIANCE)))

    def log_joint(
        self, x: Float[Array, "*batch size"], z: Float[Array, "samples *batch size"]
    ) -> Float[Array, "samples *batch"]:
        return _unit_normal(self.generative).log_prob(z) + _unit_normal(z).log_prob(x)

    @classmethod
    def perturbed(
        cls, key: PRNGKeyArray, *, size: int, num_examples: int, deviation: float
    ) -> tuple["Toy", Float[Array, "num_examples size"]]:
        """The model at its optimum for the points that are returned with it, each parameter moved by `deviation`.

        The points are from the model at a mu of N(0, I); they and the direction of the move depend on `key` alone.
        """
        keys = jax.random.split(key, 6)
        z = jax.random.normal(keys[0], (size,)) + jax.random.normal(keys[1], (num_examples, size))
        x = z + jax.random.normal(keys[2], z.shape)
        mu, eye = x.mean(axis=0), jnp.eye(size)
        best = (mu, eye / 2, mu / 2)
        mu, a, b = (p + deviation * jax.random.normal(key, p.shape) for p, key in zip(best, keys[3:], strict=True))
        return cls(mu, Linear(a, b)), x


def limit_direction(model: Toy, x: Float[Array, "n size"]) -> tuple[PyTree, PyTree]:
    """Where the expected gradients of IWAE(K) point as K grows, in closed form.

    mu: mean of (x - mu) / 2, the gradient of log p(x). (A, b): mean of C delta (x, 1), times 1.2 / K, where delta =
    E[z | x] - (A x + b) and C = E[w^2] / p(x)^2, which is exp(1.2 |delta|^2) times a constant.
    """
    delta = (x + model.generative) / 2 - model.posterior(x).loc
    weighted = jax.nn.softmax(1.2 * jnp.sum(delta**2, axis=1))[:, None] * delta
    return jnp.mean(x - model.generative, axis=0) / 2, Linear(weighted.T @ x, weighted.sum(axis=0))


def closed_form_snr(
    model: Toy, x: Float[Array, "n size"], *, varied: str, count: int
) -> dict[str, Float[np.ndarray, " parameters"]]:
    """SNR of every parameter by the plain estimator, for each group: mu; A and then b.

    At a point x and per sample, the gradient of b has mean 2 delta and variance 8/3, that of mu mean A x + b - mu and
    variance 2/3, exactly; M divides the variances. For large K, to leading order and with C as in `limit_direction`, it
    is mean 1.2 C delta / K and variance 4 C (0.4 + 0.36 delta^2) / K for b, mean (x - mu) / 2 and a quarter of that
    variance for mu. A's gradient is b's times x. NaN where K is less than 20 times the mean of C: not large.
    """
    parts = (model.posterior(x).loc, model.generative, x)
    loc, mu, data = (np.asarray(part, np.float64) for part in parts)
    delta = (data + mu) / 2 - loc
    mean_b, variance_b, mean_mu = 2 * delta, np.full_like(data, 8 / 3 / count), loc - mu
    if varied == "K" and count > 1:
        log_c = data.shape[1] / 2 * np.log(16 / 15) + 1.2 * np.sum(delta**2, axis=1, keepdims=True)
        c = (
            np.exp(log_c)
            if logsumexp(log_c) - np.log(len(data)) < np.log(count / LARGE)
            else np.full_like(log_c, np.nan)
        )
        mean_b, variance_b = 1.2 * c * delta / count, 4 * c * (0.4 + 0.36 * delta**2) / count
        mean_mu = (data - mu) / 2
    snr_a = np.abs(mean_b.T @ data) / np.sqrt(variance_b.T @ data**2)
    snr_b = np.abs(mean_b.sum(axis=0)) / np.sqrt(variance_b.sum(axis=0))
    snr_mu = np.abs(mean_mu.sum(axis=0)) / np.sqrt(variance_b.sum(axis=0) / 4)
    return {"generative": snr_mu, "inference": np.concatenate([snr_a.ravel(), snr_b])}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ToyStudy:
    """The study's settings, which are the paper's but for the number of replicates.

    Arguments:
        size: dimensions of x and z.
        num_examples: N.
        counts: values of M (with K = 1) and of K (with M = 1).
        deviations: of the perturbations of all parameters.
        replicates: gradients at the largest count; up to 20 times as many at the smaller ones.
        seed: of everything.
    """

    size: int = 20
    num_examples: int = 1024
    counts: tuple[int, ...] = (1, 10, 100, 1000)
    deviations: tuple[float, ...] = (0.01, 0.5)
    replicates: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in {"size": 1, "num_examples": 1, "replicates": 4}.items():
            check_positive_integer(name, getattr(self, name), least)

    def points(self) -> list[Point]:
        """What is to be measured."""
        return [
            {
                "size": self.size,
                "num_examples": self.num_examples,
                "deviation": deviation,
                "varied": varied,
                "count": count,
                "gradient": gradient,
                "replicates": self.replicates * max(1, min(20, max(self.counts) // (2 * count))),
                "seed": self.seed,
            }
            for deviation in self.deviations
            for varied, gradient in LINES
            for count in self.counts
        ]

    def run(self, out: Path, on_progress: Callable[[Progress], None] | None = None) -> list[dict[str, Any]]:
        """Records of all points; those that out/points.jsonl does not hold are measured, which takes their time."""
        workers = cores()  # small matrices: a point keeps one core busy
        return measure_points(out, self.points(), measure, cost=_cost, on_progress=on_progress, workers=workers)


def measure(point: Point) -> dict[str, Any]:
    """Moments of the gradient at a point, per parameter; and all gradients of one parameter of each group, "shown"."""
    model, x = toy_of(point)
    # Samples of their own for every point: the signal of one estimator is put above the noise of another.
    key = jax.random.split(root_key(point["seed"]))[1]
    key = jax.random.fold_in(key, zlib.crc32(dumps(point, sort_keys=True).encode()))
    which_mu, which_b = np.random.default_rng(point["seed"]).integers(point["size"], size=2)
    shown: dict[str, list[float]] = {"generative": [], "inference": []}

    def keep(generative: np.ndarray, inference: np.ndarray) -> None:
        shown["generative"] += generative[:, which_mu].tolist()
        shown["inference"] += inference[:, which_b - point["size"]].tolist()  # b comes last

    direction = limit_direction(model, x)
    found = gradient_snr(
        model, objective_of(point), x, key,
        num_replicates=point["replicates"], direction=direction, rows=ROWS, on_batch=keep,
    )  # fmt: skip
    return {name: _as_json(getattr(found, name)) | {"shown": shown[name]} for name in shown}


def toy_of(point: Point) -> tuple[Toy, Float[Array, "n size"]]:
    """The model of a point, and its data."""
    key = jax.random.split(root_key(point["seed"]))[0]
    return Toy.perturbed(key, **{name: point[name] for name in ("size", "num_examples", "deviation")})


def objective_of(point: Point) -> Objective:
    """MIWAE(M, 1), which is the ELBO with M samples, or IWAE(K)."""
    if point["varied"] == "M":
        return MIWAE(num_groups=point["count"], num_samples=1, gradient=point["gradient"])
    return IWAE(num_samples=point["count"], gradient=point["gradient"])


def _cost(point: Point) -> int:
    return point["count"] * point["replicates"]


def _unit_normal(loc: Array) -> DiagonalNormal:
    return DiagonalNormal(loc, jnp.zeros_like(loc))


def _as_json(group: GroupSNR) -> dict[str, Any]:
    """All numbers of a group, flat; `group_of` reads it."""
    numbers = {name: flat(getattr(group, name)).tolist() for name in TREES}
    return numbers | {name: getattr(group, name) for name in ("dsnr", "dsnr_along", "num_replicates")}


def group_of(record: dict[str, Any], name: str) -> GroupSNR:
    """A group of a record, its parameters in one array; NaN for what JSON has as null."""
    values = record[name]
    return GroupSNR(
        **{tree: np.asarray(values[tree], float) for tree in TREES},
        dsnr=Directional(*np.array(values["dsnr"], float)),
        dsnr_along=Directional(*np.array(values["dsnr_along"], float)),
        num_replicates=values["num_replicates"],
    )
