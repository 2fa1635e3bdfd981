"""Pictures of q, of the implicit posterior q_IW of K samples, and of the true posterior; the densities are in
`iwax.evaluation.implicit`.
"""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray
from scipy.ndimage import gaussian_filter
from scipy.special import softmax

from iwax.data import Dataset
from iwax.errors import IwaxError
from iwax.evaluation import block_bounds, block_sizes, implicit_log_density, implicit_posterior, implicit_weights
from iwax.extras import beside_numbers
from iwax.figures import COLOURS, Paths, about, plot
from iwax.files import make_folder
from iwax.keys import EvaluationKeys
from iwax.models import Model, checked_log_joint, draw
from iwax.runs import LoadedRun
from iwax.weights import effective_number
from iwax.zoo import open_run

__all__ = ["implicit_log_density", "implicit_posterior", "implicit_run", "implicit_weights", "posterior_picture"]

POOL = 131_072  # draws of q behind a picture, per image
CHUNK = 4096  # of them on the device at a time
GRID = 60  # cells of a picture, across and up


def posterior_picture(
    model: Model,
    x: Float[np.ndarray | Array, "n ..."],
    key: PRNGKeyArray,
    paths: Paths,
    *,
    num_samples: int | Sequence[int] = (10, 100),
    labels: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """A picture in two dimensions of q, q_IW for each K, and p(z | x): one row per example; and its numbers.

    With two latent dimensions all is exact up to the expectation in q_IW: densities on a grid, that of p(x, z)
    normalised there. With more, drawn are the marginals of the two coordinates of z (all layers, z_1 first) in which q
    and the posterior differ most, by KL(p || q) of Gaussians with their means and covariances. They are histograms of
    one pool of 131,072 draws of q, weighted three ways: equally, by `implicit_weights`, and all against each other.
    The posterior's is as good as the effective sample size `ess` of that pool. A line encloses 90 % of it in every
    panel.

    Arguments:
        model: the pair of densities, with continuous z.
        x: examples, (N, *event).
        key: seed.
        paths: .svg, .pdf or .png file to write, or several.
        num_samples: the K, in order.
        labels: of the rows.

    Returns:
        For each example: coordinates (from 0), ess, log_p (by the whole pool) and bounds (K -> L_K) in nats, exact
        (whether the posterior drawn is).

    Warns:
        MissingPictureWarning: matplotlib is not installed; the numbers are returned all the same.
    """
    ks, rows, found = (1, *block_sizes(num_samples, "num_samples"), POOL), [], []
    for i in range(len(x)):
        z, log_w = _pool(model, jnp.asarray(x)[i], jax.random.fold_in(key, i))
        weights = {k: implicit_weights(log_w, k) for k in ks}
        pair = _most_different(z, weights[POOL])
        edges = _edges(z[:, pair], weights[POOL])
        if z.shape[1] == 2:
            rows.append(
                _exact(model, jnp.asarray(x)[i], edges, ks, jax.random.fold_in(EvaluationKeys(key).exact_picture, i))
            )
        else:
            rows.append([_histogram(z[:, pair], weights[k], edges) for k in ks])
        bounds = {k: float(block_bounds(log_w, k).mean()) for k in ks}  # of the disjoint sets of the pool
        ess = float(effective_number(weights[POOL]))
        found.append({"coordinates": pair, "ess": ess, "log_p": bounds.pop(POOL), "bounds": bounds, "edges": edges})
        found[-1]["exact"] = z.shape[1] == 2
    with beside_numbers("the picture of the posterior"):
        _draw(paths, rows, found, ks, labels or [f"example {i}" for i in range(len(x))])
    return [{name: value for name, value in row.items() if name != "edges"} for row in found]


@eqx.filter_jit
def _draws(model: Model, x: Array, key: PRNGKeyArray) -> tuple[Array, Array]:
    z, log_q = draw(model.posterior(x[None]), key, CHUNK)
    flat = jnp.concatenate([leaf.reshape(CHUNK, -1) for leaf in jax.tree.leaves(z)], axis=1)
    return flat, (checked_log_joint(model, x[None], z, log_q, batch=1) - log_q)[:, 0]


def _pool(model: Model, x: Array, key: PRNGKeyArray) -> tuple[np.ndarray, np.ndarray]:
    """Draws of q, all layers side by side, (POOL, size), and their log-weights, in float64."""
    parts = [_draws(model, x, jax.random.fold_in(key, i)) for i in range(POOL // CHUNK)]
    z, log_w = (np.concatenate([np.asarray(part[i], np.float64) for part in parts]) for i in (0, 1))
    return z, log_w


def _most_different(z: np.ndarray, weights: np.ndarray) -> list[int]:
    """The pair of coordinates whose Gaussian KL(p || q) is largest: z has equal weights under q, `weights` under p."""
    if z.shape[1] == 1:
        raise IwaxError("Expected z of at least two dimensions, to be drawn; got one.")
    pairs = np.array(list(combinations(range(z.shape[1]), 2)))
    mean_p, cov_p = weights @ z, np.cov(z.T, aweights=weights, ddof=0)
    mean_q, cov_q = z.mean(axis=0), np.cov(z.T)
    block = (pairs[:, :, None], pairs[:, None, :])
    p, q, gap = cov_p[block], cov_q[block], (mean_p - mean_q)[pairs]
    squared = np.einsum("ni,ni->n", gap, np.linalg.solve(q, gap[..., None])[..., 0])
    trace = np.trace(np.linalg.solve(q, p), axis1=1, axis2=2)
    kl = 0.5 * (trace + squared - 2 + np.linalg.slogdet(q)[1] - np.linalg.slogdet(p)[1])
    return [int(i) for i in pairs[np.argmax(kl)]]


def _edges(z: np.ndarray, weights: np.ndarray) -> list[np.ndarray]:
    """Grid lines over four standard deviations about both means, for each of two coordinates."""
    edges = []
    for column in z.T:
        means = [column.mean(), weights @ column]
        spreads = [column.std(), np.sqrt(weights @ (column - means[1]) ** 2)]
        low = min(m - 4 * s for m, s in zip(means, spreads, strict=True))
        high = max(m + 4 * s for m, s in zip(means, spreads, strict=True))
        edges.append(np.linspace(low, high, GRID + 1))
    return edges


def _histogram(z: np.ndarray, weights: np.ndarray, edges: list[np.ndarray]) -> np.ndarray:
    """Probability of each cell, smoothed over about one cell; rows go up."""
    return gaussian_filter(np.histogram2d(z[:, 1], z[:, 0], bins=edges[::-1], weights=weights)[0], 1.0)


def _exact(model: Model, x: Array, edges: list[np.ndarray], ks: Sequence[int], key: PRNGKeyArray) -> list[np.ndarray]:
    """q_IW for each K and, in place of the last, the posterior: at the centres of the cells, relative."""
    across, up = np.meshgrid(*[(edge[1:] + edge[:-1]) / 2 for edge in edges])
    points = jnp.stack([across.ravel(), up.ravel()], axis=-1).astype(x.dtype)
    template = model.posterior(x[None]).sample(key, (1,))
    z = jax.vmap(ravel_pytree(template)[1])(points)
    z = jax.tree.map(lambda leaf: leaf[:, 0], z)  # (points, 1, *event)
    log_densities = [
        implicit_log_density(model, x[None], z, key, num_samples=k, num_repeats=max(1, POOL // (32 * k)))
        for k in ks[:-1]
    ]
    log_densities.append(model.log_joint(x[None], z))
    shape = (GRID, GRID)
    return [softmax(np.asarray(log_density, np.float64)[:, 0]).reshape(shape) for log_density in log_densities]


def _draw(
    paths: Paths,
    rows: list[list[np.ndarray]],
    found: list[dict[str, Any]],
    ks: Sequence[int],
    labels: Sequence[str],
) -> None:
    titles = ["q", *(f"$q_{{IW}}$, K = {k}" for k in ks[1:-1]), "posterior"]
    with plot(
        paths, rows=len(rows), columns=len(ks), width=1.9 * len(ks), height=1.9 * len(rows) + 0.3, formulas=True
    ) as axes:
        for row, densities, facts, label in zip(np.atleast_2d(axes), rows, found, labels, strict=True):
            extent = [edge[end] for edge in facts["edges"] for end in (0, -1)]
            ranked = np.sort(densities[-1].ravel())[::-1]
            level = ranked[np.searchsorted(np.cumsum(ranked), 0.9 * ranked.sum())]
            for axis, density, k in zip(row, densities, ks, strict=True):
                axis.imshow(density, origin="lower", extent=extent, aspect="auto", cmap="Blues")
                axis.contour(densities[-1], [level], origin="lower", extent=extent, colors=COLOURS[1], linewidths=1)
                text = f"{facts['bounds'][k]:.2f} nats" if k in facts["bounds"] else f"{facts['log_p']:.2f} nats"
                text += f"\n{facts['ess']:.0f} effective samples" if k == ks[-1] and not facts["exact"] else ""
                paper = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}  # above lines
                axis.text(0.04, 0.96, text, transform=axis.transAxes, fontsize=7, va="top", bbox=paper)
                axis.grid(False)
            first, second = facts["coordinates"]
            row[0].set_ylabel(f"{label}\n$z_{{{second + 1}}}$")
            for axis in row:
                axis.set_xlabel(f"$z_{{{first + 1}}}$")
        for axis, title in zip(np.atleast_2d(axes)[0], titles, strict=True):
            axis.set_title(title)
        np.ravel(axes)[0].figure.legend(
            handles=_handles(), loc="outside lower center", ncols=2 if len(ks) > 3 else 1, fontsize=7
        )


def _handles() -> list[Any]:
    """The legend: shades, the line, and what the numbers are."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        Patch(color="#4292c6", label="density; the number is the bound with K samples, or log p"),
        Line2D([], [], color=COLOURS[1], lw=1, label="encloses 90 % of the posterior"),
    ]


def implicit_run(
    run: str | Path | LoadedRun,
    *,
    images: Sequence[int] | None = None,
    num_samples: Sequence[int] = (10, 100),
    seed: int = 0,
    out: str | Path | None = None,
    data_dir: str | None = None,
    data: Dataset | None = None,
) -> dict[str, Any]:
    """`posterior_picture` of some test images of a run, and its numbers, written to posterior.json.

    Arguments:
        run: its folder, or the run itself, loaded.
        images: numbers of the test images, from 0; those of the first three if left out.
        num_samples: the K.
        seed: of the binarisation (as `iwax evaluate` does it) and the draws.
        out: the picture; figures/posterior.svg and .pdf in the run's folder if left out.
        data_dir: folder of the data sets.
        data: the data set itself, if it is loaded already.

    Raises:
        ValueError: no run, or an image that is not there.
    """
    run = open_run(run, data_dir=data_dir, data=data)
    folder, x = run.folder, run.test_images(seed)
    images = range(min(3, len(x))) if images is None else images
    for image in images:
        if not 0 <= image < len(x):
            raise IwaxError(f"Expected images to be numbers from 0 to {len(x) - 1}; got {image}.")
    make_folder(folder.path / "figures")
    figures = [folder.path / "figures" / f"posterior{suffix}" for suffix in (".svg", ".pdf")]
    labels = [f"image {image}" for image in images]
    paths = figures if out is None else [Path(out)]
    chosen, key = x[list(images)], EvaluationKeys.of_seed(seed).posterior_picture
    with about(run.made_from):
        found = posterior_picture(run.model, chosen, key, paths, num_samples=num_samples, labels=labels)
    summary = {"seed": seed, "binarize": run.resolved.test_binarize, "pool": POOL}
    summary["images"] = [
        {"image": image, **facts, "bounds": {str(k): bound for k, bound in facts["bounds"].items()}}
        for image, facts in zip(images, found, strict=True)
    ]
    summary["made_from"] = run.made_from
    folder.write_json("posterior.json", summary)
    return summary
